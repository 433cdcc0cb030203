//! Power settings and power requests.
//!
//! The computer is one on mains power, with its display on. A setting's value never changes in a
//! run, so that a callback is called once, with the value that there is, from a thread of
//! the system's (note N0193).
//!
//! Source: WDK reference, wdm.PoRegisterPowerSettingCallback, wdm.PoCreatePowerRequest and its
//! relatives; "Power Setting GUIDs".

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_rules::{Place, ids};
use zerocopy::IntoBytes;

use crate::ke::ThreadBody;
use crate::{Ddi, DriverPtr, Kernel};

/// Priority of the thread that calls back.
const PRIORITY: u8 = 12;

/// Settings whose value is a ULONG, and the value.
const NUMBERS: &[(Guid, u32)] = &[
    // GUID_ACDC_POWER_SOURCE: PoAc.
    (
        Guid::new(
            0x5D3E_9A59,
            0xE9D5,
            0x4B00,
            [0xA6, 0xBD, 0xFF, 0x34, 0xFF, 0x51, 0x65, 0x48],
        ),
        0,
    ),
    // GUID_CONSOLE_DISPLAY_STATE: PowerMonitorOn.
    (
        Guid::new(
            0x6FE6_9556,
            0x704A,
            0x47A0,
            [0x8F, 0x24, 0xC2, 0x8D, 0x93, 0x6F, 0xDA, 0x47],
        ),
        1,
    ),
    // GUID_MONITOR_POWER_ON.
    (
        Guid::new(
            0x0273_1015,
            0x4510,
            0x4526,
            [0x99, 0xE6, 0xE5, 0xA1, 0x7E, 0xBD, 0x1A, 0xEA],
        ),
        1,
    ),
    // GUID_SYSTEM_AWAYMODE: not away.
    (
        Guid::new(
            0x98A7_F580,
            0x01F7,
            0x48AA,
            [0x9C, 0x0F, 0x44, 0x35, 0x2C, 0x29, 0xE5, 0xC0],
        ),
        0,
    ),
    // GUID_BATTERY_PERCENTAGE_REMAINING.
    (
        Guid::new(
            0xA7AD_8041,
            0xB45A,
            0x4CAE,
            [0x87, 0xA3, 0xEE, 0xCB, 0xB4, 0x68, 0xA9, 0xE1],
        ),
        100,
    ),
    // GUID_POWER_SAVING_STATUS: off.
    (
        Guid::new(
            0xE009_58C0,
            0xC213,
            0x4ACE,
            [0xAC, 0x77, 0xFE, 0xCC, 0xED, 0x2E, 0xEE, 0xA5],
        ),
        0,
    ),
];

/// GUID_POWERSCHEME_PERSONALITY, and GUID_TYPICAL_POWER_SAVINGS, which is its value.
const PERSONALITY: Guid = Guid::new(
    0x245D_8541,
    0x3943,
    0x4422,
    [0xB0, 0x25, 0x13, 0xA7, 0x84, 0xF6, 0x79, 0xB7],
);
const TYPICAL: Guid = Guid::new(
    0x381B_4222,
    0xF694,
    0x41F0,
    [0x96, 0x85, 0xFF, 0x5B, 0xB2, 0x60, 0xDF, 0x2E],
);

/// The value of a setting, if the system has it.
fn value_of(setting: &Guid) -> Option<Vec<u8>> {
    if *setting == PERSONALITY {
        return Some(TYPICAL.as_bytes().to_vec());
    }
    let known = NUMBERS.iter().find(|(guid, _)| guid == setting);
    known.map(|(_, value)| value.to_le_bytes().to_vec())
}

/// What drivers have registered with the power manager, by handle.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    last: u64,
    live: BTreeMap<u64, Registration>,
}

#[derive(Clone, Debug)]
struct Registration {
    what: &'static str,
    place: Place,
    /// How often each kind of a power request is set.
    set: [u32; REQUEST_KINDS],
}

/// `POWER_REQUEST_TYPE`: display, system, away mode, execution.
const REQUEST_KINDS: usize = 4;

const SETTING: &str = "a power setting callback";
const REQUEST: &str = "a power request";
const SYSTEM_STATE: &str = "a system state";

impl Kernel {
    fn register_with_power(&self, what: &'static str) -> u64 {
        let place = self.here();
        let mut all = self.io.po.registrations.borrow_mut();
        all.last += 1;
        // Handles look like addresses of nonpaged memory to a driver; they are never read.
        let handle = all.last << 4;
        let set = [0; REQUEST_KINDS];
        all.live.insert(handle, Registration { what, place, set });
        handle
    }

    fn is_registered(&self, handle: u64, what: &str) -> bool {
        let all = self.io.po.registrations.borrow();
        all.live
            .get(&handle)
            .is_some_and(|known| known.what == what)
    }

    fn unregister_from_power(&self, handle: u64, what: &str) -> bool {
        let known = self.is_registered(handle, what);
        if known {
            self.io.po.registrations.borrow_mut().live.remove(&handle);
        }
        known
    }

    /// `NTSTATUS PoRegisterPowerSettingCallback(PDEVICE_OBJECT, LPCGUID, PPOWER_SETTING_CALLBACK, PVOID Context, PVOID *Handle)`
    ///
    /// Calls `Callback(SettingGuid, Value, ValueLength, Context)` at PASSIVE_LEVEL, from a thread of
    /// the system's, with the setting's value if the system has it.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER without a callback.
    /// - Source: WDK reference, wdm.PoRegisterPowerSettingCallback.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn po_register_power_setting_callback(
        &self,
        setting: DriverPtr<Guid>,
        callback: u64,
        context: u64,
        handle: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        if callback == 0 || setting.is_null() {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let guid = self.read(setting)?;
        let number = self.register_with_power(SETTING);
        if !handle.is_null() {
            self.write(handle, number)?;
        }
        if let Some(value) = value_of(&guid) {
            let body = move |kernel: &Kernel| {
                if !kernel.is_registered(number, SETTING) {
                    return Ok(());
                }
                let memory = kernel.allocate_system(48);
                kernel.write(DriverPtr::new(memory), guid)?;
                kernel.write_bytes(memory + 16, &value)?;
                let arguments = [memory, memory + 16, value.len() as u64, context];
                kernel.call_at_same_level("PowerSettingCallback", callback, &arguments)?;
                Ok(())
            };
            self.spawn_thread(
                "power setting",
                PRIORITY,
                ThreadBody::Native(Box::new(body)),
            );
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS PoUnregisterPowerSettingCallback(PVOID Handle)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for what is not registered.
    /// - Source: WDK reference, wdm.PoUnregisterPowerSettingCallback.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn po_unregister_power_setting_callback(&self, handle: u64) -> Ddi<NtStatus> {
        Ok(if self.unregister_from_power(handle, SETTING) {
            NtStatus::SUCCESS
        } else {
            NtStatus::INVALID_PARAMETER
        })
    }

    /// `PVOID PoRegisterSystemState(PVOID StateHandle, EXECUTION_STATE Flags)`: the system does
    /// not sleep by itself, so that being asked to stay awake changes nothing but the handle.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the handle, a new one if there was none.
    /// - Source: WDK reference, ntifs.PoRegisterSystemState.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn po_register_system_state(&self, handle: u64, _flags: u32) -> Ddi<u64> {
        Ok(if self.is_registered(handle, SYSTEM_STATE) {
            handle
        } else {
            self.register_with_power(SYSTEM_STATE)
        })
    }

    /// `VOID PoUnregisterSystemState(PVOID StateHandle)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0533 what is not registered.
    /// - Source: WDK reference, ntifs.PoUnregisterSystemState.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_unregister_system_state(&self, handle: u64) -> Ddi<()> {
        if self.unregister_from_power(handle, SYSTEM_STATE) {
            return Ok(());
        }
        self.not_registered(handle, SYSTEM_STATE)
    }

    /// `NTSTATUS PoCreatePowerRequest(PVOID *PowerRequest, PDEVICE_OBJECT, PCOUNTED_REASON_CONTEXT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER without a device.
    /// - Source: WDK reference, ntifs.PoCreatePowerRequest.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn po_create_power_request(&self, request: DriverPtr<u64>, device: u64) -> Ddi<NtStatus> {
        if device == 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let number = self.register_with_power(REQUEST);
        self.write(request, number)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS PoSetPowerRequest(PVOID PowerRequest, POWER_REQUEST_TYPE)`, `PoClearPowerRequest`:
    /// counts.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for a type that is none; UNSUCCESSFUL if it is
    ///   cleared more often than set.
    /// - Findings: DQ0533 what is no such request.
    /// - Source: WDK reference, ntifs.PoSetPowerRequest, ntifs.PoClearPowerRequest.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_change_power_request(&self, request: u64, kind: u32, set: bool) -> Ddi<NtStatus> {
        if kind as usize >= REQUEST_KINDS {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        if !self.is_registered(request, REQUEST) {
            self.not_registered(request, REQUEST)?;
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let mut all = self.io.po.registrations.borrow_mut();
        let count = all
            .live
            .get_mut(&request)
            .map(|known| &mut known.set[kind as usize]);
        let changed = count.and_then(|count| {
            *count = if set {
                count.checked_add(1)?
            } else {
                count.checked_sub(1)?
            };
            Some(())
        });
        Ok(changed.map_or(NtStatus::UNSUCCESSFUL, |()| NtStatus::SUCCESS))
    }

    /// `VOID PoDeletePowerRequest(PVOID PowerRequest)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: DQ0533 what is no such request.
    /// - Source: WDK reference, ntifs.PoDeletePowerRequest.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_delete_power_request(&self, request: u64) -> Ddi<()> {
        if self.unregister_from_power(request, REQUEST) {
            return Ok(());
        }
        self.not_registered(request, REQUEST)
    }

    fn not_registered(&self, handle: u64, what: &str) -> Ddi<()> {
        let message = format!("{handle:#x} is not {what} that is registered");
        self.find(ids::POWER_REGISTRATION, message, None)
    }

    /// Reports what `driver`, whose image is `image`, has left registered with the power
    /// manager.
    pub(crate) fn find_power_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        let left: Vec<Registration> = {
            let mut all = self.io.po.registrations.borrow_mut();
            let mut left = Vec::new();
            all.live.retain(|_, known| {
                let theirs = image.contains(&known.place.address);
                if theirs {
                    left.push(known.clone());
                }
                !theirs
            });
            left
        };
        for known in left {
            let message = format!("{driver} was unloaded and left {} registered", known.what);
            let earlier = Some((String::from("registered here"), known.place));
            self.find(ids::POWER_REGISTRATION, message, earlier)?;
        }
        self.find_framework_devices_left(driver, image)
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;
    use core::cell::RefCell;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn a_callback_gets_the_value_that_there_is_and_none_for_what_is_unknown() {
        let bench = Bench::new(Config::default());
        let calls = Rc::new(RefCell::new(Vec::new()));
        let log = calls.clone();
        let callback = bench.routine(move |kernel, arguments| {
            let value = kernel.read_bytes(arguments[1], arguments[2] as usize)?;
            log.borrow_mut().push((value, arguments[3]));
            Ok(0)
        });
        let guid = DriverPtr::<Guid>::new(bench.variable(16));
        let handle = DriverPtr::<u64>::new(bench.variable(8));
        bench.on_thread(move |kernel| {
            for setting in [NUMBERS[1].0, PERSONALITY, TYPICAL] {
                kernel.write(guid, setting)?;
                let status =
                    kernel.po_register_power_setting_callback(guid, callback, 5, handle)?;
                assert_eq!(status, NtStatus::SUCCESS);
            }
            Ok(())
        });
        assert_eq!(
            *calls.borrow(),
            [
                (alloc::vec![1, 0, 0, 0], 5),
                (TYPICAL.as_bytes().to_vec(), 5)
            ]
        );
        let kernel = &bench.kernel;
        let last = kernel.read(handle).unwrap();
        let unregister = || kernel.po_unregister_power_setting_callback(last);
        assert_eq!(unregister(), Ok(NtStatus::SUCCESS));
        assert_eq!(unregister(), Ok(NtStatus::INVALID_PARAMETER));
        // Two are left, which is one finding because they were registered at one place.
        kernel.find_power_left("sample", &(0..1)).unwrap();
        assert_eq!(bench.rules(), [ids::POWER_REGISTRATION]);
    }

    #[test]
    fn a_power_request_is_cleared_as_often_as_it_was_set() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let slot = DriverPtr::<u64>::new(bench.variable(8));
        kernel.po_create_power_request(slot, 1).unwrap();
        let request = kernel.read(slot).unwrap();
        let change = |kind, set| kernel.po_change_power_request(request, kind, set).unwrap();
        assert_eq!(change(1, true), NtStatus::SUCCESS);
        assert_eq!(change(1, false), NtStatus::SUCCESS);
        assert_eq!(change(1, false), NtStatus::UNSUCCESSFUL);
        assert_eq!(change(4, true), NtStatus::INVALID_PARAMETER);
        kernel.po_delete_power_request(request).unwrap();
        assert!(bench.rules().is_empty());
        kernel.po_delete_power_request(request).unwrap();
        assert_eq!(bench.rules(), [ids::POWER_REGISTRATION]);
    }
}
