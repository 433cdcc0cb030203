//! The container of a PDB: numbered streams made of pages.
//!
//! Source: LLVM, "The MSF File Format" and "The PDB File Format".

use crate::error::{Allowed, ImageError, Part};
use crate::reader::Reader;

const MAGIC: &[u8; 32] = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0";
/// A stream of this size is not there.
const ABSENT: u32 = u32::MAX;

/// An error about a field of a PDB.
pub(super) fn field(field: &'static str, found: impl Into<u64>, allowed: Allowed) -> ImageError {
    ImageError::Field {
        part: Part::Pdb,
        field,
        found: found.into(),
        allowed,
    }
}

/// The streams of a PDB.
#[derive(Debug)]
pub(super) struct Msf<'a> {
    file: Reader<'a>,
    page_size: u32,
    directory: Vec<u8>,
    /// Bytes that may still be read. Streams may share pages, so without a limit a small file
    /// could ask for any amount; real ones do not share.
    left: u64,
}

impl<'a> Msf<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let file = Reader::file(bytes);
        if file.bytes("PDB signature", 0, 32)? != MAGIC {
            let found = file.u64("PDB signature", 0)?;
            let allowed = Allowed::Rule("must begin \"Microsoft C/C++ MSF 7.00\": no PDB");
            return Err(field("PDB signature", found, allowed));
        }
        let page_size = file.u32("page size", 32)?;
        if !page_size.is_power_of_two() || !(0x200..=0x1_0000).contains(&page_size) {
            return Err(field(
                "page size",
                page_size,
                Allowed::PowerOfTwo(0x200, 0x1_0000),
            ));
        }
        let mut this = Self {
            file,
            page_size,
            directory: Vec::new(),
            left: file.len() * 4,
        };
        // The directory is found through a list of pages that hold the list of its pages.
        let size = file.u32("stream directory size", 44)?;
        let pages = size.div_ceil(page_size);
        let lists = this.read(file, 52, u64::from(pages) * 4)?;
        this.directory = this.read(Reader::stream(&lists), 0, size.into())?;
        Ok(this)
    }

    /// The bytes of a stream, or `None` if it is not there.
    pub(super) fn stream(&mut self, number: u32) -> Result<Option<Vec<u8>>, ImageError> {
        let directory = std::mem::take(&mut self.directory);
        let stream = self.find(Reader::stream(&directory), number);
        self.directory = directory;
        stream
    }

    fn find(&mut self, directory: Reader<'_>, number: u32) -> Result<Option<Vec<u8>>, ImageError> {
        let count = directory.u32("number of streams", 0)?;
        directory.bytes("stream sizes", 4, u64::from(count) * 4)?;
        if number >= count {
            return Ok(None);
        }
        let mut list = 4 + u64::from(count) * 4;
        for before in 0..u64::from(number) {
            let size = directory.u32("stream size", 4 + before * 4)?;
            if size != ABSENT {
                list += u64::from(size.div_ceil(self.page_size)) * 4;
            }
        }
        match directory.u32("stream size", 4 + u64::from(number) * 4)? {
            ABSENT => Ok(None),
            size => self.read(directory, list, size.into()).map(Some),
        }
    }

    /// Puts `size` bytes together from the pages that are listed at `offset` of `list`.
    fn read(&mut self, list: Reader<'_>, offset: u64, size: u64) -> Result<Vec<u8>, ImageError> {
        let most = self.left.min(self.file.len());
        if size > most {
            return Err(field("stream size", size, Allowed::AtMost(most)));
        }
        self.left -= size;
        let page_size = u64::from(self.page_size);
        list.bytes("page list", offset, size.div_ceil(page_size) * 4)?;
        let mut bytes = Vec::with_capacity(size as usize);
        for index in 0..size.div_ceil(page_size) {
            let page = u64::from(list.u32("page number", offset + index * 4)?);
            let length = page_size.min(size - index * page_size);
            bytes.extend_from_slice(self.file.bytes("page", page * page_size, length)?);
        }
        Ok(bytes)
    }
}
