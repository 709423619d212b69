//! For tests of stores and of what is built on them.

pub use crate::model::ModelStore;
