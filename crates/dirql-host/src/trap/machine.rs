//! What the trap handler asks of the kernel and of the rest of the host.

use std::ops::Range;

use dirql_chips::Width;
use dirql_kernel::{BadAddress, Ddi, Stop};

use super::fault::Fault;
use super::system_call::SystemCall;
use super::trampoline::Context;

/// The computer around a trapped instruction.
///
/// Everything up to [`Machine::stack_room`] is called inside the signal handler: it runs
/// no driver code, does not leave the strand, and borrows nothing that can be borrowed
/// while driver code runs. The last five run on a stack outside it.
pub(crate) trait Machine {
    /// The instruction at `instruction` is carried out next; 0: it has been.
    fn come_to(&self, _instruction: u64) {}
    /// The current processor's CR8, 0..=15.
    fn read_cr8(&self) -> u64;
    /// Sets CR8; `value` is at most 15.
    fn write_cr8(&self, value: u64);
    /// Reads an I/O port.
    fn read_port(&self, port: u16, width: Width) -> u64;
    /// Writes an I/O port.
    fn write_port(&self, port: u16, width: Width, value: u64);
    /// Reads device memory; `physical` is a multiple of the width.
    fn read_device(&self, physical: u64, width: Width) -> u64;
    /// Writes device memory; `physical` is a multiple of the width.
    fn write_device(&self, physical: u64, width: Width, value: u64);
    /// Sets or clears RFLAGS.IF of the current processor.
    fn set_interrupt_flag(&self, enabled: bool);
    /// RFLAGS.IF of the current processor.
    fn interrupt_flag(&self) -> bool;
    /// Reads a model-specific register; `None` if there is no such one.
    fn read_msr(&self, register: u32) -> Option<u64>;
    /// Writes a model-specific register; `false` if there is no such one or the value is refused.
    fn write_msr(&self, register: u32, value: u64) -> bool;
    /// Copies from KUSER_SHARED_DATA; `offset` and what follows lie in its page.
    fn read_shared_data(&self, offset: u64, into: &mut [u8]);
    /// The time-stamp counter of the current processor.
    fn time_stamp_counter(&self) -> u64;
    /// The current processor stops until an interrupt arrives.
    fn halt(&self);
    /// Whether [`Machine::attend`] has something to do. Asked after every emulated instruction.
    fn needs_attention(&self) -> bool;

    /// Copies from driver-visible memory.
    ///
    /// # Errors
    /// [`BadAddress`] with the first byte that is not readable memory.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), BadAddress>;
    /// Copies to driver-visible memory.
    ///
    /// # Errors
    /// [`BadAddress`] with the first byte that is not writable memory.
    fn write(&self, address: u64, from: &[u8]) -> Result<(), BadAddress>;
    /// Whether an access to `address` that faulted can be tried again, because it was only
    /// inaccessible for a time.
    fn touch(&self, address: u64) -> bool;
    /// Whether the code at `address`, which could not be fetched, may run after all: memory that a
    /// driver may execute is given that access when it does so first.
    fn make_executable(&self, _address: u64) -> bool {
        false
    }
    /// Where the call came from that led to `address`, which is no code, with this stack pointer:
    /// the address after the call, if it is a driver's. If a return led there, the last call of the
    /// routine that returned.
    fn caller_of_nowhere(&self, _address: u64, _stack_pointer: u64) -> Option<u64> {
        None
    }
    /// If `instruction` belongs to the host's checked copy: where it goes on after a
    /// fault, with the faulting address in `rax`.
    fn copy_fixup(&self, instruction: u64) -> Option<u64>;
    /// The loaded image that holds `address`.
    fn image_of(&self, address: u64) -> Option<Range<u64>>;
    /// Replaces one byte of an image's code. `false` if that cannot be done.
    fn patch_code(&self, address: u64, byte: u8) -> bool;
    /// The driver's instruction in whose twin `instruction` is; `None` if it is in no twin.
    fn original(&self, instruction: u64) -> Option<u64>;
    /// The twin of the driver's instruction at `original`, which runs in its place; `None` if
    /// the original is to run.
    fn twin(&self, original: u64) -> Option<u64>;
    /// The instruction at `instruction` has trapped because it accesses what is carried out for
    /// it, as it may do again.
    fn meet_device(&self, _instruction: u64) {}
    /// If code of a twin at `instruction` has just found no room for a record at `address`:
    /// where it is to put it.
    fn room_for_records(&self, instruction: u64, address: u64) -> Option<u64>;
    /// Whether what runs is a driver, which has not called the kernel.
    fn runs_driver(&self) -> bool;
    /// Whether a fault at `instruction` is the driver's doing and not a bug of ours.
    fn is_driver_code(&self, instruction: u64) -> bool;
    /// Whether `address` is in the guard below the running strand's stack.
    fn is_stack_guard(&self, address: u64) -> bool;
    /// Bytes of the running strand's stack below `stack_pointer`; `None` if it points
    /// elsewhere.
    fn stack_room(&self, stack_pointer: u64) -> Option<u64>;

    /// Delivers what is due. Runs on the interrupted strand, whose registers are all
    /// saved; may switch strands or never return.
    ///
    /// # Errors
    /// Why the interrupted code cannot go on.
    fn attend(&self) -> Ddi<()>;
    /// What Windows makes of a fault.
    fn fault(&self, fault: &Fault) -> Stop;
    /// The driver made a system call, which was not carried out.
    fn system_call(&self, call: SystemCall) -> Stop;
    /// The driver executed something that has no meaning here; `text` says what. If this
    /// returns `Ok`, the driver goes on behind it.
    ///
    /// # Errors
    /// Why the driver cannot go on.
    fn unsupported(&self, instruction: u64, text: String) -> Ddi<()>;
    /// Carries out `stop` for code that was interrupted with `context`. If this returns,
    /// the strand goes on with what is in `context` then.
    fn stop(&self, stop: Stop, context: &mut Context);
}
