//! Questions about addresses.
//!
//! Source: WDK reference, wdm.MmGetPhysicalAddress, ntddk.MmIsAddressValid, "Memory Management
//! for Windows Drivers".

use super::layout;
use crate::{Ddi, Kernel};

impl Kernel {
    /// Whether the byte at `address` can be read: memory, or registers that are mapped.
    fn is_valid(&self, address: u64) -> bool {
        if layout::DEVICE.contains(&address) {
            return self.is_io_space_mapped(address);
        }
        let shared = layout::SHARED_DATA..layout::SHARED_DATA + layout::PAGE;
        shared.contains(&address) || self.platform().read(address, &mut [0]).is_ok()
    }

    /// `PHYSICAL_ADDRESS MmGetPhysicalAddress(PVOID)`
    ///
    /// - IRQL: any level.
    /// - Returns: the physical address, or 0 if the virtual one is not valid.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.MmGetPhysicalAddress.
    pub fn mm_get_physical_address(&self, address: u64) -> Ddi<u64> {
        Ok(layout::physical(address)
            .filter(|_| self.is_valid(address))
            .unwrap_or(0))
    }

    /// `PVOID MmGetVirtualForPhysical(PHYSICAL_ADDRESS)`
    ///
    /// - IRQL: any level.
    /// - Returns: the virtual address, or NULL if there is none.
    /// - Findings: none.
    /// - Source: the routine is exported and not documented; the reverse of
    ///   MmGetPhysicalAddress.
    pub fn mm_get_virtual_for_physical(&self, physical: u64) -> Ddi<u64> {
        Ok(layout::virtual_address(physical)
            .filter(|at| self.is_valid(*at))
            .unwrap_or(0))
    }

    /// `BOOLEAN MmIsAddressValid(PVOID)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: TRUE if a read of one byte there would not fault at this moment.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.MmIsAddressValid.
    pub fn mm_is_address_valid(&self, address: u64) -> Ddi<u8> {
        Ok(u8::from(self.is_valid(address)))
    }

    /// `MM_SYSTEMSIZE MmQuerySystemSize(VOID)`
    ///
    /// - IRQL: any level.
    /// - Returns: `MmLargeSystem` (2), as every computer with 3 GiB does.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.MmQuerySystemSize.
    pub fn mm_query_system_size(&self) -> Ddi<u32> {
        Ok(2)
    }

    /// `LOGICAL MmIsDriverVerifying(PDRIVER_OBJECT)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: FALSE: the checks here are not Driver Verifier's.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.MmIsDriverVerifying.
    pub fn mm_is_driver_verifying(&self) -> Ddi<u32> {
        Ok(0)
    }

    /// `BOOLEAN MmIsThisAnNtAsSystem(VOID)`
    ///
    /// - IRQL: any level.
    /// - Returns: FALSE, a workstation; TRUE for Windows Server 2003.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.MmIsThisAnNtAsSystem.
    pub fn mm_is_this_an_nt_as_system(&self) -> Ddi<u8> {
        Ok(u8::from(
            self.config().windows == crate::WindowsVersion::Server2003,
        ))
    }
}
