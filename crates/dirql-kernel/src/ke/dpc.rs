//! Deferred procedure calls.
//!
//! The KDPC lives in the driver's memory; which processor's queue it is on is kept here.
//!
//! Choices, where pages say nothing or differ:
//! - a DPC without a target goes to the current processor ("Organization of DPC Queues");
//!   "Using Spin Locks: An Example" says to the first free one, which is a [`Reading`];
//! - the limits of queue depth and request rate, which no page numbers, are [`MOST_WAITING`]
//!   and [`LOW_RATE`];
//! - a DPC that is not to be run at once is run when its processor runs DPCs for another
//!   reason, becomes idle, or has run something else for a turn.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use dirql_abi::bugcheck::code;
use dirql_abi::dispatcher::kernel_object_type;
use dirql_abi::dpc::{KDpc, importance};
use dirql_abi::processor::ProcessorNumber;
use dirql_abi::{Irql, NtStatus};
use dirql_chips::Trigger;
use dirql_rules::{BugCheck, Context, Place, ids};

use crate::at;
use crate::ke::ProcessorId;
use crate::ke::processor::{Processor, Spin, vectors};
use crate::ke::thread::ThreadId;
use crate::readings::Reading;
use crate::stop::Ddi;
use crate::{DriverPtr, Event, Kernel};

/// `Number` of a KDPC holds this plus the processor once a target was set.
/// Source: ntddk.h of public kits (MAXIMUM_PROCESSORS offset), as drivers see it.
const TARGET_SET: u16 = 0x800;

/// DPCs that may wait on a queue without being asked to be run: `KiMaximumDpcQueueDepth`.
const MOST_WAITING: usize = 4;

/// DPCs in a millisecond up to which those of low importance are run at once:
/// `KiMinimumDpcRate`.
const LOW_RATE: u32 = 3;

/// A millisecond in 100 ns units.
const MILLISECOND: u64 = 10_000;

/// A DPC on a queue.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(super) target: ProcessorId,
    pub(crate) place: Place,
    /// Counts insertions.
    number: u64,
    threaded: bool,
    /// A DPC routine queued it, to the processor that it runs on.
    by_dpc: bool,
}

/// A DPC whose routine runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) dpc: u64,
    pub(super) routine: u64,
    number: u64,
    /// Virtual time at its start.
    pub(super) since: u64,
}

#[derive(Default)]
pub(crate) struct Dpcs {
    queued: RefCell<BTreeMap<u64, Queued>>,
    insertions: Cell<u64>,
    /// The DPC that was asked to be removed last and was not queued, and where.
    refused: RefCell<Option<(u64, Place)>>,
    /// Threaded DPCs are ordinary ones.
    pub(super) no_threads: Cell<bool>,
}

/// What a processor knows about its DPCs, beside the queue of the ordinary ones.
#[derive(Default)]
pub(crate) struct DpcState {
    pub(super) running: Cell<Option<Running>>,
    /// Virtual time at which the processor began to run its queue.
    pub(super) run_since: Cell<u64>,
    /// A millisecond of virtual time, and the DPCs that were queued in it.
    recent: Cell<(u64, u32)>,
    /// Threaded DPCs that wait, by address.
    pub(super) threaded: RefCell<VecDeque<u64>>,
    pub(super) running_threaded: Cell<Option<Running>>,
    /// The thread that runs them and the event it waits for.
    pub(super) worker: Cell<Option<(ThreadId, u64)>>,
}

impl DpcState {
    /// Counts an insertion, and returns how many there were in this millisecond.
    fn count(&self, now_100ns: u64) -> u32 {
        let this = now_100ns / MILLISECOND;
        let (last, count) = self.recent.get();
        let count = if last == this {
            count.saturating_add(1)
        } else {
            1
        };
        self.recent.set((this, count));
        count
    }
}

impl Kernel {
    /// `VOID KeInitializeDpc(PRKDPC, PKDEFERRED_ROUTINE, PVOID)`
    ///
    /// - IRQL: any.
    /// - Findings: DQ0140 it is queued.
    /// - Source: WDK reference, wdm.KeInitializeDpc.
    pub fn ke_initialize_dpc(&self, dpc: DriverPtr<KDpc>, routine: u64, context: u64) -> Ddi<()> {
        self.initialize_dpc(dpc, kernel_object_type::DpcObject, routine, context)
    }

    /// `VOID KeInitializeThreadedDpc(PRKDPC, PKDEFERRED_ROUTINE, PVOID)`: as
    /// [`Kernel::ke_initialize_dpc`], for a DPC that a thread runs at PASSIVE_LEVEL.
    pub fn ke_initialize_threaded_dpc(
        &self,
        dpc: DriverPtr<KDpc>,
        routine: u64,
        context: u64,
    ) -> Ddi<()> {
        self.initialize_dpc(dpc, kernel_object_type::ThreadedDpcObject, routine, context)
    }

    fn initialize_dpc(
        &self,
        dpc: DriverPtr<KDpc>,
        kind: u8,
        routine: u64,
        context: u64,
    ) -> Ddi<()> {
        if let Some(queued) = self.queued_dpc(dpc.address()) {
            self.find(
                ids::DPC_LEFT_QUEUED,
                String::from("a DPC object was initialised while it was queued"),
                Some((String::from("it was queued here"), queued.place)),
            )?;
            self.unqueue(dpc.address());
        }
        self.check_resident(dpc.address(), "the DPC")?;
        // The list entry and the arguments stay as they are until it is queued.
        self.write(at!(dpc, KDpc, type_), kind)?;
        self.write(at!(dpc, KDpc, importance), importance::MediumImportance)?;
        self.write(at!(dpc, KDpc, number), 0)?;
        self.write(at!(dpc, KDpc, deferred_routine), routine)?;
        self.write(at!(dpc, KDpc, deferred_context), context)?;
        Ok(self.write(at!(dpc, KDpc, dpc_data), 0)?)
    }

    /// `BOOLEAN KeInsertQueueDpc(PRKDPC, PVOID, PVOID)`
    ///
    /// - IRQL: any.
    /// - Returns: FALSE if it was queued already; the new arguments are dropped then.
    /// - Findings: DQ0142 not initialised; DQ0143 arguments dropped that differ.
    /// - Yields: the DPC runs when its processor falls below DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.KeInsertQueueDpc; Organization of DPC Queues.
    pub fn ke_insert_queue_dpc(
        &self,
        dpc: DriverPtr<KDpc>,
        argument1: u64,
        argument2: u64,
    ) -> Ddi<u8> {
        let image = self.read(dpc)?;
        if let Some(queued) = self.queued_dpc(dpc.address()) {
            if (image.system_argument1, image.system_argument2) != (argument1, argument2) {
                self.arguments_dropped(queued.place)?;
            }
            return Ok(0);
        }
        let is_threaded = image.type_ == kernel_object_type::ThreadedDpcObject;
        if !is_threaded && image.type_ != kernel_object_type::DpcObject {
            return Err(self.not_a_dpc(image.type_));
        }
        let threaded = is_threaded && !self.ke.dpcs.no_threads.get();
        let free = self.free_processor();
        let target = match image.number.checked_sub(TARGET_SET) {
            Some(number) if usize::from(number) < self.processors().len() => ProcessorId(number),
            _ => free.unwrap_or(self.processor().id),
        };
        let Some(processor) = self.processor_by_id(target) else {
            return Ok(0);
        };
        self.write(at!(dpc, KDpc, system_argument1), argument1)?;
        self.write(at!(dpc, KDpc, system_argument2), argument2)?;
        self.write(at!(dpc, KDpc, dpc_data), self.processor_kprcb(target))?;
        let dpcs = &self.ke.dpcs;
        let number = dpcs.insertions.get();
        dpcs.insertions.set(number + 1);
        let queued = Queued {
            target,
            place: self.here(),
            number,
            threaded,
            by_dpc: self.processor().context.get() == Context::Dpc && target == self.processor().id,
        };
        dpcs.queued.borrow_mut().insert(dpc.address(), queued);
        if self.report.is_recording() {
            self.event(Event::DpcQueued {
                dpc: dpc.address(),
                target: target.0,
            });
        }
        let queue = if threaded {
            &processor.dpc.threaded
        } else {
            &processor.dpc_queue
        };
        if image.importance == importance::HighImportance {
            queue.borrow_mut().push_front(dpc.address());
        } else {
            queue.borrow_mut().push_back(dpc.address());
        }
        self.wake(target);
        if threaded {
            self.wake_dpc_worker(processor)?;
        } else if self.is_to_run_at_once(processor, image.importance) || free == Some(target) {
            self.request_vector(target, vectors::DPC, Trigger::Edge);
        }
        Ok(1)
    }

    /// Where a DPC without a target goes by the other reading: the first processor that runs
    /// nothing.
    fn free_processor(&self) -> Option<ProcessorId> {
        if !self.config().readings.has(Reading::DpcToFirstFree) {
            return None;
        }
        let is_free = |processor: &&Processor| {
            processor.thread.get().is_none() && processor.irql.get() < Irql::DISPATCH
        };
        let free = self.processors().iter().find(is_free);
        free.map(|processor| processor.id)
    }

    /// Source: WDK, "Organization of DPC Queues", its table.
    fn is_to_run_at_once(&self, target: &Processor, importance: u8) -> bool {
        let rate = target.dpc.count(self.time_100ns());
        let is_deep = target.dpc_queue.borrow().len() > MOST_WAITING;
        let is_here = target.id == self.processor().id;
        match importance {
            importance::HighImportance | importance::MediumHighImportance => true,
            importance::LowImportance => is_deep || is_here && rate <= LOW_RATE,
            _ => is_here || is_deep,
        }
    }

    #[cold]
    fn arguments_dropped(&self, queued: Place) -> Ddi<()> {
        self.find(
            ids::DPC_ARGUMENTS_DROPPED,
            String::from("KeInsertQueueDpc returned FALSE and dropped arguments that differ from those that wait"),
            Some((String::from("it was queued here"), queued)),
        )
    }

    #[cold]
    fn not_a_dpc(&self, kind: u8) -> crate::Stop {
        let message =
            format!("what is queued as a DPC has the type {kind}; KeInitializeDpc sets 19");
        self.refuse(ids::DPC_NOT_INITIALIZED, message, None)
    }

    /// `BOOLEAN KeRemoveQueueDpc(PRKDPC)`
    ///
    /// - IRQL: any.
    /// - Returns: TRUE if it was on a queue. FALSE does not mean that its routine has ended.
    /// - Source: WDK reference, wdm.KeRemoveQueueDpc.
    pub fn ke_remove_queue_dpc(&self, dpc: DriverPtr<KDpc>) -> Ddi<u8> {
        let removed = self.unqueue(dpc.address());
        if removed {
            self.write(at!(dpc, KDpc, dpc_data), 0)?;
        } else {
            let refused = (dpc.address(), self.here());
            *self.ke.dpcs.refused.borrow_mut() = Some(refused);
        }
        Ok(u8::from(removed))
    }

    /// `VOID KeFlushQueuedDpcs(VOID)`
    ///
    /// Returns when every DPC that was queued before the call has run, on all processors.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: DQ0111 called by a DPC, which it would wait for.
    /// - Yields: until those DPCs have run.
    /// - Source: WDK reference, wdm.KeFlushQueuedDpcs.
    pub fn ke_flush_queued_dpcs(&self) -> Ddi<()> {
        if self.runs_threaded_dpc() || self.processor().dpc.running.get().is_some() {
            let message =
                String::from("KeFlushQueuedDpcs was called by a DPC routine and waits for it");
            return Err(self.find_fatal(ids::DEADLOCK, message, None));
        }
        let before = self.ke.dpcs.insertions.get();
        for processor in self.processors() {
            if !processor.dpc_queue.borrow().is_empty() {
                self.request_vector(processor.id, vectors::DPC, Trigger::Edge);
            }
        }
        self.take_pending()?;
        while self.dpcs_busy(before) {
            self.spin(Spin::Dpcs(before))?;
        }
        Ok(())
    }

    /// `VOID KeSetImportanceDpc(PRKDPC, KDPC_IMPORTANCE)`. Values above MediumHigh are ignored.
    ///
    /// - IRQL: any, before the DPC is queued.
    /// - Findings: DQ0144 it is queued.
    /// - Source: WDK reference, wdm.KeSetImportanceDpc.
    pub fn ke_set_importance_dpc(&self, dpc: DriverPtr<KDpc>, value: u32) -> Ddi<()> {
        self.check_not_queued(dpc, "KeSetImportanceDpc")?;
        if value <= u32::from(importance::MediumHighImportance) {
            self.write(at!(dpc, KDpc, importance), value as u8)?;
        }
        Ok(())
    }

    /// `VOID KeSetTargetProcessorDpc(PRKDPC, CCHAR Number)`
    ///
    /// A number at or above the count of group 0 leaves the target unchanged (Windows 7; WDK
    /// reference, wdm.KeSetTargetProcessorDpc). Findings: DQ0144 it is queued.
    pub fn ke_set_target_processor_dpc(&self, dpc: DriverPtr<KDpc>, number: u8) -> Ddi<()> {
        self.check_not_queued(dpc, "KeSetTargetProcessorDpc")?;
        if u32::from(number) < self.processors_in_group(0) {
            self.write(at!(dpc, KDpc, number), TARGET_SET + u16::from(number))?;
        }
        Ok(())
    }

    /// `NTSTATUS KeSetTargetProcessorDpcEx(PKDPC, PPROCESSOR_NUMBER)`
    ///
    /// - Returns: STATUS_INVALID_PARAMETER for a processor that does not exist.
    /// - Findings: DQ0144 it is queued.
    /// - Source: WDK reference, wdm.KeSetTargetProcessorDpcEx.
    pub fn ke_set_target_processor_dpc_ex(
        &self,
        dpc: DriverPtr<KDpc>,
        number: DriverPtr<ProcessorNumber>,
    ) -> Ddi<NtStatus> {
        let number = self.read(number)?;
        let exists = u32::from(number.number) < self.processors_in_group(number.group);
        if !exists || number.reserved != 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        self.check_not_queued(dpc, "KeSetTargetProcessorDpcEx")?;
        let index = number.group * 64 + u16::from(number.number);
        self.set_dpc_target(dpc, ProcessorId(index))?;
        Ok(NtStatus::SUCCESS)
    }

    /// From now on the DPC is queued to this processor.
    pub(super) fn set_dpc_target(&self, dpc: DriverPtr<KDpc>, target: ProcessorId) -> Ddi<()> {
        Ok(self.write(at!(dpc, KDpc, number), TARGET_SET + target.0)?)
    }

    fn check_not_queued(&self, dpc: DriverPtr<KDpc>, routine: &str) -> Ddi<()> {
        let Some(queued) = self.queued_dpc(dpc.address()) else {
            return Ok(());
        };
        self.find(
            ids::DPC_CHANGED_WHILE_QUEUED,
            format!("{routine} was called for a DPC that is queued, and changes only its next run"),
            Some((String::from("it was queued here"), queued.place)),
        )
    }

    /// `LOGICAL KeIsExecutingDpc(VOID)`: whether this processor runs a DPC routine.
    pub fn ke_is_executing_dpc(&self) -> Ddi<u32> {
        Ok(u32::from(self.processor().dpc.running.get().is_some()))
    }

    /// Runs this processor's queue until it is empty. At DISPATCH_LEVEL.
    pub(crate) fn run_dpcs(&self) -> Ddi<()> {
        self.touch_kernel();
        self.processor().dpc.run_since.set(self.busy_time_100ns());
        loop {
            let next = self.processor().dpc_queue.borrow_mut().pop_front();
            let Some(address) = next else { return Ok(()) };
            let Some((running, image)) = self.begin_dpc(address)? else {
                continue;
            };
            self.processor().dpc.running.set(Some(running));
            self.run_dpc_routine(address, &image, Irql::DISPATCH)?;
            self.processor().dpc.running.set(None);
            self.yield_point()?;
        }
    }

    /// Takes a DPC off the books. The object is off its queue when its routine starts, so the
    /// routine may queue it again.
    pub(super) fn begin_dpc(&self, address: u64) -> Ddi<Option<(Running, KDpc)>> {
        let Some(queued) = self.ke.dpcs.queued.borrow_mut().remove(&address) else {
            return Ok(None);
        };
        let dpc = DriverPtr::<KDpc>::new(address);
        let image = self
            .read(dpc)
            .and_then(|image| self.write(at!(dpc, KDpc, dpc_data), 0).map(|()| image));
        let Ok(image) = image else {
            return Err(self.find_fatal(
                ids::DPC_LEFT_QUEUED,
                format!("the memory of a DPC is gone when its routine is to run: {address:#x}"),
                Some((String::from("it was queued here"), queued.place)),
            ));
        };
        // A DPC that a DPC queues belongs to the same stretch: the processor did nothing else in between.
        if !queued.by_dpc {
            self.stretch_begins();
        }
        let routine = image.deferred_routine;
        let running = Running {
            dpc: address,
            routine,
            number: queued.number,
            since: self.busy_time_100ns(),
        };
        Ok(Some((running, image)))
    }

    /// Calls a DPC's routine, which must return at the level at which it was called.
    pub(super) fn run_dpc_routine(&self, address: u64, image: &KDpc, expected: Irql) -> Ddi<()> {
        let routine = image.deferred_routine;
        let outer = self.processor().context.replace(Context::Dpc);
        if self.report.is_recording() {
            self.event(Event::DpcEnter {
                dpc: address,
                routine,
            });
        }
        if routine == 0 {
            return Err(self.call_of_nothing());
        }
        let arguments = [
            address,
            image.deferred_context,
            image.system_argument1,
            image.system_argument2,
        ];
        self.touch_driver();
        self.platform().call(routine, &arguments);
        if self.report.is_recording() {
            self.event(Event::DpcLeave { dpc: address });
        }
        self.check_interrupt_flag("the DPC routine", routine)?;
        let level = self.irql();
        if level != expected {
            self.find_at(
                ids::DPC_IRQL,
                format!("the DPC routine was called at {expected} and returned at {level}"),
                self.here_at(routine),
                self.raised_here(),
            )?;
            let levels = u64::from(level.0) << 16 | u64::from(expected.0) << 8 | 2;
            let parameters = [levels, routine, address, 0];
            let bug_check = BugCheck::new(code::IRQL_UNEXPECTED_VALUE, parameters);
            return Err(self.stop_system(bug_check));
        }
        self.processor().context.set(outer);
        Ok(())
    }

    /// What is known about a DPC that is queued.
    pub(crate) fn queued_dpc(&self, dpc: u64) -> Option<Queued> {
        self.ke.dpcs.queued.borrow().get(&dpc).cloned()
    }

    /// DPC objects that are queued and lie in, or lead into, this range of addresses.
    pub(crate) fn queued_dpcs_in(&self, range: &Range<u64>) -> Vec<(u64, Queued)> {
        let queued = self.ke.dpcs.queued.borrow();
        queued
            .iter()
            .filter(|(address, _)| {
                let routine = self.read(at!(
                    DriverPtr::<KDpc>::new(**address),
                    KDpc,
                    deferred_routine
                ));
                range.contains(address) || routine.is_ok_and(|routine| range.contains(&routine))
            })
            .map(|(address, queued)| (*address, queued.clone()))
            .collect()
    }

    /// The processors that run a DPC routine whose object or code lies in this range.
    pub(crate) fn dpcs_running_in(&self, range: &Range<u64>) -> Vec<ProcessorId> {
        let is_there = |running: Option<Running>| {
            running.is_some_and(|running| {
                range.contains(&running.dpc) || range.contains(&running.routine)
            })
        };
        self.processors()
            .iter()
            .filter(|processor| {
                is_there(processor.dpc.running.get())
                    || is_there(processor.dpc.running_threaded.get())
            })
            .map(|processor| processor.id)
            .collect()
    }

    /// A DPC object in this range whose routine runs on another processor although somebody was told,
    /// by KeRemoveQueueDpc, that it is not queued; and where.
    pub(crate) fn dpc_taken_for_done_in(&self, range: &Range<u64>) -> Option<(u64, Place)> {
        let (dpc, place) = self.ke.dpcs.refused.borrow().clone()?;
        let me = self.processor().id;
        let runs = range.contains(&dpc)
            && self.processors().iter().any(|other| {
                let running = other.dpc.running.get();
                other.id != me && running.is_some_and(|running| running.dpc == dpc)
            });
        runs.then_some((dpc, place))
    }

    fn unqueue(&self, dpc: u64) -> bool {
        let Some(queued) = self.ke.dpcs.queued.borrow_mut().remove(&dpc) else {
            return false;
        };
        if let Some(processor) = self.processor_by_id(queued.target) {
            let queue = if queued.threaded {
                &processor.dpc.threaded
            } else {
                &processor.dpc_queue
            };
            queue.borrow_mut().retain(|address| *address != dpc);
        }
        true
    }

    /// Whether a DPC that was the `before`th or an earlier one to be queued is still queued or
    /// runs.
    pub(crate) fn dpcs_busy(&self, before: u64) -> bool {
        let runs =
            |running: Option<Running>| running.is_some_and(|running| running.number < before);
        self.processors().iter().any(|processor| {
            runs(processor.dpc.running.get()) || runs(processor.dpc.running_threaded.get())
        }) || self
            .ke
            .dpcs
            .queued
            .borrow()
            .values()
            .any(|queued| queued.number < before)
    }
}
