//! Checked reading of little-endian fields.
//!
//! The `object` crate reads the same structures, but its errors are fixed texts: they can name
//! neither the value found nor the values allowed, and it knows nothing of what the Windows kernel
//! refuses beyond that. Hence one small reader of our own, which every byte of the file passes.

use crate::error::{ImageError, Space};

/// Bytes with a bound on every access.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    space: Space,
}

impl<'a> Reader<'a> {
    /// Reads by file offset.
    pub(crate) const fn file(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            space: Space::File,
        }
    }

    /// Reads by RVA.
    pub(crate) const fn image(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            space: Space::Image,
        }
    }

    /// Reads a stream of a PDB.
    pub(crate) const fn stream(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            space: Space::Stream,
        }
    }

    /// How many bytes there are.
    pub(crate) const fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// `length` bytes at `offset`.
    pub(crate) fn bytes(
        &self,
        field: &'static str,
        offset: u64,
        length: u64,
    ) -> Result<&'a [u8], ImageError> {
        self.get(offset, length).ok_or(ImageError::Truncated {
            field,
            space: self.space,
            offset,
            needed: length,
            available: self.len().saturating_sub(offset),
        })
    }

    /// `length` bytes at `offset`, or `None` if they are not all there.
    fn get(&self, offset: u64, length: u64) -> Option<&'a [u8]> {
        let end = offset.checked_add(length)?;
        self.bytes
            .get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
    }

    /// All bytes from `offset` on; none if that is past the end.
    pub(crate) fn from(&self, offset: u64) -> &'a [u8] {
        self.get(offset, self.len().saturating_sub(offset))
            .unwrap_or_default()
    }

    fn array<const N: usize>(
        &self,
        field: &'static str,
        offset: u64,
    ) -> Result<[u8; N], ImageError> {
        let bytes = self.bytes(field, offset, N as u64)?;
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        Ok(array)
    }

    /// Two bytes.
    pub(crate) fn u16(&self, field: &'static str, offset: u64) -> Result<u16, ImageError> {
        self.array(field, offset).map(u16::from_le_bytes)
    }

    /// Four bytes.
    pub(crate) fn u32(&self, field: &'static str, offset: u64) -> Result<u32, ImageError> {
        self.array(field, offset).map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub(crate) fn u64(&self, field: &'static str, offset: u64) -> Result<u64, ImageError> {
        self.array(field, offset).map(u64::from_le_bytes)
    }
}

/// What comes before the first NUL, or everything.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
