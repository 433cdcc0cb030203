//! Device control codes that a driver probably knows, from the numbers that its code compares
//! with.
//!
//! What a `switch` does with them is followed ([`switch`]); and a number that is found may stand for
//! those that follow it, too. A wrong guess costs a request that the driver refuses.

mod switch;

use std::collections::BTreeSet;

use dirql_image::Image;
use iced_x86::{Decoder, DecoderOptions, Instruction};

/// Codes at most; a driver with more of them is sent these.
const MOST: usize = 24;

/// Functions that follow one that was found.
const NEIGHBOURS: u32 = 3;

/// What is sent to a driver whose codes are not found: what `CTL_CODE` makes of the first function
/// that is a vendor's, a device without a type, and each of the four methods.
const UNKNOWN: std::ops::RangeInclusive<u32> = 0x22_2000..=0x22_2003;

/// The codes that the code of these images compares with.
pub(super) fn guess<'i>(images: impl Iterator<Item = &'i [u8]>) -> Vec<u32> {
    let mut found = BTreeSet::new();
    for bytes in images {
        // What is wrong with an image is said when it is loaded.
        if let Ok(image) = Image::parse(bytes) {
            collect(&image, &mut found);
        }
    }
    if found.is_empty() {
        return UNKNOWN.collect();
    }
    let mut codes = found.clone();
    for code in &found {
        codes.extend((1..=NEIGHBOURS).map(|step| code + 4 * step));
    }
    // Those that were seen count before those that may follow them.
    let rest = codes.difference(&found).copied();
    found.iter().copied().chain(rest).take(MOST).collect()
}

fn collect(image: &Image, found: &mut BTreeSet<u32>) {
    let Ok(laid_out) = image.lay_out(0) else {
        return;
    };
    let bytes = laid_out.bytes();
    // Not every compiler lists its functions. What is decoded out of step gives wrong guesses.
    for section in image.sections().iter().filter(|s| s.is_executable()) {
        let range = section.range();
        let Some(code) = bytes.get(range.start as usize..range.end as usize) else {
            continue;
        };
        let decoder = Decoder::with_ip(64, code, range.start.into(), DecoderOptions::NONE);
        let instructions: Vec<Instruction> = decoder.into_iter().collect();
        switch::codes(&instructions, bytes, found);
    }
}

/// `CTL_CODE(DeviceType, Function, Method, Access)`: a type of device that Microsoft or a vendor
/// gives out, and not a status or an address.
///
/// Source: "Defining I/O Control Codes".
const fn is_plausible(code: u32) -> bool {
    let kind = code >> 16;
    matches!(kind, 0x01..=0xFF | 0x8000..=0x9FFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::IcedError;
    use iced_x86::code_asm::{CodeAssembler, dword_ptr, eax, ebx, ecx, edx, ptr, rax, rbx, rcx};

    fn sample(name: &str) -> Vec<u8> {
        let path = format!(
            "{}/../../samples/{name}/{name}.sys",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::read(path).unwrap()
    }

    #[test]
    fn the_codes_of_samples_are_found() {
        let codes = guess(std::iter::once(&sample("edu-dma")[..]));
        assert!(
            codes.contains(&0x22_2000) && codes.contains(&0x22_2004),
            "{codes:x?}"
        );
        let codes = guess(std::iter::once(&sample("nvme-msix")[..]));
        assert!(codes.contains(&0x7_2400), "{codes:x?}");
    }

    #[test]
    fn what_has_none_is_asked_something_by_every_method() {
        assert_eq!(
            guess(std::iter::once(&b"MZ"[..])),
            [0x22_2000, 0x22_2001, 0x22_2002, 0x22_2003]
        );
    }

    /// The codes of a `switch` as a compiler writes it, at address 0.
    fn of(write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Vec<u32> {
        let mut assembler = CodeAssembler::new(64).unwrap();
        write(&mut assembler).unwrap();
        let code = assembler.assemble(0).unwrap();
        let instructions: Vec<Instruction> = Decoder::with_ip(64, &code, 0, DecoderOptions::NONE)
            .into_iter()
            .collect();
        let mut found = BTreeSet::new();
        switch::codes(&instructions, &code, &mut found);
        found.into_iter().collect()
    }

    #[test]
    fn distances_that_are_subtracted_one_after_the_other_are_added_up() {
        let codes = of(|a| {
            let mut end = a.create_label();
            a.sub(ecx, 0x22_2000)?;
            a.je(end)?;
            a.sub(ecx, 4)?;
            a.je(end)?;
            a.sub(ecx, 7)?;
            a.je(end)?;
            a.cmp(ecx, 0x10)?;
            a.je(end)?;
            a.set_label(&mut end)?;
            a.ret()
        });
        assert_eq!(codes, [0x22_2000, 0x22_2004, 0x22_200B, 0x22_201B]);
    }

    #[test]
    fn a_table_says_which_numbers_of_a_range_are_cases() {
        // Functions 0, 1 and 3 of a vendor's device, each with a method of its own.
        let codes = of(|a| {
            let (mut table, mut other) = (a.create_label(), a.create_label());
            a.mov(eax, 0x9C40_2401_u32.wrapping_neg())?;
            a.add(eax, dword_ptr(rbx + 0x18))?;
            a.cmp(eax, 0xE)?;
            a.ja(other)?;
            a.lea(rcx, ptr(table))?;
            a.movsxd(rax, dword_ptr(rcx + rax * 4))?;
            a.add(rax, rcx)?;
            a.jmp(rax)?;
            a.set_label(&mut other)?;
            a.ret()?;
            // `other` is one byte before the table.
            a.set_label(&mut table)?;
            let entries = (0..=0xE).map(|case| if [0, 5, 0xE].contains(&case) { -3 } else { -1 });
            let bytes: Vec<u8> = entries.flat_map(i32::to_le_bytes).collect();
            a.db(&bytes)
        });
        assert_eq!(codes, [0x9C40_2401, 0x9C40_2406, 0x9C40_240F]);
    }

    #[test]
    fn a_distance_that_is_shifted_counts_functions() {
        let codes = of(|a| {
            let mut other = a.create_label();
            a.add(edx, 0x22_2000_u32.wrapping_neg().cast_signed())?;
            a.ror(edx, 2)?;
            a.cmp(edx, 2)?;
            a.ja(other)?;
            a.set_label(&mut other)?;
            a.ret()
        });
        assert_eq!(codes, [0x22_2000, 0x22_2004, 0x22_2008]);
    }

    #[test]
    fn another_value_in_the_register_is_no_distance() {
        let codes = of(|a| {
            a.lea(eax, ptr(rcx - 0x22_2000))?;
            a.mov(eax, ebx)?;
            a.cmp(eax, 4)?;
            a.ret()
        });
        assert_eq!(codes, [0x22_2000]);
    }
}
