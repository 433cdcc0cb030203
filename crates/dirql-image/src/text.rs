//! NUL-terminated names inside the image.

use crate::error::{ImageError, Part};
use crate::reader::Reader;

/// Longest module name, in bytes. Paths on Windows are at most 260 characters long.
pub(crate) const LONGEST_MODULE: usize = 260;

/// Longest symbol name, in bytes. Linkers cut decorated C++ names at 4,096.
pub(crate) const LONGEST_SYMBOL: usize = 4096;

/// How much text is read from one image, in bytes.
///
/// Entries may point at the same name, so without this limit a small file could ask for
/// gigabytes. The export table of the Windows kernel has about 70 KiB of names.
const MOST_TEXT: usize = 8 << 20;

/// Reads names and keeps count of how much text that was.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    image: Reader<'a>,
    left: usize,
}

impl<'a> Names<'a> {
    pub(crate) const fn new(image: Reader<'a>) -> Self {
        Self {
            image,
            left: MOST_TEXT,
        }
    }

    /// The printable ASCII name at `rva`.
    pub(crate) fn read(
        &mut self,
        part: impl Fn() -> Part,
        field: &'static str,
        rva: u32,
        limit: usize,
    ) -> Result<Box<str>, ImageError> {
        self.image.bytes(field, rva.into(), 1)?;
        let rest = self.image.from(rva.into());
        let Some(length) = rest.iter().take(limit + 1).position(|byte| *byte == 0) else {
            return Err(ImageError::NameTooLong {
                part: part(),
                field,
                rva,
                limit,
            });
        };
        let bytes = rest.get(..length).unwrap_or_default();
        if let Some(found) = bytes
            .iter()
            .copied()
            .find(|byte| !(0x20..=0x7e).contains(byte))
        {
            return Err(ImageError::NameCharacter {
                part: part(),
                field,
                rva,
                found,
            });
        }
        self.left = self
            .left
            .checked_sub(length)
            .ok_or_else(|| ImageError::TooMany {
                part: part(),
                what: "bytes of names in one image",
                limit: MOST_TEXT,
            })?;
        Ok(bytes.iter().copied().map(char::from).collect())
    }
}
