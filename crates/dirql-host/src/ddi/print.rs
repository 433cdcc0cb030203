//! Formatting, scanning, and text for a debugger.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;
use dirql_kernel::rtl::{Room, Width};

use super::variadic::variadic_exports;
use super::{Nothing, Signed, exports};

variadic_exports! {
    fn DbgPrint(1, format: u64; arguments) -> NtStatus = |k| k.dbg_print(0, format, arguments.address());
    fn DbgPrintEx(3, _component: u32, _level: u32, format: u64; arguments) -> NtStatus
        = |k| k.dbg_print(0, format, arguments.address());
    fn DbgPrintReturnControlC(1, format: u64; arguments) -> NtStatus
        = |k| k.dbg_print(0, format, arguments.address());
    fn sprintf(2, buffer: u64, format: u64; arguments) -> Signed
        = |k| k.print_to(buffer, Room::Unknown, format, arguments.address(), Width::Narrow).map(Signed);
    fn swprintf(2, buffer: u64, format: u64; arguments) -> Signed
        = |k| k.print_to(buffer, Room::Unknown, format, arguments.address(), Width::Wide).map(Signed);
    fn _snprintf(3, buffer: u64, count: u64, format: u64; arguments) -> Signed
        = |k| k.print_to(buffer, Room::Counted(count), format, arguments.address(), Width::Narrow).map(Signed);
    fn _snwprintf(3, buffer: u64, count: u64, format: u64; arguments) -> Signed
        = |k| k.print_to(buffer, Room::Counted(count), format, arguments.address(), Width::Wide).map(Signed);
    fn sprintf_s(3, buffer: u64, size: u64, format: u64; arguments) -> Signed
        = |k| k.print_to(buffer, Room::Secure(size), format, arguments.address(), Width::Narrow).map(Signed);
    fn swprintf_s(3, buffer: u64, size: u64, format: u64; arguments) -> Signed
        = |k| k.print_to(buffer, Room::Secure(size), format, arguments.address(), Width::Wide).map(Signed);
    fn _snprintf_s(4, buffer: u64, size: u64, count: u64, format: u64; arguments) -> Signed
        = |k| k.print_to(buffer, Room::SecureCounted(size, count), format, arguments.address(), Width::Narrow).map(Signed);
    fn _snwprintf_s(4, buffer: u64, size: u64, count: u64, format: u64; arguments) -> Signed
        = |k| k.print_to(buffer, Room::SecureCounted(size, count), format, arguments.address(), Width::Wide).map(Signed);
    fn _swprintf(2, buffer: u64, format: u64; arguments) -> Signed
        = |k| k.print_to(buffer, Room::Unknown, format, arguments.address(), Width::Wide).map(Signed);
    fn sscanf_s(2, input: u64, format: u64; arguments) -> Signed
        = |k| k.scan(input, ALL, format, arguments.address(), (Width::Narrow, true)).map(Signed);
    fn swscanf_s(2, input: u64, format: u64; arguments) -> Signed
        = |k| k.scan(input, ALL, format, arguments.address(), (Width::Wide, true)).map(Signed);
    fn _snscanf_s(3, input: u64, length: u64, format: u64; arguments) -> Signed
        = |k| k.scan(input, length, format, arguments.address(), (Width::Narrow, true)).map(Signed);
    fn _snwscanf_s(3, input: u64, length: u64, format: u64; arguments) -> Signed
        = |k| k.scan(input, length, format, arguments.address(), (Width::Wide, true)).map(Signed);
    fn sscanf(2, input: u64, format: u64; arguments) -> Signed
        = |k| k.scan(input, ALL, format, arguments.address(), (Width::Narrow, false)).map(Signed);
    fn swscanf(2, input: u64, format: u64; arguments) -> Signed
        = |k| k.scan(input, ALL, format, arguments.address(), (Width::Wide, false)).map(Signed);
}

/// No limit of a string's length.
const ALL: u64 = u64::MAX;

type Slots = DriverPtr<u64>;

exports! {
    fn DbgBreakPoint() -> Nothing = |k| k.dbg_break_point().map(Nothing::from);
    fn DbgBreakPointWithStatus(_status: u32) -> Nothing = |k| k.dbg_break_point().map(Nothing::from);
    fn RtlAssert(assertion: u64, file: u64, line: u32, message: u64) -> Nothing
        = |k| k.rtl_assert(assertion, file, line, message).map(Nothing::from);
    fn vDbgPrintEx(_component: u32, _level: u32, format: u64, arguments: Slots) -> NtStatus
        = |k| k.dbg_print(0, format, arguments.address());
    fn vDbgPrintExWithPrefix(prefix: u64, _component: u32, _level: u32, format: u64, arguments: Slots) -> NtStatus
        = |k| k.dbg_print(prefix, format, arguments.address());
    fn vsprintf(buffer: u64, format: u64, arguments: Slots) -> Signed
        = |k| k.print_to(buffer, Room::Unknown, format, arguments.address(), Width::Narrow).map(Signed);
    fn _vswprintf(buffer: u64, format: u64, arguments: Slots) -> Signed
        = |k| k.print_to(buffer, Room::Unknown, format, arguments.address(), Width::Wide).map(Signed);
    fn _vsnprintf(buffer: u64, count: u64, format: u64, arguments: Slots) -> Signed
        = |k| k.print_to(buffer, Room::Counted(count), format, arguments.address(), Width::Narrow).map(Signed);
    fn _vsnwprintf(buffer: u64, count: u64, format: u64, arguments: Slots) -> Signed
        = |k| k.print_to(buffer, Room::Counted(count), format, arguments.address(), Width::Wide).map(Signed);
    fn vsprintf_s(buffer: u64, size: u64, format: u64, arguments: Slots) -> Signed
        = |k| k.print_to(buffer, Room::Secure(size), format, arguments.address(), Width::Narrow).map(Signed);
    fn vswprintf_s(buffer: u64, size: u64, format: u64, arguments: Slots) -> Signed
        = |k| k.print_to(buffer, Room::Secure(size), format, arguments.address(), Width::Wide).map(Signed);
    fn _vsnprintf_s(buffer: u64, size: u64, count: u64, format: u64, arguments: Slots) -> Signed
        = |k| k.print_to(buffer, Room::SecureCounted(size, count), format, arguments.address(), Width::Narrow).map(Signed);
    fn _vsnwprintf_s(buffer: u64, size: u64, count: u64, format: u64, arguments: Slots) -> Signed
        = |k| k.print_to(buffer, Room::SecureCounted(size, count), format, arguments.address(), Width::Wide).map(Signed);
}
