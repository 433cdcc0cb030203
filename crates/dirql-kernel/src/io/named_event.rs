//! Events with a name and a handle.
//!
//! Source: wdm.IoCreateNotificationEvent, wdm.IoCreateSynchronizationEvent.

use dirql_abi::dispatcher::{KEvent, event_type};
use dirql_abi::string::UnicodeString;

use crate::ob::{self, ObjectKind};
use crate::{Ddi, DriverPtr, Kernel};

/// EVENT_ALL_ACCESS.
const ALL_ACCESS: u32 = 0x1F_0003;

impl Kernel {
    /// `PKEVENT IoCreateNotificationEvent(PUNICODE_STRING EventName, PHANDLE EventHandle)`
    ///
    /// Opens the event of that name, or makes it, signaled. Without a name, NULL, it makes one
    /// that nobody else can open.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the event, without a reference beyond the handle's; NULL if the name is not
    ///   possible or belongs to something else.
    /// - Source: WDK reference, wdm.IoCreateNotificationEvent.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_create_notification_event(
        &self,
        name: DriverPtr<UnicodeString>,
        handle: DriverPtr<u64>,
    ) -> Ddi<u64> {
        self.named_event(name, handle, event_type::NotificationEvent)
    }

    /// `PKEVENT IoCreateSynchronizationEvent(PUNICODE_STRING EventName, PHANDLE EventHandle)`:
    /// as [`Kernel::io_create_notification_event`], with the other kind of event.
    ///
    /// # Errors
    /// As there.
    pub fn io_create_synchronization_event(
        &self,
        name: DriverPtr<UnicodeString>,
        handle: DriverPtr<u64>,
    ) -> Ddi<u64> {
        self.named_event(name, handle, event_type::SynchronizationEvent)
    }

    fn named_event(
        &self,
        name: DriverPtr<UnicodeString>,
        handle: DriverPtr<u64>,
        kind: u32,
    ) -> Ddi<u64> {
        let name = match name.is_null() {
            true => None,
            false => Some(self.text_of(name)?),
        };
        let known = name
            .as_deref()
            .and_then(|name| self.name_resolve(name).ok())
            .filter(|found| found.rest.is_empty());
        let event = match known {
            Some(found) if self.ob_kind(found.object) == Some(ObjectKind::Event) => {
                let value = self.ob_create_handle(found.object, ALL_ACCESS)?;
                self.write(handle, value)?;
                return Ok(found.object);
            }
            Some(_) => return Ok(0),
            None => self.allocate_system(size_of::<KEvent>() as u64),
        };
        self.ke_initialize_event(DriverPtr::new(event), kind, 1)?;
        self.ob_register(event, ObjectKind::Event, ob::keep);
        if name.is_some_and(|name| self.name_insert(&name, event).is_err()) {
            self.obf_dereference_object(event)?;
            return Ok(0);
        }
        let value = self.ob_create_handle(event, ALL_ACCESS)?;
        self.obf_dereference_object(event)?;
        self.write(handle, value)?;
        Ok(event)
    }
}
