//! Registers and bits of the parallel port.
//!
//! Sources: Microsoft, Extended Capabilities Port Protocol and ISA Interface Standard (revision
//! 1.14, July 14, 1993); SMSC, LPC47M14x and FDC37C669 data sheets, "Parallel Port" ("IBM XT/AT
//! Compatible, Bi-Directional And EPP Modes", "Extended Capabilities Parallel Port"); IEEE
//! 1284-1994.

/// Ports of the compatible registers.
pub const SPP_PORTS: u64 = 3;
/// Ports of the compatible registers and those of EPP.
pub const EPP_PORTS: u64 = 8;
/// Ports of the extended registers.
pub const ECP_PORTS: u64 = 3;
/// How far the extended registers are from the compatible ones.
pub const ECP_OFFSET: u64 = 0x400;
/// How many bytes the FIFO holds.
pub const FIFO_SIZE: usize = 16;
/// Free bytes (forward) or bytes to read (reverse) from which on the FIFO asks for service.
pub const FIFO_THRESHOLD: usize = 8;

/// Offsets of the registers at the base address.
pub mod register {
    /// Data; in ECP mode the address and run-length FIFO.
    pub const DATA: u64 = 0;
    /// Status, read only but for the time-out bit.
    pub const STATUS: u64 = 1;
    /// Control.
    pub const CONTROL: u64 = 2;
    /// EPP address cycle.
    pub const EPP_ADDRESS: u64 = 3;
    /// EPP data cycle; so are the three that follow.
    pub const EPP_DATA: u64 = 4;
}

/// Offsets of the registers at the base address plus 0x400.
pub mod extended {
    /// The FIFO, or configuration register A.
    pub const FIFO: u64 = 0;
    /// Configuration register B.
    pub const CONFIG_B: u64 = 1;
    /// The extended control register.
    pub const CONTROL: u64 = 2;
}

/// Bits of the status register.
pub mod status {
    /// An EPP cycle was not answered; written with 1 to clear it.
    pub const TIMEOUT: u8 = 1 << 0;
    /// On ports that hold their line: 0 while an interrupt is pending.
    pub const NOT_INTERRUPTING: u8 = 1 << 2;
    /// nFault.
    pub const NOT_FAULT: u8 = 1 << 3;
    /// Select.
    pub const SELECT: u8 = 1 << 4;
    /// PError, also called paper end.
    pub const PAPER_END: u8 = 1 << 5;
    /// nAck.
    pub const NOT_ACK: u8 = 1 << 6;
    /// Busy, inverted.
    pub const NOT_BUSY: u8 = 1 << 7;
}

/// Bits of the control register.
pub mod control {
    /// nStrobe is low.
    pub const STROBE: u8 = 1 << 0;
    /// nAutoFd is low.
    pub const AUTO_FEED: u8 = 1 << 1;
    /// nInit is high.
    pub const NOT_INIT: u8 = 1 << 2;
    /// nSelectIn is low.
    pub const SELECT_IN: u8 = 1 << 3;
    /// A rising edge of nAck interrupts (ackIntEn).
    pub const INTERRUPT: u8 = 1 << 4;
    /// The data lines are inputs.
    pub const DIRECTION: u8 = 1 << 5;
    /// The bits that exist.
    pub const ALL: u8 = 0x3F;
}

/// Bits of the extended control register.
pub mod ecr {
    /// The FIFO is empty, read only.
    pub const EMPTY: u8 = 1 << 0;
    /// The FIFO is full, read only.
    pub const FULL: u8 = 1 << 1;
    /// serviceIntr: set, the FIFO does not interrupt; set by the chip when it did.
    pub const SERVICE: u8 = 1 << 2;
    /// dmaEn: the FIFO is served by DMA.
    pub const DMA: u8 = 1 << 3;
    /// nErrIntrEn: clear, a falling edge of nFault interrupts in ECP mode.
    pub const NO_FAULT_INTERRUPT: u8 = 1 << 4;
    /// Where the mode is.
    pub const MODE_SHIFT: u8 = 5;
    /// The bits that can be written.
    pub const WRITABLE: u8 = 0xFC;
    /// After reset: mode 000, nothing interrupts.
    pub const RESET: u8 = NO_FAULT_INTERRUPT | SERVICE;
}

/// What configuration register A reads: a byte at a time, interrupts are pulses.
pub const CONFIG_A: u8 = 0x10;

/// Bits 5:3 of configuration register B for a line; 0 means that jumpers choose it.
#[must_use]
pub const fn config_b_line(line: u8) -> u8 {
    let code = match line {
        7 => 1,
        9 => 2,
        10 => 3,
        11 => 4,
        14 => 5,
        15 => 6,
        5 => 7,
        _ => 0,
    };
    code << 3
}

/// The mode that bits 7:5 of the extended control register choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 000: the standard port; data lines are outputs.
    Standard,
    /// 001: the standard port with a direction bit ("PS/2").
    Byte,
    /// 010: the FIFO sends with nStrobe and Busy.
    CompatibleFifo,
    /// 011: the FIFO sends and receives by the ECP protocol.
    Ecp,
    /// 100: EPP cycles.
    Epp,
    /// 101: reserved.
    Reserved,
    /// 110: the FIFO alone, for finding its size out.
    Test,
    /// 111: the configuration registers.
    Configuration,
}

impl Mode {
    /// From the register.
    #[must_use]
    pub const fn of(ecr: u8) -> Self {
        match ecr >> ecr::MODE_SHIFT {
            0 => Self::Standard,
            1 => Self::Byte,
            2 => Self::CompatibleFifo,
            3 => Self::Ecp,
            4 => Self::Epp,
            5 => Self::Reserved,
            6 => Self::Test,
            _ => Self::Configuration,
        }
    }
}

/// Durations, in units of 100 ns.
pub mod time {
    /// Data set-up, strobe and hold of a byte that the FIFO sends: at least 500 ns each (IEEE
    /// 1284-1994, "Compatibility Mode" timing).
    pub const STROBE_100NS: u64 = 5;
    /// How long our printer works on a byte: 10 microseconds.
    pub const PRINT_100NS: u64 = 100;
    /// How long our peripherals hold nAck low: 3 microseconds, of 0.5 to 10 that are allowed.
    pub const ACK_100NS: u64 = 30;
    /// How long our peripherals take for a byte in ECP mode: 500 ns.
    pub const ECP_100NS: u64 = 5;
}
