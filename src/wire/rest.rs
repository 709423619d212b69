//! Sessions, messages and pages of messages, with links to follow.

use serde::Serialize;

use super::Href;
use crate::id::{AgentId, MessageId, SessionId, ThreadId, TurnId};
use crate::page::{Form, MessagePage, MessageQuery, Meta, session_href};
use crate::record::{self, Json, MessageType, Role, SessionRecord, SessionStatus, Ts};
use crate::time::Timestamp;

/// A session, with its links.
///
/// From document A.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The agent it belongs to.
    pub agent_id: AgentId,
    /// Its key among the agent's sessions.
    pub key: String,
    /// Its label, or null.
    pub label: Option<String>,
    /// `idle`, `running` or `error`.
    pub status: SessionStatus,
    /// The running turn, or null.
    pub task_id: Option<TurnId>,
    /// The caller's free JSON, or null.
    pub metadata: Option<Json>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Where to go from here.
    #[serde(rename = "_links")]
    pub links: SessionLinks,
}

/// The links of a [`Session`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionLinks {
    /// The session.
    #[serde(rename = "self")]
    pub this: Href,
    /// Its messages.
    pub messages: Href,
    /// The messages of the thread that its making opened; absent where it opened none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<Href>,
    /// The answer of that thread, to be polled; absent where there is no such thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_message: Option<Href>,
}

impl Session {
    /// A session that was there already.
    pub fn new(session: &SessionRecord, base: &str) -> Self {
        let messages = Href::listing(Form::Session(session.id), MessageQuery::default(), base);
        let this = Href { href: session_href(session.id, base) };
        Session {
            id: session.id,
            agent_id: session.agent_id,
            key: session.key.clone(),
            label: session.label.clone(),
            status: session.status,
            task_id: session.running_turn,
            metadata: session.metadata.clone(),
            created_at: session.created_at,
            updated_at: session.updated_at,
            links: SessionLinks { this, messages, thread: None, final_message: None },
        }
    }

    /// A session that was just made with a first message, which opened this thread.
    pub fn created(session: &SessionRecord, thread: ThreadId, base: &str) -> Self {
        let mut made = Session::new(session, base);
        let form = Form::Thread(session.id, thread);
        made.links.thread = Some(Href::listing(form, MessageQuery::default(), base));
        made.links.final_message = Some(Href::final_message(session.id, thread, base));
        made
    }
}

/// A message.
///
/// From document A. Unlike there, `ts` is never null, and has a fraction.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The session it belongs to.
    pub chat_id: SessionId,
    /// The thread it belongs to, or null.
    pub chat_thread_id: Option<ThreadId>,
    /// The turn that wrote it or that it started, or null.
    pub task_id: Option<TurnId>,
    /// Who speaks.
    pub role: Role,
    /// What it is in its turn.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// What it says: the text of content blocks joined by `\n`, and `""` where there is none.
    pub message: String,
    /// Its place on the session's cursor clock, in epoch seconds.
    pub ts: Ts,
    /// When it was written.
    pub created_at: Timestamp,
    /// The same: a message does not change.
    pub updated_at: Timestamp,
    /// Where to go from here; only with the answer to a send.
    #[serde(rename = "_links", skip_serializing_if = "Option::is_none")]
    pub links: Option<MessageLinks>,
}

/// The links of a [`Message`] that was just sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MessageLinks {
    /// The messages of the session.
    #[serde(rename = "self")]
    pub this: Href,
    /// The messages of the thread it opened.
    pub thread: Href,
    /// The answer to it, to be polled.
    pub final_message: Href,
}

impl Message {
    /// A message as it stands in a listing.
    pub fn new(message: &record::Message) -> Self {
        Message {
            id: message.id,
            chat_id: message.session_id,
            chat_thread_id: message.thread_id,
            task_id: message.turn_id,
            role: message.role,
            kind: message.kind,
            message: message.text(),
            ts: message.ts,
            created_at: message.created_at,
            updated_at: message.created_at,
            links: None,
        }
    }

    /// A message that was just sent. Without a thread it has no links: a send always opens or names one.
    pub fn sent(message: &record::Message, base: &str) -> Self {
        let session = message.session_id;
        let listing = |form| Href::listing(form, MessageQuery::default(), base);
        let links = message.thread_id.map(|thread| MessageLinks {
            this: listing(Form::Session(session)),
            thread: listing(Form::Thread(session, thread)),
            final_message: Href::final_message(session, thread, base),
        });
        Message { links, ..Message::new(message) }
    }
}

/// A page of messages.
///
/// From document A.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Page {
    /// The messages.
    pub items: Vec<Message>,
    /// How many there are in all, and which of them these are.
    pub meta: Meta,
    /// This page again, and what comes after it.
    #[serde(rename = "_links")]
    pub links: PageLinks,
}

/// The links of a [`Page`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PageLinks {
    /// Exactly what was asked for.
    #[serde(rename = "self")]
    pub this: Href,
    /// Every later matching message: see [`Link::new_messages`](crate::page::Link::new_messages).
    pub new_messages: Href,
}

impl Page {
    /// A page as it was read.
    pub fn new(page: &MessagePage, base: &str) -> Self {
        Page {
            items: page.items.iter().map(Message::new).collect(),
            meta: page.meta,
            links: PageLinks {
                this: Href { href: page.this.href(base) },
                new_messages: Href { href: page.new_messages.href(base) },
            },
        }
    }
}
