//! The run-time library of file systems, of which other drivers use a part.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;
use dirql_kernel::rtl::CountedString;

use super::{Nothing, exports};

type Str = DriverPtr<CountedString>;

/// `POOL_RAISE_IF_ALLOCATION_FAILURE`, which these routines are to spare their callers.
const RAISE: u32 = 16;

exports! {
    fn FsRtlAllocatePool(kind: u32, bytes: u64) -> u64 = |k| k.ex_allocate_pool(kind | RAISE, bytes);
    fn FsRtlAllocatePoolWithTag(kind: u32, bytes: u64, tag: u32) -> u64
        = |k| k.ex_allocate_pool_with_tag(kind | RAISE, bytes, tag);
    fn FsRtlAreNamesEqual(one: Str, other: Str, ignore_case: u8, table: u64) -> u8
        = |k| k.fs_rtl_are_names_equal(one, other, ignore_case, table);
    fn FsRtlDissectName(path: Str, first: Str, remaining: Str) -> Nothing
        = |k| k.fs_rtl_dissect_name(path, first, remaining).map(Nothing::from);
    fn FsRtlDoesNameContainWildCards(name: Str) -> u8 = |k| k.fs_rtl_does_name_contain_wild_cards(name);
    fn FsRtlIsNameInExpression(expression: Str, name: Str, ignore_case: u8, table: u64) -> u8
        = |k| k.fs_rtl_is_name_in_expression(expression, name, ignore_case, table);
    fn FsRtlIsNtstatusExpected(exception: NtStatus) -> u8 = |k| k.fs_rtl_is_ntstatus_expected(exception);
    fn FsRtlNormalizeNtstatus(exception: NtStatus, generic: NtStatus) -> NtStatus
        = |k| k.fs_rtl_normalize_ntstatus(exception, generic);
}
