//! Every operation of every handle, with every kind of key: what the table says is what happens.

use std::future::poll_fn;
use std::ops::ControlFlow;

use parlor::testkit::{AccessRule, access_table, access_unchecked};
use parlor::time::Duration;
use parlor::{
    Access, AgentHandle, ErrorKind, ImportIds, ImportOptions, NewAgent, NewKey, NewSession, Policy, Result, Scopes,
    Session, SessionUpdate, TurnHandle,
};

/// What an operation is given: a key, and what stands below its agent.
struct Given<'a> {
    access: &'a Access,
    /// As trusted code has them.
    agent: AgentHandle,
    session: Session,
    turn: TurnHandle,
    nth: usize,
}

impl Given<'_> {
    /// The same, as far as the key opens them.
    fn agent(&self) -> Result<AgentHandle> {
        self.access.agent(self.agent.id())
    }

    fn session(&self) -> Result<Session> {
        self.access.session(self.session.id())
    }

    fn turn(&self) -> Result<TurnHandle> {
        self.session()?.turn(self.turn.id())
    }

    /// Its session as an archive in a stream, by trusted code.
    fn stream(&self) -> Result<Vec<u8>> {
        let mut stream = Vec::new();
        self.session.archive()?.export(&mut stream)?;
        Ok(stream)
    }

    /// Its session as lines, which is gone then, by trusted code.
    fn lines(&self) -> Result<Vec<u8>> {
        let mut lines = Vec::new();
        self.session.export(&mut lines)?;
        self.session.delete()?;
        Ok(lines)
    }

    /// A name that is not taken.
    fn name(&self) -> String {
        format!("made {}", self.nth)
    }
}

const LIST: &[u8] = br#"[{"role": "user", "content": "hello"}]"#;

fn first<T>(item: Option<Result<T>>) -> Result<()> {
    item.expect("there is something").map(drop)
}

/// One for each row of the table: every method that it names is called.
type Case = (&'static str, fn(&Given<'_>) -> Result<()>);

const OF_SCOPES: &[Case] = &[
    ("Access::workspace", |given| given.access.workspace().map(drop)),
    ("Access::agent", |given| given.agent().map(drop)),
    ("Access::session", |given| given.session().map(drop)),
    ("Workspace::agent", |given| given.access.workspace()?.agent(&given.name()).map(drop)),
    ("Workspace::find_agent", |given| given.access.workspace()?.find_agent("echo").map(drop)),
    ("Workspace::agent_by_id", |given| given.access.workspace()?.agent_by_id(given.agent.id()).map(drop)),
    ("Workspace::create_agent", |given| given.access.workspace()?.create_agent(NewAgent::new(given.name())).map(drop)),
    ("Workspace::agents", |given| given.access.workspace()?.agents(()).map(drop)),
    ("Workspace::session", |given| given.access.workspace()?.session(given.session.id()).map(drop)),
    ("Workspace::sessions", |given| given.access.workspace()?.sessions(()).map(drop)),
    ("Workspace::export", |given| given.access.workspace()?.export(Vec::new()).map(drop)),
    ("Workspace::export_with", |given| {
        given.access.workspace()?.export_with(Vec::new(), |_| ControlFlow::Continue(())).map(drop)
    }),
    ("Workspace::import", |given| {
        let lines = given.lines()?;
        given.access.workspace()?.import(&*lines, ImportOptions::default()).map(drop)
    }),
    ("Workspace::import_with", |given| {
        let (lines, options) = (given.lines()?, ImportOptions::default());
        given.access.workspace()?.import_with(&*lines, options, |_| ControlFlow::Continue(())).map(drop)
    }),
    ("Workspace::watch", |given| {
        let mut watch = given.access.workspace()?.watch();
        given.session.append(["news"])?;
        first(watch.try_next())
    }),
    ("Workspace::keys", |given| given.access.workspace()?.keys(()).map(drop)),
    ("Workspace::revoke_key", |given| {
        let key = given.agent.create_key(Scopes::READ, NewKey::default())?;
        given.access.workspace()?.revoke_key(key.record.id)
    }),
    ("Workspace::create_master_key", |given| given.access.workspace()?.create_master_key(NewKey::default()).map(drop)),
    ("Workspace::replace_master_key", |given| {
        given.access.workspace()?.replace_master_key(NewKey::default()).map(drop)
    }),
    ("AgentHandle::get", |given| given.agent()?.get().map(drop)),
    ("AgentHandle::set_label", |given| given.agent()?.set_label("x").map(drop)),
    ("AgentHandle::delete", |given| given.agent()?.delete()),
    ("AgentHandle::keys", |given| given.agent()?.keys(()).map(drop)),
    ("AgentHandle::create_key", |given| given.agent()?.create_key(Scopes::ALL, NewKey::default()).map(drop)),
    ("AgentHandle::create_session", |given| given.agent()?.create_session(NewSession::default()).map(drop)),
    ("AgentHandle::start_session", |given| given.agent()?.start_session(NewSession::default(), "hello").map(drop)),
    ("AgentHandle::session", |given| given.agent()?.session(given.session.id()).map(drop)),
    ("AgentHandle::session_by_key", |given| given.agent()?.session_by_key(&given.session.get()?.key).map(drop)),
    ("AgentHandle::sessions", |given| given.agent()?.sessions(()).map(drop)),
    ("AgentHandle::import", |given| given.agent()?.import(LIST, ImportOptions::default()).map(drop)),
    ("AgentHandle::import_with", |given| {
        let lines = given.lines()?;
        given.agent()?.import_with(&*lines, ImportOptions::default(), |_| ControlFlow::Continue(())).map(drop)
    }),
    ("AgentHandle::watch", |given| {
        let mut watch = given.agent()?.watch();
        given.session.append(["news"])?;
        first(watch.next_timeout(Duration::ZERO))
    }),
    ("AgentHandle::archives", |given| given.agent()?.archives(()).map(drop)),
    ("AgentHandle::archive", |given| {
        let archive = given.session.archive()?;
        given.agent()?.archive(archive.filename()).map(drop)
    }),
    ("AgentHandle::import_archive", |given| {
        let stream = given.stream()?;
        given.agent()?.import_archive(&stream[..], ImportIds::New).map(drop)
    }),
    ("AgentHandle::import_archive_with", |given| {
        let stream = given.stream()?;
        given.agent()?.import_archive_with(&stream[..], ImportIds::New, |_| ControlFlow::Continue(())).map(drop)
    }),
    ("Archive::restore", |given| {
        let archive = given.session.archive()?;
        given.agent()?.archive(archive.filename())?.restore().map(drop)
    }),
    ("Archive::restore_with", |given| {
        let archive = given.session.archive()?;
        given.agent()?.archive(archive.filename())?.restore_with("x", |_| ControlFlow::Continue(())).map(drop)
    }),
    ("Archive::export", |given| {
        let archive = given.session.archive()?;
        given.agent()?.archive(archive.filename())?.export(Vec::new())
    }),
    ("Archive::export_with", |given| {
        let archive = given.session.archive()?;
        given.agent()?.archive(archive.filename())?.export_with(Vec::new(), |_| ControlFlow::Continue(()))
    }),
    ("Archive::delete", |given| {
        let archive = given.session.archive()?;
        given.agent()?.archive(archive.filename())?.delete()
    }),
];

const OF_SESSIONS: &[Case] = &[
    ("Session::get", |given| given.session()?.get().map(drop)),
    ("Session::usage", |given| given.session()?.usage().map(drop)),
    ("Session::update", |given| given.session()?.update(SessionUpdate::default().label("x")).map(drop)),
    ("Session::rename", |given| given.session()?.rename(Some("y")).map(drop)),
    ("Session::append", |given| given.session()?.append(["a"]).map(drop)),
    ("Session::append_to", |given| given.session()?.append_to(given.turn.thread_id(), ["a"]).map(drop)),
    ("Session::history", |given| given.session()?.history(10).map(drop)),
    ("Session::archive", |given| given.session()?.archive().map(drop)),
    ("Session::archive_with", |given| given.session()?.archive_with(|_| ControlFlow::Continue(())).map(drop)),
    ("Session::fork", |given| given.session()?.fork(given.turn.message_id(), NewSession::default()).map(drop)),
    ("Session::fork_with", |given| {
        let (said, new) = (given.turn.message_id(), NewSession::default());
        given.session()?.fork_with(said, new, |_| ControlFlow::Continue(())).map(drop)
    }),
    ("Session::export", |given| given.session()?.export(Vec::new()).map(drop)),
    ("Session::export_with", |given| given.session()?.export_with(Vec::new(), |_| ControlFlow::Continue(())).map(drop)),
    ("Session::delete", |given| given.session()?.delete()),
    ("Session::delete_message", |given| given.session()?.delete_message(given.turn.message_id())),
    ("Session::purge_message", |given| {
        given.session.delete_message(given.turn.message_id())?;
        given.session()?.purge_message(given.turn.message_id())
    }),
    ("Session::purge", |given| given.session()?.purge().map(drop)),
    ("Session::set_context_mark", |given| given.session()?.set_context_mark(None)),
    ("Session::redrive", |given| given.session()?.redrive(None, Default::default()).map(drop)),
    ("Session::send", |given| given.session()?.send("a").map(drop)),
    ("Session::send_with", |given| given.session()?.send_with(Policy::Rollback, "a").map(drop)),
    ("Session::follow_up", |given| given.session()?.follow_up("a").map(drop)),
    ("Session::enqueue", |given| given.session()?.enqueue("a").map(drop)),
    ("Session::interrupt", |given| given.session()?.interrupt().map(drop)),
    ("Session::stop", |given| given.session()?.stop().map(drop)),
    // It has ended, which is said to who may ask.
    ("Session::cancel", |given| match given.session()?.cancel(given.turn.id()) {
        Err(error) if error.is_conflict() => Ok(()),
        answer => answer.map(drop),
    }),
    ("Session::message", |given| given.session()?.message(given.turn.message_id()).map(drop)),
    ("Session::thread", |given| given.session()?.thread(given.turn.thread_id()).map(drop)),
    ("Session::turn", |given| given.turn().map(drop)),
    ("Session::turns", |given| given.session()?.turns(()).map(drop)),
    ("Session::changes", |given| given.session()?.changes(0, 10).map(drop)),
    ("Session::transcript", |given| given.session()?.transcript().map(drop)),
    ("Session::context_mark", |given| given.session()?.context_mark().map(drop)),
    ("Listing::page, MessageIter::next", |given| {
        let listing = given.session()?.messages(());
        alike(listing.page().map(drop), first(listing.iter().next()))
    }),
    ("TurnHandle::get, TurnHandle::wait, TurnHandle::wait_timeout, TurnHandle::poll", |given| {
        // Made by a send where it may: one that is made from the id is checked before.
        let turn = given.turn()?;
        let waits = alike(turn.wait().map(drop), turn.wait_timeout(Duration::ZERO).map(drop));
        alike(alike(turn.get().map(drop), waits), pollster::block_on(turn).map(drop))
    }),
    ("TurnHandle::interrupt", |given| given.turn()?.interrupt().map(drop)),
    ("Idle::get, Idle::wait, Idle::wait_timeout, Idle::poll", |given| {
        let idle = given.session()?.idle();
        let waits = alike(idle.wait().map(drop), idle.wait_timeout(Duration::ZERO).map(drop));
        alike(alike(idle.get().map(drop), waits), pollster::block_on(idle).map(drop))
    }),
    ("Follow::next, Follow::try_next, Follow::next_timeout, Follow::poll_next", |given| {
        let session = given.session()?;
        let follow = || session.follow(0);
        let waits = alike(first(follow().next()), first(follow().next_timeout(Duration::ZERO)));
        let polled = first(pollster::block_on(poll_fn(|cx| follow().poll_next(cx))));
        alike(alike(first(follow().try_next()), waits), polled)
    }),
    ("LiveFeed::next, LiveFeed::try_next, LiveFeed::next_timeout, LiveFeed::poll_next", |given| {
        let session = given.session()?;
        let live = || session.stream(0);
        let waits = alike(first(live().next()), first(live().next_timeout(Duration::ZERO)));
        let polled = first(pollster::block_on(poll_fn(|cx| live().poll_next(cx))));
        alike(alike(first(live().try_next()), waits), polled)
    }),
];

/// The answer of two operations that must answer alike.
fn alike(one: Result<()>, other: Result<()>) -> Result<()> {
    assert_eq!(one.as_ref().map_err(|error| error.kind()), other.as_ref().map_err(|error| error.kind()));
    one
}

fn cases() -> impl Iterator<Item = &'static Case> {
    OF_SCOPES.iter().chain(OF_SESSIONS)
}

/// Every case with this kind of key: allowed as the column says, else forbidden.
fn check(column: &str, scopes: Option<Scopes>, allowed: fn(&AccessRule) -> bool) {
    let (engine, _clock) = super::engine();
    let acme = engine.workspace("acme").unwrap();
    let master = acme.create_master_key(NewKey::default()).unwrap();
    for (nth, (rule, (methods, run))) in access_table().iter().zip(cases()).enumerate() {
        assert_eq!(rule.methods, *methods, "the cases are those of the table, in its order");
        // The first may be deleted.
        let agent = acme.agent("echo").unwrap();
        let of_agent = scopes.map(|scopes| agent.create_key(scopes, NewKey::default()).unwrap());
        let secret = &of_agent.as_ref().unwrap_or(&master).secret;
        let (session, turn) = agent.start_session(NewSession::default(), "hello").unwrap();
        turn.wait().unwrap();
        let access = engine.open_key(secret.expose()).unwrap();
        let answer = run(&Given { access: &access, agent, session, turn, nth });
        let kind = answer.as_ref().map_err(|error| error.kind());
        let due = if allowed(rule) { Ok(&()) } else { Err(ErrorKind::Forbidden) };
        assert_eq!(kind, due, "{methods} with {column}: {answer:?}");
    }
}

#[test]
fn with_agent_read_alone_only_the_agent_is_read() {
    check("agent:read", Some(Scopes::READ), |rule| rule.read);
}

#[test]
fn with_chat_sessions_are_made_and_talked_to() {
    check("chat", Some(Scopes::CHAT), |rule| rule.chat);
}

#[test]
fn with_agent_manage_sessions_are_managed() {
    check("agent:manage", Some(Scopes::MANAGE), |rule| rule.manage);
}

#[test]
fn with_all_scopes_an_agent_key_still_opens_its_agent_alone() {
    check("all scopes", Some(Scopes::ALL), |rule| rule.chat || rule.manage);
}

#[test]
fn a_master_key_opens_all_but_what_makes_master_keys() {
    check("master", None, |rule| rule.master);
}

/// What the documentation of the scopes says, in full; the table is held to it.
#[test]
fn the_table_gives_each_key_what_its_scopes_say() {
    let allowed = |column: fn(&AccessRule) -> bool| {
        let rules = access_table();
        rules.into_iter().filter(column).map(|rule| rule.methods).collect::<Vec<_>>()
    };
    assert_eq!(allowed(|rule| rule.read), ["Access::agent", "AgentHandle::get"]);
    let only_chat = allowed(|rule| rule.chat && !rule.manage);
    assert!(only_chat.contains(&"Session::send") && only_chat.contains(&"Session::message"), "{only_chat:?}");
    let only_manage = [
        "AgentHandle::sessions",
        "AgentHandle::import",
        "AgentHandle::import_with",
        "AgentHandle::watch",
        "AgentHandle::archives",
        "AgentHandle::archive",
        "AgentHandle::import_archive",
        "AgentHandle::import_archive_with",
        "Archive::restore",
        "Archive::restore_with",
        "Archive::export",
        "Archive::export_with",
        "Archive::delete",
        "Session::update",
        "Session::rename",
        "Session::append",
        "Session::append_to",
        "Session::history",
        "Session::archive",
        "Session::archive_with",
        "Session::fork",
        "Session::fork_with",
        "Session::export",
        "Session::export_with",
        "Session::delete",
        "Session::delete_message",
        "Session::purge_message",
        "Session::purge",
        "Session::set_context_mark",
    ];
    assert_eq!(allowed(|rule| rule.manage && !rule.chat), only_manage);
    let only_engine = ["Workspace::create_master_key", "Workspace::replace_master_key"];
    assert_eq!(allowed(|rule| !rule.master), only_engine);
    let checked = access_table().iter().map(|rule| rule.methods).collect::<Vec<_>>().join(", ");
    assert!(access_unchecked().iter().all(|method| !checked.split(", ").any(|other| other == *method)));
}
