//! What rots: bits, sectors, the end of a file, pages that stand in each other's place.

use std::ops::Range;

use crate::suite::random::Random;

const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// Damage to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// These bits, by their number in the file, are the other way round.
    Flipped(Vec<usize>),
    /// These sectors are zeros.
    Zeroed(Vec<usize>),
    /// It ends there.
    Truncated(usize),
    /// These two pages stand in each other's place.
    Swapped(usize, usize),
}

impl Damage {
    /// Draws some. It mostly meets what is not zeros, and often the first sector, which says what the rest is.
    pub fn draw(random: &mut Random, content: &[u8]) -> Self {
        let several = 1 + random.pick(&[0, 0, 0, 0, 1, 2, 7]).unwrap_or(0);
        match random.below(10) {
            0..=4 => {
                let bit = |random: &mut Random| spot(random, content, SECTOR) * SECTOR * 8 + in_sector(random);
                Damage::Flipped((0..several).map(|_| bit(random).min(content.len() * 8 - 1)).collect())
            }
            5..=6 => Damage::Zeroed((0..several).map(|_| spot(random, content, SECTOR)).collect()),
            7 => Damage::Truncated(match random.below(3) {
                // Sizes that a file system leaves.
                0 => spot(random, content, PAGE) * PAGE,
                1 => spot(random, content, SECTOR) * SECTOR,
                _ => random.below(content.len() as u64) as usize,
            }),
            _ => Damage::Swapped(spot(random, content, PAGE), spot(random, content, PAGE)),
        }
    }

    /// Draws some to what was written last, and often to what was written right before.
    pub fn draw_at_end(random: &mut Random, last: Range<usize>) -> Self {
        if random.one_in(3) {
            let bit = |random: &mut Random| last.start * 8 + random.below(8 * last.len() as u64) as usize;
            return Damage::Flipped((0..1 + random.below(2)).map(|_| bit(random)).collect());
        }
        let first = last.start.saturating_sub(random.below(2_000) as usize);
        Damage::Zeroed((first / SECTOR..last.end.div_ceil(SECTOR)).collect())
    }

    /// The file with it.
    pub fn of(&self, content: &[u8]) -> Vec<u8> {
        let mut damaged = content.to_vec();
        match self {
            Damage::Flipped(bits) => bits.iter().for_each(|bit| damaged[bit / 8] ^= 1 << (bit % 8)),
            Damage::Zeroed(sectors) => {
                for sector in sectors {
                    part(&mut damaged, *sector, SECTOR).fill(0);
                }
            }
            Damage::Truncated(length) => damaged.truncate(*length),
            Damage::Swapped(one, other) => {
                let (first, second) =
                    (part(&mut damaged, *one, PAGE).to_vec(), part(&mut damaged, *other, PAGE).to_vec());
                let count = first.len().min(second.len());
                part(&mut damaged, *one, PAGE)[..count].copy_from_slice(&second[..count]);
                part(&mut damaged, *other, PAGE)[..count].copy_from_slice(&first[..count]);
            }
        }
        damaged
    }
}

/// A part of a file, by its number; the last one may be short.
fn part(content: &mut [u8], number: usize, size: usize) -> &mut [u8] {
    let end = content.len().min((number + 1) * size);
    &mut content[(number * size).min(end)..end]
}

/// A bit of a sector; half of the time one of its first, where what stands there is said.
fn in_sector(random: &mut Random) -> usize {
    let bytes = random.pick(&[64, SECTOR as u64]).unwrap_or(0);
    random.below(bytes * 8) as usize
}

/// The number of a part of this size.
fn spot(random: &mut Random, content: &[u8], size: usize) -> usize {
    let parts = content.len().div_ceil(size) as u64;
    match random.below(8) {
        0 => 0,
        1 => random.below(parts) as usize,
        2 => {
            let page = random.pick(&branches(content)).unwrap_or(0);
            // What they say stands at their beginning.
            page * PAGE / size + random.below((PAGE / size).min(3) as u64) as usize
        }
        _ => {
            let is_used =
                |number: &usize| content.chunks(size).nth(*number).is_some_and(|part| part.iter().any(|b| *b != 0));
            let tries = (0..64).map(|_| random.below(parts) as usize).collect::<Vec<_>>();
            tries.iter().copied().find(is_used).unwrap_or(0)
        }
    }
}

/// The pages that lead to others. There are few of them.
fn branches(content: &[u8]) -> Vec<usize> {
    let is_branch = |page: &&[u8]| page.first() == Some(&2);
    (0..).zip(content.chunks(PAGE)).filter(|(_, page)| is_branch(page)).map(|(number, _)| number).collect()
}
