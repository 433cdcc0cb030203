//! A submission queue entry, and where its data is.
//!
//! Source: NVM Express Base Specification 1.4, "Submission Queue Entry – Command Format",
//! "Physical Region Page Entry and List".

use alloc::vec;
use alloc::vec::Vec;

use super::spec::{MAX_TRANSFER, PAGE, Status};

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) queue: usize,
    words: [u32; 16],
}

impl Command {
    /// From its 64 bytes in memory.
    pub(super) fn new(queue: usize, bytes: &[u8; 64]) -> Self {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = bytes
                .iter()
                .rev()
                .fold(0, |word, &byte| word << 8 | u32::from(byte));
        }
        Self { queue, words }
    }

    pub(super) const fn opcode(&self) -> u8 {
        self.words[0] as u8
    }

    pub(super) const fn id(&self) -> u16 {
        (self.words[0] >> 16) as u16
    }

    /// No fused operation, and PRPs rather than SGLs.
    pub(super) const fn is_plain(&self) -> bool {
        self.words[0] & 0xC300 == 0
    }

    pub(super) const fn namespace(&self) -> u32 {
        self.words[1]
    }

    pub(super) const fn prp1(&self) -> u64 {
        self.words[6] as u64 | (self.words[7] as u64) << 32
    }

    const fn prp2(&self) -> u64 {
        self.words[8] as u64 | (self.words[9] as u64) << 32
    }

    /// Command dword 10 to 15.
    pub(super) const fn dword(&self, number: usize) -> u32 {
        self.words[number]
    }

    /// Where `length` bytes of data are, as far as the command itself says.
    pub(super) fn pages(&self, length: usize) -> Result<Pages, Status> {
        if length as u64 > PAGE << MAX_TRANSFER {
            return Err(Status::INVALID_FIELD);
        }
        let (first, second) = (self.prp1(), self.prp2());
        if first & 3 != 0 {
            return Err(Status::PRP_OFFSET);
        }
        let room = (PAGE - first % PAGE) as usize;
        let part = room.min(length);
        let mut pages = Pages {
            segments: vec![(first, part)],
            rest: length - part,
            list: None,
        };
        if pages.rest > PAGE as usize {
            if second & 7 != 0 {
                return Err(Status::PRP_OFFSET);
            }
            pages.list = Some(second);
        } else if pages.rest != 0 {
            pages.add(second)?;
        }
        Ok(pages)
    }
}

/// Where data is in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pages {
    /// Address and bytes, in order.
    pub(super) segments: Vec<(u64, usize)>,
    /// Bytes whose place is not known yet.
    rest: usize,
    /// The list that says where they are.
    list: Option<u64>,
}

impl Pages {
    /// Address and bytes of what is to be read of a list before everything is known.
    pub(super) fn next_list(&self) -> Option<(u64, u32)> {
        let list = self.list?;
        let entries = (self.rest as u64).div_ceil(PAGE);
        // The last entry of a page points to the next page of the list if there is one.
        let fit = (PAGE - list % PAGE) / 8;
        // At most a page.
        Some((list, (8 * entries.min(fit)) as u32))
    }

    /// Takes what was read of the list.
    pub(super) fn take_list(&mut self, bytes: &[u8]) -> Result<(), Status> {
        self.list = None;
        let mut entries = bytes.chunks_exact(8).map(|bytes| {
            let bytes = bytes.iter().rev();
            bytes.fold(0, |entry, &byte| entry << 8 | u64::from(byte))
        });
        let count = entries.len();
        for (index, entry) in entries.by_ref().enumerate() {
            let is_last = index + 1 == count;
            if is_last && self.rest > PAGE as usize {
                if !entry.is_multiple_of(PAGE) {
                    return Err(Status::PRP_OFFSET);
                }
                self.list = Some(entry);
            } else {
                self.add(entry)?;
            }
        }
        Ok(())
    }

    /// All but the first begin at a page.
    fn add(&mut self, address: u64) -> Result<(), Status> {
        if !address.is_multiple_of(PAGE) {
            return Err(Status::PRP_OFFSET);
        }
        let part = self.rest.min(PAGE as usize);
        self.segments.push((address, part));
        self.rest -= part;
        Ok(())
    }
}
