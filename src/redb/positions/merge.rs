//! Several lists as one: ranks are summed, positions come in the order of their numbers.

use super::list::List;
use crate::error::Result;

/// The lists of a listing.
pub(in crate::redb) struct Merged<'v> {
    lists: Vec<List<'v>>,
}

impl<'v> Merged<'v> {
    pub(in crate::redb) fn new(lists: Vec<List<'v>>) -> Self {
        Merged { lists }
    }

    /// How many positions there are.
    pub(in crate::redb) fn total(&self) -> u64 {
        self.lists.iter().map(List::total).sum()
    }

    /// The last position.
    pub(in crate::redb) fn last(&mut self) -> Result<Option<u32>> {
        let mut last = None;
        for list in &mut self.lists {
            last = last.max(list.last()?);
        }
        Ok(last)
    }

    /// How many positions lie below a number.
    pub(in crate::redb) fn rank(&mut self, number: u32) -> Result<u64> {
        self.lists.iter_mut().map(|list| list.rank(number)).sum()
    }

    /// The positions of these ranks, in order; fewer where there are no more.
    pub(in crate::redb) fn range(&mut self, from: u64, count: usize) -> Result<Vec<u32>> {
        let mut found = Vec::with_capacity(count.min(1024));
        if count == 0 || from >= self.total() {
            return Ok(found);
        }
        if let [list] = self.lists.as_mut_slice() {
            list.range(from, count, &mut found)?;
            return Ok(found);
        }
        let last = self.last()?.unwrap_or_default();
        let start = self.below(from, last);
        let mut runs = Vec::with_capacity(self.lists.len());
        let mut skip = from;
        for list in &mut self.lists {
            let run = Run::start(list, start)?;
            skip = skip.saturating_sub(run.rank());
            runs.push(run);
        }
        skip_over(&mut runs, skip)?;
        let mut heads: Vec<u32> = runs.iter().map(|run| run.head().unwrap_or(u32::MAX)).collect();
        while found.len() < count {
            let least = heads.iter_mut().zip(&mut runs).min_by_key(|(head, _)| **head);
            let Some((head, run)) = least.filter(|(head, _)| **head < u32::MAX) else { break };
            found.push(*head);
            run.advance(1)?;
            *head = run.head().unwrap_or(u32::MAX);
        }
        Ok(found)
    }

    /// A number with at most `rank` positions below it, and not many blocks fewer: from the
    /// directories alone, without reading a block.
    fn below(&self, rank: u64, last: u32) -> u32 {
        // As many as can lie below a number: all of the blocks that begin below it.
        let most = |number: u32| -> u64 { self.lists.iter().map(|list| list.before(list.block_of(number) + 1)).sum() };
        let (mut low, mut high) = (0, last);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if most(middle) <= rank {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }
}

/// Moves the runs past so many positions, the least of all first: block by block, not one by one.
fn skip_over(runs: &mut [Run<'_, '_>], mut skip: u64) -> Result<()> {
    while skip > 0 {
        // Up to here, the blocks at hand have all there is.
        let Some(end) = runs.iter().filter_map(Run::block_end).min() else { return Ok(()) };
        let up_to = |number: u32| runs.iter().map(|run| run.count_up_to(number) as u64).sum::<u64>();
        let end = if up_to(end) <= skip {
            end
        } else {
            let begin = runs.iter().filter_map(Run::head).min().unwrap_or(end);
            let (mut low, mut high) = (begin.saturating_sub(1), end);
            while low < high {
                let middle = low + (high - low).div_ceil(2);
                if up_to(middle) <= skip {
                    low = middle;
                } else {
                    high = middle - 1;
                }
            }
            low
        };
        let skipped = up_to(end);
        if skipped == 0 {
            return Ok(());
        }
        skip -= skipped;
        for run in runs.iter_mut() {
            run.advance(run.count_up_to(end))?;
        }
    }
    Ok(())
}

/// A walk through one list.
struct Run<'l, 'v> {
    list: &'l mut List<'v>,
    block: usize,
    positions: Vec<u32>,
    at: usize,
}

impl<'l, 'v> Run<'l, 'v> {
    /// Stands at the first position at or above a number.
    fn start(list: &'l mut List<'v>, number: u32) -> Result<Self> {
        let block = list.block_of(number);
        let positions = list.take_block(block)?;
        let at = positions.partition_point(|position| *position < number);
        let mut run = Run { list, block, positions, at };
        run.settle()?;
        Ok(run)
    }

    /// How many positions lie before it.
    fn rank(&self) -> u64 {
        self.list.before(self.block) + self.at as u64
    }

    fn head(&self) -> Option<u32> {
        self.positions.get(self.at).copied()
    }

    /// The last position of the block at hand; none at the end of the list.
    fn block_end(&self) -> Option<u32> {
        self.head().and(self.positions.last().copied())
    }

    /// How many positions of the block at hand are still to come up to a number, itself included.
    fn count_up_to(&self, number: u32) -> usize {
        self.positions.partition_point(|position| *position <= number).saturating_sub(self.at)
    }

    fn advance(&mut self, positions: usize) -> Result<()> {
        self.at += positions;
        self.settle()
    }

    /// Goes on to the next block that has positions.
    fn settle(&mut self) -> Result<()> {
        while self.at >= self.positions.len() && self.block + 1 < self.list.blocks() {
            self.block += 1;
            self.positions = self.list.take_block(self.block)?;
            self.at = 0;
        }
        Ok(())
    }
}
