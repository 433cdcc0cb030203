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

impl Level {
    /// The other level.
    #[must_use]
    pub const fn inverted(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

impl Trigger {
    /// From the one-bit field of the interrupt controllers: 0 is edge, 1 is level.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        if bits & 1 == 0 {
            Self::Edge
        } else {
            Self::Level
        }
    }

    /// To the one-bit field of the interrupt controllers.
    #[must_use]
    pub const fn into_bits(self) -> u8 {
        self as u8
    }
}

impl Polarity {
    /// From the one-bit field of the interrupt controllers: 0 is active high, 1 is active low.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        if bits & 1 == 0 {
            Self::ActiveHigh
        } else {
            Self::ActiveLow
        }
    }

    /// To the one-bit field of the interrupt controllers.
    #[must_use]
    pub const fn into_bits(self) -> u8 {
        self as u8
    }

    /// The electrical level at which a line of this polarity is asserted.
    #[must_use]
    pub const fn asserted(self) -> Level {
        match self {
            Self::ActiveHigh => Level::High,
            Self::ActiveLow => Level::Low,
        }
    }

    /// The electrical level at which a line of this polarity rests.
    #[must_use]
    pub const fn idle(self) -> Level {
        self.asserted().inverted()
    }
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
