//! What travels between chips: levels on lines, vectors, and message writes.

/// The electrical level of a line at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Low.
    #[default]
    Low,
    /// High.
    High,
}

/// What a controller input reacts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// A transition to the active level; `Latched` in NT's words.
    #[default]
    Edge,
    /// The active level itself; `LevelSensitive` in NT's words.
    Level,
}

/// Which level of a line is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Polarity {
    /// High is active.
    #[default]
    ActiveHigh,
    /// Low is active, as on PCI.
    ActiveLow,
}

/// An index into a processor's interrupt descriptor table, 0x10..=0xFF.
///
/// Never a line number. Its upper four bits are its priority class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vector(pub u8);

impl Vector {
    /// The priority class, which on x64 is also the IRQL.
    #[must_use]
    pub const fn class(self) -> u8 {
        self.0 >> 4
    }
}

/// A memory write that a device or an IO-APIC makes to interrupt a processor.
///
/// Source: Intel SDM volume 3, "Message Signalled Interrupts", address and data formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageWrite {
    /// Physical address, in the 0xFEEx_xxxx window.
    pub address: u64,
    /// Data word: vector, delivery mode, trigger.
    pub data: u32,
}
