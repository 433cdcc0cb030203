//! Registers, commands and status codes of NVM Express.
//!
//! Source: NVM Express Base Specification, revision 1.4, "Controller Registers", "Data Structures",
//! "Admin Command Set", "NVM Command Set".

use crate::pci::{Bar, Description, Identity, IntPin, MsiOffer, MsixOffer};

/// Bytes of a memory page; the only size here (CAP.MPSMIN, CAP.MPSMAX).
pub const PAGE: u64 = 0x1000;
/// Bytes of a block.
pub const BLOCK: usize = 512;
/// Bytes of a submission queue entry.
pub const SUBMISSION_ENTRY: u64 = 64;
/// Bytes of a completion queue entry.
pub const COMPLETION_ENTRY: u64 = 16;
/// The most entries of an I/O queue (CAP.MQES, plus 1).
pub const MAX_ENTRIES: u32 = 64;
/// The most vectors: one for each completion queue.
pub const MAX_VECTORS: u16 = 2;
/// The most bytes that a command moves, log2 in pages (MDTS).
pub const MAX_TRANSFER: u8 = 5;
/// The most asynchronous event requests that wait.
pub const MAX_EVENT_REQUESTS: usize = 4;
/// From enabled to ready, in units of 100 ns: one millisecond.
pub const READY_100NS: u64 = 10_000;
/// Between two commands, in units of 100 ns: 10 microseconds.
pub const WORK_100NS: u64 = 100;

/// The composite temperature at which a controller warns (WCTEMP), in kelvins; the default of its
/// threshold.
pub const WARNING_KELVINS: u32 = 343;

/// Offsets of the registers.
pub mod register {
    /// Controller capabilities, 64 bits.
    pub const CAP: u64 = 0x00;
    /// Version.
    pub const VS: u64 = 0x08;
    /// Interrupt mask set.
    pub const INTMS: u64 = 0x0C;
    /// Interrupt mask clear.
    pub const INTMC: u64 = 0x10;
    /// Controller configuration.
    pub const CC: u64 = 0x14;
    /// Controller status.
    pub const CSTS: u64 = 0x1C;
    /// Admin queue attributes.
    pub const AQA: u64 = 0x24;
    /// Admin submission queue base address, 64 bits.
    pub const ASQ: u64 = 0x28;
    /// Admin completion queue base address, 64 bits.
    pub const ACQ: u64 = 0x30;
    /// Doorbells: tail of submission queue 0, head of completion queue 0, and so on.
    pub const DOORBELLS: u64 = 0x1000;
}

/// What CAP reads: queues are contiguous, ready within 2 seconds, the NVM command set, doorbells
/// next to each other.
pub const CAPABILITIES: u64 = (MAX_ENTRIES as u64 - 1) | 1 << 16 | 4 << 24 | 1 << 37;
/// What VS reads: 1.4.0.
pub const VERSION: u32 = 0x0001_0400;

/// Bits of the controller configuration.
pub mod cc {
    /// Enabled.
    pub const ENABLE: u32 = 1 << 0;
    /// Command set, page size and arbitration: only zeros are supported.
    pub const SELECTIONS: u32 = 0x3FF0;
    /// Shutdown notification, two bits.
    pub const SHUTDOWN: u32 = 3 << 14;
    /// Sizes of entries of I/O queues, log2: submission in bits 19:16, completion in 23:20.
    pub const ENTRY_SIZES: u32 = 0xFF << 16;
    /// What they must be.
    pub const EXPECTED_SIZES: u32 = 0x46 << 16;
    /// The bits that exist.
    pub const WRITABLE: u32 = 0x00FF_FFF1;
}

/// Bits of the controller status.
pub mod csts {
    /// Ready.
    pub const READY: u32 = 1 << 0;
    /// Fatal.
    pub const FATAL: u32 = 1 << 1;
    /// Shutdown is complete.
    pub const SHUT_DOWN: u32 = 2 << 2;
}

/// Opcodes of admin commands.
pub mod admin {
    /// Delete I/O submission queue.
    pub const DELETE_SUBMISSION: u8 = 0x00;
    /// Create I/O submission queue.
    pub const CREATE_SUBMISSION: u8 = 0x01;
    /// Get log page.
    pub const GET_LOG_PAGE: u8 = 0x02;
    /// Delete I/O completion queue.
    pub const DELETE_COMPLETION: u8 = 0x04;
    /// Create I/O completion queue.
    pub const CREATE_COMPLETION: u8 = 0x05;
    /// Identify.
    pub const IDENTIFY: u8 = 0x06;
    /// Abort.
    pub const ABORT: u8 = 0x08;
    /// Set features.
    pub const SET_FEATURES: u8 = 0x09;
    /// Get features.
    pub const GET_FEATURES: u8 = 0x0A;
    /// Asynchronous event request.
    pub const EVENT_REQUEST: u8 = 0x0C;
}

/// Opcodes of the NVM command set.
pub mod io {
    /// Flush.
    pub const FLUSH: u8 = 0x00;
    /// Write.
    pub const WRITE: u8 = 0x01;
    /// Read.
    pub const READ: u8 = 0x02;
}

/// Feature identifiers.
pub mod feature {
    /// Power management.
    pub const POWER: u8 = 0x02;
    /// Temperature threshold.
    pub const TEMPERATURE: u8 = 0x04;
    /// Number of queues.
    pub const QUEUES: u8 = 0x07;
    /// Interrupt vector configuration.
    pub const VECTOR: u8 = 0x09;
    /// Those that exist.
    pub const ALL: &[u8] = &[
        0x01,
        POWER,
        TEMPERATURE,
        0x05,
        QUEUES,
        0x08,
        VECTOR,
        0x0A,
        0x0B,
    ];
}

/// A status code with its type, as the status field has them: type in bits 10:8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// Successful completion.
    pub const SUCCESS: Self = Self(0x000);
    /// Invalid command opcode.
    pub const INVALID_OPCODE: Self = Self(0x001);
    /// Invalid field in command.
    pub const INVALID_FIELD: Self = Self(0x002);
    /// Data transfer error.
    pub const DATA_TRANSFER: Self = Self(0x004);
    /// Invalid namespace or format.
    pub const INVALID_NAMESPACE: Self = Self(0x00B);
    /// Command sequence error.
    pub const SEQUENCE: Self = Self(0x00C);
    /// PRP offset invalid.
    pub const PRP_OFFSET: Self = Self(0x013);
    /// LBA out of range.
    pub const LBA_RANGE: Self = Self(0x080);
    /// Completion queue invalid.
    pub const COMPLETION_QUEUE: Self = Self(0x100);
    /// Invalid queue identifier.
    pub const QUEUE_IDENTIFIER: Self = Self(0x101);
    /// Invalid queue size.
    pub const QUEUE_SIZE: Self = Self(0x102);
    /// Asynchronous event request limit exceeded.
    pub const EVENT_LIMIT: Self = Self(0x105);
    /// Invalid interrupt vector.
    pub const INTERRUPT_VECTOR: Self = Self(0x108);
    /// Invalid log page.
    pub const LOG_PAGE: Self = Self(0x109);
    /// Invalid queue deletion.
    pub const QUEUE_DELETION: Self = Self(0x10C);
    /// Feature identifier not saveable.
    pub const NOT_SAVEABLE: Self = Self(0x10D);

    /// Bits 31:17 of the completion: "do not retry" with everything but what a retry may cure.
    #[must_use]
    pub const fn field(self) -> u16 {
        match self {
            Self::SUCCESS | Self::DATA_TRANSFER => self.0,
            Self(code) => code | 1 << 14,
        }
    }
}

/// Bytes of the window: registers, doorbells, and from [`TABLE`] on the MSI-X structures.
const WINDOW: u64 = 0x4000;
/// Where the MSI-X table is.
const TABLE: u32 = 0x2000;
/// Where its pending bits are.
const PENDING: u32 = 0x3000;

/// What it is on the bus. Vendor 1234 is nobody's; class "non-volatile memory, NVM Express".
#[must_use]
pub fn description(msi: Option<MsiOffer>, messages: u16) -> Description {
    let window = Bar::Memory64 {
        size: WINDOW,
        prefetchable: false,
    };
    Description {
        identity: Identity {
            vendor: VENDOR,
            device: 0xD14E,
            revision: 1,
            class: 0x01_0802,
            subsystem_vendor: VENDOR,
            subsystem: 0xD14E,
        },
        bars: alloc::vec![(0, window)],
        pin: Some(IntPin::A),
        msi,
        msix: Some(MsixOffer {
            messages,
            table_bar: 0,
            table_offset: TABLE,
            pending_bar: 0,
            pending_offset: PENDING,
        }),
    }
}

/// The vendor ID, which Identify reports, too.
pub const VENDOR: u16 = 0x1234;
