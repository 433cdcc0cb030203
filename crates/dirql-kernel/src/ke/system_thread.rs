//! Threads that drivers create.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::NtStatus;
use dirql_rules::{Place, ids};

use crate::ke::ThreadBody;
use crate::ke::thread::{NORMAL_PRIORITY, State, Thread};
use crate::stop::{Ddi, Stop};
use crate::{DriverPtr, Kernel};

/// Threads of drivers that can run at a time: as many as there is room for stacks, less what the
/// kernel and the scenario need.
pub const MOST_DRIVER_THREADS: usize = 1024;

/// THREAD_ALL_ACCESS of wdm.h.
const THREAD_ALL_ACCESS: u32 = 0x1F_FFFF;

impl Kernel {
    /// `NTSTATUS PsTerminateSystemThread(NTSTATUS)`: ends the calling thread; does not return.
    ///
    /// IRQL: PASSIVE_LEVEL. Source: WDK reference, wdm.PsTerminateSystemThread.
    pub fn ps_terminate_system_thread(&self, status: NtStatus) -> Ddi<NtStatus> {
        if let Some(thread) = self.current_thread() {
            self.terminate_thread(thread, status)?;
            self.platform().suspend();
        }
        Err(Stop::Ended)
    }

    /// `NTSTATUS PsCreateSystemThread(...)`: a thread of priority 8 that runs `routine(context)`.
    /// The handle is made by the object manager.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INSUFFICIENT_RESOURCES while [`MOST_DRIVER_THREADS`] run.
    /// - Source: WDK reference, wdm.PsCreateSystemThread.
    ///
    /// # Errors
    /// A place for the handle that is no memory.
    pub fn ps_create_system_thread(
        &self,
        handle: DriverPtr<u64>,
        routine: u64,
        context: u64,
    ) -> Ddi<NtStatus> {
        let running = {
            let all = self.ke.threads.all.borrow();
            let runs = |one: &&Thread| one.of_driver && one.state != State::Terminated;
            all.iter().filter(runs).count()
        };
        if running >= MOST_DRIVER_THREADS {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let thread = self.spawn_thread(
            "system thread",
            NORMAL_PRIORITY,
            ThreadBody::Driver { routine, context },
        );
        let value = self.ob_create_handle(self.kthread_of(thread), THREAD_ALL_ACCESS)?;
        self.write(handle, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Reports threads that `driver`, whose image is `image`, has created and that still run.
    ///
    /// # Errors
    /// [`Stop::Ended`] if a finding ends the run.
    pub(crate) fn find_threads_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        let left: Vec<Place> = {
            let all = self.ke.threads.all.borrow();
            let running = all.iter().filter(|one| one.state != State::Terminated);
            running
                .filter_map(|one| one.created.as_ref())
                .filter(|(routine, _)| image.contains(routine))
                // Such a thread refers to an object of the driver, so that its image stays.
                .filter(|(_, place)| place.ddi != Some("IoCreateSystemThread"))
                .map(|(_, place)| place.clone())
                .collect()
        };
        for place in left {
            let message =
                format!("{driver} was unloaded and a thread that it created has not ended");
            let earlier = Some((String::from("created here"), place));
            self.find(ids::THREAD_LEFT, message, earlier)?;
        }
        Ok(())
    }
}
