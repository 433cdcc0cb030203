//! How Windows would have ended.

use core::fmt;

use dirql_abi::bugcheck::BugCheckCode;

/// A stop code with its four parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BugCheck {
    /// Stop code.
    pub code: u32,
    /// The four parameters; their meaning depends on the code.
    pub parameters: [u64; 4],
}

impl BugCheck {
    /// A bug check with its parameters.
    #[must_use]
    pub const fn new(code: u32, parameters: [u64; 4]) -> Self {
        Self { code, parameters }
    }
}

impl fmt::Display for BugCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p1, p2, p3, p4] = self.parameters;
        write!(
            f,
            "{} ({p1:#x}, {p2:#x}, {p3:#x}, {p4:#x})",
            BugCheckCode(self.code)
        )
    }
}
