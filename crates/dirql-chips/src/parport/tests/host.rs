//! What a driver does with the registers: the computer's half of the protocols.

use alloc::vec::Vec;

use super::super::spec::{control, status};
use super::Bench;

/// Selected, not in reset, nothing else.
const IDLE: u8 = control::NOT_INIT | control::SELECT_IN;

impl Bench {
    pub(super) fn status(&mut self) -> u8 {
        self.read_at(0, 1).0
    }

    pub(super) fn control(&mut self, value: u8) {
        self.write_at(0, 2, value);
    }

    pub(super) fn data(&mut self, value: u8) {
        self.write_at(0, 0, value);
    }

    pub(super) fn ecr(&mut self, value: u8) {
        self.write_at(1, 2, value);
    }

    /// A byte by nStrobe.
    pub(super) fn strobe(&mut self, value: u8) {
        self.data(value);
        self.control(IDLE | control::STROBE);
        self.control(IDLE);
    }

    /// IEEE 1284-1994, "Negotiation". Whether the mode was taken.
    pub(super) fn negotiate(&mut self, request: u8) -> bool {
        self.control(IDLE);
        self.data(request);
        self.control(control::NOT_INIT | control::AUTO_FEED);
        let lines = status::NOT_FAULT | status::SELECT | status::PAPER_END | status::NOT_ACK;
        assert_eq!(self.status() & lines, lines & !status::NOT_ACK, "event 2");
        self.control(control::NOT_INIT | control::AUTO_FEED | control::STROBE);
        self.control(control::NOT_INIT);
        assert_ne!(self.status() & status::NOT_ACK, 0, "event 6");
        let x_flag = self.status() & status::SELECT != 0;
        x_flag != (request & !4 == 0)
    }

    /// "Termination".
    pub(super) fn terminate(&mut self) {
        self.control(IDLE);
        assert_eq!(self.status() & status::NOT_ACK, 0, "event 24");
        self.control(IDLE | control::AUTO_FEED);
        assert_ne!(self.status() & status::NOT_ACK, 0, "event 27");
        self.control(IDLE);
    }

    pub(super) fn has_data(&mut self) -> bool {
        self.status() & status::NOT_FAULT == 0
    }

    /// "Nibble Mode": all that there is.
    pub(super) fn read_nibbles(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.has_data() {
            let low = self.nibble();
            bytes.push(low | self.nibble() << 4);
        }
        bytes
    }

    fn nibble(&mut self) -> u8 {
        self.control(control::NOT_INIT | control::AUTO_FEED);
        let lines = self.status();
        assert_eq!(lines & status::NOT_ACK, 0, "event 9");
        self.control(control::NOT_INIT);
        assert_ne!(self.status() & status::NOT_ACK, 0, "event 11");
        lines >> 3 & 7 | if lines & status::NOT_BUSY == 0 { 8 } else { 0 }
    }

    /// "Byte Mode": all that there is.
    pub(super) fn read_bytes(&mut self) -> Vec<u8> {
        let input = control::NOT_INIT | control::DIRECTION;
        let mut bytes = Vec::new();
        while self.has_data() {
            self.control(input | control::AUTO_FEED);
            assert_eq!(self.status() & status::NOT_ACK, 0, "event 9");
            bytes.push(self.read_at(0, 0).0);
            self.control(input);
            assert_ne!(self.status() & status::NOT_ACK, 0, "event 11");
            self.control(input | control::STROBE);
            self.control(input);
        }
        self.control(control::NOT_INIT);
        bytes
    }

    /// "ECP Mode", events 30 and 31.
    pub(super) fn set_ecp_up(&mut self) {
        self.control(control::NOT_INIT | control::AUTO_FEED);
        assert_ne!(self.status() & status::PAPER_END, 0, "event 31");
        self.control(control::NOT_INIT);
    }

    /// Events 38 to 40: from forward to reverse, in mode 001.
    pub(super) fn reverse(&mut self) {
        self.ecr(0x34);
        let input = control::NOT_INIT | control::DIRECTION | control::AUTO_FEED;
        self.control(input);
        self.control(input & !control::NOT_INIT);
        assert_eq!(self.status() & status::PAPER_END, 0, "event 40");
        // "Set autoFd = 0": from here on the chip does it.
        self.control(control::DIRECTION);
    }

    /// Events 47 to 49.
    pub(super) fn forward(&mut self) {
        self.ecr(0x34);
        self.control(control::NOT_INIT | control::DIRECTION | control::AUTO_FEED);
        assert_ne!(self.status() & status::PAPER_END, 0, "event 49");
        self.control(control::NOT_INIT);
    }
}
