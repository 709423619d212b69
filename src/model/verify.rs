//! What can be recounted.

use super::State;

impl State {
    pub(super) fn breaches(&self) -> Vec<String> {
        Vec::new()
    }
}
