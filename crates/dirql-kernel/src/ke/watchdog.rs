//! The DPC watchdog: how long one DPC, and a run of DPCs, may take.
//!
//! Source: WDK reference, wdm.KeQueryDpcWatchdogInformation; Bug Check Code Reference, 0x133,
//! whose examples show the two limits. Time spent at DISPATCH_LEVEL outside DPCs is not
//! counted.

use alloc::format;

use dirql_abi::bugcheck::code;
use dirql_abi::dpc::KDpcWatchdogInformation;
use dirql_abi::{Irql, NtStatus};
use dirql_rules::{BugCheck, ids};

use crate::ke::clock::TICK;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// Ticks that one DPC may take: 20 seconds.
const DPC_LIMIT: u64 = 0x500;

/// Ticks that a run of DPCs may take: 120 seconds.
const TOTAL_LIMIT: u64 = 0x1E00;

impl Kernel {
    /// `NTSTATUS KeQueryDpcWatchdogInformation(PKDPC_WATCHDOG_INFORMATION)`
    ///
    /// - IRQL: any.
    /// - Returns: STATUS_SUCCESS in a DPC or at or above DISPATCH_LEVEL, else
    ///   STATUS_UNSUCCESSFUL and nothing is written.
    /// - Source: WDK reference, wdm.KeQueryDpcWatchdogInformation.
    pub fn ke_query_dpc_watchdog_information(
        &self,
        information: DriverPtr<KDpcWatchdogInformation>,
    ) -> Ddi<NtStatus> {
        if self.irql() < Irql::DISPATCH && !self.runs_threaded_dpc() {
            return Ok(NtStatus::UNSUCCESSFUL);
        }
        let (one, total) = self.dpc_ticks();
        let left = |limit: u64, used: u64| limit.saturating_sub(used) as u32;
        self.write(
            information,
            KDpcWatchdogInformation {
                dpc_time_limit: DPC_LIMIT as u32,
                dpc_time_count: left(DPC_LIMIT, one),
                dpc_watchdog_limit: TOTAL_LIMIT as u32,
                dpc_watchdog_count: left(TOTAL_LIMIT, total),
                reserved: 0,
            },
        )?;
        Ok(NtStatus::SUCCESS)
    }

    /// Ticks that the DPC of this processor, and its run of DPCs, have taken; 0 without one.
    fn dpc_ticks(&self) -> (u64, u64) {
        let state = &self.processor().dpc;
        let Some(running) = state.running.get() else {
            return (0, 0);
        };
        let now = self.busy_time_100ns();
        (
            (now - running.since) / TICK,
            (now - state.run_since.get()) / TICK,
        )
    }

    /// Stops the system when a DPC, or a run of them, has taken too long.
    pub(super) fn check_dpc_watchdog(&self) -> Ddi<()> {
        let Some(running) = self.processor().dpc.running.get() else {
            return Ok(());
        };
        let (one, total) = self.dpc_ticks();
        let parameters = if one > DPC_LIMIT {
            [0, one, DPC_LIMIT, 0]
        } else if total > TOTAL_LIMIT {
            [1, TOTAL_LIMIT, 0, 0]
        } else {
            return Ok(());
        };
        let message = match parameters[0] {
            0 => format!(
                "a DPC routine has run for {} seconds",
                one * TICK / 10_000_000
            ),
            _ => format!(
                "DPC routines have run one after the other for {} seconds",
                total * TICK / 10_000_000
            ),
        };
        let kept = self.kept_from_running();
        let here = self.here();
        let place = if here.address == 0 {
            self.here_at(running.routine)
        } else {
            here
        };
        self.find_at(ids::HANG, message, place, kept)?;
        Err(self.stop_system(BugCheck::new(code::DPC_WATCHDOG_VIOLATION, parameters)))
    }
}
