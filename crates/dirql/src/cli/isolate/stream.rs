//! Several workers at once, to which one listens in turns.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::lines::{Clock, End, MOST_BYTES};
use super::{Channel, Message, Worker, WorkerEnd, message};

/// How often it is looked who is silent.
const LOOK: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// A worker beside others.
pub(crate) struct Stream {
    worker: Worker,
    /// The beginning of a message.
    partial: Vec<u8>,
    /// Our own code gave up in it.
    panicked: bool,
    /// How long it may still say nothing.
    heard: Clock,
    seconds: u32,
    end: Option<End>,
}

impl Stream {
    /// Runs `body` in a process of its own, which is to say something each `seconds` of its CPU
    /// time.
    pub(crate) fn start(seconds: u32, body: impl FnOnce(&mut Channel)) -> io::Result<Self> {
        let worker = Worker::start(body)?;
        Ok(Self {
            heard: Clock::start(worker.patience(seconds)),
            worker,
            partial: Vec::new(),
            panicked: false,
            seconds,
            end: None,
        })
    }

    /// Reads what it has said by now.
    fn read(&mut self) -> io::Result<Vec<Message>> {
        let mut bytes = vec![0; 1 << 16];
        let count = match rustix::io::read(&self.worker.reader, &mut bytes[..]) {
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            count => count?,
        };
        if count == 0 {
            self.end = Some(End::Closed);
        }
        let mut messages = Vec::new();
        for part in bytes[..count].split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if !part.ends_with(b"\n") {
                continue;
            }
            self.partial.pop();
            match message(&self.partial) {
                Some(Message::Panicked(by_driver)) => self.panicked = !by_driver,
                Some(message) => messages.push(message),
                None => {}
            }
            self.partial.clear();
            self.heard = Clock::start(self.worker.patience(self.seconds));
        }
        if self.partial.len() > MOST_BYTES {
            self.end = Some(End::TooMuch);
        }
        Ok(messages)
    }

    /// Ends the process, whose result nobody wants any more.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        self.end = Some(End::Silent);
        self.end().map(drop)
    }

    /// Waits until the process is gone.
    pub(crate) fn end(self) -> io::Result<WorkerEnd> {
        let end = self.end.unwrap_or(End::Closed);
        Worker::ended(self.worker.pid, end, self.panicked)
    }
}

/// Waits until one of these has something to say, or has come to its end, or has said nothing for
/// too long. Which one, and what; `None` at its end.
pub(crate) fn next_messages(
    streams: &mut [&mut Stream],
) -> io::Result<(usize, Option<Vec<Message>>)> {
    loop {
        let mut waits: Vec<PollFd<'_>> = streams
            .iter()
            .map(|stream| PollFd::new(&stream.worker.reader, PollFlags::IN))
            .collect();
        match poll(&mut waits, Some(&LOOK)) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        let ready: Vec<bool> = waits
            .iter()
            .map(|wait| !wait.revents().is_empty())
            .collect();
        for (index, (stream, ready)) in streams.iter_mut().zip(ready).enumerate() {
            if ready {
                let messages = stream.read()?;
                return Ok((index, stream.end.is_none().then_some(messages)));
            }
            if stream.heard.left().is_zero() {
                stream.end = Some(End::Silent);
                return Ok((index, None));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What workers say, in the order of the workers, and how they end.
    fn hear(bodies: Vec<fn(&mut Channel)>) -> Vec<(Vec<String>, WorkerEnd)> {
        let mut streams: Vec<(usize, Stream)> = bodies
            .into_iter()
            .map(|body| Stream::start(60, body).unwrap())
            .enumerate()
            .collect();
        let mut heard: Vec<(Vec<String>, WorkerEnd)> = streams
            .iter()
            .map(|_| (Vec::new(), WorkerEnd::Finished))
            .collect();
        while !streams.is_empty() {
            let mut all: Vec<&mut Stream> = streams.iter_mut().map(|(_, stream)| stream).collect();
            let (index, messages) = next_messages(&mut all).unwrap();
            match messages {
                Some(messages) => {
                    let texts = messages.into_iter().map(|message| format!("{message:?}"));
                    heard[streams[index].0].0.extend(texts);
                }
                None => {
                    let (number, stream) = streams.remove(index);
                    heard[number].1 = stream.end().unwrap();
                }
            }
        }
        heard
    }

    #[test]
    fn each_is_heard_to_its_own_end() {
        let heard = hear(vec![
            |channel| channel.send(&Message::Step("one".into())),
            |channel| {
                channel.send(&Message::Step("two".into()));
                std::process::abort();
            },
            |_| panic!("this panic is part of a test"),
        ]);
        assert_eq!(heard[0].0, [r#"Step("one")"#]);
        assert!(matches!(heard[0].1, WorkerEnd::Finished));
        assert_eq!(heard[1].0, [r#"Step("two")"#]);
        assert!(matches!(heard[1].1, WorkerEnd::Destroyed(_)));
        assert!(matches!(heard[2].1, WorkerEnd::Panicked));
    }
}
