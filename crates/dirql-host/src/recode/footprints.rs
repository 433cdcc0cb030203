//! Which basic blocks of drivers have run, as what, and at which levels.
//!
//! Where a block begins, its twin stores a byte. The byte's place is the block's number in the row
//! of what runs: a role and a level. The row is kept in a slot of `gs` and follows the context
//! whenever driver code is entered. So a block costs four instructions, changes no flag and no
//! register, and nobody else has to be told.
//!
//! The rows are memory that processes share: what runs of a worker have covered is there for its
//! parent even if the driver destroys the worker, and a block that ran in two of them ran.

use std::arch::asm;
use std::io;
use std::ptr::{self, NonNull};

use dirql_kernel::Kernel;
use dirql_rules::Context;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use super::emit::{Code, RCX};
use super::gate::{SLOT_RCX, SLOT_ROW};

/// What driver code can run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// An ISR, and what it calls.
    Isr,
    /// A DPC routine.
    Dpc,
    /// A critical section of an interrupt (`KeSynchronizeExecution`).
    CriticalSection,
    /// `DriverEntry`.
    DriverEntry,
    /// `AddDevice`.
    AddDevice,
    /// `Unload`.
    Unload,
    /// A dispatch routine.
    Dispatch,
    /// `StartIo`.
    StartIo,
    /// `Cancel`, and the routine with which a cancel-safe queue completes what was cancelled.
    Cancel,
    /// An `IoCompletion` routine.
    Completion,
    /// A work item.
    WorkItem,
    /// A thread of the driver's own.
    Thread,
    /// Any other routine that the kernel calls.
    Callback,
}

impl Role {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::Isr,
        Self::Dpc,
        Self::CriticalSection,
        Self::DriverEntry,
        Self::AddDevice,
        Self::Unload,
        Self::Dispatch,
        Self::StartIo,
        Self::Cancel,
        Self::Completion,
        Self::WorkItem,
        Self::Thread,
        Self::Callback,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Isr => "ISR",
            Self::Dpc => "DPC",
            Self::CriticalSection => "critical section",
            Self::DriverEntry => "DriverEntry",
            Self::AddDevice => "AddDevice",
            Self::Unload => "Unload",
            Self::Dispatch => "dispatch routine",
            Self::StartIo => "StartIo",
            Self::Cancel => "Cancel",
            Self::Completion => "IoCompletion",
            Self::WorkItem => "work item",
            Self::Thread => "thread",
            Self::Callback => "callback",
        }
    }

    /// Of code in `context`, in a routine that the kernel has called as `kind`: what
    /// [`dirql_kernel::Event::RoutineEnter`] says.
    fn of(context: Context, kind: &str) -> Self {
        match context {
            Context::Isr(_) => Self::Isr,
            Context::Dpc => Self::Dpc,
            Context::CriticalSection => Self::CriticalSection,
            _ => Self::of_kind(kind),
        }
    }

    fn of_kind(kind: &str) -> Self {
        match kind {
            "DriverEntry" | "DllInitialize" | "Reinitialize" => Self::DriverEntry,
            "AddDevice" => Self::AddDevice,
            "DriverUnload" | "DllUnload" => Self::Unload,
            "StartIo" => Self::StartIo,
            "Cancel" | "CsqCompleteCanceledIrp" => Self::Cancel,
            "IoCompletion" => Self::Completion,
            "WorkItem" | "WorkerRoutine" => Self::WorkItem,
            "system thread" => Self::Thread,
            kind if kind.starts_with("Dispatch") => Self::Dispatch,
            _ => Self::Callback,
        }
    }
}

/// Levels that a processor can have.
const LEVELS: usize = 16;

/// Rows: one for each role at each level, and one for what runs as nothing.
const ROWS: usize = Role::ALL.len() * LEVELS + 1;

/// An image whose blocks are known.
#[derive(Debug)]
struct Known {
    file: Box<[u8]>,
    /// RVAs of its blocks, in ascending order.
    begins: Box<[u32]>,
    /// The number of its first block.
    first: u32,
}

/// Which blocks of some images have run. Processes that are made from this one add to the same.
///
/// It lives as long as its process: a computer that is put back to where it was may be dropped
/// more often than it was made, so that it counts no owners.
#[derive(Debug)]
pub struct Footprints {
    images: Vec<Known>,
    rows: NonNull<u8>,
    /// Bytes of a row: blocks of all images.
    width: usize,
}

impl Footprints {
    /// Nothing has run yet. An image is its file and the RVAs of its blocks, in ascending order.
    ///
    /// # Errors
    /// What Linux says when it has no memory.
    pub fn new(images: impl IntoIterator<Item = (Vec<u8>, Vec<u32>)>) -> io::Result<&'static Self> {
        let mut known = Vec::new();
        let mut width = 0;
        for (file, begins) in images {
            let first = u32::try_from(width).map_err(|_| io::ErrorKind::OutOfMemory)?;
            width += begins.len();
            known.push(Known {
                file: file.into(),
                begins: begins.into(),
                first,
            });
        }
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let length = (width * ROWS).max(1);
        // SAFETY: a new mapping where Linux wants to put it touches nothing else.
        let rows = unsafe { mmap_anonymous(ptr::null_mut(), length, access, flags) }?;
        Ok(Box::leak(Box::new(Self {
            images: known,
            rows: NonNull::new(rows.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
            width,
        })))
    }

    /// As what and at which levels a block of an image has run, in order. Both count from 0.
    #[must_use]
    pub fn ran(&self, image: usize, block: usize) -> Vec<(Role, u8)> {
        let Some(known) = self.images.get(image) else {
            return Vec::new();
        };
        if block >= known.begins.len() {
            return Vec::new();
        }
        let number = known.first as usize + block;
        let levels = |role| (0..LEVELS as u8).map(move |level| (role, level));
        let all = Role::ALL.into_iter().flat_map(levels);
        all.filter(|(role, level)| self.is_set(row(*role, *level), number))
            .collect()
    }

    fn is_set(&self, row: usize, number: usize) -> bool {
        debug_assert!(row < ROWS && number < self.width);
        // SAFETY: `new` mapped that many rows of that width.
        let place = unsafe { self.rows.add(row * self.width + number) };
        // SAFETY: the byte is mapped; another process may store to it, which one sees or not.
        (unsafe { place.read_volatile() }) != 0
    }

    /// Where the row is of what runs.
    fn row_of(&self, context: Context, kind: &str, level: u8) -> u64 {
        let row = row(Role::of(context, kind), level & 15);
        self.rows.expose_provenance().get() as u64 + (row * self.width) as u64
    }

    /// Where the row is of what nobody asks about.
    fn no_row(&self) -> u64 {
        self.rows.expose_provenance().get() as u64 + ((ROWS - 1) * self.width) as u64
    }

    /// The blocks of the image with this file at `base`; `None` if it is not among the images.
    pub(crate) fn heads(&self, file: &[u8], base: u64) -> Option<Heads> {
        let known = self.images.iter().find(|known| *known.file == *file)?;
        let heads = known.begins.iter().zip(known.first..);
        Some(Heads {
            numbers: heads
                .map(|(begin, number)| (base + u64::from(*begin), number))
                .collect(),
        })
    }

    /// Code that the driver on the current strand runs from now on, in a routine that was called
    /// as `kind`, leaves its prints where they belong.
    #[inline]
    pub(crate) fn step_into(&self, kernel: &Kernel, kind: &str) {
        set_slot(self.row_of(kernel.context(), kind, kernel.irql().0));
    }

    /// Code of the processor whose KPCR `gs` points at leaves no prints yet.
    pub(crate) fn begin(&self) {
        set_slot(self.no_row());
    }
}

fn row(role: Role, level: u8) -> usize {
    role as usize * LEVELS + usize::from(level)
}

/// Where the blocks of a loaded image begin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads {
    /// Addresses in ascending order, with the block's number.
    numbers: Vec<(u64, u32)>,
}

impl Heads {
    /// Adds those of another image, in place of what was where it is now.
    pub(super) fn add(&mut self, other: &Self, image: &std::ops::Range<u64>) {
        self.numbers.retain(|(begin, _)| !image.contains(begin));
        self.numbers.extend(&other.numbers);
        self.numbers.sort_unstable();
    }

    /// If a block begins at `address`: has `code` say that it runs.
    pub(super) fn before(&self, address: u64, code: &mut Code) {
        let found = self
            .numbers
            .binary_search_by_key(&address, |(begin, _)| *begin);
        let Ok(place) = found else {
            return;
        };
        let (_, number) = self.numbers[place];
        code.store_slot(SLOT_RCX, RCX);
        code.load_slot(RCX, SLOT_ROW);
        code.bytes(&[0xC6, 0x81]); // mov byte [rcx + number], 1
        code.bytes(&number.to_le_bytes());
        code.bytes(&[1]);
        code.load_slot(RCX, SLOT_RCX);
    }
}

fn set_slot(value: u64) {
    // SAFETY: this is only called when `gs` points at a KPCR; nothing but twins and this module
    // uses the slot.
    unsafe {
        asm!("mov gs:[{slot}], {}", in(reg) value, slot = const SLOT_ROW,
            options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_in_a_process_of_ours_is_seen_here() {
        let prints = Footprints::new([(vec![1], vec![0x10, 0x20]), (vec![2], vec![0x30])]).unwrap();
        let row = prints.row_of(Context::Isr(0x60), "", 6);
        let place = ptr::with_exposed_provenance_mut::<u8>(row as usize + 2);
        // SAFETY: the row has three bytes, and nothing else refers to them.
        unsafe { place.write(1) };
        assert_eq!(prints.ran(1, 0), [(Role::Isr, 6)]);
        assert_eq!(prints.ran(0, 0), []);
        assert_eq!(prints.ran(0, 2), [], "there are two blocks");
    }

    #[test]
    fn only_the_same_file_has_these_blocks() {
        let prints = Footprints::new([(vec![1], vec![0x10]), (vec![2], vec![0x10])]).unwrap();
        let heads = prints.heads(&[2], 0x1000).unwrap();
        assert_eq!(heads.numbers, [(0x1010, 1)]);
        assert!(prints.heads(&[3], 0x1000).is_none());
    }

    #[test]
    fn an_image_takes_the_place_of_another() {
        let heads = |numbers: &[(u64, u32)]| Heads {
            numbers: numbers.to_vec(),
        };
        let mut all = heads(&[(0x1000, 0), (0x3000, 1)]);
        all.add(&heads(&[(0x1010, 2)]), &(0x1000..0x2000));
        assert_eq!(all.numbers, [(0x1010, 2), (0x3000, 1)]);
    }

    #[test]
    fn roles_are_those_of_the_routine_unless_an_interrupt_runs() {
        let thread = Context::Thread(1);
        for (context, kind, role) in [
            (thread, "DispatchPnp", Role::Dispatch),
            (thread, "DriverUnload", Role::Unload),
            (thread, "qsort comparison", Role::Callback),
            (Context::Isr(0x60), "DispatchPnp", Role::Isr),
            (Context::Dpc, "", Role::Dpc),
            (
                Context::CriticalSection,
                "SynchCritSection",
                Role::CriticalSection,
            ),
        ] {
            assert_eq!(Role::of(context, kind), role, "{kind}");
        }
    }
}
