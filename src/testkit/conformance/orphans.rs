//! Turns that a dead process left running end exactly once.

use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::ErrorKind::Fenced;
use crate::id::{OwnerId, TurnId};
use crate::record::{ChangeKind, NewMessage, NewSession, Reason, SessionStatus, ToolCall, Turn, TurnState};
use crate::store::{Behaviour, CreateSession, EndOrphans, Recovery, Runner, Runners, SessionRef, Submit, Submitted};

super::subject! {
    an_orphan_ends_as_failed_by_a_crash,
    only_turns_of_others_are_orphans,
    at_most_so_many_end_in_one_commit,
    the_ids_of_results_run_on_from_turn_to_turn,
    turns_that_ended_are_no_orphans,
    orphans_of_every_workspace_end,
    a_session_goes_on_after_its_orphan_ended,
    an_orphan_runs_again_under_a_new_claim,
    an_orphan_out_of_attempts_ends,
    an_orphan_that_nobody_can_run_ends,
    orphans_that_run_again_count_as_those_that_end,
    what_waits_behind_an_orphan_goes_on_waiting,
}

fn runner(owner: u128) -> Runner {
    Runner { owner: OwnerId::from_uuid(uuid::Uuid::from_u128(owner)), lease: None, behaviour: Behaviour::Registered }
}

/// A session whose turn this owner runs.
#[track_caller]
fn running(scene: &Scene, owner: u128) -> (SessionRef, Submitted) {
    let at = scene.session();
    (at, ok(scene.store.submit(Submit { runner: runner(owner), ..scene.submission(at, "hello") })))
}

fn ids(turns: &[Turn]) -> Vec<TurnId> {
    let mut ids: Vec<_> = turns.iter().map(|turn| turn.id).collect();
    ids.sort();
    ids
}

fn an_orphan_ends_as_failed_by_a_crash(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = running(&scene, 7);
    let before = scene.messages(at);
    scene.tick();
    let ended = scene.end_orphans(8, 10);
    assert_eq!(ids(&ended), [sent.turn.id]);
    let turn = &ended[0];
    assert_eq!((turn.state, turn.reason), (TurnState::Failed, Some(Reason::Crash)));
    assert_eq!((turn.final_message, turn.messages, turn.started_at), (None, 0, None));
    assert_eq!(turn.ended_at, Some(scene.record(at).updated_at));
    assert_eq!(&ok(scene.store.turn(at, turn.id)), turn);
    let record = scene.record(at);
    assert_eq!((record.status, record.running_turn), (SessionStatus::Error, None));
    assert_eq!(scene.messages(at), before, "the user's message is never lost");
    let again = scene.unchanged("a second time", |_| scene.end_orphans(8, 10));
    assert_eq!(again, [], "each ends once");
}

fn only_turns_of_others_are_orphans(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (_, theirs) = running(&scene, 7);
    let (at, mine) = running(&scene, 8);
    let (_, other) = running(&scene, 9);
    let mut expected = vec![theirs.turn.id, other.turn.id];
    expected.sort();
    assert_eq!(ids(&scene.end_orphans(8, 10)), expected);
    assert_eq!(ok(scene.store.turn(at, mine.turn.id)), mine.turn);
    scene.emit(at, claim_of(&mine), ["still running".into()]);
}

fn at_most_so_many_end_in_one_commit(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let all: Vec<_> = (0..7).map(|_| running(&scene, 7)).collect();
    let mut ended = Vec::new();
    for expected in [3, 3, 1, 0] {
        let batch = scene.end_orphans(8, 3);
        assert_eq!(batch.len(), expected);
        ended.extend(batch);
        let running = all.iter().filter(|(at, _)| scene.record(*at).running_turn.is_some()).count();
        assert_eq!(running, all.len() - ended.len(), "no others end");
    }
    let mut expected: Vec<_> = all.iter().map(|(_, sent)| sent.turn.id).collect();
    expected.sort();
    assert_eq!(ids(&ended), expected, "each exactly once");
}

fn the_ids_of_results_run_on_from_turn_to_turn(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for count in [2, 0, 3, 1] {
        let (at, sent) = running(&scene, 7);
        let calls = (0..count).map(|n| ToolCall::new(format!("c{n}"), "look", "{}"));
        let message = NewMessage::text("a").tool_calls(calls);
        ok(scene.store.emit(scene.emission(at, claim_of(&sent), [message])));
    }
    let stamp = scene.stamp();
    let op = EndOrphans { stamp, owner: runner(8).owner, limit: 10, recovery: Recovery::End };
    let ended = ok(scene.store.end_orphans(op)).ended;
    let mut next = 0;
    for turn in &ended {
        let at = SessionRef { workspace: scene.workspace, session: turn.session_id };
        for message in scene.messages(at).iter().filter(|message| message.synthetic) {
            assert_eq!(*message.id.as_uuid(), stamp.uuid(next));
            next += 1;
        }
    }
    assert_eq!((ended.len(), next), (4, 6));
}

fn turns_that_ended_are_no_orphans(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = running(&scene, 7);
    scene.complete(at, claim_of(&first));
    let (at, _) = running(&scene, 7);
    let followed = scene.follow_up(at, "by another owner");
    assert_eq!(claim_of(&followed).owner, scene.runner.owner);
    let ended = scene.unchanged("nothing is left over", |_| scene.end_orphans(1, 10));
    assert_eq!(ended, [], "the running turn is the asking owner's");
}

fn orphans_of_every_workspace_end(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let agent = scene.agent_named(beta, "greeter");
    let (_, one) = running(&scene, 7);
    let first = Some(("hello".into(), runner(7)));
    let creation = CreateSession { workspace: beta, agent, first, ..scene.creation(NewSession::default()) };
    let created = ok(scene.store.create_session(creation));
    let mut expected: Vec<_> = created.first.iter().map(|first| first.turn.id).collect();
    expected.push(one.turn.id);
    expected.sort();
    assert_eq!(ids(&scene.end_orphans(8, 10)), expected);
}

fn a_session_goes_on_after_its_orphan_ended(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = running(&scene, 7);
    scene.end_orphans(1, 10);
    scene.append(at, ["a note".into()]);
    let next = scene.send(at, "again");
    assert!(claim_of(&next).epoch > claim_of(&sent).epoch);
    let ended = scene.complete(at, claim_of(&next));
    assert_eq!((ended.number, scene.record(at).status), (2, SessionStatus::Idle));
}

/// Owner 8 runs the turns of these agents again, up to so many attempts.
fn rerun<const N: usize>(scene: &Scene, attempts: u32, agents: [&str; N], limit: u32) -> EndOrphans {
    let runners = Runners { owner: runner(8).owner, ..scene.runners(agents) };
    let recovery = Recovery::RunAgain { attempts, runners };
    EndOrphans { stamp: scene.stamp(), owner: runner(8).owner, limit, recovery }
}

fn an_orphan_runs_again_under_a_new_claim(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = running(&scene, 7);
    let call = NewMessage::calls([ToolCall::new("c", "look", "{}")]);
    scene.emit(at, claim_of(&sent), [call]);
    let (before, messages) = (scene.record(at).last_change, scene.messages(at));
    scene.tick();
    let op = rerun(&scene, 2, ["greeter"], 10);
    let recovered = ok(scene.store.end_orphans(op.clone()));
    assert_eq!((recovered.ended, recovered.again.len()), (Vec::new(), 1));
    let again = &recovered.again[0];
    assert_eq!((again.turn.id, again.turn.state, again.turn.attempt), (sent.turn.id, TurnState::Running, 2));
    assert_eq!((&again.message, again.at), (&sent.message, at));
    assert_eq!((again.claim.owner, again.claim.epoch), (op.owner, claim_of(&sent).epoch + 1));
    assert_eq!(ok(scene.store.turn(at, sent.turn.id)), again.turn);
    assert_eq!(scene.messages(at), messages, "what it wrote before stays, its open calls too");
    assert_eq!(scene.changes(at, before), [ChangeKind::Turn(sent.turn.id, TurnState::Running)]);
    assert_eq!(scene.record(at).updated_at, op.stamp.at);
    let late = scene.emission(at, claim_of(&sent), ["late".into()]);
    scene.refused(Fenced, "the dead process's claim", |store| store.emit(late));
    let own = rerun(&scene, 2, ["greeter"], 10);
    assert!(scene.unchanged("its own", |store| ok(store.end_orphans(own))).is_empty());
    assert_eq!(scene.complete(at, again.claim).state, TurnState::Completed);
}

fn an_orphan_out_of_attempts_ends(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = running(&scene, 7);
    assert_eq!(sent.turn.attempt, 1, "attempts are counted from 1");
    for attempt in 2..=3 {
        let by = |owner| {
            let runners = Runners { owner, ..scene.runners(["greeter"]) };
            let recovery = Recovery::RunAgain { attempts: 3, runners };
            EndOrphans { stamp: scene.stamp(), owner, limit: 10, recovery }
        };
        let owner = OwnerId::from_uuid(scene.uuid());
        let recovered = ok(scene.store.end_orphans(by(owner)));
        assert_eq!(recovered.again.iter().map(|again| again.turn.attempt).collect::<Vec<_>>(), [attempt]);
    }
    let recovered = ok(scene.store.end_orphans(rerun(&scene, 3, ["greeter"], 10)));
    assert_eq!(recovered.again, []);
    let turn = &recovered.ended[0];
    assert_eq!((turn.state, turn.reason, turn.attempt), (TurnState::Failed, Some(Reason::Crash), 3));
    assert_eq!((&ok(scene.store.turn(at, sent.turn.id)), scene.record(at).status), (turn, SessionStatus::Error));
    let (_, once) = running(&scene, 7);
    let recovered = ok(scene.store.end_orphans(rerun(&scene, 1, ["greeter"], 10)));
    assert_eq!(ids(&recovered.ended), [once.turn.id], "one attempt is the one it had");
}

fn an_orphan_that_nobody_can_run_ends(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (_, sent) = running(&scene, 7);
    let recovered = ok(scene.store.end_orphans(rerun(&scene, 9, ["booker"], 10)));
    assert_eq!((ids(&recovered.ended), recovered.again), (vec![sent.turn.id], Vec::new()));
}

fn orphans_that_run_again_count_as_those_that_end(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let all: Vec<_> = (0..5).map(|_| running(&scene, 7).1.turn.id).collect();
    let mut again = Vec::new();
    for expected in [2, 2, 1, 0] {
        let recovered = ok(scene.store.end_orphans(rerun(&scene, 2, ["greeter"], 2)));
        assert_eq!((recovered.ended.len(), recovered.len()), (0, expected));
        again.extend(recovered.again.iter().map(|again| again.turn.id));
    }
    assert_eq!(again, all, "the oldest session's first, each exactly once");
}

fn what_waits_behind_an_orphan_goes_on_waiting(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = running(&scene, 7);
    let queued = scene.enqueue(at, "waits");
    scene.end_orphans(8, 10);
    let record = scene.record(at);
    assert_eq!((record.running_turn, record.queued_turns), (None, 1));
    assert_eq!((record.status, ok(scene.store.turn(at, queued.turn.id))), (SessionStatus::Running, queued.turn));
}
