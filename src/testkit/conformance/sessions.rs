//! Listing sessions: newest activity first, pages, exact totals.

use std::cmp::Reverse;

use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::ErrorKind::Conflict;
use crate::id::AgentId;
use crate::page::{PageAt, SessionPlace};
use crate::record::{NewMessage, NewSession, SessionRecord};
use crate::store::{CreateSession, Outcome, SessionRef, SessionsQuery};
use crate::time::Duration;

super::subject! {
    sessions_are_listed_newest_activity_first,
    equal_times_are_listed_newest_id_first,
    every_writing_operation_moves_its_session_to_the_front,
    what_writes_nothing_moves_nothing,
    an_agents_listing_holds_its_own_sessions,
    a_listing_without_sessions_is_empty,
    each_session_that_stays_is_seen_once_behind_one_another,
}

/// All pages of this size, with the total found right on each and the page behind them empty.
#[track_caller]
fn pages(scene: &Scene, agent: Option<AgentId>, limit: u32, total: u64) -> Vec<SessionRecord> {
    let mut all = Vec::new();
    for page in 1..=total.div_ceil(u64::from(limit)) + 2 {
        let page = PageAt { page, limit };
        let found = ok(scene.store.sessions(SessionsQuery { workspace: scene.workspace, agent, page, after: None }));
        assert_eq!(found.total, total, "{page:?}");
        let expected = total.saturating_sub(page.offset()).min(u64::from(limit));
        assert_eq!(found.items.len() as u64, expected, "{page:?}");
        all.extend(found.items);
    }
    let page = PageAt { page: u64::MAX, limit };
    let found = ok(scene.store.sessions(SessionsQuery { workspace: scene.workspace, agent, page, after: None }));
    assert_eq!((found.items, found.total), (Vec::new(), total), "a page past the end is empty");
    all
}

/// That every page size lists these sessions as they are, in the order of the contract.
#[track_caller]
fn assert_listed(scene: &Scene, agent: Option<AgentId>, sessions: &[SessionRef]) {
    let mut expected: Vec<_> = sessions.iter().map(|at| scene.record(*at)).collect();
    expected.sort_by_key(|record| Reverse((record.updated_at, record.id)));
    for limit in [1, 3, 100] {
        assert_eq!(pages(scene, agent, limit, expected.len() as u64), expected, "limit {limit}");
    }
}

fn sessions_are_listed_newest_activity_first(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let sessions: Vec<_> = (0..7)
        .map(|_| {
            scene.tick();
            scene.session()
        })
        .collect();
    assert_listed(&scene, None, &sessions);
    for touched in [3, 0, 6, 3, 1] {
        scene.tick();
        let at = sessions.iter().copied().nth(touched);
        scene.append(at.unwrap_or(sessions[0]), ["hello".into()]);
        assert_listed(&scene, None, &sessions);
    }
    scene.clock.step_back(Duration::from_secs(60));
    scene.append(sessions[2], ["the clock went back: no change of place".into()]);
    let late = scene.session();
    let listed = pages(&scene, None, 100, 8);
    assert_eq!(listed.last().map(|record| record.id), Some(late.session), "a session of an earlier time comes last");
}

fn each_session_that_stays_is_seen_once_behind_one_another(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    // Some of equal times, too.
    let sessions: Vec<_> = (0..23)
        .map(|nth| {
            if nth % 3 > 0 {
                scene.tick();
            }
            scene.session()
        })
        .collect();
    for (agent, limit) in [(None, 1), (None, 4), (Some(scene.agent), 7), (None, 23), (None, 100)] {
        let before = pages(&scene, agent, 100, 23);
        let (mut seen, mut after, mut moved) = (Vec::new(), None, Vec::new());
        loop {
            let page = PageAt { page: 1, limit };
            let found = ok(scene.store.sessions(SessionsQuery { workspace: scene.workspace, agent, page, after }));
            assert_eq!((found.total, found.items.len() <= limit as usize), (23, true));
            seen.extend(found.items.iter().map(|record| record.id));
            // One that was seen moves to the front, and then one that was not.
            scene.tick();
            for touched in [found.items.first(), before.get(seen.len() + 2)].into_iter().flatten() {
                scene.append(SessionRef { workspace: scene.workspace, session: touched.id }, ["news".into()]);
                moved.push(touched.id);
            }
            let last = found.items.last().map(|last| SessionPlace { updated_at: last.updated_at, session: last.id });
            assert!(found.last.is_none() || found.last == last, "it is the last of the page");
            after = found.last;
            if after.is_none() {
                break;
            }
        }
        let stayed = before.iter().map(|record| record.id).filter(|id| seen.contains(id) || !moved.contains(id));
        assert_eq!(seen, stayed.collect::<Vec<_>>(), "limit {limit}");
    }
    // From a place where there is no session.
    let nowhere = SessionPlace { updated_at: scene.record(sessions[0]).created_at, session: uuid::Uuid::max().into() };
    let page = PageAt::default();
    let found =
        ok(scene.store.sessions(SessionsQuery { workspace: scene.workspace, agent: None, page, after: Some(nowhere) }));
    assert!(found.items.iter().all(|record| record.updated_at <= nowhere.updated_at));
}

fn equal_times_are_listed_newest_id_first(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    // Ids of the callers' whose order is not that of creation.
    let ids = [0x5000, 0x9000, 0x1000, 0xf000_0000_0000_0000, 0x7000, 0x0001_0000_0000];
    let sessions = ids.map(|id: u128| {
        let id = scene.create(NewSession::default().id(uuid::Uuid::from_u128(id << 32 | 1))).id;
        SessionRef { workspace: scene.workspace, session: id }
    });
    assert_listed(&scene, None, &sessions);
    scene.append(sessions[3], ["at the same time".into()]);
    assert_listed(&scene, None, &sessions);
    scene.tick();
    for at in [sessions[1], sessions[4], sessions[0]] {
        scene.append(at, ["later, all three at the same time".into()]);
    }
    assert_listed(&scene, None, &sessions);
}

fn every_writing_operation_moves_its_session_to_the_front(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, other) = (scene.session(), scene.session());
    let front = |what: &str| {
        let listed = pages(&scene, None, 100, 2);
        assert_eq!(listed.first(), Some(&scene.record(at)), "{what} moves the session to the front");
        assert_eq!(scene.record(at).updated_at, crate::Clock::now(&scene.clock), "{what} is a change");
        scene.tick();
        scene.append(other, ["now the other one is first".into()]);
        scene.tick();
    };
    front_after_turns(&scene, at, &front);
    scene.send(at, "left running");
    scene.tick();
    assert_eq!(scene.end_orphans(99, 10).len(), 1);
    front("end_orphans");
}

fn front_after_turns(scene: &Scene, at: SessionRef, front: &dyn Fn(&str)) {
    scene.tick();
    let appended = scene.append(at, ["a".into()]);
    front("append");
    for message in &appended {
        scene.delete(at, message);
    }
    front("delete_message");
    scene.send(at, "b");
    front("submit");
    let followed = scene.follow_up(at, "c");
    front("follow-up");
    scene.emit(at, claim_of(&followed), ["d".into()]);
    front("emit");
    scene.complete(at, claim_of(&followed));
    front("finish");
}

fn what_writes_nothing_moves_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = scene.busy_session();
    let other = scene.session();
    let append = scene.appending(other, [NewMessage::text("a").id(scene.uuid())]);
    ok(scene.store.append(append.clone()));
    scene.tick();
    scene.unchanged("a repeated append", |store| ok(store.append(append)));
    scene.refused(Conflict, "a submit while busy", |store| store.submit(scene.submission(at, "b")));
    assert_listed(&scene, None, &[at, other]);
}

fn an_agents_listing_holds_its_own_sessions(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let booker = scene.agent_named(scene.workspace, "booker");
    let theirs = scene.agent_named(beta, "greeter");
    let of = |workspace, agent| {
        scene.tick();
        let creation = CreateSession { workspace, agent, ..scene.creation(NewSession::default()) };
        SessionRef { workspace, session: ok(scene.store.create_session(creation)).session.id }
    };
    let (mut mine, mut bookers) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        mine.push(of(scene.workspace, scene.agent));
        of(beta, theirs);
        bookers.push(of(scene.workspace, booker));
        mine.push(of(scene.workspace, scene.agent));
    }
    let first = scene.send(mine[0], "hello");
    scene.finish(mine[0], claim_of(&first), Outcome::Completed(None));
    assert_listed(&scene, Some(scene.agent), &mine);
    assert_listed(&scene, Some(booker), &bookers);
    assert_listed(&scene, None, &[mine, bookers].concat());
}

fn a_listing_without_sessions_is_empty(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    assert_listed(&scene, None, &[]);
    assert_listed(&scene, Some(scene.agent), &[]);
}
