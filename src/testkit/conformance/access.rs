//! Access keys: of one workspace, few enough, and gone at once.

use super::scene::{Factory, Scene, ok};
use crate::error::ErrorKind::{Conflict, NotFound};
use crate::id::{AgentId, KeyId, WorkspaceId};
use crate::page::PageAt;
use crate::record::{KeyRecord, NewKey, Scopes};
use crate::store::{CreateKey, KeysQuery, Opens, RevokeKey};
use crate::time::Timestamp;

super::subject! {
    a_key_is_kept_as_it_was_made,
    keys_are_listed_newest_first_with_their_total,
    a_revoked_key_is_there_no_more,
    a_workspace_has_one_master_key,
    a_new_master_key_revokes_all_keys_of_its_workspace_alone,
    keys_are_reached_through_their_workspace,
}

fn creation(scene: &Scene, opens: Opens) -> CreateKey {
    let (stamp, workspace) = (scene.stamp(), scene.workspace);
    CreateKey { stamp, workspace, opens, new: NewKey::default(), hash: [7; 32] }
}

fn made(scene: &Scene, opens: Opens) -> KeyRecord {
    ok(scene.store.create_key(creation(scene, opens)))
}

fn listed(scene: &Scene, workspace: WorkspaceId, agent: Option<AgentId>) -> Vec<KeyId> {
    let listed = ok(scene.store.keys(KeysQuery { workspace, agent, page: PageAt { page: 1, limit: 100 } }));
    assert_eq!((listed.total, listed.damaged.len()), (listed.items.len() as u64, 0));
    listed.items.iter().map(|key| key.id).collect()
}

fn a_key_is_kept_as_it_was_made(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let expires_at = Timestamp::from_micros(1_777_573_302_000_001);
    let cases = [
        (Opens::Workspace, NewKey::default()),
        (Opens::Agent(scene.agent, Scopes::READ), NewKey::default().label("")),
        (Opens::Agent(scene.agent, Scopes::CHAT), NewKey::default().label("ä".repeat(255))),
        (Opens::Agent(scene.agent, Scopes::ALL), NewKey::default().expires_at(expires_at)),
    ];
    for (nth, (opens, new)) in cases.into_iter().enumerate() {
        let (stamp, hash) = (scene.stamp(), [nth as u8; 32]);
        let op = CreateKey { stamp, new: new.clone(), hash, ..creation(&scene, opens) };
        let record = ok(scene.store.create_key(op));
        let mut due = KeyRecord::new(KeyId::from_uuid(stamp.uuid(0)), scene.workspace, stamp.at);
        if let Opens::Agent(agent, scopes) = opens {
            (due.agent_id, due.scopes) = (Some(agent), scopes);
        }
        (due.label, due.expires_at) = (new.label, new.expires_at);
        assert_eq!(record, due);
        let stored = ok(scene.store.key(record.id)).map(|stored| (stored.record, stored.hash));
        assert_eq!(stored, Some((record, hash)));
    }
    assert_eq!(ok(scene.store.key(KeyId::from_uuid(scene.uuid()))), None);
}

fn keys_are_listed_newest_first_with_their_total(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let booker = scene.agent_named(scene.workspace, "booker");
    let mut all = vec![made(&scene, Opens::Workspace).id];
    for agent in [scene.agent, booker, scene.agent, booker, scene.agent] {
        scene.tick();
        all.insert(0, made(&scene, Opens::Agent(agent, Scopes::CHAT)).id);
    }
    assert_eq!(listed(&scene, scene.workspace, None), all);
    assert_eq!(listed(&scene, scene.workspace, Some(booker)), [all[1], all[3]]);
    assert_eq!(listed(&scene, scene.workspace, Some(scene.agent)), [all[0], all[2], all[4]]);
    let page = |page, limit| {
        let query = KeysQuery { workspace: scene.workspace, agent: None, page: PageAt { page, limit } };
        let page = ok(scene.store.keys(query));
        assert_eq!(page.total, 6);
        page.items.iter().map(|key| key.id).collect::<Vec<_>>()
    };
    assert_eq!((page(1, 4), page(2, 4), page(3, 4)), (all[..4].to_vec(), all[4..].to_vec(), vec![]));
}

fn a_revoked_key_is_there_no_more(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (master, key) = (made(&scene, Opens::Workspace), made(&scene, Opens::Agent(scene.agent, Scopes::CHAT)));
    let revocation = |key| RevokeKey { stamp: scene.stamp(), workspace: scene.workspace, key };
    ok(scene.store.revoke_key(revocation(key.id)));
    assert_eq!(ok(scene.store.key(key.id)), None);
    assert_eq!(listed(&scene, scene.workspace, None), [master.id]);
    scene.refused(NotFound, "a second revocation", |store| store.revoke_key(revocation(key.id)));
    ok(scene.store.revoke_key(revocation(master.id)));
    assert_eq!(ok(scene.store.key(master.id)), None);
    made(&scene, Opens::Workspace);
}

fn a_workspace_has_one_master_key(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let master = made(&scene, Opens::Workspace);
    scene.refused(Conflict, "a second master key", |store| store.create_key(creation(&scene, Opens::Workspace)));
    assert_eq!(listed(&scene, scene.workspace, None), [master.id]);
    let beta = scene.workspace_named("beta");
    ok(scene.store.create_key(CreateKey { workspace: beta, ..creation(&scene, Opens::Workspace) }));
}

fn a_new_master_key_revokes_all_keys_of_its_workspace_alone(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let there = scene.agent_named(beta, "greeter");
    let theirs = [Opens::Workspace, Opens::Agent(there, Scopes::ALL)]
        .map(|opens| ok(scene.store.create_key(CreateKey { workspace: beta, ..creation(&scene, opens) })).id);
    let mine = [Opens::Workspace, Opens::Agent(scene.agent, Scopes::ALL)].map(|opens| made(&scene, opens).id);
    let anew = made(&scene, Opens::WorkspaceAnew);
    assert_eq!(listed(&scene, scene.workspace, None), [anew.id]);
    assert_eq!(mine.map(|key| ok(scene.store.key(key))), [None, None]);
    assert_eq!(listed(&scene, beta, None), [theirs[1], theirs[0]]);
    // Where there is none to replace, it is the first.
    let gamma = scene.workspace_named("gamma");
    let first = ok(scene.store.create_key(CreateKey { workspace: gamma, ..creation(&scene, Opens::WorkspaceAnew) }));
    assert_eq!(listed(&scene, gamma, None), [first.id]);
}

fn keys_are_reached_through_their_workspace(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let theirs = scene.agent_named(beta, "greeter");
    let key = made(&scene, Opens::Agent(scene.agent, Scopes::CHAT)).id;
    let nowhere = WorkspaceId::from_uuid(scene.uuid());
    for workspace in [beta, nowhere] {
        scene.refused(NotFound, "a revocation", |store| {
            store.revoke_key(RevokeKey { stamp: scene.stamp(), workspace, key })
        });
        let opens = Opens::Agent(scene.agent, Scopes::CHAT);
        scene.refused(NotFound, "a key of my agent", |store| {
            store.create_key(CreateKey { workspace, ..creation(&scene, opens) })
        });
        let query = KeysQuery { workspace, agent: Some(scene.agent), page: PageAt::default() };
        scene.refused(NotFound, "the keys of my agent", |store| store.keys(query));
    }
    scene.refused(NotFound, "a key of their agent", |store| {
        store.create_key(creation(&scene, Opens::Agent(theirs, Scopes::CHAT)))
    });
    assert_eq!((listed(&scene, beta, None), listed(&scene, scene.workspace, None)), (vec![], vec![key]));
}
