//! Registers of the `button`: a device of our own, four bytes.
//!
//! | offset | read | write |
//! |---|---|---|
//! | 0 | state: [`state`] | ignored |
//! | 1 | presses since reset, modulo 256 | ignored |
//! | 2 | 0 | bit 0 set: drop the line until the next press; bit 1 set: drop the second line until the next release |
//! | 3 | 0 | ignored |
//!
//! Accesses of 1, 2 and 4 bytes may begin anywhere and see the bytes from there on, little-endian;
//! what is outside reads as ones.

/// Bytes of the only window.
pub const WINDOW: u64 = 4;

/// Interrupt source of a press, and its bit in the acknowledge register.
pub const PRESS_LINE: u16 = 0;
/// Interrupt source of a release, and its bit in the acknowledge register.
pub const RELEASE_LINE: u16 = 1;

/// Offsets in the window.
pub mod register {
    /// State, read only.
    pub const STATE: u64 = 0;
    /// Number of presses, read only.
    pub const PRESSES: u64 = 1;
    /// Acknowledge, write only.
    pub const ACKNOWLEDGE: u64 = 2;
}

/// Bits of the state register.
pub mod state {
    /// The button is held down.
    pub const PRESSED: u8 = 1 << 0;
    /// The line is asserted.
    pub const ASSERTED: u8 = 1 << 1;
    /// The second line is asserted; 0 without one.
    pub const RELEASE_ASSERTED: u8 = 1 << 2;
}
