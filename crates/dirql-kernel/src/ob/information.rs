//! What is told about the object behind a handle.
//!
//! Source: WDK reference, ntifs.ZwQueryObject, ntifs.PUBLIC_OBJECT_BASIC_INFORMATION, ntifs.PUBLIC_OBJECT_TYPE_INFORMATION.

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

/// Classes of ZwQueryObject.
const BASIC: u32 = 0;
const NAME: u32 = 1;
const TYPE: u32 = 2;

/// Bytes of the answers: of the second what is reserved behind the name is zero.
const BASIC_BYTES: usize = 56;
const TYPE_BYTES: usize = 104;

impl Kernel {
    /// `NTSTATUS ZwQueryObject(HANDLE, OBJECT_INFORMATION_CLASS, PVOID, ULONG Length, PULONG
    /// ReturnLength)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE; INVALID_INFO_CLASS for another class than the basic information, the
    ///   name and the type; INFO_LENGTH_MISMATCH, with the length that is needed.
    /// - Source: WDK reference, ntifs.ZwQueryObject.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn zw_query_object(
        &self,
        handle: u64,
        class: u32,
        (to, room): (u64, u32),
        needed: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let Some(body) = self.ob_of_handle(handle) else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        let answer = match class {
            BASIC => self.object_information(body, handle),
            NAME => self.text_information(&self.ob_name(body).unwrap_or_default(), 0, to),
            TYPE => {
                let name = self.ob_kind(body).map_or("", |kind| kind.type_name());
                self.text_information(name, TYPE_BYTES - size_of::<UnicodeString>(), to)
            }
            _ => return Ok(NtStatus::INVALID_INFO_CLASS),
        };
        if !needed.is_null() {
            self.write(needed, answer.len() as u32)?;
        }
        if answer.len() > room as usize {
            return Ok(NtStatus::INFO_LENGTH_MISMATCH);
        }
        self.write_bytes(to, &answer)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Attributes, access, counts of handles and pointers; what follows is reserved.
    fn object_information(&self, body: u64, handle: u64) -> Vec<u8> {
        let (handles, pointers) = self.counts_of(body);
        let members = [0, self.access_of_handle(handle), handles, pointers];
        let mut bytes: Vec<u8> = members.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.resize(BASIC_BYTES, 0);
        bytes
    }

    /// A counted string whose text is behind `reserved` bytes, at `to`. Without a text it has no
    /// buffer.
    fn text_information(&self, text: &str, reserved: usize, to: u64) -> Vec<u8> {
        let header = size_of::<UnicodeString>() + reserved;
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (length, buffer) = (units.len() as u16, to.wrapping_add(header as u64));
        let (maximum, buffer) = match length {
            0 => (0, 0),
            _ => (length + 2, buffer),
        };
        let mut bytes = Vec::new();
        bytes.extend(length.to_le_bytes());
        bytes.extend(maximum.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(buffer.to_le_bytes());
        bytes.resize(header, 0);
        bytes.extend(units);
        bytes.resize(header + usize::from(maximum), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn an_object_tells_its_counts_its_name_and_its_type() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (at, needed) = (
            DriverPtr::<u64>::new(bench.variable(8)),
            DriverPtr::new(bench.variable(4)),
        );
        let attributes = bench.object_attributes(r"\BaseNamedObjects\Mine");
        kernel.zw_create_event(at, 3, attributes, 0, 0).unwrap();
        let handle = kernel.read(at).unwrap();
        let to = bench.variable(256);
        let query = |class, room| kernel.zw_query_object(handle, class, (to, room), needed);
        assert_eq!(query(BASIC, 56), Ok(NtStatus::SUCCESS));
        let basic: [u32; 4] = kernel.read(DriverPtr::new(to)).unwrap();
        assert_eq!(basic, [0, 3, 1, 1]);
        for (class, text, length) in [
            (NAME, r"\BaseNamedObjects\Mine", 16 + 46),
            (TYPE, "Event", 104 + 12),
        ] {
            assert_eq!(query(class, 256), Ok(NtStatus::SUCCESS));
            assert_eq!(kernel.read(needed), Ok(length));
            assert_eq!(kernel.text_of(DriverPtr::new(to)).unwrap(), text);
            assert_eq!(query(class, length - 1), Ok(NtStatus::INFO_LENGTH_MISMATCH));
        }
        assert_eq!(query(9, 256), Ok(NtStatus::INVALID_INFO_CLASS));
        let none = kernel.zw_query_object(4, BASIC, (to, 56), needed);
        assert_eq!(none, Ok(NtStatus::INVALID_HANDLE));
    }
}
