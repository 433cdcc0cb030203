//! What the system tells about itself.
//!
//! Source: Microsoft, winternl.NtQuerySystemInformation; public headers for the structures; for
//! pool, wdm.h's inline `ExInitializeDriverRuntime`, which asks in `DriverEntry`.

use alloc::format;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_rules::ids;

use crate::mm::layout;
use crate::{Ddi, DriverPtr, Kernel, WindowsVersion};

/// `SYSTEM_INFORMATION_CLASS`, as far as it is served.
const BASIC: u32 = 0;
const TIME_OF_DAY: u32 = 3;
const MODULES: u32 = 11;
const KERNEL_DEBUGGER: u32 = 35;
const POOL_ZEROING: u32 = 227;

/// Allocation granularity and the lowest address of a user.
const GRANULARITY: u32 = 0x1_0000;

impl Kernel {
    /// `NTSTATUS ZwQuerySystemInformation(SYSTEM_INFORMATION_CLASS, PVOID, ULONG Length, PULONG Needed)`
    ///
    /// Serves `SystemBasicInformation`, `SystemTimeOfDayInformation`,
    /// `SystemModuleInformation`, `SystemKernelDebuggerInformation` (there is none) and
    /// `SystemPoolZeroingInformation` (blocks of pool are zeroed where there is `ExAllocatePool2`).
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INFO_LENGTH_MISMATCH for a buffer that is too small; INVALID_INFO_CLASS
    ///   for a class that this Windows does not have yet.
    /// - Findings: `UNIMPLEMENTED_IMPORT` for another class; the run ends.
    /// - Source: Microsoft, winternl.NtQuerySystemInformation.
    ///
    /// # Errors
    /// The run ends after the finding.
    pub fn zw_query_system_information(
        &self,
        class: u32,
        buffer: u64,
        length: u32,
        needed: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let bytes = match class {
            BASIC => self.basic_information(),
            TIME_OF_DAY => self.time_of_day_information(),
            MODULES => self.module_information()?,
            KERNEL_DEBUGGER => alloc::vec![0, 1],
            POOL_ZEROING if self.config().windows < WindowsVersion::Ten => {
                return Ok(NtStatus::INVALID_INFO_CLASS);
            }
            POOL_ZEROING => alloc::vec![1],
            _ => {
                let message = format!("ZwQuerySystemInformation does not serve class {class}");
                return Err(self.find_fatal(ids::UNIMPLEMENTED_IMPORT, message, None));
            }
        };
        if !needed.is_null() {
            self.write(needed, bytes.len() as u32)?;
        }
        if (length as usize) < bytes.len() {
            return Ok(NtStatus::INFO_LENGTH_MISMATCH);
        }
        self.write_bytes(buffer, &bytes)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `SYSTEM_BASIC_INFORMATION`, 64 bytes.
    fn basic_information(&self) -> Vec<u8> {
        let pages = (layout::DEVICE_PHYSICAL / layout::PAGE) as u32;
        let words = [
            0,
            156_250,
            layout::PAGE as u32,
            pages,
            0,
            pages - 1,
            GRANULARITY,
            0,
        ];
        let longs = [
            u64::from(GRANULARITY),
            layout::HIGHEST_USER_ADDRESS,
            self.active_mask(0),
        ];
        let processors = u64::from(self.config().processors.min(64));
        let words = words.iter().flat_map(|word| word.to_le_bytes());
        let longs = longs
            .iter()
            .chain([&processors])
            .flat_map(|long| long.to_le_bytes());
        words.chain(longs).collect()
    }

    /// `SYSTEM_TIMEOFDAY_INFORMATION`, 48 bytes; the time zone is UTC.
    fn time_of_day_information(&self) -> Vec<u8> {
        // The system time of KUSER_SHARED_DATA: low and high word.
        let mut time = [0; 8];
        self.read_shared_data(0x14, &mut time);
        let now = u64::from_le_bytes(time);
        let boot = now.saturating_sub(self.time_100ns());
        [boot, now, 0, 0, 0, 0]
            .iter()
            .flat_map(|long| long.to_le_bytes())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn each_class_has_its_length() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let buffer = bench.variable(64);
        let needed = DriverPtr::<u32>::new(bench.variable(4));
        for (class, length) in [(BASIC, 64), (TIME_OF_DAY, 48), (KERNEL_DEBUGGER, 2)] {
            let query = |length| kernel.zw_query_system_information(class, buffer, length, needed);
            assert_eq!(query(length - 1), Ok(NtStatus::INFO_LENGTH_MISMATCH));
            assert_eq!(kernel.read(needed), Ok(length));
            assert_eq!(query(length), Ok(NtStatus::SUCCESS));
        }
        kernel
            .zw_query_system_information(BASIC, buffer, 64, DriverPtr::NULL)
            .unwrap();
        assert_eq!(kernel.read_bytes(buffer + 8, 4).unwrap(), [0, 0x10, 0, 0]);
        assert_eq!(kernel.read_bytes(buffer + 56, 1).unwrap(), [1]);
        kernel
            .zw_query_system_information(TIME_OF_DAY, buffer, 64, DriverPtr::NULL)
            .unwrap();
        let now: u64 = kernel.read(DriverPtr::new(buffer + 8)).unwrap();
        kernel.ke_query_system_time(DriverPtr::new(buffer)).unwrap();
        let later: u64 = kernel.read(DriverPtr::new(buffer)).unwrap();
        assert!(now <= later && later - now < 10_000_000, "{now} {later}");
    }

    #[test]
    fn pool_is_zeroed_from_windows_10_on() {
        use WindowsVersion::{EightOne, Eleven, Seven, Ten};
        for (windows, status, zeroed) in [
            (Seven, NtStatus::INVALID_INFO_CLASS, 0),
            (EightOne, NtStatus::INVALID_INFO_CLASS, 0),
            (Ten, NtStatus::SUCCESS, 1),
            (Eleven, NtStatus::SUCCESS, 1),
        ] {
            let bench = Bench::new(Config {
                windows,
                ..Config::default()
            });
            let buffer = bench.variable(1);
            let answer =
                bench
                    .kernel
                    .zw_query_system_information(POOL_ZEROING, buffer, 1, DriverPtr::NULL);
            assert_eq!(answer, Ok(status), "{windows:?}");
            assert_eq!(bench.kernel.read_bytes(buffer, 1).unwrap(), [zeroed]);
        }
    }

    #[test]
    fn a_class_that_is_not_served_ends_the_run() {
        let bench = Bench::new(Config::default());
        let query = bench
            .kernel
            .zw_query_system_information(12, 0, 0, DriverPtr::NULL);
        assert_eq!(query, Err(crate::Stop::Ended));
        assert_eq!(bench.rules(), [ids::UNIMPLEMENTED_IMPORT]);
    }
}
