//! What turns consume: tokens, and what they cost.

use serde::{Deserialize, Serialize};

/// What a turn, or all turns of a session, have consumed. It only grows: deleting messages takes nothing away.
///
/// ```
/// use parlor::Usage;
///
/// let call = Usage { input: 1200, output: 80, cost_micros: 310, ..Usage::default() };
/// assert_eq!(call.checked_add(call).map(|both| both.input), Some(2400));
/// assert_eq!(call.checked_add(Usage { input: u64::MAX, ..Usage::default() }), None);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens that the model read, the cached ones included.
    pub input: u64,
    /// Tokens that the model wrote, the reasoning ones included.
    pub output: u64,
    /// Of the input: tokens that the provider had cached.
    pub cached: u64,
    /// Of the output: tokens that the model spent on reasoning.
    pub reasoning: u64,
    /// What it cost, in millionths of a unit of the application's currency.
    pub cost_micros: u64,
}

impl Usage {
    /// Nothing.
    pub const ZERO: Usage = Usage { input: 0, output: 0, cached: 0, reasoning: 0, cost_micros: 0 };

    /// Both together; none where a sum is greater than a `u64` can be.
    pub fn checked_add(self, other: Usage) -> Option<Usage> {
        Some(Usage {
            input: self.input.checked_add(other.input)?,
            output: self.output.checked_add(other.output)?,
            cached: self.cached.checked_add(other.cached)?,
            reasoning: self.reasoning.checked_add(other.reasoning)?,
            cost_micros: self.cost_micros.checked_add(other.cost_micros)?,
        })
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self == Usage::ZERO
    }
}
