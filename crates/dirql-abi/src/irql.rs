//! Interrupt request levels of x64.
//!
//! The level is the local controller's priority class: a vector's level is the vector divided by
//! 16, and a processor's level is held in CR8. Hence 16 levels, and 16 vectors at each.
//!
//! Source: WDK reference, wdm.h (`PASSIVE_LEVEL` and following); Intel SDM volume 3, "Interrupt
//! Task Priority Register".

use core::fmt;

/// A `KIRQL`. Any byte may come from a driver; [`Irql::is_valid`] tells whether it is a level.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(transparent)]
pub struct Irql(pub u8);

impl Irql {
    /// `PASSIVE_LEVEL`, also `LOW_LEVEL`: ordinary thread code.
    pub const PASSIVE: Self = Self(0);
    /// `APC_LEVEL`: as `PASSIVE_LEVEL`, but normal kernel APCs wait.
    pub const APC: Self = Self(1);
    /// `DISPATCH_LEVEL`: no thread switch; no page fault may be taken here or above.
    pub const DISPATCH: Self = Self(2);
    /// Lowest level of a device interrupt.
    pub const DEVICE_MIN: Self = Self(3);
    /// `CMCI_LEVEL`: corrected machine checks. It lies inside the device range.
    pub const CMCI: Self = Self(5);
    /// Highest level of a device interrupt (vectors 0xB0 to 0xBF).
    pub const DEVICE_MAX: Self = Self(11);
    /// `SYNCH_LEVEL` of multiprocessor builds.
    pub const SYNCH: Self = Self(12);
    /// `CLOCK_LEVEL`.
    pub const CLOCK: Self = Self(13);
    /// `IPI_LEVEL`, also `DRS_LEVEL` and `POWER_LEVEL`.
    pub const IPI: Self = Self(14);
    /// `HIGH_LEVEL`, also `PROFILE_LEVEL`: nothing maskable interrupts.
    pub const HIGH: Self = Self(15);

    /// The level of an interrupt vector.
    #[must_use]
    pub const fn of_vector(vector: u8) -> Self {
        Self(vector >> 4)
    }

    /// Whether the byte is one of the 16 levels.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 <= Self::HIGH.0
    }

    /// Whether device interrupts can have this level (a DIRQL).
    #[must_use]
    pub const fn is_device(self) -> bool {
        self.0 >= Self::DEVICE_MIN.0 && self.0 <= Self::DEVICE_MAX.0
    }

    /// The level's name, for those that have one outside the device range.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::PASSIVE => "PASSIVE_LEVEL",
            Self::APC => "APC_LEVEL",
            Self::DISPATCH => "DISPATCH_LEVEL",
            Self::SYNCH => "SYNCH_LEVEL",
            Self::CLOCK => "CLOCK_LEVEL",
            Self::IPI => "IPI_LEVEL",
            Self::HIGH => "HIGH_LEVEL",
            _ => return None,
        })
    }
}

impl fmt::Display for Irql {
    /// `DISPATCH_LEVEL`, `DIRQL 6`, or `IRQL 255` for a byte that is no level.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None if self.is_device() => write!(f, "DIRQL {}", self.0),
            None => write!(f, "IRQL {}", self.0),
        }
    }
}
