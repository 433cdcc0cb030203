//! Strands: stackful coroutines on guarded stacks in the simulated computer's memory.
//!
//! A stack is 256 KiB where Windows has 24 KiB, because the kernel's own Rust frames are
//! on it too. The pages below it are never opened, so that running over its end faults.
//!
//! Frames of a driver cannot be unwound like Rust's, so a strand that is not wanted any
//! more is abandoned: what its Rust frames own is leaked.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ops::Range;

use corosensei::stack::{Stack, StackPointer};
use corosensei::trap::{CoroutineTrapHandler, TrapHandlerRegs};
use corosensei::{Coroutine, Yielder};
use dirql_kernel::ke::MOST_DRIVER_THREADS;
use dirql_kernel::mm::layout::STACKS;
use dirql_kernel::{Access, StrandId};

use crate::memory::{self, AddressSpace};

/// Bytes of a stack that can be used.
pub(crate) const STACK_SIZE: u64 = 0x4_0000;

/// A driver that has less than this left has used up its stack: the rest is for the kernel's
/// frames, which must not meet the guard while they hold something.
const ROOM_FOR_KERNEL: u64 = 0x8000;

/// Bytes below it that stay closed.
const GUARD_SIZE: u64 = 0x4000;

const SLOTS: u64 = (STACKS.end - STACKS.start) / (GUARD_SIZE + STACK_SIZE);

// Every processor has a strand of its own, and the kernel and scenarios have threads.
const _: () = assert!(SLOTS > MOST_DRIVER_THREADS as u64 + 256 + 512);

/// A stack's place in [`STACKS`].
#[derive(Clone, Copy, Debug)]
struct Slot(u64);

impl Slot {
    const fn limit(self) -> u64 {
        STACKS.start + self.0 * (GUARD_SIZE + STACK_SIZE)
    }

    const fn usable(self) -> Range<u64> {
        let bottom = self.limit() + GUARD_SIZE;
        bottom..bottom + STACK_SIZE
    }
}

// SAFETY: below the usable part, all of which is open while a coroutine is on it, are
// pages that nothing ever opens. Both ends are multiples of the page size.
unsafe impl Stack for Slot {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.usable().end as usize).expect("stacks are not at 0")
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(Slot::limit(*self) as usize).expect("stacks are not at 0")
    }
}

type Body = Coroutine<(), (), (), Slot>;

struct Strand {
    /// `None` while it runs. In a box, because it is moved at each switch.
    coroutine: Option<Box<Body>>,
    slot: Slot,
    handler: CoroutineTrapHandler<()>,
    /// Null until it first runs.
    yielder: *const Yielder<(), ()>,
}

/// The strands of one computer.
#[derive(Default)]
pub(crate) struct Strands {
    table: RefCell<Vec<Option<Strand>>>,
    /// Stacks that were used and can be used again.
    free: RefCell<Vec<Slot>>,
    slots_used: Cell<u64>,
    running: Cell<Option<StrandId>>,
    /// The lowest address of the running strand's stack that is open.
    bottom: Cell<u64>,
    /// The running strand is not to be kept when it stops running.
    retire_running: Cell<bool>,
    /// A panic of ours that reached the frames of a driver.
    panic: RefCell<Option<Box<dyn Any + Send>>>,
}

impl Strands {
    /// Prepares a strand that runs `body`. Returns the bounds of its stack; an empty
    /// range if there is no place for another stack.
    pub(crate) fn create(
        &self,
        space: &AddressSpace,
        strand: StrandId,
        body: impl FnOnce() + 'static,
    ) -> Range<u64> {
        let Some(slot) = self.take_slot(space) else {
            return 0..0;
        };
        let coroutine = Body::with_stack(slot, move |yielder, ()| {
            crate::run::platform().strands.started(strand, yielder);
            body();
        });
        let handler = coroutine.trap_handler();
        let mut table = self.table.borrow_mut();
        let index = strand.0 as usize;
        if table.len() <= index {
            table.resize_with(index + 1, || None);
        }
        assert!(table[index].is_none(), "{strand:?} exists");
        table[index] = Some(Strand {
            coroutine: Some(Box::new(coroutine)),
            slot,
            handler,
            yielder: std::ptr::null(),
        });
        slot.usable()
    }

    fn take_slot(&self, space: &AddressSpace) -> Option<Slot> {
        if let Some(slot) = self.free.borrow_mut().pop() {
            memory::clear_stack(&slot.usable());
            return Some(slot);
        }
        let next = self.slots_used.get();
        if next == SLOTS {
            return None;
        }
        self.slots_used.set(next + 1);
        let slot = Slot(next);
        space.protect(slot.usable(), Access::ReadWrite);
        Some(slot)
    }

    fn started(&self, strand: StrandId, yielder: &Yielder<(), ()>) {
        self.with(strand, |entry| entry.yielder = yielder);
    }

    /// Runs `strand` until it suspends or its body returns. A panic on it goes on here.
    // Each return into a frame of another stack than the last call's is one that the processor has
    // predicted wrong: the fewer frames, the better. So `suspend` is inlined, too.
    #[inline]
    pub(crate) fn resume(&self, strand: StrandId) {
        assert_eq!(self.running.get(), None, "only the bench resumes strands");
        let (coroutine, slot) = self.with(strand, |entry| (entry.coroutine.take(), entry.slot));
        let mut coroutine = coroutine.unwrap_or_else(|| panic!("{strand:?} cannot be resumed"));
        self.running.set(Some(strand));
        self.bottom.set(slot.usable().start);
        // Whatever unwinds out of a strand, this state is right again.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| coroutine.resume(())));
        self.running.set(None);
        let done = coroutine.done();
        self.with(strand, |entry| entry.coroutine = Some(coroutine));
        if done || self.retire_running.take() {
            self.retire(strand);
        }
        if let Err(payload) = ended {
            std::panic::resume_unwind(payload);
        }
        if let Some(payload) = self.panic.take() {
            std::panic::resume_unwind(payload);
        }
    }

    /// Leaves the running strand; returns when it is resumed.
    #[inline]
    pub(crate) fn suspend(&self) {
        let strand = self.running.get().expect("only a strand suspends");
        let yielder = self.with(strand, |entry| entry.yielder);
        // SAFETY: `started` got this from the coroutine's body, which is still on the stack
        // that we run on and keeps the yielder alive until it returns.
        unsafe { &*yielder }.suspend(());
    }

    /// Leaves the running strand for ever.
    pub(crate) fn leave(&self) -> ! {
        self.retire_running.set(true);
        self.suspend();
        unreachable!("a strand that was left for ever has been resumed")
    }

    /// As [`Strands::leave`], with a panic that goes on where the strand was resumed: it
    /// cannot unwind a driver's frames.
    pub(crate) fn leave_with_panic(&self, payload: Box<dyn Any + Send>) -> ! {
        *self.panic.borrow_mut() = Some(payload);
        self.leave()
    }

    /// The strand will not be resumed again; its stack can be reused.
    pub(crate) fn retire(&self, strand: StrandId) {
        if self.running.get() == Some(strand) {
            self.retire_running.set(true);
            return;
        }
        let entry = self
            .table
            .borrow_mut()
            .get_mut(strand.0 as usize)
            .and_then(Option::take);
        let Some(mut entry) = entry else { return };
        if let Some(coroutine) = &mut entry.coroutine {
            abandon(coroutine);
        }
        self.free.borrow_mut().push(entry.slot);
    }

    /// One more than the highest number of a strand.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u32 {
        self.table.borrow().len() as u32
    }

    /// Whether the caller runs on a strand.
    pub(crate) fn on_strand(&self) -> bool {
        self.running.get().is_some()
    }

    /// Whether a driver that calls the kernel with this stack pointer has used up its stack.
    #[inline]
    pub(crate) fn is_used_up(&self, stack_pointer: u64) -> bool {
        self.is_used_up_after(stack_pointer, 0)
    }

    /// The same when it has taken `bytes` more.
    #[inline]
    pub(crate) fn is_used_up_after(&self, stack_pointer: u64, bytes: u64) -> bool {
        // Another stack, of an in-process driver, is far away.
        stack_pointer.wrapping_sub(self.bottom.get()) < ROOM_FOR_KERNEL + bytes
    }

    /// Eight bytes of the running strand's stack; `None` elsewhere.
    #[inline]
    pub(crate) fn read_stack(&self, address: u64) -> Option<u64> {
        if address.wrapping_sub(self.bottom.get()) > STACK_SIZE - 8 || !self.on_strand() {
            return None;
        }
        let place = std::ptr::with_exposed_provenance::<u64>(address as usize);
        // SAFETY: all eight bytes are in the part of the running strand's stack that is open.
        // They are no Rust object's: drivers tell this address of their own frames.
        Some(unsafe { place.read_unaligned() })
    }

    /// The bounds of the running strand's stack, guard included.
    pub(crate) fn stack(&self) -> Option<(Range<u64>, Range<u64>)> {
        let slot = self.with(self.running.get()?, |entry| entry.slot);
        Some((slot.limit()..slot.usable().start, slot.usable()))
    }

    /// For a signal handler that interrupted driver code on a strand and cannot let it go
    /// on: the registers with which the strand drops all its frames, runs `last` on its
    /// emptied stack, and ends.
    ///
    /// # Safety
    /// The handler interrupted code of a driver, not of this process, and puts these
    /// registers into the interrupted context.
    pub(crate) unsafe fn abandon_running(
        &self,
        last: impl FnOnce() + 'static,
    ) -> Option<TrapHandlerRegs> {
        let strand = self.running.get()?;
        let handler = self.with(strand, |entry| entry.handler);
        // SAFETY: the coroutine runs, so it exists. What is on its stack above the driver's
        // frames is waiting in a call into the driver with nothing borrowed, and is leaked. The
        // caller updates the context.
        Some(unsafe { handler.setup_trap_handler(last) })
    }

    #[inline]
    fn with<R>(&self, strand: StrandId, use_it: impl FnOnce(&mut Strand) -> R) -> R {
        let mut table = self.table.borrow_mut();
        let entry = table.get_mut(strand.0 as usize).and_then(Option::as_mut);
        use_it(entry.unwrap_or_else(|| panic!("{strand:?} does not exist")))
    }
}

impl Drop for Strands {
    fn drop(&mut self) {
        for entry in self.table.get_mut().iter_mut().flatten() {
            if let Some(coroutine) = &mut entry.coroutine {
                abandon(coroutine);
            }
        }
    }
}

/// Makes a coroutine forget where it was.
fn abandon(coroutine: &mut Body) {
    if coroutine.started() && !coroutine.done() {
        // SAFETY: no frame of it runs again, and nothing outside refers to its stack: the
        // kernel keeps no reference across a suspension. What its frames own is leaked.
        unsafe { coroutine.force_reset() };
    }
}
