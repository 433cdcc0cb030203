//! Addresses in words.

use std::fmt;

use dirql_rules::Context;

use crate::code::Code;

/// Whoever knows what is at an address of the simulated computer.
pub trait Names {
    /// What is there, for example `edu.sys!EduIsr+0x12`; `None` if nothing is known.
    fn name(&self, address: u64) -> Option<String>;

    /// As [`Names::name`], of the call that returns to `address`.
    fn caller(&self, address: u64) -> Option<String> {
        self.name(address)
    }

    /// The code around `address`, or around the call that returns to it.
    fn code(&self, _address: u64, _call: bool) -> Option<Code> {
        None
    }
}

/// Knows nothing: addresses stay numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers;

impl Names for Numbers {
    fn name(&self, _address: u64) -> Option<String> {
        None
    }
}

/// An address as a trace shows it: in words if somebody knows them.
pub(crate) struct Shown<'a>(pub(crate) u64, pub(crate) &'a dyn Names);

impl Shown<'_> {
    /// The text, unless the address is 0, which stands for an unknown one.
    pub(crate) fn known(&self) -> Option<String> {
        (self.0 != 0).then(|| self.to_string())
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1.name(self.0) {
            Some(name) => f.write_str(&name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

/// The address after a call, as the call.
pub(crate) struct ShownCall<'a>(pub(crate) u64, pub(crate) &'a dyn Names);

impl ShownCall<'_> {
    /// As [`Shown::known`].
    pub(crate) fn known(&self) -> Option<String> {
        (self.0 != 0).then(|| self.to_string())
    }
}

impl fmt::Display for ShownCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1.caller(self.0) {
            Some(name) => f.write_str(&name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

/// What a processor was running, in words.
pub(crate) fn context(context: Context) -> String {
    match context {
        Context::Bench => "bench".into(),
        Context::Thread(thread) => format!("thread {thread}"),
        Context::Isr(vector) => format!("isr {vector:#x}"),
        Context::Dpc => "dpc".into(),
        Context::CriticalSection => "critical section".into(),
        Context::Idle => "idle".into(),
    }
}

/// The reverse of [`context`]; `None` if it is not one of those.
pub(crate) fn parse_context(text: &str) -> Option<Context> {
    Some(match text {
        "bench" => Context::Bench,
        "dpc" => Context::Dpc,
        "critical section" => Context::CriticalSection,
        "idle" => Context::Idle,
        other => {
            if let Some(thread) = other.strip_prefix("thread ") {
                Context::Thread(thread.parse().ok()?)
            } else {
                let vector = other.strip_prefix("isr 0x")?;
                Context::Isr(u8::from_str_radix(vector, 16).ok()?)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_read_as_it_was_written() {
        for one in [
            Context::Bench,
            Context::Thread(7),
            Context::Isr(0x61),
            Context::Dpc,
            Context::CriticalSection,
            Context::Idle,
        ] {
            assert_eq!(parse_context(&context(one)), Some(one));
        }
        for wrong in ["", "thread", "thread x", "isr 61", "isr 0x161"] {
            assert_eq!(parse_context(wrong), None, "{wrong}");
        }
    }
}
