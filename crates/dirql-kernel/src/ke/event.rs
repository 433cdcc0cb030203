//! Events.

use alloc::format;

use dirql_abi::dispatcher::{DispatcherHeader, KEvent, object_type};
use dirql_abi::list::ListEntry;
use dirql_abi::{Irql, NtStatus};
use dirql_rules::ids;

use crate::at;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

impl Kernel {
    /// Fills in the header that every dispatcher object starts with. The two bytes of flags
    /// are left as they are, which drivers that lay out objects themselves can see.
    pub(crate) fn write_header(&self, object: u64, type_: u8, bytes: usize, state: i32) -> Ddi<()> {
        let header = DriverPtr::<DispatcherHeader>::new(object);
        let list = at!(header, DispatcherHeader, wait_list_head);
        self.write(at!(header, DispatcherHeader, type_), type_)?;
        // In dwords, as drivers that check it expect.
        self.write(at!(header, DispatcherHeader, size), (bytes / 4) as u8)?;
        self.write(at!(header, DispatcherHeader, signal_state), state)?;
        let empty = ListEntry {
            flink: list.address(),
            blink: list.address(),
        };
        Ok(self.write(list, empty)?)
    }

    pub(crate) fn signal_state(object: u64) -> DriverPtr<i32> {
        at!(
            DriverPtr::<DispatcherHeader>::new(object),
            DispatcherHeader,
            signal_state
        )
    }

    /// `VOID KeInitializeEvent(PRKEVENT, EVENT_TYPE, BOOLEAN)`
    ///
    /// `kind` 0 is a notification event, 1 a synchronization event. Any IRQL if the event is
    /// resident. Source: WDK reference, wdm.KeInitializeEvent.
    pub fn ke_initialize_event(&self, event: DriverPtr<KEvent>, kind: u32, state: u8) -> Ddi<()> {
        self.check_resident(event.address(), "the event")?;
        let type_ = if kind == 0 {
            object_type::EventNotificationObject
        } else {
            object_type::EventSynchronizationObject
        };
        self.write_header(
            event.address(),
            type_,
            size_of::<KEvent>(),
            i32::from(state != 0),
        )
    }

    /// `LONG KeSetEvent(PRKEVENT, KPRIORITY, BOOLEAN Wait)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL with `wait` TRUE.
    /// - Returns: the state before, 0 or 1.
    /// - Findings: DQ0100.
    /// - Yields: at its end; waiting threads become ready, with `increment` added to their
    ///   priority. `wait` TRUE promises a wait at once,
    ///   and changes nothing here.
    /// - Source: WDK reference, wdm.KeSetEvent; rule IrqlKeSetEvent.
    pub fn ke_set_event(&self, event: DriverPtr<KEvent>, increment: i32, wait: u8) -> Ddi<i32> {
        let level = self.irql();
        if wait != 0 && level == Irql::DISPATCH {
            self.find(
                ids::ENTRY_LEVEL,
                format!("KeSetEvent was called at {level} with Wait TRUE; that is allowed at or below APC_LEVEL"),
                None,
            )?;
        }
        let mut header = self.header(event.address())?;
        let before = core::mem::replace(&mut header.signal_state, 1);
        self.write(Self::signal_state(event.address()), 1)?;
        if before == 0 {
            self.signal_known(event.address(), header, increment)?;
        }
        Ok(before)
    }

    /// `VOID KeClearEvent(PRKEVENT)`. IRQL: at or below DISPATCH_LEVEL.
    pub fn ke_clear_event(&self, event: DriverPtr<KEvent>) -> Ddi<()> {
        Ok(self.write(Self::signal_state(event.address()), 0)?)
    }

    /// `LONG KeResetEvent(PRKEVENT)`: as KeClearEvent, and returns the state before.
    pub fn ke_reset_event(&self, event: DriverPtr<KEvent>) -> Ddi<i32> {
        let before = self.read(Self::signal_state(event.address()))?;
        self.ke_clear_event(event)?;
        Ok(before)
    }

    /// `LONG KeReadStateEvent(PRKEVENT)`
    pub fn ke_read_state_event(&self, event: DriverPtr<KEvent>) -> Ddi<i32> {
        Ok(self.read(Self::signal_state(event.address()))?)
    }

    /// `LONG KePulseEvent(PRKEVENT, KPRIORITY, BOOLEAN)`: signaled for those who wait now.
    pub fn ke_pulse_event(&self, event: DriverPtr<KEvent>, increment: i32, wait: u8) -> Ddi<i32> {
        let before = self.ke_set_event(event, increment, wait)?;
        self.ke_clear_event(event)?;
        Ok(before)
    }

    /// An event in memory of our own, for waits of kernel code.
    pub(crate) fn new_event(&self, kind: u32) -> Ddi<DriverPtr<KEvent>> {
        let event = DriverPtr::new(self.allocate_system(size_of::<KEvent>() as u64));
        self.ke_initialize_event(event, kind, 0)?;
        Ok(event)
    }

    /// Waits for an event of ours, for ever.
    pub(crate) fn wait_for_event(&self, event: DriverPtr<KEvent>) -> Ddi<NtStatus> {
        self.wait_for(event.address(), None)
    }
}
