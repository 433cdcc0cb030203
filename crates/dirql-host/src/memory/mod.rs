//! The simulated computer's address space, in this process.
//!
//! The two windows of [`layout`] are reserved at their fixed addresses once and stay
//! reserved, inaccessible and without memory behind them, until the process ends. A
//! kernel opens pages in them and [`AddressSpace`] takes everything back when its
//! computer goes away.
//!
//! Because the addresses are fixed, there is one computer per process at a time; a
//! second one waits for its turn, in any thread but the one that has the first.
//!
//! Device registers, the second half of the physical window, are never opened: every
//! access faults and is carried out by the trap handler.

mod copy;
mod pages;

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::ops::Range;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread::ThreadId;

use dirql_kernel::mm::layout::{
    self, DEVICE_PHYSICAL, PAGE, PHYSICAL_END, PHYSICAL_WINDOW, RAM, STACKS, USER,
};
use dirql_kernel::{Access, BadAddress};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect};

pub(crate) use copy::copy_fixup;
use pages::Pages;

use crate::checkpoint;
use crate::machine::CurrentMachine;
use crate::recode::{Original, Recoder, Source};
use crate::trap;

/// RAM that the host itself fills: thunks, data exports, the image of an in-process driver.
pub(crate) const HOST: Range<u64> = layout::PLATFORM;

const _: () = {
    assert!(HOST.end <= RAM.end);
    assert!(USER.end <= PHYSICAL_WINDOW);
    assert!(DEVICE_PHYSICAL.is_multiple_of(PAGE) && PHYSICAL_END.is_multiple_of(PAGE));
};

/// How much of an extent is cleared by writing zeros; more goes back to Linux.
const CLEAR_BY_COPY: u64 = 0x1_0000;

/// How much of a stack is cleared so.
const TOP_OF_STACK: u64 = 0x4000;

/// The addresses that a Linux process can have; the first 64 KiB never hold anything.
const PROCESS: Range<u64> = 0x1_0000..0x7FFF_FFFF_F000;

/// Why there is no address space for a computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// Something else in this process is where the computer's memory has to be.
    #[error("the addresses {start:#x}..{end:#x} are not free in this process: {errno}")]
    Occupied {
        /// First address wanted.
        start: u64,
        /// One past the last.
        end: u64,
        /// What Linux said.
        errno: Errno,
    },
    /// Faults of this thread cannot be handled.
    #[error("faults cannot be handled: {0}")]
    Traps(std::io::ErrorKind),
    /// This thread already has a computer; waiting for it to go away would take for ever.
    #[error("this thread already has a simulated computer; drop it before making another")]
    Busy,
}

/// The address space of the one computer that this process simulates at the moment.
#[derive(Debug)]
pub struct AddressSpace {
    pages: RefCell<Pages>,
    /// Pages that are inaccessible for a time.
    hidden: RefCell<Vec<Range<u64>>>,
    /// Whether addresses outside the windows may be memory too.
    process_memory: Cell<bool>,
    /// Twins of driver code, if it is not to run itself.
    /// It is not put back with the computer, so it is nowhere inside.
    recoder: OnceCell<Box<Recoder>>,
    _traps: trap::Attached,
    _turn: Turn,
}

impl AddressSpace {
    /// Waits until no other thread has a computer, and takes the address space.
    ///
    /// # Errors
    /// [`MemoryError::Busy`] if this thread has one; [`MemoryError::Occupied`] if the
    /// addresses cannot be reserved.
    pub fn take() -> Result<Self, MemoryError> {
        let turn = Turn::take()?;
        reserve()?;
        let traps =
            trap::attach(&CurrentMachine).map_err(|error| MemoryError::Traps(error.kind()))?;
        Ok(Self {
            pages: RefCell::default(),
            hidden: RefCell::default(),
            process_memory: Cell::new(false),
            recoder: OnceCell::new(),
            _traps: traps,
            _turn: turn,
        })
    }

    /// From now on the process's own memory counts as the driver's too: in-process
    /// drivers keep their constants there.
    pub(crate) fn allow_process_memory(&self) {
        self.process_memory.set(true);
    }

    /// Whether code at `address` can be a driver's: in the computer's memory, or in this
    /// process while a driver of it is loaded.
    #[inline]
    pub(crate) fn is_driver_code(&self, address: u64) -> bool {
        RAM.contains(&address) || self.process_memory.get()
    }

    /// Copies from the computer's memory.
    ///
    /// # Errors
    /// [`BadAddress`] with the first byte that is not readable memory. What came before it
    /// may have been copied.
    #[inline]
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), BadAddress> {
        self.check(address, into.len(), false)?;
        // SAFETY: the address lies in the windows or in the process; whoever made this
        // address space has installed the trap handler.
        let fault = unsafe { copy::copy_in(into, address) };
        outcome(fault, false)
    }

    /// Copies to the computer's memory.
    ///
    /// # Errors
    /// [`BadAddress`] with the first byte that is not writable memory. What came before it
    /// may have been written.
    #[inline]
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), BadAddress> {
        self.check(address, from.len(), true)?;
        // SAFETY: whoever made this address space has installed the trap handler. The target
        // lies in the windows, where no Rust object lives, or, for an in-process driver,
        // where that driver says that its own memory is.
        let fault = unsafe { copy::copy_out(address, from) };
        outcome(fault, true)
    }

    /// The check that needs no memory access: whether all of it lies where memory can be.
    #[inline]
    fn check(&self, address: u64, length: usize, write: bool) -> Result<(), BadAddress> {
        if within(&RAM, address, length) || within(&USER, address, length) || length == 0 {
            return Ok(());
        }
        self.check_elsewhere(address, length, write)
    }

    #[cold]
    fn check_elsewhere(&self, address: u64, length: usize, write: bool) -> Result<(), BadAddress> {
        for window in [&RAM, &USER] {
            if window.contains(&address) {
                return Err(BadAddress {
                    address: window.end,
                    write,
                });
            }
        }
        let reserved = (PHYSICAL_WINDOW..PHYSICAL_WINDOW + PHYSICAL_END).contains(&address);
        if self.process_memory.get() && !reserved && within(&PROCESS, address, length) {
            return Ok(());
        }
        Err(BadAddress { address, write })
    }

    /// Gives the pages of `region` an access. Those that had none before keep what they
    /// held when they last had one, zero at first.
    ///
    /// # Panics
    /// If `region` is not page-aligned or not inside RAM or [`USER`], or if Linux
    /// refuses memory to a process that asked for it; both are not a driver's doing.
    pub fn protect(&self, region: Range<u64>, access: Access) {
        assert_region(&region);
        if region.is_empty() {
            return;
        }
        self.set_page_protection(&region, access);
        self.pages.borrow_mut().set(region, access);
    }

    /// What Linux is told of pages: those of images are not executable when twins run.
    fn set_page_protection(&self, region: &Range<u64>, access: Access) {
        let Some(recoder) = self.recoder.get().filter(|_| is_of_images(region)) else {
            set_protection(region, access);
            return;
        };
        if access == Access::ReadExecute {
            set_protection(region, Access::Read);
        } else {
            recoder.forget(region);
            set_protection(region, access);
        }
    }

    /// From now on, twins of driver code run in its place.
    ///
    /// # Errors
    /// What Linux says when there is no memory for them.
    pub(crate) fn recode(&self) -> io::Result<()> {
        if self.recoder.get().is_some() {
            return Ok(());
        }
        let recoder = checkpoint::outside(|| Recoder::new().map(Box::new))?;
        for (region, access) in self.pages.borrow().touched_in(&layout::IMAGES) {
            if access == Access::ReadExecute {
                set_protection(&region, Access::Read);
            }
        }
        // It was empty above, and there is one thread.
        let _ = self.recoder.set(recoder);
        Ok(())
    }

    /// Where code goes on whose next instruction is at `original`: the twin that exists, or
    /// `original`.
    #[inline]
    pub(crate) fn twin(&self, original: u64) -> u64 {
        let twin = self
            .recoder
            .get()
            .and_then(|recoder| recoder.twin(original));
        twin.unwrap_or(original)
    }

    /// The twin of `original`, made if there is none; `None` if there is to be none.
    pub(crate) fn twin_or_make(&self, original: u64) -> Option<u64> {
        self.recoder.get()?.twin_or_make(self, original)
    }

    /// The twins of driver code, if they run.
    #[inline]
    pub(crate) fn recoder(&self) -> Option<&Recoder> {
        self.recoder.get().map(|recoder| &**recoder)
    }

    /// How many accesses to memory have been recorded.
    pub(crate) fn recorded(&self) -> usize {
        self.recoder.get().map_or(0, |recoder| recoder.recorded())
    }

    /// Accesses that were recorded since there were `recorded` have not happened.
    pub(crate) fn forget_records(&self, recorded: usize) {
        if let Some(recoder) = self.recoder.get() {
            recoder.forget_records(recorded);
        }
    }

    /// The pages that hold something, with what Linux has been told of them.
    pub(crate) fn regions(&self) -> Vec<(Range<u64>, Access)> {
        let twins_run = self.recoder.get().is_some();
        let told = |(region, access): (Range<u64>, Access)| match access {
            Access::ReadExecute if twins_run && is_of_images(&region) => (region, Access::Read),
            access => (region, access),
        };
        let pages = self.pages.borrow();
        let hidden = self.hidden.borrow();
        let closed = hidden.iter().map(|region| (region.clone(), Access::None));
        pages.touched().map(told).chain(closed).collect()
    }

    /// Whose twin `instruction` is in.
    pub(crate) fn original(&self, instruction: u64) -> Option<Original> {
        self.recoder.get()?.original(instruction)
    }

    /// The code in `region` of an image is gone or has changed.
    pub(crate) fn forget_code(&self, region: &Range<u64>) {
        if let Some(recoder) = self.recoder.get() {
            recoder.forget(region);
        }
    }

    /// Makes pages inaccessible; what access they have stays known.
    pub(crate) fn hide(&self, regions: &[Range<u64>]) {
        self.hidden.borrow_mut().extend_from_slice(regions);
        for region in regions {
            set_protection(region, Access::None);
        }
    }

    /// Gives pages that were hidden the access that they have.
    pub(crate) fn show(&self, regions: &[Range<u64>]) {
        self.hidden.borrow_mut().clear();
        let pages = self.pages.borrow();
        let twins_run = self.recoder.get().is_some();
        for region in regions {
            for (part, access) in pages.touched_in(region) {
                let access = match access {
                    Access::ReadExecute if twins_run => Access::Read,
                    other => other,
                };
                set_protection(&part, access);
            }
        }
    }

    /// Takes the pages of `region` away; they are zero when they next have an access.
    ///
    /// # Panics
    /// As [`AddressSpace::protect`].
    pub fn discard(&self, region: Range<u64>) {
        assert_region(&region);
        if region.is_empty() {
            return;
        }
        if is_of_images(&region) {
            trap::forget(&region);
            self.forget_code(&region);
        }
        let held: Vec<_> = self.pages.borrow().touched_in(&region).collect();
        for (part, access) in held {
            clear(&part, access);
        }
        self.pages.borrow_mut().forget(region);
    }

    /// What the page at `address` may be used for.
    #[must_use]
    pub fn access(&self, address: u64) -> Access {
        self.pages.borrow().access(address)
    }
}

impl Source for AddressSpace {
    fn fetch(&self, original: u64, into: &mut [u8; 15]) -> Option<usize> {
        let has_code = |address| self.access(address) == Access::ReadExecute;
        if !layout::IMAGES.contains(&original) || !has_code(original) {
            return None;
        }
        let here = (PAGE - original % PAGE).min(15);
        let length = if here == 15 || has_code(original + here) {
            15
        } else {
            here as usize
        };
        self.read(original, &mut into[..length]).ok()?;
        Some(length)
    }

    fn restore(&self, original: u64, bytes: &mut [u8]) -> bool {
        trap::restore(original, bytes)
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        trap::forget(&layout::IMAGES);
        self.forget_code(&layout::IMAGES);

        let hidden = self.hidden.take();
        self.show(&hidden);
        for (region, access) in self.pages.get_mut().touched() {
            clear(&region, access);
        }
        checkpoint::outside(|| drop(self.recoder.take()));
    }
}

fn is_of_images(region: &Range<u64>) -> bool {
    region.start >= layout::IMAGES.start && region.end <= layout::IMAGES.end
}

fn assert_region(region: &Range<u64>) {
    assert!(
        region.start.is_multiple_of(PAGE)
            && region.end.is_multiple_of(PAGE)
            && region.start <= region.end,
        "{region:#x?} is not a range of pages"
    );
    let inside = |window: &Range<u64>| region.start >= window.start && region.end <= window.end;
    assert!(
        inside(&RAM) || inside(&USER),
        "{region:#x?} is not in a window"
    );
}

/// Whether there is something at `address` that this process can read.
pub(crate) fn is_readable(address: u64) -> bool {
    // SAFETY: whoever asks runs in a computer, whose address space has installed the trap handler.
    // Nothing is made of the byte.
    unsafe { copy::copy_in(&mut [0], address) == 0 }
}

#[inline]
fn within(window: &Range<u64>, address: u64, length: usize) -> bool {
    let (offset, size) = (
        address.wrapping_sub(window.start),
        window.end - window.start,
    );
    offset < size && length as u64 <= size - offset
}

#[inline]
fn outcome(fault: u64, write: bool) -> Result<(), BadAddress> {
    if fault == 0 {
        Ok(())
    } else {
        Err(BadAddress {
            address: fault,
            write,
        })
    }
}

/// Zeros what `region` holds and closes it, in whichever way is cheaper: memory that is
/// written again soon is kept for a little, and given back to Linux for a lot.
fn clear(region: &Range<u64>, access: Access) {
    if checkpoint::clear(region) {
        return;
    }
    if region.end - region.start <= CLEAR_BY_COPY {
        if !is_writable(access) {
            set_protection(region, Access::ReadWrite);
        }
        zero(region);
    } else if is_writable(access) && STACKS.start <= region.start && region.end <= STACKS.end {
        clear_stack(region);
    } else {
        give_back(region);
    }
    if access != Access::None || region.end - region.start <= CLEAR_BY_COPY {
        set_protection(region, Access::None);
    }
}

const fn is_writable(access: Access) -> bool {
    matches!(access, Access::ReadWrite | Access::ReadWriteExecute)
}

/// Zeros pages that are writable.
fn zero(region: &Range<u64>) {
    assert_region(region);
    let start = std::ptr::with_exposed_provenance_mut::<u8>(region.start as usize);
    // SAFETY: the callers have these pages writable; they are in the reserved windows, where no
    // Rust object lives, so nothing is borrowed.
    unsafe { start.write_bytes(0, (region.end - region.start) as usize) };
}

/// Zeros the stack that had `region`, all of it writable, for its next user. It is used from
/// its top, seldom far.
pub(crate) fn clear_stack(region: &Range<u64>) {
    assert!(
        STACKS.start <= region.start && region.end <= STACKS.end,
        "{region:#x?} is not a stack"
    );
    if checkpoint::zero(region) {
        return;
    }
    let middle = region.start.max(region.end.saturating_sub(TOP_OF_STACK));
    give_back(&(region.start..middle));
    zero(&(middle..region.end));
}

fn give_back(region: &Range<u64>) {
    if region.is_empty() {
        return;
    }
    // SAFETY: the range is inside the windows reserved by `reserve`, private anonymous
    // memory that holds no Rust object: reading zeros there afterwards breaks nothing.
    let result = unsafe {
        madvise(
            host_pointer(region.start),
            (region.end - region.start) as usize,
            Advice::LinuxDontNeed,
        )
    };
    result.expect("the windows are mapped");
}

/// Sets the protection of pages in the windows.
pub(crate) fn set_protection(region: &Range<u64>, access: Access) {
    if !checkpoint::protect(region, access) {
        apply_protection(region, access);
    }
}

/// Tells Linux what pages of the computer may be used for.
pub(crate) fn apply_protection(region: &Range<u64>, access: Access) {
    if region.is_empty() {
        return;
    }
    let flags = match access {
        Access::None => MprotectFlags::empty(),
        Access::Read => MprotectFlags::READ,
        Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
        Access::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
        Access::ReadWriteExecute => {
            MprotectFlags::READ | MprotectFlags::WRITE | MprotectFlags::EXEC
        }
    };
    // SAFETY: the range is inside the windows reserved by `reserve`, where no Rust object
    // lives, so that no access of safe code can come to fault; or it is the arena's, whose pages
    // are readable, and opened by the handler when they are written to.
    let result = unsafe {
        mprotect(
            host_pointer(region.start),
            (region.end - region.start) as usize,
            flags,
        )
    };
    result.expect("Linux has memory for the pages that are opened");
}

fn host_pointer(address: u64) -> *mut std::ffi::c_void {
    std::ptr::with_exposed_provenance_mut(address as usize)
}

/// Reserves both windows, once per process.
fn reserve() -> Result<(), MemoryError> {
    static RESERVED: OnceLock<Result<(), MemoryError>> = OnceLock::new();
    *RESERVED.get_or_init(|| {
        reserve_one(&(PHYSICAL_WINDOW..PHYSICAL_WINDOW + PHYSICAL_END))?;
        reserve_one(&USER)
    })
}

fn reserve_one(window: &Range<u64>) -> Result<(), MemoryError> {
    let failed = |errno| MemoryError::Occupied {
        start: window.start,
        end: window.end,
        errno,
    };
    let length = (window.end - window.start) as usize;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
    // SAFETY: FIXED_NOREPLACE refuses addresses that are in use, so no existing mapping is
    // changed; the new one is not accessible.
    let mapped = unsafe {
        mmap_anonymous(
            host_pointer(window.start),
            length,
            ProtFlags::empty(),
            flags,
        )
    };
    let mapped = mapped.map_err(failed)?;
    // Linux before 4.17 takes the address as a hint.
    if mapped.addr() as u64 == window.start {
        Ok(())
    } else {
        Err(failed(Errno::EXIST))
    }
}

/// Being the one computer of the process.
#[derive(Debug)]
struct Turn {
    /// Turns belong to threads.
    _not_send: std::marker::PhantomData<*const ()>,
}

static HOLDER: Mutex<Option<ThreadId>> = Mutex::new(None);
static RELEASED: Condvar = Condvar::new();

impl Turn {
    fn take() -> Result<Self, MemoryError> {
        let me = std::thread::current().id();
        let mut holder = HOLDER.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *holder {
                None => break,
                Some(thread) if thread == me => return Err(MemoryError::Busy),
                Some(_) => {
                    holder = RELEASED
                        .wait(holder)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
        *holder = Some(me);
        Ok(Self {
            _not_send: std::marker::PhantomData,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *HOLDER.lock().unwrap_or_else(PoisonError::into_inner) = None;
        RELEASED.notify_one();
    }
}

#[cfg(test)]
mod tests;
