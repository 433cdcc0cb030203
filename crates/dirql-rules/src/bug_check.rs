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

    /// What the parameters are, in order; `None` for codes whose parameters have no meaning, or
    /// one that depends on the first.
    ///
    /// Source: Bug Check Code Reference.
    #[must_use]
    pub const fn meaning(&self) -> Option<&'static str> {
        Some(match self.code {
            0x0A | 0xD1 => {
                "the address, the IRQL, the access (0 read, 1 write, 8 execute), the instruction"
            }
            0x1E => "the exception's code, the instruction, and two values of the exception",
            0x50 => "the address, the access (0 read, 1 write), the instruction, and a kind",
            0x7E => {
                "the exception's code, the instruction, the exception record, the context record"
            }
            0x7F => "the trap's number (0 divide, 6 opcode, 8 double fault)",
            0xC8 => "the levels and where they were compared, the ISR, the interrupt object",
            0xCE => "the address, the access (0 read, 1 write), the instruction",
            0xF2 => {
                "the ISR, its context, the interrupt object, 1 if it is alone on its vector and 2 if not"
            }
            0x133 => {
                "0 for one DPC and 1 for all time at DISPATCH_LEVEL, the ticks used, the ticks allowed"
            }
            _ => return None,
        })
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
