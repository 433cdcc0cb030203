//! The I/O manager: drivers, devices, requests, plug and play.
//!
//! What drivers see lies in driver-visible memory and is the truth for the members that
//! they read and write; what must not break when a driver overwrites that memory is kept
//! here, by address.

mod activity;
mod attach;
mod build;
mod call;
mod cancel;
mod cancelling;
mod complete;
mod configuration;
mod controller;
mod csq;
mod device;
mod device_queue;
mod driver;
mod enumerate;
mod error_log;
mod file;
mod file_access;
mod hardware_description;
mod interface;
pub mod interrupt;
mod irp;
mod legacy_resources;
mod list;
mod load;
mod loaded_modules;
mod memory_length;
mod named_event;
mod notification;
mod paths;
pub mod pnp;
mod prepared;
mod property;
mod property_data;
mod remove_lock;
mod request;
mod requestor;
mod share_access;
mod shutdown;
mod start_io;
mod symbolic_link;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod timer;
mod top_level;
mod under_way;
mod unload;
mod user;
mod verify_device;
mod wmi;
mod wmilib;
mod work_item;
mod zw_file;

use core::cell::RefCell;

use alloc::collections::{BTreeMap, BTreeSet};

pub use driver::DriverImage;
pub use error_log::ErrorLogEntry;
pub use hardware_description::DescriptionWish;
pub use legacy_resources::ResourceListArgument;
pub use loaded_modules::SystemModule;
pub use prepared::PreparedRequest;
pub use property_data::PropertyRoom;
pub use request::{FileHandle, Outcome as RequestOutcome, Request, RequestKind};
pub use unload::UnloadError;
pub(crate) use work_item::Job;
pub use zw_file::{Completion, CreateRequest, DirectoryRequest};

/// The state of this part of the kernel.
#[derive(Default)]
pub(crate) struct Io {
    pub(crate) ob: crate::ob::Ob,
    pub(crate) po: crate::po::Po,
    drivers: RefCell<BTreeMap<u64, driver::Driver>>,
    modules: loaded_modules::Modules,
    devices: RefCell<BTreeMap<u64, device::Device>>,
    irps: irp::Irps,
    frames: call::Frames,
    paths: paths::Paths,
    files: RefCell<BTreeMap<u64, file::File>>,
    interfaces: RefCell<BTreeMap<alloc::string::String, interface::Interface>>,
    remove_locks: RefCell<BTreeMap<u64, remove_lock::Tags>>,
    work: work_item::Work,
    /// Properties that drivers have set.
    properties: RefCell<property_data::Properties>,
    timers: RefCell<BTreeMap<u64, timer::Timer>>,
    shutdown: RefCell<shutdown::Shutdown>,
    error_log: RefCell<error_log::ErrorLog>,
    /// Devices to verify, by thread.
    to_verify: RefCell<BTreeMap<u64, u64>>,
    /// The request that each thread works for at the top level.
    top_level: RefCell<BTreeMap<u64, u64>>,
    wmi_providers: RefCell<BTreeSet<u64>>,
    notifications: notification::Notifications,
    claims: legacy_resources::Claims,
    requests: request::Requests,
    users: user::Users,
    volume: zw_file::volume::Volume,
    configuration: core::cell::Cell<u64>,
    /// The DPC that calls the routines of I/O timers; 0 before it is needed.
    timer_dpc: core::cell::Cell<u64>,
    activities: activity::Activities,
    /// Where the generic rights of files are, once somebody has asked.
    file_mapping: core::cell::Cell<u64>,
    /// System memory that is free for 16-byte variables of ours.
    cells: RefCell<alloc::vec::Vec<u64>>,
    /// System memory that is free for what is asked about a file, 128 bytes each.
    scratch: RefCell<alloc::vec::Vec<u64>>,
    /// System memory that is free for events of ours.
    events: RefCell<alloc::vec::Vec<u64>>,
    pub(crate) pnp: pnp::Pnp,
}

/// Pool of `NonPagedPool`, by its number.
const NONPAGED: u32 = 0;

/// Pool of `PagedPool`, by its number.
const PAGED: u32 = 1;

/// Four characters as a pool tag.
pub(crate) const fn tag(name: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*name)
}
