//! The real time of this machine, for limits on it.

use std::time::Duration;

/// How long the machine has run.
///
/// Asked of Linux itself: the C library's clocks read the time-stamp counter in the process, which
/// shows the simulated computer's time where a driver reads it
/// ([`Host::trap_time_stamp_counter`](crate::Host::trap_time_stamp_counter)).
#[must_use]
pub fn real_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let clock = libc::c_long::from(libc::CLOCK_MONOTONIC);
    // SAFETY: the call writes one such structure to where it is told.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) };
    // It cannot fail, and neither number is negative.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::real_time;

    #[test]
    fn it_goes_on() {
        let before = real_time();
        assert!(real_time() >= before && !before.is_zero());
    }
}
