//! A page of 50 at any depth, with its exact total.

use std::hint::black_box;

use super::reading;
use crate::line::{Better, Line};
use crate::measure::Turns;
use crate::peer::{Filter, PAGE, Reader, Result, Wanted};
use crate::plan::Standing;
use crate::rng::Rng;
use crate::run::{A_MILLION, Member, Run, Set};

/// Where in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Its first page.
    Newest,
    /// After half of it.
    Half,
    /// After 95 %.
    Deep,
}

impl Depth {
    /// All of them.
    pub const ALL: [Depth; 3] = [Depth::Newest, Depth::Half, Depth::Deep];

    const fn words(self) -> &'static str {
        match self {
            Depth::Newest => "newest page of 50",
            Depth::Half => "page of 50 at 50 %",
            Depth::Deep => "page of 50 at 95 %",
        }
    }

    /// The page's number, of so many matches.
    fn page(self, total: u64) -> u64 {
        let pages = total.div_ceil(u64::from(PAGE));
        match self {
            Depth::Newest => 1,
            Depth::Half => pages.div_ceil(2).max(1),
            Depth::Deep => (pages * 95).div_ceil(100).max(1),
        }
    }
}

/// Measures a page of one session at one depth.
fn page(
    run: &mut Run<'_>,
    set: &Set,
    turns: Turns,
    line: Line,
    (session, filter, depth): (u32, Filter, Depth),
) -> Result<Line> {
    let number = |reader: &mut dyn Reader| Ok(depth.page(reader.page(session, filter, 1)?.found()?.total));
    reading(run, set, turns, line, number, |reader, number, _: &mut Rng| {
        black_box(reader.page(session, filter, *number)?);
        Ok(())
    })
}

/// The pages that the bar is about: a quarter of a session of 100,000.
pub fn with_bar(run: &mut Run<'_>, set: &Set, session: u32) -> Result {
    for depth in Depth::ALL {
        let work = format!("{}, exact total", depth.words());
        if run.wants(&work) {
            let workload = format!("a quarter of a session of 100,000; {}", set.words);
            let line = Line::new(work, "µs", Better::Less).on(workload, set.cache.words());
            let of = (session, Filter::session(Wanted::Quarter), depth);
            let line = page(run, set, run.size.reading(), line, of)?;
            let line = line.times_better("sqlite+pos", |name| name == "sqlite+pos", 2.0, 3.0);
            run.push(line.times_better("sqlite", |name| name == "sqlite", 20.0, 40.0))?;
        }
    }
    Ok(())
}

/// A session of the set, and its length in words.
pub type Labelled = (u32, &'static str);

/// The same page in sessions of several sizes, and for other filters.
pub fn without_bar(run: &mut Run<'_>, set: &Set, sessions: &[Labelled], state: &str) -> Result {
    for wanted in Wanted::ALL {
        for &(session, length) in sessions {
            one_size(run, set, Filter::session(wanted), (session, length), state)?;
        }
    }
    for &(session, length) in sessions.iter().filter(|(_, length)| *length == "100,000") {
        if set.plan.standing(session) == Standing::Threaded {
            one_size(run, set, Filter::thread(Wanted::Quarter), (session, length), state)?;
        }
    }
    Ok(())
}

fn one_size(run: &mut Run<'_>, set: &Set, filter: Filter, (session, length): Labelled, state: &str) -> Result {
    let of = match filter.standing {
        Standing::Loose => "session",
        Standing::Threaded => "thread",
    };
    for depth in Depth::ALL {
        let work = format!("{}: {}, {of} of {length}{state}", depth.words(), filter.wanted.words());
        if run.wants(&work) {
            let line = Line::new(work, "µs", Better::Less).on(set.words.clone(), set.cache.words());
            let line = page(run, set, run.size.glancing(), line, (session, filter, depth))?;
            run.push(line)?;
        }
    }
    Ok(())
}

/// How far the same page is apart in sessions of several sizes: the worst of the depths.
pub fn same_at_any_size(run: &mut Run<'_>, set: &Set, sessions: &[Labelled]) -> Result {
    let work = "the same page at 10 k, 100 k and 1 M: slowest / fastest";
    if !run.wants(work) {
        return Ok(());
    }
    let line = Line::new(work, "×", Better::Less)
        .on("one type of one role, a quarter; worst of three depths", set.cache.words());
    let spread = |run: &Run<'_>, name: &str| {
        let spread = Depth::ALL.map(|depth| {
            let times = sessions.iter().filter_map(|(_, length)| {
                let work = format!("{}: {}, session of {length}", depth.words(), Wanted::Quarter.words());
                let line = run.lines().iter().find(|line| line.work == work)?;
                let rival = line.rivals.iter().find(|(rival, _)| rival == name).map(|(_, value)| *value);
                if name == "parlor" { line.ours } else { rival }
            });
            let times: Vec<f64> = times.collect();
            let most = times.iter().copied().fold(f64::NAN, f64::max);
            (times.len() == sessions.len()).then(|| most / times.iter().copied().fold(f64::NAN, f64::min))
        });
        spread.into_iter().try_fold(0.0, |worst, spread| Some(f64::max(worst, spread?)))
    };
    let line = if sessions.len() < 3 {
        line.skipped(A_MILLION)
    } else {
        let names = set.members.iter().map(|member| member.kind.name());
        line.measured(names.filter_map(|name| Some((name.to_owned(), spread(run, name)?))))
    };
    run.push(line.at_most(1.8, 1.3))
}

/// The first of these pages again, after every tenth message was soft-deleted.
pub fn after_deletions(run: &mut Run<'_>, set: &mut Set, sessions: &[Labelled]) -> Result {
    let state = ", every tenth message deleted";
    if !run.wants(state) && !sessions.iter().any(|(_, length)| run.wants(&format!("{length}{state}"))) {
        return Ok(());
    }
    for (session, _) in sessions {
        let numbers: Vec<u32> = (1..=set.lists.last(*session)).filter(|number| number % 10 == 0).collect();
        for Member { kind, peer, .. } in &mut set.members {
            peer.delete(*session, &numbers).map_err(|error| format!("{}: {error}", kind.name()))?;
        }
        set.lists.delete(*session, &numbers);
    }
    set.check(run)?;
    for labelled in sessions {
        one_size(run, set, Filter::session(Wanted::Quarter), *labelled, state)?;
    }
    Ok(())
}
