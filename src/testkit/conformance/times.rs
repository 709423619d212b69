//! The arithmetic of times: `ts`, `created_at` and `updated_at`, whatever the clock does.

use super::inputs::ts;
use super::scene::{Factory, Scene, claim_of, ok};
use crate::limit::{CALLER_TS_MICROS, TS_MICROS_MAX};
use crate::record::{Message, NewMessage, NewSession, Reason, ToolCall, Turn};
use crate::store::{CreateSession, Outcome, Policy, SessionRef, Submit, Submitted};
use crate::time::{Clock, Duration, Timestamp};

super::subject! {
    times_follow_their_rule_whatever_the_clock_does,
    a_callers_ts_is_a_lower_bound,
    a_batch_has_rising_ts,
    a_ts_has_room_above_every_callers,
    a_message_at_the_epoch_is_past_the_zero_cursor,
    a_deleted_message_counts_for_the_times_of_the_next,
    a_replayed_operation_moves_no_time,
}

/// The times of a session as the contract computes them.
struct Expected {
    ts: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Expected {
    #[track_caller]
    fn message(&mut self, at: Timestamp, caller: Option<u64>, message: &Message) {
        let least = caller.unwrap_or(at.as_micros().min(CALLER_TS_MICROS - 1));
        self.ts = if least > self.ts { least } else { self.ts + 1 };
        self.created_at = self.created_at.max(at);
        assert_eq!(message.ts.as_micros(), self.ts, "ts of {message:?} at {at}, caller's {caller:?}");
        assert_eq!(message.created_at, self.created_at, "created_at of {message:?} at {at}");
    }

    #[track_caller]
    fn change(&mut self, scene: &Scene, at: SessionRef) {
        self.updated_at = self.updated_at.max(scene.clock.now());
        assert_eq!(scene.record(at).updated_at, self.updated_at, "updated_at, by a clock at {}", scene.clock.now());
    }

    /// An accepted submit: its message, its turn and, where it opened one, its thread.
    #[track_caller]
    fn submitted(&mut self, scene: &Scene, at: SessionRef, sent: &Submitted) {
        self.change(scene, at);
        self.message(scene.clock.now(), None, &sent.message);
        assert_eq!(sent.turn.created_at, self.updated_at, "created_at of a turn");
        let thread = ok(scene.store.thread(at, sent.turn.thread_id));
        assert_eq!(thread.created_at, self.updated_at, "created_at of a thread");
    }

    #[track_caller]
    fn ended(&mut self, scene: &Scene, at: SessionRef, turn: &Turn) {
        self.change(scene, at);
        assert_eq!(turn.ended_at, Some(self.updated_at), "ended_at of a turn");
    }
}

/// What a clock of a machine may say, one after the other.
fn clock_times(base: u64) -> Vec<u64> {
    let far = [Timestamp::MAX.as_micros(), base + 9, CALLER_TS_MICROS - 1, CALLER_TS_MICROS, CALLER_TS_MICROS + 5, 0];
    let near = [base, base, base + 1, base + 1_000_000, base + 999_999, base + 1_000_001, 0, 1, base - 3_600_000_000];
    near.into_iter().chain(far).collect()
}

/// One round through all that writes, at this time; the turn of the round before is running.
fn round(scene: &Scene, at: SessionRef, expected: &mut Expected, old: &Submitted) -> Submitted {
    let now = scene.clock.now();
    let call = ToolCall::new("c", "look", "{}");
    let written = scene.emit(at, claim_of(old), ["a".into(), NewMessage::calls([call.clone()])]);
    expected.change(scene, at);
    written.iter().for_each(|message| expected.message(now, None, message));
    let sent = ok(scene.store.submit(Submit { policy: Policy::FollowUp, ..scene.submission(at, "no") }));
    let all = scene.messages(at);
    expected.message(now, None, &all[all.len() - 2]);
    expected.submitted(scene, at, &sent);
    expected.ended(scene, at, &ok(scene.store.turn(at, old.turn.id)));
    scene.delete(at, &written[1]);
    expected.change(scene, at);
    let turn = scene.finish(at, claim_of(&sent), Outcome::Completed(Some(Box::new("done".into()))));
    expected.ended(scene, at, &turn);
    expected.message(now, None, &scene.messages(at)[all.len() - 1]);
    scene.append(at, ["b".into(), "c".into()]).iter().for_each(|message| expected.message(now, None, message));
    expected.change(scene, at);
    let lost = scene.send(at, "left running");
    expected.submitted(scene, at, &lost);
    scene.emit(at, claim_of(&lost), [NewMessage::calls([call])]).iter().for_each(|m| expected.message(now, None, m));
    let ended = scene.end_orphans(99, 10);
    expected.ended(scene, at, &ended[0]);
    expected.message(now, None, &scene.messages(at)[all.len() + 4]);
    let next = scene.send(at, "next");
    expected.submitted(scene, at, &next);
    next
}

fn times_follow_their_rule_whatever_the_clock_does(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let base = scene.clock.now().as_micros();
    let start = scene.clock.now();
    let (at, mut running) = scene.busy_session();
    let mut expected = Expected { ts: 0, created_at: start, updated_at: start };
    expected.submitted(&scene, at, &running);
    for micros in clock_times(base) {
        scene.clock.set(Timestamp::from_micros(micros));
        running = round(&scene, at, &mut expected, &running);
    }
    let all = scene.messages(at);
    assert!(all.windows(2).all(|pair| pair[0].ts < pair[1].ts && pair[0].created_at <= pair[1].created_at));
}

fn a_callers_ts_is_a_lower_bound(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let base = scene.clock.now().as_micros();
    let at = scene.session();
    let mut expected = Expected { ts: 0, created_at: Timestamp::default(), updated_at: scene.clock.now() };
    for clock in [base, base + 50, 0] {
        scene.clock.set(Timestamp::from_micros(clock));
        for shift in [-1_000_000, -1, 0, 1, 2, 1_000_000, 3_600_000_000, i64::MIN] {
            let caller = if shift == i64::MIN { 0 } else { expected.ts.max(base).saturating_add_signed(shift) };
            let new = || NewMessage::text("a").ts(ts(caller));
            let (now, caller) = (scene.clock.now(), Some(caller));
            expected.message(now, caller, &scene.append(at, [new()])[0]);
            let sent = scene.send(at, new());
            expected.message(now, caller, &sent.message);
            expected.message(now, caller, &scene.emit(at, claim_of(&sent), [new()])[0]);
            let turn = scene.finish(at, claim_of(&sent), Outcome::Completed(Some(Box::new(new()))));
            let answer = turn.final_message.map(|id| ok(scene.store.message(at, id)));
            answer.iter().for_each(|message| expected.message(now, caller, message));
        }
    }
    let first = Some((NewMessage::text("a").ts(ts(42)).into(), scene.runner));
    let created = ok(scene.store.create_session(CreateSession { first, ..scene.creation(NewSession::default()) }));
    let first = created.first.map(|first| first.message.ts);
    assert_eq!(first, Some(ts(42)), "of the first message of a session");
}

fn a_batch_has_rising_ts(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let mut expected = Expected { ts: 0, created_at: Timestamp::default(), updated_at: scene.clock.now() };
    let base = scene.clock.now().as_micros();
    let callers = [None, None, Some(base), Some(base + 2), Some(base + 3), None, Some(base + 9), Some(0), None];
    let batch = callers.map(|caller| NewMessage { ts: caller.map(ts), ..NewMessage::text("a") });
    for (caller, message) in callers.into_iter().zip(scene.append(at, batch.clone())) {
        expected.message(scene.clock.now(), caller, &message);
    }
    let sent = scene.send(at, "b");
    expected.message(scene.clock.now(), None, &sent.message);
    for (caller, message) in callers.into_iter().zip(scene.emit(at, claim_of(&sent), batch)) {
        expected.message(scene.clock.now(), caller, &message);
    }
}

fn a_ts_has_room_above_every_callers(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let greatest = NewMessage::text("a").ts(ts(CALLER_TS_MICROS - 1));
    let batch = [greatest.clone(), greatest.clone(), "b".into()];
    let mut written = scene.append(at, batch);
    scene.clock.set(Timestamp::MAX);
    written.extend(scene.append(at, ["c".into(), greatest]));
    for (n, message) in (0..).zip(&written) {
        assert_eq!(message.ts.as_micros(), CALLER_TS_MICROS - 1 + n);
        assert!(message.ts.as_micros() <= TS_MICROS_MAX);
    }
    let far = scene.session();
    let written = scene.append(far, ["a".into(), "b".into()]);
    assert_eq!(written[0].ts.as_micros(), CALLER_TS_MICROS - 1, "the stamp's time is held below the bound");
    assert_eq!(written[1].ts.as_micros(), CALLER_TS_MICROS);
    assert_eq!(written[1].created_at, Timestamp::MAX, "created_at is not held");
}

fn a_message_at_the_epoch_is_past_the_zero_cursor(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    scene.clock.set(Timestamp::default());
    let (plain, zero) = (scene.session(), scene.session());
    let first = [scene.append(plain, ["a".into()]), scene.append(zero, [NewMessage::text("a").ts(ts(0))])].concat();
    for message in first {
        assert_eq!(message.ts.as_micros(), 1, "who has read nothing finds it");
        assert_eq!(message.created_at, Timestamp::default());
    }
    let (_, sent) = scene.busy_session();
    assert_eq!(sent.message.ts.as_micros(), 1);
}

fn a_deleted_message_counts_for_the_times_of_the_next(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    scene.clock.advance(Duration::from_secs(3600));
    let deleted = scene.append(at, [NewMessage::text("a").ts(ts(2_000_000_000_000_000))]).remove(0);
    scene.delete(at, &deleted);
    scene.clock.step_back(Duration::from_secs(1800));
    let next = scene.append(at, ["b".into()]).remove(0);
    assert_eq!(next.ts.as_micros(), deleted.ts.as_micros() + 1);
    assert_eq!(next.created_at, deleted.created_at);
    assert_eq!(next.number, 2);
}

fn a_replayed_operation_moves_no_time(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let append = scene.appending(at, [NewMessage::text("a").id(scene.uuid())]);
    let original = ok(scene.store.append(append.clone()));
    scene.clock.advance(Duration::from_secs(3600));
    let op = crate::store::Append { stamp: scene.stamp(), ..append };
    assert_eq!(scene.unchanged("a repeated append", |store| ok(store.append(op))), original);
    scene.clock.step_back(Duration::from_secs(3600));
    let next = scene.append(at, ["b".into()]).remove(0);
    assert_eq!(next.ts.as_micros(), original[0].ts.as_micros() + 1);
    assert_eq!(next.created_at, original[0].created_at);
    let sent = scene.send(at, "c");
    let ended = scene.finish(at, claim_of(&sent), Outcome::Failed(Reason::Error, None));
    assert_eq!(ended.ended_at, Some(scene.clock.now()), "updated_at stayed where it was");
}
