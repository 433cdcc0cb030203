use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr::null_mut;
use std::cell::{Cell, RefCell};

use crate::abi::{
    ConnectParameters, ConnectionContext, DisconnectParameters, FullySpecified, GroupAffinity,
    NtStatus, STATUS_INVALID_PARAMETER, STATUS_INVALID_PARAMETER_1, STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
};
use crate::fallback::{Library, Name, System};

const OBJECT: ConnectionContext = 0x1000 as ConnectionContext;
const DEVICE: *mut c_void = 0x2000 as *mut c_void;
const REFUSED: NtStatus = 0xC000_009A_u32 as i32;

thread_local! {
    static CALLS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note(call: String) {
    CALLS.with(|calls| calls.borrow_mut().push(call));
}

fn calls() -> Vec<String> {
    CALLS.with(|calls| calls.take())
}

extern "system" fn kernel_connect(parameters: *mut ConnectParameters) -> NtStatus {
    // SAFETY: the library hands on what the test gave it.
    note(format!("IoConnectInterruptEx {}", unsafe {
        (*parameters).version
    }));
    REFUSED
}

extern "system" fn kernel_disconnect(parameters: *mut DisconnectParameters) {
    // SAFETY: as above.
    note(format!("IoDisconnectInterruptEx {}", unsafe {
        (*parameters).version
    }));
}

extern "system" fn kernel_affinity(_: ConnectionContext, affinity: *mut GroupAffinity) -> NtStatus {
    // SAFETY: as above.
    unsafe { (*affinity).group = 7 };
    STATUS_SUCCESS
}

extern "system" fn kernel_active(_: *mut DisconnectParameters) {
    note("IoReportInterruptActive".into());
}

extern "system" fn kernel_inactive(_: *mut DisconnectParameters) {
    note("IoReportInterruptInactive".into());
}

/// A system that has the first `routines` of [`Name::ALL`].
struct Windows {
    routines: usize,
    lookups: Cell<usize>,
    connected: Cell<Option<FullySpecified>>,
    status: NtStatus,
}

const SERVER_2003: usize = 0;
const VISTA: usize = 2;
const SEVEN: usize = 3;
const EIGHT: usize = 5;

fn library(routines: usize) -> Library<Windows> {
    let (lookups, connected) = (Cell::new(0), Cell::new(None));
    Library::new(Windows {
        routines,
        lookups,
        connected,
        status: STATUS_SUCCESS,
    })
}

impl System for Windows {
    fn find(&self, name: Name) -> *mut c_void {
        self.lookups.set(self.lookups.get() + 1);
        if name as usize >= self.routines {
            return null_mut();
        }
        match name {
            Name::IoConnectInterruptEx => kernel_connect as *mut c_void,
            Name::IoDisconnectInterruptEx => kernel_disconnect as *mut c_void,
            Name::IoGetAffinityInterrupt => kernel_affinity as *mut c_void,
            Name::IoReportInterruptActive => kernel_active as *mut c_void,
            Name::IoReportInterruptInactive => kernel_inactive as *mut c_void,
        }
    }

    unsafe fn connect(&self, block: &FullySpecified) -> NtStatus {
        self.connected.set(Some(*block));
        if self.status == STATUS_SUCCESS {
            // SAFETY: the tests store the address of a variable here.
            unsafe { block.interrupt_object.write(OBJECT) };
        }
        self.status
    }

    unsafe fn disconnect(&self, interrupt: ConnectionContext) {
        note(format!("IoDisconnectInterrupt {interrupt:p}"));
    }

    fn active_processors(&self) -> usize {
        0b1011
    }

    fn mismatch(&self, version: u32) -> ! {
        panic!("bug check 0xCA (9, {version})")
    }
}

fn block(interrupt_object: *mut ConnectionContext) -> FullySpecified {
    FullySpecified {
        physical_device_object: DEVICE,
        interrupt_object,
        service_routine: 0x3000 as *const c_void,
        service_context: 0x4000 as *mut c_void,
        spin_lock: 0x5000 as *mut c_void,
        synchronize_irql: 9,
        floating_save: 2,
        share_vector: 255,
        vector: 0x81,
        irql: 8,
        interrupt_mode: 1,
        processor_enable_mask: 0b11,
    }
}

/// Connects with `version`; the status, and `Version` and the pointer on return.
fn connect(library: &Library<Windows>, version: u32) -> (NtStatus, u32, ConnectionContext) {
    let mut object = null_mut();
    let mut parameters = ConnectParameters {
        version,
        block: block(&mut object),
    };
    // SAFETY: the block is complete.
    let status = unsafe { library.connect(&mut parameters) };
    (status, parameters.version, object)
}

#[test]
fn a_kernel_that_has_the_routine_is_asked_whatever_the_version() {
    let library = library(VISTA);
    for version in [0, 1, 2, 3, 4, 5, u32::MAX] {
        assert_eq!(connect(&library, version), (REFUSED, version, null_mut()));
        assert_eq!(calls(), [format!("IoConnectInterruptEx {version}")]);
    }
    assert_eq!(library.system().connected.get(), None);
}

#[test]
fn names_are_looked_up_once() {
    let library = library(SERVER_2003);
    connect(&library, 3);
    connect(&library, 1);
    assert_eq!(library.system().lookups.get(), Name::ALL.len());
}

#[test]
fn each_name_is_at_its_own_number() {
    for (number, name) in Name::ALL.iter().enumerate() {
        assert_eq!(*name as usize, number);
    }
}

#[test]
fn fully_specified_becomes_the_old_routine_member_by_member() {
    let library = library(SERVER_2003);
    let mut object = null_mut();
    let wanted = block(&mut object);
    let mut parameters = ConnectParameters {
        version: 1,
        block: wanted,
    };
    // SAFETY: the block is complete.
    let status = unsafe { library.connect(&mut parameters) };
    assert_eq!(
        (status, parameters.version, object),
        (STATUS_SUCCESS, 1, OBJECT)
    );
    assert_eq!(library.system().connected.get(), Some(wanted));
}

#[test]
fn the_old_routines_status_is_returned() {
    let mut library = library(SERVER_2003);
    library.system_mut().status = STATUS_INVALID_PARAMETER;
    assert_eq!(
        connect(&library, 1),
        (STATUS_INVALID_PARAMETER, 1, null_mut())
    );
}

#[test]
fn other_versions_fail_and_say_what_would_work() {
    let library = library(SERVER_2003);
    for version in 2..=5 {
        assert_eq!(
            connect(&library, version),
            (STATUS_NOT_SUPPORTED, 1, null_mut())
        );
    }
    for version in [0, 6, u32::MAX] {
        assert_eq!(
            connect(&library, version),
            (STATUS_INVALID_PARAMETER_1, 1, null_mut())
        );
    }
    assert_eq!(library.system().connected.get(), None);
}

#[test]
fn a_device_is_needed_although_the_old_routine_takes_none() {
    let library = library(SERVER_2003);
    let mut object = null_mut();
    let block = FullySpecified {
        physical_device_object: null_mut(),
        ..block(&mut object)
    };
    let mut parameters = ConnectParameters { version: 1, block };
    // SAFETY: the block is complete but for the device, which is what is tested.
    let status = unsafe { library.connect(&mut parameters) };
    assert_eq!(status, STATUS_INVALID_PARAMETER);
    assert_eq!(library.system().connected.get(), None);
}

/// Disconnects what was connected with `version`.
fn disconnect(library: &Library<Windows>, version: u32) -> NtStatus {
    let mut parameters = DisconnectParameters {
        version,
        context: OBJECT,
    };
    // SAFETY: the fake routines do not look at the object.
    unsafe { library.disconnect(&mut parameters) }
}

#[test]
fn disconnect_goes_the_way_connect_went() {
    assert_eq!(disconnect(&library(VISTA), 3), STATUS_SUCCESS);
    assert_eq!(calls(), ["IoDisconnectInterruptEx 3"]);
    assert_eq!(disconnect(&library(SERVER_2003), 1), STATUS_SUCCESS);
    assert_eq!(calls(), ["IoDisconnectInterrupt 0x1000"]);
}

#[test]
#[should_panic(expected = "bug check 0xCA (9, 3)")]
fn disconnect_of_what_cannot_be_connected_stops_the_system() {
    disconnect(&library(SERVER_2003), 3);
}

/// The affinity of `interrupt`, written over nines.
fn affinity(library: &Library<Windows>, interrupt: ConnectionContext) -> (NtStatus, GroupAffinity) {
    let mut affinity = GroupAffinity {
        mask: 9,
        group: 9,
        reserved: [9; 3],
    };
    // SAFETY: the variable is writable.
    let status = unsafe { library.affinity(interrupt, &mut affinity) };
    (status, affinity)
}

#[test]
fn affinity_is_all_processors_where_the_kernel_cannot_say() {
    let all = GroupAffinity {
        mask: 0b1011,
        group: 0,
        reserved: [0; 3],
    };
    assert_eq!(affinity(&library(VISTA), OBJECT), (STATUS_SUCCESS, all));
    assert_eq!(affinity(&library(SEVEN), OBJECT).1.group, 7);
}

#[test]
fn affinity_wants_an_object_and_room() {
    let library = library(SERVER_2003);
    let (status, untouched) = affinity(&library, null_mut());
    assert_eq!(status, STATUS_INVALID_PARAMETER);
    assert_eq!(untouched.mask, 9);
    // SAFETY: null is allowed.
    let status = unsafe { library.affinity(OBJECT, null_mut()) };
    assert_eq!(status, STATUS_INVALID_PARAMETER);
}

#[test]
fn reports_reach_the_kernel_or_do_nothing() {
    let mut parameters = DisconnectParameters {
        version: 3,
        context: OBJECT,
    };
    for routines in [SEVEN, EIGHT] {
        let library = library(routines);
        // SAFETY: the fake routines only note the call.
        unsafe { library.report(&mut parameters, true) };
        // SAFETY: as above.
        unsafe { library.report(&mut parameters, false) };
        let expected: &[&str] = match routines {
            EIGHT => &["IoReportInterruptActive", "IoReportInterruptInactive"],
            _ => &[],
        };
        assert_eq!(calls(), expected);
    }
}

#[test]
fn offsets_are_those_of_the_x64_header() {
    let block = offset_of!(ConnectParameters, block);
    let offsets = [
        block + offset_of!(FullySpecified, physical_device_object),
        block + offset_of!(FullySpecified, interrupt_object),
        block + offset_of!(FullySpecified, service_routine),
        block + offset_of!(FullySpecified, service_context),
        block + offset_of!(FullySpecified, spin_lock),
        block + offset_of!(FullySpecified, synchronize_irql),
        block + offset_of!(FullySpecified, floating_save),
        block + offset_of!(FullySpecified, share_vector),
        block + offset_of!(FullySpecified, vector),
        block + offset_of!(FullySpecified, irql),
        block + offset_of!(FullySpecified, interrupt_mode),
        block + offset_of!(FullySpecified, processor_enable_mask),
    ];
    assert_eq!(offsets, [8, 16, 24, 32, 40, 48, 49, 50, 52, 56, 60, 64]);
    assert_eq!(offset_of!(DisconnectParameters, context), 8);
    assert_eq!(offset_of!(GroupAffinity, group), 8);
}
