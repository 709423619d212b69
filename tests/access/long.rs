//! Operations of many steps, whose key is revoked between two of them.

use std::ops::ControlFlow;

use parlor::{
    AgentHandle, Archive, ErrorKind, ImportIds, ImportOptions, NewKey, NewSession, Progress, Result, Scopes, Session,
};

use super::{engine, key};

type On<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// What an operation is given: an agent and a session as the key opens them, the archive of another session, and a stream of
/// it.
struct Given {
    agent: AgentHandle,
    session: Session,
    archive: Archive,
    stream: Vec<u8>,
    lines: Vec<u8>,
}

type Long = (&'static str, fn(&Given, On<'_>) -> Result<()>);

const LONG: [Long; 8] = [
    ("archive", |given, on| given.session.archive_with(on).map(drop)),
    ("restore", |given, on| given.agent.archive(given.archive.filename())?.restore_with(None, on).map(drop)),
    ("export of an archive", |given, on| given.agent.archive(given.archive.filename())?.export_with(Vec::new(), on)),
    ("import of an archive", |given, on| given.agent.import_archive_with(&*given.stream, ImportIds::New, on).map(drop)),
    ("fork", |given, on| {
        let last = given.session.history(1)?.remove(0).id;
        given.session.fork_with(last, NewSession::default(), on).map(drop)
    }),
    ("export", |given, on| given.session.export_with(Vec::new(), on).map(drop)),
    ("import", |given, on| given.agent.import_with(&*given.lines, ImportOptions::default(), on).map(drop)),
    ("import of a list", |given, on| {
        let list = br#"[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "user", "content": "c"}]"#;
        given.agent.import_with(&list[..], ImportOptions::default(), on).map(drop)
    }),
];

#[test]
fn a_key_that_is_revoked_ends_what_takes_many_steps_and_nothing_has_changed() {
    for (what, run) in LONG {
        let (engine, _clock) = engine();
        let acme = engine.workspace("acme").unwrap();
        let trusted = acme.agent("echo").unwrap();
        let made = |key: &str| trusted.create_session(NewSession::default().key(key)).unwrap();
        // More than one step each.
        let elsewhere = acme.agent("elsewhere").unwrap().create_session(NewSession::default()).unwrap();
        let (session, other) = (made("one"), made("other"));
        for session in [&session, &other, &elsewhere] {
            for _ in 0..3 {
                session.append((0..4).map(|_| "x".repeat(100_000))).unwrap();
            }
        }
        let (mut stream, mut lines) = (Vec::new(), Vec::new());
        elsewhere.export(&mut lines).unwrap();
        elsewhere.delete().unwrap();
        let archive = other.archive().unwrap();
        archive.export(&mut stream).unwrap();
        let issued = key(&engine, Scopes::ALL, NewKey::default());
        let access = engine.open_key(issued.secret.expose()).unwrap();
        let agent = access.agent(trusted.id()).unwrap();
        let given = Given { session: agent.session(session.id()).unwrap(), agent, archive, stream, lines };
        let before = (trusted.sessions(()).unwrap().items, trusted.archives(()).unwrap().items);
        let mut steps = 0;
        let answer = run(&given, &mut |_| {
            steps += 1;
            if steps == 1 {
                acme.revoke_key(issued.record.id).unwrap();
            }
            ControlFlow::Continue(())
        });
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unauthorized, "{what}");
        assert_eq!(steps, 1, "{what}");
        assert_eq!((trusted.sessions(()).unwrap().items, trusted.archives(()).unwrap().items), before, "{what}");
    }
}
