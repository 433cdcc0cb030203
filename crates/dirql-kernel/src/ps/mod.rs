//! Processes and threads as drivers ask about them, and routines to call when they begin and end.
//!
//! There is one process, the system's; threads are made and scheduled by [`crate::ke`].
//!
//! Source: WDK reference, ntddk.PsSetLoadImageNotifyRoutine and its relatives,
//! wdm.PsGetVersion.

mod application;
mod lookup;
mod notify;
mod process_information;
mod thread_information;

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

pub(crate) use application::Identity;
pub use notify::NotifyKind;
pub use process_information::InformationRoom;

/// Bytes of an EPROCESS that a driver could look at. Drivers compare its address, and may wait
/// for it: it begins with a dispatcher header that is never signalled.
const PROCESS_BYTES: u64 = 0x800;

/// Identifier of the system process.
const SYSTEM_PROCESS_ID: u64 = 4;

/// The state of this part of the kernel.
#[derive(Default)]
pub(crate) struct Ps {
    process: Cell<u64>,
    application: Cell<u64>,
    notify: RefCell<Vec<notify::Registered>>,
}

impl Kernel {
    /// `PEPROCESS IoGetCurrentProcess(VOID)`, which is also `PsGetCurrentProcess`
    ///
    /// - IRQL: any level.
    /// - Returns: the process object.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.IoGetCurrentProcess.
    pub fn io_get_current_process(&self) -> Ddi<u64> {
        Ok(self.current_process())
    }

    /// `HANDLE PsGetCurrentProcessId(VOID)`
    ///
    /// - IRQL: any level.
    /// - Returns: 4 for the system process, another multiple of 4 for an application's.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.PsGetCurrentProcessId.
    pub fn ps_get_current_process_id(&self) -> Ddi<u64> {
        Ok(self.ps_get_process_id(self.current_process()))
    }

    /// `HANDLE PsGetCurrentThreadId(VOID)`
    ///
    /// - IRQL: any level.
    /// - Returns: a multiple of 4, another one for each thread; 0 for the idle thread.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.PsGetCurrentThreadId.
    pub fn ps_get_current_thread_id(&self) -> Ddi<u64> {
        Ok(self
            .current_thread()
            .map_or(0, |thread| SYSTEM_PROCESS_ID + 4 + 4 * u64::from(thread.0)))
    }

    /// `BOOLEAN PsIsThreadTerminating(PETHREAD)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: TRUE if the thread has ended.
    /// - Findings: none.
    /// - Source: WDK reference, ntifs.PsIsThreadTerminating.
    pub fn ps_is_thread_terminating(&self, kthread: u64) -> Ddi<u8> {
        let ended = self
            .thread_at(kthread)
            .is_some_and(|thread| self.thread_has_ended(thread));
        Ok(u8::from(ended))
    }

    /// `BOOLEAN PsGetVersion(PULONG Major, PULONG Minor, PULONG Build, PUNICODE_STRING CSDVersion)`
    ///
    /// Writes what is not NULL. There is no service pack, so the last is made empty.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: FALSE, a free build.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.PsGetVersion.
    pub fn ps_get_version(
        &self,
        major: DriverPtr<u32>,
        minor: DriverPtr<u32>,
        build: DriverPtr<u32>,
        service_pack: DriverPtr<UnicodeString>,
    ) -> Ddi<u8> {
        let numbers = self.config().windows.numbers();
        for (pointer, value) in [(major, numbers.0), (minor, numbers.1), (build, numbers.2)] {
            if !pointer.is_null() {
                self.write(pointer, value)?;
            }
        }
        if !service_pack.is_null() {
            let empty = UnicodeString {
                length: 0,
                maximum_length: 0,
                padding4: 0,
                buffer: 0,
            };
            self.write(service_pack, empty)?;
        }
        Ok(0)
    }
}
