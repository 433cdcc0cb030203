//! WMI registration.
//!
//! There is no WMI consumer here: registering is remembered and checked, nobody asks the
//! provider for data, and events go nowhere, as on a system where nobody has enabled them.
//!
//! Source: WDK, "Registering as a WMI Data Provider"; wdm.IoWMIRegistrationControl.

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_rules::ids;

use crate::{Ddi, DriverPtr, Kernel};

/// `WMIREG_ACTION_REGISTER`.
const REGISTER: u32 = 1;
/// `WMIREG_ACTION_DEREGISTER`.
const DEREGISTER: u32 = 2;
/// `WMIREG_ACTION_REREGISTER`.
const REREGISTER: u32 = 3;
/// `WMIREG_ACTION_UPDATE_GUIDS`.
const UPDATE_GUIDS: u32 = 4;
/// `WMIREG_FLAG_CALLBACK`: the first argument is a routine, not a device.
const CALLBACK: u32 = 0x8000_0000;

impl Kernel {
    /// `NTSTATUS IoWMIRegistrationControl(PDEVICE_OBJECT, ULONG Action)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for an action that does not exist;
    ///   INVALID_DEVICE_REQUEST to deregister or update what is not registered.
    /// - Findings: DQ0219 registered twice.
    /// - Source: WDK reference, wdm.IoWMIRegistrationControl.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn io_wmi_registration_control(&self, provider: u64, action: u32) -> Ddi<NtStatus> {
        if action & CALLBACK == 0 {
            self.expect_device(provider)?;
        }
        let registered = self.io.wmi_providers.borrow().contains(&provider);
        match action & 0xFF {
            REGISTER => {
                if registered {
                    let message =
                        alloc::format!("the WMI provider {provider:#x} was registered twice");
                    self.find(ids::WMI_REGISTERED_TWICE, message, None)?;
                }
                self.io.wmi_providers.borrow_mut().insert(provider);
                Ok(NtStatus::SUCCESS)
            }
            DEREGISTER if registered => {
                self.io.wmi_providers.borrow_mut().remove(&provider);
                Ok(NtStatus::SUCCESS)
            }
            REREGISTER | UPDATE_GUIDS if registered => Ok(NtStatus::SUCCESS),
            DEREGISTER | REREGISTER | UPDATE_GUIDS => Ok(NtStatus::INVALID_DEVICE_REQUEST),
            _ => Ok(NtStatus::INVALID_PARAMETER),
        }
    }

    /// `NTSTATUS IoWMIWriteEvent(PVOID WnodeEventItem)`
    ///
    /// Takes the event and frees it.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL (the page: depends on the WNODE).
    /// - Returns: SUCCESS. On failure Windows leaves the block to the caller; there is no
    ///   queue here that could be full.
    /// - Source: WDK reference, wdm.IoWMIWriteEvent.
    ///
    /// # Errors
    /// The block is not pool.
    pub fn io_wmi_write_event(&self, event: u64) -> Ddi<NtStatus> {
        self.pool_free(event, None)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `ULONG IoWMIDeviceObjectToProviderId(PDEVICE_OBJECT)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: a number that is the device's alone.
    /// - Source: WDK reference, wdm.IoWMIDeviceObjectToProviderId.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn io_wmi_device_object_to_provider_id(&self, device: u64) -> Ddi<u32> {
        self.expect_device(device)?;
        Ok(device as u32)
    }

    /// `NTSTATUS IoWMIOpenBlock(GUID *DataBlockGuid, ULONG DesiredAccess, PVOID *DataBlockObject)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: WMI_GUID_NOT_FOUND, with `*DataBlockObject` NULL: no data block of another
    ///   driver or of the system is served here.
    /// - Source: WDK reference, wdm.IoWMIOpenBlock.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_wmi_open_block(
        &self,
        block: DriverPtr<Guid>,
        object: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        self.read(block)?;
        self.write(object, 0)?;
        Ok(NtStatus::WMI_GUID_NOT_FOUND)
    }

    /// `NTSTATUS IoWMIQueryAllData(PVOID DataBlockObject, PULONG InOutBufferSize, PVOID OutBuffer)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: DQ0203: no data block object can have been opened.
    /// - Source: WDK reference, wdm.IoWMIQueryAllData.
    ///
    /// # Errors
    /// The bug check after the finding.
    pub fn io_wmi_query_all_data(&self, object: u64) -> Ddi<NtStatus> {
        Err(self.not_io_object(object, "data block object"))
    }
}
