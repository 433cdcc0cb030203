//! The registry.

/// The state of the registry.
#[derive(Default)]
pub(crate) struct Cm {}
