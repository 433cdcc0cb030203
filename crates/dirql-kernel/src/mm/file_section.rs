//! Sections of files on drive C:.
//!
//! A section gets pages of its own that hold what the file does at that moment; if they may be
//! written, they are put back into the file when the section goes. Not modelled: that reads of
//! the file see what was written to a view before, images (SEC_IMAGE), and files of other
//! devices, which end the run.
//!
//! Source: WDK reference, wdm.ZwCreateSection; "File-Backed and Page-File-Backed Sections".

use dirql_abi::NtStatus;
use dirql_rules::ids;

use super::layout::PAGE;
use super::view::Backing;
use crate::platform::Access;
use crate::{Ddi, Kernel};

/// `STATUS_MAPPED_FILE_SIZE_ZERO`.
const MAPPED_FILE_SIZE_ZERO: NtStatus = NtStatus::from_bits(0xC000_011E);

/// PAGE_READWRITE and PAGE_EXECUTE_READWRITE.
const WRITES: u32 = 0x04 | 0x40;

impl Kernel {
    /// Pages with what a file holds. `size` 0 stands for all of it.
    ///
    /// # Errors
    /// The end of the run for a file of another device.
    pub(super) fn back_with_file(
        &self,
        handle: u64,
        size: u64,
        protect: u32,
        access: Access,
    ) -> Ddi<Result<Backing, NtStatus>> {
        let file = match self.file_of_handle(handle) {
            Ok(file) => file,
            Err(status) => return Ok(Err(status)),
        };
        let content = match self.content_of_file(file) {
            Some(Ok(content)) => content,
            Some(Err(status)) => return Ok(Err(status)),
            None => {
                let message =
                    "a section of a file of a driver's device was made, which is not implemented";
                return Err(self.find_fatal(ids::UNIMPLEMENTED_IMPORT, message.into(), None));
            }
        };
        let is_written = protect & WRITES != 0;
        let length = content.len() as u64;
        let size = if size == 0 { length } else { size };
        if size == 0 {
            return Ok(Err(MAPPED_FILE_SIZE_ZERO));
        }
        if size > length && !is_written {
            return Ok(Err(NtStatus::SECTION_TOO_BIG));
        }
        let Some((address, bytes)) = self.take_process_pages(size, Access::ReadWrite) else {
            return Ok(Err(NtStatus::SECTION_TOO_BIG));
        };
        self.write_bytes(address, &content[..length.min(size) as usize])?;
        self.platform().protect(address..address + bytes, access);
        self.obf_reference_object(file)?;
        Ok(Ok(Backing::File {
            address,
            bytes,
            size,
            file,
            is_written,
        }))
    }

    /// Gives the pages back, after their file got what they hold.
    pub(super) fn leave_file(
        &self,
        (address, size): (u64, u64),
        file: u64,
        is_written: bool,
    ) -> Ddi<()> {
        if is_written {
            let pages = address..address + size.next_multiple_of(PAGE);
            self.platform().protect(pages, Access::ReadWrite);
            let data = self.read_bytes(address, size as usize)?;
            self.change_content_of_file(file, &data);
        }
        self.give_process_pages_back(address);
        self.obf_dereference_object(file)?;
        Ok(())
    }
}
