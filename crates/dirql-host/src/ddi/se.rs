//! Tokens, and what is asked about them.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

type Handle = DriverPtr<u64>;
type Out = DriverPtr<u32>;

exports! {
    fn PsReferencePrimaryToken(process: u64) -> u64 = |k| k.ps_reference_primary_token(process);
    fn PsDereferencePrimaryToken(token: u64) -> Nothing = |k| k.ps_dereference_token(token).map(Nothing::from);
    fn PsReferenceImpersonationToken(_thread: u64, _copy: u64, _effective: u64, _level: u64) -> u64
        = |k| k.ps_reference_impersonation_token();
    fn PsDereferenceImpersonationToken(token: u64) -> Nothing = |k| k.ps_dereference_token(token).map(Nothing::from);
    fn SeQueryInformationToken(token: u64, class: u32, answer: Handle) -> NtStatus
        = |k| k.se_query_information_token(token, class, answer);
    fn SeQueryAuthenticationIdToken(_token: u64, luid: DriverPtr<u64>) -> NtStatus
        = |k| k.se_query_authentication_id_token(luid);
    fn SeQuerySessionIdToken(_token: u64, session: Out) -> NtStatus = |k| k.se_query_session_id_token(session);
    fn SePrivilegeCheck(set: Out, _context: u64, _mode: u8) -> u8 = |k| k.se_privilege_check(set);
    // TokenPrimary, of which no part was taken away.
    fn SeTokenType(_token: u64) -> u32 = |_k| Ok(1);
    fn SeTokenIsRestricted(_token: u64) -> u8 = |_k| Ok(0);
    fn SeTokenIsWriteRestricted(_token: u64) -> u8 = |_k| Ok(0);
    fn ZwOpenProcessToken(process: u64, access: u32, token: Handle) -> NtStatus
        = |k| k.zw_open_process_token(process, access, token);
    fn ZwOpenProcessTokenEx(process: u64, access: u32, _attributes: u32, token: Handle) -> NtStatus
        = |k| k.zw_open_process_token(process, access, token);
    fn ZwOpenThreadToken(thread: u64, _access: u32, _as_self: u8, _token: Handle) -> NtStatus
        = |k| k.zw_open_thread_token(thread);
    fn ZwOpenThreadTokenEx(thread: u64, _access: u32, _as_self: u8, _attributes: u32, _token: Handle) -> NtStatus
        = |k| k.zw_open_thread_token(thread);
    fn ZwQueryInformationToken(token: u64, class: u32, buffer: u64, length: u32, needed: Out) -> NtStatus
        = |k| k.zw_query_information_token(token, class, (buffer, length), needed);
}
