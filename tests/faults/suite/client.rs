//! Who writes: operations drawn at random, each done to a model first, so that it is known what it must lead to.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parlor::id::{AgentId, MessageId, SessionId, Stamp, TurnId, WorkspaceId};
use parlor::store::{Append, ArchiveRef, Claim, CreateSession, EnsureAgent, EnsureWorkspace, SessionRef, Store};
use parlor::testkit::ModelStore;
use parlor::{Error, ErrorKind, NewSession, Result, Timestamp, TurnState};
use uuid::Uuid;

use super::content::place_of;
use super::house::{self, Home};
use super::op::{Answer, Op};
use super::random::Random;
use super::record::Record;
use super::state::State;

pub const WORKSPACE: &str = "acme";

const BEGIN_MICROS: u64 = 1_777_573_302_000_000;

/// Workspace and agent, with the same ids in every store.
pub fn set_up(store: &dyn Store) -> Result<(WorkspaceId, AgentId)> {
    let workspace = store.ensure_workspace(EnsureWorkspace { stamp: first_stamp(1), name: WORKSPACE.into() })?.id;
    let agent = store.ensure_agent(EnsureAgent { stamp: first_stamp(2), workspace, name: "greeter".into() })?;
    Ok((workspace, agent.id))
}

/// A stamp of the beginning.
pub fn first_stamp(seed: u64) -> Stamp {
    Stamp::new(Timestamp::from_micros(BEGIN_MICROS), seed)
}

/// The session in which everybody writes.
pub fn shared(workspace: WorkspaceId) -> SessionRef {
    SessionRef { workspace, session: SessionId::from_uuid(Uuid::from_u128(7)) }
}

pub fn make_shared(store: &dyn Store, (workspace, agent): (WorkspaceId, AgentId)) -> Result<()> {
    let new = NewSession::default().id(shared(workspace).session);
    let stamp = first_stamp(3);
    store.create_session(CreateSession { stamp, workspace, agent, new, first: None }).map(drop)
}

/// One of those who write, to sessions of its own and to the shared one.
pub struct Client {
    pub(super) random: Random,
    record: Arc<Record>,
    pub(super) model: ModelStore,
    /// What the model was told.
    done: Vec<Op>,
    pub(super) names: (WorkspaceId, AgentId),
    pub(super) sessions: Vec<Mine>,
    /// Those that were deleted, whose ids may be used again.
    pub(super) gone: Vec<SessionRef>,
    pub(super) archived: Vec<(Mine, ArchiveRef)>,
    /// What is in archives, the one that was made last of each session.
    contents: HashMap<SessionId, State>,
    pub(super) home: Home,
    pub(super) clock: u64,
    /// In whose name turns run: another one in each life of the process.
    pub(super) owner: u128,
    /// Nobody else has turns.
    pub(super) is_alone: bool,
    /// So many steps more look for what the process before left.
    pub(super) looks_back: u32,
    /// The kinds of operations that were acknowledged.
    pub kinds: BTreeSet<String>,
    /// How many writes with a claim that no longer holds were refused.
    pub fenced: u64,
    /// What was drawn has such a claim.
    pub(super) is_stale: bool,
    /// What is neither known to be there nor not to be.
    pub unknown: Option<Unknown>,
}

pub(super) struct Mine {
    pub(super) at: SessionRef,
    pub(super) claim: Option<Claim>,
    /// Those that no longer hold.
    pub(super) stale: Vec<Claim>,
    pub(super) messages: Vec<MessageId>,
    /// Turns that waited once.
    pub(super) queued: Vec<TurnId>,
    /// Messages that were soft-deleted.
    pub(super) deleted: Vec<MessageId>,
}

impl Mine {
    fn new(at: SessionRef) -> Self {
        let (stale, messages, queued, deleted) = Default::default();
        Mine { at, claim: None, stale, messages, queued, deleted }
    }

    /// Its running turn is run with this claim from now on.
    fn hold(&mut self, claim: Option<Claim>) {
        if claim != self.claim {
            self.stale.extend(self.claim);
            self.claim = claim;
        }
    }
}

/// An operation whose outcome is unknown.
pub struct Unknown {
    track: usize,
    op: Op,
    answer: Answer,
}

/// What became of a step.
#[derive(Debug)]
pub enum Went {
    Well,
    /// It was refused, and the model refuses it too.
    Refused,
    /// It failed.
    Failed(Error),
}

impl Client {
    pub fn new(seed: u64, record: Arc<Record>) -> Self {
        let model = ModelStore::new();
        let names = set_up(&model).expect("the model takes it");
        Client {
            random: Random::new(seed),
            record,
            model,
            done: Vec::new(),
            names,
            sessions: Vec::new(),
            gone: Vec::new(),
            archived: Vec::new(),
            contents: HashMap::new(),
            home: Home::default(),
            clock: BEGIN_MICROS,
            owner: 1,
            is_alone: false,
            looks_back: 0,
            kinds: BTreeSet::new(),
            fenced: 0,
            is_stale: false,
            unknown: None,
        }
    }

    /// One that alone has turns: it may do what finds one of all there are.
    pub fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// As many as are wanted, each with numbers of its own.
    pub fn several(count: u64, seed: u64, record: &Arc<Record>) -> Vec<Self> {
        let client = |number| Client::new(seed ^ (number << 56), Arc::clone(record));
        if count == 1 { vec![client(0).alone()] } else { (0..count).map(client).collect() }
    }

    /// The process is another one: turns of the one before are orphans.
    pub fn begin_life(&mut self) {
        self.owner += 1;
        self.looks_back = 4;
    }

    /// Does something.
    pub fn step(&mut self, store: &dyn Store, with_shared: bool) -> Went {
        if with_shared && self.random.one_in(4) {
            return self.append_shared(store);
        }
        let op = self.draw();
        let is_stale = std::mem::take(&mut self.is_stale);
        let before = match &op {
            Op::Archive(op) => State::of(&self.model, op.at).expect("the model can be read"),
            _ => None,
        };
        let expected = match op.apply(&self.model) {
            Ok(answer) if is_stale => panic!("{op:?} has a claim that no longer holds, and is answered {answer:?}"),
            Ok(answer) => answer,
            Err(expected) => {
                assert!(!is_stale || expected.kind() == ErrorKind::Fenced, "{op:?} is refused as {expected:?}");
                return match op.apply(store) {
                    Err(error) if error.kind() == expected.kind() => {
                        self.fenced += u64::from(is_stale);
                        Went::Refused
                    }
                    Err(error) => Went::Failed(error),
                    Ok(answer) => panic!("{op:?} must be refused as {expected:?}, and answers {answer:?}"),
                };
            }
        };
        let Some(at) = op.at(&expected) else {
            return match op.apply(store) {
                Ok(answer) if answer == expected => Went::Refused,
                Ok(answer) => panic!("{op:?} finds nothing, and answers {answer:?}"),
                Err(error) => Went::Failed(error),
            };
        };
        let track = self.record.track(at);
        let state = State::of(&self.model, at).expect("the model can be read");
        let state = state.map(|state| self.with_content(&op, before, state));
        self.record.submit(track, state);
        match op.apply(store) {
            Ok(answer) => {
                self.record.acknowledge(track);
                assert_eq!(answer, expected, "{op:?}");
                self.kinds.insert(op.kind());
                if matches!(op, Op::ReplaceKey(_)) && self.home.has_agent_keys() {
                    self.kinds.insert("ReplaceKey that closes agents' keys".into());
                }
                self.learn(at, op, &answer);
                Went::Well
            }
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                self.unknown = Some(Unknown { track, op, answer: expected });
                Went::Failed(error)
            }
            Err(error) => {
                self.record.withdraw(track);
                self.rebuild();
                Went::Failed(error)
            }
        }
    }

    /// A state that says what is in its archive, if it is one; of a session that was archived now, what it was `before`.
    fn with_content(&mut self, op: &Op, before: Option<State>, state: State) -> State {
        let Some(archive) = &state.archive else { return state };
        let id = archive.session_id;
        let content = match (op, before) {
            (Op::Archive(_), Some(before)) => Some(before.archived(archive)),
            (Op::Import(_, from), _) => {
                let (of, _) = self.archived.iter().find(|(_, archive)| archive == from).expect("it was drawn");
                self.contents.get(&of.at.session).map(|content| content.clone().renamed(id))
            }
            _ => self.contents.get(&id).cloned(),
        };
        let content = content.expect("it was archived or imported before");
        self.contents.insert(id, content.clone());
        state.holding(content)
    }

    /// Learns whether what is unknown is there. Whether it is.
    pub fn settle(&mut self, steps: &[usize]) -> bool {
        let Some(Unknown { track, op, answer }) = self.unknown.take() else { return false };
        if steps.get(track).copied().unwrap_or(0) == self.record.submitted(track) {
            self.record.acknowledge(track);
            let at = self.record.places()[track];
            self.learn(at, op, &answer);
            true
        } else {
            self.record.withdraw(track);
            self.rebuild();
            false
        }
    }

    /// Sends what is unknown again, whose ids make that safe. Whether there was anything.
    pub fn retry(&mut self, store: &dyn Store) -> bool {
        let Some(Unknown { op: Op::Append(op), .. }) = &self.unknown else { return false };
        let written = store.append(op.clone()).expect("it is repeated");
        let Some(Unknown { track, op, answer }) = self.unknown.take() else { return false };
        assert_eq!(Answer::Written(written), answer);
        self.record.acknowledge(track);
        let at = self.record.places()[track];
        self.learn(at, op, &answer);
        true
    }

    /// The model without what it was told last.
    fn rebuild(&mut self) {
        self.model = ModelStore::new();
        set_up(&self.model).expect("the model takes it");
        for op in &self.done {
            op.apply(&self.model).expect("the model took it before");
        }
    }

    fn learn(&mut self, at: SessionRef, op: Op, answer: &Answer) {
        let (deletes, deletes_archive) = (matches!(op, Op::DeleteSession(_)), matches!(op, Op::DeleteArchive(..)));
        let (imports, announces) =
            (matches!(op, Op::Import(..)), matches!(op, Op::Delivered(_) | Op::Undelivered(_) | Op::Redrive(_)));
        let deleted = match &op {
            Op::Delete(op) => Some(op.message),
            _ => None,
        };
        self.done.push(op);
        if house::is_house(at) {
            return self.home.learn(&self.model, at.workspace);
        }
        if announces {
            return;
        }
        if deletes {
            self.sessions.retain(|mine| mine.at != at);
            self.gone.push(at);
            return;
        }
        if deletes_archive {
            self.archived.retain(|(mine, _)| mine.at != at);
            self.gone.push(at);
            return;
        }
        if let (true, Answer::Archived(record)) = (imports, answer) {
            self.archived.push((Mine::new(at), place_of(record)));
            return;
        }
        if let Answer::Archived(record) = answer {
            if let Some(index) = self.sessions.iter().position(|mine| mine.at == at) {
                self.archived.push((self.sessions.remove(index), place_of(record)));
            }
            return;
        }
        if let Some(index) = self.archived.iter().position(|(mine, _)| mine.at == at) {
            self.sessions.push(self.archived.remove(index).0);
        }
        self.gone.retain(|gone| *gone != at);
        let known = self.sessions.iter().position(|mine| mine.at == at).unwrap_or_else(|| {
            self.sessions.push(Mine::new(at));
            self.sessions.len() - 1
        });
        let mine = &mut self.sessions[known];
        mine.deleted.extend(deleted);
        match answer {
            Answer::Created(created) => {
                mine.hold(created.first.as_ref().and_then(|first| first.claim));
                mine.messages.extend(created.first.as_ref().map(|first| first.message.id));
            }
            Answer::Written(messages) => mine.messages.extend(messages.iter().map(|message| message.id)),
            Answer::Submitted(submitted) => {
                // One that waits leaves the running turn its claim.
                let promoted = submitted.promoted.as_ref().map(|started| started.claim);
                mine.hold(submitted.claim.or(promoted).or(mine.claim));
                mine.messages.push(submitted.message.id);
                mine.queued.extend((submitted.turn.state == TurnState::Queued).then_some(submitted.turn.id));
            }
            Answer::Ended(finished) => {
                if let Some(finished) = &**finished {
                    mine.hold(finished.next.as_ref().map(|next| next.claim));
                    mine.messages.extend(finished.turn.final_message);
                }
            }
            Answer::Stopped(_) => mine.hold(None),
            Answer::Deleted | Answer::Marked | Answer::Updated(_) | Answer::Archived(_) | Answer::Restored(_) => {}
            Answer::Forked(_) | Answer::Cancelled(_) | Answer::Row(_) | Answer::Driven(_) => {}
            Answer::Recovered(recovered) => mine.hold(recovered.again.first().map(|started| started.claim)),
            Answer::Promoted(started) => mine.hold(started.first().map(|started| started.claim)),
            Answer::House(_) | Answer::Agent(_) | Answer::Key(_) => {}
        }
    }

    fn append_shared(&mut self, store: &dyn Store) -> Went {
        let messages = self.batch();
        let ids = messages.iter().filter_map(|message| message.id).collect();
        let batch = self.record.submit_batch(ids);
        let append = Append { stamp: self.stamp(), at: shared(self.names.0), thread: None, messages };
        match store.append(append) {
            Ok(written) => {
                self.record.acknowledge_batch(batch, written);
                Went::Well
            }
            Err(error) => {
                if error.kind() != ErrorKind::OutcomeUnknown {
                    self.record.withdraw_batch(batch);
                }
                Went::Failed(error)
            }
        }
    }

    pub(super) fn stamp(&mut self) -> Stamp {
        self.clock += self.random.below(2_000_000);
        Stamp::new(Timestamp::from_micros(self.clock), self.random.next() >> 2)
    }

    pub(super) fn id(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.random.next() | 1, self.random.next())
    }
}

/// Writes what no client reads: a workspace of this name.
pub fn write_elsewhere(store: &dyn Store, name: &str) -> Result<()> {
    let seed = 4 + name.bytes().map(u64::from).sum::<u64>();
    store.ensure_workspace(EnsureWorkspace { stamp: first_stamp(seed), name: name.into() }).map(drop)
}
