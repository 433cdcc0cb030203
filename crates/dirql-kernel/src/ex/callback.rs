//! Callback objects: a driver tells others by name that something happened.
//!
//! Source: WDK reference, "Using a System-Defined Callback Object", "Defining a Callback
//! Object", wdm.ExCreateCallback, wdm.ExRegisterCallback, wdm.ExNotifyCallback,
//! wdm.ExUnregisterCallback.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::object::{ObjectAttributes, object_flags};
use dirql_abi::{NtStatus, is_true};
use dirql_rules::{Place, ids};

use crate::ob::ObjectKind;
use crate::{Ddi, DriverPtr, Kernel, at};

/// Bytes of a callback object and of a registration; their members are nobody's business.
const OBJECT_BYTES: u64 = 64;
const REGISTRATION_BYTES: u64 = 48;

const TAG: u32 = u32::from_le_bytes(*b"Call");
const REGISTRATION_TAG: u32 = u32::from_le_bytes(*b"CbRg");

#[derive(Clone, Debug)]
struct Registration {
    object: u64,
    routine: u64,
    context: u64,
    place: Place,
}

/// Callback objects and whether they take several registrations; registrations by handle.
#[derive(Default)]
pub(super) struct Callbacks {
    objects: BTreeMap<u64, bool>,
    registrations: BTreeMap<u64, Registration>,
}

/// A registration that was not undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackLeft {
    /// The driver's routine.
    pub routine: u64,
    /// Where it was registered.
    pub place: Place,
}

fn delete_callback(kernel: &Kernel, object: u64) -> Ddi<()> {
    kernel.ex.callbacks.borrow_mut().objects.remove(&object);
    kernel.pool_free(object, Some(TAG))
}

impl Kernel {
    /// `NTSTATUS ExCreateCallback(PCALLBACK_OBJECT*, POBJECT_ATTRIBUTES, BOOLEAN Create, BOOLEAN AllowMultipleCallbacks)`
    ///
    /// Opens a callback object by name, or makes it if it does not exist and `Create` is set.
    /// The caller has a reference.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_NOT_FOUND and other statuses of names;
    ///   OBJECT_TYPE_MISMATCH; INSUFFICIENT_RESOURCES.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ExCreateCallback.
    pub fn ex_create_callback(
        &self,
        callback: DriverPtr<u64>,
        attributes: DriverPtr<ObjectAttributes>,
        create: u8,
        allow_multiple: u8,
    ) -> Ddi<NtStatus> {
        let name = self.read(at!(attributes, ObjectAttributes, object_name))?;
        let flags = self.read(at!(attributes, ObjectAttributes, attributes))?;
        let name = if name == 0 {
            None
        } else {
            Some(self.text_of(DriverPtr::new(name))?)
        };
        let found = match &name {
            Some(name) => self.open_callback(name)?,
            None => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
        };
        let object = match found {
            Err(NtStatus::OBJECT_NAME_NOT_FOUND) if is_true(create) => {
                match self.new_callback(name.as_deref(), is_true(allow_multiple), flags)? {
                    Ok(object) => object,
                    Err(status) => return Ok(status),
                }
            }
            Err(status) => return Ok(status),
            Ok(object) => object,
        };
        self.write(callback, object)?;
        Ok(NtStatus::SUCCESS)
    }

    fn open_callback(&self, name: &str) -> Ddi<Result<u64, NtStatus>> {
        let object = match self.name_resolve(name) {
            Ok(resolved) if resolved.rest.is_empty() => resolved.object,
            Ok(_) => return Ok(Err(NtStatus::OBJECT_NAME_NOT_FOUND)),
            Err(status) => return Ok(Err(status)),
        };
        if self.ob_kind(object) != Some(ObjectKind::Callback) {
            return Ok(Err(NtStatus::OBJECT_TYPE_MISMATCH));
        }
        self.obf_reference_object(object)?;
        Ok(Ok(object))
    }

    fn new_callback(
        &self,
        name: Option<&str>,
        allow_multiple: bool,
        flags: u32,
    ) -> Ddi<Result<u64, NtStatus>> {
        let object = self.pool_allocate_filled(0, OBJECT_BYTES, TAG, crate::mm::Fill::Zero)?;
        if object == 0 {
            return Ok(Err(NtStatus::INSUFFICIENT_RESOURCES));
        }
        self.ob_register(object, ObjectKind::Callback, delete_callback);
        self.ex
            .callbacks
            .borrow_mut()
            .objects
            .insert(object, allow_multiple);
        if let Some(name) = name
            && let Err(status) = self.name_insert(name, object)
        {
            self.obf_dereference_object(object)?;
            return Ok(Err(status));
        }
        if flags & object_flags::OBJ_PERMANENT != 0 {
            self.obf_reference_object(object)?;
        }
        Ok(Ok(object))
    }

    /// `PVOID ExRegisterCallback(PCALLBACK_OBJECT, PCALLBACK_FUNCTION, PVOID Context)`
    ///
    /// From now on `routine(context, …)` is called when the object is notified.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: a handle for [`Kernel::ex_unregister_callback`]; NULL if the object takes one
    ///   routine and has it, or without memory.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ExRegisterCallback.
    pub fn ex_register_callback(&self, object: u64, routine: u64, context: u64) -> Ddi<u64> {
        let full = {
            let callbacks = self.ex.callbacks.borrow();
            let taken = callbacks
                .registrations
                .values()
                .any(|one| one.object == object);
            callbacks
                .objects
                .get(&object)
                .is_none_or(|multiple| taken && !multiple)
        };
        if full {
            return Ok(0);
        }
        self.obf_reference_object(object)?;
        let handle = self.pool_allocate(0, REGISTRATION_BYTES, REGISTRATION_TAG)?;
        if handle == 0 {
            self.obf_dereference_object(object)?;
            return Ok(0);
        }
        let one = Registration {
            object,
            routine,
            context,
            place: self.here(),
        };
        self.ex
            .callbacks
            .borrow_mut()
            .registrations
            .insert(handle, one);
        Ok(handle)
    }

    /// `VOID ExUnregisterCallback(PVOID)`
    ///
    /// Undoes a registration.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `CALLBACK` if this is not a registration's handle.
    /// - Source: WDK reference, wdm.ExUnregisterCallback.
    pub fn ex_unregister_callback(&self, handle: u64) -> Ddi<()> {
        let one = self.ex.callbacks.borrow_mut().registrations.remove(&handle);
        let Some(one) = one else {
            let message = format!("{handle:#x} was unregistered, which is no registered callback");
            return self.find(ids::CALLBACK, message, self.given_back(handle));
        };
        self.pool_free(handle, Some(REGISTRATION_TAG))?;
        self.obf_dereference_object(one.object)?;
        Ok(())
    }

    /// `VOID ExNotifyCallback(PVOID, PVOID Argument1, PVOID Argument2)`
    ///
    /// Calls the routines that are registered, in the order of their handles' addresses.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; the routines run at it.
    /// - Findings: none of its own.
    /// - Yields: inside the routines.
    /// - Source: WDK reference, wdm.ExNotifyCallback.
    pub fn ex_notify_callback(&self, object: u64, argument1: u64, argument2: u64) -> Ddi<()> {
        let handles: Vec<u64> = {
            let callbacks = self.ex.callbacks.borrow();
            let wanted = callbacks
                .registrations
                .iter()
                .filter(|(_, one)| one.object == object);
            wanted.map(|(handle, _)| *handle).collect()
        };
        for handle in handles {
            let one = self
                .ex
                .callbacks
                .borrow()
                .registrations
                .get(&handle)
                .cloned();
            if let Some(one) = one {
                self.call(
                    "CallbackFunction",
                    one.routine,
                    &[one.context, argument1, argument2],
                );
            }
        }
        Ok(())
    }

    /// Registrations of routines inside `image`.
    #[must_use]
    pub fn callbacks_left_by(&self, image: &Range<u64>) -> Vec<CallbackLeft> {
        let callbacks = self.ex.callbacks.borrow();
        let left = callbacks
            .registrations
            .values()
            .filter(|one| image.contains(&one.routine));
        left.map(|one| CallbackLeft {
            routine: one.routine,
            place: one.place.clone(),
        })
        .collect()
    }

    /// Reports callback routines of `driver`, whose image is `image`, that are still
    /// registered. For the moment after its Unload routine has returned.
    ///
    /// Findings: `CALLBACK`.
    pub(crate) fn find_callbacks_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        for left in self.callbacks_left_by(image) {
            let routine = left.routine;
            let message = format!(
                "{driver} was unloaded and its callback routine {routine:#x} is still registered"
            );
            self.find(
                ids::CALLBACK,
                message,
                Some((String::from("registered here"), left.place)),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;
    use zerocopy::FromZeros;

    fn attributes(bench: &Bench, name: &str) -> DriverPtr<ObjectAttributes> {
        let pointer = DriverPtr::new(bench.variable(48));
        let mut value = ObjectAttributes::new_zeroed();
        value.length = 48;
        value.object_name = bench.unicode(name);
        bench.kernel.write(pointer, value).unwrap();
        pointer
    }

    fn create(bench: &Bench, name: &str, create: u8, multiple: u8) -> Result<u64, NtStatus> {
        let out = DriverPtr::new(bench.variable(8));
        let attributes = attributes(bench, name);
        match bench
            .kernel
            .ex_create_callback(out, attributes, create, multiple)
            .unwrap()
        {
            NtStatus::SUCCESS => Ok(bench.kernel.read(out).unwrap()),
            status => Err(status),
        }
    }

    #[test]
    fn an_object_is_made_once_and_opened_by_name_after() {
        let bench = Bench::new(Config::default());
        assert_eq!(
            create(&bench, r"\Callback\Sample", 0, 0),
            Err(NtStatus::OBJECT_NAME_NOT_FOUND)
        );
        let object = create(&bench, r"\Callback\Sample", 1, 0).unwrap();
        assert_eq!(create(&bench, r"\callback\sample", 1, 0), Ok(object));
        bench.kernel.obf_dereference_object(object).unwrap();
        bench.kernel.obf_dereference_object(object).unwrap();
        assert_eq!(
            create(&bench, r"\Callback\Sample", 0, 0),
            Err(NtStatus::OBJECT_NAME_NOT_FOUND)
        );
    }

    #[test]
    fn a_notification_calls_the_registered_routines_with_their_context() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let sum = DriverPtr::<u64>::new(bench.variable(8));
        let routine = bench.routine(move |kernel, arguments| {
            kernel.write(sum, kernel.read(sum)? + arguments.iter().sum::<u64>())?;
            Ok(0)
        });
        let object = create(&bench, r"\Callback\Sample", 1, 1).unwrap();
        let first = kernel.ex_register_callback(object, routine, 1).unwrap();
        kernel.ex_register_callback(object, routine, 100).unwrap();
        kernel.ex_notify_callback(object, 1000, 10_000).unwrap();
        assert_eq!(kernel.read(sum), Ok(22_101));
        kernel.ex_unregister_callback(first).unwrap();
        kernel.ex_notify_callback(object, 0, 0).unwrap();
        assert_eq!(kernel.read(sum), Ok(22_201));
        kernel.ex_unregister_callback(first).unwrap();
        kernel
            .find_callbacks_left("sample", &(routine..routine + 1))
            .unwrap();
        assert_eq!(bench.rules(), [ids::CALLBACK; 2]);
    }

    #[test]
    fn an_object_for_one_routine_takes_one() {
        let bench = Bench::new(Config::default());
        let object = create(&bench, r"\Callback\Sample", 1, 0).unwrap();
        assert_ne!(bench.kernel.ex_register_callback(object, 1, 0), Ok(0));
        assert_eq!(bench.kernel.ex_register_callback(object, 2, 0), Ok(0));
    }
}
