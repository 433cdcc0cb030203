//! Who acts, and what comes before what in every run.
//!
//! The order is that of L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed
//! System", CACM 21(7), 1978, with these edges between actors:
//!
//! - a spin lock or interrupt lock that is freed, and the next who takes it; KeSynchronizeExecution
//!   and the dispatch of an ISR take the interrupt's;
//! - connecting, and the ISR; the ISR, and the return of disconnecting;
//! - the access to a device that made it interrupt, and the ISR;
//! - queueing a DPC, and its routine; that, and the return of KeFlushQueuedDpcs; setting a timer,
//!   and DPC routines that begin later;
//! - releasing a remove lock, and the return of waiting until all have;
//! - an interlocked access, and the next one to the same word;
//! - routines that hand something on from one context to another (events, requests, queues, work
//!   items, threads): they count as one object, and so does the end of a wait. Those that signal and
//!   complete only give, those that wait only take;
//! - freeing pool, and allocating some later;
//! - what a thread does while nothing else can happen, and all that comes later;
//! - everything, and what a scenario's thread does when it has waited for an idle computer.
//!
//! An interrupt comes anywhere, so an ISR is not ordered with what it interrupts.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dirql_chips::{Level, Vector};
use dirql_host::MemoryAccess;
use dirql_kernel::{Event, Stamp};
use dirql_rules::Context;

use super::clock::Clock;

/// Who acts: what one actor does is in order in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Actor {
    /// A thread, with its critical sections.
    Thread(u32),
    /// The ISRs of a vector on a processor.
    Isr { processor: u16, vector: u8 },
    /// The DPC routines on a processor.
    Dpc { processor: u16 },
    /// The bench, on a processor.
    Bench { processor: u16 },
}

impl Actor {
    /// The level at which it begins.
    pub(super) const fn entry_level(self) -> u8 {
        match self {
            Self::Thread(_) | Self::Bench { .. } => 0,
            Self::Isr { vector, .. } => vector >> 4,
            Self::Dpc { .. } => DISPATCH,
        }
    }
}

pub(super) const DISPATCH: u8 = 2;

/// The vector through which queued DPCs run.
const DPC_VECTOR: u8 = 0x2F;

/// Routines that hand nothing from one context to another, or for which the order is known better:
/// how their names begin.
const LOCAL: &[&str] = &[
    "DbgPrint",
    "HalGet",
    "IoAcquireRemoveLock",
    "IoGet",
    "IoIs",
    "IoReleaseRemoveLock",
    "KeAcquireInStackQueuedSpinLock",
    "KeAcquireInterruptSpinLock",
    "KeAcquireSpinLock",
    "KeFlushQueuedDpcs",
    "KeGet",
    "KeInitialize",
    "KeInsertQueueDpc",
    "KeLowerIrql",
    "KeQuery",
    "KeRaiseIrql",
    "KeReleaseInStackQueuedSpinLock",
    "KeReleaseInterruptSpinLock",
    "KeReleaseSpinLock",
    "KeSetTimer",
    "KeStallExecutionProcessor",
    "KeSynchronizeExecution",
    "KeTestSpinLock",
    "KeTryToAcquireSpinLock",
    "KfLowerIrql",
    "KfRaiseIrql",
    "MmMap",
    "MmUnmap",
    "READ_",
    "Rtl",
    "WRITE_",
    "mem",
    "vDbgPrint",
];

/// Routines that give something to whoever takes it, and take nothing: how their names begin.
const GIVES: &[&str] = &[
    "IoCompleteRequest",
    "IoQueueWorkItem",
    "IofCompleteRequest",
    "KeReleaseSemaphore",
    "KeSetEvent",
];

/// Routines that take, and give nothing.
const TAKES: &[&str] = &["KeWaitFor"];

/// Those that give memory back, and those that hand it out: of the same memory, nothing is known
/// of what it was used for before.
const FREES: &[&str] = &[
    "ExFreePool",
    "ExFreeToLookasideList",
    "ExFreeToNPaged",
    "ExFreeToPaged",
];
const ALLOCATES: &[&str] = &["ExAllocatePool", "ExAllocateFrom"];

/// What is known of an actor.
#[derive(Clone, Debug)]
pub(super) struct Doing {
    pub(super) actor: Actor,
    /// What of others comes before what it does now. Shared with the accesses that it has made
    /// since it changed.
    pub(super) clock: Rc<Clock>,
    /// How much it has done.
    pub(super) number: u32,
    /// Which call of a routine of the driver's this is.
    pub(super) activation: u32,
    /// Locks that it holds.
    pub(super) locks: Rc<Vec<u64>>,
    /// Calls of the driver's routines inside one another.
    depth: u32,
}

impl Doing {
    fn after(&mut self, clock: &Clock) {
        if !self.clock.covers(clock) {
            Rc::make_mut(&mut self.clock).join(clock);
        }
    }
}

/// Follows a run.
#[derive(Debug, Default)]
pub(super) struct Order {
    doing: Vec<Doing>,
    processors: BTreeMap<u16, Processor>,
    locks: BTreeMap<u64, Clock>,
    words: BTreeMap<u64, Clock>,
    dpcs: BTreeMap<u64, Clock>,
    connected: BTreeMap<u8, Clock>,
    isrs: BTreeMap<u8, Clock>,
    dpcs_done: Clock,
    /// Users of remove locks that are done.
    users_done: Clock,
    timers: Clock,
    /// What routines of the kernel hand on.
    kernel: Clock,
    /// What those hand on that give memory back.
    pool: Clock,
    /// Accesses to devices, and those that made one interrupt.
    devices: Clock,
    interrupts: Clock,
    /// What comes before everything else.
    start: Clock,
    /// Who waits for an idle computer; and who has not gone on since it was idle, with all that came
    /// before.
    wait_for_idle: BTreeSet<usize>,
    idle: BTreeMap<usize, Clock>,
    time_100ns: u64,
}

#[derive(Debug, Default)]
struct Processor {
    thread: Option<usize>,
    /// What interrupts it, innermost last.
    interrupting: Vec<usize>,
}

impl Order {
    /// Time of the latest event, in units of 100 ns.
    pub(super) const fn time_100ns(&self) -> u64 {
        self.time_100ns
    }

    pub(super) fn doing(&self, actor: usize) -> &Doing {
        &self.doing[actor]
    }

    fn index(&mut self, actor: Actor) -> usize {
        if let Some(index) = self.doing.iter().position(|known| known.actor == actor) {
            return index;
        }
        let mut clock = self.start.clone();
        if matches!(actor, Actor::Thread(_)) {
            clock.join(&self.kernel);
        }
        self.doing.push(Doing {
            actor,
            clock: Rc::new(clock),
            number: 0,
            activation: 0,
            locks: Rc::default(),
            depth: 0,
        });
        self.doing.len() - 1
    }

    /// Who acts on a processor.
    fn who(&mut self, processor: u16, context: Context) -> usize {
        // What leads to an ISR is done in its name, although the context is still the thread's.
        if let Some(actor) = self.processor(processor).interrupting.last() {
            return *actor;
        }
        if let Context::Thread(thread) = context {
            let thread = self.index(Actor::Thread(thread));
            self.processor(processor).thread = Some(thread);
            return thread;
        }
        match self.processor(processor).thread {
            // A critical section, or an ISR at PASSIVE_LEVEL: the thread's.
            Some(thread) if !matches!(context, Context::Idle | Context::Bench) => thread,
            _ => self.index(Actor::Bench { processor }),
        }
    }

    fn processor(&mut self, processor: u16) -> &mut Processor {
        self.processors.entry(processor).or_default()
    }

    /// All that comes before what `actor` does next, with what it has done.
    fn until(&self, actor: usize) -> Clock {
        let doing = &self.doing[actor];
        let mut clock = (*doing.clock).clone();
        clock.add(actor, doing.number);
        clock
    }

    /// An access to memory: who makes it.
    pub(super) fn access(&mut self, access: &MemoryAccess) -> usize {
        let actor = self.who(access.processor, access.context);
        let doing = &mut self.doing[actor];
        doing.number += 1;
        doing.after(&self.start);
        if access.interlocked {
            if let Some(word) = self.words.get(&(access.address & !7)) {
                doing.after(word);
            }
            let until = self.until(actor);
            self.words
                .entry(access.address & !7)
                .or_default()
                .join(&until);
        }
        if access.alone {
            let until = self.until(actor);
            self.start.join(&until);
        }
        actor
    }

    /// What `actor` does comes after what `clock` says, and after what `other` had done up to
    /// `number`.
    pub(super) fn after_write(&mut self, actor: usize, clock: &Clock, other: usize, number: u32) {
        let doing = &mut self.doing[actor];
        doing.after(clock);
        if doing.clock.of(other) < number {
            Rc::make_mut(&mut doing.clock).add(other, number);
        }
    }

    fn after(&mut self, actor: usize, clock: &Clock) {
        self.doing[actor].after(clock);
    }

    /// An event.
    pub(super) fn event(&mut self, stamp: &Stamp, event: &Event) {
        self.time_100ns = stamp.time_100ns;
        let actor = self.who(stamp.processor, stamp.context);
        let processor = stamp.processor;
        match event {
            Event::Delivered(Vector(vector)) if *vector != DPC_VECTOR => {
                let vector = *vector;
                let isr = self.index(Actor::Isr { processor, vector });
                self.begin(processor, isr);
                let doing = &mut self.doing[isr];
                doing.after(&self.interrupts);
                if let Some(connected) = self.connected.get(&vector) {
                    doing.after(connected);
                }
            }
            Event::EndOfInterrupt(Vector(vector)) if *vector != DPC_VECTOR => {
                let vector = *vector;
                self.end(processor, Actor::Isr { processor, vector });
                let isr = self.index(Actor::Isr { processor, vector });
                let done = self.until(isr);
                self.isrs.entry(vector).or_default().join(&done);
            }
            // At PASSIVE_LEVEL a thread does what an ISR does.
            Event::IsrEnter { vector, .. } if stamp.irql < DISPATCH => {
                let mut before = self.interrupts.clone();
                before.join(&self.kernel);
                if let Some(connected) = self.connected.get(&vector.0) {
                    before.join(connected);
                }
                self.after(actor, &before);
                self.doing[actor].activation += 1;
            }
            Event::IsrLeave { vector, .. } if stamp.irql < DISPATCH => {
                let done = self.until(actor);
                self.isrs.entry(vector.0).or_default().join(&done);
                self.kernel.join(&done);
            }
            Event::DpcQueued { dpc, .. } => {
                let clock = self.until(actor);
                self.dpcs.entry(*dpc).or_default().join(&clock);
            }
            Event::DpcEnter { dpc, .. } => {
                let mut before = self.timers.clone();
                if let Some(queued) = self.dpcs.get(dpc) {
                    before.join(queued);
                }
                // A threaded DPC routine at PASSIVE_LEVEL is its thread's.
                let routine = if stamp.irql < DISPATCH {
                    actor
                } else {
                    let routine = self.index(Actor::Dpc { processor });
                    self.begin(processor, routine);
                    routine
                };
                self.after(routine, &before);
            }
            Event::DpcLeave { .. } => {
                let done = self.until(actor);
                self.dpcs_done.join(&done);
                self.end(processor, Actor::Dpc { processor });
            }
            Event::LockTaken(lock) => {
                let doing = &mut self.doing[actor];
                if let Some(freed) = self.locks.get(lock) {
                    doing.after(freed);
                }
                Rc::make_mut(&mut doing.locks).push(*lock);
            }
            Event::LockReleased(lock) => {
                let locks = Rc::make_mut(&mut self.doing[actor].locks);
                if let Some(at) = locks.iter().rposition(|held| held == lock) {
                    locks.remove(at);
                }
                let until = self.until(actor);
                self.locks.entry(*lock).or_default().join(&until);
            }
            Event::Connection {
                vector, connected, ..
            } => {
                if *connected {
                    let until = self.until(actor);
                    self.connected.entry(vector.0).or_default().join(&until);
                } else if let Some(isrs) = self.isrs.get(&vector.0) {
                    self.doing[actor].after(isrs);
                }
            }
            Event::DeviceWrite { .. } => {
                let until = self.until(actor);
                self.devices.join(&until);
            }
            Event::Line {
                level: Level::High, ..
            }
            | Event::Message(_) => self.interrupts.join(&self.devices),
            Event::DdiEnter { name, .. } => {
                if name.starts_with("IoReleaseRemoveLock") {
                    let until = self.until(actor);
                    self.users_done.join(&until);
                }
                if name.starts_with("KeSetTimer") {
                    let until = self.until(actor);
                    self.timers.join(&until);
                }
                self.hand_on(actor, name);
            }
            Event::DdiLeave { name, .. } => {
                if *name == "KeFlushQueuedDpcs" {
                    self.doing[actor].after(&self.dpcs_done);
                }
                if name.starts_with("IoReleaseRemoveLockAndWait") {
                    self.doing[actor].after(&self.users_done);
                }
                self.hand_on(actor, name);
            }
            Event::RoutineEnter { kind, .. } => {
                let doing = &mut self.doing[actor];
                doing.activation += u32::from(doing.depth == 0);
                doing.depth += 1;
                if !kind.starts_with("Dispatch") {
                    doing.after(&self.kernel);
                }
            }
            Event::RoutineLeave { .. } => {
                let doing = &mut self.doing[actor];
                doing.depth = doing.depth.saturating_sub(1);
            }
            Event::ThreadSwitch(_) => self.processor(processor).thread = None,
            Event::WaitEnd(_) => {
                if self.wait_for_idle.contains(&actor) {
                    self.become_idle();
                }
                let before = self.idle.remove(&actor);
                let before = before.unwrap_or_else(|| self.kernel.clone());
                self.after(actor, &before);
            }
            Event::Landmark(text) => {
                let step = text
                    .split_once(": ")
                    .map_or(text.as_str(), |(_, step)| step);
                if matches!(step, "wait_idle" | "explore until_here") {
                    self.wait_for_idle.insert(actor);
                } else if step.starts_with("signal ") {
                    let until = self.until(actor);
                    self.kernel.join(&until);
                }
            }
            _ => {}
        }
    }

    /// The computer was idle: all who wait for that go on, whenever it is their turn.
    fn become_idle(&mut self) {
        let mut before = Clock::default();
        for actor in 0..self.doing.len() {
            before.join(&self.until(actor));
        }
        for waiter in std::mem::take(&mut self.wait_for_idle) {
            self.idle.insert(waiter, before.clone());
        }
    }

    fn hand_on(&mut self, actor: usize, name: &str) {
        let is_of = |names: &[&str]| names.iter().any(|start| name.starts_with(start));
        if is_of(LOCAL) {
            return;
        }
        if is_of(FREES) {
            let until = self.until(actor);
            self.pool.join(&until);
            return;
        }
        if is_of(ALLOCATES) {
            self.doing[actor].after(&self.pool);
            return;
        }
        if !is_of(GIVES) {
            self.doing[actor].after(&self.kernel);
        }
        if !is_of(TAKES) {
            let until = self.until(actor);
            self.kernel.join(&until);
        }
    }

    /// `actor` interrupts a processor.
    fn begin(&mut self, processor: u16, actor: usize) {
        self.processor(processor).interrupting.push(actor);
        let doing = &mut self.doing[actor];
        doing.after(&self.start);
        doing.activation += 1;
        doing.depth = 0;
        doing.locks = Rc::default();
    }

    fn end(&mut self, processor: u16, actor: Actor) {
        let index = self.index(actor);
        let interrupting = &mut self.processor(processor).interrupting;
        if interrupting.last() == Some(&index) {
            interrupting.pop();
        }
    }
}
