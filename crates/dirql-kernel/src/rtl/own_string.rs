//! Strings that the kernel hands to drivers.

use alloc::vec::Vec;

use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// A UNICODE_STRING with this text and a terminator behind it, in memory that is never
    /// freed; returns its address. Text beyond 32,766 units is cut off.
    pub(crate) fn new_unicode_string(&self, text: &str) -> Ddi<u64> {
        let units: Vec<u16> = text.encode_utf16().take(0x7FFE).collect();
        let bytes: Vec<u8> = units
            .iter()
            .copied()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let string = self.allocate_system((size_of::<UnicodeString>() + bytes.len()) as u64);
        let buffer = string + size_of::<UnicodeString>() as u64;
        let header = UnicodeString {
            length: 2 * units.len() as u16,
            maximum_length: bytes.len() as u16,
            padding4: 0,
            buffer,
        };
        self.write(DriverPtr::new(string), header)?;
        self.write_bytes(buffer, &bytes)?;
        Ok(string)
    }
}
