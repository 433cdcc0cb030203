//! What the processor would do.

use dirql_chips::Width;

use super::bus::{self, Target};
use super::execute::execute;
use super::fault::{FaultAccess, FaultKind, Trouble};
use super::machine::Machine;
use super::operation::{Address, MemoryOperation, Operand, Operation, Port};
use super::registers::{INTERRUPT_FLAG, RAX, RCX, RDX, RSP, Registers};
use super::state::State;
use super::strings;
use super::vector::has_header;

/// How the interrupted code goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Behind the instruction.
    Following,
    /// Behind the instruction, and no interrupt is taken before the one there.
    Shadowed,
    /// Where the instruction pointer has been set to; at the same instruction if it was not.
    Here,
}

/// What drivers see in the control registers: protected mode with paging, caches on, no
/// page fault yet, and what x64 Windows switches on in CR4.
const CR0: u64 = 0x8005_0031;
const CR3: u64 = 0x001A_A000;
const CR4: u64 = 0x0000_06F8;

/// The debug registers' values after a reset.
const DR6: u64 = 0xFFFF_0FF0;
const DR7: u64 = 0x400;

/// Flags that POPF of an ordinary process loads: the arithmetic ones, DF, AC and ID.
const LOADABLE_FLAGS: u64 = 0x0024_0CD5;

/// How many general performance counters there are, none of which counts.
const COUNTERS: u64 = 8;

/// Functions of `int 0x2d`: print, prompt, load symbols, unload symbols, command string.
const DEBUG_SERVICES: std::ops::RangeInclusive<u32> = 1..=5;

/// An instruction that trapped, and everything that it works on.
pub(super) struct Emulator<'a, 'r> {
    pub(super) state: &'a State,
    pub(super) machine: &'a dyn Machine,
    pub(super) registers: &'a mut Registers<'r>,
    /// Bytes of the instruction.
    pub(super) length: u64,
}

impl Emulator<'_, '_> {
    /// Carries out `operation`. On an error, registers and memory are as before, except for
    /// the elements of a string instruction that are done.
    pub(super) fn run(&mut self, operation: &Operation) -> Result<Next, Trouble> {
        match *operation {
            Operation::Memory(ref operation) => self.memory(operation)?,
            Operation::String(ref operation) => {
                let complete = strings::run(operation, self.machine, self.registers)?;
                return Ok(if complete {
                    Next::Following
                } else {
                    Next::Here
                });
            }
            Operation::Translate(address) => self.translate(&address)?,
            Operation::Push(address, width) => self.push_memory(&address, width)?,
            Operation::Pop(address, width) => self.pop_memory(&address, width)?,
            Operation::In(port, width) => {
                let value = self.machine.read_port(self.port(port), width);
                self.registers.set_part(RAX, width, value);
            }
            Operation::Out(port, width) => {
                self.machine.write_port(
                    self.port(port),
                    width,
                    self.registers.get(RAX) & width.ones(),
                );
            }
            Operation::ReadControl { control, register } => self.read_control(control, register)?,
            Operation::WriteControl { control, register } => {
                self.write_control(control, register)?
            }
            Operation::ReadDebug { debug, register } => self.read_debug(debug, register),
            Operation::Halt => self.machine.halt(),
            Operation::ReadMsr => self.read_msr()?,
            Operation::WriteMsr => self.write_msr()?,
            Operation::ReadTsc => self.set_pair(self.machine.time_stamp_counter()),
            Operation::ReadTscAndProcessor => {
                self.set_pair(self.machine.time_stamp_counter());
                self.registers.set(RCX, 0);
            }
            Operation::ReadPerformanceCounter => self.read_performance_counter()?,
            Operation::Interrupt(vector) => return self.interrupt(vector),
            Operation::Nothing => {}
            Operation::Unsupported => return Err(Trouble::Unsupported),
            Operation::Ordinary => return Err(Trouble::of(FaultKind::GeneralProtection)),
            ref flow => return self.flow(flow),
        }
        Ok(Next::Following)
    }

    /// Operations on the interrupt flag, and those that are traps because they follow one.
    fn flow(&mut self, operation: &Operation) -> Result<Next, Trouble> {
        match *operation {
            Operation::ClearInterruptFlag => {
                self.machine.set_interrupt_flag(false);
                self.state.patches.watch(self.machine, self.following());
                Ok(Next::Following)
            }
            Operation::SetInterruptFlag => {
                self.machine.set_interrupt_flag(true);
                Ok(if self.halts_next() {
                    Next::Shadowed
                } else {
                    Next::Following
                })
            }
            Operation::PushFlags => {
                let enabled = if self.machine.interrupt_flag() {
                    INTERRUPT_FLAG
                } else {
                    0
                };
                let flags = self.registers.flags() & (LOADABLE_FLAGS | 2) | enabled;
                self.push(Width::U64, flags)?;
                Ok(Next::Following)
            }
            Operation::PopFlags => {
                let flags = self.pop(Width::U64)?;
                self.load_flags(flags);
                self.watch_while_disabled(self.following());
                Ok(Next::Following)
            }
            Operation::ReturnFromInterrupt => self.return_from_interrupt(),
            Operation::Return(release) => {
                let target = self.pop(Width::U64)?;
                self.registers.set(
                    RSP,
                    self.registers.get(RSP).wrapping_add(u64::from(release)),
                );
                Ok(self.jump(target))
            }
            Operation::Jump(operand) => {
                let target = self.operand(&operand)?;
                if self.machine.image_of(target).is_none() {
                    // The last call of a function, out of the image: what it returns to goes on.
                    let caller = self.load(self.registers.get(RSP), Width::U64)?;
                    self.watch_while_disabled(caller);
                }
                Ok(self.jump(target))
            }
            Operation::Call(operand) => {
                let target = self.operand(&operand)?;
                self.push(Width::U64, self.following())?;
                Ok(self.jump(target))
            }
            _ => Err(Trouble::Unsupported),
        }
    }

    pub(super) fn following(&self) -> u64 {
        self.registers.rip().wrapping_add(self.length)
    }

    fn jump(&mut self, target: u64) -> Next {
        self.registers.set_rip(target);
        self.watch_while_disabled(target);
        Next::Here
    }

    /// Code that goes on at `target` with interrupts off may look at the flag, or set it.
    fn watch_while_disabled(&self, target: u64) {
        if !self.machine.interrupt_flag() {
            self.state.patches.watch(self.machine, target);
        }
    }

    fn load_flags(&mut self, flags: u64) {
        self.machine.set_interrupt_flag(flags & INTERRUPT_FLAG != 0);
        self.registers
            .set_flags(self.registers.flags() & !LOADABLE_FLAGS | flags & LOADABLE_FLAGS);
    }

    /// `sti; hlt` waits for an interrupt that arrives at either of them (Intel SDM volume 2,
    /// STI).
    fn halts_next(&self) -> bool {
        let mut next = [0];
        self.machine.read(self.following(), &mut next).is_ok() && next == [0xF4]
    }

    fn return_from_interrupt(&mut self) -> Result<Next, Trouble> {
        let stack = self.registers.get(RSP);
        let mut words = [0; 5];
        for (number, word) in words.iter_mut().enumerate() {
            *word = self.load(stack.wrapping_add(8 * number as u64), Width::U64)?;
        }
        let [rip, _, flags, rsp, _] = words;
        self.registers.set(RSP, rsp);
        self.load_flags(flags);
        Ok(self.jump(rip))
    }

    fn port(&self, port: Port) -> u16 {
        match port {
            Port::Fixed(port) => u16::from(port),
            Port::Dx => self.registers.get(RDX) as u16,
        }
    }

    fn read_control(&mut self, control: u8, register: u8) -> Result<(), Trouble> {
        let value = match control {
            0 => CR0,
            2 => 0,
            3 => CR3,
            4 => CR4,
            8 => self.machine.read_cr8(),
            _ => return Err(Trouble::of(FaultKind::InvalidOpcode)),
        };
        self.registers.set(register, value);
        Ok(())
    }

    fn write_control(&mut self, control: u8, register: u8) -> Result<(), Trouble> {
        let value = self.registers.get(register);
        match control {
            8 if value <= 15 => self.machine.write_cr8(value),
            8 => return Err(Trouble::of(FaultKind::GeneralProtection)),
            // A driver that flushes all translations writes back what it read.
            0 if value == CR0 => {}
            3 if value == CR3 => {}
            4 if value == CR4 => {}
            _ => return Err(Trouble::Unsupported),
        }
        Ok(())
    }

    fn read_debug(&mut self, debug: u8, register: u8) {
        let value = match debug {
            4 | 6 => DR6,
            5 | 7 => DR7,
            _ => 0,
        };
        self.registers.set(register, value);
    }

    fn read_msr(&mut self) -> Result<(), Trouble> {
        let register = self.registers.get(RCX) as u32;
        let value = self
            .machine
            .read_msr(register)
            .ok_or(Trouble::of(FaultKind::GeneralProtection))?;
        self.set_pair(value);
        Ok(())
    }

    fn write_msr(&mut self) -> Result<(), Trouble> {
        let register = self.registers.get(RCX) as u32;
        let value = self.registers.get(RDX) << 32 | self.registers.get(RAX) & 0xFFFF_FFFF;
        if self.machine.write_msr(register, value) {
            Ok(())
        } else {
            Err(Trouble::of(FaultKind::GeneralProtection))
        }
    }

    fn read_performance_counter(&mut self) -> Result<(), Trouble> {
        if self.registers.get(RCX) & 0xFFFF_FFFF >= COUNTERS {
            return Err(Trouble::of(FaultKind::GeneralProtection));
        }
        self.set_pair(0);
        Ok(())
    }

    /// `edx:eax`.
    fn set_pair(&mut self, value: u64) {
        self.registers.set(RAX, value & 0xFFFF_FFFF);
        self.registers.set(RDX, value >> 32);
    }

    /// Software interrupts, as Windows uses them.
    fn interrupt(&mut self, vector: u8) -> Result<Next, Trouble> {
        let kind = match vector {
            0x29 => FaultKind::FailFast(self.registers.get(RCX) as u32),
            0x2C => FaultKind::Assertion,
            0x2D if DEBUG_SERVICES.contains(&(self.registers.get(RAX) as u32)) => {
                // Nobody listens. The byte behind the instruction is an `int3` for old
                // debuggers and is skipped.
                self.registers.set_rip(self.following().wrapping_add(1));
                return Ok(Next::Here);
            }
            // What no service of the debugger is, is a breakpoint.
            0x03 | 0x2D => FaultKind::Breakpoint,
            _ => FaultKind::GeneralProtection,
        };
        Err(Trouble::of(kind))
    }

    /// Runs the instruction itself, with what its operand holds in a buffer.
    fn memory(&mut self, operation: &MemoryOperation) -> Result<(), Trouble> {
        let size = usize::from(operation.size);
        let address = self.operand_address(operation);
        let buffer = self.state.stubs.buffer();
        if operation.writes {
            bus::check_write(address, size)?;
        }
        if operation.reads {
            let mut bytes = [0; super::stub::BUFFER];
            bus::read(self.machine, address, &mut bytes[..size])?;
            // SAFETY: the buffer is writable, 64-aligned, and nothing refers to it.
            unsafe { buffer.write(bytes) };
        }
        if !operation.writes {
            return self.execute(operation);
        }
        let before = bus::crosses(address, size).then(|| self.registers.general());
        self.execute(operation)?;
        // SAFETY: the buffer is readable, and nothing refers to it.
        let bytes = unsafe { buffer.read() };
        let written = bus::write(self.machine, address, &bytes[..size]);
        if let (Err(_), Some(before)) = (written, before) {
            self.registers.set_general(before);
        }
        written
    }

    fn operand_address(&self, operation: &MemoryOperation) -> u64 {
        let address = operation.address.evaluate(self.registers);
        let Some(register) = operation.bit_index else {
            return address;
        };
        let register = if operation.stand_in == Some(register) {
            RSP
        } else {
            register
        };
        let bits = u32::from(operation.size) * 8;
        // The bit's number is signed and as wide as the operand (Intel SDM volume 2, BT).
        let unused = 64 - bits;
        let bit = (self.registers.get(register) << unused) as i64 >> unused;
        let operand = (bit >> bits.trailing_zeros()) as u64;
        address.wrapping_add(operand.wrapping_mul(u64::from(operation.size)))
    }

    fn execute(&mut self, operation: &MemoryOperation) -> Result<(), Trouble> {
        let components = if operation.vector {
            self.vector_components()?
        } else {
            0
        };
        let kept = operation
            .stand_in
            .map(|register| (register, self.registers.get(register)));
        if let Some((register, _)) = kept {
            self.registers.set(register, self.registers.get(RSP));
        }
        let index = operation
            .bit_index
            .map(|register| (register, self.registers.get(register)));
        if let Some((register, bit)) = index {
            self.registers
                .set(register, bit & (u64::from(operation.size) * 8 - 1));
        }
        let stub = self.state.stubs.code(operation.stub);
        // SAFETY: the stub was made from this instruction: it uses no `rsp`, has the buffer as
        // its only memory operand, and returns. The components are those of the frame.
        let result = unsafe { execute(self.registers, stub, components) };
        if let Some((register, bit)) = index {
            self.registers.set(register, bit);
        }
        if let Some((register, value)) = kept {
            if result.is_ok() {
                self.registers.set(RSP, self.registers.get(register));
            }
            self.registers.set(register, value);
        }
        result.map_err(Trouble::of)
    }

    /// What of the vector state the instruction can use.
    fn vector_components(&mut self) -> Result<u64, Trouble> {
        // SAFETY: this is the frame's own pointer.
        let usable = unsafe { has_header(self.registers.vector_state()) };
        if usable {
            Ok(self.state.vectors.components)
        } else {
            Err(Trouble::Unsupported)
        }
    }

    /// `xlatb`.
    fn translate(&mut self, table: &Address) -> Result<(), Trouble> {
        let address = table
            .evaluate(self.registers)
            .wrapping_add(self.registers.get(RAX) & 0xFF);
        let address = if table.short {
            address & 0xFFFF_FFFF
        } else {
            address
        };
        let value = self.load(address, Width::U8)?;
        self.registers.set_part(RAX, Width::U8, value);
        Ok(())
    }

    fn push_memory(&mut self, address: &Address, width: Width) -> Result<(), Trouble> {
        let value = self.load(address.evaluate(self.registers), width)?;
        self.push(width, value)
    }

    /// The operand's address is computed after `rsp` has been moved (Intel SDM volume 2, POP).
    fn pop_memory(&mut self, address: &Address, width: Width) -> Result<(), Trouble> {
        let stack = self.registers.get(RSP);
        let value = self.pop(width)?;
        let target = address.evaluate(self.registers);
        let stored = bus::write(
            self.machine,
            target,
            &value.to_le_bytes()[..width.bytes() as usize],
        );
        if stored.is_err() {
            self.registers.set(RSP, stack);
        }
        stored
    }

    fn operand(&mut self, operand: &Operand) -> Result<u64, Trouble> {
        match operand {
            Operand::Register(register) => Ok(self.registers.get(*register)),
            Operand::Memory(address) => self.load(address.evaluate(self.registers), Width::U64),
        }
    }

    fn load(&self, address: u64, width: Width) -> Result<u64, Trouble> {
        let mut bytes = [0; 8];
        bus::read(self.machine, address, &mut bytes[..width.bytes() as usize])?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn push(&mut self, width: Width, value: u64) -> Result<(), Trouble> {
        let stack = self.registers.get(RSP).wrapping_sub(width.bytes());
        bus::write(
            self.machine,
            stack,
            &value.to_le_bytes()[..width.bytes() as usize],
        )?;
        self.registers.set(RSP, stack);
        Ok(())
    }

    fn pop(&mut self, width: Width) -> Result<u64, Trouble> {
        let stack = self.registers.get(RSP);
        let value = self.load(stack, width)?;
        self.registers.set(RSP, stack.wrapping_add(width.bytes()));
        Ok(value)
    }
}

/// Whether a page fault at `address` can be one of those that are carried out.
pub(super) fn is_carried_out(address: u64, error: u64) -> bool {
    Target::is_carried_out(address) && access(error) != FaultAccess::Execute
}

/// What a page fault's error code says about the access (Intel SDM volume 3, Page-Fault
/// Exceptions).
pub(super) const fn access(error: u64) -> FaultAccess {
    if error & 0x10 != 0 {
        FaultAccess::Execute
    } else if error & 0x02 != 0 {
        FaultAccess::Write
    } else {
        FaultAccess::Read
    }
}
