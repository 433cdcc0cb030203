//! The chip: where its registers are, and what it can do.
//!
//! Source: Microsoft, Extended Capabilities Port Protocol and ISA Interface Standard, "ECP
//! Detection"; SMSC, LPC47M14x data sheet, "Parallel Port".

use dirql_abi::parallel::hardware_capabilities::{
    PPT_BYTE_PRESENT, PPT_ECP_PRESENT, PPT_EPP_PRESENT,
};
use dirql_abi::parallel::{CONTROL_OFFSET, DATA_OFFSET};
use dirql_chips::Width;
use dirql_chips::parport::spec::{self, control, ecr, extended};

use crate::{Ddi, Kernel};

/// A range of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) base: u64,
    pub(super) length: u32,
}

/// What a start says and finds out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hardware {
    pub(super) registers: Ports,
    /// The extended registers, if the port has them.
    pub(super) extended: Option<Ports>,
    /// [`dirql_abi::parallel::hardware_capabilities`]
    pub(super) capabilities: u32,
}

impl Hardware {
    pub(super) const fn can(&self, capability: u32) -> bool {
        self.capabilities & capability != 0
    }

    /// Bytes of the FIFO and of what goes into it at once; 0 without one.
    pub(super) const fn fifo(&self) -> (u32, u32) {
        if self.can(PPT_ECP_PRESENT) {
            (spec::FIFO_SIZE as u32, 1)
        } else {
            (0, 0)
        }
    }
}

impl Kernel {
    /// Finds out what the chip can do, and leaves it in the mode of a standard port that
    /// interrupts nobody.
    pub(super) fn detect_chip(&self, registers: Ports, extended: Option<Ports>) -> Ddi<Hardware> {
        let mut hardware = Hardware {
            registers,
            extended,
            capabilities: 0,
        };
        if self.has_ecr(&hardware)? {
            hardware.capabilities |= PPT_ECP_PRESENT | PPT_BYTE_PRESENT;
        } else {
            hardware.extended = None;
            if self.has_direction(&hardware)? {
                hardware.capabilities |= PPT_BYTE_PRESENT;
            }
        }
        // The five ports of EPP are given to ports that have it.
        if u64::from(registers.length) >= spec::EPP_PORTS {
            hardware.capabilities |= PPT_EPP_PRESENT;
        }
        self.set_ecr(&hardware, 0)?;
        self.write_register(
            &hardware,
            CONTROL_OFFSET,
            control::NOT_INIT | control::SELECT_IN,
        )?;
        Ok(hardware)
    }

    /// "Read the ECR; bits 0 and 1 are not both what they are in the control register. Write
    /// 0x34 and read 0x35."
    fn has_ecr(&self, hardware: &Hardware) -> Ddi<bool> {
        const PROBE: u8 = 0x34;
        let Some(register) = hardware.extended else {
            return Ok(false);
        };
        self.write_at(register, extended::CONTROL, PROBE)?;
        let found = self.read_at(register, extended::CONTROL)?;
        Ok(found == PROBE | ecr::EMPTY)
    }

    /// A port with a direction bit does not read back what it does not drive.
    fn has_direction(&self, hardware: &Hardware) -> Ddi<bool> {
        let input = control::NOT_INIT | control::SELECT_IN | control::DIRECTION;
        self.write_register(hardware, CONTROL_OFFSET, input)?;
        let mut is_input = false;
        for pattern in [0x55, 0xAA] {
            self.write_register(hardware, DATA_OFFSET, pattern)?;
            is_input |= self.read_register(hardware, DATA_OFFSET)? != pattern;
        }
        Ok(is_input)
    }

    /// Puts the chip into a mode, by way of BYTE mode as the ECP standard wants it.
    pub(super) fn set_ecr(&self, hardware: &Hardware, mode: u8) -> Ddi<()> {
        /// Mode 001.
        const BYTE: u8 = 1 << ecr::MODE_SHIFT;
        let Some(register) = hardware.extended else {
            return Ok(());
        };
        for mode in [BYTE, mode] {
            self.write_at(register, extended::CONTROL, mode | ecr::RESET)?;
        }
        Ok(())
    }

    pub(super) fn read_register(&self, hardware: &Hardware, offset: u32) -> Ddi<u8> {
        self.read_at(hardware.registers, offset.into())
    }

    pub(super) fn write_register(&self, hardware: &Hardware, offset: u32, value: u8) -> Ddi<()> {
        self.write_at(hardware.registers, offset.into(), value)
    }

    fn read_at(&self, ports: Ports, offset: u64) -> Ddi<u8> {
        // Ports have 16 bits; a resource beyond them is the machine's mistake and reads ones.
        let port = ports.base.wrapping_add(offset) as u16;
        let value = self.read_port(port, Width::U8) as u8;
        self.yield_point()?;
        Ok(value)
    }

    fn write_at(&self, ports: Ports, offset: u64, value: u8) -> Ddi<()> {
        let port = ports.base.wrapping_add(offset) as u16;
        self.write_port(port, Width::U8, value.into());
        self.yield_point()
    }
}
