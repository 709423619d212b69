//! Engines, workspaces and sessions as lines of JSON, and back.

mod bounds;
mod foreign;
mod hostile;
mod identity;
mod progress;
mod scene;
