//! Unwinding one frame of driver code.
//!
//! Source: Microsoft, "x64 exception handling" and "x64 prolog and epilog"; where they leave
//! something open, the documentation of `RtlVirtualUnwind`, which this does the work of.
//!
//! Not modelled: unwind data made at run time. Handlers are found, not called.

mod epilogue;
mod info;
mod scope;
#[cfg(test)]
mod tests;

use crate::error::ImageError;
use crate::function::Function;
use crate::image::Image;
use crate::unwind::epilogue::{Adjust, Epilogue};

pub use crate::unwind::info::{Code, FrameRegister, Handler, Operation, Tail, UnwindInfo};
pub use crate::unwind::scope::{Guard, Scope};

/// How many entries a chain may have; Windows gives up after as many.
pub const MAX_CHAIN: usize = 32;

/// A general-purpose register by its number in instructions, 0..=15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gpr(u8);

impl Gpr {
    /// The stack pointer.
    pub const RSP: Self = Self(4);
    /// The usual frame register.
    pub const RBP: Self = Self(5);

    /// The register of this number; only the low four bits count.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number & 15)
    }

    /// Its number, 0..=15.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A vector register by its number, 0..=15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xmm(u8);

impl Xmm {
    /// The register of this number; only the low four bits count.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number & 15)
    }

    /// Its number, 0..=15.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The registers that unwinding restores. Volatile ones keep whatever they held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// The instruction pointer.
    pub rip: u64,
    gprs: [u64; 16],
    xmms: [u128; 16],
}

impl Registers {
    /// Registers of a processor that is about to execute at `rip`; all others are zero.
    #[must_use]
    pub fn at(rip: u64) -> Self {
        Self {
            rip,
            ..Self::default()
        }
    }

    /// The value of a register.
    #[must_use]
    pub const fn gpr(&self, register: Gpr) -> u64 {
        self.gprs[register.0 as usize]
    }

    /// Changes a register.
    pub const fn set_gpr(&mut self, register: Gpr, value: u64) {
        self.gprs[register.0 as usize] = value;
    }

    /// The value of a vector register.
    #[must_use]
    pub const fn xmm(&self, register: Xmm) -> u128 {
        self.xmms[register.0 as usize]
    }

    /// Changes a vector register.
    pub const fn set_xmm(&mut self, register: Xmm, value: u128) {
        self.xmms[register.0 as usize] = value;
    }

    /// The stack pointer.
    #[must_use]
    pub const fn rsp(&self) -> u64 {
        self.gpr(Gpr::RSP)
    }

    const fn set_rsp(&mut self, value: u64) {
        self.set_gpr(Gpr::RSP, value);
    }
}

/// Why a frame could not be unwound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnwindError {
    /// The unwind data leads out of the image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The unwind data is of a version that is not known.
    #[error("unwind information at RVA {rva:#x}: Version is {found}, must be 1 or 2")]
    Version {
        /// RVA of the `UNWIND_INFO`.
        rva: u32,
        /// The field.
        found: u8,
    },
    /// A chained entry has a handler of its own.
    #[error(
        "unwind information at RVA {rva:#x}: Flags is {found:#x}, CHAININFO (0x4) stands alone"
    )]
    Flags {
        /// RVA of the `UNWIND_INFO`.
        rva: u32,
        /// The field.
        found: u8,
    },
    /// An operation that is not known.
    #[error(
        "unwind information at RVA {rva:#x}: UnwindOp is {found} with OpInfo {info}, which nothing defines"
    )]
    Operation {
        /// RVA of the `UNWIND_INFO`.
        rva: u32,
        /// The operation.
        found: u8,
        /// Its operand.
        info: u8,
    },
    /// The last operation wants more slots than there are.
    #[error("unwind information at RVA {rva:#x}: the last operation goes past CountOfCodes")]
    Slots {
        /// RVA of the `UNWIND_INFO`.
        rva: u32,
    },
    /// A chain does not come to an end.
    #[error(
        "unwind information of the function at RVA {begin:#x} is chained more than {MAX_CHAIN} times"
    )]
    Chain {
        /// RVA of the function that was unwound.
        begin: u32,
    },
    /// The stack cannot be read.
    #[error("no stack at {address:#x}")]
    Stack {
        /// The address of eight bytes.
        address: u64,
    },
}

/// What unwinding found out about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function, or `None` for a leaf without unwind data. For a stretch that is part of a
    /// function this is the function's own entry.
    pub function: Option<Function>,
    /// Base of the fixed part of the frame: what handlers call the establisher frame.
    pub establisher: u64,
    /// The handler that applies at this place: none in a prologue or an epilogue.
    pub handler: Option<Handler>,
    /// Where each register was saved, for those that were.
    pub saved: Saved,
}

/// The addresses at which a frame saved registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    gprs: [Option<u64>; 16],
    xmms: [Option<u64>; 16],
}

impl Saved {
    /// Where a register was saved.
    #[must_use]
    pub const fn gpr(&self, register: Gpr) -> Option<u64> {
        self.gprs[register.0 as usize]
    }

    /// Where a vector register was saved.
    #[must_use]
    pub const fn xmm(&self, register: Xmm) -> Option<u64> {
        self.xmms[register.0 as usize]
    }
}

impl Image {
    /// Reads the unwind data of a function.
    ///
    /// # Errors
    /// The data leads out of the image, or is of a form that nothing defines.
    pub fn unwind_info(&self, function: &Function) -> Result<UnwindInfo, UnwindError> {
        let image = self.placed.reader();
        let mut function = *function;
        for _ in 0..MAX_CHAIN {
            if function.unwind_info & 1 == 0 {
                return UnwindInfo::read(image, function.unwind_info);
            }
            function = Function::read(image, (function.unwind_info & !1).into())?;
        }
        Err(UnwindError::Chain {
            begin: function.begin,
        })
    }

    /// Unwinds one frame: changes `registers` from inside a function to right after the call in
    /// its caller.
    ///
    /// The image is at `base` and `registers.rip` in it. `read` returns eight bytes of stack, or
    /// `None` where there is no stack. Code is read from the file, so that places where the image
    /// in memory was patched do not matter.
    ///
    /// # Errors
    /// The unwind data is malformed, or says that there is stack where there is none. `registers`
    /// is then as it was.
    pub fn unwind(
        &self,
        base: u64,
        registers: &mut Registers,
        read: impl FnMut(u64) -> Option<u64>,
    ) -> Result<Frame, UnwindError> {
        let mut step = Step {
            registers: *registers,
            saved: Saved::default(),
            read,
        };
        let rva = registers.rip.wrapping_sub(base);
        let function = u32::try_from(rva)
            .ok()
            .and_then(|rva| Some((rva, self.function_at(rva)?)));
        let mut frame = match function {
            Some((rva, function)) => step.function(self, function, rva)?,
            None => step.leaf()?,
        };
        frame.saved = step.saved;
        *registers = step.registers;
        Ok(frame)
    }
}

/// The entry that a chained one belongs to; an entry that is not chained itself.
fn primary(image: &Image, function: &Function) -> Result<Function, UnwindError> {
    let mut current = *function;
    for _ in 0..MAX_CHAIN {
        match image.unwind_info(&current)?.tail {
            Tail::Chained(next) => current = next,
            Tail::None | Tail::Handler(_) => return Ok(current),
        }
    }
    Err(UnwindError::Chain {
        begin: function.begin,
    })
}

/// One frame being unwound.
struct Step<F> {
    registers: Registers,
    saved: Saved,
    read: F,
}

impl<F: FnMut(u64) -> Option<u64>> Step<F> {
    /// A function without unwind data has not touched the stack.
    fn leaf(&mut self) -> Result<Frame, UnwindError> {
        let establisher = self.registers.rsp();
        self.pop_return_address()?;
        Ok(frame(None, establisher, None))
    }

    fn function(
        &mut self,
        image: &Image,
        function: &Function,
        rva: u32,
    ) -> Result<Frame, UnwindError> {
        let info = image.unwind_info(function)?;
        let offset = rva - function.begin;
        let establisher = self.establisher(&info, offset);
        if offset >= u32::from(info.prologue)
            && let Some(epilogue) = epilogue::at(image, function, info.frame, rva)?
        {
            self.epilogue(&epilogue)?;
            return Ok(frame(Some(primary(image, function)?), establisher, None));
        }
        let (function, info) = self.prologues(image, function, info, offset, establisher)?;
        // A stretch may lie before the function that it is part of.
        let past_prologue = rva
            .checked_sub(function.begin)
            .is_none_or(|offset| offset >= info.prologue.into());
        let handler = match info.tail {
            Tail::Handler(handler) if past_prologue => Some(handler),
            _ => None,
        };
        Ok(frame(Some(function), establisher, handler))
    }

    /// The base that saved registers are counted from.
    fn establisher(&self, info: &UnwindInfo, offset: u32) -> u64 {
        let Some(FrameRegister {
            register,
            offset: above,
        }) = info.frame
        else {
            return self.registers.rsp();
        };
        let chained = matches!(info.tail, Tail::Chained(_));
        let set = chained
            || offset >= u32::from(info.prologue)
            || info.codes.iter().any(|code| {
                code.operation == Operation::SetFrame && u32::from(code.offset) <= offset
            });
        if set {
            self.registers.gpr(register).wrapping_sub(above.into())
        } else {
            self.registers.rsp()
        }
    }

    /// Undoes the prologue as far as it ran, then those of the entries that this is chained to,
    /// which ran in full. Returns the last entry and its data.
    fn prologues(
        &mut self,
        image: &Image,
        function: &Function,
        info: UnwindInfo,
        offset: u32,
        establisher: u64,
    ) -> Result<(Function, UnwindInfo), UnwindError> {
        let (mut current, mut info, mut ran) = (*function, info, offset);
        let mut machine_frame = false;
        for _ in 0..MAX_CHAIN {
            for code in info
                .codes
                .iter()
                .filter(|code| u32::from(code.offset) <= ran)
            {
                machine_frame |= self.undo(code.operation, &info, establisher)?;
            }
            let Tail::Chained(next) = info.tail else {
                if !machine_frame {
                    self.pop_return_address()?;
                }
                return Ok((current, info));
            };
            info = image.unwind_info(&next)?;
            (current, ran) = (next, u32::MAX);
        }
        Err(UnwindError::Chain {
            begin: function.begin,
        })
    }

    /// Undoes one prologue instruction. Returns whether it was the processor's own push.
    fn undo(
        &mut self,
        operation: Operation,
        info: &UnwindInfo,
        establisher: u64,
    ) -> Result<bool, UnwindError> {
        let rsp = self.registers.rsp();
        match operation {
            Operation::Push(register) => self.pop(register)?,
            Operation::Allocate(bytes) => self.registers.set_rsp(rsp.wrapping_add(bytes.into())),
            Operation::SetFrame => {
                if let Some(FrameRegister { register, offset }) = info.frame {
                    let value = self.registers.gpr(register).wrapping_sub(offset.into());
                    self.registers.set_rsp(value);
                }
            }
            Operation::Save(register, offset) => {
                self.restore(register, establisher.wrapping_add(offset.into()))?;
            }
            Operation::SaveXmm(register, offset) => {
                self.restore_xmm(register, establisher.wrapping_add(offset.into()))?;
            }
            Operation::MachineFrame { error_code } => {
                let frame = rsp.wrapping_add(if error_code { 8 } else { 0 });
                self.registers.rip = self.stack(frame)?;
                let rsp = self.stack(frame.wrapping_add(24))?;
                self.registers.set_rsp(rsp);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does what is left of an epilogue.
    fn epilogue(&mut self, epilogue: &Epilogue) -> Result<(), UnwindError> {
        match epilogue.stack {
            None => {}
            Some(Adjust::Add(bytes)) => {
                let rsp = self.registers.rsp().wrapping_add_signed(bytes.into());
                self.registers.set_rsp(rsp);
            }
            Some(Adjust::Lea(register, bytes)) => {
                let rsp = self
                    .registers
                    .gpr(register)
                    .wrapping_add_signed(bytes.into());
                self.registers.set_rsp(rsp);
            }
        }
        for register in &epilogue.pops {
            self.pop(*register)?;
        }
        self.pop_return_address()
    }

    fn pop(&mut self, register: Gpr) -> Result<(), UnwindError> {
        let rsp = self.registers.rsp();
        self.registers.set_rsp(rsp.wrapping_add(8));
        self.restore(register, rsp)
    }

    fn pop_return_address(&mut self) -> Result<(), UnwindError> {
        let rsp = self.registers.rsp();
        self.registers.rip = self.stack(rsp)?;
        self.registers.set_rsp(rsp.wrapping_add(8));
        Ok(())
    }

    fn restore(&mut self, register: Gpr, address: u64) -> Result<(), UnwindError> {
        let value = self.stack(address)?;
        self.registers.set_gpr(register, value);
        if let Some(saved) = self.saved.gprs.get_mut(usize::from(register.0)) {
            *saved = Some(address);
        }
        Ok(())
    }

    fn restore_xmm(&mut self, register: Xmm, address: u64) -> Result<(), UnwindError> {
        let low = self.stack(address)?;
        let high = self.stack(address.wrapping_add(8))?;
        self.registers
            .set_xmm(register, u128::from(low) | u128::from(high) << 64);
        if let Some(saved) = self.saved.xmms.get_mut(usize::from(register.0)) {
            *saved = Some(address);
        }
        Ok(())
    }

    fn stack(&mut self, address: u64) -> Result<u64, UnwindError> {
        (self.read)(address).ok_or(UnwindError::Stack { address })
    }
}

const fn frame(function: Option<Function>, establisher: u64, handler: Option<Handler>) -> Frame {
    Frame {
        function,
        establisher,
        handler,
        saved: Saved {
            gprs: [None; 16],
            xmms: [None; 16],
        },
    }
}
