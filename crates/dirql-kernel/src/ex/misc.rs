//! Small questions to the executive.
//!
//! Source: WDK reference, the routines' pages.

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;

use crate::{Ddi, DriverPtr, Kernel};

/// Processor features that every x64 processor of this computer has, by their `PF_` number:
/// compare-exchange double, MMX, XMMI (SSE), RDTSC, PAE, XMMI64 (SSE2), NX, SSE3,
/// compare-exchange of 128 bits.
const FEATURES: [u32; 9] = [2, 3, 6, 8, 9, 10, 12, 13, 14];

/// 100 ns units of the default timer resolution: 15.625 ms.
const TIMER_RESOLUTION: u32 = 156_250;

/// The numbers up to here are those of privileges and of the system's own sessions.
const FIRST_LUID: u64 = 1000;

impl Kernel {
    /// `BOOLEAN ExIsProcessorFeaturePresent(ULONG)`
    ///
    /// - IRQL: any level.
    /// - Returns: TRUE for features that every x64 processor has.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExIsProcessorFeaturePresent.
    pub fn ex_is_processor_feature_present(&self, feature: u32) -> Ddi<u8> {
        Ok(u8::from(FEATURES.contains(&feature)))
    }

    /// `NTSTATUS ExUuidCreate(UUID*)`
    ///
    /// Makes an identifier: of version 4 in form, and the same in every run.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExUuidCreate.
    pub fn ex_uuid_create(&self, uuid: DriverPtr<Guid>) -> Ddi<NtStatus> {
        let count = self.ex.uuids.get() + 1;
        self.ex.uuids.set(count);
        let bits = scramble(count);
        let [.., c, d, e, f, g, h] = bits.to_be_bytes();
        let last = [
            0x80 | (c & 0x3F),
            d,
            e,
            f,
            g,
            h,
            count as u8,
            (count >> 8) as u8,
        ];
        let value = Guid::new(
            (bits >> 32) as u32,
            count as u16,
            0x4000 | (bits as u16 & 0xFFF),
            last,
        );
        self.write(uuid, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID ExSystemTimeToLocalTime(PLARGE_INTEGER System, PLARGE_INTEGER Local)`
    ///
    /// The computer's time zone is UTC, so this copies.
    ///
    /// - IRQL: any level.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExSystemTimeToLocalTime.
    pub fn ex_system_time_to_local_time(
        &self,
        system: DriverPtr<u64>,
        local: DriverPtr<u64>,
    ) -> Ddi<()> {
        let time = self.read(system)?;
        self.write(local, time)?;
        Ok(())
    }

    /// `VOID ExLocalTimeToSystemTime(PLARGE_INTEGER Local, PLARGE_INTEGER System)`
    ///
    /// The computer's time zone is UTC, so this copies.
    ///
    /// - IRQL: any level.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExLocalTimeToSystemTime.
    pub fn ex_local_time_to_system_time(
        &self,
        local: DriverPtr<u64>,
        system: DriverPtr<u64>,
    ) -> Ddi<()> {
        self.ex_system_time_to_local_time(local, system)
    }

    /// `VOID ExQueryTimerResolution(PULONG MaximumTime, PULONG MinimumTime, PULONG CurrentTime)`: in
    /// 100 ns units; the resolution never changes.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Source: WDK reference, wdm.ExQueryTimerResolution.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_query_timer_resolution(&self, results: [DriverPtr<u32>; 3]) -> Ddi<()> {
        for result in results {
            self.write(result, TIMER_RESOLUTION)?;
        }
        Ok(())
    }

    /// `NTSTATUS ZwAllocateLocallyUniqueId(PLUID)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: a number that nobody else gets until the system starts again.
    /// - Source: WDK reference, ntifs.ZwAllocateLocallyUniqueId.
    ///
    /// # Errors
    /// The result is not memory.
    pub fn zw_allocate_locally_unique_id(&self, result: DriverPtr<u64>) -> Ddi<NtStatus> {
        let count = self.ex.luids.get() + 1;
        self.ex.luids.set(count);
        self.write(result, FIRST_LUID + count)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `ULONG ExSetTimerResolution(ULONG Desired, BOOLEAN Set)`
    ///
    /// Timers here expire at the moment they are due, so nothing changes.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: the resolution in 100 ns units.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExSetTimerResolution.
    pub fn ex_set_timer_resolution(&self, _desired: u32, _set: u8) -> Ddi<u32> {
        Ok(TIMER_RESOLUTION)
    }

    /// `KPROCESSOR_MODE ExGetPreviousMode(VOID)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: UserMode (1) in a thread that sends an application's request; KernelMode (0) in
    ///   others, and in what a driver asks of the system meanwhile.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExGetPreviousMode.
    pub fn ex_get_previous_mode(&self) -> Ddi<u8> {
        Ok(self.previous_mode())
    }

    /// `BOOLEAN ExVerifySuite(SUITE_TYPE)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: TRUE for TerminalServer (4) and SingleUserTS (8), which a workstation has.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.ExVerifySuite.
    pub fn ex_verify_suite(&self, suite: u32) -> Ddi<u8> {
        Ok(u8::from(matches!(suite, 4 | 8)))
    }

    /// `VOID ExGetCurrentProcessorCounts(PULONG Idle, PULONG KernelAndUser, PULONG Index)`
    ///
    /// Writes the current processor's idle time and all its time, in clock ticks, and its
    /// number. Idle time is not kept; it is given as 0.
    ///
    /// - IRQL: any level.
    /// - Findings: none.
    /// - Source: exported, not documented; public headers name the parameters.
    pub fn ex_get_current_processor_counts(
        &self,
        idle: DriverPtr<u32>,
        kernel_and_user: DriverPtr<u32>,
        index: DriverPtr<u32>,
    ) -> Ddi<()> {
        self.write(idle, 0)?;
        self.write(
            kernel_and_user,
            (self.time_100ns() / u64::from(TIMER_RESOLUTION)) as u32,
        )?;
        self.write(index, u32::from(self.processor().id.0))?;
        Ok(())
    }

    /// `VOID ExGetCurrentProcessorCpuUsage(PULONG)`
    ///
    /// Writes the share of time, in percent, that the current processor was not idle: 100,
    /// because idle time is not kept.
    ///
    /// - IRQL: any level.
    /// - Findings: none.
    /// - Source: exported, not documented; public headers name the parameter.
    pub fn ex_get_current_processor_cpu_usage(&self, usage: DriverPtr<u32>) -> Ddi<()> {
        self.write(usage, 100)?;
        Ok(())
    }
}

/// The finaliser of SplitMix64, so that identifiers do not look alike.
const fn scramble(count: u64) -> u64 {
    let mut z = count.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn identifiers_differ_are_of_version_4_and_the_same_in_every_run() {
        let run = || {
            let bench = Bench::new(Config::default());
            let uuid = DriverPtr::new(bench.variable(16));
            [0; 3].map(|_| {
                bench.kernel.ex_uuid_create(uuid).unwrap();
                bench.kernel.read(uuid).unwrap()
            })
        };
        let all = run();
        assert_eq!(all, run());
        assert!(all[0] != all[1] && all[1] != all[2]);
        for uuid in all {
            assert_eq!((uuid.data3 >> 12, uuid.data4[0] >> 6), (4, 2));
        }
    }

    #[test]
    fn features_of_every_x64_processor_are_present_and_others_not() {
        let kernel = Bench::new(Config::default()).kernel;
        for (feature, present) in [(0, 0), (2, 1), (10, 1), (14, 1), (15, 0), (u32::MAX, 0)] {
            assert_eq!(
                kernel.ex_is_processor_feature_present(feature),
                Ok(present),
                "{feature}"
            );
        }
    }

    #[test]
    fn local_numbers_differ_and_the_resolution_does_not() {
        let bench = Bench::new(Config::default());
        let (luid, time) = (
            DriverPtr::<u64>::new(bench.variable(8)),
            DriverPtr::<u32>::new(bench.variable(4)),
        );
        let next = || {
            bench.kernel.zw_allocate_locally_unique_id(luid).unwrap();
            bench.kernel.read(luid).unwrap()
        };
        assert_eq!([next(), next()], [1001, 1002]);
        bench.kernel.ex_query_timer_resolution([time; 3]).unwrap();
        assert_eq!(bench.kernel.read(time), Ok(TIMER_RESOLUTION));
    }
}
