//! Devices that have to go when the port goes.
//!
//! Source: WDK reference, IOCTL_INTERNAL_REGISTER_FOR_REMOVAL_RELATIONS and its counterpart.

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::irp::{IoStackLocation, Irp};
use dirql_abi::parallel::ParPortRemovalRelations;
use dirql_abi::pnp::device_relation_type;
use dirql_abi::stack_parameters::StackParametersDeviceRelations;

use super::request::{Answer, Call};
use crate::{Ddi, DriverPtr, Kernel, at};

impl Kernel {
    /// Registers a device; one that is registered already stays so once.
    pub(super) fn port_register_relation(&self, call: &Call) -> Ddi<Answer> {
        let device = self.relation_at(call)?;
        if !self.is_device(device) {
            return Ok(Answer::failed(NtStatus::INVALID_PARAMETER));
        }
        self.with_port(call.context, |port| {
            if !port.removal_relations.contains(&device) {
                port.removal_relations.push(device);
            }
        })?;
        Ok(Answer::SUCCESS)
    }

    /// Takes a registration back.
    pub(super) fn port_unregister_relation(&self, call: &Call) -> Ddi<Answer> {
        let device = self.relation_at(call)?;
        self.with_port(call.context, |port| {
            port.removal_relations.retain(|known| *known != device);
        })?;
        Ok(Answer::SUCCESS)
    }

    fn relation_at(&self, call: &Call) -> Ddi<u64> {
        let relation = DriverPtr::<ParPortRemovalRelations>::new(call.buffer);
        Ok(self.read(at!(relation, ParPortRemovalRelations, device_object))?)
    }

    /// Adds the registered devices to the answer about removal relations. Whether it was asked
    /// about those, and there are any.
    pub(super) fn add_removal_relations(
        &self,
        context: u64,
        irp: u64,
        stack: &IoStackLocation,
    ) -> Ddi<bool> {
        let relation = stack.parameters::<StackParametersDeviceRelations>().type_;
        let devices: Vec<u64> = self.with_port(context, |port| port.removal_relations.clone())?;
        if relation != device_relation_type::RemovalRelations || devices.is_empty() {
            return Ok(false);
        }
        let bytes = 8 + 8 * devices.len() as u64;
        let block = self.allocate_zeroed(bytes, crate::io::tag(b"ParP"))?;
        if block == 0 {
            return Ok(false);
        }
        self.write(DriverPtr::new(block), devices.len() as u32)?;
        for (index, device) in devices.iter().enumerate() {
            self.obf_reference_object(*device)?;
            self.write(DriverPtr::new(block + 8).element(index), *device)?;
        }
        let pointer = DriverPtr::<Irp>::new(irp);
        self.write(at!(pointer, Irp, io_status.information), block)?;
        Ok(true)
    }
}
