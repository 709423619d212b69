//! What the tests of the runtime share: stores to run on, gates between a test and its agents,
//! and a store that fails where it is told to.
#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

mod faulty;

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parlor::store::Store;
use parlor::testkit::{ModelStore, redb_store};
use parlor::{Builder, Engine, Message, NewSession, Session};

pub use faulty::Faulty;

/// Runs a test on the reference store and on the default one.
pub fn on_every_store(test: impl Fn(Arc<dyn Store>)) {
    println!("on the reference store");
    test(Arc::new(ModelStore::new()));
    println!("on the default store");
    let dir = tempfile::tempdir().expect("a directory");
    test(redb_store(dir.path().join("test.parlor")).expect("a file"));
}

/// An engine over this store.
pub fn open(store: &Arc<dyn Store>, build: impl FnOnce(Builder) -> Builder) -> Engine {
    build(Engine::builder("no file")).open_store(Arc::clone(store)).expect("an engine")
}

/// An engine with an agent that repeats what it is told.
pub fn echo(store: &Arc<dyn Store>) -> Engine {
    open(store, |builder| builder.agent_fn("echo", |turn| Ok(turn.input().text())))
}

/// A new session of the agent `name`.
pub fn session(engine: &Engine, name: &str) -> Session {
    let agent = engine.workspace("acme").expect("a workspace").agent(name).expect("an agent");
    agent.create_session(NewSession::default()).expect("a session")
}

/// All messages of a session, as text.
pub fn texts(session: &Session) -> Vec<String> {
    session.history(1000).expect("a history").iter().map(Message::text).collect()
}

/// A place where an agent stops until the test lets it go on.
pub fn gate() -> (Gate, Keeper) {
    let ((arrive, arrived), (let_in, may_pass)) = (unbounded(), unbounded());
    (Gate { arrive, may_pass }, Keeper { arrived, let_in })
}

/// The agent's side of a gate.
#[derive(Clone)]
pub struct Gate {
    arrive: Sender<String>,
    may_pass: Receiver<()>,
}

impl Gate {
    /// Says who is there, and waits to be let through. Once the keeper is gone the gate is open.
    pub fn pass(&self, who: impl Into<String>) {
        let _ = self.arrive.send(who.into());
        let _ = self.may_pass.recv();
    }
}

/// The test's side of a gate.
pub struct Keeper {
    arrived: Receiver<String>,
    let_in: Sender<()>,
}

impl Keeper {
    /// Waits for the next one to arrive, and answers with who it is.
    pub fn arrival(&self) -> String {
        self.arrived.recv().expect("an agent that is still there")
    }

    /// Whether nobody waits at the gate.
    pub fn is_deserted(&self) -> bool {
        self.arrived.is_empty()
    }

    /// Lets one through.
    pub fn open(&self) {
        self.let_in.send(()).expect("an agent that is still there");
    }
}
