//! The signal handler: from an exception of the processor to what is done about it.

use std::ffi::{c_int, c_void};
use std::ptr;

use super::cache::{self, Entry};
use super::decode::{classify, decode};
use super::emulate::{self, Emulator, Next};
use super::exception;
use super::execute;
use super::fault::{FLOATING_POINT, FaultAccess, FaultKind, Trouble, fault_at};
use super::install::pass_on;
use super::machine::Machine;
use super::operation::Operation;
use super::registers::{self, RAX, RCX, RSP, Registers};
use super::state::{self, State};
use super::stub::NoStub;
use super::trampoline::{Reason, redirect};
use crate::checkpoint;

/// In the error code of a page fault: it was a write.
const WRITE: u64 = 1 << 1;

/// Bytes from one page to the next.
const PAGE: u64 = 0x1000;

/// What the handler decided.
enum Decision {
    /// The code goes on with the registers as they are now.
    Resume,
    /// It leaves the handler for this.
    Leave(Reason),
    /// It is not a driver's doing.
    NotOurs,
}

/// The handler of all signals that exceptions of the processor become.
///
/// # Safety
/// Called by Linux, with SA_SIGINFO.
pub(super) unsafe extern "C" fn on_signal(
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: this is the handler's own stack.
    unsafe { registers::clear_alignment_check() };
    // SAFETY: Linux gives a valid pointer, and nothing else refers to it.
    let info = unsafe { &*info };
    // SAFETY: with SA_SIGINFO the third argument is this, and nothing else refers to it.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let mut registers = Registers::new(&mut context.uc_mcontext);
    // Wherever it happens: a driver that sets the flag does not clear it for what it calls.
    if registers.exception() == exception::ALIGNMENT && registers.forgo_alignment_check() {
        return;
    }
    let from_processor = info.si_code > 0;
    // SAFETY: these signals have an address.
    let address = unsafe { info.si_addr() }.addr() as u64;
    let is_write = registers.exception() == exception::PAGE && registers.error() & WRITE != 0;
    if from_processor && is_write && checkpoint::first_write(address) {
        return;
    }
    let machine = state::current().and_then(|state| Some((state, state.machine.get()?)));
    let (true, Some((state, machine))) = (from_processor, machine) else {
        pass_on(signal, info, &registers);
        return;
    };
    if let Some(room) = machine.room_for_records(registers.rip(), address) {
        registers.set(RCX, room);
        return;
    }
    // What a twin does is the original's doing.
    if let Some(original) = machine.original(registers.rip()) {
        registers.set_rip(original);
    }
    match decide(state, machine, &mut registers, info) {
        Decision::Resume => {
            if let Some(twin) = machine.twin(registers.rip()) {
                registers.set_rip(twin);
            }
        }
        Decision::Leave(reason) => redirect(state, machine, &mut registers, reason),
        Decision::NotOurs => pass_on(signal, info, &registers),
    }
}

/// For the handler of another signal that has interrupted driver code: the kernel attends
/// before that code goes on.
pub(crate) fn attend_first(context: &mut libc::ucontext_t) {
    let Some(state) = state::current() else {
        return;
    };
    let Some(machine) = state.machine.get() else {
        return;
    };
    let mut registers = Registers::new(&mut context.uc_mcontext);
    redirect(state, machine, &mut registers, Reason::Attend);
}

fn decide(
    state: &State,
    machine: &dyn Machine,
    registers: &mut Registers<'_>,
    info: &libc::siginfo_t,
) -> Decision {
    // SAFETY: the handler is only installed for signals that have an address.
    let address = unsafe { info.si_addr() }.addr() as u64;
    let exception = registers.exception();
    if exception == exception::PAGE && machine.touch(address) {
        return Decision::Resume;
    }
    if let Some(decision) = inside_the_handler(state, machine, registers, address) {
        return decision;
    }
    match exception {
        exception::PAGE if is_fetch(registers, address) && machine.twin(address).is_some() => {
            Decision::Resume
        }
        exception::PAGE if is_fetch(registers, address) && machine.make_executable(address) => {
            Decision::Resume
        }
        exception::PAGE if emulate::is_carried_out(address, registers.error()) => {
            emulate(state, machine, registers)
        }
        exception::PAGE => page_fault(machine, registers, address),
        // Some processors complain of such a jump at its target, others at its instruction.
        exception::PROTECTION if !is_canonical(registers.rip()) => {
            let target = registers.rip();
            let kind = FaultKind::GeneralProtection;
            fault(machine, registers, target, FaultAccess::Execute, kind)
        }
        exception::PROTECTION | exception::INVALID_OPCODE => emulate(state, machine, registers),
        exception::BREAKPOINT => {
            registers.set_rip(breakpoint(machine, registers.rip()));
            fault(
                machine,
                registers,
                0,
                FaultAccess::Execute,
                FaultKind::Breakpoint,
            )
        }
        exception::DEBUG => fault(
            machine,
            registers,
            0,
            FaultAccess::Execute,
            FaultKind::Breakpoint,
        ),
        exception::DIVIDE => fault(machine, registers, 0, FaultAccess::Read, FaultKind::Divide),
        exception::OVERFLOW => fault(
            machine,
            registers,
            0,
            FaultAccess::Read,
            FaultKind::GeneralProtection,
        ),
        exception::X87 | exception::SIMD => {
            fault(machine, registers, 0, FaultAccess::Read, FLOATING_POINT)
        }
        exception::STACK | exception::ALIGNMENT => protection(state, machine, registers),
        _ => Decision::NotOurs,
    }
}

/// Whether it is the instruction at `address` that could not be fetched.
fn is_fetch(registers: &Registers<'_>, address: u64) -> bool {
    const FETCH: u64 = 1 << 4;
    registers.error() & FETCH != 0 && address == registers.rip()
}

/// Whether the processor could look `address` up at all.
const fn is_canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

/// Exceptions of code that is prepared for them: the checked copy, and instructions that
/// run in a stub.
fn inside_the_handler(
    state: &State,
    machine: &dyn Machine,
    registers: &mut Registers<'_>,
    address: u64,
) -> Option<Decision> {
    let exception = registers.exception();
    if state.stubs.contains(registers.rip()) {
        let (landing, answer) = execute::recovery(exception)?;
        registers.set_rip(landing);
        registers.set(RAX, answer);
        return Some(Decision::Resume);
    }
    let access = matches!(
        exception,
        exception::PAGE | exception::PROTECTION | exception::STACK
    );
    let landing = access.then(|| machine.copy_fixup(registers.rip()))??;
    registers.set_rip(landing);
    // An address that no page table can hold is not reported; any that is not 0 will do.
    registers.set(
        RAX,
        if exception == exception::PAGE {
            address
        } else {
            u64::MAX
        },
    );
    Some(Decision::Resume)
}

/// Carries out the instruction at which the code stands.
fn emulate(state: &State, machine: &dyn Machine, registers: &mut Registers<'_>) -> Decision {
    let rip = registers.rip();
    let entry = match lookup(state, machine, rip) {
        Ok(entry) => entry,
        Err(bytes) => return unknown(machine, registers, &bytes),
    };
    let page_fault = registers.exception() == exception::PAGE;
    if !page_fault && accesses_memory(&entry.operation) {
        return protection(state, machine, registers);
    }
    machine.come_to(rip);
    let length = u64::from(entry.length);
    let result = Emulator {
        state,
        machine,
        registers,
        length,
    }
    .run(&entry.operation);
    let next = match result {
        Ok(next) => next,
        Err(trouble) => return troubled(machine, registers, &entry, trouble),
    };
    if page_fault {
        machine.meet_device(rip);
    }
    if matches!(next, Next::Following | Next::Shadowed) {
        registers.set_rip(rip.wrapping_add(length));
    }
    if next != Next::Shadowed && machine.needs_attention() {
        return Decision::Leave(Reason::Attend);
    }
    machine.come_to(0);
    Decision::Resume
}

/// Whether `operation` traps because of its operand and not because of what it is.
fn accesses_memory(operation: &Operation) -> bool {
    use super::operation::StringKind;
    match operation {
        Operation::Memory(_)
        | Operation::Translate(_)
        | Operation::Push(..)
        | Operation::Pop(..) => true,
        Operation::String(string) => !matches!(string.kind, StringKind::In | StringKind::Out),
        _ => false,
    }
}

/// The instruction at `rip`, which the processor has just tried to execute.
///
/// # Errors
/// Its bytes, if they are no instruction.
fn lookup(state: &State, machine: &dyn Machine, rip: u64) -> Result<Entry, [u8; 15]> {
    let (window, readable) = window(machine, rip);
    if let Some(entry) = state.cache.get(rip, window) {
        return Ok(entry);
    }
    let mut bytes = [0; 15];
    bytes.copy_from_slice(&window.to_le_bytes()[..15]);
    state.patches.restore(rip, &mut bytes[..readable]);
    checkpoint::outside(|| learn(state, rip, window, &bytes[..readable])).ok_or(bytes)
}

/// Decodes what the cache does not know.
fn learn(state: &State, rip: u64, window: u128, bytes: &[u8]) -> Option<Entry> {
    let instruction = decode(bytes, rip)?;
    let operation = match classify(&instruction, &state.stubs) {
        Ok(operation) => operation,
        Err(NoStub::Full | NoStub::NotEncodable) => {
            state.cache.clear();
            state.stubs.clear();
            classify(&instruction, &state.stubs).unwrap_or(Operation::Unsupported)
        }
    };
    let length = instruction.len() as u8;
    let entry = Entry {
        address: rip,
        bytes: cache::first(window, length),
        length,
        operation,
    };
    state.cache.insert(entry);
    Some(entry)
}

/// The 16 bytes at `rip`, zeros where they cannot be read, and how many of the first 15 can.
fn window(machine: &dyn Machine, rip: u64) -> (u128, usize) {
    let here = PAGE - rip % PAGE;
    let place = ptr::with_exposed_provenance::<u8>(rip as usize);
    if here >= 16 {
        // SAFETY: the processor has fetched an instruction from this page, so it is readable,
        // and no Rust reference to it exists.
        return (unsafe { place.cast::<u128>().read_unaligned() }, 15);
    }
    let mut bytes = [0; 16];
    let (first, second) = bytes.split_at_mut(here as usize);
    // SAFETY: as above; these are the page's last bytes.
    unsafe { ptr::copy_nonoverlapping(place, first.as_mut_ptr(), first.len()) };
    let readable = if machine.read(rip.wrapping_add(here), second).is_ok() {
        15
    } else {
        here as usize
    };
    (u128::from_le_bytes(bytes), readable.min(15))
}

/// The instruction before `rip`: `int3`, or its long form.
fn breakpoint(machine: &dyn Machine, rip: u64) -> u64 {
    let mut before = [0];
    let short = machine.read(rip.wrapping_sub(1), &mut before).is_err() || before == [0xCC];
    rip.wrapping_sub(if short { 1 } else { 2 })
}

/// What the processor faulted on is not an instruction that is known here.
fn unknown(machine: &dyn Machine, registers: &mut Registers<'_>, bytes: &[u8; 15]) -> Decision {
    if registers.exception() == exception::INVALID_OPCODE {
        return fault(
            machine,
            registers,
            0,
            FaultAccess::Execute,
            FaultKind::InvalidOpcode,
        );
    }
    if !machine.is_driver_code(registers.rip()) {
        return Decision::NotOurs;
    }
    Decision::Leave(Reason::Unsupported {
        instruction: registers.rip(),
        bytes: *bytes,
    })
}

/// `entry` could not be carried out.
fn troubled(
    machine: &dyn Machine,
    registers: &mut Registers<'_>,
    entry: &Entry,
    trouble: Trouble,
) -> Decision {
    match trouble {
        Trouble::Fault { .. }
            if registers.exception() == exception::INVALID_OPCODE
                && matches!(entry.operation, Operation::Ordinary) =>
        {
            fault(
                machine,
                registers,
                0,
                FaultAccess::Execute,
                FaultKind::InvalidOpcode,
            )
        }
        Trouble::Fault {
            address,
            access,
            kind,
        } => fault(machine, registers, address, access, kind),
        Trouble::Unsupported if !machine.is_driver_code(registers.rip()) => Decision::NotOurs,
        Trouble::Unsupported => {
            let instruction = registers.rip();
            let mut bytes = [0; 15];
            bytes.copy_from_slice(&entry.bytes.to_le_bytes()[..15]);
            registers.set_rip(instruction.wrapping_add(u64::from(entry.length)));
            Decision::Leave(Reason::Unsupported { instruction, bytes })
        }
    }
}

/// An access to an address that is not memory of the wanted kind, and nothing else either.
fn page_fault(machine: &dyn Machine, registers: &mut Registers<'_>, address: u64) -> Decision {
    let access = emulate::access(registers.error());
    if machine.is_stack_guard(address) {
        // Also in our own code: it was called with the driver's stack.
        let fault = fault_at(registers, address, access, FaultKind::StackOverflow);
        return Decision::Leave(Reason::Fault(fault));
    }
    fault(machine, registers, address, access, FaultKind::Page)
}

/// A fault for which the processor gives no address: the operand's, if it cannot be an
/// address at all, else all ones.
fn protection(state: &State, machine: &dyn Machine, registers: &mut Registers<'_>) -> Decision {
    let operand = match lookup(state, machine, registers.rip()).map(|entry| entry.operation) {
        Ok(Operation::Memory(operation)) => Some(operation.address.evaluate(registers)),
        Ok(Operation::Push(address, _) | Operation::Pop(address, _)) => {
            Some(address.evaluate(registers))
        }
        _ => None,
    };
    let address = operand
        .filter(|address| !is_canonical(*address))
        .unwrap_or(u64::MAX);
    fault(
        machine,
        registers,
        address,
        FaultAccess::Read,
        FaultKind::GeneralProtection,
    )
}

/// The driver's fault, or ours.
fn fault(
    machine: &dyn Machine,
    registers: &mut Registers<'_>,
    address: u64,
    access: FaultAccess,
    kind: FaultKind,
) -> Decision {
    // A jump to nowhere is a driver's: none of our own calls goes through its memory.
    let jump = matches!(kind, FaultKind::Page | FaultKind::GeneralProtection)
        && access == FaultAccess::Execute
        && address == registers.rip();
    if !jump && !machine.is_driver_code(registers.rip()) {
        return Decision::NotOurs;
    }
    let mut fault = fault_at(registers, address, access, kind);
    if jump {
        fault.caller = machine
            .caller_of_nowhere(address, registers.get(RSP))
            .unwrap_or(0);
    }
    Decision::Leave(Reason::Fault(fault))
}
