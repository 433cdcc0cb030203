//! What the handler keeps for each thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};

use super::cache::Cache;
use super::interrupt_flag::Patches;
use super::machine::Machine;
use super::stub::Stubs;
use super::vector::VectorState;
use crate::checkpoint;

/// Bytes of the stack that handlers run on: some frames of Linux with AVX-512 state, and
/// a search for instructions to patch.
const HANDLER_STACK: usize = 0x4_0000;

/// Bytes of the stack for what is left to do when a driver's stack cannot be used.
const SPARE_STACK: usize = 0x4_0000;

const GUARD: usize = 0x1000;

/// One thread's part of the handler.
pub(super) struct State {
    pub(super) machine: Cell<Option<&'static dyn Machine>>,
    pub(super) cache: Cache,
    pub(super) stubs: Stubs,
    pub(super) patches: Patches,
    pub(super) vectors: VectorState,
    pub(super) spare: Stack,
    handler: Stack,
}

thread_local! {
    /// Found by the handler without allocation or initialization.
    static CURRENT: Cell<*const State> = const { Cell::new(ptr::null()) };
    static OWNER: RefCell<Option<Owner>> = const { RefCell::new(None) };
}

/// Takes the handler's stack away before it is freed with the thread.
struct Owner {
    _state: Box<State>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        CURRENT.set(ptr::null());
        let disable = libc::stack_t {
            ss_sp: ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: 0,
        };
        // SAFETY: the argument is valid; no handler runs on the stack, as this is not one.
        unsafe { libc::sigaltstack(&raw const disable, ptr::null_mut()) };
    }
}

impl State {
    fn new() -> io::Result<Self> {
        let vectors = VectorState::of_this_processor();
        let no_xsave = || {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "the processor or the system has no XSAVE",
            )
        };
        Ok(Self {
            machine: Cell::new(None),
            cache: Cache::new(),
            stubs: Stubs::new()?,
            patches: Patches::default(),
            vectors: vectors.ok_or_else(no_xsave)?,
            spare: Stack::new(SPARE_STACK)?,
            handler: Stack::new(HANDLER_STACK)?,
        })
    }

    pub(super) fn forget(&self, range: &Range<u64>) {
        checkpoint::outside(|| {
            self.cache.forget(range);
            self.patches.forget(range);
        });
    }
}

/// This thread's state, made if there is none, with a stack for handlers.
///
/// # Errors
/// What Linux says when it has no memory for it; `Unsupported` without XSAVE.
pub(super) fn prepare() -> io::Result<&'static State> {
    if let Some(state) = current() {
        return Ok(state);
    }
    checkpoint::outside(make)
}

fn make() -> io::Result<&'static State> {
    let state = Box::new(State::new()?);
    let stack = libc::stack_t {
        ss_sp: state.handler.lowest().as_ptr().cast(),
        ss_flags: 0,
        ss_size: HANDLER_STACK,
    };
    // SAFETY: the argument is valid, and the stack lives until the state is dropped, which
    // takes it away first.
    if unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    CURRENT.set(&raw const *state);
    OWNER.with_borrow_mut(|owner| *owner = Some(Owner { _state: state }));
    current().ok_or_else(|| io::Error::other("the state was just made"))
}

/// This thread's state.
#[inline]
pub(super) fn current() -> Option<&'static State> {
    let state = CURRENT.get();
    // SAFETY: it is null or what `prepare` made, in a box that is dropped when the thread
    // ends; nothing keeps the reference until then. All its fields allow shared use.
    unsafe { state.as_ref() }
}

/// Memory for a stack, with a guard below.
pub(super) struct Stack {
    base: NonNull<u8>,
    size: usize,
}

impl Stack {
    fn new(size: usize) -> io::Result<Self> {
        // SAFETY: a new private mapping where Linux wants to put it touches nothing else.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size + GUARD,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let base = NonNull::new(base.cast::<u8>()).filter(|_| base != libc::MAP_FAILED);
        let base = base.ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the first page is this mapping's own, and unused.
        if unsafe { libc::mprotect(base.as_ptr().cast(), GUARD, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { base, size })
    }

    fn lowest(&self) -> NonNull<u8> {
        // SAFETY: the mapping is larger than its guard.
        unsafe { self.base.add(GUARD) }
    }

    /// The usable addresses.
    pub(super) fn range(&self) -> Range<u64> {
        let start = self.lowest().expose_provenance().get() as u64;
        start..start + self.size as u64
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing runs on it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size + GUARD) };
    }
}
