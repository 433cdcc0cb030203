//! A daisy chain of IEEE 1284.3 devices.
//!
//! Sources: IEEE 1284.3-2000, "Command packet protocol (CPP)", "DC architecture"; the packets and
//! the answers to them as the parallel-port driver of the Windows 2000 DDK and Linux's
//! `drivers/parport/daisy.c` expect them.
//!
//! A packet is a sequence of bytes on the data lines, without strobes: AA 55 00 FF 87 78, a
//! command, FF. Devices answer on the status lines after FF, 87 and 78. nStrobe carries the
//! command out; while it is low nFault is high if a device is selected. An address goes to the
//! first device that has not got one in this packet.
//!
//! The two drivers disagree on what nFault says about a selection; this is how Windows reads it.
//!
//! Not modelled: product IDs, interrupts of devices that are not selected, multiplexors.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::cable::{HostPins, PeerPins};
use super::ieee1284::{Ecp, Epp, Phase};
use super::peripheral::Peripheral;
use crate::device::{Effects, Stimulus};

/// The bytes before a command.
const PACKET: [u8; 6] = [0xAA, 0x55, 0x00, 0xFF, 0x87, 0x78];
/// The byte after it.
const END: u8 = 0xFF;
/// The most devices that can have an address.
pub const MAX_DEVICES: usize = 4;

/// Commands; the low two bits of all but the last are an address.
mod command {
    pub(super) const ADDRESS: u8 = 0x03;
    pub(super) const ASSIGN: u8 = 0x00;
    pub(super) const SELECT_EPP: u8 = 0x20;
    pub(super) const SELECT_ECP: u8 = 0xD0;
    pub(super) const SELECT: u8 = 0xE0;
    pub(super) const DESELECT: u8 = 0x30;
}

/// Devices one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    devices: Vec<ChainDevice>,
    end: Option<Box<Peripheral>>,
    /// The device that the computer talks to; else it talks to the end.
    selected: Option<usize>,
    /// How many bytes of a packet were seen.
    progress: usize,
    /// How many devices got an address in this packet.
    assigned: usize,
    host: HostPins,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ChainDevice {
    peripheral: Peripheral,
    address: Option<u8>,
}

impl Chain {
    /// So many scripted devices, taken into 1..=4, and a peripheral at the end if there is one.
    #[must_use]
    pub fn new(devices: usize, end: Option<Peripheral>) -> Self {
        let devices = (0..devices.clamp(1, MAX_DEVICES)).map(|index| ChainDevice {
            // At most 4.
            peripheral: Peripheral::script().with_index(index as u8 + 1),
            address: None,
        });
        Self {
            devices: devices.collect(),
            end: end.map(|end| Box::new(end.with_index(0))),
            selected: None,
            progress: 0,
            assigned: 0,
            host: HostPins::IDLE,
        }
    }

    pub(super) fn after_power_up(&self) -> Self {
        let end = self.end.as_ref().map(|end| end.after_power_up());
        Self::new(self.devices.len(), end)
    }

    fn is_command_phase(&self) -> bool {
        self.progress == PACKET.len()
    }

    /// Whom the computer talks to.
    fn partner(&self) -> Option<&Peripheral> {
        match self.selected {
            Some(index) => self.devices.get(index).map(|device| &device.peripheral),
            None => self.end.as_deref(),
        }
    }

    fn partner_mut(&mut self) -> Option<&mut Peripheral> {
        match self.selected {
            Some(index) => self
                .devices
                .get_mut(index)
                .map(|device| &mut device.peripheral),
            None => self.end.as_deref_mut(),
        }
    }

    /// The answers to a packet, or what the partner drives.
    pub(super) fn pins(&self) -> PeerPins {
        let partner = self.partner().map_or(PeerPins::PULLED_UP, Peripheral::pins);
        let answer = PeerPins {
            busy: false,
            paper_end: true,
            select: true,
            n_fault: true,
            ..partner
        };
        match self.progress {
            4 => answer,
            5 => PeerPins {
                busy: true,
                paper_end: false,
                ..answer
            },
            // With all addresses given, the status is that of the end.
            6 if self.assigned >= self.devices.len() => partner,
            6 => PeerPins {
                busy: self.assigned + 1 == self.devices.len(),
                n_fault: self.selected.is_some(),
                ..answer
            },
            _ => partner,
        }
    }

    pub(super) fn host_changed(&mut self, host: HostPins, out: &mut Effects) {
        let before = core::mem::replace(&mut self.host, host);
        // "Make sure 1284.3 devices do not get reset": nInit low while nSelectIn is, too.
        if !host.n_init && !host.n_select_in {
            self.selected = None;
            self.progress = 0;
            self.devices
                .iter_mut()
                .for_each(|device| device.address = None);
        }
        if let Some(data) = host.data
            && before.data != Some(data)
        {
            self.watch(data);
        }
        if self.is_command_phase() {
            if before.n_strobe && !host.n_strobe {
                self.carry_out(out);
            }
            // Packets end here.
            return;
        }
        if let Some(partner) = self.partner_mut() {
            partner.host_changed(host, out);
        }
    }

    /// Another byte on the data lines.
    fn watch(&mut self, data: u8) {
        if self.is_command_phase() {
            if data == END {
                self.progress = 0;
            }
        } else if data == PACKET[self.progress] {
            self.progress += 1;
            self.assigned = 0;
        } else {
            self.progress = usize::from(data == PACKET[0]);
        }
    }

    fn carry_out(&mut self, out: &mut Effects) {
        let Some(byte) = self.host.data else { return };
        let address = byte & command::ADDRESS;
        match byte & !command::ADDRESS {
            command::ASSIGN => {
                if let Some(device) = self.devices.get_mut(self.assigned) {
                    device.address = Some(address);
                    self.assigned += 1;
                }
            }
            command::SELECT => self.select(address, Phase::Compatible, out),
            command::SELECT_ECP => {
                self.select(address, Phase::Ecp(Ecp::Forward { run: 0 }), out);
            }
            command::SELECT_EPP => {
                let epp = Epp {
                    address: 0,
                    cycle: None,
                };
                self.select(address, Phase::Epp(epp), out);
            }
            command::DESELECT => self.change_partner(None),
            _ => {}
        }
    }

    fn select(&mut self, address: u8, phase: Phase, out: &mut Effects) {
        let found = |device: &ChainDevice| device.address == Some(address);
        self.change_partner(self.devices.iter().position(found));
        let Some(index) = self.selected else { return };
        let peripheral = &mut self.devices[index].peripheral;
        peripheral.phase = phase;
        if phase == Phase::Compatible {
            peripheral.announce(out);
        } else {
            peripheral.stop_announcing();
        }
    }

    /// The new partner sees no edges because of that.
    fn change_partner(&mut self, selected: Option<usize>) {
        self.selected = selected;
        let host = HostPins {
            n_strobe: true,
            ..self.host
        };
        if let Some(partner) = self.partner_mut() {
            partner.attach(host);
        }
    }

    pub(super) fn timer(&mut self, token: u32, out: &mut Effects) {
        let devices = self.devices.iter_mut().map(|device| &mut device.peripheral);
        for peripheral in devices.chain(self.end.as_deref_mut()) {
            peripheral.timer(token, out);
        }
    }

    /// It happens to whom the computer talks to.
    pub(super) fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        self.partner_mut()
            .is_some_and(|partner| partner.stimulate(stimulus, out))
    }
}
