//! Workers, each of which does one part of a search; when it is done, another one does the next.

use std::collections::BTreeMap;

use super::super::Failure;
use super::super::isolate::{self, Channel, Message, SharedLog, Stream};
use super::super::output::Output;
use super::result::Part;
use super::supervisor::{Heard, Job, RUN_SECONDS};

/// A worker, and its part.
struct Busy {
    part: u64,
    stream: Stream,
    log: SharedLog,
    said: Option<Part>,
}

/// What a worker does, in the worker.
type Work<'a> = &'a dyn Fn(u64, &SharedLog, &mut Channel);

/// Does those of so many parts that are not done, lower ones first. `heard` makes a result of how
/// a worker ended.
pub(super) fn run(
    job: &Job<'_>,
    parts: u64,
    done: &mut BTreeMap<u64, Part>,
    work: Work<'_>,
    mut heard: impl FnMut(u64, Heard) -> Result<Part, Failure>,
    out: &mut Output,
) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::usage(format!("a worker: {error}"));
    let mut left = (0..parts)
        .filter(|part| !done.contains_key(part))
        .collect::<Vec<_>>();
    left.reverse();
    let mut busy: Vec<Busy> = Vec::new();
    // Logs are never given back, so that they are used again.
    let mut logs: Vec<SharedLog> = Vec::new();
    let mut progress = out.progress(parts as usize);
    loop {
        let found = first_found(job, done);
        left.retain(|part| found.is_none_or(|found| *part < found));
        for unwanted in extract(&mut busy, |busy| {
            found.is_some_and(|found| busy.part > found)
        }) {
            unwanted.stream.stop().map_err(wrong)?;
            logs.push(unwanted.log);
        }
        let is_over = job.clock.is_over() && !done.is_empty();
        while !is_over
            && (busy.len() as u64) < job.jobs
            && let Some(part) = left.pop()
        {
            let log = logs.pop().map_or_else(SharedLog::new, Ok).map_err(wrong)?;
            log.add(None);
            let stream = Stream::start(RUN_SECONDS, |channel| work(part, &log, channel));
            busy.push(Busy {
                part,
                stream: stream.map_err(wrong)?,
                log,
                said: None,
            });
        }
        if busy.is_empty() {
            break;
        }
        let mut streams: Vec<&mut Stream> = busy.iter_mut().map(|busy| &mut busy.stream).collect();
        let (index, messages) = isolate::next_messages(&mut streams).map_err(wrong)?;
        let Some(messages) = messages else {
            let Busy {
                part,
                stream,
                log,
                said,
            } = busy.swap_remove(index);
            let end = stream.end().map_err(wrong)?;
            done.insert(part, heard(part, (said, end, log.choices()))?);
            logs.push(log);
            continue;
        };
        for message in messages {
            match message {
                Message::Searched(part) => busy[index].said = Some(*part),
                Message::Tried(tried) => progress.tried(busy[index].part as usize, tried),
                _ => {}
            }
        }
    }
    progress.finish();
    Ok(())
}

/// The first part that has found something, unless all is to be found.
pub(super) fn first_found(job: &Job<'_>, done: &BTreeMap<u64, Part>) -> Option<u64> {
    let mut found = done.iter().filter(|(_, part)| !part.discoveries.is_empty());
    found
        .next()
        .map(|(part, _)| *part)
        .filter(|_| !job.limits.keep_going)
}

/// Takes those out that are not wanted any more.
fn extract(busy: &mut Vec<Busy>, is_unwanted: impl Fn(&Busy) -> bool) -> Vec<Busy> {
    busy.extract_if(.., |busy| is_unwanted(busy)).collect()
}
