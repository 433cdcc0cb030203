//! Waiting for dispatcher objects.
//!
//! An object's signal state is in the driver's memory; who waits for it is kept here.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Deref;

use dirql_abi::bugcheck::code;
use dirql_abi::dispatcher::{MAXIMUM_WAIT_OBJECTS, THREAD_WAIT_OBJECTS, object_type, wait_type};
use dirql_abi::{Irql, NtStatus};
use dirql_rules::{BugCheck, ids};

use crate::ke::alert::WaitMode;
use crate::ke::clock::{Alarm, ClockAction, START_SYSTEM_TIME};
use crate::ke::thread::ThreadId;
use crate::stop::{BadAddress, Ddi, Stop};
use crate::{DriverPtr, Event, Kernel};

/// What a thread waits for: mostly one object, for which no memory is allocated.
#[derive(Clone, Debug)]
pub(super) enum Objects {
    One([u64; 1]),
    Many(Rc<[u64]>),
}

impl Deref for Objects {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        match self {
            Self::One(object) => object,
            Self::Many(objects) => objects,
        }
    }
}

/// What a wait looks at of an object: the first eight bytes of its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    type_: u8,
    pub(super) signal_state: i32,
}

/// A thread's wait.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    pub(super) objects: Objects,
    all: bool,
    timeout: Option<Alarm>,
    /// Address of the first of its wait blocks.
    pub(super) blocks: u64,
    /// What else may end it.
    pub(super) mode: WaitMode,
    /// The level at which the thread waits.
    pub(super) level: Irql,
}

#[derive(Default)]
pub(crate) struct Waits {
    /// Who waits for which object, in the order in which they began. Few wait at any time, so
    /// looking at all of them is cheaper than keeping them in queues.
    waiters: RefCell<Vec<(u64, ThreadId)>>,
}

impl Waits {
    /// The thread that waits for an object with so many before it.
    fn waiter(&self, object: u64, before: usize, newest_first: bool) -> Option<ThreadId> {
        let waiters = self.waiters.borrow();
        let mut threads = waiters
            .iter()
            .filter(|(for_object, _)| *for_object == object);
        let waiter = if newest_first {
            threads.nth_back(before)
        } else {
            threads.nth(before)
        };
        waiter.map(|(_, thread)| *thread)
    }
}

impl Kernel {
    /// `NTSTATUS KeWaitForSingleObject(PVOID, KWAIT_REASON, KPROCESSOR_MODE, BOOLEAN, PLARGE_INTEGER)`
    ///
    /// - IRQL: below DISPATCH_LEVEL; at DISPATCH_LEVEL only with a timeout of zero.
    /// - Returns: STATUS_SUCCESS, STATUS_TIMEOUT; STATUS_ALERTED and STATUS_USER_APC if the wait is
    ///   alertable.
    /// - Findings: DQ0160, with bug check 0xC4 (0x121, 0x122) or 0xB8.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.KeWaitForSingleObject.
    pub fn ke_wait_for_single_object(
        &self,
        object: u64,
        _reason: u32,
        mode: u8,
        alertable: u8,
        timeout: DriverPtr<i64>,
    ) -> Ddi<NtStatus> {
        let timeout = self.read_timeout(timeout)?;
        let mode = WaitMode::new(mode, alertable);
        self.wait(Objects::One([object]), false, mode, timeout, 0)
    }

    /// `NTSTATUS KeWaitForMultipleObjects(ULONG, PVOID[], WAIT_TYPE, ..., PLARGE_INTEGER,
    /// PKWAIT_BLOCK)`: as for one object; any or all of up to 64.
    ///
    /// - Returns: STATUS_WAIT_0 + index of the object that ended a wait for any, with
    ///   STATUS_ABANDONED_WAIT_0 for a mutex whose owner ended.
    /// - Findings: bug check 0xC (MAXIMUM_WAIT_OBJECTS_EXCEEDED) above 64, or above 3 without
    ///   `wait_blocks`.
    /// - Source: WDK reference, wdm.KeWaitForMultipleObjects.
    pub fn ke_wait_for_multiple_objects(
        &self,
        count: u32,
        objects: u64,
        kind: u32,
        mode: WaitMode,
        timeout: DriverPtr<i64>,
        wait_blocks: u64,
    ) -> Ddi<NtStatus> {
        let most = if wait_blocks == 0 {
            THREAD_WAIT_OBJECTS
        } else {
            MAXIMUM_WAIT_OBJECTS
        };
        if count == 0 || count > most {
            return Err(BugCheck::new(code::MAXIMUM_WAIT_OBJECTS_EXCEEDED, [0; 4]).into());
        }
        let first = DriverPtr::<u64>::new(objects);
        let objects: Result<Rc<[u64]>, BadAddress> = (0..count as usize)
            .map(|index| self.read(first.element(index)))
            .collect();
        let timeout = self.read_timeout(timeout)?;
        let all = kind != wait_type::WaitAny;
        self.wait(Objects::Many(objects?), all, mode, timeout, wait_blocks)
    }

    /// Waits for one object; `timeout_100ns` is relative, `None` is for ever.
    pub(crate) fn wait_for(&self, object: u64, timeout_100ns: Option<u64>) -> Ddi<NtStatus> {
        let mode = WaitMode::KERNEL;
        self.wait(Objects::One([object]), false, mode, timeout_100ns, 0)
    }

    /// A driver's timeout as a relative one: negative is relative, positive absolute.
    pub(crate) fn read_timeout(&self, timeout: DriverPtr<i64>) -> Ddi<Option<u64>> {
        if timeout.is_null() {
            return Ok(None);
        }
        Ok(Some(self.relative_time(self.read(timeout)?)))
    }

    pub(crate) fn relative_time(&self, time: i64) -> u64 {
        if time <= 0 {
            time.unsigned_abs()
        } else {
            (time as u64).saturating_sub(START_SYSTEM_TIME + self.time_100ns())
        }
    }

    fn wait(
        &self,
        objects: Objects,
        all: bool,
        mode: WaitMode,
        timeout: Option<u64>,
        blocks: u64,
    ) -> Ddi<NtStatus> {
        self.check_wait_level(&objects, timeout)?;
        let due = timeout.map(|by| self.time_100ns().saturating_add(by));
        loop {
            if let Some(status) = self.satisfy(&objects, all)? {
                return Ok(status);
            }
            if due.is_some_and(|due| due <= self.time_100ns()) {
                return Ok(NtStatus::TIMEOUT);
            }
            let Some(thread) = self.current_thread() else {
                return Err(BugCheck::new(code::ATTEMPTED_SWITCH_FROM_DPC, [0; 4]).into());
            };
            if let Some(status) = self.interruption(thread, mode) {
                return Ok(status);
            }
            let status = self.wait_once(thread, objects.clone(), (all, mode), due, blocks)?;
            if status != NtStatus::KERNEL_APC {
                return Ok(status);
            }
            // The wait ended so that the thread runs an APC, and goes on.
            self.take_pending()?;
        }
    }

    /// Waits until the objects are signalled, the time is over or something else ends the wait.
    fn wait_once(
        &self,
        thread: ThreadId,
        objects: Objects,
        (all, mode): (bool, WaitMode),
        due: Option<u64>,
        blocks: u64,
    ) -> Ddi<NtStatus> {
        let waiters = objects.iter().map(|object| (*object, thread));
        self.ke.waits.waiters.borrow_mut().extend(waiters);
        let timeout = due.map(|due| self.set_alarm(due, ClockAction::WaitTimeout(thread)));
        if self.report.is_recording() {
            self.event(Event::WaitBegin(objects[0]));
        }
        let blocks = self.link_wait_blocks(thread, &objects, all, blocks)?;
        self.begin_wait(
            thread,
            Wait {
                objects,
                all,
                timeout,
                blocks,
                mode,
                level: self.irql(),
            },
        );
        self.server_waits(thread)?;
        self.switch_away();
        self.server_goes_on(thread)?;
        if self.has_ended() {
            return Err(Stop::Ended);
        }
        let status = self.wait_status(thread);
        if self.report.is_recording() {
            self.event(Event::WaitEnd(status));
        }
        Ok(status)
    }

    /// Bug checks as Driver Verifier gives them (0xC4 with 0x120, 0x121, 0x122).
    fn check_wait_level(&self, objects: &[u64], timeout: Option<u64>) -> Ddi<()> {
        let level = self.irql();
        if timeout != Some(0) && self.runs_threaded_dpc() {
            let message =
                String::from("a threaded DPC waits; it must do without, as at DISPATCH_LEVEL");
            self.find(ids::WAIT_LEVEL, message, None)?;
        }
        if level < Irql::DISPATCH || (level == Irql::DISPATCH && timeout == Some(0)) {
            return Ok(());
        }
        self.find(
            ids::WAIT_LEVEL,
            format!("the driver waits at {level}"),
            None,
        )?;
        let kind = match timeout {
            _ if level > Irql::DISPATCH => 0x120,
            None => 0x121,
            Some(_) => 0x122,
        };
        let parameters = [kind, u64::from(level.0), objects[0], 0];
        Err(BugCheck::new(code::DRIVER_VERIFIER_DETECTED_VIOLATION, parameters).into())
    }

    /// Takes the objects if the wait is over, and says with which status.
    fn satisfy(&self, objects: &[u64], all: bool) -> Ddi<Option<NtStatus>> {
        let thread = self.current_kthread();
        self.satisfy_for(objects, all, thread)
    }

    /// As [`Kernel::satisfy_for`] for one object, whose header is known.
    #[inline]
    fn satisfy_one(&self, object: u64, header: Header, kthread: u64) -> Ddi<Option<NtStatus>> {
        if !self.is_signaled(object, header, kthread)? {
            return Ok(None);
        }
        let abandoned = self.take(object, header, kthread)?;
        Ok(Some(if abandoned {
            NtStatus::ABANDONED_WAIT_0
        } else {
            NtStatus::SUCCESS
        }))
    }

    fn satisfy_for(&self, objects: &[u64], all: bool, kthread: u64) -> Ddi<Option<NtStatus>> {
        if let [object] = objects {
            return self.satisfy_one(*object, self.header(*object)?, kthread);
        }
        if all {
            for object in objects {
                if !self.is_signaled(*object, self.header(*object)?, kthread)? {
                    return Ok(None);
                }
            }
            let mut abandoned = false;
            for object in objects {
                abandoned |= self.take(*object, self.header(*object)?, kthread)?;
            }
            let status = if abandoned {
                NtStatus::ABANDONED_WAIT_0
            } else {
                NtStatus::SUCCESS
            };
            return Ok(Some(status));
        }
        for (index, object) in objects.iter().enumerate() {
            let header = self.header(*object)?;
            if self.is_signaled(*object, header, kthread)? {
                let abandoned = self.take(*object, header, kthread)?;
                let base = if abandoned {
                    NtStatus::ABANDONED_WAIT_0
                } else {
                    NtStatus::SUCCESS
                };
                return Ok(Some(NtStatus(base.0 + index as i32)));
            }
        }
        Ok(None)
    }

    /// The type of an object, and its signal state.
    #[inline]
    pub(super) fn header(&self, object: u64) -> Ddi<Header> {
        let [first, state] = self.read(DriverPtr::<[u32; 2]>::new(object))?;
        Ok(Header {
            // The type is the first byte.
            type_: first as u8,
            signal_state: state as i32,
        })
    }

    #[inline]
    fn is_signaled(&self, object: u64, header: Header, kthread: u64) -> Ddi<bool> {
        match header.type_ {
            object_type::MutantObject => {
                Ok(header.signal_state > 0 || self.mutex_owner(object)? == kthread && kthread != 0)
            }
            object_type::EventNotificationObject
            | object_type::EventSynchronizationObject
            | object_type::GateObject
            | object_type::SemaphoreObject
            | object_type::ThreadObject
            | object_type::ProcessObject
            | object_type::TimerNotificationObject
            | object_type::TimerSynchronizationObject => Ok(header.signal_state > 0),
            object_type::QueueObject => self.queue_is_signaled(object),
            other => Err(self.refuse(
                ids::BUG_CHECK,
                format!(
                    "the driver waits for an object of unknown type {other}; was it initialised?"
                ),
                None,
            )),
        }
    }

    /// The effect of a wait on the object. Returns whether it was an abandoned mutex.
    #[inline]
    fn take(&self, object: u64, header: Header, kthread: u64) -> Ddi<bool> {
        let state = Self::signal_state(object);
        match header.type_ {
            object_type::EventSynchronizationObject
            | object_type::GateObject
            | object_type::TimerSynchronizationObject => {
                self.write(state, 0)?;
            }
            object_type::SemaphoreObject => {
                self.write(state, header.signal_state - 1)?;
            }
            object_type::MutantObject => return self.take_mutex(object, kthread),
            object_type::QueueObject => self.give_entry(object, kthread)?,
            _ => {}
        }
        Ok(false)
    }

    /// An object has become signaled: ends the waits that it ends, first come first served.
    pub(crate) fn signal(&self, object: u64) -> Ddi<()> {
        self.signal_with(object, 0)
    }

    /// As [`Kernel::signal`]; `increment` is what the priority of those who go on is raised by.
    pub(crate) fn signal_with(&self, object: u64, increment: i32) -> Ddi<()> {
        if self.ke.waits.waiters.borrow().is_empty() {
            return Ok(());
        }
        let header = self.header(object)?;
        self.signal_known(object, header, increment)
    }

    /// As [`Kernel::signal_with`], for an object whose header has just been read.
    pub(super) fn signal_known(&self, object: u64, header: Header, increment: i32) -> Ddi<()> {
        let mut passed = 0;
        let newest_first = header.type_ == object_type::QueueObject;
        let mut known = Some(header);
        while let Some(thread) = self.ke.waits.waiter(object, passed, newest_first) {
            let Some(wait) = self.wait_of(thread) else {
                passed += 1;
                continue;
            };
            let kthread = self.kthread_of(thread);
            let status = match (known.take(), &wait.objects) {
                (Some(header), Objects::One(_)) => self.satisfy_one(object, header, kthread)?,
                _ => self.satisfy_for(&wait.objects, wait.all, kthread)?,
            };
            match status {
                Some(status) => {
                    self.boost(thread, increment);
                    self.forget_wait(thread, &wait, status);
                    self.server_goes_on(thread)?;
                }
                None => passed += 1,
            }
        }
        Ok(())
    }

    /// Ends every wait for an object, as it will be signalled no more.
    pub(super) fn end_waits_for(&self, object: u64, status: NtStatus) {
        while let Some(thread) = self.ke.waits.waiter(object, 0, false) {
            self.end_wait_and_forget(thread, status);
        }
    }

    /// Takes a thread off all queues and lets it run.
    pub(crate) fn end_wait_and_forget(&self, thread: ThreadId, status: NtStatus) {
        if let Some(wait) = self.wait_of(thread) {
            self.forget_wait(thread, &wait, status);
        }
    }

    /// The same for a thread whose wait is known.
    fn forget_wait(&self, thread: ThreadId, wait: &Wait, status: NtStatus) {
        let mut waiters = self.ke.waits.waiters.borrow_mut();
        waiters.retain(|(_, waiter)| *waiter != thread);
        drop(waiters);
        self.unlink_wait_blocks(wait);
        if let Some(alarm) = wait.timeout {
            self.cancel_alarm(alarm);
        }
        self.end_wait(thread, status);
    }

    /// Objects in a range of memory that threads wait for.
    pub(crate) fn objects_waited_for_in(&self, range: &core::ops::Range<u64>) -> Vec<u64> {
        let waiters = self.ke.waits.waiters.borrow();
        let objects = waiters.iter().map(|(object, _)| *object);
        let mut inside: Vec<u64> = objects.filter(|object| range.contains(object)).collect();
        inside.sort_unstable();
        inside.dedup();
        inside
    }

    /// Threads that wait although nothing can end that any more, with what they wait for.
    #[must_use]
    pub fn threads_still_waiting(&self) -> Vec<(ThreadId, u64)> {
        let mut waiters = self.ke.waits.waiters.borrow().clone();
        waiters.sort_by_key(|(object, _)| *object);
        waiters
            .into_iter()
            .map(|(object, thread)| (thread, object))
            .collect()
    }

    /// `NTSTATUS ZwYieldExecution(VOID)`: a delay of no length.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS, though nobody else may have run.
    pub fn zw_yield_execution(&self) -> Ddi<NtStatus> {
        self.delay_for(0, 0, WaitMode::KERNEL)
    }

    /// `NTSTATUS KeDelayExecutionThread(KPROCESSOR_MODE, BOOLEAN, PLARGE_INTEGER)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: STATUS_SUCCESS after the interval; STATUS_ALERTED and STATUS_USER_APC if the wait is
    ///   alertable.
    /// - Source: WDK reference, wdm.KeDelayExecutionThread.
    pub fn ke_delay_execution_thread(
        &self,
        mode: WaitMode,
        interval: DriverPtr<i64>,
    ) -> Ddi<NtStatus> {
        let by = self.relative_time(self.read(interval)?);
        self.delay_for(by, interval.address(), mode)
    }

    /// Has the thread wait for `by`, in 100 ns; `told_by` is where a driver has said so.
    fn delay_for(&self, by: u64, told_by: u64, mode: WaitMode) -> Ddi<NtStatus> {
        let Some(thread) = self.current_thread() else {
            return Err(BugCheck::new(code::ATTEMPTED_SWITCH_FROM_DPC, [0; 4]).into());
        };
        self.check_wait_level(&[told_by], Some(by.max(1)))?;
        let due = self.time_100ns().saturating_add(by);
        loop {
            if let Some(status) = self.interruption(thread, mode) {
                return Ok(status);
            }
            let wait = Wait {
                objects: Objects::Many(Rc::default()),
                all: false,
                timeout: Some(self.set_alarm(due, ClockAction::WaitTimeout(thread))),
                blocks: 0,
                mode,
                level: self.irql(),
            };
            self.begin_wait(thread, wait);
            self.server_waits(thread)?;
            self.switch_away();
            self.server_goes_on(thread)?;
            if by == 0 {
                self.delayed_for_no_time();
            }
            if self.has_ended() {
                return Err(Stop::Ended);
            }
            match self.wait_status(thread) {
                NtStatus::TIMEOUT => return Ok(NtStatus::SUCCESS),
                NtStatus::KERNEL_APC => self.take_pending()?,
                other => return Ok(other),
            }
            if due <= self.time_100ns() {
                return Ok(NtStatus::SUCCESS);
            }
        }
    }
}
