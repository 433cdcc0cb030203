//! The local APIC of one processor.
//!
//! Sources: Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller (APIC)",
//! sections "Handling Interrupts", "Task Priority in IA-32e Mode" and "Local APIC State After
//! Power-Up or Reset".
//!
//! Not modelled: TSC deadlines, moving the registers by IA32_APIC_BASE, remote reads.
//! Bus arbitration takes no time: a message that is sent has arrived.
//!
//! Invariants:
//! - `highest_irr` and `highest_isr` are the highest members of `irr` and `isr`, 0 for none;
//!   `ppr` follows from `tpr` and `highest_isr`. So asking what is deliverable is one comparison.
//! - No vector below 0x10 is ever in one of the three sets.

mod local;
mod registers;
pub mod spec;
mod timer;
mod x2apic;

#[cfg(test)]
mod tests;

use crate::message::{DeliveryMode, DestinationMode, InterruptMessage};
use crate::vector_set::VectorSet;
use crate::wire::{Level, Trigger, Vector};

pub use local::LocalPin;
pub use registers::{Ipi, Output};
pub use x2apic::{GeneralProtection, Mode};

use spec::{Command, LvtEntry, SpuriousVector, error};
use timer::Timer;

/// The destination that means every local APIC.
pub const BROADCAST: u8 = 0xFF;
/// The destination of 32 bits that means every local APIC.
pub const WIDE_BROADCAST: u32 = 0xFFFF_FFFF;

/// A local APIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lapic {
    id: u8,
    /// The ID that the processor was made with.
    x2apic_id: u32,
    mode: Mode,
    tpr: u8,
    ppr: u8,
    highest_irr: u8,
    highest_isr: u8,
    irr: VectorSet,
    isr: VectorSet,
    tmr: VectorSet,
    spurious: SpuriousVector,
    /// Bits 31:24 of the logical destination register.
    logical_id: u8,
    /// Bits 31:28 of the destination format register: 0xF flat, 0 cluster.
    format: u8,
    command: Command,
    /// Bits 63:32 of the interrupt command register in x2APIC mode.
    wide_destination: u32,
    lvt: [LvtEntry; 6],
    pins: [Level; 2],
    timer: Timer,
    /// Errors recorded since the error status register was last written.
    errors: u8,
    /// What the error status register reads as.
    error_status: u8,
}

/// What became of a vector that reached a local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Acceptance {
    /// It is in the interrupt request register now.
    Requested,
    /// It was there already; the two are one from now on.
    Merged,
    /// The APIC is disabled by software and takes no fixed interrupts.
    Disabled,
    /// It is below 0x10; recorded in the error status register.
    IllegalVector,
}

/// What a message does to the processor that it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reception {
    /// A vector for the interrupt request register.
    Vector(Acceptance),
    /// A non-maskable interrupt.
    Nmi,
    /// A system management interrupt.
    Smi,
    /// The processor goes to its INIT state.
    Init,
    /// The processor starts at this page, if it waits for that.
    Startup(Vector),
    /// The processor is to ask an 8259-compatible controller for a vector.
    ExtInt,
    /// A reserved delivery mode: nothing happens.
    Ignored,
}

impl Lapic {
    /// A local APIC after power-up: disabled by software, everything masked.
    ///
    /// `id` 0xFF is the broadcast address and no processor's ID on real hardware.
    #[must_use]
    pub const fn new(id: u8) -> Self {
        let masked = LvtEntry::new().with_masked(true);
        Self {
            id,
            x2apic_id: id as u32,
            mode: Mode::XApic,
            tpr: 0,
            ppr: 0,
            highest_irr: 0,
            highest_isr: 0,
            irr: VectorSet::EMPTY,
            isr: VectorSet::EMPTY,
            tmr: VectorSet::EMPTY,
            spurious: SpuriousVector::new().with_vector(0xFF),
            logical_id: 0,
            format: 0xF,
            command: Command::new(),
            wide_destination: 0,
            lvt: [masked; 6],
            pins: [Level::Low; 2],
            timer: Timer::new(),
            errors: 0,
            error_status: 0,
        }
    }

    /// Back to the state after power-up. The ID stays, and so do the levels at the pins.
    pub const fn reset(&mut self) {
        let (pins, x2apic_id) = (self.pins, self.x2apic_id);
        *self = Self::new(self.id);
        self.pins = pins;
        self.x2apic_id = x2apic_id;
    }

    /// The ID, which is also the physical destination; see [`Lapic::x2apic_id`].
    #[must_use]
    pub const fn id(&self) -> u8 {
        self.id
    }

    /// Sets the spurious vector and the software enable flag, as a kernel does once.
    ///
    /// Disabling masks every LVT entry. Requests and in-service vectors are held.
    pub fn set_enabled(&mut self, enabled: bool, spurious: Vector) {
        self.write_spurious(self.spurious.with_enabled(enabled).with_vector(spurious.0));
    }

    /// Whether software enabled this APIC.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.spurious.enabled()
    }

    /// The vector a processor takes when [`Lapic::acknowledge`] has none for it.
    #[must_use]
    pub const fn spurious_vector(&self) -> Vector {
        Vector(self.spurious.vector())
    }

    /// CR8: the priority class that interrupts must be above, 0..=15.
    #[inline]
    #[must_use]
    pub const fn tpr_class(&self) -> u8 {
        self.tpr >> 4
    }

    /// Writes CR8. Only the low four bits count; the subclass becomes 0.
    ///
    /// Source: Intel SDM volume 3, "Interaction of Task Priorities between CR8 and APIC".
    #[inline]
    pub const fn set_tpr_class(&mut self, class: u8) {
        self.tpr = class << 4;
        self.update_ppr();
    }

    /// The task priority register.
    #[must_use]
    pub const fn tpr(&self) -> u8 {
        self.tpr
    }

    /// The processor priority register.
    #[inline]
    #[must_use]
    pub const fn ppr(&self) -> u8 {
        self.ppr
    }

    /// The interrupt request register: accepted, not yet taken.
    #[must_use]
    pub const fn irr(&self) -> &VectorSet {
        &self.irr
    }

    /// The in-service register: taken, not yet ended.
    #[must_use]
    pub const fn in_service(&self) -> &VectorSet {
        &self.isr
    }

    /// The trigger mode register: vectors whose end is told to the IO-APICs.
    #[must_use]
    pub const fn tmr(&self) -> &VectorSet {
        &self.tmr
    }

    /// Takes a fixed or lowest-priority interrupt that is addressed to this APIC.
    #[inline]
    pub fn accept(&mut self, vector: Vector, trigger: Trigger) -> Acceptance {
        if vector.0 < 0x10 {
            self.record_error(error::RECEIVE_ILLEGAL_VECTOR);
            return Acceptance::IllegalVector;
        }
        if !self.is_enabled() {
            return Acceptance::Disabled;
        }
        self.request(vector, trigger)
    }

    /// Sends a vector from this processor to itself.
    #[inline]
    pub fn self_ipi(&mut self, vector: Vector) -> Acceptance {
        self.accept(vector, Trigger::Edge)
    }

    /// Takes a message that is addressed to this APIC, whatever its delivery mode.
    ///
    /// Fixed interrupts only are refused while software disabled the APIC.
    pub fn receive(&mut self, message: InterruptMessage) -> Reception {
        match message.delivery {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority => {
                Reception::Vector(self.accept(message.vector, message.trigger))
            }
            DeliveryMode::Smi => Reception::Smi,
            DeliveryMode::Nmi => Reception::Nmi,
            DeliveryMode::Init => Reception::Init,
            DeliveryMode::Startup => Reception::Startup(message.vector),
            DeliveryMode::ExtInt => Reception::ExtInt,
            DeliveryMode::Reserved => Reception::Ignored,
        }
    }

    /// The vector that the processor would take now if its interrupt flag is set: the highest
    /// requested one, if its class is above that of the processor priority register.
    #[inline]
    #[must_use]
    pub const fn deliverable(&self) -> Option<Vector> {
        if self.highest_irr >> 4 > self.ppr >> 4 && self.is_enabled() {
            Some(Vector(self.highest_irr))
        } else {
            None
        }
    }

    /// The processor takes the deliverable vector: it moves from requested to in service.
    ///
    /// `None` if there is none; a real processor would take [`Lapic::spurious_vector`].
    #[inline]
    pub fn acknowledge(&mut self) -> Option<Vector> {
        let vector = self.deliverable()?;
        self.irr.remove(vector);
        self.highest_irr = number(self.irr.highest());
        self.isr.insert(vector);
        // Deliverable means above everything in service.
        self.highest_isr = vector.0;
        self.update_ppr();
        Some(vector)
    }

    /// Ends the highest in-service vector.
    ///
    /// Returns it if it was level-triggered and the IO-APICs are to be told: not while software
    /// suppresses that.
    #[inline]
    #[must_use = "an IO-APIC waits for the end of a level-triggered interrupt"]
    pub fn end_of_interrupt(&mut self) -> Option<Vector> {
        if self.highest_isr == 0 {
            return None;
        }
        let vector = Vector(self.highest_isr);
        self.isr.remove(vector);
        self.highest_isr = number(self.isr.highest());
        self.update_ppr();
        if !self.tmr.contains(vector) {
            return None;
        }
        self.end_local_level(vector);
        (!self.spurious.broadcasts_suppressed()).then_some(vector)
    }

    /// Whether a destination field names this APIC.
    ///
    /// Source: Intel SDM volume 3, "Determining IPI Destination".
    #[inline]
    #[must_use]
    pub const fn matches(&self, destination: u8, mode: DestinationMode) -> bool {
        if !matches!(self.mode, Mode::XApic) {
            return self.matches_in_other_modes(destination, mode);
        }
        match mode {
            DestinationMode::Physical => destination == self.id || destination == BROADCAST,
            DestinationMode::Logical if self.format == 0xF => destination & self.logical_id != 0,
            DestinationMode::Logical => {
                destination == BROADCAST
                    || (destination ^ self.logical_id) & 0xF0 == 0
                        && destination & self.logical_id & 0xF != 0
            }
        }
    }

    /// The logical ID, bits 31:24 of the logical destination register.
    pub const fn set_logical_id(&mut self, logical_id: u8) {
        self.logical_id = logical_id;
    }

    /// The arbitration priority register ("Arbitration Priority Register (APR)").
    #[must_use]
    pub const fn arbitration_priority(&self) -> u8 {
        let (tpr, irr, isr) = (self.tpr, self.highest_irr, self.highest_isr);
        if tpr >> 4 >= irr >> 4 && tpr >> 4 > isr >> 4 {
            return tpr;
        }
        let (tpr_and_isr, irr) = (tpr & isr & 0xF0, irr & 0xF0);
        if tpr_and_isr > irr { tpr_and_isr } else { irr }
    }

    /// Whether this processor already has `vector` requested or in service.
    #[must_use]
    pub const fn is_focus_of(&self, vector: Vector) -> bool {
        !self.spurious.focus_disabled() && (self.irr.contains(vector) || self.isr.contains(vector))
    }

    fn request(&mut self, vector: Vector, trigger: Trigger) -> Acceptance {
        match trigger {
            Trigger::Edge => self.tmr.remove(vector),
            Trigger::Level => self.tmr.insert(vector),
        }
        if self.irr.contains(vector) {
            return Acceptance::Merged;
        }
        self.irr.insert(vector);
        if vector.0 > self.highest_irr {
            self.highest_irr = vector.0;
        }
        Acceptance::Requested
    }

    /// "Processor Priority Register (PPR)": the higher class of TPR and ISR; the subclass is
    /// the TPR's if its class is not the lower one. The SDM leaves open what it is for equal
    /// classes.
    const fn update_ppr(&mut self) {
        self.ppr = if self.tpr >> 4 >= self.highest_isr >> 4 {
            self.tpr
        } else {
            self.highest_isr & 0xF0
        };
    }
}

/// Chooses the target of a lowest-priority message among the APICs that match it.
///
/// The focus processor if there is one, else the one of lowest arbitration priority, the
/// first among equals. Processors that software disabled take no part.
/// Source: Intel SDM volume 3, "Lowest Priority Delivery Mode". Which of equals wins is the
/// chip set's choice.
pub fn arbitrate<'a>(
    candidates: impl IntoIterator<Item = &'a Lapic>,
    vector: Vector,
) -> Option<&'a Lapic> {
    let mut best: Option<&Lapic> = None;
    for lapic in candidates {
        if !lapic.is_enabled() {
            continue;
        }
        if lapic.is_focus_of(vector) {
            return Some(lapic);
        }
        if best.is_none_or(|best| lapic.arbitration_priority() < best.arbitration_priority()) {
            best = Some(lapic);
        }
    }
    best
}

fn number(vector: Option<Vector>) -> u8 {
    vector.map_or(0, |vector| vector.0)
}
