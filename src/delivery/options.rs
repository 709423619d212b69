//! How often, and how many at once.

use crate::error::{Error, Result};
use crate::limit::{DELIVERY_THREADS_DEFAULT, DELIVERY_THREADS_MAX, DELIVERY_TRIES_DEFAULT};
use crate::time::Duration;

/// How announcements are tried, and tried again.
///
/// ```
/// use std::time::Duration;
///
/// use parlor::DeliveryOptions;
///
/// let options = DeliveryOptions::default().tries(3).pauses(Duration::from_secs(1), Duration::from_secs(60));
/// # parlor::Engine::in_memory().delivery(options).open()?.close()?;
/// # Ok::<(), parlor::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct DeliveryOptions {
    /// How many announcements are under way at once: 1 to [`DELIVERY_THREADS_MAX`], by default
    /// [`DELIVERY_THREADS_DEFAULT`]. Each has a thread, started when it is needed.
    pub threads: usize,
    /// How often an announcement is tried before it is dead: 1 or more, by default [`DELIVERY_TRIES_DEFAULT`].
    pub tries: u32,
    /// The pause after the first try that failed, by default 10 seconds. Each later one is twice as long; all are
    /// shortened by chance, to no less than half.
    pub first_pause: Duration,
    /// The longest pause, by default 1 hour.
    pub longest_pause: Duration,
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        DeliveryOptions {
            threads: DELIVERY_THREADS_DEFAULT,
            tries: DELIVERY_TRIES_DEFAULT,
            first_pause: Duration::from_secs(10),
            longest_pause: Duration::from_secs(3600),
        }
    }
}

impl DeliveryOptions {
    /// How many are under way at once.
    pub fn threads(self, threads: usize) -> Self {
        DeliveryOptions { threads, ..self }
    }

    /// How often one is tried.
    pub fn tries(self, tries: u32) -> Self {
        DeliveryOptions { tries, ..self }
    }

    /// The first and the longest pause between two tries.
    pub fn pauses(self, first_pause: Duration, longest_pause: Duration) -> Self {
        DeliveryOptions { first_pause, longest_pause, ..self }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=DELIVERY_THREADS_MAX).contains(&self.threads) {
            let text = format!("delivery threads is {}; it must be 1 to {DELIVERY_THREADS_MAX}", self.threads);
            return Err(Error::invalid(text));
        }
        if self.tries == 0 {
            return Err(Error::invalid("delivery tries is 0; it must be 1 or more"));
        }
        if self.first_pause > self.longest_pause {
            let (first, longest) = (self.first_pause, self.longest_pause);
            return Err(Error::invalid(format!("delivery first_pause is {first:?}, over longest_pause, {longest:?}")));
        }
        Ok(())
    }

    /// How long to wait after so many tries that failed; none after the last. `chance` is random bits.
    pub(super) fn pause_after(&self, failed: u32, chance: u64) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let doublings = failed.saturating_sub(1).min(31);
        let whole = self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause);
        let half = whole / 2;
        // 32 bits of chance are finer than any pause.
        let off = (half.as_nanos() * u128::from(chance >> 32)) >> 32;
        Some(whole.saturating_sub(Duration::from_nanos(u64::try_from(off).unwrap_or(u64::MAX))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_chance_takes_no_more_than_half() {
        let options = DeliveryOptions::default();
        let seconds = |failed, chance| options.pause_after(failed, chance).map(|pause| pause.as_secs());
        let whole: Vec<_> = (1..=10).map(|failed| seconds(failed, 0)).collect();
        let due = [10, 20, 40, 80, 160, 320, 640, 1280, 2560].map(Some);
        assert_eq!(whole, [&due[..], &[None]].concat());
        assert_eq!(options.tries(20).pause_after(12, 0), Some(options.longest_pause));
        for failed in 1..10 {
            let (whole, least) = (options.pause_after(failed, 0), options.pause_after(failed, u64::MAX));
            assert!(least < whole && least >= whole.map(|whole| whole / 2), "{least:?} of {whole:?}");
        }
        assert_eq!(options.tries(u32::MAX).pause_after(u32::MAX - 1, 0), Some(options.longest_pause));
    }
}
