//! The FIFO, and the handshakes that move its bytes.
//!
//! Sources: SMSC, FDC37C669 data sheet, "cFifo", "ecpDFifo", "tFifo", "Interrupts", "FIFO
//! Operation"; LPC47M14x data sheet, "Mode Switching/Software Control", "Data Compression";
//! Microsoft, Extended Capabilities Port Protocol, "Forward Data Transfer Phase", "Reverse Data
//! Transfer Phase".

use alloc::collections::VecDeque;

use super::cable::PeerPins;
use super::spec::{FIFO_SIZE, FIFO_THRESHOLD, Mode, ecr, time};
use super::{Cause, ParallelPort};
use crate::device::{Effect, Effects};

/// The FIFO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fifo {
    entries: VecDeque<Entry>,
    /// What an empty FIFO reads as: "the last data byte is re-read again".
    last: u8,
    transfer: Transfer,
    /// How often the next byte that comes counts, less 1.
    run: u8,
    /// Expanded bytes that did not fit: the byte, and how many.
    rest: (u8, u8),
    /// Of the timer that is under way.
    generation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    byte: u8,
    /// An address or run length in ECP mode.
    is_command: bool,
}

/// Where the first entry is on its way out, or the next on its way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Transfer {
    #[default]
    Idle,
    /// Compatible: data is on the lines.
    SetUp,
    /// Compatible: nStrobe is low.
    Strobe,
    /// Compatible: nStrobe is high again.
    Hold,
    /// ECP forward: nStrobe is low, until Busy is high.
    Clock,
    /// ECP forward: nStrobe is high again, until Busy is low.
    Release,
    /// ECP reverse: nAutoFd is low, until nAck is low.
    Ready,
    /// ECP reverse: nAutoFd is high, until nAck is high.
    Taken,
}

/// What the handshakes drive; true is asserted, which is low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) data: Option<u8>,
    pub(super) strobe: bool,
    pub(super) auto_feed: bool,
}

impl Fifo {
    /// Forgets everything, and gives the lines back.
    pub(super) fn clear(&mut self) {
        *self = Self {
            generation: self.generation.wrapping_add(1),
            ..Self::default()
        };
    }

    /// The FIFO's bits of the extended control register.
    pub(super) fn flags(&self) -> u8 {
        match self.entries.len() {
            0 => ecr::EMPTY,
            FIFO_SIZE => ecr::FULL,
            _ => 0,
        }
    }

    /// What the processor reads.
    pub(super) fn pop(&mut self) -> u8 {
        if let Some(entry) = self.entries.pop_front() {
            self.last = entry.byte;
        }
        self.last
    }

    pub(super) fn lines(&self) -> Lines {
        let entry = self.entries.front();
        let is_command = entry.is_some_and(|entry| entry.is_command);
        let data = entry.map(|entry| entry.byte);
        match self.transfer {
            Transfer::Idle | Transfer::Taken => Lines::default(),
            Transfer::SetUp | Transfer::Hold => Lines {
                data,
                ..Lines::default()
            },
            Transfer::Strobe => Lines {
                data,
                strobe: true,
                auto_feed: false,
            },
            Transfer::Clock | Transfer::Release => Lines {
                data,
                strobe: self.transfer == Transfer::Clock,
                auto_feed: is_command,
            },
            Transfer::Ready => Lines {
                auto_feed: true,
                ..Lines::default()
            },
        }
    }

    /// A step of the compatible handshake is over.
    pub(super) fn timer(&mut self, token: u32, out: &mut Effects) {
        if token != self.token() {
            return;
        }
        match self.transfer {
            Transfer::SetUp => {
                self.transfer = Transfer::Strobe;
                self.start_timer(out);
            }
            Transfer::Strobe => {
                self.transfer = Transfer::Hold;
                self.start_timer(out);
            }
            Transfer::Hold => {
                self.entries.pop_front();
                self.transfer = Transfer::Idle;
            }
            _ => {}
        }
    }

    /// Bit 0 is clear: it is the chip's.
    const fn token(&self) -> u32 {
        self.generation << 1
    }

    fn start_timer(&mut self, out: &mut Effects) {
        self.generation = self.generation.wrapping_add(1);
        out.push(Effect::Timer {
            after_100ns: time::STROBE_100NS,
            token: self.token(),
        });
    }

    fn room(&self) -> usize {
        FIFO_SIZE - self.entries.len()
    }

    fn put(&mut self, byte: u8) {
        self.entries.push_back(Entry {
            byte,
            is_command: false,
        });
    }

    /// "A run-length count of zero specifies that only one byte of data is represented by the
    /// next data byte." Channel addresses of the peripheral are not kept: they "may not be
    /// supported in hardware".
    pub(super) fn receive(&mut self, pins: PeerPins) {
        if pins.busy {
            self.rest = (pins.data, core::mem::take(&mut self.run));
            self.put(pins.data);
        } else if pins.data & 0x80 == 0 {
            self.run = pins.data;
        }
    }

    /// Puts what is left of a run where there is room.
    pub(super) fn expand(&mut self) {
        while self.rest.1 != 0 && self.room() != 0 {
            self.rest.1 -= 1;
            self.put(self.rest.0);
        }
    }
}

impl ParallelPort {
    /// What the processor writes. "If an attempt is made to write data to a full tFIFO, the new
    /// data is not accepted."
    pub(super) fn push(&mut self, byte: u8, is_command: bool) {
        let reverse = self.mode() == Mode::Ecp && self.is_input();
        if !reverse && self.fifo.room() != 0 {
            self.fifo.entries.push_back(Entry { byte, is_command });
        }
    }

    /// One step of the handshake, if the peer's lines allow one.
    pub(super) fn move_fifo(&mut self, pins: PeerPins, out: &mut Effects) -> bool {
        let next = match (self.mode(), self.is_input()) {
            (Mode::CompatibleFifo, _) => self.move_compatible(pins, out),
            (Mode::Ecp, false) => self.move_forward(pins),
            (Mode::Ecp, true) => self.move_reverse(pins),
            _ => return false,
        };
        next.is_some_and(|next| core::mem::replace(&mut self.fifo.transfer, next) != next)
    }

    /// "Transmitted by a hardware handshake to the peripheral using the standard parallel port
    /// protocol": nothing is sent while Busy is high.
    fn move_compatible(&mut self, pins: PeerPins, out: &mut Effects) -> Option<Transfer> {
        let waits = self.fifo.transfer == Transfer::Idle && !self.fifo.entries.is_empty();
        if !waits || pins.busy {
            return None;
        }
        self.fifo.start_timer(out);
        Some(Transfer::SetUp)
    }

    fn move_forward(&mut self, pins: PeerPins) -> Option<Transfer> {
        let fifo = &mut self.fifo;
        match fifo.transfer {
            Transfer::Clock if pins.busy => Some(Transfer::Release),
            Transfer::Release if !pins.busy => {
                fifo.entries.pop_front();
                Some(Transfer::Idle)
            }
            Transfer::Clock | Transfer::Release => None,
            _ if !fifo.entries.is_empty() && !pins.busy => Some(Transfer::Clock),
            _ => Some(Transfer::Idle),
        }
    }

    fn move_reverse(&mut self, pins: PeerPins) -> Option<Transfer> {
        let fifo = &mut self.fifo;
        fifo.expand();
        match fifo.transfer {
            Transfer::Ready if !pins.n_ack => {
                fifo.receive(pins);
                fifo.expand();
                Some(Transfer::Taken)
            }
            Transfer::Taken if pins.n_ack => Some(Transfer::Idle),
            Transfer::Ready | Transfer::Taken => None,
            _ if fifo.room() != 0 => Some(Transfer::Ready),
            _ => Some(Transfer::Idle),
        }
    }

    /// "Once one of the service interrupts has occurred serviceIntr shall be set to a 1 by
    /// hardware."
    pub(super) fn serve_fifo(&mut self, out: &mut Effects) {
        let forward = match self.mode() {
            Mode::CompatibleFifo => true,
            Mode::Ecp | Mode::Test => !self.is_input(),
            _ => return,
        };
        if self.ecr & (ecr::DMA | ecr::SERVICE) != 0 {
            return;
        }
        let count = if forward {
            self.fifo.room()
        } else {
            self.fifo.entries.len()
        };
        if count >= FIFO_THRESHOLD {
            self.ecr |= ecr::SERVICE;
            self.interrupt(Cause::Service, out);
        }
    }
}
