//! Memory that workers and their parent share, and that stays when a worker is destroyed.
//!
//! A driver may write anything there: what is read is a claim of the worker's.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use dirql::Deviation;

/// Words of zero, which processes that are made from now on share.
fn words(count: usize) -> io::Result<&'static [AtomicU64]> {
    // SAFETY: a new mapping, of which nobody else knows.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            count * size_of::<AtomicU64>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is page-aligned, has this many words, which are zero and are accessed as
    // atomic ones alone, and is never undone.
    Ok(unsafe { std::slice::from_raw_parts(memory.cast::<AtomicU64>(), count) })
}

/// Numbers from 0 on, each of which one worker takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedQueue {
    /// The next number, and the first that nobody takes.
    words: &'static [AtomicU64],
}

impl SharedQueue {
    /// Nothing is to be taken.
    pub(crate) fn new() -> io::Result<Self> {
        words(2).map(|words| Self { words })
    }

    /// From now on the numbers below `end` are taken, from 0 on.
    pub(crate) fn begin(&self, end: u64) {
        self.end_at(end);
        self.next().store(0, Ordering::Release);
    }

    /// Numbers from `end` on are not taken any more.
    pub(crate) fn end_at(&self, end: u64) {
        self.end().store(end, Ordering::Release);
    }

    /// The next number, if there is one.
    pub(crate) fn take(&self) -> Option<u64> {
        let next = self.next().fetch_add(1, Ordering::AcqRel);
        (next < self.end().load(Ordering::Acquire)).then_some(next)
    }

    fn next(&self) -> &AtomicU64 {
        &self.words[0]
    }

    fn end(&self) -> &AtomicU64 {
        &self.words[1]
    }
}

/// What a worker has chosen in the run under way, where its parent can read it even if the worker
/// is destroyed.
#[derive(Debug)]
pub(crate) struct SharedLog {
    words: &'static [AtomicU64],
}

/// Words of a shared log: a count, and as many choices as fit.
const LOG_WORDS: usize = 8192;

impl SharedLog {
    /// An empty log; processes that are made from now on share it.
    pub(crate) fn new() -> io::Result<Self> {
        words(LOG_WORDS).map(|words| Self { words })
    }

    /// The same log again.
    pub(crate) const fn again(&self) -> Self {
        Self { words: self.words }
    }

    /// A choice was made; `None`: another run begins.
    pub(crate) fn add(&self, deviation: Option<Deviation>) {
        let [count, choices @ ..] = self.words else {
            return;
        };
        let Some(Deviation { point, option }) = deviation else {
            count.store(0, Ordering::Release);
            return;
        };
        let at = count.load(Ordering::Relaxed);
        if let Some(choice) = choices.get(at as usize) {
            choice.store(
                u64::from(point) << 16 | u64::from(option),
                Ordering::Relaxed,
            );
            count.store(at + 1, Ordering::Release);
        }
    }

    /// What was chosen in the run under way.
    pub(crate) fn choices(&self) -> Vec<Deviation> {
        let [count, choices @ ..] = self.words else {
            return Vec::new();
        };
        let count = (count.load(Ordering::Acquire) as usize).min(choices.len());
        choices[..count]
            .iter()
            .map(|choice| {
                let choice = choice.load(Ordering::Relaxed);
                Deviation {
                    point: (choice >> 16) as u32,
                    option: choice as u16,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_taken_once() {
        let queue = SharedQueue::new().unwrap();
        assert_eq!(queue.take(), None);
        queue.begin(3);
        assert_eq!(queue.take(), Some(0));
        assert_eq!(queue.take(), Some(1));
        queue.end_at(2);
        assert_eq!(queue.take(), None);
        queue.begin(1);
        assert_eq!([queue.take(), queue.take()], [Some(0), None]);
    }

    #[test]
    fn a_run_that_begins_has_chosen_nothing() {
        let log = SharedLog::new().unwrap();
        let one = Deviation {
            point: 70_000,
            option: 3,
        };
        log.add(Some(one));
        log.again().add(Some(Deviation {
            point: 70_001,
            ..one
        }));
        assert_eq!(log.choices().len(), 2);
        assert_eq!(log.choices()[0], one);
        log.add(None);
        assert_eq!(log.choices(), []);
    }
}
