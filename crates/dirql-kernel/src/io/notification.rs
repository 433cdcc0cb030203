//! Notification of plug and play events.
//!
//! Source: WDK, "Using PnP Notification"; wdm.IoRegisterPlugPlayNotification.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_abi::io::work_queue_type;
use dirql_abi::pnp::{DeviceInterfaceChangeNotification, TargetDeviceRemovalNotification};
use dirql_abi::pnp::{notification_category, notification_flags};
use dirql_rules::ids;

use super::driver::zeroed;
use super::work_item::Job;
use crate::ob::ObjectKind;
use crate::{Ddi, DriverPtr, Kernel};

/// `GUID_DEVICE_INTERFACE_ARRIVAL` and `GUID_DEVICE_INTERFACE_REMOVAL`. Source: wdmguid.h.
const ARRIVAL: Guid = Guid::new(
    0xCB3A_4004,
    0x46F0,
    0x11D0,
    [0xB0, 0x8F, 0x00, 0x60, 0x97, 0x13, 0x05, 0x3F],
);
const REMOVAL: Guid = Guid::new(
    0xCB3A_4005,
    0x46F0,
    0x11D0,
    [0xB0, 0x8F, 0x00, 0x60, 0x97, 0x13, 0x05, 0x3F],
);

/// `GUID_TARGET_DEVICE_QUERY_REMOVE`, `..._REMOVE_CANCELLED` and `..._REMOVE_COMPLETE`.
const QUERY_REMOVE: Guid = Guid::new(
    0xCB3A_4006,
    0x46F0,
    0x11D0,
    [0xB0, 0x8F, 0x00, 0x60, 0x97, 0x13, 0x05, 0x3F],
);
const REMOVE_CANCELLED: Guid = Guid::new(
    0xCB3A_4007,
    0x46F0,
    0x11D0,
    [0xB0, 0x8F, 0x00, 0x60, 0x97, 0x13, 0x05, 0x3F],
);
const REMOVE_COMPLETE: Guid = Guid::new(
    0xCB3A_4008,
    0x46F0,
    0x11D0,
    [0xB0, 0x8F, 0x00, 0x60, 0x97, 0x13, 0x05, 0x3F],
);

/// What happens to a device that drivers have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetEvent {
    QueryRemove,
    RemoveCancelled,
    RemoveComplete,
}

#[derive(Clone)]
enum Interest {
    Interface(Guid),
    Target(u64),
    HardwareProfile,
}

#[derive(Clone)]
struct Registration {
    interest: Interest,
    driver: u64,
    routine: u64,
    context: u64,
}

/// Who wants to be told.
#[derive(Default)]
pub(super) struct Notifications {
    registered: RefCell<BTreeMap<u64, Registration>>,
}

impl Kernel {
    /// `IoRegisterPlugPlayNotification(EventCategory, Flags, CategoryData, DriverObject, CallbackRoutine, Context, *NotificationEntry)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for another category; OBJECT_TYPE_MISMATCH for
    ///   a target that is no file.
    /// - Source: WDK reference, wdm.IoRegisterPlugPlayNotification. Hardware profiles never
    ///   change here.
    ///
    /// # Errors
    /// An argument that is not memory; the bug check if the driver object is none.
    #[expect(clippy::too_many_arguments, reason = "the signature is the DDI's")]
    pub fn io_register_plug_play_notification(
        &self,
        category: u32,
        flags: u32,
        data: u64,
        driver: u64,
        routine: u64,
        context: u64,
        entry: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        if self.with_driver(driver, |_| ()).is_none() {
            return Err(self.not_io_object(driver, "driver object"));
        }
        let interest = match category {
            notification_category::EventCategoryDeviceInterfaceChange => {
                Interest::Interface(self.read(DriverPtr::<Guid>::new(data))?)
            }
            notification_category::EventCategoryTargetDeviceChange => {
                if self.ob_kind(data) != Some(ObjectKind::File) {
                    return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
                }
                Interest::Target(data)
            }
            notification_category::EventCategoryHardwareProfileChange => Interest::HardwareProfile,
            _ => return Ok(NtStatus::INVALID_PARAMETER),
        };
        let id = self.allocate_system(16);
        self.obf_reference_object(driver)?;
        let registration = Registration {
            interest: interest.clone(),
            driver,
            routine,
            context,
        };
        self.io
            .notifications
            .registered
            .borrow_mut()
            .insert(id, registration.clone());
        self.write(entry, id)?;
        let existing =
            flags & notification_flags::PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES != 0;
        if let (Interest::Interface(class), true) = (interest, existing) {
            for link in self.enabled_interfaces(&class, None) {
                self.tell_interface(&registration, ARRIVAL, class, &link)?;
            }
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS IoUnregisterPlugPlayNotification(PVOID NotificationEntry)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS.
    /// - Findings: DQ0203 not a registration.
    /// - Source: WDK reference, wdm.IoUnregisterPlugPlayNotification and its `Ex` form.
    ///
    /// # Errors
    /// None but the run's end.
    pub fn io_unregister_plug_play_notification(&self, entry: u64) -> Ddi<NtStatus> {
        let removed = self.io.notifications.registered.borrow_mut().remove(&entry);
        match removed {
            Some(registration) => {
                self.obf_dereference_object(registration.driver)?;
            }
            None => {
                let message = alloc::format!(
                    "{entry:#x} is not a notification registration, or not any more"
                );
                self.find(ids::NOT_IO_OBJECT, message, None)?;
            }
        }
        Ok(NtStatus::SUCCESS)
    }

    /// An interface became enabled or disabled: everybody interested is told by a system
    /// thread, at PASSIVE_LEVEL.
    pub(super) fn interface_changed(&self, class: Guid, enabled: bool, link: &str) -> Ddi<()> {
        let event = if enabled { ARRIVAL } else { REMOVAL };
        let link = String::from(link);
        let interested = self.interested(
            |interest| matches!(interest, Interest::Interface(other) if *other == class),
        );
        if interested.is_empty() {
            return Ok(());
        }
        let tell = move |kernel: &Self| {
            for id in interested {
                if let Some(registration) = kernel.registration(id) {
                    kernel.tell_interface(&registration, event, class, &link)?;
                }
            }
            Ok(())
        };
        self.queue_job(
            work_queue_type::DelayedWorkQueue,
            Job::Native(Box::new(tell)),
        )
    }

    fn tell_interface(
        &self,
        registration: &Registration,
        event: Guid,
        class: Guid,
        link: &str,
    ) -> Ddi<()> {
        let name = self.pool_unicode(link)?;
        let notification = DeviceInterfaceChangeNotification {
            version: 1,
            size: size_of::<DeviceInterfaceChangeNotification>() as u16,
            event,
            interface_class_guid: class,
            symbolic_link_name: name,
            ..zeroed()
        };
        self.tell(registration, notification)?;
        if name != 0 {
            self.pool_free(name, None)
        } else {
            Ok(())
        }
    }

    /// Tells drivers that have a device of this stack open what happens to it. The first
    /// refusal of a query is the answer.
    pub(crate) fn target_event(&self, physical_device: u64, what: TargetEvent) -> Ddi<NtStatus> {
        let event = match what {
            TargetEvent::QueryRemove => QUERY_REMOVE,
            TargetEvent::RemoveCancelled => REMOVE_CANCELLED,
            TargetEvent::RemoveComplete => REMOVE_COMPLETE,
        };
        let interested = self.interested(|interest| {
            let Interest::Target(file) = interest else {
                return false;
            };
            self.opened_device(*file)
                .is_some_and(|device| self.bottom_of_stack(device) == physical_device)
        });
        for id in interested {
            let Some(registration) = self.registration(id) else {
                continue;
            };
            let Interest::Target(file_object) = registration.interest else {
                continue;
            };
            let notification = TargetDeviceRemovalNotification {
                version: 1,
                size: size_of::<TargetDeviceRemovalNotification>() as u16,
                event,
                file_object,
                ..zeroed()
            };
            let status = self.tell(&registration, notification)?;
            if what == TargetEvent::QueryRemove && !status.is_success() {
                return Ok(status);
            }
        }
        Ok(NtStatus::SUCCESS)
    }

    fn tell<T: zerocopy::IntoBytes + zerocopy::Immutable>(
        &self,
        registration: &Registration,
        notification: T,
    ) -> Ddi<NtStatus> {
        let block = self.allocate_zeroed(size_of::<T>() as u64, super::tag(b"PnpN"))?;
        if block == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.write(DriverPtr::new(block), notification)?;
        let arguments = [block, registration.context];
        let status =
            self.call_at_same_level("PlugPlayNotification", registration.routine, &arguments)?;
        self.pool_free(block, None)?;
        Ok(NtStatus(status as i32))
    }

    fn interested(&self, is: impl Fn(&Interest) -> bool) -> Vec<u64> {
        let registered = self.io.notifications.registered.borrow();
        registered
            .iter()
            .filter(|(_, known)| is(&known.interest))
            .map(|(id, _)| *id)
            .collect()
    }

    fn registration(&self, id: u64) -> Option<Registration> {
        self.io.notifications.registered.borrow().get(&id).cloned()
    }

    /// A UNICODE_STRING and its buffer in one block of pool; 0 without memory.
    pub(super) fn pool_unicode(&self, text: &str) -> Ddi<u64> {
        let units: Vec<u8> = text
            .encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let block = self.allocate_zeroed(16 + units.len() as u64, super::tag(b"IoUs"))?;
        if block != 0 {
            let length = units.len() as u16;
            let header = dirql_abi::string::UnicodeString {
                length: length - 2,
                maximum_length: length,
                padding4: 0,
                buffer: block + 16,
            };
            self.write(DriverPtr::new(block), header)?;
            self.write_bytes(block + 16, &units)?;
        }
        Ok(block)
    }
}
