//! The image as it is in memory: placed, relocated, bound.

use crate::error::{Allowed, ImageError};
use crate::headers::{Directory, Headers, PAGE};
use crate::image::Image;
use crate::import::ImportRef;
use crate::load_config::DEFAULT_SECURITY_COOKIE;
use crate::reader::Reader;
use crate::relocation::{self, Relocation};
use crate::section::Section;

/// A part of the file and its place in memory.
#[derive(Clone, Copy, Debug)]
struct Piece {
    rva: usize,
    length: usize,
}

/// Headers and sections where they are in memory, for the preferred base.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    bytes: Vec<u8>,
    /// What of `bytes` came from the file; the rest is zero.
    pieces: Vec<Piece>,
}

impl Placed {
    /// Copies headers and sections of a file to their places.
    pub(crate) fn new(
        file: Reader<'_>,
        headers: &Headers,
        sections: &[Section],
    ) -> Result<Self, ImageError> {
        let bytes = vec![0; headers.mapped_size() as usize];
        let mut placed = Self {
            bytes,
            pieces: Vec::new(),
        };
        if headers.is_low_aligned() {
            let length = u64::from(headers.size_of_image).min(file.len());
            placed.copy(file.bytes("image", 0, length)?, 0);
            return Ok(placed);
        }
        placed.copy(file.bytes("headers", 0, headers.size_of_headers.into())?, 0);
        for section in sections {
            let length = section.initialized().into();
            let bytes = file.bytes("section data", section.raw_offset.into(), length)?;
            placed.copy(bytes, section.rva());
        }
        Ok(placed)
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::image(&self.bytes)
    }

    /// The checks of headers and sections have made sure that there is room.
    fn copy(&mut self, from: &[u8], rva: u32) {
        let piece = Piece {
            rva: rva as usize,
            length: from.len(),
        };
        if let Some(to) = self.bytes.get_mut(piece.rva..piece.rva + piece.length) {
            to.copy_from_slice(from);
            self.pieces.push(piece);
        }
    }

    /// A copy that touches no page which is zero in the original.
    fn duplicate(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes.len()];
        for piece in &self.pieces {
            let range = piece.rva..piece.rva + piece.length;
            if let (Some(to), Some(from)) = (bytes.get_mut(range.clone()), self.bytes.get(range)) {
                to.copy_from_slice(from);
            }
        }
        bytes
    }
}

/// An image as it is in memory at one base, ready to be copied there.
#[derive(Clone, Debug)]
pub struct LaidOut<'a> {
    image: &'a Image,
    base: u64,
    bytes: Vec<u8>,
}

impl<'a> LaidOut<'a> {
    pub(crate) fn new(image: &'a Image, base: u64) -> Result<Self, ImageError> {
        let size = u64::from(image.mapped_size());
        let allowed = if base.is_multiple_of(PAGE.into()) {
            Allowed::AtMost(u64::MAX - size)
        } else {
            Allowed::MultipleOf(PAGE.into())
        };
        if !base.is_multiple_of(PAGE.into()) || base.checked_add(size).is_none() {
            return Err(ImageError::Base { base, allowed });
        }
        let mut laid_out = Self {
            image,
            base,
            bytes: image.placed.duplicate(),
        };
        if base != image.preferred_base() {
            laid_out.relocate()?;
        }
        Ok(laid_out)
    }

    /// The address that the image is made for.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// The image this was made from.
    #[must_use]
    pub const fn image(&self) -> &'a Image {
        self.image
    }

    /// What belongs at [`LaidOut::base`]: whole pages.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, handed over.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes the address of every import, delay-loaded ones included, into its slot.
    ///
    /// `resolve` is called once per import in the order of the tables. It has an answer for each:
    /// an import that nobody implements still needs an address that says so when it is called.
    pub fn bind(&mut self, mut resolve: impl FnMut(&ImportRef<'_>) -> u64) {
        for import in self.image.imports() {
            self.write(import.slot, &resolve(&import).to_le_bytes());
        }
    }

    /// Replaces the security cookie if it holds the compiler's default, as the loader does.
    ///
    /// Returns whether it did. An image without a cookie, or with one that was chosen when it
    /// was built, is left alone.
    pub fn set_security_cookie(&mut self, value: u64) -> bool {
        let Some(rva) = self
            .image
            .load_config()
            .and_then(|config| config.security_cookie)
        else {
            return false;
        };
        let default = DEFAULT_SECURITY_COOKIE.to_le_bytes();
        let found = self
            .bytes
            .get(rva as usize..)
            .and_then(|rest| rest.get(..8));
        let replace = found == Some(&default[..]);
        if replace {
            self.write(rva, &value.to_le_bytes());
        }
        replace
    }

    /// Points Control Flow Guard, plain and extended, at the two routines.
    ///
    /// `check` returns when the target in `rcx` may be called; `dispatch` jumps to the target in
    /// `rax`.
    pub fn set_guard_pointers(&mut self, check: u64, dispatch: u64) {
        let Some(config) = self.image.load_config() else {
            return;
        };
        let [extended_check, extended_dispatch, table_dispatch] = config.extended_guard;
        let pointers = [
            (config.guard_check, check),
            (config.guard_dispatch, dispatch),
            (extended_check, check),
            (extended_dispatch, dispatch),
            (table_dispatch, dispatch),
        ];
        for (rva, value) in pointers {
            if let Some(rva) = rva {
                self.write(rva, &value.to_le_bytes());
            }
        }
    }

    fn relocate(&mut self) -> Result<(), ImageError> {
        let (image, base) = (self.image, self.base);
        let preferred = image.preferred_base();
        if image.headers.relocations_stripped() {
            return Err(ImageError::RelocationsStripped { preferred, base });
        }
        let delta = base.wrapping_sub(preferred);
        let directory = image.headers.directory(Directory::RELOCATION);
        relocation::walk(
            image.placed.reader(),
            directory,
            |relocation| match relocation {
                Relocation::Dir64(rva) => {
                    let value = Reader::image(&self.bytes).u64("relocated field", rva.into())?;
                    self.write(rva, &value.wrapping_add(delta).to_le_bytes());
                    Ok(())
                }
                Relocation::HighLow(rva) => {
                    let value = Reader::image(&self.bytes).u32("relocated field", rva.into())?;
                    let value = u64::from(value).wrapping_add(delta);
                    let short = u32::try_from(value)
                        .map_err(|_| ImageError::Relocation32 { rva, value })?;
                    self.write(rva, &short.to_le_bytes());
                    Ok(())
                }
            },
        )
    }

    /// Parsing has made sure that every place that is written is inside the image.
    fn write(&mut self, rva: u32, value: &[u8]) {
        let start = rva as usize;
        if let Some(to) = self.bytes.get_mut(start..start + value.len()) {
            to.copy_from_slice(value);
        }
    }
}
