//! Who waits is woken: by every write, after its commit, without a thread of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use parlor::store::Store;
use parlor::{AgentHandle, Follow, NewSession, Session, TurnState, Watch};

use super::support::{Faulty, echo, gate, on_every_store, open, session};
use super::{Count, feed, rest};

#[test]
fn a_write_between_the_read_and_the_sleep_is_not_missed() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let store: Arc<dyn Store> = Arc::clone(&faulty) as _;
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let (gate, keeper) = gate();
        faulty.hold_read(gate);
        let mut follow = session.follow(1);
        let follower = thread::spawn(move || follow.next().unwrap().unwrap().number);
        // It has read that there is nothing, and does not sleep yet.
        keeper.arrival();
        session.append(["hello"]).unwrap();
        keeper.open();
        assert_eq!(follower.join().unwrap(), 2);
        engine.close().unwrap();
    });
}

/// Writes and waits in step, as often as it takes to meet in every way.
fn no_wake_up_is_lost(engine_session: impl Fn() -> Session, rounds: usize, next: impl Fn(&mut Follow) -> u64 + Sync) {
    const EVENTS: u64 = 20;
    for round in 0..rounds {
        let session = engine_session();
        let step = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut follow = session.follow(1);
                for number in 2..2 + EVENTS {
                    step.wait();
                    assert_eq!(next(&mut follow), number, "round {round}");
                }
            });
            for _ in 0..EVENTS {
                step.wait();
                session.append(["hello"]).unwrap();
            }
        });
    }
}

#[test]
fn no_wake_up_is_lost_by_a_thread_or_a_task_that_goes_to_sleep_as_the_write_comes() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = || session(&engine, "echo");
        no_wake_up_is_lost(session, 25, |follow| follow.next().unwrap().unwrap().number);
        no_wake_up_is_lost(session, 25, |follow| {
            pollster::block_on(std::future::poll_fn(|cx| follow.poll_next(cx))).unwrap().unwrap().number
        });
        engine.close().unwrap();
    });
}

#[test]
fn no_wake_up_is_lost_by_a_watch_that_goes_to_sleep_as_the_write_comes() {
    const ROUNDS: u64 = 500;
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let mut watch = engine.workspace("acme").unwrap().watch();
        let step = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                for change in 2..2 + ROUNDS {
                    step.wait();
                    // It may be told again with the number before, never with another.
                    let mut told = || watch.next().unwrap().unwrap().change;
                    let first = told();
                    assert!(first == change || (first == change - 1 && told() == change));
                }
            });
            for _ in 0..ROUNDS {
                step.wait();
                session.append(["hello"]).unwrap();
            }
        });
        engine.close().unwrap();
    });
}

/// Every follower asks, and answers with the number of its next event, or 0 where it waits.
fn poll_all(follows: &mut [Follow], count: &Arc<Count>) -> Vec<u64> {
    let poll = |follow: &mut Follow| match count.poll(|cx| follow.poll_next(cx)) {
        Poll::Ready(change) => change.unwrap().unwrap().number,
        Poll::Pending => 0,
    };
    follows.iter_mut().map(poll).collect()
}

#[test]
fn a_thousand_may_follow_one_session() {
    const FOLLOWERS: usize = 1000;
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let count = Arc::new(Count::default());
        let mut follows: Vec<_> = (0..FOLLOWERS).map(|_| session.follow(1)).collect();
        assert_eq!(poll_all(&mut follows, &count), [0; FOLLOWERS]);
        for number in 2..5 {
            session.append(["hello"]).unwrap();
            assert_eq!(poll_all(&mut follows, &count), [number; FOLLOWERS]);
            assert_eq!(poll_all(&mut follows, &count), [0; FOLLOWERS]);
        }
        assert_eq!(count.get(), 3 * FOLLOWERS, "each was woken once a commit");
        // Half of them lose interest: that takes nothing from the others.
        follows.truncate(FOLLOWERS / 2);
        session.append(["a", "b", "c"]).unwrap();
        assert_eq!(count.get(), 3 * FOLLOWERS + FOLLOWERS / 2, "once a commit, whatever it writes");
        assert!(follows.iter_mut().all(|follow| rest(follow).len() == 3));
        engine.close().unwrap();
    });
}

/// So many sessions, made by several threads, which share commits.
fn sessions(agent: &AgentHandle, total: usize) -> Vec<Session> {
    const THREADS: usize = 50;
    let make = || (0..total / THREADS).map(|_| agent.create_session(NewSession::default()).unwrap());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| make().collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn each_of_ten_thousand_sessions_may_have_its_follower() {
    const SESSIONS: usize = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open().unwrap();
    let workspace = engine.workspace("acme").unwrap();
    let sessions = sessions(&workspace.agent("any").unwrap(), SESSIONS);
    let counts: Vec<_> = sessions.iter().map(|_| Arc::new(Count::default())).collect();
    let mut follows: Vec<_> = sessions.iter().map(|session| session.follow(1)).collect();
    let mut watch = workspace.watch();
    for (follow, count) in follows.iter_mut().zip(&counts) {
        assert!(count.poll(|cx| follow.poll_next(cx)).is_pending());
    }
    for session in sessions.iter().step_by(100) {
        session.append(["hello"]).unwrap();
    }
    for (nth, (follow, count)) in follows.iter_mut().zip(&counts).enumerate() {
        let told = usize::from(nth % 100 == 0);
        assert_eq!((count.get(), rest(follow).len()), (told, told), "follower {nth}");
    }
    let watched = std::iter::from_fn(|| watch.try_next()).map(|watched| watched.unwrap().session);
    assert!(watched.eq(sessions.iter().step_by(100).map(Session::id)));
    engine.close().unwrap();
    assert!(counts.iter().all(|count| count.get() >= 1), "the close wakes those who still waited");
    assert!(follows.iter_mut().all(|follow| follow.next().is_none()));
}

/// One who follows a session and watches both of its scopes, each with a count of its own.
struct Ears {
    session: Session,
    follow: Follow,
    watches: [Watch; 2],
    counts: [Arc<Count>; 3],
}

impl Ears {
    /// Nothing is there to be told, and the next write wakes all three once.
    fn settle(&mut self, what: &str) {
        self.counts = Default::default();
        let [follow, watches @ ..] = &self.counts;
        assert!(follow.poll(|cx| self.follow.poll_next(cx)).is_pending(), "{what}");
        for (watch, count) in self.watches.iter_mut().zip(watches) {
            assert!(count.poll(|cx| watch.poll_next(cx)).is_pending(), "{what}");
        }
    }

    /// All three are woken by what this does, and are told all of it.
    fn hear<T>(&mut self, what: &str, act: impl FnOnce(&Session) -> T) -> T {
        self.settle(what);
        let after = self.follow.reached();
        let answer = act(&self.session);
        // The end of a turn can be read before all are woken.
        while self.counts.iter().any(|count| count.get() == 0) {
            thread::yield_now();
        }
        let told = rest(&mut self.follow);
        assert!(!told.is_empty(), "{what}");
        assert_eq!(told, feed(&self.session, after), "{what}");
        for watch in &mut self.watches {
            let watched = watch.next().unwrap().unwrap();
            assert_eq!((watched.session, watched.change), (self.session.id(), self.follow.reached()), "{what}");
        }
        assert!(self.counts.iter().all(|count| count.get() == 1), "{what}");
        answer
    }
}

#[test]
fn whatever_is_written_wakes_those_who_follow_and_those_who_watch() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                gate.pass("accepted");
                turn.message("on the way")?;
                gate.pass("emitted");
                Ok("done")
            })
        });
        let arrives = |at: &str| assert_eq!(keeper.arrival(), at);
        let workspace = engine.workspace("acme").unwrap();
        let agent = workspace.agent("worker").unwrap();
        let mut watches = [workspace.watch(), agent.watch()];
        let session = agent.create_session(NewSession::default()).unwrap();
        for watch in &mut watches {
            assert_eq!(watch.next().unwrap().unwrap().session, session.id());
        }
        let mut ears = Ears { follow: session.follow(1), session, watches, counts: Default::default() };

        let written = ears.hear("append", |session| session.append(["hello"]).unwrap());
        ears.hear("delete", |session| session.delete_message(written[0].id).unwrap());
        let first = ears.hear("send", |session| session.send("hello").unwrap());
        arrives("accepted");
        ears.hear("emit", |_| {
            keeper.open();
            arrives("emitted");
        });
        let second = ears.hear("follow-up", |session| session.follow_up("else").unwrap());
        assert_eq!(first.wait().unwrap().state(), TurnState::Interrupted);
        // The old agent returns: its answer is refused, which is no news.
        keeper.open();
        arrives("accepted");
        ears.settle("fenced");
        keeper.open();
        arrives("emitted");
        assert_eq!(rest(&mut ears.follow).len(), 1);
        assert!(ears.watches.iter_mut().all(|watch| watch.next().unwrap().is_ok()));
        ears.hear("end", |_| {
            keeper.open();
            assert_eq!(second.wait().unwrap().text(), "done");
        });
        ears.hear("append to a thread", |session| session.append_to(second.thread_id(), ["more"]).unwrap());

        let (started, turn) = agent.start_session(NewSession::default(), "hello").unwrap();
        for watch in &mut ears.watches {
            assert_eq!(watch.next().unwrap().unwrap().session, started.id());
        }
        arrives("accepted");
        drop(keeper);
        turn.wait().unwrap();
        engine.close().unwrap();
    });
}

/// When it is woken, it asks again and writes: whoever wakes it holds no lock and has committed.
struct Eager {
    session: Session,
    follow: Mutex<Option<Follow>>,
    told: AtomicU64,
}

impl Eager {
    fn ask(self: &Arc<Self>) {
        let Some(mut follow) = self.follow.lock().unwrap().take() else { return };
        let waker = Waker::from(Arc::clone(self));
        while let Poll::Ready(change) = follow.poll_next(&mut Context::from_waker(&waker)) {
            let Some(change) = change else { return };
            let number = change.unwrap().number;
            self.told.store(number, Ordering::SeqCst);
            if number < 20 && number % 2 == 0 {
                // Its own write wakes it again, from within; it is then asking already.
                self.session.append(["an answer"]).unwrap();
            }
        }
        *self.follow.lock().unwrap() = Some(follow);
    }
}

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        self.ask();
    }
}

#[test]
fn a_waker_may_read_and_write_for_it_is_called_after_the_commit_and_outside_every_lock() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let follow = Mutex::new(Some(session.follow(1)));
        let eager = Arc::new(Eager { session: session.clone(), follow, told: AtomicU64::new(0) });
        eager.ask();
        for number in (2..20).step_by(2) {
            session.append(["a question"]).unwrap();
            // It was told, and its answer was written, before the call returned.
            assert_eq!(eager.told.load(Ordering::SeqCst), number + 1);
        }
        engine.close().unwrap();
    });
}
