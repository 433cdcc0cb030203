//! Addresses in words.

use std::fmt;

/// Whoever knows what is at an address of the simulated computer.
pub trait Names {
    /// What is there, for example `edu.sys!EduIsr+0x12`; `None` if nothing is known.
    fn name(&self, address: u64) -> Option<String>;
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

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1.name(self.0) {
            Some(name) => f.write_str(&name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

/// What a processor was running, in words.
pub(crate) fn context(context: dirql_rules::Context) -> String {
    use dirql_rules::Context;
    match context {
        Context::Bench => "bench".into(),
        Context::Thread(thread) => format!("thread {thread}"),
        Context::Isr(vector) => format!("isr {vector:#x}"),
        Context::Dpc => "dpc".into(),
        Context::CriticalSection => "critical section".into(),
        Context::Idle => "idle".into(),
    }
}
