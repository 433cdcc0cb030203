//! Function names from the COFF symbol table, which gcc's linker leaves in images.
//!
//! Source: PE Format, "COFF Symbol Table" and "COFF String Table".

use crate::image::Image;
use crate::reader::{Reader, until_nul};
use crate::symbols::{Start, is_code};

const SYMBOL: u64 = 18;
const EXTERNAL: u8 = 2;
const STATIC: u8 = 3;
const LONGEST_NAME: usize = 4096;

/// The functions of the table. An entry that makes no sense is skipped: nobody but debuggers
/// reads the table, and the rest of it is as good as before.
pub(super) fn starts(image: &Image, file: &[u8]) -> Vec<Start> {
    let headers = &image.headers;
    let file = Reader::file(file);
    let table = u64::from(headers.symbol_table);
    let size = u64::from(headers.symbols) * SYMBOL;
    if table == 0 || file.bytes("COFF symbol table", table, size).is_err() {
        return Vec::new();
    }
    let strings = table + size;
    let mut starts = Vec::new();
    let mut offset = table;
    while offset < strings {
        let Some(symbol) = read(file, offset) else {
            break;
        };
        starts.extend(start(image, file, strings, &symbol));
        // Auxiliary records belong to the symbol before them.
        offset += SYMBOL * (1 + u64::from(symbol.auxiliaries));
    }
    starts
}

struct Symbol<'a> {
    name: &'a [u8],
    value: u32,
    section: u16,
    class: u8,
    auxiliaries: u8,
}

fn read(file: Reader<'_>, offset: u64) -> Option<Symbol<'_>> {
    let bytes = file.bytes("COFF symbol", offset, SYMBOL).ok()?;
    let (name, rest) = bytes.split_at_checked(8)?;
    let &[a, b, c, d, e, f, _, _, class, auxiliaries] = rest else {
        return None;
    };
    Some(Symbol {
        name,
        value: u32::from_le_bytes([a, b, c, d]),
        section: u16::from_le_bytes([e, f]),
        class,
        auxiliaries,
    })
}

fn start(image: &Image, file: Reader<'_>, strings: u64, symbol: &Symbol<'_>) -> Option<Start> {
    // Sections count from 1; 0 and the highest numbers mean other things.
    let section = image
        .sections()
        .get(usize::from(symbol.section).checked_sub(1)?)?;
    let rva = section.rva().checked_add(symbol.value)?;
    if !matches!(symbol.class, EXTERNAL | STATIC) || !section.range().contains(&rva) {
        return None;
    }
    let name = name(file, strings, symbol.name)?;
    // Names with a dot in front are sections.
    (is_code(image, rva) && !name.starts_with('.')).then_some(Start { rva, name })
}

/// A short name stands in the symbol; a long one in the string table, after four zeros.
fn name(file: Reader<'_>, strings: u64, field: &[u8]) -> Option<Box<str>> {
    let bytes = match *field {
        [0, 0, 0, 0, a, b, c, d] => {
            let offset = strings + u64::from(u32::from_le_bytes([a, b, c, d]));
            let rest = file.from(offset);
            rest.get(..LONGEST_NAME).unwrap_or(rest)
        }
        _ => field,
    };
    let name = until_nul(bytes);
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into())
}
