//! `sprintf` and its relatives, and text for a debugger.
//!
//! Source: C run-time library reference, sprintf, _snprintf, sprintf_s; WDK reference,
//! wdm.DbgPrint, wdm.DbgPrintEx, wdm.vDbgPrintExWithPrefix, ntifs.RtlAssert.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::{Irql, NtStatus};
use dirql_rules::ids;

use super::code_page;
use super::format::Width;
use crate::{Ddi, Event, Kernel};

/// Bytes of one message; the rest of a longer one is lost.
const MESSAGE: usize = 512;

/// Messages that are kept; older ones are dropped.
const KEPT: usize = 10_000;

/// What drivers printed.
#[derive(Default)]
pub(super) struct Printed {
    messages: RefCell<VecDeque<String>>,
}

/// How much room a target has and what happens when it is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// `sprintf`: nobody says.
    Unknown,
    /// `_snprintf`: so many characters; a text that fills them is not terminated.
    Counted(u64),
    /// `sprintf_s`: so many characters; a text that does not fit with its terminator is an
    /// error that leaves an empty string.
    Secure(u64),
    /// `_snprintf_s`: as `Secure`, and at most so many characters before the terminator.
    SecureCounted(u64, u64),
}

impl Kernel {
    /// `int sprintf(char*, const char*, ...)`, and every relative of it
    ///
    /// Formats into a buffer. `arguments` is the address of the first of the slots that hold
    /// the arguments, as a `va_list` is.
    ///
    /// - IRQL: any level with resident memory; PASSIVE_LEVEL for wide characters in narrow
    ///   text and the reverse.
    /// - Returns: the characters written without the terminator; -1 for text that did not
    ///   fit. Without a buffer, a counted form returns the characters that are needed.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, the sprintf family.
    pub fn print_to(
        &self,
        buffer: u64,
        room: Room,
        format: u64,
        arguments: u64,
        width: Width,
    ) -> Ddi<i32> {
        let format = self.read_units(format, usize::MAX, width)?;
        let mut text = self.format(&format, width, arguments)?;
        let length = text.len() as u64;
        let fits = |text: &[u16]| i32::try_from(text.len()).unwrap_or(-1);
        match room {
            Room::Unknown => text.push(0),
            Room::Counted(0) if buffer == 0 => return Ok(fits(&text)),
            Room::Counted(count) if length > count => {
                text.truncate(usize::try_from(count).unwrap_or(usize::MAX));
                self.write_units(buffer, &text, width)?;
                return Ok(-1);
            }
            Room::Counted(count) if length == count => {}
            Room::Counted(_) => text.push(0),
            Room::SecureCounted(size, most) if length > most && most < size => {
                text.truncate(most as usize);
                text.push(0);
                self.write_units(buffer, &text, width)?;
                return Ok(-1);
            }
            Room::Secure(size) | Room::SecureCounted(size, _) if length >= size => {
                if buffer != 0 && size != 0 {
                    self.write_units(buffer, &[0], width)?;
                }
                return Ok(-1);
            }
            Room::Secure(_) | Room::SecureCounted(..) => text.push(0),
        }
        self.write_units(buffer, &text, width)?;
        Ok(i32::try_from(length).unwrap_or(-1))
    }

    /// `ULONG DbgPrint(PCSTR, ...)`, and `DbgPrintEx`, `vDbgPrintEx` and
    /// `vDbgPrintExWithPrefix`, whose component and level decide nothing here
    ///
    /// Gives text to whoever watches the run: up to 512 bytes, after `prefix` if there is one.
    ///
    /// - IRQL: any level at which interrupts of the debugger can come, that is, at or below
    ///   DIRQL; PASSIVE_LEVEL for wide characters.
    /// - Returns: SUCCESS.
    /// - Findings: `PRINT_LEVEL` for wide characters above PASSIVE_LEVEL.
    /// - Source: WDK reference, wdm.DbgPrint, Remarks; wdm.vDbgPrintExWithPrefix.
    pub fn dbg_print(&self, prefix: u64, format: u64, arguments: u64) -> Ddi<NtStatus> {
        let format = self.read_units(format, usize::MAX, Width::Narrow)?;
        if self.irql() > Irql::PASSIVE && has_wide(&format) {
            let message = format!("text with wide characters was printed at {}", self.irql());
            self.find(ids::PRINT_LEVEL, message, self.raised_here())?;
        }
        let mut text = if prefix == 0 {
            Vec::new()
        } else {
            self.read_units(prefix, MESSAGE, Width::Narrow)?
        };
        text.extend(self.format(&format, Width::Narrow, arguments)?);
        text.truncate(MESSAGE);
        self.emit_text(&text);
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID HalDisplayString(PUCHAR String)`
    ///
    /// Gives text to whoever watches the run: there is no screen.
    ///
    /// - IRQL: any level.
    /// - Source: exported, not documented.
    ///
    /// # Errors
    /// A string that is not memory.
    pub fn hal_display_string(&self, string: u64) -> Ddi<()> {
        let mut text = self.read_units(string, usize::MAX, Width::Narrow)?;
        text.truncate(MESSAGE);
        self.emit_text(&text);
        Ok(())
    }

    fn emit_text(&self, bytes: &[u16]) {
        let units: Vec<u16> = bytes
            .iter()
            .map(|byte| code_page::to_unicode(*byte as u8))
            .collect();
        let text = String::from_utf16_lossy(&units);
        let mut messages = self.rtl.printed.messages.borrow_mut();
        if messages.len() == KEPT {
            messages.pop_front();
        }
        messages.push_back(text.clone());
        drop(messages);
        self.event(Event::DebugPrint(text));
    }

    /// What drivers have printed, one entry for each call; the last 10,000.
    #[must_use]
    pub fn debug_output(&self) -> Vec<String> {
        self.rtl.printed.messages.borrow().iter().cloned().collect()
    }

    /// `VOID DbgBreakPoint(VOID)`, and `DbgBreakPointWithStatus`, whose status decides nothing
    /// without a debugger
    ///
    /// Breaks into a debugger that is not there.
    ///
    /// - IRQL: any level.
    /// - Findings: `DRIVER_BREAKPOINT`.
    /// - Source: WDK reference, wdm.DbgBreakPoint, Remarks.
    ///
    /// # Errors
    /// Raises `STATUS_BREAKPOINT`; without a handler the system stops.
    pub fn dbg_break_point(&self) -> Ddi<()> {
        let instruction = self.platform().call_site().return_address;
        let access = crate::ke::FaultAccess::Execute;
        let kind = crate::ke::FaultKind::Breakpoint;
        Err(self.fault(&crate::ke::Fault {
            address: instruction,
            access,
            instruction,
            caller: 0,
            kind,
        }))
    }

    /// `VOID RtlAssert(PVOID Assertion, PVOID File, ULONG Line, PCHAR Message)`
    ///
    /// An assertion of a checked driver does not hold. It is reported and the driver goes on,
    /// as after "ignore" in a debugger.
    ///
    /// - IRQL: any level.
    /// - Findings: `ASSERTION`.
    /// - Source: WDK reference, wdm.ASSERT, Remarks.
    pub fn rtl_assert(&self, assertion: u64, file: u64, line: u32, message: u64) -> Ddi<()> {
        let text = |address| -> Ddi<String> {
            if address == 0 {
                return Ok(String::new());
            }
            Ok(String::from_utf8_lossy(&self.read_string(address, MESSAGE)?).into_owned())
        };
        let extra = text(message)?;
        let separator = if extra.is_empty() { "" } else { ": " };
        let found = format!(
            "{}, line {line}: assertion `{}` does not hold{separator}{extra}",
            text(file)?,
            text(assertion)?
        );
        self.find(ids::ASSERTION, found, None)
    }
}

/// Whether a format asks for wide characters: `%C`, `%S`, `%lc`, `%ls`, `%wc`, `%ws`, `%wZ`.
fn has_wide(format: &[u16]) -> bool {
    let text: Vec<u8> = format.iter().map(|unit| *unit as u8).collect();
    let mut rest = text.as_slice();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        rest = &rest[at + 1..];
        let skipped = rest
            .iter()
            .take_while(|byte| b"-+ #0123456789.*".contains(byte))
            .count();
        rest = &rest[skipped..];
        match rest {
            [b'C' | b'S', ..] | [b'l' | b'w', b'c' | b's' | b'Z' | b'C' | b'S', ..] => return true,
            [b'%', ..] => rest = &rest[1..],
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Config, DriverPtr};

    fn text(bench: &Bench, text: &str) -> u64 {
        let at = bench.variable(text.len() as u64 + 1);
        bench.kernel.write_bytes(at, text.as_bytes()).unwrap();
        at
    }

    fn print(room: Room) -> (i32, Vec<u8>) {
        let bench = Bench::new(Config::default());
        let buffer = bench.variable(8);
        bench.kernel.write_bytes(buffer, b"########").unwrap();
        let slots = bench.variable(8);
        bench
            .kernel
            .write(DriverPtr::<u64>::new(slots), 345)
            .unwrap();
        let format = text(&bench, "12%d");
        let count = bench
            .kernel
            .print_to(buffer, room, format, slots, Width::Narrow)
            .unwrap();
        (count, bench.kernel.read_bytes(buffer, 8).unwrap())
    }

    #[test]
    fn text_is_cut_terminated_or_refused_as_the_routine_has_it() {
        for (room, count, expected) in [
            (Room::Unknown, 5, b"12345\0##"),
            (Room::Counted(6), 5, b"12345\0##"),
            (Room::Counted(5), 5, b"12345###"),
            (Room::Counted(4), -1, b"1234####"),
            (Room::Counted(0), -1, b"########"),
            (Room::Secure(6), 5, b"12345\0##"),
            (Room::Secure(5), -1, b"\0#######"),
            (Room::Secure(0), -1, b"########"),
            (Room::SecureCounted(8, 3), -1, b"123\0####"),
            (Room::SecureCounted(8, 5), 5, b"12345\0##"),
            (Room::SecureCounted(5, 7), -1, b"\0#######"),
            (Room::SecureCounted(6, u64::MAX), 5, b"12345\0##"),
        ] {
            assert_eq!(print(room), (count, expected.to_vec()), "{room:?}");
        }
    }

    #[test]
    fn without_a_buffer_the_length_is_told() {
        let bench = Bench::new(Config::default());
        let format = text(&bench, "12345");
        assert_eq!(
            bench
                .kernel
                .print_to(0, Room::Counted(0), format, 0, Width::Narrow),
            Ok(5)
        );
    }

    #[test]
    fn printed_text_is_kept_and_cut_at_512_bytes() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let prefix = text(&bench, "edu: ");
        let long = text(&bench, &"x".repeat(600));
        kernel
            .dbg_print(prefix, text(&bench, "caf\u{e9}"), 0)
            .unwrap();
        kernel.dbg_print(0, long, 0).unwrap();
        let output = kernel.debug_output();
        // UTF-8 of the test's text, taken for code page 1252.
        assert_eq!(output[0], "edu: caf\u{c3}\u{a9}");
        assert_eq!(output[1].len(), 512);
    }

    #[test]
    fn wide_characters_are_printed_at_passive_level_only() {
        for (format, wide) in [
            ("%ws", true),
            ("%-8.3wZ", true),
            ("%S", true),
            ("%lc", true),
            ("%s %lu %%S %I64x %wx", false),
            ("%", false),
        ] {
            assert_eq!(
                has_wide(&format.encode_utf16().collect::<Vec<_>>()),
                wide,
                "{format}"
            );
        }
        let bench = Bench::new(Config::default());
        let format = text(&bench, "%wZ");
        let slots = bench.variable(8);
        bench.kernel.dbg_print(0, format, slots).unwrap();
        assert!(bench.rules().is_empty());
        bench.kernel.raise_irql(Irql::APC);
        bench.kernel.dbg_print(0, format, slots).unwrap();
        assert_eq!(bench.rules(), [ids::PRINT_LEVEL]);
    }

    #[test]
    fn a_breakpoint_is_a_finding_and_an_exception() {
        let bench = Bench::new(Config::default());
        let raised = bench.kernel.dbg_break_point();
        assert!(matches!(
            raised,
            Err(crate::Stop::Exception {
                code: NtStatus::BREAKPOINT,
                ..
            })
        ));
        assert_eq!(bench.rules(), [ids::DRIVER_BREAKPOINT]);
    }

    #[test]
    fn an_assertion_that_fails_is_a_finding_with_its_text() {
        let bench = Bench::new(Config::default());
        let (assertion, file) = (text(&bench, "Count > 0"), text(&bench, "edu.c"));
        bench.kernel.rtl_assert(assertion, file, 12, 0).unwrap();
        assert_eq!(bench.rules(), [ids::ASSERTION]);
        let expected = "edu.c, line 12: assertion `Count > 0` does not hold";
        assert_eq!(bench.kernel.findings()[0].message, expected);
    }
}
