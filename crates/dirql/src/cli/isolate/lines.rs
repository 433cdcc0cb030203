//! What a worker says, line by line, and for how long it is listened to.
//!
//! A worker may have become the driver's: it may say anything, without end, or nothing.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
    /// So much real time from the beginning on.
    Total(Duration),
    /// So much real time after each message.
    Each(Duration),
}

/// Hears each line, without its end, until there are no more.
pub(super) fn listen(
    reader: OwnedFd,
    patience: Patience,
    mut heard: impl FnMut(&[u8]),
) -> io::Result<End> {
    let mut reader = File::from(reader);
    let (mut line, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
    let mut clock = Clock::start();
    loop {
        let limit = match patience {
            Patience::Endless => None,
            Patience::Total(limit) | Patience::Each(limit) => Some(limit),
        };
        match wait(&reader, limit.map(|limit| clock.left(limit))) {
            Ok(true) => {}
            Ok(false) => return Ok(End::Silent),
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
            if matches!(patience, Patience::Each(_)) {
                clock = Clock::start();
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

/// Real time since it was started.
pub(super) struct Clock(
    #[expect(
        clippy::disallowed_types,
        reason = "a worker that became the driver's is waited for in real time"
    )]
    std::time::Instant,
);

impl Clock {
    pub(super) fn start() -> Self {
        #[expect(
            clippy::disallowed_types,
            reason = "a worker that became the driver's is waited for in real time"
        )]
        Self(std::time::Instant::now())
    }

    pub(super) fn left(&self, limit: Duration) -> Duration {
        limit.saturating_sub(self.0.elapsed())
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
        for patience in [Patience::Total(short), Patience::Each(short)] {
            assert_eq!(lines(b"one\n", patience), (vec!["one".into()], End::Silent));
        }
    }
}
