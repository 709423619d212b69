//! Plays recorded conversations through an engine, opens its file again, and compares every
//! message and every listing with the recording.
//!
//! ```text
//! cargo run --release --example replay -- [--file PATH] [--acks PATH] [--workers N] [--archive | --fork] FILE…
//! ```
//!
//! With `--file` the sessions stay, and a run goes on where the last one stopped: what a dead turn
//! left is soft-deleted, its user message included, and sent again. With `--acks` a line is
//! written for each message as soon as the engine has acknowledged it (`-` is standard output). With `--archive`
//! every session is archived and restored between its turns. With `--fork` every session is forked at its middle message,
//! and the fork goes on: both are compared, the one with what it had, the other with the whole conversation.

mod check;
mod compare;
mod data;
mod feed;
mod fork;
mod listing;
mod oracle;
mod play;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use std::{env, thread};

use indicatif::{ProgressBar, ProgressStyle};
use parlor::limit;

use data::Failure;
use play::{Acks, Between, Script};

const USAGE: &str = "usage: replay [--file PATH] [--acks PATH] [--workers N] [--archive | --fork] FILE…";

fn main() -> ExitCode {
    match Options::read(env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("replay: {failure}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    file: Option<PathBuf>,
    acks: Option<PathBuf>,
    workers: usize,
    between: Between,
    recorded: Vec<PathBuf>,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let (workers, between) = (limit::WORKERS_DEFAULT, Between::Nothing);
        let mut options = Options { file: None, acks: None, workers, between, recorded: Vec::new() };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{USAGE}"));
            match arg.as_str() {
                "--file" => options.file = Some(value()?.into()),
                "--acks" => options.acks = Some(value()?.into()),
                "--workers" => options.workers = value()?.parse().map_err(|why| format!("--workers: {why}"))?,
                "--archive" | "--fork" if options.between != Between::Nothing => return Err(USAGE.into()),
                "--archive" => options.between = Between::Archived,
                "--fork" => options.between = Between::Forked,
                option if option.starts_with("--") => return Err(format!("{option} is unknown\n{USAGE}").into()),
                file => options.recorded.push(file.into()),
            }
        }
        if options.recorded.is_empty() {
            return Err(USAGE.into());
        }
        Ok(options)
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let script = Arc::new(Script::new(data::read(&options.recorded)?).with(options.between));
    let acks = Arc::new(options.acks.as_deref().map_or_else(|| Ok(Acks::none()), Acks::open)?);
    let scratch = tempfile::tempdir()?;
    let file = options.file.clone().unwrap_or_else(|| scratch.path().join("replay.parlor"));

    let (sessions, messages) = script.size();
    println!("{sessions} sessions, {messages} messages");
    let engine = play::builder(&file, options.workers, &script, &acks).open()?;
    let bar = progress("playing", messages);
    let start = Instant::now();
    let turns = play::play(&engine, &script, options.workers, &acks, &bar)?;
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    println!("played {turns} turns in {seconds:.1} s, {:.0} turns per second", turns as f64 / seconds);
    engine.close()?;

    // What counts is what another process would find.
    let engine = play::builder(&file, options.workers, &script, &acks).open()?;
    let bar = progress("comparing", messages);
    let at_once = thread::available_parallelism()?.get();
    let pages = check::check(&engine, &script, at_once, &bar)?;
    bar.finish_and_clear();
    println!("{sessions} sessions, {messages} messages and {pages} pages compared, 0 differences");
    engine.close()?;
    Ok(())
}

/// A bar on standard error, which shows only where that is a terminal.
fn progress(what: &'static str, messages: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:9} {wide_bar} {pos}/{len} messages, {eta} left");
    let bar = ProgressBar::new(messages).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
