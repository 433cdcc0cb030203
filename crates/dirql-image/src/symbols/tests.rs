//! Tests of names and lines, with a PDB, DWARF sections and COFF symbols made here.

use proptest::prelude::*;

use super::{SymbolError, Symbols, shown};
use crate::builder::{BASE, DISCARD, Pe, TestSection, at};
use crate::{Guid, Image};

const GUID: [u8; 16] = *b"0123456789abcdef";

/// Where the debug directory and its record are put.
const DEBUG: u32 = 0x2500;
const RECORD: u32 = 0x2520;
/// File offset of `RECORD`.
const RECORD_OFFSET: u32 = 0xb20;

fn with_code_view(pe: &mut Pe) {
    pe.directories[6] = (DEBUG, 28);
    pe.words(DEBUG, &[0, 0, 0, 2, 0x30, RECORD, RECORD_OFFSET]);
    pe.put(RECORD, b"RSDS");
    pe.put(RECORD + 4, &GUID);
    pe.words(RECORD + 20, &[3]);
    pe.put(RECORD + 24, b"C:\\build\\edu.pdb\0");
}

fn symbols(pe: &Pe, pdb: Option<&[u8]>) -> Result<Symbols, SymbolError> {
    let file = pe.build();
    let image = Image::parse(&file).unwrap();
    Symbols::load(&image, &file, pdb)
}

fn text(symbols: &Symbols, rva: u32) -> Option<String> {
    symbols.lookup(rva).map(|location| location.to_string())
}

#[test]
fn the_debug_directory_names_the_pdb() {
    let mut pe = Pe::driver();
    assert_eq!(Image::parse(&pe.build()).unwrap().code_view(), Ok(None));
    with_code_view(&mut pe);
    let image = Image::parse(&pe.build()).unwrap();
    let code_view = image.code_view().unwrap().unwrap();
    assert_eq!(&*code_view.path, r"C:\build\edu.pdb");
    assert_eq!(code_view.file_name(), "edu.pdb");
    assert_eq!(
        code_view.guid.to_string(),
        "33323130-3534-3736-3839-616263646566"
    );
    assert_eq!(code_view.key(), "333231303534373638396162636465663");
}

#[test]
fn a_malformed_debug_directory_is_no_reason_to_refuse_an_image() {
    let text = |change: fn(&mut Pe)| {
        let mut pe = Pe::driver();
        with_code_view(&mut pe);
        change(&mut pe);
        let image = Image::parse(&pe.build()).unwrap();
        image.code_view().unwrap_err().to_string()
    };
    assert_eq!(
        text(|pe| pe.words(DEBUG + 16, &[23])),
        "debug directory: SizeOfData is 0x17, must be 0x18..=0x418",
    );
    assert_eq!(
        text(|pe| pe.words(DEBUG + 16, &[0x419])),
        "debug directory: SizeOfData is 0x419, must be 0x18..=0x418",
    );
    assert_eq!(
        text(|pe| pe.words(DEBUG + 24, &[0x17d1])),
        "CodeView record at file offset 0x17d1 takes 0x30 bytes, 0x2f are there",
    );
    assert_eq!(
        text(|pe| pe.put(RECORD, b"NB10")),
        "debug directory: CodeView Signature is 0x3031424e, must be 0x53445352",
    );
    assert_eq!(
        text(|pe| pe.directories[6] = (0x8ff0, 16)),
        "debug directory entry at RVA 0x8ff0 takes 0x1c bytes, 0x10 are there",
    );
}

#[test]
fn paths_are_shown_without_the_machine_that_compiled_them() {
    assert_eq!(&*shown("/home/user/edu/edu.c"), "edu.c");
    assert_eq!(&*shown(r"C:\src\edu\edu.c"), "edu.c");
    assert_eq!(&*shown(r"\\server\src\edu.c"), "edu.c");
    assert_eq!(&*shown("src/edu.c"), "src/edu.c");
    assert_eq!(&*shown("./edu.c"), "edu.c");
    assert_eq!(&*shown("edu.c"), "edu.c");
    assert_eq!(&*shown(""), "");
}

#[test]
fn exports_and_unwind_data_are_better_than_nothing() {
    let symbols = symbols(&Pe::driver(), None).unwrap();
    assert_eq!(text(&symbols, 0x1010).as_deref(), Some("Alpha+0x10"));
    // Another function starts at 0x1040, whose name is not known.
    assert_eq!(text(&symbols, 0x1041).as_deref(), Some("?+0x1"));
    assert_eq!(text(&symbols, 0x0fff), None);
    assert_eq!(symbols.find("Alpha"), Some(0x1000));
    assert_eq!(symbols.find("alpha"), None);
}

/// One COFF symbol.
fn symbol(name: [u8; 8], value: u32, section: u16, class: u8, auxiliaries: u8) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend_from_slice(&value.to_le_bytes());
    bytes.extend_from_slice(&section.to_le_bytes());
    bytes.extend_from_slice(&[0x20, 0, class, auxiliaries]);
    bytes
}

/// The names that a driver with these COFF symbols has at 0x1040 and 0x1064.
fn coff(table: &[Vec<u8>], count: u32) -> [Option<String>; 2] {
    let mut pe = Pe::driver();
    pe.directories[0] = (0, 0);
    pe.symbol_table = 0x1800;
    pe.symbols = count;
    let mut file = pe.build();
    assert_eq!(file.len(), 0x1800);
    file.extend(table.concat());
    file.extend_from_slice(b"\x20\0\0\0a_function_with_long_name\0");
    let image = Image::parse(&file).unwrap();
    let symbols = Symbols::load(&image, &file, None).unwrap();
    [0x1040, 0x1064].map(|rva| text(&symbols, rva))
}

#[test]
fn coff_symbols_name_functions() {
    let table = [
        symbol(*b".text\0\0\0", 0, 1, 3, 1),
        vec![0; 18],
        symbol(*b"EduIsr\0\0", 0x40, 1, 2, 0),
        symbol([0, 0, 0, 0, 4, 0, 0, 0], 0x60, 1, 3, 0),
        symbol(*b"EduData\0", 0x40, 3, 2, 0),
        symbol(*b"absolute", 0x1041, 0xffff, 2, 0),
        symbol(*b"outside\0", 0x180, 1, 2, 0),
        symbol(*b"label\0\0\0", 0x42, 1, 6, 0),
    ];
    let found = coff(&table, 8);
    assert_eq!(found[0].as_deref(), Some("EduIsr+0x0"));
    assert_eq!(found[1].as_deref(), Some("a_function_with_long_name+0x4"));
}

#[test]
fn a_malformed_coff_table_is_skipped() {
    assert_eq!(coff(&[], 0x1000)[0].as_deref(), Some("?+0x0"));
    assert_eq!(
        coff(&[symbol(*b"EduIsr\0\0", 0x40, 1, 2, 200)], 1)[0].as_deref(),
        Some("EduIsr+0x0")
    );
    assert_eq!(
        coff(
            &[symbol([0, 0, 0, 0, 255, 255, 255, 255], 0x40, 1, 2, 0)],
            1
        )[0]
        .as_deref(),
        Some("?+0x0")
    );
}

/// A driver with DWARF for `EduIsr` at 0x1000..0x1040 with `poke` inlined at 0x1010..0x1020,
/// compiled in /build from src/edu.c and /usr/include/poke.h.
fn dwarf() -> Pe {
    let address = |rva: u64| (BASE + rva).to_le_bytes();
    let abbreviations: &[u8] = &[
        1, 0x11, 1, 0x1b, 8, 0x03, 8, 0x11, 1, 0x12, 6, 0x10, 0x17, 0, 0, // unit
        2, 0x2e, 1, 0x03, 8, 0x11, 1, 0x12, 6, 0, 0, // function
        3, 0x2e, 0, 0x03, 8, 0x20, 0x0b, 0, 0, // abstract function
        4, 0x1d, 0, 0x31, 0x13, 0x11, 1, 0x12, 6, 0x58, 0x0b, 0x59, 0x0b, 0, 0, // inlined
        0,
    ];
    let mut info = vec![4, 0, 0, 0, 0, 0, 8];
    info.extend_from_slice(b"\x01/build\0src/edu.c\0");
    info.extend(address(0x1000));
    info.extend_from_slice(&[0x40, 0, 0, 0, 0, 0, 0, 0]);
    let origin = info.len() as u32 + 4;
    info.extend_from_slice(b"\x03poke\0\x01");
    info.extend_from_slice(b"\x02EduIsr\0");
    info.extend(address(0x1000));
    info.extend_from_slice(&[0x40, 0, 0, 0, 4]);
    info.extend(origin.to_le_bytes());
    info.extend(address(0x1010));
    info.extend_from_slice(&[0x10, 0, 0, 0, 1, 52, 0, 0]);
    let info = [&(info.len() as u32).to_le_bytes()[..], &info].concat();

    let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    header.extend_from_slice(b"\0src/edu.c\0\0\0\0/usr/include/poke.h\0\0\0\0\0");
    let mut program = vec![0, 9, 2];
    program.extend(address(0x1000));
    // line 51 at 0x1000; line 7 of the other file at 0x1010; line 53 at 0x1020; end at 0x1040
    program.extend_from_slice(&[3, 50, 1, 2, 0x10, 4, 2, 3, 0x54, 1, 2, 0x10, 4, 1, 3, 46, 1]);
    program.extend_from_slice(&[2, 0x20, 0, 1, 1]);
    let mut line = vec![4, 0];
    line.extend((header.len() as u32).to_le_bytes());
    line.extend(header);
    line.extend(program);
    let line = [&(line.len() as u32).to_le_bytes()[..], &line].concat();

    let mut pe = Pe::driver();
    pe.directories[0] = (0, 0);
    let sections = [
        (*b".debug_i", info),
        (*b".debug_a", abbreviations.to_vec()),
        (*b".debug_l", line),
    ];
    for (index, (name, data)) in (0..).zip(sections) {
        pe.sections.push(TestSection {
            name,
            rva: 0x9000 + index * 0x1000,
            virtual_size: data.len() as u32,
            raw_size: None,
            raw_offset: None,
            flags: DISCARD,
            data,
        });
    }
    pe.size_of_image = 0xc000;
    pe
}

/// The same as a file: the names of its sections are too long for the section table.
fn dwarf_file(pe: &mut Pe) -> Vec<u8> {
    for (section, name) in pe.sections.iter_mut().skip(7).zip([
        *b"/4\0\0\0\0\0\0",
        *b"/16\0\0\0\0\0",
        *b"/30\0\0\0\0\0",
    ]) {
        section.name = name;
    }
    pe.symbol_table = pe.build().len() as u32;
    let mut file = pe.build();
    file.extend_from_slice(b"\0\0\0\0.debug_info\0.debug_abbrev\0.debug_line\0");
    file
}

#[test]
fn dwarf_gives_lines_and_inlined_functions() {
    let file = dwarf_file(&mut dwarf());
    let image = Image::parse(&file).unwrap();
    let symbols = Symbols::load(&image, &file, None).unwrap();
    assert_eq!(
        text(&symbols, 0x1004).as_deref(),
        Some("EduIsr+0x4 (src/edu.c:51)")
    );
    assert_eq!(
        text(&symbols, 0x1020).as_deref(),
        Some("EduIsr+0x20 (src/edu.c:53)")
    );
    let location = symbols.lookup(0x1014).unwrap();
    assert_eq!(location.to_string(), "EduIsr+0x14 (src/edu.c:52)");
    let [inlined] = location.inlined() else {
        panic!("one inlined function")
    };
    assert_eq!(inlined.function.as_deref(), Some("poke"));
    assert_eq!(inlined.source.as_ref().unwrap().to_string(), "poke.h:7");
    // Beyond the unit, unwind data is what is left.
    assert_eq!(text(&symbols, 0x1050).as_deref(), Some("?+0x10"));
}

/// The streams of a PDB put into pages of 512 bytes.
fn msf(streams: &[Vec<u8>]) -> Vec<u8> {
    const PAGE: usize = 0x200;
    let mut file = vec![0; 3 * PAGE];
    let mut place = |bytes: &[u8]| -> Vec<u32> {
        let first = (file.len() / PAGE) as u32;
        file.extend_from_slice(bytes);
        file.resize(file.len().next_multiple_of(PAGE), 0);
        (first..(file.len() / PAGE) as u32).collect()
    };
    let pages: Vec<u32> = streams.iter().flat_map(|stream| place(stream)).collect();
    let sizes = streams.iter().map(|stream| stream.len() as u32);
    let directory = words(
        std::iter::once(streams.len() as u32)
            .chain(sizes)
            .chain(pages),
    );
    let directory_pages = words(place(&directory));
    let list = place(&directory_pages);
    file[..32].copy_from_slice(b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0");
    let count = (file.len() / PAGE) as u32;
    let header = words([PAGE as u32, 1, count, directory.len() as u32, 0, list[0]]);
    file[32..32 + header.len()].copy_from_slice(&header);
    file
}

fn words(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn record(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u16 + 2;
    [&length.to_le_bytes()[..], &kind.to_le_bytes(), body].concat()
}

/// The streams of a PDB that knows `EduIsr` at 0x1000..0x1040 in `C:\src\edu.c`: line 51 at
/// 0x1000, a hidden line at 0x1010, line 53 at 0x1020; and the public `EduOther` at 0x1040.
fn pdb_streams() -> Vec<Vec<u8>> {
    let mut info = words([20_000_404, 0, 1]);
    info.extend_from_slice(&GUID);
    info.extend(words([7]));
    info.extend_from_slice(b"/names\0");
    info.extend(words([1, 1, 1, 1, 0, 0, 4]));

    let mut names = words([0xeffe_effe, 1, 13]);
    names.extend_from_slice(b"\0C:\\src\\edu.c\0");

    let public = [words([2, 0x40]), vec![1, 0], b"EduOther\0".to_vec()].concat();
    let data = [words([0, 0]), vec![3, 0], b"EduData\0".to_vec()].concat();
    let publics = [record(0x110e, &public), record(0x110e, &data)].concat();

    let procedure = [
        words([0, 0, 0, 0x40, 0, 0, 0, 0]),
        vec![1, 0, 0],
        b"EduIsr\0".to_vec(),
    ]
    .concat();
    let symbols = [words([4]), record(0x1110, &procedure)].concat();
    let lines = words([
        0,
        1,
        0x40,
        0,
        3,
        36,
        0,
        51,
        0x10,
        0xfe_efee,
        0x20,
        0x8000_0035,
    ]);
    let mut c13 = words([0xf4, 8, 1, 0]);
    c13.extend(words([0xf2, lines.len() as u32]));
    c13.extend(lines);

    let mut module = vec![0; 64];
    module[34..36].copy_from_slice(&6u16.to_le_bytes());
    module[36..40].copy_from_slice(&(symbols.len() as u32).to_le_bytes());
    module[44..48].copy_from_slice(&(c13.len() as u32).to_le_bytes());
    module.extend_from_slice(b"edu.obj\0edu.obj\0");
    let mut debug = vec![0; 64];
    debug[20..22].copy_from_slice(&5u16.to_le_bytes());
    debug[24..28].copy_from_slice(&(module.len() as u32).to_le_bytes());
    debug[48..52].copy_from_slice(&10u32.to_le_bytes());
    debug.extend(module);
    debug.extend_from_slice(&[0xff; 10]);
    vec![
        vec![],
        info,
        vec![],
        debug,
        names,
        publics,
        [symbols, c13].concat(),
    ]
}

fn driver_with_pdb() -> Pe {
    let mut pe = Pe::driver();
    pe.directories[0] = (0, 0);
    with_code_view(&mut pe);
    pe
}

#[test]
fn a_pdb_gives_names_and_lines() {
    let pdb = msf(&pdb_streams());
    let symbols = symbols(&driver_with_pdb(), Some(&pdb)).unwrap();
    assert_eq!(
        text(&symbols, 0x1000).as_deref(),
        Some("EduIsr+0x0 (edu.c:51)")
    );
    assert_eq!(
        text(&symbols, 0x100f).as_deref(),
        Some("EduIsr+0xf (edu.c:51)")
    );
    assert_eq!(text(&symbols, 0x1010).as_deref(), Some("EduIsr+0x10"));
    assert_eq!(
        text(&symbols, 0x103f).as_deref(),
        Some("EduIsr+0x3f (edu.c:53)")
    );
    assert_eq!(text(&symbols, 0x1042).as_deref(), Some("EduOther+0x2"));
    assert_eq!(symbols.find("EduData"), None);
}

#[test]
fn a_pdb_belongs_to_its_image() {
    let pdb = msf(&pdb_streams());
    let mut pe = driver_with_pdb();
    pe.put(RECORD + 4, b"X");
    let mut wanted = GUID;
    wanted[0] = b'X';
    assert_eq!(
        symbols(&pe, Some(&pdb)).unwrap_err(),
        SymbolError::OtherPdb {
            wanted: Guid(wanted),
            found: Guid(GUID)
        },
    );
    pe.directories[6] = (0, 0);
    assert_eq!(symbols(&pe, Some(&pdb)).unwrap_err(), SymbolError::NoPdb);
}

#[test]
fn malformed_pdbs_are_errors() {
    let error = |change: fn(&mut Vec<Vec<u8>>)| {
        let mut streams = pdb_streams();
        change(&mut streams);
        symbols(&driver_with_pdb(), Some(&msf(&streams)))
            .unwrap_err()
            .to_string()
    };
    let start = "the PDB cannot be read: ";
    assert_eq!(
        error(|streams| streams[1][0] = 0),
        format!("{start}PDB: PDB Version is 0x1312e00, must be at least 0x1312e94"),
    );
    assert_eq!(
        error(|streams| streams[5][0] = 1),
        format!("{start}PDB: symbol record length is 0x1, must be at least 0x2"),
    );
    assert_eq!(
        error(|streams| streams[6][94] = 0xff),
        format!("{start}line block at stream offset 0xc takes 0xff bytes, 0x24 are there"),
    );
    assert_eq!(
        error(|streams| streams[3][150] = 9),
        format!(
            "{start}PDB: DBI OMAP to source stream is 0xff09, must be absent (0xffff): the image was rearranged"
        ),
    );
}

#[test]
fn streams_that_share_pages_are_read_up_to_a_limit() {
    // Every module says that its symbols are in one stream as long as half of the file.
    let load = |modules: usize| {
        let mut streams = pdb_streams();
        let module: Vec<u8> = streams[3][64..144].to_vec();
        streams[6] = [words([4]), vec![0; 0x1_0000]].concat();
        streams[3].splice(64..144, module.repeat(modules));
        let size = (module.len() * modules) as u32;
        streams[3][24..28].copy_from_slice(&size.to_le_bytes());
        for module in streams[3][64..64 + size as usize].chunks_mut(80) {
            module[36..40].copy_from_slice(&4u32.to_le_bytes());
            module[44..48].copy_from_slice(&0u32.to_le_bytes());
        }
        symbols(&driver_with_pdb(), Some(&msf(&streams))).map(|_| ())
    };
    assert_eq!(load(3), Ok(()));
    assert!(
        load(64)
            .unwrap_err()
            .to_string()
            .contains("stream size is 0x10004, must be at most")
    );
}

#[test]
fn a_file_that_is_no_pdb_is_an_error() {
    let error = |pdb: &[u8]| {
        symbols(&driver_with_pdb(), Some(pdb))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(b""),
        "the PDB cannot be read: PDB signature at file offset 0x0 takes 0x20 bytes, 0x0 are there",
    );
    assert!(error(&[b'M'; 64]).contains("no PDB"));
    let mut pdb = msf(&pdb_streams());
    pdb[32] = 1;
    assert!(error(&pdb).contains("page size is 0x201"));
    let mut pdb = msf(&pdb_streams());
    pdb[44..48].copy_from_slice(&0xffff_ffff_u32.to_le_bytes());
    assert!(error(&pdb).contains("stream size is"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn changed_pdbs_are_read_without_a_panic(
        changes in proptest::collection::vec((0usize..0x1400, any::<u32>(), 0u32..32), 1..6),
    ) {
        let mut pdb = msf(&pdb_streams());
        for (offset, value, shift) in changes {
            let offset = offset % (pdb.len() - 4);
            pdb[offset..offset + 4].copy_from_slice(&(value >> shift).to_le_bytes());
        }
        if let Ok(symbols) = symbols(&driver_with_pdb(), Some(&pdb)) {
            for rva in (0..0x9000).step_by(0x11) {
                let _ = symbols.lookup(rva);
            }
        }
    }

    #[test]
    fn changed_dwarf_is_read_without_a_panic(
        changes in proptest::collection::vec((0usize..0x600, any::<u8>()), 1..6),
    ) {
        let mut file = dwarf_file(&mut dwarf());
        for (offset, value) in changes {
            file[0x1800 + offset] = value;
        }
        let image = Image::parse(&file).unwrap();
        if let Ok(symbols) = Symbols::load(&image, &file, None) {
            for rva in (at::TEXT..at::TEXT + 0x80).step_by(4) {
                let _ = symbols.lookup(rva);
            }
        }
    }
}
