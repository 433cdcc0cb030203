//! Whose turn it is: processors, and the threads on them.
//!
//! Processors take turns; one runs at a time. A processor runs a thread's strand or its
//! idle strand. The loop in [`Kernel::run_until_idle`] is outside all strands and decides
//! which processor goes on when one gives up its turn.

use alloc::string::String;
use core::ops::Range;

use dirql_abi::Irql;
use dirql_chips::Trigger;
use dirql_rules::{Context, ids};

use crate::ke::ProcessorId;
use crate::ke::processor::{Processor, Spin, asked, vectors};
use crate::ke::thread::ThreadId;
use crate::platform::StrandId;
use crate::stop::{Ddi, Stop};
use crate::{Event, Kernel, Outcome};

/// Yield points after which a processor lets another one have its turn, when nothing else
/// makes it: long enough to be cheap, short enough that a polling loop sees progress.
pub(super) const TURN: u64 = 256;

/// Virtual time that such a turn takes, 100 ns units. A driver that polls with calls into the
/// kernel would wait for a timer for ever otherwise.
const TURN_100NS: u64 = TURN;

/// Delays for which one call waits however long they take.
const PATIENCE_ALARMS: u32 = 1000;

/// Why [`Kernel::run_until_idle`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Every processor is idle and no delay is running, or what was waited for has happened.
    Idle,
    /// The run has ended; see [`Kernel::outcome`].
    Ended,
}

impl Kernel {
    /// Yield points passed so far.
    #[inline]
    #[must_use]
    pub fn step(&self) -> u64 {
        self.ke.steps.get()
    }

    /// A place where something else could happen first: takes pending interrupts, and lets
    /// another processor have its turn from time to time.
    ///
    /// # Errors
    /// [`Stop::Ended`] once the run is over.
    #[inline]
    pub fn yield_point(&self) -> Ddi<()> {
        let step = self.step() + 1;
        self.ke.steps.set(step);
        if self.has_ended() {
            return Err(Stop::Ended);
        }
        if !self.platform().on_strand() {
            return Ok(());
        }
        if step >= self.ke.intrusion.due.get() {
            self.intrude();
        }
        if self.is_exploring() {
            return self.explored_point(step);
        }
        self.take_pending()?;
        if self.turn_is_over() {
            self.end_turn(step)
        } else {
            Ok(())
        }
    }

    #[inline]
    pub(crate) fn turn_is_over(&self) -> bool {
        // A turn that was given up before the first TURN steps began before step 0.
        self.step().wrapping_sub(self.ke.turn_started.get()) >= TURN
    }

    /// The turn is over at the next yield point.
    pub(crate) fn give_up_turn(&self) {
        self.ke.turn_started.set(self.step().wrapping_sub(TURN));
    }

    /// What happens every TURN steps, whoever goes on.
    pub(super) fn begin_turn(&self, step: u64) -> Ddi<()> {
        self.ke.turn_started.set(step);
        if step > self.config().max_steps {
            if !self.may_be_livelock() {
                self.note_who_is_busy();
                self.end(Outcome::Budget);
                return Err(Stop::Ended);
            }
            // It goes on as it does by itself, until it is known whether it ends.
            self.let_choose(false);
        }
        self.pass_time(TURN_100NS);
        self.check_dpc_watchdog()?;
        self.check_patience()?;
        self.watch_for_livelock()?;
        self.starve_none(step);
        let processor = self.processor();
        if !processor.dpc_queue.borrow().is_empty() {
            // What the clock interrupt does for DPCs that nobody has asked to be run at once.
            self.request_vector(processor.id, vectors::DPC, Trigger::Edge);
        }
        Ok(())
    }

    #[cold]
    fn end_turn(&self, step: u64) -> Ddi<()> {
        self.begin_turn(step)?;
        let me = self.processor().id;
        let (mine, count) = (usize::from(me.0), self.processors().len());
        if self.first_runnable(0..mine).is_some() || self.first_runnable(mine + 1..count).is_some()
        {
            self.hand_over(true);
        }
        if self.has_ended() {
            return Err(Stop::Ended);
        }
        self.take_pending()?;
        // A thread that polls must not keep others of its priority from running.
        if self.irql() < Irql::DISPATCH && self.processor().thread.get().is_some() {
            self.end_quantum(self.ke.starve_nobody.take());
        }
        if self.has_ended() {
            Err(Stop::Ended)
        } else {
            Ok(())
        }
    }

    /// Lets everything run until there is nothing left to do. Called outside strands.
    pub fn run_until_idle(&self) -> RunState {
        self.ke.nobody_asks.set(true);
        let state = self.run_until(&|| false);
        self.ke.nobody_asks.set(false);
        state
    }

    /// Lets everything run until `done`, or until there is nothing left to do. `done` is asked
    /// whenever a processor gives up its turn, and when time is about to pass. Called outside
    /// strands.
    ///
    /// A driver with a periodic timer always has something left. So this gives up when
    /// `PATIENCE_ALARMS` delays have passed and a minute of virtual time has. A device at work,
    /// for example a serial port that sends, is no such timer: the time counts from the last thing
    /// that one did, up to an hour.
    pub fn run_until(&self, done: &dyn Fn() -> bool) -> RunState {
        let start = self.time_100ns();
        self.ke.patience.begin(start);
        let mut alarms = 0;
        loop {
            if self.has_ended() {
                return RunState::Ended;
            }
            if self.goes_straight_on() {
                let strand = self.processor().strand.get();
                self.platform().resume(strand);
                continue;
            }
            if done() {
                return RunState::Idle;
            }
            self.bury_threads();
            let next = if self.is_exploring() {
                self.choose_processor()
            } else {
                self.next_processor()
            };
            if self.has_ended() {
                continue;
            }
            if let Some(processor) = next {
                self.set_current_processor(processor);
                self.take_warm_strand();
                let strand = self.processor().strand.get();
                self.platform().resume(strand);
                continue;
            }
            let patient = alarms < PATIENCE_ALARMS
                || self.time_100ns() < self.ke.patience.delays_until(start);
            if patient && self.pass_to_next_delay() {
                alarms += 1;
                continue;
            }
            match self.first_spin() {
                Some((processor, spin)) => self.stuck(processor, spin),
                None => return RunState::Idle,
            }
        }
    }

    /// Whether the processor goes on with a thread that it has just switched to, and nobody wants to
    /// be asked before that: what the rest of the loop would come to.
    #[inline]
    fn goes_straight_on(&self) -> bool {
        self.ke.switched.take()
            && self.ke.nobody_asks.get()
            && !self.ke.give_turn.get()
            && !self.is_exploring()
    }

    fn pass_to_next_delay(&self) -> bool {
        self.look_for_work_left();
        let before = self.time_100ns();
        let passed = if self.is_exploring() {
            self.choose_delay()
        } else {
            self.pass_time_to_next_event()
        };
        // Nobody was busy in that time.
        self.ke.patience.begin(self.time_100ns());
        if self.time_100ns() > before {
            self.ke.polls.something_happens();
        }
        passed
    }

    /// A processor spins and nothing can end that.
    fn stuck(&self, processor: ProcessorId, spin: Spin) {
        self.set_current_processor(processor);
        match spin {
            Spin::Lock(lock) | Spin::QueuedLock(lock) => {
                let _ = self.deadlock(lock);
            }
            Spin::ReaderWriter(lock, _) => self.reader_writer_deadlock(lock),
            Spin::CallDpcDone(_) => self.stuck_in(
                "KeGenericCallDpc waits for a DPC routine that does not call KeSignalCallDpcDone",
            ),
            Spin::CallDpcBarrier(..) => self.stuck_in(
                "KeSignalCallDpcSynchronize waits for a processor whose DPC routine does not call it",
            ),
            Spin::Unwanted(_) => self.stuck_in(
                "disconnecting waits for a processor that wants to call the ISR and never does",
            ),
            Spin::Dpcs(_) => self.stuck_in("KeFlushQueuedDpcs waits for a DPC that never ends"),
            Spin::Gather => self.stuck_in(
                "KeIpiGenericCall waits for a processor that is at or above IPI_LEVEL, or has its interrupts off",
            ),
            Spin::Disperse(_) => {
                self.stuck_in("KeIpiGenericCall waits for a processor that does not end its part");
            }
        }
    }

    fn stuck_in(&self, message: &str) {
        let _ = self.find_fatal(ids::DEADLOCK, String::from(message), None);
    }

    /// The next processor that has something to do: the current one if it has, unless it gave
    /// its turn away; then the others in order.
    fn next_processor(&self) -> Option<ProcessorId> {
        let count = self.processors().len();
        let current = usize::from(self.ke.current.get());
        let first = (current + usize::from(self.ke.give_turn.take())) % count;
        let next = self
            .first_runnable(first..count)
            .or_else(|| self.first_runnable(0..first));
        debug_assert!(
            next.is_some()
                || !self
                    .processors()
                    .iter()
                    .any(|other| self.is_runnable(other)),
            "a processor sleeps that has something to do"
        );
        next
    }

    /// The first of these processors that has something to do. Those that have nothing to do sleep
    /// from now on.
    pub(super) fn first_runnable(&self, processors: Range<usize>) -> Option<ProcessorId> {
        let mut next = self.first_awake(processors.clone());
        while let Some(processor) = next {
            if self.is_runnable(processor) {
                return Some(processor.id);
            }
            self.let_sleep(processor);
            next = self.first_awake(usize::from(processor.id.0) + 1..processors.end);
        }
        None
    }

    /// Whether all processors but the current one are known to sleep; not asked of more than 64.
    #[inline]
    pub(super) fn others_sleep(&self) -> bool {
        let count = self.processors().len();
        if count > 64 {
            return false;
        }
        let [asleep, ..] = &self.ke.asleep;
        let or_current = asleep.get() | 1 << self.processor().id.0;
        or_current == u64::MAX >> (64 - count)
    }

    /// The first of these processors that does not sleep; the others are passed over, 64 at a
    /// time.
    #[inline]
    fn first_awake(&self, processors: Range<usize>) -> Option<&Processor> {
        let mut index = processors.start;
        while index < processors.end {
            let awake = !self.ke.asleep[index / 64].get() >> (index % 64);
            if awake != 0 {
                index += awake.trailing_zeros() as usize;
                return self
                    .processors()
                    .get(index)
                    .filter(|_| index < processors.end);
            }
            index = (index / 64 + 1) * 64;
        }
        None
    }

    /// The first processor that waits for another one; none of those sleeps.
    fn first_spin(&self) -> Option<(ProcessorId, Spin)> {
        let count = self.processors().len();
        let mut next = self.first_awake(0..count);
        while let Some(processor) = next {
            if let Some(spin) = processor.spin.get() {
                return Some((processor.id, spin));
            }
            next = self.first_awake(usize::from(processor.id.0) + 1..count);
        }
        None
    }

    /// A processor that idles and has nothing to do is not looked at again before somebody wakes
    /// it. One with a thread, or one that waits for another, can get something to do by itself.
    fn let_sleep(&self, processor: &Processor) {
        let idles = processor.thread.get().is_none() && processor.context.get() == Context::Idle;
        if idles && processor.spin.get().is_none() {
            let (group, bit) = (processor.id.group(), processor.id.number());
            let asleep = &self.ke.asleep[usize::from(group)];
            asleep.set(asleep.get() | 1 << bit);
        }
    }

    /// A processor may have something to do: an interrupt, a DPC.
    #[inline]
    pub(crate) fn wake(&self, id: ProcessorId) {
        if let Some(asleep) = self.ke.asleep.get(usize::from(id.group())) {
            asleep.set(asleep.get() & !(1 << id.number()));
        }
    }

    /// Any processor may have something to do: a thread is ready.
    pub(crate) fn wake_all(&self) {
        for asleep in &self.ke.asleep {
            asleep.set(0);
        }
    }

    /// Whether a processor would do anything with a turn.
    pub(crate) fn is_runnable(&self, processor: &Processor) -> bool {
        if processor.can_take_interrupt() || self.may_reschedule(processor) {
            return true;
        }
        match processor.spin.get() {
            Some(spin) => self.spin_is_over(spin, processor.id),
            None => {
                processor.thread.get().is_some()
                    || processor.context.get() != Context::Idle
                    || !processor.dpc_queue.borrow().is_empty()
                    || self.thread_is_ready_for(processor)
            }
        }
    }

    fn may_reschedule(&self, processor: &Processor) -> bool {
        processor.asked.get() & asked::RESCHEDULE != 0
            && processor.irql.get() < Irql::DISPATCH
            && processor.thread.get().is_some()
    }

    fn is_wanted_by_others(&self, lock: u64, processor: ProcessorId) -> bool {
        self.processors()
            .iter()
            .any(|other| other.id != processor && other.spin.get() == Some(Spin::Lock(lock)))
    }

    /// Waits until no other processor waits for a lock, whose memory may be gone after that.
    pub(crate) fn wait_until_unwanted(&self, lock: u64) -> Ddi<()> {
        while self.is_wanted_by_others(lock, self.processor().id) {
            self.spin(Spin::Unwanted(lock))?;
        }
        Ok(())
    }

    fn spin_is_over(&self, spin: Spin, processor: ProcessorId) -> bool {
        match spin {
            Spin::Lock(lock) => self
                .read(crate::DriverPtr::<u64>::new(lock))
                .is_ok_and(|word| word & 1 == 0),
            Spin::QueuedLock(lock) => self.is_next_for_lock(lock, processor),
            Spin::ReaderWriter(lock, writes) => self.reader_writer_is_free(lock, writes),
            Spin::CallDpcDone(count) => self.call_dpc_is_done(count),
            Spin::CallDpcBarrier(barrier, passed) => self.barrier_is_passed(barrier, passed),
            Spin::Unwanted(lock) => !self.is_wanted_by_others(lock, processor),
            Spin::Dpcs(before) => !self.dpcs_busy(before),
            Spin::Gather => self.ipi_has_gathered(),
            Spin::Disperse(number) => self.ipi_is_over(number),
        }
    }

    /// Gives up the processor's turn; returns when it has one again. `away` asks for another
    /// processor to be looked at first.
    pub(crate) fn hand_over(&self, away: bool) {
        let me = self.processor().id;
        let ddi = self.report.suspend_ddi();
        self.ke.give_turn.set(away);
        self.platform().suspend();
        self.touch_kernel();
        self.report.resume_ddi(ddi);
        debug_assert!(
            self.has_ended() || self.irql() < Irql::DISPATCH || self.processor().id == me
        );
    }

    /// Waits for another processor, taking interrupts meanwhile. Returns when the wait may be
    /// over.
    pub(crate) fn spin(&self, spin: Spin) -> Ddi<()> {
        self.take_pending()?;
        if self.spin_is_over(spin, self.processor().id) {
            return Ok(());
        }
        self.processor().spin.set(Some(spin));
        self.note_wait(true);
        self.hand_over(true);
        self.note_wait(false);
        self.processor().spin.set(None);
        if self.has_ended() {
            return Err(Stop::Ended);
        }
        self.take_pending()
    }

    /// The idle loop of a processor: takes interrupts, and picks up threads that are ready.
    fn idle_loop(&self) {
        loop {
            // Another one than before, perhaps.
            let processor = self.processor();
            processor.rests.set(false);
            processor.context.set(Context::Idle);
            if !processor.dpc_queue.borrow().is_empty() {
                self.request_vector(processor.id, vectors::DPC, Trigger::Edge);
            }
            if let Err(stop) = self.take_pending() {
                self.end_with(&stop);
                return;
            }
            self.touch_kernel();
            match self.take_ready_thread() {
                Some(thread) => self.run_thread(thread),
                None => self.ke.give_turn.set(true),
            }
            processor.rests.set(true);
            self.ke.idled_last.set(processor.id.0);
            if !self.next_idles_here() {
                self.platform().suspend();
            }
            if self.has_ended() {
                return;
            }
        }
    }

    /// Begins the turn of the next processor if that one is in its idle loop, too, and nobody wants
    /// to be asked between the two: the loop that gives out turns would do just that, at the price
    /// of leaving the strand and coming back to it.
    fn next_idles_here(&self) -> bool {
        let is_alone = self.ke.nobody_asks.get() && !self.is_exploring() && !self.has_ended();
        if !is_alone || self.processor().thread.get().is_some() {
            return false;
        }
        let away = self.ke.give_turn.get();
        let next = self.next_processor();
        let Some(next) = next.and_then(|id| self.processor_by_id(id)) else {
            return false;
        };
        if !next.rests.get() || next.thread.get().is_some() {
            self.ke.give_turn.set(away);
            return false;
        }
        self.set_current_processor(next.id);
        self.take_warm_strand();
        true
    }

    /// A processor that is about to leave its idle loop does so on the strand that came to rest
    /// last, and the two processors change theirs. One idle strand at rest is as good as another, and
    /// this one's stack is in the cache.
    #[inline]
    fn take_warm_strand(&self) {
        let processor = self.processor();
        if !processor.rests.get() || processor.thread.get().is_some() {
            return;
        }
        let last = self.ke.idled_last.get();
        if last == processor.id.0 {
            return;
        }
        let Some(last) = self.processor_by_id(ProcessorId(last)) else {
            return;
        };
        if last.rests.get() {
            processor.idle.swap(&last.idle);
            processor.strand.set(processor.idle.get());
            if last.thread.get().is_none() {
                last.strand.set(last.idle.get());
            }
        }
    }

    /// The current processor goes on with `thread` when it is resumed.
    pub(crate) fn run_thread(&self, thread: ThreadId) {
        let processor = self.processor();
        processor.thread.set(Some(thread));
        processor.strand.set(self.strand_of(thread));
        processor.context.set(Context::Thread(thread.0));
        processor.take_asked(asked::RESCHEDULE | asked::APC);
        self.look_for_apcs(thread);
        self.thread_runs_on(thread, processor.id);
        if self.report.is_recording() {
            self.event(Event::ThreadSwitch(Some(thread.0)));
        }
    }

    /// The current thread stops running; the processor goes on with the next one or idles.
    /// Returns when the thread runs again.
    pub(crate) fn switch_away(&self) {
        self.sleep_after(Kernel::leave_thread);
    }

    /// As [`Kernel::switch_away`], to `next`, which is on no list any more.
    pub(crate) fn switch_to(&self, next: ThreadId) {
        self.sleep_after(|kernel| {
            kernel.set_irql(Irql::PASSIVE);
            kernel.run_thread(next);
        });
    }

    /// Has the processor `leave` the current thread; returns when that runs again, at its own level.
    #[inline]
    fn sleep_after(&self, leave: impl FnOnce(&Self)) {
        let (context, irql) = (self.context(), self.irql());
        leave(self);
        self.hand_over(false);
        self.processor().context.set(context);
        self.set_irql(irql);
    }

    /// As [`Kernel::switch_away`], without coming back. An IRQL of APC_LEVEL belongs to the
    /// thread that leaves, not to the processor.
    pub(crate) fn leave_thread(&self) {
        self.set_irql(Irql::PASSIVE);
        match self.take_ready_thread() {
            Some(next) => {
                self.run_thread(next);
                self.ke.switched.set(true);
            }
            None => {
                let processor = self.processor();
                processor.thread.set(None);
                processor.strand.set(processor.idle.get());
                processor.context.set(Context::Idle);
                if self.report.is_recording() {
                    self.event(Event::ThreadSwitch(None));
                }
            }
        }
    }

    /// What a strand runs when it is first resumed.
    pub fn strand_main(&self, strand: StrandId) {
        if (strand.0 as usize) < self.processors().len() {
            self.idle_loop();
            return;
        }
        match self.thread_main(strand) {
            Ok(()) | Err(Stop::Ended) => {}
            Err(stop) => self.end_with(&stop),
        }
    }
}
