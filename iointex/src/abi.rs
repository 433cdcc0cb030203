//! What passes between driver and kernel, x64 layout.
//!
//! Source: WDK reference, wdm.h, `IO_CONNECT_INTERRUPT_PARAMETERS`,
//! `IO_DISCONNECT_INTERRUPT_PARAMETERS`, `IO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS`,
//! `GROUP_AFFINITY`. Offsets are asserted in the tests, and for the C side in `iointex.h`.

use core::ffi::c_void;

/// A status code; negative is failure.
pub type NtStatus = i32;

/// Done.
pub(crate) const STATUS_SUCCESS: NtStatus = 0;
/// A parameter is wrong; here, no physical device object.
pub(crate) const STATUS_INVALID_PARAMETER: NtStatus = 0xC000_000D_u32 as i32;
/// The system cannot do it.
pub(crate) const STATUS_NOT_SUPPORTED: NtStatus = 0xC000_00BB_u32 as i32;
/// The first member, `Version`, has no meaning.
pub(crate) const STATUS_INVALID_PARAMETER_1: NtStatus = 0xC000_00EF_u32 as i32;

/// `CONNECT_FULLY_SPECIFIED`.
pub(crate) const CONNECT_FULLY_SPECIFIED: u32 = 1;
/// The highest version that any system knows, `CONNECT_MESSAGE_BASED_PASSIVE`.
pub(crate) const CONNECT_HIGHEST: u32 = 5;

/// What identifies a connection: an interrupt object or a message table.
pub type ConnectionContext = *mut c_void;

/// `IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS` without its last member: `Group` came
/// with Windows 7, and drivers built before have no room for it.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Debug, PartialEq))]
#[repr(C)]
pub struct FullySpecified {
    /// The device that interrupts.
    pub physical_device_object: *mut c_void,
    /// Where the interrupt object is stored.
    pub interrupt_object: *mut ConnectionContext,
    /// The ISR.
    pub service_routine: *const c_void,
    /// Its second argument.
    pub service_context: *mut c_void,
    /// Null, or the driver's own lock.
    pub spin_lock: *mut c_void,
    /// The level of the ISR.
    pub synchronize_irql: u8,
    /// A `BOOLEAN`.
    pub floating_save: u8,
    /// A `BOOLEAN`.
    pub share_vector: u8,
    /// From the translated resource.
    pub vector: u32,
    /// From the translated resource.
    pub irql: u8,
    /// A `KINTERRUPT_MODE`.
    pub interrupt_mode: u32,
    /// Processors of group 0.
    pub processor_enable_mask: usize,
}

/// `IO_CONNECT_INTERRUPT_PARAMETERS`, as far as version 1 uses it.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Debug, PartialEq))]
#[repr(C)]
pub struct ConnectParameters {
    /// In: the kind of connection. Out: the kind made, or the highest one possible.
    pub version: u32,
    /// Valid as this type for version 1 only.
    pub block: FullySpecified,
}

/// `IO_DISCONNECT_INTERRUPT_PARAMETERS` and
/// `IO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS`, which are alike.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Debug, PartialEq))]
#[repr(C)]
pub struct DisconnectParameters {
    /// The version that connect returned.
    pub version: u32,
    /// The context that connect returned.
    pub context: ConnectionContext,
}

/// `GROUP_AFFINITY`.
#[derive(Clone, Copy, Default)]
#[cfg_attr(test, derive(Debug, PartialEq))]
#[repr(C)]
pub struct GroupAffinity {
    /// Processors of the group.
    pub mask: usize,
    /// The group.
    pub group: u16,
    /// Zero.
    pub reserved: [u16; 3],
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(core::mem::size_of::<FullySpecified>() == 64);
    assert!(core::mem::size_of::<ConnectParameters>() == 72);
    assert!(core::mem::size_of::<DisconnectParameters>() == 16);
    assert!(core::mem::size_of::<GroupAffinity>() == 16);
};
