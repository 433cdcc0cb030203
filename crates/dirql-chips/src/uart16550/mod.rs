//! The 16550A serial port of a PC.
//!
//! Source: National Semiconductor, PC16550D Universal Asynchronous Receiver/Transmitter with
//! FIFOs (June 1995), sections named in [`spec`] and below.
//!
//! The board's part: OUT2 lets the chip's interrupt through to the line, as on a PC. In loopback
//! the chip forces OUT2 inactive, so the line is quiet then ("Modem Control Register", bit 4).
//!
//! Ours, because the data sheet leaves it open: a divisor of 0 counts as 65536; a character written
//! to a full FIFO pushes the oldest out; an empty FIFO reads 0; writing the line status does
//! nothing; setting the transmitter's enable bit interrupts if the holding register is empty,
//! setting it again does not.
//!
//! Not modelled: DMA signals, stick parity (nothing here computes parity: errors are told from
//! outside, see [`crate::device::SerialEvent`]), factory test by writing the line status.

mod receive;
pub mod spec;
mod transmit;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use crate::device::{
    Device, Effect, Effects, ModemLines, Region, SerialEvent, SerialOutput, Stimulus, Width,
};
use crate::wire::Level;
use receive::Receiver;
use spec::{
    CLOCK_HZ, DIVISOR, PORTS, enable, fifo, input, interrupt, line, modem, register, status,
};
use transmit::Transmitter;

/// A 16550A.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uart16550 {
    enabled: u8,
    line_control: u8,
    modem_control: u8,
    scratch: u8,
    divisor: u16,
    /// The trigger level's encoding, and whether FIFOs are enabled.
    trigger: u8,
    has_fifos: bool,
    /// OVERRUN to BREAK of the line status; the other bits follow from the rest.
    errors: u8,
    modem_status: u8,
    /// What the modem inputs are, as bits 7:4 of the modem status.
    inputs: u8,
    receiver: Receiver,
    transmitter: Transmitter,
    /// What was last said about the line.
    is_asserted: bool,
}

/// Tokens: the kind in the low two bits, for time-outs a generation above.
mod token {
    pub(super) const TRANSMITTED: u32 = 0;
    pub(super) const HOLDING_EMPTY: u32 = 1;
    pub(super) const RECEIVED: u32 = 2;
    pub(super) const TIMEOUT: u32 = 3;
    pub(super) const KIND: u32 = 3;
}

impl Default for Uart16550 {
    fn default() -> Self {
        Self::new()
    }
}

impl Uart16550 {
    /// The chip after power-up, with a device at its other end that is ready (CTS, DSR, DCD).
    #[must_use]
    pub fn new() -> Self {
        let inputs = input::CTS | input::DSR | input::DCD;
        Self {
            enabled: 0,
            line_control: 0,
            modem_control: 0,
            scratch: 0,
            divisor: DIVISOR,
            trigger: 0,
            has_fifos: false,
            errors: 0,
            modem_status: inputs,
            inputs,
            receiver: Receiver::new(),
            transmitter: Transmitter::new(),
            is_asserted: false,
        }
    }

    /// How long half a bit takes times `halves`, rounded up, in units of 100 ns.
    ///
    /// "Programmable Baud Generator": a bit is 16 times the divisor in clocks.
    fn duration(&self, halves: u64) -> u64 {
        let divisor = match self.divisor {
            0 => 0x1_0000,
            divisor => u64::from(divisor),
        };
        (halves * 8 * divisor * 10_000_000).div_ceil(CLOCK_HZ)
    }

    /// Start, data, parity and stop bits of a character, in half bits.
    fn character_halves(&self) -> u64 {
        let data = self.data_bits();
        let parity = u64::from(self.line_control & line::PARITY != 0);
        let stop = match (self.line_control & line::STOP != 0, data) {
            (false, _) => 2,
            (true, 5) => 3,
            (true, _) => 4,
        };
        2 * (1 + data + parity) + stop
    }

    fn character_time(&self) -> u64 {
        self.duration(self.character_halves())
    }

    fn data_bits(&self) -> u64 {
        u64::from(self.line_control & line::DATA_BITS) + 5
    }

    /// Keeps the bits that a character has on the wire.
    fn on_wire(&self, byte: u8) -> u8 {
        byte & (0xFF >> (8 - self.data_bits()))
    }

    const fn is_loopback(&self) -> bool {
        self.modem_control & modem::LOOP != 0
    }

    fn read_port(&mut self, port: u64, out: &mut Effects) -> u8 {
        let dlab = self.line_control & line::DLAB != 0;
        match port {
            register::DATA if dlab => self.divisor as u8,
            register::INTERRUPT_ENABLE if dlab => (self.divisor >> 8) as u8,
            register::DATA => self.take_received(out),
            register::INTERRUPT_ENABLE => self.enabled,
            register::INTERRUPT_ID => self.read_interrupt_id(),
            register::LINE_CONTROL => self.line_control,
            register::MODEM_CONTROL => self.modem_control,
            register::LINE_STATUS => {
                let value = self.line_status();
                self.errors = 0;
                value
            }
            register::MODEM_STATUS => {
                let value = self.modem_status;
                self.modem_status &= !input::DELTAS;
                value
            }
            register::SCRATCH => self.scratch,
            _ => 0xFF,
        }
    }

    fn write_port(&mut self, port: u64, value: u8, out: &mut Effects) {
        let dlab = self.line_control & line::DLAB != 0;
        match port {
            register::DATA if dlab => self.divisor = self.divisor & 0xFF00 | u16::from(value),
            register::INTERRUPT_ENABLE if dlab => {
                self.divisor = self.divisor & 0x00FF | u16::from(value) << 8;
            }
            register::DATA => self.transmit(value, out),
            register::INTERRUPT_ENABLE => self.write_enable(value & enable::ALL),
            register::INTERRUPT_ID => self.write_fifo_control(value),
            register::LINE_CONTROL => {
                let begins = value & !self.line_control & line::BREAK != 0;
                self.line_control = value;
                if begins && !self.is_loopback() {
                    out.push(Effect::Serial(SerialOutput::Break));
                }
            }
            register::MODEM_CONTROL => self.write_modem_control(value & modem::ALL, out),
            register::SCRATCH => self.scratch = value,
            _ => {}
        }
    }

    fn write_modem_control(&mut self, value: u8, out: &mut Effects) {
        let before = self.modem_outputs();
        self.modem_control = value;
        self.update_modem_status();
        let after = self.modem_outputs();
        if before != after {
            let (dtr, rts) = after;
            out.push(Effect::Serial(SerialOutput::Modem { dtr, rts }));
        }
        self.take_offered(out);
    }

    /// DTR and RTS at their pins, which loopback forces inactive ("Modem Control Register", bit 4).
    const fn modem_outputs(&self) -> (bool, bool) {
        let pins = if self.is_loopback() {
            0
        } else {
            self.modem_control
        };
        (pins & modem::DTR != 0, pins & modem::RTS != 0)
    }

    fn write_enable(&mut self, value: u8) {
        let rising = value & !self.enabled;
        self.enabled = value;
        if rising & enable::TRANSMITTER != 0 && self.transmitter.says_empty() {
            self.transmitter.has_interrupt = true;
        }
    }

    /// "FIFO Control Register": bit 0 must be set for the other bits to be taken; a change of
    /// bit 0 clears both FIFOs, and the first transmitter interrupt after it is immediate.
    fn write_fifo_control(&mut self, value: u8) {
        let has_fifos = value & fifo::ENABLE != 0;
        let changed = has_fifos != self.has_fifos;
        self.has_fifos = has_fifos;
        if changed || has_fifos && value & fifo::CLEAR_RECEIVER != 0 {
            self.receiver.clear();
        }
        if changed || has_fifos && value & fifo::CLEAR_TRANSMITTER != 0 {
            self.transmitter.clear(changed);
        }
        if has_fifos {
            self.trigger = value >> fifo::TRIGGER_SHIFT;
        }
    }

    fn read_interrupt_id(&mut self) -> u8 {
        let id = self.interrupt_id();
        if id == interrupt::TRANSMITTER {
            self.transmitter.has_interrupt = false;
        }
        id | if self.has_fifos { interrupt::FIFOS } else { 0 }
    }

    /// "Interrupt Control Functions", a row each.
    fn interrupt_id(&self) -> u8 {
        let enabled = |bit| self.enabled & bit != 0;
        if enabled(enable::LINE_STATUS) && self.errors != 0 {
            interrupt::LINE_STATUS
        } else if enabled(enable::RECEIVED) && self.receiver.has_timed_out {
            interrupt::TIMEOUT
        } else if enabled(enable::RECEIVED) && self.receiver.len() >= self.trigger_level() {
            interrupt::RECEIVED
        } else if enabled(enable::TRANSMITTER) && self.transmitter.has_interrupt {
            interrupt::TRANSMITTER
        } else if enabled(enable::MODEM_STATUS) && self.modem_status & input::DELTAS != 0 {
            interrupt::MODEM_STATUS
        } else {
            interrupt::NONE
        }
    }

    fn trigger_level(&self) -> usize {
        if self.has_fifos {
            fifo::TRIGGER[usize::from(self.trigger & 3)]
        } else {
            1
        }
    }

    fn line_status(&self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let error = self.errors & status::OF_CHARACTER != 0 || self.receiver.has_errors_below_top();
        self.errors
            | bit(self.receiver.len() != 0, status::DATA)
            | bit(self.transmitter.says_empty(), status::HOLDING_EMPTY)
            | bit(self.transmitter.is_idle(), status::TRANSMITTER_EMPTY)
            | bit(self.has_fifos && error, status::FIFO_ERROR)
    }

    /// "Modem Status Register". In loopback the inputs are the modem control's outputs:
    /// RTS to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD.
    fn update_modem_status(&mut self) {
        let inputs = if self.is_loopback() {
            [
                (modem::RTS, input::CTS),
                (modem::DTR, input::DSR),
                (modem::OUT1, input::RI),
                (modem::OUT2, input::DCD),
            ]
            .into_iter()
            .filter(|&(output, _)| self.modem_control & output != 0)
            .fold(0, |inputs, (_, input)| inputs | input)
        } else {
            self.inputs
        };
        let before = self.modem_status & !input::DELTAS;
        let mut deltas = (before ^ inputs) >> 4;
        if inputs & input::RI != 0 {
            deltas &= !input::TRAILING_RI;
        }
        self.modem_status = inputs | self.modem_status & input::DELTAS | deltas;
    }

    /// Tells the line if it changed. In loopback OUT2 is inactive at its pin.
    fn update_line(&mut self, out: &mut Effects) {
        let gate = self.modem_control & modem::OUT2 != 0 && !self.is_loopback();
        let asserted = gate && self.interrupt_id() != interrupt::NONE;
        if core::mem::replace(&mut self.is_asserted, asserted) != asserted {
            out.push(interrupt_effect(asserted));
        }
    }

    fn set_inputs(&mut self, lines: ModemLines) {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        self.inputs = bit(lines.cts, input::CTS)
            | bit(lines.dsr, input::DSR)
            | bit(lines.ri, input::RI)
            | bit(lines.dcd, input::DCD);
        self.update_modem_status();
    }
}

impl Device for Uart16550 {
    fn model(&self) -> &'static str {
        "uart16550"
    }

    /// Each port is 8 bits; wider accesses are several, as on the ISA bus.
    fn read(&mut self, region: Region, offset: u64, width: Width, out: &mut Effects) -> u64 {
        if region != Region(0) || offset >= PORTS {
            return width.ones();
        }
        let mut value = 0;
        for index in 0..width.bytes() {
            value |= u64::from(self.read_port(offset + index, out)) << (8 * index);
        }
        self.update_line(out);
        value
    }

    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects) {
        if region != Region(0) || offset >= PORTS {
            return;
        }
        for index in 0..width.bytes() {
            self.write_port(offset + index, (value >> (8 * index)) as u8, out);
        }
        self.update_line(out);
    }

    fn timer(&mut self, token: u32, out: &mut Effects) {
        match token & token::KIND {
            token::TRANSMITTED => self.end_transmission(out),
            token::HOLDING_EMPTY => self.transmitter.end_delay(),
            token::RECEIVED => self.end_reception(out),
            _ => self.receiver.time_out(token),
        }
        self.update_line(out);
    }

    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        match *stimulus {
            Stimulus::Receive(ref bytes) => {
                for &byte in bytes {
                    self.arrive(byte, 0, out);
                }
            }
            Stimulus::Offer(ref bytes) => self.offer(bytes, out),
            Stimulus::Serial(SerialEvent::ParityError(byte)) => {
                self.arrive(byte, status::PARITY, out);
            }
            Stimulus::Serial(SerialEvent::FramingError(byte)) => {
                self.arrive(byte, status::FRAMING, out);
            }
            // A character of zeros whose stop bit is missing, too.
            Stimulus::Serial(SerialEvent::Break) => {
                self.arrive(0, status::BREAK | status::FRAMING, out);
            }
            Stimulus::Serial(SerialEvent::Modem(lines)) => self.set_inputs(lines),
            Stimulus::Interrupt(0) => {
                let levels = if self.is_asserted {
                    [false, true]
                } else {
                    [true, false]
                };
                out.extend(levels.map(interrupt_effect));
            }
            _ => return false,
        }
        self.update_line(out);
        true
    }

    /// The modem inputs and what the other end has to send stay: they belong to the other end.
    /// What is on the wire is lost.
    fn reset(&mut self, out: &mut Effects) {
        let inputs = self.inputs;
        if self.is_asserted {
            out.push(interrupt_effect(false));
        }
        if self.modem_outputs() != (false, false) {
            out.push(Effect::Serial(SerialOutput::Modem {
                dtr: false,
                rts: false,
            }));
        }
        *self = Self {
            inputs,
            modem_status: inputs,
            receiver: self.receiver.after_reset(),
            ..Self::new()
        };
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
