//! The timer of a local APIC. Clocks are an input; it counts, it does not look at one.
//!
//! Source: Intel SDM volume 3, "APIC Timer".

use super::Lapic;
use super::spec::{Lvt, divisor};

/// The counter. `clocks` is 0 while it stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    pub(super) initial_count: u32,
    pub(super) divide: u32,
    /// Bus clocks until the count is zero.
    clocks: u64,
}

impl Timer {
    pub(super) const fn new() -> Self {
        Self {
            initial_count: 0,
            divide: 0,
            clocks: 0,
        }
    }

    pub(super) const fn current_count(&self) -> u32 {
        self.clocks.div_ceil(divisor(self.divide)) as u32
    }

    /// Starts counting down, or stops for 0.
    pub(super) const fn start(&mut self, initial_count: u32) {
        self.initial_count = initial_count;
        self.clocks = self.period();
    }

    /// Changes the divisor; the current count goes on from where it is.
    pub(super) const fn set_divide(&mut self, divide: u32) {
        let count = self.current_count();
        self.divide = divide & 0xB;
        self.clocks = count as u64 * divisor(self.divide);
    }

    const fn period(&self) -> u64 {
        self.initial_count as u64 * divisor(self.divide)
    }

    /// Returns whether zero was reached.
    const fn advance(&mut self, clocks: u64, periodic: bool) -> bool {
        if self.clocks == 0 || clocks < self.clocks {
            self.clocks = self.clocks.saturating_sub(clocks);
            return false;
        }
        let late = clocks - self.clocks;
        self.clocks = 0;
        // A periodic timer whose initial count is 0 cannot be running: starting with 0 stops.
        if periodic && self.period() != 0 {
            self.clocks = self.period() - late % self.period();
        }
        true
    }
}

impl Lapic {
    /// Lets this many bus clocks pass, before division. If the timer reaches zero, even
    /// several times, its LVT entry fires once.
    pub fn advance(&mut self, clocks: u64) {
        let periodic = self.lvt[Lvt::Timer as usize].periodic();
        if self.timer.advance(clocks, periodic) {
            let _ = self.fire(Lvt::Timer);
        }
    }

    /// Bus clocks until the timer reaches zero, if it runs.
    #[must_use]
    pub const fn clocks_to_timer(&self) -> Option<u64> {
        match self.timer.clocks {
            0 => None,
            clocks => Some(clocks),
        }
    }
}
