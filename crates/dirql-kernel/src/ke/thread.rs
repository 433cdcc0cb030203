//! Threads: a strand, a KTHREAD that drivers can point at, a priority, and the processors that
//! may run it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{DispatcherHeader, object_type};
use dirql_abi::list::ListEntry;
use dirql_abi::processor::kthread;
use dirql_rules::Place as CodePlace;
use zerocopy::FromZeros;

use crate::at;
use crate::ke::alert::WaitMode;
use crate::ke::processor::{Processor, asked};
use crate::ke::ready::{Place, ReadyQueues};
use crate::ke::wait::Wait;
use crate::ke::{Affinity, ProcessorId};
use crate::ob::{self, ObjectKind};
use crate::platform::StrandId;
use crate::ps::Identity;
use crate::stop::Ddi;
use crate::{DriverPtr, Event, Kernel};

/// Number of a thread, in order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(pub u32);

/// What a thread runs.
pub enum ThreadBody {
    /// A driver's routine with one argument.
    Driver {
        /// Its address.
        routine: u64,
        /// Its argument.
        context: u64,
    },
    /// Our own code.
    Native(NativeBody),
}

/// Our own code on a thread of its own.
pub type NativeBody = Box<dyn FnOnce(&Kernel) -> Ddi<()>>;

impl fmt::Debug for ThreadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver { routine, context } => write!(f, "Driver({routine:#x}, {context:#x})"),
            Self::Native(_) => f.write_str("Native"),
        }
    }
}

/// Bytes of a KTHREAD: more than any layout that drivers look into.
const KTHREAD_SIZE: u64 = 0x600;

impl Kernel {
    /// Where in a KTHREAD the four words are to which the kernel routine of an APC gets pointers.
    pub(super) const APC_ARGUMENTS: u64 = KTHREAD_SIZE - 32;
}

/// Default priority of system threads.
pub(crate) const NORMAL_PRIORITY: u8 = 8;

/// Highest priority.
pub(crate) const HIGH_PRIORITY: u8 = 31;

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum State {
    Ready,
    Running(ProcessorId),
    Waiting,
    Terminated,
}

pub(super) struct Thread {
    name: &'static str,
    kthread: u64,
    pub(super) state: State,
    pub(super) priority: u8,
    /// How far `priority` is above what was set.
    pub(super) boost: u8,
    /// The step at which it began to run, or to be ready, the last time.
    pub(super) since: u64,
    /// Where it may run; `None` is anywhere.
    affinity: Option<Affinity>,
    body: Option<ThreadBody>,
    /// A driver has made it.
    pub(super) of_driver: bool,
    /// The routine of a driver's thread, and where it was created.
    pub(super) created: Option<(u64, CodePlace)>,
    wait: Option<Wait>,
    /// Its first own wait block is laid out for one object, and its KTHREAD says that the block is
    /// that of its wait.
    waits_plainly: bool,
    wait_status: NtStatus,
    exit_status: NtStatus,
    stack: core::ops::Range<u64>,
    identity: Identity,
}

#[derive(Default)]
pub(crate) struct Threads {
    pub(super) all: RefCell<Vec<Thread>>,
    pub(super) ready: RefCell<ReadyQueues>,
    /// Terminated threads whose strands can be given back.
    dead: RefCell<Vec<ThreadId>>,
}

impl Kernel {
    /// Creates a thread that is ready to run on any processor. `priority` is 0..=31.
    pub fn spawn_thread(&self, name: &'static str, priority: u8, body: ThreadBody) -> ThreadId {
        self.spawn_bound_thread(name, priority, None, body)
    }

    /// As [`Kernel::spawn_thread`], ahead of what runs on the current processor: it runs there as
    /// soon as the IRQL lets it.
    pub fn spawn_thread_ahead(&self, name: &'static str, body: ThreadBody) -> ThreadId {
        let here = self.processor().id;
        let here = Affinity {
            group: here.group(),
            mask: 1 << here.number(),
        };
        self.spawn_bound_thread(name, HIGH_PRIORITY, Some(here), body)
    }

    /// As [`Kernel::spawn_thread`], for some processors.
    pub(crate) fn spawn_bound_thread(
        &self,
        name: &'static str,
        priority: u8,
        affinity: Option<Affinity>,
        body: ThreadBody,
    ) -> ThreadId {
        let index = self.ke.threads.all.borrow().len();
        let thread = ThreadId(index as u32);
        let strand = StrandId((self.processors().len() + index) as u32);
        let stack = self.platform().create_strand(strand);
        let kthread = self.allocate_system(KTHREAD_SIZE);
        let priority = priority.min(HIGH_PRIORITY);
        self.write_kthread(kthread, priority);
        self.ke.threads.all.borrow_mut().push(Thread {
            name,
            kthread,
            state: State::Ready,
            priority,
            boost: 0,
            since: 0,
            affinity,
            of_driver: matches!(body, ThreadBody::Driver { .. }),
            created: match &body {
                ThreadBody::Driver { routine, .. } => Some((*routine, self.here())),
                ThreadBody::Native(_) => None,
            },
            body: Some(body),
            wait: None,
            waits_plainly: false,
            wait_status: NtStatus::SUCCESS,
            exit_status: NtStatus::SUCCESS,
            stack,
            identity: Identity::default(),
        });
        self.ob_register(kthread, ObjectKind::Thread, ob::keep);
        self.make_ready(thread);
        thread
    }

    fn write_kthread(&self, kthread: u64, priority: u8) {
        let mut header = DispatcherHeader::new_zeroed();
        header.type_ = object_type::ThreadObject;
        header.size = (KTHREAD_SIZE / 4) as u8;
        let mutants = kthread + kthread::MUTANT_LIST_HEAD as u64;
        let list = kthread + core::mem::offset_of!(DispatcherHeader, wait_list_head) as u64;
        header.wait_list_head.flink = list;
        header.wait_list_head.blink = list;
        // Memory of our own that was just allocated.
        let _ = self.write(DriverPtr::new(kthread), header);
        let _ = self.write(DriverPtr::new(kthread + kthread::PRIORITY as u64), priority);
        let _ = self.write(
            DriverPtr::new(mutants),
            ListEntry {
                flink: mutants,
                blink: mutants,
            },
        );
    }

    /// The thread that runs on the current processor.
    #[must_use]
    pub fn current_thread(&self) -> Option<ThreadId> {
        self.processor().thread.get()
    }

    /// Address of the current thread's KTHREAD; 0 on an idle processor.
    #[must_use]
    pub fn current_kthread(&self) -> u64 {
        self.current_thread()
            .map_or(0, |thread| self.kthread_of(thread))
    }

    /// Address of a thread's KTHREAD.
    #[must_use]
    pub fn kthread_of(&self, thread: ThreadId) -> u64 {
        self.ke
            .threads
            .all
            .borrow()
            .get(thread.0 as usize)
            .map_or(0, |thread| thread.kthread)
    }

    /// The thread whose KTHREAD is at this address.
    pub(crate) fn thread_at(&self, kthread: u64) -> Option<ThreadId> {
        let all = self.ke.threads.all.borrow();
        let index = all.iter().position(|thread| thread.kthread == kthread)?;
        Some(ThreadId(index as u32))
    }

    /// In whose name a thread does what it does; the system's, for what is no thread.
    pub(crate) fn identity_of(&self, thread: Option<ThreadId>) -> Identity {
        let all = self.ke.threads.all.borrow();
        let thread = thread.and_then(|thread| all.get(thread.0 as usize));
        thread.map_or_else(Identity::default, |thread| thread.identity)
    }

    /// A thread does what it does in this way from now on.
    pub(crate) fn identify(&self, thread: Option<ThreadId>, identity: Identity) {
        let mut all = self.ke.threads.all.borrow_mut();
        if let Some(thread) = thread.and_then(|thread| all.get_mut(thread.0 as usize)) {
            thread.identity = identity;
        }
    }

    /// What a thread was called when it was created.
    #[must_use]
    pub fn thread_name(&self, thread: ThreadId) -> &'static str {
        self.ke
            .threads
            .all
            .borrow()
            .get(thread.0 as usize)
            .map_or("unknown", |thread| thread.name)
    }

    /// Whether a driver has made the thread that runs.
    pub(super) fn runs_thread_of_driver(&self) -> bool {
        let Some(thread) = self.current_thread() else {
            return false;
        };
        let all = self.ke.threads.all.borrow();
        all.get(thread.0 as usize)
            .is_some_and(|thread| thread.of_driver)
    }

    /// Whether a thread has come to its end.
    #[must_use]
    pub fn thread_has_ended(&self, thread: ThreadId) -> bool {
        let all = self.ke.threads.all.borrow();
        all.get(thread.0 as usize)
            .is_none_or(|thread| thread.state == State::Terminated)
    }

    /// The bounds of the current thread's stack.
    pub(crate) fn current_stack(&self) -> Option<core::ops::Range<u64>> {
        let thread = self.current_thread()?;
        self.ke
            .threads
            .all
            .borrow()
            .get(thread.0 as usize)
            .map(|thread| thread.stack.clone())
    }

    pub(crate) fn strand_of(&self, thread: ThreadId) -> StrandId {
        StrandId(self.processors().len() as u32 + thread.0)
    }

    /// Whether a thread is ready that this processor may run.
    #[inline]
    pub(crate) fn thread_is_ready_for(&self, processor: &Processor) -> bool {
        // Mostly none is.
        !self.ke.threads.ready.borrow().are_empty() && self.find_ready(processor, 0).is_some()
    }

    /// Whether the current thread could make way for another one.
    #[inline]
    pub(crate) fn has_equal_ready(&self) -> bool {
        // Mostly none is.
        !self.ke.threads.ready.borrow().are_empty()
            && self.current_thread().is_some_and(|thread| {
                let priority = self.priority_of(thread);
                self.find_ready(self.processor(), priority).is_some()
            })
    }

    /// The ready thread of the highest priority, at least `lowest`, that a processor may run.
    fn find_ready(&self, processor: &Processor, lowest: u8) -> Option<Place> {
        let all = self.ke.threads.all.borrow();
        let may_run = |thread: ThreadId| {
            let affinity = all
                .get(thread.0 as usize)
                .and_then(|thread| thread.affinity);
            affinity.is_none_or(|affinity| affinity.contains(processor.id))
        };
        self.ke.threads.ready.borrow().find(lowest, may_run)
    }

    /// Takes the ready thread of the highest priority that the current processor may run.
    pub(crate) fn take_ready_thread(&self) -> Option<ThreadId> {
        let place = self.find_ready(self.processor(), 0)?;
        self.ke.threads.ready.borrow_mut().take(place)
    }

    pub(crate) fn thread_runs_on(&self, thread: ThreadId, processor: ProcessorId) {
        let step = self.step();
        if let Some(thread) = self.ke.threads.all.borrow_mut().get_mut(thread.0 as usize) {
            thread.state = State::Running(processor);
            thread.since = step;
        }
        self.write_current_thread(self.kthread_of(thread));
    }

    /// Puts a thread at the end of its queue. If no processor that may run it is idle, the one
    /// that runs the thread of lowest priority is asked to switch, if that is lower.
    pub(crate) fn make_ready(&self, thread: ThreadId) {
        let step = self.step();
        let (priority, affinity) = {
            let mut all = self.ke.threads.all.borrow_mut();
            let Some(thread) = all.get_mut(thread.0 as usize) else {
                return;
            };
            thread.state = State::Ready;
            thread.since = step;
            (thread.priority, thread.affinity)
        };
        self.ke.threads.ready.borrow_mut().push(priority, thread);
        self.wake_all();
        let running = |processor: &Processor| {
            processor
                .thread
                .get()
                .map_or(-1, |thread| i32::from(self.priority_of(thread)))
        };
        let lowest = self
            .processors()
            .iter()
            .filter(|processor| affinity.is_none_or(|affinity| affinity.contains(processor.id)))
            .min_by_key(|processor| running(processor));
        if let Some(processor) = lowest
            && processor.thread.get().is_some()
            && running(processor) < i32::from(priority)
        {
            processor.ask(asked::RESCHEDULE);
        }
    }

    /// Where a thread may run; `None` is anywhere.
    pub(crate) fn affinity_of(&self, thread: ThreadId) -> Option<Affinity> {
        self.ke
            .threads
            .all
            .borrow()
            .get(thread.0 as usize)?
            .affinity
    }

    /// Sets where a thread may run. If it runs somewhere else it moves as soon as its
    /// processor is below DISPATCH_LEVEL.
    pub(crate) fn set_affinity(&self, thread: ThreadId, affinity: Option<Affinity>) {
        let state = {
            let mut all = self.ke.threads.all.borrow_mut();
            let Some(entry) = all.get_mut(thread.0 as usize) else {
                return;
            };
            entry.affinity = affinity;
            self.wake_all();
            entry.state
        };
        if let State::Running(processor) = state
            && let Some(processor) = self.processor_by_id(processor)
        {
            processor.ask(asked::RESCHEDULE);
        }
    }

    /// Switches to a thread that should run instead of the current one, below DISPATCH_LEVEL:
    /// one of higher priority, or any if the current one may not run here any more.
    pub(crate) fn reschedule_if_asked(&self) {
        let processor = self.processor();
        if processor.asked.get() & asked::RESCHEDULE == 0
            || self.irql() >= dirql_abi::Irql::DISPATCH
        {
            return;
        }
        processor.take_asked(asked::RESCHEDULE);
        let Some(thread) = processor.thread.get() else {
            return;
        };
        let stays = self
            .affinity_of(thread)
            .is_none_or(|affinity| affinity.contains(processor.id));
        if !stays
            || self
                .find_ready(processor, self.priority_of(thread) + 1)
                .is_some()
        {
            self.make_ready(thread);
            self.switch_away();
        }
    }

    /// Lets another ready thread of the same or higher priority run; of any priority if
    /// `lower`.
    pub(crate) fn end_quantum(&self, lower: bool) {
        let Some(thread) = self.current_thread() else {
            return;
        };
        self.decay(thread);
        let lowest = if lower { 0 } else { self.priority_of(thread) };
        let Some(place) = self.find_ready(self.processor(), lowest) else {
            return;
        };
        let next = self.ke.threads.ready.borrow_mut().take(place);
        self.make_ready(thread);
        if let Some(next) = next {
            self.switch_to(next);
        }
    }

    /// The current thread waits from now on.
    pub(crate) fn begin_wait(&self, thread: ThreadId, wait: Wait) {
        if let Some(thread) = self.ke.threads.all.borrow_mut().get_mut(thread.0 as usize) {
            thread.state = State::Waiting;
            thread.wait = Some(wait);
        }
    }

    /// A thread is about to wait for one object with a block of its own, or otherwise. Returns
    /// whether its last wait was like that.
    pub(super) fn note_plain_wait(&self, thread: ThreadId, is_plain: bool) -> bool {
        match self.ke.threads.all.borrow_mut().get_mut(thread.0 as usize) {
            Some(thread) => core::mem::replace(&mut thread.waits_plainly, is_plain),
            None => false,
        }
    }

    /// What a thread waits for.
    pub(crate) fn wait_of(&self, thread: ThreadId) -> Option<Wait> {
        self.ke
            .threads
            .all
            .borrow()
            .get(thread.0 as usize)?
            .wait
            .clone()
    }

    /// The processor on which a thread runs.
    pub(super) fn processor_of(&self, thread: ThreadId) -> Option<&Processor> {
        let state = self.ke.threads.all.borrow().get(thread.0 as usize)?.state;
        match state {
            State::Running(processor) => self.processor_by_id(processor),
            _ => None,
        }
    }

    /// What besides its objects may end a thread's wait; `None` if it does not wait.
    pub(super) fn wait_mode_of(&self, thread: ThreadId) -> Option<WaitMode> {
        let all = self.ke.threads.all.borrow();
        Some(all.get(thread.0 as usize)?.wait.as_ref()?.mode)
    }

    /// Whether a thread waits, at PASSIVE_LEVEL.
    pub(super) fn waits_below_apc_level(&self, thread: ThreadId) -> bool {
        let all = self.ke.threads.all.borrow();
        let wait = all
            .get(thread.0 as usize)
            .and_then(|thread| thread.wait.as_ref());
        wait.is_some_and(|wait| wait.level < dirql_abi::Irql::APC)
    }

    /// Ends a thread's wait and makes it ready.
    pub(crate) fn end_wait(&self, thread: ThreadId, status: NtStatus) {
        {
            let mut all = self.ke.threads.all.borrow_mut();
            let Some(thread) = all.get_mut(thread.0 as usize) else {
                return;
            };
            if thread.wait.take().is_none() {
                return;
            }
            thread.wait_status = status;
        }
        self.make_ready(thread);
    }

    pub(crate) fn wait_status(&self, thread: ThreadId) -> NtStatus {
        self.ke
            .threads
            .all
            .borrow()
            .get(thread.0 as usize)
            .map_or(NtStatus::SUCCESS, |thread| thread.wait_status)
    }

    /// Runs a thread's body on its strand, and ends the thread.
    pub(crate) fn thread_main(&self, strand: StrandId) -> Ddi<()> {
        let index = strand.0 as usize - self.processors().len();
        let body = self
            .ke
            .threads
            .all
            .borrow_mut()
            .get_mut(index)
            .and_then(|thread| thread.body.take());
        if self.report.is_recording() {
            self.event(Event::ThreadBegin(index as u32));
        }
        // What was queued before it ran.
        self.deliver_apcs_if_asked()?;
        match body {
            Some(ThreadBody::Driver { routine: 0, .. }) => return Err(self.call_of_nothing()),
            Some(ThreadBody::Driver { routine, context }) => {
                self.call_at_same_level("system thread", routine, &[context])?;
            }
            Some(ThreadBody::Native(body)) => body(self)?,
            None => {}
        }
        self.terminate_thread(ThreadId(index as u32), NtStatus::SUCCESS)
    }

    /// Ends the current thread. Its strand must not run again. Mutexes that it owns are
    /// abandoned.
    pub(super) fn terminate_thread(&self, thread: ThreadId, status: NtStatus) -> Ddi<()> {
        self.run_down_apcs(thread)?;
        let kthread = {
            let mut all = self.ke.threads.all.borrow_mut();
            let Some(entry) = all.get_mut(thread.0 as usize) else {
                return Ok(());
            };
            entry.state = State::Terminated;
            entry.exit_status = status;
            entry.kthread
        };
        self.abandon_mutexes(kthread)?;
        self.server_ends(thread)?;
        let header = DriverPtr::<DispatcherHeader>::new(kthread);
        self.write(at!(header, DispatcherHeader, signal_state), 1)?;
        self.signal(kthread)?;
        self.ke.threads.dead.borrow_mut().push(thread);
        if self.report.is_recording() {
            self.event(Event::ThreadEnd(thread.0));
        }
        self.leave_thread();
        // It is to be buried before anybody goes on.
        self.ke.switched.set(false);
        Ok(())
    }

    /// Gives back the strands of threads that have ended. Called outside strands.
    pub(crate) fn bury_threads(&self) {
        for thread in self.ke.threads.dead.take() {
            self.platform().retire_strand(self.strand_of(thread));
        }
    }
}
