//! The directory of a list: what its full blocks hold, so that a rank is found without reading them.

use crate::redb::codec::DirectoryRow;

const COUNT: usize = size_of::<u16>();
const FIRST: usize = size_of::<u32>();

/// How many blocks' counts are summed at once on the way to a rank.
const STRIDE: usize = 64;

/// The closed blocks of a list: how many positions each has, and a number that all of them reach.
///
/// Deletion lowers a count. The first number stays: it lies above all positions before the block
/// and not above those in it, which is all that is asked of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// Packed, little-endian: summing is most of the work.
    counts: Vec<u8>,
    firsts: Vec<u8>,
}

impl Directory {
    pub(super) fn of(row: &DirectoryRow<'_>) -> Self {
        Directory { counts: row.counts.to_vec(), firsts: row.firsts.to_vec() }
    }

    pub(super) fn row(&self) -> DirectoryRow<'_> {
        DirectoryRow { counts: &self.counts, firsts: &self.firsts }
    }

    fn counts(&self) -> &[[u8; COUNT]] {
        self.counts.as_chunks().0
    }

    fn firsts(&self) -> &[[u8; FIRST]] {
        self.firsts.as_chunks().0
    }

    /// How many blocks are closed: also the number of the open one.
    pub(super) fn len(&self) -> usize {
        self.counts().len().min(self.firsts().len())
    }

    pub(super) fn count(&self, block: usize) -> u64 {
        self.counts().get(block).map_or(0, |count| u64::from(u16::from_le_bytes(*count)))
    }

    /// Closes the open block.
    pub(super) fn close(&mut self, positions: &[u32]) {
        let count = u16::try_from(positions.len()).unwrap_or(u16::MAX);
        self.counts.extend(count.to_le_bytes());
        self.firsts.extend(positions.first().copied().unwrap_or(u32::MAX).to_le_bytes());
    }

    /// One position less in a block.
    pub(super) fn shorten(&mut self, block: usize) {
        if let Some(count) = self.counts.as_chunks_mut().0.get_mut(block) {
            *count = u16::from_le_bytes(*count).saturating_sub(1).to_le_bytes();
        }
    }

    /// How many closed blocks begin at or below a number.
    pub(super) fn begun(&self, number: u32) -> usize {
        self.firsts().partition_point(|first| u32::from_le_bytes(*first) <= number)
    }

    /// The sums that make [`before`](Sums::before) quick.
    pub(super) fn sums(&self) -> Sums {
        let mut total = 0;
        let mut strides = Vec::with_capacity(self.len() / STRIDE + 1);
        for stride in self.counts().chunks(STRIDE) {
            strides.push(total);
            total += sum(stride);
        }
        Sums { strides, total }
    }
}

fn sum(counts: &[[u8; COUNT]]) -> u64 {
    counts.iter().map(|count| u64::from(u16::from_le_bytes(*count))).sum()
}

/// How many positions stand before every so many blocks.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    strides: Vec<u64>,
    total: u64,
}

impl Sums {
    /// How many positions all closed blocks have.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How many positions stand in the blocks before this one.
    pub(super) fn before(&self, directory: &Directory, block: usize) -> u64 {
        let stride = block / STRIDE;
        let Some(sum_before) = self.strides.get(stride) else { return self.total };
        let rest = directory.counts().get(stride * STRIDE..block.min(directory.len()));
        sum_before + rest.map_or(0, sum)
    }
}
