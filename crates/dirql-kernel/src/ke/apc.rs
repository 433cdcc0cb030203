//! Asynchronous procedure calls: code that runs in a thread of somebody's choice.
//!
//! A kernel APC is special, without a normal routine, or normal. Its kernel routine runs at
//! APC_LEVEL as soon as the thread is below that level and, for a special one, in no guarded region;
//! for a normal one in no critical region either, and not inside another normal routine. The normal
//! routine runs after it, at PASSIVE_LEVEL. A thread that waits at PASSIVE_LEVEL is woken for it and
//! waits again.
//!
//! A user APC is for the code of an application, of which there is none here. It ends alertable waits
//! in user mode and is run down when its thread ends.
//!
//! An exception does not leave the routines of an APC for what the APC interrupts. Choice: nothing says
//! what would come of the level and of the other APCs.
//!
//! Which APCs a thread has is kept here; the lists in its KTHREAD stay as they are. Not modelled:
//! threads that are attached to another process, whose APCs would be held back.
//!
//! Source: WDK, "Types of APCs", "Disabling APCs", "Waits and APCs"; the routines are exported and
//! declared in ntifs.h, and have no pages.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use dirql_abi::bugcheck::code;
use dirql_abi::dispatcher::kernel_object_type;
use dirql_abi::processor::{KApc, kthread};
use dirql_abi::{Irql, NtStatus};
use dirql_rules::{BugCheck, Place, ids};
use zerocopy::FromZeros;

use crate::at;
use crate::ke::alert::Mode;
use crate::ke::processor::asked;
use crate::ke::thread::ThreadId;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

type Apc = DriverPtr<KApc>;

/// `CurrentApcEnvironment`: that in which the thread is when the APC is initialised.
const CURRENT_ENVIRONMENT: u32 = 2;

/// The APCs of one thread, by the addresses of their objects.
#[derive(Default)]
struct Queue {
    /// Special ones before normal ones.
    kernel: VecDeque<u64>,
    user: VecDeque<u64>,
    /// A normal routine runs.
    in_progress: bool,
}

#[derive(Default)]
pub(crate) struct Apcs {
    /// Whether there has ever been one: threads are switched often, and drivers without APCs
    /// are many.
    any: Cell<bool>,
    queues: RefCell<BTreeMap<u32, Queue>>,
    /// Where those that are queued were queued.
    places: RefCell<BTreeMap<u64, Place>>,
}

impl Kernel {
    /// `VOID KeInitializeApc(PRKAPC, PRKTHREAD, KAPC_ENVIRONMENT, PKKERNEL_ROUTINE, PKRUNDOWN_ROUTINE,
    /// PKNORMAL_ROUTINE, KPROCESSOR_MODE, PVOID NormalContext)`: lays out an APC for a thread; one
    /// without a normal routine is a special kernel APC.
    ///
    /// - IRQL: any.
    /// - Findings: DQ0536 it is queued.
    /// - Source: ntifs.h; exported, no page.
    ///
    /// # Errors
    /// The APC is not memory.
    pub fn ke_initialize_apc(&self, apc: Apc, request: ApcRequest) -> Ddi<()> {
        self.find_if_queued(apc)?;
        let mut value = KApc::new_zeroed();
        value.type_ = kernel_object_type::ApcObject;
        value.size = size_of::<KApc>() as u8;
        value.thread = request.thread;
        value.apc_state_index = match request.environment {
            CURRENT_ENVIRONMENT => 0,
            other => other as i8,
        };
        value.kernel_routine = request.kernel_routine;
        value.rundown_routine = request.rundown_routine;
        value.normal_routine = request.normal_routine;
        if request.normal_routine != 0 {
            value.apc_mode = request.mode;
            value.normal_context = request.normal_context;
        }
        Ok(self.write(apc, value)?)
    }

    fn find_if_queued(&self, apc: Apc) -> Ddi<()> {
        let queued = self.ke.apcs.places.borrow().get(&apc.address()).cloned();
        let Some(place) = queued else { return Ok(()) };
        let message = format!(
            "the APC {:#x} is initialised while it is queued",
            apc.address()
        );
        let earlier = (alloc::string::String::from("it was queued here"), place);
        self.find_at(ids::APC_QUEUED, message, self.here(), Some(earlier))
    }

    /// `BOOLEAN KeInsertQueueApc(PRKAPC, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY
    /// Increment)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: FALSE if it is queued already, or the thread ends.
    /// - Yields: at its end; an APC for the calling thread runs before it returns, if it may.
    /// - Source: ntifs.h; exported, no page. "Types of APCs" for what is delivered when.
    ///
    /// # Errors
    /// The APC is not memory.
    pub fn ke_insert_queue_apc(
        &self,
        apc: Apc,
        argument1: u64,
        argument2: u64,
        increment: i32,
    ) -> Ddi<u8> {
        let value = self.read(apc)?;
        let thread = self.thread_at(value.thread);
        let Some(thread) = thread.filter(|thread| !self.thread_has_ended(*thread)) else {
            return Ok(0);
        };
        if value.inserted != 0 {
            return Ok(0);
        }
        self.write(at!(apc, KApc, system_argument1), argument1)?;
        self.write(at!(apc, KApc, system_argument2), argument2)?;
        self.write(at!(apc, KApc, inserted), 1)?;
        let is_user = Mode::of(value.apc_mode) == Mode::User;
        self.enqueue_apc(thread, apc.address(), is_user, value.normal_routine == 0)?;
        if is_user {
            self.wake_for_user_apc(thread, increment)?;
        } else {
            self.wake_for_kernel_apc(thread, increment)?;
        }
        Ok(1)
    }

    fn enqueue_apc(&self, thread: ThreadId, apc: u64, is_user: bool, is_special: bool) -> Ddi<()> {
        let apcs = &self.ke.apcs;
        apcs.any.set(true);
        apcs.places.borrow_mut().insert(apc, self.here());
        let mut behind_special = 0;
        if is_special {
            let queued = self.kernel_apcs_of(thread);
            while let Some(before) = queued.get(behind_special)
                && self.is_special(*before)?
            {
                behind_special += 1;
            }
        }
        let mut queues = apcs.queues.borrow_mut();
        let queue = queues.entry(thread.0).or_default();
        match (is_user, is_special) {
            (true, _) => queue.user.push_back(apc),
            (false, true) => queue.kernel.insert(behind_special, apc),
            (false, false) => queue.kernel.push_back(apc),
        }
        Ok(())
    }

    fn kernel_apcs_of(&self, thread: ThreadId) -> Vec<u64> {
        let queues = self.ke.apcs.queues.borrow();
        let queue = queues.get(&thread.0);
        queue.map_or_else(Vec::new, |queue| queue.kernel.iter().copied().collect())
    }

    fn is_special(&self, apc: u64) -> Ddi<bool> {
        let routine = at!(Apc::new(apc), KApc, normal_routine);
        Ok(self.read(routine)? == 0)
    }

    /// The first kernel APC of a thread, if it may run now as far as regions and other APCs go.
    fn deliverable(&self, thread: ThreadId) -> Ddi<Option<u64>> {
        let (first, in_progress) = {
            let queues = self.ke.apcs.queues.borrow();
            let Some(queue) = queues.get(&thread.0) else {
                return Ok(None);
            };
            let Some(first) = queue.kernel.front() else {
                return Ok(None);
            };
            (*first, queue.in_progress)
        };
        let kthread = self.kthread_of(thread);
        let disabled = |offset: usize| -> Ddi<bool> {
            let count = DriverPtr::<i16>::new(kthread + offset as u64);
            Ok(self.read(count)? != 0)
        };
        if disabled(kthread::SPECIAL_APC_DISABLE)? {
            return Ok(None);
        }
        let waits =
            !self.is_special(first)? && (in_progress || disabled(kthread::KERNEL_APC_DISABLE)?);
        Ok((!waits).then_some(first))
    }

    /// Lets a thread run its kernel APCs, if it may: at once where it runs, or out of its wait.
    fn wake_for_kernel_apc(&self, thread: ThreadId, increment: i32) -> Ddi<()> {
        if self.deliverable(thread)?.is_none() {
            return Ok(());
        }
        if let Some(processor) = self.processor_of(thread) {
            processor.ask(asked::APC);
            self.wake(processor.id);
        } else if self.waits_below_apc_level(thread) {
            self.boost(thread, increment);
            self.end_wait_and_forget(thread, NtStatus::KERNEL_APC);
        }
        Ok(())
    }

    /// A thread begins to run on the current processor.
    #[inline]
    pub(super) fn look_for_apcs(&self, thread: ThreadId) {
        if self.ke.apcs.any.get() {
            self.ask_if_queued(thread);
        }
    }

    #[cold]
    fn ask_if_queued(&self, thread: ThreadId) {
        if !self.kernel_apcs_of(thread).is_empty() {
            self.processor().ask(asked::APC);
        }
    }

    /// The current thread has left a region in which APCs are disabled.
    pub(super) fn apcs_are_enabled(&self) {
        if let Some(thread) = self.current_thread() {
            self.look_for_apcs(thread);
        }
    }

    /// Runs the kernel APCs of the current thread, if it is below APC_LEVEL.
    pub(super) fn deliver_apcs_if_asked(&self) -> Ddi<()> {
        let processor = self.processor();
        if processor.asked.get() & asked::APC == 0 || self.irql() >= Irql::APC {
            return Ok(());
        }
        processor.take_asked(asked::APC);
        let Some(thread) = self.current_thread() else {
            return Ok(());
        };
        let ddi = self.report.suspend_ddi();
        let (context, level) = (self.context(), self.set_irql(Irql::APC));
        while let Some(apc) = self.deliverable(thread)? {
            self.run_kernel_apc(thread, apc)?;
        }
        self.set_irql(level);
        self.processor().context.set(context);
        self.report.resume_ddi(ddi);
        Ok(())
    }

    /// Runs one kernel APC, at APC_LEVEL. Its kernel routine may free it.
    fn run_kernel_apc(&self, thread: ThreadId, apc: u64) -> Ddi<()> {
        self.take_off(thread, apc);
        let value = self.read(Apc::new(apc))?;
        self.write(at!(Apc::new(apc), KApc, inserted), 0)?;
        let [routine, context, argument1, argument2] =
            self.call_kernel_routine(thread, apc, &value)?;
        if routine == 0 {
            return Ok(());
        }
        self.set_in_progress(thread, true);
        self.lower_irql(Irql::PASSIVE)?;
        let arguments = [context, argument1, argument2];
        self.call_at_same_level("normal routine of an APC", routine, &arguments)?;
        self.set_irql(Irql::APC);
        self.set_in_progress(thread, false);
        Ok(())
    }

    /// Calls the kernel routine, which may change what the normal routine is called with: its
    /// address and three arguments, which are returned.
    fn call_kernel_routine(&self, thread: ThreadId, apc: u64, value: &KApc) -> Ddi<[u64; 4]> {
        if value.kernel_routine == 0 {
            return Err(self.call_of_nothing());
        }
        // In the thread object, of which drivers read no more than its beginning.
        let slots = DriverPtr::<[u64; 4]>::new(self.kthread_of(thread) + Self::APC_ARGUMENTS);
        let normal = [
            value.normal_routine,
            value.normal_context,
            value.system_argument1,
            value.system_argument2,
        ];
        self.write(slots, normal)?;
        let slot = |index: u64| slots.address() + 8 * index;
        let arguments = [apc, slot(0), slot(1), slot(2), slot(3)];
        self.call_at_same_level("kernel routine of an APC", value.kernel_routine, &arguments)?;
        Ok(self.read(slots)?)
    }

    fn set_in_progress(&self, thread: ThreadId, value: bool) {
        if let Some(queue) = self.ke.apcs.queues.borrow_mut().get_mut(&thread.0) {
            queue.in_progress = value;
        }
    }

    fn take_off(&self, thread: ThreadId, apc: u64) {
        self.ke.apcs.places.borrow_mut().remove(&apc);
        if let Some(queue) = self.ke.apcs.queues.borrow_mut().get_mut(&thread.0) {
            queue.kernel.retain(|queued| *queued != apc);
            queue.user.retain(|queued| *queued != apc);
        }
    }

    /// Whether a thread has APCs for the code of an application.
    pub(super) fn has_user_apcs(&self, thread: ThreadId) -> bool {
        let queues = self.ke.apcs.queues.borrow();
        queues
            .get(&thread.0)
            .is_some_and(|queue| !queue.user.is_empty())
    }

    /// The current thread ends, at PASSIVE_LEVEL: its kernel APCs run, and its user APCs are run
    /// down. One without a routine for that is freed.
    ///
    /// # Errors
    /// Bug check 0x20 if kernel APCs are left, because they are disabled.
    pub(super) fn run_down_apcs(&self, thread: ThreadId) -> Ddi<()> {
        if !self.ke.apcs.any.get() {
            return Ok(());
        }
        self.look_for_apcs(thread);
        self.deliver_apcs_if_asked()?;
        if let Some(apc) = self.kernel_apcs_of(thread).first() {
            let counts =
                DriverPtr::new(self.kthread_of(thread) + kthread::KERNEL_APC_DISABLE as u64);
            let counts: u32 = self.read(counts)?;
            let parameters = [*apc, counts.into(), self.irql().0.into(), 0];
            let bug_check = BugCheck::new(code::KERNEL_APC_PENDING_DURING_EXIT, parameters);
            return Err(self.stop_system(bug_check));
        }
        let first = |kernel: &Self| {
            let queues = kernel.ke.apcs.queues.borrow();
            queues.get(&thread.0)?.user.front().copied()
        };
        while let Some(apc) = first(self) {
            self.take_off(thread, apc);
            let routine = self.read(at!(Apc::new(apc), KApc, rundown_routine))?;
            if routine == 0 {
                self.ex_free_pool(apc)?;
            } else {
                self.call_at_same_level("rundown routine of an APC", routine, &[apc])?;
            }
        }
        Ok(())
    }

    /// Gives `found` each APC in a range of memory that is queued, and where it was queued.
    pub(crate) fn apcs_queued_in(&self, range: &Range<u64>, mut found: impl FnMut(u64, &Place)) {
        let all = self.ke.apcs.places.borrow();
        for (apc, place) in all.range(range.clone()) {
            found(*apc, place);
        }
    }
}

/// What an APC is to be.
#[derive(Clone, Copy, Debug)]
pub struct ApcRequest {
    /// The KTHREAD in which it is to run.
    pub thread: u64,
    /// `KAPC_ENVIRONMENT`.
    pub environment: u32,
    /// Runs first, at APC_LEVEL.
    pub kernel_routine: u64,
    /// Is called for a user APC whose thread ends, or null.
    pub rundown_routine: u64,
    /// Runs after the kernel routine; null for a special kernel APC.
    pub normal_routine: u64,
    /// `KPROCESSOR_MODE` of the normal routine.
    pub mode: u8,
    /// Its first argument.
    pub normal_context: u64,
}
