//! What a port tells its clients about itself.
//!
//! Source: WDK, "Obtaining Information About a Parallel Port"; the pages of the three requests
//! and their structures. Information is the structure's size for all three; the page of
//! IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO says 0, with which the caller's buffer would stay empty.

use dirql_abi::NtStatus;
use dirql_abi::interrupt::interrupt_mode;
use dirql_abi::parallel::hardware_capabilities::PPT_EPP_PRESENT;
use dirql_abi::parallel::{
    MoreParallelPortInformation, ParallelPnpInformation, ParallelPortInformation,
};
use dirql_chips::parport::spec;
use zerocopy::{Immutable, IntoBytes};

use super::extension;
use super::request::{Answer, Call};
use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO`.
    pub(super) fn port_information(&self, call: &Call) -> Ddi<Answer> {
        let registers = self.with_port(call.context, |port| port.hardware.registers)?;
        let information = ParallelPortInformation {
            original_controller: registers.base,
            // Ports are not mapped.
            controller: registers.base,
            span_of_controller: registers.length,
            padding20: 0,
            try_allocate_port: self.kernel_routine("dirql:ParportTryAllocate"),
            free_port: self.kernel_routine("dirql:ParportFree"),
            query_num_waiters: self.kernel_routine("dirql:ParportQueryWaiters"),
            context: call.context,
        };
        self.give(call, information)
    }

    /// `IOCTL_INTERNAL_GET_MORE_PARALLEL_PORT_INFO`. A port without an interrupt says zeroes
    /// about it.
    pub(super) fn port_more_information(&self, call: &Call) -> Ddi<Answer> {
        let (physical_device, line) =
            self.with_port(call.context, |port| (port.physical_device, port.line))?;
        let node = self.node(physical_device);
        let information = MoreParallelPortInformation {
            interface_type: node
                .as_ref()
                .map_or(0, crate::io::pnp::Node::interface_type),
            bus_number: node.as_ref().map_or(0, crate::io::pnp::Node::bus_number),
            interrupt_level: line.map_or(0, |line| line.irql.0.into()),
            interrupt_vector: line.map_or(0, |line| line.vector),
            interrupt_affinity: line.map_or(0, |line| line.affinity),
            interrupt_mode: match line {
                Some(line) if line.latched => interrupt_mode::Latched,
                _ => interrupt_mode::LevelSensitive,
            },
            padding28: 0,
        };
        self.give(call, information)
    }

    /// `IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO`.
    pub(super) fn port_pnp_information(&self, call: &Call) -> Ddi<Answer> {
        let (hardware, number, devices, mode) = self.with_port(call.context, |port| {
            (port.hardware, port.number, port.chain_devices, port.mode)
        })?;
        let extended = hardware.extended.unwrap_or_default();
        let (epp, epp_span) = if hardware.can(PPT_EPP_PRESENT) {
            (
                hardware.registers.base + spec::register::EPP_ADDRESS,
                (spec::EPP_PORTS - spec::register::EPP_ADDRESS) as u32,
            )
        } else {
            (0, 0)
        };
        let (fifo_depth, fifo_width) = hardware.fifo();
        let information = ParallelPnpInformation {
            original_ecp_controller: extended.base,
            ecp_controller: extended.base,
            span_of_ecp_controller: extended.length,
            port_number: number + 1,
            hardware_capabilities: hardware.capabilities,
            padding28: 0,
            try_set_chip_mode: self.kernel_routine("dirql:ParportTrySetChipMode"),
            clear_chip_mode: self.kernel_routine("dirql:ParportClearChipMode"),
            fifo_depth,
            fifo_width,
            epp_controller_physical_address: epp,
            span_of_epp_controller: epp_span,
            ieee1284_3_device_count: devices,
            try_select_device: self.kernel_routine("dirql:ParportTrySelect"),
            deselect_device: self.kernel_routine("dirql:ParportDeselect"),
            context: call.context,
            current_mode: mode.into(),
            padding100: 0,
            port_name: call.context + extension::NAME,
        };
        self.give(call, information)
    }

    fn give<T: IntoBytes + Immutable>(&self, call: &Call, information: T) -> Ddi<Answer> {
        self.write(DriverPtr::new(call.buffer), information)?;
        Ok(Answer::Done(NtStatus::SUCCESS, size_of::<T>() as u64))
    }
}
