//! The system's counts of devices.
//!
//! Source: ntddk.IoGetConfigurationInformation; ntddk.h, CONFIGURATION_INFORMATION.

use dirql_abi::pnp::ConfigurationInformation;

use super::driver::zeroed;
use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `PCONFIGURATION_INFORMATION IoGetConfigurationInformation(VOID)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the system's one structure, which drivers change; all counts begin at 0.
    /// - Source: WDK reference, ntddk.IoGetConfigurationInformation.
    ///
    /// # Errors
    /// None.
    pub fn io_get_configuration_information(&self) -> Ddi<u64> {
        if self.io.configuration.get() == 0 {
            let body = ConfigurationInformation {
                version: size_of::<ConfigurationInformation>() as u32,
                ..zeroed()
            };
            let address = self.allocate_system(size_of::<ConfigurationInformation>() as u64);
            self.write(DriverPtr::new(address), body)?;
            self.io.configuration.set(address);
        }
        Ok(self.io.configuration.get())
    }

    /// `VOID IoGetStackLimits(PULONG_PTR LowLimit, PULONG_PTR HighLimit)`
    ///
    /// - IRQL: any.
    /// - Source: WDK reference, ntifs.IoGetStackLimits.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn io_get_stack_limits(&self, low: DriverPtr<u64>, high: DriverPtr<u64>) -> Ddi<()> {
        let stack = self.stack_of_caller();
        self.write(low, stack.start)?;
        Ok(self.write(high, stack.end)?)
    }

    /// The lowest and the highest address of the current thread's stack.
    #[must_use]
    pub fn stack_of_caller(&self) -> core::ops::Range<u64> {
        self.current_stack().unwrap_or_default()
    }

    /// `PVOID IoGetInitialStack(VOID)`
    ///
    /// - IRQL: any.
    /// - Returns: where the current thread's stack begins: its highest address.
    /// - Source: WDK reference, wdm.IoGetInitialStack.
    ///
    /// # Errors
    /// None.
    pub fn io_get_initial_stack(&self) -> Ddi<u64> {
        Ok(self.current_stack().map_or(0, |stack| stack.end))
    }

    /// `ULONG_PTR IoGetRemainingStackSize(VOID)`
    ///
    /// - IRQL: any.
    /// - Returns: bytes below the caller's frame.
    /// - Source: WDK reference, wdm.IoGetRemainingStackSize.
    ///
    /// # Errors
    /// None.
    pub fn io_get_remaining_stack_size(&self) -> Ddi<u64> {
        let at = self.platform().call_site().stack_pointer;
        Ok(self
            .current_stack()
            .map_or(0, |stack| at.saturating_sub(stack.start)))
    }

    /// `BOOLEAN IoIsWdmVersionAvailable(UCHAR MajorVersion, UCHAR MinorVersion)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: whether the version of WDM, 6.0 from Vista on and 1.30 before, is at least
    ///   this.
    /// - Source: WDK reference, wdm.IoIsWdmVersionAvailable, Remarks.
    ///
    /// # Errors
    /// None.
    pub fn io_is_wdm_version_available(&self, major: u8, minor: u8) -> Ddi<u8> {
        let ours = if self.config().windows < crate::WindowsVersion::Vista {
            (1, 0x30)
        } else {
            (6, 0)
        };
        Ok(u8::from((major, minor) <= ours))
    }
}
