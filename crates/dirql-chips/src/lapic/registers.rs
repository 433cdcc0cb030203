//! The registers of a local APIC as the processor sees them in memory.
//!
//! Each register is 32 bits wide and takes 16 bytes of addresses. Any other access reads 0
//! and writes nothing; the SDM leaves it undefined ("Local APIC Register Address Map"). Only in
//! xAPIC mode are they there; else accesses find nothing, and reads see ones.

use super::spec::{
    COMMAND_WRITABLE, Command, LVT_WRITABLE, Lvt, LvtEntry, SPURIOUS_WRITABLE, Shorthand,
    SpuriousVector, VERSION, error, register,
};
use super::{Lapic, Mode};
use crate::device::Width;
use crate::message::{DeliveryMode, InterruptMessage};
use crate::wire::{Trigger, Vector};

/// What leaves a local APIC when its registers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A level-triggered vector ended: tell every IO-APIC.
    EndOfInterrupt(Vector),
    /// An inter-processor interrupt, to every APIC for which [`Ipi::reaches`] holds.
    Ipi(Ipi),
}

/// An inter-processor interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipi {
    /// The sender's x2APIC ID.
    pub sender: u32,
    /// In place of the message's destination, if not [`Shorthand::None`].
    pub shorthand: Shorthand,
    /// What the targets receive.
    pub message: InterruptMessage,
}

impl Ipi {
    /// Whether `target` is one of those that this was sent to.
    #[must_use]
    pub const fn reaches(&self, target: &Lapic) -> bool {
        match self.shorthand {
            Shorthand::None => target.is_addressed(&self.message),
            Shorthand::Itself => target.x2apic_id == self.sender,
            Shorthand::All => true,
            Shorthand::Others => target.x2apic_id != self.sender,
        }
    }
}

impl Lapic {
    /// Reads at `offset` from the APIC's base.
    pub fn read(&mut self, offset: u64, width: Width) -> u64 {
        if self.mode != Mode::XApic {
            return width.ones();
        }
        if width != Width::U32 || offset & 0xF != 0 {
            return 0;
        }
        u64::from(self.read_register(offset))
    }

    /// Writes at `offset` from the APIC's base.
    #[must_use = "the message or the end of interrupt goes to others"]
    pub fn write(&mut self, offset: u64, width: Width, value: u64) -> Option<Output> {
        if self.mode != Mode::XApic || width != Width::U32 || offset & 0xF != 0 {
            return None;
        }
        self.write_register(offset, value as u32)
    }

    pub(super) fn read_register(&mut self, offset: u64) -> u32 {
        let index = (offset >> 4 & 7) as u8;
        match offset {
            register::ID => u32::from(self.id) << 24,
            register::VERSION => VERSION,
            register::TPR => self.tpr.into(),
            register::APR => self.arbitration_priority().into(),
            register::PPR => self.ppr.into(),
            register::EOI => 0,
            register::LDR => u32::from(self.logical_id) << 24,
            register::DFR => u32::from(self.format) << 28 | 0x0FFF_FFFF,
            register::SVR => self.spurious.into_bits(),
            register::ISR..register::TMR => self.isr.register(index),
            register::TMR..register::IRR => self.tmr.register(index),
            register::IRR..register::ESR => self.irr.register(index),
            register::ESR => self.error_status.into(),
            register::ICR_LOW => self.command.into_bits() as u32,
            register::ICR_HIGH => (self.command.into_bits() >> 32) as u32,
            register::LVT_TIMER..=register::LVT_ERROR => self.lvt[lvt_index(offset)].into_bits(),
            register::INITIAL_COUNT => self.timer.initial_count,
            register::CURRENT_COUNT => self.timer.current_count(),
            register::DIVIDE => self.timer.divide,
            _ => {
                self.record_error(error::ILLEGAL_REGISTER);
                0
            }
        }
    }

    pub(super) fn write_register(&mut self, offset: u64, value: u32) -> Option<Output> {
        match offset {
            register::ID => self.id = (value >> 24) as u8,
            register::TPR => {
                self.tpr = value as u8;
                self.update_ppr();
            }
            register::EOI => return self.end_of_interrupt().map(Output::EndOfInterrupt),
            register::LDR => self.logical_id = (value >> 24) as u8,
            register::DFR => self.format = (value >> 28) as u8,
            register::SVR => {
                self.write_spurious(SpuriousVector::from_bits(value & SPURIOUS_WRITABLE));
            }
            register::ESR => self.error_status = core::mem::take(&mut self.errors),
            register::ICR_LOW => {
                let high = self.command.into_bits() & 0xFFFF_FFFF_0000_0000;
                self.command = Command::from_bits(high | u64::from(value & COMMAND_WRITABLE));
                return self.send();
            }
            register::ICR_HIGH => self.command.set_destination((value >> 24) as u8),
            register::LVT_TIMER..=register::LVT_ERROR => self.write_lvt(lvt_index(offset), value),
            register::INITIAL_COUNT => self.timer.start(value),
            register::DIVIDE => self.timer.set_divide(value),
            // Read only.
            register::VERSION | register::APR | register::PPR | register::CURRENT_COUNT => {}
            register::ISR..register::ESR => {}
            _ => self.record_error(error::ILLEGAL_REGISTER),
        }
        None
    }

    pub(super) fn write_spurious(&mut self, spurious: SpuriousVector) {
        self.spurious = spurious;
        if !spurious.enabled() {
            for entry in &mut self.lvt {
                entry.set_masked(true);
            }
        }
    }

    /// While software disabled the APIC, mask bits cannot be cleared ("Local APIC State After
    /// It Has Been Software Disabled").
    fn write_lvt(&mut self, index: usize, value: u32) {
        let read_only = self.lvt[index].into_bits() & !LVT_WRITABLE[index];
        let mut entry = LvtEntry::from_bits(value & LVT_WRITABLE[index] | read_only);
        entry.set_masked(entry.masked() || !self.is_enabled());
        if entry.trigger() == Trigger::Edge || entry.delivery() != DeliveryMode::Fixed {
            entry.set_remote_irr(false);
        }
        self.lvt[index] = entry;
        if index == Lvt::Lint0 as usize || index == Lvt::Lint1 as usize {
            self.offer_levels();
        }
    }

    /// Writing the lower half of the ICR sends.
    pub(super) fn send(&mut self) -> Option<Output> {
        let command = self.command;
        let wide_destination = (self.mode == Mode::X2Apic).then_some(self.wide_destination);
        let message = InterruptMessage {
            destination: wide_destination.map_or(command.destination(), |wide| wide as u8),
            wide_destination,
            destination_mode: command.destination_mode(),
            redirection_hint: command.delivery() == DeliveryMode::LowestPriority,
            delivery: command.delivery(),
            vector: Vector(command.vector()),
            // Inter-processor interrupts are edge-triggered, whatever the trigger bit says.
            trigger: Trigger::Edge,
        };
        match command.delivery() {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority if command.vector() < 0x10 => {
                self.record_error(error::SEND_ILLEGAL_VECTOR);
                return None;
            }
            // The INIT level de-assert synchronised arbitration IDs, which are not modelled.
            DeliveryMode::Init if !command.assert() && command.trigger() == Trigger::Level => {
                return None;
            }
            DeliveryMode::Reserved | DeliveryMode::ExtInt => return None,
            _ => {}
        }
        if command.shorthand() == Shorthand::Itself {
            // "Valid Combinations for the APIC ICR": to itself, fixed only.
            if command.delivery() == DeliveryMode::Fixed {
                let _ = self.self_ipi(message.vector);
            }
            return None;
        }
        Some(Output::Ipi(Ipi {
            sender: self.x2apic_id,
            shorthand: command.shorthand(),
            message,
        }))
    }
}

const fn lvt_index(offset: u64) -> usize {
    ((offset - register::LVT_TIMER) >> 4) as usize
}
