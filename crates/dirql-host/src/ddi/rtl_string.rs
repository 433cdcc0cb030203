//! Counted strings and their conversions.

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_kernel::DriverPtr;
use dirql_kernel::rtl::{CountedString, Width};

use super::{Nothing, Signed, exports};

type Str = DriverPtr<CountedString>;

exports! {
    fn RtlAnsiCharToUnicodeChar(cursor: DriverPtr<u64>) -> u16 = |k| k.rtl_ansi_char_to_unicode_char(cursor);
    fn RtlAnsiStringToUnicodeString(to: Str, from: Str, allocate: u8) -> NtStatus
        = |k| k.rtl_ansi_string_to_unicode_string(to, from, allocate);
    fn RtlAppendStringToString(to: Str, from: Str) -> NtStatus = |k| k.rtl_append_string_to_string(to, from);
    fn RtlAppendUnicodeStringToString(to: Str, from: Str) -> NtStatus
        = |k| k.rtl_append_unicode_string_to_string(to, from);
    fn RtlAppendUnicodeToString(to: Str, text: u64) -> NtStatus
        = |k| k.rtl_append_unicode_to_string(to, text);
    fn RtlCharToInteger(text: u64, base: u32, value: DriverPtr<u32>) -> NtStatus
        = |k| k.rtl_char_to_integer(text, base, value);
    fn RtlCompareString(one: Str, other: Str, ignore_case: u8) -> Signed
        = |k| k.rtl_compare_string(one, other, ignore_case, Width::Narrow).map(Signed);
    fn RtlCompareUnicodeString(one: Str, other: Str, ignore_case: u8) -> Signed
        = |k| k.rtl_compare_string(one, other, ignore_case, Width::Wide).map(Signed);
    fn RtlCompareUnicodeStrings(one: u64, length: u64, other: u64, other_length: u64, ignore_case: u8) -> Signed
        = |k| k.rtl_compare_unicode_strings((one, length), (other, other_length), ignore_case).map(Signed);
    fn RtlCopyString(to: Str, from: Str) -> Nothing = |k| k.rtl_copy_string(to, from).map(Nothing::from);
    fn RtlCopyUnicodeString(to: Str, from: Str) -> Nothing
        = |k| k.rtl_copy_unicode_string(to, from).map(Nothing::from);
    fn RtlCreateUnicodeString(to: Str, text: u64) -> u8 = |k| k.rtl_create_unicode_string(to, text);
    fn RtlDowncaseUnicodeChar(unit: u16) -> u16 = |k| k.rtl_downcase_unicode_char(unit);
    fn RtlDowncaseUnicodeString(to: Str, from: Str, allocate: u8) -> NtStatus
        = |k| k.rtl_change_case_unicode_string(to, from, allocate, false);
    fn RtlDuplicateUnicodeString(flags: u32, from: Str, to: Str) -> NtStatus
        = |k| k.rtl_duplicate_unicode_string(flags, from, to);
    fn RtlEqualString(one: Str, other: Str, ignore_case: u8) -> u8
        = |k| k.rtl_equal_string(one, other, ignore_case, Width::Narrow);
    fn RtlEqualUnicodeString(one: Str, other: Str, ignore_case: u8) -> u8
        = |k| k.rtl_equal_string(one, other, ignore_case, Width::Wide);
    fn RtlFreeAnsiString(string: Str) -> Nothing = |k| k.rtl_free_unicode_string(string).map(Nothing::from);
    fn RtlFreeUnicodeString(string: Str) -> Nothing = |k| k.rtl_free_unicode_string(string).map(Nothing::from);
    fn RtlGUIDFromString(string: Str, guid: DriverPtr<Guid>) -> NtStatus
        = |k| k.rtl_guid_from_string(string, guid);
    fn RtlInitAnsiString(string: Str, text: u64) -> Nothing
        = |k| k.rtl_init_ansi_string(string, text).map(Nothing::from);
    fn RtlInitString(string: Str, text: u64) -> Nothing
        = |k| k.rtl_init_ansi_string(string, text).map(Nothing::from);
    fn RtlInitUnicodeString(string: Str, text: u64) -> Nothing
        = |k| k.rtl_init_unicode_string(string, text).map(Nothing::from);
    fn RtlInitUnicodeStringEx(string: Str, text: u64) -> NtStatus
        = |k| k.rtl_init_unicode_string_ex(string, text);
    fn RtlInt64ToUnicodeString(value: u64, base: u32, to: Str) -> NtStatus
        = |k| k.rtl_int64_to_unicode_string(value, base, to);
    fn RtlIntegerToUnicodeString(value: u32, base: u32, to: Str) -> NtStatus
        = |k| k.rtl_int64_to_unicode_string(value.into(), base, to);
    fn RtlMultiByteToUnicodeN(to: u64, max: u32, written: DriverPtr<u32>, from: u64, bytes: u32) -> NtStatus
        = |k| k.rtl_multi_byte_to_unicode_n(to, max, written, from, bytes);
    fn RtlMultiByteToUnicodeSize(size: DriverPtr<u32>, _text: u64, bytes: u32) -> NtStatus
        = |k| k.rtl_multi_byte_to_unicode_size(size, bytes);
    fn RtlOemStringToUnicodeString(to: Str, from: Str, allocate: u8) -> NtStatus
        = |k| k.rtl_oem_string_to_unicode_string(to, from, allocate);
    fn RtlUnicodeStringToOemString(to: Str, from: Str, allocate: u8) -> NtStatus
        = |k| k.rtl_unicode_string_to_oem_string(to, from, allocate);
    fn RtlOemToUnicodeN(to: u64, max: u32, written: DriverPtr<u32>, from: u64, bytes: u32) -> NtStatus
        = |k| k.rtl_oem_to_unicode_n(to, max, written, from, bytes);
    fn RtlUnicodeToOemN(to: u64, max: u32, written: DriverPtr<u32>, from: u64, bytes: u32) -> NtStatus
        = |k| k.rtl_unicode_to_oem_n(to, max, written, from, bytes);
    fn RtlFreeOemString(string: Str) -> Nothing = |k| k.rtl_free_unicode_string(string).map(Nothing::from);
    // Both code pages have one byte for each character.
    fn RtlxOemStringToUnicodeSize(string: Str) -> u32 = |k| k.rtlx_ansi_string_to_unicode_size(string);
    fn RtlxUnicodeStringToOemSize(string: Str) -> u32 = |k| k.rtlx_unicode_string_to_ansi_size(string);
    fn RtlIsValidOemCharacter(unit: DriverPtr<u16>) -> u8 = |k| k.rtl_is_valid_oem_character(unit);
    fn RtlUpcaseUnicodeStringToAnsiString(to: Str, from: Str, allocate: u8) -> NtStatus
        = |k| k.rtl_upcase_unicode_string_to_ansi_string(to, from, allocate);
    fn RtlPrefixString(prefix: Str, string: Str, ignore_case: u8) -> u8
        = |k| k.rtl_prefix_string(prefix, string, ignore_case, Width::Narrow);
    fn RtlSuffixUnicodeString(suffix: Str, string: Str, ignore_case: u8) -> u8
        = |k| k.rtl_suffix_unicode_string(suffix, string, ignore_case);
    fn RtlPrefixUnicodeString(prefix: Str, string: Str, ignore_case: u8) -> u8
        = |k| k.rtl_prefix_string(prefix, string, ignore_case, Width::Wide);
    fn RtlStringFromGUID(guid: DriverPtr<Guid>, to: Str) -> NtStatus
        = |k| k.rtl_string_from_guid(guid, to);
    fn RtlUnicodeStringToAnsiString(to: Str, from: Str, allocate: u8) -> NtStatus
        = |k| k.rtl_unicode_string_to_ansi_string(to, from, allocate);
    fn RtlUnicodeStringToInteger(string: Str, base: u32, value: DriverPtr<u32>) -> NtStatus
        = |k| k.rtl_unicode_string_to_integer(string, base, value);
    fn RtlUnicodeToMultiByteN(to: u64, max: u32, written: DriverPtr<u32>, from: u64, bytes: u32) -> NtStatus
        = |k| k.rtl_unicode_to_multi_byte_n(to, max, written, from, bytes);
    fn RtlUnicodeToMultiByteSize(size: DriverPtr<u32>, _text: u64, bytes: u32) -> NtStatus
        = |k| k.rtl_unicode_to_multi_byte_size(size, bytes);
    fn RtlUpcaseUnicodeChar(unit: u16) -> u16 = |k| k.rtl_upcase_unicode_char(unit);
    fn RtlUpcaseUnicodeString(to: Str, from: Str, allocate: u8) -> NtStatus
        = |k| k.rtl_change_case_unicode_string(to, from, allocate, true);
    fn RtlUpperChar(byte: u8) -> u8 = |k| k.rtl_upper_char(byte);
    fn RtlUpperString(to: Str, from: Str) -> Nothing = |k| k.rtl_upper_string(to, from).map(Nothing::from);
    fn RtlxAnsiStringToUnicodeSize(string: Str) -> u32 = |k| k.rtlx_ansi_string_to_unicode_size(string);
    fn RtlxUnicodeStringToAnsiSize(string: Str) -> u32 = |k| k.rtlx_unicode_string_to_ansi_size(string);
}
