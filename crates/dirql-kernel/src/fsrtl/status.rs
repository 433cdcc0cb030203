//! Statuses that an exception handler may pass on.

use dirql_abi::NtStatus;

use crate::{Ddi, Kernel};

/// What only a mistake in the code raises.
const UNEXPECTED: [NtStatus; 4] = [
    NtStatus::ACCESS_VIOLATION,
    NtStatus::DATATYPE_MISALIGNMENT,
    NtStatus::ILLEGAL_INSTRUCTION,
    NtStatus::INSTRUCTION_MISALIGNMENT,
];

impl Kernel {
    /// `BOOLEAN FsRtlIsNtstatusExpected(NTSTATUS Exception)`
    ///
    /// - IRQL: any level.
    /// - Returns: FALSE for an access violation, a misaligned datum, an illegal or misaligned instruction.
    /// - Source: WDK reference, ntifs.FsRtlIsNtstatusExpected.
    ///
    /// # Errors
    /// None.
    pub fn fs_rtl_is_ntstatus_expected(&self, exception: NtStatus) -> Ddi<u8> {
        Ok(u8::from(!UNEXPECTED.contains(&exception)))
    }

    /// `NTSTATUS FsRtlNormalizeNtstatus(NTSTATUS Exception, NTSTATUS GenericException)`
    ///
    /// - IRQL: any level.
    /// - Returns: the exception if it is expected, or the generic one.
    /// - Source: WDK reference, ntifs.FsRtlNormalizeNtstatus.
    ///
    /// # Errors
    /// None.
    pub fn fs_rtl_normalize_ntstatus(
        &self,
        exception: NtStatus,
        generic: NtStatus,
    ) -> Ddi<NtStatus> {
        let is_expected = self.fs_rtl_is_ntstatus_expected(exception)? != 0;
        Ok(if is_expected { exception } else { generic })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn mistakes_of_the_code_are_not_passed_on() {
        let bench = Bench::new(Config::default());
        let normalize = |exception| {
            bench
                .kernel
                .fs_rtl_normalize_ntstatus(exception, NtStatus::UNSUCCESSFUL)
        };
        assert_eq!(
            normalize(NtStatus::ACCESS_VIOLATION),
            Ok(NtStatus::UNSUCCESSFUL)
        );
        assert_eq!(
            normalize(NtStatus::IN_PAGE_ERROR),
            Ok(NtStatus::IN_PAGE_ERROR)
        );
    }
}
