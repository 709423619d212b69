//! The input that makes an agent.

use super::session::{check_chars, check_name};
use crate::error::{Error, Result};
use crate::id::AgentId;
use crate::limit;

/// The input that makes an agent: its name, and what has a default.
///
/// ```
/// let new = parlor::NewAgent::new("greeter").label("Says hello");
/// assert_eq!((new.name.as_str(), new.label.as_deref()), ("greeter", Some("Says hello")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewAgent {
    /// The name its behaviour is bound to: 1 to 255 characters.
    pub name: String,
    /// An id of the caller's, where a retry must be safe.
    pub id: Option<AgentId>,
    /// At most 255 characters.
    pub label: Option<String>,
}

impl NewAgent {
    /// One of this name.
    pub fn new(name: impl Into<String>) -> Self {
        NewAgent { name: name.into(), id: None, label: None }
    }

    /// An id of the caller's, where a retry must be safe.
    #[must_use]
    pub fn id(mut self, id: impl Into<AgentId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Its label: at most 255 characters.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Checks every bound.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the field, its value and the bound.
    pub fn check(&self) -> Result<()> {
        check_name("agent name", &self.name)?;
        check_label(self.label.as_deref())?;
        if self.id.is_some_and(|id| id.as_uuid().is_nil()) {
            return Err(Error::invalid("agent id is the nil UUID"));
        }
        Ok(())
    }
}

impl From<&str> for NewAgent {
    fn from(name: &str) -> Self {
        NewAgent::new(name)
    }
}

/// Checks the label of an agent: at most 255 characters.
pub(crate) fn check_label(label: Option<&str>) -> Result<()> {
    label.map_or(Ok(()), |label| check_chars("agent label", label, 0, limit::LABEL_CHARS))
}
