//! The wires of the cable, as levels at the connector.

use super::spec::status;

/// What the computer drives. A level is true for high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPins {
    /// D0 to D7; `None` while the computer does not drive them.
    pub data: Option<u8>,
    /// nStrobe; HostClk, nWrite.
    pub n_strobe: bool,
    /// nAutoFd; HostBusy, HostAck, nDStrb.
    pub n_auto_feed: bool,
    /// nInit; nReverseRequest.
    pub n_init: bool,
    /// nSelectIn; 1284Active, nAStrb.
    pub n_select_in: bool,
}

impl HostPins {
    /// Nothing is asserted, and the data lines are not driven.
    pub const IDLE: Self = Self {
        data: None,
        n_strobe: true,
        n_auto_feed: true,
        n_init: true,
        n_select_in: true,
    };
}

/// What the other end drives. A level is true for high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPins {
    /// What it drives on D0 to D7 while the computer does not.
    pub data: u8,
    /// nAck; PtrClk, PeriphClk.
    pub n_ack: bool,
    /// Busy; PtrBusy, PeriphAck, nWait.
    pub busy: bool,
    /// PError; AckDataReq, nAckReverse.
    pub paper_end: bool,
    /// Select; Xflag.
    pub select: bool,
    /// nFault; nDataAvail, nPeriphRequest.
    pub n_fault: bool,
}

impl PeerPins {
    /// Nobody drives: resistors pull every line up (IEEE 1284-1994, "Level II" receivers).
    pub const PULLED_UP: Self = Self {
        data: 0xFF,
        n_ack: true,
        busy: true,
        paper_end: true,
        select: true,
        n_fault: true,
    };

    /// The bits of the status register that are lines.
    #[must_use]
    pub const fn status(self) -> u8 {
        const fn bit(set: bool, bit: u8) -> u8 {
            if set { bit } else { 0 }
        }
        bit(self.n_fault, status::NOT_FAULT)
            | bit(self.select, status::SELECT)
            | bit(self.paper_end, status::PAPER_END)
            | bit(self.n_ack, status::NOT_ACK)
            | bit(!self.busy, status::NOT_BUSY)
    }
}
