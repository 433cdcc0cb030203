//! What generic rights mean for files.
//!
//! Source: WDK reference, ntifs.IoGetFileObjectGenericMapping, ntifs.IoCheckDesiredAccess;
//! "ACCESS_MASK"; wdm.h, FILE_GENERIC_READ and its relatives.

use dirql_abi::NtStatus;

use crate::{Ddi, DriverPtr, Kernel};

/// What GENERIC_READ, GENERIC_WRITE, GENERIC_EXECUTE and GENERIC_ALL stand for.
const MAPPING: [u32; 4] = [0x0012_0089, 0x0012_0116, 0x0012_00A0, 0x001F_01FF];

impl Kernel {
    /// `PGENERIC_MAPPING IoGetFileObjectGenericMapping(VOID)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: where the mapping of files is.
    /// - Source: WDK reference, ntifs.IoGetFileObjectGenericMapping.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn io_get_file_object_generic_mapping(&self) -> Ddi<u64> {
        if self.io.file_mapping.get() == 0 {
            let memory = self.allocate_system(size_of_val(&MAPPING) as u64);
            self.write(DriverPtr::new(memory), MAPPING)?;
            self.io.file_mapping.set(memory);
        }
        Ok(self.io.file_mapping.get())
    }

    /// `NTSTATUS IoCheckDesiredAccess(PACCESS_MASK DesiredAccess, ACCESS_MASK GrantedAccess)`
    ///
    /// Replaces generic rights by what they mean for files.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: ACCESS_DENIED if something was not granted.
    /// - Source: WDK reference, ntifs.IoCheckDesiredAccess.
    ///
    /// # Errors
    /// The mask is not memory.
    pub fn io_check_desired_access(&self, desired: DriverPtr<u32>, granted: u32) -> Ddi<NtStatus> {
        let mapping = DriverPtr::new(self.io_get_file_object_generic_mapping()?);
        self.rtl_map_generic_mask(desired, mapping)?;
        let missing = self.read(desired)? & !granted;
        Ok(if missing == 0 {
            NtStatus::SUCCESS
        } else {
            NtStatus::ACCESS_DENIED
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn generic_rights_are_those_of_files() {
        let bench = Bench::new(Config::default());
        let desired = DriverPtr::<u32>::new(bench.variable(4));
        let check = |wanted: u32, granted| {
            bench.kernel.write(desired, wanted).unwrap();
            let status = bench.kernel.io_check_desired_access(desired, granted);
            (status.unwrap(), bench.kernel.read(desired).unwrap())
        };
        assert_eq!(
            check(0x8000_0000, 0x0012_0089),
            (NtStatus::SUCCESS, 0x0012_0089)
        );
        assert_eq!(
            check(0x4000_0000, 0x0012_0089),
            (NtStatus::ACCESS_DENIED, 0x0012_0116)
        );
    }
}
