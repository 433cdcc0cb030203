//! The run-time library of file systems: names and statuses, which other drivers use as well.
//!
//! Not modelled: file locks, oplocks, name caches, the cache manager. There is no file system.
//!
//! Source: WDK reference, the `FsRtl` routines; the page of each is named at its method.

mod name;
mod status;

pub(crate) use name::is_name_in_expression;
