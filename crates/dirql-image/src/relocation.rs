//! Base relocations.
//!
//! Source: PE Format, "The .reloc Section (Image Only)".
//!
//! An image for x64 has `DIR64` relocations. `HIGHLOW` is legal there too (the document excludes
//! it nowhere): the 32-bit field takes the low half of an address, which is right only while the
//! image stays below 4 GiB, so it is applied there and is an error elsewhere. The 16-bit types
//! mean nothing on x64 and are refused.

use crate::error::{Allowed, ImageError, Part};
use crate::headers::Directory;
use crate::reader::Reader;

const BLOCK_HEADER: u64 = 8;
const ABSOLUTE: u16 = 0;
const HIGHLOW: u16 = 3;
const DIR64: u16 = 10;

/// One field that holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relocation {
    /// Four bytes at this RVA.
    HighLow(u32),
    /// Eight bytes at this RVA.
    Dir64(u32),
}

/// Calls `apply` for every relocation, in order. All are inside the image.
pub(crate) fn walk(
    image: Reader<'_>,
    directory: Directory,
    mut apply: impl FnMut(Relocation) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    if !directory.is_present() {
        return Ok(());
    }
    let mut offset = u64::from(directory.rva);
    let end = offset + u64::from(directory.size);
    while end - offset >= BLOCK_HEADER {
        let block = image.u32("relocation block VirtualAddress", offset)?;
        let size = image.u32("relocation block SizeOfBlock", offset + 4)?;
        if block == 0 && size == 0 {
            // Linkers pad the directory with zeros.
            return Ok(());
        }
        check_size(block, size, end - offset)?;
        for entry in (offset + BLOCK_HEADER..offset + u64::from(size)).step_by(2) {
            let entry = image.u16("relocation entry", entry)?;
            if let Some(relocation) = decode(image, block, entry)? {
                apply(relocation)?;
            }
        }
        offset += u64::from(size);
    }
    Ok(())
}

fn check_size(block: u32, size: u32, left: u64) -> Result<(), ImageError> {
    let allowed = if !(BLOCK_HEADER..=left).contains(&u64::from(size)) {
        Allowed::Between(BLOCK_HEADER, left)
    } else if !size.is_multiple_of(2) {
        Allowed::MultipleOf(2)
    } else {
        return Ok(());
    };
    let part = Part::Relocations { block };
    Err(ImageError::Field {
        part,
        field: "SizeOfBlock",
        found: size.into(),
        allowed,
    })
}

fn decode(image: Reader<'_>, block: u32, entry: u16) -> Result<Option<Relocation>, ImageError> {
    let target = u64::from(block) + u64::from(entry & 0x0fff);
    let (width, kind): (u64, fn(u32) -> Relocation) = match entry >> 12 {
        ABSOLUTE => return Ok(None),
        HIGHLOW => (4, Relocation::HighLow),
        DIR64 => (8, Relocation::Dir64),
        other => {
            return Err(ImageError::Field {
                part: Part::Relocations { block },
                field: "Type",
                found: other.into(),
                allowed: Allowed::Rule("must be 0 (ABSOLUTE), 3 (HIGHLOW) or 10 (DIR64)"),
            });
        }
    };
    let highest = image.len().saturating_sub(width);
    match u32::try_from(target) {
        Ok(rva) if target <= highest => Ok(Some(kind(rva))),
        _ => Err(ImageError::Field {
            part: Part::Relocations { block },
            field: "relocated RVA",
            found: target,
            allowed: Allowed::AtMost(highest),
        }),
    }
}
