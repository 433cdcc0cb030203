//! The power management framework: run-time power of a device's components.
//!
//! A component is active while somebody holds a reference to it, idle otherwise. When all
//! components of a device have been idle for its idle time-out, the framework tells the driver that
//! the device's power is not required; the first activation after that requires it again, and the
//! driver says when the device is on. Idle components go to their deepest state at once: nothing
//! is assumed of latency or residency, which are hints (note N0192).
//!
//! A device's callbacks are called one after the other, by a thread of the framework's. A caller
//! that asks for a blocking change waits for that thread.
//!
//! Not modelled: performance states, a platform extension, directed power transitions.
//!
//! Source: WDK, "Component-Level Power Management", "Device-Level Power Management"; wdm.PoFxRegisterDevice
//! and its relatives, `PO_FX_DEVICE`, `PO_FX_COMPONENT`.

mod device;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::{Irql, NtStatus};
use dirql_rules::{Place, ids};

use self::device::{Callbacks, Component, Condition, Device, Power, Step};
use crate::ke::ThreadBody;
use crate::{Ddi, DriverPtr, Kernel};

/// Priority of the thread that calls back.
const PRIORITY: u8 = 12;

/// `PO_FX_FLAG_BLOCKING`.
const BLOCKING: u32 = 1;

/// Most components that a driver can claim to have.
const MOST_COMPONENTS: u32 = 4096;

/// Every registered device, by handle.
#[derive(Debug, Default)]
pub(super) struct Framework {
    last: u64,
    devices: BTreeMap<u64, Device>,
}

impl Kernel {
    /// `NTSTATUS PoFxRegisterDevice(PDEVICE_OBJECT Pdo, PPO_FX_DEVICE Device, POHANDLE *Handle)`
    ///
    /// From now on the framework knows the device; its components are active until power
    /// management is started.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for a version that is none, no components, or a
    ///   device that is registered already.
    /// - Source: WDK reference, wdm.PoFxRegisterDevice, `PO_FX_DEVICE`.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn po_fx_register_device(
        &self,
        physical_device: u64,
        device: u64,
        handle: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        self.expect_device(physical_device)?;
        let twice = {
            let framework = self.io.po.framework.borrow();
            let mut devices = framework.devices.values();
            devices.any(|known| known.physical_device == physical_device)
        };
        let Some(known) = self.read_framework_device(physical_device, device)? else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        if twice {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let number = {
            let mut framework = self.io.po.framework.borrow_mut();
            framework.last += 1;
            let number = framework.last << 4;
            framework.devices.insert(number, known);
            number
        };
        self.write(handle, number)?;
        Ok(NtStatus::SUCCESS)
    }

    fn read_framework_device(&self, physical_device: u64, device: u64) -> Ddi<Option<Device>> {
        let quad = |offset: u64| self.read(DriverPtr::<u64>::new(device.wrapping_add(offset)));
        let long = |offset: u64| self.read(DriverPtr::<u32>::new(device.wrapping_add(offset)));
        // Offsets of the callbacks, the context, the number of components and the first one;
        // bytes of one, and where it has its number of idle states.
        let (callbacks, context, count, first, size, states) = match long(0)? {
            1 => (8, 56, 4, 64, 32, 16),
            2 => (16, 64, 72, 80, 56, 28),
            3 => (16, 88, 96, 104, 56, 28),
            _ => return Ok(None),
        };
        let count = long(count)?;
        if count == 0 || count > MOST_COMPONENTS {
            return Ok(None);
        }
        let mut components = Vec::new();
        for index in 0..u64::from(count) {
            let states = long(first + size * index + states)?;
            components.push(Component {
                references: 0,
                condition: Condition::Active,
                state: 0,
                deepest: states.saturating_sub(1),
                changes_state: false,
            });
        }
        Ok(Some(Device {
            physical_device,
            callbacks: Callbacks {
                active: quad(callbacks)?,
                idle: quad(callbacks + 8)?,
                idle_state: quad(callbacks + 16)?,
                required: quad(callbacks + 24)?,
                not_required: quad(callbacks + 32)?,
            },
            context: quad(context)?,
            components,
            started: false,
            power: Power::On,
            idle_timeout: 0,
            idle_since: None,
            served: false,
            waiters: Vec::new(),
            place: self.here(),
        }))
    }

    /// `VOID PoFxUnregisterDevice(POHANDLE Handle)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: DQ0534 what is not registered.
    /// - Source: WDK reference, wdm.PoFxUnregisterDevice.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_fx_unregister_device(&self, handle: u64) -> Ddi<()> {
        let known = self.io.po.framework.borrow_mut().devices.remove(&handle);
        match known {
            None => self.no_framework_device(handle),
            Some(device) => {
                for event in device.waiters {
                    self.ke_set_event(DriverPtr::new(event), 0, 0)?;
                }
                Ok(())
            }
        }
    }

    /// `VOID PoFxStartDevicePowerManagement(POHANDLE Handle)`: components without a reference
    /// become idle.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: DQ0534 what is not registered.
    /// - Source: WDK reference, wdm.PoFxStartDevicePowerManagement.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_fx_start_device_power_management(&self, handle: u64) -> Ddi<()> {
        self.change_framework_device(handle, |device| {
            device.started = true;
            true
        })
        .map(|_| ())
    }

    /// `VOID PoFxActivateComponent(POHANDLE, ULONG Component, ULONG Flags)`, `PoFxIdleComponent`
    ///
    /// Takes a reference to a component, or gives one back. With `PO_FX_FLAG_BLOCKING` returns when
    /// the component is active or idle.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; below it if blocking.
    /// - Findings: DQ0534 what is not registered, a component that is none, a reference given back
    ///   that was not taken, blocking at DISPATCH_LEVEL.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.PoFxActivateComponent, wdm.PoFxIdleComponent.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_fx_change_component(
        &self,
        handle: u64,
        component: u32,
        flags: u32,
        activate: bool,
    ) -> Ddi<()> {
        let done = self.change_component(handle, component, |component| {
            let references = if activate {
                component.references.checked_add(1)
            } else {
                component.references.checked_sub(1)
            };
            let changed = references.is_some();
            component.references = references.unwrap_or(component.references);
            changed
        })?;
        if !done {
            return Ok(());
        }
        if flags & BLOCKING == 0 {
            return Ok(());
        }
        if self.irql() >= Irql::DISPATCH {
            let message = format!("a blocking change of a component at {}", self.irql());
            return self.find(ids::POWER_FRAMEWORK, message, None);
        }
        while !self.component_has_settled(handle, component) {
            let event = self.take_event()?;
            let waits = {
                let mut framework = self.io.po.framework.borrow_mut();
                let device = framework.devices.get_mut(&handle);
                device.map(|device| device.waiters.push(event)).is_some()
            };
            if waits {
                self.wait_for(event, None)?;
            }
            self.give_event(event);
        }
        Ok(())
    }

    fn component_has_settled(&self, handle: u64, component: u32) -> bool {
        let framework = self.io.po.framework.borrow();
        let Some(device) = framework.devices.get(&handle) else {
            return true;
        };
        let Some(component) = device.components.get(component as usize) else {
            return true;
        };
        if device.wants_active(component) {
            component.condition == Condition::Active && !component.changes_state
        } else {
            component.condition == Condition::Idle
        }
    }

    /// `VOID PoFxCompleteIdleCondition(POHANDLE, ULONG Component)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0534 if the driver was not told that the component becomes idle.
    /// - Source: WDK reference, wdm.PoFxCompleteIdleCondition.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_fx_complete_idle_condition(&self, handle: u64, component: u32) -> Ddi<()> {
        self.change_component(handle, component, |component| {
            let due = component.condition == Condition::BecomingIdle;
            if due {
                component.condition = Condition::Idle;
            }
            due
        })
        .map(|_| ())
    }

    /// `VOID PoFxCompleteIdleState(POHANDLE, ULONG Component)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0534 if the driver was not told to change the component's state.
    /// - Source: WDK reference, wdm.PoFxCompleteIdleState.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_fx_complete_idle_state(&self, handle: u64, component: u32) -> Ddi<()> {
        self.change_component(handle, component, |component| {
            core::mem::replace(&mut component.changes_state, false)
        })
        .map(|_| ())
    }

    /// `VOID PoFxCompleteDevicePowerNotRequired(POHANDLE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0534 if the driver was not told that power is not required.
    /// - Source: WDK reference, wdm.PoFxCompleteDevicePowerNotRequired.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_fx_complete_device_power_not_required(&self, handle: u64) -> Ddi<()> {
        self.change_framework_device(handle, |device| {
            let due = device.power == Power::GoingOff;
            if due {
                device.power = Power::Off;
            }
            due
        })
        .map(|_| ())
    }

    /// `VOID PoFxReportDevicePoweredOn(POHANDLE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0534 what is not registered. A device that was on stays so.
    /// - Source: WDK reference, wdm.PoFxReportDevicePoweredOn.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_fx_report_device_powered_on(&self, handle: u64) -> Ddi<()> {
        self.change_framework_device(handle, |device| {
            device.power = Power::On;
            true
        })
        .map(|_| ())
    }

    /// `VOID PoFxSetDeviceIdleTimeout(POHANDLE, ULONGLONG IdleTimeout)`, in 100 ns units
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0534 what is not registered.
    /// - Source: WDK reference, wdm.PoFxSetDeviceIdleTimeout.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_fx_set_device_idle_timeout(&self, handle: u64, timeout_100ns: u64) -> Ddi<()> {
        self.change_framework_device(handle, |device| {
            device.idle_timeout = timeout_100ns;
            true
        })
        .map(|_| ())
    }

    /// `VOID PoFxSetComponentLatency`, `PoFxSetComponentResidency`, `PoFxSetComponentWake`: hints,
    /// of which nothing depends here.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0534 what is not registered, a component that is none.
    /// - Source: WDK reference, wdm.PoFxSetComponentLatency.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn po_fx_hint(&self, handle: u64, component: u32) -> Ddi<()> {
        self.change_component(handle, component, |_| true)
            .map(|_| ())
    }

    /// `NTSTATUS PoFxPowerControl(POHANDLE, LPCGUID, PVOID, SIZE_T, PVOID, SIZE_T, PSIZE_T)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: NOT_IMPLEMENTED: the platform has no extension that could take the request.
    /// - Source: WDK reference, wdm.PoFxPowerControl.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn po_fx_power_control(&self, handle: u64) -> Ddi<NtStatus> {
        self.change_framework_device(handle, |_| true)?;
        Ok(NtStatus::NOT_IMPLEMENTED)
    }

    /// Changes a component; `false` if there is none, or if `change` says that nothing was due.
    fn change_component(
        &self,
        handle: u64,
        component: u32,
        change: impl FnOnce(&mut Component) -> bool,
    ) -> Ddi<bool> {
        self.change_framework_device(handle, |device| {
            device
                .components
                .get_mut(component as usize)
                .is_some_and(change)
        })
    }

    /// Changes a device, and has the framework look at it. `false`, with a finding, if there is
    /// none, or if `change` says that nothing of the kind was due.
    fn change_framework_device(
        &self,
        handle: u64,
        change: impl FnOnce(&mut Device) -> bool,
    ) -> Ddi<bool> {
        let changed = {
            let mut framework = self.io.po.framework.borrow_mut();
            framework.devices.get_mut(&handle).map(|device| {
                let due = change(device);
                (due, core::mem::replace(&mut device.served, true))
            })
        };
        let Some((due, served)) = changed else {
            self.no_framework_device(handle)?;
            return Ok(false);
        };
        if !due {
            let message = format!(
                "{} was called for a component or a change that is not outstanding",
                self.here().ddi.unwrap_or("the framework")
            );
            self.find(ids::POWER_FRAMEWORK, message, None)?;
        }
        if !served {
            let body = move |kernel: &Kernel| kernel.serve_framework_device(handle);
            let body = ThreadBody::Native(Box::new(body));
            self.spawn_thread("power framework", PRIORITY, body);
        }
        Ok(due)
    }

    fn no_framework_device(&self, handle: u64) -> Ddi<()> {
        let message = format!("{handle:#x} is no device that is registered with the framework");
        self.find(ids::POWER_FRAMEWORK, message, None)
    }

    /// Calls a device's callbacks until nothing is to be done.
    fn serve_framework_device(&self, handle: u64) -> Ddi<()> {
        loop {
            let now = self.time_100ns();
            let (step, waiters) = {
                let mut framework = self.io.po.framework.borrow_mut();
                let Some(device) = framework.devices.get_mut(&handle) else {
                    return Ok(());
                };
                let step = device.next(now);
                device.served = step != Step::Nothing;
                (step, core::mem::take(&mut device.waiters))
            };
            for event in waiters {
                self.ke_set_event(DriverPtr::new(event), 0, 0)?;
            }
            match step {
                Step::Nothing => return Ok(()),
                Step::Sleep(time) => {
                    let event = self.take_event()?;
                    self.wait_for(event, Some(time))?;
                    self.give_event(event);
                }
                Step::Call(_, 0, _) => {}
                Step::Call(name, routine, arguments) => {
                    self.call_at_same_level(name, routine, &arguments)?;
                }
            }
        }
    }

    /// Reports devices that `driver`, whose image is `image`, has left registered.
    pub(super) fn find_framework_devices_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        let left: Vec<Place> = {
            let mut framework = self.io.po.framework.borrow_mut();
            let mut left = Vec::new();
            framework.devices.retain(|_, device| {
                let theirs = image.contains(&device.place.address);
                if theirs {
                    left.push(device.place.clone());
                }
                !theirs
            });
            left
        };
        for place in left {
            let message =
                format!("{driver} was unloaded and left a device registered with the framework");
            let earlier = Some((String::from("registered here"), place));
            self.find(ids::POWER_FRAMEWORK, message, earlier)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;
    use core::cell::RefCell;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    type Log = Rc<RefCell<Vec<(&'static str, u64)>>>;

    /// A device with one component of two states, whose driver completes everything at once.
    fn register(bench: &Bench) -> (DriverPtr<u64>, Log) {
        let log = Log::default();
        let handle = DriverPtr::<u64>::new(bench.variable(8));
        let device = bench.variable(64 + 32);
        let write = |offset: u64, value: u64| {
            bench
                .kernel
                .write(DriverPtr::new(device + offset), value)
                .unwrap();
        };
        write(0, 1 | 1 << 32);
        write(56, 0x55);
        write(64 + 16, 2);
        type Answer = fn(&Kernel, u64, &[u64]) -> Ddi<()>;
        let answers: [(&'static str, Answer); 5] = [
            ("active", |_, _, _| Ok(())),
            ("idle", |kernel, handle, arguments| {
                kernel.po_fx_complete_idle_condition(handle, arguments[1] as u32)
            }),
            ("state", |kernel, handle, arguments| {
                kernel.po_fx_complete_idle_state(handle, arguments[1] as u32)
            }),
            ("required", |kernel, handle, _| {
                kernel.po_fx_report_device_powered_on(handle)
            }),
            ("not required", |kernel, handle, _| {
                kernel.po_fx_complete_device_power_not_required(handle)
            }),
        ];
        for (index, (name, answer)) in (0..).zip(answers) {
            let log = log.clone();
            let routine = bench.routine(move |kernel, arguments| {
                assert_eq!(arguments[0], 0x55);
                let state = if name == "state" { arguments[2] } else { 0 };
                log.borrow_mut().push((name, state));
                answer(kernel, kernel.read(handle)?, arguments)?;
                Ok(0)
            });
            write(8 + 8 * index, routine);
        }
        let known = bench.kernel.read_framework_device(0, device).unwrap();
        let mut framework = bench.kernel.io.po.framework.borrow_mut();
        framework.devices.insert(16, known.unwrap());
        drop(framework);
        bench.kernel.write(handle, 16).unwrap();
        (handle, log)
    }

    #[test]
    fn components_come_and_go_and_the_device_with_them() {
        let bench = Bench::new(Config::default());
        let (handle, log) = register(&bench);
        bench.on_thread(move |kernel| {
            kernel.po_fx_set_device_idle_timeout(kernel.read(handle)?, 20_000)?;
            kernel.po_fx_start_device_power_management(kernel.read(handle)?)
        });
        let took = || core::mem::take(&mut *log.borrow_mut());
        assert_eq!(took(), [("idle", 0), ("state", 1), ("not required", 0)]);
        assert!(bench.kernel.time_100ns() >= 20_000);
        let seen = log.clone();
        bench.on_thread(move |kernel| {
            kernel.po_fx_change_component(kernel.read(handle)?, 0, BLOCKING, true)?;
            // What it waited for has happened.
            assert_eq!(seen.borrow().last(), Some(&("active", 0)));
            kernel.po_fx_change_component(kernel.read(handle)?, 0, 0, true)?;
            kernel.po_fx_change_component(kernel.read(handle)?, 0, 0, false)
        });
        assert_eq!(took(), [("required", 0), ("state", 0), ("active", 0)]);
        bench.on_thread(move |kernel| {
            kernel.po_fx_change_component(kernel.read(handle)?, 0, BLOCKING, false)
        });
        assert_eq!(took(), [("idle", 0), ("state", 1), ("not required", 0)]);
        assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
    }

    #[test]
    fn what_is_not_outstanding_is_found() {
        let bench = Bench::new(Config::default());
        let (handle, _) = register(&bench);
        bench.on_thread(move |kernel| {
            let handle = kernel.read(handle)?;
            kernel.po_fx_complete_idle_condition(handle, 0)?;
            kernel.po_fx_change_component(handle, 0, 0, false)?;
            kernel.po_fx_hint(handle, 1)?;
            kernel.po_fx_hint(1, 0)
        });
        bench.kernel.find_power_left("sample", &(0..1)).unwrap();
        // Three of them are the same one.
        assert_eq!(bench.rules(), [ids::POWER_FRAMEWORK; 3]);
    }
}
