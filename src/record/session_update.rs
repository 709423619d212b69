//! What of a session can be changed.

use super::session::{check_session_jsons, check_session_texts};
use super::{Json, SessionRecord};
use crate::error::Result;

/// The input that changes what a session is. What it does not name stays as it is.
///
/// The key, the agent and the times of a session never change.
///
/// ```
/// let update = parlor::SessionUpdate::default().label("Trip to Kyoto").clear_last_channel();
/// assert_eq!(update.label, Some(Some("Trip to Kyoto".to_owned())));
/// assert_eq!((update.last_channel, update.chat_type), (Some(None), None));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SessionUpdate {
    /// The label, at most 255 characters, or none.
    pub label: Option<Option<String>>,
    /// What kind of chat it is, at most 255 characters, or none.
    pub chat_type: Option<Option<String>>,
    /// The channel it was last used from, at most 255 characters, or none.
    pub last_channel: Option<Option<String>>,
    /// Where it comes from, at most 1 MiB of JSON, or none.
    pub origin: Option<Option<Json>>,
    /// At most 1 MiB of JSON, or none.
    pub metadata: Option<Option<Json>>,
    /// The profile that its turns run with from the next send on, at most 1 MiB of JSON, or none.
    pub profile: Option<Option<Json>>,
}

impl SessionUpdate {
    /// Its label becomes this one: at most 255 characters.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(Some(label.into()));
        self
    }

    /// It has no label any more.
    #[must_use]
    pub fn clear_label(mut self) -> Self {
        self.label = Some(None);
        self
    }

    /// What kind of chat it is: at most 255 characters.
    #[must_use]
    pub fn chat_type(mut self, chat_type: impl Into<String>) -> Self {
        self.chat_type = Some(Some(chat_type.into()));
        self
    }

    /// It is no kind of chat any more.
    #[must_use]
    pub fn clear_chat_type(mut self) -> Self {
        self.chat_type = Some(None);
        self
    }

    /// The channel it was last used from: at most 255 characters.
    #[must_use]
    pub fn last_channel(mut self, channel: impl Into<String>) -> Self {
        self.last_channel = Some(Some(channel.into()));
        self
    }

    /// It was last used from no channel.
    #[must_use]
    pub fn clear_last_channel(mut self) -> Self {
        self.last_channel = Some(None);
        self
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<Json>) -> Self {
        self.origin = Some(Some(origin.into()));
        self
    }

    /// It has no origin any more.
    #[must_use]
    pub fn clear_origin(mut self) -> Self {
        self.origin = Some(None);
        self
    }

    /// Free JSON.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<Json>) -> Self {
        self.metadata = Some(Some(metadata.into()));
        self
    }

    /// It has no metadata any more.
    #[must_use]
    pub fn clear_metadata(mut self) -> Self {
        self.metadata = Some(None);
        self
    }

    /// The profile that its turns run with from the next send on.
    #[must_use]
    pub fn profile(mut self, profile: impl Into<Json>) -> Self {
        self.profile = Some(Some(profile.into()));
        self
    }

    /// It has no profile any more.
    #[must_use]
    pub fn clear_profile(mut self) -> Self {
        self.profile = Some(None);
        self
    }

    /// Bytes of what it sets.
    pub fn size(&self) -> usize {
        let texts =
            [&self.label, &self.chat_type, &self.last_channel].map(|text| text.as_ref().and_then(Option::as_ref));
        let jsons = [&self.origin, &self.metadata, &self.profile].map(|json| json.as_ref().and_then(Option::as_ref));
        texts.into_iter().flatten().map(String::len).sum::<usize>()
            + jsons.into_iter().flatten().map(|json| json.as_str().len()).sum::<usize>()
    }

    /// Checks every bound.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the field, its value and the bound.
    pub fn check(&self) -> Result<()> {
        let [label, chat_type, last_channel] =
            [&self.label, &self.chat_type, &self.last_channel].map(|text| text.as_ref().and_then(Option::as_ref));
        check_session_texts(label, chat_type, last_channel)?;
        let [origin, metadata, profile] =
            [&self.origin, &self.metadata, &self.profile].map(|json| json.as_ref().and_then(Option::as_ref));
        check_session_jsons(origin, metadata, profile)
    }

    /// The session as it becomes.
    pub fn apply(self, to: SessionRecord) -> SessionRecord {
        SessionRecord {
            label: self.label.unwrap_or(to.label),
            chat_type: self.chat_type.unwrap_or(to.chat_type),
            last_channel: self.last_channel.unwrap_or(to.last_channel),
            origin: self.origin.unwrap_or(to.origin),
            metadata: self.metadata.unwrap_or(to.metadata),
            profile: self.profile.unwrap_or(to.profile),
            ..to
        }
    }
}
