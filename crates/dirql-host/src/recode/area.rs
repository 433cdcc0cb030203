//! The memory of twins, and the table that leads to them.
//!
//! Both lie at fixed addresses, reserved once per process. The twins' code is close enough
//! to the images for a 32-bit displacement to reach whatever the original reaches. The
//! table has four bytes for every byte of the computer's memory: the twin's offset in its
//! area, 0 if there is none. Only the pages for code that has run are ever backed by memory;
//! most of the table is readable alone, so that a look-up of any address of the computer
//! needs no check.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;

use dirql_kernel::mm::layout::{IMAGES, PAGE, PHYSICAL_WINDOW};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

use super::gate;

/// Where twins are.
pub(super) const TWINS: Range<u64> = 0x1FFF_D000_0000..0x1FFF_E000_0000;

/// The table.
pub(super) const TABLE: Range<u64> = 0x1FF0_0000_0000..0x1FF4_0000_0000;

/// The part of the table that is about images.
const IMAGES_TABLE: Range<u64> = entry_of(IMAGES.start)..entry_of(IMAGES.end);

const _: () = {
    assert!(IMAGES.end - TWINS.start < 1 << 31);
    assert!(PHYSICAL_WINDOW.is_multiple_of(1 << 32));
    assert!(TABLE.end - TABLE.start == 4 << 32);
};

/// Where the table has its entry for `original`, an address of the computer's memory.
const fn entry_of(original: u64) -> u64 {
    TABLE.start + 4 * (original - PHYSICAL_WINDOW)
}

thread_local! {
    /// Bytes of the area that the latest computer of this thread has used.
    static USED: Cell<u32> = const { Cell::new(0) };
}

/// Whether half of the room for twins is used up. A computer that is put back to where it was and
/// goes on again and again needs more and more of it; a new one begins with all of it.
#[must_use]
pub fn twins_are_many() -> bool {
    u64::from(USED.get()) > (TWINS.end - TWINS.start) / 2
}

/// The twins of one computer's code.
#[derive(Debug)]
pub(super) struct Area {
    /// Bytes in use; the first page holds the gates.
    used: Cell<u32>,
}

impl Area {
    /// The area, with nothing in it but the gates.
    ///
    /// # Errors
    /// What Linux says when it cannot reserve the addresses or has no memory.
    pub(super) fn new() -> io::Result<Self> {
        static RESERVED: OnceLock<Result<(), i32>> = OnceLock::new();
        let reserved = RESERVED.get_or_init(|| {
            reserve().map_err(|error| error.raw_os_error().unwrap_or(libc::ENOMEM))
        });
        USED.set(PAGE as u32);
        match reserved {
            Ok(()) => Ok(Self {
                used: Cell::new(PAGE as u32),
            }),
            Err(errno) => Err(io::Error::from_raw_os_error(*errno)),
        }
    }

    /// Where the next twin goes.
    pub(super) fn end(&self) -> u32 {
        self.used.get()
    }

    /// Whether there is room for `bytes` more.
    pub(super) fn has_room(&self, bytes: u32) -> bool {
        u64::from(self.used.get()) + u64::from(bytes) <= TWINS.end - TWINS.start
    }

    /// Appends `code` and changes what is at some places of older code.
    pub(super) fn append(&self, code: &[u8], patches: &[(u32, Vec<u8>)]) {
        let start = self.used.get();
        let end = start + code.len() as u32;
        let places = patches
            .iter()
            .map(|(offset, bytes)| *offset..*offset + bytes.len() as u32)
            .chain((!code.is_empty()).then_some(start..end));
        // Older code can be far away, and the pages between are many.
        let regions = regions(places);
        for region in &regions {
            set_protection(region, MprotectFlags::READ | MprotectFlags::WRITE);
        }
        copy(TWINS.start + u64::from(start), code);
        for (offset, bytes) in patches {
            copy(TWINS.start + u64::from(*offset), bytes);
        }
        for region in &regions {
            set_protection(region, MprotectFlags::READ | MprotectFlags::EXEC);
        }
        self.used.set(end);
        USED.set(end);
    }

    /// The twin of `original`, which is in an image.
    #[inline]
    pub(super) fn twin(&self, original: u64) -> Option<u64> {
        if !IMAGES.contains(&original) {
            return None;
        }
        let place = ptr::with_exposed_provenance::<u32>(entry_of(original) as usize);
        // SAFETY: this part of the table is readable and writable once an area exists; it is
        // only accessed here and in `set`, and by code of twins, which stores nothing.
        let offset = unsafe { place.read() };
        (offset != 0).then(|| TWINS.start + u64::from(offset))
    }

    /// Says where the twin of `original` is, an address in an image; 0 if there is none.
    pub(super) fn set(&self, original: u64, offset: u32) {
        debug_assert!(IMAGES.contains(&original));
        let place = ptr::with_exposed_provenance_mut::<u32>(entry_of(original) as usize);
        // SAFETY: as in `twin`.
        unsafe { place.write(offset) };
    }
}

/// Copies into pages that were just made writable.
fn copy(address: u64, bytes: &[u8]) {
    debug_assert!(TWINS.contains(&address) && address + bytes.len() as u64 <= TWINS.end);
    let place = ptr::with_exposed_provenance_mut::<u8>(address as usize);
    // SAFETY: the callers have the pages writable; they are in the reserved area, where no
    // Rust object lives, and no code of it runs meanwhile.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
}

/// The pages of the area that hold some offsets, in order, neighbours together.
fn regions(places: impl Iterator<Item = Range<u32>>) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = places
        .map(|place| pages(u64::from(place.start)..u64::from(place.end)))
        .collect();
    all.sort_unstable_by_key(|region| region.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for region in all {
        match joined.last_mut() {
            Some(last) if region.start <= last.end => last.end = last.end.max(region.end),
            _ => joined.push(region),
        }
    }
    joined
}

/// The pages of the area that hold `offsets`.
fn pages(offsets: Range<u64>) -> Range<u64> {
    let start = TWINS.start + offsets.start / PAGE * PAGE;
    start..TWINS.start + offsets.end.next_multiple_of(PAGE)
}

fn set_protection(region: &Range<u64>, flags: MprotectFlags) {
    let place = ptr::with_exposed_provenance_mut(region.start as usize);
    // SAFETY: the range is inside what `reserve` mapped; no Rust object lives there.
    let result = unsafe { mprotect(place, (region.end - region.start) as usize, flags) };
    result.expect("Linux has memory for the code of twins");
}

fn reserve() -> io::Result<()> {
    map(&TWINS, ProtFlags::empty())?;
    map(&TABLE, ProtFlags::READ)?;
    set_protection(&IMAGES_TABLE, MprotectFlags::READ | MprotectFlags::WRITE);
    let gates = pages(0..PAGE);
    set_protection(&gates, MprotectFlags::READ | MprotectFlags::WRITE);
    copy(TWINS.start, &gate::code());
    set_protection(&gates, MprotectFlags::READ | MprotectFlags::EXEC);
    Ok(())
}

fn map(range: &Range<u64>, access: ProtFlags) -> io::Result<()> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
    let place = ptr::with_exposed_provenance_mut(range.start as usize);
    // SAFETY: FIXED_NOREPLACE refuses addresses that are in use, so no mapping changes.
    let mapped =
        unsafe { mmap_anonymous(place, (range.end - range.start) as usize, access, flags) }?;
    // Linux before 4.17 takes the address as a hint.
    if mapped.addr() as u64 == range.start {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EEXIST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_between_what_changes_stay_as_they_are() {
        let page = |number: u64| TWINS.start + number * PAGE;
        let places = [
            0x5010..0x5020,
            0x1000..0x1001,
            0x1FFF..0x2001,
            0x2FF0..0x3000,
        ];
        let all = regions(places.into_iter());
        assert_eq!(all, [page(1)..page(3), page(5)..page(6)]);
        assert_eq!(regions(std::iter::empty()), []);
    }
}
