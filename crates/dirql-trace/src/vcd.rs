//! Value change dump, which GTKWave, Surfer and other viewers of waveforms open.
//!
//! Signals: of each processor its IRQL, whether it is in an ISR or a DPC, the thread that it runs
//! and the vector that it serves; each line and whether its pin is masked; each vector that is
//! pending; each lock with who holds it; step, virtual time, findings and switches.
//!
//! Virtual time stands still while code runs, so one nanosecond of the viewer is one event, and
//! virtual time is a signal.
//!
//! Source: IEEE Std 1364-2005, section 18, "Value change dump (VCD) files".

use std::collections::BTreeMap;
use std::io::{self, Write};

use dirql_kernel::Stamp;
use dirql_rules::Context;

use crate::record::Record;

/// The scope that a signal is in, in the order of the viewer's list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Run,
    Processor(u16),
    Lines,
    Vectors,
    Locks,
}

impl Scope {
    fn name(&self) -> String {
        match self {
            Self::Run => "run".into(),
            Self::Processor(number) => format!("processor{number}"),
            Self::Lines => "lines".into(),
            Self::Vectors => "vectors".into(),
            Self::Locks => "locks".into(),
        }
    }
}

/// A signal: where it is, what it is called, how many bits it has.
#[derive(Debug)]
struct Signal {
    code: String,
    bits: u8,
    value: Option<u64>,
}

/// The changes of a run.
#[derive(Debug, Default)]
pub(crate) struct Waves {
    signals: BTreeMap<(Scope, String), Signal>,
    changes: Vec<u8>,
    time: u64,
    timed: bool,
}

impl Waves {
    /// Takes an event in.
    pub(crate) fn event(&mut self, stamp: Stamp, record: &Record<'_>) {
        self.timed = false;
        self.set(Scope::Run, "step", 64, stamp.step);
        self.set(Scope::Run, "time_100ns", 64, stamp.time_100ns);
        self.set(
            Scope::Run,
            "finding",
            1,
            matches!(record, Record::Finding { .. } | Record::BugCheck { .. }).into(),
        );
        self.set(
            Scope::Run,
            "switch",
            1,
            matches!(record, Record::Switch { .. }).into(),
        );
        self.processor(stamp);
        match record {
            Record::Irql { to, .. } => {
                self.set(Scope::Processor(stamp.processor), "irql", 4, u64::from(*to));
            }
            Record::Line { line, level } => {
                let high = level == "high";
                self.set(Scope::Lines, &format!("line{line}"), 1, high.into());
            }
            Record::LineMasked { line, masked } => {
                let name = format!("line{line}_masked");
                self.set(Scope::Lines, &name, 1, (*masked).into());
            }
            Record::Pending { target, vector } => self.pending(*target, *vector, true),
            Record::Delivered { vector } => {
                self.pending(stamp.processor, *vector, false);
                let scope = Scope::Processor(stamp.processor);
                self.set(scope, "vector", 8, (*vector).into());
            }
            Record::EndOfInterrupt { .. } => {
                self.set(Scope::Processor(stamp.processor), "vector", 8, 0);
            }
            Record::LockTaken { lock } => {
                // 0 stands for nobody.
                let holder = u64::from(stamp.processor) + 1;
                self.set(Scope::Locks, &lock_name(lock), 9, holder);
            }
            Record::LockReleased { lock } => self.set(Scope::Locks, &lock_name(lock), 9, 0),
            _ => {}
        }
        self.time += 1;
    }

    fn processor(&mut self, stamp: Stamp) {
        let scope = || Scope::Processor(stamp.processor);
        self.set(scope(), "irql", 4, stamp.irql.into());
        let isr = matches!(stamp.context, Context::Isr(_));
        self.set(scope(), "isr", 1, isr.into());
        let dpc = matches!(stamp.context, Context::Dpc);
        self.set(scope(), "dpc", 1, dpc.into());
        match stamp.context {
            Context::Thread(thread) => self.set(scope(), "thread", 32, thread.into()),
            Context::Idle => self.set(scope(), "thread", 32, 0),
            _ => {}
        }
    }

    fn pending(&mut self, processor: u16, vector: u8, pending: bool) {
        let name = format!("processor{processor}_pending_0x{vector:02x}");
        self.set(Scope::Vectors, &name, 1, pending.into());
    }

    fn set(&mut self, scope: Scope, name: &str, bits: u8, value: u64) {
        let next = self.signals.len();
        let signal = self
            .signals
            .entry((scope, name.to_owned()))
            .or_insert_with(|| Signal {
                code: code(next),
                bits,
                value: None,
            });
        if signal.value.replace(value) == Some(value) {
            return;
        }
        if !std::mem::replace(&mut self.timed, true) {
            self.changes
                .extend_from_slice(format!("#{}\n", self.time).as_bytes());
        }
        let change = match signal.bits {
            1 => format!("{}{}\n", value & 1, signal.code),
            _ => format!("b{value:b} {}\n", signal.code),
        };
        self.changes.extend_from_slice(change.as_bytes());
    }

    /// Writes the whole dump.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "$comment one nanosecond is one event $end")?;
        writeln!(out, "$timescale 1 ns $end")?;
        writeln!(out, "$scope module dirql $end")?;
        let mut open: Option<&Scope> = None;
        for ((scope, name), signal) in &self.signals {
            if open != Some(scope) {
                if open.replace(scope).is_some() {
                    writeln!(out, "$upscope $end")?;
                }
                writeln!(out, "$scope module {} $end", scope.name())?;
            }
            let Signal { code, bits, .. } = signal;
            // A vector has a range, which viewers show as one number.
            let range = match bits {
                1 => String::new(),
                bits => format!(" [{}:0]", bits - 1),
            };
            writeln!(out, "$var wire {bits} {code} {name}{range} $end")?;
        }
        if open.is_some() {
            writeln!(out, "$upscope $end")?;
        }
        writeln!(out, "$upscope $end")?;
        writeln!(out, "$enddefinitions $end")?;
        out.write_all(&self.changes)?;
        writeln!(out, "#{}", self.time)
    }
}

/// A lock as a signal's name: it has no blanks.
fn lock_name(lock: &str) -> String {
    let name = lock.split([' ', '(']).next().unwrap_or(lock);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("lock_{}", name.chars().map(plain).collect::<String>())
}

/// The identifier of signal `number`: printable characters from `!` to `~`.
fn code(mut number: usize) -> String {
    let mut text = String::new();
    loop {
        text.push(char::from(b'!' + (number % 94) as u8));
        number /= 94;
        if number == 0 {
            return text;
        }
        number -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_printable_and_differ() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..94 * 95 + 2 {
            let code = code(number);
            assert!(code.bytes().all(|byte| (b'!'..=b'~').contains(&byte)));
            assert!(seen.insert(code), "{number}");
        }
        assert_eq!(
            (code(0), code(93), code(94)),
            ("!".into(), "~".into(), "!!".into())
        );
    }

    #[test]
    fn a_name_has_no_blanks() {
        assert_eq!(lock_name("edu.sys!Lock (edu.c:5)"), "lock_edu_sys_Lock");
    }
}
