//! Security identifiers, access control lists and descriptors, as bytes. Nobody checks access
//! here; drivers build these and hand them on.
//!
//! Source: WDK reference, "SECURITY_DESCRIPTOR", wdm.RtlCreateSecurityDescriptor,
//! wdm.RtlSetDaclSecurityDescriptor, ntifs.RtlAddAccessAllowedAce,
//! ntifs.RtlAbsoluteToSelfRelativeSD; \[MS-DTYP\], "SID", "ACL", "SECURITY_DESCRIPTOR".

use dirql_abi::{NtStatus, is_true};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Ddi, DriverPtr, Kernel, at};

/// `SECURITY_DESCRIPTOR`, the absolute form: its parts are pointers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SecurityDescriptor {
    /// 1.
    pub revision: u8,
    /// 0.
    pub sbz1: u8,
    /// `SE_…` bits.
    pub control: u16,
    /// Padding at 4.
    pub padding4: u32,
    /// A SID or NULL.
    pub owner: u64,
    /// A SID or NULL.
    pub group: u64,
    /// An ACL or NULL.
    pub sacl: u64,
    /// An ACL or NULL.
    pub dacl: u64,
}

const _: () = assert!(size_of::<SecurityDescriptor>() == 40);

/// The self-relative form: its parts are offsets, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Relative {
    revision: u8,
    sbz1: u8,
    control: u16,
    owner: u32,
    group: u32,
    sacl: u32,
    dacl: u32,
}

/// Head of an `ACL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Acl {
    /// 2 to 4.
    pub revision: u8,
    /// 0.
    pub sbz1: u8,
    /// Bytes, entries and room for more included.
    pub size: u16,
    /// Entries.
    pub count: u16,
    /// 0.
    pub sbz2: u16,
}

const OWNER_DEFAULTED: u16 = 0x0001;
const GROUP_DEFAULTED: u16 = 0x0002;
const DACL_PRESENT: u16 = 0x0004;
const DACL_DEFAULTED: u16 = 0x0008;
const SACL_PRESENT: u16 = 0x0010;
const SACL_DEFAULTED: u16 = 0x0020;
const SELF_RELATIVE: u16 = 0x8000;

/// `STATUS_BAD_DESCRIPTOR_FORMAT` and `STATUS_ALLOTTED_SPACE_EXCEEDED`.
const BAD_DESCRIPTOR_FORMAT: NtStatus = NtStatus::from_bits(0xC000_00E7);
pub(super) const ALLOTTED_SPACE_EXCEEDED: NtStatus = NtStatus::from_bits(0xC000_0099);

/// `VALID_INHERIT_FLAGS`.
const VALID_INHERIT_FLAGS: u32 = 0x1F;

/// Most parts that a SID has behind its authority.
const MOST_SUB_AUTHORITIES: u8 = 15;

/// Head of a SID: revision, count, authority.
type SidHead = [u8; 8];

/// A part of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The owner's SID.
    Owner,
    /// The primary group's SID.
    Group,
    /// The system ACL.
    Sacl,
    /// The discretionary ACL.
    Dacl,
}

impl Part {
    /// The bits that say that it is there (none for SIDs) and that it is a default.
    const fn bits(self) -> (u16, u16) {
        match self {
            Self::Owner => (0, OWNER_DEFAULTED),
            Self::Group => (0, GROUP_DEFAULTED),
            Self::Sacl => (SACL_PRESENT, SACL_DEFAULTED),
            Self::Dacl => (DACL_PRESENT, DACL_DEFAULTED),
        }
    }
}

impl Kernel {
    /// A descriptor of either form, as an absolute one.
    fn absolute(&self, descriptor: DriverPtr<SecurityDescriptor>) -> Ddi<SecurityDescriptor> {
        let relative = self.read(descriptor.cast::<Relative>())?;
        if relative.control & SELF_RELATIVE == 0 {
            return Ok(self.read(descriptor)?);
        }
        let at = |offset: u32| {
            if offset == 0 {
                0
            } else {
                descriptor.address().wrapping_add(offset.into())
            }
        };
        Ok(SecurityDescriptor {
            revision: relative.revision,
            sbz1: relative.sbz1,
            control: relative.control,
            padding4: 0,
            owner: at(relative.owner),
            group: at(relative.group),
            sacl: at(relative.sacl),
            dacl: at(relative.dacl),
        })
    }

    /// `NTSTATUS RtlCreateSecurityDescriptor(PSECURITY_DESCRIPTOR, ULONG Revision)`
    ///
    /// Makes an empty absolute descriptor.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; UNKNOWN_REVISION for another revision than 1.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlCreateSecurityDescriptor.
    pub fn rtl_create_security_descriptor(
        &self,
        descriptor: DriverPtr<SecurityDescriptor>,
        revision: u32,
    ) -> Ddi<NtStatus> {
        if revision != 1 {
            return Ok(NtStatus::UNKNOWN_REVISION);
        }
        self.write(
            descriptor,
            SecurityDescriptor {
                revision: 1,
                ..SecurityDescriptor::default()
            },
        )?;
        Ok(NtStatus::SUCCESS)
    }

    /// `BOOLEAN RtlValidSecurityDescriptor(PSECURITY_DESCRIPTOR)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: TRUE for revision 1 whose SIDs and ACLs are valid.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlValidSecurityDescriptor.
    pub fn rtl_valid_security_descriptor(
        &self,
        descriptor: DriverPtr<SecurityDescriptor>,
    ) -> Ddi<u8> {
        let value = self.absolute(descriptor)?;
        let mut valid = value.revision == 1;
        for sid in [value.owner, value.group] {
            valid = valid && (sid == 0 || self.rtl_valid_sid(sid)? != 0);
        }
        for (acl, present) in [(value.sacl, SACL_PRESENT), (value.dacl, DACL_PRESENT)] {
            if valid && acl != 0 && value.control & present != 0 {
                let head = self.read(DriverPtr::<Acl>::new(acl))?;
                valid =
                    (2..=4).contains(&head.revision) && usize::from(head.size) >= size_of::<Acl>();
            }
        }
        Ok(u8::from(valid))
    }

    /// `NTSTATUS RtlSetDaclSecurityDescriptor(PSECURITY_DESCRIPTOR, BOOLEAN Present, PACL, BOOLEAN Defaulted)`,
    /// `RtlSetSaclSecurityDescriptor`, and without `Present` `RtlSetOwnerSecurityDescriptor` and
    /// `RtlSetGroupSecurityDescriptor`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; UNKNOWN_REVISION; INVALID_SECURITY_DESCR for a self-relative one.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlSetDaclSecurityDescriptor,
    ///   ntifs.RtlSetOwnerSecurityDescriptor.
    pub fn rtl_set_security_part(
        &self,
        descriptor: DriverPtr<SecurityDescriptor>,
        part: Part,
        present: u8,
        value: u64,
        defaulted: u8,
    ) -> Ddi<NtStatus> {
        let mut all = self.read(descriptor)?;
        if all.revision != 1 {
            return Ok(NtStatus::UNKNOWN_REVISION);
        }
        if all.control & SELF_RELATIVE != 0 {
            return Ok(NtStatus::INVALID_SECURITY_DESCR);
        }
        let (present_bit, default_bit) = part.bits();
        let present = is_true(present);
        let value = if present { value } else { 0 };
        match part {
            Part::Owner => all.owner = value,
            Part::Group => all.group = value,
            Part::Sacl => all.sacl = value,
            Part::Dacl => all.dacl = value,
        }
        all.control &= !(present_bit | default_bit);
        if present {
            all.control |= present_bit | if is_true(defaulted) { default_bit } else { 0 };
        }
        self.write(descriptor, all)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlGetDaclSecurityDescriptor(PSECURITY_DESCRIPTOR, PBOOLEAN Present, PACL*, PBOOLEAN Defaulted)`,
    /// `RtlGetSaclSecurityDescriptor`, and without `Present` `RtlGetOwnerSecurityDescriptor` and
    /// `RtlGetGroupSecurityDescriptor`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; UNKNOWN_REVISION. Without the part only `Present` is written.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlGetDaclSecurityDescriptor,
    ///   ntifs.RtlGetOwnerSecurityDescriptor.
    pub fn rtl_get_security_part(
        &self,
        descriptor: DriverPtr<SecurityDescriptor>,
        part: Part,
        present: DriverPtr<u8>,
        value: DriverPtr<u64>,
        defaulted: DriverPtr<u8>,
    ) -> Ddi<NtStatus> {
        let all = self.absolute(descriptor)?;
        if all.revision != 1 {
            return Ok(NtStatus::UNKNOWN_REVISION);
        }
        let (present_bit, default_bit) = part.bits();
        let address = match part {
            Part::Owner => all.owner,
            Part::Group => all.group,
            Part::Sacl => all.sacl,
            Part::Dacl => all.dacl,
        };
        if present_bit != 0 {
            let there = all.control & present_bit != 0;
            self.write(present, u8::from(there))?;
            if !there {
                return Ok(NtStatus::SUCCESS);
            }
        }
        self.write(value, address)?;
        self.write(defaulted, u8::from(all.control & default_bit != 0))?;
        Ok(NtStatus::SUCCESS)
    }

    /// The bytes of the parts of a descriptor, in the order in which they follow its head in
    /// the self-relative form.
    fn part_lengths(&self, all: &SecurityDescriptor) -> Ddi<[(u64, u64); 4]> {
        let sid = |sid: u64| -> Ddi<u64> {
            if sid == 0 {
                Ok(0)
            } else {
                Ok(self.rtl_length_sid(sid)?.next_multiple_of(4).into())
            }
        };
        let acl = |acl: u64, present: u16| -> Ddi<u64> {
            if acl == 0 || all.control & present == 0 {
                return Ok(0);
            }
            Ok(
                u64::from(self.read(at!(DriverPtr::<Acl>::new(acl), Acl, size))?)
                    .next_multiple_of(4),
            )
        };
        Ok([
            (all.owner, sid(all.owner)?),
            (all.group, sid(all.group)?),
            (all.sacl, acl(all.sacl, SACL_PRESENT)?),
            (all.dacl, acl(all.dacl, DACL_PRESENT)?),
        ])
    }

    /// `ULONG RtlLengthSecurityDescriptor(PSECURITY_DESCRIPTOR)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: bytes of the descriptor and its parts.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlLengthSecurityDescriptor.
    pub fn rtl_length_security_descriptor(
        &self,
        descriptor: DriverPtr<SecurityDescriptor>,
    ) -> Ddi<u32> {
        let all = self.absolute(descriptor)?;
        let relative = all.control & SELF_RELATIVE != 0;
        let head = if relative {
            size_of::<Relative>()
        } else {
            size_of::<SecurityDescriptor>()
        } as u64;
        let parts: u64 = self
            .part_lengths(&all)?
            .iter()
            .map(|(_, length)| length)
            .sum();
        Ok((head + parts) as u32)
    }

    /// `NTSTATUS RtlAbsoluteToSelfRelativeSD(PSECURITY_DESCRIPTOR, PSECURITY_DESCRIPTOR, PULONG Length)`
    ///
    /// Writes the self-relative form of an absolute descriptor.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; BUFFER_TOO_SMALL, and the length that is needed;
    ///   BAD_DESCRIPTOR_FORMAT for one that is self-relative.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlAbsoluteToSelfRelativeSD.
    pub fn rtl_absolute_to_self_relative_sd(
        &self,
        from: DriverPtr<SecurityDescriptor>,
        to: u64,
        length: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let all = self.read(from)?;
        if all.control & SELF_RELATIVE != 0 {
            return Ok(BAD_DESCRIPTOR_FORMAT);
        }
        let parts = self.part_lengths(&all)?;
        let head = size_of::<Relative>() as u64;
        let needed = head + parts.iter().map(|(_, length)| length).sum::<u64>();
        let room = self.read(length)?;
        self.write(length, needed as u32)?;
        if u64::from(room) < needed {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        let mut offsets = [0; 4];
        let mut next = head;
        for (offset, (address, length)) in offsets.iter_mut().zip(parts) {
            if length > 0 {
                *offset = next as u32;
                self.memmove(to.wrapping_add(next), address, length)?;
                next += length;
            }
        }
        let [owner, group, sacl, dacl] = offsets;
        let control = all.control | SELF_RELATIVE;
        let relative = Relative {
            revision: all.revision,
            sbz1: 0,
            control,
            owner,
            group,
            sacl,
            dacl,
        };
        self.write(DriverPtr::new(to), relative)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `ULONG RtlLengthRequiredSid(ULONG)`
    ///
    /// - IRQL: any level.
    /// - Returns: bytes of a SID with so many parts.
    /// - Findings: none.
    /// - Source: WDK reference, ntifs.RtlLengthRequiredSid.
    pub fn rtl_length_required_sid(&self, count: u32) -> Ddi<u32> {
        Ok(count.wrapping_mul(4).wrapping_add(8))
    }

    /// `ULONG RtlLengthSid(PSID)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: its bytes.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlLengthSid.
    pub fn rtl_length_sid(&self, sid: u64) -> Ddi<u32> {
        let head: SidHead = self.read(DriverPtr::new(sid))?;
        Ok(8 + 4 * u32::from(head[1]))
    }

    /// `BOOLEAN RtlValidSid(PSID)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: TRUE for revision 1 and at most 15 parts.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlValidSid.
    pub fn rtl_valid_sid(&self, sid: u64) -> Ddi<u8> {
        if sid == 0 {
            return Ok(0);
        }
        let head: SidHead = self.read(DriverPtr::new(sid))?;
        Ok(u8::from(
            head[0] & 0xF == 1 && head[1] <= MOST_SUB_AUTHORITIES,
        ))
    }

    /// `NTSTATUS RtlInitializeSid(PSID, PSID_IDENTIFIER_AUTHORITY, UCHAR Count)`
    ///
    /// Writes the head of a SID; its parts are written through [`Kernel::rtl_sub_authority_sid`].
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: SUCCESS; INVALID_PARAMETER for more than 15 parts.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlInitializeSid.
    pub fn rtl_initialize_sid(
        &self,
        sid: u64,
        authority: DriverPtr<[u8; 6]>,
        count: u8,
    ) -> Ddi<NtStatus> {
        if count > MOST_SUB_AUTHORITIES {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let [a, b, c, d, e, f] = self.read(authority)?;
        self.write(DriverPtr::<SidHead>::new(sid), [1, count, a, b, c, d, e, f])?;
        Ok(NtStatus::SUCCESS)
    }

    /// `PULONG RtlSubAuthoritySid(PSID, ULONG)`
    ///
    /// - IRQL: any level.
    /// - Returns: where that part of the SID is.
    /// - Findings: none.
    /// - Source: WDK reference, ntifs.RtlSubAuthoritySid.
    pub fn rtl_sub_authority_sid(&self, sid: u64, index: u32) -> Ddi<u64> {
        Ok(sid.wrapping_add(8 + 4 * u64::from(index)))
    }

    /// `BOOLEAN RtlEqualSid(PSID, PSID)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: TRUE if they are equal.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlEqualSid.
    pub fn rtl_equal_sid(&self, one: u64, other: u64) -> Ddi<u8> {
        let length = self.rtl_length_sid(one)?;
        if length != self.rtl_length_sid(other)? {
            return Ok(0);
        }
        Ok(u8::from(self.memcmp(one, other, length.into())? == 0))
    }

    /// `NTSTATUS RtlCopySid(ULONG Length, PSID To, PSID From)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: SUCCESS; BUFFER_TOO_SMALL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlCopySid.
    pub fn rtl_copy_sid(&self, room: u32, to: u64, from: u64) -> Ddi<NtStatus> {
        let length = self.rtl_length_sid(from)?;
        if length > room {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        self.memmove(to, from, length.into())?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlCreateAcl(PACL, ULONG Length, ULONG Revision)`
    ///
    /// Makes an empty list.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; BUFFER_TOO_SMALL below 8 bytes; INVALID_PARAMETER for a revision
    ///   other than 2 to 4 or more than 64 KiB.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlCreateAcl.
    pub fn rtl_create_acl(&self, acl: DriverPtr<Acl>, length: u32, revision: u32) -> Ddi<NtStatus> {
        if length < size_of::<Acl>() as u32 {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        let (Ok(size), 2..=4) = (u16::try_from(length), revision) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        self.write(
            acl,
            Acl {
                revision: revision as u8,
                sbz1: 0,
                size: size & !3,
                count: 0,
                sbz2: 0,
            },
        )?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlAddAccessAllowedAce(PACL, ULONG Revision, ACCESS_MASK, PSID)`
    ///
    /// Appends an entry that allows.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; INVALID_SID; INVALID_ACL; REVISION_MISMATCH; ALLOTTED_SPACE_EXCEEDED.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlAddAccessAllowedAce.
    pub fn rtl_add_access_allowed_ace(
        &self,
        acl: DriverPtr<Acl>,
        revision: u32,
        access: u32,
        sid: u64,
    ) -> Ddi<NtStatus> {
        self.rtl_add_access_allowed_ace_ex(acl, revision, 0, access, sid)
    }

    /// `NTSTATUS RtlAddAccessAllowedAceEx(PACL, ULONG Revision, ULONG AceFlags, ACCESS_MASK, PSID)`
    ///
    /// As [`Kernel::rtl_add_access_allowed_ace`], with the flags of inheritance.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: also INVALID_PARAMETER for flags that are none of inheritance.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlAddAccessAllowedAceEx.
    pub fn rtl_add_access_allowed_ace_ex(
        &self,
        acl: DriverPtr<Acl>,
        revision: u32,
        flags: u32,
        access: u32,
        sid: u64,
    ) -> Ddi<NtStatus> {
        if flags & !VALID_INHERIT_FLAGS != 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        if self.rtl_valid_sid(sid)? == 0 {
            return Ok(NtStatus::INVALID_SID);
        }
        let mut head = self.read(acl)?;
        if !(2..=4).contains(&revision) || !(2..=4).contains(&head.revision) {
            return Ok(NtStatus::REVISION_MISMATCH);
        }
        let Some(end) = self.end_of_acl(acl, &head)? else {
            return Ok(NtStatus::INVALID_ACL);
        };
        let sid_bytes = self.rtl_length_sid(sid)?;
        let bytes = 8 + sid_bytes as u16;
        if u32::from(end) + u32::from(bytes) > u32::from(head.size) {
            return Ok(ALLOTTED_SPACE_EXCEEDED);
        }
        let entry = acl.address().wrapping_add(end.into());
        // Type 0 allows; the flags are the second byte.
        self.write(
            DriverPtr::<[u16; 2]>::new(entry),
            [(flags as u16) << 8, bytes],
        )?;
        self.write(DriverPtr::<u32>::new(entry.wrapping_add(4)), access)?;
        self.memmove(entry.wrapping_add(8), sid, sid_bytes.into())?;
        head.count = head.count.wrapping_add(1);
        head.revision = head.revision.max(revision as u8);
        self.write(acl, head)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Where the next entry of a list goes; `None` if its entries do not fit in it.
    pub(super) fn end_of_acl(&self, acl: DriverPtr<Acl>, head: &Acl) -> Ddi<Option<u16>> {
        let mut end = size_of::<Acl>() as u16;
        for _ in 0..head.count {
            let entry = acl.address().wrapping_add(end.into());
            let [_, bytes] = self.read(DriverPtr::<[u16; 2]>::new(entry))?;
            match end
                .checked_add(bytes)
                .filter(|end| bytes >= 4 && *end <= head.size)
            {
                Some(next) => end = next,
                None => return Ok(None),
            }
        }
        Ok(Some(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    /// S-1-5-18 has one part.
    fn sid(bench: &Bench, parts: &[u32]) -> u64 {
        let sid = bench.variable(8 + 4 * parts.len() as u64);
        let authority = DriverPtr::new(bench.variable(6));
        bench.kernel.write(authority, [0, 0, 0, 0, 0, 5]).unwrap();
        bench
            .kernel
            .rtl_initialize_sid(sid, authority, parts.len() as u8)
            .unwrap();
        for (index, part) in parts.iter().enumerate() {
            let at = bench
                .kernel
                .rtl_sub_authority_sid(sid, index as u32)
                .unwrap();
            bench.kernel.write(DriverPtr::new(at), *part).unwrap();
        }
        sid
    }

    #[test]
    fn sids_are_measured_compared_and_copied() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (system, other) = (sid(&bench, &[18]), sid(&bench, &[19]));
        assert_eq!(kernel.rtl_length_sid(system), Ok(12));
        assert_eq!(kernel.rtl_length_required_sid(1), Ok(12));
        assert_eq!(kernel.rtl_equal_sid(system, other), Ok(0));
        assert_eq!(
            kernel.rtl_copy_sid(11, other, system),
            Ok(NtStatus::BUFFER_TOO_SMALL)
        );
        assert_eq!(
            kernel.rtl_copy_sid(12, other, system),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.rtl_equal_sid(system, other), Ok(1));
        assert_eq!(
            (kernel.rtl_valid_sid(system), kernel.rtl_valid_sid(0)),
            (Ok(1), Ok(0))
        );
        let authority = DriverPtr::new(bench.variable(6));
        assert_eq!(
            kernel.rtl_initialize_sid(other, authority, 16),
            Ok(NtStatus::INVALID_PARAMETER)
        );
    }

    #[test]
    fn a_list_takes_entries_until_it_is_full() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let acl = DriverPtr::<Acl>::new(bench.variable(64));
        assert_eq!(
            kernel.rtl_create_acl(acl, 7, 2),
            Ok(NtStatus::BUFFER_TOO_SMALL)
        );
        assert_eq!(
            kernel.rtl_create_acl(acl, 64, 5),
            Ok(NtStatus::INVALID_PARAMETER)
        );
        assert_eq!(kernel.rtl_create_acl(acl, 48, 2), Ok(NtStatus::SUCCESS));
        let sid = sid(&bench, &[18]);
        let add = || kernel.rtl_add_access_allowed_ace(acl, 2, 0x1F01FF, sid);
        assert_eq!(
            (add(), add()),
            (Ok(NtStatus::SUCCESS), Ok(NtStatus::SUCCESS))
        );
        assert_eq!(add(), Ok(ALLOTTED_SPACE_EXCEEDED));
        assert_eq!(kernel.read(acl).unwrap().count, 2);
        assert_eq!(
            kernel.read_bytes(acl.address() + 28, 8).unwrap(),
            [0, 0, 20, 0, 0xFF, 1, 0x1F, 0]
        );
        kernel.write(at!(acl, Acl, count), 3).unwrap();
        assert_eq!(add(), Ok(NtStatus::INVALID_ACL));
    }

    #[test]
    fn a_descriptor_holds_its_parts_in_both_forms() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let descriptor = DriverPtr::<SecurityDescriptor>::new(bench.variable(40));
        assert_eq!(
            kernel.rtl_create_security_descriptor(descriptor, 2),
            Ok(NtStatus::UNKNOWN_REVISION)
        );
        assert_eq!(
            kernel.rtl_create_security_descriptor(descriptor, 1),
            Ok(NtStatus::SUCCESS)
        );
        let acl = DriverPtr::<Acl>::new(bench.variable(32));
        kernel.rtl_create_acl(acl, 28, 2).unwrap();
        let owner = sid(&bench, &[18]);
        kernel.rtl_add_access_allowed_ace(acl, 2, 1, owner).unwrap();
        kernel
            .rtl_set_security_part(descriptor, Part::Dacl, 1, acl.address(), 1)
            .unwrap();
        kernel
            .rtl_set_security_part(descriptor, Part::Owner, 1, owner, 0)
            .unwrap();
        assert_eq!(
            kernel.rtl_length_security_descriptor(descriptor),
            Ok(40 + 12 + 28)
        );
        assert_eq!(kernel.rtl_valid_security_descriptor(descriptor), Ok(1));
        let relative = DriverPtr::<SecurityDescriptor>::new(bench.variable(64));
        let length = DriverPtr::<u32>::new(bench.variable(4));
        kernel.write(length, 59).unwrap();
        let convert =
            || kernel.rtl_absolute_to_self_relative_sd(descriptor, relative.address(), length);
        assert_eq!(convert(), Ok(NtStatus::BUFFER_TOO_SMALL));
        assert_eq!(kernel.read(length), Ok(60));
        assert_eq!(convert(), Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.rtl_length_security_descriptor(relative), Ok(60));
        let again = kernel.rtl_absolute_to_self_relative_sd(relative, 0, length);
        assert_eq!(again, Ok(BAD_DESCRIPTOR_FORMAT));
        let [present, defaulted] = [0; 2].map(|_| DriverPtr::<u8>::new(bench.variable(1)));
        let value = DriverPtr::<u64>::new(bench.variable(8));
        for (which, dacl) in [
            (descriptor, acl.address()),
            (relative, relative.address() + 32),
        ] {
            kernel
                .rtl_get_security_part(which, Part::Dacl, present, value, defaulted)
                .unwrap();
            assert_eq!(
                (kernel.read(present), kernel.read(defaulted)),
                (Ok(1), Ok(1))
            );
            assert_eq!(kernel.read(value), Ok(dacl));
            kernel
                .rtl_get_security_part(which, Part::Sacl, present, value, defaulted)
                .unwrap();
            assert_eq!(kernel.read(present), Ok(0));
            kernel
                .rtl_get_security_part(which, Part::Owner, DriverPtr::NULL, value, defaulted)
                .unwrap();
            assert_eq!(
                kernel.rtl_equal_sid(kernel.read(value).unwrap(), owner),
                Ok(1)
            );
        }
        let set = kernel.rtl_set_security_part(relative, Part::Group, 1, owner, 0);
        assert_eq!(set, Ok(NtStatus::INVALID_SECURITY_DESCR));
    }
}
