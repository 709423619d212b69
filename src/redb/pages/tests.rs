//! Files whose pages of redb's own are damaged.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;
use crate::error::ErrorKind;
use crate::id::Stamp;
use crate::redb::{Durability, SimulatedDisk};
use crate::store::EnsureWorkspace;
use crate::time::Timestamp;

/// A file that was written to, closed or not.
fn file(closed: Option<()>) -> Vec<u8> {
    let disk = SimulatedDisk::new();
    let store = disk.open(Durability::Sync).expect("it opens");
    for number in 0..400 {
        let stamp = Stamp::new(Timestamp::from_micros(1), number);
        store.ensure_workspace(EnsureWorkspace { stamp, name: format!("{number:0200}") }).expect("it is written");
    }
    if closed.is_some() {
        store.close().expect("it closes");
    }
    disk.files().into_iter().find(|(name, _)| name == "a.parlor").expect("there is a file").1
}

/// Where something was read, and how much.
type Seen = BTreeSet<(usize, usize)>;

/// Checks it, and says which pages were read.
fn look(file: &[u8]) -> (Result<Option<Tables>, Broken>, Seen) {
    let seen = RefCell::new(BTreeSet::new());
    let checked = tables(file.len() as u64, &|at, out| {
        let at = usize::try_from(at).expect("it is in the file");
        seen.borrow_mut().insert((at, out.len()));
        out.copy_from_slice(&file[at..at + out.len()]);
        Ok(())
    });
    (checked, seen.into_inner())
}

#[test]
fn sound_files_pass_whether_they_were_closed_or_not() {
    for closed in [Some(()), None] {
        let (checked, seen) = look(&file(closed));
        assert!(checked.expect("it is sound").is_some(), "closed: {closed:?}: it is left to redb");
        assert!(seen.len() > 4, "closed: {closed:?}: it read no more than {seen:?}");
    }
}

#[test]
fn whatever_byte_of_these_pages_is_damaged_the_file_is_corrupt() {
    for closed in [Some(()), None] {
        let sound = file(closed);
        let (_, seen) = look(&sound);
        let pages = seen.into_iter().filter(|(at, _)| *at > 0);
        let mut found = 0;
        for (at, length) in pages {
            // What stands behind the last entry of a page is nothing.
            let used = sound[at..at + length].iter().rposition(|byte| *byte != 0).expect("it is not empty");
            for place in (at..=at + used).step_by(7).filter(|place| place % 4096 != 1) {
                let mut damaged = sound.clone();
                damaged[place] ^= 0x10;
                let checked = look(&damaged).0;
                let is_corrupt = matches!(checked, Err(Broken::Page(_)));
                found += u32::from(is_corrupt);
                // It may be what an earlier page of another form left behind the entries.
                assert!(is_corrupt || checked.is_ok(), "{place}: {:?}", checked.err());
            }
        }
        assert!(found > 100, "closed: {closed:?}: {found} damaged bytes were found");
    }
}

#[test]
fn a_damaged_list_of_free_pages_is_corrupt_and_no_end_of_the_process() {
    let sound = file(Some(()));
    let (_, seen) = look(&sound);
    let mut refused = 0;
    for (at, length) in seen.into_iter().filter(|(at, _)| *at > 0) {
        for place in (at + 4..at + length).step_by(61) {
            let mut damaged = sound.clone();
            damaged[place] ^= 0x40;
            let disk = SimulatedDisk::holding([("a.parlor".to_owned(), damaged)]);
            // Without the check redb panics in some of these while it unwinds, and the process is gone.
            match disk.open(Durability::Sync) {
                Ok(store) => store.close().expect("where nothing is said nothing is wrong"),
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{place}: {error}");
                }
            }
        }
    }
    assert!(refused > 20, "{refused} files were refused");
}

#[test]
fn a_page_is_read_where_its_region_and_its_order_say() {
    let seen = RefCell::new(Vec::new());
    let read = |at: u64, out: &mut [u8]| {
        seen.borrow_mut().push((at, out.len()));
        Ok(())
    };
    let length = 1 << 40;
    let geometry = Geometry { page_bytes: 4096, region_header_bytes: 8192, region_bytes: 8192 + (4096 << 20) };
    let pages = Pages { read: &read, length, geometry };
    for number in [3, 1 << 20 | 3, 2 << 20, 2 << 59 | 1 << 20 | 5] {
        assert!(pages.page(number).is_ok());
    }
    let region = 8192 + (4096 << 20);
    let due = [(3, 0, 0), (3, 1, 0), (0, 2, 0), (5, 1, 2)]
        .map(|(index, number, order)| (4096 + number * region + 8192 + index * (4096 << order), 4096_usize << order));
    assert_eq!(*seen.borrow(), due);
    // The last page that is whole, and one of which a byte is missing.
    for (length, is_there) in [(4096 + 8192 + 4096, true), (4096 + 8192 + 4095, false)] {
        assert_eq!(Pages { length, ..pages }.page(0).is_ok(), is_there);
    }
}

#[test]
fn what_is_used_of_a_page_ends_with_its_last_entry() {
    let page = |kind: u8, count: u8, ends: &[(usize, u32)]| {
        let mut page = vec![0; 512];
        (page[0], page[2]) = (kind, count);
        for (at, end) in ends {
            page[*at..at + 4].copy_from_slice(&end.to_le_bytes());
        }
        page
    };
    let of = |key, value| Widths { key, value };
    // A checksum and a number for each child, then where the keys end, where they differ in length.
    let branch = page(2, 3, &[(8 + 24 * 4 + 4 * 2, 333)]);
    assert_eq!(branch_end(&branch, of(None, None)), Some(333));
    assert_eq!(branch_end(&branch, of(Some(5), None)), Some(8 + 24 * 4 + 3 * 5));
    // Where the keys end, then where the values do, where they differ in length.
    let leaf = page(1, 3, &[(4 + 4 * 2, 111), (4 + 4 * 5, 222)]);
    assert_eq!(leaf_end(&leaf, of(None, None)), Some(222));
    assert_eq!(leaf_end(&leaf, of(None, Some(7))), Some(111 + 3 * 7));
    assert_eq!(leaf_end(&leaf, of(Some(5), Some(7))), Some(4 + 3 * 5 + 3 * 7));
    let of_values = page(1, 3, &[(4 + 4 * 2, 99)]);
    assert_eq!(leaf_end(&of_values, of(Some(5), None)), Some(99));
    assert_eq!(leaf_key_end(&of_values, of(Some(5), None), 1), Some(4 + 4 * 3 + 2 * 5));
}
