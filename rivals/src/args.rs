//! The command line.

use std::path::PathBuf;

use crate::peer::long::Operation;
use crate::peer::{Kind, Result};
use crate::work::long::Order;

/// How it is used.
pub const USAGE: &str = "\
rivals [check] [--quick] [--json FILE] [--dir DIR] [--only TEXT]... [--seed NUMBER]

check        only compares the answers of all peers
--quick      100,000 messages and about eight minutes; without it a million and about an hour
--json FILE  writes one JSON object a line of work
--dir DIR    where files are made, on a real disk; they are removed at the end
--only TEXT  measures only work whose name contains the text; may be given more than once
--seed N     of what is said and in which order things happen";

/// What is to be done.
pub struct Args {
    /// What.
    pub task: Task,
    /// How much.
    pub size: Size,
    /// Where the lines go.
    pub json: Option<PathBuf>,
    /// Where files are made.
    pub dir: Option<PathBuf>,
    /// Which work; all where there is none.
    pub only: Vec<String>,
    /// Of everything random.
    pub seed: u64,
}

/// What is to be done. The last ones are what a run starts itself again for.
pub enum Task {
    /// Compare answers and measure.
    Measure,
    /// Compare answers.
    Check,
    /// Append to a peer's file until killed.
    Append(Kind, PathBuf),
    /// Read every message of parlor's file, and tell how much memory it took.
    Scan(PathBuf),
    /// Do something to a long session, and tell what it took.
    Long(Order),
    /// Tell how it is used.
    Help,
}

/// How much is loaded, and how long is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 100,000 messages.
    Quick,
    /// 1,000,000 messages.
    Full,
}

impl Args {
    /// Reads the arguments behind the program's name.
    pub fn read(given: impl IntoIterator<Item = String>) -> Result<Args> {
        let mut args = Args { task: Task::Measure, size: Size::Full, json: None, dir: None, only: Vec::new(), seed: 1 };
        let mut given = given.into_iter();
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value\n\n{USAGE}"));
            match argument.as_str() {
                "check" => args.task = Task::Check,
                "child-append" => {
                    let name = value()?;
                    let kind = Kind::from_name(&name).ok_or_else(|| format!("no peer is called {name}"))?;
                    args.task = Task::Append(kind, value()?.into());
                }
                "child-long" => {
                    let (kind, operation) = (value()?, value()?);
                    let kind = Kind::from_name(&kind).ok_or_else(|| format!("no peer is called {kind}"))?;
                    let known = Operation::from_words(&operation);
                    let operation = known.ok_or_else(|| format!("nothing is called {operation}"))?;
                    let appends = value()?.parse()?;
                    args.task = Task::Long(Order { kind, operation, appends, directory: value()?.into() });
                }
                "child-scan" => args.task = Task::Scan(value()?.into()),
                "--quick" => args.size = Size::Quick,
                "--json" => args.json = Some(value()?.into()),
                "--dir" => args.dir = Some(value()?.into()),
                "--only" => args.only.push(value()?),
                "--seed" => args.seed = value()?.parse()?,
                "--help" | "-h" => args.task = Task::Help,
                _ => return Err(format!("{argument} is no argument\n\n{USAGE}").into()),
            }
        }
        Ok(args)
    }
}
