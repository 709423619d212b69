//! Where secrets stand, and where they do not: in no file, log, copy, line, archive, span or printed value. (Those of webhooks stand in the
//! file until they are delivered, and in copies of it, and nowhere else.)

use std::fmt::Debug;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlor::testkit::unpack_archive;
use parlor::{
    DeliveryError, DeliveryOptions, Engine, ErrorKind, NewKey, NewSession, NewTurn, Scopes, Session, Webhook,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// All that spans and events say.
static TRACED: Mutex<String> = Mutex::new(String::new());

fn traced() -> MutexGuard<'static, String> {
    TRACED.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Everything;

impl Visit for Everything {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        traced().push_str(&format!("{field}={value:?}\n"));
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Everything);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Everything);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Everything);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Everything is traced from now on, on all threads.
fn trace() {
    // The tests of this file share it.
    let _ = tracing::subscriber::set_global_default(Everything);
}

fn stands(text: &[u8], place: &[u8]) -> bool {
    place.windows(text.len()).any(|window| window == text)
}

/// The files of a folder, one after the other.
fn files(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// What leaves an engine, but for its files: lines, and what is in the archive of a session, which is restored.
fn leaves(engine: &Engine, session: &Session) -> Vec<u8> {
    let mut lines = Vec::new();
    engine.export(&mut lines).unwrap();
    let (mut stream, archive) = (Vec::new(), session.archive().unwrap());
    archive.export(&mut stream).unwrap();
    archive.restore().unwrap();
    lines.extend(unpack_archive(&stream).unwrap());
    [lines, stream].concat()
}

#[test]
fn a_secret_of_a_key_stands_in_no_file_log_copy_line_archive_span_or_message() {
    trace();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parlor");
    let engine = Engine::builder(&path).agent_fn("echo", |turn| Ok(turn.input().text())).open().unwrap();
    let acme = engine.workspace("acme").unwrap();
    let echo = acme.agent("echo").unwrap();
    let old = acme.create_master_key(NewKey::default()).unwrap();
    let keys = [
        acme.replace_master_key(NewKey::default().label("a label that is found")).unwrap(),
        echo.create_key(Scopes::ALL, NewKey::default()).unwrap(),
        echo.create_key(Scopes::CHAT, NewKey::default()).unwrap(),
    ];
    acme.revoke_key(keys[2].record.id).unwrap();
    let session = engine.open_key(keys[1].secret.expose()).unwrap().agent(echo.id()).unwrap();
    let session = session.create_session(NewSession::default()).unwrap();
    assert_eq!(session.send("a text that is found").unwrap().wait().unwrap().text(), "a text that is found");
    let dead = [&old, &keys[2]].map(|key| engine.open_key(key.secret.expose()).unwrap_err());
    assert!(dead.iter().all(|error| error.kind() == ErrorKind::Unauthorized));
    let access = engine.open_key(keys[0].secret.expose()).unwrap();
    let printed = format!("{keys:#?} {access:?} {dead:?} {} {:?}", dead[0], acme.keys(()).unwrap());

    // While the log has it all, then the file, and a copy.
    let log = files(dir.path());
    engine.compact().unwrap();
    engine.backup(dir.path().join("copy.parlor")).unwrap();
    let left = leaves(&engine, &session);
    let open = files(dir.path());
    engine.close().unwrap();
    let closed = std::fs::read(&path).unwrap();
    let spans = traced().clone().into_bytes();
    let places = [("log", log), ("files", open), ("file", closed), ("lines and archive", left), ("spans", spans)];
    for (name, place) in &places {
        let found: &[u8] = if *name == "spans" { b"submit" } else { b"a text that is found" };
        assert!(stands(found, place), "the {name} were searched");
    }
    for key in [old].iter().chain(&keys) {
        let random = &key.secret.expose()[37..101];
        let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&random[2 * at..2 * at + 2], 16).unwrap()).collect();
        for (name, place) in places.iter().chain([&("printed values", printed.clone().into_bytes())]) {
            assert!(!stands(random.as_bytes(), place) && !stands(&bytes, place), "it stands in the {name}");
        }
    }
}

#[test]
fn a_token_and_a_secret_of_a_webhook_stand_in_no_line_archive_span_or_message() {
    trace();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parlor");
    let echo = || Engine::builder(&path).agent_fn("echo", |turn| Ok(turn.input().text()));
    let engine = echo().open().unwrap();
    let session =
        engine.workspace("acme").unwrap().agent("echo").unwrap().create_session(NewSession::default()).unwrap();
    let hook = |number: u32| Webhook {
        url: "https://example.org/a-place-that-is-found".into(),
        token: Some(format!("hunter-token-{number}")),
        secret: Some(format!("hunter-secret-{number}")),
        include_messages: true,
    };
    for number in 0..2 {
        session.send(NewTurn::from("a text that is found").webhook(hook(number))).unwrap().wait().unwrap();
    }
    // A send that is refused says why.
    let refused = session.follow_up(NewTurn::from("x".repeat(17 << 20)).webhook(hook(2))).unwrap_err();
    let waiting = engine.outbox(10).unwrap();
    assert_eq!(waiting.len(), 2);
    let mut printed = format!("{waiting:#?} {refused:?} {refused} {:?}", NewTurn::from("x").webhook(hook(3)));
    let mut left = leaves(&engine, &session);
    engine.close().unwrap();
    assert!(stands(b"hunter-token-0", &files(dir.path())), "it is kept until it is delivered");

    // Delivered in vain: kept as dead, without them.
    let refuse = |_: &parlor::Delivery| Err(DeliveryError::permanent("it is not taken"));
    let engine = echo().delivery(DeliveryOptions::default()).transport(refuse).open().unwrap();
    let session = engine.workspace("acme").unwrap().session(session.id()).unwrap();
    while !engine.outbox(1).unwrap().is_empty() {
        std::thread::yield_now();
    }
    let dead = engine.dead_letters(None, 10).unwrap();
    assert_eq!(dead.rows.len(), 2);
    printed.push_str(&format!("{dead:#?}"));
    left.extend(leaves(&engine, &session));
    engine.backup(dir.path().join("copy.parlor")).unwrap();
    let copy = std::fs::read(dir.path().join("copy.parlor")).unwrap();
    engine.close().unwrap();
    let spans = traced().clone();
    for (name, place, found) in [
        ("printed values", printed.as_bytes(), "a-place-that-is-found"),
        ("lines and archive", &left, "a text that is found"),
        ("spans", spans.as_bytes(), "submit"),
        ("copy without what was delivered", &copy, "a-place-that-is-found"),
    ] {
        assert!(stands(found.as_bytes(), place), "the {name} were searched");
        assert!(!stands(b"hunter", place), "it stands in the {name}");
    }
}
