//! Processes and threads by their identifiers, and what is asked about them.
//!
//! Source: WDK reference, ntifs.PsLookupProcessByProcessId, ntifs.PsLookupThreadByThreadId,
//! ntddk.PsGetProcessCreateTimeQuadPart, ntifs.PsIsSystemThread; for routines without a page, the
//! declarations of ReactOS's psfuncs.h.

use dirql_abi::NtStatus;

use super::SYSTEM_PROCESS_ID;
use crate::ke::ThreadId;
use crate::ke::clock::START_SYSTEM_TIME;
use crate::ob::{self, ObjectKind};
use crate::{Ddi, DriverPtr, Kernel};

/// The identifier of a thread: a multiple of 4, behind the process's.
fn thread_number(id: u64) -> Option<ThreadId> {
    let past = id.checked_sub(SYSTEM_PROCESS_ID + 4)?;
    u32::try_from(past / 4).ok().map(ThreadId)
}

impl Kernel {
    /// `NTSTATUS PsLookupProcessByProcessId(HANDLE ProcessId, PEPROCESS *Process)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: the process with a reference, or INVALID_CID; then nothing is written.
    /// - Source: WDK reference, ntifs.PsLookupProcessByProcessId.
    ///
    /// # Errors
    /// The out pointer is not memory.
    pub fn ps_lookup_process_by_process_id(
        &self,
        id: u64,
        process: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let Some(body) = self.process_with_id(id) else {
            return Ok(NtStatus::INVALID_CID);
        };
        self.obf_reference_object(body)?;
        self.write(process, body)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS PsLookupThreadByThreadId(HANDLE ThreadId, PETHREAD *Thread)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: the thread with a reference; INVALID_CID for one that is not, or not any more.
    /// - Source: WDK reference, ntifs.PsLookupThreadByThreadId.
    ///
    /// # Errors
    /// The out pointer is not memory.
    pub fn ps_lookup_thread_by_thread_id(&self, id: u64, thread: DriverPtr<u64>) -> Ddi<NtStatus> {
        let live = thread_number(id).filter(|number| !self.thread_has_ended(*number));
        let Some(number) = live else {
            return Ok(NtStatus::INVALID_CID);
        };
        let body = self.kthread_of(number);
        self.obf_reference_object(body)?;
        self.write(thread, body)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `HANDLE PsGetThreadId(PETHREAD)`
    ///
    /// - IRQL: any level.
    /// - Returns: as PsGetCurrentThreadId in that thread; 0 for what is no thread.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ps_get_thread_id(&self, kthread: u64) -> Ddi<u64> {
        let number = self.thread_at(kthread);
        Ok(number.map_or(0, |number| SYSTEM_PROCESS_ID + 4 + 4 * u64::from(number.0)))
    }

    /// `LONGLONG PsGetProcessCreateTimeQuadPart(PEPROCESS)`: when the run began.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, ntddk.PsGetProcessCreateTimeQuadPart.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ps_get_process_create_time_quad_part(&self) -> Ddi<u64> {
        Ok(START_SYSTEM_TIME)
    }

    /// `NTSTATUS ZwOpenProcess(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PCLIENT_ID)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_PARAMETER_MIX with a name, INVALID_PARAMETER without an identifier,
    ///   INVALID_CID.
    /// - Source: WDK reference, ntddk.ZwOpenProcess.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_open_process(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<dirql_abi::object::ObjectAttributes>,
        client: DriverPtr<[u64; 2]>,
    ) -> Ddi<NtStatus> {
        let process = match self.client_id(attributes, client)? {
            Ok([id, _]) => self.process_with_id(id),
            Err(status) => return Ok(status),
        };
        let Some(process) = process else {
            return Ok(NtStatus::INVALID_CID);
        };
        let value = self.ob_create_filtered_handle(process, access)?;
        self.write(handle, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwOpenThread(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PCLIENT_ID)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: as [`Kernel::zw_open_process`]; a process of 0 in the identifier is any.
    /// - Source: exported, no page; Win32 documentation, OpenThread.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_open_thread(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<dirql_abi::object::ObjectAttributes>,
        client: DriverPtr<[u64; 2]>,
    ) -> Ddi<NtStatus> {
        let [process, thread] = match self.client_id(attributes, client)? {
            Ok(client) => client,
            Err(status) => return Ok(status),
        };
        let live = thread_number(thread).filter(|number| !self.thread_has_ended(*number));
        let Some(number) = live.filter(|number| {
            let of = self.process_of_thread(self.kthread_of(*number));
            process == 0 || process == self.ps_get_process_id(of)
        }) else {
            return Ok(NtStatus::INVALID_CID);
        };
        let value = self.ob_create_filtered_handle(self.kthread_of(number), access)?;
        self.write(handle, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// The identifiers by which something without a name is to be opened, or what is wrong.
    fn client_id(
        &self,
        attributes: DriverPtr<dirql_abi::object::ObjectAttributes>,
        client: DriverPtr<[u64; 2]>,
    ) -> Ddi<Result<[u64; 2], NtStatus>> {
        if self.read(attributes)?.object_name != 0 {
            return Ok(Err(NtStatus::INVALID_PARAMETER_MIX));
        }
        if client.is_null() {
            return Ok(Err(NtStatus::INVALID_PARAMETER));
        }
        Ok(Ok(self.read(client)?))
    }

    /// A process is an object as long as the system runs.
    pub(super) fn register_process(&self, process: u64) {
        self.ob_register(process, ObjectKind::Process, ob::keep);
    }
}

#[cfg(test)]
mod tests {
    use dirql_abi::dispatcher::object_type;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn the_process_and_its_threads_are_found_by_their_numbers() {
        let bench = Bench::new(Config::default());
        let out = DriverPtr::<u64>::new(bench.variable(8));
        let (client, no_name) = (DriverPtr::new(bench.variable(16)), bench.variable(48));
        let id = bench.on_thread(move |kernel| {
            let id = kernel.ps_get_current_thread_id()?;
            assert_eq!(
                kernel.ps_lookup_thread_by_thread_id(id, out)?,
                NtStatus::SUCCESS
            );
            let thread = kernel.read(out)?;
            assert_eq!(thread, kernel.current_kthread());
            assert_eq!(kernel.ps_get_thread_id(thread)?, id);
            kernel.obf_dereference_object(thread)?;
            let attributes = DriverPtr::new(no_name);
            kernel.write(client, [4, id])?;
            let opened = kernel.zw_open_thread(out, 0, attributes, client)?;
            assert_eq!(opened, NtStatus::SUCCESS);
            assert_eq!(kernel.ob_of_handle(kernel.read(out)?), Some(thread));
            kernel.zw_close(kernel.read(out)?)?;
            kernel.write(client, [8, id])?;
            let opened = kernel.zw_open_thread(out, 0, attributes, client)?;
            assert_eq!(opened, NtStatus::INVALID_CID);
            for other in [0, 7, id + 4, u64::MAX] {
                assert_eq!(
                    kernel.ps_lookup_thread_by_thread_id(other, out)?,
                    NtStatus::INVALID_CID,
                    "{other}"
                );
            }
            Ok(id)
        });
        let kernel = &bench.kernel;
        let ended = kernel.ps_lookup_thread_by_thread_id(id, out);
        assert_eq!(ended, Ok(NtStatus::INVALID_CID));
        let found = kernel.ps_lookup_process_by_process_id(4, out);
        assert_eq!(found, Ok(NtStatus::SUCCESS));
        let process = kernel.read(out).unwrap();
        assert_eq!(process, kernel.io_get_current_process().unwrap());
        let header = kernel.read_bytes(process, 8).unwrap();
        assert_eq!(header, [object_type::ProcessObject, 0, 0, 0, 0, 0, 0, 0]);
        kernel.obf_dereference_object(process).unwrap();
        let found = kernel.ps_lookup_process_by_process_id(8, out);
        assert_eq!(found, Ok(NtStatus::INVALID_CID));
        let name = kernel.ps_get_process_image_file_name(kernel.current_process());
        assert_eq!(kernel.read_bytes(name, 7).unwrap(), b"System\0");
    }
}
