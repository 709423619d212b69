//! What is exported, one after the other: each workspace by its name, in it each agent by its name, and of that each session
//! by its last activity. Nothing of it depends on the numbers that a file gave.

use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow};

use crate::error::Result;
use crate::lines::Whole;
use crate::page::Direction;
use crate::redb::codec::{self, ListedRow, NumberRow};
use crate::redb::place::{self, Place};
use crate::redb::tables::{Table, activity, names};
use crate::redb::view::Read;

/// Sessions that are looked up at once.
const AHEAD: usize = 256;

/// What comes next, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Workspace(u32),
    Agent(u32),
    Session(u32),
}

/// See the [module](self).
pub(super) struct Walk {
    /// What is known to come.
    next: VecDeque<Item>,
    /// The keys of the last workspace, agent and session, where there are more.
    workspaces: Option<Vec<u8>>,
    agents: Option<(u32, Vec<u8>)>,
    sessions: Option<(u32, Vec<u8>)>,
}

impl Walk {
    pub(super) fn of(view: &dyn Read, whole: Whole) -> Result<Self> {
        let mut walk = Walk { next: VecDeque::new(), workspaces: None, agents: None, sessions: None };
        match whole {
            Whole::Engine => walk.workspaces = Some(vec![names::WORKSPACES]),
            Whole::Workspace(id) => walk.workspace(place::workspace(view, id)?),
            Whole::Session(at) | Whole::SessionAlone(at) => {
                let Place { number, workspace, agent, .. } = place::find(view, at)?;
                walk.next.extend([Item::Workspace(workspace), Item::Agent(agent), Item::Session(number)]);
            }
        }
        Ok(walk)
    }

    fn workspace(&mut self, number: u32) {
        self.next.push_back(Item::Workspace(number));
        self.agents = Some((number, names::agents_of(number)));
    }

    pub(super) fn next(&mut self, view: &dyn Read) -> Result<Option<Item>> {
        loop {
            if let Some(item) = self.next.pop_front() {
                return Ok(Some(item));
            }
            if let Some((agent, after)) = self.sessions.take() {
                self.some_sessions(view, agent, &after)?;
            } else if let Some((workspace, after)) = self.agents.take() {
                if let Some((key, number)) = named_after(view, &names::agents_of(workspace), &after)? {
                    self.next.push_back(Item::Agent(number));
                    self.sessions = Some((number, activity::bounds(number).0));
                    self.agents = Some((workspace, key));
                }
            } else if let Some(after) = self.workspaces.take() {
                let Some((key, number)) = named_after(view, &[names::WORKSPACES], &after)? else { return Ok(None) };
                self.workspace(number);
                self.workspaces = Some(key);
            } else {
                return Ok(None);
            }
        }
    }

    fn some_sessions(&mut self, view: &dyn Read, agent: u32, after: &[u8]) -> Result<()> {
        let to = activity::bounds(agent).1;
        let mut last = None;
        view.scan(
            Table::Activity,
            (Bound::Excluded(after), Bound::Included(&to)),
            Direction::Asc,
            &mut |key, value| {
                let row: ListedRow = codec::decode(Table::Activity, key, value)?;
                self.next.push_back(Item::Session(row.number));
                last = Some(key.to_vec());
                Ok(if self.next.len() < AHEAD { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            },
        )?;
        self.sessions = last.map(|last| (agent, last));
        Ok(())
    }
}

/// The first name after a key, among those whose keys begin so.
fn named_after(view: &dyn Read, begin: &[u8], after: &[u8]) -> Result<Option<(Vec<u8>, u32)>> {
    let mut found = None;
    view.scan(Table::Names, (Bound::Excluded(after), Bound::Unbounded), Direction::Asc, &mut |key, value| {
        if key.starts_with(begin) {
            found = Some((key.to_vec(), codec::decode::<NumberRow>(Table::Names, key, value)?.number));
        }
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}
