//! The load configuration: security cookie and Control Flow Guard.
//!
//! Source: PE Format, "The Load Configuration Structure (Image Only)", and the layout of
//! `IMAGE_LOAD_CONFIG_DIRECTORY64` in `winnt.h`. The structure grew with Windows; its first field
//! says how much of it an image has, and the rest counts as zero.

use crate::error::{Allowed, ImageError, Part};
use crate::headers::{Directory, Headers};
use crate::reader::Reader;

/// What compilers put into the security cookie for the loader, or the start-up code, to replace.
pub const DEFAULT_SECURITY_COOKIE: u64 = 0x0000_2b99_2ddf_a232;

/// Where the load configuration says things are. All fields are RVAs of eight bytes in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadConfig {
    /// The security cookie.
    pub security_cookie: Option<u32>,
    /// Pointer to the routine that checks the target of an indirect call.
    pub guard_check: Option<u32>,
    /// Pointer to the routine that checks the target in `rax` and jumps to it.
    pub guard_dispatch: Option<u32>,
    /// The same three for extended flow guard: check, dispatch, dispatch through a table.
    pub extended_guard: [Option<u32>; 3],
    /// The guard function table.
    pub guard_table: Option<GuardTable>,
    /// `GuardFlags`.
    pub guard_flags: u32,
}

/// The table of functions that may be called through a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardTable {
    /// Where it starts.
    pub rva: u32,
    /// How many entries it has.
    pub count: u32,
    /// Bytes per entry, 4..=19: an RVA, then metadata.
    pub stride: u32,
}

/// Reads the load configuration, if there is one.
pub(crate) fn parse(
    image: Reader<'_>,
    headers: &Headers,
) -> Result<Option<LoadConfig>, ImageError> {
    let directory = headers.directory(Directory::LOAD_CONFIG);
    if !directory.is_present() {
        return Ok(None);
    }
    // The directory's size is not to be relied upon (old linkers wrote 64 whatever it was).
    let size = image.u32("load configuration Size", directory.rva.into())?;
    image.bytes("load configuration", directory.rva.into(), size.into())?;
    let fields = Fields {
        image,
        headers,
        start: directory.rva.into(),
        size: size.into(),
    };
    Ok(Some(LoadConfig {
        security_cookie: fields.pointer("SecurityCookie", 0x58, 8)?,
        guard_check: fields.pointer("GuardCFCheckFunctionPointer", 0x70, 8)?,
        guard_dispatch: fields.pointer("GuardCFDispatchFunctionPointer", 0x78, 8)?,
        extended_guard: [
            fields.pointer("GuardXFGCheckFunctionPointer", 0x118, 8)?,
            fields.pointer("GuardXFGDispatchFunctionPointer", 0x120, 8)?,
            fields.pointer("GuardXFGTableDispatchFunctionPointer", 0x128, 8)?,
        ],
        guard_table: fields.guard_table()?,
        guard_flags: fields.u32("GuardFlags", 0x90)?,
    }))
}

struct Fields<'a> {
    image: Reader<'a>,
    headers: &'a Headers,
    start: u64,
    size: u64,
}

impl Fields<'_> {
    fn u32(&self, field: &'static str, offset: u64) -> Result<u32, ImageError> {
        if offset + 4 > self.size {
            return Ok(0);
        }
        self.image.u32(field, self.start + offset)
    }

    fn u64(&self, field: &'static str, offset: u64) -> Result<u64, ImageError> {
        if offset + 8 > self.size {
            return Ok(0);
        }
        self.image.u64(field, self.start + offset)
    }

    /// The RVA for an address, counted from the preferred base, of `length` bytes in the image.
    fn pointer(
        &self,
        field: &'static str,
        offset: u64,
        length: u64,
    ) -> Result<Option<u32>, ImageError> {
        let address = self.u64(field, offset)?;
        if address == 0 {
            return Ok(None);
        }
        let base = self.headers.image_base;
        // No overflow: the base has room for the largest image above it.
        let highest = base + self.image.len().saturating_sub(length);
        if length > self.image.len() || !(base..=highest).contains(&address) {
            return Err(ImageError::Field {
                part: Part::LoadConfig,
                field,
                found: address,
                allowed: Allowed::Between(base, highest),
            });
        }
        Ok(Some((address - base) as u32))
    }

    fn guard_table(&self) -> Result<Option<GuardTable>, ImageError> {
        let count = self.u64("GuardCFFunctionCount", 0x88)?;
        let stride = 4 + (self.u32("GuardFlags", 0x90)? >> 28);
        let most = self.image.len() / u64::from(stride);
        if count > most {
            return Err(ImageError::Field {
                part: Part::LoadConfig,
                field: "GuardCFFunctionCount",
                found: count,
                allowed: Allowed::AtMost(most),
            });
        }
        let rva = self.pointer("GuardCFFunctionTable", 0x80, count * u64::from(stride))?;
        Ok(rva.map(|rva| GuardTable {
            rva,
            count: count as u32,
            stride,
        }))
    }
}
