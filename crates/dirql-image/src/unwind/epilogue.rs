//! Recognizing and finishing an epilogue.
//!
//! Source: Microsoft, "x64 prolog and epilog": an epilogue is `add rsp, constant` or
//! `lea rsp, [frame register + constant]`, then pops of 8-byte registers, then a return or a
//! jump; nothing else. So the instructions ahead tell whether control is inside one, and what is
//! left to do. Version 2 of the unwind data also lists epilogues; they have the same form.

use crate::function::Function;
use crate::image::Image;
use crate::reader::Reader;
use crate::unwind::{FrameRegister, Gpr, UnwindError, primary};

/// What the rest of an epilogue does before it leaves the function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Epilogue {
    pub(super) stack: Option<Adjust>,
    pub(super) pops: Vec<Gpr>,
}

/// How an epilogue drops the fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adjust {
    /// `add rsp, constant`
    Add(i32),
    /// `lea rsp, [register + constant]`
    Lea(Gpr, i32),
}

/// The most pops that are followed: there are sixteen registers.
const MOST_POPS: usize = 16;

/// The epilogue that the code at `rva` is inside of.
pub(super) fn at(
    image: &Image,
    function: &Function,
    frame: Option<FrameRegister>,
    rva: u32,
) -> Result<Option<Epilogue>, UnwindError> {
    let mut code = Code {
        reader: image.placed.reader(),
        at: rva,
    };
    let mut epilogue = Epilogue {
        stack: code.adjust(frame),
        pops: Vec::new(),
    };
    while let Some(register) = code.pop() {
        epilogue.pops.push(register);
        if epilogue.pops.len() > MOST_POPS {
            return Ok(None);
        }
    }
    let leaves = match code.leave() {
        Some(Leave::Return | Leave::Indirect) => true,
        Some(Leave::Jump(target)) => leaves(image, function, target)?,
        None => false,
    };
    Ok(leaves.then_some(epilogue))
}

/// Whether a jump to `target` is a tail call: it goes to another function, or to the start of
/// this one.
fn leaves(image: &Image, function: &Function, target: Option<u32>) -> Result<bool, UnwindError> {
    let Some(target) = target else {
        return Ok(true);
    };
    let this = primary(image, function)?;
    let Some(other) = image.function_at(target) else {
        return Ok(true);
    };
    Ok(primary(image, other)?.begin != this.begin || target == this.begin)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Return,
    Indirect,
    /// To this RVA; `None` if it is outside of the image.
    Jump(Option<u32>),
}

/// The instructions of an image, read forward.
struct Code<'a> {
    reader: Reader<'a>,
    at: u32,
}

impl Code<'_> {
    fn peek<const N: usize>(&self) -> Option<[u8; N]> {
        self.reader.from(self.at.into()).first_chunk().copied()
    }

    fn skip(&mut self, bytes: u32) {
        self.at = self.at.saturating_add(bytes);
    }

    fn adjust(&mut self, frame: Option<FrameRegister>) -> Option<Adjust> {
        let (adjust, length) = self.add().or_else(|| self.lea(frame?.register))?;
        self.skip(length);
        Some(adjust)
    }

    /// `48 83 c4 ib` or `48 81 c4 id`
    fn add(&self) -> Option<(Adjust, u32)> {
        match self.peek()? {
            [0x48, 0x83, 0xc4, byte] => Some((Adjust::Add(sign_extend(byte)), 4)),
            [0x48, 0x81, 0xc4, _] => {
                let [_, _, _, a, b, c, d] = self.peek()?;
                Some((Adjust::Add(i32::from_le_bytes([a, b, c, d])), 7))
            }
            _ => None,
        }
    }

    /// `48 8d /4` or `49 8d /4` with the frame register and a constant
    fn lea(&self, frame: Gpr) -> Option<(Adjust, u32)> {
        let [rex @ (0x48 | 0x49), 0x8d, modrm, byte] = self.peek()? else {
            return None;
        };
        if Gpr::new(modrm & 7 | (rex & 1) << 3) != frame || modrm & 0x38 != 0x20 {
            return None;
        }
        // r12 is encoded with an extra byte, which is the same for every constant.
        let (offset, extra) = if modrm & 7 == 4 { (4, 1) } else { (3, 0) };
        let constant = self.reader.from(u64::from(self.at) + offset);
        match modrm >> 6 {
            1 if extra == 0 => Some((Adjust::Lea(frame, sign_extend(byte)), 4)),
            1 => Some((Adjust::Lea(frame, sign_extend(*constant.first()?)), 5)),
            2 => Some((
                Adjust::Lea(frame, i32::from_le_bytes(*constant.first_chunk()?)),
                7 + extra,
            )),
            _ => None,
        }
    }

    /// `58+r` or `41 58+r`; the stack pointer itself is never popped.
    fn pop(&mut self) -> Option<Gpr> {
        let (register, length) = match self.peek::<1>()? {
            [byte @ 0x58..=0x5f] => (byte - 0x58, 1),
            [0x41] => match self.peek()? {
                [_, byte @ 0x58..=0x5f] => (byte - 0x58 + 8, 2),
                _ => return None,
            },
            _ => return None,
        };
        if Gpr::new(register) == Gpr::RSP {
            return None;
        }
        self.skip(length);
        Some(Gpr::new(register))
    }

    fn leave(&self) -> Option<Leave> {
        match self.peek::<1>()? {
            [0xc3 | 0xc2] => return Some(Leave::Return),
            [0xeb] => {
                let [_, byte] = self.peek()?;
                return Some(self.jump(2, sign_extend(byte)));
            }
            [0xe9] => {
                let [_, a, b, c, d] = self.peek()?;
                return Some(self.jump(5, i32::from_le_bytes([a, b, c, d])));
            }
            _ => {}
        }
        match self.peek()? {
            // rep ret, bnd ret
            [0xf3 | 0xf2, 0xc3] => return Some(Leave::Return),
            // jmp [rip + constant]
            [0xff, 0x25] => return Some(Leave::Indirect),
            _ => {}
        }
        // A prefix marks a jump through a register or memory as a tail call.
        match self.peek()? {
            [0x48..=0x4f, 0xff, modrm] if modrm & 0x38 == 0x20 => Some(Leave::Indirect),
            _ => None,
        }
    }

    fn jump(&self, length: u32, distance: i32) -> Leave {
        let target = i64::from(self.at) + i64::from(length) + i64::from(distance);
        let target = u32::try_from(target).ok();
        Leave::Jump(target.filter(|target| u64::from(*target) < self.reader.len()))
    }
}

fn sign_extend(byte: u8) -> i32 {
    i8::from_le_bytes([byte]).into()
}
