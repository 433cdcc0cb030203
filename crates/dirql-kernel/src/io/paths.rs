//! What a driver may not do on the way of some requests, and what some drivers may not do at all.
//!
//! Rules of the static verifier, which looks at the code: here the request whose dispatch routine
//! runs in the thread that calls says whether they are broken. What the routine leaves to another
//! thread is not looked at.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use dirql_abi::Irql;
use dirql_abi::irp::{IoStackLocation, major, minor_pnp, minor_power};
use dirql_rules::{Context, Place, ids, prohibited};

use crate::stop::Ddi;
use crate::{DriverPtr, Kernel, at};

/// The requests that forbid something and whose dispatch routines run, and the miniports.
#[derive(Default)]
pub(super) struct Paths {
    open: RefCell<Vec<Open>>,
    miniports: RefCell<Vec<Range<u64>>>,
    /// Whether there is any of these: nearly always not.
    any: Cell<bool>,
}

/// A dispatch routine that runs.
struct Open {
    path: Path,
    context: Context,
    /// Where the request was sent.
    sent: Place,
}

/// A request that forbids something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    SetPower,
    SurpriseRemoval,
}

impl Paths {
    fn note(&self) {
        let any = !self.open.borrow().is_empty() || !self.miniports.borrow().is_empty();
        self.any.set(any);
    }
}

impl Kernel {
    /// The image in `range` is a physical Storport miniport.
    pub fn set_miniport(&self, range: Range<u64>) {
        self.io.paths.miniports.borrow_mut().push(range);
        self.io.paths.note();
    }

    /// The image that starts at `base` goes.
    pub fn forget_miniport(&self, base: u64) {
        let paths = &self.io.paths;
        paths
            .miniports
            .borrow_mut()
            .retain(|range| range.start != base);
        paths.note();
    }

    /// Runs `body`, which calls the dispatch routine for the request at `location`.
    #[inline]
    pub(super) fn on_path<R>(
        &self,
        location: DriverPtr<IoStackLocation>,
        body: impl FnOnce() -> Ddi<R>,
    ) -> Ddi<R> {
        let function = self.read(at!(location, IoStackLocation, major_function))?;
        let minor = self.read(at!(location, IoStackLocation, minor_function))?;
        let path = match (function, minor) {
            (major::IRP_MJ_POWER, minor_power::IRP_MN_SET_POWER) => Path::SetPower,
            (major::IRP_MJ_PNP, minor_pnp::IRP_MN_SURPRISE_REMOVAL) => Path::SurpriseRemoval,
            _ => return body(),
        };
        let paths = &self.io.paths;
        let (context, sent) = (self.context(), self.here());
        paths.open.borrow_mut().push(Open {
            path,
            context,
            sent,
        });
        paths.note();
        let result = body();
        // Other threads may have come and gone; an exception may have left some of this one's.
        let mut open = paths.open.borrow_mut();
        if let Some(own) = open.iter().rposition(|one| one.context == context) {
            open.remove(own);
        }
        drop(open);
        paths.note();
        result
    }

    /// A driver calls `ddi`: whether that is forbidden where it does.
    #[inline]
    pub(crate) fn check_path(&self, ddi: &'static str) -> Ddi<()> {
        if self.io.paths.any.get() {
            self.check_path_of(ddi)?;
        }
        Ok(())
    }

    #[cold]
    fn check_path_of(&self, ddi: &'static str) -> Ddi<()> {
        let caller = self.platform().call_site().return_address;
        let is_miniport = self
            .io
            .paths
            .miniports
            .borrow()
            .iter()
            .any(|range| range.contains(&caller));
        if is_miniport && prohibited::in_miniport(ddi) {
            let message = format!("a Storport miniport called {ddi}");
            self.find(ids::MINIPORT_DDI, message, None)?;
        }
        let context = self.context();
        let forbids = |path| match path {
            Path::SetPower => prohibited::in_set_power(ddi),
            Path::SurpriseRemoval => matches!(ddi, "IoDeleteDevice" | "IoDetachDevice"),
        };
        let found = {
            let open = self.io.paths.open.borrow();
            let mut own = open.iter().rev().filter(|one| one.context == context);
            own.find(|one| forbids(one.path))
                .map(|one| (one.path, one.sent.clone()))
        };
        let Some((path, sent)) = found else {
            return Ok(());
        };
        let (rule, request) = match path {
            Path::SetPower => (ids::SET_POWER_DDI, "IRP_MN_SET_POWER"),
            Path::SurpriseRemoval => (ids::DELETED_IN_SURPRISE_REMOVAL, "IRP_MN_SURPRISE_REMOVAL"),
        };
        let message = format!("{ddi} was called while {request} is handled");
        let earlier = Some((String::from("the request was sent here"), sent));
        self.find(rule, message, earlier)
    }

    /// A request with this major function is sent: whether it may be, at this level.
    pub(super) fn check_forwarding(&self, function: u8) -> Ddi<()> {
        let level = self.irql();
        let at_any = [
            major::IRP_MJ_POWER,
            major::IRP_MJ_READ,
            major::IRP_MJ_WRITE,
            major::IRP_MJ_DEVICE_CONTROL,
            major::IRP_MJ_INTERNAL_DEVICE_CONTROL,
        ];
        if level < Irql::DISPATCH || at_any.contains(&function) {
            return Ok(());
        }
        let name = major::name(function).unwrap_or("a request of an unknown kind");
        let message = format!("{name} was sent at {level}");
        self.find(ids::FORWARDED_ABOVE, message, self.raised_here())
    }

    /// A driver completes a request: whether it holds a spin lock.
    pub(super) fn check_no_lock_held(&self, irp: u64) -> Ddi<()> {
        let Some((lock, place)) = self.held_by(self.processor().id).pop() else {
            return Ok(());
        };
        let message =
            format!("the IRP {irp:#x} was completed while the spin lock {lock:#x} is held");
        let earlier = Some((String::from("the lock was taken here"), place));
        self.find(ids::COMPLETED_UNDER_LOCK, message, earlier)
    }
}
