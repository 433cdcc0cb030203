//! Which PDB belongs to an image.
//!
//! Source: PE Format, "The .debug Section" and "Debug Type"; the record is the `RSDS` form of
//! CodeView that linkers write since Visual C++ 7.

use std::fmt;

use crate::error::{Allowed, ImageError, Part};
use crate::headers::{Directory, Headers};
use crate::reader::{Reader, until_nul};

const ENTRY: u64 = 28;
const CODE_VIEW: u32 = 2;
const RSDS: u32 = 0x5344_5352;
const RSDS_HEADER: u64 = 24;
/// Bytes of a path in the record, at most.
const LONGEST_PATH: u64 = 1024;

/// A GUID, with its bytes as they are in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guid(pub [u8; 16]);

impl fmt::Display for Guid {
    /// As in `01234567-89AB-CDEF-0123-456789ABCDEF`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, rest @ ..] = self.0;
        write!(f, "{:08X}-", u32::from_le_bytes([a, b, c, d]))?;
        write!(f, "{:04X}-", u16::from_le_bytes([e, g]))?;
        write!(f, "{:04X}-", u16::from_le_bytes([h, i]))?;
        for (index, byte) in rest.into_iter().enumerate() {
            write!(f, "{byte:02X}{}", if index == 1 { "-" } else { "" })?;
        }
        Ok(())
    }
}

/// The PDB that was written together with an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeView {
    /// Its path as recorded.
    pub path: Box<str>,
    /// Its identity.
    pub guid: Guid,
    /// How many times it had been written.
    pub age: u32,
}

impl CodeView {
    /// The file name without directories.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.path.rsplit(['/', '\\']).next().unwrap_or_default()
    }

    /// The directory that symbol servers keep it under: the GUID's digits, then the age.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}{:X}", self.guid.to_string().replace('-', ""), self.age)
    }
}

/// The first CodeView record of the debug directory.
///
/// Windows does not look at this directory when it loads a driver, so an error here is no reason
/// to refuse the image.
pub(crate) fn parse(
    file: Reader<'_>,
    image: Reader<'_>,
    headers: &Headers,
) -> Result<Option<CodeView>, ImageError> {
    let directory = headers.directory(Directory::DEBUG);
    if !directory.is_present() {
        return Ok(None);
    }
    let start = u64::from(directory.rva);
    for offset in (start..start + u64::from(directory.size)).step_by(ENTRY as usize) {
        image.bytes("debug directory entry", offset, ENTRY)?;
        if image.u32("debug Type", offset + 12)? == CODE_VIEW {
            let size = image.u32("debug SizeOfData", offset + 16)?;
            let pointer = image.u32("debug PointerToRawData", offset + 24)?;
            return record(file, pointer.into(), size.into()).map(Some);
        }
    }
    Ok(None)
}

fn record(file: Reader<'_>, start: u64, size: u64) -> Result<CodeView, ImageError> {
    let field = |field, found, allowed| {
        Err(ImageError::Field {
            part: Part::Debug,
            field,
            found,
            allowed,
        })
    };
    if !(RSDS_HEADER..=RSDS_HEADER + LONGEST_PATH).contains(&size) {
        return field(
            "SizeOfData",
            size,
            Allowed::Between(RSDS_HEADER, RSDS_HEADER + LONGEST_PATH),
        );
    }
    let bytes = file.bytes("CodeView record", start, size)?;
    let signature = file.u32("CodeView Signature", start)?;
    if signature != RSDS {
        return field(
            "CodeView Signature",
            signature.into(),
            Allowed::Exactly(RSDS.into()),
        );
    }
    let mut guid = [0; 16];
    guid.copy_from_slice(file.bytes("CodeView GUID", start + 4, 16)?);
    let path = bytes.get(RSDS_HEADER as usize..).unwrap_or_default();
    Ok(CodeView {
        path: String::from_utf8_lossy(until_nul(path)).into(),
        guid: Guid(guid),
        age: file.u32("CodeView Age", start + 20)?,
    })
}
