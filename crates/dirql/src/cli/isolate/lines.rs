//! What a worker says, line by line, and for how long it is listened to.
//!
//! A worker may have become the driver's: it may say anything, without end, or nothing.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;

use super::cpu_time;

/// Bytes of one message. A report with every finding that there can be has fewer.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// Why no more is to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The other end is closed.
    Closed,
    /// Nothing was said for too long.
    Silent,
    /// It says what no worker says.
    TooMuch,
}

/// When it has to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// Never.
    Endless,
    /// So much time from the beginning on.
    Total(Time),
    /// So much time after each message.
    Each(Time),
}

/// An amount of time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Time {
    /// Real time.
    Real(Duration),
    /// CPU time of a process: on a computer with too much to do it may take long to get it.
    Cpu(Pid, Duration),
}

/// So many times as much real time as it may have CPU time is a process waited for: it has
/// nothing to wait for itself, but may be stopped, or the computer asleep.
const STARVED: u32 = 20;

/// Hears each line, without its end, until there are no more.
pub(super) fn listen(
    reader: OwnedFd,
    patience: Patience,
    mut heard: impl FnMut(&[u8]),
) -> io::Result<End> {
    let mut reader = File::from(reader);
    let (mut line, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
    let mut clock = match patience {
        Patience::Endless => None,
        Patience::Total(time) | Patience::Each(time) => Some(Clock::start(time)),
    };
    loop {
        let left = clock.as_ref().map(Clock::left);
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(End::Silent);
        }
        match wait(&reader, left) {
            Ok(true) => {}
            // It may have had less CPU time than real time has passed.
            Ok(false) => continue,
            // What is left of the time is looked at again.
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let count = match reader.read(&mut bytes) {
            Ok(0) => return Ok(End::Closed),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut rest = &bytes[..count];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(&rest[..end]);
            heard(&line);
            line.clear();
            rest = &rest[end + 1..];
            if let Patience::Each(time) = patience {
                clock = Some(Clock::start(time));
            }
        }
        line.extend_from_slice(rest);
        if line.len() > MOST_BYTES {
            return Ok(End::TooMuch);
        }
    }
}

/// Waits until there is something to read; `false` if the time is over before.
fn wait(reader: &File, time: Option<Duration>) -> rustix::io::Result<bool> {
    let time = time.map(|time| Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    let mut files = [PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN)];
    Ok(poll(&mut files, time.as_ref())? > 0)
}

/// How much is left of a time.
pub(super) struct Clock {
    time: Time,
    #[expect(
        clippy::disallowed_types,
        reason = "a worker that became the driver's is waited for in real time"
    )]
    start: std::time::Instant,
    /// The CPU time of the process at the start.
    cpu: Duration,
}

impl Clock {
    /// The time begins now.
    pub(super) fn start(time: Time) -> Self {
        Self {
            time,
            #[expect(
                clippy::disallowed_types,
                reason = "a worker that became the driver's is waited for in real time"
            )]
            start: std::time::Instant::now(),
            cpu: match time {
                Time::Real(_) => Duration::ZERO,
                Time::Cpu(pid, _) => cpu_time(pid).unwrap_or_default(),
            },
        }
    }

    /// The real time that has to pass at least until it is over.
    pub(super) fn left(&self) -> Duration {
        let real = self.start.elapsed();
        match self.time {
            Time::Real(limit) => limit.saturating_sub(real),
            Time::Cpu(pid, limit) => {
                let used = cpu_time(pid).map_or(real, |now| now.saturating_sub(self.cpu));
                let starved = (limit * STARVED).saturating_sub(real);
                limit.saturating_sub(used).min(starved)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(said: &[u8], patience: Patience) -> (Vec<String>, End) {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut writer = File::from(writer);
        writer.write_all(said).unwrap();
        // With patience that ends, the other end stays open.
        let kept = Some(writer).filter(|_| !matches!(patience, Patience::Endless));
        let mut heard = Vec::new();
        let end = listen(reader, patience, |line| {
            heard.push(String::from_utf8_lossy(line).into_owned());
        });
        drop(kept);
        (heard, end.unwrap())
    }

    #[test]
    fn lines_are_heard_whole() {
        let (heard, end) = lines(b"one\n\ntwo\nhalf", Patience::Endless);
        assert_eq!(heard, ["one", "", "two"]);
        assert_eq!(end, End::Closed);
    }

    #[test]
    fn who_says_nothing_any_more_is_not_waited_for() {
        let short = Duration::from_millis(5);
        for time in [
            Time::Real(short),
            Time::Cpu(rustix::process::getpid(), short),
        ] {
            for patience in [Patience::Total(time), Patience::Each(time)] {
                assert_eq!(lines(b"one\n", patience), (vec!["one".into()], End::Silent));
            }
        }
    }

    #[test]
    fn who_gets_no_cpu_time_is_waited_for_longer() {
        let limit = Duration::from_secs(60);
        let mut clock = Clock::start(Time::Cpu(rustix::process::getpid(), limit));
        let long_ago = clock.start.checked_sub(limit * 2);
        clock.start = long_ago.expect("this computer runs for longer");
        assert!(clock.left() > limit / 2);
        clock.time = Time::Real(limit);
        assert!(clock.left().is_zero());
    }
}
