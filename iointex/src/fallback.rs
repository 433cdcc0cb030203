//! Which routine is called, and what happens where there is none.

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr::{addr_of, addr_of_mut, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::abi::{
    CONNECT_FULLY_SPECIFIED, CONNECT_HIGHEST, ConnectParameters, ConnectionContext,
    DisconnectParameters, FullySpecified, GroupAffinity, NtStatus, STATUS_INVALID_PARAMETER,
    STATUS_INVALID_PARAMETER_1, STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
};

type ConnectEx = unsafe extern "system" fn(*mut ConnectParameters) -> NtStatus;
type DisconnectEx = unsafe extern "system" fn(*mut DisconnectParameters);
type GetAffinity = unsafe extern "system" fn(ConnectionContext, *mut GroupAffinity) -> NtStatus;

/// A kernel routine that not every system has.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub enum Name {
    /// Since Windows Vista.
    IoConnectInterruptEx,
    /// Since Windows Vista.
    IoDisconnectInterruptEx,
    /// Since Windows 7.
    IoGetAffinityInterrupt,
    /// Since Windows 8.
    IoReportInterruptActive,
    /// Since Windows 8.
    IoReportInterruptInactive,
}

impl Name {
    /// All of them, each at its own number.
    pub(crate) const ALL: [Self; 5] = [
        Self::IoConnectInterruptEx,
        Self::IoDisconnectInterruptEx,
        Self::IoGetAffinityInterrupt,
        Self::IoReportInterruptActive,
        Self::IoReportInterruptInactive,
    ];
}

/// What every system has.
pub trait System {
    /// `MmGetSystemRoutineAddress`: the routine of that name with the prototype that
    /// wdm.h gives it, or null. Called at `PASSIVE_LEVEL`.
    fn find(&self, name: Name) -> *mut c_void;

    /// `IoConnectInterrupt`, with the members as arguments.
    ///
    /// # Safety
    /// The members keep what the reference page of `IoConnectInterrupt` asks for.
    unsafe fn connect(&self, block: &FullySpecified) -> NtStatus;

    /// `IoDisconnectInterrupt`.
    ///
    /// # Safety
    /// `interrupt` comes from [`System::connect`] and was not disconnected before.
    unsafe fn disconnect(&self, interrupt: ConnectionContext);

    /// `KeQueryActiveProcessors`.
    fn active_processors(&self) -> usize;

    /// Bug check 0xCA (9): a disconnect names `version`, which nothing was connected with.
    fn mismatch(&self, version: u32) -> !;
}

/// The library's routines over some [`System`].
pub struct Library<S> {
    system: S,
    /// Set when the addresses are valid. Two first calls at once both look the names up
    /// and store the same addresses.
    resolved: AtomicBool,
    /// By [`Name`]; null is a routine that the system does not have.
    routines: [AtomicPtr<c_void>; Name::ALL.len()],
}

impl<S: System> Library<S> {
    /// Nothing looked up yet.
    pub const fn new(system: S) -> Self {
        Self {
            system,
            resolved: AtomicBool::new(false),
            routines: [
                AtomicPtr::new(null_mut()),
                AtomicPtr::new(null_mut()),
                AtomicPtr::new(null_mut()),
                AtomicPtr::new(null_mut()),
                AtomicPtr::new(null_mut()),
            ],
        }
    }

    #[cfg(test)]
    pub(crate) fn system(&self) -> &S {
        &self.system
    }

    #[cfg(test)]
    pub(crate) fn system_mut(&mut self) -> &mut S {
        &mut self.system
    }

    /// The kernel's routine, or null.
    fn routine(&self, name: Name) -> *mut c_void {
        if !self.resolved.load(Ordering::Acquire) {
            for each in Name::ALL.iter().copied() {
                self.routines[each as usize].store(self.system.find(each), Ordering::Relaxed);
            }
            self.resolved.store(true, Ordering::Release);
        }
        self.routines[name as usize].load(Ordering::Relaxed)
    }

    /// `NTSTATUS IoConnectInterruptEx(PIO_CONNECT_INTERRUPT_PARAMETERS)`
    ///
    /// - IRQL: `PASSIVE_LEVEL`.
    /// - Returns: what the kernel's routine, or else `IoConnectInterrupt`, returned;
    ///   without the former `STATUS_NOT_SUPPORTED` for versions 2 to 5,
    ///   `STATUS_INVALID_PARAMETER_1` beyond, each with `Version` set to 1, and
    ///   `STATUS_INVALID_PARAMETER` for a null physical device object.
    ///
    /// # Safety
    /// `parameters` points at a parameter block, of 72 bytes at least, that keeps what
    /// the reference page asks for.
    pub unsafe fn connect(&self, parameters: *mut ConnectParameters) -> NtStatus {
        let routine = self.routine(Name::IoConnectInterruptEx);
        if !routine.is_null() {
            // SAFETY: `System::find` promises the prototype of this name.
            let connect_ex: ConnectEx = unsafe { transmute(routine) };
            // SAFETY: the caller keeps the routine's contract.
            return unsafe { connect_ex(parameters) };
        }
        // SAFETY: the caller's block is readable.
        let version = unsafe { addr_of!((*parameters).version).read() };
        if version != CONNECT_FULLY_SPECIFIED {
            // SAFETY: the caller's block is writable.
            unsafe { addr_of_mut!((*parameters).version).write(CONNECT_FULLY_SPECIFIED) };
            return match version {
                CONNECT_FULLY_SPECIFIED..=CONNECT_HIGHEST => STATUS_NOT_SUPPORTED,
                _ => STATUS_INVALID_PARAMETER_1,
            };
        }
        // SAFETY: version 1 says that the block is of this type.
        let block = unsafe { addr_of!((*parameters).block).read() };
        if block.physical_device_object.is_null() {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller's members keep the contract, which is the same.
        unsafe { self.system.connect(&block) }
    }

    /// `VOID IoDisconnectInterruptEx(PIO_DISCONNECT_INTERRUPT_PARAMETERS)`
    ///
    /// - IRQL: `PASSIVE_LEVEL`.
    /// - Returns: `STATUS_SUCCESS`. The kernel's routine returns nothing; drivers written
    ///   against the kit's iointex.h may look at a status.
    ///
    /// # Safety
    /// `parameters` names a connection made by [`Library::connect`] and not yet undone.
    pub unsafe fn disconnect(&self, parameters: *mut DisconnectParameters) -> NtStatus {
        let routine = self.routine(Name::IoDisconnectInterruptEx);
        if !routine.is_null() {
            // SAFETY: `System::find` promises the prototype of this name.
            let disconnect_ex: DisconnectEx = unsafe { transmute(routine) };
            // SAFETY: the caller keeps the routine's contract.
            unsafe { disconnect_ex(parameters) };
            return STATUS_SUCCESS;
        }
        // SAFETY: the caller's block is readable.
        let DisconnectParameters { version, context } = unsafe { parameters.read() };
        if version != CONNECT_FULLY_SPECIFIED {
            self.system.mismatch(version);
        }
        // SAFETY: version 1 was connected by `System::connect`; not yet undone, says the
        // caller.
        unsafe { self.system.disconnect(context) };
        STATUS_SUCCESS
    }

    /// `NTSTATUS IoGetAffinityInterrupt(PKINTERRUPT, PGROUP_AFFINITY)`
    ///
    /// - IRQL: any, if the names were looked up.
    /// - Returns: what the kernel's routine returned; without it `STATUS_SUCCESS`, or
    ///   `STATUS_INVALID_PARAMETER` for a null pointer.
    ///
    /// # Safety
    /// `interrupt` is null or an interrupt object; `affinity` is null or writable.
    pub unsafe fn affinity(
        &self,
        interrupt: ConnectionContext,
        affinity: *mut GroupAffinity,
    ) -> NtStatus {
        let routine = self.routine(Name::IoGetAffinityInterrupt);
        if !routine.is_null() {
            // SAFETY: `System::find` promises the prototype of this name.
            let get_affinity: GetAffinity = unsafe { transmute(routine) };
            // SAFETY: the caller keeps the routine's contract.
            return unsafe { get_affinity(interrupt, affinity) };
        }
        if interrupt.is_null() || affinity.is_null() {
            return STATUS_INVALID_PARAMETER;
        }
        let all = GroupAffinity {
            mask: self.system.active_processors(),
            ..GroupAffinity::default()
        };
        // SAFETY: not null, so writable, says the caller.
        unsafe { affinity.write(all) };
        STATUS_SUCCESS
    }

    /// `VOID IoReportInterruptActive(PIO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS)` and,
    /// unless `active`, `IoReportInterruptInactive`.
    ///
    /// - IRQL: `DISPATCH_LEVEL` or below, if the names were looked up.
    ///
    /// # Safety
    /// `parameters` names a connection made by [`Library::connect`] and not yet undone.
    pub unsafe fn report(&self, parameters: *mut DisconnectParameters, active: bool) {
        let name = if active {
            Name::IoReportInterruptActive
        } else {
            Name::IoReportInterruptInactive
        };
        let routine = self.routine(name);
        if !routine.is_null() {
            // SAFETY: `System::find` promises the prototype of this name, which is alike.
            let report: DisconnectEx = unsafe { transmute(routine) };
            // SAFETY: the caller keeps the routine's contract.
            unsafe { report(parameters) };
        }
    }
}
