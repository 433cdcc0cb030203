//! Registers of `gpio`: a controller of our own for up to 32 pins.
//!
//! Window 0, accesses of 4 bytes; bit n is pin n, bits of pins that do not exist are 0:
//!
//! | offset | read | write |
//! |---|---|---|
//! | 0x00 | [`IDENTIFICATION`] | |
//! | 0x04 | number of pins | |
//! | 0x08 | levels of the pins, high is 1 | |
//! | 0x0C | direction: 1 is output | the same |
//! | 0x10 | levels that outputs drive | the same |
//! | 0x14 | enabled: the pin interrupts | the same |
//! | 0x18 | trigger: 0 edge, 1 level | the same |
//! | 0x1C | active: 0 low or falling, 1 high or rising | the same |
//! | 0x20 | both: either edge, whatever "active" says | the same |
//! | 0x24 | status: what happened, enabled or not | bits set are cleared |
//!
//! Anything else reads as ones and ignores writes. A status bit that is cleared is set again at
//! once while the level that it stands for lasts.

/// What the identification register reads: "GPIO" as little-endian text.
pub const IDENTIFICATION: u32 = u32::from_le_bytes(*b"GPIO");
/// The most pins.
pub const MAX_PINS: u8 = 32;
/// Bytes of the window.
pub const WINDOW: u64 = 0x40;

/// Offsets in window 0.
pub mod register {
    /// Identification.
    pub const IDENTIFICATION: u64 = 0x00;
    /// Number of pins.
    pub const PINS: u64 = 0x04;
    /// Levels, read only.
    pub const LEVELS: u64 = 0x08;
    /// Directions.
    pub const DIRECTION: u64 = 0x0C;
    /// What outputs drive.
    pub const OUTPUT: u64 = 0x10;
    /// Which pins interrupt.
    pub const ENABLED: u64 = 0x14;
    /// Edge or level.
    pub const TRIGGER: u64 = 0x18;
    /// Which edge or level.
    pub const ACTIVE: u64 = 0x1C;
    /// Both edges.
    pub const BOTH: u64 = 0x20;
    /// What happened.
    pub const STATUS: u64 = 0x24;
}
