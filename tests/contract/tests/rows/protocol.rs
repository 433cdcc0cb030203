//! What passes between the runner and whoever makes the calls. `contract.c` has the same.

use dirql::BenchError;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Operations.
pub(crate) mod operation {
    pub(crate) const CONNECT: u32 = 1;
    pub(crate) const DISCONNECT: u32 = 2;
    pub(crate) const REPORT: u32 = 3;
    pub(crate) const INTERRUPT: u32 = 4;
    pub(crate) const AFFINITY: u32 = 5;
    pub(crate) const SYNCHRONIZE: u32 = 6;
    pub(crate) const LOCK: u32 = 7;
    pub(crate) const LOG: u32 = 8;
}

/// Flags of a request.
pub(crate) mod flag {
    pub(crate) const USE_PDO: u32 = 0x01;
    pub(crate) const USE_RESULT: u32 = 0x02;
    pub(crate) const USE_ROUTINE: u32 = 0x04;
    pub(crate) const USE_FALLBACK: u32 = 0x08;
    pub(crate) const USE_LOCK: u32 = 0x10;
    pub(crate) const OLD_ROUTINE: u32 = 0x20;
    pub(crate) const REFUSE: u32 = 0x40;
    pub(crate) const ACTIVE: u32 = 0x80;
}

/// The status when the routine does not exist: STATUS_ENTRYPOINT_NOT_FOUND.
pub(crate) const ABSENT: u32 = 0xC000_0139;

/// What the result variable holds before a connect.
pub(crate) const UNTOUCHED: u64 = 0xEEEE;

/// Something to do.
#[derive(Clone, Copy, Debug, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Request {
    pub(crate) operation: u32,
    pub(crate) slot: u32,
    pub(crate) flags: u32,
    pub(crate) version: u32,
    pub(crate) argument: u64,
    pub(crate) level: u64,
    /// An `IO_CONNECT_INTERRUPT_PARAMETERS`.
    pub(crate) block: [u64; 10],
}

impl Request {
    pub(crate) fn new(operation: u32) -> Self {
        Self {
            operation,
            ..Self::new_zeroed()
        }
    }

    pub(crate) const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Reply {
    pub(crate) status: u32,
    pub(crate) extra: u32,
    pub(crate) value: u64,
    pub(crate) mask: u64,
    pub(crate) block: [u64; 10],
}

/// One call of an ISR.
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Call {
    pub(crate) slot: u8,
    pub(crate) level: u8,
    /// Connect had not returned.
    pub(crate) early: u8,
    pub(crate) is_message: u8,
    pub(crate) message: u32,
    pub(crate) object: u64,
}

/// Somebody who makes the calls.
pub(crate) trait Hands {
    /// Does it for a device.
    fn perform(&self, device: usize, request: &Request) -> Result<Reply, BenchError>;
    /// The calls of a device's ISRs since this was last asked, and forgets them.
    fn calls(&self, device: usize) -> Result<Vec<Call>, BenchError>;
    /// The end.
    fn finish(&self) -> Result<(), BenchError> {
        Ok(())
    }
}
