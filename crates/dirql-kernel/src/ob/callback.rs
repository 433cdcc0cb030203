//! Routines that drivers want called when handles to processes and threads are made.
//!
//! They are called for handles that drivers make, the one with the highest altitude first, and
//! afterwards in reverse. All handles here are the kernel's, whose access no routine can change.
//!
//! Not modelled: duplicating handles, which nothing here does; that the routine's image must be
//! signed.
//!
//! Source: WDK reference, wdm.ObRegisterCallbacks, wdm.ObUnRegisterCallbacks,
//! wdm.OB_CALLBACK_REGISTRATION, wdm.OB_OPERATION_REGISTRATION, wdm.OB_PRE_OPERATION_INFORMATION,
//! wdm.OB_POST_OPERATION_INFORMATION.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use dirql_abi::NtStatus;
use dirql_abi::string::UnicodeString;
use dirql_rules::{Place, ids};

use super::ObjectKind;
use crate::cm::compare_altitudes;
use crate::{Ddi, DriverPtr, Kernel};

/// `OB_FLT_REGISTRATION_VERSION`, which is also what ObGetFilterVersion returns.
const VERSION: u16 = 0x0100;

/// `OB_OPERATION_HANDLE_CREATE`, and with `OB_OPERATION_HANDLE_DUPLICATE` all that there is.
const CREATE: u32 = 1;
const OPERATIONS: u32 = 3;

/// `KernelHandle` of the flags in what a routine is told.
const KERNEL_HANDLE: u32 = 1;

/// Bytes for what a routine is told, and where in that its parameters lie.
const TOLD_BYTES: u64 = 128;
const PARAMETERS: u64 = 64;

/// Bytes of OB_OPERATION_REGISTRATION: ObjectType, Operations, PreOperation, PostOperation.
const OPERATION_BYTES: u64 = 32;

/// One OB_OPERATION_REGISTRATION.
#[derive(Clone, Copy, Debug)]
struct Operation {
    kind: ObjectKind,
    operations: u32,
    before: u64,
    after: u64,
}

#[derive(Clone, Debug)]
struct Registration {
    handle: u64,
    altitude: String,
    context: u64,
    operations: Vec<Operation>,
    place: Place,
}

/// What is registered, the highest altitude first.
#[derive(Default)]
pub(super) struct Callbacks {
    all: RefCell<Vec<Registration>>,
    last: Cell<u64>,
    /// Memory for what routines are told that nobody uses.
    free: RefCell<Vec<u64>>,
}

impl Kernel {
    /// `NTSTATUS ObRegisterCallbacks(POB_CALLBACK_REGISTRATION, PVOID *RegistrationHandle)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: INVALID_PARAMETER for another version, no operations, an object type that is
    ///   neither a process's nor a thread's, or an operation without a routine;
    ///   FLT_INSTANCE_ALTITUDE_COLLISION if another registration has the altitude.
    /// - Source: WDK reference, wdm.ObRegisterCallbacks.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ob_register_callbacks(
        &self,
        registration: u64,
        handle: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let [version, count] = self.read(DriverPtr::<[u16; 2]>::new(registration))?;
        let altitude = DriverPtr::<UnicodeString>::new(registration.wrapping_add(8));
        let altitude = self.text_of(altitude)?;
        let rest = DriverPtr::<[u64; 2]>::new(registration.wrapping_add(24));
        let [context, first] = self.read(rest)?;
        if version != VERSION || count == 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let mut operations = Vec::new();
        for index in 0..u64::from(count) {
            match self.read_operation(first.wrapping_add(index * OPERATION_BYTES))? {
                Some(operation) => operations.push(operation),
                None => return Ok(NtStatus::INVALID_PARAMETER),
            }
        }
        let callbacks = &self.io.ob.callbacks;
        let taken = |one: &Registration| compare_altitudes(&one.altitude, &altitude).is_eq();
        if callbacks.all.borrow().iter().any(taken) {
            return Ok(NtStatus::FLT_INSTANCE_ALTITUDE_COLLISION);
        }
        let number = callbacks.last.get() + 1;
        self.write(handle, number)?;
        callbacks.last.set(number);
        let mut all = callbacks.all.borrow_mut();
        all.push(Registration {
            handle: number,
            altitude,
            context,
            operations,
            place: self.here(),
        });
        all.sort_by(|one, other| compare_altitudes(&other.altitude, &one.altitude));
        Ok(NtStatus::SUCCESS)
    }

    /// The registration of an operation at `address`; `None` for one that is not allowed.
    fn read_operation(&self, address: u64) -> Ddi<Option<Operation>> {
        let [kind, operations, before, after] = self.read(DriverPtr::<[u64; 4]>::new(address))?;
        let operations = operations as u32;
        if operations == 0 || operations & !OPERATIONS != 0 || before == 0 && after == 0 {
            return Ok(None);
        }
        // `*PsProcessType` is given by the address of the variable.
        let kind = self.read(DriverPtr::<u64>::new(kind))?;
        let known = [ObjectKind::Process, ObjectKind::Thread];
        let kind = known
            .into_iter()
            .find(|known| self.type_object(*known) == kind);
        Ok(kind.map(|kind| Operation {
            kind,
            operations,
            before,
            after,
        }))
    }

    /// `VOID ObUnRegisterCallbacks(PVOID RegistrationHandle)`. IRQL: at or below APC_LEVEL. Source:
    /// WDK reference, wdm.ObUnRegisterCallbacks.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ob_unregister_callbacks(&self, handle: u64) -> Ddi<()> {
        let mut all = self.io.ob.callbacks.all.borrow_mut();
        all.retain(|one| one.handle != handle);
        Ok(())
    }

    /// `USHORT ObGetFilterVersion(VOID)`: any level. Source: WDK reference,
    /// wdm.ObGetFilterVersion.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ob_get_filter_version(&self) -> Ddi<u16> {
        Ok(VERSION)
    }

    /// Makes a handle by [`Kernel::ob_create_handle`], with the routines called before and after.
    pub(crate) fn ob_create_filtered_handle(&self, body: u64, access: u32) -> Ddi<u64> {
        let callbacks = &self.io.ob.callbacks;
        let kind = self.ob_kind(body);
        let wanted: Vec<(Operation, u64)> = callbacks
            .all
            .borrow()
            .iter()
            .flat_map(|one| {
                one.operations
                    .iter()
                    .map(|operation| (*operation, one.context))
            })
            .filter(|(operation, _)| {
                Some(operation.kind) == kind && operation.operations & CREATE != 0
            })
            .collect();
        let Some(kind) = kind.filter(|_| !wanted.is_empty()) else {
            return self.ob_create_handle(body, access);
        };
        let free = callbacks.free.borrow_mut().pop();
        let told = free.unwrap_or_else(|| self.allocate_system(TOLD_BYTES));
        let object_type = self.type_object(kind);
        let parameters = told + PARAMETERS;
        self.write_bytes(told, &[0; TOLD_BYTES as usize])?;
        let flags = u64::from(CREATE) | u64::from(KERNEL_HANDLE) << 32;
        let mut contexts = Vec::new();
        for (operation, context) in &wanted {
            if operation.before == 0 {
                contexts.push(0);
                continue;
            }
            let before = DriverPtr::<[u64; 5]>::new(told);
            self.write(before, [flags, body, object_type, 0, parameters])?;
            self.write(DriverPtr::new(parameters), [access, access])?;
            let arguments = [*context, told];
            self.call_at_same_level("ObjectPreCallback", operation.before, &arguments)?;
            contexts.push(self.read(before)?[3]);
        }
        let handle = self.ob_create_handle(body, access)?;
        for ((operation, context), call_context) in wanted.iter().zip(contexts).rev() {
            if operation.after == 0 {
                continue;
            }
            let after = [flags, body, object_type, call_context, 0, parameters];
            self.write(DriverPtr::new(told), after)?;
            self.write(DriverPtr::new(parameters), access)?;
            let arguments = [*context, told];
            self.call_at_same_level("ObjectPostCallback", operation.after, &arguments)?;
        }
        callbacks.free.borrow_mut().push(told);
        Ok(handle)
    }

    /// Reports registrations with routines in `image`, that of `driver`, which are left.
    ///
    /// Findings: `NOTIFY_LEFT`.
    pub(crate) fn find_object_callbacks_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        let theirs = |one: &Registration| {
            let mut operations = one.operations.iter();
            operations.any(|one| image.contains(&one.before) || image.contains(&one.after))
        };
        let left: Vec<Registration> = {
            let mut all = self.io.ob.callbacks.all.borrow_mut();
            let left = all.iter().filter(|one| theirs(one)).cloned().collect();
            all.retain(|one| !theirs(one));
            left
        };
        for one in left {
            let message =
                format!("{driver} was unloaded and its object callbacks are still registered");
            let earlier = Some((String::from("registered here"), one.place));
            self.find(ids::NOTIFY_LEFT, message, earlier)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::hal::testing::Log;
    use crate::testing::Bench;

    /// OB_CALLBACK_REGISTRATION for handles of one type, whose variable is `variable`.
    fn registration(bench: &Bench, altitude: &str, variable: u64, routines: [u64; 2]) -> u64 {
        let kernel = &bench.kernel;
        let operation = bench.variable(OPERATION_BYTES);
        let [before, after] = routines;
        kernel
            .write(DriverPtr::new(operation), [variable, 1, before, after])
            .unwrap();
        let at = bench.variable(40);
        kernel.write(DriverPtr::new(at), [VERSION, 1]).unwrap();
        let string = kernel
            .read(DriverPtr::<[u64; 2]>::new(bench.unicode(altitude)))
            .unwrap();
        kernel.write(DriverPtr::new(at + 8), string).unwrap();
        kernel
            .write(DriverPtr::new(at + 24), [7, operation])
            .unwrap();
        at
    }

    fn process_type(bench: &Bench) -> u64 {
        let variable = bench.kernel.ob_data_export("PsProcessType").unwrap();
        variable.unwrap()
    }

    fn open_process(bench: &Bench) -> NtStatus {
        let kernel = &bench.kernel;
        let handle = DriverPtr::new(bench.variable(8));
        let process = kernel.io_get_current_process().unwrap();
        let opened = kernel.ob_open_object_by_pointer(process, 0, 0, 0x10, 0, 0, handle);
        opened.unwrap()
    }

    #[test]
    fn the_highest_altitude_hears_of_a_handle_first_and_last() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let log = Log::default();
        let handle = DriverPtr::<u64>::new(bench.variable(8));
        for altitude in ["20", "100"] {
            let (first, second) = (log.clone(), log.clone());
            let before = bench.routine(move |kernel, arguments| {
                assert_eq!(arguments[0], 7);
                let told = kernel.read(DriverPtr::<[u64; 5]>::new(arguments[1]))?;
                assert_eq!(told[0], 0x1_0000_0001, "a kernel handle is made");
                assert_eq!(told[1], kernel.io_get_current_process()?);
                let access = kernel.read(DriverPtr::<[u32; 2]>::new(told[4]))?;
                first.add(format!("{altitude} before {:#x}", access[0]));
                let context = DriverPtr::<u64>::new(arguments[1] + 24);
                kernel.write(context, 42)?;
                Ok(0)
            });
            let after = bench.routine(move |kernel, arguments| {
                let told = kernel.read(DriverPtr::<[u64; 6]>::new(arguments[1]))?;
                assert_eq!((told[3], told[4]), (42, 0));
                second.add(format!("{altitude} after"));
                Ok(0)
            });
            let at = registration(&bench, altitude, process_type(&bench), [before, after]);
            assert_eq!(
                kernel.ob_register_callbacks(at, handle),
                Ok(NtStatus::SUCCESS)
            );
        }
        assert_eq!(open_process(&bench), NtStatus::SUCCESS);
        assert_eq!(
            log.take(),
            ["100 before 0x10", "20 before 0x10", "20 after", "100 after"]
        );
        for number in [1, 2] {
            kernel.ob_unregister_callbacks(number).unwrap();
        }
        open_process(&bench);
        assert_eq!(log.len(), 0);
    }

    #[test]
    fn a_registration_that_is_not_allowed_is_refused() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let handle = DriverPtr::<u64>::new(bench.variable(8));
        let register = |at| kernel.ob_register_callbacks(at, handle).unwrap();
        let process = process_type(&bench);
        let file = kernel.ob_data_export("IoFileObjectType").unwrap().unwrap();
        let without = registration(&bench, "20", process, [0, 0]);
        assert_eq!(register(without), NtStatus::INVALID_PARAMETER);
        let of_files = registration(&bench, "20", file, [0x1000, 0]);
        assert_eq!(register(of_files), NtStatus::INVALID_PARAMETER);
        let right = registration(&bench, "20", process, [0x1000, 0]);
        assert_eq!(register(right), NtStatus::SUCCESS);
        assert_eq!(register(right), NtStatus::FLT_INSTANCE_ALTITUDE_COLLISION);
        kernel
            .find_object_callbacks_left("sample", &(1..0x1000))
            .unwrap();
        assert!(bench.rules().is_empty());
        kernel
            .find_object_callbacks_left("sample", &(1..0x1001))
            .unwrap();
        assert_eq!(bench.rules(), [ids::NOTIFY_LEFT]);
    }
}
