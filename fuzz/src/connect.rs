//! Connecting and disconnecting with any bytes in the parameter block and behind its pointers.
//!
//! A bench with a line and a device with messages is started by a driver that connects nothing.
//! Then calls are made whose arguments the input decides: each word of a block is as it is, or
//! something that makes sense, so that inputs come further than to the first check.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dirql::scenario::DeviceSpec;
use dirql::{Bench, Driver};
use dirql_abi::device::{DriverExtension, DriverObject};
use dirql_abi::{Irql, NtStatus};
use dirql_chips::Stimulus;
use dirql_kernel::hal::{DeviceId, Resource};
use dirql_kernel::io::interrupt::ConnectArguments;
use dirql_kernel::{Ddi, DriverPtr, Kernel};

use crate::input::Input;

/// Bytes that the blocks' pointers lead to.
const MEMORY: u64 = 4096;
/// Calls that one input makes.
const CALLS: usize = 24;
/// Steps after which a run ends: an ISR that claims what it does not silence is called for ever.
const STEPS: u64 = 20_000;

thread_local! {
    static DRIVER_OBJECT: Cell<u64> = const { Cell::new(0) };
    static ISR_CALLS: Cell<u8> = const { Cell::new(0) };
}

extern "win64" fn entry(driver_object: u64, _registry_path: u64) -> i32 {
    DRIVER_OBJECT.set(driver_object);
    0
}

/// Leaves the device to the bus alone.
extern "win64" fn add_device(_driver_object: u64, _physical_device: u64) -> i32 {
    0
}

/// Claims three calls of four. An ISR for messages has one argument more, in a register.
extern "win64" fn isr(_interrupt: u64, _context: u64) -> u8 {
    ISR_CALLS.set(ISR_CALLS.get().wrapping_add(1));
    u8::from(ISR_CALLS.get() & 3 != 0)
}

/// What a word of a block may be.
#[derive(Clone, Debug)]
struct World {
    memory: u64,
    /// A pointer that some earlier call stored a result behind.
    result: u64,
    physical_devices: Vec<u64>,
    devices: Vec<DeviceId>,
    /// Vector, level and processors of the interrupts that were given.
    grants: Vec<(u8, u8, u64)>,
}

impl World {
    /// A word with the meaning that the input gives it.
    fn word(&self, kernel: &Kernel, input: &mut Input<'_>) -> u64 {
        let pick =
            |from: &[u64], input: &mut Input<'_>| from[usize::from(input.byte()) % from.len()];
        match input.byte() & 15 {
            0 => 0,
            1 => input.byte().into(),
            2 => input.long(),
            3 | 4 => self.memory + u64::from(input.half()) % MEMORY,
            5..8 => pick(&self.physical_devices, input),
            8..11 => isr as *const () as u64,
            11 => self.result,
            12 => kernel.read(DriverPtr::new(self.result)).unwrap_or(0),
            // A level, a mode and a boolean in one word, as the block has them.
            13 => {
                let grant = self.grants[usize::from(input.byte()) % self.grants.len()];
                u64::from(grant.0) << 32 | u64::from(grant.1) << 8 | u64::from(grant.1)
            }
            14 => {
                let grant = self.grants[usize::from(input.byte()) % self.grants.len()];
                u64::from(grant.0) | u64::from(grant.1) << 32
            }
            _ => 1 + u64::from(input.byte() & 3),
        }
    }

    fn block(&self, kernel: &Kernel, input: &mut Input<'_>) -> Ddi<u64> {
        let at = match input.byte() {
            0xFF => return Ok(input.long()),
            // Anywhere, also over the end of the memory.
            other if other & 0xC0 == 0xC0 => self.memory + u64::from(input.half()) % MEMORY,
            _ => self.memory,
        };
        let version = u64::from(input.byte() % 7);
        // What it cannot be written to cannot be filled.
        let _ = kernel.write(DriverPtr::new(at), version);
        for index in 1..10 {
            let word = self.word(kernel, input);
            let _ = kernel.write(DriverPtr::new(at + 8 * index), word);
        }
        Ok(at)
    }

    /// Returns the status of a call that has one.
    fn call(&self, kernel: &Kernel, input: &mut Input<'_>) -> Ddi<Option<NtStatus>> {
        match input.byte() % 12 {
            0..4 => {
                let at = self.block(kernel, input)?;
                return kernel.io_connect_interrupt_ex(DriverPtr::new(at)).map(Some);
            }
            4 => {
                let result = DriverPtr::new(self.word(kernel, input));
                let arguments = ConnectArguments {
                    service_routine: self.word(kernel, input),
                    service_context: input.long(),
                    spin_lock: self.word(kernel, input),
                    vector: self.word(kernel, input) as u32,
                    irql: Irql(input.byte()),
                    synchronize_irql: Irql(input.byte()),
                    interrupt_mode: u32::from(input.byte() & 3),
                    share_vector: input.byte() & 1,
                    processor_enable_mask: self.word(kernel, input),
                };
                return kernel.io_connect_interrupt(result, arguments).map(Some);
            }
            5 => {
                let at = self.block(kernel, input)?;
                kernel.io_disconnect_interrupt_ex(DriverPtr::new(at))?;
            }
            6 => kernel.io_disconnect_interrupt(self.word(kernel, input))?,
            7 => {
                let at = self.block(kernel, input)?;
                if input.byte() & 1 == 0 {
                    kernel.io_report_interrupt_active(DriverPtr::new(at))?;
                } else {
                    kernel.io_report_interrupt_inactive(DriverPtr::new(at))?;
                }
            }
            8 => {
                let (object, routine) = (self.word(kernel, input), self.word(kernel, input));
                kernel.ke_synchronize_execution(object, routine, input.long())?;
            }
            9 => {
                let device = self.devices[usize::from(input.byte()) % self.devices.len()];
                kernel.stimulate(device, &Stimulus::Interrupt(u16::from(input.byte() & 15)));
                kernel.yield_point()?;
            }
            10 => {
                let stimulus = [Stimulus::Press, Stimulus::Release];
                kernel.stimulate(self.devices[0], &stimulus[usize::from(input.byte() & 1)]);
                kernel.yield_point()?;
            }
            _ => {
                // What the blocks' pointers lead to.
                let at = self.memory + u64::from(input.half()) % MEMORY;
                for (offset, byte) in (0..).zip(input.take(64)) {
                    let _ = kernel.write(DriverPtr::new(at + offset), *byte);
                }
            }
        }
        Ok(None)
    }
}

fn started() -> Result<(Bench, World), dirql::BenchError> {
    ISR_CALLS.set(0);
    let names = ["button0", "msix0"];
    let bench = Bench::builder()
        .device(DeviceSpec::new(names[0], "button").driver("fuzz"))
        .device(DeviceSpec::new(names[1], "msix").driver("fuzz"))
        .driver(Driver::native("fuzz.sys", entry))
        .processors(2)
        .max_steps(STEPS)
        .build()?;
    bench.load()?;
    let driver = DRIVER_OBJECT.get();
    bench.on_kernel_thread(move |kernel| {
        let at = driver + core::mem::offset_of!(DriverObject, driver_extension) as u64;
        let extension: u64 = kernel.read(DriverPtr::new(at))?;
        let at = extension + core::mem::offset_of!(DriverExtension, add_device) as u64;
        Ok(kernel.write(DriverPtr::new(at), add_device as *const () as u64)?)
    })?;
    let (mut devices, mut physical_devices, mut grants) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        bench.start(name)?;
        let device = bench.device_id(name)?;
        devices.push(device);
        physical_devices.extend(bench.kernel().pdo_of_device(device));
        for resource in bench.resources(name)? {
            if let Resource::Interrupt(grant) = resource {
                grants.push((grant.vector.0, grant.irql.0, grant.affinity));
            }
        }
    }
    let memory = bench.on_kernel_thread(|kernel| Ok(kernel.allocate_system(MEMORY)))?;
    let world = World {
        memory,
        result: memory + 0x800,
        physical_devices,
        devices,
        grants,
    };
    Ok((bench, world))
}

/// Any sequence of connecting, interrupting and disconnecting: each ends with a status or ends the
/// run with a bug check or a finding.
///
/// # Panics
/// If something of ours breaks.
pub fn connect(bytes: &[u8]) {
    play(bytes);
}

/// The statuses of the calls that connect, in order.
fn play(bytes: &[u8]) -> Vec<NtStatus> {
    let (bench, world) = started().expect("a driver that does nothing starts");
    let statuses = Rc::new(RefCell::new(Vec::new()));
    let (bytes, seen) = (bytes.to_vec(), statuses.clone());
    let result = bench.on_kernel_thread(move |kernel| {
        let mut input = Input::new(&bytes);
        for _ in 0..CALLS {
            if input.is_empty() {
                break;
            }
            let status = world.call(kernel, &mut input)?;
            seen.borrow_mut().extend(status);
        }
        Ok(())
    });
    // The run may have ended, and then its outcome says why.
    assert_eq!(result.is_err(), bench.outcome().is_some(), "{result:?}");
    for finding in bench.findings() {
        assert!(!finding.message.is_empty());
    }
    statuses.take()
}

/// Inputs that do as the pages say: connect the line, interrupt, disconnect, and the same for the
/// messages.
#[must_use]
pub fn connect_seeds() -> Vec<Vec<u8>> {
    // Each word is a choice and, for some, what is chosen: see `World::word`.
    let call = |version, device, callback| {
        let mut bytes = vec![0, 0, version, 5, device, 11, 8, 0, 0];
        bytes.extend([0, callback, 0, 0]);
        bytes
    };
    let interrupt = |device| [9, device, 0];
    let disconnect = |version| [5, 0, version, 12, 0, 0, 0, 0, 0, 0, 0, 0];
    let life = |version, device, callback| {
        let connected = call(version, device, callback);
        [&connected[..], &interrupt(device), &disconnect(version)].concat()
    };
    vec![life(2, 0, 0), life(3, 1, 8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_come_through() {
        for seed in connect_seeds() {
            assert_eq!(play(&seed), [NtStatus::SUCCESS]);
            assert_eq!(ISR_CALLS.get(), 1);
        }
    }
}
