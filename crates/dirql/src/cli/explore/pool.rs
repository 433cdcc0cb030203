//! Workers, each of which does one part of a search after the other, while there are any.
//!
//! To begin a worker takes as long as many runs, so it goes on for as long as it is well. Which part
//! is next is in memory that all share; that a driver may write anything there costs no part: one
//! that nobody has said anything about is given to another worker, and each worker does at least the
//! part that it was begun for.

use std::collections::BTreeMap;
use std::io;

use super::super::Failure;
use super::super::isolate::{self, Channel, Message, SharedLog, SharedQueue, Stream, WorkerEnd};
use super::super::output::{Output, Progress};
use super::part::Part;
use super::supervisor::{Heard, Job, RUN_SECONDS};

/// A worker, and its part.
struct Busy {
    part: u64,
    stream: Stream,
    log: SharedLog,
    said: Option<Part>,
}

/// The parts of a worker, in the worker.
pub(super) struct Turn<'a> {
    first: Option<u64>,
    queue: SharedQueue,
    parts: &'a [u64],
}

impl Turn<'_> {
    /// The next one, if there is one.
    pub(super) fn next(&mut self) -> Option<u64> {
        self.first.take().or_else(|| take(self.queue, self.parts))
    }
}

fn take(queue: SharedQueue, parts: &[u64]) -> Option<u64> {
    parts.get(usize::try_from(queue.take()?).ok()?).copied()
}

/// What a worker does, in the worker.
type Work<'a> = &'a dyn Fn(Turn<'_>, &SharedLog, &mut Channel);

/// Does those of so many parts that are not done, lower ones first. `heard` makes a result of how
/// a part ended.
pub(super) fn run(
    job: &Job<'_>,
    parts: u64,
    done: &mut BTreeMap<u64, Part>,
    work: Work<'_>,
    heard: impl FnMut(u64, Heard) -> Result<Part, Failure>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut pool = Pool {
        job,
        done,
        work,
        heard,
        queue: SharedQueue::new().map_err(wrong)?,
        left: Vec::new(),
        busy: Vec::new(),
        logs: Vec::new(),
    };
    let mut progress = out.progress(parts as usize);
    while pool.begin(parts) {
        loop {
            pool.stop_unwanted().map_err(wrong)?;
            pool.start().map_err(wrong)?;
            if pool.busy.is_empty() {
                break;
            }
            pool.listen(&mut progress)?;
        }
    }
    progress.finish();
    Ok(())
}

fn wrong(error: io::Error) -> Failure {
    Failure::usage(format!("a worker: {error}"))
}

/// Workers, and what they have done.
struct Pool<'a, F> {
    job: &'a Job<'a>,
    done: &'a mut BTreeMap<u64, Part>,
    work: Work<'a>,
    heard: F,
    /// Places in `left`.
    queue: SharedQueue,
    /// Parts that are to be done.
    left: Vec<u64>,
    busy: Vec<Busy>,
    /// Logs are never given back, so that they are used again.
    logs: Vec<SharedLog>,
}

impl<F: FnMut(u64, Heard) -> Result<Part, Failure>> Pool<'_, F> {
    /// Offers what is not done to workers; `false` if there is no more to do.
    fn begin(&mut self, parts: u64) -> bool {
        let found = first_found(self.job, self.done);
        let is_left =
            |part: &u64| !self.done.contains_key(part) && found.is_none_or(|found| *part < found);
        self.left = (0..parts).filter(is_left).collect();
        self.queue.begin(self.left.len() as u64);
        !self.left.is_empty() && !self.is_over()
    }

    /// Whether no part is begun any more; the first one always is.
    fn is_over(&self) -> bool {
        self.job.clock.is_over() && !self.done.is_empty()
    }

    /// Stops who does a part behind one that has found something, if that is to be the last.
    fn stop_unwanted(&mut self) -> io::Result<()> {
        let Some(found) = first_found(self.job, self.done) else {
            return Ok(());
        };
        let wanted = self.left.partition_point(|part| *part < found);
        self.queue.end_at(wanted as u64);
        let unwanted: Vec<Busy> = self.busy.extract_if(.., |busy| busy.part > found).collect();
        unwanted.into_iter().try_for_each(|busy| self.stop(busy))
    }

    /// Ends a worker, whose result nobody wants.
    fn stop(&mut self, busy: Busy) -> io::Result<()> {
        self.logs.push(busy.log);
        busy.stream.stop()
    }

    /// Starts as many workers as there may be.
    fn start(&mut self) -> io::Result<()> {
        // A driver may have the queue say the same again and again.
        for _ in 0..self.left.len() {
            if self.is_over() || self.busy.len() as u64 >= self.job.jobs {
                break;
            }
            let Some(part) = take(self.queue, &self.left) else {
                break;
            };
            if !self.is_free(part, None) {
                continue;
            }
            let log = self.logs.pop().map_or_else(SharedLog::new, Ok)?;
            log.add(None);
            let turn = Turn {
                first: Some(part),
                queue: self.queue,
                parts: &self.left,
            };
            let stream = Stream::start(RUN_SECONDS, |channel| (self.work)(turn, &log, channel))?;
            self.busy.push(Busy {
                part,
                stream,
                log,
                said: None,
            });
        }
        Ok(())
    }

    /// Whether a part is to be done, and nobody does it but `who`.
    fn is_free(&self, part: u64, who: Option<usize>) -> bool {
        let mut busy = self.busy.iter().enumerate();
        self.left.contains(&part)
            && !self.done.contains_key(&part)
            && !busy.any(|(at, busy)| Some(at) != who && busy.part == part)
    }

    /// Hears what one worker has to say.
    fn listen(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        let streams = self.busy.iter_mut().map(|busy| &mut busy.stream);
        let mut streams: Vec<&mut Stream> = streams.collect();
        let (index, messages) = isolate::next_messages(&mut streams).map_err(wrong)?;
        let Some(messages) = messages else {
            return self.end(index);
        };
        for message in messages {
            let busy = &mut self.busy[index];
            match message {
                Message::Part(part) if part == busy.part && busy.said.is_none() => {}
                Message::Part(part) => {
                    let stays = self.go_on(index, part)?;
                    if !stays {
                        break;
                    }
                }
                Message::Searched(part) => busy.said = Some(*part),
                Message::Tried(tried) => progress.tried(busy.part as usize, tried),
                _ => {}
            }
        }
        Ok(())
    }

    /// A worker has come to its end.
    fn end(&mut self, index: usize) -> Result<(), Failure> {
        let busy = self.busy.swap_remove(index);
        let end = busy.stream.end().map_err(wrong)?;
        let how = (busy.said, end, busy.log.choices());
        self.logs.push(busy.log);
        self.done.insert(busy.part, (self.heard)(busy.part, how)?);
        Ok(())
    }

    /// A worker has ended its part and begins another one, if it says so; `false` if it is gone,
    /// because it said something else.
    fn go_on(&mut self, index: usize, next: u64) -> Result<bool, Failure> {
        let busy = &mut self.busy[index];
        let Some(said) = busy.said.take() else {
            // No worker says that, but a driver in it may.
            let busy = self.busy.swap_remove(index);
            let choices = busy.log.choices();
            let part = busy.part;
            self.stop(busy).map_err(wrong)?;
            let end = WorkerEnd::Destroyed("after it had said what no worker says".into());
            self.done
                .insert(part, (self.heard)(part, (None, end, choices))?);
            return Ok(false);
        };
        let part = std::mem::replace(&mut busy.part, next);
        let well = (Some(said), WorkerEnd::Finished, Vec::new());
        self.done.insert(part, (self.heard)(part, well)?);
        let is_free = self.is_free(next, Some(index));
        if !is_free {
            let busy = self.busy.swap_remove(index);
            self.stop(busy).map_err(wrong)?;
        }
        Ok(is_free)
    }
}

/// The first part that has found something, unless all is to be found.
pub(super) fn first_found(job: &Job<'_>, done: &BTreeMap<u64, Part>) -> Option<u64> {
    let mut found = done.iter().filter(|(_, part)| !part.discoveries.is_empty());
    found
        .next()
        .map(|(part, _)| *part)
        .filter(|_| !job.limits.keep_going)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dirql::{Limits, Plan, Strategy, WindowsVersion};

    use super::super::super::clock::Clock;

    const PARTS: u64 = 9;

    /// Which parts end how, if workers do this with each.
    fn parts(each: impl Fn(u64, Turn<'_>, &mut Channel) -> bool) -> Vec<String> {
        let scenario = dirql::scenario::Scenario::default();
        let plan = Plan::new(scenario, None, None, None).unwrap();
        let job = Job {
            plan: &plan,
            strategy: &Strategy::Default,
            limits: &Limits {
                keep_going: true,
                ..Limits::default()
            },
            jobs: 2,
            shard: (0, 1),
            windows: WindowsVersion::Ten,
            clock: &Clock::start(None),
        };
        let mut ended = vec![String::new(); PARTS as usize];
        let work = |mut turn: Turn<'_>, _: &SharedLog, channel: &mut Channel| {
            while let Some(part) = turn.next() {
                channel.send(&Message::Part(part));
                let more = Turn {
                    first: None,
                    ..turn
                };
                if !each(part, more, channel) {
                    return;
                }
                channel.send(&Message::Searched(Box::default()));
            }
        };
        let heard = |part: u64, (said, end, _): Heard| {
            let text = match (said, end) {
                (Some(_), WorkerEnd::Finished) => "well".into(),
                (None, WorkerEnd::Destroyed(how)) => how,
                (_, end) => format!("{end:?}"),
            };
            assert_eq!(ended[part as usize], "", "part {part} is done twice");
            ended[part as usize] = text;
            Ok(Part::default())
        };
        let mut out = Output::new(true, false);
        run(&job, PARTS, &mut BTreeMap::new(), &work, heard, &mut out).unwrap();
        ended
    }

    #[test]
    fn each_part_is_done_once() {
        assert_eq!(parts(|_, _, _| true), ["well"; PARTS as usize]);
    }

    #[test]
    fn a_worker_that_is_destroyed_costs_its_own_part() {
        let ended = parts(|part, _, _| {
            if part == 4 {
                std::process::abort();
            }
            true
        });
        for (part, how) in ended.iter().enumerate() {
            let expected = if part == 4 {
                "by signal 6 (SIGABRT)"
            } else {
                "well"
            };
            assert_eq!(how, expected, "part {part}");
        }
    }

    #[test]
    fn a_queue_that_a_driver_has_spoiled_costs_no_part() {
        let skips = parts(|_, turn, _| {
            turn.queue.end_at(0);
            true
        });
        assert_eq!(skips, ["well"; PARTS as usize]);
        let repeats = parts(|_, turn, _| {
            turn.queue.begin(u64::MAX);
            true
        });
        assert_eq!(repeats, ["well"; PARTS as usize]);
    }

    #[test]
    fn a_worker_that_says_what_none_says_is_gone() {
        let said = "after it had said what no worker says";
        let ended = parts(|part, _, channel| {
            if part == 2 {
                channel.send(&Message::Part(7));
            }
            true
        });
        for (part, how) in ended.iter().enumerate() {
            assert_eq!(how, if part == 2 { said } else { "well" }, "part {part}");
        }
    }
}
