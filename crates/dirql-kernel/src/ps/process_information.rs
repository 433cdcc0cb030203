//! What is asked about a process or a thread by its handle.
//!
//! There is one process, the system's. Classes that are not listed end the run: an answer would be made up.
//!
//! Source: winternl.h and WDK reference, ntddk.ZwQueryInformationProcess, PROCESSINFOCLASS and
//! PROCESS_BASIC_INFORMATION; THREADINFOCLASS and THREAD_BASIC_INFORMATION.

use alloc::format;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_rules::ids;

use crate::ob::ObjectKind;
use crate::{Ddi, DriverPtr, Kernel};

/// `ProcessBasicInformation`, `ProcessDebugPort`, `ProcessSessionInformation`,
/// `ProcessWow64Information`, `ProcessImageFileName`.
const BASIC: u32 = 0;
const DEBUG_PORT: u32 = 7;
const SESSION: u32 = 24;
const WOW64: u32 = 26;
const IMAGE_FILE_NAME: u32 = 27;

/// `ThreadBasicInformation`.
const THREAD_BASIC: u32 = 0;

/// The base priority of the system's process.
const BASE_PRIORITY: u64 = 8;

/// Where the answer goes.
#[derive(Clone, Copy, Debug)]
pub struct InformationRoom {
    /// The buffer.
    pub address: u64,
    /// Its bytes.
    pub bytes: u32,
    /// Where the bytes of the answer are told, or null.
    pub returned: DriverPtr<u32>,
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

impl Kernel {
    /// `NTSTATUS ZwQueryInformationProcess(HANDLE, PROCESSINFOCLASS, PVOID, ULONG Length, PULONG ReturnLength)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, OBJECT_TYPE_MISMATCH, INFO_LENGTH_MISMATCH.
    /// - Findings: DQ0002 for a class that is not implemented.
    /// - Source: WDK reference, ntddk.ZwQueryInformationProcess.
    ///
    /// # Errors
    /// An argument that is not memory; the end of the run.
    pub fn zw_query_information_process(
        &self,
        handle: u64,
        class: u32,
        room: InformationRoom,
    ) -> Ddi<NtStatus> {
        let process = match self.expect_handle(handle, ObjectKind::Process) {
            Ok(process) => process,
            Err(status) => return Ok(status),
        };
        let answer = match class {
            BASIC => words(&[
                NtStatus::PENDING.bits().into(),
                0,
                self.ke_query_active_processors()?,
                BASE_PRIORITY,
                self.ps_get_process_id(process),
                0,
            ]),
            DEBUG_PORT | WOW64 => words(&[0]),
            SESSION => Vec::from([0; 4]),
            // An empty string: the process has no image.
            IMAGE_FILE_NAME => words(&[0, 0]),
            _ => return self.no_such_class("ZwQueryInformationProcess", class),
        };
        self.give_information(room, &answer)
    }

    /// `NTSTATUS ZwQueryInformationThread(HANDLE, THREADINFOCLASS, PVOID, ULONG Length, PULONG ReturnLength)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, OBJECT_TYPE_MISMATCH, INFO_LENGTH_MISMATCH.
    /// - Findings: DQ0002 for a class that is not implemented.
    /// - Source: WDK reference, ntifs.ZwQueryInformationThread.
    ///
    /// # Errors
    /// An argument that is not memory; the end of the run.
    pub fn zw_query_information_thread(
        &self,
        handle: u64,
        class: u32,
        room: InformationRoom,
    ) -> Ddi<NtStatus> {
        let thread = match self.expect_handle(handle, ObjectKind::Thread) {
            Ok(thread) => thread,
            Err(status) => return Ok(status),
        };
        if class != THREAD_BASIC {
            return self.no_such_class("ZwQueryInformationThread", class);
        }
        let priority = self.ke_query_priority_thread(thread)? as u32;
        let priorities = u64::from(priority) | BASE_PRIORITY << 32;
        let answer = words(&[
            NtStatus::PENDING.bits().into(),
            0,
            self.ps_get_process_id(self.process_of_thread(thread)),
            self.ps_get_thread_id(thread)?,
            self.ke_query_active_processors()?,
            priorities,
        ]);
        self.give_information(room, &answer)
    }

    /// The object of a kind behind a handle; the current process or thread for -1 and -2.
    fn expect_handle(&self, handle: u64, kind: ObjectKind) -> Result<u64, NtStatus> {
        let body = match (handle, kind) {
            (u64::MAX, ObjectKind::Process) => return Ok(self.current_process()),
            (0xFFFF_FFFF_FFFF_FFFE, ObjectKind::Thread) => return Ok(self.current_kthread()),
            _ => self.ob_of_handle(handle).ok_or(NtStatus::INVALID_HANDLE)?,
        };
        if self.ob_kind(body) == Some(kind) {
            Ok(body)
        } else {
            Err(NtStatus::OBJECT_TYPE_MISMATCH)
        }
    }

    fn give_information(&self, room: InformationRoom, answer: &[u8]) -> Ddi<NtStatus> {
        if !room.returned.is_null() {
            self.write(room.returned, answer.len() as u32)?;
        }
        if (room.bytes as usize) < answer.len() {
            return Ok(NtStatus::INFO_LENGTH_MISMATCH);
        }
        self.write_bytes(room.address, answer)?;
        Ok(NtStatus::SUCCESS)
    }

    fn no_such_class(&self, routine: &str, class: u32) -> Ddi<NtStatus> {
        let message = format!("{routine} was asked for class {class}, which is not implemented");
        Err(self.find_fatal(ids::UNIMPLEMENTED_IMPORT, message, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Config, Stop};

    #[test]
    fn the_process_is_the_systems_and_the_thread_one_of_it() {
        let bench = Bench::new(Config::default());
        let room = InformationRoom {
            address: bench.variable(64),
            bytes: 48,
            returned: DriverPtr::new(bench.variable(4)),
        };
        bench.on_thread(move |kernel| {
            let (process, thread) = (u64::MAX, u64::MAX - 1);
            let ask = |class, room| kernel.zw_query_information_process(process, class, room);
            assert_eq!(ask(BASIC, room), Ok(NtStatus::SUCCESS));
            let told: [u64; 6] = kernel.read(DriverPtr::new(room.address))?;
            assert_eq!((told[0], told[4]), (0x103, 4));
            let short = InformationRoom { bytes: 47, ..room };
            assert_eq!(ask(BASIC, short), Ok(NtStatus::INFO_LENGTH_MISMATCH));
            assert_eq!(kernel.read(room.returned), Ok(48));
            for (class, bytes) in [
                (DEBUG_PORT, 8),
                (WOW64, 8),
                (SESSION, 4),
                (IMAGE_FILE_NAME, 16),
            ] {
                assert_eq!(ask(class, room), Ok(NtStatus::SUCCESS));
                assert_eq!(kernel.read(room.returned), Ok(bytes));
            }
            let ask = |handle| kernel.zw_query_information_thread(handle, THREAD_BASIC, room);
            assert_eq!(ask(thread), Ok(NtStatus::SUCCESS));
            let told: [u64; 6] = kernel.read(DriverPtr::new(room.address))?;
            let own = kernel.ps_get_thread_id(kernel.current_kthread())?;
            assert_eq!((told[2], told[3]), (4, own));
            assert_eq!(ask(0x77), Ok(NtStatus::INVALID_HANDLE));
            Ok(())
        });
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn another_class_ends_the_run() {
        let bench = Bench::new(Config::default());
        let room = InformationRoom {
            address: 0,
            bytes: 0,
            returned: DriverPtr::NULL,
        };
        let asked = bench
            .kernel
            .zw_query_information_process(u64::MAX, 99, room);
        assert_eq!(asked, Err(Stop::Ended));
        assert_eq!(bench.rules(), [ids::UNIMPLEMENTED_IMPORT]);
    }
}
