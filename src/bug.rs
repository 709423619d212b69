//! Faults that a test plants in the stores and the executor, to see that the suite catches them. Without the
//! feature `testkit` there are none, and asking for one costs nothing.

#[cfg(feature = "testkit")]
use crate::sync::{Ordering, StaticAtomicU8};

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// A fault that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($(#[$doc])* $name = $number,)*
        }

        impl Bug {
            /// All there are.
            #[cfg(feature = "testkit")]
            pub const ALL: &[Bug] = &[$(Bug::$name,)*];
        }
    };
}

bugs! {
    /// A listing from a `gts` on begins one message too early.
    CursorOffByOne = 1,
    /// The total of a listing is one too many.
    TotalOffByOne = 2,
    /// A deleted message stays in the listings of its thread.
    DeletionForgotten = 3,
    /// The log says that it was synced, and was not.
    LogUnsynced = 4,
    /// A group can be read before the log is synced.
    ReadUnsynced = 5,
    /// A turn that no longer owns its session may write.
    FenceOpen = 6,
    /// Who waits for a turn is woken before its end is written, and not after.
    WokenEarly = 7,
    /// A turn that waits for an agent to return is forgotten.
    PendingDropped = 8,
    /// A turn that waits is started by another commit than the one that ends the turn before it.
    PromotedApart = 9,
    /// A checkpoint says that it is on disk, and is not.
    FileUnsynced = 10,
    /// A row is taken for whole whatever its checksum says.
    RowUnchecked = 11,
    /// A session that is made is not counted among those of its agent and its workspace.
    CountForgotten = 12,
}

impl Bug {
    /// Those that an answer shows.
    #[cfg(feature = "testkit")]
    pub const IN_ANSWERS: [Bug; 4] =
        [Bug::CursorOffByOne, Bug::TotalOffByOne, Bug::DeletionForgotten, Bug::CountForgotten];

    /// Those that a schedule of threads shows.
    #[cfg(feature = "testkit")]
    pub const IN_SCHEDULES: [Bug; 4] = [Bug::FenceOpen, Bug::WokenEarly, Bug::PendingDropped, Bug::PromotedApart];

    /// Those that a power loss shows.
    #[cfg(feature = "testkit")]
    pub const IN_CRASHES: [Bug; 3] = [Bug::LogUnsynced, Bug::ReadUnsynced, Bug::FileUnsynced];

    /// Those that a damaged file shows.
    #[cfg(feature = "testkit")]
    pub const IN_ROT: [Bug; 1] = [Bug::RowUnchecked];
}

/// The one that is planted; 0 for none.
#[cfg(feature = "testkit")]
static PLANTED: StaticAtomicU8 = StaticAtomicU8::new(0);

/// Plants a fault in every engine of the process, in place of the one before; or none.
#[cfg(feature = "testkit")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
}

#[cfg(feature = "testkit")]
pub(crate) fn is_planted(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8
}

#[cfg(not(feature = "testkit"))]
pub(crate) const fn is_planted(_: Bug) -> bool {
    false
}
