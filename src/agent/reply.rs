//! What an agent answers.

use crate::record::NewMessage;

/// What an agent answers: the turn's final message, or none.
///
/// Made from a message, a text, an `Option` of a message, or `()`.
///
/// ```
/// use parlor::{NewMessage, Reply};
///
/// assert_eq!(Reply::from("done"), Reply::from(NewMessage::text("done")));
/// assert_eq!(Reply::from(()), Reply::none());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply(Option<Box<NewMessage>>);

impl Reply {
    /// The turn completes without a final message.
    pub fn none() -> Self {
        Reply(None)
    }

    pub(crate) fn into_message(self) -> Option<Box<NewMessage>> {
        self.0
    }
}

impl From<NewMessage> for Reply {
    fn from(message: NewMessage) -> Self {
        Reply(Some(Box::new(message)))
    }
}

impl From<Option<NewMessage>> for Reply {
    fn from(message: Option<NewMessage>) -> Self {
        Reply(message.map(Box::new))
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        NewMessage::from(text).into()
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        NewMessage::from(text).into()
    }
}

impl From<()> for Reply {
    fn from((): ()) -> Self {
        Reply::none()
    }
}
