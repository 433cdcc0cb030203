//! What each word of memory has been through, and what of it goes wrong in another order.
//!
//! Per word and actor the latest accesses of each pair of instructions are kept: an earlier one of
//! the same actor is ordered with whatever a later one is ordered with.

use std::collections::BTreeMap;
use std::rc::Rc;

use dirql_host::MemoryAccess;
use dirql_rules::Place;

use super::clock::Clock;
use super::order::{Actor, DISPATCH, Order};

/// Accesses to one word that are kept per actor and kind.
const KEPT: usize = 16;

/// Accesses of one call of a routine that are looked at for words that belong together.
const RECENT: usize = 32;

/// Words belong together if they are so close, in bytes.
const TOGETHER: u64 = 16;

/// An access to memory with what orders it.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) actor: usize,
    pub(super) who: Actor,
    pub(super) place: Place,
    pub(super) address: u64,
    pub(super) bytes: u64,
    pub(super) interlocked: bool,
    /// Locks that were held.
    pub(super) locks: Rc<Vec<u64>>,
    pub(super) number: u32,
    clock: Rc<Clock>,
    activation: u32,
}

impl Access {
    pub(super) fn new(access: &MemoryAccess, actor: usize, order: &Order) -> Self {
        let doing = order.doing(actor);
        Self {
            actor,
            who: doing.actor,
            place: Place {
                step: access.step,
                time_100ns: order.time_100ns(),
                processor: access.processor,
                irql: access.irql,
                context: access.context,
                ddi: None,
                address: access.instruction,
            },
            address: access.address,
            bytes: access.bytes,
            interlocked: access.interlocked,
            locks: doing.locks.clone(),
            number: doing.number,
            clock: doing.clock.clone(),
            activation: doing.activation,
        }
    }

    /// Which call of a routine of the driver's it is of.
    pub(super) const fn activation(&self) -> u32 {
        self.activation
    }

    /// Whether it comes before `later` in every run.
    fn is_before(&self, later: &Self) -> bool {
        later.comes_after(self.actor, self.number)
    }

    /// Whether it comes after what `actor` had done up to `number`.
    pub(super) fn comes_after(&self, actor: usize, number: u32) -> bool {
        self.actor == actor || self.clock.of(actor) >= number
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.address < other.address.saturating_add(other.bytes)
            && other.address < self.address.saturating_add(self.bytes)
    }

    /// Whether both are of words that make up one value.
    fn is_next_to(&self, other: &Self) -> bool {
        !self.overlaps(other) && self.address.abs_diff(other.address) < TOGETHER
    }
}

/// A value is read, and something is written to its place later in the same call.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) read: Access,
    pub(super) write: Access,
}

impl Window {
    fn is_one_instruction(&self) -> bool {
        self.read.number == self.write.number
    }

    /// Whether the processor's level keeps `other` out of it.
    fn is_kept_by_level(&self, other: &Access, processors: u16) -> bool {
        let same = self.read.place.processor == other.place.processor
            && self.write.place.processor == other.place.processor;
        if !same {
            return false;
        }
        let level = self.read.place.irql.min(self.write.place.irql);
        let bound = level >= DISPATCH && other.place.irql >= DISPATCH;
        if self.is_one_instruction() && (bound || processors == 1) {
            return true;
        }
        level >= DISPATCH && (bound || processors == 1) && level >= other.who.entry_level()
    }
}

/// Two accesses that can come in another order, which would matter.
#[derive(Clone, Debug)]
pub(super) enum Conflict {
    /// Something is written while a window of another actor's is open.
    Between {
        window: Box<Window>,
        write: Box<Access>,
        /// Who writes has read before, in the same call.
        tested: bool,
    },
    /// Two words are written one after the other, and read so by another actor.
    Torn {
        first_write: Box<Access>,
        second_write: Box<Access>,
        first_read: Box<Access>,
        second_read: Box<Access>,
    },
}

impl Conflict {
    /// The level at which its first side begins.
    pub(super) fn entry_level(&self) -> u8 {
        match self {
            Self::Between { window, .. } => window.write.who.entry_level(),
            Self::Torn { first_read, .. } => first_read.who.entry_level(),
        }
    }

    /// The accesses that it is about.
    pub(super) fn accesses(&self) -> Vec<&Access> {
        match self {
            Self::Between { window, write, .. } => vec![&window.read, &window.write, write],
            Self::Torn {
                first_write,
                second_write,
                first_read,
                second_read,
            } => vec![first_write, second_write, first_read, second_read],
        }
    }
}

#[derive(Debug, Default)]
struct Word {
    reads: BTreeMap<usize, Access>,
    writes: Vec<(Access, bool)>,
    windows: Vec<Window>,
}

impl Word {
    /// Whether what a window reads is what its own instruction has written in a turn of a loop before.
    /// That is no test of what others may have written: the next turn may be about something that they
    /// have handed over meanwhile.
    fn is_turn_of_loop(&self, window: &Window) -> bool {
        let (read, write) = (&window.read, &window.write);
        let own = self.writes.iter().map(|(own, _)| own).filter(|own| {
            own.actor == write.actor
                && own.activation == write.activation
                && own.number < read.number
        });
        let last = own.max_by_key(|own| own.number);
        last.is_some_and(|last| last.place.address == write.place.address)
    }
}

/// What one call has done so far.
#[derive(Debug, Default)]
struct Recent {
    activation: u32,
    reads: Vec<Access>,
    writes: Vec<Access>,
}

/// Pairs of accesses to two words, by the words and the actor.
type Pairs = BTreeMap<(u64, u64), BTreeMap<usize, (Access, Access)>>;

/// What has happened to memory.
#[derive(Debug)]
pub(super) struct History {
    processors: u16,
    words: BTreeMap<u64, Word>,
    recent: BTreeMap<usize, Recent>,
    written: Pairs,
    read: Pairs,
    pub(super) conflicts: Vec<Conflict>,
}

impl History {
    pub(super) const fn new(processors: u16) -> Self {
        Self {
            processors,
            words: BTreeMap::new(),
            recent: BTreeMap::new(),
            written: BTreeMap::new(),
            read: BTreeMap::new(),
            conflicts: Vec::new(),
        }
    }

    /// Adds an access; of a word at a time.
    pub(super) fn add(&mut self, access: &Access, reads: bool, writes: bool) {
        let recent = self.recent.entry(access.actor).or_default();
        if recent.activation != access.activation {
            *recent = Recent {
                activation: access.activation,
                ..Recent::default()
            };
        }
        if reads {
            self.read(access);
        }
        if writes {
            self.write(access, reads);
        }
    }

    fn read(&mut self, access: &Access) {
        let word = self.words.entry(access.address & !7).or_default();
        word.reads.insert(access.actor, access.clone());
        // A counter that is changed in one step is a value of its own.
        if access.interlocked {
            return;
        }
        let Some(recent) = self.recent.get_mut(&access.actor) else {
            return;
        };
        for first in recent.reads.iter().filter(|first| first.is_next_to(access)) {
            if first.place.address == access.place.address {
                continue;
            }
            let both = |write: &&(Access, bool)| {
                write.0.actor != access.actor && write.0.overlaps(first) && write.0.overlaps(access)
            };
            for (write, _) in word.writes.iter().filter(both) {
                if !write.is_before(first) {
                    self.conflicts.push(torn(write, write, first, access));
                }
            }
            let words = (first.address, access.address);
            if let Some(writers) = self.written.get(&words) {
                for (actor, (first_write, second_write)) in writers {
                    if *actor != access.actor
                        && !first_write.is_before(first)
                        && !second_write.is_before(access)
                    {
                        let torn = torn(first_write, second_write, first, access);
                        self.conflicts.push(torn);
                    }
                }
            }
            let readers = self.read.entry(words).or_default();
            readers.insert(access.actor, (first.clone(), access.clone()));
        }
        keep(&mut recent.reads, access.clone(), RECENT);
    }

    fn write(&mut self, access: &Access, reads: bool) {
        let word = self.words.entry(access.address & !7).or_default();
        let read = if reads {
            Some(access)
        } else {
            word.reads
                .get(&access.actor)
                .filter(|read| read.activation == access.activation && read.overlaps(access))
        };
        let tested = read.is_some();
        let window = read.map(|read| Window {
            read: read.clone(),
            write: access.clone(),
        });
        let others = |actor: usize| actor != access.actor;
        for other in word
            .windows
            .iter()
            .filter(|other| others(other.write.actor))
        {
            if other.write.overlaps(access)
                && !other.write.is_before(access)
                && !other.is_kept_by_level(access, self.processors)
            {
                self.conflicts.push(between(other, access, tested));
            }
        }
        if let Some(window) = &window {
            let handed_over = !reads && word.is_turn_of_loop(window);
            for (other, tested) in word.writes.iter().filter(|other| others(other.0.actor)) {
                let taken_over = handed_over && other.is_before(access);
                if !taken_over
                    && other.overlaps(access)
                    && !other.is_before(&window.read)
                    && !window.is_kept_by_level(other, self.processors)
                {
                    self.conflicts.push(between(window, other, *tested));
                }
            }
        }
        let same = |other: &Access| {
            other.actor == access.actor && other.place.address == access.place.address
        };
        word.writes.retain(|(other, _)| !same(other));
        keep(&mut word.writes, (access.clone(), tested), KEPT);
        if let Some(window) = window {
            word.windows.retain(|other| {
                !same(&other.write) || other.read.place.address != window.read.place.address
            });
            keep(&mut word.windows, window, KEPT);
        }
        self.write_pairs(access);
    }

    fn write_pairs(&mut self, access: &Access) {
        let Some(recent) = self.recent.get_mut(&access.actor) else {
            return;
        };
        let start = (access.address & !7, 0);
        let end = ((access.address & !7) + 8, 0);
        for readers in self.read.range(start..end).map(|(_, readers)| readers) {
            for (actor, (first, second)) in readers {
                if *actor != access.actor
                    && access.overlaps(first)
                    && access.overlaps(second)
                    && !second.is_before(access)
                {
                    self.conflicts.push(torn(access, access, first, second));
                }
            }
        }
        for first in recent
            .writes
            .iter()
            .filter(|first| first.is_next_to(access))
        {
            // One after the other in a loop are two values; parts of one access are one.
            if first.place.address == access.place.address && first.number != access.number {
                continue;
            }
            let words = (first.address, access.address);
            if let Some(readers) = self.read.get(&words) {
                for (actor, (first_read, second_read)) in readers {
                    if *actor != access.actor
                        && !first_read.is_before(first)
                        && !second_read.is_before(access)
                    {
                        let torn = torn(first, access, first_read, second_read);
                        self.conflicts.push(torn);
                    }
                }
            }
            let writers = self.written.entry(words).or_default();
            writers.insert(access.actor, (first.clone(), access.clone()));
        }
        keep(&mut recent.writes, access.clone(), RECENT);
    }
}

fn keep<T>(list: &mut Vec<T>, item: T, most: usize) {
    if list.len() >= most {
        list.remove(0);
    }
    list.push(item);
}

fn between(window: &Window, write: &Access, tested: bool) -> Conflict {
    Conflict::Between {
        window: Box::new(window.clone()),
        write: Box::new(write.clone()),
        tested,
    }
}

fn torn(
    first_write: &Access,
    second_write: &Access,
    first_read: &Access,
    second_read: &Access,
) -> Conflict {
    Conflict::Torn {
        first_write: Box::new(first_write.clone()),
        second_write: Box::new(second_write.clone()),
        first_read: Box::new(first_read.clone()),
        second_read: Box::new(second_read.clone()),
    }
}
