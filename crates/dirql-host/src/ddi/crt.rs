//! C strings.

use dirql_kernel::DriverPtr;
use dirql_kernel::rtl::{Change, Span, Width};

use super::{Nothing, Signed, exports};

const N: Width = Width::Narrow;
const W: Width = Width::Wide;
const ALL: u64 = u64::MAX;

exports! {
    fn strlen(text: u64) -> u64 = |k| k.string_length(text, ALL, N);
    fn wcslen(text: u64) -> u64 = |k| k.string_length(text, ALL, W);
    fn strnlen(text: u64, limit: u64) -> u64 = |k| k.string_length(text, limit, N);
    fn wcsnlen(text: u64, limit: u64) -> u64 = |k| k.string_length(text, limit, W);
    fn strcpy(to: u64, from: u64) -> u64 = |k| k.string_copy(to, from, N);
    fn wcscpy(to: u64, from: u64) -> u64 = |k| k.string_copy(to, from, W);
    fn strncpy(to: u64, from: u64, count: u64) -> u64 = |k| k.string_copy_counted(to, from, count, N);
    fn wcsncpy(to: u64, from: u64, count: u64) -> u64 = |k| k.string_copy_counted(to, from, count, W);
    fn strcat(to: u64, from: u64) -> u64 = |k| k.string_append(to, from, ALL, N);
    fn wcscat(to: u64, from: u64) -> u64 = |k| k.string_append(to, from, ALL, W);
    fn strncat(to: u64, from: u64, limit: u64) -> u64 = |k| k.string_append(to, from, limit, N);
    fn wcsncat(to: u64, from: u64, limit: u64) -> u64 = |k| k.string_append(to, from, limit, W);

    fn strcpy_s(to: u64, size: u64, from: u64) -> Signed
        = |k| k.string_copy_secure(to, size, from, ALL, false, N).map(Signed);
    fn wcscpy_s(to: u64, size: u64, from: u64) -> Signed
        = |k| k.string_copy_secure(to, size, from, ALL, false, W).map(Signed);
    fn strncpy_s(to: u64, size: u64, from: u64, count: u64) -> Signed
        = |k| k.string_copy_secure(to, size, from, count, false, N).map(Signed);
    fn wcsncpy_s(to: u64, size: u64, from: u64, count: u64) -> Signed
        = |k| k.string_copy_secure(to, size, from, count, false, W).map(Signed);
    fn strcat_s(to: u64, size: u64, from: u64) -> Signed
        = |k| k.string_copy_secure(to, size, from, ALL, true, N).map(Signed);
    fn wcscat_s(to: u64, size: u64, from: u64) -> Signed
        = |k| k.string_copy_secure(to, size, from, ALL, true, W).map(Signed);
    fn strncat_s(to: u64, size: u64, from: u64, count: u64) -> Signed
        = |k| k.string_copy_secure(to, size, from, count, true, N).map(Signed);
    fn wcsncat_s(to: u64, size: u64, from: u64, count: u64) -> Signed
        = |k| k.string_copy_secure(to, size, from, count, true, W).map(Signed);

    fn strcmp(one: u64, other: u64) -> Signed = |k| k.string_compare(one, other, ALL, false, N).map(Signed);
    fn wcscmp(one: u64, other: u64) -> Signed = |k| k.string_compare(one, other, ALL, false, W).map(Signed);
    fn strncmp(one: u64, other: u64, limit: u64) -> Signed
        = |k| k.string_compare(one, other, limit, false, N).map(Signed);
    fn wcsncmp(one: u64, other: u64, limit: u64) -> Signed
        = |k| k.string_compare(one, other, limit, false, W).map(Signed);
    fn _stricmp(one: u64, other: u64) -> Signed = |k| k.string_compare(one, other, ALL, true, N).map(Signed);
    fn _wcsicmp(one: u64, other: u64) -> Signed = |k| k.string_compare(one, other, ALL, true, W).map(Signed);
    fn _strnicmp(one: u64, other: u64, limit: u64) -> Signed
        = |k| k.string_compare(one, other, limit, true, N).map(Signed);
    fn _wcsnicmp(one: u64, other: u64, limit: u64) -> Signed
        = |k| k.string_compare(one, other, limit, true, W).map(Signed);

    fn strchr(text: u64, character: u16) -> u64 = |k| k.string_find(text, character, false, N);
    fn wcschr(text: u64, character: u16) -> u64 = |k| k.string_find(text, character, false, W);
    fn strrchr(text: u64, character: u16) -> u64 = |k| k.string_find(text, character, true, N);
    fn wcsrchr(text: u64, character: u16) -> u64 = |k| k.string_find(text, character, true, W);
    fn strstr(text: u64, wanted: u64) -> u64 = |k| k.string_find_string(text, wanted, N);
    fn wcsstr(text: u64, wanted: u64) -> u64 = |k| k.string_find_string(text, wanted, W);
    fn strspn(text: u64, set: u64) -> u64 = |k| k.string_span(text, set, Span::Of, N);
    fn wcsspn(text: u64, set: u64) -> u64 = |k| k.string_span(text, set, Span::Of, W);
    fn strcspn(text: u64, set: u64) -> u64 = |k| k.string_span(text, set, Span::Without, N);
    fn wcscspn(text: u64, set: u64) -> u64 = |k| k.string_span(text, set, Span::Without, W);

    fn _strlwr(text: u64) -> u64 = |k| k.string_change(text, Change::Lower, N);
    fn _wcslwr(text: u64) -> u64 = |k| k.string_change(text, Change::Lower, W);
    fn _strupr(text: u64) -> u64 = |k| k.string_change(text, Change::Upper, N);
    fn _wcsupr(text: u64) -> u64 = |k| k.string_change(text, Change::Upper, W);
    fn _strrev(text: u64) -> u64 = |k| k.string_change(text, Change::Reverse, N);
    fn _wcsrev(text: u64) -> u64 = |k| k.string_change(text, Change::Reverse, W);
    fn _strset(text: u64, character: u16) -> u64 = |k| k.string_change(text, Change::Set(character, ALL), N);
    fn _strnset(text: u64, character: u16, limit: u64) -> u64
        = |k| k.string_change(text, Change::Set(character, limit), N);
    fn _wcsnset(text: u64, character: u16, limit: u64) -> u64
        = |k| k.string_change(text, Change::Set(character, limit), W);

    fn atoi(text: u64) -> u32 = |k| k.string_to_number(text, DriverPtr::NULL, 10, true, N);
    fn atol(text: u64) -> u32 = |k| k.string_to_number(text, DriverPtr::NULL, 10, true, N);
    fn _wtoi(text: u64) -> u32 = |k| k.string_to_number(text, DriverPtr::NULL, 10, true, W);
    fn _wtol(text: u64) -> u32 = |k| k.string_to_number(text, DriverPtr::NULL, 10, true, W);
    fn strtol(text: u64, end: DriverPtr<u64>, base: u32) -> u32
        = |k| k.string_to_number(text, end, base, true, N);
    fn strtoul(text: u64, end: DriverPtr<u64>, base: u32) -> u32
        = |k| k.string_to_number(text, end, base, false, N);
    fn wcstol(text: u64, end: DriverPtr<u64>, base: u32) -> u32
        = |k| k.string_to_number(text, end, base, true, W);
    fn wcstoul(text: u64, end: DriverPtr<u64>, base: u32) -> u32
        = |k| k.string_to_number(text, end, base, false, W);
    fn _itoa(value: i32, to: u64, base: u32) -> u64
        = |k| k.number_to_string(value.into(), to, base, 32, N);
    fn _itow(value: i32, to: u64, base: u32) -> u64
        = |k| k.number_to_string(value.into(), to, base, 32, W);

    fn toupper(character: u16) -> u32 = |k| k.to_upper(character);
    fn towupper(character: u16) -> u32 = |k| k.to_upper(character);
    fn tolower(character: u16) -> u32 = |k| k.to_lower(character);
    fn towlower(character: u16) -> u32 = |k| k.to_lower(character);
    fn isdigit(character: u32) -> u32 = |k| k.is_kind(character, u8::is_ascii_digit);
    fn islower(character: u32) -> u32 = |k| k.is_kind(character, u8::is_ascii_lowercase);
    fn isprint(character: u32) -> u32 = |k| k.is_kind(character, |byte| (0x20..0x7F).contains(byte));
    fn isspace(character: u32) -> u32 = |k| k.is_kind(character, |byte| matches!(*byte, 9..=13 | 32));
    fn isupper(character: u32) -> u32 = |k| k.is_kind(character, u8::is_ascii_uppercase);
    fn isxdigit(character: u32) -> u32 = |k| k.is_kind(character, u8::is_ascii_hexdigit);

    fn rand() -> u32 = |k| k.rand();
    fn srand(seed: u32) -> Nothing = |k| k.srand(seed).map(Nothing::from);
    fn qsort(base: u64, count: u64, size: u64, routine: u64) -> Nothing
        = |k| k.qsort(base, count, size, routine).map(Nothing::from);
}
