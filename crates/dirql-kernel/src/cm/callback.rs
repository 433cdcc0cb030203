//! Routines that drivers want called before and after operations on the registry.
//!
//! They are called for what drivers do by the `Zw` routines, and by the `Rtl` routines that change a
//! value, the one with the highest altitude first, and afterwards in reverse. What the system itself
//! does, and what is only read by `Rtl` routines, they do not hear of; nor of handles that are closed.
//! Contexts of key objects are not modelled.
//!
//! Source: WDK, "Filtering Registry Calls"; wdm.CmRegisterCallbackEx, wdm.CmUnRegisterCallback,
//! wdm.CmGetCallbackVersion, wdm.EX_CALLBACK_FUNCTION, wdm.REG_NOTIFY_CLASS and the structures
//! that it names.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::cmp::Ordering;
use core::ops::Range;

use dirql_abi::NtStatus;
use dirql_abi::string::UnicodeString;
use dirql_rules::{Place, ids};

use crate::{Ddi, DriverPtr, Kernel};

/// Bytes for what a routine is told, before and after: the longest structure has 14 words.
const TOLD_BYTES: u64 = 256;

/// Where in that what it is told afterwards lies.
const AFTERWARDS: u64 = 128;

/// An operation, by the numbers of REG_NOTIFY_CLASS: before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    before: u64,
    after: u64,
}

const fn operation(before: u64, after: u64) -> Operation {
    Operation { before, after }
}

pub(super) const DELETE_KEY: Operation = operation(0, 15);
pub(super) const SET_VALUE: Operation = operation(1, 16);
pub(super) const DELETE_VALUE: Operation = operation(2, 17);
pub(super) const ENUMERATE_KEY: Operation = operation(5, 20);
pub(super) const ENUMERATE_VALUE: Operation = operation(6, 21);
pub(super) const QUERY_KEY: Operation = operation(7, 22);
pub(super) const QUERY_VALUE: Operation = operation(8, 23);
pub(super) const CREATE_KEY: Operation = operation(26, 27);
pub(super) const OPEN_KEY: Operation = operation(28, 29);
pub(super) const FLUSH_KEY: Operation = operation(30, 31);

#[derive(Clone, Debug)]
struct Callback {
    cookie: u64,
    routine: u64,
    context: u64,
    altitude: String,
    place: Place,
}

/// The routines there are, the highest altitude first.
#[derive(Default)]
pub(super) struct Callbacks {
    all: RefCell<Vec<Callback>>,
    last: core::cell::Cell<u64>,
    /// Memory for what routines are told that nobody uses.
    free: RefCell<Vec<u64>>,
}

/// How two altitudes compare: decimal numbers, with a fraction perhaps, of any length.
pub(crate) fn compare_altitudes(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole = String::from(whole.trim_start_matches('0'));
        let fraction = String::from(fraction.trim_end_matches('0'));
        (whole.len(), whole, fraction)
    };
    parts(one).cmp(&parts(other))
}

impl Kernel {
    /// `NTSTATUS CmRegisterCallbackEx(PEX_CALLBACK_FUNCTION, PCUNICODE_STRING Altitude, PVOID Driver,
    /// PVOID Context, PLARGE_INTEGER Cookie, PVOID Reserved)`, and without an altitude
    /// `CmRegisterCallback`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: FLT_INSTANCE_ALTITUDE_COLLISION if another routine has the altitude.
    /// - Source: WDK reference, wdm.CmRegisterCallbackEx.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn cm_register_callback_ex(
        &self,
        routine: u64,
        altitude: DriverPtr<UnicodeString>,
        context: u64,
        cookie: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let altitude = match altitude.is_null() {
            true => String::new(),
            false => self.text_of(altitude)?,
        };
        let callbacks = &self.cm.callbacks;
        let taken = |one: &Callback| {
            !altitude.is_empty() && compare_altitudes(&one.altitude, &altitude).is_eq()
        };
        if callbacks.all.borrow().iter().any(taken) {
            return Ok(NtStatus::FLT_INSTANCE_ALTITUDE_COLLISION);
        }
        let number = callbacks.last.get() + 1;
        self.write(cookie, number)?;
        callbacks.last.set(number);
        let callback = Callback {
            cookie: number,
            routine,
            context,
            altitude,
            place: self.here(),
        };
        let mut all = callbacks.all.borrow_mut();
        all.push(callback);
        all.sort_by(|one, other| compare_altitudes(&other.altitude, &one.altitude));
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS CmUnRegisterCallback(LARGE_INTEGER Cookie)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: INVALID_PARAMETER for what is no routine's.
    /// - Source: WDK reference, wdm.CmUnRegisterCallback.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn cm_unregister_callback(&self, cookie: u64) -> Ddi<NtStatus> {
        let mut all = self.cm.callbacks.all.borrow_mut();
        let Some(index) = all.iter().position(|one| one.cookie == cookie) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        all.remove(index);
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID CmGetCallbackVersion(PULONG Major, PULONG Minor)`: 1.0; either may be NULL.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Source: WDK reference, wdm.CmGetCallbackVersion.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn cm_get_callback_version(&self, major: DriverPtr<u32>, minor: DriverPtr<u32>) -> Ddi<()> {
        for (number, value) in [(major, 1), (minor, 0)] {
            if !number.is_null() {
                self.write(number, value)?;
            }
        }
        Ok(())
    }

    /// Whether a cookie is that of a routine.
    pub(super) fn is_registry_callback(&self, cookie: u64) -> bool {
        let all = self.cm.callbacks.all.borrow();
        all.iter().any(|one| one.cookie == cookie)
    }

    /// Whether anybody wants to hear of operations.
    pub(super) fn has_registry_callbacks(&self) -> bool {
        !self.cm.callbacks.all.borrow().is_empty()
    }

    /// Does `act` on the key object `object`, with the routines called before and after. `words`
    /// are the operation's structure up to its `CallContext`.
    pub(super) fn filtered(
        &self,
        operation: Operation,
        object: u64,
        words: &[u64],
        act: impl FnOnce(&Self) -> Ddi<NtStatus>,
    ) -> Ddi<NtStatus> {
        if !self.has_registry_callbacks() {
            return act(self);
        }
        let free = self.cm.callbacks.free.borrow_mut().pop();
        let told = free.unwrap_or_else(|| self.allocate_system(TOLD_BYTES));
        let result = self.call_around(operation, object, (told, words), act);
        self.cm.callbacks.free.borrow_mut().push(told);
        result
    }

    fn call_around(
        &self,
        operation: Operation,
        object: u64,
        (told, words): (u64, &[u64]),
        act: impl FnOnce(&Self) -> Ddi<NtStatus>,
    ) -> Ddi<NtStatus> {
        let callbacks = self.cm.callbacks.all.borrow().clone();
        self.write_bytes(told, &[0; TOLD_BYTES as usize])?;
        let first = DriverPtr::<u64>::new(told);
        for (index, word) in words.iter().enumerate() {
            self.write(first.element(index), *word)?;
        }
        let call_context = first.element(words.len());
        let mut asked = Vec::new();
        let mut refused = None;
        for callback in callbacks {
            self.write(call_context, 0)?;
            let arguments = [callback.context, operation.before, told];
            let status =
                self.call_at_same_level("RegistryCallback", callback.routine, &arguments)?;
            let status = NtStatus::from_bits(status as u32);
            if status == NtStatus::CALLBACK_BYPASS {
                refused = Some(NtStatus::SUCCESS);
            } else if !status.is_success() {
                refused = Some(status);
            }
            if refused.is_some() {
                break;
            }
            asked.push((callback, self.read(call_context)?));
        }
        let mut status = match refused {
            Some(status) => status,
            None => act(self)?,
        };
        for (callback, context) in asked.into_iter().rev() {
            // Object, Status, PreInformation, ReturnStatus, CallContext.
            let bits = u64::from(status.bits());
            let afterwards = DriverPtr::<[u64; 5]>::new(told + AFTERWARDS);
            self.write(afterwards, [object, bits, told, bits, context])?;
            let arguments = [callback.context, operation.after, told + AFTERWARDS];
            let answer =
                self.call_at_same_level("RegistryCallback", callback.routine, &arguments)?;
            if NtStatus::from_bits(answer as u32) == NtStatus::CALLBACK_BYPASS {
                status = NtStatus::from_bits(self.read(afterwards)?[3] as u32);
            }
        }
        Ok(status)
    }

    /// Reports routines that `driver`, whose image is `image`, has left registered.
    ///
    /// Findings: `NOTIFY_LEFT`.
    pub(crate) fn find_registry_callbacks_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        let left: Vec<Callback> = {
            let mut all = self.cm.callbacks.all.borrow_mut();
            let theirs = all.iter().filter(|one| image.contains(&one.routine));
            let left = theirs.cloned().collect();
            all.retain(|one| !image.contains(&one.routine));
            left
        };
        for one in left {
            let message = format!(
                "{driver} was unloaded and its registry callback {:#x} is still registered",
                one.routine
            );
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

    /// A key of `bench` that is open.
    fn key(bench: &Bench) -> u64 {
        let handle = DriverPtr::<u64>::new(bench.variable(8));
        let attributes = bench.object_attributes(r"\Registry\Machine\Software\Key");
        bench.kernel.registry_create(r"\Registry\Machine\Software");
        let kernel = &bench.kernel;
        let created = kernel
            .zw_create_key(
                handle,
                0,
                attributes,
                0,
                DriverPtr::NULL,
                0,
                DriverPtr::NULL,
            )
            .unwrap();
        assert_eq!(created, NtStatus::SUCCESS);
        kernel.read(handle).unwrap()
    }

    fn set(bench: &Bench, key: u64) -> NtStatus {
        let name = DriverPtr::new(bench.unicode("Value"));
        let data = bench.variable(4);
        bench
            .kernel
            .zw_set_value_key(key, name, 0, 4, data, 4)
            .unwrap()
    }

    /// Registers a routine that writes down what it hears, and answers `before` before.
    fn register(bench: &Bench, log: &Log, altitude: &'static str, before: NtStatus) -> NtStatus {
        let log = log.clone();
        let routine = bench.routine(move |kernel, arguments| {
            let [context, what, told, ..] = arguments[..] else {
                panic!("three arguments");
            };
            assert_eq!(context, 7);
            if what == SET_VALUE.before {
                let name = kernel.read(DriverPtr::<[u64; 6]>::new(told))?[1];
                let name = kernel.text_of(DriverPtr::new(name))?;
                log.add(format!("{altitude} before {name}"));
                kernel.write(DriverPtr::<u64>::new(told).element(5), 42)?;
                return Ok(u64::from(before.bits()));
            }
            if what == SET_VALUE.after {
                let told = kernel.read(DriverPtr::<[u64; 5]>::new(told))?;
                assert_eq!(told[4], 42);
                log.add(format!("{altitude} after {:#x}", told[1]));
            }
            Ok(0)
        });
        let altitude = DriverPtr::new(bench.unicode(altitude));
        let cookie = DriverPtr::<u64>::new(bench.variable(8));
        let kernel = &bench.kernel;
        let status = kernel.cm_register_callback_ex(routine, altitude, 7, cookie);
        status.unwrap()
    }

    #[test]
    fn altitudes_are_decimal_numbers_of_any_length() {
        let order = [
            "",
            "9",
            "10",
            "385100.1",
            "385100.15",
            "385100.2",
            "1000000",
        ];
        assert!(order.is_sorted_by(|one, other| compare_altitudes(one, other).is_lt()));
        assert!(compare_altitudes("010.50", "10.5").is_eq());
    }

    #[test]
    fn the_highest_altitude_hears_of_an_operation_first_and_last() {
        let bench = Bench::new(Config::default());
        let log = Log::default();
        assert_eq!(
            register(&bench, &log, "20", NtStatus::SUCCESS),
            NtStatus::SUCCESS
        );
        assert_eq!(
            register(&bench, &log, "100", NtStatus::SUCCESS),
            NtStatus::SUCCESS
        );
        let collision = register(&bench, &log, "20.0", NtStatus::SUCCESS);
        assert_eq!(collision, NtStatus::FLT_INSTANCE_ALTITUDE_COLLISION);
        let key = key(&bench);
        assert_eq!(set(&bench, key), NtStatus::SUCCESS);
        assert_eq!(
            log.take(),
            [
                "100 before Value",
                "20 before Value",
                "20 after 0x0",
                "100 after 0x0"
            ]
        );
    }

    #[test]
    fn what_the_run_time_library_changes_is_heard_of() {
        let bench = Bench::new(Config::default());
        let log = Log::default();
        key(&bench);
        register(&bench, &log, "1", NtStatus::SUCCESS);
        let kernel = &bench.kernel;
        let text = |text: &str| {
            let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
            let at = bench.variable(2 * units.len() as u64);
            kernel
                .write_units(at, &units, crate::rtl::Width::Wide)
                .unwrap();
            at
        };
        let (path, name) = (text(r"\Registry\Machine\Software\Key"), text("Number"));
        let data = bench.variable(4);
        let written = kernel.rtl_write_registry_value(0, path, name, 4, data, 4);
        assert_eq!(written, Ok(NtStatus::SUCCESS));
        assert_eq!(log.take(), ["1 before Number", "1 after 0x0"]);
        let deleted = kernel.rtl_delete_registry_value(0, path, name);
        assert_eq!(deleted, Ok(NtStatus::SUCCESS));
        let deleted = kernel.rtl_delete_registry_value(0, path, name);
        assert_eq!(deleted, Ok(NtStatus::OBJECT_NAME_NOT_FOUND));
        register(&bench, &log, "2", NtStatus::ACCESS_DENIED);
        let written = kernel.rtl_write_registry_value(0, path, name, 4, data, 4);
        assert_eq!(written, Ok(NtStatus::ACCESS_DENIED));
    }

    #[test]
    fn a_routine_can_refuse_an_operation_or_do_it_itself() {
        for (answer, comes_back) in [
            (NtStatus::ACCESS_DENIED, NtStatus::ACCESS_DENIED),
            (NtStatus::CALLBACK_BYPASS, NtStatus::SUCCESS),
        ] {
            let bench = Bench::new(Config::default());
            let log = Log::default();
            register(&bench, &log, "20", answer);
            let key = key(&bench);
            assert_eq!(set(&bench, key), comes_back);
            assert_eq!(log.take(), ["20 before Value"]);
            let path = r"\Registry\Machine\Software\Key";
            assert_eq!(bench.kernel.registry_get(path, "Value"), None);
        }
    }

    #[test]
    fn a_routine_is_called_no_more_once_it_is_unregistered_and_missed_if_it_is_not() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let log = Log::default();
        register(&bench, &log, "20", NtStatus::SUCCESS);
        assert_eq!(kernel.cm_unregister_callback(1), Ok(NtStatus::SUCCESS));
        assert_eq!(
            kernel.cm_unregister_callback(1),
            Ok(NtStatus::INVALID_PARAMETER)
        );
        let key = key(&bench);
        set(&bench, key);
        assert_eq!(log.len(), 0);
        register(&bench, &log, "20", NtStatus::SUCCESS);
        kernel
            .find_registry_callbacks_left("sample", &(0..u64::MAX))
            .unwrap();
        assert_eq!(bench.rules(), [ids::NOTIFY_LEFT]);
    }
}
