//! How Windows would have ended.

use core::fmt;

use alloc::format;
use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_abi::bugcheck::BugCheckCode;

/// A stop code with its four parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BugCheck {
    /// Stop code.
    pub code: u32,
    /// The four parameters; their meaning depends on the code.
    pub parameters: [u64; 4],
    /// Of an exception that nobody handled: its two values. Those of an access violation are how
    /// memory was accessed (0 read, 1 write, 8 execute), and where.
    pub exception: Option<[u64; 2]>,
}

/// Addresses below this are offsets from a null pointer: Windows maps nothing there.
const NEAR_NULL: u64 = 0x1_0000;

impl BugCheck {
    /// A bug check with its parameters.
    #[must_use]
    pub const fn new(code: u32, parameters: [u64; 4]) -> Self {
        Self {
            code,
            parameters,
            exception: None,
        }
    }

    /// A bug check for an exception that nobody handled.
    #[must_use]
    pub const fn of_exception(code: u32, parameters: [u64; 4], exception: [u64; 2]) -> Self {
        Self {
            code,
            parameters,
            exception: Some(exception),
        }
    }

    /// With the exception that nobody handled in words, if it was one.
    #[must_use]
    pub fn in_full(&self) -> String {
        let Some([access, address]) = self.exception else {
            return format!("{self}");
        };
        let code = NtStatus(self.parameters[0] as i32);
        let how = match access {
            0 => "reading",
            1 => "writing",
            _ => "executing",
        };
        match address {
            _ if code != NtStatus::ACCESS_VIOLATION => format!("{self}: {code}"),
            // What faulted had no address that a processor knows.
            u64::MAX => format!("{self}: {code}, at an address that cannot be"),
            ..NEAR_NULL => format!("{self}: {code}, {how} {address:#x}, near a null pointer"),
            _ => format!("{self}: {code}, {how} {address:#x}"),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn unhandled(code: NtStatus, exception: [u64; 2]) -> String {
        let parameters = [code.0 as i64 as u64, 0x10, 0, 0];
        BugCheck::of_exception(0x7E, parameters, exception).in_full()
    }

    #[test]
    fn an_access_violation_says_what_was_accessed() {
        assert!(unhandled(NtStatus::ACCESS_VIOLATION, [1, 8]).ends_with(
            "0x0, 0x0): STATUS_ACCESS_VIOLATION (0xC0000005), writing 0x8, near a null pointer"
        ));
        assert!(
            unhandled(NtStatus::ACCESS_VIOLATION, [0, NEAR_NULL]).ends_with(", reading 0x10000")
        );
        assert!(
            unhandled(NtStatus::ACCESS_VIOLATION, [0, u64::MAX])
                .ends_with(", at an address that cannot be")
        );
    }

    #[test]
    fn another_exception_has_its_name() {
        assert!(
            unhandled(NtStatus::INTEGER_DIVIDE_BY_ZERO, [0, 0])
                .ends_with(": STATUS_INTEGER_DIVIDE_BY_ZERO (0xC0000094)")
        );
    }

    #[test]
    fn a_bug_check_without_an_exception_has_nothing_to_add() {
        let bug_check = BugCheck::new(0xD1, [8, 2, 0, 0]);
        assert_eq!(bug_check.in_full(), format!("{bug_check}"));
    }
}
