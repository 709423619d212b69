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
        let last = self.last()?.unwrap_or_default();
        let start = self.below(from, last);
        let mut runs = Vec::with_capacity(self.lists.len());
        let mut skip = from;
        for list in &mut self.lists {
            skip = skip.saturating_sub(list.rank(start)?);
            runs.push(Run::start(list, start)?);
        }
        while found.len() < count {
            let heads = runs.iter_mut().filter_map(|run| Some((run.head()?, run)));
            let Some((head, run)) = heads.min_by_key(|(head, _)| *head) else { break };
            match skip {
                0 => found.push(head),
                _ => skip -= 1,
            }
            run.advance()?;
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
        let positions = list.block(block)?.to_vec();
        let at = positions.partition_point(|position| *position < number);
        let mut run = Run { list, block, positions, at };
        run.settle()?;
        Ok(run)
    }

    fn head(&self) -> Option<u32> {
        self.positions.get(self.at).copied()
    }

    fn advance(&mut self) -> Result<()> {
        self.at += 1;
        self.settle()
    }

    /// Goes on to the next block that has positions.
    fn settle(&mut self) -> Result<()> {
        while self.at >= self.positions.len() && self.block + 1 < self.list.blocks() {
            self.block += 1;
            self.positions = self.list.block(self.block)?.to_vec();
            self.at = 0;
        }
        Ok(())
    }
}
