//! One life of the process: begun, listened to, and ended.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, thread};

use parlor::id::{SessionId, TurnId};
use parlor::testkit::Bug;

use crate::Failure;
use crate::killed::was_killed;

/// A process that was told to drain is over so soon, or it hangs.
const OVER: Duration = Duration::from_secs(100);

/// How a life is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Killed,
    Drained,
}

/// What a process told in its life.
#[derive(Debug, Default)]
pub struct Life {
    /// The turns that sends returned with.
    pub accepted: HashMap<SessionId, Vec<TurnId>>,
    pub samples: Vec<(Duration, Sample)>,
    /// What it found wrong itself.
    pub breaches: Vec<String>,
    /// How long it took to open the file.
    pub opened: Option<Duration>,
    /// How long it took until all was idle.
    pub drained: Option<Duration>,
    pub closed: bool,
}

/// How a process stood at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    pub memory_kib: u64,
    pub threads: u64,
    pub abandoned: u64,
    pub retired: u64,
    pub asked: u64,
    pub busy: u64,
    pub overloaded: u64,
}

impl Life {
    /// Begins one over this file, and ends it after so long.
    pub fn run(file: &Path, seed: u64, plant: Option<Bug>, length: Duration, end: End) -> Result<Life, Failure> {
        let began = Instant::now();
        let mut child = Command::new(env::current_exe()?)
            .arg("--child")
            .arg(file)
            .args(["--seed", &seed.to_string()])
            .args(plant.iter().flat_map(|bug| ["--plant".to_owned(), format!("{bug:?}")]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (told, lines) = mpsc::channel();
        let out = child.stdout.take().ok_or("the child has no output")?;
        let listener = thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // Whoever listens does so until the end.
                let _ = told.send(line);
            }
        });
        let mut life = Life::default();
        let mut over = life.listen(&lines, began, length)?;
        if over && end == End::Killed {
            life.breaches.push("the process was over before it was killed".into());
        }
        match end {
            End::Killed => child.kill()?,
            End::Drained => {
                if let Some(mut ears) = child.stdin.take() {
                    // One that is gone does not hear it, and is found out below.
                    let _ = ears.write_all(b"drain\n");
                }
                over = over || life.listen(&lines, began, length + OVER)?;
                if !over {
                    life.breaches.push(format!("the process is not over {OVER:?} after it was told to drain"));
                    child.kill()?;
                }
            }
        }
        while !life.listen(&lines, began, began.elapsed() + OVER)? {}
        // It has nothing to panic with.
        let _ = listener.join();
        let status = child.wait()?;
        match end {
            End::Killed if was_killed(status) => {}
            End::Drained if status.success() && life.closed => {}
            _ => life.breaches.push(format!("the process was to be {end:?}, and ended with {status}")),
        }
        Ok(life)
    }

    /// Hears what it says up to this time. Whether it is gone by then.
    fn listen(&mut self, lines: &Receiver<String>, began: Instant, until: Duration) -> Result<bool, Failure> {
        loop {
            match lines.recv_timeout(until.saturating_sub(began.elapsed())) {
                Ok(line) => self.hear(began.elapsed(), &line)?,
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => return Ok(true),
            }
        }
    }

    fn hear(&mut self, when: Duration, line: &str) -> Result<(), Failure> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "accepted" => {
                let (session, turn) = rest.split_once(' ').ok_or_else(|| format!("half a line: {line:?}"))?;
                self.accepted.entry(session.parse()?).or_default().push(turn.parse()?);
            }
            "sample" => self.samples.push((when, Sample::read(rest)?)),
            "breach" => self.breaches.push(rest.to_owned()),
            "opened" => self.opened = Some(Duration::from_micros(rest.parse()?)),
            "drained" => self.drained = Some(Duration::from_micros(rest.parse()?)),
            "closed" => self.closed = true,
            _ => return Err(format!("the child says {line:?}").into()),
        }
        Ok(())
    }
}

impl Sample {
    fn read(numbers: &str) -> Result<Self, Failure> {
        let numbers: Vec<u64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [memory_kib, threads, abandoned, retired, asked, busy, overloaded] = numbers[..] else {
            return Err(format!("a sample of {} numbers", numbers.len()).into());
        };
        Ok(Sample { memory_kib, threads, abandoned, retired, asked, busy, overloaded })
    }
}
