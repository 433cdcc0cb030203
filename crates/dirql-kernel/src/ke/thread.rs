//! Threads: a strand, a KTHREAD that drivers can point at, and a priority.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{DispatcherHeader, object_type};
use zerocopy::FromZeros;

use crate::at;
use crate::ke::ProcessorId;
use crate::ke::wait::Wait;
use crate::ob::{self, ObjectKind};
use crate::platform::StrandId;
use crate::stop::{Ddi, Stop};
use crate::{DriverPtr, Kernel};

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
    Native(Box<dyn FnOnce(&Kernel) -> Ddi<()>>),
}

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

/// Where Windows Server 2003 keeps a thread's priority. Source: public symbols.
const PRIORITY_OFFSET: u64 = 147;

/// Default priority of system threads.
pub(crate) const NORMAL_PRIORITY: u8 = 8;

/// Highest priority.
pub(crate) const HIGH_PRIORITY: u8 = 31;

/// THREAD_ALL_ACCESS of wdm.h.
const THREAD_ALL_ACCESS: u32 = 0x1F_FFFF;

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum State {
    Ready,
    Running(ProcessorId),
    Waiting,
    Terminated,
}

struct Thread {
    name: &'static str,
    strand: StrandId,
    kthread: u64,
    state: State,
    priority: u8,
    body: Option<ThreadBody>,
    wait: Option<Wait>,
    wait_status: NtStatus,
    exit_status: NtStatus,
    stack: core::ops::Range<u64>,
}

#[derive(Default)]
pub(crate) struct Threads {
    all: RefCell<Vec<Thread>>,
    /// By priority.
    ready: RefCell<[VecDeque<ThreadId>; 32]>,
    /// Terminated threads whose strands can be given back.
    dead: RefCell<Vec<ThreadId>>,
}

impl Kernel {
    /// Creates a thread that is ready to run. `priority` is 0..=31.
    pub fn spawn_thread(&self, name: &'static str, priority: u8, body: ThreadBody) -> ThreadId {
        let index = self.ke.threads.all.borrow().len();
        let thread = ThreadId(index as u32);
        let strand = StrandId((self.processors().len() + index) as u32);
        let stack = self.platform().create_strand(strand);
        let kthread = self.allocate_system(KTHREAD_SIZE);
        let priority = priority.min(HIGH_PRIORITY);
        self.write_kthread(kthread, priority);
        self.ke.threads.all.borrow_mut().push(Thread {
            name,
            strand,
            kthread,
            state: State::Ready,
            priority,
            body: Some(body),
            wait: None,
            wait_status: NtStatus::SUCCESS,
            exit_status: NtStatus::SUCCESS,
            stack,
        });
        self.ob_register(kthread, ObjectKind::Thread, ob::keep);
        self.make_ready(thread);
        thread
    }

    fn write_kthread(&self, kthread: u64, priority: u8) {
        let mut header = DispatcherHeader::new_zeroed();
        header.type_ = object_type::ThreadObject;
        header.size = (KTHREAD_SIZE / 4) as u8;
        let list = kthread + core::mem::offset_of!(DispatcherHeader, wait_list_head) as u64;
        header.wait_list_head.flink = list;
        header.wait_list_head.blink = list;
        // Memory of our own that was just allocated.
        let _ = self.write(DriverPtr::new(kthread), header);
        let _ = self.write(DriverPtr::new(kthread + PRIORITY_OFFSET), priority);
    }

    /// The thread that runs on the current processor.
    #[must_use]
    pub fn current_thread(&self) -> Option<ThreadId> {
        self.processor().thread.get()
    }

    /// Address of the current thread's KTHREAD; 0 on an idle processor.
    #[must_use]
    pub fn current_kthread(&self) -> u64 {
        self.current_thread().map_or(0, |thread| self.kthread_of(thread))
    }

    /// Address of a thread's KTHREAD.
    #[must_use]
    pub fn kthread_of(&self, thread: ThreadId) -> u64 {
        self.ke.threads.all.borrow().get(thread.0 as usize).map_or(0, |thread| thread.kthread)
    }

    /// The thread whose KTHREAD is at this address.
    pub(crate) fn thread_at(&self, kthread: u64) -> Option<ThreadId> {
        let all = self.ke.threads.all.borrow();
        let index = all.iter().position(|thread| thread.kthread == kthread)?;
        Some(ThreadId(index as u32))
    }

    /// What a thread was called when it was created.
    #[must_use]
    pub fn thread_name(&self, thread: ThreadId) -> &'static str {
        self.ke.threads.all.borrow().get(thread.0 as usize).map_or("unknown", |thread| thread.name)
    }

    /// Whether a thread has come to its end.
    #[must_use]
    pub fn thread_has_ended(&self, thread: ThreadId) -> bool {
        let all = self.ke.threads.all.borrow();
        all.get(thread.0 as usize).is_none_or(|thread| thread.state == State::Terminated)
    }

    /// The bounds of the current thread's stack.
    pub(crate) fn current_stack(&self) -> Option<core::ops::Range<u64>> {
        let thread = self.current_thread()?;
        self.ke.threads.all.borrow().get(thread.0 as usize).map(|thread| thread.stack.clone())
    }

    pub(crate) fn strand_of(&self, thread: ThreadId) -> StrandId {
        StrandId(self.processors().len() as u32 + thread.0)
    }

    pub(crate) fn thread_is_ready(&self) -> bool {
        self.ke.threads.ready.borrow().iter().any(|queue| !queue.is_empty())
    }

    /// The ready thread of the highest priority.
    pub(crate) fn take_ready_thread(&self) -> Option<ThreadId> {
        self.ke.threads.ready.borrow_mut().iter_mut().rev().find_map(VecDeque::pop_front)
    }

    pub(crate) fn thread_runs_on(&self, thread: ThreadId, processor: ProcessorId) {
        if let Some(thread) = self.ke.threads.all.borrow_mut().get_mut(thread.0 as usize) {
            thread.state = State::Running(processor);
        }
        self.write_current_thread(self.kthread_of(thread));
    }

    /// Puts a thread at the end of its queue, and asks a processor that runs something of
    /// lower priority to switch.
    pub(crate) fn make_ready(&self, thread: ThreadId) {
        let priority = {
            let mut all = self.ke.threads.all.borrow_mut();
            let Some(thread) = all.get_mut(thread.0 as usize) else { return };
            thread.state = State::Ready;
            thread.priority
        };
        self.ke.threads.ready.borrow_mut()[usize::from(priority)].push_back(thread);
        if self.processors().iter().any(|processor| processor.thread.get().is_none()) {
            return;
        }
        let lower = self
            .processors()
            .iter()
            .find(|processor| processor.thread.get().is_some_and(|running| self.priority_of(running) < priority));
        if let Some(processor) = lower {
            processor.reschedule.set(true);
        }
    }

    pub(crate) fn priority_of(&self, thread: ThreadId) -> u8 {
        self.ke.threads.all.borrow().get(thread.0 as usize).map_or(0, |thread| thread.priority)
    }

    /// Sets a thread's priority and returns the one before.
    pub(crate) fn set_priority(&self, thread: ThreadId, priority: u8) -> u8 {
        let mut all = self.ke.threads.all.borrow_mut();
        let Some(entry) = all.get_mut(thread.0 as usize) else { return 0 };
        let before = core::mem::replace(&mut entry.priority, priority.min(HIGH_PRIORITY));
        if entry.state == State::Ready && before != entry.priority {
            let mut ready = self.ke.threads.ready.borrow_mut();
            ready[usize::from(before)].retain(|queued| *queued != thread);
            ready[usize::from(entry.priority)].push_back(thread);
        }
        before
    }

    /// Switches to a thread of higher priority that became ready, below DISPATCH_LEVEL.
    pub(crate) fn reschedule_if_asked(&self) {
        let processor = self.processor();
        if !processor.reschedule.get() || self.irql() >= dirql_abi::Irql::DISPATCH {
            return;
        }
        processor.reschedule.set(false);
        let Some(thread) = processor.thread.get() else { return };
        let mine = self.priority_of(thread);
        let higher = self.ke.threads.ready.borrow().iter().skip(usize::from(mine) + 1).any(|queue| !queue.is_empty());
        if higher {
            self.make_ready(thread);
            self.switch_away();
        }
    }

    /// Lets another ready thread of the same or higher priority run.
    pub(crate) fn end_quantum(&self) {
        let Some(thread) = self.current_thread() else { return };
        let mine = self.priority_of(thread);
        let other = self.ke.threads.ready.borrow().iter().skip(usize::from(mine)).any(|queue| !queue.is_empty());
        if other {
            self.make_ready(thread);
            self.switch_away();
        }
    }

    /// The current thread waits from now on.
    pub(crate) fn begin_wait(&self, thread: ThreadId, wait: Wait) {
        if let Some(thread) = self.ke.threads.all.borrow_mut().get_mut(thread.0 as usize) {
            thread.state = State::Waiting;
            thread.wait = Some(wait);
        }
    }

    /// What a thread waits for.
    pub(crate) fn wait_of(&self, thread: ThreadId) -> Option<Wait> {
        self.ke.threads.all.borrow().get(thread.0 as usize)?.wait.clone()
    }

    /// Ends a thread's wait and makes it ready.
    pub(crate) fn end_wait(&self, thread: ThreadId, status: NtStatus) {
        {
            let mut all = self.ke.threads.all.borrow_mut();
            let Some(thread) = all.get_mut(thread.0 as usize) else { return };
            if thread.wait.take().is_none() {
                return;
            }
            thread.wait_status = status;
        }
        self.make_ready(thread);
    }

    pub(crate) fn wait_status(&self, thread: ThreadId) -> NtStatus {
        self.ke.threads.all.borrow().get(thread.0 as usize).map_or(NtStatus::SUCCESS, |thread| thread.wait_status)
    }

    /// Runs a thread's body on its strand, and ends the thread.
    pub(crate) fn thread_main(&self, strand: StrandId) -> Ddi<()> {
        let index = strand.0 as usize - self.processors().len();
        let body = self.ke.threads.all.borrow_mut().get_mut(index).and_then(|thread| thread.body.take());
        match body {
            Some(ThreadBody::Driver { routine, context }) => {
                self.call("system thread", routine, &[context]);
            }
            Some(ThreadBody::Native(body)) => body(self)?,
            None => {}
        }
        self.terminate_thread(ThreadId(index as u32), NtStatus::SUCCESS)
    }

    /// Ends the current thread. Its strand must not run again.
    fn terminate_thread(&self, thread: ThreadId, status: NtStatus) -> Ddi<()> {
        let kthread = {
            let mut all = self.ke.threads.all.borrow_mut();
            let Some(entry) = all.get_mut(thread.0 as usize) else { return Ok(()) };
            entry.state = State::Terminated;
            entry.exit_status = status;
            entry.kthread
        };
        let header = DriverPtr::<DispatcherHeader>::new(kthread);
        self.write(at!(header, DispatcherHeader, signal_state), 1)?;
        self.signal(kthread)?;
        self.ke.threads.dead.borrow_mut().push(thread);
        self.leave_thread();
        Ok(())
    }

    /// Gives back the strands of threads that have ended. Called outside strands.
    pub(crate) fn bury_threads(&self) {
        for thread in self.ke.threads.dead.take() {
            self.platform().retire_strand(self.strand_of(thread));
        }
    }

    /// `NTSTATUS PsTerminateSystemThread(NTSTATUS)`: ends the calling thread; does not return.
    ///
    /// IRQL: PASSIVE_LEVEL. Source: WDK reference, wdm.PsTerminateSystemThread.
    pub fn ps_terminate_system_thread(&self, status: NtStatus) -> Ddi<NtStatus> {
        if let Some(thread) = self.current_thread() {
            self.terminate_thread(thread, status)?;
            self.platform().suspend();
        }
        Err(Stop::Ended)
    }

    /// `NTSTATUS PsCreateSystemThread(...)`: a thread of priority 8 that runs `routine(context)`.
    /// The handle is made by the object manager.
    ///
    /// IRQL: PASSIVE_LEVEL. Source: WDK reference, wdm.PsCreateSystemThread.
    pub fn ps_create_system_thread(&self, handle: DriverPtr<u64>, routine: u64, context: u64) -> Ddi<NtStatus> {
        let thread = self.spawn_thread("system thread", NORMAL_PRIORITY, ThreadBody::Driver { routine, context });
        let value = self.ob_create_handle(self.kthread_of(thread), THREAD_ALL_ACCESS)?;
        self.write(handle, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `KPRIORITY KeSetPriorityThread(PKTHREAD, KPRIORITY)`: returns the priority before.
    pub fn ke_set_priority_thread(&self, kthread: u64, priority: i32) -> Ddi<i32> {
        let priority = priority.clamp(0, i32::from(HIGH_PRIORITY)) as u8;
        let before = self.thread_at(kthread).map_or(0, |thread| self.set_priority(thread, priority));
        Ok(i32::from(before))
    }

    /// `KPRIORITY KeQueryPriorityThread(PKTHREAD)`
    pub fn ke_query_priority_thread(&self, kthread: u64) -> Ddi<i32> {
        Ok(self.thread_at(kthread).map_or(0, |thread| i32::from(self.priority_of(thread))))
    }
}
