//! Cancelling a request of the bench's, as an application has the I/O manager do it.

use alloc::collections::BTreeMap;
use core::cell::{Cell, RefCell};

use super::request::Request;
use crate::{Ddi, Kernel};

/// Requests that are being cancelled.
#[derive(Default)]
pub(super) struct Cancelling {
    under_way: Cell<u32>,
    held: RefCell<BTreeMap<u64, Held>>,
}

/// An IRP whose memory stays although it may be complete.
#[derive(Default)]
struct Held {
    holders: u32,
    is_complete: bool,
}

impl Cancelling {
    /// Whether a request is being cancelled.
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way.get() != 0
    }

    /// Keeps the memory of `irp` until [`Cancelling::let_go`].
    pub(super) fn hold(&self, irp: u64) {
        self.held.borrow_mut().entry(irp).or_default().holders += 1;
    }

    /// The request is complete. Whether its memory has to stay.
    pub(super) fn has_to_stay(&self, irp: u64) -> bool {
        let mut held = self.held.borrow_mut();
        let held = held.get_mut(&irp);
        held.is_some_and(|held| {
            held.is_complete = true;
            true
        })
    }

    /// Undoes [`Cancelling::hold`]. Whether nobody needs the memory any more.
    pub(super) fn let_go(&self, irp: u64) -> bool {
        let mut all = self.held.borrow_mut();
        let Some(held) = all.get_mut(&irp) else {
            return false;
        };
        held.holders -= 1;
        let (is_last, is_complete) = (held.holders == 0, held.is_complete);
        if is_last {
            all.remove(&irp);
        }
        is_last && is_complete
    }
}

impl Kernel {
    /// Cancels a request. Returns whether it had a cancel routine.
    ///
    /// The request can be completed while this waits for the cancel spin lock; its memory stays
    /// until the lock is held, as it does in Windows, where the I/O manager frees a request in an
    /// APC of the thread that made it. A cancel routine that completes the request frees it, here
    /// and now: a choice, since what it touches after that is a mistake. No driver is unloaded
    /// until it has returned: who cancels refers to the file.
    ///
    /// # Errors
    /// The run's end.
    pub fn cancel_request(&self, request: Request) -> Ddi<bool> {
        let Some(irp) = self.irp_under_way(request) else {
            return Ok(false);
        };
        let cancelling = &self.io.requests.cancelling;
        cancelling.hold(irp);
        let decided = |kernel: &Self| {
            if kernel.io.requests.cancelling.let_go(irp) {
                kernel.release_irp(irp)?;
            }
            Ok(())
        };
        cancelling.under_way.set(cancelling.under_way.get() + 1);
        let answer = self.cancel_irp(irp, decided);
        cancelling.under_way.set(cancelling.under_way.get() - 1);
        Ok(answer? != 0)
    }
}
