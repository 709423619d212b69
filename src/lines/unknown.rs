//! What an import does not know, by name.

use std::collections::BTreeMap;

use crate::limit::{LINES_NAME_BYTES, LINES_UNKNOWN};

/// Counts of fields and kinds of lines that are not known.
#[derive(Debug, Default)]
pub(crate) struct Unknown(pub(crate) BTreeMap<String, u64>);

impl Unknown {
    /// What is counted together once there are as many names as are kept.
    const OTHERS: &str = "…";

    /// One more of this name.
    pub(crate) fn add(&mut self, name: &str) {
        let end = (0..=name.len().min(LINES_NAME_BYTES)).rev().find(|end| name.is_char_boundary(*end));
        let name = end.and_then(|end| name.get(..end)).unwrap_or_default();
        if let Some(count) = self.0.get_mut(name) {
            *count = count.saturating_add(1);
        } else if self.0.len() < LINES_UNKNOWN {
            self.0.insert(name.to_owned(), 1);
        } else {
            *self.0.entry(Self::OTHERS.to_owned()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_names_than_are_kept_are_counted_together() {
        let mut unknown = Unknown::default();
        for n in 0..LINES_UNKNOWN + 5 {
            unknown.add(&format!("name {n}"));
        }
        unknown.add("name 0");
        unknown.add(&"é".repeat(LINES_NAME_BYTES));
        assert_eq!(unknown.0.len(), LINES_UNKNOWN + 1);
        assert_eq!((unknown.0.get("name 0"), unknown.0.get(Unknown::OTHERS)), (Some(&2), Some(&6)));
    }
}
