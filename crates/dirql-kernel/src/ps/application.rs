//! In whose name a thread does what it does: the system's, or an application's.
//!
//! Requests of a scenario are an application's. While a thread sends one it is in the application's
//! process, and its previous mode is UserMode; what a driver asks of the system in the meantime
//! comes from kernel mode, as it does behind a Zw routine. There is one address space for both
//! processes, so attaching to one changes only which is the current.
//!
//! Source: WDK reference, wdm.ExGetPreviousMode, ntddk.IoGetRequestorProcess, "Using Nt and Zw
//! Versions of the Native System Services Routines".

use dirql_abi::dispatcher::object_type;
use dirql_abi::irp::Irp;

use super::{PROCESS_BYTES, SYSTEM_PROCESS_ID};
use crate::{Ddi, DriverPtr, Kernel, at};

/// Identifier of the application's process: a multiple of 4 that no thread has.
pub(super) const APPLICATION_PROCESS_ID: u64 = 0x1_0000;

/// Where a process has the name that it is known by, at most 14 bytes and the terminator.
const IMAGE_NAME: u64 = PROCESS_BYTES - 16;

/// `MODE` of wdm.h.
const KERNEL_MODE: u8 = 0;
const USER_MODE: u8 = 1;

/// What a thread is in at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// It is in the application's process.
    application: bool,
    /// It came from user mode.
    from_user_mode: bool,
    /// The process that it is attached to, 0 for none.
    attached: u64,
}

impl Kernel {
    /// Does something as an application's thread does, which has called the system.
    pub(crate) fn as_application<R>(&self, what: impl FnOnce() -> R) -> R {
        let as_application = |before: Identity| Identity {
            application: true,
            from_user_mode: true,
            ..before
        };
        self.in_another_way(as_application, what)
    }

    /// Does something for a driver: it comes from kernel mode, whoever the thread belongs to.
    pub(crate) fn in_kernel_mode<R>(&self, what: impl FnOnce() -> R) -> R {
        let in_kernel_mode = |before: Identity| Identity {
            from_user_mode: false,
            ..before
        };
        self.in_another_way(in_kernel_mode, what)
    }

    fn in_another_way<R>(
        &self,
        change: impl FnOnce(Identity) -> Identity,
        what: impl FnOnce() -> R,
    ) -> R {
        let thread = self.current_thread();
        let before = self.identity_of(thread);
        self.identify(thread, change(before));
        let result = what();
        let after = self.identity_of(thread);
        self.identify(
            thread,
            Identity {
                attached: after.attached,
                ..before
            },
        );
        result
    }

    /// The mode that the current thread came from.
    pub(crate) fn previous_mode(&self) -> u8 {
        let identity = self.identity_of(self.current_thread());
        if identity.from_user_mode {
            USER_MODE
        } else {
            KERNEL_MODE
        }
    }

    /// The process in which the current thread is.
    pub(crate) fn current_process(&self) -> u64 {
        let identity = self.identity_of(self.current_thread());
        match identity.attached {
            0 => self.process_of(identity),
            process => process,
        }
    }

    /// The process that the current thread is attached to, 0 for none, from now on `process`.
    pub(crate) fn attach_to(&self, process: u64) -> u64 {
        let thread = self.current_thread();
        let before = self.identity_of(thread);
        let attached = Identity {
            attached: process,
            ..before
        };
        self.identify(thread, attached);
        before.attached
    }

    /// The process that a thread belongs to, also `PsGetThreadProcess` and `IoThreadToProcess`.
    pub fn process_of_thread(&self, kthread: u64) -> u64 {
        self.process_of(self.identity_of(self.thread_at(kthread)))
    }

    fn process_of(&self, identity: Identity) -> u64 {
        if identity.application {
            self.application_process()
        } else {
            self.system_process()
        }
    }

    /// `BOOLEAN PsIsSystemThread(PETHREAD)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, ntifs.PsIsSystemThread.
    pub fn ps_is_system_thread(&self, kthread: u64) -> u8 {
        u8::from(!self.identity_of(self.thread_at(kthread)).application)
    }

    /// `PEPROCESS IoGetRequestorProcess(PIRP)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the application's process for a request from user mode, else the system's.
    /// - Source: WDK reference, ntddk.IoGetRequestorProcess.
    ///
    /// # Errors
    /// A request that is not memory.
    pub fn io_get_requestor_process(&self, irp: u64) -> Ddi<u64> {
        let mode = self.read(at!(DriverPtr::<Irp>::new(irp), Irp, requestor_mode))?;
        Ok(if mode == KERNEL_MODE {
            self.system_process()
        } else {
            self.application_process()
        })
    }

    /// `HANDLE PsGetProcessId(PEPROCESS)`
    ///
    /// - IRQL: any level.
    pub fn ps_get_process_id(&self, process: u64) -> u64 {
        if self.is_application(process) {
            APPLICATION_PROCESS_ID
        } else {
            SYSTEM_PROCESS_ID
        }
    }

    /// `PCHAR PsGetProcessImageFileName(PEPROCESS)`: the first 14 bytes of the name.
    ///
    /// - IRQL: any level.
    pub fn ps_get_process_image_file_name(&self, process: u64) -> u64 {
        process + IMAGE_NAME
    }

    /// Whether a process is the application's, not the system's.
    pub fn is_application(&self, process: u64) -> bool {
        process != 0 && process == self.ps.application.get()
    }

    /// The process with an identifier.
    pub(super) fn process_with_id(&self, id: u64) -> Option<u64> {
        match id {
            SYSTEM_PROCESS_ID => Some(self.system_process()),
            APPLICATION_PROCESS_ID => Some(self.application_process()),
            _ => None,
        }
    }

    /// The address of the system process's object, which is also in `PsInitialSystemProcess`.
    pub fn system_process(&self) -> u64 {
        if self.ps.process.get() == 0 {
            self.ps.process.set(self.new_process(b"System\0"));
        }
        self.ps.process.get()
    }

    fn application_process(&self) -> u64 {
        if self.ps.application.get() == 0 {
            let process = self.new_process(b"application\0");
            self.ps.application.set(process);
        }
        self.ps.application.get()
    }

    fn new_process(&self, image_name: &[u8]) -> u64 {
        let process = self.allocate_system(PROCESS_BYTES);
        let fields: [(u64, &[u8]); 2] =
            [(0, &[object_type::ProcessObject]), (IMAGE_NAME, image_name)];
        for (offset, bytes) in fields {
            self.write_bytes(process + offset, bytes)
                .expect("the kernel's own memory is writable");
        }
        self.register_process(process);
        process
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn an_applications_request_comes_from_its_process_and_user_mode() {
        let bench = Bench::new(Config::default());
        let seen = bench.on_thread(|kernel| {
            let look = |kernel: &Kernel| {
                let thread = kernel.current_kthread();
                (
                    kernel.previous_mode(),
                    kernel.ps_get_process_id(kernel.current_process()),
                    kernel.ps_is_system_thread(thread),
                )
            };
            let inside = kernel.as_application(|| {
                let behind_zw = kernel.in_kernel_mode(|| look(kernel));
                [look(kernel), behind_zw]
            });
            Ok([look(kernel), inside[0], inside[1], look(kernel)])
        });
        let system = (KERNEL_MODE, SYSTEM_PROCESS_ID, 1);
        let application = (USER_MODE, APPLICATION_PROCESS_ID, 0);
        let behind_zw = (KERNEL_MODE, APPLICATION_PROCESS_ID, 0);
        assert_eq!(seen, [system, application, behind_zw, system]);
    }
}
