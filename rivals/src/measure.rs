//! Taking time: contenders take turns in shuffled rounds, and the median of a contender's rounds counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::corpus::Draft;
use crate::peer::{Result, Writer};
use crate::rng::Rng;

/// Who does the work of a line. What it measured in one turn are `N` numbers.
pub struct Contender<'a, const N: usize = 1> {
    /// Its name in the report.
    pub name: String,
    run: Box<dyn FnMut(Duration) -> Result<[f64; N]> + 'a>,
}

impl<'a, const N: usize> Contender<'a, N> {
    /// One that measures for about as long as it is told.
    pub fn new(name: impl Into<String>, run: impl FnMut(Duration) -> Result<[f64; N]> + 'a) -> Self {
        Contender { name: name.into(), run: Box::new(run) }
    }
}

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub struct Turns {
    /// Rounds, in each of which everyone has one turn.
    pub rounds: usize,
    /// How long a turn is.
    pub each: Duration,
}

/// Lets everyone take turns, and answers with the medians of each. A first, short turn warms up and
/// does not count.
pub fn interleaved<const N: usize>(
    turns: Turns,
    rng: &mut Rng,
    mut contenders: Vec<Contender<'_, N>>,
) -> Result<Vec<(String, [f64; N])>> {
    for contender in &mut contenders {
        (contender.run)(turns.each / 4).map_err(|error| format!("{}: {error}", contender.name))?;
    }
    let mut measured = vec![Vec::with_capacity(turns.rounds); contenders.len()];
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    for _ in 0..turns.rounds {
        rng.shuffle(&mut order);
        for &turn in &order {
            let contender = &mut contenders[turn];
            measured[turn].push((contender.run)(turns.each).map_err(|error| format!("{}: {error}", contender.name))?);
        }
    }
    let medians = measured.iter().map(|rounds| std::array::from_fn(|n| median(rounds.iter().map(|round| round[n]))));
    Ok(contenders.into_iter().map(|contender| contender.name).zip(medians).collect())
}

/// The middle one.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&mut values.into_iter().collect::<Vec<_>>(), 0.5)
}

/// The value that this part of all is not above; 0 where there is none.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = (values.len() as f64 * part) as usize;
    values.get(place.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Operations that take less are timed several at once, so that reading the clock does not show.
const SHORT: Duration = Duration::from_micros(8);

/// Repeats an operation for some time: the median of what one took, in microseconds.
pub fn latency(time: Duration, mut operation: impl FnMut() -> Result) -> Result<f64> {
    let began = Instant::now();
    operation()?;
    operation()?;
    let together = (SHORT.as_nanos() / (began.elapsed().as_nanos() / 2).max(1)).clamp(1, 64) as u32;
    let mut taken = Vec::new();
    let began = Instant::now();
    loop {
        let before = began.elapsed();
        for _ in 0..together {
            operation()?;
        }
        let after = began.elapsed();
        taken.push((after - before).as_secs_f64() * 1e6 / f64::from(together));
        if after >= time && taken.len() >= 3 {
            return Ok(quantile(&mut taken, 0.5));
        }
    }
}

/// What is appended while time is taken, and where to.
pub struct Appends<'p> {
    /// Sessions to choose from, by number.
    pub sessions: std::ops::Range<u32>,
    /// Batches to choose from.
    pub pool: &'p [Arc<[Draft]>],
}

impl Appends<'_> {
    /// Appends one batch to one session, and counts its messages as done.
    pub fn one(&self, rng: &mut Rng, writer: &mut dyn Writer, done: &AtomicU64) -> Result {
        let count = u64::from(self.sessions.end - self.sessions.start);
        let session = self.sessions.start + rng.below(count) as u32;
        let batch = &self.pool[rng.below(self.pool.len() as u64) as usize];
        writer.append(session, batch)?;
        done.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Appends with all the writers at once, each on a thread of its own: messages a second.
    pub fn rate(
        &self,
        time: Duration,
        seed: u64,
        writers: &mut [Box<dyn Writer + '_>],
        done: &AtomicU64,
    ) -> Result<f64> {
        let (before, began) = (done.load(Ordering::Relaxed), Instant::now());
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..)
                .zip(writers)
                .map(|(nth, writer)| {
                    scope.spawn(move || {
                        let mut rng = Rng::new(seed ^ nth);
                        while began.elapsed() < time {
                            self.one(&mut rng, &mut **writer, done)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            all(running.into_iter().map(std::thread::ScopedJoinHandle::join))
        })?;
        Ok((done.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64())
    }
}

/// The first error of threads that ended.
pub fn all(joined: impl IntoIterator<Item = std::thread::Result<Result>>) -> Result {
    joined.into_iter().try_for_each(|ended| ended.map_err(|_| "a thread panicked")?)
}

/// Tells threads to stop when it goes, so that none outlives an error of another.
pub struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_one_and_a_quantile_near_the_end_is_the_last() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(&mut [1.0, 2.0, 3.0, 4.0], 0.999), 4.0);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }

    #[test]
    fn everyone_has_as_many_turns() {
        let (mut one, mut other) = (0, 0);
        let turns = Turns { rounds: 4, each: Duration::ZERO };
        let contenders = vec![
            Contender::new("one", |_| {
                one += 1;
                Ok([1.0])
            }),
            Contender::new("other", |_| {
                other += 1;
                Ok([2.0])
            }),
        ];
        let measured = interleaved(turns, &mut Rng::new(1), contenders).unwrap();
        assert_eq!(measured, [("one".to_owned(), [1.0]), ("other".to_owned(), [2.0])]);
        assert_eq!((one, other), (5, 5));
    }
}
