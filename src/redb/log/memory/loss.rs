//! What a power loss leaves of what was not synced.

const SECTOR_BYTES: u64 = 512;

/// The first bytes of a file, in which it says what it is.
const HEADER_BYTES: u64 = 4096;

/// What a power loss leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redb) enum Survives {
    /// Nothing.
    Nothing,
    /// All.
    Everything,
    /// Writes to the file's first 4 KiB.
    Header,
    /// All but those.
    AllButHeader,
    /// All writes but one of this seed's choice.
    AllButOne(u64),
    /// Each write or not.
    Some(u64),
    /// Each sector of each write or not.
    Sectors(u64),
    /// The writes before one, and of that one the sectors before one.
    Torn(u64),
}

impl Survives {
    /// One of each, with this seed.
    pub(in crate::redb) fn all(seed: u64) -> [Survives; 8] {
        use Survives::{AllButHeader, AllButOne, Everything, Header, Nothing, Sectors, Some, Torn};
        [Nothing, Everything, Header, AllButHeader, AllButOne(seed), Some(seed), Sectors(seed), Torn(seed)]
    }

    /// What survives of changes that were made in this order.
    pub(super) fn of(self, changes: &[Change]) -> Vec<Change> {
        let is_header = |change: &&Change| matches!(change, Change::Write { at, .. } if *at < HEADER_BYTES);
        match self {
            Survives::Nothing => Vec::new(),
            Survives::Everything => changes.to_vec(),
            Survives::Header => changes.iter().filter(is_header).cloned().collect(),
            Survives::AllButHeader => changes.iter().filter(|change| !is_header(change)).cloned().collect(),
            Survives::AllButOne(seed) => {
                let lost = Dice(seed).below(changes.len());
                changes
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| *index != lost)
                    .map(|(_, change)| change.clone())
                    .collect()
            }
            Survives::Some(seed) => {
                let mut dice = Dice(seed);
                changes.iter().filter(|_| dice.below(2) == 0).cloned().collect()
            }
            Survives::Sectors(seed) => {
                let mut dice = Dice(seed);
                changes.iter().flat_map(Change::sectors).filter(|_| dice.below(2) == 0).collect()
            }
            Survives::Torn(seed) => {
                let mut dice = Dice(seed);
                let whole = dice.below(changes.len());
                let torn = changes.get(whole).map(Change::sectors).unwrap_or_default();
                let kept = dice.below(torn.len());
                changes.iter().take(whole).cloned().chain(torn.into_iter().take(kept)).collect()
            }
        }
    }

    /// How many of the changes to the directory survive: a file system keeps them in order.
    pub(super) fn of_directory(self, changes: usize) -> usize {
        match self {
            Survives::Nothing | Survives::Header => 0,
            Survives::Everything | Survives::AllButHeader => changes,
            Survives::AllButOne(_) => changes.saturating_sub(1),
            Survives::Some(seed) | Survives::Sectors(seed) | Survives::Torn(seed) => Dice(seed).below(changes + 1),
        }
    }
}

/// Splitmix64.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below `bound`, or 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = (mixed ^ (mixed >> 31)).checked_rem(bound as u64).unwrap_or(0);
        usize::try_from(drawn).unwrap_or(0)
    }
}

/// Changes a file.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { at: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => {
                let (start, end) = (place(*at), place(*at) + bytes.len());
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(bytes);
            }
            Change::SetLen(len) => content.resize(place(*len), 0),
        }
    }

    /// The same, taken apart where the disk may.
    fn sectors(&self) -> Vec<Change> {
        let Change::Write { at, bytes } = self else { return vec![self.clone()] };
        let (mut at, mut rest, mut sectors) = (*at, bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (sector, after) = rest.split_at(rest.len().min(place(SECTOR_BYTES - at % SECTOR_BYTES)));
            sectors.push(Change::Write { at, bytes: sector.to_vec() });
            (at, rest) = (at + sector.len() as u64, after);
        }
        sectors
    }
}

pub(super) fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
