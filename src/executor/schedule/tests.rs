//! The schedule, without threads.

use uuid::Uuid;

use super::*;
use crate::agent::agent_fn;
use crate::id::{MessageId, OwnerId, SessionId, ThreadId, TurnId, WorkspaceId};
use crate::record::{MessageType, Role, Ts};
use crate::time::Timestamp;

fn at(workspace: u128, session: u128) -> SessionRef {
    let workspace = WorkspaceId::from_uuid(Uuid::from_u128(workspace));
    SessionRef { workspace, session: SessionId::from_uuid(Uuid::from_u128(session)) }
}

fn job(session: u128, epoch: u64) -> Box<Job> {
    job_of(at(1, session), epoch)
}

fn job_of(at: SessionRef, epoch: u64) -> Box<Job> {
    let (time, session) = (Timestamp::from_micros(1), at.session);
    let id = Uuid::from_u128(u128::from(epoch));
    let (turn, message) = (TurnId::from_uuid(id), MessageId::from_uuid(id));
    Box::new(Job {
        at,
        agent_id: AgentId::from_uuid(id),
        claim: Claim { turn, owner: OwnerId::from_uuid(id), epoch },
        turn: Turn::new(turn, session, ThreadId::from_uuid(id), message, 1, time),
        input: Message::new(message, session, 1, Role::User, MessageType::Message, Ts::ZERO, time),
        agent: Arc::new(agent_fn(|_| Ok(()))),
        token: Arc::default(),
        load: Load::of(10),
    })
}

/// A schedule whose agents have an hour to stop, and the worker that takes the next turn.
#[derive(Default)]
struct Bench {
    schedule: Schedule,
    worker: WorkerNumber,
}

const GRACE: Duration = Duration::from_secs(3600);

impl Bench {
    fn accept(&mut self, job: Box<Job>) {
        self.schedule.accept(job, GRACE);
    }

    fn take_job(&mut self) -> Option<Box<Job>> {
        self.worker += 1;
        self.schedule.take(self.worker)
    }

    /// The agent of the session returned.
    fn done(&mut self, at: SessionRef) {
        let worker = self.schedule.lanes[&at].running.expect("an agent of it runs");
        self.schedule.done(worker);
    }

    /// How many agents are left behind by then, what is ended for its time, and when time brings more.
    fn due(&mut self, seconds: u64, room: usize) -> (usize, usize, Option<u64>) {
        let now = Duration::from_secs(seconds);
        let due = self.schedule.due(now, now.saturating_add(GRACE), room);
        (due.abandoned.len(), due.limited.len(), due.next.map(|next| next.as_secs()))
    }
}

/// Takes the next turn, and answers with its session and its epoch.
fn take(bench: &mut Bench) -> Option<(u128, u64)> {
    bench.take_job().map(|job| (job.at.session.as_uuid().as_u128(), job.claim.epoch))
}

#[test]
fn sessions_are_served_in_the_order_they_came() {
    let mut bench = Bench::default();
    [job(1, 1), job(2, 1), job(3, 1)].into_iter().for_each(|job| bench.accept(job));
    // A follow-up to a turn that did not start keeps the place of its session.
    bench.accept(job(1, 2));
    assert_eq!(bench.schedule.ready(), 3);
    assert_eq!((take(&mut bench), take(&mut bench)), (Some((1, 2)), Some((2, 1))));
    // One to a turn that runs waits for its agent, and then for the others.
    bench.accept(job(1, 3));
    assert_eq!(bench.schedule.ready(), 1);
    bench.done(at(1, 1));
    assert_eq!((take(&mut bench), take(&mut bench), take(&mut bench)), (Some((3, 1)), Some((1, 3)), None));
}

#[test]
fn a_later_claim_stops_the_running_agent_and_an_earlier_one_comes_too_late() {
    let mut bench = Bench::default();
    bench.accept(job(1, 2));
    // Accepted before it by the store, but brought here after it.
    bench.accept(job(1, 1));
    let running = bench.take_job().expect("the later one");
    assert_eq!(running.claim.epoch, 2);
    bench.accept(job(1, 1));
    assert!(!running.token.is_tripped());
    bench.done(running.at);
    assert_eq!(take(&mut bench), None, "the earlier one never runs");

    bench.accept(job(1, 3));
    let running = bench.take_job().expect("the only one");
    bench.accept(job(1, 4));
    assert!(running.token.is_tripped());
    assert_eq!(take(&mut bench), None, "the old agent has not returned");
    bench.done(running.at);
    assert_eq!(take(&mut bench), Some((1, 4)));
}

#[test]
fn sessions_of_one_id_in_two_workspaces_have_nothing_to_do_with_each_other() {
    let mut bench = Bench::default();
    bench.accept(job_of(at(1, 1), 2));
    let running = bench.take_job().expect("the first");
    bench.accept(job_of(at(2, 1), 1));
    assert_eq!(take(&mut bench), Some((1, 1)), "it waits for nobody");
    assert!(!running.token.is_tripped());
}

#[test]
fn claims_of_a_session_that_is_made_again_begin_anew() {
    let mut bench = Bench::default();
    bench.accept(job(1, 7));
    bench.schedule.forget(at(1, 1), GRACE);
    assert_eq!((take(&mut bench), bench.schedule.ready()), (None, 0), "what did not start is over");
    bench.accept(job(1, 1));
    let running = bench.take_job().expect("the first of the session made again");
    bench.accept(job(1, 2));
    bench.schedule.forget(at(1, 1), GRACE);
    assert!(running.token.is_tripped());
    bench.accept(job(1, 1));
    assert_eq!(take(&mut bench), None, "the old agent has not returned");
    bench.done(running.at);
    assert_eq!(take(&mut bench), Some((1, 1)));
    bench.done(running.at);
    assert!(bench.schedule.lanes.is_empty());
}

#[test]
fn cancelling_stops_what_runs_and_gives_up_what_waits() {
    let mut bench = Bench::default();
    [job(1, 1), job(2, 1)].into_iter().for_each(|job| bench.accept(job));
    let running = bench.take_job().expect("the first");
    bench.accept(job(1, 2));
    let mut live: Vec<_> =
        bench.schedule.cancel().iter().map(|live| (live.at.session.as_uuid().as_u128(), live.claim.epoch)).collect();
    live.sort_unstable();
    assert_eq!(live, [(1, 1), (1, 2), (2, 1)]);
    assert!(running.token.is_tripped());
    bench.done(running.at);
    assert_eq!((take(&mut bench), bench.schedule.ready()), (None, 0));
    assert!(bench.schedule.lanes.is_empty());
}

#[test]
fn an_agent_that_was_told_to_stop_is_left_behind_once_its_grace_is_over() {
    let mut bench = Bench::default();
    [job(1, 1), job(2, 1)].into_iter().for_each(|job| bench.accept(job));
    assert_eq!((take(&mut bench), take(&mut bench)), (Some((1, 1)), Some((2, 1))));
    assert_eq!(bench.due(10_000, 9), (0, 0, None), "nobody told them");
    bench.accept(job(1, 2));
    assert_eq!(bench.due(3599, 9), (0, 0, Some(3600)));
    assert_eq!(take(&mut bench), None);
    // A later one does not make it longer.
    bench.schedule.accept(job(1, 3), Duration::from_secs(7200));
    assert_eq!(bench.due(3600, 0), (0, 0, None), "there is no room for it");
    assert_eq!((take(&mut bench), bench.schedule.running.len()), (None, 2));
    assert_eq!(bench.due(3600, 1), (1, 0, None));
    assert_eq!((take(&mut bench), take(&mut bench)), (Some((1, 3)), None));
    // Its worker has no place any more.
    bench.schedule.done(1);
    assert_eq!(bench.schedule.running.len(), 2);
}

#[test]
fn a_turn_that_has_run_for_as_long_as_it_may_is_told_to_stop_once() {
    let mut bench = Bench::default();
    [job(1, 1), job(2, 1)].into_iter().for_each(|job| bench.accept(job));
    let running = [bench.take_job(), bench.take_job()].map(|job| job.expect("a turn"));
    bench.schedule.limit(1, Duration::from_secs(60));
    bench.schedule.limit(2, Duration::from_secs(90));
    // Told before: it has its grace, and no limit.
    bench.accept(job(2, 2));
    bench.schedule.limit(2, Duration::from_secs(90));
    assert_eq!(bench.due(59, 9), (0, 0, Some(60)));
    assert_eq!(bench.due(60, 9), (0, 1, Some(3600)));
    assert_eq!(running.map(|job| job.token.cause()), [Some(Cause::TimeLimit), Some(Cause::Over)]);
    assert_eq!(bench.due(3600, 9), (1, 0, Some(3660)));
    assert_eq!(bench.due(3660, 9), (1, 0, None));
}

#[test]
fn what_waits_is_counted_until_it_starts_is_replaced_or_given_up() {
    let mut bench = Bench::default();
    let waiting = |bench: &Bench| (bench.schedule.waiting().turns, bench.schedule.waiting().bytes);
    [job(1, 1), job(2, 1), job(1, 2)].into_iter().for_each(|job| bench.accept(job));
    assert_eq!(waiting(&bench), (2, 20), "one took the place of another");
    take(&mut bench);
    [job(1, 1), job(1, 3)].into_iter().for_each(|job| bench.accept(job));
    assert_eq!(waiting(&bench), (2, 20), "one came too late");
    bench.schedule.forget(at(1, 1), GRACE);
    assert_eq!(waiting(&bench), (1, 10));
    bench.schedule.cancel();
    assert_eq!(waiting(&bench), (0, 0));
}

#[test]
fn a_turn_that_is_ended_before_it_starts_leaves_the_others_their_places() {
    let mut bench = Bench::default();
    [job(1, 1), job(2, 2), job(3, 3)].into_iter().for_each(|job| bench.accept(job));
    let turn = |epoch| TurnId::from_uuid(Uuid::from_u128(epoch));
    assert!(bench.schedule.end(at(1, 2), turn(1), GRACE).is_none(), "another turn than the one that is next");
    assert_eq!(bench.schedule.ready(), 3);
    assert!(bench.schedule.end(at(1, 2), turn(2), GRACE).is_none(), "its agent never started");
    let running = bench.take_job().expect("the first");
    assert_eq!((running.claim.epoch, take(&mut bench), take(&mut bench)), (1, Some((3, 3)), None));
    assert!(bench.schedule.end(at(1, 1), turn(3), GRACE).is_none() && !running.token.is_tripped());
    assert!(bench.schedule.end(at(1, 1), turn(1), GRACE).is_some() && running.token.is_tripped());
}

#[test]
fn a_deleted_agent_takes_its_own_turns_along_and_no_others() {
    let mut bench = Bench::default();
    bench.accept(job(1, 1));
    let running = bench.take_job().expect("the first");
    // One that did not start, one of another agent, and one in another workspace.
    [job(2, 1), job(3, 2), job_of(at(2, 4), 1)].into_iter().for_each(|job| bench.accept(job));
    let told = bench.schedule.forget_agent(running.at.workspace, running.agent_id, GRACE);
    assert_eq!(told.len(), 1);
    assert!(running.token.is_tripped());
    assert_eq!((take(&mut bench), take(&mut bench), take(&mut bench)), (Some((3, 2)), Some((4, 1)), None));
}
