//! One who sends: under every policy, again with the same id, and who interrupts, stops, cancels and waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parlor::{ErrorKind, NewMessage, NewTurn, Policy, Session, TurnHandle};
use uuid::Uuid;

use crate::child::{BUSY_SESSIONS, Counts, Notes};
use crate::part::{Part, pause};
use crate::random::Random;

/// Turns that a sender remembers, to ask for them again.
const KEPT: usize = 16;
/// The longest pause between two of its calls, in milliseconds.
const PACE: u64 = 40;
/// The longest it waits for a turn, in milliseconds.
const PATIENCE: u64 = 100;

pub struct Sender<'a> {
    sessions: &'a [Session],
    notes: &'a Notes,
    counts: &'a Counts,
    random: Random,
    sent: Vec<Sent>,
}

/// A turn that was accepted, and what it takes to send it again.
struct Sent {
    session: usize,
    new: NewTurn,
    handle: TurnHandle,
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Send,
    Again,
    Interrupt,
    Stop,
    Cancel,
    Wait,
}

impl<'a> Sender<'a> {
    pub fn new(sessions: &'a [Session], notes: &'a Notes, counts: &'a Counts, random: Random) -> Self {
        Sender { sessions, notes, counts, random, sent: Vec::new() }
    }

    pub fn send_until(mut self, over: &AtomicBool) {
        while !over.load(Ordering::SeqCst) {
            let call = self.random.weighted(&[
                (70, Call::Send),
                (8, Call::Again),
                (5, Call::Interrupt),
                (2, Call::Stop),
                (5, Call::Cancel),
                (10, Call::Wait),
            ]);
            if let Err(error) = self.call(call) {
                self.notes.breach(format_args!("{call:?} is answered with {:?}: {error}", error.kind()));
            }
            // Bursts, and pauses between them.
            if self.random.once_in(2) {
                pause(Duration::from_millis(self.random.below(PACE)));
            }
        }
    }

    fn call(&mut self, call: Call) -> parlor::Result<()> {
        let sessions = self.sessions;
        let among = if self.random.once_in(2) { BUSY_SESSIONS } else { sessions.len() };
        let number = self.random.below(among as u64) as usize;
        let session = &sessions[number];
        match call {
            Call::Send => return self.send(number),
            Call::Again => return self.again(),
            Call::Interrupt => drop(session.interrupt()?),
            Call::Stop => drop(session.stop()?),
            Call::Cancel => {
                if let Some(sent) = self.any_sent() {
                    match sessions[sent.session].cancel(sent.handle.id()) {
                        // It runs or is over.
                        Err(error) if error.is_conflict() => {}
                        answer => drop(answer?),
                    }
                }
            }
            Call::Wait => {
                let longest = Duration::from_millis(self.random.below(PATIENCE));
                if let Some(sent) = self.any_sent() {
                    sent.handle.wait_timeout(longest)?;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, session: usize) -> parlor::Result<()> {
        let id = Uuid::from_u128(u128::from(self.random.next()) << 64 | u128::from(self.random.next()));
        let text = format!("for session {session}");
        let new = Part::draw(&mut self.random).turn(NewMessage::text(text).id(id))?;
        let policy = self.policy();
        let Some(handle) = self.ask(session, policy, new.clone())? else { return Ok(()) };
        if self.sent.len() == KEPT {
            let oldest = self.random.below(KEPT as u64) as usize;
            self.sent.swap_remove(oldest);
        }
        self.sent.push(Sent { session, new, handle });
        Ok(())
    }

    /// The same again, under any policy: the first one's turn is the answer.
    fn again(&mut self) -> parlor::Result<()> {
        let policy = self.policy();
        let Some(sent) = self.any_sent() else { return Ok(()) };
        let (session, new, first) = (sent.session, sent.new.clone(), sent.handle.id());
        let again = self.ask(session, policy, new)?.map(|handle| handle.id());
        if again != Some(first) {
            self.notes.breach(format_args!("turn {first} was sent again, and the answer is {again:?}"));
        }
        Ok(())
    }

    /// Sends; none where the session refuses, as it may.
    fn ask(&self, session: usize, policy: Policy, new: NewTurn) -> parlor::Result<Option<TurnHandle>> {
        let session = &self.sessions[session];
        self.counts.asked.fetch_add(1, Ordering::Relaxed);
        match session.send_with(policy, new) {
            Ok(handle) => {
                self.notes.accepted(session.id(), handle.id());
                Ok(Some(handle))
            }
            Err(error) if error.is_conflict() && policy == Policy::Reject => {
                self.counts.busy.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::Overloaded => {
                self.counts.overloaded.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn policy(&mut self) -> Policy {
        self.random.weighted(&[
            (3, Policy::Reject),
            (2, Policy::Interrupt),
            (4, Policy::Enqueue),
            (1, Policy::Rollback),
        ])
    }

    fn any_sent(&mut self) -> Option<&Sent> {
        let which = self.random.below(self.sent.len().max(1) as u64) as usize;
        self.sent.get(which)
    }
}
