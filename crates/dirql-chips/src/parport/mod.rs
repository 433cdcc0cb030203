//! The parallel port of a PC, with what is at the other end of its cable.
//!
//! Sources: Microsoft, Extended Capabilities Port Protocol and ISA Interface Standard (revision
//! 1.14, July 14, 1993); SMSC, LPC47M14x and FDC37C669 data sheets, "Parallel Port"; IEEE
//! 1284-1994. Where chips differ this is SMSC's.
//!
//! The interrupt is a pulse, as an edge-triggered line wants it. A port with a level-triggered
//! line holds it until the status register is read, and says so in that register's bit 2, as the
//! ports of the PS/2 did (IBM, Personal System/2 Hardware Interface Technical Reference).
//!
//! Ours, because there is no firmware here: after power-up the control register is 0x0C (the
//! peripheral is selected and not in reset), as firmware leaves it; the chip's own reset clears it.
//! Ours, because an access takes no time here: an EPP cycle whose peripheral does not answer at
//! once has timed out. A byte leaves the FIFO when the peripheral has it, not before, so that an
//! empty FIFO means that everything has arrived.
//!
//! Not modelled: DMA (dmaEn keeps the FIFO from interrupting, and nobody serves it), compression,
//! drivers that are open drain in some modes.

pub mod cable;
mod epp;
mod fifo;
pub mod peer;
pub mod spec;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::{Level, Trigger};
use cable::{HostPins, PeerPins};
use epp::EppCycle;
use fifo::Fifo;
use peer::Peer;
use spec::{Mode, control, ecr, extended, register, status};

/// Which registers a port has, and how it is wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// The data lines can be inputs ("PS/2").
    pub byte: bool,
    /// EPP cycles. Without ECP they are always there, else in mode 100.
    pub epp: bool,
    /// The FIFO and the extended control register.
    pub ecp: bool,
    /// The number of its line, for configuration register B.
    pub line: u8,
    /// [`Trigger::Edge`]: interrupts are pulses. [`Trigger::Level`]: the line is held.
    pub trigger: Trigger,
}

/// The port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParallelPort {
    features: Features,
    data: u8,
    control: u8,
    /// Without the bits of the FIFO.
    ecr: u8,
    has_timed_out: bool,
    /// Held interrupts by cause; always clear on a port that pulses.
    held: Held,
    is_asserted: bool,
    fifo: Fifo,
    cycle: Option<EppCycle>,
    peer: Peer,
    /// What the peer was last told.
    host: HostPins,
    /// What it last drove.
    seen: PeerPins,
}

/// Why a held line is asserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    /// An edge of nAck.
    ack: bool,
    /// The FIFO or nFault.
    service: bool,
}

/// What interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Ack,
    Service,
}

/// Tokens: bit 0 says whose it is, the rest is its owner's.
mod token {
    pub(super) const PEER: u32 = 1;
}

impl ParallelPort {
    /// A port after power-up with `peer` at the other end.
    #[must_use]
    pub fn new(features: Features, peer: Peer) -> Self {
        let mut port = Self {
            features,
            data: 0,
            control: control::NOT_INIT | control::SELECT_IN,
            ecr: ecr::RESET,
            has_timed_out: false,
            held: Held::default(),
            is_asserted: false,
            fifo: Fifo::default(),
            cycle: None,
            seen: peer.pins(),
            peer,
            host: HostPins::IDLE,
        };
        // Nothing is enabled that would make an effect of this.
        port.settle(&mut Effects::new());
        port
    }

    /// What is at the other end.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Without the register, what the port always does.
    const fn mode(&self) -> Mode {
        let Features { byte, epp, ecp, .. } = self.features;
        if ecp {
            match Mode::of(self.ecr) {
                Mode::Epp if !epp => Mode::Reserved,
                mode => mode,
            }
        } else if epp {
            Mode::Epp
        } else if byte {
            Mode::Byte
        } else {
            Mode::Standard
        }
    }

    /// "If mode=000 or mode=010, this bit has no effect and the direction is always out" (SMSC).
    const fn is_input(&self) -> bool {
        let fixed = matches!(self.mode(), Mode::Standard | Mode::CompatibleFifo);
        self.control & control::DIRECTION != 0 && !fixed
    }

    /// What the chip drives now: the registers, and over them what is automatic.
    fn host_pins(&self) -> HostPins {
        let automatic = self.fifo.lines();
        let cycle = self.cycle.unwrap_or_default();
        let data = cycle.data.or(automatic.data).unwrap_or(self.data);
        HostPins {
            data: (!self.is_input()).then_some(data),
            n_strobe: self.control & control::STROBE == 0 && !automatic.strobe && !cycle.write,
            n_auto_feed: self.control & control::AUTO_FEED == 0
                && !automatic.auto_feed
                && !cycle.data_strobe,
            n_init: self.control & control::NOT_INIT != 0,
            n_select_in: self.control & control::SELECT_IN == 0 && !cycle.address_strobe,
        }
    }

    /// Lets the wires come to rest.
    ///
    /// This ends: nothing moves twice without the peer's answer, and each answer uses up a byte
    /// of the FIFO, room in it, or a byte of the peer.
    fn settle(&mut self, out: &mut Effects) {
        loop {
            let host = self.host_pins();
            let changed = host != self.host;
            if changed {
                self.host = host;
                self.peer.host_changed(host, out);
            }
            let pins = self.peer.pins();
            self.watch(pins, out);
            let moved = self.move_fifo(pins, out);
            self.serve_fifo(out);
            if !changed && !moved {
                return;
            }
        }
    }

    /// Interrupts at edges of nAck and nFault.
    fn watch(&mut self, pins: PeerPins, out: &mut Effects) {
        let before = core::mem::replace(&mut self.seen, pins);
        if !before.n_ack && pins.n_ack && self.control & control::INTERRUPT != 0 {
            self.interrupt(Cause::Ack, out);
        }
        if before.n_fault && !pins.n_fault && self.ecr & ecr::NO_FAULT_INTERRUPT == 0 {
            self.interrupt_fault(out);
        }
    }

    /// nErrIntrEn is "valid only in ECP mode".
    fn interrupt_fault(&mut self, out: &mut Effects) {
        if self.mode() == Mode::Ecp {
            self.interrupt(Cause::Service, out);
        }
    }

    fn interrupt(&mut self, cause: Cause, out: &mut Effects) {
        if self.features.trigger == Trigger::Edge {
            out.extend([true, false].map(interrupt_effect));
            return;
        }
        match cause {
            Cause::Ack => self.held.ack = true,
            Cause::Service => self.held.service = true,
        }
        self.update_line(out);
    }

    fn update_line(&mut self, out: &mut Effects) {
        let asserted = self.held != Held::default();
        if core::mem::replace(&mut self.is_asserted, asserted) != asserted {
            out.push(interrupt_effect(asserted));
        }
    }

    fn read_port(&mut self, port: u64, out: &mut Effects) -> u8 {
        match port {
            register::DATA if self.is_input() => self.seen.data,
            register::DATA => self.host_pins().data.unwrap_or(self.data),
            register::STATUS => self.read_status(out),
            register::CONTROL => self.control,
            register::EPP_ADDRESS.. if self.mode() == Mode::Epp => {
                self.epp_read(port == register::EPP_ADDRESS, out)
            }
            _ => 0xFF,
        }
    }

    fn write_port(&mut self, port: u64, value: u8, out: &mut Effects) {
        match port {
            register::DATA => match self.mode() {
                Mode::Ecp => self.push(value, true),
                Mode::CompatibleFifo | Mode::Test | Mode::Configuration => {}
                _ => self.data = value,
            },
            register::STATUS if value & status::TIMEOUT != 0 => self.has_timed_out = false,
            register::CONTROL => self.write_control(value, out),
            register::EPP_ADDRESS.. if self.mode() == Mode::Epp => {
                self.epp_write(port == register::EPP_ADDRESS, value, out);
            }
            _ => {}
        }
    }

    fn read_status(&mut self, out: &mut Effects) -> u8 {
        let mut value = self.seen.status();
        if self.has_timed_out {
            value |= status::TIMEOUT;
        }
        if self.features.trigger == Trigger::Level && !self.is_asserted {
            value |= status::NOT_INTERRUPTING;
        }
        self.held = Held::default();
        self.update_line(out);
        value
    }

    /// Disabling the interrupt drops what it holds.
    fn write_control(&mut self, value: u8, out: &mut Effects) {
        self.control = value & control::ALL;
        if self.control & control::INTERRUPT == 0 {
            self.held.ack = false;
            self.update_line(out);
        }
    }

    fn read_extended(&mut self, port: u64) -> u8 {
        match (port, self.mode()) {
            (extended::CONTROL, _) => self.ecr | self.fifo.flags(),
            (extended::FIFO, Mode::Configuration) => spec::CONFIG_A,
            (extended::CONFIG_B, Mode::Configuration) => spec::config_b_line(self.features.line),
            (extended::FIFO, Mode::Ecp) if self.is_input() => self.fifo.pop(),
            (extended::FIFO, Mode::Test) => self.fifo.pop(),
            _ => 0xFF,
        }
    }

    fn write_extended(&mut self, port: u64, value: u8, out: &mut Effects) {
        match (port, self.mode()) {
            (extended::CONTROL, _) => self.write_ecr(value, out),
            (extended::FIFO, Mode::CompatibleFifo | Mode::Ecp | Mode::Test) => {
                self.push(value, false);
            }
            _ => {}
        }
    }

    /// A new mode finds the FIFO empty and drops what was automatic.
    fn write_ecr(&mut self, value: u8, out: &mut Effects) {
        let before = core::mem::replace(&mut self.ecr, value & ecr::WRITABLE);
        if Mode::of(before) != Mode::of(self.ecr) {
            self.fifo.clear();
        }
        let enabled = before & !self.ecr & ecr::NO_FAULT_INTERRUPT != 0;
        if enabled && !self.seen.n_fault {
            self.interrupt_fault(out);
        }
    }

    fn is_there(&self, region: Region, offset: u64) -> bool {
        let Features { epp, ecp, .. } = self.features;
        match region {
            Region(0) if epp => offset < spec::EPP_PORTS,
            Region(0) => offset < spec::SPP_PORTS,
            Region(1) => ecp && offset < spec::ECP_PORTS,
            _ => false,
        }
    }
}

impl Device for ParallelPort {
    fn model(&self) -> &'static str {
        "parport"
    }

    /// Each port is 8 bits; wider accesses are several, as on the ISA bus.
    fn read(&mut self, region: Region, offset: u64, width: Width, out: &mut Effects) -> u64 {
        let mut value = 0;
        for index in 0..width.bytes() {
            let port = offset.saturating_add(index);
            let byte = if !self.is_there(region, port) {
                0xFF
            } else if region == Region(0) {
                self.read_port(port, out)
            } else {
                self.read_extended(port)
            };
            self.settle(out);
            value |= u64::from(byte) << (8 * index);
        }
        value
    }

    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects) {
        for index in 0..width.bytes() {
            let port = offset.saturating_add(index);
            let byte = (value >> (8 * index)) as u8;
            if !self.is_there(region, port) {
                continue;
            }
            if region == Region(0) {
                self.write_port(port, byte, out);
            } else {
                self.write_extended(port, byte, out);
            }
            self.settle(out);
        }
    }

    fn timer(&mut self, token: u32, out: &mut Effects) {
        if token & token::PEER == 0 {
            self.fifo.timer(token, out);
        } else {
            self.peer.timer(token, out);
        }
        self.settle(out);
    }

    /// [`Stimulus::Interrupt`] is a pulse on the line without a cause.
    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        let known = match stimulus {
            Stimulus::Interrupt(0) => {
                let held = self.is_asserted;
                out.extend([!held, held].map(interrupt_effect));
                true
            }
            Stimulus::Interrupt(_) => false,
            other => self.peer.stimulate(other, out),
        };
        self.settle(out);
        known
    }

    /// The peer is switched off and on, too.
    fn reset(&mut self, out: &mut Effects) {
        if self.is_asserted {
            out.push(interrupt_effect(false));
        }
        *self = Self::new(self.features, self.peer.after_power_up());
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}

fn interrupt_effect(asserted: bool) -> Effect {
    Effect::Interrupt {
        source: 0,
        level: if asserted { Level::High } else { Level::Low },
    }
}
