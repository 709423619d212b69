//! Turns that a process left running when it died: they end, or run again.

use std::ops::{Bound, ControlFlow};

use super::codec::{self, ClaimRow, Id};
use super::draft::Draft;
use super::ending::End;
use super::queue::{self, Agent, Change};
use super::tables::Table;
use super::turn::Stored;
use super::view::Read;
use super::write_set::WriteSet;
use crate::error::{ErrorKind, Result};
use crate::page::Direction;
use crate::record::{Reason, Turn};
use crate::store::{Behaviour, EndOrphans, Outcome, Recovered, Recovery, Started};

/// Ends turns that another owner left running, or runs them again.
pub(super) fn recover(view: &dyn Read, op: &EndOrphans) -> Result<(WriteSet, Recovered)> {
    let (mut writes, mut change) = (WriteSet::default(), Change::default());
    let mut recovered = Recovered::default();
    let mut next_id = 0;
    for session in left_running(view, *op.owner.as_uuid().as_bytes())? {
        if recovered.len() >= op.limit as usize {
            break;
        }
        match recover_one(view, op, session, &mut next_id, &mut change) {
            Ok(Some((written, Became::Ended(turn)))) => {
                writes.extend(written);
                recovered.ended.push(*turn);
            }
            Ok(Some((written, Became::Started(started)))) => {
                writes.extend(written);
                recovered.again.push(*started);
            }
            // What is damaged stays as it is, `verify` names it; the others end all the same.
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    change.write(view, &mut writes)?;
    Ok((writes, recovered))
}

/// What an orphan became.
enum Became {
    Ended(Box<Turn>),
    Started(Box<Started>),
}

/// The sessions with a claim of another owner, or with one that cannot be read.
fn left_running(view: &dyn Read, owner: Id) -> Result<Vec<u32>> {
    let mut left = Vec::new();
    view.scan(Table::Claims, (Bound::Unbounded, Bound::Unbounded), Direction::Asc, &mut |key, value| {
        let own = codec::decode::<ClaimRow>(Table::Claims, key, value).is_ok_and(|claim| claim.owner == owner);
        if let (Ok(session), false) = (key.try_into(), own) {
            left.push(u32::from_be_bytes(session));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(left)
}

fn recover_one(
    view: &dyn Read,
    op: &EndOrphans,
    session: u32,
    next_id: &mut u32,
    change: &mut Change,
) -> Result<Option<(WriteSet, Became)>> {
    let mut draft = Draft::open_place(view, queue::place_of(view, session)?, op.stamp)?;
    if draft.head.running == 0 {
        return Ok(None);
    }
    if let Recovery::RunAgain { .. } = op.recovery {
        match run_again(&mut draft, op) {
            Ok(Some(started)) => {
                return Ok(Some((draft.seal_beside(change)?, Became::Started(Box::new(started)))));
            }
            // One that cannot be read whole ends, as far as it can.
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            _ => {}
        }
    }
    let mut end = End::open(&draft, draft.head.running, *next_id)?;
    let turn = end.outcome(&mut draft, &Outcome::Failed(Reason::Crash, None), None)?;
    *next_id = end.next_id;
    Ok(Some((draft.seal_beside(change)?, Became::Ended(Box::new(turn)))))
}

/// Runs a turn again under a new claim, where there is an attempt left and somebody to run it.
fn run_again(draft: &mut Draft<'_>, op: &EndOrphans) -> Result<Option<Started>> {
    let Recovery::RunAgain { attempts, runners } = &op.recovery else { return Ok(None) };
    let number = draft.head.running;
    let stored = Stored::get(draft.view, draft.place.number, number)?;
    let (mut row, agent) = (stored.row()?, Agent::of(draft)?);
    let runner = runners.of(agent.name());
    if row.attempt >= *attempts || runner.behaviour != Behaviour::Registered {
        return Ok(None);
    }
    row.attempt += 1;
    queue::run(draft, &stored, number, &row, (&agent, runner)).map(Some)
}
