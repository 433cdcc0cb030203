//! The power manager, as far as drivers meet it.
//!
//! Source: WDK, "Handling Power IRPs", "Calling PoStartNextPowerIrp"; the pages of the
//! routines.
//!
//! Not modelled: system sleep states as such; the bench can send system power requests.
//! Idle detection is registered and never finds a device idle.

mod framework;
mod information;
mod setting;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use core::cell::{Cell, RefCell};

use dirql_abi::NtStatus;
use dirql_abi::irp::{IoStackLocation, Irp, major, minor_power};
use dirql_abi::power::{device_power_state, power_state_type};
use dirql_abi::stack_parameters::{StackParametersPower, StackParametersWaitWake};
use dirql_rules::{Place, ids};
use zerocopy::FromZeros;

use crate::{Ddi, DriverPtr, Kernel, WindowsVersion, at};

/// What a driver asked for with PoRequestPowerIrp.
struct Asked {
    device: u64,
    minor: u8,
    state: u32,
    routine: u64,
    context: u64,
}

/// The state of this part of the kernel.
#[derive(Default)]
pub(crate) struct Po {
    /// Power requests that drivers asked for, by request.
    asked: RefCell<BTreeMap<u64, Asked>>,
    /// Before Vista: power requests at which a driver has not yet called
    /// PoStartNextPowerIrp, by request and device, and where they were sent.
    unanswered: RefCell<BTreeMap<(u64, u64), Place>>,
    /// Device states as drivers have reported them.
    states: RefCell<BTreeMap<u64, u32>>,
    /// Devices with idle detection.
    idle: RefCell<BTreeSet<u64>>,
    framework: RefCell<framework::Framework>,
    registrations: RefCell<setting::Registrations>,
    /// The event that shutting down would signal, once somebody has asked.
    shutdown_event: Cell<u64>,
}

impl Kernel {
    /// `NTSTATUS PoCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp)`
    ///
    /// Sends a power request to the next lower driver. From Windows Vista on this is
    /// IoCallDriver.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; PASSIVE_LEVEL for devices with DO_POWER_PAGABLE.
    /// - Returns: what the dispatch routine returned.
    /// - Findings: those of [`Kernel::iof_call_driver`].
    /// - Source: WDK reference, wdm.PoCallDriver.
    ///
    /// # Errors
    /// As [`Kernel::iof_call_driver`].
    pub fn po_call_driver(&self, device: u64, irp: u64) -> Ddi<NtStatus> {
        if self.config().windows < WindowsVersion::Vista {
            let place = self.here();
            self.io
                .po
                .unanswered
                .borrow_mut()
                .insert((irp, device), place);
        }
        self.iof_call_driver(device, irp)
    }

    /// `VOID PoStartNextPowerIrp(PIRP Irp)`
    ///
    /// Says that the driver can take the next power request. Before Windows Vista every driver
    /// of a stack must call it once for each power request; from Vista on it does nothing.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.PoStartNextPowerIrp.
    ///
    /// # Errors
    /// The request is not memory.
    pub fn po_start_next_power_irp(&self, irp: u64) -> Ddi<()> {
        if self.config().windows >= WindowsVersion::Vista {
            return Ok(());
        }
        let stack = self.current_location(irp)?;
        let device = self.read(at!(stack, IoStackLocation, device_object))?;
        self.io.po.unanswered.borrow_mut().remove(&(irp, device));
        Ok(())
    }

    /// A power request is complete: every driver must have called PoStartNextPowerIrp.
    fn check_next_power_irp(&self, irp: u64) -> Ddi<()> {
        let left: alloc::vec::Vec<(u64, Place)> = {
            let mut unanswered = self.io.po.unanswered.borrow_mut();
            let mine: alloc::vec::Vec<(u64, u64)> = unanswered
                .range((irp, 0)..=(irp, u64::MAX))
                .map(|(key, _)| *key)
                .collect();
            mine.into_iter()
                .filter_map(|key| Some((key.1, unanswered.remove(&key)?)))
                .collect()
        };
        for (device, place) in left {
            let message = format!(
                "the driver of {} did not call PoStartNextPowerIrp for power IRP {irp:#x}; before Windows Vista its next one is never sent",
                self.device_text(device)
            );
            self.find_at(
                ids::NEXT_POWER_IRP,
                message,
                self.here_or_in_dispatch(device, major::IRP_MJ_POWER),
                Some((String::from("the IRP was sent to it here"), place)),
            )?;
        }
        Ok(())
    }

    /// `POWER_STATE PoSetPowerState(PDEVICE_OBJECT, POWER_STATE_TYPE, POWER_STATE)`
    ///
    /// Tells the power manager the state of a device.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; below it when leaving D0.
    /// - Returns: the state before, 0 (unspecified) at first and for a system state.
    /// - Source: WDK reference, wdm.PoSetPowerState.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn po_set_power_state(&self, device: u64, kind: u32, state: u32) -> Ddi<u32> {
        self.expect_device(device)?;
        if kind != power_state_type::DevicePowerState {
            return Ok(0);
        }
        let before = self.io.po.states.borrow_mut().insert(device, state);
        Ok(before.unwrap_or(device_power_state::PowerDeviceUnspecified))
    }

    /// `PoRequestPowerIrp(DeviceObject, MinorFunction, PowerState, CompletionFunction, Context, *Irp)`
    ///
    /// Sends a power request to the top of the device's stack; when it is complete, calls
    /// `CompletionFunction(DeviceObject, MinorFunction, PowerState, Context, IoStatus)`.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: PENDING; INVALID_PARAMETER_2 for a minor function that drivers do not
    ///   request; INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, wdm.PoRequestPowerIrp.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn po_request_power_irp(
        &self,
        device: u64,
        minor: u8,
        state: u32,
        routine: u64,
        context: u64,
        out: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let known = [
            minor_power::IRP_MN_QUERY_POWER,
            minor_power::IRP_MN_SET_POWER,
            minor_power::IRP_MN_WAIT_WAKE,
        ];
        if !known.contains(&minor) {
            return Ok(NtStatus::INVALID_PARAMETER_2);
        }
        self.expect_device(device)?;
        let top = self.top_of_stack(device);
        let irp = self.power_irp(top, minor, power_state_type::DevicePowerState, state)?;
        if irp == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        if !out.is_null() {
            self.write(out, irp)?;
        }
        self.obf_reference_object(device)?;
        self.io.po.asked.borrow_mut().insert(
            irp,
            Asked {
                device,
                minor,
                state,
                routine,
                context,
            },
        );
        let own = self.kernel_routine("dirql:PowerCompletion");
        self.set_completion_routine(irp, own, irp, [true; 3])?;
        self.po_call_driver(top, irp)?;
        Ok(NtStatus::PENDING)
    }

    /// The completion routine behind [`Kernel::po_request_power_irp`] and
    /// `power_request`: frees the request.
    ///
    /// # Errors
    /// As the driver's routine.
    pub fn power_completion(&self, irp: u64) -> Ddi<NtStatus> {
        self.check_next_power_irp(irp)?;
        let asked = self.io.po.asked.borrow_mut().remove(&irp);
        if let Some(asked) = asked {
            if asked.routine != 0 {
                let status = at!(DriverPtr::<Irp>::new(irp), Irp, io_status).address();
                let arguments = [
                    asked.device,
                    asked.minor.into(),
                    asked.state.into(),
                    asked.context,
                    status,
                ];
                self.call_at_same_level("PowerCompletion", asked.routine, &arguments)?;
            }
            self.obf_dereference_object(asked.device)?;
        }
        self.free_power_irp(irp)?;
        Ok(NtStatus::MORE_PROCESSING_REQUIRED)
    }

    /// A power request for the device on top of a stack; 0 without memory.
    fn power_irp(&self, top: u64, minor: u8, kind: u32, state: u32) -> Ddi<u64> {
        let irp = self.allocated_irp_for(top)?;
        if irp == 0 {
            return Ok(0);
        }
        let next = self.next_location(irp)?;
        let mut stack = self.read(next)?;
        fill_power(&mut stack, minor, kind, state);
        self.write(next, stack)?;
        self.write(
            at!(DriverPtr::<Irp>::new(irp), Irp, io_status.status),
            NtStatus::NOT_SUPPORTED,
        )?;
        Ok(irp)
    }

    /// Sends a power request to the top of a stack and waits for it. On a thread.
    ///
    /// # Errors
    /// The run's end.
    pub(crate) fn power_request(
        &self,
        device: u64,
        minor: u8,
        kind: u32,
        state: u32,
    ) -> Ddi<NtStatus> {
        let top = self.top_of_stack(device);
        let irp = self.power_irp(top, minor, kind, state)?;
        if irp == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        if self.config().windows < WindowsVersion::Vista {
            let place = self.here();
            self.io.po.unanswered.borrow_mut().insert((irp, top), place);
        }
        let status = self.send_and_wait(top, irp)?;
        self.check_next_power_irp(irp)?;
        self.free_power_irp(irp)?;
        Ok(status)
    }

    /// Sends a system power request through a device's stack and waits for it. On a thread.
    ///
    /// # Errors
    /// The run's end.
    pub fn send_system_power(&self, device: u64, minor: u8, state: u32) -> Ddi<NtStatus> {
        self.expect_device(device)?;
        self.power_request(device, minor, power_state_type::SystemPowerState, state)
    }

    /// `PULONG PoRegisterDeviceForIdleDetection(DeviceObject, ConservationIdleTime, PerformanceIdleTime, State)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the busy counter that the driver resets; NULL when both times are 0, which
    ///   ends detection. The counter is not looked at: no device is found idle here.
    /// - Source: WDK reference, ntifs.PoRegisterDeviceForIdleDetection.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn po_register_device_for_idle_detection(
        &self,
        device: u64,
        conservation: u32,
        performance: u32,
    ) -> Ddi<u64> {
        self.expect_device(device)?;
        if conservation == 0 && performance == 0 {
            self.io.po.idle.borrow_mut().remove(&device);
            return Ok(0);
        }
        self.io.po.idle.borrow_mut().insert(device);
        Ok(self.allocate_system(16))
    }

    /// `VOID PoSetDeviceBusyEx(PULONG IdlePointer)`, `PoStartDeviceBusy` and `PoEndDeviceBusy`
    ///
    /// Says that a device is not idle. Nothing here puts a device to sleep because it is.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.PoSetDeviceBusyEx, wdm.PoStartDeviceBusy.
    ///
    /// # Errors
    /// The pointer is not one that PoRegisterDeviceForIdleDetection gives.
    pub fn po_set_device_busy_ex(&self, pointer: DriverPtr<u32>) -> Ddi<()> {
        self.write(pointer, 0)?;
        Ok(())
    }

    /// `NTSTATUS PoRequestShutdownEvent(PVOID *Event)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: an event that is signaled when the system shuts down, which it never does here.
    /// - Source: ntifs.h, which declares it; it has no page.
    ///
    /// # Errors
    /// The result is not memory.
    pub fn po_request_shutdown_event(&self, event: DriverPtr<u64>) -> Ddi<NtStatus> {
        if self.io.po.shutdown_event.get() == 0 {
            self.io.po.shutdown_event.set(self.take_event()?);
        }
        self.write(event, self.io.po.shutdown_event.get())?;
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID PoSetSystemState(EXECUTION_STATE)`: the system does not sleep by itself here, so
    /// that it is asked to stay awake changes nothing.
    ///
    /// # Errors
    /// None.
    pub fn po_set_system_state(&self, _flags: u32) -> Ddi<()> {
        Ok(())
    }
}

/// Writes the parameters of a power request.
fn fill_power(stack: &mut IoStackLocation, minor: u8, kind: u32, state: u32) {
    stack.major_function = major::IRP_MJ_POWER;
    stack.minor_function = minor;
    if minor == minor_power::IRP_MN_WAIT_WAKE {
        stack.set_parameters(&StackParametersWaitWake { power_state: state });
        return;
    }
    let mut power = StackParametersPower::new_zeroed();
    power.type_ = kind;
    power.state = state;
    stack.set_parameters(&power);
}
