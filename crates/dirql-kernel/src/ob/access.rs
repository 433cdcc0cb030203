//! Access checks. Whoever asks is the local system, to whom everything is granted and who has
//! every privilege; see the module above.
//!
//! Source: WDK reference, ntifs.SeAccessCheck, ntifs.SeCaptureSubjectContext,
//! ntddk.SeSinglePrivilegeCheck.

use dirql_abi::NtStatus;

use crate::{Ddi, DriverPtr, Kernel};

/// `MAXIMUM_ALLOWED`.
const MAXIMUM_ALLOWED: u32 = 0x0200_0000;

/// `GENERIC_READ`, `GENERIC_WRITE`, `GENERIC_EXECUTE`, `GENERIC_ALL`, in the order in which a
/// GENERIC_MAPPING has what they stand for.
const GENERIC: [u32; 4] = [1 << 31, 1 << 30, 1 << 29, 1 << 28];

/// A SECURITY_SUBJECT_CONTEXT: ClientToken, ImpersonationLevel, PrimaryToken, ProcessAuditId.
type SubjectContext = [u64; 4];

impl Kernel {
    /// `VOID SeCaptureSubjectContext(PSECURITY_SUBJECT_CONTEXT)`: a primary token, no client.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, ntifs.SeCaptureSubjectContext.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn se_capture_subject_context(&self, context: DriverPtr<SubjectContext>) -> Ddi<()> {
        let token = self.system_token();
        Ok(self.write(context, [0, 0, token, 0])?)
    }

    /// `VOID SeLockSubjectContext(PSECURITY_SUBJECT_CONTEXT)`, `SeUnlockSubjectContext`,
    /// `SeReleaseSubjectContext`: a token never changes here.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, ntifs.SeReleaseSubjectContext.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn se_look_at_subject_context(&self, context: DriverPtr<SubjectContext>) -> Ddi<()> {
        self.read(context)?;
        Ok(())
    }

    /// `VOID RtlMapGenericMask(PACCESS_MASK, PGENERIC_MAPPING)`: generic rights become those that
    /// they stand for.
    ///
    /// - IRQL: any.
    /// - Source: WDK reference, ntifs.RtlMapGenericMask.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn rtl_map_generic_mask(
        &self,
        mask: DriverPtr<u32>,
        mapping: DriverPtr<[u32; 4]>,
    ) -> Ddi<()> {
        let mapped = self.map_generic(self.read(mask)?, mapping)?;
        Ok(self.write(mask, mapped)?)
    }

    fn map_generic(&self, mask: u32, mapping: DriverPtr<[u32; 4]>) -> Ddi<u32> {
        let mapping = self.read(mapping)?;
        let mut mapped = mask;
        for (generic, rights) in GENERIC.into_iter().zip(mapping) {
            if mask & generic != 0 {
                mapped = mapped & !generic | rights;
            }
        }
        Ok(mapped)
    }

    /// `BOOLEAN SeAccessCheck(PSECURITY_DESCRIPTOR, PSECURITY_SUBJECT_CONTEXT, BOOLEAN Locked, ACCESS_MASK Desired, ACCESS_MASK Previous, PPRIVILEGE_SET*, PGENERIC_MAPPING, KPROCESSOR_MODE, PACCESS_MASK Granted, PNTSTATUS)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: TRUE, with all that was asked for granted; FALSE with ACCESS_DENIED for a user
    ///   without a security descriptor.
    /// - Source: WDK reference, ntifs.SeAccessCheck.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn se_access_check(
        &self,
        descriptor: u64,
        (desired, previous): (u32, u32),
        mapping: DriverPtr<[u32; 4]>,
        mode: u8,
        granted: DriverPtr<u32>,
        status: DriverPtr<NtStatus>,
    ) -> Ddi<u8> {
        if mode != 0 && descriptor == 0 {
            self.write(status, NtStatus::ACCESS_DENIED)?;
            return Ok(0);
        }
        let all = if desired & MAXIMUM_ALLOWED == 0 {
            0
        } else {
            self.map_generic(GENERIC[3], mapping)?
        };
        let mapped = self.map_generic(desired & !MAXIMUM_ALLOWED, mapping)?;
        self.write(granted, mapped | previous | all)?;
        self.write(status, NtStatus::SUCCESS)?;
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn what_is_asked_for_is_granted_in_rights_that_are_not_generic() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let mapping = DriverPtr::<[u32; 4]>::new(bench.variable(16));
        kernel.write(mapping, [1, 2, 4, 7]).unwrap();
        let granted = DriverPtr::<u32>::new(bench.variable(4));
        let status = DriverPtr::<NtStatus>::new(bench.variable(4));
        let check = |descriptor, desired| {
            kernel.se_access_check(descriptor, (desired, 0x10), mapping, 1, granted, status)
        };
        assert_eq!(check(8, GENERIC[0] | 0x20), Ok(1));
        assert_eq!(kernel.read(granted), Ok(0x31));
        assert_eq!(check(8, MAXIMUM_ALLOWED), Ok(1));
        assert_eq!(kernel.read(granted), Ok(0x17));
        assert_eq!(check(0, 1), Ok(0));
        assert_eq!(kernel.read(status), Ok(NtStatus::ACCESS_DENIED));
        kernel.write(granted, GENERIC[1]).unwrap();
        kernel.rtl_map_generic_mask(granted, mapping).unwrap();
        assert_eq!(kernel.read(granted), Ok(2));
    }
}
