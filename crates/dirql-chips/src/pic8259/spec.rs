//! Ports and bits of the 8259 pair.
//!
//! Sources: Intel 8259A Programmable Interrupt Controller (231468-003), "Programming the 8259A";
//! the edge/level registers: Intel 82371AB (PIIX4) datasheet, "ELCR1", "ELCR2".

/// Ports on a PC. Each chip has two: command, then data.
pub mod port {
    /// First of the primary chip's.
    pub const PRIMARY: u16 = 0x20;
    /// First of the secondary chip's.
    pub const SECONDARY: u16 = 0xA0;
    /// Edge or level of lines 0 to 7, then of lines 8 to 15.
    pub const EDGE_LEVEL: u16 = 0x4D0;
}

/// The primary chip's input that the secondary chip drives.
pub const CASCADE: u8 = 2;

/// Which lines can be level-triggered: not the timer, keyboard, cascade, clock and coprocessor.
pub const LEVEL_WRITABLE: [u8; 2] = [0xF8, 0xDE];

/// Bits of the first initialisation command word, which goes to the command port.
pub mod icw1 {
    /// A fourth word follows.
    pub const NEEDS_ICW4: u8 = 1 << 0;
    /// There is no other chip, so no third word.
    pub const SINGLE: u8 = 1 << 1;
    /// This is an initialisation.
    pub const INIT: u8 = 1 << 4;
}

/// Bits of the fourth initialisation command word.
pub mod icw4 {
    /// In-service bits are not kept.
    pub const AUTO_END: u8 = 1 << 1;
    /// "Special Fully Nested Mode".
    pub const SPECIAL_NESTED: u8 = 1 << 4;
}

/// Bits of operation command word 2, on the command port with bits 4:3 clear.
pub mod ocw2 {
    /// Which input a specific command is about.
    pub const INPUT: u8 = 7;
    /// Bits 7:5 are the command.
    pub const COMMAND_SHIFT: u8 = 5;
}

/// Bits of operation command word 3, on the command port with bits 4:3 being 01.
pub mod ocw3 {
    /// This is a word 3.
    pub const SELECT: u8 = 1 << 3;
    /// The in-service register is read from now on, if [`READ`] is set too.
    pub const READ_IN_SERVICE: u8 = 1 << 0;
    /// The register to read changes.
    pub const READ: u8 = 1 << 1;
    /// The next read is an acknowledgement.
    pub const POLL: u8 = 1 << 2;
    /// Special mask mode is on from now on, if [`SET_SPECIAL_MASK`] is set too.
    pub const SPECIAL_MASK: u8 = 1 << 5;
    /// Special mask mode changes.
    pub const SET_SPECIAL_MASK: u8 = 1 << 6;
}

/// What a poll reads if there is a request, beside its number.
pub const POLLED: u8 = 1 << 7;
