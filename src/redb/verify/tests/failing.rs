//! A disk that fails beneath a verb: that is what the verb answers, and never that a row is damaged, or that there is none. And
//! a count that is damaged, which is counted anew.

use std::cell::Cell;
use std::ops::Bound;

use uuid::Uuid;

use super::planted::{Planted, Row};
use super::scene;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{OwnerId, SessionId, Stamp};
use crate::page::{Direction, Matching, MessageQuery, PageAt};
use crate::record::{NewMessage, NewSession, NewTurn, Reason, SessionUpdate};
use crate::redb::body::Bodies;
use crate::redb::place::{Age, Places};
use crate::redb::tables::{Table, names};
use crate::redb::view::{Each, EachNumbered, Guard, Read, Stage};
use crate::redb::{
    access, agent, archive, attached, ending, feed, hidden, mark, message, orphan, outbox, queue, reach, remnant,
    scope, session, timeline, turn, verify,
};
use crate::store::{
    AgentsQuery, Append, ArchivesQuery, Behaviour, CreateSession, EndOrphans, Interrupt, KeysQuery, OutboxQuery,
    OutboxRows, Policy, Promote, QueueBounds, Recovery, Runner, Runners, SessionRef, SessionsQuery, Stop, Submit,
    UpdateSession,
};
use crate::time::Timestamp;

/// A view of which one read fails, and those after it do not.
struct Fails<'v> {
    view: &'v Planted,
    /// How many reads are left before it.
    left: Cell<Option<u32>>,
}

impl Fails<'_> {
    fn read(&self) -> Result<()> {
        let left = self.left.get();
        self.left.set(left.and_then(|left| left.checked_sub(1)));
        match left {
            Some(0) => Err(Error::new(ErrorKind::Storage, "the disk failed")),
            _ => Ok(()),
        }
    }
}

impl Read for Fails<'_> {
    fn block(&self) -> u32 {
        self.view.block()
    }

    fn places(&self) -> &Places {
        self.view.places()
    }

    fn bodies(&self) -> &Bodies {
        self.view.bodies()
    }

    fn stage(&self) -> Stage {
        self.view.stage()
    }

    fn age(&self) -> Option<Age> {
        self.view.age()
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Guard<'_>>> {
        self.read()?;
        self.view.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        between: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
        each: &mut Each<'_>,
    ) -> Result<()> {
        self.read()?;
        self.view.scan(table, between, direction, each)
    }

    fn messages(&self, session: u32, numbers: &[u32], each: &mut EachNumbered<'_>) -> Result<()> {
        self.read()?;
        self.view.messages(session, numbers, each)
    }
}

/// A verb with its name.
type Verb<'a> = (&'static str, Box<dyn Fn(&dyn Read) -> Result<()> + 'a>);

fn verb<'a, T>(name: &'static str, verb: impl Fn(&dyn Read) -> Result<T> + 'a) -> Verb<'a> {
    (name, Box::new(move |view| verb(view).map(drop)))
}

const FIRST: PageAt = PageAt { page: 1, limit: 100 };

fn stamp() -> Stamp {
    Stamp::new(Timestamp::from_micros(1_800_000_000_000_000), 1)
}

/// The process that the turns at work in the scene are of.
fn owner() -> OwnerId {
    OwnerId::from_uuid(Uuid::from_u128(1))
}

fn runner() -> Runner {
    Runner { owner: owner(), lease: None, behaviour: Behaviour::Registered }
}

fn runners() -> Runners {
    Runners { owner: OwnerId::from_uuid(Uuid::from_u128(9)), lease: None, agents: ["greeter".to_owned()].into() }
}

/// What reads of the workspaces, their agents and what these have.
fn of_scopes(view: &dyn Read) -> Result<Vec<Verb<'static>>> {
    let workspace = scope::find_workspace(view, "acme")?.expect("it is there").id;
    let agent = scope::find_agent(view, workspace, "greeter")?.expect("it is there").id;
    let helper = scope::find_agent(view, workspace, "helper")?.expect("it is there").id;
    Ok(vec![
        verb("find an agent", move |view| scope::find_agent(view, workspace, "greeter")),
        verb("workspaces", |view| agent::workspaces(view, FIRST)),
        verb("agents", move |view| agent::list(view, &AgentsQuery { workspace, page: FIRST })),
        verb("keys", move |view| access::list(view, &KeysQuery { workspace, agent: None, page: FIRST })),
        verb("keys of an agent", move |view| {
            access::list(view, &KeysQuery { workspace, agent: Some(helper), page: FIRST })
        }),
        verb("sessions", move |view| {
            session::list(view, &SessionsQuery { workspace, agent: None, page: FIRST, after: None })
        }),
        verb("sessions of an agent", move |view| {
            session::list(view, &SessionsQuery { workspace, agent: Some(agent), page: FIRST, after: None })
        }),
        verb("archives", move |view| archive::list(view, &ArchivesQuery { workspace, agent: None, page: FIRST })),
        verb("archives of an agent", move |view| {
            archive::list(view, &ArchivesQuery { workspace, agent: Some(agent), page: FIRST })
        }),
        verb("what is watched", move |view| attached::active(view, workspace, None)),
        verb("a busy session", |view| hidden::busy_session(view, 999)),
        verb("the outbox", |view| outbox::pending(view, 100)),
        verb("dead rows of the outbox", |view| {
            outbox::page(view, &OutboxQuery { rows: OutboxRows::Dead, after: None, limit: 100 })
        }),
        verb("what waits", queue::waiting_in_all),
        verb("promote", |view| queue::promote_all(view, &Promote { stamp: stamp(), runners: runners(), limit: 100 })),
        verb("recover", |view| {
            let (owner, recovery) = (runners().owner, Recovery::RunAgain { attempts: 3, runners: runners() });
            orphan::recover(view, &EndOrphans { stamp: stamp(), owner, limit: 100, recovery })
        }),
        verb("whether anything is left", remnant::is_any),
        verb("clear away", |view| remnant::step(view, 1000, &|_| false)),
        verb("verify", verify::all),
        verb("reach", reach::all),
    ])
}

/// What reads of one session.
fn of_sessions(view: &dyn Read) -> Result<Vec<Verb<'static>>> {
    let workspace = scope::find_workspace(view, "acme")?.expect("it is there").id;
    let agent = scope::find_agent(view, workspace, "greeter")?.expect("it is there").id;
    let at = SessionRef { workspace, session: SessionId::from_uuid(Uuid::from_u128(77)) };
    let busy = session::by_key(view, workspace, agent, "busy")?;
    let busy = SessionRef { workspace, session: busy.id };
    let last = turn::list(view, at, FIRST)?.items.remove(0);
    let (thread, last) = (last.thread_id, last.id);
    let from = timeline::list(view, at, &Matching::history(100)?)?.items[6].ts;
    Ok(vec![
        verb("a session", move |view| session::get(view, at)),
        verb("a session by its key", move |view| session::by_key(view, workspace, agent, "busy")),
        verb("history", move |view| timeline::list(view, at, &Matching::history(100)?)),
        verb("a page, the newest first", move |view| {
            timeline::list(view, at, &MessageQuery::all().page(2).limit(2).matching()?)
        }),
        verb("a page of a thread", move |view| {
            timeline::list(view, at, &MessageQuery::all().thread(thread).limit(2).direction(Direction::Asc).matching()?)
        }),
        verb("what is new", move |view| {
            timeline::list(view, at, &MessageQuery::all().gts(from).limit(2).direction(Direction::Asc).matching()?)
        }),
        verb("turns", move |view| turn::list(view, at, FIRST)),
        verb("a turn", move |view| turn::get(view, at, last)),
        verb("changes", move |view| feed::changes(view, at, 0, 100)),
        verb("the context mark", move |view| mark::get(view, at)),
        verb("the first row of the outbox", move |view| outbox::head(view, at)),
        verb("append", move |view| {
            message::append(view, &Append { stamp: stamp(), at, thread: None, messages: vec![NewMessage::text("x")] })
        }),
        verb("submit", move |view| {
            let (new, policy, runner, queue) = (NewTurn::from("x"), Policy::Reject, runner(), QueueBounds::default());
            turn::submit(view, &Submit { stamp: stamp(), at, new, policy, runner, sender: None, queue })
        }),
        verb("update", move |view| {
            let update = SessionUpdate::default().label("x");
            session::update(view, &UpdateSession { stamp: stamp(), at, update })
        }),
        verb("interrupt", move |view| {
            let (reason, next) = (Reason::Request, Some(runner()));
            ending::interrupt(view, &Interrupt { stamp: stamp(), at: busy, turn: None, reason, next })
        }),
        verb("stop", move |view| ending::stop(view, &Stop { stamp: stamp(), at: busy, reason: Reason::Request })),
        verb("create", move |view| {
            let new = NewSession::default().id(Uuid::from_u128(123));
            session::create(view, &CreateSession { stamp: stamp(), workspace, agent, new, first: None })
        }),
    ])
}

#[test]
fn whichever_read_fails_beneath_a_verb_that_is_its_answer() {
    let planted = scene::planted();
    let whole = |verbs: Result<Vec<Verb<'static>>>| verbs.expect("the scene can be read");
    for (name, verb) in whole(of_scopes(&planted)).into_iter().chain(whole(of_sessions(&planted))) {
        verb(&planted).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut reads = 0;
        loop {
            let view = Fails { view: &planted, left: Cell::new(Some(reads)) };
            let answered = verb(&view);
            if view.left.get().is_some() {
                break;
            }
            let error = answered.err().unwrap_or_else(|| panic!("{name}: read {reads} failed, and it says nothing"));
            assert_eq!(error.kind(), ErrorKind::Storage, "{name}: read {reads} failed: {error}");
            // Of those that read all there is not every read.
            reads += 1 + reads / 64;
        }
        assert!(reads > 0, "{name} reads nothing");
    }
}

#[test]
fn where_a_stored_count_of_agents_is_damaged_they_are_counted() {
    let mut planted = scene::planted();
    let mut counts = Vec::new();
    for row in planted.rows().into_iter().filter(|row| row.what() == "count of agents") {
        let within = (0..100).find(|within| names::scopes(*within) == row.key).expect("few workspaces are there");
        let stored = scope::count(&planted, within).expect("it is stored");
        let damaged = Row { value: vec![0x40; row.value.len()], ..row.clone() };
        planted.put(&damaged);
        assert_eq!(scope::count(&planted, within).expect("they are counted"), stored, "of scope {within}");
        planted.put(&row);
        counts.push(stored);
    }
    assert!(counts.iter().any(|count| *count > 1), "{counts:?}");
}
