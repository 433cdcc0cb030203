//! The transmitter: holding register or FIFO, then the shift register.
//!
//! Source: PC16550D, "Line Status Register" bits 5 and 6, "FIFO Interrupt Mode Operation".

use alloc::collections::VecDeque;
use alloc::vec;

use super::spec::FIFO_SIZE;
use super::{Uart16550, token};
use crate::device::{Effect, Effects};

/// Everything between the processor's write and the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transmitter {
    /// The FIFO, or the holding register when there is no FIFO.
    waiting: VecDeque<u8>,
    /// The shift register.
    shifting: Option<u8>,
    /// The FIFO is empty, but that is not shown yet.
    is_delayed: bool,
    /// There were two characters in the FIFO at once since it was last shown as empty.
    had_two: bool,
    /// The "holding register empty" interrupt is pending.
    pub(super) has_interrupt: bool,
}

impl Transmitter {
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            shifting: None,
            is_delayed: false,
            had_two: false,
            has_interrupt: false,
        }
    }

    /// Line status bit 5.
    pub(super) fn says_empty(&self) -> bool {
        self.waiting.is_empty() && !self.is_delayed
    }

    /// Line status bit 6.
    pub(super) fn is_idle(&self) -> bool {
        self.says_empty() && self.shifting.is_none()
    }

    /// Clears the FIFO, not the shift register. `interrupts` says that an interrupt follows even
    /// if it was empty.
    pub(super) fn clear(&mut self, interrupts: bool) {
        let was_empty = self.says_empty();
        self.waiting.clear();
        self.is_delayed = false;
        self.had_two = false;
        if interrupts || !was_empty {
            self.has_interrupt = true;
        }
    }

    /// The delay of the empty indication is over.
    pub(super) fn end_delay(&mut self) {
        if core::mem::take(&mut self.is_delayed) && self.waiting.is_empty() {
            self.show_empty();
        }
    }

    fn show_empty(&mut self) {
        self.is_delayed = false;
        self.had_two = false;
        self.has_interrupt = true;
    }
}

impl Uart16550 {
    /// A write to the transmitter holding register.
    pub(super) fn transmit(&mut self, byte: u8, out: &mut Effects) {
        let size = if self.has_fifos { FIFO_SIZE } else { 1 };
        let transmitter = &mut self.transmitter;
        if transmitter.waiting.len() >= size {
            transmitter.waiting.pop_front();
        }
        transmitter.waiting.push_back(byte);
        transmitter.has_interrupt = false;
        transmitter.had_two |= transmitter.waiting.len() >= 2;
        self.start_transmission(out);
    }

    /// The shift register is empty again.
    pub(super) fn end_transmission(&mut self, out: &mut Effects) {
        let Some(byte) = self.transmitter.shifting.take() else {
            return;
        };
        // With no delay timer of its own left, the indication is due at the latest now.
        self.transmitter.end_delay();
        let byte = self.on_wire(byte);
        if self.is_loopback() {
            self.put_received(byte, 0, out);
        } else {
            out.push(Effect::Output(vec![byte]));
        }
        self.start_transmission(out);
    }

    /// Moves the next character to the shift register, if that is free.
    ///
    /// With FIFOs: "the transmitter FIFO empty indications will be delayed 1 character time minus
    /// the last stop bit time whenever … there have not been at least two bytes at the same time in
    /// the transmit FIFO since the last THRE = 1".
    fn start_transmission(&mut self, out: &mut Effects) {
        if self.transmitter.shifting.is_some() {
            return;
        }
        let Some(byte) = self.transmitter.waiting.pop_front() else {
            return;
        };
        self.transmitter.shifting = Some(byte);
        let after_100ns = self.character_time();
        if self.transmitter.waiting.is_empty() {
            if self.has_fifos && !self.transmitter.had_two {
                self.transmitter.is_delayed = true;
                let after_100ns = self.duration(self.character_halves() - 2);
                out.push(Effect::Timer {
                    after_100ns,
                    token: token::HOLDING_EMPTY,
                });
            } else {
                self.transmitter.show_empty();
            }
        }
        out.push(Effect::Timer {
            after_100ns,
            token: token::TRANSMITTED,
        });
    }
}
