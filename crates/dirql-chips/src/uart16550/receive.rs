//! The receiver: the wire, then the buffer register or FIFO.
//!
//! Source: PC16550D, "Line Status Register" bits 0 to 4 and 7, "FIFO Interrupt Mode Operation".

use alloc::collections::VecDeque;

use super::spec::FIFO_SIZE;
use super::{Uart16550, spec::status, token};
use crate::device::{Effect, Effects};

/// A character and what was wrong with it, as bits of the line status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Character {
    byte: u8,
    errors: u8,
}

/// Everything between the wire and the processor's read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receiver {
    /// What the other end sends as soon as RTS asks for it.
    offered: VecDeque<u8>,
    /// On the wire; the first one is being received.
    arriving: VecDeque<Character>,
    /// The FIFO, or the buffer register when there is no FIFO. The errors of the top one have
    /// moved to the line status.
    received: VecDeque<Character>,
    /// What the buffer register reads when nothing is there.
    last: u8,
    /// Which time-out counts: older ones are void.
    generation: u32,
    /// The one that is running.
    timing: Option<u32>,
    /// The time-out interrupt is pending.
    pub(super) has_timed_out: bool,
}

impl Receiver {
    pub(super) const fn new() -> Self {
        Self {
            offered: VecDeque::new(),
            arriving: VecDeque::new(),
            received: VecDeque::new(),
            last: 0,
            generation: 0,
            timing: None,
            has_timed_out: false,
        }
    }

    /// A receiver after a reset, with what the other end still has to send.
    pub(super) fn after_reset(&mut self) -> Self {
        Self {
            offered: core::mem::take(&mut self.offered),
            ..Self::new()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether a character that is not the next one to be read is wrong.
    pub(super) fn has_errors_below_top(&self) -> bool {
        self.received.iter().any(|character| character.errors != 0)
    }

    /// Clears the FIFO, not what is being received.
    pub(super) fn clear(&mut self) {
        self.received.clear();
        self.last = 0;
        self.stop_timeout();
    }

    pub(super) fn time_out(&mut self, token: u32) {
        if self.timing == Some(token) {
            self.timing = None;
        }
        if token == self.timeout_token() && !self.received.is_empty() {
            self.has_timed_out = true;
        }
    }

    fn stop_timeout(&mut self) {
        self.has_timed_out = false;
        self.generation = self.generation.wrapping_add(1);
    }

    const fn timeout_token(&self) -> u32 {
        self.generation << 2 | token::TIMEOUT
    }
}

impl Uart16550 {
    /// A character begins on the wire, after those that are there already.
    pub(super) fn arrive(&mut self, byte: u8, errors: u8, out: &mut Effects) {
        let is_first = self.receiver.arriving.is_empty();
        self.receiver.arriving.push_back(Character { byte, errors });
        if is_first {
            self.start_reception(out);
        }
    }

    /// The other end has more to send, when it may.
    pub(super) fn offer(&mut self, bytes: &[u8], out: &mut Effects) {
        self.receiver.offered.extend(bytes);
        self.take_offered(out);
    }

    /// The other end sends the next character if RTS asks for it and the wire is free.
    pub(super) fn take_offered(&mut self, out: &mut Effects) {
        let (_, rts) = self.modem_outputs();
        if !rts || !self.receiver.arriving.is_empty() {
            return;
        }
        if let Some(byte) = self.receiver.offered.pop_front() {
            self.arrive(byte, 0, out);
        }
    }

    /// A character has been received. In loopback the wire is not connected and it is lost.
    pub(super) fn end_reception(&mut self, out: &mut Effects) {
        let Some(character) = self.receiver.arriving.pop_front() else {
            return;
        };
        if !self.is_loopback() {
            self.put_received(self.on_wire(character.byte), character.errors, out);
        }
        if self.receiver.arriving.is_empty() {
            self.take_offered(out);
        } else {
            self.start_reception(out);
        }
    }

    fn start_reception(&self, out: &mut Effects) {
        let after_100ns = self.character_time();
        out.push(Effect::Timer {
            after_100ns,
            token: token::RECEIVED,
        });
    }

    /// "Overrun Error": without FIFOs the older character is lost, with FIFOs the newer one.
    pub(super) fn put_received(&mut self, byte: u8, errors: u8, out: &mut Effects) {
        if self.has_fifos && self.receiver.len() >= FIFO_SIZE {
            self.errors |= status::OVERRUN;
            self.restart_timeout(out);
            return;
        }
        if !self.has_fifos && self.receiver.received.pop_front().is_some() {
            self.errors |= status::OVERRUN;
        }
        self.receiver.received.push_back(Character { byte, errors });
        self.show_errors_of_top();
        self.restart_timeout(out);
    }

    /// A read of the receiver buffer register.
    pub(super) fn take_received(&mut self, out: &mut Effects) -> u8 {
        let Some(character) = self.receiver.received.pop_front() else {
            return self.receiver.last;
        };
        if !self.has_fifos {
            self.receiver.last = character.byte;
        }
        self.show_errors_of_top();
        self.restart_timeout(out);
        character.byte
    }

    /// An error "is revealed to the CPU when its associated character is at the top of the FIFO".
    fn show_errors_of_top(&mut self) {
        if let Some(top) = self.receiver.received.front_mut() {
            self.errors |= core::mem::take(&mut top.errors);
        }
    }

    /// The time-out counts four character times from the last character that came or was read.
    fn restart_timeout(&mut self, out: &mut Effects) {
        self.receiver.stop_timeout();
        if let Some(token) = self.receiver.timing.take() {
            out.push(Effect::StopTimer { token });
        }
        if self.has_fifos && !self.receiver.received.is_empty() {
            let after_100ns = self.duration(4 * self.character_halves());
            let token = self.receiver.timeout_token();
            self.receiver.timing = Some(token);
            out.push(Effect::Timer { after_100ns, token });
        }
    }
}
