//! Headers and the section table.

use super::{driver, error};
use crate::builder::{Pe, WRITE, at};
use crate::{Image, MAX_SECTIONS, MAX_SIZE_OF_IMAGE, Placement};

#[test]
fn the_headers_say_what_they_hold() {
    let image = driver(|_| {});
    assert_eq!(image.machine(), 0x8664);
    assert_eq!(image.preferred_base(), 0x1_4000_0000);
    assert_eq!(image.size_of_image(), 0x9000);
    assert_eq!(image.mapped_size(), 0x9000);
    assert_eq!(image.size_of_headers(), 0x400);
    assert_eq!(image.entry_point(), Some(0x1000));
    assert_eq!(image.subsystem(), 1);
    assert_eq!(image.subsystem_version(), (6, 1));
    assert_eq!(image.time_date_stamp(), 0x5eed_0001);
    assert_eq!(image.placement(), Placement::Anywhere);
    assert!(image.has_relocations());
    assert!(!image.forces_integrity());
    assert!(!image.has_control_flow_guard());
}

#[test]
fn a_text_file_is_no_pe_file() {
    let error = Image::parse(b"[Version]\r\n").unwrap_err().to_string();
    assert_eq!(
        error,
        "e_magic is 0x565b, must be 0x5a4d (MZ): this is not a PE file"
    );
}

#[test]
fn an_empty_file_is_too_short() {
    let error = Image::parse(b"").unwrap_err().to_string();
    assert_eq!(
        error,
        "e_magic at file offset 0x0 takes 0x2 bytes, 0x0 are there"
    );
}

#[test]
fn a_dos_program_has_no_pe_header() {
    assert_eq!(
        error(|pe| pe.nt_signature = 0x454e),
        "Signature is 0x0000454e, must be 0x00004550 (PE): this is not a PE file",
    );
}

#[test]
fn the_pe_header_is_aligned() {
    assert_eq!(
        error(|pe| pe.nt_offset = 0x42),
        "header: e_lfanew is 0x42, must be a multiple of 0x4"
    );
    driver(|pe| pe.nt_offset = 0x44);
}

#[test]
fn a_pe_header_past_the_end_is_an_error() {
    let mut file = Pe::driver().build();
    file[0x3c..0x40].copy_from_slice(&0xffff_fffc_u32.to_le_bytes());
    assert_eq!(
        Image::parse(&file).unwrap_err().to_string(),
        "Signature at file offset 0xfffffffc takes 0x4 bytes, 0x0 are there",
    );
}

#[test]
fn other_processors_are_named() {
    let text = |machine| error(|pe| pe.machine = machine);
    assert_eq!(
        text(0x14c),
        "Machine is 0x014c (i386), must be 0x8664 (AMD64)"
    );
    assert_eq!(
        text(0xaa64),
        "Machine is 0xaa64 (ARM64), must be 0x8664 (AMD64)"
    );
    assert_eq!(text(0x1234), "Machine is 0x1234, must be 0x8664 (AMD64)");
}

#[test]
fn a_32_bit_image_is_said_to_be_one() {
    assert_eq!(
        error(|pe| pe.magic = 0x10b),
        "Magic is 0x010b (PE32), must be 0x020b (PE32+): the driver is built for 32 bits",
    );
    assert_eq!(
        error(|pe| pe.magic = 0x107),
        "header: Magic is 0x107, must be 0x20b"
    );
}

#[test]
fn a_program_is_no_driver() {
    assert_eq!(
        error(|pe| pe.subsystem = 3),
        "Subsystem is 3 (Windows console program), must be 1 (native): this is not a driver",
    );
    assert_eq!(
        error(|pe| pe.subsystem = 99),
        "Subsystem is 99, must be 1 (native): this is not a driver",
    );
}

#[test]
fn managed_code_is_refused() {
    assert!(error(|pe| pe.directories[14] = (0x2000, 72)).contains(".NET"));
}

/// The system's loader of drivers does not look at it, as a compiler's run-time library may bring one.
#[test]
fn thread_local_storage_is_passed_over() {
    let image = driver(|pe| pe.directories[9] = (0x2000, 40));
    assert_eq!(image.entry_point(), Some(0x1000));
}

#[test]
fn an_image_that_did_not_link_is_refused() {
    assert_eq!(
        error(|pe| pe.characteristics = 0x20),
        "header: Characteristics is 0x20, must have EXECUTABLE_IMAGE (0x2) set: did it link?",
    );
}

#[test]
fn the_optional_header_has_room_for_its_directories() {
    assert_eq!(
        error(|pe| pe.optional_size = 111),
        "header: SizeOfOptionalHeader is 0x6f, must be at least 0x70",
    );
    assert_eq!(
        error(|pe| pe.optional_size = 239),
        "header: NumberOfRvaAndSizes is 0x10, must be at most 0xf",
    );
    let image = driver(|pe| pe.directory_count = 0);
    assert_eq!(image.imports().count(), 0);
    assert_eq!(
        driver(|pe| pe.directory_count = u32::MAX).imports().count(),
        4
    );
}

#[test]
fn alignments_are_powers_of_two_that_fit_each_other() {
    assert_eq!(
        error(|pe| pe.section_alignment = 0),
        "header: SectionAlignment is 0x0, must be a power of two in 0x1..=0x10000000",
    );
    assert_eq!(
        error(|pe| pe.section_alignment = 0x1800),
        "header: SectionAlignment is 0x1800, must be a power of two in 0x1..=0x10000000",
    );
    for wrong in [0, 0x100, 0x300, 0x2000] {
        assert_eq!(
            error(|pe| pe.file_alignment = wrong),
            format!(
                "header: FileAlignment is {wrong:#x}, must be a power of two in 0x200..=0x1000"
            ),
        );
    }
    assert_eq!(
        error(|pe| pe.section_alignment = 0x80),
        "header: FileAlignment is 0x200, must be 0x80",
    );
}

#[test]
fn the_size_of_the_image_has_limits() {
    let wrong = |size| format!("header: SizeOfImage is {size:#x}, must be 0x1..=0x10000000");
    assert_eq!(error(|pe| pe.size_of_image = 0), wrong(0));
    let over = MAX_SIZE_OF_IMAGE + 1;
    assert_eq!(error(|pe| pe.size_of_image = over), wrong(over));
    assert_eq!(
        driver(|pe| pe.size_of_image = MAX_SIZE_OF_IMAGE).mapped_size(),
        MAX_SIZE_OF_IMAGE
    );
}

#[test]
fn the_headers_hold_the_section_table_and_fit_the_image() {
    // 0x40 + 24 + 240 + 7 * 40
    assert_eq!(
        error(|pe| pe.size_of_headers = 0x25f),
        "header: SizeOfHeaders is 0x25f, must be at least 0x260",
    );
    assert_eq!(
        error(|pe| pe.size_of_headers = 0x9001),
        "header: SizeOfHeaders is 0x9001, must be at most 0x9000",
    );
}

#[test]
fn the_entry_point_is_in_the_image_or_absent() {
    assert_eq!(
        error(|pe| pe.entry_point = 0x9000),
        "header: AddressOfEntryPoint is 0x9000, must be at most 0x8fff",
    );
    assert_eq!(
        driver(|pe| pe.entry_point = 0x8fff).entry_point(),
        Some(0x8fff)
    );
    assert_eq!(driver(|pe| pe.entry_point = 0).entry_point(), None);
}

#[test]
fn the_base_is_a_multiple_of_64_kib_with_room_above() {
    assert_eq!(
        error(|pe| pe.image_base = 0x1_4000_1000),
        "header: ImageBase is 0x140001000, must be a multiple of 0x10000",
    );
    assert_eq!(
        error(|pe| pe.image_base = 0xffff_ffff_ffff_0000),
        "header: ImageBase is 0xffffffffffff0000, must be at most 0xffffffffefffffff",
    );
}

#[test]
fn directories_end_inside_the_image() {
    assert_eq!(
        error(|pe| pe.directories[2] = (0x8000, 0x1001)),
        "data directory: Resource Table is 0x9001, must end within SizeOfImage",
    );
    driver(|pe| pe.directories[2] = (0x8000, 0x1000));
    // A file offset, not an RVA.
    driver(|pe| pe.directories[4] = (0xffff_0000, 0xffff));
}

#[test]
fn sections_say_what_they_are() {
    let image = driver(|_| {});
    let describe = |name: &str| {
        let section = image
            .sections()
            .iter()
            .find(|section| section.name() == name)
            .unwrap();
        let flag = |set, letter| if set { letter } else { '-' };
        let flags: String = [
            flag(section.is_readable(), 'r'),
            flag(section.is_writable(), 'w'),
            flag(section.is_executable(), 'x'),
            flag(section.is_discardable(), 'd'),
            flag(section.is_pageable(), 'p'),
        ]
        .into_iter()
        .collect();
        format!("{flags} {:x?}", section.range())
    };
    assert_eq!(describe(".text"), "r-x-- 1000..1180");
    assert_eq!(describe(".data"), "rw--- 3000..4800");
    assert_eq!(describe("PAGEtest"), "r-x-p 6000..6020");
    assert_eq!(describe("INIT"), "r-xd- 7000..7010");
    assert_eq!(describe(".reloc"), "r--d- 8000..8020");
    assert_eq!(
        image.section_at(0x47ff).map(|section| section.name()),
        Some(".data")
    );
    assert_eq!(image.section_at(0x4800), None);
    assert_eq!(image.section_at(0), None);
}

#[test]
fn init_is_discardable_by_its_name_alone() {
    let image = driver(|pe| pe.sections[5].flags = 0x6000_0020);
    assert!(image.section_at(0x7000).unwrap().is_discardable());
}

#[test]
fn there_are_1_to_96_sections() {
    let wrong = |count| format!("header: NumberOfSections is {count:#x}, must be 0x1..=0x60");
    assert_eq!(error(|pe| pe.section_count = Some(0)), wrong(0));
    assert_eq!(error(|pe| pe.section_count = Some(97)), wrong(97));
    let mut pe = Pe::empty();
    pe.size_of_headers = 0x2000;
    pe.size_of_image = 0x80_0000;
    pe.entry_point = 0;
    pe.sections = vec![Pe::driver().sections[0].clone(); MAX_SECTIONS.into()];
    for (index, section) in (0..).zip(&mut pe.sections) {
        section.rva = 0x2000 + index * 0x1000;
    }
    assert_eq!(Image::parse(&pe.build()).unwrap().sections().len(), 96);
}

#[test]
fn long_section_names_come_from_the_string_table() {
    let named = |name: &[u8; 8], symbol_table| {
        let mut pe = Pe::driver();
        pe.sections[0].name = *name;
        pe.symbol_table = symbol_table;
        pe.symbols = 1;
        let mut file = pe.build();
        assert_eq!(file.len(), 0x1800);
        // One symbol, then the string table with its length in front.
        file.extend_from_slice(&[0; 18]);
        file.extend_from_slice(b"\x14\0\0\0a_long_name_here\0");
        Image::parse(&file).unwrap().sections()[0].name().to_owned()
    };
    assert_eq!(named(b"/4\0\0\0\0\0\0", 0x1800), "a_long_name_here");
    assert_eq!(named(b"/4000000", 0x1800), "/4000000");
    assert_eq!(named(b"/4\0\0\0\0\0\0", 0), "/4");
    assert_eq!(named(b"/4\0\0\0\0\0\0", 0xffff_ff00), "/4");
    assert_eq!(named(b"/x\0\0\0\0\0\0", 0x1800), "/x");
    assert_eq!(named(b"12345678", 0x1800), "12345678");
    assert_eq!(named(b"\xff\0\0\0\0\0\0\0", 0x1800), "\u{fffd}");
}

#[test]
fn sections_follow_each_other_without_a_gap() {
    assert_eq!(
        error(|pe| pe.sections[0].rva = 0x2000),
        "section 0 (.text): VirtualAddress is 0x2000, must be 0x1000",
    );
    assert_eq!(
        error(|pe| pe.sections[2].rva = 0x1000),
        "section 2 (.data): VirtualAddress is 0x1000, must be 0x3000",
    );
    assert_eq!(
        error(|pe| pe.sections[1].virtual_size = 0x1001),
        "section 2 (.data): VirtualAddress is 0x3000, must be 0x4000",
    );
}

#[test]
fn sections_end_inside_the_image() {
    driver(|pe| pe.sections[6].virtual_size = 0x1000);
    assert_eq!(
        error(|pe| pe.sections[6].virtual_size = 0x1001),
        "section 6 (.reloc): VirtualSize is 0x1001, must be at most 0x1000",
    );
    assert_eq!(
        error(|pe| pe.sections[6].virtual_size = u32::MAX),
        "section 6 (.reloc): VirtualSize is 0xffffffff, must be at most 0x1000",
    );
}

#[test]
fn section_data_is_in_the_file_and_aligned() {
    assert_eq!(
        error(|pe| pe.sections[6].raw_size = Some(0x201)),
        "section 6 (.reloc): SizeOfRawData is 0x201, must be at most 0x200",
    );
    assert_eq!(
        error(|pe| pe.sections[6].raw_offset = Some(0x1810)),
        "section 6 (.reloc): PointerToRawData is 0x1810, must be a multiple of 0x200",
    );
    assert_eq!(
        error(|pe| pe.sections[6].raw_offset = Some(0xffff_fe00)),
        "section 6 (.reloc): SizeOfRawData is 0x200, must be at most 0x0",
    );
}

#[test]
fn a_virtual_size_of_zero_means_the_raw_size() {
    let image = driver(|pe| pe.sections[4].virtual_size = 0);
    assert_eq!(
        image.section_at(0x61ff).map(|section| section.name()),
        Some("PAGEtest")
    );
}

#[test]
fn a_section_without_a_place_in_the_file_is_zero() {
    let image = driver(|pe| {
        pe.sections[4].data.clear();
        pe.sections[4].raw_size = Some(0x7777_7777);
        pe.sections[4].flags = WRITE;
    });
    let laid_out = image.lay_out(0x1_4000_0000).unwrap();
    assert_eq!(laid_out.bytes()[0x6000..0x7000], [0; 0x1000]);
}

#[test]
fn regions_cover_the_image() {
    let image = driver(|pe| pe.size_of_image = 0x8801);
    let regions = image.regions();
    let mut next = 0;
    for region in regions {
        assert_eq!(region.rva, next);
        next += region.size;
    }
    assert_eq!(next, image.mapped_size());
    let data = regions.iter().find(|region| region.rva == 0x3000).unwrap();
    assert_eq!(
        (data.size, data.writable, data.executable),
        (0x2000, true, false)
    );
    let page = regions.iter().find(|region| region.rva == 0x6000).unwrap();
    assert!(page.pageable && page.executable && !page.writable && !page.discardable);
    let init = regions.iter().find(|region| region.rva == 0x7000).unwrap();
    assert!(init.discardable);
}

#[test]
fn the_checksum_is_that_of_the_whole_file() {
    let image = driver(|_| {});
    assert_eq!(image.checksum(), 0);
    let mut file = Pe::driver().build();
    let sum = image.computed_checksum();
    file[0x40 + 88..0x40 + 92].copy_from_slice(&sum.to_le_bytes());
    let image = Image::parse(&file).unwrap();
    assert_eq!(image.checksum(), image.computed_checksum());
    file[at::TEXT as usize] ^= 1;
    assert_ne!(Image::parse(&file).unwrap().computed_checksum(), sum);
    file.push(7);
    assert_eq!(crate::checksum::compute(&[0xff, 0xff, 1], 1000), 4);
}
