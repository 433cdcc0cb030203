//! A peripheral: a printer, or a partner that follows a script.
//!
//! Both take bytes with nStrobe, Busy and nAck (IEEE 1284-1994, "Compatibility Mode") and can be
//! negotiated into the other modes of that standard, see [`super::ieee1284`].
//!
//! The scripted one also sends in compatibility mode, by a protocol of our own for ports whose data
//! lines can be inputs. While it has bytes, nFault is low and the first byte is on the data lines
//! whenever the computer does not drive them. It pulses nAck once for each byte; the rising edge
//! interrupts. A pulse of nStrobe while the data lines are inputs takes the byte.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use super::super::cable::{HostPins, PeerPins};
use super::super::spec::time;
use super::super::token;
use super::ieee1284::Phase;
use crate::device::{Effect, Effects, Stimulus};

/// What kind of peripheral it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Printer,
    Script,
}

/// A peripheral.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peripheral {
    role: Role,
    /// Tells its timers from those of others on the same cable, 0..=7.
    index: u8,
    is_offline: bool,
    pub(super) phase: Phase,
    /// What the computer drives.
    pub(super) host: HostPins,
    /// What it has for the computer.
    reverse: VecDeque<u8>,
    /// Of its device ID, what is still to be read; `None` if the computer did not ask for it.
    pub(super) identity: Option<VecDeque<u8>>,
    forward: Forward,
    announcement: Announcement,
    generations: [u32; 3],
}

/// The byte that came last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forward {
    Idle,
    /// It is being worked on; Busy is high.
    Working(u8),
    /// It is acknowledged: nAck is low.
    Acknowledging,
}

/// The byte of a script that is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announcement {
    Silent,
    /// The one before was just taken.
    Gap,
    /// nAck is low.
    Pulse,
    /// nAck is high again.
    Offered,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A byte in compatibility mode.
    Forward = 0,
    /// An announcement in compatibility mode.
    Reverse = 1,
    /// Something in another mode.
    Mode = 2,
}

impl Peripheral {
    /// A printer. Pressing it takes it off line, as without paper; releasing it puts it back.
    #[must_use]
    pub fn printer() -> Self {
        Self::new(Role::Printer, 0)
    }

    /// A partner that sends what it is told to.
    #[must_use]
    pub fn script() -> Self {
        Self::new(Role::Script, 0)
    }

    fn new(role: Role, index: u8) -> Self {
        Self {
            role,
            index,
            is_offline: false,
            phase: Phase::Compatible,
            host: HostPins::IDLE,
            reverse: VecDeque::new(),
            identity: None,
            forward: Forward::Idle,
            announcement: Announcement::Silent,
            generations: [0; 3],
        }
    }

    /// The same with another index.
    pub(super) const fn with_index(mut self, index: u8) -> Self {
        self.index = index;
        self
    }

    /// The same, just switched on.
    pub(super) fn after_power_up(&self) -> Self {
        Self::new(self.role, self.index)
    }

    /// What it drives now.
    #[must_use]
    pub fn pins(&self) -> PeerPins {
        match self.phase {
            Phase::Compatible => self.compatible_pins(),
            _ => self.negotiated_pins(),
        }
    }

    /// What it drives in compatibility mode, whether or not it is in it.
    pub(super) fn compatible_pins(&self) -> PeerPins {
        let has_bytes = self.role == Role::Script && !self.reverse.is_empty();
        PeerPins {
            data: self.reverse.front().copied().unwrap_or(0xFF),
            n_ack: self.forward != Forward::Acknowledging
                && self.announcement != Announcement::Pulse,
            busy: self.is_offline || !self.host.n_init || self.forward != Forward::Idle,
            paper_end: self.is_offline,
            select: !self.is_offline,
            n_fault: !self.is_offline && !has_bytes,
        }
    }

    pub(super) fn host_changed(&mut self, host: HostPins, out: &mut Effects) {
        let before = core::mem::replace(&mut self.host, host);
        let is_reset = match self.phase {
            Phase::Compatible => !host.n_init,
            _ => self.is_reset_in_mode(),
        };
        if is_reset {
            self.initialize();
        } else if self.phase != Phase::Compatible {
            self.follow(before, out);
        } else if self.is_negotiation(before) {
            self.phase = Phase::Negotiating { requested: None };
            self.announcement = Announcement::Silent;
        } else if before.n_strobe && !host.n_strobe {
            self.strobe(out);
        }
        self.announce(out);
    }

    /// The computer was already driving this when it came to the cable.
    pub(super) fn attach(&mut self, host: HostPins) {
        self.host = host;
    }

    /// nInit: back to the state after power-up, but what is to be sent stays.
    fn initialize(&mut self) {
        self.phase = Phase::Compatible;
        self.identity = None;
        self.forward = Forward::Idle;
        self.announcement = Announcement::Silent;
        self.cancel();
    }

    /// nStrobe went low. A byte that comes while Busy is high is lost.
    fn strobe(&mut self, out: &mut Effects) {
        match self.host.data {
            None => self.taken(out),
            Some(byte) if !self.host.n_select_in && !self.compatible_pins().busy => {
                self.forward = Forward::Working(byte);
                self.schedule(Slot::Forward, time::PRINT_100NS, out);
            }
            Some(_) => {}
        }
    }

    fn taken(&mut self, out: &mut Effects) {
        let offered = matches!(
            self.announcement,
            Announcement::Pulse | Announcement::Offered
        );
        if offered && self.reverse.pop_front().is_some() {
            self.announcement = Announcement::Gap;
            self.schedule(Slot::Reverse, time::PRINT_100NS, out);
        }
    }

    /// Pulses nAck for the next byte of a script.
    pub(super) fn announce(&mut self, out: &mut Effects) {
        let can = self.role == Role::Script
            && self.phase == Phase::Compatible
            && self.host.n_init
            && !self.reverse.is_empty();
        if can && self.announcement == Announcement::Silent {
            self.announcement = Announcement::Pulse;
            self.schedule(Slot::Reverse, time::ACK_100NS, out);
        }
    }

    /// Another mode begins: nothing is announced by pulses there.
    pub(super) fn stop_announcing(&mut self) {
        self.announcement = Announcement::Silent;
    }

    pub(super) fn timer(&mut self, token: u32, out: &mut Effects) {
        let slots = [Slot::Forward, Slot::Reverse, Slot::Mode];
        let Some(slot) = slots.into_iter().find(|&slot| self.token(slot) == token) else {
            return;
        };
        // The timer is over: a second one with its token is none of ours.
        self.next_generation(slot);
        match slot {
            Slot::Forward => self.end_forward(out),
            Slot::Reverse => self.end_announcement(out),
            Slot::Mode => self.timer_in_mode(out),
        }
    }

    fn end_forward(&mut self, out: &mut Effects) {
        match self.forward {
            Forward::Working(byte) => {
                out.push(Effect::Output(vec![byte]));
                self.forward = Forward::Acknowledging;
                self.schedule(Slot::Forward, time::ACK_100NS, out);
            }
            Forward::Acknowledging | Forward::Idle => self.forward = Forward::Idle,
        }
    }

    fn end_announcement(&mut self, out: &mut Effects) {
        match self.announcement {
            Announcement::Pulse => self.announcement = Announcement::Offered,
            Announcement::Gap => {
                self.announcement = Announcement::Silent;
                self.announce(out);
            }
            Announcement::Silent | Announcement::Offered => {}
        }
    }

    pub(super) fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        match stimulus {
            Stimulus::Receive(bytes) => {
                self.reverse.extend(bytes);
                self.data_arrived(out);
                self.announce(out);
            }
            Stimulus::Press if self.role == Role::Printer => self.is_offline = true,
            Stimulus::Release if self.role == Role::Printer => self.is_offline = false,
            _ => return false,
        }
        true
    }

    /// Whether the computer can have a byte.
    pub(super) fn has_data(&self) -> bool {
        self.front().is_some()
    }

    pub(super) fn front(&self) -> Option<u8> {
        let source = self.identity.as_ref().unwrap_or(&self.reverse);
        source.front().copied()
    }

    pub(super) fn pop(&mut self) {
        let source = self.identity.as_mut().unwrap_or(&mut self.reverse);
        source.pop_front();
    }

    /// The device ID, its length first: IEEE 1284-1994, "Device ID".
    pub(super) fn device_id(&self) -> VecDeque<u8> {
        let text: &[u8] = match self.role {
            Role::Printer => b"MFG:dirql;MDL:Printer;CMD:TEXT;CLS:PRINTER;",
            Role::Script => b"MFG:dirql;MDL:Script;CMD:NONE;",
        };
        // Short enough for its length.
        let length = (text.len() + 2) as u16;
        let mut bytes = Vec::from(length.to_be_bytes());
        bytes.extend_from_slice(text);
        bytes.into()
    }

    pub(super) fn schedule(&mut self, slot: Slot, after_100ns: u64, out: &mut Effects) {
        self.next_generation(slot);
        out.push(Effect::Timer {
            after_100ns,
            token: self.token(slot),
        });
    }

    fn cancel(&mut self) {
        [Slot::Forward, Slot::Reverse, Slot::Mode]
            .into_iter()
            .for_each(|slot| self.next_generation(slot));
    }

    const fn next_generation(&mut self, slot: Slot) {
        let generation = &mut self.generations[slot as usize];
        *generation = (*generation + 1) & 0x00FF_FFFF;
    }

    /// Bits 2:1 are the slot, bits 5:3 the index, bits 31:8 the generation.
    const fn token(&self, slot: Slot) -> u32 {
        token::PEER
            | (slot as u32) << 1
            | (self.index as u32 & 7) << 3
            | self.generations[slot as usize] << 8
    }
}
