//! What is left of a deleted agent, step by step; what `verify` names of agents and access keys; and how many keys there may be.

use super::*;
use crate::id::{AgentId, Stamp, WorkspaceId};
use crate::limit::WORKSPACE_KEYS;
use crate::page::PageAt;
use crate::record::{NewAgent, NewKey, NewSession, Scopes};
use crate::redb::codec::{KeyRow, LabelRow, NumberRow, ScopeCountRow};
use crate::redb::tables::names;
use crate::redb::{Options, RedbStore, access, agent};
use crate::store::{
    ArchiveSession, ArchivesQuery, CreateAgent, CreateKey, CreateSession, DeleteAgent, EnsureWorkspace, Opens,
    SessionRef, SessionsQuery, Store,
};
use crate::time::Timestamp;

struct Scene {
    store: RedbStore,
    workspace: WorkspaceId,
}

fn stamp() -> Stamp {
    Stamp::random(Timestamp::from_micros(1_777_573_302_000_000))
}

impl Scene {
    fn new() -> Self {
        let store = RedbStore::in_memory(Options { block: 1, ..Options::default() }).expect("it opens");
        let op = EnsureWorkspace { stamp: stamp(), name: "acme".into() };
        let workspace = store.ensure_workspace(op).expect("a workspace").id;
        Scene { store, workspace }
    }

    /// An agent, and so many sessions of it.
    fn agent(&self, name: &str, sessions: usize) -> (AgentId, Vec<SessionRef>) {
        let new = NewAgent::new(name).label("x");
        let op = CreateAgent { stamp: stamp(), workspace: self.workspace, new };
        let agent = self.store.create_agent(op).expect("an agent").id;
        let create = |_| {
            let (stamp, new) = (stamp(), NewSession::default());
            let op = CreateSession { stamp, workspace: self.workspace, agent, new, first: None };
            let made = self.store.create_session(op).expect("a session").session;
            SessionRef { workspace: self.workspace, session: made.id }
        };
        (agent, (0..sessions).map(create).collect())
    }

    fn key(&self, agent: AgentId) -> crate::Result<crate::id::KeyId> {
        let opens = Opens::Agent(agent, Scopes::CHAT);
        let op = CreateKey { stamp: stamp(), workspace: self.workspace, opens, new: NewKey::default(), hash: [1; 32] };
        Ok(self.store.create_key(op)?.id)
    }

    fn deletion(&self, agent: AgentId) -> DeleteAgent {
        DeleteAgent { stamp: stamp(), workspace: self.workspace, agent }
    }

    /// Deletes an agent, and has nobody clear away what is left.
    fn hide(&self, agent: AgentId) {
        let op = self.deletion(agent);
        self.store.write(1, move |view| agent::delete(view, &op)).expect("it is deleted");
    }

    /// Takes one step of so many rows; how many writes it was, none where there was nothing.
    fn step(&self, rows: usize) -> Option<usize> {
        let step = move |view: &dyn Read| {
            let Some(writes) = remnant::step(view, rows, &|_| false)? else { return Ok((WriteSet::default(), None)) };
            let count = writes.len();
            Ok((writes, Some(count)))
        };
        self.store.write(1, step).expect("a step")
    }

    fn write(&self, verb: impl FnOnce(&mut WriteSet) -> Result<()> + Send + 'static) {
        let verb = |_: &dyn Read| {
            let mut writes = WriteSet::default();
            verb(&mut writes)?;
            Ok((writes, ()))
        };
        self.store.write(1, verb).expect("it is written");
    }

    fn breaches(&self) -> Vec<String> {
        self.store.verify().expect("it verifies")
    }

    /// Archives of the workspace.
    fn archived(&self) -> (usize, u64) {
        let query = ArchivesQuery { workspace: self.workspace, agent: None, page: PageAt { page: 1, limit: 100 } };
        let listed = self.store.archives(query).expect("a page");
        (listed.items.len(), listed.total)
    }

    /// Archives some sessions.
    fn archive(&self, sessions: &[SessionRef]) {
        for at in sessions {
            let op = ArchiveSession { stamp: stamp(), at: *at, only_at: None };
            self.store.archive_session(op, &mut |_| ControlFlow::Continue(())).expect("an archive");
        }
    }

    fn listed(&self) -> (usize, u64) {
        let query =
            SessionsQuery { workspace: self.workspace, agent: None, page: PageAt { page: 1, limit: 100 }, after: None };
        let listed = self.store.sessions(query).expect("a page");
        (listed.items.len(), listed.total)
    }

    fn is_any_left(&self) -> bool {
        self.store.read(|view| remnant::is_any(view)).expect("it can be read")
    }
}

#[test]
fn hiding_writes_as_much_however_many_sessions_there_are() {
    let scene = Scene::new();
    let writes = [2, 300].map(|count| {
        let (agent, sessions) = scene.agent(&format!("of {count}"), count);
        scene.archive(&sessions[..count / 2]);
        let op = scene.deletion(agent);
        let (writes, ()) = scene.store.read(|view| agent::delete(view, &op)).expect("it would be");
        writes.len()
    });
    assert_eq!(writes[0], writes[1]);
}

#[test]
fn each_step_takes_a_bounded_part_and_shows_nowhere() {
    let scene = Scene::new();
    let (gone, sessions) = scene.agent("gone", 40);
    let (_, left) = scene.agent("left", 5);
    scene.archive(&sessions[10..30]);
    scene.archive(&left[3..]);
    while scene.step(1000).is_some() {}
    scene.key(gone).expect("a key");
    scene.hide(gone);
    let mut steps = 0;
    while let Some(writes) = scene.step(30) {
        assert!(writes <= 30 + 2 * ROWS_OF_SESSION, "{writes} writes in a step of 30 rows");
        assert_eq!((scene.listed(), scene.archived()), ((3, 3), (2, 2)), "after {steps} steps");
        assert_eq!(scene.breaches(), Vec::<String>::new(), "after {steps} steps");
        assert!(sessions.iter().all(|at| scene.store.session(*at).is_err_and(|error| error.is_not_found())));
        steps += 1;
    }
    assert!(steps > 10 && !scene.is_any_left(), "{steps} steps");
}

#[test]
fn the_smallest_step_gets_to_the_end() {
    let scene = Scene::new();
    let (gone, sessions) = scene.agent("gone", 3);
    scene.archive(&sessions[..2]);
    scene.hide(gone);
    while scene.step(1).is_some() {}
    assert!(!scene.is_any_left());
    assert_eq!(scene.breaches(), Vec::<String>::new());
}

#[test]
fn an_id_that_is_used_again_takes_the_old_session_away() {
    let scene = Scene::new();
    let (gone, sessions) = scene.agent("gone", 3);
    let (other, _) = scene.agent("other", 0);
    scene.hide(gone);
    for at in &sessions {
        let new = NewSession::default().id(at.session);
        let op = CreateSession { stamp: stamp(), workspace: scene.workspace, agent: other, new, first: None };
        assert!(!scene.store.create_session(op).expect("it is free").replayed);
        assert_eq!(scene.breaches(), Vec::<String>::new());
    }
    assert_eq!(scene.listed(), (3, 3));
    while scene.step(1000).is_some() {}
    assert_eq!((scene.listed(), scene.breaches()), ((3, 3), vec![]));
    assert!(sessions.iter().all(|at| scene.store.session(*at).is_ok()));
}

/// Writes that, and looks whether it is named.
#[track_caller]
fn names(due: &str, write: impl FnOnce(&mut WriteSet) -> Result<()> + Send + 'static) {
    let scene = Scene::new();
    let (greeter, _) = scene.agent("greeter", 1);
    scene.key(greeter).expect("a key");
    assert_eq!(scene.breaches(), Vec::<String>::new());
    scene.write(write);
    let breaches = scene.breaches();
    assert!(breaches.iter().any(|breach| breach.contains(due)), "{due:?} is not among {breaches:?}");
}

#[test]
fn what_does_not_hold_of_agents_and_keys_is_named() {
    // The workspace has number 1, its agent 2.
    names("scope 2: it is said to be deleted, and was not", |writes| {
        writes.put(Table::Meta, meta::hidden(2), &HiddenRow { deleted_at: 1 })
    });
    names("scope 9: it is said to be deleted, and was not", |writes| {
        writes.put(Table::Meta, meta::hidden(9), &HiddenRow { deleted_at: 1 })
    });
    names("deleted agent at 10", |writes| {
        writes.put_value(Table::Meta, meta::hidden(2).to_vec(), vec![1, 1, 0, 0, 0, 0]);
        Ok(())
    });
    names("scope 1: 1 scopes in it, 2 counted", |writes| {
        writes.put(Table::Names, names::scopes(1), &ScopeCountRow { scopes: 2 })
    });
    names("scope 0: 1 scopes in it, none counted", |writes| {
        writes.remove(Table::Names, names::scopes(0));
        Ok(())
    });
    names("scope 9: it has a label, and is no agent", |writes| {
        writes.put(Table::Names, names::label(9), &LabelRow { label: "x" })
    });
    names("session 1: its agent 2 is not there", |writes| {
        writes.remove(Table::Names, names::scope(2));
        Ok(())
    });
    names("lists it, and it is not there or opens something else", |writes| {
        writes.put(Table::Names, names::access_key_of(1, &[7; 16]), &NumberRow { number: 2 })
    });
    names("is an access key that its workspace does not list as it is", |writes| {
        writes.put(Table::Names, names::access_key(&[7; 16]), &stray_key(0))
    });
    names("is an access key of what is not there", |writes| {
        writes.put(Table::Names, names::access_key_of(1, &[7; 16]), &NumberRow { number: 2 })?;
        writes.put(Table::Names, names::access_key(&[7; 16]), &stray_key(2))
    });
}

fn stray_key(agent_number: u32) -> KeyRow<'static> {
    KeyRow {
        workspace: [9; 16],
        agent: None,
        workspace_number: 1,
        agent_number,
        scopes: 7,
        hash: [0; 32],
        label: None,
        created_at: 1,
        expires_at: None,
    }
}

#[test]
fn a_workspace_has_no_more_keys_than_it_may() {
    let scene = Scene::new();
    let (greeter, _) = scene.agent("greeter", 0);
    scene.write(|writes| {
        (1..WORKSPACE_KEYS).try_for_each(|nth| {
            let id = u128::from(nth).to_be_bytes();
            writes.put(Table::Names, names::access_key_of(1, &id), &NumberRow { number: 2 })
        })
    });
    scene.key(greeter).expect("the last one");
    let refused = scene.key(greeter).expect_err("one more");
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    let (stamp, workspace) = (stamp(), scene.workspace);
    let op = CreateKey { stamp, workspace, opens: Opens::Workspace, new: NewKey::default(), hash: [1; 32] };
    let anew = CreateKey { opens: Opens::WorkspaceAnew, ..op.clone() };
    assert_eq!(scene.store.create_key(op).expect_err("one more").kind(), ErrorKind::TooLarge);
    // All of them go for it.
    let (writes, _) = scene.store.read(|view| access::create(view, &anew)).expect("it may");
    assert_eq!(writes.len() as u64, 2 * WORKSPACE_KEYS + 2);
    scene.store.create_key(anew).expect("it may");
    scene.key(greeter).expect("there is room");
}
