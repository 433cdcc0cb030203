//! Interfaces that the bus driver gives to drivers above it.
//!
//! Source: WDK reference, "IRP_MN_QUERY_INTERFACE", wdm.BUS_INTERFACE_STANDARD.

use dirql_abi::NtStatus;
use dirql_abi::guid::{GUID_BUS_INTERFACE_STANDARD, Guid};
use dirql_abi::irp::IoStackLocation;
use dirql_abi::pnp::BusInterfaceStandard;
use dirql_abi::stack_parameters::StackParametersQueryInterface;

use super::Node;
use crate::{Ddi, DriverPtr, Kernel};

/// `PCI_WHICHSPACE_CONFIG`, the `DataType` of the bus data routines.
const CONFIGURATION_SPACE: u32 = 0;

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
        if node.pci.is_none() || wanted != GUID_BUS_INTERFACE_STANDARD {
            return Ok(None);
        }
        if usize::from(wish.size) < size_of::<BusInterfaceStandard>() {
            return Ok(Some(NtStatus::INVALID_PARAMETER));
        }
        let interface = BusInterfaceStandard {
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
        };
        self.write(DriverPtr::new(wish.interface), interface)?;
        self.bus_reference(device)?;
        Ok(Some(NtStatus::SUCCESS))
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
