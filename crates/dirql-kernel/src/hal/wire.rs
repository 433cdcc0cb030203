//! What is at a device's other end: the wire that leaves the computer.
//!
//! Bytes that leave a device are kept until somebody asks for them; if another device, or the
//! same one, is wired to it, they arrive there as well. Serial ports are wired as a null modem
//! does it: RTS to CTS, DTR to DSR and DCD; nothing rings.
//!
//! Source: EIA-232, the circuits; the crossing of a null modem is what is sold under that name.

use alloc::vec::Vec;

use dirql_chips::{ModemLines, SerialEvent, SerialOutput, Stimulus};

use crate::Kernel;
use crate::hal::DeviceId;

impl Kernel {
    /// Wires `from` to `to`: what leaves the one arrives at the other. Both may be the same
    /// device. The other direction is a call of its own.
    ///
    /// Returns whether both are there and `to` is a serial port.
    pub fn wire(&self, from: DeviceId, to: DeviceId) -> bool {
        let is_known = self.with_slot(from, |slot| slot.wired = Some(to)).is_some();
        // Nothing asserts its outputs after power-on.
        self.sent_serial(
            from,
            SerialOutput::Modem {
                dtr: false,
                rts: false,
            },
        );
        is_known && self.stimulate(to, &Stimulus::Offer(Vec::new()))
    }

    /// Bytes have left at a device's other end.
    pub(super) fn sent(&self, device: DeviceId, bytes: &[u8]) {
        let wired = self.with_slot(device, |slot| {
            slot.sent.extend_from_slice(bytes);
            slot.wired
        });
        if let Some(to) = wired.flatten() {
            self.stimulate(to, &Stimulus::Receive(bytes.to_vec()));
        }
    }

    /// Something else has left a serial port.
    pub(super) fn sent_serial(&self, device: DeviceId, output: SerialOutput) {
        let Some(to) = self.with_slot(device, |slot| slot.wired).flatten() else {
            return;
        };
        let event = match output {
            SerialOutput::Break => SerialEvent::Break,
            SerialOutput::Modem { dtr, rts } => SerialEvent::Modem(ModemLines {
                cts: rts,
                dsr: dtr,
                ri: false,
                dcd: dtr,
            }),
        };
        self.stimulate(to, &Stimulus::Serial(event));
    }
}
