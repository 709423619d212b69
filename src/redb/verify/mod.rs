//! Checks every invariant between the tables, and describes each breach.
//!
//! Numbers are dense; every index row has its record and the reverse; the heads' counts and
//! clocks are those of the rows; totals are recounted; claims and running turns are each other's, and so are the queue
//! and the turns that wait.

mod archives;
mod index;
mod outbox;
mod positions;
mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

use self::positions::Lists;
use super::codec::{
    self, ChangeRow, ClaimRow, CountRow, HeadRow, Id, ListedRow, MessageRow, NumberRow, Row, SessionRow, ThreadRow,
    TurnRow, state_byte,
};
use super::hidden::Hidden;
use super::positions::Times;
use super::remnant::{self, Remnant};
use super::tables::{Table, activity, claims, names, rows, session_of, sessions};
use super::view::Read;
use crate::error::Result;
use crate::page::Direction;
use crate::record::{TurnState, Usage};

/// Every breach in the file.
pub(super) fn all(view: &dyn Read) -> Result<Vec<String>> {
    let mut check = Check {
        view,
        breaches: Vec::new(),
        live: BTreeMap::new(),
        deleted: remnant::all(view)?,
        hidden: Hidden::of(view)?,
        hidden_sessions: 0,
        archived: Vec::new(),
    };
    let (mut numbers, mut marked) = (Vec::new(), Vec::new());
    view.scan(Table::Sessions, (Bound::Unbounded, Bound::Unbounded), Direction::Asc, &mut |key, _| {
        match key.split_last_chunk::<1>() {
            Some((number, [0])) => numbers.extend(number.try_into().map(u32::from_be_bytes)),
            Some((number, [2])) => marked.extend(number.try_into().map(u32::from_be_bytes)),
            Some((_, [1])) => {}
            _ => check.breaches.push(format!("sessions has a key {} of no known form", codec::hex(key))),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for number in &numbers {
        check.session(*number)?;
    }
    for number in marked {
        if numbers.binary_search(&number).is_err() {
            check.breaches.push(format!("a context mark stands below session {number}, which is not there"));
        }
    }
    check.waiting(&numbers)?;
    check.counts()?;
    check.names(numbers.len().saturating_sub(check.hidden_sessions))?;
    check.scopes()?;
    check.remnants()?;
    check.archives()?;
    check.outbox()?;
    check.strays(&numbers)?;
    Ok(check.breaches)
}

struct Check<'v> {
    view: &'v dyn Read,
    breaches: Vec<String>,
    /// Live sessions by scope.
    live: BTreeMap<u32, u64>,
    /// Sessions that were deleted, of which some may be left.
    deleted: Vec<u32>,
    /// Agents that were deleted, of which some may be left, and how many sessions of theirs are.
    hidden: Hidden,
    hidden_sessions: usize,
    /// The numbers that archived sessions had, in order.
    archived: Vec<u32>,
}

impl Check<'_> {
    fn breach(&mut self, session: u32, what: impl std::fmt::Display) {
        self.breaches.push(format!("session {session}: {what}"));
    }

    /// A row that borrows nothing; damage and absence are breaches.
    fn row<R: for<'r> Row<'r>>(&mut self, session: u32, table: Table, key: &[u8]) -> Result<Option<R>> {
        match self.view.plain::<R>(table, key) {
            Ok(Some(row)) => return Ok(Some(row)),
            Ok(None) => self.breach(session, format_args!("{} is missing", <R as Row<'_>>::WHAT)),
            Err(error) => self.breach(session, error),
        }
        Ok(None)
    }

    fn session(&mut self, session: u32) -> Result<()> {
        let key = sessions::body(session);
        let read = self.view.row(Table::Sessions, &key, |value| {
            let row: SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
            Ok((row.id, row.workspace, row.agent, row.key.to_owned()))
        });
        let body = match read {
            Ok(body) => body,
            Err(error) => {
                self.breach(session, error);
                None
            }
        };
        let Some(head) = self.row::<HeadRow>(session, Table::Sessions, &sessions::head(session))? else {
            return Ok(());
        };
        if let Some((id, workspace, agent, name)) = body {
            let by = [names::session_id(workspace, &id), names::session_key(agent, &name)];
            for key in by {
                self.leads_to(session, Table::Names, &key, session)?;
            }
            self.agent(session, [workspace, agent], &head)?;
            for scope in [workspace, agent] {
                self.listed(session, &activity::at(scope, head.updated_at, &id), &head)?;
            }
        }
        self.messages(session, &head)?;
        self.threads(session, &head)?;
        self.turns(session, &head)?;
        self.changes(session, &head)?;
        self.mark(session, &head)?;
        self.running(session, &head)
    }

    /// A session's agent is there, and both scopes count the session; or it was deleted, and neither does.
    fn agent(&mut self, session: u32, [workspace, agent]: [u32; 2], head: &HeadRow) -> Result<()> {
        if self.hidden.has_agent(agent) {
            self.hidden_sessions += 1;
            if head.running != 0 || head.queued != 0 {
                self.breach(session, format_args!("it is busy, and its agent {agent} was deleted"));
            }
            return Ok(());
        }
        for scope in [workspace, agent] {
            *self.live.entry(scope).or_default() += 1;
        }
        if self.view.get(Table::Names, &names::scope(agent))?.is_none() {
            self.breach(session, format_args!("its agent {agent} is not there"));
        }
        Ok(())
    }

    /// An index row leads to this number.
    fn leads_to(&mut self, session: u32, table: Table, key: &[u8], number: u32) -> Result<()> {
        if let Some(row) = self.row::<NumberRow>(session, table, key)?
            && row.number != number
        {
            self.breach(session, format_args!("{} leads to {}, not {number}", codec::hex(key), row.number));
        }
        Ok(())
    }

    /// The listings say of a session what its head says.
    fn listed(&mut self, session: u32, key: &[u8], head: &HeadRow) -> Result<()> {
        let due = ListedRow::of(session, head);
        if let Some(row) = self.row::<ListedRow>(session, Table::Activity, key)?
            && row != due
        {
            self.breach(session, format_args!("a listing has {row:?}, where {due:?} is due"));
        }
        Ok(())
    }

    /// Rows of a kind are dense from 1 to `count`; `each` looks at every one of them.
    fn dense(
        &mut self,
        session: u32,
        kind: rows::Kind,
        count: u32,
        mut each: impl FnMut(&mut Self, u32, &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let (from, to) = (rows::numbered(session, kind, 0), rows::numbered(session, kind, u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let mut next = 1;
        self.view.scan(Table::Rows, between, Direction::Asc, &mut |key, value| {
            let number = rows::number(key).unwrap_or_default();
            if number != next {
                self.breach(session, format_args!("{kind:?} {number} stands where {next} is due"));
            }
            next = number.saturating_add(1);
            each(self, number, key, value)?;
            Ok(ControlFlow::Continue(()))
        })?;
        if next != count.saturating_add(1) {
            self.breach(session, format_args!("{} rows of {kind:?}, the head counts {count}", next - 1));
        }
        Ok(())
    }

    /// As many index rows of a kind as there are records.
    fn indexed(&mut self, session: u32, kind: rows::Kind, count: u32) -> Result<()> {
        let (from, to) = (rows::by_id(session, kind, &[0; 16]), rows::by_id(session, kind, &[0xff; 16]));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let mut found = 0;
        self.view.scan(Table::Rows, between, Direction::Asc, &mut |_, _| {
            found += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        if found != count {
            self.breach(session, format_args!("{found} rows of {kind:?} for {count} records"));
        }
        Ok(())
    }

    fn id(&mut self, session: u32, kind: rows::Kind, id: &Id, number: u32) -> Result<()> {
        self.leads_to(session, Table::Rows, &rows::by_id(session, kind, id), number)
    }

    fn messages(&mut self, session: u32, head: &HeadRow) -> Result<()> {
        let (mut last_ts, mut last_created) = (0, 0);
        let mut due = Lists::default();
        let mut times = Times::new(self.view, session, head.messages);
        self.dense(session, rows::Kind::Message, head.messages, |check, number, key, value| {
            let row: MessageRow<'_> = match codec::decode(Table::Rows, key, value) {
                Ok(row) => row,
                Err(error) => {
                    check.breach(session, error);
                    return Ok(());
                }
            };
            check.id(session, rows::Kind::MessageId, &row.id, number)?;
            check.entry(session, number, &row, &mut times, &mut due)?;
            if row.ts <= last_ts || row.created_at < last_created {
                check.breach(session, format_args!("message {number} goes back in time"));
            }
            (last_ts, last_created) = (row.ts, row.created_at);
            Ok(())
        })?;
        if (last_ts, last_created) != (head.last_ts, head.last_created_at) && head.messages > 0 {
            self.breach(session, "the head's clocks are not those of the last message");
        }
        self.positions(session, head, &due)?;
        self.indexed(session, rows::Kind::MessageId, head.messages)
    }

    fn threads(&mut self, session: u32, head: &HeadRow) -> Result<()> {
        self.dense(session, rows::Kind::Thread, head.threads, |check, number, key, value| {
            match codec::decode::<ThreadRow>(Table::Rows, key, value) {
                Ok(row) => check.id(session, rows::Kind::ThreadId, &row.id, number),
                Err(error) => {
                    check.breach(session, error);
                    Ok(())
                }
            }
        })?;
        self.indexed(session, rows::Kind::ThreadId, head.threads)
    }

    fn turns(&mut self, session: u32, head: &HeadRow) -> Result<()> {
        let [running, queued] = [TurnState::Running, TurnState::Queued].map(state_byte);
        let (mut waiting, mut consumed) = (BTreeSet::new(), Some(Usage::ZERO));
        self.dense(session, rows::Kind::Turn, head.turns, |check, number, key, value| {
            let row: TurnRow<'_> = match codec::decode(Table::Rows, key, value) {
                Ok(row) => row,
                Err(error) => {
                    check.breach(session, error);
                    return Ok(());
                }
            };
            check.id(session, rows::Kind::TurnId, &row.id, number)?;
            consumed = consumed.and_then(|sum| sum.checked_add(codec::usage_of(row.usage)));
            if row.state == queued {
                waiting.insert(number);
            }
            if (row.state == running) != (head.running == number) {
                check.breach(
                    session,
                    format_args!("turn {number} is in state {}, the head has {} running", row.state, head.running),
                );
            }
            if [running, queued].contains(&row.state) == row.ended_at.is_some() {
                check.breach(session, format_args!("turn {number} has an end that does not fit its state"));
            }
            Ok(())
        })?;
        self.queue(session, head, &waiting)?;
        self.usage(session, head, consumed);
        self.indexed(session, rows::Kind::TurnId, head.turns)
    }

    fn changes(&mut self, session: u32, head: &HeadRow) -> Result<()> {
        let (from, to) = (rows::change(session, 0), rows::change(session, u64::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let mut next = 1;
        let mut written = 0;
        self.view.scan(Table::Rows, between, Direction::Asc, &mut |key, value| {
            let number = key.last_chunk().map_or(0, |number| u64::from_be_bytes(*number));
            if number != next {
                self.breach(session, format_args!("event {number} stands where {next} is due"));
            }
            next = number.saturating_add(1);
            match codec::decode::<ChangeRow>(Table::Rows, key, value) {
                Ok(row) => {
                    written += u32::from(row.kind == codec::CHANGE_MESSAGE);
                    let kind = match row.kind {
                        codec::CHANGE_TURN => rows::Kind::TurnId,
                        _ => rows::Kind::MessageId,
                    };
                    if let Some(id) = row.id {
                        self.id(session, kind, &id, row.number)?;
                    }
                }
                Err(error) => self.breach(session, error),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if next != head.changes.saturating_add(1) {
            self.breach(session, format_args!("{} events, the head counts {}", next - 1, head.changes));
        }
        if written != head.messages {
            self.breach(session, format_args!("{written} events of messages for {} messages", head.messages));
        }
        Ok(())
    }

    /// A running turn has its claim, an idle session none.
    fn running(&mut self, session: u32, head: &HeadRow) -> Result<()> {
        let claim = match self.view.plain::<ClaimRow>(Table::Claims, &claims::of(session)) {
            Ok(claim) => claim,
            Err(error) => {
                self.breach(session, error);
                return Ok(());
            }
        };
        let held = claim.map(|claim| (claim.number, claim.turn, claim.epoch));
        let due = head.running_id.map(|id| (head.running, id, head.epoch));
        if held != due {
            self.breach(session, "the claim and the running turn are not each other's");
        }
        Ok(())
    }

    /// The counts of live sessions are those of the sessions there are.
    fn counts(&mut self) -> Result<()> {
        let (from, to) = (names::count(0), names::count(u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        self.view.scan(Table::Names, between, Direction::Asc, &mut |key, value| {
            let scope = key.last_chunk().map_or(0, |scope| u32::from_be_bytes(*scope));
            let live = self.live.remove(&scope).unwrap_or_default();
            match codec::decode::<CountRow>(Table::Names, key, value) {
                Ok(CountRow { sessions }) if sessions == live => {}
                Ok(CountRow { sessions }) => {
                    self.breaches.push(format!("scope {scope}: {live} live sessions, {sessions} counted"));
                }
                Err(error) => self.breaches.push(format!("scope {scope}: {error}")),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for (scope, live) in std::mem::take(&mut self.live) {
            self.breaches.push(format!("scope {scope}: {live} live sessions, none counted"));
        }
        Ok(())
    }

    /// Rows below no session, but for what is left of deleted ones; and more rows in the listings than sessions.
    fn strays(&mut self, live: &[u32]) -> Result<()> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let archived = remnant::all_of(self.view, Remnant::Archived)?;
        for table in [Table::Rows, Table::Claims, Table::Outbox] {
            let mut last = None;
            // What is left of deleted sessions, and of archived ones, which keep what they have in the outbox.
            let left: [&[u32]; 2] = match table {
                Table::Rows => [&self.deleted, &archived],
                Table::Outbox => [&self.deleted, &self.archived],
                _ => [&[], &[]],
            };
            self.view.scan(table, all, Direction::Asc, &mut |key, _| {
                let session = session_of(key);
                if session != last {
                    last = session;
                    let known = |session| left.iter().chain([&live]).any(|all| all.binary_search(&session).is_ok());
                    if !session.is_some_and(known) {
                        self.breaches.push(format!("{table:?} has {} below no session", codec::hex(key)));
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let mut listed = 0;
        self.view.scan(Table::Activity, all, Direction::Asc, &mut |_, _| {
            listed += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        if listed != 2 * live.len() {
            self.breaches.push(format!("{listed} rows in the listings for {} sessions", live.len()));
        }
        Ok(())
    }
}
