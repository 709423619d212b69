//! Where the next record of a log goes: one segment after the other, and again those that are free.

/// The segments of a log, and what they hold.
#[derive(Debug, Clone)]
pub(super) struct Segments {
    /// Bytes of a segment.
    bytes: usize,
    /// The last record in each; 0 for none.
    last: Vec<u64>,
    /// The segment that is written to.
    current: usize,
    /// Bytes of it that are written.
    tail: usize,
    /// Segments begun so far.
    lap: u64,
    /// The database has all records up to this one for good.
    freed: u64,
}

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) segment: usize,
    pub(super) tail: usize,
    pub(super) lap: u64,
}

impl Segments {
    /// So many of so many bytes, all free, of a log that begins after this number.
    pub(super) fn new(bytes: usize, count: usize, after: u64) -> Self {
        // As if full, so that the first record begins a segment.
        Segments { bytes, last: vec![0; count], current: 0, tail: bytes, lap: 0, freed: after }
    }

    /// Bytes of one.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub(super) fn lap(&self) -> u64 {
        self.lap
    }

    /// The last record of a segment.
    #[cfg(test)]
    pub(super) fn last_of(&self, segment: usize) -> u64 {
        self.last.get(segment).copied().unwrap_or_default()
    }

    /// The database has all up to this one for good.
    pub(super) fn freed(&self) -> u64 {
        self.freed
    }

    /// Where so many bytes go: at the tail, or else where a free segment begins.
    pub(super) fn spot(&self, bytes: usize) -> Option<Spot> {
        if bytes > self.bytes {
            return None;
        }
        if self.bytes - self.tail >= bytes {
            return Some(Spot { segment: self.current, tail: self.tail, lap: self.lap });
        }
        let free = self.last.iter().position(|last| *last <= self.freed);
        free.map(|segment| Spot { segment, tail: 0, lap: self.lap + 1 })
    }

    /// A record of this number and so many bytes went to a spot.
    pub(super) fn take(&mut self, spot: Spot, bytes: usize, number: u64) {
        if let Some(last) = self.last.get_mut(spot.segment) {
            *last = number;
        }
        (self.current, self.tail, self.lap) = (spot.segment, spot.tail + bytes, spot.lap);
    }

    /// The database has all up to this number for good: segments that hold no others are used again.
    pub(super) fn free(&mut self, up_to: u64) {
        self.freed = self.freed.max(up_to);
    }
}
