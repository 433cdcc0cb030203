//! The trap handler's view of the computer.
//!
//! Everything is looked up when it is asked for, because the handler belongs to the
//! thread, while computers come and go.

use std::ops::Range;
use std::panic::AssertUnwindSafe;

use dirql_chips::Width;
use dirql_kernel::mm::layout::IMAGES;
use dirql_kernel::{BadAddress, Ddi, Kernel, Platform, Stop};
use dirql_rules::{RuleId, ids};

use crate::trap::{Context, Fault, Machine, SystemCall};
use crate::{exception, memory, recode, run};

/// Whatever computer this thread simulates.
pub(crate) struct CurrentMachine;

impl Machine for CurrentMachine {
    fn read_cr8(&self) -> u64 {
        kernel().read_cr8()
    }

    fn write_cr8(&self, value: u64) {
        let kernel = kernel();
        run::platform().end_records(kernel);
        kernel.write_cr8(value);
        run::platform().follow();
    }

    fn come_to(&self, instruction: u64) {
        kernel().come_to(instruction);
    }

    fn read_port(&self, port: u16, width: Width) -> u64 {
        kernel().read_port(port, width)
    }

    fn write_port(&self, port: u16, width: Width, value: u64) {
        kernel().write_port(port, width, value);
    }

    fn read_device(&self, physical: u64, width: Width) -> u64 {
        kernel().read_device(physical, width)
    }

    fn write_device(&self, physical: u64, width: Width, value: u64) {
        kernel().write_device(physical, width, value);
    }

    fn set_interrupt_flag(&self, enabled: bool) {
        kernel().set_interrupt_flag(enabled);
    }

    fn interrupt_flag(&self) -> bool {
        kernel().interrupt_flag()
    }

    fn read_msr(&self, register: u32) -> Option<u64> {
        kernel().read_msr(register)
    }

    fn write_msr(&self, register: u32, value: u64) -> bool {
        kernel().write_msr(register, value)
    }

    fn read_shared_data(&self, offset: u64, into: &mut [u8]) {
        kernel().read_shared_data(offset, into);
    }

    fn time_stamp_counter(&self) -> u64 {
        kernel().time_stamp_counter()
    }

    fn halt(&self) {
        kernel().halt();
    }

    fn needs_attention(&self) -> bool {
        kernel().needs_attention()
    }

    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), BadAddress> {
        run::platform().space.read(address, into)
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), BadAddress> {
        run::platform().space.write(address, from)
    }

    fn touch(&self, address: u64) -> bool {
        run::try_current_kernel().is_some_and(|kernel| {
            kernel.end_passing();
            kernel.touch_pageable(address)
        })
    }

    fn make_executable(&self, address: u64) -> bool {
        run::try_current_kernel().is_some_and(|kernel| kernel.make_pool_executable(address))
    }

    fn caller_of_nowhere(&self, address: u64, stack_pointer: u64) -> Option<u64> {
        let platform = run::try_platform()?;
        platform
            .caller_of_nowhere(address, stack_pointer)
            .or_else(|| platform.find_left_to_nowhere(address, stack_pointer))
    }

    fn copy_fixup(&self, instruction: u64) -> Option<u64> {
        memory::copy_fixup(instruction)
    }

    fn image_of(&self, address: u64) -> Option<Range<u64>> {
        if !IMAGES.contains(&address) {
            return None;
        }
        run::try_platform()?
            .image_at(address)
            .map(|image| image.range())
    }

    fn patch_code(&self, address: u64, byte: u8) -> bool {
        run::platform().patch_code(address, byte)
    }

    fn original(&self, instruction: u64) -> Option<u64> {
        if !recode::is_twin(instruction) {
            return None;
        }
        let original = run::try_platform()?.space.original(instruction)?;
        Some(original.address)
    }

    fn twin(&self, original: u64) -> Option<u64> {
        if !IMAGES.contains(&original) {
            return None;
        }
        run::try_platform()?.space.twin_or_make(original)
    }

    fn meet_device(&self, instruction: u64) {
        if let Some(recoder) = run::platform().space.recoder() {
            recoder.meet_device(instruction);
        }
    }

    fn room_for_records(&self, instruction: u64, address: u64) -> Option<u64> {
        if !recode::is_twin(instruction) {
            return None;
        }
        let recoder = run::try_platform()?.space.recoder()?;
        recoder.room_for_records(run::try_current_kernel()?, address)
    }

    fn runs_driver(&self) -> bool {
        run::is_driver_running()
    }

    fn is_driver_code(&self, instruction: u64) -> bool {
        let Some(platform) = run::try_platform() else {
            return false;
        };
        if run::try_current_kernel().is_none() || !platform.on_strand() {
            return false;
        }
        // A driver that jumps to where nothing is has left its image, but not become ours. Code
        // of this program is, unless an in-process driver runs and has not called the kernel.
        !platform.is_own_code(instruction) || platform.in_process_driver_runs()
    }

    fn is_stack_guard(&self, address: u64) -> bool {
        let stack = run::platform().strands.stack();
        stack.is_some_and(|(guard, _)| guard.contains(&address))
    }

    fn stack_room(&self, stack_pointer: u64) -> Option<u64> {
        let (_, usable) = run::platform().strands.stack()?;
        (usable.start..=usable.end)
            .contains(&stack_pointer)
            .then(|| stack_pointer - usable.start)
    }

    fn attend(&self) -> Ddi<()> {
        in_kernel(Kernel::attend)
    }

    fn fault(&self, fault: &Fault) -> Stop {
        in_kernel(|kernel| kernel.fault(fault))
    }

    fn system_call(&self, call: SystemCall) -> Stop {
        in_kernel(|kernel| {
            let number = call.number;
            if call.is_own {
                let message = format!("the driver made Linux's system call {number}");
                return fatal(kernel, ids::SYSTEM_CALL, call.instruction, message);
            }
            // Which instruction led there is not known, but whose routine it was.
            let message = format!(
                "the routine left for code that is no driver's and no export, which made Linux's system call {number}"
            );
            let routine = run::platform().called_last();
            fatal(kernel, ids::FOREIGN_CODE, routine, message)
        })
    }

    fn unsupported(&self, instruction: u64, text: String) -> Ddi<()> {
        in_kernel(|kernel| {
            let message = format!("the driver executed {text}");
            Err(fatal(
                kernel,
                ids::UNSUPPORTED_INSTRUCTION,
                instruction,
                message,
            ))
        })
    }

    fn stop(&self, stop: Stop, context: &mut Context) {
        let kernel = run::current_kernel();
        match in_kernel(|kernel| exception::raise_in_driver(kernel, stop, context)) {
            Ok(()) => {}
            Err(stop) => run::stop(kernel, stop),
        }
    }
}

fn fatal(kernel: &Kernel, rule: RuleId, instruction: u64, message: String) -> Stop {
    let place = kernel.here_at(instruction);
    let _ = kernel.find_at(rule, message, place, None);
    kernel.end(dirql_kernel::Outcome::Finding);
    Stop::Ended
}

/// The kernel, entered for an instruction that is carried out.
fn kernel() -> &'static Kernel {
    let kernel = run::current_kernel();
    kernel.end_passing();
    kernel
}

/// Runs part of the kernel between a driver's instructions; a panic cannot go through the
/// driver's frames.
fn in_kernel<R>(body: impl FnOnce(&Kernel) -> R) -> R {
    let platform = run::platform();
    platform.end_records(run::current_kernel());
    let driver = platform.leave_driver();
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| body(run::current_kernel())));
    platform.enter_driver(driver);
    match result {
        Ok(result) => result,
        Err(payload) => platform.strands.leave_with_panic(payload),
    }
}
