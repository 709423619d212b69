//! What each public operation of a handle needs of the access key it was reached with: the one table.
//!
//! An operation is checked under its row here and nowhere else. What has no row is checked by nobody, so a test holds the table
//! to the public methods of the handles; what only says what the handle itself was made from is listed at its end.

use crate::record::{KeyRecord, Scopes};

/// What an access key must be to be allowed an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Any key.
    Read,
    /// An agent key with `chat`, or a master key.
    Chat,
    /// An agent key with `agent:manage`, or a master key.
    Manage,
    /// An agent key with either, or a master key.
    Either,
    /// A master key.
    Master,
    /// None will do: who holds the engine.
    Engine,
}

impl Need {
    /// Whether this key will do.
    pub(crate) fn is_met_by(self, key: &KeyRecord) -> bool {
        let scopes = key.scopes;
        match self {
            Need::Engine => false,
            _ if key.is_master() => true,
            Need::Read => true,
            Need::Chat => scopes.contains(Scopes::CHAT),
            Need::Manage => scopes.contains(Scopes::MANAGE),
            Need::Either => scopes.contains(Scopes::CHAT) || scopes.contains(Scopes::MANAGE),
            Need::Master => false,
        }
    }

    /// What is missing where it is not met.
    pub(crate) const fn missing(self) -> &'static str {
        match self {
            Need::Read => "the scope agent:read",
            Need::Chat => "the scope chat",
            Need::Manage => "the scope agent:manage",
            Need::Either => "the scopes chat and agent:manage",
            Need::Master => "the whole workspace",
            Need::Engine => "what only the holder of the engine may do",
        }
    }
}

macro_rules! acts {
    ($($act:ident: $method:literal => $need:ident,)*) => {
        /// An operation of a handle: its variants are the rows of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Act {
            $(#[doc = $method] $act,)*
        }

        impl Act {
            /// All of them.
            #[cfg(feature = "testkit")]
            pub(crate) const ALL: &[Act] = &[$(Act::$act),*];

            /// The method, or the methods that read alike.
            #[cfg(feature = "testkit")]
            pub(crate) const fn method(self) -> &'static str {
                match self {
                    $(Act::$act => $method,)*
                }
            }

            /// What it needs.
            pub(crate) const fn need(self) -> Need {
                match self {
                    $(Act::$act => Need::$need,)*
                }
            }
        }
    };
}

acts! {
    AccessWorkspace: "Access::workspace" => Master,
    AccessAgent: "Access::agent" => Read,
    AccessSession: "Access::session" => Either,

    WorkspaceAgent: "Workspace::agent" => Master,
    WorkspaceFindAgent: "Workspace::find_agent" => Master,
    WorkspaceAgentById: "Workspace::agent_by_id" => Master,
    WorkspaceCreateAgent: "Workspace::create_agent" => Master,
    WorkspaceAgents: "Workspace::agents" => Master,
    WorkspaceSession: "Workspace::session" => Master,
    WorkspaceSessions: "Workspace::sessions" => Master,
    WorkspaceExport: "Workspace::export" => Master,
    WorkspaceExportWith: "Workspace::export_with" => Master,
    WorkspaceImport: "Workspace::import" => Master,
    WorkspaceImportWith: "Workspace::import_with" => Master,
    WorkspaceWatch: "Workspace::watch" => Master,
    WorkspaceKeys: "Workspace::keys" => Master,
    WorkspaceRevokeKey: "Workspace::revoke_key" => Master,
    WorkspaceCreateMasterKey: "Workspace::create_master_key" => Engine,
    WorkspaceReplaceMasterKey: "Workspace::replace_master_key" => Engine,

    AgentGet: "AgentHandle::get" => Read,
    AgentSetLabel: "AgentHandle::set_label" => Master,
    AgentDelete: "AgentHandle::delete" => Master,
    AgentKeys: "AgentHandle::keys" => Master,
    AgentCreateKey: "AgentHandle::create_key" => Master,
    AgentCreateSession: "AgentHandle::create_session" => Either,
    AgentStartSession: "AgentHandle::start_session" => Either,
    AgentSession: "AgentHandle::session" => Either,
    AgentSessionByKey: "AgentHandle::session_by_key" => Either,
    AgentSessions: "AgentHandle::sessions" => Manage,
    AgentImport: "AgentHandle::import" => Manage,
    AgentImportWith: "AgentHandle::import_with" => Manage,
    AgentWatch: "AgentHandle::watch" => Manage,

    AgentArchives: "AgentHandle::archives" => Manage,
    AgentArchive: "AgentHandle::archive" => Manage,
    AgentImportArchive: "AgentHandle::import_archive" => Manage,
    AgentImportArchiveWith: "AgentHandle::import_archive_with" => Manage,

    ArchiveRestore: "Archive::restore" => Manage,
    ArchiveRestoreWith: "Archive::restore_with" => Manage,
    ArchiveExport: "Archive::export" => Manage,
    ArchiveExportWith: "Archive::export_with" => Manage,
    ArchiveDelete: "Archive::delete" => Manage,

    SessionGet: "Session::get" => Either,
    SessionUsage: "Session::usage" => Either,
    SessionUpdate: "Session::update" => Manage,
    SessionRename: "Session::rename" => Manage,
    SessionAppend: "Session::append" => Manage,
    SessionAppendTo: "Session::append_to" => Manage,
    SessionHistory: "Session::history" => Manage,
    SessionArchive: "Session::archive" => Manage,
    SessionArchiveWith: "Session::archive_with" => Manage,
    SessionFork: "Session::fork" => Manage,
    SessionForkWith: "Session::fork_with" => Manage,
    SessionExport: "Session::export" => Manage,
    SessionExportWith: "Session::export_with" => Manage,
    SessionDelete: "Session::delete" => Manage,
    SessionDeleteMessage: "Session::delete_message" => Manage,
    SessionPurgeMessage: "Session::purge_message" => Manage,
    SessionPurge: "Session::purge" => Manage,
    SessionSetContextMark: "Session::set_context_mark" => Manage,
    SessionRedrive: "Session::redrive" => Master,
    SessionSend: "Session::send" => Chat,
    SessionSendWith: "Session::send_with" => Chat,
    SessionFollowUp: "Session::follow_up" => Chat,
    SessionEnqueue: "Session::enqueue" => Chat,
    SessionInterrupt: "Session::interrupt" => Chat,
    SessionStop: "Session::stop" => Chat,
    SessionCancel: "Session::cancel" => Chat,
    SessionMessage: "Session::message" => Chat,
    SessionThread: "Session::thread" => Chat,
    SessionTurn: "Session::turn" => Chat,
    SessionTurns: "Session::turns" => Chat,
    SessionChanges: "Session::changes" => Chat,
    SessionTranscript: "Session::transcript" => Chat,
    SessionContextMark: "Session::context_mark" => Chat,

    Listing: "Listing::page, MessageIter::next" => Chat,
    TurnHandle: "TurnHandle::get, TurnHandle::wait, TurnHandle::wait_timeout, TurnHandle::poll" => Chat,
    TurnHandleInterrupt: "TurnHandle::interrupt" => Chat,
    Idle: "Idle::get, Idle::wait, Idle::wait_timeout, Idle::poll" => Either,
    Follow: "Follow::next, Follow::try_next, Follow::next_timeout, Follow::poll_next" => Chat,
    LiveFeed: "LiveFeed::next, LiveFeed::try_next, LiveFeed::next_timeout, LiveFeed::poll_next" => Chat,
}

/// What needs no check: it says what the handle was made from, or makes another one that is checked at each of its steps.
#[cfg(feature = "testkit")]
pub(crate) const UNCHECKED: &[&str] = &[
    "Access::key",
    "Workspace::id",
    "Workspace::name",
    "AgentHandle::id",
    "AgentHandle::name",
    "AgentHandle::record",
    "Session::id",
    "Session::workspace_id",
    "Session::agent_id",
    "Session::agent_name",
    "Session::messages",
    "Session::idle",
    "Session::follow",
    "Session::stream",
    "Archive::filename",
    "Archive::record",
    "Thread::id",
    "Thread::record",
    "Thread::messages",
    "Listing::iter",
    "TurnHandle::id",
    "TurnHandle::session_id",
    "TurnHandle::thread_id",
    "TurnHandle::message_id",
    "Idle::session_id",
    "Follow::session_id",
    "Follow::reached",
    "Follow::is_ended",
    "LiveFeed::session_id",
    "LiveFeed::reached",
    "LiveFeed::is_ended",
    "Watch::is_ended",
    // Checked as what made it: AgentHandle::watch or Workspace::watch.
    "Watch::next",
    "Watch::try_next",
    "Watch::next_timeout",
    "Watch::poll_next",
];
