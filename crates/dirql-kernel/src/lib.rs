//! Placeholder header.
#![no_std]
#![forbid(unsafe_code)]
