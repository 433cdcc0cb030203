//! Communication modes of the chip.
//!
//! A client that has the port sets a mode and clears it again before it frees the port.
//!
//! Source: WDK, "Setting and Clearing the Communication Mode for a Parallel Port"; the pages of
//! IOCTL_INTERNAL_PARALLEL_SET_CHIP_MODE and its counterpart.

use dirql_abi::NtStatus;
use dirql_abi::parallel::ParallelChipMode;
use dirql_abi::parallel::chip_mode::{ECR_BYTE_MODE, ECR_ECP_MODE, ECR_EPP_MODE, ECR_SPP_MODE};
use dirql_abi::parallel::hardware_capabilities::{
    PPT_BYTE_PRESENT, PPT_ECP_PRESENT, PPT_EPP_PRESENT,
};

use super::request::{Answer, Call};
use super::settings::ChipModes;
use crate::{Ddi, DriverPtr, Kernel, at};

/// The bits of the extended control register that are no mode.
const NO_MODE: u8 = 0x1F;

/// The capability that a mode needs, 0 for none; `None` if it is no mode that can be set.
const fn needs(mode: u8) -> Option<u32> {
    Some(match mode {
        ECR_SPP_MODE => 0,
        ECR_BYTE_MODE => PPT_BYTE_PRESENT,
        ECR_ECP_MODE => PPT_ECP_PRESENT,
        ECR_EPP_MODE => PPT_EPP_PRESENT,
        _ => return None,
    })
}

impl Kernel {
    /// `IOCTL_INTERNAL_PARALLEL_SET_CHIP_MODE`: the statuses of
    /// [`Kernel::parport_try_set_chip_mode`].
    pub(super) fn port_set_chip_mode(&self, call: &Call) -> Ddi<Answer> {
        self.with_chip_mode(call, Self::set_chip_mode)
    }

    /// `IOCTL_INTERNAL_PARALLEL_CLEAR_CHIP_MODE`: the statuses of
    /// [`Kernel::parport_clear_chip_mode`].
    pub(super) fn port_clear_chip_mode(&self, call: &Call) -> Ddi<Answer> {
        self.with_chip_mode(call, Self::clear_chip_mode)
    }

    fn with_chip_mode(
        &self,
        call: &Call,
        change: fn(&Self, u64, u8) -> Ddi<NtStatus>,
    ) -> Ddi<Answer> {
        let buffer = DriverPtr::<ParallelChipMode>::new(call.buffer);
        let mode = self.read(at!(buffer, ParallelChipMode, mode_flags))?;
        let status = change(self, call.context, mode)?;
        self.write(
            at!(buffer, ParallelChipMode, success),
            u8::from(status.is_success()),
        )?;
        Ok(Answer::Done(status, 0))
    }

    /// `NTSTATUS TrySetChipMode(PVOID Context, UCHAR ChipMode)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: STATUS_INVALID_DEVICE_STATE if a mode is set that was not cleared;
    ///   STATUS_NO_SUCH_DEVICE for a mode that the chip does not have. See [`ChipModes`].
    /// - Findings: DQ0470 called above DISPATCH_LEVEL.
    /// - Source: WDK reference, PPARALLEL_SET_CHIP_MODE.
    ///
    /// # Errors
    /// A context that is no port's.
    pub fn parport_try_set_chip_mode(&self, context: u64, mode: u8) -> Ddi<NtStatus> {
        self.expect_low_level("TrySetChipMode")?;
        self.set_chip_mode(context, mode)
    }

    /// `NTSTATUS ClearChipMode(PVOID Context, UCHAR ChipMode)`
    ///
    /// Brings the chip back to the mode of a standard port.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: STATUS_INVALID_DEVICE_STATE if the chip is in another mode.
    /// - Findings: DQ0470 called above DISPATCH_LEVEL.
    /// - Source: WDK reference, PPARALLEL_CLEAR_CHIP_MODE.
    ///
    /// # Errors
    /// A context that is no port's.
    pub fn parport_clear_chip_mode(&self, context: u64, mode: u8) -> Ddi<NtStatus> {
        self.expect_low_level("ClearChipMode")?;
        self.clear_chip_mode(context, mode)
    }

    fn set_chip_mode(&self, context: u64, mode: u8) -> Ddi<NtStatus> {
        let mode = mode & !NO_MODE;
        let lenient = self.config().parallel_port.chip_modes == ChipModes::Lenient;
        let (current, hardware) = self.with_port(context, |port| (port.mode, port.hardware))?;
        let is_clear = current == ECR_SPP_MODE || lenient && current == ECR_BYTE_MODE;
        if !is_clear {
            return Ok(NtStatus::INVALID_DEVICE_STATE);
        }
        match needs(mode) {
            Some(needed) if hardware.capabilities & needed == needed => {
                self.set_ecr(&hardware, mode)?;
            }
            None if lenient => {}
            _ => return Ok(NtStatus::NO_SUCH_DEVICE),
        }
        self.with_port(context, |port| port.mode = mode)?;
        Ok(NtStatus::SUCCESS)
    }

    fn clear_chip_mode(&self, context: u64, mode: u8) -> Ddi<NtStatus> {
        let mode = mode & !NO_MODE;
        let (current, hardware) = self.with_port(context, |port| (port.mode, port.hardware))?;
        if mode != current {
            return Ok(NtStatus::INVALID_DEVICE_STATE);
        }
        self.set_ecr(&hardware, ECR_SPP_MODE)?;
        self.with_port(context, |port| port.mode = ECR_SPP_MODE)?;
        Ok(if needs(mode).is_some() {
            NtStatus::SUCCESS
        } else {
            NtStatus::UNSUCCESSFUL
        })
    }
}
