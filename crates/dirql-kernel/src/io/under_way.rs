//! Requests of applications that are under way.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::irp::{Irp, major};
use dirql_rules::{Place, ids};

use super::irp::Progress;
use super::request::Request;
use crate::{Ddi, DriverPtr, Kernel, Stop, at};

impl Kernel {
    /// The requests that are under way, oldest first.
    #[must_use]
    pub fn requests_under_way(&self) -> Vec<Request> {
        let pending = self.io.requests.pending.borrow();
        let under_way = pending
            .iter()
            .filter(|(_, pending)| pending.irp != 0 && pending.outcome.is_none());
        under_way.map(|(request, _)| *request).collect()
    }

    /// The IRP of a request that is under way.
    pub(super) fn irp_under_way(&self, request: Request) -> Option<u64> {
        let pending = self.io.requests.pending.borrow();
        pending
            .get(&request)
            .filter(|pending| pending.outcome.is_none())
            .map(|pending| pending.irp)
    }

    /// Records that a request was cancelled and nothing ends it: which one it is, and the dispatch
    /// routine that took it. Nothing happens if it has ended.
    ///
    /// # Errors
    /// The run's end.
    pub fn find_cancelled(&self, request: Request) -> Ddi<()> {
        let Some(irp) = self.irp_under_way(request) else {
            return Ok(());
        };
        // A driver may have spoiled its IRP.
        let (what, place) = match self.who_has(irp) {
            Ok((what, routine)) => (what, self.here_at(routine)),
            Err(Stop::Ended) => return Err(Stop::Ended),
            Err(_) => (String::from("a request"), self.here()),
        };
        let message = format!(
            "{what} was cancelled and does not come to its end, and nothing is left that could end it"
        );
        self.find_at(ids::CANCELLED_REQUEST, message, place, None)
    }

    /// What a request asks of whom at its current stack location, and the dispatch routine that
    /// was called with it.
    fn who_has(&self, irp: u64) -> Ddi<(String, u64)> {
        let stack = self.read(self.current_location(irp)?)?;
        let asked = match stack.major_function {
            major::IRP_MJ_READ => "a read".into(),
            major::IRP_MJ_WRITE => "a write".into(),
            major::IRP_MJ_FLUSH_BUFFERS => "a flush".into(),
            major::IRP_MJ_DEVICE_CONTROL | major::IRP_MJ_INTERNAL_DEVICE_CONTROL => {
                // Parameters.DeviceIoControl.IoControlCode.
                let code = stack.parameter_bytes[2] as u32;
                format!("the device control request {code:#x}")
            }
            other => format!("a request with major function {other:#x}"),
        };
        let device = stack.device_object;
        let what = format!("{asked} to {}", self.device_text(device));
        let routine = self.dispatch_routine(device, stack.major_function)?;
        Ok((what, routine))
    }

    /// Where a driver has completed the request that this thread has waited for last.
    #[must_use]
    pub fn completed_at(&self) -> Option<Place> {
        let completed = self.io.requests.completed.borrow();
        completed.get(&self.current_thread()?).cloned()
    }

    /// The dispatch routine that has what is under way, if that is the same one for all of it.
    #[must_use]
    pub fn kept_by(&self) -> Option<Place> {
        let requests = self.requests_under_way().into_iter();
        let routines = requests.filter_map(|request| {
            let record = self.irp_record(self.irp_under_way(request)?)?;
            match record.progress {
                Progress::Sent(routine) => Some(routine),
                _ => None,
            }
        });
        let routines: BTreeSet<u64> = routines.collect();
        match routines.first() {
            Some(routine) if routines.len() == 1 => Some(self.here_at(*routine)),
            _ => None,
        }
    }

    /// Whether a request is complete.
    #[must_use]
    pub fn request_is_done(&self, request: Request) -> bool {
        let pending = self.io.requests.pending.borrow();
        pending
            .get(&request)
            .is_none_or(|pending| pending.outcome.is_some())
    }

    /// The files of requests that are under way, or whose dispatch routine has not returned.
    pub(super) fn files_in_use(&self) -> Ddi<Vec<u64>> {
        let mut files = self.io.requests.dispatching.borrow().clone();
        for request in self.requests_under_way() {
            if let Some(irp) = self.irp_under_way(request) {
                let irp = DriverPtr::<Irp>::new(irp);
                files.push(self.read(at!(irp, Irp, original_file_object))?);
            }
        }
        Ok(files)
    }
}
