//! How long a run waits for a driver that waits.
//!
//! A driver that waits in the scheduler leaves processors idle, and the run gives up when time
//! has passed for long enough. One that polls, with calls into the kernel or accesses to its
//! device, keeps its processor busy for ever. So the time is counted in which it is the only thing
//! that happens: since all processors were idle last, since the run last asked for something, and
//! since a device last did something by itself. Time is virtual: what a driver polls for is there
//! within it or never.
//!
//! What passes because somebody chose so, because code that makes no step was to see something new
//! ([`Kernel::nudge`]), or because looking takes longer the longer it goes on ([`super::poll`]), does
//! not count: a loop may be bounded by the number of its turns.
//!
//! Choice: a minute for code that only looks, as for code that sleeps; ten for code that writes to
//! a device meanwhile, which may send a byte at a time; an hour in all while devices are at work.
//! Looks and short stalls add up slowly, so that their number is limited too. A thread that a driver
//! has made may poll for as long as the driver lives, if others can run meanwhile: it has sixteen
//! times as much of both.

use alloc::format;
use core::cell::Cell;

use dirql_abi::Irql;
use dirql_rules::ids;

use crate::Kernel;
use crate::stop::Ddi;

/// Virtual time for which a driver is waited for, 100 ns units: a minute, longer than any
/// driver's longest delay.
const PATIENCE_100NS: u64 = 60 * SECOND;

/// Virtual time for which a driver is waited for that writes to devices.
const WRITING_100NS: u64 = 10 * PATIENCE_100NS;

/// Virtual time for which a driver is waited for at most while devices are at work: an hour.
const DEVICE_PATIENCE_100NS: u64 = 60 * PATIENCE_100NS;

/// How many times as long a thread of a driver's own may poll.
const OWN_THREAD: u32 = 16;

/// 100 ns units.
const SECOND: u64 = 10_000_000;

/// What has happened since a driver began to be busy.
#[derive(Default)]
pub(crate) struct Patience {
    /// When the run last asked for something, or all processors were idle.
    since: Cell<u64>,
    /// When a device last did something by itself.
    device: Cell<u64>,
    /// A driver has written to a device since.
    wrote: Cell<bool>,
    looks: Cell<u32>,
}

/// What a driver has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsedUp {
    /// So many seconds of virtual time.
    Time(u64),
    /// The number of looks.
    Looks,
}

impl Patience {
    /// The driver is not busy, or is asked for something new, at `now`.
    pub(super) fn begin(&self, now: u64) {
        self.since.set(now);
        self.wrote.set(false);
        self.looks.set(0);
    }

    /// Time passes that the driver has not spent, `by` in 100 ns.
    pub(super) fn does_not_count(&self, by: u64) {
        self.since.set(self.since.get().saturating_add(by));
    }

    /// A device does something by itself.
    pub(super) fn device_acts(&self, now: u64) {
        self.device.set(now);
        self.looks.set(0);
    }

    /// The driver writes to a device.
    #[inline]
    pub(crate) fn device_is_written(&self) {
        self.wrote.set(true);
    }

    /// The driver stalls, or looks at what it has seen before.
    pub(super) fn looks(&self) {
        self.looks.set(self.looks.get().saturating_add(1));
    }

    /// Until when delays are waited for by something that began at `start`.
    pub(super) fn delays_until(&self, start: u64) -> u64 {
        self.until(start, PATIENCE_100NS)
    }

    fn until(&self, start: u64, patience: u64) -> u64 {
        let latest = start.saturating_add(DEVICE_PATIENCE_100NS);
        let last = start.max(self.device.get());
        last.saturating_add(patience).min(latest)
    }

    /// `times` is how many times as long as usual the driver may poll.
    fn used_up(&self, now: u64, max_looks: u32, times: u32) -> Option<UsedUp> {
        if self.looks.get() >= max_looks.saturating_mul(times) {
            return Some(UsedUp::Looks);
        }
        let patience = if self.wrote.get() {
            WRITING_100NS
        } else {
            PATIENCE_100NS
        };
        let since = self.since.get();
        let patience = patience * u64::from(times);
        (now >= self.until(since, patience)).then(|| UsedUp::Time((now - since) / SECOND))
    }
}

impl Kernel {
    /// The driver is busy. Ends the run if it has been for longer than anything takes.
    pub(super) fn check_patience(&self) -> Ddi<()> {
        let own_thread = self.irql() < Irql::DISPATCH && self.runs_thread_of_driver();
        let times = if own_thread { OWN_THREAD } else { 1 };
        let (now, looks) = (self.time_100ns(), self.config().max_looks);
        let message = match self.ke.patience.used_up(now, looks, times) {
            None => return Ok(()),
            Some(UsedUp::Time(seconds)) => format!(
                "the driver has polled for {seconds} seconds of virtual time without letting its processor go, and what it waits for has not come"
            ),
            Some(UsedUp::Looks) => format!(
                "the driver has stalled, or looked at what it had seen before, {} times without letting its processor go, and what it waits for has not come",
                looks.saturating_mul(times)
            ),
        };
        let kept = if self.irql() < Irql::DISPATCH {
            None
        } else {
            self.kept_from_running()
        };
        Err(self.find_fatal(ids::HANG, message, kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOKS: u32 = 1000;

    #[test]
    fn a_minute_is_enough_for_code_that_looks() {
        let patience = Patience::default();
        patience.begin(SECOND);
        assert_eq!(patience.used_up(61 * SECOND - 1, LOOKS, 1), None);
        assert_eq!(
            patience.used_up(61 * SECOND, LOOKS, 1),
            Some(UsedUp::Time(60))
        );
        patience.begin(61 * SECOND);
        assert_eq!(
            patience.used_up(61 * SECOND, LOOKS, 1),
            None,
            "something new"
        );
    }

    #[test]
    fn ten_minutes_are_enough_for_code_that_writes() {
        let patience = Patience::default();
        patience.begin(0);
        patience.device_is_written();
        assert_eq!(patience.used_up(600 * SECOND - 1, LOOKS, 1), None);
        assert_eq!(
            patience.used_up(600 * SECOND, LOOKS, 1),
            Some(UsedUp::Time(600))
        );
    }

    #[test]
    fn an_hour_is_enough_while_devices_are_at_work() {
        let patience = Patience::default();
        patience.begin(0);
        for second in 1..3600 {
            patience.device_acts(second * SECOND);
            assert_eq!(patience.used_up(second * SECOND, LOOKS, 1), None);
        }
        assert_eq!(
            patience.used_up(3600 * SECOND, LOOKS, 1),
            Some(UsedUp::Time(3600))
        );
    }

    #[test]
    fn a_thread_of_a_drivers_own_may_poll_for_longer() {
        let patience = Patience::default();
        patience.begin(0);
        assert_eq!(patience.used_up(960 * SECOND - 1, LOOKS, 16), None);
        assert_eq!(
            patience.used_up(960 * SECOND, LOOKS, 16),
            Some(UsedUp::Time(960))
        );
        for _ in 0..16 * LOOKS {
            patience.looks();
        }
        assert_eq!(patience.used_up(0, LOOKS, 16), Some(UsedUp::Looks));
    }

    #[test]
    fn looks_are_counted_however_short() {
        let patience = Patience::default();
        for _ in 1..LOOKS {
            patience.looks();
        }
        assert_eq!(patience.used_up(0, LOOKS, 1), None);
        patience.looks();
        assert_eq!(patience.used_up(0, LOOKS, 1), Some(UsedUp::Looks));
        patience.device_acts(0);
        assert_eq!(patience.used_up(0, LOOKS, 1), None, "a device that works");
    }
}
