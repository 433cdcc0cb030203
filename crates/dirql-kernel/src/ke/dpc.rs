//! Deferred procedure calls.
//!
//! The KDPC lives in the driver's memory; which processor's queue it is on is kept here.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::{Irql, NtStatus};
use dirql_abi::bugcheck::code;
use dirql_abi::dispatcher::kernel_object_type;
use dirql_abi::dpc::{KDpc, importance};
use dirql_abi::processor::ProcessorNumber;
use dirql_chips::Trigger;
use dirql_rules::{BugCheck, Context, Place, ids};
use zerocopy::FromZeros;

use crate::at;
use crate::ke::ProcessorId;
use crate::ke::processor::{Spin, vectors};
use crate::stop::Ddi;
use crate::{DriverPtr, Event, Kernel};

/// `Number` of a KDPC holds this plus the processor once a target was set.
/// Source: ntddk.h of public kits (MAXIMUM_PROCESSORS offset), as drivers see it.
const TARGET_SET: u16 = 0x800;

/// A DPC on a queue.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) target: ProcessorId,
    pub(crate) place: Place,
}

#[derive(Default)]
pub(crate) struct Dpcs {
    queued: RefCell<BTreeMap<u64, Queued>>,
}

impl Kernel {
    /// `VOID KeInitializeDpc(PRKDPC, PKDEFERRED_ROUTINE, PVOID)`
    ///
    /// Any IRQL. The object must not be queued. Source: WDK reference, wdm.KeInitializeDpc.
    pub fn ke_initialize_dpc(&self, dpc: DriverPtr<KDpc>, routine: u64, context: u64) -> Ddi<()> {
        self.initialize_dpc(dpc, kernel_object_type::DpcObject, routine, context)
    }

    /// `VOID KeInitializeThreadedDpc(PRKDPC, PKDEFERRED_ROUTINE, PVOID)`
    pub fn ke_initialize_threaded_dpc(&self, dpc: DriverPtr<KDpc>, routine: u64, context: u64) -> Ddi<()> {
        self.initialize_dpc(dpc, kernel_object_type::ThreadedDpcObject, routine, context)
    }

    fn initialize_dpc(&self, dpc: DriverPtr<KDpc>, kind: u8, routine: u64, context: u64) -> Ddi<()> {
        if let Some(queued) = self.queued_dpc(dpc.address()) {
            self.find(
                ids::DPC_LEFT_QUEUED,
                String::from("a DPC object was initialised while it was queued"),
                Some((String::from("it was queued here"), queued.place)),
            )?;
            self.unqueue(dpc.address());
        }
        let mut image = KDpc::new_zeroed();
        image.type_ = kind;
        image.importance = importance::MediumImportance;
        image.deferred_routine = routine;
        image.deferred_context = context;
        Ok(self.write(dpc, image)?)
    }

    /// `BOOLEAN KeInsertQueueDpc(PRKDPC, PVOID, PVOID)`
    ///
    /// - IRQL: any.
    /// - Returns: FALSE if it was queued already; the new arguments are dropped then.
    /// - Yields: the DPC runs when its processor falls below DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.KeInsertQueueDpc; Organization of DPC Queues.
    pub fn ke_insert_queue_dpc(&self, dpc: DriverPtr<KDpc>, argument1: u64, argument2: u64) -> Ddi<u8> {
        let image = self.read(dpc)?;
        if self.queued_dpc(dpc.address()).is_some() {
            return Ok(0);
        }
        // With no target set the DPC goes to the current processor ("Organization of DPC
        // Queues"); another page says the first free one. The former is what Windows does.
        let target = match image.number.checked_sub(TARGET_SET) {
            Some(number) if number < self.config().processors => ProcessorId(number),
            _ => self.processor().id,
        };
        self.write(at!(dpc, KDpc, system_argument1), argument1)?;
        self.write(at!(dpc, KDpc, system_argument2), argument2)?;
        self.write(at!(dpc, KDpc, dpc_data), self.processor_kprcb(target))?;
        self.ke.dpcs.queued.borrow_mut().insert(dpc.address(), Queued { target, place: self.here() });
        let Some(processor) = self.processor_by_id(target) else { return Ok(0) };
        if image.importance == importance::HighImportance {
            processor.dpc_queue.borrow_mut().push_front(dpc.address());
        } else {
            processor.dpc_queue.borrow_mut().push_back(dpc.address());
        }
        if self.report.is_recording() {
            self.event(Event::DpcQueued { dpc: dpc.address(), target: target.0 });
        }
        self.request_vector(target, vectors::DPC, Trigger::Edge);
        Ok(1)
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
        }
        Ok(u8::from(removed))
    }

    /// `VOID KeFlushQueuedDpcs(VOID)`
    ///
    /// Returns when every DPC that was queued before the call has run, on all processors.
    /// - IRQL: PASSIVE_LEVEL.
    /// - Yields: until the other processors' queues are empty.
    /// - Source: WDK reference, wdm.KeFlushQueuedDpcs.
    pub fn ke_flush_queued_dpcs(&self) -> Ddi<()> {
        self.take_pending()?;
        while self.dpcs_busy() {
            self.spin(Spin::Dpcs)?;
        }
        Ok(())
    }

    /// `VOID KeSetImportanceDpc(PRKDPC, KDPC_IMPORTANCE)`. Values above MediumHigh are ignored.
    pub fn ke_set_importance_dpc(&self, dpc: DriverPtr<KDpc>, value: u32) -> Ddi<()> {
        if value <= u32::from(importance::MediumHighImportance) {
            self.write(at!(dpc, KDpc, importance), value as u8)?;
        }
        Ok(())
    }

    /// `VOID KeSetTargetProcessorDpc(PRKDPC, CCHAR Number)`
    ///
    /// A number at or above the count of group 0 leaves the target unchanged (Windows 7; WDK
    /// reference, wdm.KeSetTargetProcessorDpc).
    pub fn ke_set_target_processor_dpc(&self, dpc: DriverPtr<KDpc>, number: u8) -> Ddi<()> {
        if u32::from(number) < self.processors_in_group(0) {
            self.write(at!(dpc, KDpc, number), TARGET_SET + u16::from(number))?;
        }
        Ok(())
    }

    /// `NTSTATUS KeSetTargetProcessorDpcEx(PKDPC, PPROCESSOR_NUMBER)`
    ///
    /// - Returns: STATUS_INVALID_PARAMETER for a processor that does not exist.
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
        let index = number.group * 64 + u16::from(number.number);
        self.write(at!(dpc, KDpc, number), TARGET_SET + index)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Runs this processor's queue until it is empty. At DISPATCH_LEVEL.
    pub(crate) fn run_dpcs(&self) -> Ddi<()> {
        loop {
            let next = self.processor().dpc_queue.borrow_mut().pop_front();
            let Some(address) = next else { return Ok(()) };
            self.run_dpc(DriverPtr::new(address))?;
        }
    }

    /// The object is off the queue when its routine starts, so the routine may queue it again.
    fn run_dpc(&self, dpc: DriverPtr<KDpc>) -> Ddi<()> {
        self.ke.dpcs.queued.borrow_mut().remove(&dpc.address());
        let image = self.read(dpc)?;
        self.write(at!(dpc, KDpc, dpc_data), 0)?;
        self.processor().context.set(Context::Dpc);
        self.processor().running_dpc.set(dpc.address());
        if self.report.is_recording() {
            self.event(Event::DpcEnter { dpc: dpc.address(), routine: image.deferred_routine });
        }
        self.platform().call(
            image.deferred_routine,
            &[dpc.address(), image.deferred_context, image.system_argument1, image.system_argument2],
        );
        if self.report.is_recording() {
            self.event(Event::DpcLeave { dpc: dpc.address() });
        }
        self.processor().running_dpc.set(0);
        let level = self.irql();
        if level != Irql::DISPATCH {
            self.find_at(
                ids::DPC_IRQL,
                format!("the DPC routine returned at {level}"),
                self.here_at(image.deferred_routine),
                None,
            )?;
            let levels = u64::from(level.0) << 16 | u64::from(Irql::DISPATCH.0) << 8 | 2;
            let parameters = [levels, image.deferred_routine, dpc.address(), 0];
            return Err(BugCheck::new(code::IRQL_UNEXPECTED_VALUE, parameters).into());
        }
        self.yield_point()
    }

    /// What is known about a DPC that is queued.
    pub(crate) fn queued_dpc(&self, dpc: u64) -> Option<Queued> {
        self.ke.dpcs.queued.borrow().get(&dpc).cloned()
    }

    /// DPC objects that are queued and lie in, or lead into, this range of addresses.
    pub(crate) fn queued_dpcs_in(&self, range: core::ops::Range<u64>) -> Vec<(u64, Queued)> {
        let queued = self.ke.dpcs.queued.borrow();
        queued
            .iter()
            .filter(|(address, _)| {
                let routine = self.read(at!(DriverPtr::<KDpc>::new(**address), KDpc, deferred_routine));
                range.contains(address) || routine.is_ok_and(|routine| range.contains(&routine))
            })
            .map(|(address, queued)| (*address, queued.clone()))
            .collect()
    }

    fn unqueue(&self, dpc: u64) -> bool {
        let Some(queued) = self.ke.dpcs.queued.borrow_mut().remove(&dpc) else { return false };
        if let Some(processor) = self.processor_by_id(queued.target) {
            processor.dpc_queue.borrow_mut().retain(|address| *address != dpc);
        }
        true
    }

    /// Whether any processor has DPCs queued or running.
    pub(crate) fn dpcs_busy(&self) -> bool {
        self.processors()
            .iter()
            .any(|processor| !processor.dpc_queue.borrow().is_empty() || processor.running_dpc.get() != 0)
    }
}
