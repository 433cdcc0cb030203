//! The library's exports, over the kernel that the driver is loaded into.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use crate::abi::{
    ConnectParameters, ConnectionContext, DisconnectParameters, FullySpecified, GroupAffinity,
    NtStatus,
};
use crate::fallback::{Library, Name, System};

/// `PNP_DETECTED_FATAL_ERROR`; its parameter 9 is a disconnect that does not match.
const PNP_DETECTED_FATAL_ERROR: u32 = 0xCA;

/// `UNICODE_STRING`.
#[repr(C)]
struct UnicodeString {
    length: u16,
    maximum_length: u16,
    buffer: *const u16,
}

extern "system" {
    fn IoConnectInterrupt(
        interrupt_object: *mut ConnectionContext,
        service_routine: *const c_void,
        service_context: *mut c_void,
        spin_lock: *mut c_void,
        vector: u32,
        irql: u8,
        synchronize_irql: u8,
        interrupt_mode: u32,
        share_vector: u8,
        processor_enable_mask: usize,
        floating_save: u8,
    ) -> NtStatus;
    fn IoDisconnectInterrupt(interrupt_object: ConnectionContext);
    fn KeBugCheckEx(code: u32, p1: usize, p2: usize, p3: usize, p4: usize) -> !;
    fn KeQueryActiveProcessors() -> usize;
    fn MmGetSystemRoutineAddress(name: *mut UnicodeString) -> *mut c_void;
    fn RtlInitUnicodeString(destination: *mut UnicodeString, source: *const u16);
}

/// ASCII as UTF-16, followed by zeros.
const fn wide(name: &[u8]) -> [u16; 26] {
    let mut wide = [0; 26];
    let mut i = 0;
    while i < name.len() {
        wide[i] = name[i] as u16;
        i += 1;
    }
    assert!(i < wide.len(), "no room for the final zero");
    wide
}

/// By [`Name`].
static NAMES: [[u16; 26]; Name::ALL.len()] = [
    wide(b"IoConnectInterruptEx"),
    wide(b"IoDisconnectInterruptEx"),
    wide(b"IoGetAffinityInterrupt"),
    wide(b"IoReportInterruptActive"),
    wide(b"IoReportInterruptInactive"),
];

struct Kernel;

impl System for Kernel {
    fn find(&self, name: Name) -> *mut c_void {
        let source = NAMES[name as usize].as_ptr();
        let mut string = MaybeUninit::<UnicodeString>::uninit();
        // SAFETY: `string` is writable, `source` is static and ends with a zero.
        unsafe { RtlInitUnicodeString(string.as_mut_ptr(), source) };
        // SAFETY: the string was initialised; the library calls this at PASSIVE_LEVEL.
        unsafe { MmGetSystemRoutineAddress(string.as_mut_ptr()) }
    }

    unsafe fn connect(&self, block: &FullySpecified) -> NtStatus {
        // SAFETY: the caller's members keep this routine's contract.
        unsafe {
            IoConnectInterrupt(
                block.interrupt_object,
                block.service_routine,
                block.service_context,
                block.spin_lock,
                block.vector,
                block.irql,
                block.synchronize_irql,
                block.interrupt_mode,
                block.share_vector,
                block.processor_enable_mask,
                block.floating_save,
            )
        }
    }

    unsafe fn disconnect(&self, interrupt: ConnectionContext) {
        // SAFETY: the caller's object comes from `IoConnectInterrupt`.
        unsafe { IoDisconnectInterrupt(interrupt) };
    }

    fn active_processors(&self) -> usize {
        // SAFETY: no preconditions, any IRQL.
        unsafe { KeQueryActiveProcessors() }
    }

    fn mismatch(&self, version: u32) -> ! {
        // SAFETY: stopping the system has no preconditions.
        unsafe { KeBugCheckEx(PNP_DETECTED_FATAL_ERROR, 9, version as usize, 0, 0) }
    }
}

static LIBRARY: Library<Kernel> = Library::new(Kernel);

/// See [`Library::connect`].
///
/// # Safety
/// As there.
#[no_mangle]
pub unsafe extern "system" fn WdmlibIoConnectInterruptEx(
    parameters: *mut ConnectParameters,
) -> NtStatus {
    // SAFETY: the caller's promise.
    unsafe { LIBRARY.connect(parameters) }
}

/// See [`Library::disconnect`].
///
/// # Safety
/// As there.
#[no_mangle]
pub unsafe extern "system" fn WdmlibIoDisconnectInterruptEx(
    parameters: *mut DisconnectParameters,
) -> NtStatus {
    // SAFETY: the caller's promise.
    unsafe { LIBRARY.disconnect(parameters) }
}

/// See [`Library::affinity`].
///
/// # Safety
/// As there.
#[no_mangle]
pub unsafe extern "system" fn WdmlibIoGetAffinityInterrupt(
    interrupt: ConnectionContext,
    affinity: *mut GroupAffinity,
) -> NtStatus {
    // SAFETY: the caller's promise.
    unsafe { LIBRARY.affinity(interrupt, affinity) }
}

/// See [`Library::report`].
///
/// # Safety
/// As there.
#[no_mangle]
pub unsafe extern "system" fn WdmlibIoReportInterruptActive(parameters: *mut DisconnectParameters) {
    // SAFETY: the caller's promise.
    unsafe { LIBRARY.report(parameters, true) };
}

/// See [`Library::report`].
///
/// # Safety
/// As there.
#[no_mangle]
pub unsafe extern "system" fn WdmlibIoReportInterruptInactive(
    parameters: *mut DisconnectParameters,
) {
    // SAFETY: the caller's promise.
    unsafe { LIBRARY.report(parameters, false) };
}
