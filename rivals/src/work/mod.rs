//! The work: one kind a file.

pub mod append;
pub mod beside;
pub mod interrupt;
pub mod long;
pub mod open;
pub mod page;
pub mod poll;
pub mod scan;
pub mod size;
pub mod stall;
pub mod turn;
pub mod waking;
pub mod written;

use std::hint::black_box;

use crate::line::Line;
use crate::measure::{Contender, Turns, interleaved, latency};
use crate::peer::floor::FloorReader;
use crate::peer::{Reader, Result};
use crate::rng::Rng;
use crate::run::{Member, Run, Set};

/// Measures one kind of read in all peers and on the floor. Each prepares what it needs to know, such
/// as cursors of its own, and then reads, choosing at random.
fn reading<T>(
    run: &mut Run<'_>,
    set: &Set,
    turns: Turns,
    line: Line,
    prepare: impl Fn(&mut dyn Reader) -> Result<T>,
    read: impl Fn(&mut dyn Reader, &T, &mut Rng) -> Result,
) -> Result<Line> {
    let mut readers: Vec<(&str, Box<dyn Reader + '_>)> = vec![("floor", Box::new(FloorReader::new(&set.lists)))];
    for Member { kind, peer, .. } in &set.members {
        readers.push((kind.name(), peer.reader()?));
    }
    let mut contenders = Vec::new();
    for (name, mut reader) in readers {
        let prepared = prepare(&mut *reader).map_err(|error| format!("{name}: {error}"))?;
        let mut choice = Rng::new(0);
        let read = &read;
        contenders.push(Contender::new(name, move |time| {
            Ok([latency(time, || black_box(read(&mut *reader, &prepared, &mut choice)))?])
        }));
    }
    let measured = interleaved(turns, &mut run.rng, contenders)?;
    Ok(line.measured(measured.into_iter().map(|(name, [median])| (name, median))))
}
