//! A peripheral in the modes of IEEE 1284 that have to be negotiated.
//!
//! Source: IEEE 1284-1994, "Negotiation", "Nibble Mode", "Byte Mode", "ECP Mode", "EPP Mode",
//! "Termination"; numbers of events are the standard's. Everything that the standard lets a
//! peripheral delay is at once here, but for the end of a byte in ECP mode and the pulse that
//! interrupts the computer in the reverse idle phase.
//!
//! Not modelled: the extensibility link (refused), ECP channels (addresses are taken and ignored),
//! compression towards the computer.

use alloc::vec;

use super::super::cable::{HostPins, PeerPins};
use super::super::spec::time;
use super::peripheral::{Peripheral, Slot};
use crate::device::{Effect, Effects};

/// Where a peripheral is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Compatibility mode.
    Compatible,
    /// Events 2 to 5; `requested` is the extensibility byte once nStrobe was low.
    Negotiating { requested: Option<u8> },
    /// Event 6, for a mode that it does not have: only termination leads out.
    Refused,
    /// Nibble or byte mode.
    Reverse { nibble: bool, state: Reverse },
    /// ECP mode.
    Ecp(Ecp),
    /// EPP mode.
    Epp(Epp),
    /// Events 23 to 28; `acknowledged` after event 27.
    Terminating { acknowledged: bool },
}

/// In nibble and byte mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reverse {
    /// nAutoFd is high. `half`: the low nibble was sent.
    HostBusy { half: bool },
    /// nAck is low, what was asked for is on the lines.
    Sending { half: bool },
    /// nAutoFd is low, and there was nothing to send.
    Idle,
    /// Something came: nAck is low to interrupt the computer.
    Interrupting,
    /// It is high again; nDataAvail says so.
    Offered,
}

/// In ECP mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ecp {
    /// Before event 30.
    SetUp,
    /// Forward. `run` is how often the next byte counts, less 1.
    Forward { run: u8 },
    /// nStrobe is low with a byte.
    Clocked { run: u8, byte: u8, is_command: bool },
    /// nStrobe is high again, the byte is not accepted yet.
    Accepting { run: u8, byte: u8, is_command: bool },
    /// Reverse, nothing is offered.
    ReverseIdle,
    /// Reverse: nAck is low with a byte.
    Offered,
    /// Reverse: the computer has it, nAck is high.
    Taken,
}

/// In EPP mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epp {
    /// What the last address cycle wrote.
    pub(super) address: u8,
    /// The cycle that is being answered: nWait is high.
    pub(super) cycle: Option<Cycle>,
}

/// What a cycle of EPP does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cycle {
    Write,
    ReadAddress,
    ReadData,
}

/// Bits of the extensibility byte ("Extensibility request values").
mod request {
    pub(super) const NIBBLE: u8 = 0x00;
    pub(super) const BYTE: u8 = 0x01;
    pub(super) const DEVICE_ID: u8 = 0x04;
    pub(super) const ECP: u8 = 0x10;
    pub(super) const ECP_RLE: u8 = 0x30;
    pub(super) const EPP: u8 = 0x40;
}

impl Peripheral {
    /// Event 1: nSelectIn goes high and nAutoFd low.
    pub(super) fn is_negotiation(&self, before: HostPins) -> bool {
        let is = |pins: HostPins| pins.n_select_in && !pins.n_auto_feed;
        is(self.host) && !is(before)
    }

    /// Whether the lines mean a reset, or the end of EPP.
    pub(super) fn is_reset_in_mode(&self) -> bool {
        match self.phase {
            // nReverseRequest.
            Phase::Ecp(_) => !self.host.n_init && !self.host.n_select_in,
            _ => !self.host.n_init,
        }
    }

    pub(super) fn negotiated_pins(&self) -> PeerPins {
        let busy = self.compatible_pins().busy;
        let resting = PeerPins {
            data: 0xFF,
            n_ack: true,
            busy,
            paper_end: !self.has_data(),
            select: true,
            n_fault: !self.has_data(),
        };
        match self.phase {
            Phase::Compatible => self.compatible_pins(),
            Phase::Negotiating { .. } => PeerPins {
                n_ack: false,
                paper_end: true,
                n_fault: true,
                ..resting
            },
            Phase::Refused => PeerPins {
                select: false,
                paper_end: true,
                n_fault: true,
                ..resting
            },
            Phase::Reverse { nibble, state } => self.reverse_pins(nibble, state, resting),
            Phase::Ecp(state) => self.ecp_pins(state, resting),
            Phase::Epp(Epp { address, cycle }) => PeerPins {
                busy: cycle.is_some(),
                data: match cycle {
                    Some(Cycle::ReadAddress) => address,
                    Some(Cycle::ReadData) => self.front().unwrap_or(0xFF),
                    Some(Cycle::Write) | None => 0xFF,
                },
                ..resting
            },
            Phase::Terminating { acknowledged } => PeerPins {
                n_ack: acknowledged,
                n_fault: true,
                ..resting
            },
        }
    }

    /// Xflag is low in nibble mode, high in byte mode.
    fn reverse_pins(&self, nibble: bool, state: Reverse, resting: PeerPins) -> PeerPins {
        let resting = PeerPins {
            select: !nibble,
            ..resting
        };
        match state {
            Reverse::HostBusy { .. } => resting,
            Reverse::Sending { half } => {
                let byte = self.front().unwrap_or(0xFF);
                let bits = if half { byte >> 4 } else { byte };
                let bit = |number: u8| bits >> number & 1 != 0;
                if nibble {
                    PeerPins {
                        n_ack: false,
                        n_fault: bit(0),
                        select: bit(1),
                        paper_end: bit(2),
                        busy: bit(3),
                        ..resting
                    }
                } else {
                    PeerPins {
                        n_ack: false,
                        data: byte,
                        ..resting
                    }
                }
            }
            Reverse::Idle | Reverse::Interrupting | Reverse::Offered => PeerPins {
                n_ack: state != Reverse::Interrupting,
                paper_end: true,
                ..resting
            },
        }
    }

    fn ecp_pins(&self, state: Ecp, resting: PeerPins) -> PeerPins {
        let forward = PeerPins {
            busy: false,
            paper_end: true,
            ..resting
        };
        let reverse = PeerPins {
            paper_end: false,
            ..forward
        };
        match state {
            Ecp::SetUp => reverse,
            Ecp::Forward { .. } => forward,
            Ecp::Clocked { .. } | Ecp::Accepting { .. } => PeerPins {
                busy: true,
                ..forward
            },
            Ecp::ReverseIdle => reverse,
            // Busy high: data, not a command.
            Ecp::Offered | Ecp::Taken => PeerPins {
                data: self.front().unwrap_or(0xFF),
                busy: true,
                n_ack: state == Ecp::Taken,
                ..reverse
            },
        }
    }

    /// The computer changed a line while not in compatibility mode.
    pub(super) fn follow(&mut self, before: HostPins, out: &mut Effects) {
        let host = self.host;
        let ends = before.n_select_in && !host.n_select_in;
        match self.phase {
            Phase::Compatible => {}
            Phase::Negotiating { requested } => self.negotiate(requested),
            Phase::Refused | Phase::Reverse { .. } if ends => self.terminate(),
            Phase::Refused => {}
            Phase::Reverse { nibble, state } => {
                let state = self.follow_reverse(nibble, state, before);
                self.phase = Phase::Reverse { nibble, state };
            }
            // "To terminate while the channel is in the reverse direction, it must first be
            // transitioned into the forward direction."
            Phase::Ecp(_) if ends && host.n_init => self.terminate(),
            Phase::Ecp(state) => self.phase = Phase::Ecp(self.follow_ecp(state, before, out)),
            Phase::Epp(state) => self.phase = Phase::Epp(self.follow_epp(state, out)),
            Phase::Terminating { acknowledged } => self.end_termination(acknowledged),
        }
    }

    /// Events 3 to 6. Giving up leads back to compatibility mode.
    fn negotiate(&mut self, requested: Option<u8>) {
        let host = self.host;
        match requested {
            None if !host.n_select_in => self.phase = Phase::Compatible,
            None if !host.n_strobe => {
                let requested = Some(host.data.unwrap_or(0xFF));
                self.phase = Phase::Negotiating { requested };
            }
            Some(byte) if host.n_strobe && host.n_auto_feed => self.begin(byte),
            None | Some(_) => {}
        }
    }

    /// Event 6: the mode begins, or is refused.
    fn begin(&mut self, requested: u8) {
        let wants_id = requested & request::DEVICE_ID != 0;
        self.identity = wants_id.then(|| self.device_id());
        let state = Reverse::HostBusy { half: false };
        self.phase = match requested & !request::DEVICE_ID {
            request::NIBBLE => Phase::Reverse {
                nibble: true,
                state,
            },
            request::BYTE => Phase::Reverse {
                nibble: false,
                state,
            },
            request::ECP | request::ECP_RLE => Phase::Ecp(Ecp::SetUp),
            request::EPP if !wants_id => Phase::Epp(Epp {
                address: 0,
                cycle: None,
            }),
            _ => Phase::Refused,
        };
    }

    /// Events 23 and 24.
    fn terminate(&mut self) {
        self.identity = None;
        self.phase = Phase::Terminating {
            acknowledged: false,
        };
    }

    /// Events 25 to 29. A byte that comes instead ends it, too.
    fn end_termination(&mut self, acknowledged: bool) {
        let host = self.host;
        if !host.n_strobe || acknowledged && host.n_auto_feed {
            self.phase = Phase::Compatible;
        } else if !host.n_auto_feed {
            self.phase = Phase::Terminating { acknowledged: true };
        }
    }

    fn follow_reverse(&mut self, nibble: bool, state: Reverse, before: HostPins) -> Reverse {
        let falling = before.n_auto_feed && !self.host.n_auto_feed;
        let rising = !before.n_auto_feed && self.host.n_auto_feed;
        match state {
            // Event 7.
            Reverse::HostBusy { half } if falling && self.has_data() => Reverse::Sending { half },
            Reverse::HostBusy { .. } if falling => Reverse::Idle,
            // Events 10 and 11.
            Reverse::Sending { half: false } if rising && nibble => {
                Reverse::HostBusy { half: true }
            }
            Reverse::Sending { .. } if rising => {
                self.pop();
                Reverse::HostBusy { half: false }
            }
            // Events 20 and 21.
            Reverse::Idle | Reverse::Interrupting | Reverse::Offered if rising => {
                Reverse::HostBusy { half: false }
            }
            other => other,
        }
    }

    fn follow_ecp(&mut self, state: Ecp, before: HostPins, out: &mut Effects) -> Ecp {
        let host = self.host;
        let clock = before.n_strobe && !host.n_strobe;
        match (state, host.data) {
            // Event 31.
            (Ecp::SetUp, _) if !host.n_auto_feed => Ecp::Forward { run: 0 },
            // Event 40.
            (Ecp::Forward { .. }, _) if !host.n_init => self.offer(),
            // Events 35 and 36.
            (Ecp::Forward { run }, Some(byte)) if clock => Ecp::Clocked {
                run,
                byte,
                is_command: !host.n_auto_feed,
            },
            // Event 37.
            (
                Ecp::Clocked {
                    run,
                    byte,
                    is_command,
                },
                _,
            ) if host.n_strobe => {
                self.schedule(Slot::Mode, time::ECP_100NS, out);
                Ecp::Accepting {
                    run,
                    byte,
                    is_command,
                }
            }
            // Event 49.
            (Ecp::ReverseIdle | Ecp::Offered | Ecp::Taken, _) if host.n_init => {
                Ecp::Forward { run: 0 }
            }
            (Ecp::ReverseIdle, _) => self.offer(),
            // Events 44 and 45.
            (Ecp::Offered, _) if host.n_auto_feed => {
                self.pop();
                Ecp::Taken
            }
            // Event 46.
            (Ecp::Taken, _) if !host.n_auto_feed => self.offer(),
            (other, _) => other,
        }
    }

    /// Event 43, if there is something and the computer is ready for it.
    fn offer(&self) -> Ecp {
        let can = !self.host.n_auto_feed && self.host.data.is_none();
        if can && self.has_data() {
            Ecp::Offered
        } else {
            Ecp::ReverseIdle
        }
    }

    fn follow_epp(&mut self, state: Epp, out: &mut Effects) -> Epp {
        let Epp { address, cycle } = state;
        let host = self.host;
        let (data_strobe, address_strobe) = (!host.n_auto_feed, !host.n_select_in);
        if let Some(done) = cycle {
            if data_strobe || address_strobe {
                return state;
            }
            if done == Cycle::ReadData {
                self.pop();
            }
            return Epp {
                address,
                cycle: None,
            };
        }
        let byte = host.data.filter(|_| !host.n_strobe);
        match (byte, data_strobe, address_strobe) {
            (Some(byte), true, _) => {
                out.push(Effect::Output(vec![byte]));
                Epp {
                    address,
                    cycle: Some(Cycle::Write),
                }
            }
            (Some(byte), false, true) => Epp {
                address: byte,
                cycle: Some(Cycle::Write),
            },
            (None, true, _) if self.has_data() => Epp {
                address,
                cycle: Some(Cycle::ReadData),
            },
            (None, false, true) => Epp {
                address,
                cycle: Some(Cycle::ReadAddress),
            },
            _ => state,
        }
    }

    /// There is something to be read that was not there before.
    pub(super) fn data_arrived(&mut self, out: &mut Effects) {
        match self.phase {
            // Events 18 and 19.
            Phase::Reverse {
                nibble,
                state: Reverse::Idle,
            } if self.has_data() => {
                let state = Reverse::Interrupting;
                self.phase = Phase::Reverse { nibble, state };
                self.schedule(Slot::Mode, time::ACK_100NS, out);
            }
            Phase::Ecp(Ecp::ReverseIdle) => self.phase = Phase::Ecp(self.offer()),
            _ => {}
        }
    }

    pub(super) fn timer_in_mode(&mut self, out: &mut Effects) {
        match self.phase {
            Phase::Reverse {
                nibble,
                state: Reverse::Interrupting,
            } => {
                let state = Reverse::Offered;
                self.phase = Phase::Reverse { nibble, state };
            }
            Phase::Ecp(Ecp::Accepting {
                run,
                byte,
                is_command,
            }) => {
                let run = accept(run, byte, is_command, out);
                self.phase = Phase::Ecp(Ecp::Forward { run });
            }
            _ => {}
        }
    }
}

/// Takes a byte of ECP mode; the answer is how often the next one counts, less 1.
fn accept(run: u8, byte: u8, is_command: bool, out: &mut Effects) -> u8 {
    match (is_command, byte & 0x80 == 0) {
        (true, true) => byte,
        (true, false) => 0,
        (false, _) => {
            out.push(Effect::Output(vec![byte; usize::from(run) + 1]));
            0
        }
    }
}
