//! Opening: a file that was closed, and one whose process was killed while it wrote.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::append;
use crate::args::Size;
use crate::corpus::Corpus;
use crate::line::{Better, Line};
use crate::measure::{Appends, median};
use crate::peer::{Cache, Feed, Kind, Result, Way};
use crate::rng::Rng;
use crate::run::{A_MILLION, Run};

/// How often each is opened.
const ROUNDS: usize = 7;

/// Appends before a process is killed: from few up to more than fill a log of 4 MiB.
const KILLED_AFTER: std::ops::Range<u64> = 1_000..10_000;

const CLEAN: &str = "open, a million messages: clean";
const KILLED: &str = "open, a million messages: after kill -9";

/// Opens the files in `directory`, which nobody has open. All were loaded with a million messages.
pub fn files(run: &mut Run<'_>, directory: &Path) -> Result {
    let [clean, killed] = [CLEAN, KILLED].map(|work| Line::new(work, "ms", Better::Less));
    let clean = clean.on("open, and read one message; median", "the default, before anything is in it");
    let words = format!("open, and read one message; killed while appending; worst of {ROUNDS}");
    let killed = killed.on(words, "the default, before anything is in it");
    if run.size == Size::Quick {
        return skipped(run, clean, killed);
    }
    let (mut of_clean, mut of_killed) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let own = directory.join(kind.name());
        if run.wants(CLEAN) {
            let times = (0..ROUNDS).map(|_| open(kind, &own)).collect::<Result<Vec<_>>>()?;
            of_clean.push((kind.name().to_owned(), median(times)));
        }
        if run.wants(KILLED) {
            let mut worst = 0.0;
            for _ in 0..ROUNDS {
                let range = KILLED_AFTER.end - KILLED_AFTER.start;
                kill_while_appending(kind, &own, KILLED_AFTER.start + run.rng.below(range))?;
                worst = f64::max(worst, open(kind, &own)?);
            }
            of_killed.push((kind.name().to_owned(), worst));
        }
    }
    if run.wants(CLEAN) {
        run.push(clean.measured(of_clean).at_most(5.0, 1.0))?;
    }
    if run.wants(KILLED) {
        run.push(killed.measured(of_killed).at_most(250.0, 100.0))?;
    }
    Ok(())
}

fn skipped(run: &mut Run<'_>, clean: Line, killed: Line) -> Result {
    if run.wants(CLEAN) {
        run.push(clean.skipped(A_MILLION).at_most(5.0, 1.0))?;
    }
    if run.wants(KILLED) {
        run.push(killed.skipped(A_MILLION).at_most(250.0, 100.0))?;
    }
    Ok(())
}

/// Milliseconds until a message could be read.
fn open(kind: Kind, directory: &Path) -> Result<f64> {
    let began = Instant::now();
    let peer = kind.open(directory, Cache::Default, Feed::Without)?;
    let found = peer.reader()?.history(0, 1)?;
    let taken = began.elapsed();
    if found.found()?.items.is_empty() {
        return Err(format!("{} has lost its messages", kind.name()).into());
    }
    Ok(taken.as_secs_f64() * 1e3)
}

/// Lets a process append, and kills it when it has done so as often.
fn kill_while_appending(kind: Kind, directory: &Path, appends: u64) -> Result {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("child-append")
        .arg(kind.name())
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()?;
    let heard = hear(&mut child, appends);
    // SIGKILL, to the process that was started here.
    child.kill()?;
    child.wait()?;
    heard
}

/// A line for each hundred appends.
const A_LINE: u64 = 100;

fn hear(child: &mut Child, appends: u64) -> Result {
    let out = child.stdout.take().ok_or("the child has no output")?;
    let lines = usize::try_from(appends / A_LINE)?;
    let heard = BufReader::new(out).lines().take(lines).collect::<std::io::Result<Vec<_>>>()?;
    if heard.len() < lines { Err("the child ended by itself".into()) } else { Ok(()) }
}

/// The child: appends until it is killed.
pub fn append_for_ever(kind: Kind, directory: &Path) -> Result {
    let peer = kind.open(directory, Cache::Default, Feed::Without)?;
    let pool = Corpus::new(0).pool(1024, 1);
    let appends = Appends { sessions: append::SESSIONS, pool: &pool };
    let (mut writer, mut choice, done) = (peer.writer(Way::Connection)?, Rng::new(0), AtomicU64::new(0));
    let mut out = std::io::stdout();
    loop {
        for _ in 0..A_LINE {
            appends.one(&mut choice, &mut *writer, &done)?;
        }
        writeln!(out, "{}", done.load(std::sync::atomic::Ordering::Relaxed))?;
    }
}
