//! What drivers tell plug and play about devices.
//!
//! Source: the pages of the routines.

use alloc::boxed::Box;
use dirql_abi::NtStatus;
use dirql_abi::io::work_queue_type;
use dirql_abi::irp::{major, minor_pnp};

use crate::io::work_item::Job;
use crate::{Ddi, Kernel};

impl Kernel {
    /// `VOID IoInvalidateDeviceState(PDEVICE_OBJECT PhysicalDeviceObject)`
    ///
    /// Has a system thread send IRP_MN_QUERY_PNP_DEVICE_STATE to the device's stack.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0203 not a physical device.
    /// - Source: WDK reference, wdm.IoInvalidateDeviceState. What the answer asks for, removal
    ///   or new resources, is left to the scenario.
    ///
    /// # Errors
    /// The bug check after a finding.
    pub fn io_invalidate_device_state(&self, physical_device: u64) -> Ddi<()> {
        self.expect_physical_device(physical_device)?;
        self.ask_later(physical_device, minor_pnp::IRP_MN_QUERY_PNP_DEVICE_STATE)
    }

    /// `VOID IoInvalidateDeviceRelations(PDEVICE_OBJECT, DEVICE_RELATION_TYPE)`
    ///
    /// Has a system thread ask the device's stack for its relations again. One device is asked
    /// after the other: plug and play has one thread for that.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0203 not a physical device.
    /// - Source: WDK reference, wdm.IoInvalidateDeviceRelations.
    ///
    /// # Errors
    /// The bug check after a finding.
    pub fn io_invalidate_device_relations(&self, physical_device: u64, _relation: u32) -> Ddi<()> {
        self.expect_physical_device(physical_device)?;
        self.obf_reference_object(physical_device)?;
        self.io.pnp.to_ask.borrow_mut().push_back(physical_device);
        self.queue_job(
            work_queue_type::DelayedWorkQueue,
            Job::Native(Box::new(Self::ask_in_turn)),
        )
    }

    fn ask_in_turn(&self) -> Ddi<()> {
        if self.io.pnp.asking.replace(true) {
            return Ok(());
        }
        let next = || self.io.pnp.to_ask.borrow_mut().pop_front();
        while let Some(physical_device) = next() {
            if self.node(physical_device).is_some() {
                self.query_bus_relations(physical_device)?;
            }
            self.obf_dereference_object(physical_device)?;
        }
        self.io.pnp.asking.set(false);
        Ok(())
    }

    /// `VOID IoRequestDeviceEject(PDEVICE_OBJECT PhysicalDeviceObject)`
    ///
    /// Asks for the orderly removal of a device: a system thread removes it if its drivers
    /// agree.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0203 not a physical device.
    /// - Source: WDK reference, wdm.IoRequestDeviceEject.
    ///
    /// # Errors
    /// The bug check after a finding.
    pub fn io_request_device_eject(&self, physical_device: u64) -> Ddi<()> {
        self.expect_physical_device(physical_device)?;
        let eject = move |kernel: &Self| kernel.remove_device(physical_device).map(|_| ());
        self.queue_job(
            work_queue_type::DelayedWorkQueue,
            Job::Native(Box::new(eject)),
        )
    }

    /// `NTSTATUS IoReportTargetDeviceChangeAsynchronous(PhysicalDeviceObject, NotificationStructure, Callback, Context)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: PENDING. The callback is called by a system thread.
    /// - Findings: DQ0203 not a physical device.
    /// - Source: WDK reference, wdm.IoReportTargetDeviceChangeAsynchronous. Custom events reach
    ///   nobody: only drivers that registered for this target would hear of them, and they are
    ///   told of removal only.
    ///
    /// # Errors
    /// The bug check after a finding.
    pub fn io_report_target_device_change_asynchronous(
        &self,
        physical_device: u64,
        callback: u64,
        context: u64,
    ) -> Ddi<NtStatus> {
        self.expect_physical_device(physical_device)?;
        if callback != 0 {
            let job = Job::Routine {
                routine: callback,
                parameter: context,
            };
            self.queue_job(work_queue_type::DelayedWorkQueue, job)?;
        }
        Ok(NtStatus::PENDING)
    }

    fn ask_later(&self, physical_device: u64, minor: u8) -> Ddi<()> {
        self.obf_reference_object(physical_device)?;
        let ask = move |kernel: &Self| {
            let top = kernel.top_of_stack(physical_device);
            if kernel.is_device(top) {
                kernel.send_simple(top, major::IRP_MJ_PNP, minor)?;
            }
            kernel.obf_dereference_object(physical_device)?;
            Ok(())
        };
        self.queue_job(
            work_queue_type::DelayedWorkQueue,
            Job::Native(Box::new(ask)),
        )
    }

    fn expect_physical_device(&self, physical_device: u64) -> Ddi<()> {
        if self.node(physical_device).is_some() {
            return Ok(());
        }
        Err(self.not_io_object(physical_device, "physical device object"))
    }
}
