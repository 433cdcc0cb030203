//! The protocols of IEEE 1284 by which a client's bytes get to a device and back, one register
//! access at a time.
//!
//! Source: IEEE 1284-1994, "Compatibility Mode", "Negotiation", "Nibble Mode", "Byte Mode",
//! "Termination"; numbers of events are the standard's.
//!
//! The status lines are looked at, so nAck does not interrupt, during these and after them.
//!
//! Not here: EPP and ECP mode.

use dirql_abi::parallel::{CONTROL_OFFSET, DATA_OFFSET, STATUS_OFFSET};
use dirql_chips::parport::spec::{control, status};

use super::chip::Hardware;
use crate::{Ddi, Kernel};

/// Selected, not in reset: compatibility mode.
const COMPATIBLE: u8 = control::NOT_INIT | control::SELECT_IN;

/// nSelectIn is high: a mode is negotiated.
const ACTIVE: u8 = control::NOT_INIT;

/// How often the status is read for an answer, 10 microseconds apart: 35 ms in all, the longest
/// that a peripheral may take.
const READS: u32 = 3500;
const APART_MICROSECONDS: u32 = 10;

/// A protocol from the device to the computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reverse {
    /// By the status lines.
    Nibble,
    /// By the data lines.
    Byte,
}

impl Reverse {
    /// The extensibility byte that asks for it.
    const fn request(self) -> u8 {
        match self {
            Self::Nibble => 0x00,
            Self::Byte => 0x01,
        }
    }

    /// What Xflag, the line Select, is when the device has it.
    const fn taken(self) -> u8 {
        match self {
            Self::Nibble => 0,
            Self::Byte => status::SELECT,
        }
    }
}

/// What came of a negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Negotiation {
    /// The mode began.
    Begun,
    /// The device has not got that mode; it is in compatibility mode again.
    Refused,
    /// Nobody there knows IEEE 1284.
    NoAnswer,
}

impl Kernel {
    /// One byte in compatibility mode. `false` if the device stays busy.
    pub(super) fn strobe_byte(&self, hardware: &Hardware, byte: u8) -> Ddi<bool> {
        if !self.lines_become(hardware, status::NOT_BUSY, status::NOT_BUSY)? {
            return Ok(false);
        }
        self.write_register(hardware, DATA_OFFSET, byte)?;
        for lines in [COMPATIBLE | control::STROBE, COMPATIBLE] {
            self.write_register(hardware, CONTROL_OFFSET, lines)?;
        }
        Ok(true)
    }

    /// Events 0 to 6.
    pub(super) fn negotiate(&self, hardware: &Hardware, mode: Reverse) -> Ddi<Negotiation> {
        const ANSWER: u8 = status::NOT_FAULT | status::SELECT | status::PAPER_END;
        self.write_register(hardware, DATA_OFFSET, mode.request())?;
        self.write_register(hardware, CONTROL_OFFSET, ACTIVE | control::AUTO_FEED)?;
        if !self.lines_become(hardware, ANSWER | status::NOT_ACK, ANSWER)? {
            self.write_register(hardware, CONTROL_OFFSET, COMPATIBLE)?;
            return Ok(Negotiation::NoAnswer);
        }
        let strobed = ACTIVE | control::AUTO_FEED | control::STROBE;
        self.write_register(hardware, CONTROL_OFFSET, strobed)?;
        self.write_register(hardware, CONTROL_OFFSET, ACTIVE)?;
        if !self.lines_become(hardware, status::NOT_ACK, status::NOT_ACK)? {
            self.write_register(hardware, CONTROL_OFFSET, COMPATIBLE)?;
            return Ok(Negotiation::NoAnswer);
        }
        if self.read_register(hardware, STATUS_OFFSET)? & status::SELECT == mode.taken() {
            return Ok(Negotiation::Begun);
        }
        self.terminate(hardware)?;
        Ok(Negotiation::Refused)
    }

    /// Events 22 to 28: back to compatibility mode. A device that does not answer is left there,
    /// too.
    pub(super) fn terminate(&self, hardware: &Hardware) -> Ddi<()> {
        self.write_register(hardware, CONTROL_OFFSET, COMPATIBLE)?;
        if self.lines_become(hardware, status::NOT_ACK, 0)? {
            self.write_register(hardware, CONTROL_OFFSET, COMPATIBLE | control::AUTO_FEED)?;
            self.lines_become(hardware, status::NOT_ACK, status::NOT_ACK)?;
            self.write_register(hardware, CONTROL_OFFSET, COMPATIBLE)?;
        }
        Ok(())
    }

    /// A byte in a mode that was negotiated; `None` if the device has none, or stops in the middle
    /// of one. In byte mode, the chip is one that can turn its data lines round.
    pub(super) fn take_byte(&self, hardware: &Hardware, mode: Reverse) -> Ddi<Option<u8>> {
        if self.read_register(hardware, STATUS_OFFSET)? & status::NOT_FAULT != 0 {
            return Ok(None);
        }
        if mode == Reverse::Byte {
            let byte = self.transfer_byte(hardware, ACTIVE | control::DIRECTION, DATA_OFFSET)?;
            // Events 16 and 17: the byte was taken.
            self.write_register(hardware, CONTROL_OFFSET, ACTIVE | control::STROBE)?;
            self.write_register(hardware, CONTROL_OFFSET, ACTIVE)?;
            return Ok(byte);
        }
        let Some(low) = self.transfer_byte(hardware, ACTIVE, STATUS_OFFSET)? else {
            return Ok(None);
        };
        let high = self.transfer_byte(hardware, ACTIVE, STATUS_OFFSET)?;
        Ok(high.map(|high| nibble(low) | nibble(high) << 4))
    }

    /// Events 7 to 11: what the register holds when the device says that it is on the lines.
    fn transfer_byte(&self, hardware: &Hardware, lines: u8, register: u32) -> Ddi<Option<u8>> {
        self.write_register(hardware, CONTROL_OFFSET, lines | control::AUTO_FEED)?;
        if !self.lines_become(hardware, status::NOT_ACK, 0)? {
            self.write_register(hardware, CONTROL_OFFSET, lines)?;
            return Ok(None);
        }
        let value = self.read_register(hardware, register)?;
        self.write_register(hardware, CONTROL_OFFSET, lines)?;
        let ended = self.lines_become(hardware, status::NOT_ACK, status::NOT_ACK)?;
        Ok(ended.then_some(value))
    }

    /// Waits until these status lines are as wanted. `false` if they are not in time.
    fn lines_become(&self, hardware: &Hardware, which: u8, wanted: u8) -> Ddi<bool> {
        for _ in 0..READS {
            if self.read_register(hardware, STATUS_OFFSET)? & which == wanted {
                return Ok(true);
            }
            self.ke_stall_execution_processor(APART_MICROSECONDS)?;
        }
        Ok(false)
    }
}

/// "Nibble Mode", table of signals: nFault, Select, PError and Busy are bits 0 to 3.
const fn nibble(lines: u8) -> u8 {
    // The register shows Busy inverted.
    (lines >> 3 & 7) | if lines & status::NOT_BUSY == 0 { 8 } else { 0 }
}
