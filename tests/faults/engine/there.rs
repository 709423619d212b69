//! What is read of an engine after a crash: held to the law of its feed, and to what must be there.

use std::collections::{HashMap, HashSet};

use parlor::id::{MessageId, SessionId, TurnId};
use parlor::page::{Direction, MessageQuery};
use parlor::{Change, ChangeKind, Engine, Error, Message, Session, Turn, TurnState};

use super::facts::{Fact, WORKSPACE};
use super::law;

type Checked<T = ()> = Result<T, String>;

/// What was read of an engine in which nothing runs.
pub struct There<'e> {
    engine: &'e Engine,
    sessions: HashMap<SessionId, Feed>,
}

struct Feed {
    session: Session,
    changes: Vec<Change>,
    deleted: HashSet<MessageId>,
    /// Up to this number somebody was told of what is there. What comes after it may be of the opening, which ends turns.
    reached: u64,
}

fn failed(error: Error) -> String {
    format!("it cannot be read: {error:?}")
}

impl<'e> There<'e> {
    pub fn of(engine: &'e Engine) -> Self {
        There { engine, sessions: HashMap::new() }
    }

    /// None where there is no such session.
    fn feed(&mut self, id: SessionId) -> Checked<Option<&Feed>> {
        if !self.sessions.contains_key(&id) {
            let Some(workspace) = self.engine.find_workspace(WORKSPACE).map_err(failed)? else { return Ok(None) };
            let session = match workspace.session(id) {
                Err(error) if error.is_not_found() => return Ok(None),
                found => found.map_err(failed)?,
            };
            self.sessions.insert(id, Feed::read(session)?);
        }
        Ok(self.sessions.get(&id))
    }

    fn due(&mut self, id: SessionId) -> Checked<&Feed> {
        self.feed(id)?.ok_or_else(|| "its session is lost".to_owned())
    }

    /// A message that a follower was told of and that is there has all before it there too.
    pub fn reach(&mut self, fact: &Fact) -> Checked {
        if let Fact::Told(session, told @ Change { kind: ChangeKind::Message(_), .. }) = fact {
            self.feed(*session)?;
            let feed = self.sessions.get_mut(session).filter(|feed| feed.at(told.number) == Some(told));
            feed.into_iter().for_each(|feed| feed.reached = feed.reached.max(told.number));
        }
        Ok(())
    }

    /// Whether there is anything of what is not due. What is there at all is there as a whole.
    pub fn tells_of(&mut self, fact: &Fact) -> Checked<bool> {
        let tells = |feed: Option<&Feed>, is_it: &dyn Fn(&Change) -> bool| {
            feed.is_some_and(|feed| feed.changes.iter().any(is_it))
        };
        Ok(match fact {
            Fact::Message(session, message) => tells(
                self.feed(*session)?,
                &|change| matches!(change.kind, ChangeKind::Message(id) if id == message.id),
            ),
            Fact::Turn(session, turn) => {
                tells(self.feed(*session)?, &|change| matches!(change.kind, ChangeKind::Turn(id, _) if id == *turn))
            }
            Fact::Ended(session, turn) => {
                let found = self.feed(*session)?.and_then(|feed| feed.turn(turn.id).ok());
                // The opening may have ended it in its own way.
                found.is_some_and(|found| found.ended_at == turn.ended_at)
            }
            Fact::Told(session, told) => self.feed(*session)?.is_some_and(|feed| told.number <= feed.reached),
            Fact::Lines(workspace, id, _) => match self.engine.find_workspace(workspace).map_err(failed)? {
                Some(workspace) => workspace.session(*id).is_ok(),
                None => false,
            },
        })
    }

    pub fn has(&mut self, fact: &Fact) -> Checked {
        match fact {
            Fact::Message(session, message) => self.due(*session)?.has(message),
            Fact::Turn(session, turn) => {
                let feed = self.due(*session)?;
                let is_end = |change: &&Change| matches!(change.kind, ChangeKind::Turn(id, state) if id == *turn && state.is_terminal());
                match (feed.turn(*turn)?.state, feed.changes.iter().filter(is_end).count()) {
                    (TurnState::Queued, 0) => Ok(()),
                    (state, 1) if state.is_terminal() => Ok(()),
                    found => Err(format!("its state and how many ends it has are {found:?}")),
                }
            }
            Fact::Ended(session, turn) => {
                let found = self.due(*session)?.turn(turn.id)?;
                if found == **turn { Ok(()) } else { Err(format!("it is {found:?}")) }
            }
            Fact::Told(session, change) => {
                let found = self.due(*session)?.at(change.number);
                if found == Some(change) { Ok(()) } else { Err(format!("in its place stands {found:?}")) }
            }
            Fact::Lines(workspace, id, due) => {
                let workspace = self.engine.find_workspace(workspace).map_err(failed)?.ok_or("it is lost")?;
                let mut lines = Vec::new();
                workspace.session(*id).and_then(|session| session.export(&mut lines)).map_err(failed)?;
                let found = lines_of_session(&lines);
                if found == *due { Ok(()) } else { Err(format!("it goes out as {found}")) }
            }
        }
    }

    /// Every session keeps the law: one of those that were read.
    pub fn check_law(&self) -> Checked {
        self.sessions
            .values()
            .try_for_each(|feed| feed.check_law().map_err(|failure| format!("{}: {failure}", feed.session.id())))
    }
}

/// Of exported lines those of the one session.
pub fn lines_of_session(lines: &[u8]) -> String {
    let lines = String::from_utf8_lossy(lines);
    let is_before = |line: &&str| !line.starts_with(r#"{"line":"session""#);
    let is_of_it = |line: &&str| !line.starts_with(r#"{"line":"end""#);
    lines.lines().skip_while(is_before).take_while(is_of_it).flat_map(|line| [line, "\n"]).collect()
}

impl Feed {
    fn read(session: Session) -> Checked<Self> {
        let mut changes: Vec<Change> = Vec::new();
        loop {
            let read = session.changes(changes.len() as u64, 1000).map_err(failed)?;
            if read.is_empty() {
                break;
            }
            changes.extend(read);
        }
        let deleted = changes.iter().filter_map(|change| match change.kind {
            ChangeKind::Deleted(id) => Some(id),
            _ => None,
        });
        Ok(Feed { session, deleted: deleted.collect(), changes, reached: 0 })
    }

    fn at(&self, number: u64) -> Option<&Change> {
        self.changes.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Numbers are dense, one turn runs at a time and ends once, and nothing is left running; whoever walks by cursor meets
    /// every message that is told of and was not deleted, once and in order.
    fn check_law(&self) -> Checked {
        let running = law::running(&self.changes)?;
        let record = self.session.get().map_err(failed)?;
        if running.is_some() || record.running_turn.is_some() {
            return Err(format!("{running:?} is left running: {record:?}"));
        }
        self.walk()
    }

    fn walk(&self) -> Checked {
        let told = self.changes.iter().filter_map(|change| match change.kind {
            ChangeKind::Message(id) => Some(id),
            _ => None,
        });
        let mut due: Vec<_> = told.filter(|id| !self.deleted.contains(id)).collect();
        let polled = self.poll().map_err(failed)?;
        if polled != due {
            return Err(format!("polling meets {polled:?}, and due is {due:?}"));
        }
        for direction in [Direction::Asc, Direction::Desc] {
            let query = MessageQuery::all().direction(direction).limit(7);
            let walked: Result<Vec<_>, _> =
                self.session.messages(query).iter().map(|read| read.map(|it| it.id)).collect();
            let walked = walked.map_err(failed)?;
            if walked != due {
                return Err(format!("{direction:?}, walking meets {walked:?}, and due is {due:?}"));
            }
            due.reverse();
        }
        Ok(())
    }

    /// Whom a client meets that follows `new_messages` alone.
    fn poll(&self) -> Result<Vec<MessageId>, Error> {
        let mut query = MessageQuery::all().direction(Direction::Asc).limit(5);
        let mut met = Vec::new();
        loop {
            let page = self.session.messages(query).page()?;
            if page.items.is_empty() {
                return Ok(met);
            }
            met.extend(page.items.iter().map(|message| message.id));
            query = page.new_messages.query;
        }
    }

    fn has(&self, due: &Message) -> Checked {
        let is_it = |change: &Change| matches!(change.kind, ChangeKind::Message(id) if id == due.id);
        if !self.changes.iter().any(is_it) {
            return Err("its feed does not tell of it".into());
        }
        match self.session.message(due.id) {
            Ok(found) if found == *due => Ok(()),
            Ok(found) => Err(format!("it is {found:?}")),
            Err(error) if error.is_not_found() && self.deleted.contains(&due.id) => Ok(()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    fn turn(&self, id: TurnId) -> Checked<Turn> {
        self.session.turn(id).and_then(|turn| turn.get()).map_err(|error| format!("{error:?}"))
    }
}
