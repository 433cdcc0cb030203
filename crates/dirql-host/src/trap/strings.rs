//! String instructions, element by element, as the processor does them.
//!
//! Between two elements the registers are as if the instruction had just started with
//! fewer left, so it can be interrupted there and goes on by being executed again (Intel
//! SDM volume 2, REP/REPE/REPZ/REPNE/REPNZ).

use std::arch::asm;

use dirql_chips::Width;

use super::bus;
use super::fault::Trouble;
use super::machine::Machine;
use super::operation::{Repeat, StringKind, StringOperation};
use super::registers::{ARITHMETIC_FLAGS, DIRECTION_FLAG, RAX, RCX, RDI, RDX, RSI, Registers};

/// So many elements are done before the interrupted code gets its turn again.
const ELEMENTS: u32 = 0x1000;

/// Carries out `operation`. Returns whether it is complete.
pub(super) fn run(
    operation: &StringOperation,
    machine: &dyn Machine,
    registers: &mut Registers<'_>,
) -> Result<bool, Trouble> {
    if operation.repeat == Repeat::Once {
        element(operation, machine, registers)?;
        return Ok(true);
    }
    for _ in 0..ELEMENTS {
        let count = short(operation, registers.get(RCX));
        if count == 0 {
            return Ok(true);
        }
        element(operation, machine, registers)?;
        registers.set(RCX, short(operation, count - 1));
        if count == 1 || is_decided(operation, registers) {
            return Ok(true);
        }
        if machine.needs_attention() {
            return Ok(false);
        }
    }
    Ok(false)
}

/// Whether a comparison found what it looked for.
fn is_decided(operation: &StringOperation, registers: &Registers<'_>) -> bool {
    const ZERO_FLAG: u64 = 1 << 6;
    let equal = registers.flags() & ZERO_FLAG != 0;
    match operation.kind {
        StringKind::Compare | StringKind::Scan => equal != (operation.repeat == Repeat::WhileEqual),
        _ => false,
    }
}

/// One element. Registers change only if all of it succeeds.
fn element(
    operation: &StringOperation,
    machine: &dyn Machine,
    registers: &mut Registers<'_>,
) -> Result<(), Trouble> {
    let width = operation.width;
    let source = operation
        .segment
        .base()
        .wrapping_add(short(operation, registers.get(RSI)));
    let target = short(operation, registers.get(RDI));
    let accumulator = registers.get(RAX) & width.ones();
    let port = registers.get(RDX) as u16;
    match operation.kind {
        StringKind::Move => {
            bus::check_write(target, width.bytes() as usize)?;
            let value = read(machine, source, width)?;
            write(machine, target, width, value)?;
        }
        StringKind::Store => write(machine, target, width, accumulator)?,
        StringKind::Load => {
            let value = read(machine, source, width)?;
            registers.set_part(RAX, width, value);
        }
        StringKind::Compare => {
            let left = read(machine, source, width)?;
            let right = read(machine, target, width)?;
            compare(registers, width, left, right);
        }
        StringKind::Scan => {
            let right = read(machine, target, width)?;
            compare(registers, width, accumulator, right);
        }
        StringKind::In => {
            bus::check_write(target, width.bytes() as usize)?;
            let value = machine.read_port(port, width);
            write(machine, target, width, value)?;
        }
        StringKind::Out => {
            let value = read(machine, source, width)?;
            machine.write_port(port, width, value);
        }
    }
    advance(operation, registers);
    Ok(())
}

fn advance(operation: &StringOperation, registers: &mut Registers<'_>) {
    let down = registers.flags() & DIRECTION_FLAG != 0;
    let bytes = operation.width.bytes();
    let step = if down { bytes.wrapping_neg() } else { bytes };
    let (source, target) = match operation.kind {
        StringKind::Move | StringKind::Compare => (true, true),
        StringKind::Load | StringKind::Out => (true, false),
        StringKind::Store | StringKind::Scan | StringKind::In => (false, true),
    };
    for (used, register) in [(source, RSI), (target, RDI)] {
        if used {
            registers.set(
                register,
                short(operation, registers.get(register).wrapping_add(step)),
            );
        }
    }
}

/// A register as the instruction's address size sees it.
fn short(operation: &StringOperation, value: u64) -> u64 {
    if operation.short {
        value & 0xFFFF_FFFF
    } else {
        value
    }
}

fn read(machine: &dyn Machine, address: u64, width: Width) -> Result<u64, Trouble> {
    let mut bytes = [0; 8];
    bus::read(machine, address, &mut bytes[..width.bytes() as usize])?;
    Ok(u64::from_le_bytes(bytes))
}

fn write(machine: &dyn Machine, address: u64, width: Width, value: u64) -> Result<(), Trouble> {
    bus::write(
        machine,
        address,
        &value.to_le_bytes()[..width.bytes() as usize],
    )
}

/// Sets the flags as `cmp left, right` does.
fn compare(registers: &mut Registers<'_>, width: Width, left: u64, right: u64) {
    let flags: u64;
    // SAFETY: comparing two registers and reading the flags touches nothing else; the push
    // is taken back at once.
    unsafe {
        match width {
            Width::U8 => {
                asm!("cmp {l}, {r}", "pushfq", "pop {f}", l = in(reg_byte) left as u8, r = in(reg_byte) right as u8, f = lateout(reg) flags)
            }
            Width::U16 => {
                asm!("cmp {l:x}, {r:x}", "pushfq", "pop {f}", l = in(reg) left, r = in(reg) right, f = lateout(reg) flags)
            }
            Width::U32 => {
                asm!("cmp {l:e}, {r:e}", "pushfq", "pop {f}", l = in(reg) left, r = in(reg) right, f = lateout(reg) flags)
            }
            Width::U64 => {
                asm!("cmp {l}, {r}", "pushfq", "pop {f}", l = in(reg) left, r = in(reg) right, f = lateout(reg) flags)
            }
        }
    }
    registers.set_flags(registers.flags() & !ARITHMETIC_FLAGS | flags & ARITHMETIC_FLAGS);
}
