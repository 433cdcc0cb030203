//! Interfaces that the bus driver gives to drivers above it.
//!
//! Source: WDK reference, "IRP_MN_QUERY_INTERFACE", wdm.BUS_INTERFACE_STANDARD.

use alloc::format;

use dirql_abi::NtStatus;
use dirql_abi::guid::{GUID_BUS_INTERFACE_STANDARD, GUID_MSIX_TABLE_CONFIG_INTERFACE, Guid};
use dirql_abi::irp::IoStackLocation;
use dirql_abi::pnp::{BusInterfaceStandard, PciMsixTableConfigInterface};
use dirql_abi::stack_parameters::StackParametersQueryInterface;
use dirql_rules::ids;
use zerocopy::IntoBytes;

use super::Node;
use crate::hal::DeviceId;
use crate::{Ddi, DriverPtr, Kernel, WindowsVersion};

/// `PCI_WHICHSPACE_CONFIG`, the `DataType` of the bus data routines.
const CONFIGURATION_SPACE: u32 = 0;

/// What a caller of the first three routines of the MSI-X interface has room for.
const LEAST_TABLE_INTERFACE: usize =
    core::mem::offset_of!(PciMsixTableConfigInterface, get_table_entry);

impl Kernel {
    /// The status for IRP_MN_QUERY_INTERFACE, or `None` for an interface that is not the bus
    /// driver's.
    pub(super) fn answer_interface(
        &self,
        device: u64,
        node: &Node,
        stack: &IoStackLocation,
    ) -> Ddi<Option<NtStatus>> {
        let wish = stack.parameters::<StackParametersQueryInterface>();
        let wanted = self.read(DriverPtr::<Guid>::new(wish.interface_type))?;
        let has_tables = self.config().windows >= WindowsVersion::Vista;
        let (bytes, least) = match wanted {
            _ if node.pci.is_none() => return Ok(None),
            GUID_BUS_INTERFACE_STANDARD => {
                let interface = self.standard_interface(device);
                (
                    interface.as_bytes().to_vec(),
                    size_of::<BusInterfaceStandard>(),
                )
            }
            GUID_MSIX_TABLE_CONFIG_INTERFACE if has_tables => {
                let interface = self.table_interface(device, wish.size);
                (interface.as_bytes().to_vec(), LEAST_TABLE_INTERFACE)
            }
            _ => return Ok(None),
        };
        let size = usize::from(wish.size);
        if size < least {
            return Ok(Some(NtStatus::INVALID_PARAMETER));
        }
        self.write_bytes(wish.interface, &bytes[..bytes.len().min(size)])?;
        self.bus_reference(device)?;
        Ok(Some(NtStatus::SUCCESS))
    }

    fn standard_interface(&self, device: u64) -> BusInterfaceStandard {
        BusInterfaceStandard {
            size: size_of::<BusInterfaceStandard>() as u16,
            version: 1,
            padding4: 0,
            context: device,
            interface_reference: self.kernel_routine("dirql:BusReference"),
            interface_dereference: self.kernel_routine("dirql:BusDereference"),
            translate_bus_address: self.kernel_routine("dirql:BusTranslateAddress"),
            get_dma_adapter: self.kernel_routine("dirql:BusGetDmaAdapter"),
            set_bus_data: self.kernel_routine("dirql:BusSetData"),
            get_bus_data: self.kernel_routine("dirql:BusGetData"),
        }
    }

    fn table_interface(&self, device: u64, room: u16) -> PciMsixTableConfigInterface {
        let size = (size_of::<PciMsixTableConfigInterface>() as u16).min(room);
        PciMsixTableConfigInterface {
            size,
            version: 1,
            padding4: 0,
            context: device,
            interface_reference: self.kernel_routine("dirql:BusReference"),
            interface_dereference: self.kernel_routine("dirql:BusDereference"),
            set_table_entry: self.kernel_routine("dirql:BusSetTableEntry"),
            mask_table_entry: self.kernel_routine("dirql:BusMaskTableEntry"),
            unmask_table_entry: self.kernel_routine("dirql:BusUnmaskTableEntry"),
            get_table_entry: self.kernel_routine("dirql:BusGetTableEntry"),
            get_table_size: self.kernel_routine("dirql:BusGetTableSize"),
        }
    }

    /// `SetTableEntry(Context, TableEntry, MessageNumber)`
    ///
    /// Has an entry of the MSI-X table send another message from now on.
    ///
    /// - IRQL: at or below the device's DIRQL.
    /// - Returns: SUCCESS; INVALID_PARAMETER if the device was not given messages of its table,
    ///   or there is no such entry or message.
    /// - Findings: DQ0430 called above the device's DIRQL; DQ0580 there is no such entry or message.
    /// - Source: WDK reference, wdm.PCI_MSIX_SET_ENTRY.
    ///
    /// # Errors
    /// None but the run's end.
    pub fn bus_set_table_entry(&self, device: u64, entry: u32, message: u32) -> Ddi<NtStatus> {
        self.with_table(device, "SetTableEntry", |device| {
            self.set_table_entry(device, entry, message)
        })
    }

    /// `MaskTableEntry(Context, TableEntry)` and `UnmaskTableEntry`: a masked entry sends
    /// nothing; what it would have sent it sends when it is unmasked.
    ///
    /// - IRQL, findings: as [`Kernel::bus_set_table_entry`].
    /// - Returns: SUCCESS; INVALID_PARAMETER as there.
    /// - Source: WDK reference, wdm.PCI_MSIX_MASKUNMASK_ENTRY.
    ///
    /// # Errors
    /// None but the run's end.
    pub fn bus_mask_table_entry(&self, device: u64, entry: u32, masked: bool) -> Ddi<NtStatus> {
        let name = if masked {
            "MaskTableEntry"
        } else {
            "UnmaskTableEntry"
        };
        self.with_table(device, name, |device| {
            self.mask_table_entry(device, entry, masked)
        })
    }

    /// `GetTableEntry(Context, TableEntry, *MessageNumber, *Masked)`, which the reference calls
    /// reserved.
    ///
    /// - IRQL, findings: as [`Kernel::bus_set_table_entry`].
    /// - Source: wdm.h, PCI_MSIX_GET_ENTRY.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn bus_get_table_entry(
        &self,
        device: u64,
        entry: u32,
        message: DriverPtr<u32>,
        masked: DriverPtr<u8>,
    ) -> Ddi<NtStatus> {
        let found = self
            .device_of_pdo(device)
            .and_then(|device| self.table_entry_of(device, entry));
        let Some(found) = found else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        self.write(message, found.message.into())?;
        self.write(masked, found.masked.into())?;
        Ok(NtStatus::SUCCESS)
    }

    /// `GetTableSize(Context, *TableSize)`, as [`Kernel::bus_get_table_entry`].
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn bus_get_table_size(&self, device: u64, size: DriverPtr<u32>) -> Ddi<NtStatus> {
        match self
            .device_of_pdo(device)
            .map(|device| self.mapped_entries(device))
        {
            Some(entries) if entries > 0 => {
                self.write(size, entries)?;
                Ok(NtStatus::SUCCESS)
            }
            _ => Ok(NtStatus::INVALID_PARAMETER),
        }
    }

    fn with_table(
        &self,
        physical_device: u64,
        name: &str,
        change: impl FnOnce(DeviceId) -> NtStatus,
    ) -> Ddi<NtStatus> {
        let Some(device) = self.device_of_pdo(physical_device) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let (level, highest) = (self.irql(), self.highest_irql(device));
        if let Some(highest) = highest.filter(|highest| level > *highest) {
            let message = format!("{name} was called at {level}; the device's DIRQL is {highest}");
            self.find(ids::TABLE_IRQL, message, self.raised_here())?;
        }
        let status = change(device);
        if status == NtStatus::INVALID_PARAMETER {
            let message = format!("{name} was called for an entry or a message that there is not");
            self.find(ids::TABLE_ENTRY, message, None)?;
        }
        Ok(status)
    }

    /// `InterfaceReference`: keeps the physical device.
    ///
    /// # Errors
    /// The bug check if the context is no device.
    pub fn bus_reference(&self, device: u64) -> Ddi<()> {
        self.obf_reference_object(device)?;
        Ok(())
    }

    /// `InterfaceDereference`.
    ///
    /// # Errors
    /// The bug check if the context is no device.
    pub fn bus_dereference(&self, device: u64) -> Ddi<()> {
        self.obf_dereference_object(device)?;
        Ok(())
    }

    /// `TranslateBusAddress(Context, BusAddress, Length, *AddressSpace, *TranslatedAddress)`:
    /// addresses on the bus are those of the processor.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn bus_translate_address(&self, address: u64, translated: DriverPtr<u64>) -> Ddi<u8> {
        self.write(translated, address)?;
        Ok(1)
    }

    /// `GetBusData(Context, DataType, Buffer, Offset, Length)`: bytes read.
    ///
    /// # Errors
    /// A buffer that is not memory.
    pub fn bus_get_data(
        &self,
        device: u64,
        data_type: u32,
        buffer: u64,
        offset: u32,
        length: u32,
    ) -> Ddi<u32> {
        match self.pci_of(device) {
            Some(address) if data_type == CONFIGURATION_SPACE => {
                Ok(self.read_configuration(address, offset, length, buffer)? as u32)
            }
            _ => Ok(0),
        }
    }

    /// `SetBusData(Context, DataType, Buffer, Offset, Length)`: bytes written.
    ///
    /// # Errors
    /// A buffer that is not memory.
    pub fn bus_set_data(
        &self,
        device: u64,
        data_type: u32,
        buffer: u64,
        offset: u32,
        length: u32,
    ) -> Ddi<u32> {
        match self.pci_of(device) {
            Some(address) if data_type == CONFIGURATION_SPACE => {
                Ok(self.write_configuration(address, offset, length, buffer)? as u32)
            }
            _ => Ok(0),
        }
    }
}
