//! What is done to a session of a million messages as a whole: how long it takes, how much memory, and how long a writer
//! waits meanwhile who appends to another session. Each is done twice, by processes of their own: alone, for the time and the
//! memory, and beside that writer.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use parlor::limit;

use crate::args::Size;
use crate::corpus::Corpus;
use crate::disk;
use crate::line::{Better, Line};
use crate::measure::quantile;
use crate::peer::long::{self, KINDS, Long, Operation};
use crate::peer::{Cache, Feed, Kind, Result};
use crate::plan::Plan;
use crate::run::Run;

const MEBIBYTE: f64 = (1 << 20) as f64;

/// One append in so many is let through.
const QUANTILE: f64 = 0.999;

/// Who else is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// Nobody.
    Alone,
    /// One who writes, and as many appends as there are to be at the least.
    Writer(usize),
}

/// What a process measured of an operation.
#[derive(Debug, Clone, Copy)]
struct Measured {
    milliseconds: f64,
    /// Until it showed, and until what it left was cleared away.
    mebibytes: [f64; 2],
    /// The writer's waits, of one in a thousand and the longest, in milliseconds.
    waits: [f64; 2],
}

/// What one peer took for an operation, alone and beside a writer.
struct Taken {
    operation: Operation,
    kind: Kind,
    alone: Measured,
    beside: Measured,
}

/// The names of an operation's lines.
fn names(size: Size, operation: Operation) -> [String; 5] {
    let (words, messages) = (operation.words(), size.words());
    [
        format!("time of {words} of {messages}"),
        format!("memory of {words} of {messages}"),
        format!("memory of {words} of {messages}, clearing away included"),
        format!("p99.9 wait of a writer, million-row operation elsewhere: {words}"),
        format!("longest wait of a writer, million-row operation elsewhere: {words}"),
    ]
}

/// Everything that is done to a long session.
pub fn operations(run: &mut Run<'_>) -> Result {
    let wanted: Vec<_> = Operation::ALL
        .into_iter()
        .filter(|operation| names(run.size, *operation).iter().any(|work| run.wants(work)))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut taken = Vec::new();
    let needed: Vec<_> = Operation::ALL.into_iter().filter(|operation| is_needed(*operation, &wanted)).collect();
    let compared = wanted.iter().any(|operation| operation.has_counterpart());
    for kind in KINDS.into_iter().filter(|kind| *kind == Kind::Parlor || compared) {
        of_one(run, kind, &needed, &mut taken).map_err(|error| format!("{}: {error}", kind.name()))?;
    }
    for operation in wanted {
        lines(run, operation, &taken)?;
    }
    Ok(())
}

/// Whether it is done for its own sake, or because another one goes on where it ends.
fn is_needed(operation: Operation, wanted: &[Operation]) -> bool {
    let of_archives = [Operation::Archive, Operation::ExportArchive, Operation::ImportArchive, Operation::Restore];
    let others = match operation {
        Operation::Archive | Operation::Restore => &of_archives[..],
        Operation::ExportArchive => &[Operation::ImportArchive],
        Operation::ExportLines => &[Operation::ImportLines],
        Operation::ImportArchive | Operation::ImportLines | Operation::Delete => &[],
    };
    wanted.iter().any(|wanted| *wanted == operation || others.contains(wanted))
}

/// Loads a long session into a peer, and does to it what there is, alone and then beside a writer.
fn of_one(run: &Run<'_>, kind: Kind, needed: &[Operation], taken: &mut Vec<Taken>) -> Result {
    let base = run.directory.join("long session").join(kind.name());
    let [main, copy, other] = ["main", "copy", "other"].map(|name| base.join(name));
    let mut peer = kind.open(&main, Cache::Holds, Feed::Without)?;
    peer.load(&Plan::one(run.size.messages()), run.corpus)?;
    peer.reopen(Cache::Default)?;
    drop(peer);
    run.say(&format!("loaded a session of {} messages into {}", run.size.messages(), kind.name()));
    let mut alone = Vec::new();
    for company in [Company::Alone, Company::Writer(run.size.samples())] {
        for &operation in needed {
            if kind != Kind::Parlor && !operation.has_counterpart() {
                continue;
            }
            let directory = match (operation, company) {
                // The other one is yet to find it.
                (Operation::Delete, Company::Alone) => {
                    copy_files(&main, &copy)?;
                    &copy
                }
                _ if operation.is_import() => &other,
                _ => &main,
            };
            let measured = in_a_process(run.size, kind, operation, company, directory)?;
            run.say(&format!("{}, {}: {measured:?}", kind.name(), operation.words()));
            match company {
                Company::Alone => alone.push((operation, measured)),
                Company::Writer(_) => {
                    let before = alone.iter().find(|(before, _)| *before == operation);
                    let alone = before.map(|(_, measured)| *measured).ok_or("nothing was measured alone")?;
                    taken.push(Taken { operation, kind, alone, beside: measured });
                }
            }
            for done in [&copy, &other].into_iter().filter(|done| done.exists()) {
                std::fs::remove_dir_all(done)?;
            }
        }
    }
    Ok(std::fs::remove_dir_all(base)?)
}

fn lines(run: &mut Run<'_>, operation: Operation, taken: &[Taken]) -> Result {
    let of = |value: fn(&Taken) -> f64| -> Vec<_> {
        let taken = taken.iter().filter(|taken| taken.operation == operation);
        taken.map(|taken| (taken.kind.name().to_owned(), value(taken))).collect()
    };
    let session = format!("one session of {} messages", run.size.messages());
    let counterpart = if operation.has_counterpart() { "" } else { "; SQLite has no such thing" };
    let [time, memory, cleared, wait, longest] = names(run.size, operation);
    let line = |work: &str, unit, workload: String, values| {
        let line = Line::new(work, unit, Better::Less).on(workload + counterpart, Cache::Default.words());
        line.measured(values)
    };
    if run.wants(&time) {
        run.push(line(&time, "ms", format!("{session}; until it shows"), of(|taken| taken.alone.milliseconds)))?;
    }
    let cache = limit::CACHE_BYTES_DEFAULT as f64 / MEBIBYTE;
    if run.wants(&memory) {
        let workload = format!("{session}; the most resident, beyond what was before opening");
        let line = line(&memory, "MiB", workload, of(|taken| taken.alone.mebibytes[0]));
        run.push(line.at_most(cache + 64.0, cache + 16.0))?;
    }
    if run.wants(&cleared) && operation.leaves() {
        let workload = format!("{session}; the same until nothing is left of what it moved");
        let line = line(&cleared, "MiB", workload, of(|taken| taken.alone.mebibytes[1]));
        run.push(line.at_most(cache + 64.0, cache + 16.0))?;
    }
    let workload =
        format!("{session}; 1 thread appends to another one meanwhile, {} times at the least", run.size.samples());
    if run.wants(&wait) {
        let line = line(&wait, "ms", workload.clone(), of(|taken| taken.beside.waits[0]));
        run.push(line.at_most(150.0, 50.0))?;
    }
    if run.wants(&longest) {
        run.push(line(&longest, "ms", workload, of(|taken| taken.beside.waits[1])))?;
    }
    Ok(())
}

fn copy_files(from: &Path, to: &Path) -> Result {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Starts a process that does it, and reads what it says; the session must have all its messages, or be gone.
fn in_a_process(size: Size, kind: Kind, operation: Operation, company: Company, directory: &Path) -> Result<Measured> {
    let appends = match company {
        Company::Alone => 0,
        Company::Writer(appends) => appends,
    };
    let mut child = Command::new(std::env::current_exe()?);
    child.args(["child-long", kind.name(), operation.words(), &appends.to_string()]).arg(directory);
    let child = child.stderr(std::process::Stdio::inherit()).output()?;
    let said = String::from_utf8(child.stdout)?;
    let words = operation.words();
    let numbers: Vec<f64> = said.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    let &[milliseconds, shown, cleared, wait, longest, messages] = &numbers[..] else {
        return Err(format!("{words}: the child said {said:?}").into());
    };
    let expected = if operation.shows() { f64::from(size.messages()) } else { 0.0 };
    if messages != expected {
        return Err(format!("after {words} the session has {messages} messages, not {expected}").into());
    }
    let mebibytes = [shown, cleared].map(|bytes| bytes / MEBIBYTE);
    Ok(Measured { milliseconds, mebibytes, waits: [wait, longest] })
}

/// What the child is to do.
pub struct Order {
    /// Whose file.
    pub kind: Kind,
    /// What.
    pub operation: Operation,
    /// How often is appended meanwhile at the least; 0 for not at all.
    pub appends: usize,
    /// Where.
    pub directory: PathBuf,
}

/// The child: does it, and prints milliseconds, bytes of memory until it showed and in all, the writer's two waits, and how many messages the session has.
pub fn child(order: &Order) -> Result {
    let pool = Corpus::new(0).pool(1024, 1);
    let (before, _) = disk::memory()?;
    let long = long::open(order.kind, &order.directory)?;
    let (mut waits, mut appended) = (Vec::with_capacity(order.appends), 0);
    let (milliseconds, shown) = std::thread::scope(|scope| -> Result<(f64, u64)> {
        let working = scope.spawn(|| timed(&*long, order.operation));
        while order.appends > 0 && (waits.len() < order.appends || !working.is_finished()) {
            let began = Instant::now();
            long.append(&pool[appended % pool.len()])?;
            waits.push(began.elapsed().as_secs_f64() * 1e3);
            appended += 1;
        }
        working.join().map_err(|_| "the operation panicked")?
    })?;
    long.settle()?;
    let (_, most) = disk::memory()?;
    let messages = long.messages()?.unwrap_or(0);
    let [wait, longest] = [QUANTILE, 1.0].map(|part| quantile(&mut waits, part));
    let [shown, most] = [shown, most].map(|most| most.saturating_sub(before));
    println!("{milliseconds} {shown} {most} {wait} {longest} {messages}");
    Ok(())
}

/// Milliseconds until it shows, and the most memory by then.
fn timed(long: &dyn Long, operation: Operation) -> Result<(f64, u64)> {
    let began = Instant::now();
    long.run(operation)?;
    let taken = began.elapsed().as_secs_f64() * 1e3;
    let (_, most) = disk::memory()?;
    long.clear()?;
    Ok((taken, most))
}
