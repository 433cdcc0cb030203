//! What the kernel needs from whatever runs driver code.

use alloc::vec::Vec;
use core::ops::Range;

use dirql_rules::Context;

use crate::stop::BadAddress;

/// A stackful coroutine: one per kernel thread, plus an idle one per processor.
///
/// Numbers are given by the kernel, starting at 0, and are not reused within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrandId(pub u32);

/// What a page may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: any access faults.
    None,
    /// Loads only.
    Read,
    /// Loads and stores.
    ReadWrite,
    /// Instruction fetches and loads.
    ReadExecute,
    /// Everything, as some old images want.
    ReadWriteExecute,
}

/// The outside of the kernel: memory, driver code, strands, and the processor's `gs`.
///
/// The kernel calls [`Platform::call`] and [`Platform::suspend`] with nothing borrowed:
/// both can enter the kernel again before they return.
pub trait Platform {
    /// Copies from driver-visible memory.
    ///
    /// # Errors
    /// [`BadAddress`] with the first byte that is not readable memory; device memory is not.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), BadAddress>;

    /// Copies to driver-visible memory.
    ///
    /// # Errors
    /// [`BadAddress`] with the first byte that is not writable memory; device memory is not.
    fn write(&self, address: u64, from: &[u8]) -> Result<(), BadAddress>;

    /// Gives the pages of `region` (page-aligned, inside [`crate::mm::layout`]'s windows)
    /// an access. Pages that become accessible for the first time are zero.
    fn protect(&self, region: Range<u64>, access: Access);

    /// Makes pages inaccessible for a time, whatever access they have. An access of a driver's,
    /// or of [`Platform::read`] and [`Platform::write`], is first told to
    /// [`crate::Kernel::touch_pageable`].
    fn hide(&self, regions: &[Range<u64>]) {
        let _ = regions;
    }

    /// Ends what [`Platform::hide`] began.
    fn show(&self, regions: &[Range<u64>]) {
        let _ = regions;
    }

    /// Gives the pages of `region` back to the host; they read as zero when next protected.
    fn discard(&self, region: Range<u64>);

    /// Calls driver code with the Win64 convention on the current strand.
    ///
    /// At most 12 arguments. An address that is not code faults as on a real
    /// processor, and the fault comes back through [`crate::Kernel::fault`].
    fn call(&self, routine: u64, arguments: &[u64]) -> u64;

    /// What the next [`Platform::call`] on this strand calls, for example `"DispatchPnp"`: as in
    /// [`crate::Event::RoutineEnter`]. ISRs and DPC routines are not announced.
    fn announce(&self, kind: &'static str) {
        let _ = kind;
    }

    /// As [`Platform::call`], on behalf of the driver that has called the kernel: an exception
    /// that the routine does not handle goes on in the frames of that driver. If it is
    /// handled there, the frames of the kernel in between are abandoned, and
    /// [`crate::Kernel::routine_left`] is called with `outer`, what the processor was running
    /// when the driver called.
    fn call_from_driver(&self, routine: u64, arguments: &[u64], outer: Context) -> u64 {
        let _ = outer;
        self.call(routine, arguments)
    }

    /// The address at which drivers can call the export or built-in routine `name`
    /// (for example `"KeSetEvent"`, or `"dirql:BusDispatch"` for the kernel's own
    /// drivers); `None` if the table of exports does not have it.
    fn routine(&self, name: &str) -> Option<u64>;

    /// The address of the exported variable `name`, which is laid out in `kernel`'s memory
    /// if nothing asked before; `None` if there is no such variable.
    fn variable(&self, kernel: &crate::Kernel, name: &str) -> Option<u64> {
        let _ = (kernel, name);
        None
    }

    /// The kernel and the HAL as modules, whose headers name what they export. A platform may
    /// have none.
    fn system_modules(&self) -> &'static [crate::io::SystemModule] {
        &[]
    }

    /// Prepares a strand that, when first resumed, runs
    /// [`crate::Kernel::strand_main`] with its number. Returns the bounds of its stack,
    /// lowest and one past the highest address.
    fn create_strand(&self, strand: StrandId) -> Range<u64>;

    /// Runs `strand` until it suspends or its main returns. Only called outside strands.
    fn resume(&self, strand: StrandId);

    /// Leaves the running strand; returns when it is resumed. Only called on strands.
    fn suspend(&self);

    /// The strand will not be resumed again; its stack can be reused. Frames still on
    /// it are abandoned, not unwound.
    fn retire_strand(&self, strand: StrandId);

    /// Whether the caller runs on a strand.
    fn on_strand(&self) -> bool;

    /// Makes `kpcr` what `gs` points at from now on.
    fn set_kpcr(&self, kpcr: u64);

    /// The return address of the driver's innermost call into the kernel, and the stack
    /// pointer there; zero when there is none.
    fn call_site(&self) -> CallSite;

    /// A number for what the code that called the kernel at `site` goes on with: the registers that a
    /// call preserves, what of the stack is in use, and the memory that drivers can write to. What the
    /// kernel alone writes to is left out. `None` if it cannot be told.
    fn driver_state(&self, site: CallSite) -> Option<u64> {
        let _ = site;
        None
    }

    /// The driver's routine that runs, or 0: where a call came from that was the last thing that it
    /// did, so that the stack does not tell.
    fn running_routine(&self) -> u64 {
        0
    }

    /// The driver's code behind the routine that is carried out, from the inside out, 0 before what
    /// was interrupted; empty if it cannot be told.
    fn stack_of_caller(&self) -> Vec<u64> {
        Vec::new()
    }

    /// The driver's own instruction that runs at `address`, where it may run as a copy.
    fn original(&self, address: u64) -> u64 {
        address
    }
}

/// Where a driver called the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallSite {
    /// Address of the instruction after the call.
    pub return_address: u64,
    /// Stack pointer at that instruction's frame, after the return.
    pub stack_pointer: u64,
}
