//! The table of what access keys allow, to be held to the handles.

use crate::grant::{Act, UNCHECKED};
use crate::id::{AgentId, KeyId, WorkspaceId};
use crate::record::{KeyRecord, Scopes};
use crate::time::Timestamp;

/// A row of the table: an operation, and which keys allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessRule {
    /// The methods, with the type each is of, separated by commas.
    pub methods: &'static str,
    /// An agent key with `agent:read` alone.
    pub read: bool,
    /// An agent key with `chat`.
    pub chat: bool,
    /// An agent key with `agent:manage`.
    pub manage: bool,
    /// A master key.
    pub master: bool,
}

/// What each public operation of a handle needs of the access key it was reached with: the table that they are checked by.
pub fn access_table() -> Vec<AccessRule> {
    let nil = uuid::Uuid::nil();
    let master = KeyRecord::new(KeyId::from_uuid(nil), WorkspaceId::from_uuid(nil), Timestamp::from_micros(0));
    let of_agent = |scopes| KeyRecord { agent_id: Some(AgentId::from_uuid(nil)), scopes, ..master.clone() };
    let [read, chat, manage] = [Scopes::READ, Scopes::CHAT, Scopes::MANAGE].map(of_agent);
    let rule = |act: &Act| AccessRule {
        methods: act.method(),
        read: act.need().is_met_by(&read),
        chat: act.need().is_met_by(&chat),
        manage: act.need().is_met_by(&manage),
        master: act.need().is_met_by(&master),
    };
    Act::ALL.iter().map(rule).collect()
}

/// The public methods of handles that nothing is checked for: they say what the handle was made from, or make another one that is
/// checked at each of its steps.
pub fn access_unchecked() -> &'static [&'static str] {
    UNCHECKED
}
