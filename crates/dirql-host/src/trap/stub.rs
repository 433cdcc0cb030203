//! One instruction each, re-encoded so that its memory operand is a buffer of ours.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};

use iced_x86::{Code, Encoder, Instruction, Register};

/// Bytes of code: some thousand stubs.
const CODE: usize = 0x2_0000;

/// Bytes of the buffer's page.
const PAGE: usize = 0x1000;

/// The longest instruction and a return.
const LONGEST: usize = 16;

/// The widest operand: a 512-bit register.
pub(super) const BUFFER: usize = 64;

/// Pages of stubs, and behind them the page whose first bytes are the buffer.
pub(super) struct Stubs {
    base: NonNull<u8>,
    used: Cell<usize>,
    /// Stubs by their code as it would be at the first place, so that one serves wherever the
    /// same instruction is, also in the next driver.
    known: RefCell<BTreeMap<Vec<u8>, u32>>,
}

/// Why there is no stub for an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoStub {
    /// All pages are full; [`Stubs::clear`] and start over.
    Full,
    /// It cannot be encoded with another address.
    NotEncodable,
}

impl Stubs {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a new private mapping where Linux wants to put it touches nothing else.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                CODE + PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let base = NonNull::new(base.cast::<u8>()).filter(|_| base != libc::MAP_FAILED);
        let base = base.ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            base,
            used: Cell::new(0),
            known: RefCell::default(),
        })
    }

    /// Whether `address` is in a stub.
    pub(super) fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.base.addr().get() as u64) < CODE as u64
    }

    /// The buffer that every stub's memory operand is.
    pub(super) fn buffer(&self) -> *mut [u8; BUFFER] {
        // SAFETY: the mapping has a page behind the code.
        unsafe { self.base.add(CODE) }.as_ptr().cast()
    }

    /// The code of the stub that [`Stubs::add`] called `stub`.
    pub(super) fn code(&self, stub: u32) -> *const u8 {
        let offset = (stub as usize).min(CODE - LONGEST);
        // SAFETY: the offset is inside the mapping.
        unsafe { self.base.add(offset) }.as_ptr()
    }

    /// Forgets all stubs.
    pub(super) fn clear(&self) {
        self.used.set(0);
        self.known.borrow_mut().clear();
    }

    /// A stub of `instruction`, which has one memory operand.
    pub(super) fn add(&self, mut instruction: Instruction) -> Result<u32, NoStub> {
        without_absolute_form(&mut instruction);
        instruction.set_segment_prefix(Register::None);
        instruction.set_memory_base(Register::RIP);
        instruction.set_memory_index(Register::None);
        instruction.set_memory_index_scale(1);
        instruction.set_memory_displ_size(8);
        instruction.set_memory_displacement64(self.buffer().addr() as u64);
        let shape = self.encode(&instruction, 0)?;
        if let Some(known) = self.known.borrow().get(&shape) {
            return Ok(*known);
        }
        let at = self.used.get();
        if at + LONGEST > CODE {
            return Err(NoStub::Full);
        }
        let code = self.encode(&instruction, at)?;
        self.store(at, &code);
        self.used.set(at + code.len());
        self.known.borrow_mut().insert(shape, at as u32);
        Ok(at as u32)
    }

    /// The instruction as it is at this offset, and a return.
    fn encode(&self, instruction: &Instruction, at: usize) -> Result<Vec<u8>, NoStub> {
        let mut encoder = Encoder::new(64);
        let address = (self.base.addr().get() + at) as u64;
        encoder
            .encode(instruction, address)
            .map_err(|_| NoStub::NotEncodable)?;
        let mut code = encoder.take_buffer();
        code.push(0xC3);
        if code.len() > LONGEST {
            return Err(NoStub::NotEncodable);
        }
        Ok(code)
    }

    fn store(&self, at: usize, code: &[u8]) {
        let pages = at / PAGE * PAGE..(at + code.len()).next_multiple_of(PAGE);
        self.protect(&pages, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: the caller has checked that the code ends inside the mapping, whose pages are
        // writable now; no reference into it exists.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), self.base.add(at).as_ptr(), code.len()) };
        self.protect(&pages, libc::PROT_READ | libc::PROT_EXEC);
    }

    fn protect(&self, pages: &Range<usize>, protection: libc::c_int) {
        // SAFETY: the caller has these pages inside the code.
        let first = unsafe { self.base.add(pages.start) };
        // SAFETY: these pages are this value's own and hold no Rust object.
        let result = unsafe { libc::mprotect(first.as_ptr().cast(), pages.len(), protection) };
        assert_eq!(result, 0, "the mapping is ours");
    }
}

impl Drop for Stubs {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing refers to it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), CODE + PAGE) };
    }
}

/// The forms with an absolute 64-bit address have no other kind of address; their
/// neighbours do the same.
fn without_absolute_form(instruction: &mut Instruction) {
    let code = match instruction.code() {
        Code::Mov_AL_moffs8 => Code::Mov_r8_rm8,
        Code::Mov_AX_moffs16 => Code::Mov_r16_rm16,
        Code::Mov_EAX_moffs32 => Code::Mov_r32_rm32,
        Code::Mov_RAX_moffs64 => Code::Mov_r64_rm64,
        Code::Mov_moffs8_AL => Code::Mov_rm8_r8,
        Code::Mov_moffs16_AX => Code::Mov_rm16_r16,
        Code::Mov_moffs32_EAX => Code::Mov_rm32_r32,
        Code::Mov_moffs64_RAX => Code::Mov_rm64_r64,
        _ => return,
    };
    instruction.set_code(code);
}
