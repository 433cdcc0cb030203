//! Numbers of the processor's exceptions.
//!
//! Source: Intel SDM volume 3, Exception and Interrupt Vectors.

pub(super) const DIVIDE: u64 = 0;
pub(super) const DEBUG: u64 = 1;
pub(super) const BREAKPOINT: u64 = 3;
pub(super) const OVERFLOW: u64 = 4;
pub(super) const INVALID_OPCODE: u64 = 6;
pub(super) const STACK: u64 = 12;
pub(super) const PROTECTION: u64 = 13;
pub(super) const PAGE: u64 = 14;
pub(super) const X87: u64 = 16;
pub(super) const ALIGNMENT: u64 = 17;
pub(super) const SIMD: u64 = 19;
