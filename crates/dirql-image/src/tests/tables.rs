//! Imports, exports, load configuration, function table.

use super::{driver, error};
use crate::builder::{BASE, at};
use crate::{ExportTarget, GuardTable, Symbol};

#[test]
fn imports_are_listed_by_module() {
    let image = driver(|_| {});
    let [kernel, hal, extra] = image.import_modules() else {
        panic!("three modules")
    };
    assert_eq!((&*kernel.name, kernel.delayed), ("ntoskrnl.exe", false));
    assert_eq!(
        kernel.imports[0].symbol,
        Symbol::Name {
            name: "DbgPrint".into(),
            hint: 0x42
        }
    );
    assert_eq!(kernel.imports[0].slot, at::SLOTS);
    assert_eq!(kernel.imports[1].symbol, Symbol::Ordinal(7));
    assert_eq!(kernel.imports[1].slot, at::SLOTS + 8);
    assert_eq!(
        (&*hal.name, hal.imports[0].slot),
        ("Hal.DLL", at::HAL_SLOTS)
    );
    assert_eq!((&*extra.name, extra.delayed), ("extra.sys", true));
}

#[test]
fn import_tables_end_inside_the_image() {
    assert_eq!(
        error(|pe| pe.directories[1] = (0x8ff0, 4)),
        "import descriptor at RVA 0x8ff0 takes 0x14 bytes, 0x10 are there",
    );
    assert_eq!(
        error(|pe| pe.words(at::IMPORTS, &[0x9000])),
        "import lookup entry at RVA 0x9000 takes 0x8 bytes, 0x0 are there",
    );
    assert_eq!(
        error(|pe| pe.words(at::IMPORTS + 16, &[0x8ff9])),
        "FirstThunk at RVA 0x8ff9 takes 0x8 bytes, 0x7 are there",
    );
    assert_eq!(
        error(|pe| pe.words(at::IMPORTS + 12, &[0x9000])),
        "Name at RVA 0x9000 takes 0x1 bytes, 0x0 are there",
    );
    assert_eq!(
        error(|pe| pe.quads(at::LOOKUP, &[0x8fff])),
        "import Hint at RVA 0x8fff takes 0x2 bytes, 0x1 are there",
    );
}

#[test]
fn an_import_without_slots_is_an_error() {
    assert_eq!(
        error(|pe| pe.words(at::IMPORTS + 16, &[0])),
        "import of ntoskrnl.exe: FirstThunk is 0x0, must be an RVA",
    );
}

#[test]
fn import_entries_use_the_defined_bits_only() {
    assert_eq!(
        error(|pe| pe.quads(at::LOOKUP + 8, &[1 << 63 | 0x1_0000])),
        "import of ntoskrnl.exe: Ordinal Number is 0x10000, must be at most 0xffff",
    );
    assert_eq!(
        error(|pe| pe.quads(at::LOOKUP, &[1 << 40])),
        "import of ntoskrnl.exe: Hint/Name Table RVA is 0x10000000000, must be at most 0x9000",
    );
    let image = driver(|pe| pe.quads(at::LOOKUP + 8, &[1 << 63 | 0xffff]));
    assert_eq!(
        image.imports().nth(1).unwrap().symbol,
        &Symbol::Ordinal(0xffff)
    );
}

#[test]
fn import_names_are_printable_and_end() {
    assert_eq!(
        error(|pe| pe.put(at::NAMES + 4, b"\x07")),
        "import of ntoskrnl.exe: import Name at RVA 0x20c2 holds byte 0x07, must be printable ASCII",
    );
    assert_eq!(
        error(|pe| {
            pe.put(0x3000, &[b'A'; 0x200]);
            pe.sections[2].virtual_size = 0x2000;
            pe.words(at::IMPORTS + 12, &[0x3000]);
            pe.directories[10] = (0, 0);
            pe.put(0x3100, &[b'A'; 0x40]);
            pe.quads(at::POINTER, &[u64::from_le_bytes([b'A'; 8])]);
        }),
        "import of module 0: Name at RVA 0x3000 does not end within 260 bytes",
    );
}

#[test]
fn the_number_of_imports_has_a_limit() {
    let text = error(|pe| {
        // Every descriptor refers to the one long table.
        pe.size_of_image = 0x20_0000;
        let last = pe.sections.last_mut().unwrap();
        let ordinals = [1u64 << 63 | 1; 0x1_0001]
            .iter()
            .flat_map(|entry| entry.to_le_bytes());
        last.data.extend(
            std::iter::repeat_n(0, 0x1000 - 0x20)
                .chain(ordinals)
                .chain([0; 8]),
        );
        last.virtual_size = last.data.len() as u32;
        pe.words(at::IMPORTS, &[0x9000]);
        pe.words(at::IMPORTS + 16, &[0x9000]);
    });
    assert_eq!(
        text,
        "import of ntoskrnl.exe: more than 65536 imports in one image"
    );
}

#[test]
fn the_number_of_modules_has_a_limit() {
    let text = error(|pe| {
        let last = pe.sections.last_mut().unwrap();
        last.data.resize(0x8000, 0);
        last.virtual_size = 0x8000;
        pe.size_of_image = 0x1_0000;
        pe.directories[1] = (0x9000, 20);
        for index in 0..1025 {
            let descriptor = [at::SLOTS + 16, 0, 0, at::NAMES + 0x40, at::SLOTS];
            pe.words(0x9000 + index * 20, &descriptor);
        }
    });
    assert_eq!(
        text,
        "import of module 1024: more than 1024 imported modules"
    );
}

#[test]
fn delayed_imports_are_by_rva() {
    assert_eq!(
        error(|pe| pe.words(at::DELAY, &[0])),
        "import of module 2: delay-load Attributes is 0x0, must be 0x1",
    );
    assert_eq!(
        error(|pe| pe.words(at::DELAY + 16, &[0])),
        "import of extra.sys: Delay Import Address Table is 0x0, must be an RVA",
    );
    assert_eq!(
        error(|pe| pe.directories[13] = (0x8fe1, 8)),
        "delay-load descriptor at RVA 0x8fe1 takes 0x20 bytes, 0x1f are there",
    );
}

#[test]
fn exports_have_names_numbers_and_targets() {
    let image = driver(|_| {});
    let exports = image.exports();
    assert_eq!(exports.module.as_deref(), Some("test.sys"));
    let listed: Vec<_> = exports
        .exports
        .iter()
        .map(|export| {
            (
                export.name.as_deref(),
                export.ordinal,
                export.target.clone(),
            )
        })
        .collect();
    assert_eq!(
        listed,
        [
            (Some("Alpha"), 5, ExportTarget::Rva(0x1000)),
            (Some("Also"), 5, ExportTarget::Rva(0x1000)),
            (
                Some("Forward"),
                8,
                ExportTarget::Forwarder("other.Name".into())
            ),
            (None, 7, ExportTarget::Rva(0x1020)),
        ],
    );
    assert_eq!(exports.by_name("Also").unwrap().ordinal, 5);
    assert_eq!(exports.by_name("also"), None);
    assert_eq!(exports.by_ordinal(7).unwrap().name, None);
    assert_eq!(exports.by_ordinal(6), None);
}

#[test]
fn export_tables_are_inside_the_image() {
    let e = at::EXPORTS;
    assert_eq!(
        error(|pe| pe.words(e + 28, &[0x8ff4])),
        "AddressOfFunctions at RVA 0x8ff4 takes 0x10 bytes, 0xc are there",
    );
    assert_eq!(
        error(|pe| pe.words(e + 32, &[0x8ff5])),
        "AddressOfNames at RVA 0x8ff5 takes 0xc bytes, 0xb are there",
    );
    assert_eq!(
        error(|pe| pe.words(e + 36, &[0x8ffb])),
        "AddressOfNameOrdinals at RVA 0x8ffb takes 0x6 bytes, 0x5 are there",
    );
    assert_eq!(
        error(|pe| pe.words(e + 0x28, &[0x9000])),
        "export directory: Export RVA is 0x9000, must be at most 0x8fff",
    );
    assert_eq!(
        error(|pe| pe.directories[0] = (0x8fe0, 8)),
        "export directory at RVA 0x8fe0 takes 0x28 bytes, 0x20 are there",
    );
}

#[test]
fn export_counts_fit_ordinals_of_16_bits() {
    let e = at::EXPORTS;
    assert_eq!(
        error(|pe| pe.words(e + 16, &[0x1_0000])),
        "export directory: Base is 0x10000, must be at most 0xffff",
    );
    assert_eq!(
        error(|pe| pe.words(e + 16, &[0xfffd])),
        "export directory: NumberOfFunctions is 0x4, must be at most 0x3",
    );
    let image = driver(|pe| pe.words(e + 16, &[0xfffc]));
    assert_eq!(image.exports().by_name("Forward").unwrap().ordinal, 0xffff);
    assert_eq!(
        error(|pe| pe.words(e + 20, &[u32::MAX])),
        "export directory: NumberOfFunctions is 0xffffffff, must be at most 0xfffb",
    );
    assert_eq!(
        error(|pe| pe.words(e + 24, &[0x1_0001])),
        "export directory: NumberOfNames is 0x10001, must be at most 0x10000",
    );
    assert_eq!(
        error(|pe| pe.put(e + 0x48, &[4])),
        "export directory: name ordinal is 0x4, must be at most 0x3",
    );
}

#[test]
fn the_load_configuration_says_where_things_are() {
    let image = driver(|_| {});
    let config = image.load_config().unwrap();
    assert_eq!(config.security_cookie, Some(at::COOKIE));
    assert_eq!(config.guard_check, Some(at::GUARD));
    assert_eq!(config.guard_dispatch, Some(at::GUARD + 8));
    assert_eq!(
        config.guard_table,
        Some(GuardTable {
            rva: 0x2480,
            count: 2,
            stride: 5
        })
    );
    assert_eq!(config.extended_guard[2], Some(at::GUARD + 32));
}

#[test]
fn a_short_load_configuration_has_fewer_fields() {
    let config = |size: u32| {
        let image = driver(|pe| pe.words(at::LOAD_CONFIG, &[size]));
        image.load_config().cloned().unwrap()
    };
    assert_eq!(config(0x5f).security_cookie, None);
    assert_eq!(config(0x60).security_cookie, Some(at::COOKIE));
    assert_eq!(config(0x77).guard_check, None);
    assert_eq!(config(0x78).guard_check, Some(at::GUARD));
    assert_eq!(config(0x78).guard_dispatch, None);
}

#[test]
fn the_load_configuration_points_into_the_image() {
    assert_eq!(
        error(|pe| pe.quads(at::LOAD_CONFIG + 0x58, &[BASE + 0x8ff9])),
        "load configuration: SecurityCookie is 0x140008ff9, must be 0x140000000..=0x140008ff8",
    );
    assert_eq!(
        error(|pe| pe.quads(at::LOAD_CONFIG + 0x70, &[BASE - 1])),
        "load configuration: GuardCFCheckFunctionPointer is 0x13fffffff, must be 0x140000000..=0x140008ff8",
    );
    assert_eq!(
        error(|pe| pe.quads(at::LOAD_CONFIG + 0x88, &[0x1ccd])),
        "load configuration: GuardCFFunctionCount is 0x1ccd, must be at most 0x1ccc",
    );
    assert_eq!(
        error(|pe| pe.quads(at::LOAD_CONFIG + 0x80, &[BASE + 0x8ff7])),
        "load configuration: GuardCFFunctionTable is 0x140008ff7, must be 0x140000000..=0x140008ff6",
    );
    assert_eq!(
        error(|pe| pe.words(at::LOAD_CONFIG, &[0x9000])),
        "load configuration at RVA 0x2200 takes 0x9000 bytes, 0x6e00 are there",
    );
}

#[test]
fn functions_are_found_by_rva() {
    let image = driver(|_| {});
    let begin = |rva| image.function_at(rva).map(|function| function.begin);
    assert_eq!(begin(0xfff), None);
    assert_eq!(begin(0x1000), Some(0x1000));
    assert_eq!(begin(0x103f), Some(0x1000));
    assert_eq!(begin(0x1040), Some(0x1040));
    assert_eq!(begin(0x105f), Some(0x1040));
    assert_eq!(begin(0x1060), None);
    assert_eq!(begin(u32::MAX), None);
}

#[test]
fn entries_that_describe_no_code_are_left_out() {
    let left = |change: fn(&mut crate::builder::Pe)| {
        let image = driver(change);
        let begins: Vec<u32> = image.functions().iter().map(|f| f.begin).collect();
        begins
    };
    assert_eq!(left(|_| {}), [0x1000, 0x1040]);
    assert_eq!(left(|pe| pe.words(at::PDATA, &[0, 0, 0])), [0x1000]);
    // It begins in data, past its end, as in drivers whose handlers a tool took away.
    assert_eq!(left(|pe| pe.words(at::PDATA, &[0x1060])), [0x1000]);
    assert_eq!(left(|pe| pe.words(at::PDATA, &[0x1060])), [0x1000]);
    // The image ends at 0x9000.
    assert_eq!(
        left(|pe| pe.words(at::PDATA + 16, &[0x9000])),
        [0x1000, 0x1040]
    );
    assert_eq!(left(|pe| pe.words(at::PDATA + 16, &[0x9001])), [0x1040]);
    assert_eq!(
        left(|pe| pe.words(at::PDATA + 8, &[0x8ffc])),
        [0x1000, 0x1040]
    );
    assert_eq!(left(|pe| pe.words(at::PDATA + 8, &[0x8ffd])), [0x1000]);
    // What is no whole entry is none.
    assert_eq!(left(|pe| pe.directories[3].1 = 13), [0x1040]);
}

#[test]
fn the_text_of_all_names_has_a_limit() {
    // `count` exports share one name; the limit is 2,048 names of 4,096 characters.
    let parse = |count: u32, length: usize| {
        let mut pe = crate::builder::Pe::driver();
        pe.directories[1] = (0, 0);
        pe.directories[13] = (0, 0);
        let last = pe.sections.last_mut().unwrap();
        last.data.resize(0x8000, 0);
        last.virtual_size = 0x8000;
        pe.size_of_image = 0x1_0000;
        let e = at::EXPORTS;
        pe.words(e + 12, &[0, 0, 1, count, e + 0x28, 0x9000, 0xd000]);
        pe.words(0x9000, &vec![0xe000; count as usize]);
        pe.put(0xe000, &vec![b'n'; length]);
        crate::Image::parse(&pe.build()).map(|image| image.exports().exports.len())
    };
    assert_eq!(parse(2048, 4096), Ok(2048));
    assert_eq!(
        parse(2049, 4096).unwrap_err().to_string(),
        "export directory: more than 8388608 bytes of names in one image",
    );
    assert_eq!(
        parse(1, 4097).unwrap_err().to_string(),
        "export directory: export name at RVA 0xe000 does not end within 4096 bytes",
    );
}
