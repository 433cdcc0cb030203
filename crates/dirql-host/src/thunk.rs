//! The generated code between a driver's import and the shim behind it.
//!
//! Every export has a thunk of its own in the simulated computer's memory, at an address
//! that depends only on the export's place in the table, so that what a driver sees is
//! the same in every process. The thunk notes the stack pointer at which it was reached,
//! where the return address is, and jumps to the shim. The note goes to a slot that `gs`
//! points at, in the private part of the current processor's KPCR; the next thunk that
//! runs on that processor overwrites it, so a shim reads it before anything else.
//!
//! Thunks are the same for every computer of a process and are written once.

use std::ops::Range;
use std::sync::OnceLock;

use dirql_kernel::io::SystemModule;
use dirql_kernel::mm::layout::PAGE;
use dirql_kernel::{Access, Platform};

use crate::checkpoint;
use crate::ddi::{self, Export};
use crate::memory::{self, AddressSpace, HOST};
use crate::system_image::{self, Target};

/// Where in the KPCR's pages a thunk leaves the stack pointer. What Windows documents of
/// the KPCR and the KPRCB behind it ends before this.
pub(crate) const ENTRY_SLOT: u32 = 0xF00;

/// Bytes from one thunk to the next.
const STRIDE: u64 = 32;

/// The HAL's headers.
const HAL: Range<u64> = HOST.start..HOST.start + 0x4_0000;

/// The kernel's headers. Its thunks follow them, and are its code.
const KERNEL: Range<u64> = HAL.end..HAL.end + 0x4_0000;

/// Thunks of the table of exports.
const EXPORTS: Range<u64> = KERNEL.end..KERNEL.end + 0x10_0000;

/// The kernel and the HAL, as drivers find them on the list of loaded modules.
pub(crate) const MODULES: &[SystemModule] = &[
    SystemModule {
        name: "ntoskrnl.exe",
        base: KERNEL.start,
        size: (EXPORTS.end - KERNEL.start) as u32,
    },
    SystemModule {
        name: "hal.dll",
        base: HAL.start,
        size: (HAL.end - HAL.start) as u32,
    },
];

/// Stubs for imports that the table does not have, per computer.
const STUBS: Range<u64> = EXPORTS.end..EXPORTS.end + 0x10_0000;

/// What the pointers of Control Flow Guard lead to: a check that finds nothing wrong.
const GUARD_CHECK: u64 = EXPORTS.start;

/// A dispatch that jumps to the target in `rax`.
const GUARD_DISPATCH: u64 = EXPORTS.start + STRIDE;

const FIRST: u64 = EXPORTS.start + 2 * STRIDE;

/// The exports, sorted by name, each with the address of its thunk.
#[derive(Debug)]
pub(crate) struct Thunks {
    exports: Vec<&'static Export>,
}

impl Thunks {
    /// The thunks of this process.
    pub(crate) fn get(space: &AddressSpace) -> &'static Self {
        static THUNKS: OnceLock<Thunks> = OnceLock::new();
        THUNKS.get_or_init(|| checkpoint::outside(|| Self::write(space)))
    }

    /// Writes all thunks. They stay when the computer goes away.
    fn write(space: &AddressSpace) -> Self {
        let mut exports: Vec<&'static Export> = ddi::all().collect();
        exports.sort_by_key(|export| export.name);
        let duplicate = exports.windows(2).find(|pair| pair[0].name == pair[1].name);
        assert!(
            duplicate.is_none(),
            "{:?} is exported twice",
            duplicate.map(|pair| pair[0].name)
        );

        let mut code = Vec::new();
        append(&mut code, &[0xC3]); // ret
        append(&mut code, &[0xFF, 0xE0]); // jmp rax
        for export in &exports {
            append(
                &mut code,
                &jump(None, export.shim.expose_provenance() as u64),
            );
        }
        let pages = EXPORTS.start..EXPORTS.start + (code.len() as u64).next_multiple_of(PAGE);
        assert!(
            pages.end <= EXPORTS.end,
            "the table of exports outgrew its place"
        );
        memory::set_protection(&pages, Access::ReadWrite);
        space
            .write(EXPORTS.start, &code)
            .expect("the pages were just opened");
        memory::set_protection(&pages, Access::ReadExecute);
        write_headers(space, &exports);
        Self { exports }
    }

    /// Where drivers call the export `name`.
    pub(crate) fn address(&self, name: &str) -> Option<u64> {
        let index = self
            .exports
            .binary_search_by_key(&name, |export| export.name)
            .ok()?;
        Some(FIRST + index as u64 * STRIDE)
    }

    /// The export whose thunk holds `address`.
    pub(crate) fn name(&self, address: u64) -> Option<&'static str> {
        let index = address.checked_sub(FIRST)? / STRIDE;
        self.exports
            .get(usize::try_from(index).ok()?)
            .map(|export| export.name)
    }

    /// What `GuardCFCheckFunctionPointer` is to hold.
    pub(crate) const fn guard_check(&self) -> u64 {
        GUARD_CHECK
    }

    /// What `GuardCFDispatchFunctionPointer` is to hold.
    pub(crate) const fn guard_dispatch(&self) -> u64 {
        GUARD_DISPATCH
    }
}

/// Writes what the kernel and the HAL are as images. Names that only some versions of Windows
/// have are there in all of them.
fn write_headers(space: &AddressSpace, exports: &[&Export]) {
    let kernel = exports.iter().enumerate().filter_map(|(index, export)| {
        let rva = FIRST + index as u64 * STRIDE - KERNEL.start;
        let visible = !export.name.contains(':');
        visible.then_some((export.name, Target::Rva(rva as u32)))
    });
    let kernel: Vec<_> = kernel.collect();
    // As since Windows 10, version 2004: the HAL's routines are in the kernel.
    let hal = kernel.iter().filter(|(name, _)| name.starts_with("Hal"));
    let hal: Vec<_> = hal
        .map(|(name, _)| (*name, Target::Forwarder(format!("NTOSKRNL.{name}"))))
        .collect();
    for (module, place, exports) in [(&MODULES[0], KERNEL, kernel), (&MODULES[1], HAL, hal)] {
        let code = module.base + u64::from(module.size) - place.end;
        let headers = system_image::headers(module, code as u32, &exports);
        assert!(
            headers.len() as u64 <= place.end - place.start,
            "the headers of {} outgrew their place",
            module.name
        );
        memory::set_protection(&place, Access::ReadWrite);
        space
            .write(place.start, &headers)
            .expect("the pages were just opened");
        memory::set_protection(&place, Access::Read);
    }
}

/// Stubs for imports that nothing implements. Calling one reaches
/// [`ddi::missing`] with its number.
#[derive(Debug, Default)]
pub(crate) struct Stubs {
    count: u32,
}

/// The stubs' area has no room for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Stubs {
    /// How many stubs there can be.
    pub(crate) const MOST: u32 = ((STUBS.end - STUBS.start) / STRIDE) as u32;

    /// Makes a stub and returns its number and address.
    pub(crate) fn add(&mut self, platform: &dyn Platform) -> Result<(u32, u64), NoRoom> {
        let number = self.count;
        if number == Self::MOST {
            return Err(NoRoom);
        }
        let mut code = Vec::new();
        append(
            &mut code,
            &jump(Some(number), ddi::missing as *const () as u64),
        );
        let address = STUBS.start + u64::from(number) * STRIDE;
        let page = address / PAGE * PAGE;
        platform.protect(page..page + PAGE, Access::ReadWrite);
        platform
            .write(address, &code)
            .expect("the page was just opened");
        platform.protect(page..page + PAGE, Access::ReadExecute);
        self.count += 1;
        Ok((number, address))
    }
}

/// Code that notes the stack pointer, gives `number` as the first argument if there is
/// one, and jumps to `target`.
fn jump(number: Option<u32>, target: u64) -> Vec<u8> {
    let mut code = vec![0x65, 0x48, 0x89, 0x24, 0x25]; // mov gs:[slot], rsp
    code.extend(ENTRY_SLOT.to_le_bytes());
    code.push(0xFC); // cld: a driver that forgot it would make our own copies run backwards
    if let Some(number) = number {
        code.push(0xB9); // mov ecx, number
        code.extend(number.to_le_bytes());
    }
    // No register changes: __chkstk has its argument in rax.
    code.extend([0xFF, 0x25, 0, 0, 0, 0]); // jmp [rip]
    code.extend(target.to_le_bytes());
    code
}

/// Appends one thunk; what is left of its place traps.
fn append(code: &mut Vec<u8>, thunk: &[u8]) {
    let end = code.len() + STRIDE as usize;
    assert!(
        thunk.len() <= STRIDE as usize,
        "a thunk of {} bytes",
        thunk.len()
    );
    code.extend(thunk);
    code.resize(end, 0xCC); // int3
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};

    fn disassemble(code: &[u8]) -> String {
        let (code, target) = code.split_at(code.len() - 8);
        let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
        let mut text = String::new();
        while decoder.can_decode() {
            NasmFormatter::new().format(&decoder.decode(), &mut text);
            text.push('\n');
        }
        let target: [u8; 8] = target.try_into().unwrap();
        text + &format!("{:x}", u64::from_le_bytes(target))
    }

    #[test]
    fn a_thunk_changes_no_register() {
        let text = disassemble(&jump(None, 0x1122_3344_5566_7788));
        assert_eq!(
            text,
            "mov [gs:0F00h],rsp\ncld\njmp qword [rel 10h]\n1122334455667788"
        );
    }

    #[test]
    fn a_stub_hands_over_its_number() {
        let text = disassemble(&jump(Some(7), 0x11));
        assert_eq!(
            text,
            "mov [gs:0F00h],rsp\ncld\nmov ecx,7\njmp qword [rel 15h]\n11"
        );
    }

    #[test]
    fn every_export_is_found_by_name_and_by_address() {
        let space = AddressSpace::take().unwrap();
        let thunks = Thunks::get(&space);
        for export in ddi::all() {
            let address = thunks.address(export.name).unwrap();
            assert_eq!(thunks.name(address), Some(export.name));
            assert_eq!(thunks.name(address + STRIDE - 1), Some(export.name));
        }
        assert_eq!(thunks.address("NoSuchRoutine"), None);
        assert_eq!(thunks.name(GUARD_CHECK), None);
        assert_eq!(thunks.name(EXPORTS.end), None);
    }
}
