//! Verification: whatever follows from other rows is recounted and compared.

use std::collections::BTreeSet;
use std::fmt::Debug;

use crate::id::{MessageId, TurnId};
use crate::record::{ChangeKind, Message, MessageType, TurnState, Usage, Webhook, WebhookRow, WebhookState};

use super::State;
use super::session::{Origin, Session, says_nothing};
use super::turn::Run;

/// What was found broken, each in the name of a thing.
struct Breaches {
    name: String,
    found: Vec<String>,
}

impl Breaches {
    /// Compares what stands there with what it must be.
    fn compare<T: PartialEq + Debug>(&mut self, what: &str, stands: T, recounted: T) {
        if stands != recounted {
            self.found.push(format!("{}: {what} is {stands:?}; recounted it is {recounted:?}", self.name));
        }
    }

    fn distinct<T: Ord + Debug>(&mut self, what: &str, all: impl IntoIterator<Item = T>) {
        let mut seen = BTreeSet::new();
        for one in all {
            if seen.contains(&one) {
                self.found.push(format!("{}: {what} {one:?} stands twice", self.name));
            }
            seen.insert(one);
        }
    }

    fn dense(&mut self, what: &str, numbers: impl IntoIterator<Item = u64>) {
        for (recounted, number) in (1..).zip(numbers) {
            self.compare(what, number, recounted);
        }
    }
}

impl State {
    /// Every breach of what must hold between the rows.
    pub fn breaches(&self) -> Vec<String> {
        let mut breaches = Breaches { name: "store".into(), found: Vec::new() };
        let bases = || self.sessions.iter().map(|session| &session.base);
        breaches.distinct("workspace id", self.workspaces.iter().map(|workspace| workspace.id));
        breaches.distinct("workspace name", self.workspaces.iter().map(|workspace| &workspace.name));
        breaches.distinct("agent id", self.agents.iter().map(|agent| (agent.workspace_id, agent.id)));
        breaches.distinct("agent name", self.agents.iter().map(|agent| (agent.workspace_id, &agent.name)));
        let archived = || self.archives.iter().map(|archived| &archived.record);
        let archived_ids = archived().map(|record| (record.workspace_id, record.session_id));
        breaches.distinct("archive name", archived().map(|record| &record.filename));
        breaches.distinct("session id", bases().map(|base| (base.workspace_id, base.id)).chain(archived_ids));
        breaches.distinct("session key", bases().map(|base| (base.workspace_id, base.agent_id, &base.key)));
        for agent in &self.agents {
            breaches.name = format!("agent {}", agent.id);
            let workspace = self.workspace(agent.workspace_id).ok().map(|workspace| workspace.id);
            breaches.compare("workspace", Some(agent.workspace_id), workspace);
        }
        breaches.name = "store".into();
        breaches.distinct("access key id", self.keys.iter().map(|key| key.record.id));
        for key in self.keys.iter().map(|key| &key.record) {
            breaches.name = format!("access key {}", key.id);
            let workspace = self.workspace(key.workspace_id).ok().map(|workspace| workspace.id);
            breaches.compare("workspace", Some(key.workspace_id), workspace);
            let agent = key.agent_id.and_then(|agent| self.agent(key.workspace_id, agent).ok());
            breaches.compare("agent", key.agent_id, agent.map(|agent| agent.id));
        }
        for session in self.announcing() {
            let base = &session.base;
            breaches.name = format!("session {}", base.id);
            let agent = self.agent(base.workspace_id, base.agent_id).ok().map(|agent| &agent.name);
            breaches.compare("agent name", Some(&base.agent_name), agent);
            session.breaches(&mut breaches);
        }
        breaches.found
    }
}

impl Session {
    fn breaches(&self, breaches: &mut Breaches) {
        let session = breaches.name.clone();
        let messages = || self.messages.iter().map(|written| &written.message);
        breaches.distinct("thread id", self.threads.iter().map(|thread| thread.id));
        breaches.distinct("message id", messages().map(|message| message.id));
        breaches.distinct("turn id", self.runs.iter().map(|run| run.turn.id));
        breaches.dense("a thread's number", self.threads.iter().map(|thread| thread.number.into()));
        breaches.dense("a message's number", messages().map(|message| message.number.into()));
        breaches.dense("a turn's number", self.runs.iter().map(|run| run.turn.number.into()));
        let epochs = || self.runs.iter().filter_map(|run| Some(run.claim?.epoch));
        breaches.distinct("a claim's epoch", epochs());
        breaches.compare("last epoch", self.epoch, epochs().max().unwrap_or_default());
        let latest = self.running().and_then(|run| run.claim).map(|claim| claim.epoch);
        breaches.compare("epoch of the running turn", latest.unwrap_or(self.epoch), self.epoch);
        let running = self.runs.iter().filter(|run| run.turn.state == TurnState::Running);
        breaches.compare("more than one running turn", running.count() > 1, false);
        let consumed = self.runs.iter().try_fold(Usage::ZERO, |sum, run| sum.checked_add(run.turn.usage));
        breaches.compare("usage", Some(self.base.usage), consumed);
        let last = self.messages.last().map_or(0, |last| last.message.number);
        let marked = self.mark.as_ref().map_or(1, |mark| mark.message);
        breaches.compare("number of the context mark", (1..=last + 1).contains(&marked), true);
        breaches.dense("an event's number", self.changes.iter().map(|change| change.number));
        self.time_breaches(breaches);
        self.feed_breaches(breaches);
        self.outbox_breaches(breaches);
        for message in messages() {
            breaches.name = format!("{session}, message {}", message.id);
            self.message_breaches(message, breaches);
        }
        for run in &self.runs {
            breaches.name = format!("{session}, turn {}", run.turn.id);
            self.run_breaches(run, breaches);
        }
    }

    /// `ts` rises, `created_at` never falls, and nothing happened after the last change.
    fn time_breaches(&self, breaches: &mut Breaches) {
        for (before, after) in self.messages.iter().zip(self.messages.iter().skip(1)) {
            let (before, after) = (&before.message, &after.message);
            breaches.compare("order of ts", before.ts < after.ts, true);
            breaches.compare("order of created_at", before.created_at <= after.created_at, true);
        }
        let written = self.messages.iter().map(|written| written.message.created_at);
        let opened = self.threads.iter().map(|thread| thread.created_at);
        let turned = self.runs.iter().map(|run| run.turn.ended_at.unwrap_or(run.turn.created_at));
        let latest = written.chain(opened).chain(turned).fold(self.base.created_at, Ord::max);
        breaches.compare("latest time", latest.max(self.base.updated_at), self.base.updated_at);
    }

    /// The feed tells of the creation, of every message, deletion and state of a turn, and of nothing else.
    fn feed_breaches(&self, breaches: &mut Breaches) {
        let (mut created, mut written, mut deleted, mut turned) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut marked, mut moves, mut purged) = (None, Vec::new(), Vec::new());
        for change in &self.changes {
            match change.kind {
                ChangeKind::Created => created.push(change.number),
                ChangeKind::Message(id) => written.push(id),
                ChangeKind::Deleted(id) => {
                    breaches.compare("order of a deletion", written.contains(&id), true);
                    deleted.push(id);
                }
                ChangeKind::Purged(id) => {
                    breaches.compare("order of a purge", deleted.contains(&id), true);
                    purged.push(id);
                }
                ChangeKind::Turn(id, state) => turned.push((id, state)),
                ChangeKind::ContextMark(mark) => marked = mark,
                ChangeKind::Archived | ChangeKind::Restored => moves.push(change.kind),
                // Which fields changed it does not say.
                ChangeKind::Updated => {}
            }
        }
        breaches.compare("event of the creation", created, vec![1]);
        let messages: Vec<MessageId> = self.messages.iter().map(|written| written.message.id).collect();
        breaches.compare("events of messages", written, messages);
        breaches.distinct("deletion", &deleted);
        breaches.compare("events of deletions", deleted.iter().copied().collect(), self.deleted.clone());
        breaches.distinct("purge", &purged);
        let erased = |id: &MessageId| {
            self.messages.iter().any(|written| written.message.id == *id && says_nothing(&written.message))
        };
        breaches.compare("messages that were purged", purged.iter().all(erased), true);
        breaches.compare("event of the context mark", marked, self.mark.as_ref().map(|mark| mark.message));
        let due = [ChangeKind::Archived, ChangeKind::Restored].into_iter().cycle().take(moves.len());
        breaches.compare("events of archiving and restoring", moves.clone(), due.collect());
        self.turn_events(&turned, breaches);
    }

    /// Each turn came from state to state as it may, and one runs at a time.
    fn turn_events(&self, turned: &[(TurnId, TurnState)], breaches: &mut Breaches) {
        let mut running = None;
        for &(id, state) in turned {
            breaches.compare(
                "turn beside a running one",
                running.is_none_or(|other| other == id) || state != TurnState::Running,
                true,
            );
            match state {
                TurnState::Running => running = Some(id),
                _ if running == Some(id) => running = None,
                _ => {}
            }
        }
        for Run { turn, claim, .. } in self.runs.iter().map(|run| &**run) {
            let states: Vec<TurnState> =
                turned.iter().filter(|(id, _)| *id == turn.id).map(|(_, state)| *state).collect();
            let queued = states.first() == Some(&TurnState::Queued);
            let attempts = if claim.is_some() { turn.attempt as usize } else { 0 };
            let mut due = vec![TurnState::Queued; usize::from(queued)];
            due.extend(vec![TurnState::Running; attempts]);
            due.extend(Some(turn.state).filter(|state| state.is_terminal()));
            breaches.compare("events of a turn", (turn.id, states), (turn.id, due));
        }
    }

    /// Every ended turn with a webhook waits to be announced, is dead, or was announced.
    fn outbox_breaches(&self, breaches: &mut Breaches) {
        let told = |row: &WebhookRow| {
            let event = self.changes.iter().find(|change| change.number == row.number);
            event.map(|event| event.kind)
        };
        for row in &self.outbox {
            breaches.compare("event of an announcement", told(row), Some(ChangeKind::Turn(row.turn_id, row.status)));
            if row.state == WebhookState::Dead {
                let Webhook { token, secret, .. } = &row.webhook;
                breaches.compare("secrets of a dead announcement", (token.is_some(), secret.is_some()), (false, false));
            }
        }
        let numbers: Vec<u64> = self.outbox.iter().map(|row| row.number).collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        breaches.compare("order of the outbox", numbers, sorted);
        let known: BTreeSet<TurnId> = self.outbox.iter().map(|row| row.turn_id).chain(self.announced.clone()).collect();
        let ended = self.runs.iter().filter(|run| run.turn.state.is_terminal() && run.webhook.is_some());
        breaches.compare("outbox", known, ended.map(|run| run.turn.id).collect());
    }

    fn message_breaches(&self, message: &Message, breaches: &mut Breaches) {
        breaches.compare("session", message.session_id, self.base.id);
        let thread = message.thread_id.filter(|id| self.thread(*id).is_ok());
        breaches.compare("thread", message.thread_id, thread);
        let turn = message.turn_id.and_then(|id| self.run(id).ok());
        breaches.compare("turn", message.turn_id, turn.map(|run| run.turn.id));
        if let Some(run) = turn {
            breaches.compare("thread of its turn", message.thread_id, Some(run.turn.thread_id));
        }
    }

    fn run_breaches(&self, run: &Run, breaches: &mut Breaches) {
        let turn = &run.turn;
        breaches.compare("session", turn.session_id, self.base.id);
        breaches.compare("turn of its claim", run.claim.map_or(turn.id, |claim| claim.turn), turn.id);
        if turn.state == TurnState::Queued {
            breaches.compare("trace of a waiting turn", (run.claim, turn.messages, turn.started_at), (None, 0, None));
        }
        let of_turn = || self.messages.iter().filter(|written| written.message.turn_id == Some(turn.id));
        let (started, wrote): (Vec<_>, Vec<_>) =
            of_turn().partition(|written| matches!(written.origin, Origin::Submit(_)));
        let started: Vec<MessageId> = started.iter().map(|written| written.message.id).collect();
        breaches.compare("message that started it", vec![turn.message_id], started);
        breaches.compare("messages", u64::from(turn.messages), wrote.len() as u64);
        let answer = wrote.iter().find(|written| written.message.kind == MessageType::FinalMessage);
        breaches.compare("final message", turn.final_message, answer.map(|written| written.message.id));
        let (ended, completed) = (turn.state.is_terminal(), turn.state == TurnState::Completed);
        breaches.compare("end", turn.ended_at.is_some(), ended);
        breaches.compare("reason", turn.reason.is_some(), ended && !completed);
        breaches.compare("answer", turn.final_message.is_none() || completed, true);
        let started_at = turn.started_at.unwrap_or(turn.created_at);
        breaches.compare("start", started_at.max(turn.created_at), started_at);
        let ended_at = turn.ended_at.unwrap_or(turn.created_at);
        breaches.compare("order of its times", ended_at.max(turn.created_at), ended_at);
    }
}
