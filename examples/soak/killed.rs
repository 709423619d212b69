//! How a process ended: killed, or by something of its own, an abort or a fault of memory among them.

use std::process::ExitStatus;

/// Whether this is the end of a process that [`Child::kill`](std::process::Child::kill) ended.
#[cfg(unix)]
pub fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;

    // SIGKILL. An abort is 6, a fault of memory 7 or 11.
    status.signal() == Some(9)
}

/// Whether this is the end of a process that [`Child::kill`](std::process::Child::kill) ended, as far as it can be told.
#[cfg(not(unix))]
pub fn was_killed(status: ExitStatus) -> bool {
    status.code() == Some(1)
}
