//! The registry: keys and values in memory, the same at the start of every run.
//!
//! Drivers open keys by the `Zw` routines or let the `Rtl` routines do it. Whoever sets up the
//! computer fills it with [`Kernel::registry_set`].
//!
//! Not modelled: security (every open is granted), links other than the current control set,
//! transactions, notifications, quotas.

mod callback;
mod device_key;
mod driver_key;
mod handle;
mod information;
mod object;
mod rtl_by_handle;
mod rtl_query;
mod rtl_value;
#[cfg(test)]
mod tests;
mod tree;
mod zw_key;
mod zw_value;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use tree::{ROOT, Tree, Value};

use crate::Kernel;

pub(crate) use callback::compare_altitudes;
pub use device_key::DeviceKeyKind;

/// The state of the registry.
#[derive(Default)]
pub(crate) struct Cm {
    tree: RefCell<Tree>,
    open: RefCell<BTreeMap<u64, handle::OpenKey>>,
    /// Bodies of key objects that nobody uses.
    free_bodies: RefCell<Vec<u64>>,
    callbacks: callback::Callbacks,
    told: object::Told,
}

/// What is below `\REGISTRY` in an absolute path.
fn below_root(path: &str) -> Option<&str> {
    let inner = path.strip_prefix('\\')?;
    let (first, rest) = inner.split_once('\\').unwrap_or((inner, ""));
    first.eq_ignore_ascii_case("REGISTRY").then_some(rest)
}

impl Kernel {
    /// Makes a key with all that is before it. `path` begins with `\Registry`. Returns
    /// whether it is one now.
    pub fn registry_create(&self, path: &str) -> bool {
        let now = self.time_100ns();
        let mut tree = self.cm.tree.borrow_mut();
        below_root(path).is_some_and(|below| tree.create_path(ROOT, below, now).is_some())
    }

    /// Sets a value, and makes its key first. Returns whether it could.
    pub fn registry_set(&self, path: &str, name: &str, value_type: u32, data: &[u8]) -> bool {
        let now = self.time_100ns();
        let mut tree = self.cm.tree.borrow_mut();
        let key = below_root(path).and_then(|below| tree.create_path(ROOT, below, now));
        let value = Value {
            name: name.into(),
            value_type,
            data: data.into(),
        };
        key.is_some_and(|key| tree.set_value(key, value, now).is_ok())
    }

    /// A value's type and data.
    #[must_use]
    pub fn registry_get(&self, path: &str, name: &str) -> Option<(u32, Vec<u8>)> {
        let tree = self.cm.tree.borrow();
        let key = tree.key(tree.find(ROOT, below_root(path)?)?)?;
        key.value(name)
            .map(|value| (value.value_type, value.data.clone()))
    }

    /// The names of a key's children, in order; `None` if there is no such key.
    #[must_use]
    pub fn registry_children(&self, path: &str) -> Option<Vec<String>> {
        let tree = self.cm.tree.borrow();
        let key = tree.key(tree.find(ROOT, below_root(path)?)?)?;
        let name = |id: &tree::KeyId| tree.key(*id).map(|key| key.name.clone());
        Some(key.children.values().filter_map(name).collect())
    }
}
