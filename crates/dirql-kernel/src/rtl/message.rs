//! Messages in an image's resources.
//!
//! Source: Microsoft, "PE Format", "The .rsrc Section"; winnt.h, MESSAGE_RESOURCE_DATA.

use dirql_abi::NtStatus;

use crate::{Ddi, DriverPtr, Kernel};

/// IMAGE_DIRECTORY_ENTRY_RESOURCE.
const RESOURCE: u16 = 2;

/// Bytes of a directory's head; its entries follow, those with names first.
const HEAD: u64 = 16;

/// An entry that leads to a directory has this bit set.
const IS_DIRECTORY: u32 = 1 << 31;

impl Kernel {
    /// `NTSTATUS RtlFindMessage(PVOID DllHandle, ULONG MessageTableId, ULONG LanguageId, ULONG
    /// MessageId, PMESSAGE_RESOURCE_ENTRY *)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS and the entry; RESOURCE_DATA_NOT_FOUND without resources,
    ///   RESOURCE_TYPE_NOT_FOUND, RESOURCE_NAME_NOT_FOUND, MESSAGE_NOT_FOUND. A language that is not
    ///   there is answered with the first one that is.
    /// - Source: exported, not documented; winnt.h for the tables.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn rtl_find_message(
        &self,
        base: u64,
        table: u32,
        language: u32,
        message: u32,
        entry: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let Some((root, _)) = self.image_directory(base, RESOURCE)? else {
            return Ok(NtStatus::RESOURCE_DATA_NOT_FOUND);
        };
        let Some(types) = self.resource(root, root, Some(table))? else {
            return Ok(NtStatus::RESOURCE_TYPE_NOT_FOUND);
        };
        let Some(names) = self.resource(root, types, None)? else {
            return Ok(NtStatus::RESOURCE_NAME_NOT_FOUND);
        };
        let data = match self.resource(root, names, Some(language))? {
            Some(data) => Some(data),
            None => self.resource(root, names, None)?,
        };
        let Some(data) = data else {
            return Ok(NtStatus::RESOURCE_DATA_NOT_FOUND);
        };
        let rva: u32 = self.read(DriverPtr::new(data))?;
        let found = self.message_in(base.wrapping_add(rva.into()), message)?;
        match found {
            Some(address) => {
                self.write(entry, address)?;
                Ok(NtStatus::SUCCESS)
            }
            None => Ok(NtStatus::MESSAGE_NOT_FOUND),
        }
    }

    /// Where an entry of a directory leads; with no number, the first one.
    fn resource(&self, root: u64, directory: u64, number: Option<u32>) -> Ddi<Option<u64>> {
        let [named, numbered] =
            self.read(DriverPtr::<[u16; 2]>::new(directory.wrapping_add(12)))?;
        let count = u32::from(named) + u32::from(numbered);
        let first = DriverPtr::<[u32; 2]>::new(directory.wrapping_add(HEAD));
        for index in 0..count {
            let [name, offset] = self.read(first.element(index as usize))?;
            if number.is_none_or(|number| number == name) {
                return Ok(Some(root.wrapping_add(u64::from(offset & !IS_DIRECTORY))));
            }
        }
        Ok(None)
    }

    /// The entry of a message in a table: blocks of ranges, each with entries of their own length.
    fn message_in(&self, table: u64, message: u32) -> Ddi<Option<u64>> {
        let blocks: u32 = self.read(DriverPtr::new(table))?;
        let first = DriverPtr::<[u32; 3]>::new(table.wrapping_add(4));
        for index in 0..blocks {
            let [low, high, offset] = self.read(first.element(index as usize))?;
            if !(low..=high).contains(&message) {
                continue;
            }
            let mut entry = table.wrapping_add(offset.into());
            for _ in low..message {
                let length: u16 = self.read(DriverPtr::new(entry))?;
                entry = entry.wrapping_add(length.into());
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }
}
