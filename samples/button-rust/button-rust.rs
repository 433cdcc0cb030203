//! Function driver in Rust for the device "button", with one line.
//!
//! A read waits until the button has been pressed and returns how often it has been since the last
//! read, as four bytes. Reads wait in a cancel-safe queue; the ISR counts, a DPC ends reads.
//!
//! No `std`, no allocator, no panic machinery: an array is indexed only where the compiler sees
//! that it cannot fail, and the panic handler stops the system. Layouts are those of wdm.h for
//! x64 and are asserted.
//!
//! Locks, outermost first: `reads_lock` for `irps`; the interrupt's for `presses`.
#![no_std]
#![no_main]

use core::arch::asm;
use core::ffi::c_void;
use core::mem::size_of;
use core::panic::PanicInfo;
use core::ptr::{addr_of_mut, null, null_mut, read_volatile, write_volatile};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use nt::*;

/// The offset of a member; Rust 1.63 has no `offset_of!`.
macro_rules! memoffset {
    ($type:ty, $member:ident) => {{
        let place = core::mem::MaybeUninit::<$type>::uninit();
        let base = place.as_ptr();
        // SAFETY: no reference is made and nothing is read.
        #[allow(unused_unsafe)] // where the caller is unsafe
        let member = unsafe { core::ptr::addr_of!((*base).$member) };
        member as usize - base as usize
    }};
}

/// What wdm.h has, as far as this driver needs it.
mod nt {
    #![allow(non_snake_case, dead_code)] // named as in wdm.h, and whole

    use super::*;

    pub type NtStatus = i32;

    pub const SUCCESS: NtStatus = 0;
    pub const PENDING: NtStatus = 0x103;
    pub const UNSUCCESSFUL: NtStatus = 0xC000_0001_u32 as i32;
    pub const NO_SUCH_DEVICE: NtStatus = 0xC000_000E_u32 as i32;
    pub const BUFFER_TOO_SMALL: NtStatus = 0xC000_0023_u32 as i32;
    pub const INSUFFICIENT_RESOURCES: NtStatus = 0xC000_009A_u32 as i32;
    pub const DEVICE_NOT_READY: NtStatus = 0xC000_00A3_u32 as i32;
    pub const CANCELLED: NtStatus = 0xC000_0120_u32 as i32;
    pub const DEVICE_CONFIGURATION_ERROR: NtStatus = 0xC000_0182_u32 as i32;
    pub const DEVICE_REMOVED: NtStatus = 0xC000_02B6_u32 as i32;

    pub const fn succeeded(status: NtStatus) -> bool {
        status >= 0
    }

    #[repr(C)]
    pub struct ListEntry {
        pub flink: *mut ListEntry,
        pub blink: *mut ListEntry,
    }

    #[repr(C)]
    pub struct UnicodeString {
        pub length: u16,
        pub maximum_length: u16,
        pub buffer: *mut u16,
    }

    #[repr(C)]
    pub struct Guid(pub u32, pub u16, pub u16, pub [u8; 8]);

    #[repr(C)]
    pub struct IoStatusBlock {
        pub status: NtStatus,
        pub information: usize,
    }

    #[repr(C)]
    pub struct Irp {
        header: [u8; 0x18],
        pub system_buffer: *mut c_void,
        thread_list_entry: ListEntry,
        pub io_status: IoStatusBlock,
        requestor_mode: u8,
        pending_returned: u8,
        stack_count: i8,
        pub current_location: i8,
        rest: [u8; 0x64],
        pub list_entry: ListEntry,
        pub current_stack_location: *mut StackLocation,
        file_and_apc: [u8; 0x10],
    }

    const _: () = assert!(size_of::<Irp>() == 0xD0);

    #[repr(C)]
    pub struct StackLocation {
        pub major_function: u8,
        pub minor_function: u8,
        flags: u8,
        pub control: u8,
        pub parameters: [usize; 4],
        pub device_object: *mut DeviceObject,
        pub file_object: *mut c_void,
        completion_routine: *const c_void,
        context: *mut c_void,
    }

    const _: () = assert!(size_of::<StackLocation>() == 0x48);

    #[repr(C)]
    pub struct DeviceObject {
        header: [u8; 0x30],
        pub flags: u32,
        characteristics: u32,
        vpb: *mut c_void,
        pub device_extension: *mut c_void,
        // There is more.
    }

    #[repr(C)]
    pub struct DriverExtension {
        driver_object: *mut DriverObject,
        pub add_device: Option<extern "system" fn(*mut DriverObject, *mut DeviceObject) -> NtStatus>,
    }

    pub type Dispatch = extern "system" fn(*mut DeviceObject, *mut Irp) -> NtStatus;

    #[repr(C)]
    pub struct DriverObject {
        header: [u8; 0x30],
        pub driver_extension: *mut DriverExtension,
        names: [u8; 0x30],
        pub driver_unload: Option<extern "system" fn(*mut DriverObject)>,
        pub major_function: [Option<Dispatch>; 28],
    }

    const _: () = assert!(size_of::<DriverObject>() == 0x150);

    /// Opaque, with the size and alignment of the original.
    #[repr(C)]
    pub struct Kdpc([u64; 8]);
    #[repr(C)]
    pub struct RemoveLock([u64; 4]);

    #[repr(C)]
    pub struct Csq {
        kind: u32,
        routines: [*const c_void; 6],
        reserved: *mut c_void,
    }

    #[repr(C, packed(4))]
    #[derive(Clone, Copy)]
    pub struct PartialDescriptor {
        pub kind: u8,
        pub share: u8,
        pub flags: u16,
        pub words: [u32; 4],
    }

    const _: () = assert!(size_of::<PartialDescriptor>() == 20);

    extern "system" {
        pub fn IoAcquireRemoveLockEx(
            lock: *mut RemoveLock,
            tag: *mut c_void,
            file: *const u8,
            line: u32,
            size: u32,
        ) -> NtStatus;
        pub fn IoAttachDeviceToDeviceStack(
            source: *mut DeviceObject,
            target: *mut DeviceObject,
        ) -> *mut DeviceObject;
        pub fn IoConnectInterrupt(
            interrupt: *mut *mut c_void,
            isr: extern "system" fn(*mut c_void, *mut Button) -> u8,
            context: *mut Button,
            lock: *mut usize,
            vector: u32,
            irql: u8,
            synchronize_irql: u8,
            mode: u32,
            shares: u8,
            processors: usize,
            floating: u8,
        ) -> NtStatus;
        pub fn IoCreateDevice(
            driver: *mut DriverObject,
            extension: u32,
            name: *const UnicodeString,
            kind: u32,
            characteristics: u32,
            exclusive: u8,
            device: *mut *mut DeviceObject,
        ) -> NtStatus;
        pub fn IoCsqInitialize(
            csq: *mut Csq,
            insert: extern "system" fn(*mut Csq, *mut Irp),
            remove: extern "system" fn(*mut Csq, *mut Irp),
            peek: extern "system" fn(*mut Csq, *mut Irp, *mut c_void) -> *mut Irp,
            acquire: extern "system" fn(*mut Csq, *mut u8),
            release: extern "system" fn(*mut Csq, u8),
            complete: extern "system" fn(*mut Csq, *mut Irp),
        ) -> NtStatus;
        pub fn IoCsqInsertIrp(csq: *mut Csq, irp: *mut Irp, context: *mut c_void);
        pub fn IoCsqRemoveNextIrp(csq: *mut Csq, context: *mut c_void) -> *mut Irp;
        pub fn IoDeleteDevice(device: *mut DeviceObject);
        pub fn IoDetachDevice(lower: *mut DeviceObject);
        pub fn IoDisconnectInterrupt(interrupt: *mut c_void);
        pub fn IoForwardIrpSynchronously(lower: *mut DeviceObject, irp: *mut Irp) -> u8;
        pub fn IoInitializeRemoveLockEx(
            lock: *mut RemoveLock,
            tag: u32,
            minutes: u32,
            watermark: u32,
            size: u32,
        );
        pub fn IoRegisterDeviceInterface(
            device: *mut DeviceObject,
            class: *const Guid,
            reference: *const UnicodeString,
            name: *mut UnicodeString,
        ) -> NtStatus;
        pub fn IoReleaseRemoveLockAndWaitEx(lock: *mut RemoveLock, tag: *mut c_void, size: u32);
        pub fn IoReleaseRemoveLockEx(lock: *mut RemoveLock, tag: *mut c_void, size: u32);
        pub fn IoSetDeviceInterfaceState(name: *mut UnicodeString, enable: u8) -> NtStatus;
        pub fn IofCallDriver(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus;
        pub fn IofCompleteRequest(irp: *mut Irp, boost: u8);
        pub fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize) -> u8;
        pub fn KeBugCheckEx(code: u32, a: usize, b: usize, c: usize, d: usize) -> !;
        pub fn KeFlushQueuedDpcs();
        pub fn KeInitializeDpc(
            dpc: *mut Kdpc,
            routine: extern "system" fn(*mut Kdpc, *mut Button, *mut c_void, *mut c_void),
            context: *mut Button,
        );
        pub fn KeInsertQueueDpc(dpc: *mut Kdpc, a: *mut c_void, b: *mut c_void) -> u8;
        pub fn KeReleaseSpinLock(lock: *mut usize, irql: u8);
        pub fn KeSynchronizeExecution(
            interrupt: *mut c_void,
            routine: extern "system" fn(*mut Button) -> u8,
            context: *mut Button,
        ) -> u8;
        pub fn MmMapIoSpace(address: u64, bytes: usize, caching: u32) -> *mut c_void;
        pub fn MmUnmapIoSpace(address: *mut c_void, bytes: usize);
        pub fn PoCallDriver(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus;
        pub fn PoStartNextPowerIrp(irp: *mut Irp);
        pub fn RtlFreeUnicodeString(string: *mut UnicodeString);
    }
}

const TAG: u32 = u32::from_le_bytes(*b"BtnR");

const CREATE: usize = 0x00;
const CLOSE: usize = 0x02;
const READ: usize = 0x03;
const CLEANUP: usize = 0x12;
const POWER: usize = 0x16;
const SYSTEM_CONTROL: usize = 0x17;
const PNP: usize = 0x1B;

const START_DEVICE: u8 = 0x00;
const REMOVE_DEVICE: u8 = 0x02;
const STOP_DEVICE: u8 = 0x04;
const SURPRISE_REMOVAL: u8 = 0x17;
const CERTAIN: [u8; 4] = [0x01, 0x03, 0x05, 0x06]; // query and cancel, remove and stop

/// {6C9F7F5B-6A0E-4A47-9B1E-2F0C5D1B0E05}
static INTERFACE: Guid = Guid(
    0x6c9f7f5b,
    0x6a0e,
    0x4a47,
    [0x9b, 0x1e, 0x2f, 0x0c, 0x5d, 0x1b, 0x0e, 0x05],
);

/// The registers: four bytes in memory or ports.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Registers {
    None,
    Memory(*mut u8),
    Ports(u16),
}

impl Registers {
    const WINDOW: usize = 4;
    const STATUS: u16 = 0;
    const ACKNOWLEDGE: u16 = 2;
    const ASSERTED: u8 = 2;
    const GONE: u8 = 0xFF;

    fn get(self, offset: u16) -> u8 {
        match self {
            Self::None => Self::GONE,
            // SAFETY: the mapping is of the device's registers, all of which are inside.
            Self::Memory(base) => unsafe { read_volatile(base.add(offset.into())) },
            Self::Ports(base) => {
                let value: u8;
                // SAFETY: the port is the device's.
                unsafe { asm!("in al, dx", out("al") value, in("dx") base + offset, options(nomem, nostack)) };
                value
            }
        }
    }

    fn set(self, offset: u16, value: u8) {
        match self {
            Self::None => {}
            // SAFETY: as above.
            Self::Memory(base) => unsafe { write_volatile(base.add(offset.into()), value) },
            // SAFETY: as above.
            Self::Ports(base) => unsafe {
                asm!("out dx, al", in("al") value, in("dx") base + offset, options(nomem, nostack));
            },
        }
    }
}

/// The device extension. All zeros is a valid one that is not started.
#[repr(C)]
pub struct Button {
    this: *mut DeviceObject,
    lower: *mut DeviceObject,
    interface: UnicodeString,
    remove_lock: RemoveLock,
    registers: Registers,
    interrupt: *mut c_void,
    /// Presses that no read has returned. Changed under the interrupt's lock.
    presses: AtomicU32,
    /// What the last `take` took.
    taken: AtomicU32,
    dpc: Kdpc,
    is_started: AtomicBool,
    reads: Csq,
    reads_lock: usize,
    irps: ListEntry,
}

impl Button {
    /// The extension of a device object of this driver.
    fn of(device: *mut DeviceObject) -> *mut Self {
        // SAFETY: every device object that the kernel gives this driver is one that it made.
        unsafe { (*device).device_extension.cast() }
    }

    /// The extension that a queue is in.
    fn of_queue(csq: *mut Csq) -> *mut Self {
        let offset = memoffset!(Button, reads);
        // SAFETY: the queue is a member of a device extension.
        unsafe { csq.cast::<u8>().sub(offset).cast() }
    }
}

fn complete(irp: *mut Irp, status: NtStatus, information: usize) -> NtStatus {
    // SAFETY: the caller owns the request, and gives it up.
    unsafe {
        (*irp).io_status.status = status;
        (*irp).io_status.information = information;
        IofCompleteRequest(irp, 0);
    }
    status
}

fn stack(irp: *mut Irp) -> *mut StackLocation {
    // SAFETY: the kernel gives a driver requests with a current stack location.
    unsafe { (*irp).current_stack_location }
}

/// Gives the current stack location to the next driver.
unsafe fn skip(irp: *mut Irp) {
    (*irp).current_location += 1;
    (*irp).current_stack_location = (*irp).current_stack_location.add(1);
}

unsafe fn acquire(button: *mut Button, irp: *mut Irp) -> NtStatus {
    IoAcquireRemoveLockEx(addr_of_mut!((*button).remove_lock), irp.cast(), null(), 1, 32)
}

unsafe fn release(button: *mut Button, irp: *mut Irp) {
    IoReleaseRemoveLockEx(addr_of_mut!((*button).remove_lock), irp.cast(), 32);
}

// --- Interrupt side ---------------------------------------------------------------------------

extern "system" fn isr(_interrupt: *mut c_void, button: *mut Button) -> u8 {
    // SAFETY: the extension lives as long as the interrupt is connected.
    let button = unsafe { &mut *button };
    let status = button.registers.get(Registers::STATUS);
    if status == Registers::GONE || status & Registers::ASSERTED == 0 {
        return 0;
    }
    button.registers.set(Registers::ACKNOWLEDGE, 1);
    button.presses.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the DPC was initialised before the interrupt was connected.
    unsafe { KeInsertQueueDpc(&mut button.dpc, null_mut(), null_mut()) };
    1
}

/// Under the interrupt's lock: takes the presses that there are; whether there are any.
extern "system" fn take(button: *mut Button) -> u8 {
    // SAFETY: as in `isr`.
    let button = unsafe { &*button };
    let presses = button.presses.swap(0, Ordering::Relaxed);
    button.taken.store(presses, Ordering::Relaxed);
    u8::from(presses != 0)
}

/// Ends a read if there is one, and there were presses. Reads are served one at a time, under
/// their queue's lock, so that `taken` is this one's.
unsafe fn serve(button: *mut Button) {
    let lock = addr_of_mut!((*button).reads_lock);
    let irql = KeAcquireSpinLockRaiseToDpc(lock);
    let waits = (*button).irps.flink != addr_of_mut!((*button).irps);
    let taken = if waits && KeSynchronizeExecution((*button).interrupt, take, button) != 0 {
        (*button).taken.load(Ordering::Relaxed)
    } else {
        0
    };
    KeReleaseSpinLock(lock, irql);
    if taken == 0 {
        return;
    }
    let irp = IoCsqRemoveNextIrp(addr_of_mut!((*button).reads), null_mut());
    if irp.is_null() {
        // It was cancelled meanwhile: the presses are the next one's.
        (*button).presses.fetch_add(taken, Ordering::Relaxed);
        return;
    }
    (*irp).system_buffer.cast::<u32>().write_unaligned(taken);
    complete(irp, SUCCESS, size_of::<u32>());
    release(button, irp);
}

extern "system" fn dpc(_dpc: *mut Kdpc, button: *mut Button, _a: *mut c_void, _b: *mut c_void) {
    // SAFETY: the DPC is flushed before the extension goes.
    unsafe { serve(button) };
}

// --- Reads ---------------------------------------------------------------------------------------

extern "system" fn csq_insert(csq: *mut Csq, irp: *mut Irp) {
    // SAFETY: the queue's lock is held; the entry is the driver's while the request is queued.
    unsafe {
        let head = addr_of_mut!((*Button::of_queue(csq)).irps);
        let entry = addr_of_mut!((*irp).list_entry);
        (*entry).flink = head;
        (*entry).blink = (*head).blink;
        (*(*head).blink).flink = entry;
        (*head).blink = entry;
    }
}

extern "system" fn csq_remove(_csq: *mut Csq, irp: *mut Irp) {
    // SAFETY: as above.
    unsafe {
        let entry = addr_of_mut!((*irp).list_entry);
        (*(*entry).blink).flink = (*entry).flink;
        (*(*entry).flink).blink = (*entry).blink;
    }
}

/// The next request of a file, or of anybody.
extern "system" fn csq_peek(csq: *mut Csq, irp: *mut Irp, file: *mut c_void) -> *mut Irp {
    // SAFETY: as above.
    unsafe {
        let head = addr_of_mut!((*Button::of_queue(csq)).irps);
        let mut entry = if irp.is_null() { (*head).flink } else { (*irp).list_entry.flink };
        while entry != head {
            let next: *mut Irp = entry.cast::<u8>().sub(memoffset!(Irp, list_entry)).cast();
            if file.is_null() || (*stack(next)).file_object == file {
                return next;
            }
            entry = (*entry).flink;
        }
    }
    null_mut()
}

extern "system" fn csq_acquire(csq: *mut Csq, irql: *mut u8) {
    // SAFETY: the kernel gives a place for the level.
    unsafe { *irql = KeAcquireSpinLockRaiseToDpc(addr_of_mut!((*Button::of_queue(csq)).reads_lock)) };
}

extern "system" fn csq_release(csq: *mut Csq, irql: u8) {
    // SAFETY: the lock is held.
    unsafe { KeReleaseSpinLock(addr_of_mut!((*Button::of_queue(csq)).reads_lock), irql) };
}

extern "system" fn csq_cancelled(csq: *mut Csq, irp: *mut Irp) {
    complete(irp, CANCELLED, 0);
    // SAFETY: the request was acquired when it was queued.
    unsafe { release(Button::of_queue(csq), irp) };
}

unsafe fn flush(button: *mut Button, file: *mut c_void, status: NtStatus) {
    loop {
        let irp = IoCsqRemoveNextIrp(addr_of_mut!((*button).reads), file);
        if irp.is_null() {
            return;
        }
        complete(irp, status, 0);
        release(button, irp);
    }
}

extern "system" fn open_close(_device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    complete(irp, SUCCESS, 0)
}

extern "system" fn cleanup(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the stack location is this request's.
    unsafe { flush(Button::of(device), (*stack(irp)).file_object, CANCELLED) };
    complete(irp, SUCCESS, 0)
}

extern "system" fn read(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    let button = Button::of(device);
    // SAFETY: the kernel calls dispatch routines with a device of ours and a request for it.
    unsafe {
        let status = acquire(button, irp);
        if !succeeded(status) {
            return complete(irp, status, 0);
        }
        let length = (*stack(irp)).parameters[0] as u32 as usize;
        let refused = if length < size_of::<u32>() {
            Some(BUFFER_TOO_SMALL)
        } else if !(*button).is_started.load(Ordering::Acquire) {
            Some(DEVICE_NOT_READY)
        } else {
            None
        };
        if let Some(status) = refused {
            complete(irp, status, 0);
            release(button, irp);
            return status;
        }
        IoCsqInsertIrp(addr_of_mut!((*button).reads), irp, null_mut());
        if !(*button).is_started.load(Ordering::Acquire) {
            // Stopped while it was queued: whoever stopped may not have seen it.
            flush(button, null_mut(), DEVICE_REMOVED);
        } else {
            serve(button);
        }
    }
    PENDING
}

// --- Plug and play --------------------------------------------------------------------------------

/// The first descriptor of one of these kinds.
unsafe fn find(list: *const u8, kinds: &[u8]) -> Option<PartialDescriptor> {
    // CM_RESOURCE_LIST with one full descriptor: its count, bus, version, then the descriptors.
    let count = list.add(16).cast::<u32>().read_unaligned();
    let first = list.add(20).cast::<PartialDescriptor>();
    (0..count as usize)
        .map(|index| first.add(index).read_unaligned())
        .find(|descriptor| kinds.contains(&descriptor.kind))
}

unsafe fn take_resources(button: *mut Button, list: *const u8) -> NtStatus {
    const PORT: u8 = 1;
    const INTERRUPT: u8 = 2;
    const MEMORY: u8 = 3;
    const LATCHED: u16 = 1;
    const SHARED: u8 = 3;
    if list.is_null() || list.cast::<u32>().read_unaligned() == 0 {
        return DEVICE_CONFIGURATION_ERROR;
    }
    let (window, line) = match (find(list, &[PORT, MEMORY]), find(list, &[INTERRUPT])) {
        (Some(window), Some(line)) => (window, line),
        _ => return DEVICE_CONFIGURATION_ERROR,
    };
    let [low, high, _, _] = window.words;
    let address = u64::from(low) | u64::from(high) << 32;
    (*button).registers = if window.kind == PORT {
        Registers::Ports(address as u16)
    } else {
        let mapped = MmMapIoSpace(address, Registers::WINDOW, 0);
        if mapped.is_null() {
            return INSUFFICIENT_RESOURCES;
        }
        Registers::Memory(mapped.cast())
    };
    let [level, vector, affinity_low, affinity_high] = line.words;
    let irql = level as u8;
    IoConnectInterrupt(
        addr_of_mut!((*button).interrupt),
        isr,
        button,
        null_mut(),
        vector,
        irql,
        irql,
        u32::from(line.flags & LATCHED != 0),
        u8::from(line.share == SHARED),
        affinity_low as usize | (affinity_high as usize) << 32,
        0,
    )
}

unsafe fn give_back(button: *mut Button) {
    if !(*button).interrupt.is_null() {
        IoDisconnectInterrupt((*button).interrupt);
        (*button).interrupt = null_mut();
    }
    KeFlushQueuedDpcs();
    if let Registers::Memory(base) = (*button).registers {
        MmUnmapIoSpace(base.cast(), Registers::WINDOW);
    }
    (*button).registers = Registers::None;
}

/// The device stops, goes, or is gone already.
unsafe fn stop(button: *mut Button) {
    (*button).is_started.store(false, Ordering::Release);
    flush(button, null_mut(), DEVICE_REMOVED);
    give_back(button);
}

unsafe fn start(button: *mut Button, irp: *mut Irp) -> NtStatus {
    // AllocatedResourcesTranslated is the second parameter.
    let resources = (*stack(irp)).parameters[1] as *const u8;
    if IoForwardIrpSynchronously((*button).lower, irp) == 0 {
        return UNSUCCESSFUL;
    }
    let mut status = (*irp).io_status.status;
    if succeeded(status) {
        status = take_resources(button, resources);
        if !succeeded(status) {
            (*button).interrupt = null_mut();
            give_back(button);
        }
    }
    if succeeded(status) {
        (*button).is_started.store(true, Ordering::Release);
        IoSetDeviceInterfaceState(addr_of_mut!((*button).interface), 1);
    }
    status
}

unsafe fn remove(button: *mut Button, irp: *mut Irp) -> NtStatus {
    IoSetDeviceInterfaceState(addr_of_mut!((*button).interface), 0);
    stop(button);
    (*irp).io_status.status = SUCCESS;
    skip(irp);
    let status = IofCallDriver((*button).lower, irp);
    IoReleaseRemoveLockAndWaitEx(addr_of_mut!((*button).remove_lock), irp.cast(), 32);
    RtlFreeUnicodeString(addr_of_mut!((*button).interface));
    IoDetachDevice((*button).lower);
    IoDeleteDevice((*button).this);
    status
}

unsafe fn pass_down(button: *mut Button, irp: *mut Irp) -> NtStatus {
    skip(irp);
    let status = IofCallDriver((*button).lower, irp);
    release(button, irp);
    status
}

extern "system" fn pnp(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    let button = Button::of(device);
    // SAFETY: as in `read`.
    unsafe {
        let status = acquire(button, irp);
        if !succeeded(status) {
            return complete(irp, status, 0);
        }
        match (*stack(irp)).minor_function {
            START_DEVICE => {
                let status = start(button, irp);
                complete(irp, status, 0);
                release(button, irp);
                return status;
            }
            REMOVE_DEVICE => return remove(button, irp),
            STOP_DEVICE => {
                stop(button);
                (*irp).io_status.status = SUCCESS;
            }
            SURPRISE_REMOVAL => {
                IoSetDeviceInterfaceState(addr_of_mut!((*button).interface), 0);
                stop(button);
                (*irp).io_status.status = SUCCESS;
            }
            minor if CERTAIN.contains(&minor) => (*irp).io_status.status = SUCCESS,
            _ => {}
        }
        pass_down(button, irp)
    }
}

extern "system" fn power(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    let button = Button::of(device);
    // SAFETY: as in `read`.
    unsafe {
        let status = acquire(button, irp);
        PoStartNextPowerIrp(irp);
        if !succeeded(status) {
            return complete(irp, status, 0);
        }
        skip(irp);
        let status = PoCallDriver((*button).lower, irp);
        release(button, irp);
        status
    }
}

extern "system" fn system_control(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    let button = Button::of(device);
    // SAFETY: as in `read`.
    unsafe {
        let status = acquire(button, irp);
        if !succeeded(status) {
            return complete(irp, status, 0);
        }
        pass_down(button, irp)
    }
}

// --- Loading -----------------------------------------------------------------------------------------

extern "system" fn add_device(driver: *mut DriverObject, pdo: *mut DeviceObject) -> NtStatus {
    const FILE_DEVICE_UNKNOWN: u32 = 0x22;
    const FILE_DEVICE_SECURE_OPEN: u32 = 0x100;
    const DO_BUFFERED_IO: u32 = 0x4;
    const DO_DEVICE_INITIALIZING: u32 = 0x80;
    const DO_POWER_PAGABLE: u32 = 0x2000;
    let mut device = null_mut();
    // SAFETY: the kernel gives a driver object and a physical device object; the extension is
    // zeroed and this driver's alone.
    unsafe {
        let status = IoCreateDevice(
            driver,
            size_of::<Button>() as u32,
            null(),
            FILE_DEVICE_UNKNOWN,
            FILE_DEVICE_SECURE_OPEN,
            0,
            &mut device,
        );
        if !succeeded(status) {
            return status;
        }
        let button = Button::of(device);
        (*button).this = device;
        (*button).registers = Registers::None;
        let head = addr_of_mut!((*button).irps);
        (*head).flink = head;
        (*head).blink = head;
        IoInitializeRemoveLockEx(addr_of_mut!((*button).remove_lock), TAG, 0, 0, 32);
        KeInitializeDpc(addr_of_mut!((*button).dpc), dpc, button);
        let mut status = IoCsqInitialize(
            addr_of_mut!((*button).reads),
            csq_insert,
            csq_remove,
            csq_peek,
            csq_acquire,
            csq_release,
            csq_cancelled,
        );
        if succeeded(status) {
            let interface = addr_of_mut!((*button).interface);
            status = IoRegisterDeviceInterface(pdo, &INTERFACE, null(), interface);
        }
        if succeeded(status) {
            (*button).lower = IoAttachDeviceToDeviceStack(device, pdo);
            if (*button).lower.is_null() {
                RtlFreeUnicodeString(addr_of_mut!((*button).interface));
                status = NO_SUCH_DEVICE;
            }
        }
        if !succeeded(status) {
            IoDeleteDevice(device);
            return status;
        }
        let inherited = (*(*button).lower).flags & DO_POWER_PAGABLE;
        (*device).flags |= DO_BUFFERED_IO | inherited;
        (*device).flags &= !DO_DEVICE_INITIALIZING;
    }
    SUCCESS
}

extern "system" fn unload(_driver: *mut DriverObject) {
    // Every device was given back when it was removed.
}

/// The entry point.
#[no_mangle]
pub extern "system" fn DriverEntry(driver: *mut DriverObject, _path: *mut UnicodeString) -> NtStatus {
    // SAFETY: the kernel gives a driver object.
    unsafe {
        (*(*driver).driver_extension).add_device = Some(add_device);
        (*driver).driver_unload = Some(unload);
        let table = &mut (*driver).major_function;
        table[CREATE] = Some(open_close);
        table[CLOSE] = Some(open_close);
        table[CLEANUP] = Some(cleanup);
        table[READ] = Some(read);
        table[POWER] = Some(power);
        table[SYSTEM_CONTROL] = Some(system_control);
        table[PNP] = Some(pnp);
    }
    SUCCESS
}

/// MANUALLY_INITIATED_CRASH1: nothing here panics; if something does, nothing can go on.
#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    // SAFETY: does not return.
    unsafe { KeBugCheckEx(0xDEAD_DEAD, 0, 0, 0, 0) }
}
