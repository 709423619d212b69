//! The work of parlor done by other embedded stores, side by side: see README.md.

mod args;
mod check;
mod corpus;
mod disk;
mod line;
mod measure;
mod peer;
mod plan;
mod report;
mod rng;
mod run;
mod time;
mod work;

use std::fs::File;
use std::process::ExitCode;

use args::{Args, Size, Task, USAGE};
use corpus::Corpus;
use line::Line;
use peer::{Cache, Feed, Result};
use plan::Plan;
use run::{Run, SAMPLE, Set};

fn main() -> ExitCode {
    match Args::read(std::env::args().skip(1)).and_then(|args| start(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rivals: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result {
    match &args.task {
        Task::Help => println!("{USAGE}"),
        Task::Append(kind, directory) => work::open::append_for_ever(*kind, directory)?,
        Task::Scan(directory) => work::scan::scan(directory)?,
        Task::Long(order) => work::long::child(order)?,
        Task::Check | Task::Measure => {
            let directory = disk::directory(args.dir.as_deref())?;
            let done = compare(args, directory.path());
            directory.close()?;
            done?;
        }
    }
    Ok(())
}

/// Compares answers, and then, where that was asked for, times.
fn compare(args: &Args, directory: &std::path::Path) -> Result {
    let corpus = Corpus::new(args.seed);
    check::small(&directory.join("check"), &corpus)?;
    println!("check: all answer alike");
    if let Task::Check = args.task {
        return Ok(());
    }
    let json = args.json.as_ref().map(File::create).transpose()?;
    let mut run = Run::new(args.size, &corpus, directory, args.only.clone(), json);
    work::size::per_message(&mut run)?;
    on_the_main_set(&mut run)?;
    work::turn::turns(&mut run)?;
    work::waking::of_a_waiter(&mut run)?;
    work::interrupt::of_an_agent(&mut run)?;
    on_long_sessions(&mut run)?;
    work::long::operations(&mut run)?;

    let mut out = std::io::stdout().lock();
    let of = |default: bool| -> Vec<&Line> {
        run.lines().iter().filter(|line| (line.cache == Cache::Default.words()) == default).collect()
    };
    report::print(&mut out, "Each peer's cache holds the working set, where the work has one", &of(false))?;
    report::print(&mut out, "Each peer's default cache", &of(true))?;
    Ok(())
}

/// What is measured on many sessions that mingle.
fn on_the_main_set(run: &mut Run<'_>) -> Result {
    let words =
        ["poll", "history", "50 newest", "durable", "checkpoints included", "per append", "open,", "memory of a scan"];
    let pages = run.size == Size::Full && run.wants_any(&["page of 50"]);
    if !pages && !run.wants_any(&words) {
        return Ok(());
    }
    let (messages, sessions) = (run.size.messages(), 100_000);
    let plan = Plan::main(messages, sessions);
    let words = format!("{messages} messages in {sessions} sessions, interleaved");
    let mut set = Set::load(run, "main", words, plan, Feed::Without, [0].into_iter().chain(SAMPLE).collect())?;
    for cache in [Cache::Holds, Cache::Default] {
        set.reopen(cache)?;
        if run.size == Size::Full {
            work::page::with_bar(run, &set, 0)?;
        }
        work::poll::polls(run, &set)?;
        work::poll::histories(run, &set)?;
        work::poll::sessions(run, &set)?;
    }
    set.reopen(Cache::Holds)?;
    work::append::by_one_thread(run, &set)?;
    work::append::by_threads(run, &set, 8)?;
    work::append::by_threads(run, &set, 32)?;
    work::beside::readers_beside_a_writer(run, &set)?;
    work::stall::of_a_writer(run, &set)?;
    work::written::per_append(run, &mut set)?;
    set.count(run)?;
    let (directory, of_parlor) = (set.directory.clone(), set.directory(peer::Kind::Parlor));
    drop(set);
    work::open::files(run, &directory)?;
    work::scan::of_everything(run, &of_parlor)?;
    Ok(std::fs::remove_dir_all(directory)?)
}

/// What is measured on few sessions that are long.
fn on_long_sessions(run: &mut Run<'_>) -> Result {
    let words = [
        "newest page of 50, exact total",
        "page of 50 at",
        "session of",
        "thread of",
        "the same page",
        "message deleted",
    ];
    if !run.wants_any(&words) {
        return Ok(());
    }
    let mut sizes = vec![(0, "10,000"), (1, "100,000")];
    let mut lengths = vec![10_000, 100_000];
    if run.size == Size::Full {
        sizes.push((2, "1,000,000"));
        lengths.push(1_000_000);
    }
    let words = format!("{} messages in {} sessions, each in a thread", lengths.iter().sum::<u32>(), lengths.len());
    let plan = Plan::threaded(&lengths);
    let known = sizes.iter().map(|(session, _)| *session).collect();
    let mut set = Set::load(run, "long", words, plan, Feed::Without, known)?;
    for cache in [Cache::Holds, Cache::Default] {
        set.reopen(cache)?;
        if run.size == Size::Quick {
            work::page::with_bar(run, &set, 1)?;
        }
    }
    set.reopen(Cache::Holds)?;
    work::page::without_bar(run, &set, &sizes, "")?;
    work::page::same_at_any_size(run, &set, &sizes)?;
    work::page::after_deletions(run, &mut set, &sizes)
}
