//! Connections that a driver leaves behind.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::device::{DeviceObject, DriverObject, io_type};
use dirql_abi::irp::major;
use dirql_rules::{Place, ids};

use crate::stop::Ddi;
use crate::{DriverPtr, Kernel, at};

impl Kernel {
    /// Where the connections of a device were made that still stand.
    pub(crate) fn connections_of_device(&self, pdo: u64) -> Vec<Place> {
        let sources: Vec<u32> = self
            .device_of_pdo(pdo)
            .map(|device| self.sources_of(device))
            .unwrap_or_default();
        self.ke
            .interrupts
            .connections()
            .into_iter()
            .filter(|(_, connection)| {
                connection.pdo == pdo
                    || connection.pdo == 0
                        && connection
                            .sources
                            .iter()
                            .any(|source| sources.contains(source))
            })
            .map(|(_, connection)| connection.place)
            .collect()
    }

    /// Where the connections were made whose ISR is in a range of addresses.
    pub(crate) fn connections_into(&self, code: &Range<u64>) -> Vec<Place> {
        self.ke
            .interrupts
            .connections()
            .into_iter()
            .filter(|(_, connection)| {
                connection.objects.iter().any(|object| {
                    self.ke
                        .interrupts
                        .object(*object)
                        .is_some_and(|object| code.contains(&object.isr.routine))
                })
            })
            .map(|(_, connection)| connection.place)
            .collect()
    }

    /// Reports each place at which an interrupt was connected that should be gone. `routine` is who
    /// should have disconnected it; 0 for what handles the driver's plug and play requests.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if a finding ends the run.
    pub(crate) fn report_left_connected(
        &self,
        places: Vec<Place>,
        when: &str,
        routine: u64,
    ) -> Ddi<()> {
        for place in places {
            let routine = match routine {
                0 => self.pnp_routine(place.address).unwrap_or_default(),
                routine => routine,
            };
            self.find_at(
                ids::LEFT_CONNECTED,
                format!("an interrupt is still connected after {when}"),
                self.here_or_at(routine),
                Self::connected_here(place),
            )?;
        }
        Ok(())
    }

    /// What handles plug and play requests in the driver whose code is at `address`.
    fn pnp_routine(&self, address: u64) -> Option<u64> {
        let object = DriverPtr::<DriverObject>::new(self.driver_of_address(address)?);
        let routines = self.read(at!(object, DriverObject, major_function)).ok()?;
        routines.get(usize::from(major::IRP_MJ_PNP)).copied()
    }

    /// Here, in a routine that a driver has called; in the routine that handles `function` for
    /// `device` where no such one is carried out.
    pub(crate) fn here_or_in_dispatch(&self, device: u64, function: u8) -> Place {
        let driver = self.driver_of_device(device).unwrap_or_default();
        let object = DriverPtr::<DriverObject>::new(driver);
        let routines = self.read(at!(object, DriverObject, major_function)).ok();
        let routine = routines.and_then(|all| all.get(usize::from(function)).copied());
        self.here_or_at(routine.unwrap_or_default())
    }

    /// Here, in a routine that a driver has called; in `routine` where no such one is carried out.
    fn here_or_at(&self, routine: u64) -> Place {
        let here = self.here();
        if here.address == 0 {
            self.here_at(routine)
        } else {
            here
        }
    }

    /// Findings for what a driver that is gone has left in the kernel: connections, DPCs,
    /// timers, memory.
    pub(crate) fn check_driver_left(&self, driver: u64) -> Ddi<()> {
        if !self.judges() {
            return Ok(());
        }
        let object = DriverPtr::<DriverObject>::new(driver);
        let start = self.read(at!(object, DriverObject, driver_start))?;
        let size = self.read(at!(object, DriverObject, driver_size))?;
        let image = start..start.saturating_add(u64::from(size));
        let unload = self.read(at!(object, DriverObject, driver_unload))?;
        let connected = self.connections_into(&image);
        self.report_left_connected(connected, "the driver was unloaded", unload)?;
        self.check_ports_left(&image, "the driver was unloaded")?;
        self.check_queues(&image, "the driver was unloaded", unload)?;
        let name = self.driver_name(driver).unwrap_or_default();
        self.find_left_behind(&name, &image)
    }

    /// Findings for what is still active in a device object that is deleted.
    pub(crate) fn check_device_left(&self, device: u64) -> Ddi<()> {
        let object = DriverPtr::<DeviceObject>::new(device);
        let known = self.with_device(device, |d| (d.driver, d.created.clone()));
        let found = (
            self.read(at!(object, DeviceObject, type_))?,
            self.read(at!(object, DeviceObject, driver_object))?,
        );
        if let Some((driver, created)) = known
            && found != (io_type::IO_TYPE_DEVICE, driver)
        {
            let message = format!(
                "{} was deleted, and Type or DriverObject of it had been overwritten",
                self.device_text(device)
            );
            let created = (String::from("the device was created here"), created);
            self.find(ids::OBJECT_SMASHED, message, Some(created))?;
        }
        let size = self.read(at!(object, DeviceObject, size))?;
        let memory = device..device + u64::from(size);
        let connected = self
            .ke
            .interrupts
            .connections()
            .into_iter()
            .filter(|(_, connection)| {
                connection.objects.iter().any(|object| {
                    self.ke
                        .interrupts
                        .object(*object)
                        .is_some_and(|object| memory.contains(&object.isr.context))
                })
            })
            .map(|(_, connection)| connection.place)
            .collect();
        self.forget_remove_locks(&memory, self.is_being_removed(device))?;
        self.report_left_connected(connected, "its device was deleted", 0)?;
        self.check_queues(&memory, "its memory was freed", 0)
    }

    fn check_queues(&self, range: &Range<u64>, when: &str, routine: u64) -> Ddi<()> {
        for (dpc, queued) in self.queued_dpcs_in(range) {
            self.find_at(
                ids::DPC_LEFT_QUEUED,
                format!("{when} and a DPC is still queued"),
                self.here_or_at(routine),
                Some((String::from("it was queued here"), queued.place)),
            )?;
            self.ke_remove_queue_dpc(DriverPtr::new(dpc))?;
        }
        for processor in self.dpcs_running_in(range) {
            self.find_at(
                ids::DPC_LEFT_QUEUED,
                format!("{when} and a DPC still runs on processor {}", processor.0),
                self.here_or_at(routine),
                None,
            )?;
        }
        for timer in self.timers_set_in(range) {
            let set = self.timer_set_at(timer);
            self.find_at(
                ids::TIMER_LEFT_SET,
                format!("{when} and a timer is still set"),
                self.here_or_at(routine),
                set.map(|place| (String::from("it was set here"), place)),
            )?;
            self.ke_cancel_timer(DriverPtr::new(timer))?;
        }
        for place in self.bug_check_callbacks_in(range) {
            self.find_at(
                ids::CALLBACK_LEFT,
                format!("{when} and a bug check callback is still registered"),
                self.here_or_at(routine),
                Some((String::from("it was registered here"), place)),
            )?;
        }
        if self.nmi_callbacks_into(range) {
            self.find_at(
                ids::CALLBACK_LEFT,
                format!("{when} and an NMI callback is still registered"),
                self.here_or_at(routine),
                None,
            )?;
        }
        Ok(())
    }
}
