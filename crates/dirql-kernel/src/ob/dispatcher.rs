//! Dispatcher objects that drivers know by handle: timers and events.
//!
//! Source: WDK reference, wdm.ZwCreateTimer and its relatives, wdm.ZwCreateEvent,
//! ntifs.ZwWaitForSingleObject; "Object Management".

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{KEvent, KTimer, KWaitBlock, MAXIMUM_WAIT_OBJECTS, wait_type};
use dirql_abi::irp::FileObject;
use dirql_abi::object::{ObjectAttributes, object_flags};

use super::ObjectKind;
use crate::ke::WaitMode;
use crate::{Ddi, DriverPtr, Kernel, at};

/// Tag of the pool that the objects are in.
const TAG: u32 = u32::from_le_bytes(*b"ObDi");

/// An object that a handle is to be made for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    kind: ObjectKind,
    bytes: u64,
    access: u32,
}

fn delete_timer(kernel: &Kernel, body: u64) -> Ddi<()> {
    kernel.ke_cancel_timer(DriverPtr::new(body))?;
    kernel.pool_free(body, Some(TAG))
}

fn delete_event(kernel: &Kernel, body: u64) -> Ddi<()> {
    kernel.pool_free(body, Some(TAG))
}

impl Kernel {
    /// `NTSTATUS ZwCreateTimer(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, TIMER_TYPE)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: OBJECT_NAME_COLLISION, or with OBJ_OPENIF the handle of what there is and
    ///   OBJECT_NAME_EXISTS; INVALID_PARAMETER_4 for another type than 0 and 1.
    /// - Source: WDK reference, wdm.ZwCreateTimer.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_create_timer(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<ObjectAttributes>,
        timer_type: u32,
    ) -> Ddi<NtStatus> {
        if timer_type > 1 {
            return Ok(NtStatus::INVALID_PARAMETER_4);
        }
        let wanted = Wanted {
            kind: ObjectKind::Timer,
            bytes: size_of::<KTimer>() as u64,
            access,
        };
        self.create_dispatcher(handle, attributes, wanted, |kernel, body| {
            kernel.ke_initialize_timer_ex(DriverPtr::new(body), timer_type)
        })
    }

    /// `NTSTATUS ZwCreateEvent(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, EVENT_TYPE, BOOLEAN
    /// InitialState)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: as [`Kernel::zw_create_timer`].
    /// - Source: WDK reference, wdm.ZwCreateEvent.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_create_event(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<ObjectAttributes>,
        event_type: u32,
        state: u8,
    ) -> Ddi<NtStatus> {
        if event_type > 1 {
            return Ok(NtStatus::INVALID_PARAMETER_4);
        }
        let wanted = Wanted {
            kind: ObjectKind::Event,
            bytes: size_of::<KEvent>() as u64,
            access,
        };
        self.create_dispatcher(handle, attributes, wanted, |kernel, body| {
            kernel.ke_initialize_event(DriverPtr::new(body), event_type, state)
        })
    }

    /// `NTSTATUS ZwOpenTimer(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES)`, and `ZwOpenEvent` with
    /// the other kind
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: OBJECT_NAME_NOT_FOUND, OBJECT_TYPE_MISMATCH.
    /// - Source: WDK reference, wdm.ZwOpenTimer, wdm.ZwOpenEvent.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_open_dispatcher(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<ObjectAttributes>,
        kind: ObjectKind,
    ) -> Ddi<NtStatus> {
        let given = self.read(attributes)?;
        if given.object_name == 0 {
            return Ok(NtStatus::OBJECT_PATH_SYNTAX_BAD);
        }
        let name = self.text_of(DriverPtr::new(given.object_name))?;
        match self.name_resolve(&name) {
            Ok(found) if !found.rest.is_empty() => Ok(NtStatus::OBJECT_PATH_NOT_FOUND),
            Ok(found) if self.ob_kind(found.object) != Some(kind) => {
                Ok(NtStatus::OBJECT_TYPE_MISMATCH)
            }
            Ok(found) => {
                let value = self.ob_create_handle(found.object, access)?;
                self.write(handle, value)?;
                Ok(NtStatus::SUCCESS)
            }
            Err(status) => Ok(status),
        }
    }

    fn create_dispatcher(
        &self,
        handle: DriverPtr<u64>,
        attributes: DriverPtr<ObjectAttributes>,
        wanted: Wanted,
        initialize: impl FnOnce(&Self, u64) -> Ddi<()>,
    ) -> Ddi<NtStatus> {
        let given = match attributes.is_null() {
            true => None,
            false => Some(self.read(attributes)?),
        };
        let name = match given {
            Some(given) if given.object_name != 0 => {
                Some(self.text_of(DriverPtr::new(given.object_name))?)
            }
            _ => None,
        };
        if let Some(name) = &name
            && let Ok(found) = self.name_resolve(name)
            && found.rest.is_empty()
        {
            let opens = given.is_some_and(|given| given.attributes & object_flags::OBJ_OPENIF != 0);
            if !opens {
                return Ok(NtStatus::OBJECT_NAME_COLLISION);
            }
            let status = self.zw_open_dispatcher(handle, wanted.access, attributes, wanted.kind)?;
            return Ok(match status {
                NtStatus::SUCCESS => NtStatus::OBJECT_NAME_EXISTS,
                other => other,
            });
        }
        let body = self.allocate_zeroed(wanted.bytes, TAG)?;
        if body == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        initialize(self, body)?;
        let delete = if wanted.kind == ObjectKind::Timer {
            delete_timer
        } else {
            delete_event
        };
        self.ob_register(body, wanted.kind, delete);
        if let Some(name) = &name
            && let Err(status) = self.name_insert(name, body)
        {
            self.obf_dereference_object(body)?;
            return Ok(status);
        }
        let value = self.ob_create_handle(body, wanted.access)?;
        self.obf_dereference_object(body)?;
        self.write(handle, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// The object behind a handle, if it is of this kind.
    fn of_kind(&self, handle: u64, kind: ObjectKind) -> Result<u64, NtStatus> {
        let body = self.ob_of_handle(handle).ok_or(NtStatus::INVALID_HANDLE)?;
        match self.ob_kind(body) {
            Some(found) if found == kind => Ok(body),
            _ => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    /// `NTSTATUS ZwSetTimer(HANDLE, PLARGE_INTEGER DueTime, PTIMER_APC_ROUTINE, PVOID TimerContext,
    /// BOOLEAN ResumeTimer, LONG Period, PBOOLEAN PreviousState)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, OBJECT_TYPE_MISMATCH, INVALID_PARAMETER for a negative period.
    /// - Findings: DQ0002 with an APC routine.
    /// - Source: WDK reference, wdm.ZwSetTimer.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_set_timer(
        &self,
        handle: u64,
        due: DriverPtr<i64>,
        apc_routine: u64,
        period: i32,
        previous: DriverPtr<u8>,
    ) -> Ddi<NtStatus> {
        if period < 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let body = match self.of_kind(handle, ObjectKind::Timer) {
            Ok(body) => body,
            Err(status) => return Ok(status),
        };
        let due = self.read(due)?;
        if apc_routine != 0 {
            return Err(self.no_apc());
        }
        let timer = DriverPtr::new(body);
        let state = self.ke_read_state_timer(timer)?;
        self.ke_set_timer_ex(timer, due, period, DriverPtr::NULL)?;
        if !previous.is_null() {
            self.write(previous, state)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwCancelTimer(HANDLE, PBOOLEAN CurrentState)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, OBJECT_TYPE_MISMATCH; `*CurrentState` is whether it is signaled.
    /// - Source: WDK reference, wdm.ZwCancelTimer.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_cancel_timer(&self, handle: u64, state: DriverPtr<u8>) -> Ddi<NtStatus> {
        let body = match self.of_kind(handle, ObjectKind::Timer) {
            Ok(body) => body,
            Err(status) => return Ok(status),
        };
        self.ke_cancel_timer(DriverPtr::new(body))?;
        if !state.is_null() {
            let signaled = self.ke_read_state_timer(DriverPtr::new(body))?;
            self.write(state, signaled)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwSetEvent(HANDLE, PLONG PreviousState)`, and with `signal` false `ZwResetEvent` and
    /// `ZwClearEvent`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, OBJECT_TYPE_MISMATCH.
    /// - Source: WDK reference, ntifs.ZwSetEvent.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_change_event(
        &self,
        handle: u64,
        signal: bool,
        previous: DriverPtr<i32>,
    ) -> Ddi<NtStatus> {
        let body = match self.of_kind(handle, ObjectKind::Event) {
            Ok(body) => body,
            Err(status) => return Ok(status),
        };
        let event = DriverPtr::new(body);
        let before = if signal {
            self.ke_set_event(event, 1, 0)?
        } else {
            self.ke_reset_event(event)?
        };
        if !previous.is_null() {
            self.write(previous, before)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwWaitForSingleObject(HANDLE, BOOLEAN Alertable, PLARGE_INTEGER Timeout)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS, TIMEOUT, INVALID_HANDLE; OBJECT_TYPE_MISMATCH for what cannot be waited
    ///   for. A file is signaled while no request to it is under way: here always.
    /// - Source: WDK reference, ntifs.ZwWaitForSingleObject.
    ///
    /// # Errors
    /// An argument that is not memory; as KeWaitForSingleObject.
    pub fn zw_wait_for_single_object(
        &self,
        handle: u64,
        alertable: u8,
        timeout: DriverPtr<i64>,
    ) -> Ddi<NtStatus> {
        let (body, object) = match self.waitable(handle)? {
            Ok(found) => found,
            Err(status) => return Ok(status),
        };
        // Nobody closes the handle while it is waited for.
        self.obf_reference_object(body)?;
        let status = self.ke_wait_for_single_object(object, 0, 0, alertable, timeout)?;
        self.obf_dereference_object(body)?;
        Ok(status)
    }

    /// `NTSTATUS ZwWaitForMultipleObjects(ULONG Count, HANDLE[], WAIT_TYPE, BOOLEAN Alertable,
    /// PLARGE_INTEGER Timeout)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: as [`Kernel::zw_wait_for_single_object`] and KeWaitForMultipleObjects;
    ///   INVALID_PARAMETER_1 for no handle or more than 64, INVALID_PARAMETER_3 for another type.
    /// - Source: Win32 documentation, WaitForMultipleObjects; exported, no page.
    ///
    /// # Errors
    /// An argument that is not memory; as KeWaitForMultipleObjects.
    pub fn zw_wait_for_multiple_objects(
        &self,
        count: u32,
        handles: DriverPtr<u64>,
        kind: u32,
        alertable: u8,
        timeout: DriverPtr<i64>,
    ) -> Ddi<NtStatus> {
        if count == 0 || count > MAXIMUM_WAIT_OBJECTS {
            return Ok(NtStatus::INVALID_PARAMETER_1);
        }
        if kind > wait_type::WaitAny {
            return Ok(NtStatus::INVALID_PARAMETER_3);
        }
        let mut bodies = Vec::new();
        let mut objects = Vec::new();
        for index in 0..count as usize {
            match self.waitable(self.read(handles.element(index))?)? {
                Ok((body, object)) => {
                    bodies.push(body);
                    objects.push(object);
                }
                Err(status) => return Ok(status),
            }
        }
        for body in &bodies {
            self.obf_reference_object(*body)?;
        }
        let mode = WaitMode::new(0, alertable);
        let status = self.wait_for_many(&objects, kind, mode, timeout)?;
        for body in bodies {
            self.obf_dereference_object(body)?;
        }
        Ok(status)
    }

    /// Waits with blocks of the system's own.
    fn wait_for_many(
        &self,
        objects: &[u64],
        kind: u32,
        mode: WaitMode,
        timeout: DriverPtr<i64>,
    ) -> Ddi<NtStatus> {
        let count = objects.len() as u64;
        let addresses = self.allocate_zeroed(8 * count, TAG)?;
        let blocks = self.allocate_zeroed(size_of::<KWaitBlock>() as u64 * count, TAG)?;
        if addresses == 0 || blocks == 0 {
            for memory in [addresses, blocks]
                .into_iter()
                .filter(|memory| *memory != 0)
            {
                self.pool_free(memory, Some(TAG))?;
            }
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        for (index, object) in objects.iter().enumerate() {
            self.write(DriverPtr::<u64>::new(addresses).element(index), *object)?;
        }
        let status = self.ke_wait_for_multiple_objects(
            count as u32,
            addresses,
            kind,
            mode,
            timeout,
            blocks,
        )?;
        self.pool_free(addresses, Some(TAG))?;
        self.pool_free(blocks, Some(TAG))?;
        Ok(status)
    }

    /// What a handle is to, and the dispatcher object to wait for.
    fn waitable(&self, handle: u64) -> Ddi<Result<(u64, u64), NtStatus>> {
        let Some(body) = self.ob_of_handle(handle) else {
            return Ok(Err(NtStatus::INVALID_HANDLE));
        };
        let object = match self.ob_kind(body) {
            Some(
                ObjectKind::Event
                | ObjectKind::Semaphore
                | ObjectKind::Mutant
                | ObjectKind::Timer
                | ObjectKind::Thread,
            ) => body,
            Some(ObjectKind::File) => {
                let event = at!(DriverPtr::<FileObject>::new(body), FileObject, event);
                self.ke_set_event(event, 0, 0)?;
                event.address()
            }
            _ => return Ok(Err(NtStatus::OBJECT_TYPE_MISMATCH)),
        };
        Ok(Ok((body, object)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn many_handles_are_waited_for_at_once() {
        let bench = Bench::new(Config::default());
        let handles = DriverPtr::<u64>::new(bench.variable(64));
        let now = DriverPtr::<i64>::new(bench.variable(8));
        bench.on_thread(move |kernel| {
            for index in 0..4 {
                let at = handles.element(index);
                kernel.zw_create_event(at, 0, DriverPtr::NULL, 1, u8::from(index == 2))?;
            }
            let wait =
                |count, kind| kernel.zw_wait_for_multiple_objects(count, handles, kind, 0, now);
            assert_eq!(wait(4, 1)?, NtStatus::WAIT_2);
            assert_eq!(wait(4, 1)?, NtStatus::TIMEOUT, "it was taken");
            assert_eq!(wait(2, 0)?, NtStatus::TIMEOUT);
            for index in 0..2 {
                kernel.zw_change_event(
                    kernel.read(handles.element(index))?,
                    true,
                    DriverPtr::NULL,
                )?;
            }
            assert_eq!(wait(2, 0)?, NtStatus::SUCCESS);
            assert_eq!(wait(0, 1)?, NtStatus::INVALID_PARAMETER_1);
            assert_eq!(wait(65, 1)?, NtStatus::INVALID_PARAMETER_1);
            assert_eq!(wait(2, 2)?, NtStatus::INVALID_PARAMETER_3);
            assert_eq!(wait(5, 1)?, NtStatus::INVALID_HANDLE);
            Ok(())
        });
    }

    #[test]
    fn a_timer_is_set_waited_for_and_cancelled_by_its_handle() {
        let bench = Bench::new(Config::default());
        let handle = DriverPtr::<u64>::new(bench.variable(8));
        let due = DriverPtr::<i64>::new(bench.variable(8));
        let state = DriverPtr::<u8>::new(bench.variable(1));
        bench.on_thread(move |kernel| {
            let status = kernel.zw_create_timer(handle, 0, DriverPtr::NULL, 0)?;
            assert_eq!(status, NtStatus::SUCCESS);
            let timer = kernel.read(handle)?;
            kernel.write(due, -20_000_000)?;
            assert_eq!(
                kernel.zw_set_timer(timer, due, 0, -1, state)?,
                NtStatus::INVALID_PARAMETER
            );
            assert_eq!(
                kernel.zw_set_timer(timer, due, 0, 0, state)?,
                NtStatus::SUCCESS
            );
            assert_eq!(kernel.read(state)?, 0);
            let before = kernel.time_100ns();
            let wait = || kernel.zw_wait_for_single_object(timer, 0, DriverPtr::NULL);
            assert_eq!(wait()?, NtStatus::SUCCESS);
            assert!(kernel.time_100ns() - before >= 20_000_000);
            assert_eq!(kernel.zw_cancel_timer(timer, state)?, NtStatus::SUCCESS);
            assert_eq!(kernel.read(state)?, 1);
            assert_eq!(kernel.zw_close(timer)?, NtStatus::SUCCESS);
            assert_eq!(wait()?, NtStatus::INVALID_HANDLE);
            Ok(())
        });
        assert_eq!(bench.rules(), []);
    }

    #[test]
    fn a_named_event_is_one_for_all_who_open_it() {
        let bench = Bench::new(Config::default());
        let [one, two] = [0; 2].map(|_| DriverPtr::<u64>::new(bench.variable(8)));
        let attributes = DriverPtr::<ObjectAttributes>::new(bench.variable(48));
        let mut given = ObjectAttributes {
            length: 48,
            object_name: bench.unicode(r"\BaseNamedObjects\Ready"),
            ..zerocopy::FromZeros::new_zeroed()
        };
        bench.kernel.write(attributes, given).unwrap();
        let again = attributes;
        bench.on_thread(move |kernel| {
            let create = |handle| kernel.zw_create_event(handle, 0, attributes, 0, 0);
            assert_eq!(
                kernel.zw_open_dispatcher(two, 0, attributes, ObjectKind::Event)?,
                NtStatus::OBJECT_NAME_NOT_FOUND
            );
            assert_eq!(create(one)?, NtStatus::SUCCESS);
            assert_eq!(create(two)?, NtStatus::OBJECT_NAME_COLLISION);
            given.attributes = object_flags::OBJ_OPENIF;
            kernel.write(again, given)?;
            assert_eq!(create(two)?, NtStatus::OBJECT_NAME_EXISTS);
            assert_eq!(
                kernel.zw_open_dispatcher(two, 0, attributes, ObjectKind::Timer)?,
                NtStatus::OBJECT_TYPE_MISMATCH
            );
            let (one, two) = (kernel.read(one)?, kernel.read(two)?);
            assert_eq!(
                kernel.zw_change_event(one, true, DriverPtr::NULL)?,
                NtStatus::SUCCESS
            );
            assert_eq!(
                kernel.zw_wait_for_single_object(two, 0, DriverPtr::NULL)?,
                NtStatus::SUCCESS
            );
            Ok(())
        });
    }
}
