//! `UNWIND_INFO` as data.

use crate::error::ImageError;
use crate::function::Function;
use crate::reader::Reader;
use crate::unwind::{Gpr, UnwindError, Xmm};

const EXCEPTION_HANDLER: u8 = 1;
const TERMINATION_HANDLER: u8 = 2;
const CHAINED: u8 = 4;

/// What one instruction of a prologue did to the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A register was pushed.
    Push(Gpr),
    /// The stack pointer was lowered by this many bytes.
    Allocate(u32),
    /// The frame register was set.
    SetFrame,
    /// A register was stored this many bytes above the frame.
    Save(Gpr, u32),
    /// A vector register was stored this many bytes above the frame.
    SaveXmm(Xmm, u32),
    /// The processor pushed a frame for an interrupt or exception.
    MachineFrame {
        /// With an error code below it.
        error_code: bool,
    },
}

/// One prologue instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Where the instruction ends, counted from the function's start.
    pub offset: u8,
    /// What it did.
    pub operation: Operation,
}

/// Which register the frame is addressed by, if not by the stack pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRegister {
    /// The register.
    pub register: Gpr,
    /// How far above the frame it points, bytes: 0..=240 in steps of 16.
    pub offset: u8,
}

/// A language-specific handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// RVA of the handler.
    pub rva: u32,
    /// RVA of the data that it gets.
    pub data: u32,
    /// Called while a handler is looked for (`UNW_FLAG_EHANDLER`).
    pub on_exception: bool,
    /// Called while the stack is unwound (`UNW_FLAG_UHANDLER`).
    pub on_unwind: bool,
}

/// What follows the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    None,
    /// A language-specific handler and its data.
    Handler(Handler),
    /// The entry whose codes come after these: this stretch is part of that function.
    Chained(Function),
}

/// One `UNWIND_INFO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnwindInfo {
    /// 1, or 2 where epilogues are described too.
    pub version: u8,
    /// Bytes of prologue.
    pub prologue: u8,
    /// The frame register.
    pub frame: Option<FrameRegister>,
    /// The prologue's instructions, last one first.
    pub codes: Vec<Code>,
    /// Version 2: where each epilogue starts, as a distance in bytes from the end of the
    /// function. They are all as long as the first slot says; see `epilogue_size`.
    pub epilogues: Vec<u16>,
    /// Version 2: bytes of each epilogue.
    pub epilogue_size: u8,
    /// What follows.
    pub tail: Tail,
}

impl UnwindInfo {
    /// Reads the `UNWIND_INFO` at `rva`.
    pub(crate) fn read(image: Reader<'_>, rva: u32) -> Result<Self, UnwindError> {
        let start = u64::from(rva);
        let [first, prologue, count, frame] = header(image, start)?;
        let (version, flags) = (first & 7, first >> 3);
        if !(1..=2).contains(&version) {
            return Err(UnwindError::Version {
                rva,
                found: version,
            });
        }
        let slots = image.bytes("UnwindCode", start + 4, u64::from(count) * 2)?;
        let mut slots = Slots { slots, rva };
        let mut info = Self {
            version,
            prologue,
            frame: (frame & 15 != 0).then_some(FrameRegister {
                register: Gpr::new(frame & 15),
                offset: frame & 0xf0,
            }),
            codes: Vec::with_capacity(count.into()),
            epilogues: Vec::new(),
            epilogue_size: 0,
            tail: tail(image, rva, flags, count)?,
        };
        while let Some(slot) = slots.next() {
            info.code(slot, &mut slots)?;
        }
        Ok(info)
    }

    fn code(&mut self, slot: Slot, slots: &mut Slots<'_>) -> Result<(), UnwindError> {
        let register = Gpr::new(slot.info);
        let operation = match slot.operation {
            0 => Operation::Push(register),
            1 if slot.info == 0 => Operation::Allocate(u32::from(slots.u16()?) * 8),
            1 if slot.info == 1 => Operation::Allocate(slots.u32()?),
            2 => Operation::Allocate(u32::from(slot.info) * 8 + 8),
            3 => Operation::SetFrame,
            4 => Operation::Save(register, u32::from(slots.u16()?) * 8),
            5 => Operation::Save(register, slots.u32()?),
            6 if self.version == 2 => {
                self.epilogue(slot);
                return Ok(());
            }
            8 => Operation::SaveXmm(Xmm::new(slot.info), u32::from(slots.u16()?) * 16),
            9 => Operation::SaveXmm(Xmm::new(slot.info), slots.u32()?),
            10 if slot.info <= 1 => Operation::MachineFrame {
                error_code: slot.info == 1,
            },
            found => {
                let Slot { info, .. } = slot;
                return Err(UnwindError::Operation {
                    rva: slots.rva,
                    found,
                    info,
                });
            }
        };
        self.codes.push(Code {
            offset: slot.offset,
            operation,
        });
        Ok(())
    }

    /// The first such slot holds the length, and in its low bit whether there is an epilogue at
    /// the very end; each further one the distance of another epilogue. A distance of zero is
    /// padding.
    fn epilogue(&mut self, slot: Slot) {
        if self.epilogue_size == 0 {
            self.epilogue_size = slot.offset;
            if slot.info & 1 != 0 {
                self.epilogues.push(slot.offset.into());
            }
            return;
        }
        let distance = u16::from(slot.offset) | u16::from(slot.info) << 8;
        if distance != 0 {
            self.epilogues.push(distance);
        }
    }
}

fn header(image: Reader<'_>, start: u64) -> Result<[u8; 4], ImageError> {
    image.u32("UNWIND_INFO", start).map(u32::to_le_bytes)
}

fn tail(image: Reader<'_>, rva: u32, flags: u8, count: u8) -> Result<Tail, UnwindError> {
    // The codes are padded to an even number of slots.
    let offset = u64::from(rva) + 4 + u64::from(count).next_multiple_of(2) * 2;
    let handler = flags & (EXCEPTION_HANDLER | TERMINATION_HANDLER);
    if flags & CHAINED != 0 {
        if handler != 0 {
            return Err(UnwindError::Flags { rva, found: flags });
        }
        return Ok(Tail::Chained(Function::read(image, offset)?));
    }
    if handler == 0 {
        return Ok(Tail::None);
    }
    Ok(Tail::Handler(Handler {
        rva: image.u32("ExceptionHandler", offset)?,
        // No overflow: the field before it is inside the image.
        data: (offset + 4) as u32,
        on_exception: flags & EXCEPTION_HANDLER != 0,
        on_unwind: flags & TERMINATION_HANDLER != 0,
    }))
}

/// The array of two-byte slots.
struct Slots<'a> {
    slots: &'a [u8],
    rva: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    offset: u8,
    operation: u8,
    info: u8,
}

impl Slots<'_> {
    fn next(&mut self) -> Option<Slot> {
        let (&[offset, code], rest) = self.slots.split_first_chunk()?;
        self.slots = rest;
        Some(Slot {
            offset,
            operation: code & 15,
            info: code >> 4,
        })
    }

    fn u16(&mut self) -> Result<u16, UnwindError> {
        let (bytes, rest) = self
            .slots
            .split_first_chunk()
            .ok_or(UnwindError::Slots { rva: self.rva })?;
        self.slots = rest;
        Ok(u16::from_le_bytes(*bytes))
    }

    fn u32(&mut self) -> Result<u32, UnwindError> {
        let low = self.u16()?;
        let high = self.u16()?;
        Ok(u32::from(low) | u32::from(high) << 16)
    }
}
