//! The heap of what is put back: everything that the simulated computer's own Rust code
//! allocates while it is inside.
//!
//! Where the heap ends and which pieces of it are free is written in the heap itself, so that
//! putting its pages back puts that back too.
//!
//! It has two parts. **Near** is what runs change, **far** what was made before the first mark and
//! stays as it was then: the fewer pages a run changes, the sooner it is put back. What of the
//! earlier pieces is near is learned from runs of an earlier life (see [`learn`](super::learn)),
//! which makes the same pieces in the same order.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect};

use dirql_kernel::mm::layout::PAGE;

use super::learn;

/// The stack on which a life runs, with its guard, and the heap.
pub(super) const ARENA: Range<u64> = 0x1FE0_0000_0000..0x1FE0_1000_0000;

/// Where the stack's lowest usable byte is; below is its guard.
const STACK_BOTTOM: u64 = ARENA.start + 0x1_0000;

/// The stack: room for the frames of code that was compiled without optimisation.
pub(super) const STACK: Range<u64> = STACK_BOTTOM..ARENA.start + 0x80_0000;

/// Where the heap says what is free.
const HEAP: u64 = STACK.end;

/// The smallest difference of sizes, and the alignment of everything.
const GRAIN: u64 = 16;

/// Up to here there is a list for each size.
const SMALL: u64 = 512;

thread_local! {
    /// Whether what this thread allocates is the computer's.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether what this thread allocates is the computer's.
#[inline]
pub(super) fn is_inside() -> bool {
    INSIDE.get()
}

/// From now on what this thread allocates is the computer's, or is not; returns what it was.
#[inline]
pub(super) fn set_inside(inside: bool) -> bool {
    INSIDE.replace(inside)
}

/// The allocator of programs that put computers back, which have
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: dirql_host::Arena = dirql_host::Arena;
/// # fn main() {}
/// ```
///
/// It is the system's but for a thread that is inside a computer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arena;

// SAFETY: pieces of the heap do not overlap and stay where they are; the rest is the system's.
unsafe impl GlobalAlloc for Arena {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_inside() {
            // SAFETY: only a thread with a computer is inside, and that one is alone.
            return unsafe { take(layout) };
        }
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if ARENA.contains(&(place.addr() as u64)) {
            // SAFETY: it was taken with this layout.
            unsafe { give(place, layout) };
        } else if !is_inside() {
            // SAFETY: it is none of ours, so it is the system's.
            unsafe { System.dealloc(place, layout) };
        }
        // What came from outside would still be there for whoever is put back to before this.
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_inside() && !ARENA.contains(&(place.addr() as u64)) {
            // SAFETY: the caller's promise is the same.
            return unsafe { System.realloc(place, layout, size) };
        }
        // SAFETY: the caller promises that the size is one that a layout can have.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if ARENA.contains(&(place.addr() as u64)) && class(layout) == class(wanted) {
            return place;
        }
        // SAFETY: `wanted` has a size, as the caller promises.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both are at least so large, and they do not overlap.
            unsafe { ptr::copy_nonoverlapping(place, moved, layout.size().min(size)) };
            // SAFETY: it was allocated with this layout and is not used any more.
            unsafe { self.dealloc(place, layout) };
        }
        moved
    }
}

/// What the heap knows of itself.
#[repr(C)]
struct Heap {
    /// Pieces that were made before the first mark.
    made: u64,
    /// Whether there is a mark.
    is_marked: bool,
    near: Part,
    far: Part,
}

/// A part of the heap.
#[repr(C)]
struct Part {
    /// Where what was never taken begins.
    next: u64,
    end: u64,
    /// The first free piece of each class, 0 if there is none; each says which is the next.
    free: [u64; CLASSES],
}

/// One for each small size, and for powers of two twice: those with an alignment beyond
/// [`GRAIN`] are apart.
const CLASSES: usize = (SMALL / GRAIN) as usize + 1 + 2 * 64;

/// What is near lies beside what the heap knows of itself, which changes too.
const NEAR: Range<u64> = HEAP + (size_of::<Heap>() as u64).next_multiple_of(64)..FAR.start;

pub(super) const FAR: Range<u64> = ARENA.start + 0x480_0000..ARENA.end;

fn heap() -> *mut Heap {
    ptr::with_exposed_provenance_mut(HEAP as usize)
}

/// Which list a layout belongs to, the size of its pieces, and their alignment.
#[inline]
fn class(layout: Layout) -> (usize, u64, u64) {
    let (size, align) = (layout.size().max(1) as u64, layout.align() as u64);
    let small = (SMALL / GRAIN) as usize;
    if align <= GRAIN && size <= SMALL {
        let grains = size.div_ceil(GRAIN);
        return (grains as usize, grains * GRAIN, GRAIN);
    }
    let size = size.max(align).next_power_of_two();
    let place = small + 1 + size.trailing_zeros() as usize;
    if align <= GRAIN {
        (place, size, GRAIN)
    } else {
        (place + 64, size, align)
    }
}

impl Part {
    /// # Safety
    /// The part is the heap's, and no other thread uses it.
    unsafe fn take(&mut self, (class, size, align): (usize, u64, u64)) -> Option<u64> {
        let free = self.free[class];
        if free != 0 {
            let piece = ptr::with_exposed_provenance::<u64>(free as usize);
            // SAFETY: a free piece holds the address of the next one.
            self.free[class] = unsafe { piece.read() };
            return Some(free);
        }
        let start = self.next.next_multiple_of(align);
        if start + size > self.end {
            return None;
        }
        self.next = start + size;
        Some(start)
    }
}

/// # Safety
/// The arena is there, and no other thread uses it.
unsafe fn take(layout: Layout) -> *mut u8 {
    let piece = class(layout);
    // SAFETY: the arena's memory is there and nothing else refers to this value.
    let heap = unsafe { &mut *heap() };
    let is_near = heap.is_marked || learn::is_warm(heap.made);
    let (first, second) = if is_near {
        (&mut heap.near, &mut heap.far)
    } else {
        (&mut heap.far, &mut heap.near)
    };
    // SAFETY: as above.
    let start = unsafe { first.take(piece) };
    // SAFETY: as above.
    let start = start.or_else(|| unsafe { second.take(piece) });
    let Some(start) = start else {
        return ptr::null_mut();
    };
    if !heap.is_marked {
        learn::note(heap.made, start, piece.1);
        heap.made += 1;
    }
    ptr::with_exposed_provenance_mut(start as usize)
}

/// # Safety
/// `place` was taken with this layout, and nobody uses it any more.
unsafe fn give(place: *mut u8, layout: Layout) {
    let (class, ..) = class(layout);
    // SAFETY: as in `take`.
    let heap = unsafe { &mut *heap() };
    let address = place.expose_provenance() as u64;
    let part = if NEAR.contains(&address) {
        &mut heap.near
    } else if heap.is_marked {
        // To note that it is free would change what is far.
        return;
    } else {
        &mut heap.far
    };
    // SAFETY: every piece has room for an address, and this one is not used any more.
    unsafe { place.cast::<u64>().write(part.free[class]) };
    part.free[class] = address;
}

/// From now on only memory is taken that never was, near what runs change: what a run needs lies
/// together, and fewer pages have to be put back. What was free is lost.
pub(super) fn begin_marks() {
    // SAFETY: the caller has the arena, and nothing else refers to this value.
    let heap = unsafe { &mut *heap() };
    heap.is_marked = true;
    heap.near.free = [0; CLASSES];
    heap.far.free = [0; CLASSES];
}

/// How many pieces were made before the first mark.
pub(super) fn made() -> u64 {
    // SAFETY: as above.
    unsafe { (*heap()).made }
}

/// Pages of the heap that nobody has taken a piece of yet: who takes one writes to it before reading
/// it.
#[derive(Clone, Debug)]
pub(super) struct Untaken {
    near: Range<u64>,
    far: Range<u64>,
}

impl Untaken {
    /// Whether a page is one of them.
    #[inline]
    pub(super) fn contains(&self, page: u64) -> bool {
        self.near.contains(&page) || self.far.contains(&page)
    }
}

/// What nobody has taken yet.
pub(super) fn untaken() -> Untaken {
    // SAFETY: as above.
    let heap = unsafe { &*heap() };
    let of = |part: &Part| part.next.next_multiple_of(PAGE)..part.end;
    Untaken {
        near: of(&heap.near),
        far: of(&heap.far),
    }
}

/// What is in the heap is used after the life that made it; there are no more lives.
pub(super) fn keep_for_ever() {
    KEPT.store(true, Ordering::Relaxed);
}

/// Whether there are no more lives.
pub(super) fn is_kept() -> bool {
    KEPT.load(Ordering::Relaxed)
}

static KEPT: AtomicBool = AtomicBool::new(false);

/// Nothing in the heap is used any more, if nothing is said to be kept.
pub(super) fn clear() {
    if is_kept() {
        return;
    }
    begin();
}

/// Nothing is in the heap.
fn begin() {
    let part = |range: Range<u64>| Part {
        next: range.start,
        end: range.end,
        free: [0; CLASSES],
    };
    let empty = Heap {
        made: 0,
        is_marked: false,
        near: part(NEAR),
        far: part(FAR),
    };
    // SAFETY: the caller has the arena, and nothing refers to this value.
    unsafe { heap().write(empty) };
}

/// Makes the arena's memory; once in a process.
///
/// # Errors
/// What Linux says when the addresses are not free.
pub(super) fn reserve() -> io::Result<()> {
    use std::sync::OnceLock;
    static RESERVED: OnceLock<Result<(), i32>> = OnceLock::new();
    let reserved = RESERVED
        .get_or_init(|| map().map_err(|error| error.raw_os_error().unwrap_or(libc::ENOMEM)));
    reserved.map_err(io::Error::from_raw_os_error)
}

fn map() -> io::Result<()> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
    let place = ptr::with_exposed_provenance_mut(ARENA.start as usize);
    let length = (ARENA.end - ARENA.start) as usize;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: FIXED_NOREPLACE refuses addresses that are in use, so no mapping changes.
    let mapped = unsafe { mmap_anonymous(place, length, access, flags) }?;
    // Linux before 4.17 takes the address as a hint.
    if mapped.addr() as u64 != ARENA.start {
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    // SAFETY: the mapping was just made; only the size of its pages is asked for.
    let _ = unsafe { madvise(place, length, Advice::LinuxNoHugepage) };
    let guard = (STACK.start - ARENA.start) as usize;
    // SAFETY: nothing is in this mapping yet.
    unsafe { mprotect(place, guard, MprotectFlags::empty()) }?;
    begin();
    learn::reserve()
}
