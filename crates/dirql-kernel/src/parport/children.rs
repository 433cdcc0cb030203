//! The port's children: a device object for each device of the daisy chain and for the end of the
//! chain, by which a class driver locks the port for that device.
//!
//! Sources: WDK reference, IOCTL_INTERNAL_LOCK_PORT and its relatives,
//! IOCTL_INTERNAL_GET_PARPORT_FDO, IOCTL_INTERNAL_PARCLASS_CONNECT and its counterpart,
//! IOCTL_INTERNAL_DISCONNECT_IDLE. The names are the sample's. How long a lock waits is ours (note
//! N0171), and so is that plug and play does not see the children.

use alloc::format;
use alloc::vec::Vec;

use dirql_abi::device::{characteristics, device_flags, device_type};
use dirql_abi::parallel::ParClassInformation;
use dirql_abi::parallel::ioctl::{
    IOCTL_INTERNAL_DISCONNECT_IDLE, IOCTL_INTERNAL_GET_PARPORT_FDO, IOCTL_INTERNAL_LOCK_PORT,
    IOCTL_INTERNAL_LOCK_PORT_NO_SELECT, IOCTL_INTERNAL_PARCLASS_CONNECT,
    IOCTL_INTERNAL_PARCLASS_DISCONNECT, IOCTL_INTERNAL_UNLOCK_PORT,
    IOCTL_INTERNAL_UNLOCK_PORT_NO_DESELECT,
};
use dirql_abi::stack_parameters::StackParametersDeviceIoControl;
use dirql_abi::{Irql, NtStatus};

use super::class::Talk;
use super::extension;
use super::request::{Answer, Call};
use super::select::{Command, END_OF_CHAIN};
use crate::{Ddi, DriverPtr, Kernel};

/// How often a lock looks whether the port is free, a millisecond apart.
const TRIES: u32 = 500;

/// A millisecond from now, in 100 ns units.
const PAUSE_100NS: i64 = -10_000;

/// A child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    /// The port's.
    pub(super) context: u64,
    /// 0 to 3 in the chain, 4 at its end.
    pub(super) id: u8,
    /// In which mode a client of the class driver talks to its device.
    pub(super) talk: Talk,
}

impl Kernel {
    /// Makes the children anew, after the chain was looked at.
    pub(super) fn make_children(&self, context: u64) -> Ddi<()> {
        self.delete_children(context)?;
        let driver = self.parport.driver.get();
        let (number, devices) =
            self.with_port(context, |port| (port.number, port.chain_devices))?;
        // At most 4.
        for id in (0..devices as u8).chain([END_OF_CHAIN]) {
            let created = self.create_device(
                driver,
                0,
                Some(format!(r"\Device\Parallel{number}.{id}")),
                device_type::FILE_DEVICE_PARALLEL_PORT,
                characteristics::FILE_DEVICE_SECURE_OPEN,
                0,
            )?;
            // Without memory or with a name that is taken, this child is not there.
            if let Ok(device) = created {
                let clear = device_flags::DO_DEVICE_INITIALIZING;
                self.change_device_flags(device, clear, device_flags::DO_BUFFERED_IO)?;
                let talk = Talk::default();
                let child = Child { context, id, talk };
                self.parport.children.borrow_mut().insert(device, child);
            }
        }
        Ok(())
    }

    pub(super) fn delete_children(&self, context: u64) -> Ddi<()> {
        let gone: Vec<u64> = {
            let children = self.parport.children.borrow();
            let own = children
                .iter()
                .filter(|(_, child)| child.context == context);
            own.map(|(device, _)| *device).collect()
        };
        for device in gone {
            self.parport.children.borrow_mut().remove(&device);
            self.io_delete_device(device)?;
        }
        Ok(())
    }

    /// The child whose device object this is.
    pub(super) fn port_child(&self, device: u64) -> Option<Child> {
        self.parport.children.borrow().get(&device).copied()
    }

    /// A request to a child.
    ///
    /// - Returns: STATUS_DEVICE_BUSY if the port was not free in time; STATUS_BUFFER_TOO_SMALL;
    ///   STATUS_INVALID_PARAMETER for what it does not know.
    pub(super) fn answer_child_request(
        &self,
        (device, child): (u64, Child),
        call: &Call,
        control: &StackParametersDeviceIoControl,
    ) -> Ddi<Answer> {
        let command = Command::keeping(child.id);
        match control.io_control_code {
            IOCTL_INTERNAL_LOCK_PORT => self.lock_port(call, Some(command)),
            IOCTL_INTERNAL_LOCK_PORT_NO_SELECT => self.lock_port(call, None),
            IOCTL_INTERNAL_UNLOCK_PORT => {
                let status = self.select_device(child.context, Command::END_OF_CHAIN)?;
                self.free_port(child.context, &call.place)?;
                Ok(Answer::Done(status, 0))
            }
            IOCTL_INTERNAL_UNLOCK_PORT_NO_DESELECT => {
                self.free_port(child.context, &call.place)?;
                Ok(Answer::SUCCESS)
            }
            IOCTL_INTERNAL_GET_PARPORT_FDO => {
                if control.output_buffer_length < 8 {
                    return Ok(Answer::failed(NtStatus::BUFFER_TOO_SMALL));
                }
                let device = self.with_port(child.context, |port| port.device)?;
                self.write(DriverPtr::new(call.buffer), device)?;
                Ok(Answer::Done(NtStatus::SUCCESS, 8))
            }
            IOCTL_INTERNAL_PARCLASS_CONNECT => {
                if (control.output_buffer_length as usize) < size_of::<ParClassInformation>() {
                    return Ok(Answer::failed(NtStatus::BUFFER_TOO_SMALL));
                }
                self.class_connect(device, child, call)
            }
            // There is nothing to undo: the routines are the same for everybody.
            IOCTL_INTERNAL_PARCLASS_DISCONNECT => Ok(Answer::SUCCESS),
            IOCTL_INTERNAL_DISCONNECT_IDLE => self.class_disconnect_idle(device, child, call),
            _ => Ok(Answer::failed(NtStatus::INVALID_PARAMETER)),
        }
    }

    fn lock_port(&self, call: &Call, select: Option<Command>) -> Ddi<Answer> {
        if !self.wait_for_port(call)? {
            return Ok(Answer::failed(NtStatus::DEVICE_BUSY));
        }
        let Some(command) = select else {
            return Ok(Answer::SUCCESS);
        };
        let status = self.select_device(call.context, command)?;
        if !status.is_success() {
            self.free_port(call.context, &call.place)?;
        }
        Ok(Answer::Done(status, 0))
    }

    /// The function driver itself waits, beside its queue, as long as the caller can wait.
    fn wait_for_port(&self, call: &Call) -> Ddi<bool> {
        let interval = DriverPtr::<i64>::new(call.context + extension::PAUSE);
        self.write(interval, PAUSE_100NS)?;
        for _ in 0..TRIES {
            let place = call.place.clone();
            if self.with_port_locked(call.context, |port| port.queue.try_take(place))? {
                return Ok(true);
            }
            if self.irql() > Irql::APC {
                return Ok(false);
            }
            self.with_port(call.context, |port| port.own_waiters += 1)?;
            self.ke_delay_execution_thread(crate::ke::WaitMode::KERNEL, interval)?;
            self.with_port(call.context, |port| port.own_waiters -= 1)?;
        }
        Ok(false)
    }
}
