//! What agents do: the sender draws it, and it travels with the turn.

use std::sync::mpsc;
use std::time::Duration;

use parlor::{AgentResult, Json, NewMessage, NewTurn, TurnContext, Usage};
use serde::{Deserialize, Serialize};

use crate::child::Notes;
use crate::random::Random;

/// How long agents have that are told to stop.
pub const GRACE: Duration = Duration::from_millis(100);
/// How long a turn may run: less than the longest hang.
pub const TIME_LIMIT: Duration = Duration::from_millis(250);
/// The longest hang.
const HANG: Duration = Duration::from_millis(300);
/// Turns that an agent starts in a row, at most.
const LINKS: u64 = 4;

/// What an agent panics with, which is not to be reported.
pub const PANIC: &str = "as it was told";

/// What an agent is to do with a turn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    act: Act,
    /// For how long, where it takes its time.
    millis: u64,
    /// How many turns follow in a row, where it feeds itself.
    links: u64,
    /// What else it draws.
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Act {
    /// Answers at once.
    Answer,
    /// Says nothing.
    Nothing,
    /// Streams, calls a tool, hears from it, or not, and answers.
    Work,
    /// Returns an error, with a tool call open.
    Fail,
    Panic,
    /// Does nothing, whatever it is told, and then writes.
    Hang,
    /// Goes on writing, whatever it is told.
    Deaf,
    /// Waits, and leaves when it is told to.
    Wait,
    /// Sends to its own session.
    Feed,
}

impl Part {
    pub fn draw(random: &mut Random) -> Self {
        let act = random.weighted(&[
            (40, Act::Answer),
            (4, Act::Nothing),
            (25, Act::Work),
            (6, Act::Fail),
            (6, Act::Panic),
            (8, Act::Hang),
            (5, Act::Deaf),
            (8, Act::Wait),
            (6, Act::Feed),
        ]);
        let longest = if random.once_in(2) { HANG.as_millis() } else { GRACE.as_millis() };
        let millis = random.below(longest as u64);
        Part { act, millis, links: 1 + random.below(LINKS), seed: random.next() }
    }

    /// A turn that says this, with the part for its agent.
    pub fn turn(&self, message: NewMessage) -> parlor::Result<NewTurn> {
        Ok(NewTurn::from(message).user_params(Json::of(self)?))
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.millis)
    }
}

/// Does what the sender drew.
pub fn play(turn: &TurnContext, notes: &Notes) -> AgentResult<Option<NewMessage>> {
    let part: Part = turn.user_params().ok_or("the turn came without a part")?.to()?;
    let mut random = Random::new(part.seed);
    // What an agent says ends with its turn's id: what is written in the name of another turn is found out.
    let say = |what: &str| format!("{what}, of {}", turn.turn().id);
    match part.act {
        Act::Answer => {}
        Act::Nothing => return Ok(None),
        Act::Work => work(turn, &mut random)?,
        Act::Fail => {
            turn.tool_call("fail", "{}")?;
            return Err("it was told to fail".into());
        }
        Act::Panic => std::panic::panic_any(PANIC),
        Act::Hang => {
            pause(part.time());
            turn.message(say("woken"))?;
        }
        Act::Deaf => {
            for _ in 0..4 {
                pause(part.time() / 4);
                // What an abandoned or interrupted one writes is refused, and it goes on all the same.
                let _ = turn.message(say("still here"));
            }
        }
        Act::Wait => {
            turn.cancel_token().wait_timeout(part.time());
            turn.check()?;
        }
        Act::Feed => {
            let links = part.links - 1;
            let act = if links == 0 { Act::Answer } else { Act::Feed };
            let next = Part { act, links, seed: random.next(), ..part };
            let fed = turn.send(next.turn(NewMessage::text("go on"))?)?;
            notes.accepted(turn.session_id(), fed.id());
        }
    }
    Ok(Some(NewMessage::text(say("answered"))))
}

fn work(turn: &TurnContext, random: &mut Random) -> AgentResult<()> {
    for _ in 0..1 + random.below(3) {
        turn.delta("let me see")?;
        let call = turn.tool_call("look", r#"{"at": "it"}"#)?;
        turn.record_usage(Usage { input: 100, output: 10, cost_micros: 7, ..Usage::ZERO })?;
        turn.check()?;
        if !random.once_in(4) {
            turn.tool_result(&call, "x".repeat(random.below(400) as usize))?;
        }
    }
    Ok(())
}

/// Lets time pass.
pub fn pause(time: Duration) {
    let (_kept, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}
