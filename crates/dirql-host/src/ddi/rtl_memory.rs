//! Copying, filling and comparing memory.

use super::{Nothing, Signed, exports};

exports! {
    fn RtlCompareMemory(one: u64, other: u64, length: u64) -> u64
        = |k| k.rtl_compare_memory(one, other, length);
    fn RtlCompareMemoryUlong(address: u64, length: u64, pattern: u32) -> u64
        = |k| k.rtl_compare_memory_ulong(address, length, pattern);
    fn RtlCopyMemory(to: u64, from: u64, length: u64) -> Nothing
        = |k| k.memmove(to, from, length).map(|_| Nothing::from(()));
    fn RtlCopyMemoryNonTemporal(to: u64, from: u64, length: u64) -> Nothing
        = |k| k.memmove(to, from, length).map(|_| Nothing::from(()));
    fn RtlFillMemory(to: u64, length: u64, value: u8) -> Nothing
        = |k| k.memset(to, value, length).map(|_| Nothing::from(()));
    fn RtlMoveMemory(to: u64, from: u64, length: u64) -> Nothing
        = |k| k.memmove(to, from, length).map(|_| Nothing::from(()));
    fn RtlZeroMemory(to: u64, length: u64) -> Nothing
        = |k| k.memset(to, 0, length).map(|_| Nothing::from(()));
    fn memchr(address: u64, byte: u32, length: u64) -> u64 = |k| k.memchr(address, byte as u8, length);
    fn memcmp(one: u64, other: u64, length: u64) -> Signed = |k| k.memcmp(one, other, length).map(Signed);
    fn memcpy(to: u64, from: u64, length: u64) -> u64 = |k| k.memmove(to, from, length);
    fn memmove(to: u64, from: u64, length: u64) -> u64 = |k| k.memmove(to, from, length);
    fn memset(to: u64, value: u32, length: u64) -> u64 = |k| k.memset(to, value as u8, length);
}
