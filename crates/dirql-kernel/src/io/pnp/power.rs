//! Power of devices: the bus driver's part, and what the bench asks for.
//!
//! Source: WDK, "Handling Device Power-Up IRPs", "Handling Device Power-Down IRPs",
//! "IRP_MN_SET_POWER", "IRP_MN_QUERY_POWER".

use dirql_abi::NtStatus;
use dirql_abi::irp::{Irp, minor_power};
use dirql_abi::power::{device_power_state, power_state_type};
use dirql_abi::stack_parameters::StackParametersPower;

use super::NodeState;
use super::control::{Answer, PnpError};
use crate::{Ddi, DriverPtr, Kernel, at};

impl Kernel {
    /// DispatchPower of the bus driver.
    ///
    /// # Errors
    /// As [`Kernel::iof_complete_request`].
    pub fn bus_power(&self, device: u64, irp: u64) -> Ddi<NtStatus> {
        let stack = self.read(self.current_location(irp)?)?;
        let wish = stack.parameters::<StackParametersPower>();
        let known = matches!(
            stack.minor_function,
            minor_power::IRP_MN_SET_POWER | minor_power::IRP_MN_QUERY_POWER
        );
        let sets_device = stack.minor_function == minor_power::IRP_MN_SET_POWER
            && wish.type_ == power_state_type::DevicePowerState;
        if sets_device {
            self.set_device_power(device, wish.state);
            self.po_set_power_state(device, wish.type_, wish.state)?;
        }
        self.po_start_next_power_irp(irp)?;
        let status = at!(DriverPtr::<Irp>::new(irp), Irp, io_status.status);
        if known {
            self.write(status, NtStatus::SUCCESS)?;
        }
        let status = self.read(status)?;
        self.iof_complete_request(irp, 0)?;
        Ok(status)
    }

    /// The bus switches a device: below D0 its registers do not answer, and it does not interrupt.
    pub(super) fn set_device_power(&self, physical_device: u64, state: u32) {
        let Some(node) = self.node(physical_device) else {
            return;
        };
        self.change_node(physical_device, |node| node.power = state);
        if let (Some(device), Some(_)) = (node.device, node.pci) {
            self.set_decoding(device, state == device_power_state::PowerDeviceD0);
        }
    }

    /// Puts a started device into a power state, or has it follow the system into one: the
    /// query for less power, then IRP_MN_SET_POWER.
    ///
    /// # Errors
    /// The run's end. The inner error says that the driver did not agree to less power.
    pub fn set_power(&self, physical_device: u64, state: PowerState) -> Answer {
        if !state.is_working()
            && let Err(error) = self.query_power(physical_device, state)?
        {
            return Ok(Err(error));
        }
        self.send_power(physical_device, minor_power::IRP_MN_SET_POWER, state)
    }

    /// Asks whether a started device may go to a power state: IRP_MN_QUERY_POWER.
    ///
    /// # Errors
    /// As [`Kernel::set_power`].
    pub fn query_power(&self, physical_device: u64, state: PowerState) -> Answer {
        self.send_power(physical_device, minor_power::IRP_MN_QUERY_POWER, state)
    }

    /// Sends a power request through the stack of a started device and waits for it.
    fn send_power(&self, physical_device: u64, minor: u8, state: PowerState) -> Answer {
        if let Err(error) = self.expect_state(physical_device, NodeState::Started) {
            return Ok(Err(error));
        }
        let (kind, number) = state.numbers();
        let status = self.power_request(physical_device, minor, kind, number)?;
        if status.is_success() {
            return Ok(Ok(()));
        }
        Ok(Err(PnpError::Refused {
            request: minor_power::name(minor).unwrap_or("a power request"),
            status,
        }))
    }
}

/// A power state, of a device or of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerState {
    /// D0 to D3, 0..=3.
    Device(u8),
    /// S0 to S5, 0..=5: working, sleeping, hibernating, off.
    System(u8),
}

impl PowerState {
    const fn is_working(self) -> bool {
        matches!(self, Self::Device(0) | Self::System(0))
    }

    /// POWER_STATE_TYPE, and DEVICE_POWER_STATE or SYSTEM_POWER_STATE: both begin with
    /// "unspecified".
    fn numbers(self) -> (u32, u32) {
        match self {
            Self::Device(state) => (power_state_type::DevicePowerState, u32::from(state) + 1),
            Self::System(state) => (power_state_type::SystemPowerState, u32::from(state) + 1),
        }
    }
}
