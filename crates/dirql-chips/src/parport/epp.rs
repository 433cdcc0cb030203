//! EPP cycles: an access to a port is a transfer with its own handshake.
//!
//! Source: SMSC, LPC47M14x data sheet, "EPP 1.9 Operation": the chip asserts a strobe while nWait
//! (Busy) is low, the peripheral answers by raising it, the chip releases the strobe, and the
//! peripheral lowers nWait again.

use super::ParallelPort;
use crate::device::Effects;

/// The lines that a cycle drives; true is asserted, which is low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EppCycle {
    /// On the data lines, if they are outputs.
    pub(super) data: Option<u8>,
    /// nWrite, on nStrobe.
    pub(super) write: bool,
    /// nDStrb, on nAutoFd.
    pub(super) data_strobe: bool,
    /// nAStrb, on nSelectIn.
    pub(super) address_strobe: bool,
}

impl ParallelPort {
    /// "If the user leaves PCD as a logic 1, and attempts to perform an EPP write, the chip is
    /// unable to perform the write and will appear to perform an EPP read on the parallel bus, no
    /// error is indicated."
    pub(super) fn epp_write(&mut self, is_address: bool, value: u8, out: &mut Effects) {
        let value = (!self.is_input()).then_some(value);
        let _ = self.cycle(is_address, value, out);
    }

    /// With the data lines as outputs this reads what they drive.
    pub(super) fn epp_read(&mut self, is_address: bool, out: &mut Effects) -> u8 {
        self.cycle(is_address, None, out)
    }

    /// What is on the data lines at the end. A cycle that nobody answers reads ones.
    fn cycle(&mut self, is_address: bool, write: Option<u8>, out: &mut Effects) -> u8 {
        if self.seen.busy {
            self.has_timed_out = true;
            return 0xFF;
        }
        self.cycle = Some(EppCycle {
            data: write,
            write: write.is_some(),
            data_strobe: !is_address,
            address_strobe: is_address,
        });
        self.settle(out);
        let value = if self.seen.busy {
            self.host.data.unwrap_or(self.seen.data)
        } else {
            self.has_timed_out = true;
            0xFF
        };
        self.cycle = None;
        self.settle(out);
        value
    }
}
