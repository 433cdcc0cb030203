//! Entries of access control lists, and the text of a SID.
//!
//! Source: WDK reference, ntifs.RtlGetAce, ntifs.RtlAddAce, ntifs.RtlDeleteAce,
//! ntifs.RtlSubAuthorityCountSid, ntifs.RtlConvertSidToUnicodeString; \[MS-DTYP\], "SID String
//! Format Syntax".

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::{NtStatus, is_true};

use super::format::Width;
use super::security::Acl;
use super::string::CountedString;
use crate::{Ddi, DriverPtr, Kernel};

/// `MAXULONG`: behind the last entry.
const AT_THE_END: u32 = u32::MAX;

/// Bytes that every entry begins with: its type, its flags and its size.
const ACE_HEAD: u32 = 4;

impl Kernel {
    /// Where the entry of a list begins, from the list's own address on, and its bytes.
    fn ace(&self, acl: DriverPtr<Acl>, index: u32) -> Ddi<Option<(u32, u16)>> {
        let head = self.read(acl)?;
        if index >= head.count.into() || self.end_of_acl(acl, &head)?.is_none() {
            return Ok(None);
        }
        let mut at = size_of::<Acl>() as u32;
        for _ in 0..index {
            at += u32::from(self.ace_bytes(acl, at)?);
        }
        Ok(Some((at, self.ace_bytes(acl, at)?)))
    }

    fn ace_bytes(&self, acl: DriverPtr<Acl>, at: u32) -> Ddi<u16> {
        let entry = acl.address().wrapping_add(at.into());
        let [_, bytes] = self.read(DriverPtr::<[u16; 2]>::new(entry))?;
        Ok(bytes)
    }

    /// `NTSTATUS RtlGetAce(PACL, ULONG AceIndex, PVOID *Ace)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS, and where the entry is; INVALID_PARAMETER if there is none.
    /// - Source: WDK reference, ntifs.RtlGetAce.
    ///
    /// # Errors
    /// The list or the result is not memory.
    pub fn rtl_get_ace(
        &self,
        acl: DriverPtr<Acl>,
        index: u32,
        result: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let Some((at, _)) = self.ace(acl, index)? else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        self.write(result, acl.address().wrapping_add(at.into()))?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlDeleteAce(PACL, ULONG AceIndex)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER if there is no such entry.
    /// - Source: WDK reference, ntifs.RtlDeleteAce.
    ///
    /// # Errors
    /// The list is not memory.
    pub fn rtl_delete_ace(&self, acl: DriverPtr<Acl>, index: u32) -> Ddi<NtStatus> {
        let Some((at, bytes)) = self.ace(acl, index)? else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let mut head = self.read(acl)?;
        let Some(end) = self.end_of_acl(acl, &head)? else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let (entry, behind) = (u64::from(at), u64::from(at) + u64::from(bytes));
        let rest = u64::from(end).saturating_sub(behind);
        let base = acl.address();
        self.memmove(base.wrapping_add(entry), base.wrapping_add(behind), rest)?;
        head.count -= 1;
        self.write(acl, head)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlAddAce(PACL, ULONG AceRevision, ULONG StartingAceIndex, PVOID AceList, ULONG AceListLength)`
    ///
    /// Puts entries that are complete in front of another one, or behind the last.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for a list, a revision or entries that are none;
    ///   BUFFER_TOO_SMALL if they do not fit.
    /// - Source: WDK reference, ntifs.RtlAddAce.
    ///
    /// # Errors
    /// A list is not memory.
    pub fn rtl_add_ace(
        &self,
        acl: DriverPtr<Acl>,
        revision: u32,
        index: u32,
        list: u64,
        bytes: u32,
    ) -> Ddi<NtStatus> {
        let mut head = self.read(acl)?;
        let end = self.end_of_acl(acl, &head)?;
        let (Some(end), 2..=4) = (end, revision) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let Some(count) = self.count_aces(list, bytes)? else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        if u32::from(end).saturating_add(bytes) > head.size.into() {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        let at = match self.ace(acl, index)? {
            Some((at, _)) if index != AT_THE_END => at,
            _ => end.into(),
        };
        let place = acl.address().wrapping_add(at.into());
        let behind = u64::from(u32::from(end) - at);
        self.memmove(place.wrapping_add(bytes.into()), place, behind)?;
        self.memmove(place, list, bytes.into())?;
        head.count = head.count.wrapping_add(count);
        head.revision = head.revision.max(revision as u8);
        self.write(acl, head)?;
        Ok(NtStatus::SUCCESS)
    }

    /// How many entries fill `bytes` bytes; `None` if they do not end there.
    fn count_aces(&self, list: u64, bytes: u32) -> Ddi<Option<u16>> {
        let (mut at, mut count) = (0, 0u16);
        while at < bytes {
            if bytes - at < ACE_HEAD {
                return Ok(None);
            }
            let size = u32::from(self.ace_bytes(DriverPtr::new(list), at)?);
            if size < ACE_HEAD || size > bytes - at || count == u16::MAX {
                return Ok(None);
            }
            at += size;
            count += 1;
        }
        Ok(Some(count))
    }

    /// `PUCHAR RtlSubAuthorityCountSid(PSID)`
    ///
    /// - IRQL: any level.
    /// - Returns: where the number of the SID's parts is.
    /// - Source: WDK reference, ntifs.RtlSubAuthorityCountSid.
    ///
    /// # Errors
    /// None.
    pub fn rtl_sub_authority_count_sid(&self, sid: u64) -> Ddi<u64> {
        Ok(sid.wrapping_add(1))
    }

    /// `NTSTATUS RtlConvertSidToUnicodeString(PUNICODE_STRING, PSID, BOOLEAN Allocate)`
    ///
    /// Writes a SID as `S-1-5-18`, in a new buffer if asked.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_SID; BUFFER_OVERFLOW; NO_MEMORY.
    /// - Source: WDK reference, ntifs.RtlConvertSidToUnicodeString.
    ///
    /// # Errors
    /// An argument is not memory.
    pub fn rtl_convert_sid_to_unicode_string(
        &self,
        to: DriverPtr<CountedString>,
        sid: u64,
        allocate: u8,
    ) -> Ddi<NtStatus> {
        if self.rtl_valid_sid(sid)? == 0 {
            return Ok(NtStatus::INVALID_SID);
        }
        let bytes = self.read_bytes(sid, self.rtl_length_sid(sid)? as usize)?;
        let units: Vec<u16> = sid_text(&bytes).encode_utf16().collect();
        self.give_text(to, &units, Width::Wide, is_true(allocate))
    }
}

/// The text of a SID's bytes. An authority above 32 bits is written in hexadecimal.
fn sid_text(bytes: &[u8]) -> String {
    let authority = bytes[2..8]
        .iter()
        .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let mut text = if authority > u64::from(u32::MAX) {
        format!("S-{}-{authority:#014x}", bytes[0] & 0xF)
    } else {
        format!("S-{}-{authority}", bytes[0] & 0xF)
    };
    for part in bytes[8..].chunks_exact(4) {
        let part = u32::from_le_bytes([part[0], part[1], part[2], part[3]]);
        text.push_str(&format!("-{part}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::security::ALLOTTED_SPACE_EXCEEDED;
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    /// The local system.
    const SYSTEM: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];

    struct Rig {
        bench: Bench,
        acl: DriverPtr<Acl>,
        sid: u64,
        result: DriverPtr<u64>,
    }

    fn rig(room: u32) -> Rig {
        let bench = Bench::new(Config::default());
        let acl = DriverPtr::new(bench.variable(256));
        let sid = bench.variable(12);
        let result = DriverPtr::new(bench.variable(8));
        bench.kernel.write_bytes(sid, &SYSTEM).unwrap();
        bench.kernel.rtl_create_acl(acl, room, 2).unwrap();
        Rig {
            bench,
            acl,
            sid,
            result,
        }
    }

    impl Rig {
        fn add(&self, access: u32) -> NtStatus {
            let kernel = &self.bench.kernel;
            kernel
                .rtl_add_access_allowed_ace_ex(self.acl, 2, 3, access, self.sid)
                .unwrap()
        }

        fn access(&self, index: u32) -> Option<u32> {
            let kernel = &self.bench.kernel;
            let status = kernel.rtl_get_ace(self.acl, index, self.result).unwrap();
            let entry = kernel.read(self.result).unwrap();
            status
                .is_success()
                .then(|| kernel.read(DriverPtr::new(entry + 4)).unwrap())
        }
    }

    #[test]
    fn entries_are_found_by_number_and_go_by_it() {
        let rig = rig(256);
        for access in [1, 2, 3] {
            assert_eq!(rig.add(access), NtStatus::SUCCESS);
        }
        assert_eq!(
            [0, 1, 2, 3].map(|at| rig.access(at)),
            [Some(1), Some(2), Some(3), None]
        );
        let kernel = &rig.bench.kernel;
        assert_eq!(
            kernel.rtl_delete_ace(rig.acl, 3),
            Ok(NtStatus::INVALID_PARAMETER)
        );
        assert_eq!(kernel.rtl_delete_ace(rig.acl, 1), Ok(NtStatus::SUCCESS));
        assert_eq!([0, 1, 2].map(|at| rig.access(at)), [Some(1), Some(3), None]);
    }

    #[test]
    fn whole_entries_go_in_front_of_others_or_behind_them() {
        let (from, to) = (rig(256), rig(8 + 3 * 20));
        from.add(7);
        let list = from
            .bench
            .kernel
            .read_bytes(from.acl.address() + 8, 20)
            .unwrap();
        let kernel = &to.bench.kernel;
        let entry = to.bench.variable(24);
        kernel.write_bytes(entry, &list).unwrap();
        to.add(1);
        let add = |index, bytes| kernel.rtl_add_ace(to.acl, 2, index, entry, bytes);
        assert_eq!(add(0, 19), Ok(NtStatus::INVALID_PARAMETER));
        assert_eq!(add(0, 20), Ok(NtStatus::SUCCESS));
        assert_eq!(add(AT_THE_END, 20), Ok(NtStatus::SUCCESS));
        assert_eq!(
            [0, 1, 2].map(|at| to.access(at)),
            [Some(7), Some(1), Some(7)]
        );
        assert_eq!(add(0, 20), Ok(NtStatus::BUFFER_TOO_SMALL));
        assert_eq!(to.add(1), ALLOTTED_SPACE_EXCEEDED);
    }

    #[test]
    fn flags_that_are_none_of_inheritance_are_refused() {
        let rig = rig(256);
        let kernel = &rig.bench.kernel;
        let add = |flags| kernel.rtl_add_access_allowed_ace_ex(rig.acl, 2, flags, 1, rig.sid);
        assert_eq!(add(0x1F), Ok(NtStatus::SUCCESS));
        assert_eq!(add(0x20), Ok(NtStatus::INVALID_PARAMETER));
    }

    #[test]
    fn a_sid_is_written_with_its_authority_and_its_parts() {
        assert_eq!(sid_text(&SYSTEM), "S-1-5-18");
        let long = [1, 1, 1, 2, 3, 4, 5, 6, 255, 255, 255, 255];
        assert_eq!(sid_text(&long), "S-1-0x010203040506-4294967295");
        let rig = rig(8);
        let kernel = &rig.bench.kernel;
        let to = DriverPtr::<CountedString>::new(rig.bench.variable(16));
        let status = kernel.rtl_convert_sid_to_unicode_string(to, rig.sid, 1);
        assert_eq!(status, Ok(NtStatus::SUCCESS));
        let units = kernel.counted_units(to, Width::Wide).unwrap();
        assert_eq!(String::from_utf16(&units).unwrap(), "S-1-5-18");
        kernel.write_bytes(rig.sid, &[0]).unwrap();
        let status = kernel.rtl_convert_sid_to_unicode_string(to, rig.sid, 1);
        assert_eq!(status, Ok(NtStatus::INVALID_SID));
        let count = kernel.rtl_sub_authority_count_sid(rig.sid).unwrap();
        assert_eq!(kernel.read(DriverPtr::<u8>::new(count)), Ok(1));
    }
}
