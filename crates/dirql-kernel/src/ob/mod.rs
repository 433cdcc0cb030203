//! Objects: counts, handles and names.
//!
//! An object's body lies in driver-visible memory; everything that counts about it is kept
//! here, so that a driver that overwrites the body cannot break the counts.
//!
//! Not modelled: security descriptors (every open is granted), sessions, private
//! namespaces.

mod access;
mod callback;
mod directory;
mod dispatcher;
mod handle;
mod information;
mod link;
mod lookup;
mod name;
mod object;
mod query;
mod security;
#[cfg(test)]
mod tests;
mod token;

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::cell::{Cell, RefCell};

pub use directory::DirectoryQuery;
pub(crate) use name::Link;
pub use object::ObjectKind;
pub(crate) use object::keep;

/// The state of this part of the kernel.
#[derive(Default)]
pub(crate) struct Ob {
    objects: RefCell<BTreeMap<u64, object::Object>>,
    handles: RefCell<BTreeMap<u64, handle::Handle>>,
    last_handle: Cell<u64>,
    /// Address of the token that everybody has; 0 before it is needed.
    token: Cell<u64>,
    /// Self-relative security descriptors that were set, by object.
    security: RefCell<BTreeMap<u64, alloc::vec::Vec<u8>>>,
    names: RefCell<BTreeMap<String, name::Entry>>,
    directories: RefCell<BTreeMap<u64, directory::Directory>>,
    /// Symbolic links that were opened.
    links: RefCell<BTreeMap<u64, link::Link>>,
    callbacks: callback::Callbacks,
    /// Address of each type's object, as drivers compare it.
    types: RefCell<BTreeMap<ObjectKind, u64>>,
    /// Address of each exported variable that holds such an address.
    variables: RefCell<BTreeMap<ObjectKind, u64>>,
}
