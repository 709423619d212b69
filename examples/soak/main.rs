//! Turns of every kind for as long as it is told, in a process that is killed now and then; exits with an error unless
//! every accepted turn has exactly one end, no session is stuck, and memory and threads level off.
//!
//! ```text
//! cargo run --release --example soak -- [--seconds N] [--seed N] [--dir PATH] [--plant FAULT]
//! ```
//!
//! 64 sessions, 8 senders, all policies, and agents that answer, fail, panic, hang for up to three grace periods, go on
//! when they were told to stop, and feed themselves; an eighth of the sessions has half of the sends. The first half of the time belongs to short lives that end by a kill, after
//! each of which the file is checked; the second half to one long life, which ends in good order. With `--dir` the file stays.
//! `--plant FAULT` plants a fault in the runtime (`FenceOpen`, `PendingDropped`), to see that it is found.

mod child;
mod killed;
mod ledger;
mod level;
mod life;
mod part;
mod random;
mod sender;
mod summary;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use parlor::testkit::Bug;

use ledger::{Ledger, Left};
use level::Level;
use life::{End, Life};
use random::Random;
use summary::Summary;

const USAGE: &str = "usage: soak [--seconds N] [--seed N] [--dir PATH] [--plant FAULT]";
/// The longest life that ends by a kill is at least so long, and at most.
const LIVES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(20)];
/// One that is killed while it opens the file, or soon after.
const EARLY: Duration = Duration::from_millis(200);

/// Whatever keeps the run from being one.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let outcome = Options::read(env::args().skip(1)).and_then(|options| match &options.child {
        Some(file) => child::live(file, options.seed, options.plant).map(|()| ExitCode::SUCCESS),
        None => run(&options),
    });
    outcome.unwrap_or_else(|failure| {
        eprintln!("soak: {failure}");
        ExitCode::FAILURE
    })
}

struct Options {
    seconds: u64,
    seed: u64,
    dir: Option<PathBuf>,
    plant: Option<Bug>,
    /// The file of one life: how the example starts itself.
    child: Option<PathBuf>,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Options { seconds: 600, seed: 1, dir: None, plant: None, child: None };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{USAGE}"));
            match arg.as_str() {
                "--seconds" => options.seconds = value()?.parse().map_err(|why| format!("--seconds: {why}"))?,
                "--seed" => options.seed = value()?.parse().map_err(|why| format!("--seed: {why}"))?,
                "--dir" => options.dir = Some(value()?.into()),
                "--plant" => {
                    let name = value()?;
                    let known = Bug::IN_SCHEDULES.into_iter().find(|bug| format!("{bug:?}") == name);
                    options.plant = Some(known.ok_or_else(|| format!("{name} is no fault of the runtime"))?);
                }
                "--child" => options.child = Some(value()?.into()),
                other => return Err(format!("{other} is unknown\n{USAGE}").into()),
            }
        }
        Ok(options)
    }
}

fn run(options: &Options) -> Result<ExitCode, Failure> {
    let scratch = tempfile::tempdir()?;
    let dir = options.dir.as_deref().unwrap_or(scratch.path());
    std::fs::create_dir_all(dir)?;
    let file = dir.join("soak.parlor");
    if file.exists() {
        return Err(format!("{} is there already: a soak begins with nothing", file.display()).into());
    }
    let time = Duration::from_secs(options.seconds);
    println!("{} s over {}, seed {}", options.seconds, file.display(), options.seed);
    let mut soak = Soak { plant: options.plant, ..Soak::default() };
    let mut random = Random::new(options.seed);
    soak.short_lives(&file, &mut random, time / 2)?;
    soak.long_life(&file, random.next(), time / 2)?;
    soak.summary.take(&mut soak.ledger);
    print!("{}", soak.summary);
    Ok(if soak.summary.breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Soak {
    plant: Option<Bug>,
    ledger: Ledger,
    summary: Summary,
}

impl Soak {
    fn short_lives(&mut self, file: &Path, random: &mut Random, time: Duration) -> Result<(), Failure> {
        let [least, most] = LIVES;
        let longest = (time / 8).clamp(least, most).as_millis() as u64;
        let began = Instant::now();
        while began.elapsed() < time {
            let length = Duration::from_millis(random.below(longest));
            let mut lives = vec![self.live(file, random.next(), length, End::Killed)?];
            // One of three that were killed is killed again soon, with what it left running taken over.
            if random.once_in(3) {
                let early = Duration::from_millis(random.below(EARLY.as_millis() as u64));
                lives.push(self.live(file, random.next(), early, End::Killed)?);
            }
            for life in lives {
                self.ledger.check(file, &life.accepted, Left::Waiting)?;
            }
        }
        Ok(())
    }

    fn long_life(&mut self, file: &Path, seed: u64, time: Duration) -> Result<(), Failure> {
        let life = self.live(file, seed, time, End::Drained)?;
        self.ledger.check(file, &life.accepted, Left::Nothing)?;
        self.ledger.check_whole(file)?;
        self.summary.level = Level::of(&life.samples, time);
        self.summary.breaches.extend(self.summary.level.breaches());
        Ok(())
    }

    fn live(&mut self, file: &Path, seed: u64, length: Duration, end: End) -> Result<Life, Failure> {
        let mut life = Life::run(file, seed, self.plant, length, end)?;
        self.summary.hear(&mut life, end);
        Ok(life)
    }
}
