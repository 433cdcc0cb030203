//! What the power manager says of the computer: one on mains, without a battery.
//!
//! Source: WDK reference, ntifs.ZwPowerInformation; winnt.h, SYSTEM_POWER_CAPABILITIES,
//! SYSTEM_BATTERY_STATE.

use alloc::vec;
use alloc::vec::Vec;

use dirql_abi::NtStatus;

use crate::{Ddi, Kernel};

/// `POWER_INFORMATION_LEVEL`.
mod level {
    pub(super) const SYSTEM_POWER_CAPABILITIES: u32 = 4;
    pub(super) const SYSTEM_BATTERY_STATE: u32 = 5;
    pub(super) const LAST_WAKE_TIME: u32 = 14;
    pub(super) const LAST_SLEEP_TIME: u32 = 15;
}

/// Members of SYSTEM_POWER_CAPABILITIES that are set: power button, S1, S3, S4, S5.
const CAPABILITIES: [usize; 5] = [0, 3, 5, 6, 7];
const CAPABILITIES_BYTES: usize = 76;

const BATTERY_BYTES: usize = 32;

impl Kernel {
    /// `NTSTATUS ZwPowerInformation(POWER_INFORMATION_LEVEL, PVOID Input, ULONG, PVOID Output, ULONG)`
    ///
    /// Answers the levels that ask for capabilities, the battery, and the times of the last sleep,
    /// which never was.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: BUFFER_TOO_SMALL; INVALID_PARAMETER for an input buffer, or another level.
    /// - Source: WDK reference, ntifs.ZwPowerInformation.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_power_information(
        &self,
        level: u32,
        input: u64,
        output: (u64, u32),
    ) -> Ddi<NtStatus> {
        let Some(answer) = answer(level).filter(|_| input == 0) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let (address, room) = output;
        if (room as usize) < answer.len() {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        self.write_bytes(address, &answer)?;
        Ok(NtStatus::SUCCESS)
    }
}

fn answer(level: u32) -> Option<Vec<u8>> {
    let mut bytes;
    match level {
        level::SYSTEM_POWER_CAPABILITIES => {
            bytes = vec![0; CAPABILITIES_BYTES];
            for member in CAPABILITIES {
                bytes[member] = 1;
            }
        }
        level::SYSTEM_BATTERY_STATE => {
            bytes = vec![0; BATTERY_BYTES];
            // AcOnLine.
            bytes[0] = 1;
        }
        level::LAST_WAKE_TIME | level::LAST_SLEEP_TIME => bytes = vec![0; 8],
        _ => return None,
    }
    Some(bytes)
}
