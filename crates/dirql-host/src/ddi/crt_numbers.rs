//! C routines about numbers, paths, memory with a checked target, sorted arrays and tokens.

use dirql_kernel::DriverPtr;
use dirql_kernel::rtl::{Change, Width};

use super::{Signed, exports};

const N: Width = Width::Narrow;
const W: Width = Width::Wide;

exports! {
    fn _ltoa(value: i32, to: u64, base: u32) -> u64 = |k| k.number_to_string(value.into(), to, base, 32, N);
    fn _ltow(value: i32, to: u64, base: u32) -> u64 = |k| k.number_to_string(value.into(), to, base, 32, W);
    fn _ultoa(value: u32, to: u64, base: u32) -> u64 = |k| k.number_to_string(value.into(), to, base, 64, N);
    fn _ultow(value: u32, to: u64, base: u32) -> u64 = |k| k.number_to_string(value.into(), to, base, 64, W);
    fn _i64toa(value: i64, to: u64, base: u32) -> u64 = |k| k.number_to_string(value.into(), to, base, 64, N);
    fn _i64tow(value: i64, to: u64, base: u32) -> u64 = |k| k.number_to_string(value.into(), to, base, 64, W);
    fn _itoa_s(value: i32, to: u64, size: u64, base: u32) -> Signed
        = |k| k.number_to_string_secure(value.into(), (to, size), base, 32, N).map(Signed);
    fn _itow_s(value: i32, to: u64, size: u64, base: u32) -> Signed
        = |k| k.number_to_string_secure(value.into(), (to, size), base, 32, W).map(Signed);
    fn _ltoa_s(value: i32, to: u64, size: u64, base: u32) -> Signed
        = |k| k.number_to_string_secure(value.into(), (to, size), base, 32, N).map(Signed);
    fn _ltow_s(value: i32, to: u64, size: u64, base: u32) -> Signed
        = |k| k.number_to_string_secure(value.into(), (to, size), base, 32, W).map(Signed);
    fn _ultoa_s(value: u32, to: u64, size: u64, base: u32) -> Signed
        = |k| k.number_to_string_secure(value.into(), (to, size), base, 64, N).map(Signed);
    fn _ultow_s(value: u32, to: u64, size: u64, base: u32) -> Signed
        = |k| k.number_to_string_secure(value.into(), (to, size), base, 64, W).map(Signed);
    fn _i64toa_s(value: i64, to: u64, size: u64, base: u32) -> Signed
        = |k| k.number_to_string_secure(value.into(), (to, size), base, 64, N).map(Signed);
    fn _i64tow_s(value: i64, to: u64, size: u64, base: u32) -> Signed
        = |k| k.number_to_string_secure(value.into(), (to, size), base, 64, W).map(Signed);
    fn _ui64toa_s(value: u64, to: u64, size: u64, base: u32) -> Signed
        = |k| k.number_to_string_secure(value.into(), (to, size), base, 64, N).map(Signed);
    fn _ui64tow_s(value: u64, to: u64, size: u64, base: u32) -> Signed
        = |k| k.number_to_string_secure(value.into(), (to, size), base, 64, W).map(Signed);
    fn _strtoui64(text: u64, end: DriverPtr<u64>, base: u32) -> u64 = |k| k.string_to_number_64(text, end, base);
    fn mbtowc(to: u64, from: u64, count: u64) -> Signed = |k| k.mbtowc(to, from, count).map(Signed);
    fn wctomb(to: u64, character: u16) -> Signed = |k| k.wctomb(to, character).map(Signed);
    fn _strset_s(text: u64, size: u64, character: u16) -> Signed
        = |k| k.string_set_secure(text, size, character, u64::MAX, N).map(Signed);
    fn _wcsset_s(text: u64, size: u64, character: u16) -> Signed
        = |k| k.string_set_secure(text, size, character, u64::MAX, W).map(Signed);
    fn _strnset_s(text: u64, size: u64, character: u16, count: u64) -> Signed
        = |k| k.string_set_secure(text, size, character, count, N).map(Signed);
    fn _wcsnset_s(text: u64, size: u64, character: u16, count: u64) -> Signed
        = |k| k.string_set_secure(text, size, character, count, W).map(Signed);
    fn _splitpath_s(
        path: u64, drive: u64, drive_size: u64, directory: u64, directory_size: u64, name: u64, name_size: u64,
        extension: u64, extension_size: u64,
    ) -> Signed = |k| k.split_path(path, [
        (drive, drive_size), (directory, directory_size), (name, name_size), (extension, extension_size),
    ], N).map(Signed);
    fn _wsplitpath_s(
        path: u64, drive: u64, drive_size: u64, directory: u64, directory_size: u64, name: u64, name_size: u64,
        extension: u64, extension_size: u64,
    ) -> Signed = |k| k.split_path(path, [
        (drive, drive_size), (directory, directory_size), (name, name_size), (extension, extension_size),
    ], W).map(Signed);
    fn _makepath_s(to: u64, size: u64, drive: u64, directory: u64, name: u64, extension: u64) -> Signed
        = |k| k.make_path(to, size, [drive, directory, name, extension], N).map(Signed);
    fn _wmakepath_s(to: u64, size: u64, drive: u64, directory: u64, name: u64, extension: u64) -> Signed
        = |k| k.make_path(to, size, [drive, directory, name, extension], W).map(Signed);
    fn _purecall() -> u32 = |k| k.pure_call();
    fn memcpy_s(to: u64, size: u64, from: u64, count: u64) -> Signed
        = |k| k.memory_copy_secure(to, size, from, count).map(Signed);
    fn memmove_s(to: u64, size: u64, from: u64, count: u64) -> Signed
        = |k| k.memory_copy_secure(to, size, from, count).map(Signed);
    fn bsearch(key: u64, base: u64, count: u64, size: u64, compare: u64) -> u64
        = |k| k.bsearch(key, base, count, size, compare);
    fn strtok(text: u64, delimiters: u64) -> u64 = |k| k.string_token(text, delimiters, None, N);
    fn strtok_s(text: u64, delimiters: u64, context: DriverPtr<u64>) -> u64
        = |k| k.string_token(text, delimiters, Some(context), N);
    fn wcstok_s(text: u64, delimiters: u64, context: DriverPtr<u64>) -> u64
        = |k| k.string_token(text, delimiters, Some(context), W);
    fn mbstowcs(to: u64, from: u64, count: u64) -> u64 = |k| k.mbstowcs(to, from, count);
    fn wcstombs(to: u64, from: u64, count: u64) -> u64 = |k| k.wcstombs(to, from, count);
    fn strlwr(text: u64) -> u64 = |k| k.string_change(text, Change::Lower, N);
    fn wcslwr(text: u64) -> u64 = |k| k.string_change(text, Change::Lower, W);
    fn _wcsset(text: u64, character: u16) -> u64
        = |k| k.string_change(text, Change::Set(character, u64::MAX), W);
    fn isalpha(character: u32) -> u32 = |k| k.is_kind(character, u8::is_ascii_alphabetic);
    fn isalnum(character: u32) -> u32 = |k| k.is_kind(character, u8::is_ascii_alphanumeric);
    fn iswalpha(character: u16) -> u32 = |k| k.is_kind(character.into(), u8::is_ascii_alphabetic);
    fn iswdigit(character: u16) -> u32 = |k| k.is_kind(character.into(), u8::is_ascii_digit);
    fn iswspace(character: u16) -> u32
        = |k| k.is_kind(character.into(), |byte| matches!(*byte, 9..=13 | 32));
    fn iswalnum(character: u16) -> u32 = |k| k.is_kind(character.into(), u8::is_ascii_alphanumeric);
    fn iswxdigit(character: u16) -> u32 = |k| k.is_kind(character.into(), u8::is_ascii_hexdigit);
    fn RtlCrc32(buffer: u64, bytes: u64, initial: u32) -> u32
        = |k| k.rtl_crc(buffer, bytes, initial.into(), false).map(|crc| crc as u32);
    fn RtlCrc64(buffer: u64, bytes: u64, initial: u64) -> u64 = |k| k.rtl_crc(buffer, bytes, initial, true);
    fn RtlComputeCrc32(initial: u32, buffer: u64, bytes: u32) -> u32
        = |k| k.rtl_crc(buffer, bytes.into(), initial.into(), false).map(|crc| crc as u32);
}
