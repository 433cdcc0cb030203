//! Memory: pool, contiguous memory, device registers, MDLs, and what the kernel lays out for
//! drivers to see.
//!
//! Where things are is fixed by [`layout`]; who owns what is kept here, out of the driver's
//! reach, so that a driver that overwrites memory cannot damage our bookkeeping.
//!
//! # Not modelled
//! Paging to disk, working sets, address spaces other than one user's, caches. Physical and
//! virtual addresses differ by a constant inside each region of [`layout`].

pub mod layout;

mod access;
mod active;
mod address;
mod contiguous;
mod file_section;
mod image;
mod io_space;
mod left;
mod mdl;
mod mdl_lock;
mod mdl_map;
mod mdl_protect;
#[cfg(test)]
mod mdl_tests;
mod page_runs;
mod pageable;
mod physical;
mod pool;
mod pool_memory;
mod section;
mod secure;
mod slab;
mod system;
mod view;
mod virtual_memory;

use core::cell::RefCell;

use contiguous::Contiguous;
use image::Images;
use io_space::IoSpace;
use mdl_lock::Locked;
use mdl_map::{Mapped, Reserved};
use pool::Pools;
use section::Sections;
use secure::Secured;
use system::System;
use view::Views;
use virtual_memory::ProcessPages;

pub use left::{MemoryLeft, MemoryLeftKind};
pub use pool::PoolBlock;
pub use section::ImageSection;
pub use view::ViewArguments;

pub(crate) use contiguous::{Reach, RunKind};
pub(crate) use mdl::{frame_at, virtual_address as virtual_address_of};
pub(crate) use pool_memory::Fill;

/// The state of memory management.
#[derive(Default)]
pub(crate) struct Mm {
    pools: RefCell<Pools>,
    system: RefCell<System>,
    images: RefCell<Images>,
    contiguous: RefCell<Contiguous>,
    io_space: RefCell<IoSpace>,
    locked: RefCell<Locked>,
    mapped: RefCell<Mapped>,
    reserved: RefCell<Reserved>,
    sections: RefCell<Sections>,
    secured: RefCell<Secured>,
    process: RefCell<ProcessPages>,
    views: RefCell<Views>,
    pageable: pageable::Pageable,
}
