//! What goes wrong with memory in another order, told from one in which it went right.
//!
//! A run whose accesses to memory were recorded is looked at again. Two accesses that nothing
//! [orders](order) can come the other way round. That alone is no defect: a flag that one sets and
//! another polls is such a pair. What is told is
//!
//! - a **lost update**: a value is read, and what was made of it is written back, while somebody
//!   else writes the place;
//! - a **check then act**: two test a value and then set it, and both can have tested before either
//!   has set;
//! - a **torn read**: words that one writes together are read in the same order by another, who
//!   can get one from before and one from after, and does not read one of them again;
//! - a [late write](late): an ISR writes what its DPC reads after it has requested the DPC.
//!
//! A flag, or an index of a ring, hands on what was written before it. A word whose writes are in
//! one order counts as such: who reads it comes after who wrote it. (Loads and stores of x64 keep
//! their order as this needs it; Intel SDM volume 3A, "Memory Ordering in P6 and More Recent
//! Processor Families".)
//!
//! Source: A. Dinning, E. Schonberg, "An Empirical Comparison of Monitoring Algorithms for Access
//! Anomaly Detection", PPoPP 1990, for the order of accesses; S. Savage et al., "Eraser: A Dynamic
//! Data Race Detector for Multithreaded Programs", TOCS 15(4), 1997, for the sets of locks, which
//! here only give the reason.
//!
//! Not seen: what is on a stack; a value that is tested under a lock and set under it later, after
//! the lock was free, because nobody knows whether the earlier test still decides; what is ordered
//! in this run by a lock or a routine of the kernel that happens to come between. Other runs show
//! some of the last.

mod again;
mod clock;
mod flow;
mod history;
mod late;
mod order;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dirql_host::MemoryAccess;
use dirql_kernel::mm::layout::STACKS;
use dirql_kernel::{Event, EventSink, Stamp};
use dirql_rules::{Context, Finding, RuleId, ids};

use again::Again;
use clock::Clock;
use history::{Access, Conflict, History};
use order::{Actor, Order};

/// Bytes of one access that are looked at, at most: what is longer is data, not state.
const MOST_BYTES: u64 = 64;

/// Accesses of a run that are looked at, at most.
const MOST_ACCESSES: usize = 200_000;

/// The events of a run, for looking at it again. A clone listens for the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Rc<RefCell<Vec<(Stamp, Event)>>>);

impl EventSink for Events {
    fn record(&mut self, stamp: Stamp, event: &Event) {
        self.0.borrow_mut().push((stamp, event.clone()));
    }
}

impl Events {
    /// What goes wrong in another order. `code` gives bytes of driver code at an address.
    pub(crate) fn races(
        &self,
        accesses: &[MemoryAccess],
        processors: u16,
        code: &dyn Fn(u64) -> Vec<u8>,
    ) -> Vec<Finding> {
        let run = Recorded {
            events: &self.0.borrow(),
            accesses: &shared(accesses),
            processors,
        };
        let mut findings: Vec<Finding> = Vec::new();
        let mut add = |finding: Finding| {
            let pair = pair(&finding);
            if !findings.iter().any(|other| self::pair(other) == pair) {
                findings.push(finding);
            }
        };
        late::writes(&run).into_iter().for_each(&mut add);
        let (conflicts, contested) = run.look(None);
        if conflicts.is_empty() {
            return findings;
        }
        let (mut conflicts, _) = run.look(Some(contested));
        // Of the two sides of one conflict the one that anybody can interrupt says more.
        conflicts.sort_by_key(Conflict::entry_level);
        conflicts
            .iter()
            .filter_map(|conflict| judge(conflict, code))
            .for_each(add);
        findings
    }
}

/// The rule and the two instructions, whichever is told first.
fn pair(finding: &Finding) -> (RuleId, u64, u64) {
    let one = finding.place.address;
    let other = finding
        .earlier
        .as_ref()
        .map_or(0, |(_, place)| place.address);
    (finding.rule, one.min(other), one.max(other))
}

struct Recorded<'a> {
    events: &'a [(Stamp, Event)],
    accesses: &'a [MemoryAccess],
    processors: u16,
}

impl Recorded<'_> {
    /// What can come in another order, and the bytes that it is about. `contested`: bytes that
    /// hand nothing on; without it, none do.
    fn look(&self, contested: Option<BTreeSet<u64>>) -> (Vec<Conflict>, BTreeSet<u64>) {
        let mut order = Order::default();
        let mut history = History::new(self.processors);
        let mut flags = Flags::new(contested);
        let mut again = Again::default();
        let mut accesses = self.accesses.iter().peekable();
        for number in 0..=self.events.len() {
            while let Some(access) = accesses.next_if(|access| access.events <= number as u64) {
                let actor = order.access(access);
                flags.hand_on(access, actor, &mut order);
                for part in parts(access) {
                    let part = Access::new(&part, actor, &order);
                    history.add(&part, access.reads, access.writes);
                    again.add(&part, access.reads, access.writes);
                    flags.written(&part, access.writes, &history.conflicts);
                }
            }
            if let Some((stamp, event)) = self.events.get(number) {
                order.event(stamp, event);
            }
        }
        let mut conflicts = history.conflicts;
        conflicts.retain(|conflict| !again.sees(conflict));
        (conflicts, flags.found)
    }
}

/// Bytes that hand on what was written before them.
#[derive(Debug)]
struct Flags {
    contested: Option<BTreeSet<u64>>,
    /// The latest write of each byte: by whom, what it was of him, and what came before.
    written: BTreeMap<u64, (usize, u32, Rc<Clock>)>,
    /// The latest write of each actor to each byte.
    writers: BTreeMap<u64, BTreeMap<usize, u32>>,
    /// Bytes whose writes are in no order, and those of conflicts.
    found: BTreeSet<u64>,
    seen: usize,
}

impl Flags {
    const fn new(contested: Option<BTreeSet<u64>>) -> Self {
        Self {
            contested,
            written: BTreeMap::new(),
            writers: BTreeMap::new(),
            found: BTreeSet::new(),
            seen: 0,
        }
    }

    fn hand_on(&mut self, access: &MemoryAccess, actor: usize, order: &mut Order) {
        let Some(contested) = &self.contested else {
            return;
        };
        let end = access.address + access.bytes.min(MOST_BYTES);
        for byte in (access.address..end).filter(|byte| !contested.contains(byte)) {
            if access.reads
                && let Some((writer, number, clock)) = self.written.get(&byte)
            {
                order.after_write(actor, clock, *writer, *number);
            }
            if access.writes {
                let doing = order.doing(actor);
                let write = (actor, doing.number, doing.clock.clone());
                self.written.insert(byte, write);
            }
        }
    }

    /// Notes what is contested.
    fn written(&mut self, access: &Access, writes: bool, conflicts: &[Conflict]) {
        if self.contested.is_some() {
            return;
        }
        if writes {
            for byte in access.address..access.address + access.bytes {
                let writers = self.writers.entry(byte).or_default();
                let mut others = writers.iter();
                if others.any(|(actor, number)| !access.comes_after(*actor, *number)) {
                    self.found.insert(byte);
                }
                writers.insert(access.actor, access.number);
            }
        }
        for conflict in &conflicts[self.seen..] {
            for access in conflict.accesses() {
                self.found
                    .extend(access.address..access.address + access.bytes);
            }
        }
        self.seen = conflicts.len();
    }
}

/// The accesses to memory that several contexts touch, one of them writing, without stacks.
fn shared(accesses: &[MemoryAccess]) -> Vec<MemoryAccess> {
    let actor = |access: &MemoryAccess| match access.context {
        Context::Thread(_) => (access.context, 0),
        context => (context, access.processor),
    };
    let mut words: BTreeMap<u64, (BTreeSet<(Context, u16)>, bool)> = BTreeMap::new();
    let known = || {
        accesses
            .iter()
            .filter(|access| !STACKS.contains(&access.address))
    };
    for access in known() {
        for word in words_of(access) {
            let (actors, is_written) = words.entry(word).or_default();
            actors.insert(actor(access));
            *is_written |= access.writes;
        }
    }
    let is_shared = |word: u64| {
        let word = words.get(&word);
        word.is_some_and(|(actors, is_written)| actors.len() > 1 && *is_written)
    };
    known()
        .filter(|access| words_of(access).any(is_shared))
        .take(MOST_ACCESSES)
        .copied()
        .collect()
}

fn words_of(access: &MemoryAccess) -> impl Iterator<Item = u64> {
    let end = access.address.saturating_add(access.bytes.min(MOST_BYTES));
    (access.address & !7..end).step_by(8)
}

/// An access, cut at the ends of words.
fn parts(access: &MemoryAccess) -> impl Iterator<Item = MemoryAccess> {
    let end = access.address.saturating_add(access.bytes.min(MOST_BYTES));
    words_of(access).map(move |word| {
        let address = word.max(access.address);
        MemoryAccess {
            address,
            bytes: (word + 8).min(end) - address,
            ..*access
        }
    })
}

/// What a conflict is, if it is a defect.
fn judge(conflict: &Conflict, code: &dyn Fn(u64) -> Vec<u8>) -> Option<Finding> {
    match conflict {
        Conflict::Between {
            window,
            write,
            tested,
        } => {
            let (read, back) = (&window.read, &window.write);
            // What reads and writes in one step that nobody comes into, or writes only if nobody
            // has come between.
            if back.interlocked {
                return None;
            }
            let (one, other) = (who(back), who(write));
            let bytes = count(back.bytes);
            let reason = reason(back, write);
            let (rule, message, what) = if flow::is_derived(
                code,
                read.place.address,
                back.place.address,
            ) {
                let message = format!(
                    "{one} reads {bytes} and writes back what it made of them, and {other} can write them in between: {reason}"
                );
                (
                    ids::LOST_UPDATE,
                    message,
                    "is written here, which is lost then",
                )
            } else if *tested && !write.interlocked && !share_a_lock(back, write) {
                let message = format!(
                    "{one} tests {bytes} and sets them, and {other} can have done the same in between: {reason}"
                );
                (ids::CHECK_THEN_ACT, message, "is set here, after a test")
            } else {
                return None;
            };
            Some(Finding {
                rule,
                message,
                place: back.place.clone(),
                earlier: Some((format!("the same place {what}"), write.place.clone())),
            })
        }
        Conflict::Torn {
            first_write,
            second_write,
            first_read,
            second_read,
        } => {
            let (reader, writer) = (who(first_read), who(first_write));
            let bytes = first_read.bytes + second_read.bytes;
            let message = format!(
                "{reader} reads {bytes} bytes one part after the other, and {writer} can write both parts in between: {}",
                reason(second_read, second_write)
            );
            Some(Finding {
                rule: ids::TORN_READ,
                message,
                place: second_read.place.clone(),
                earlier: Some((
                    "both parts are written, the second one here".into(),
                    second_write.place.clone(),
                )),
            })
        }
    }
}

fn share_a_lock(one: &Access, other: &Access) -> bool {
    one.locks.iter().any(|lock| other.locks.contains(lock))
}

/// Why nothing orders them.
fn reason(one: &Access, other: &Access) -> String {
    let (first, second) = (who(one), who(other));
    if other.interlocked {
        return format!("{second} uses an interlocked operation, {first} does not");
    }
    match (one.locks.is_empty(), other.locks.is_empty()) {
        (true, true) => "neither holds a lock".into(),
        (true, false) => format!("{second} holds a lock, {first} does not"),
        (false, true) => format!("{first} holds a lock, {second} does not"),
        (false, false) if share_a_lock(one, other) => {
            "the lock that both hold was not held all the time".into()
        }
        (false, false) => "each holds a lock, and not the same one".into(),
    }
}

fn who(access: &Access) -> String {
    match access.who {
        Actor::Thread(thread) => format!("thread {thread}"),
        Actor::Isr { processor, vector } => {
            format!("the ISR of vector {vector:#x} on processor {processor}")
        }
        Actor::Dpc { processor } => format!("the DPC on processor {processor}"),
        Actor::Bench { processor } => format!("processor {processor}"),
    }
}

fn count(bytes: u64) -> String {
    match bytes {
        1 => "a byte".into(),
        bytes => format!("{bytes} bytes"),
    }
}
