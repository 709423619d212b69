//! Which sessions there are, how long they are, and in which order their messages arrive.

use crate::rng::Rng;

/// Sessions that get one more message at the very end, one after the other: their order in a listing
/// by activity is then the same for everyone. Appends are measured over them.
pub const ACTIVE: u32 = 100;

/// A conversation as it is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Conversation {
    /// Messages in it.
    pub messages: u32,
    /// Where they stand.
    pub standing: Standing,
}

/// Whether messages stand in a thread of their session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In no thread.
    Loose,
    /// All in one.
    Threaded,
}

impl Standing {
    /// The number of the thread; 0 for none.
    pub const fn thread(self) -> u32 {
        match self {
            Standing::Loose => 0,
            Standing::Threaded => 1,
        }
    }
}

/// Messages of one session that arrive together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Whose.
    pub session: u32,
    /// The number of the first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What is loaded before anything is measured.
pub struct Plan {
    /// The sessions, by number from 0.
    pub sessions: Vec<Conversation>,
    /// Their messages, interleaved; those of one session in order.
    pub chunks: Vec<Chunk>,
    /// The messages that come after all others, one after the other.
    pub last: Vec<Chunk>,
}

impl Plan {
    /// The workload of the table: one session with a tenth of the messages, the rest in sessions of
    /// 1,000, arriving interleaved; and empty sessions, up to `sessions` in all.
    pub fn main(messages: u32, sessions: u32) -> Plan {
        let long = (messages - messages / 10) / 1000;
        let mut lengths = vec![messages / 10];
        lengths.resize(1 + long as usize, 1000);
        lengths.resize(sessions as usize, 0);
        Plan::of(&lengths, Standing::Loose)
    }

    /// One long session, and a hundred that others write to.
    pub fn one(messages: u32) -> Plan {
        let mut lengths = vec![messages];
        lengths.resize(1 + ACTIVE as usize, 0);
        Plan::of(&lengths, Standing::Loose)
    }

    /// Sessions of these lengths, each with all its messages in one thread.
    pub fn threaded(lengths: &[u32]) -> Plan {
        Plan::of(lengths, Standing::Threaded)
    }

    /// A little of everything, to compare answers with.
    pub fn small() -> Plan {
        let lengths: Vec<u32> = [2_500, 0, 1, 49, 50, 51].into_iter().chain([120; 14]).collect();
        let mut plan = Plan::of(&lengths, Standing::Loose);
        for odd in plan.sessions.iter_mut().skip(1).step_by(2) {
            odd.standing = Standing::Threaded;
        }
        plan
    }

    /// Sessions of these lengths.
    fn of(lengths: &[u32], standing: Standing) -> Plan {
        let mut rng = Rng::new(u64::from(lengths.iter().sum::<u32>()));
        let mut order = Vec::new();
        for (session, length) in (0..).zip(lengths) {
            let chunk = chunk_of(*length);
            order.extend(std::iter::repeat_n(session, length.div_ceil(chunk) as usize));
        }
        // Shuffled whose turn it is; the messages of a session keep their order.
        rng.shuffle(&mut order);
        let mut reached = vec![0; lengths.len()];
        let mut chunks = Vec::with_capacity(order.len());
        for session in order {
            let (length, done) = (lengths[session as usize], &mut reached[session as usize]);
            let count = chunk_of(length).min(length - *done);
            chunks.push(Chunk { session, first: *done + 1, count });
            *done += count;
        }
        let mut sessions: Vec<_> = lengths.iter().map(|&messages| Conversation { messages, standing }).collect();
        // Not the longest, whose numbers are to stay round.
        let active = (1..lengths.len() as u32).take(ACTIVE as usize);
        let last = active
            .map(|session| {
                let messages = &mut sessions[session as usize].messages;
                *messages += 1;
                Chunk { session, first: *messages, count: 1 }
            })
            .collect();
        Plan { sessions, chunks, last }
    }

    /// All messages.
    pub fn messages(&self) -> u32 {
        self.sessions.iter().map(|session| session.messages).sum()
    }

    /// Whether this session's messages stand in a thread.
    pub fn standing(&self, session: u32) -> Standing {
        self.sessions.get(session as usize).map_or(Standing::Loose, |session| session.standing)
    }
}

/// How many of a session's messages arrive at once: few, so that sessions mingle, and more of a
/// long one, whose chunks must come one after the other.
fn chunk_of(length: u32) -> u32 {
    (length / 500).clamp(20, 1000)
}

/// The key that a session is known by.
pub fn key(session: u32) -> String {
    format!("session-{session:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_planned_once_and_in_order() {
        let plan = Plan::main(100_000, 1_000);
        let mut reached = vec![0; 1_000];
        for chunk in plan.chunks.iter().chain(&plan.last) {
            assert_eq!(chunk.first, reached[chunk.session as usize] + 1);
            reached[chunk.session as usize] += chunk.count;
        }
        let lengths: Vec<u32> = plan.sessions.iter().map(|session| session.messages).collect();
        assert_eq!(reached, lengths);
        assert_eq!((lengths[0], lengths[1], lengths[90], lengths[91], lengths[999]), (10_000, 1_001, 1_001, 1, 0));
    }
}
