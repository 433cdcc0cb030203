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

mod address;
mod contiguous;
mod image;
mod io_space;
mod left;
mod page_runs;
mod pool;
mod pool_memory;
mod slab;
mod system;

use core::cell::RefCell;

use contiguous::Contiguous;
use image::Images;
use io_space::IoSpace;
use pool::Pools;
use system::System;

pub use left::{MemoryLeft, MemoryLeftKind};
pub use pool::PoolBlock;

/// The state of memory management.
#[derive(Default)]
pub(crate) struct Mm {
    pools: RefCell<Pools>,
    system: RefCell<System>,
    images: RefCell<Images>,
    contiguous: RefCell<Contiguous>,
    io_space: RefCell<IoSpace>,
}
