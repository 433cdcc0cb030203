//! Placing, relocating and binding.

use super::{driver, error};
use crate::builder::{BASE, Pe, TestSection, at};
use crate::{Image, ImageError, Placement};

fn quad(bytes: &[u8], rva: u32) -> u64 {
    u64::from_le_bytes(*bytes[rva as usize..].first_chunk().unwrap())
}

fn word(bytes: &[u8], rva: u32) -> u32 {
    u32::from_le_bytes(*bytes[rva as usize..].first_chunk().unwrap())
}

#[test]
fn headers_and_sections_are_in_place() {
    let image = driver(|_| {});
    let laid_out = image.lay_out(BASE).unwrap();
    let bytes = laid_out.bytes();
    assert_eq!(bytes.len(), 0x9000);
    assert_eq!(bytes[..2], *b"MZ");
    assert_eq!(bytes[0x40..0x44], *b"PE\0\0");
    assert_eq!(bytes[0x400..0x1000], [0; 0xc00]);
    assert_eq!(bytes[0x1000..0x1180], [0xcc; 0x180]);
    // VirtualSize above SizeOfRawData: zeros. Below: cut off.
    assert_eq!(bytes[0x3200..0x5000], [0; 0x1e00]);
    assert_eq!(bytes[0x7000..0x7010], [0xf4; 0x10]);
    assert_eq!(bytes[0x7010..0x8000], [0; 0xff0]);
}

#[test]
fn at_the_preferred_base_nothing_is_relocated() {
    let image = driver(|_| {});
    assert_eq!(
        quad(image.lay_out(BASE).unwrap().bytes(), at::POINTER),
        BASE + 0x1020
    );
}

#[test]
fn pointers_follow_the_base_up_and_down() {
    let image = driver(|_| {});
    for base in [0x1_0000, 0x7f00_0000_0000, 0xffff_f800_0000_0000] {
        let laid_out = image.lay_out(base).unwrap();
        assert_eq!(laid_out.base(), base);
        assert_eq!(quad(laid_out.bytes(), at::POINTER), base + 0x1020);
    }
}

#[test]
fn a_base_is_a_whole_page_with_room_above() {
    let image = driver(|_| {});
    let text = |base| image.lay_out(base).unwrap_err().to_string();
    assert_eq!(text(0x1_0800), "base 0x10800 must be a multiple of 0x1000");
    assert_eq!(
        text(0xffff_ffff_ffff_7000),
        "base 0xffffffffffff7000 must be at most 0xffffffffffff6fff"
    );
    image.lay_out(0xffff_ffff_ffff_6000).unwrap();
}

#[test]
fn a_stripped_image_runs_at_its_base_only() {
    let image = driver(|pe| {
        pe.characteristics |= 1;
        pe.directories[5] = (0, 0);
    });
    assert_eq!(image.placement(), Placement::Only(BASE));
    image.lay_out(BASE).unwrap();
    assert_eq!(
        image.lay_out(0x1_0000).unwrap_err().to_string(),
        "the relocations are stripped: the image runs at 0x140000000 only, not at 0x10000",
    );
}

#[test]
fn an_image_without_relocations_that_are_not_stripped_needs_none() {
    let image = driver(|pe| pe.directories[5] = (0, 0));
    assert!(!image.has_relocations());
    let laid_out = image.lay_out(0x1_0000).unwrap();
    assert_eq!(quad(laid_out.bytes(), at::POINTER), BASE + 0x1020);
}

#[test]
fn short_relocations_are_good_below_4_gib_only() {
    let image = driver(|pe| {
        pe.image_base = 0x1_0000;
        pe.directories[10] = (0, 0);
        pe.put(at::RELOC + 10, &[0x48, 0x30]);
        pe.words(at::POINTER + 8, &[0x1_1020]);
    });
    assert_eq!(
        word(image.lay_out(0x5000_0000).unwrap().bytes(), 0x3048),
        0x5000_1020
    );
    assert_eq!(
        word(image.lay_out(0xffff_e000).unwrap().bytes(), 0x3048),
        0xffff_f020
    );
    assert_eq!(
        image.lay_out(0xffff_f000).unwrap_err(),
        ImageError::Relocation32 {
            rva: 0x3048,
            value: 0x1_0000_0020
        },
    );
}

#[test]
fn relocation_types_of_other_processors_are_refused() {
    assert_eq!(
        error(|pe| pe.put(at::RELOC + 10, &[0x48, 0x10])),
        "relocation block at RVA 0x3000: Type is 0x1, must be 0 (ABSOLUTE), 3 (HIGHLOW) or 10 (DIR64)",
    );
}

#[test]
fn relocated_fields_are_inside_the_image() {
    let text = |page: u32, entry: [u8; 2]| {
        error(|pe| {
            pe.words(at::RELOC, &[page]);
            pe.put(at::RELOC + 8, &entry);
        })
    };
    assert_eq!(
        text(0x8000, [0xf9, 0xaf]),
        "relocation block at RVA 0x8000: relocated RVA is 0x8ff9, must be at most 0x8ff8",
    );
    assert_eq!(
        text(0x8000, [0xfd, 0x3f]),
        "relocation block at RVA 0x8000: relocated RVA is 0x8ffd, must be at most 0x8ffc",
    );
    assert_eq!(
        text(0xffff_ffff, [0xff, 0xaf]),
        "relocation block at RVA 0xffffffff: relocated RVA is 0x100000ffe, must be at most 0x8ff8",
    );
    driver(|pe| {
        pe.words(at::RELOC, &[0x8000]);
        pe.put(at::RELOC + 8, &[0xf8, 0xaf]);
    });
}

#[test]
fn relocation_blocks_end_inside_their_directory() {
    let text = |size: u32| error(|pe| pe.words(at::RELOC + 4, &[size]));
    let wrong = |size| {
        format!("relocation block at RVA 0x3000: SizeOfBlock is {size:#x}, must be 0x8..=0x20")
    };
    assert_eq!(text(7), wrong(7));
    assert_eq!(text(0), wrong(0));
    assert_eq!(text(33), wrong(33));
    assert_eq!(text(u32::MAX), wrong(u32::MAX));
    assert_eq!(
        text(9),
        "relocation block at RVA 0x3000: SizeOfBlock is 0x9, must be a multiple of 0x2",
    );
    driver(|pe| pe.words(at::RELOC + 4, &[8, 0]));
    driver(|pe| pe.words(at::RELOC + 4, &[32]));
}

#[test]
fn imports_are_bound_in_the_order_of_the_tables() {
    let image = driver(|_| {});
    let mut laid_out = image.lay_out(0x1_0000).unwrap();
    let mut asked = Vec::new();
    laid_out.bind(|import| {
        asked.push(import.to_string());
        0xabc0 + asked.len() as u64
    });
    assert_eq!(
        asked,
        [
            "ntoskrnl.exe!DbgPrint",
            "ntoskrnl.exe!#7",
            "Hal.DLL!HalReturnToFirmware",
            "extra.sys!Late"
        ],
    );
    assert_eq!(quad(laid_out.bytes(), at::SLOTS), 0xabc1);
    assert_eq!(quad(laid_out.bytes(), at::SLOTS + 8), 0xabc2);
    assert_eq!(quad(laid_out.bytes(), at::SLOTS + 16), 0);
    assert_eq!(quad(laid_out.bytes(), at::HAL_SLOTS), 0xabc3);
    assert_eq!(quad(laid_out.bytes(), at::DELAY_SLOTS), 0xabc4);
    assert_eq!(
        quad(laid_out.into_bytes().as_slice(), at::LOOKUP),
        at::NAMES.into()
    );
}

#[test]
fn the_default_cookie_is_replaced_and_no_other() {
    let image = driver(|_| {});
    let mut laid_out = image.lay_out(0x1_0000).unwrap();
    assert!(laid_out.set_security_cookie(0x1234_5678));
    assert_eq!(quad(laid_out.bytes(), at::COOKIE), 0x1234_5678);
    assert!(!laid_out.set_security_cookie(0x9999));
    assert_eq!(quad(laid_out.bytes(), at::COOKIE), 0x1234_5678);
    let without = driver(|pe| pe.directories[10] = (0, 0));
    assert!(!without.lay_out(BASE).unwrap().set_security_cookie(1));
}

#[test]
fn guard_pointers_are_set() {
    let image = driver(|_| {});
    let mut laid_out = image.lay_out(BASE).unwrap();
    laid_out.set_guard_pointers(0xc, 0xd);
    let pointers: Vec<u64> = (0..6)
        .map(|index| quad(laid_out.bytes(), at::GUARD + index * 8))
        .collect();
    assert_eq!(pointers, [0xc, 0xd, 0xc, 0xd, 0xd, 0]);
}

/// A driver linked with `/ALIGN:0x20`: the file is what is in memory.
fn low_aligned() -> Pe {
    let mut pe = Pe::empty();
    pe.section_alignment = 0x20;
    pe.file_alignment = 0x20;
    pe.size_of_headers = 0x200;
    pe.size_of_image = 0x260;
    pe.entry_point = 0x200;
    for (index, name) in (0..).zip([*b".text\0\0\0", *b"PAGE\0\0\0\0", *b"INIT\0\0\0\0"]) {
        pe.sections.push(TestSection {
            name,
            rva: 0x200 + index * 0x20,
            virtual_size: 0x20,
            raw_size: None,
            raw_offset: None,
            flags: crate::builder::CODE,
            data: vec![index as u8 + 1; 0x20],
        });
    }
    pe
}

#[test]
fn low_aligned_images_are_mapped_as_they_are() {
    let mut file = low_aligned().build();
    file.resize(0x280, 9);
    let image = Image::parse(&file).unwrap();
    assert_eq!(image.mapped_size(), 0x1000);
    let laid_out = image.lay_out(0x1_0000).unwrap();
    assert_eq!(laid_out.bytes()[..0x260], file[..0x260]);
    assert_eq!(laid_out.bytes()[0x260..], [0; 0xda0]);
    let [region] = image.regions() else {
        panic!("one region")
    };
    assert!(region.writable && region.executable && !region.discardable && !region.pageable);
    assert!(image.section_at(0x220).unwrap().is_pageable());
}

#[test]
fn low_aligned_sections_lie_in_memory_where_they_lie_in_the_file() {
    let text = |change: fn(&mut Pe)| {
        let mut pe = low_aligned();
        change(&mut pe);
        Image::parse(&pe.build()).unwrap_err().to_string()
    };
    let rule = "when SectionAlignment is below the page size";
    assert_eq!(
        text(|pe| pe.sections[2].rva = 0x260),
        format!("section 2 (INIT): PointerToRawData is 0x240, must equal VirtualAddress {rule}"),
    );
    assert_eq!(
        text(|pe| pe.sections[2].virtual_size = 0x21),
        format!("section 2 (INIT): VirtualSize is 0x21, must be at most SizeOfRawData {rule}"),
    );
    assert_eq!(
        text(|pe| pe.sections[2].rva = 0x210),
        "section 2 (INIT): VirtualAddress is 0x210, must be at least 0x240",
    );
}
