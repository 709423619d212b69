//! What agents and their users read and write alike.

use crate::error::{Error, ErrorKind, Result};
use crate::limit;
use crate::page::Matching;
use crate::record::{Message, NewMessage};
use crate::store::{SessionRef, Store};

/// The newest `limit` messages of a session, oldest first.
pub(crate) fn history(store: &dyn Store, at: SessionRef, limit: u32) -> Result<Vec<Message>> {
    let mut found = store.messages(at, Matching::history(limit)?)?;
    if let Some(damaged) = found.damaged.pop() {
        // A history with a hole would not tell of it.
        return Err(Error::corrupt(damaged.error));
    }
    found.items.reverse();
    Ok(found.items)
}

/// The messages of one commit, each within its bounds, and not too many of them.
pub(crate) fn checked_batch<I>(messages: I) -> Result<Vec<NewMessage>>
where
    I: IntoIterator,
    I::Item: Into<NewMessage>,
{
    // One more than there may be is enough to refuse a sequence without an end.
    let messages: Vec<NewMessage> = messages.into_iter().take(limit::BATCH_MESSAGES + 1).map(Into::into).collect();
    if messages.is_empty() {
        return Err(Error::invalid("batch has 0 messages; it must have at least 1"));
    }
    if messages.len() > limit::BATCH_MESSAGES {
        let most = limit::BATCH_MESSAGES;
        let text = format!("batch has more than {most} messages; it may have at most {most} (BATCH_MESSAGES)");
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    messages.iter().try_for_each(NewMessage::check)?;
    let bytes: usize = messages.iter().map(NewMessage::size).sum();
    if bytes > limit::BATCH_BYTES {
        let most = limit::BATCH_BYTES;
        let text = format!("batch has {bytes} bytes; it may have at most {most} (BATCH_BYTES)");
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    Ok(messages)
}
