//! Checking a user's pointers.
//!
//! Source: WDK reference, wdm.ProbeForRead, wdm.ProbeForWrite.

use dirql_abi::NtStatus;

use crate::mm::layout::{self, PAGE, page_of};
use crate::{Ddi, Kernel, Stop};

fn raise(code: NtStatus) -> Stop {
    Stop::Exception {
        code,
        parameters: [0; 4],
    }
}

/// The common part: alignment, and a range that ends inside user space.
fn check_range(address: u64, length: u64, alignment: u32) -> Ddi<()> {
    if address & (u64::from(alignment).max(1) - 1) != 0 {
        return Err(raise(NtStatus::DATATYPE_MISALIGNMENT));
    }
    match address.checked_add(length) {
        Some(end) if end <= layout::HIGHEST_USER_ADDRESS + 1 => Ok(()),
        _ => Err(raise(NtStatus::ACCESS_VIOLATION)),
    }
}

impl Kernel {
    /// `VOID ProbeForRead(CONST VOID*, SIZE_T, ULONG Alignment)`
    ///
    /// Checks that a range is aligned and in user space. Memory is not touched. Nothing is
    /// checked for length 0.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ProbeForRead.
    ///
    /// # Errors
    /// Raises `STATUS_DATATYPE_MISALIGNMENT` or `STATUS_ACCESS_VIOLATION`.
    pub fn probe_for_read(&self, address: u64, length: u64, alignment: u32) -> Ddi<()> {
        if length == 0 {
            Ok(())
        } else {
            check_range(address, length, alignment)
        }
    }

    /// `VOID ProbeForWrite(PVOID, SIZE_T, ULONG Alignment)`
    ///
    /// As [`Kernel::probe_for_read`], and each page of the range is read and written back.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ProbeForWrite.
    ///
    /// # Errors
    /// As there; `STATUS_ACCESS_VIOLATION` too for a page that is not writable.
    pub fn probe_for_write(&self, address: u64, length: u64, alignment: u32) -> Ddi<()> {
        if length == 0 {
            return Ok(());
        }
        check_range(address, length, alignment)?;
        let mut at = address;
        while at < address + length {
            let mut byte = [0];
            let probed = self
                .platform()
                .read(at, &mut byte)
                .and_then(|()| self.platform().write(at, &byte));
            if probed.is_err() {
                return Err(raise(NtStatus::ACCESS_VIOLATION));
            }
            at = page_of(at) + PAGE;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Access, Config, Platform};

    #[test]
    fn a_range_is_aligned_and_ends_in_user_space() {
        let kernel = Bench::new(Config::default()).kernel;
        let end = layout::HIGHEST_USER_ADDRESS + 1;
        assert_eq!(kernel.probe_for_read(end - 8, 8, 8), Ok(()));
        assert_eq!(
            kernel.probe_for_read(end - 8, 9, 8),
            Err(raise(NtStatus::ACCESS_VIOLATION))
        );
        assert_eq!(
            kernel.probe_for_read(4, 8, 8),
            Err(raise(NtStatus::DATATYPE_MISALIGNMENT))
        );
        assert_eq!(kernel.probe_for_read(4, 8, 4), Ok(()));
        assert_eq!(
            kernel.probe_for_read(8, u64::MAX, 1),
            Err(raise(NtStatus::ACCESS_VIOLATION))
        );
        assert_eq!(kernel.probe_for_read(u64::MAX, 0, 8), Ok(()));
    }

    #[test]
    fn a_probe_for_write_touches_the_last_page() {
        let bench = Bench::new(Config::default());
        let user = layout::USER.start;
        bench.platform.protect(user..user + PAGE, Access::ReadWrite);
        bench
            .platform
            .protect(user + PAGE..user + 2 * PAGE, Access::Read);
        assert_eq!(bench.kernel.probe_for_write(user + 8, PAGE - 8, 1), Ok(()));
        let over = bench.kernel.probe_for_write(user + 8, PAGE - 7, 1);
        assert_eq!(over, Err(raise(NtStatus::ACCESS_VIOLATION)));
    }
}
