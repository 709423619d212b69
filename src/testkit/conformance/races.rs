//! Callers that race, and reads while others write. Gates and channels, no sleeps.

use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::{ErrorKind, Result};
use crate::id::Stamp;
use crate::page::{Direction, Matching};
use crate::record::{NewMessage, NewSession, TurnState, Usage};
use crate::store::{Append, Claim, CreateSession, Emit, Finish, Outcome, Policy, SessionRef, Store, Submit};
use crate::sync::{Arc, Sender, ThreadBuilder, TryRecvError, bounded};
use crate::testkit::snapshot::EVERY;

super::subject! {
    of_two_submits_at_once_exactly_one_wins,
    of_two_creations_with_one_id_exactly_one_is_made,
    of_two_appends_with_one_id_exactly_one_is_written,
    an_answer_and_a_follow_up_at_once_end_the_turn_once,
    an_end_and_an_enqueue_at_once_lose_no_turn,
    a_read_answers_from_one_snapshot,
    writers_of_many_sessions_do_not_mix,
}

/// Runs all of them at once, each on a thread of its own, and answers in their order.
fn at_once<T: Send + 'static>(runs: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let (ready, all_ready) = bounded(runs.len());
    let started: Vec<_> = runs
        .into_iter()
        .map(|run| {
            let ready = ready.clone();
            let (open, gate) = bounded::<()>(0);
            let body = move || {
                drop(ready);
                // The gate opens when its other end is dropped.
                let _ = gate.recv();
                run()
            };
            let thread = ThreadBuilder::new().spawn(body);
            (open, thread.unwrap_or_else(|error| panic!("a thread must start: {error}")))
        })
        .collect();
    drop::<Sender<()>>(ready);
    // Every thread has dropped its end: all are running.
    let _ = all_ready.recv();
    let (gates, threads): (Vec<_>, Vec<_>) = started.into_iter().unzip();
    drop(gates);
    threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
}

/// The same operation of the store with two different inputs, at once.
fn two<I: Send + 'static, T: Send + 'static>(
    store: &Arc<dyn Store>,
    inputs: [I; 2],
    run: fn(&dyn Store, I) -> Result<T>,
) -> Vec<Result<T>> {
    let each = |input: I| -> Box<dyn FnOnce() -> Result<T> + Send> {
        let store = Arc::clone(store);
        Box::new(move || run(&*store, input))
    };
    at_once(inputs.into_iter().map(each).collect())
}

fn of_two_submits_at_once_exactly_one_wins(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    for round in 1..=50 {
        let inputs = [scene.submission(at, "one"), scene.submission(at, "other")];
        let answers = two(&scene.store, inputs, |store, op| store.submit(op));
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.is_ok());
        assert_eq!((won.len(), lost.len()), (1, 1), "round {round}");
        for error in lost.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::Conflict, "round {round}: {error}");
        }
        let record = scene.record(at);
        assert_eq!(record.last_message, round, "of the other nothing is stored");
        for sent in won.into_iter().map(ok) {
            assert_eq!(record.running_turn, Some(sent.turn.id));
            scene.complete(at, claim_of(&sent));
        }
    }
    assert_eq!(scene.changes(at, 0).len(), 1 + 50 * 3);
}

fn of_two_creations_with_one_id_exactly_one_is_made(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for _ in 0..20 {
        let new = NewSession::default().id(scene.uuid());
        let inputs = [scene.creation(new.clone()), scene.creation(new)];
        let answers = two(&scene.store, inputs, |store, op: CreateSession| store.create_session(op));
        let made: Vec<_> = answers.into_iter().map(ok).collect();
        assert_eq!(made.iter().filter(|created| created.replayed).count(), 1, "one of them made it");
        assert_eq!(made[0].session, made[1].session, "both have it");
    }
}

fn of_two_appends_with_one_id_exactly_one_is_written(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    for round in 1..=20 {
        let new = NewMessage::text("once").id(scene.uuid());
        let inputs = [scene.appending(at, [new.clone()]), scene.appending(at, [new])];
        let answers = two(&scene.store, inputs, |store, op| store.append(op));
        let written: Vec<_> = answers.into_iter().map(ok).collect();
        assert_eq!(written[0], written[1], "both have it");
        assert_eq!(scene.record(at).last_message, round, "it was written once");
    }
}

enum End {
    Answer(Box<Finish>),
    FollowUp(Box<Submit>),
}

fn an_answer_and_a_follow_up_at_once_end_the_turn_once(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, mut running) = scene.busy_session();
    for round in 0..40 {
        let answer = Outcome::Completed(Some(Box::new("done".into())));
        let finish = scene.ending(at, claim_of(&running), answer);
        let submit = Submit { policy: Policy::FollowUp, ..scene.submission(at, "no") };
        let before = scene.record(at);
        let answers = two(
            &scene.store,
            [End::Answer(Box::new(finish)), End::FollowUp(Box::new(submit))],
            |store, end| match end {
                End::Answer(op) => store.finish(*op).map(|_| None),
                End::FollowUp(op) => store.submit(*op).map(Some),
            },
        );
        let mut answers = answers.into_iter();
        let (answered, followed) = (answers.next(), answers.next());
        let Some(Ok(Some(next))) = followed else { panic!("round {round}: the follow-up is accepted: {followed:?}") };
        let state = ok(scene.store.turn(at, running.turn.id)).state;
        let written = scene.record(at).last_message - before.last_message;
        match answered {
            Some(Ok(_)) => {
                assert_eq!((state, written, next.interrupted), (TurnState::Completed, 2, None), "round {round}");
            }
            Some(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Fenced, "round {round}: {error}");
                let interrupted = Some(running.turn.id);
                assert_eq!(
                    (state, written, next.interrupted),
                    (TurnState::Interrupted, 1, interrupted),
                    "round {round}"
                );
            }
            None => panic!("both answered"),
        }
        running = next;
    }
    scene.changes(at, 0);
}

/// A turn that is sent while the one before ends either starts, or waits and is promoted: never neither.
fn an_end_and_an_enqueue_at_once_lose_no_turn(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let mut claim = claim_of(&first);
    for round in 0..40 {
        let finish = scene.ending(at, claim, Outcome::Completed(None));
        let submit = Submit { policy: Policy::Enqueue, ..scene.submission(at, "next") };
        let both = [End::Answer(Box::new(finish)), End::FollowUp(Box::new(submit))];
        let answers = two(&scene.store, both, |store, end| match end {
            End::Answer(op) => store.finish(*op).map(|finished| (finished.next, None)),
            End::FollowUp(op) => store.submit(*op).map(|submitted| (None, submitted.claim)),
        });
        let claims = answers.into_iter().flat_map(|answer| {
            let (next, claim) = ok(answer);
            [next.map(|next| next.claim), claim]
        });
        let claims: Vec<_> = claims.flatten().collect();
        assert_eq!(claims.len(), 1, "round {round}: it starts once");
        claim = claims[0];
        scene.emit(at, claim, ["running".into()]);
    }
}

fn a_read_answers_from_one_snapshot(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let stamps: Vec<Stamp> = (0..60).map(|_| scene.stamp()).collect();
    let store = Arc::clone(&scene.store);
    let (done, writing) = bounded::<()>(0);
    let writer = move || {
        for stamp in stamps {
            let messages = vec!["a".into(), "b".into(), "c".into()];
            ok(store.append(Append { stamp, at, thread: None, messages }));
        }
        drop(done);
    };
    let thread = ThreadBuilder::new().spawn(writer).unwrap_or_else(|error| panic!("a thread must start: {error}"));
    // Reads while the writer holds its end of the channel, and once more after.
    while writing.try_recv() == Err(TryRecvError::Empty) {
        assert_whole(&*scene.store, at);
    }
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert_whole(&*scene.store, at);
    assert_eq!(scene.messages(at).len(), 180);
}

/// That a read sees all of an append or nothing of it.
#[track_caller]
fn assert_whole(store: &dyn Store, at: SessionRef) {
    let found = ok(store.messages(at, EVERY));
    assert_eq!(found.items.len() as u64, found.total, "items and total of one snapshot");
    assert_eq!(found.total % 3, 0, "an append is whole");
    assert_eq!(found.newest, found.items.last().map(|message| message.ts), "newest of the same snapshot");
    let newest = ok(store.messages(at, Matching { direction: Direction::Desc, limit: 1, ..EVERY }));
    assert!(newest.total >= found.total, "a later read sees no less");
    assert_eq!(newest.newest, newest.items.first().map(|message| message.ts));
    let record = ok(store.session(at));
    assert_eq!((record.last_message % 3, u64::from(record.last_message) + 1), (0, record.last_change));
    assert_eq!(ok(store.changes(at, 0, 1000)).len() % 3, 1, "the events of an append appear together");
}

fn writers_of_many_sessions_do_not_mix(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let sessions: Vec<_> = (0..4).map(|_| scene.busy_session()).collect();
    let runs = sessions.iter().map(|(at, sent)| -> Box<dyn FnOnce() + Send> {
        let (store, at, claim) = (Arc::clone(&scene.store), *at, claim_of(sent));
        let stamps: Vec<Stamp> = (0..25).map(|_| scene.stamp()).collect();
        Box::new(move || write_all(&*store, at, claim, &stamps))
    });
    at_once(runs.collect());
    for (at, sent) in &sessions {
        let all = scene.messages(*at);
        let numbers: Vec<u32> = all.iter().map(|message| message.number).collect();
        assert_eq!(numbers, (1..=51).collect::<Vec<_>>(), "dense");
        assert!(all.iter().all(|message| message.turn_id == Some(sent.turn.id)), "each its own");
        assert!(all.windows(2).all(|pair| pair[0].ts < pair[1].ts), "ts rises strictly");
        assert_eq!(ok(scene.store.turn(*at, sent.turn.id)).messages, 50);
        scene.changes(*at, 0);
    }
}

fn write_all(store: &dyn Store, at: SessionRef, claim: Claim, stamps: &[Stamp]) {
    for stamp in stamps {
        let messages = vec!["a".into(), "b".into()];
        ok(store.emit(Emit { stamp: *stamp, at, claim, started_at: stamp.at, messages, usage: Usage::ZERO }));
    }
}
