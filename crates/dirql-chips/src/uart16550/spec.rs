//! Registers and bits of the 16550A.
//!
//! Source: National Semiconductor, PC16550D Universal Asynchronous Receiver/Transmitter with
//! FIFOs (June 1995), "Registers", "Interrupt Control Functions", "FIFO Interrupt Mode Operation",
//! "Programmable Baud Generator".

/// How many ports it has.
pub const PORTS: u64 = 8;
/// How many characters each FIFO holds.
pub const FIFO_SIZE: usize = 16;
/// The clock at its XIN pin on a PC, in hertz.
pub const CLOCK_HZ: u64 = 1_843_200;
/// The divisor after power-up here: 9600 baud. The chip's own is indeterminate.
pub const DIVISOR: u16 = 12;

/// Offsets of the registers.
pub mod register {
    /// Receiver buffer (read), transmitter holding (write), divisor's low byte (DLAB set).
    pub const DATA: u64 = 0;
    /// Interrupt enable, divisor's high byte (DLAB set).
    pub const INTERRUPT_ENABLE: u64 = 1;
    /// Interrupt identification (read), FIFO control (write).
    pub const INTERRUPT_ID: u64 = 2;
    /// Line control.
    pub const LINE_CONTROL: u64 = 3;
    /// Modem control.
    pub const MODEM_CONTROL: u64 = 4;
    /// Line status, read only.
    pub const LINE_STATUS: u64 = 5;
    /// Modem status, read only.
    pub const MODEM_STATUS: u64 = 6;
    /// Scratch.
    pub const SCRATCH: u64 = 7;
}

/// Bits of the interrupt enable register.
pub mod enable {
    /// Received data and, with FIFOs, time-out.
    pub const RECEIVED: u8 = 1 << 0;
    /// Transmitter holding register empty.
    pub const TRANSMITTER: u8 = 1 << 1;
    /// Receiver line status.
    pub const LINE_STATUS: u8 = 1 << 2;
    /// Modem status.
    pub const MODEM_STATUS: u8 = 1 << 3;
    /// The bits that exist.
    pub const ALL: u8 = 0x0F;
}

/// Values of the interrupt identification register's low four bits, highest priority first.
pub mod interrupt {
    /// Overrun, parity or framing error, or break.
    pub const LINE_STATUS: u8 = 0x6;
    /// Characters wait in the FIFO and none came or was read for four character times.
    pub const TIMEOUT: u8 = 0xC;
    /// Data, or the FIFO's trigger level.
    pub const RECEIVED: u8 = 0x4;
    /// The transmitter holding register, or FIFO, is empty.
    pub const TRANSMITTER: u8 = 0x2;
    /// A modem input changed.
    pub const MODEM_STATUS: u8 = 0x0;
    /// None.
    pub const NONE: u8 = 0x1;
    /// In addition while FIFOs are enabled.
    pub const FIFOS: u8 = 0xC0;
}

/// Bits of the FIFO control register.
pub mod fifo {
    /// Enables both FIFOs; changing it clears them.
    pub const ENABLE: u8 = 1 << 0;
    /// Clears the receiver's, and itself.
    pub const CLEAR_RECEIVER: u8 = 1 << 1;
    /// Clears the transmitter's, and itself.
    pub const CLEAR_TRANSMITTER: u8 = 1 << 2;
    /// Bits 7:6, the receiver's trigger level.
    pub const TRIGGER_SHIFT: u8 = 6;
    /// How many characters each trigger level is.
    pub const TRIGGER: [usize; 4] = [1, 4, 8, 14];
}

/// Bits of the line control register.
pub mod line {
    /// Bits 1:0, data bits less 5.
    pub const DATA_BITS: u8 = 3;
    /// Two stop bits; one and a half with five data bits.
    pub const STOP: u8 = 1 << 2;
    /// There is a parity bit.
    pub const PARITY: u8 = 1 << 3;
    /// The serial output is spacing.
    pub const BREAK: u8 = 1 << 6;
    /// Divisor latch access.
    pub const DLAB: u8 = 1 << 7;
}

/// Bits of the modem control register.
pub mod modem {
    /// Data terminal ready.
    pub const DTR: u8 = 1 << 0;
    /// Request to send.
    pub const RTS: u8 = 1 << 1;
    /// Output 1, not connected on a PC.
    pub const OUT1: u8 = 1 << 2;
    /// Output 2, which on a PC lets the interrupt through to its line.
    pub const OUT2: u8 = 1 << 3;
    /// Diagnostic loopback.
    pub const LOOP: u8 = 1 << 4;
    /// The bits that exist.
    pub const ALL: u8 = 0x1F;
}

/// Bits of the line status register.
pub mod status {
    /// There is received data.
    pub const DATA: u8 = 1 << 0;
    /// A character was lost.
    pub const OVERRUN: u8 = 1 << 1;
    /// Wrong parity.
    pub const PARITY: u8 = 1 << 2;
    /// No stop bit.
    pub const FRAMING: u8 = 1 << 3;
    /// Spacing for longer than a character.
    pub const BREAK: u8 = 1 << 4;
    /// The transmitter holding register, or FIFO, is empty.
    pub const HOLDING_EMPTY: u8 = 1 << 5;
    /// The shift register is empty, too.
    pub const TRANSMITTER_EMPTY: u8 = 1 << 6;
    /// Some character in the FIFO is wrong.
    pub const FIFO_ERROR: u8 = 1 << 7;
    /// What belongs to a character.
    pub const OF_CHARACTER: u8 = PARITY | FRAMING | BREAK;
    /// What the line status interrupt is for, and what reading clears.
    pub const ERRORS: u8 = OVERRUN | OF_CHARACTER;
}

/// Bits of the modem status register.
pub mod input {
    /// CTS changed.
    pub const DELTA_CTS: u8 = 1 << 0;
    /// DSR changed.
    pub const DELTA_DSR: u8 = 1 << 1;
    /// RI went away.
    pub const TRAILING_RI: u8 = 1 << 2;
    /// DCD changed.
    pub const DELTA_DCD: u8 = 1 << 3;
    /// Clear to send.
    pub const CTS: u8 = 1 << 4;
    /// Data set ready.
    pub const DSR: u8 = 1 << 5;
    /// Ring indicator.
    pub const RI: u8 = 1 << 6;
    /// Data carrier detect.
    pub const DCD: u8 = 1 << 7;
    /// What reading clears.
    pub const DELTAS: u8 = 0x0F;
}
