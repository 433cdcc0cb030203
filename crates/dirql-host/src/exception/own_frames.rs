//! Walking the frames of our own code that lie between two drivers.
//!
//! A driver calls a kernel routine, which calls a driver: when that one raises, the handler may
//! be in the first. On the way out our frames are between the two, and the registers that
//! the Win64 convention preserves are where our compiler put them. It says where in the
//! program's `.eh_frame`, so nothing has to be saved when a driver calls.
//!
//! Source: System V ABI for AMD64, "DWARF Definition"; Linux Standard Base, "Exception Frames".

use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::OnceLock;

use dirql_image::unwind::{Gpr, Registers, Xmm};
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, NativeEndian, ParsedEhFrameHdr, Register,
    RegisterRule, UnwindContext, UnwindSection,
};

type Bytes = gimli::EndianSlice<'static, NativeEndian>;

/// The numbers of the general registers in DWARF, in the order of their own numbers: rax,
/// rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
const DWARF: [u16; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];

/// The number of the return address.
const RETURN_ADDRESS: Register = Register(16);

/// The number of `xmm0`.
const FIRST_XMM: u16 = 17;

/// Most of our frames between two drivers.
pub(super) const MOST: u32 = 1000;

/// The tables of this program.
struct Tables {
    header: ParsedEhFrameHdr<Bytes>,
    frames: EhFrame<Bytes>,
    bases: BaseAddresses,
}

/// The registers that are preserved, as they are in the caller, in which this is compiled.
#[inline(always)] // the frame that is walked from is the caller's
pub(super) fn here() -> Registers {
    let (rip, rsp, rbp, rbx, r12, r13, r14, r15): (u64, u64, u64, u64, u64, u64, u64, u64);
    // SAFETY: registers are copied and nothing else.
    unsafe {
        asm!(
            "lea {rip}, [rip]", "mov {rsp}, rsp", "mov {rbp}, rbp", "mov {rbx}, rbx",
            rip = out(reg) rip, rsp = out(reg) rsp, rbp = out(reg) rbp, rbx = out(reg) rbx,
            options(nomem, nostack, preserves_flags)
        );
        asm!(
            "mov {r12}, r12", "mov {r13}, r13", "mov {r14}, r14", "mov {r15}, r15",
            r12 = out(reg) r12, r13 = out(reg) r13, r14 = out(reg) r14, r15 = out(reg) r15,
            options(nomem, nostack, preserves_flags)
        );
    }
    let mut registers = Registers::at(rip + 1);
    for (number, value) in [
        (4, rsp),
        (5, rbp),
        (3, rbx),
        (12, r12),
        (13, r13),
        (14, r14),
        (15, r15),
    ] {
        registers.set_gpr(Gpr::new(number), value);
    }
    registers
}

/// From inside one of our functions, right after a call, to right after the call of it.
/// `None` if there is no telling, as where a strand begins.
pub(super) fn step(registers: &mut Registers, read: impl Fn(u64) -> Option<u64>) -> Option<()> {
    let tables = tables()?;
    let mut context = UnwindContext::new();
    let table = tables.header.table()?;
    let row = table
        .unwind_info_for_address(
            &tables.frames,
            &tables.bases,
            &mut context,
            registers.rip.checked_sub(1)?,
            EhFrame::cie_from_offset,
        )
        .ok()?;
    let frame = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            general(registers, *register)?.wrapping_add_signed(*offset)
        }
        CfaRule::Expression(_) => return None,
    };
    let before = *registers;
    for (number, dwarf) in (0..16).zip(DWARF) {
        let value = match row.register(Register(dwarf)) {
            // What a function does not touch it does not mention.
            None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => continue,
            Some(RegisterRule::Offset(offset)) => read(frame.wrapping_add_signed(offset))?,
            Some(RegisterRule::ValOffset(offset)) => frame.wrapping_add_signed(offset),
            Some(RegisterRule::Register(other)) => general(&before, other)?,
            Some(_) => return None,
        };
        registers.set_gpr(Gpr::new(number), value);
    }
    for number in 0..16 {
        if let Some(RegisterRule::Offset(offset)) =
            row.register(Register(FIRST_XMM + u16::from(number)))
        {
            let place = frame.wrapping_add_signed(offset);
            let halves = [read(place)?, read(place.wrapping_add(8))?];
            let value = u128::from(halves[0]) | u128::from(halves[1]) << 64;
            registers.set_xmm(Xmm::new(number), value);
        }
    }
    registers.rip = match row.register(RETURN_ADDRESS) {
        Some(RegisterRule::Offset(offset)) => read(frame.wrapping_add_signed(offset))?,
        _ => return None,
    };
    registers.set_gpr(Gpr::new(4), frame);
    Some(())
}

fn general(registers: &Registers, dwarf: Register) -> Option<u64> {
    let number = DWARF.iter().position(|known| *known == dwarf.0)?;
    Some(registers.gpr(Gpr::new(number as u8)))
}

/// Finds the tables, which are found once.
pub(super) fn warm_up() {
    let _ = tables();
}

/// The tables, found once.
fn tables() -> Option<&'static Tables> {
    static TABLES: OnceLock<Option<Tables>> = OnceLock::new();
    TABLES
        .get_or_init(|| crate::checkpoint::outside(find))
        .as_ref()
}

fn find() -> Option<Tables> {
    let Found { header, segment } = sections_of(step_address())?;
    let bases = BaseAddresses::default().set_eh_frame_hdr(header.start);
    let parsed = EhFrameHdr::new(memory(&header), NativeEndian)
        .parse(&bases, 8)
        .ok()?;
    let gimli::Pointer::Direct(frames) = parsed.eh_frame_ptr() else {
        return None;
    };
    if !segment.contains(&frames) {
        return None;
    }
    Some(Tables {
        header: parsed,
        // An entry of length 0 ends it.
        frames: EhFrame::new(memory(&(frames..segment.end)), NativeEndian),
        bases: bases.set_eh_frame(frames),
    })
}

fn step_address() -> u64 {
    find as *const () as u64
}

/// Where the program's unwind tables are.
struct Found {
    /// PT_GNU_EH_FRAME.
    header: Range<u64>,
    /// The loaded segment that it is in.
    segment: Range<u64>,
}

struct Search {
    address: u64,
    found: Option<Found>,
}

fn sections_of(address: u64) -> Option<Found> {
    let mut search = Search {
        address,
        found: None,
    };
    // SAFETY: the callback has the signature that is wanted and gets `search`, which
    // outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.found
}

unsafe extern "C" fn look(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    search: *mut c_void,
) -> c_int {
    // SAFETY: the pointer is the one that `sections_of` handed over, and it is alone in using it.
    let search = unsafe { &mut *search.cast::<Search>() };
    // SAFETY: the linker passes a valid description.
    let info = unsafe { &*info };
    // SAFETY: the linker's table has this many entries, for as long as the module is loaded.
    let headers =
        unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let ranges = |kind| {
        headers
            .iter()
            .filter(move |one| one.p_type == kind)
            .map(|one| {
                let start = info.dlpi_addr + one.p_vaddr;
                start..start + one.p_memsz
            })
    };
    if !ranges(libc::PT_LOAD).any(|segment| segment.contains(&search.address)) {
        return 0;
    }
    let header = ranges(libc::PT_GNU_EH_FRAME).next();
    search.found = header.and_then(|header| {
        let segment = ranges(libc::PT_LOAD).find(|segment| segment.contains(&header.start))?;
        Some(Found { header, segment })
    });
    1
}

/// Bytes of this program.
fn memory(range: &Range<u64>) -> &'static [u8] {
    let start = std::ptr::with_exposed_provenance::<u8>(range.start as usize);
    // SAFETY: the linker says that the range is part of a loaded segment of this program, whose
    // code runs, so that it is never unloaded; these sections are not written to.
    unsafe { std::slice::from_raw_parts(start, (range.end - range.start) as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn inner(depth: u32, found: &mut Vec<u64>) {
        if depth > 0 {
            inner(depth - 1, found);
            std::hint::black_box(&found);
            return;
        }
        let mut registers = here();
        let read = |address: u64| {
            let place = std::ptr::with_exposed_provenance::<u64>(address as usize);
            // SAFETY: the tables lead to this thread's own stack.
            Some(unsafe { place.read() })
        };
        while found.len() < 6 && step(&mut registers, read).is_some() {
            found.push(registers.rip);
        }
    }

    #[test]
    fn our_own_frames_are_walked_by_the_compilers_tables() {
        let mut found = Vec::new();
        inner(3, &mut found);
        // Three returns into the same place of `inner`, then out of it.
        assert_eq!(found.len(), 6, "{found:x?}");
        assert_eq!((found[0], found[1]), (found[1], found[2]), "{found:x?}");
        assert_ne!(found[2], found[3]);
    }

    #[test]
    fn what_is_not_our_code_has_no_frame() {
        let mut registers = Registers::at(0x1000);
        assert_eq!(step(&mut registers, |_| None), None);
    }
}
