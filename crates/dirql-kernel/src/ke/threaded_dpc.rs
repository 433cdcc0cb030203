//! Threaded DPCs: a thread of the highest priority on each processor runs them at
//! PASSIVE_LEVEL.
//!
//! A value in the registry makes them ordinary DPCs: `ThreadDpcEnable` 0. As Windows reads it when
//! it boots, it counts as it is when the first driver is loaded.
//! [`Reading::NoThreadedDpcs`] sets it.
//!
//! Source: WDK, "Introduction to Threaded DPCs", "Synchronization and Threaded DPCs".

use alloc::boxed::Box;

use dirql_abi::Irql;
use dirql_abi::registry::value_type;

use crate::ke::processor::Processor;
use crate::ke::thread::HIGH_PRIORITY;
use crate::ke::{Affinity, ProcessorId, ThreadBody};
use crate::readings::Reading;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// `SynchronizationEvent`: one wait per signal.
const SYNCHRONIZATION: u32 = 1;

/// Where the setting is.
const KERNEL_KEY: &str =
    r"\Registry\Machine\System\CurrentControlSet\Control\Session Manager\Kernel";
const SETTING: &str = "ThreadDpcEnable";

impl Kernel {
    /// The registry is as the reading has it.
    pub(crate) fn set_up_threaded_dpcs(&self) {
        if self.config().readings.has(Reading::NoThreadedDpcs) {
            let off = 0_u32.to_le_bytes();
            self.registry_set(KERNEL_KEY, SETTING, value_type::REG_DWORD, &off);
        }
        self.read_dpc_setting();
    }

    /// The system is up: the setting counts as it is now.
    pub(crate) fn read_dpc_setting(&self) {
        let value = self.registry_get(KERNEL_KEY, SETTING);
        let is_off = value.is_some_and(|(kind, data)| {
            kind == value_type::REG_DWORD && data == 0_u32.to_le_bytes()
        });
        self.ke.dpcs.no_threads.set(is_off);
    }

    /// Lets the thread of a processor look at its threaded DPCs; makes it if there is none.
    pub(super) fn wake_dpc_worker(&self, processor: &Processor) -> Ddi<()> {
        if let Some((_, event)) = processor.dpc.worker.get() {
            self.ke_set_event(DriverPtr::new(event), 0, 0)?;
            return Ok(());
        }
        let id = processor.id;
        let event = self.new_event(SYNCHRONIZATION)?;
        let body = move |kernel: &Kernel| loop {
            kernel.run_threaded_dpcs(id)?;
            kernel.wait_for_event(event)?;
        };
        let affinity = Affinity {
            group: id.group(),
            mask: id.mask(),
        };
        let body = ThreadBody::Native(Box::new(body));
        let thread = self.spawn_bound_thread("threaded DPCs", HIGH_PRIORITY, Some(affinity), body);
        processor.dpc.worker.set(Some((thread, event.address())));
        Ok(())
    }

    fn run_threaded_dpcs(&self, id: ProcessorId) -> Ddi<()> {
        let Some(processor) = self.processor_by_id(id) else {
            return Ok(());
        };
        loop {
            let next = processor.dpc.threaded.borrow_mut().pop_front();
            let Some(address) = next else { return Ok(()) };
            let Some((running, image)) = self.begin_dpc(address)? else {
                continue;
            };
            processor.dpc.running_threaded.set(Some(running));
            self.run_dpc_routine(address, &image, Irql::PASSIVE)?;
            processor.dpc.running_threaded.set(None);
            self.yield_point()?;
        }
    }

    /// Whether the current thread is running a threaded DPC.
    pub(super) fn runs_threaded_dpc(&self) -> bool {
        let Some(thread) = self.current_thread() else {
            return false;
        };
        self.processors().iter().any(|processor| {
            processor
                .dpc
                .worker
                .get()
                .is_some_and(|(worker, _)| worker == thread)
                && processor.dpc.running_threaded.get().is_some()
        })
    }
}
