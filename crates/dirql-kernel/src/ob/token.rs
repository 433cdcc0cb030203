//! The token of the system process, which is that of everybody: the local system, in the group of
//! administrators, with every privilege, not restricted, in session 0.
//!
//! Not modelled: impersonation. No thread has a token of its own.
//!
//! Source: WDK reference, ntifs.SeQueryInformationToken, ntifs.ZwQueryInformationToken,
//! ntifs.PsReferencePrimaryToken; Win32 documentation, "Well-known SIDs", "Access Tokens",
//! TOKEN_INFORMATION_CLASS.

use alloc::vec::Vec;

use dirql_abi::NtStatus;

use super::{ObjectKind, keep};
use crate::{Ddi, DriverPtr, Kernel};

/// Tag of the pool that answers are in.
const TAG: u32 = u32::from_le_bytes(*b"SeTk");

/// Bytes of a TOKEN that a driver could look at; drivers only pass its address on.
const TOKEN_BYTES: u64 = 64;

/// SYSTEM_LUID, the logon session of the local system.
const SYSTEM_LUID: u64 = 0x3E7;

/// `TokenPrimary`.
const PRIMARY: u32 = 1;

/// The privileges: SE_CREATE_TOKEN_PRIVILEGE to SE_CREATE_SYMBOLIC_LINK_PRIVILEGE.
const PRIVILEGES: core::ops::RangeInclusive<u32> = 2..=35;

/// SE_PRIVILEGE_ENABLED_BY_DEFAULT and SE_PRIVILEGE_ENABLED; SE_PRIVILEGE_USED_FOR_ACCESS.
const PRIVILEGE_ENABLED: u32 = 3;
const USED_FOR_ACCESS: u32 = 0x8000_0000;

/// SE_GROUP_MANDATORY, _ENABLED_BY_DEFAULT, _ENABLED; SE_GROUP_OWNER; SE_GROUP_INTEGRITY and
/// _INTEGRITY_ENABLED.
const GROUP_ENABLED: u32 = 7;
const GROUP_OWNER: u32 = 8;
const GROUP_INTEGRITY: u32 = 0x60;

/// GENERIC_ALL; GENERIC_READ, GENERIC_EXECUTE and READ_CONTROL.
const GENERIC_ALL: u32 = 0x1000_0000;
const LOOK: u32 = 0xA002_0000;

/// S-1-5-18, S-1-5-32-544, S-1-1-0, S-1-5-11, S-1-16-16384.
const LOCAL_SYSTEM: Sid = (5, &[18]);
const ADMINISTRATORS: Sid = (5, &[32, 544]);
const EVERYONE: Sid = (1, &[0]);
const AUTHENTICATED: Sid = (5, &[11]);
const SYSTEM_INTEGRITY: Sid = (16, &[16384]);

/// An identifier authority and what is below it.
type Sid = (u8, &'static [u32]);

/// Members of `TOKEN_INFORMATION_CLASS`.
mod class {
    pub(super) const USER: u32 = 1;
    pub(super) const GROUPS: u32 = 2;
    pub(super) const PRIVILEGES: u32 = 3;
    pub(super) const OWNER: u32 = 4;
    pub(super) const PRIMARY_GROUP: u32 = 5;
    pub(super) const DEFAULT_DACL: u32 = 6;
    pub(super) const SOURCE: u32 = 7;
    pub(super) const TYPE: u32 = 8;
    pub(super) const STATISTICS: u32 = 10;
    pub(super) const RESTRICTED_SIDS: u32 = 11;
    pub(super) const SESSION_ID: u32 = 12;
    pub(super) const ELEVATION_TYPE: u32 = 18;
    pub(super) const ELEVATION: u32 = 20;
    pub(super) const HAS_RESTRICTIONS: u32 = 21;
    pub(super) const VIRTUALIZATION_ALLOWED: u32 = 23;
    pub(super) const VIRTUALIZATION_ENABLED: u32 = 24;
    pub(super) const INTEGRITY_LEVEL: u32 = 25;
    pub(super) const UI_ACCESS: u32 = 26;
    pub(super) const IS_APP_CONTAINER: u32 = 29;
}

fn sid_bytes((authority, parts): Sid) -> Vec<u8> {
    let mut bytes = alloc::vec![1, parts.len() as u8, 0, 0, 0, 0, 0, authority];
    bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    bytes
}

/// An answer for memory at `at`: `count` as its head if it is a list, then a pointer to each SID
/// with its attributes, if they have any; the SIDs follow.
fn with_sids(at: u64, count: Option<u32>, sids: &[(Sid, Option<u32>)]) -> Vec<u8> {
    let head = if count.is_some() { 8 } else { 0 };
    let size = |attributes: Option<u32>| if attributes.is_some() { 16 } else { 8 };
    let fixed: usize = sids.iter().map(|(_, attributes)| size(*attributes)).sum();
    let mut bytes = Vec::new();
    if let Some(count) = count {
        bytes.extend(count.to_le_bytes());
        bytes.extend([0; 4]);
    }
    let mut next = at.wrapping_add((head + fixed) as u64);
    let mut tail = Vec::new();
    for (sid, attributes) in sids {
        let sid = sid_bytes(*sid);
        bytes.extend(next.to_le_bytes());
        if let Some(attributes) = attributes {
            bytes.extend(attributes.to_le_bytes());
            bytes.extend([0; 4]);
        }
        next = next.wrapping_add(sid.len() as u64);
        tail.extend(sid);
    }
    bytes.extend(tail);
    bytes
}

/// What a class tells, for memory at `at`; `None` for a class that this token has no answer for.
fn information(class: u32, at: u64) -> Option<Vec<u8>> {
    let number = |value: u32| value.to_le_bytes().to_vec();
    Some(match class {
        class::USER => with_sids(at, None, &[(LOCAL_SYSTEM, Some(0))]),
        class::GROUPS => {
            let groups = [
                (ADMINISTRATORS, Some(GROUP_ENABLED | GROUP_OWNER)),
                (EVERYONE, Some(GROUP_ENABLED)),
                (AUTHENTICATED, Some(GROUP_ENABLED)),
                (SYSTEM_INTEGRITY, Some(GROUP_INTEGRITY)),
            ];
            with_sids(at, Some(groups.len() as u32), &groups)
        }
        class::PRIVILEGES => {
            let mut bytes = number(PRIVILEGES.count() as u32);
            for privilege in PRIVILEGES {
                bytes.extend(u64::from(privilege).to_le_bytes());
                bytes.extend(PRIVILEGE_ENABLED.to_le_bytes());
            }
            bytes
        }
        class::OWNER => with_sids(at, None, &[(ADMINISTRATORS, None)]),
        class::PRIMARY_GROUP => with_sids(at, None, &[(LOCAL_SYSTEM, None)]),
        class::DEFAULT_DACL => {
            let acl = at.wrapping_add(8).to_le_bytes();
            [&acl[..], &default_dacl()].concat()
        }
        class::SOURCE => [&b"*SYSTEM*"[..], &[0; 8]].concat(),
        class::TYPE => number(PRIMARY),
        class::STATISTICS => statistics(),
        class::RESTRICTED_SIDS => with_sids(at, Some(0), &[]),
        // TokenElevationTypeDefault: there is no other token to change to.
        class::ELEVATION_TYPE | class::ELEVATION => number(1),
        class::SESSION_ID
        | class::HAS_RESTRICTIONS
        | class::VIRTUALIZATION_ALLOWED
        | class::VIRTUALIZATION_ENABLED
        | class::UI_ACCESS
        | class::IS_APP_CONTAINER => number(0),
        class::INTEGRITY_LEVEL => with_sids(at, None, &[(SYSTEM_INTEGRITY, Some(GROUP_INTEGRITY))]),
        _ => return None,
    })
}

/// The ACL for what the system makes: everything for itself, looking for administrators.
fn default_dacl() -> Vec<u8> {
    let entries: Vec<u8> = [(LOCAL_SYSTEM, GENERIC_ALL), (ADMINISTRATORS, LOOK)]
        .into_iter()
        .flat_map(|(sid, mask)| {
            let sid = sid_bytes(sid);
            // ACCESS_ALLOWED_ACE_TYPE without flags, then the entry's bytes.
            let size = ((8 + sid.len()) as u16).to_le_bytes();
            [&[0, 0][..], &size, &mask.to_le_bytes(), &sid].concat()
        })
        .collect();
    // ACL_REVISION, bytes, entries.
    let size = ((8 + entries.len()) as u16).to_le_bytes();
    [&[2, 0][..], &size, &[2, 0, 0, 0], &entries].concat()
}

/// A TOKEN_STATISTICS.
fn statistics() -> Vec<u8> {
    let (token, never) = (SYSTEM_LUID + 1, i64::MAX as u64);
    let mut bytes: Vec<u8> = [token, SYSTEM_LUID, never]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();
    // Type, impersonation level, dynamic memory charged and available, groups, privileges.
    let numbers = [PRIMARY, 0, 0, 0, 4, PRIVILEGES.count() as u32];
    bytes.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
    bytes.extend(token.to_le_bytes());
    bytes
}

impl Kernel {
    /// The token of the one process.
    pub(crate) fn system_token(&self) -> u64 {
        if self.io.ob.token.get() == 0 {
            let token = self.allocate_system(TOKEN_BYTES);
            self.ob_register(token, ObjectKind::Token, keep);
            self.io.ob.token.set(token);
        }
        self.io.ob.token.get()
    }

    /// `PACCESS_TOKEN PsReferencePrimaryToken(PEPROCESS)`: the process's token with a reference,
    /// which `PsDereferencePrimaryToken` gives back.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, ntifs.PsReferencePrimaryToken.
    ///
    /// # Errors
    /// What is no process, as for [`Kernel::obf_reference_object`].
    pub fn ps_reference_primary_token(&self, process: u64) -> Ddi<u64> {
        if self.ob_kind(process) != Some(ObjectKind::Process) {
            self.obf_reference_object(process)?;
            self.obf_dereference_object(process)?;
        }
        let token = self.system_token();
        self.obf_reference_object(token)?;
        Ok(token)
    }

    /// `NTSTATUS SeQueryInformationToken(PACCESS_TOKEN, TOKEN_INFORMATION_CLASS, PVOID
    /// *TokenInformation)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS with an answer in paged pool, which the caller frees; the answers for
    ///   TokenSessionId and TokenIntegrityLevel are numbers in place of the pointer.
    ///   INVALID_INFO_CLASS; INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, ntifs.SeQueryInformationToken, Parameters.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn se_query_information_token(
        &self,
        _token: u64,
        class: u32,
        answer: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let Some(bytes) = information(class, 0) else {
            return Ok(NtStatus::INVALID_INFO_CLASS);
        };
        let number = match class {
            class::SESSION_ID => Some(0),
            class::INTEGRITY_LEVEL => SYSTEM_INTEGRITY.1.last().copied(),
            _ => None,
        };
        if let Some(number) = number {
            self.write(answer.cast::<u32>(), number)?;
            return Ok(NtStatus::SUCCESS);
        }
        let to = self.pool_allocate(1, bytes.len() as u64, TAG)?;
        if to == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        if let Some(bytes) = information(class, to) {
            self.write_bytes(to, &bytes)?;
        }
        self.write(answer, to)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwQueryInformationToken(HANDLE, TOKEN_INFORMATION_CLASS, PVOID, ULONG Length,
    /// PULONG ReturnLength)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, OBJECT_TYPE_MISMATCH, INVALID_INFO_CLASS; BUFFER_TOO_SMALL with
    ///   the length that is needed.
    /// - Source: WDK reference, ntifs.ZwQueryInformationToken.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_query_information_token(
        &self,
        handle: u64,
        class: u32,
        (to, room): (u64, u32),
        needed: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        match self.ob_of_handle(handle).map(|body| self.ob_kind(body)) {
            Some(Some(ObjectKind::Token)) => {}
            Some(_) => return Ok(NtStatus::OBJECT_TYPE_MISMATCH),
            None => return Ok(NtStatus::INVALID_HANDLE),
        }
        let Some(bytes) = information(class, to) else {
            return Ok(NtStatus::INVALID_INFO_CLASS);
        };
        self.write(needed, bytes.len() as u32)?;
        if bytes.len() > room as usize {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        self.write_bytes(to, &bytes)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwOpenProcessTokenEx(HANDLE Process, ACCESS_MASK, ULONG Attributes, PHANDLE
    /// Token)`, also behind `ZwOpenProcessToken`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, OBJECT_TYPE_MISMATCH.
    /// - Source: WDK reference, ntifs.ZwOpenProcessTokenEx.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn zw_open_process_token(
        &self,
        process: u64,
        access: u32,
        token: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        match self.ob_of_handle(process).map(|body| self.ob_kind(body)) {
            Some(Some(ObjectKind::Process)) => {}
            Some(_) => return Ok(NtStatus::OBJECT_TYPE_MISMATCH),
            None => return Ok(NtStatus::INVALID_HANDLE),
        }
        let handle = self.ob_create_handle(self.system_token(), access)?;
        self.write(token, handle)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwOpenThreadTokenEx(HANDLE Thread, ACCESS_MASK, BOOLEAN OpenAsSelf, ULONG
    /// Attributes, PHANDLE Token)`, also behind `ZwOpenThreadToken`: no thread impersonates.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: NO_TOKEN; INVALID_HANDLE, OBJECT_TYPE_MISMATCH.
    /// - Source: WDK reference, ntifs.ZwOpenThreadTokenEx.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn zw_open_thread_token(&self, thread: u64) -> Ddi<NtStatus> {
        Ok(
            match self.ob_of_handle(thread).map(|body| self.ob_kind(body)) {
                Some(Some(ObjectKind::Thread)) => NtStatus::NO_TOKEN,
                Some(_) => NtStatus::OBJECT_TYPE_MISMATCH,
                None => NtStatus::INVALID_HANDLE,
            },
        )
    }

    /// `BOOLEAN SePrivilegeCheck(PPRIVILEGE_SET, PSECURITY_SUBJECT_CONTEXT, KPROCESSOR_MODE)`: all
    /// are held, and marked as used.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: TRUE.
    /// - Source: WDK reference, ntifs.SePrivilegeCheck.
    ///
    /// # Errors
    /// A set that is not memory.
    pub fn se_privilege_check(&self, set: DriverPtr<u32>) -> Ddi<u8> {
        for index in 0..self.read(set)? as usize {
            // PrivilegeCount and Control, then an LUID and attributes each.
            let attributes = set.element(2 + 3 * index + 2);
            let value = self.read(attributes)?;
            self.write(attributes, value | USED_FOR_ACCESS)?;
        }
        Ok(1)
    }

    /// `NTSTATUS SeQueryAuthenticationIdToken(PACCESS_TOKEN, PLUID)`: the logon session.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, ntifs.SeQueryAuthenticationIdToken.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn se_query_authentication_id_token(&self, luid: DriverPtr<u64>) -> Ddi<NtStatus> {
        self.write(luid, SYSTEM_LUID)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS SeQuerySessionIdToken(PACCESS_TOKEN, PULONG)`: session 0.
    ///
    /// - IRQL: any; the page has none.
    /// - Source: ntifs.h; the page says that it is reserved.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn se_query_session_id_token(&self, session: DriverPtr<u32>) -> Ddi<NtStatus> {
        self.write(session, 0)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `PACCESS_TOKEN PsReferenceImpersonationToken(PETHREAD, PBOOLEAN CopyOnOpen, PBOOLEAN
    /// EffectiveOnly, PSECURITY_IMPERSONATION_LEVEL)`: NULL, as no thread impersonates; then nothing
    /// is written.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, ntifs.PsReferenceImpersonationToken.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ps_reference_impersonation_token(&self) -> Ddi<u64> {
        Ok(0)
    }

    /// `VOID PsDereferencePrimaryToken(PACCESS_TOKEN)` and `PsDereferenceImpersonationToken`, which
    /// may be given NULL.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, ntifs.PsDereferencePrimaryToken.
    ///
    /// # Errors
    /// As [`Kernel::obf_dereference_object`].
    pub fn ps_dereference_token(&self, token: u64) -> Ddi<()> {
        if token != 0 {
            self.obf_dereference_object(token)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn the_processs_token_is_the_local_systems() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let out = DriverPtr::<u64>::new(bench.variable(8));
        let process = kernel.current_process();
        let token = kernel.ps_reference_primary_token(process).unwrap();
        let query = |class| kernel.se_query_information_token(token, class, out);
        assert_eq!(query(class::USER), Ok(NtStatus::SUCCESS));
        let user = kernel.read(out).unwrap();
        let sid: u64 = kernel.read(DriverPtr::new(user)).unwrap();
        let bytes = kernel.read_bytes(sid, 12).unwrap();
        assert_eq!(bytes, [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]);
        kernel.ex_free_pool(user).unwrap();
        kernel.write(out, u64::MAX).unwrap();
        assert_eq!(query(class::SESSION_ID), Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.read(out), Ok(0xFFFF_FFFF_0000_0000));
        assert_eq!(query(class::INTEGRITY_LEVEL), Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.read(out), Ok(0xFFFF_FFFF_0000_4000));
        assert_eq!(query(class::DEFAULT_DACL), Ok(NtStatus::SUCCESS));
        let dacl = kernel.read(out).unwrap();
        let acl: u64 = kernel.read(DriverPtr::new(dacl)).unwrap();
        assert_eq!(kernel.read(DriverPtr::new(acl)), Ok([2u16, 52, 2, 0]));
        kernel.ex_free_pool(dacl).unwrap();
        assert_eq!(query(99), Ok(NtStatus::INVALID_INFO_CLASS));
        kernel.ps_dereference_token(token).unwrap();
        kernel.ps_dereference_token(0).unwrap();
        assert_eq!(kernel.ob_references(token), 1);
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn a_handle_to_the_token_tells_its_groups_and_how_long_that_is() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let out = DriverPtr::<u64>::new(bench.variable(8));
        let (to, needed) = (bench.variable(512), DriverPtr::new(bench.variable(4)));
        let open = kernel.zw_open_process_token(u64::MAX, 8, out);
        assert_eq!(open, Ok(NtStatus::SUCCESS));
        let handle = kernel.read(out).unwrap();
        let query =
            |room| kernel.zw_query_information_token(handle, class::GROUPS, (to, room), needed);
        assert_eq!(query(16), Ok(NtStatus::BUFFER_TOO_SMALL));
        let length = kernel.read(needed).unwrap();
        assert_eq!(query(length), Ok(NtStatus::SUCCESS));
        let groups: [u64; 3] = kernel.read(DriverPtr::new(to)).unwrap();
        assert_eq!(groups[0], 4);
        assert_eq!(groups[2], u64::from(GROUP_ENABLED | GROUP_OWNER));
        let administrators = kernel.read_bytes(groups[1], 16).unwrap();
        assert_eq!(administrators[8..], [32, 0, 0, 0, 0x20, 2, 0, 0]);
        assert_eq!(length, 8 + 4 * 16 + 16 + 12 + 12 + 12);
        let other = kernel.zw_query_information_token(u64::MAX, 1, (to, 9), needed);
        assert_eq!(other, Ok(NtStatus::OBJECT_TYPE_MISMATCH));
        assert_eq!(
            kernel.zw_open_thread_token(u64::MAX),
            Ok(NtStatus::OBJECT_TYPE_MISMATCH)
        );
        assert_eq!(kernel.zw_open_thread_token(4), Ok(NtStatus::INVALID_HANDLE));
    }

    #[test]
    fn a_thread_has_no_token_of_its_own() {
        let bench = Bench::new(Config::default());
        let opened = bench.on_thread(|kernel| kernel.zw_open_thread_token(u64::MAX - 1));
        assert_eq!(opened, NtStatus::NO_TOKEN);
    }

    #[test]
    fn every_privilege_is_held_and_is_marked_as_used() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let set = DriverPtr::<u32>::new(bench.variable(32));
        for (index, value) in [2, 1, 7, 0, 0, 8, 0, 2].into_iter().enumerate() {
            kernel.write(set.element(index), value).unwrap();
        }
        assert_eq!(kernel.se_privilege_check(set), Ok(1));
        assert_eq!(kernel.read(set.element(4)), Ok(USED_FOR_ACCESS));
        assert_eq!(kernel.read(set.element(7)), Ok(USED_FOR_ACCESS | 2));
    }
}
