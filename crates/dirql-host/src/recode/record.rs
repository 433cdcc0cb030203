//! Which memory the driver's instructions have read and written.
//!
//! Twins append records of 16 bytes to a buffer, through a pointer in a slot of `gs`. The
//! page behind the buffer is closed: the store of the record that finds no room faults, and
//! the trap handler empties the buffer. It is also emptied whenever the driver leaves its
//! code, because then the context may change that its records belong to.

use std::arch::asm;
use std::cell::RefCell;
use std::io;
use std::ptr::{self, NonNull};

use dirql_kernel::mm::layout::{DEVICE, IMAGES, PAGE, RAM, SHARED_DATA, USER};
use dirql_kernel::{Kernel, Outcome};
use dirql_rules::{Context, ids};
use iced_x86::OpAccess;

use super::gate::SLOT_RECORD;
use super::watch::Stops;
use crate::memory;

/// `mov [rcx], rax`: what stores the first half of a record.
pub(super) const STORE: [u8; 3] = [0x48, 0x89, 0x01];

/// Bits of a record's last word, above the size of the access.
const WRITES: u32 = 1 << 16;
const READS: u32 = 1 << 17;
const INTERLOCKED: u32 = 1 << 18;
/// The record's address is how often the access of the record before is repeated.
pub(super) const COUNT: u32 = 1 << 19;

/// Bytes of the buffer.
const SIZE: usize = 0x1_0000;

/// Bytes behind it that are never accessible.
const GUARD: usize = 0x1000;

/// Bytes of a record.
const RECORD: usize = 16;

/// An access of a driver's instruction to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryAccess {
    /// The last yield point before it.
    pub step: u64,
    /// How many events came before it; see [`dirql_kernel::Kernel::events`].
    pub events: u64,
    /// Index of the processor.
    pub processor: u16,
    /// IRQL, 0..=15.
    pub irql: u8,
    /// What the instruction was part of.
    pub context: Context,
    /// Address of the instruction.
    pub instruction: u64,
    /// First byte.
    pub address: u64,
    /// Bytes; a repeated string instruction's are taken together, upwards.
    pub bytes: u64,
    /// Whether it reads.
    pub reads: bool,
    /// Whether it writes.
    pub writes: bool,
    /// Whether nothing else could have happened at the time; see
    /// [`dirql_kernel::Kernel::is_alone`].
    pub alone: bool,
    /// Whether it does both in one step that no other processor sees half of.
    pub interlocked: bool,
}

/// What a record says of an access.
pub(super) fn meta(bytes: usize, access: OpAccess, interlocked: bool) -> u32 {
    let reads = matches!(
        access,
        OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    );
    let writes = matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    );
    (bytes as u32 & 0xFFFF)
        | if reads { READS } else { 0 }
        | if writes { WRITES } else { 0 }
        | if interlocked { INTERLOCKED } else { 0 }
}

/// The buffer, and what was in it before.
#[derive(Debug)]
pub(super) struct Recorder {
    buffer: NonNull<u8>,
    accesses: RefCell<Vec<MemoryAccess>>,
}

impl Recorder {
    /// An empty buffer.
    ///
    /// # Errors
    /// What Linux says when it has no memory.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a new private mapping where Linux wants to put it touches nothing else.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SIZE + GUARD,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let buffer = NonNull::new(base.cast::<u8>()).filter(|_| base != libc::MAP_FAILED);
        let buffer = buffer.ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the mapping is larger than the buffer.
        let guard = unsafe { buffer.add(SIZE) };
        // SAFETY: the page is this mapping's own, and unused.
        if unsafe { libc::mprotect(guard.as_ptr().cast(), GUARD, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            buffer,
            accesses: RefCell::default(),
        })
    }

    fn start(&self) -> u64 {
        self.buffer.expose_provenance().get() as u64
    }

    /// Whether a store to `address` found the buffer full.
    pub(super) fn is_end(&self, address: u64) -> bool {
        address == self.start() + SIZE as u64
    }

    /// The processor whose KPCR `gs` points at now appends to the empty buffer.
    pub(super) fn begin(&self) {
        set_slot(self.start());
    }

    /// Takes what is in the buffer for what `kernel` runs at the moment; returns where the
    /// next record goes. `stops` says whose accesses are told to the kernel.
    pub(super) fn empty(&self, kernel: &Kernel, stops: &Stops) -> u64 {
        let (start, end) = (self.start(), slot());
        let used = end.wrapping_sub(start) as usize;
        if used == 0 || used > SIZE {
            return start;
        }
        let place = kernel.here_at(0);
        let mut accesses = self.accesses.borrow_mut();
        let first = accesses.len();
        let alone = kernel.is_alone();
        let events = kernel.events();
        for offset in (0..used).step_by(RECORD) {
            // SAFETY: the buffer holds complete records up to the pointer, which only
            // twins and this type move.
            let [address, rest] =
                unsafe { self.buffer.add(offset).cast::<[u64; 2]>().read_unaligned() };
            let meta = (rest >> 32) as u32;
            if meta & COUNT != 0 {
                if let Some(last) = accesses.last_mut() {
                    last.bytes = last.bytes.saturating_mul(address);
                }
                continue;
            }
            accesses.push(MemoryAccess {
                step: place.step,
                events,
                processor: place.processor,
                irql: place.irql,
                context: place.context,
                instruction: IMAGES.start & !0xFFFF_FFFF | rest & 0xFFFF_FFFF,
                address,
                bytes: u64::from(meta & 0xFFFF),
                reads: meta & READS != 0,
                writes: meta & WRITES != 0,
                alone,
                interlocked: meta & INTERLOCKED != 0,
            });
        }
        let foreign = accesses[first..].iter().find(|access| is_foreign(access));
        if let Some(access) = foreign.copied() {
            drop(accesses);
            set_slot(start);
            find_foreign(kernel, &access);
            return start;
        }
        if let Stops::At(instructions) = stops {
            let told = |access: &&MemoryAccess| instructions.contains(&access.instruction);
            for access in accesses[first..].iter().filter(told) {
                kernel.touch_memory(access.address, access.bytes, access.writes);
            }
        }
        set_slot(start);
        start
    }

    /// Everything since the last time, which stays.
    pub(super) fn all(&self) -> Vec<MemoryAccess> {
        self.accesses.borrow().clone()
    }

    /// How many accesses there were since the last time.
    pub(super) fn recorded(&self) -> usize {
        self.accesses.borrow().len()
    }

    /// Only the first `recorded` of them have happened.
    pub(super) fn forget(&self, recorded: usize) {
        self.accesses.borrow_mut().truncate(recorded);
    }

    /// Everything since the last time.
    pub(super) fn take(&self) -> Vec<MemoryAccess> {
        self.accesses.take()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own; no twin runs when it goes away.
        unsafe { libc::munmap(self.buffer.as_ptr().cast(), SIZE + GUARD) };
    }
}

/// Whether a driver has written to memory of this process that is not the computer's.
fn is_foreign(access: &MemoryAccess) -> bool {
    if !access.writes {
        return false;
    }
    let known = [RAM, DEVICE, USER, SHARED_DATA..SHARED_DATA + PAGE];
    if known.iter().any(|range| range.contains(&access.address)) {
        return false;
    }
    // What is not memory at all faults, and that is reported as Windows would report it.
    memory::is_readable(access.address)
}

/// The memory of dirql may be anything from now on, so this is said at once.
fn find_foreign(kernel: &Kernel, access: &MemoryAccess) {
    let message = format!(
        "the driver wrote ({} bytes) to memory that is not the computer's, but of the process that simulates it",
        access.bytes
    );
    let place = kernel.here_at(access.instruction);
    let _ = kernel.find_at(ids::FOREIGN_MEMORY, message, place, None);
    kernel.end(Outcome::Finding);
}

fn slot() -> u64 {
    let value;
    // SAFETY: this is only called when `gs` points at a KPCR, whose pages stay open.
    unsafe {
        asm!("mov {}, gs:[{slot}]", out(reg) value, slot = const SLOT_RECORD,
            options(nostack, readonly, preserves_flags));
    }
    value
}

fn set_slot(value: u64) {
    // SAFETY: as in `slot`; nothing but twins and this module uses the slot.
    unsafe {
        asm!("mov gs:[{slot}], {}", in(reg) value, slot = const SLOT_RECORD,
            options(nostack, preserves_flags));
    }
}
