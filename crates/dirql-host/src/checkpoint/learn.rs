//! Which pieces of the heap runs change.
//!
//! A run changes a line here and a line there, in pieces that were made all over the start of the
//! computer, and a page is put back for each. The start makes the same pieces in the same order
//! every time. So it is noted where each one is, and which ones are **warm**, by their numbers: runs
//! have changed them. The next life makes those near each other.
//!
//! A number that is wrong, because that life begins otherwise, costs time and changes nothing else.
//!
//! The notes lie behind the arena, which they tell of, and are not put back.

use std::collections::BTreeSet;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dirql_kernel::mm::layout::PAGE;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use super::arena::{ARENA, FAR};
use super::tracker::LINE;

/// Pieces that are told apart; later ones are not warm.
const MOST: usize = 1 << 18;

/// Larger pieces, in bytes, have pages of their own wherever they are.
const LARGE: u64 = 0x800;

#[repr(C)]
struct Note {
    /// Where the piece is, from the arena's start; its bytes.
    place: AtomicU64,
    size: AtomicU64,
    is_warm: AtomicBool,
}

/// Makes the notes' memory; once in a process.
///
/// # Errors
/// What Linux says when the addresses are not free.
pub(super) fn reserve() -> io::Result<()> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
    let place = ptr::with_exposed_provenance_mut(ARENA.end as usize);
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: FIXED_NOREPLACE refuses addresses that are in use, so no mapping changes.
    let mapped = unsafe { mmap_anonymous(place, MOST * size_of::<Note>(), access, flags) }?;
    // Linux before 4.17 takes the address as a hint.
    if mapped.addr() as u64 != ARENA.end {
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    Ok(())
}

fn notes() -> &'static [Note] {
    let start = ptr::with_exposed_provenance::<Note>(ARENA.end as usize);
    // SAFETY: whoever asks has the arena, with which this memory was made; it is zero at first,
    // which is a note, and stays.
    unsafe { std::slice::from_raw_parts(start, MOST) }
}

/// Whether runs change the piece of this number.
#[inline]
pub(super) fn is_warm(number: u64) -> bool {
    let note = notes().get(number as usize);
    note.is_some_and(|note| note.is_warm.load(Ordering::Relaxed))
}

/// The piece of this number is at `start`.
#[inline]
pub(super) fn note(number: u64, start: u64, size: u64) {
    if let Some(note) = notes().get(number as usize) {
        note.place.store(start, Ordering::Relaxed);
        note.size.store(size, Ordering::Relaxed);
    }
}

/// Of the first `made` pieces those are warm that hold a byte of `lines`, which are not in order,
/// and those that are near already. Returns in how many pages those are that are not.
pub(super) fn warm(made: u64, mut lines: Vec<u64>) -> usize {
    lines.sort_unstable();
    let mut pages = BTreeSet::new();
    for note in notes().iter().take(made as usize) {
        let start = note.place.load(Ordering::Relaxed);
        let size = note.size.load(Ordering::Relaxed);
        let after = lines.partition_point(|line| line + LINE <= start);
        let is_changed = lines.get(after).is_some_and(|line| *line < start + size);
        let is_far = FAR.contains(&start);
        let is_warm = size <= LARGE && (is_changed || !is_far);
        if is_warm && is_far {
            pages.insert(start / PAGE);
        }
        note.is_warm.store(is_warm, Ordering::Relaxed);
    }
    pages.len()
}
