//! Bytes of strangers as rows, so that a fuzzer can hold the decoder to its promise.

use super::{
    ArchiveRow, ArchivedRow, BlockRow, CHECKSUM_BYTES, ChangeRow, ChunkRow, ClaimRow, CountRow, CounterRow,
    DirectoryRow, HeadRow, HiddenRow, KeyRow, LabelRow, ListedRow, MarkRow, MessageRow, NumberRow, OutboxRow,
    QueuedRow, RemnantRow, Row, ScopeCountRow, ScopeRow, SessionRow, ThreadRow, TurnRow, WaitingRow, checksum, decode,
    encode,
};
use crate::error::{ErrorKind, Result};
use crate::id::SessionId;
use crate::record::WebhookState;
use crate::redb::tables::Table;

/// Where the rows would stand.
const KEY: &[u8] = b"key";

/// Decodes one kind of row from bytes as they are, and from the same as the payload of a sound envelope.
macro_rules! check {
    ($row:ty, $payload:expr, $record:expr) => {
        for value in [$payload.to_vec(), enveloped(<$row as Row<'_>>::VERSION, $payload)] {
            match decode::<$row>(Table::Rows, KEY, &value) {
                Ok(row) => {
                    let _: Result<()> = $record(&row);
                    let again = encode(Table::Rows, KEY, &row).unwrap_or_default();
                    let same = decode::<$row>(Table::Rows, KEY, &again).is_ok_and(|same| same == row);
                    assert!(same, "{row:?} is not the same encoded again");
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
            }
        }
    };
}

/// Decodes bytes as one kind of row, which the first of them chooses.
///
/// # Panics
///
/// When a refusal is no *corrupt*, or a row that was decoded is not the same once encoded again.
pub(crate) fn check_rows(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else { return };
    let session = SessionId::from_uuid(uuid::Uuid::nil());
    match kind % 26 {
        0 => check!(CounterRow, payload, |_| Ok(())),
        1 => check!(NumberRow, payload, |_| Ok(())),
        2 => check!(CountRow, payload, |_| Ok(())),
        3 => check!(ScopeRow<'_>, payload, |_| Ok(())),
        4 => check!(SessionRow<'_>, payload, |_| Ok(())),
        5 => check!(HeadRow, payload, |_| Ok(())),
        6 => check!(BlockRow<'_>, payload, |_| Ok(())),
        7 => check!(DirectoryRow<'_>, payload, |_| Ok(())),
        8 => check!(ChangeRow, payload, |_| Ok(())),
        9 => check!(ClaimRow, payload, |_| Ok(())),
        10 => check!(ThreadRow, payload, |row: &ThreadRow| {
            row.record(session, 1);
            Ok(())
        }),
        11 => check!(TurnRow<'_>, payload, |row: &TurnRow<'_>| row.record(session, 1).map(drop)),
        12 => check!(OutboxRow<'_>, payload, |row: &OutboxRow<'_>| row.record(1, WebhookState::Dead).map(drop)),
        13 => check!(ListedRow, payload, |_| Ok(())),
        14 => check!(RemnantRow, payload, |_| Ok(())),
        16 => check!(QueuedRow, payload, |_| Ok(())),
        17 => check!(WaitingRow, payload, |_| Ok(())),
        18 => check!(MarkRow<'_>, payload, |_| Ok(())),
        19 => check!(ArchiveRow<'_>, payload, |_| Ok(())),
        21 => check!(ArchivedRow, payload, |_| Ok(())),
        20 => check!(ChunkRow<'_>, payload, |_| Ok(())),
        22 => check!(KeyRow<'_>, payload, |_| Ok(())),
        23 => check!(HiddenRow, payload, |_| Ok(())),
        24 => check!(LabelRow<'_>, payload, |_| Ok(())),
        25 => check!(ScopeCountRow, payload, |_| Ok(())),
        _ => check!(MessageRow<'_>, payload, |row: &MessageRow<'_>| row.record(session, 1).map(drop)),
    }
}

/// A value as it would stand in the file.
fn enveloped(version: u8, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + payload.len() + CHECKSUM_BYTES);
    value.push(version);
    value.extend_from_slice(payload);
    let sum = checksum(Table::Rows, KEY, &value);
    value.extend_from_slice(&sum.to_le_bytes());
    value
}
