//! What can be asked about an object: its name.

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `NTSTATUS ObQueryNameString(PVOID Object, POBJECT_NAME_INFORMATION, ULONG Length, PULONG ReturnLength)`
    ///
    /// Writes the full name of an object, as a UNICODE_STRING with its buffer behind it.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; an object without a name has an empty string;
    ///   INFO_LENGTH_MISMATCH if there is no room, with the length needed.
    /// - Source: WDK reference, ntifs.ObQueryNameString.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn ob_query_name_string(
        &self,
        object: u64,
        information: u64,
        room: u32,
        needed: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        const HEADER: u64 = size_of::<UnicodeString>() as u64;
        let name = self.ob_name(object).unwrap_or_default();
        let units: Vec<u8> = name
            .encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let text = if name.is_empty() { &[][..] } else { &units[..] };
        let length = HEADER as u32 + text.len() as u32;
        self.write(needed, length)?;
        if length > room {
            return Ok(NtStatus::INFO_LENGTH_MISMATCH);
        }
        let header = UnicodeString {
            length: text.len().saturating_sub(2) as u16,
            maximum_length: text.len() as u16,
            padding4: 0,
            buffer: if text.is_empty() {
                0
            } else {
                information.wrapping_add(HEADER)
            },
        };
        self.write(DriverPtr::new(information), header)?;
        self.write_bytes(information.wrapping_add(HEADER), text)?;
        Ok(NtStatus::SUCCESS)
    }
}
