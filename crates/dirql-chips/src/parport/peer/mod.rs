//! What is at the other end of the cable.

mod chain;
mod ieee1284;
mod peripheral;

use super::cable::{HostPins, PeerPins};
use crate::device::{Effects, Stimulus};

pub use chain::{Chain, MAX_DEVICES};
pub use peripheral::Peripheral;

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An open connector.
    Nothing,
    /// A plug that leads what the computer drives back to it.
    Loopback(Loopback),
    /// A printer or a scripted peripheral.
    Peripheral(Peripheral),
    /// Devices one behind the other, and perhaps a peripheral at the end.
    Chain(Chain),
}

impl Peer {
    /// A loopback plug.
    #[must_use]
    pub const fn loopback() -> Self {
        Self::Loopback(Loopback {
            host: HostPins::IDLE,
        })
    }

    /// What it drives now.
    #[must_use]
    pub fn pins(&self) -> PeerPins {
        match self {
            Self::Nothing => PeerPins::PULLED_UP,
            Self::Loopback(plug) => plug.pins(),
            Self::Peripheral(peripheral) => peripheral.pins(),
            Self::Chain(chain) => chain.pins(),
        }
    }

    /// The computer drives something else from now on.
    pub(super) fn host_changed(&mut self, host: HostPins, out: &mut Effects) {
        match self {
            Self::Nothing => {}
            Self::Loopback(plug) => plug.host = host,
            Self::Peripheral(peripheral) => peripheral.host_changed(host, out),
            Self::Chain(chain) => chain.host_changed(host, out),
        }
    }

    pub(super) fn timer(&mut self, token: u32, out: &mut Effects) {
        match self {
            Self::Nothing | Self::Loopback(_) => {}
            Self::Peripheral(peripheral) => peripheral.timer(token, out),
            Self::Chain(chain) => chain.timer(token, out),
        }
    }

    pub(super) fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        match self {
            Self::Nothing | Self::Loopback(_) => false,
            Self::Peripheral(peripheral) => peripheral.stimulate(stimulus, out),
            Self::Chain(chain) => chain.stimulate(stimulus, out),
        }
    }

    /// The same, just switched on.
    pub(super) fn after_power_up(&self) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Loopback(_) => Self::loopback(),
            Self::Peripheral(peripheral) => Self::Peripheral(peripheral.after_power_up()),
            Self::Chain(chain) => Self::Chain(chain.after_power_up()),
        }
    }
}

/// IBM's wrap plug: pins 1 and 13, 2 and 15, 10 and 16, 11 and 17, 12 and 14 are connected.
///
/// Source: The Hardware Book, "Parallel Port Loopback (CheckIt)", the same wiring as IBM's
/// diagnostics want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loopback {
    host: HostPins,
}

impl Loopback {
    const fn pins(&self) -> PeerPins {
        let bit_0 = match self.host.data {
            Some(data) => data & 1 != 0,
            None => true,
        };
        PeerPins {
            data: 0xFF,
            n_ack: self.host.n_init,
            busy: self.host.n_select_in,
            paper_end: self.host.n_auto_feed,
            select: self.host.n_strobe,
            n_fault: bit_0,
        }
    }
}
