//! Workspaces and agents: made, labelled, listed, and deleted with all they hold.

use super::archive::go_on;
use super::fork::forking;
use super::inputs::{full_message, full_turn};
use super::scene::{Factory, Scene, claim_of, first_of, ok};
use super::walls::nothing_at;
use crate::error::ErrorKind::{Conflict, NotFound};
use crate::id::{AgentId, WorkspaceId};
use crate::page::PageAt;
use crate::record::{AgentRecord, ArchiveRecord, NewAgent, NewKey, NewSession, Scopes};
use crate::store::{
    AgentsQuery, ArchivesQuery, CreateAgent, CreateKey, CreateSession, DeleteAgent, ForkSession, ImportIds, KeysQuery,
    LabelAgent, Opens, OutboxQuery, OutboxRows, SessionRef, SessionsQuery, Submitted,
};
use crate::testkit::snapshot::SessionSnapshot;

super::subject! {
    an_agent_is_made_with_its_label_and_id,
    an_id_that_was_used_answers_with_its_agent,
    a_name_that_is_taken_is_a_conflict,
    a_label_changes_and_goes_and_the_name_stays,
    agents_and_workspaces_are_listed_by_name_with_their_total,
    agents_stand_in_their_workspace,
    a_deleted_agent_is_not_found_anywhere,
    an_agent_with_a_busy_session_cannot_be_deleted,
    of_a_deleted_agent_listings_and_totals_have_nothing,
    a_deletion_touches_no_other_agent,
    name_id_keys_and_session_ids_of_a_deleted_agent_are_free,
    a_session_made_again_after_its_agent_went_begins_anew,
    the_access_keys_of_a_deleted_agent_are_revoked,
    the_archives_of_a_deleted_agent_go_with_it,
    ids_that_a_deleted_agent_had_are_free_however_they_come_back,
    an_agent_of_many_sessions_is_gone_at_once,
}

const PAGE: PageAt = PageAt { page: 1, limit: 100 };

fn creation(scene: &Scene, new: NewAgent) -> CreateAgent {
    CreateAgent { stamp: scene.stamp(), workspace: scene.workspace, new }
}

fn listed(scene: &Scene, workspace: WorkspaceId) -> Vec<AgentRecord> {
    let listed = ok(scene.store.agents(AgentsQuery { workspace, page: PAGE }));
    assert_eq!((listed.total, listed.damaged.len()), (listed.items.len() as u64, 0));
    listed.items
}

fn deletion(scene: &Scene, agent: AgentId) -> DeleteAgent {
    DeleteAgent { stamp: scene.stamp(), workspace: scene.workspace, agent }
}

fn delete(scene: &Scene, agent: AgentId) {
    ok(scene.store.delete_agent(deletion(scene, agent)));
}

/// A session of the agent with a little of everything, idle, and its first turn.
fn worked_session(scene: &Scene, agent: AgentId, new: NewSession) -> (SessionRef, Submitted) {
    let first = Some((full_turn(full_message()), scene.runner));
    let op = CreateSession { agent, first, ..scene.creation(new) };
    let created = ok(scene.store.create_session(op));
    let at = SessionRef { workspace: scene.workspace, session: created.session.id };
    let first = first_of(created);
    scene.emit(at, claim_of(&first), ["a".into(), "b".into()]);
    scene.complete(at, claim_of(&first));
    let written = scene.append(at, ["c".into(), "d".into()]);
    scene.delete(at, &written[0]);
    (at, first)
}

fn sessions(scene: &Scene, agent: Option<AgentId>) -> (usize, u64) {
    let listed = ok(scene.store.sessions(SessionsQuery { workspace: scene.workspace, agent, page: PAGE, after: None }));
    (listed.items.len(), listed.total)
}

fn an_agent_is_made_with_its_label_and_id(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    for (new, label) in [
        (NewAgent::new("plain"), None),
        (NewAgent::new("labelled").label("ä".repeat(255)), Some("ä".repeat(255))),
        (NewAgent::new("both").id(id).label(""), Some(String::new())),
    ] {
        let op = creation(&scene, new.clone());
        let made = ok(scene.store.create_agent(op.clone()));
        let due = new.id.map_or(op.stamp.uuid(0), |id| *id.as_uuid());
        assert_eq!((*made.id.as_uuid(), &made.name, &made.label), (due, &new.name, &label));
        assert_eq!((made.workspace_id, made.created_at), (scene.workspace, op.stamp.at));
        assert_eq!(ok(scene.store.agent(scene.workspace, made.id)), made);
        assert_eq!(ok(scene.store.find_agent(scene.workspace, &new.name)), Some(made));
    }
}

fn an_id_that_was_used_answers_with_its_agent(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    let made = ok(scene.store.create_agent(creation(&scene, NewAgent::new("a").id(id).label("one"))));
    scene.tick();
    let again = scene.unchanged("a repetition", |store| {
        store.create_agent(creation(&scene, NewAgent::new("a").id(id).label("two")))
    });
    assert_eq!(ok(again), made);
    for new in [NewAgent::new("b").id(id), NewAgent::new("greeter").id(id), NewAgent::new("a").id(scene.uuid())] {
        scene.refused(Conflict, "id and name of two", |store| store.create_agent(creation(&scene, new)));
    }
    // An id is the workspace's.
    let beta = scene.workspace_named("beta");
    let op = CreateAgent { workspace: beta, ..creation(&scene, NewAgent::new("b").id(id)) };
    assert_eq!(ok(scene.store.create_agent(op)).workspace_id, beta);
}

fn a_name_that_is_taken_is_a_conflict(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    scene.refused(Conflict, "a name that is taken", |store| {
        store.create_agent(creation(&scene, NewAgent::new("greeter")))
    });
    assert_eq!(scene.agent_named(scene.workspace, "greeter"), scene.agent);
}

fn a_label_changes_and_goes_and_the_name_stays(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let before = ok(scene.store.agent(scene.workspace, scene.agent));
    for label in [Some("one"), Some(""), None, None, Some("two")] {
        let label = label.map(str::to_owned);
        let (stamp, workspace, agent) = (scene.stamp(), scene.workspace, scene.agent);
        let labelled = ok(scene.store.label_agent(LabelAgent { stamp, workspace, agent, label: label.clone() }));
        assert_eq!(labelled, AgentRecord { label, ..before.clone() });
        assert_eq!(listed(&scene, scene.workspace), std::slice::from_ref(&labelled));
        assert_eq!(ok(scene.store.find_agent(workspace, "greeter")), Some(labelled));
    }
}

fn agents_and_workspaces_are_listed_by_name_with_their_total(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let mut names = ["b", "a\0", "a", "ä", "B", "greeter"];
    for name in &names[..5] {
        scene.agent_named(scene.workspace, name);
        scene.workspace_named(name);
    }
    names.sort_unstable();
    let found: Vec<_> = listed(&scene, scene.workspace).into_iter().map(|agent| agent.name).collect();
    assert_eq!(found, names);
    let beta = scene.workspace_named("beta");
    assert_eq!(listed(&scene, beta), []);
    for page in 1..=4 {
        let query = AgentsQuery { workspace: scene.workspace, page: PageAt { page, limit: 2 } };
        let found = ok(scene.store.agents(query));
        let due: Vec<_> = names.iter().skip(2 * (page as usize - 1)).take(2).copied().collect();
        assert_eq!((found.items.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>(), found.total), (due, 6));
    }
    let workspaces = ok(scene.store.workspaces(PageAt { page: 2, limit: 3 }));
    let names: Vec<_> = workspaces.items.iter().map(|workspace| workspace.name.as_str()).collect();
    assert_eq!((names, workspaces.total), (vec!["acme", "b", "beta"], 7));
    for workspace in workspaces.items {
        assert_eq!(ok(scene.store.workspace(workspace.id)), workspace);
    }
}

fn agents_stand_in_their_workspace(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let theirs = scene.agent_named(beta, "greeter");
    let (nowhere, nobody) = (WorkspaceId::from_uuid(scene.uuid()), AgentId::from_uuid(scene.uuid()));
    scene.refused(NotFound, "a workspace", |store| store.workspace(nowhere));
    scene.refused(NotFound, "its agents", |store| store.agents(AgentsQuery { workspace: nowhere, page: PAGE }));
    scene.refused(NotFound, "an agent in it", |store| {
        store.create_agent(CreateAgent { workspace: nowhere, ..creation(&scene, NewAgent::new("a")) })
    });
    for (workspace, agent) in
        [(scene.workspace, theirs), (beta, scene.agent), (scene.workspace, nobody), (nowhere, scene.agent)]
    {
        scene.refused(NotFound, "an agent", |store| store.agent(workspace, agent));
        let (stamp, label) = (scene.stamp(), Some("x".to_owned()));
        scene.refused(NotFound, "its label", |store| store.label_agent(LabelAgent { stamp, workspace, agent, label }));
        scene.refused(NotFound, "its deletion", |store| {
            store.delete_agent(DeleteAgent { workspace, ..deletion(&scene, agent) })
        });
    }
}

fn a_deleted_agent_is_not_found_anywhere(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let agent = scene.agent_named(scene.workspace, "booker");
    let (at, first) = worked_session(&scene, agent, NewSession::default().key("k"));
    // Read before, so that a store that remembers what it read has to forget it.
    ok(SessionSnapshot::of(&*scene.store, at));
    delete(&scene, agent);
    nothing_at(&scene, at, &first);
    let workspace = scene.workspace;
    assert_eq!(ok(scene.store.find_agent(workspace, "booker")), None);
    scene.refused(NotFound, "itself", |store| store.agent(workspace, agent));
    scene.refused(NotFound, "a session by key", |store| store.session_by_key(workspace, agent, "k"));
    let query = SessionsQuery { workspace, agent: Some(agent), page: PAGE, after: None };
    scene.refused(NotFound, "its sessions", |store| store.sessions(query));
    scene.refused(NotFound, "its keys", |store| store.keys(KeysQuery { workspace, agent: Some(agent), page: PAGE }));
    let op = CreateSession { agent, ..scene.creation(NewSession::default()) };
    scene.refused(NotFound, "a session to be made", |store| store.create_session(op));
    scene.refused(NotFound, "a second deletion", |store| store.delete_agent(deletion(&scene, agent)));
    assert_eq!(ok(scene.store.outbox(100)), [], "its ends are announced no more");
    let heads = OutboxQuery { rows: OutboxRows::Heads, after: None, limit: 100 };
    assert_eq!(ok(scene.store.outbox_page(heads)).rows, []);
}

fn an_agent_with_a_busy_session_cannot_be_deleted(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let quiet = scene.agent_named(scene.workspace, "booker");
    worked_session(&scene, quiet, NewSession::default());
    scene.session();
    let (at, first) = scene.busy_session();
    let refused = |what| scene.refused(Conflict, what, |store| store.delete_agent(deletion(&scene, scene.agent)));
    refused("a turn is running");
    let waiting = scene.enqueue(at, "next");
    refused("a turn waits, too");
    // The other one's sessions are idle.
    delete(&scene, quiet);
    ok(scene.store.finish(crate::store::Finish {
        next: None,
        ..scene.ending(at, claim_of(&first), crate::store::Outcome::Completed(None))
    }));
    refused("a turn waits");
    ok(scene.store.cancel(crate::store::Cancel { stamp: scene.stamp(), at, turn: waiting.turn.id }));
    delete(&scene, scene.agent);
    nothing_at(&scene, at, &first);
    assert_eq!(sessions(&scene, None), (0, 0));
}

fn of_a_deleted_agent_listings_and_totals_have_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let names = ["a", "b", "c", "d"];
    let agents = names.map(|name| scene.agent_named(scene.workspace, name));
    // Side by side in the listing of the workspace.
    for _ in 0..3 {
        for agent in agents {
            scene.tick();
            worked_session(&scene, agent, NewSession::default());
        }
    }
    for (nth, agent) in agents.into_iter().enumerate() {
        let left = 3 * (agents.len() - nth);
        assert_eq!((sessions(&scene, None), sessions(&scene, Some(agent))), ((left, left as u64), (3, 3)));
        delete(&scene, agent);
        let left = left - 3;
        assert_eq!(sessions(&scene, None), (left, left as u64));
        for page in 1..=left as u64 {
            let query =
                SessionsQuery { workspace: scene.workspace, agent: None, page: PageAt { page, limit: 1 }, after: None };
            let found = ok(scene.store.sessions(query)).items;
            assert!(found.iter().all(|session| agents[nth + 1..].contains(&session.agent_id)), "{found:?}");
            assert_eq!(found.len(), 1);
        }
        assert_eq!(listed(&scene, scene.workspace).len(), names.len() - nth, "the scene's own is one of them");
        assert_eq!(ok(scene.store.verify()), Vec::<String>::new(), "at once");
    }
}

fn a_deletion_touches_no_other_agent(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let theirs = scene.agent_named(beta, "booker");
    let there = CreateSession { workspace: beta, agent: theirs, ..scene.creation(NewSession::default()) };
    ok(scene.store.create_session(there));
    worked_session(&scene, scene.agent, NewSession::default().key("k"));
    let before = scene.snapshot();
    let booker = scene.agent_named(scene.workspace, "booker");
    worked_session(&scene, booker, NewSession::default().key("k"));
    delete(&scene, booker);
    assert!(scene.snapshot() == before);
}

fn name_id_keys_and_session_ids_of_a_deleted_agent_are_free(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (id, session) = (scene.uuid(), scene.uuid());
    let new = || NewSession::default().key("k").id(session);
    for round in 0..5 {
        let made = ok(scene.store.create_agent(creation(&scene, NewAgent::new("booker").id(id))));
        let (at, first) = worked_session(&scene, made.id, new());
        assert_eq!(scene.record(at).last_message, 5, "round {round}");
        assert_eq!(sessions(&scene, None), (1, 1));
        delete(&scene, made.id);
        nothing_at(&scene, at, &first);
        // The id of the session is another agent's to use.
        let other = scene.create(NewSession::default().id(session));
        assert_eq!((other.agent_id, sessions(&scene, None)), (scene.agent, (1, 1)));
        scene.delete_session(at);
        assert_eq!(ok(scene.store.verify()), Vec::<String>::new());
    }
}

fn a_session_made_again_after_its_agent_went_begins_anew(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let booker = scene.agent_named(scene.workspace, "booker");
    let new = NewSession::default().id(scene.uuid());
    let (at, old) = worked_session(&scene, booker, new.clone());
    let neighbour = worked_session(&scene, booker, NewSession::default()).0;
    delete(&scene, booker);
    let (same, first) = worked_session(&scene, scene.agent, new.clone());
    assert_eq!(at, same);
    assert_eq!((first.turn.number, claim_of(&first).epoch), (1, claim_of(&old).epoch));
    assert_eq!((scene.record(at).last_message, scene.messages(at).len()), (5, 4));
    scene.refused(NotFound, "a turn of the old one", |store| store.turn(at, old.turn.id));
    scene.refused(NotFound, "its neighbour", |store| store.session(neighbour));
    let again = CreateSession { first: None, ..scene.creation(new) };
    scene.refused(Conflict, "its id with other inputs", |store| store.create_session(again));
    assert_eq!(sessions(&scene, None), (1, 1));
}

fn the_access_keys_of_a_deleted_agent_are_revoked(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let booker = scene.agent_named(scene.workspace, "booker");
    let make = |opens| {
        let (stamp, workspace) = (scene.stamp(), scene.workspace);
        ok(scene.store.create_key(CreateKey { stamp, workspace, opens, new: NewKey::default(), hash: [1; 32] })).id
    };
    let left = [make(Opens::Workspace), make(Opens::Agent(scene.agent, Scopes::CHAT))];
    let gone = [make(Opens::Agent(booker, Scopes::CHAT)), make(Opens::Agent(booker, Scopes::ALL))];
    delete(&scene, booker);
    assert_eq!(gone.map(|key| ok(scene.store.key(key))), [None, None]);
    assert!(left.iter().all(|key| ok(scene.store.key(*key)).is_some()));
    let all = ok(scene.store.keys(KeysQuery { workspace: scene.workspace, agent: None, page: PAGE }));
    assert_eq!((all.total, all.items.len()), (2, 2));
}

/// The archives of the workspace, the newest first, which are the same on pages of one.
fn archives(scene: &Scene) -> Vec<ArchiveRecord> {
    let page = |page, limit| {
        let query = ArchivesQuery { workspace: scene.workspace, agent: None, page: PageAt { page, limit } };
        let listed = ok(scene.store.archives(query));
        assert_eq!(listed.damaged.len(), 0);
        (listed.items, listed.total)
    };
    let (all, total) = page(1, 100);
    assert_eq!(total, all.len() as u64);
    let singly: Vec<_> = (1..=total + 1).flat_map(|nth| page(nth, 1).0).collect();
    assert_eq!(singly, all);
    all
}

fn the_archives_of_a_deleted_agent_go_with_it(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (booker, workspace) = (scene.agent_named(scene.workspace, "booker"), scene.workspace);
    let (mut gone, mut left) = (Vec::new(), Vec::new());
    // Side by side in the listing of the workspace.
    for _ in 0..3 {
        scene.tick();
        let (at, first) = worked_session(&scene, booker, NewSession::default());
        gone.push((at, first, scene.archive(at)));
        let (at, _) = worked_session(&scene, scene.agent, NewSession::default());
        left.push((at, scene.archive(at)));
    }
    let announced = || ok(scene.store.outbox(100)).into_iter().map(|row| row.session_id).collect::<Vec<_>>();
    assert_eq!((archives(&scene).len(), announced().len()), (6, 6));
    delete(&scene, booker);
    assert_eq!(ok(scene.store.verify()), Vec::<String>::new(), "at once");
    for (at, first, archive) in &gone {
        nothing_at(&scene, *at, first);
        scene.refused(NotFound, "an archive", |store| store.archive(archive));
        scene.refused(NotFound, "restored", |store| store.restore_archive(scene.restoring(archive), &mut go_on));
        scene.refused(NotFound, "exported", |store| store.export_archive(archive, &mut Vec::new(), &mut go_on));
        scene.refused(NotFound, "deleted", |store| store.delete_archive(scene.discarding(archive)));
        scene.refused(NotFound, "what it has to announce", |store| store.outbox_head(*at));
    }
    let query = ArchivesQuery { workspace, agent: Some(booker), page: PAGE };
    scene.refused(NotFound, "its archives", |store| store.archives(query));
    let found: Vec<_> = archives(&scene).iter().map(|record| scene.reference(record)).collect();
    assert_eq!(found, left.iter().rev().map(|(_, archive)| archive.clone()).collect::<Vec<_>>());
    let sessions: Vec<_> = left.iter().map(|(at, _)| at.session).collect();
    assert_eq!(announced(), sessions, "its ends are announced no more");
    let heads = OutboxQuery { rows: OutboxRows::Heads, after: None, limit: 100 };
    assert_eq!(ok(scene.store.outbox_page(heads)).rows.len(), 3);
    left.iter().for_each(|(_, archive)| scene.restore(archive));
    assert_eq!(ok(scene.store.verify()), Vec::<String>::new());
}

fn ids_that_a_deleted_agent_had_are_free_however_they_come_back(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    let at = SessionRef { workspace: scene.workspace, session: id.into() };
    let (other, _) = worked_session(&scene, scene.agent, NewSession::default());
    let message = scene.append(other, ["last".into()])[0].id;
    scene.create(NewSession::default().id(id));
    let archive = scene.archive(at);
    let stream = scene.export(&archive);
    scene.discard(&archive);
    // As a live session of the agent, and as an archived one.
    for archived in [false, true] {
        let hidden = || {
            let booker = scene.agent_named(scene.workspace, "booker");
            worked_session(&scene, booker, NewSession::default().id(id));
            if archived {
                scene.archive(at);
            }
            delete(&scene, booker);
        };
        hidden();
        scene.create(NewSession::default().id(id));
        scene.delete_session(at);
        hidden();
        let fork = ForkSession { new: NewSession::default().id(id), ..forking(&scene, other, message) };
        assert_eq!(ok(scene.store.fork_session(fork, &mut go_on)).id, at.session);
        assert_eq!(ok(scene.store.verify()), Vec::<String>::new(), "a fork, archived: {archived}");
        scene.delete_session(at);
        hidden();
        let import = scene.importing(ImportIds::Keep);
        let imported = ok(scene.store.import_archive(import, &mut &stream[..], &mut go_on));
        assert_eq!(ok(scene.store.verify()), Vec::<String>::new(), "an import, archived: {archived}");
        assert_eq!(archives(&scene), std::slice::from_ref(&imported));
        scene.restore(&scene.reference(&imported));
        let again = scene.archive(at);
        scene.discard(&again);
        assert_eq!((archives(&scene), sessions(&scene, None)), (vec![], (1, 1)));
        assert_eq!(ok(scene.store.verify()), Vec::<String>::new(), "archived: {archived}");
    }
}

fn an_agent_of_many_sessions_is_gone_at_once(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let booker = scene.agent_named(scene.workspace, "booker");
    let mut last = None;
    for _ in 0..300 {
        let op = CreateSession { agent: booker, ..scene.creation(NewSession::default()) };
        let at = SessionRef { workspace: scene.workspace, session: ok(scene.store.create_session(op)).session.id };
        scene.append(at, ["a".into()]);
        last = Some(at);
    }
    scene.session();
    delete(&scene, booker);
    assert_eq!(sessions(&scene, None), (1, 1));
    assert_eq!(ok(scene.store.verify()), Vec::<String>::new(), "at once");
    let last = last.unwrap_or_else(|| panic!("there are many"));
    scene.refused(NotFound, "one of its sessions", |store| store.changes(last, 0, 10));
    assert_eq!(sessions(&scene, None), (1, 1));
}
