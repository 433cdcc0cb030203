//! x2APIC mode: IDs of 32 bits, and registers that are model-specific registers.
//!
//! Source: Intel SDM volume 3, "Extended XAPIC (x2APIC)": "Detecting and Enabling x2APIC Mode",
//! "x2APIC Register Address Space", "Reserved Bit Checking", "x2APIC State Transitions",
//! "Interrupt Command Register", "Deriving Logical x2APIC ID from the Local x2APIC ID", "Self IPI
//! Register".
//!
//! Ours: a message with a destination of 8 bits that reaches a local APIC in x2APIC mode is
//! extended by zeros, but all ones stay every local APIC, as with devices that know no other
//! destinations.
//!
//! Invariant: in x2APIC mode the logical ID follows from the ID.

#[cfg(test)]
mod tests;

use core::fmt;

use super::registers::Output;
use super::spec::{
    BASE, COMMAND_WRITABLE, Command, LVT_WRITABLE, Lvt, SPURIOUS_WRITABLE, Shorthand, base, msr,
    register,
};
use super::{BROADCAST, Lapic, WIDE_BROADCAST};
use crate::message::{DestinationMode, InterruptMessage};
use crate::wire::Vector;

/// How a local APIC is accessed, if at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The processor behaves as if it had none.
    Disabled,
    /// Registers in memory, IDs of 8 bits.
    #[default]
    XApic,
    /// Model-specific registers, IDs of 32 bits.
    X2Apic,
}

/// The access makes the processor raise #GP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralProtection {
    /// The register.
    pub msr: u32,
}

impl fmt::Display for GeneralProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this access to model-specific register {:#x} is a general protection fault",
            self.msr
        )
    }
}

impl core::error::Error for GeneralProtection {}

impl Lapic {
    /// A local APIC after power-up, in xAPIC mode, of a processor whose x2APIC ID is `id`. In
    /// xAPIC mode its ID is the low 8 bits of that.
    #[must_use]
    pub const fn with_x2apic_id(id: u32) -> Self {
        let mut this = Self::new(id as u8);
        this.x2apic_id = id;
        this
    }

    /// The ID of 32 bits, which never changes.
    #[must_use]
    pub const fn x2apic_id(&self) -> u32 {
        self.x2apic_id
    }

    /// How it is accessed.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// "Deriving Logical x2APIC ID": a cluster in bits 31:16, one of 16 in the low half.
    #[must_use]
    pub const fn logical_x2apic_id(&self) -> u32 {
        (self.x2apic_id >> 4) << 16 | 1 << (self.x2apic_id & 0xF)
    }

    /// Whether a message is addressed to this APIC.
    #[must_use]
    pub const fn is_addressed(&self, message: &InterruptMessage) -> bool {
        match message.wide_destination {
            Some(wide) => self.matches_wide(wide, message.destination_mode),
            None => self.matches(message.destination, message.destination_mode),
        }
    }

    /// Whether a destination of 32 bits names this APIC.
    #[must_use]
    pub const fn matches_wide(&self, destination: u32, mode: DestinationMode) -> bool {
        match (self.mode, mode) {
            (Mode::Disabled, _) => false,
            (_, DestinationMode::Physical) if destination == WIDE_BROADCAST => true,
            (Mode::X2Apic, DestinationMode::Physical) => destination == self.x2apic_id,
            (Mode::X2Apic, DestinationMode::Logical) => {
                let own = self.logical_x2apic_id();
                destination == WIDE_BROADCAST
                    || destination >> 16 == own >> 16 && destination & own & 0xFFFF != 0
            }
            // Only IDs that fit: BROADCAST is a processor here.
            (Mode::XApic, DestinationMode::Physical) => destination == self.id as u32,
            (Mode::XApic, DestinationMode::Logical) => {
                destination <= 0xFF && self.matches(destination as u8, mode)
            }
        }
    }

    /// A destination of 8 bits in x2APIC mode, or while there is no APIC.
    pub(super) const fn matches_in_other_modes(
        &self,
        destination: u8,
        mode: DestinationMode,
    ) -> bool {
        let wide = match (mode, destination) {
            (DestinationMode::Physical, BROADCAST) => WIDE_BROADCAST,
            _ => destination as u32,
        };
        self.matches_wide(wide, mode)
    }

    /// Reads IA32_APIC_BASE. `is_boot_processor` is the machine's to know.
    #[must_use]
    pub const fn apic_base(&self, is_boot_processor: bool) -> u64 {
        let mode = match self.mode {
            Mode::Disabled => 0,
            Mode::XApic => base::ENABLED,
            Mode::X2Apic => base::ENABLED | base::X2APIC,
        };
        let boot = if is_boot_processor {
            base::BOOT_PROCESSOR
        } else {
            0
        };
        BASE | mode | boot
    }

    /// Writes IA32_APIC_BASE: changes the mode.
    ///
    /// # Errors
    /// The mode cannot follow the one there is ("x2APIC State Transitions"), a reserved bit is
    /// set, or the registers would move, which is not modelled.
    pub const fn set_apic_base(&mut self, value: u64) -> Result<(), GeneralProtection> {
        let refused = Err(GeneralProtection { msr: msr::BASE });
        let flags = base::BOOT_PROCESSOR | base::X2APIC | base::ENABLED;
        if value & !flags != BASE {
            return refused;
        }
        let wanted = match (value & base::ENABLED != 0, value & base::X2APIC != 0) {
            (false, false) => Mode::Disabled,
            (false, true) => return refused,
            (true, false) => Mode::XApic,
            (true, true) => Mode::X2Apic,
        };
        match (self.mode, wanted) {
            (Mode::X2Apic, Mode::XApic) | (Mode::Disabled, Mode::X2Apic) => return refused,
            (Mode::Disabled, Mode::Disabled)
            | (Mode::XApic, Mode::XApic)
            | (Mode::X2Apic, Mode::X2Apic) => {}
            // What is not there keeps nothing; enabled again it is as after power-up.
            (_, Mode::Disabled) | (Mode::Disabled, Mode::XApic) => {
                self.id = self.x2apic_id as u8;
                self.reset();
                self.mode = wanted;
            }
            (Mode::XApic, Mode::X2Apic) => {
                self.mode = wanted;
                self.wide_destination = 0;
            }
        }
        Ok(())
    }

    /// Reads a model-specific register of x2APIC mode.
    ///
    /// # Errors
    /// It is not one of them, cannot be read, or the APIC is in another mode.
    pub fn read_msr(&mut self, number: u32) -> Result<u64, GeneralProtection> {
        let refused = Err(GeneralProtection { msr: number });
        let Some(offset) = self.offset_of(number) else {
            return refused;
        };
        if number == msr::ICR {
            let low = self.command.into_bits() & u64::from(COMMAND_WRITABLE);
            return Ok(low | u64::from(self.wide_destination) << 32);
        }
        match offset {
            register::ID => Ok(self.x2apic_id.into()),
            register::LDR => Ok(self.logical_x2apic_id().into()),
            register::EOI => refused,
            _ if is_register(offset) => Ok(self.read_register(offset).into()),
            _ => refused,
        }
    }

    /// Writes a model-specific register of x2APIC mode.
    ///
    /// # Errors
    /// It is not one of them, cannot be written, has a reserved bit set, or the APIC is in
    /// another mode.
    pub fn write_msr(
        &mut self,
        number: u32,
        value: u64,
    ) -> Result<Option<Output>, GeneralProtection> {
        let refused = Err(GeneralProtection { msr: number });
        let writable = match (number, self.offset_of(number)) {
            (_, None) => return refused,
            (msr::ICR, _) => 0xFFFF_FFFF_0000_0000 | u64::from(COMMAND_WRITABLE),
            (msr::SELF_IPI, _) => 0xFF,
            (_, Some(offset)) => match writable_bits(offset) {
                Some(bits) => bits.into(),
                None => return refused,
            },
        };
        if value & !writable != 0 {
            return refused;
        }
        match number {
            msr::ICR => {
                self.wide_destination = (value >> 32) as u32;
                self.command = Command::from_bits(value & u64::from(COMMAND_WRITABLE));
                Ok(self.send())
            }
            msr::SELF_IPI => {
                self.send_to_itself(Vector(value as u8));
                Ok(None)
            }
            // The registers have the offsets of those in memory.
            _ => Ok(self.write_register(u64::from(number - msr::FIRST) << 4, value as u32)),
        }
    }

    /// The offset that a register has in memory, if registers are MSRs now.
    fn offset_of(&self, number: u32) -> Option<u64> {
        let is_there = self.mode == Mode::X2Apic && (msr::FIRST..=msr::LAST).contains(&number);
        is_there.then(|| u64::from(number - msr::FIRST) << 4)
    }

    /// "Self IPI Register": the semantics of an inter-processor interrupt to itself, fixed and
    /// edge-triggered, by the shorthand of the ICR.
    fn send_to_itself(&mut self, vector: Vector) {
        let command = self.command;
        self.command = Command::new()
            .with_vector(vector.0)
            .with_assert(true)
            .with_shorthand(Shorthand::Itself);
        let _ = self.send();
        self.command = command;
    }
}

/// Whether a register of memory has its counterpart among the MSRs, and can be read. The
/// destination format and arbitration priority do not; the interrupt command is one register.
const fn is_register(offset: u64) -> bool {
    match offset {
        register::APR | register::DFR | register::ICR_LOW | register::ICR_HIGH => false,
        register::VERSION
        | register::TPR
        | register::PPR
        | register::SVR
        | register::INITIAL_COUNT
        | register::CURRENT_COUNT
        | register::DIVIDE => true,
        _ => {
            (register::ISR <= offset && offset <= register::ESR)
                || (register::LVT_TIMER <= offset && offset <= register::LVT_ERROR)
        }
    }
}

/// Which bits may be set in what is written; `None` for what cannot be written.
const fn writable_bits(offset: u64) -> Option<u32> {
    match offset {
        register::TPR => Some(0xFF),
        register::EOI | register::ESR => Some(0),
        register::SVR => Some(SPURIOUS_WRITABLE),
        register::LVT_TIMER..=register::LVT_ERROR => {
            let index = ((offset - register::LVT_TIMER) >> 4) as usize;
            let is_pin = index == Lvt::Lint0 as usize || index == Lvt::Lint1 as usize;
            let remote_irr = if is_pin { 1 << 14 } else { 0 };
            // Delivery status and remote IRR are read only, not reserved.
            Some(LVT_WRITABLE[index] | 1 << 12 | remote_irr)
        }
        register::INITIAL_COUNT => Some(0xFFFF_FFFF),
        register::DIVIDE => Some(0xB),
        _ => None,
    }
}
