//! The form of a case.

use serde::Deserialize;

/// Steps to play on a computer of their own, and what has to come of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The Windows versions to play it on, by name.
    #[serde(default = "windows_10")]
    pub windows: Vec<String>,
    /// How many processors there are.
    #[serde(default = "one")]
    pub processors: u16,
    /// The devices, by what they have: `line`, `msi4`, `msix4`, `button`, ….
    #[serde(default = "a_line")]
    pub devices: Vec<String>,
    /// Where the documentation is read in the other way.
    #[serde(default)]
    pub readings: Vec<String>,
    /// Who makes the calls.
    #[serde(default = "both_hands")]
    pub by: Vec<Hand>,
    /// Versions to play it with, where a step does not say another one.
    #[serde(default = "version_1")]
    pub versions: Vec<u32>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// The rules that are found broken, in order; those and no others.
    #[serde(default)]
    pub findings: Vec<String>,
    /// The bug check, with its parameters, that ends it; `None` for a parameter that may be anything.
    #[serde(default)]
    pub stops: Option<Vec<Number>>,
}

/// Who makes the calls.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Hand {
    /// The driver compiled from C, by requests.
    C,
    /// The same with the library for older systems.
    Iointex,
    /// Rust functions of the test's process, as ISRs and as callers.
    Rust,
}

/// One step: an action, and what it has to give.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The device that it is about.
    #[serde(default)]
    pub on: usize,
    /// Connects.
    pub connect: Option<Connect>,
    /// Disconnects.
    pub disconnect: Option<Target>,
    /// Reports active or inactive.
    pub report: Option<Report>,
    /// These queues of an `msix` device interrupt.
    pub interrupt: Option<Vec<u32>>,
    /// The button is pressed.
    #[serde(default)]
    pub press: bool,
    /// Nothing is done but to look at what was called.
    #[serde(default)]
    pub wait: bool,
    /// IoGetAffinityInterrupt.
    pub affinity: Option<Target>,
    /// KeSynchronizeExecution.
    pub synchronize: Option<Target>,
    /// KeAcquireInterruptSpinLock and its release.
    pub lock: Option<Target>,
    /// The IRQL at which the action happens.
    pub at: Option<Number>,

    /// The status; success if it is left out. By name, without `STATUS_`, or `absent`, or `error`
    /// for any.
    pub status: Option<String>,
    /// Version afterwards, if it is not what it was before.
    pub version: Option<u32>,
    /// What the result pointer is: `object`, `table`, `null`, or `kept`. Left out: `object` or
    /// `table` after success, `null` after a failure.
    pub result: Option<String>,
    /// UnifiedIrql of the message table.
    pub unified: Option<Number>,
    /// The calls of ISRs, in order, as in `0 at 5` or `0 message 1 at 5, early`: the number is
    /// the connect's `as`, the level a [`Number`].
    pub calls: Option<Vec<String>>,
    /// Number of calls whose order is open.
    pub count: Option<usize>,
    /// The level at which the critical section ran, or that the lock raised to.
    pub runs_at: Option<Number>,
    /// Mask and group.
    pub mask: Option<u64>,
    /// The group.
    pub group: Option<u16>,
}

/// What a step does.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the members of Step say what they are")]
pub enum Action<'a> {
    Connect(&'a Connect),
    Disconnect(Target),
    Report(Report),
    Interrupt(&'a [u32]),
    Press,
    Wait,
    Affinity(Target),
    Synchronize(Target),
    Lock(Target),
}

impl Step {
    /// What it does; `None` unless it is exactly one thing.
    #[must_use]
    pub fn action(&self) -> Option<Action<'_>> {
        let actions = [
            self.connect.as_ref().map(Action::Connect),
            self.disconnect.map(Action::Disconnect),
            self.report.map(Action::Report),
            self.interrupt.as_deref().map(Action::Interrupt),
            self.press.then_some(Action::Press),
            self.wait.then_some(Action::Wait),
            self.affinity.map(Action::Affinity),
            self.synchronize.map(Action::Synchronize),
            self.lock.map(Action::Lock),
        ];
        let mut actions = actions.into_iter().flatten();
        match (actions.next(), actions.next()) {
            (Some(action), None) => Some(action),
            _ => None,
        }
    }
}

/// A connect. Members that are left out have the value that a correct driver gives them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// Its number among the device's, 0..=3.
    #[serde(default, rename = "as")]
    pub slot: u32,
    /// Which routine.
    #[serde(default)]
    pub routine: Routine,
    /// Version, if it is not the case's.
    pub version: Option<u32>,
    /// Which of the device's interrupts versions 1 and 4 describe.
    #[serde(default)]
    pub index: usize,
    /// Members that are NULL: `pdo`, `result`, `routine`.
    #[serde(default)]
    pub without: Vec<String>,
    /// The ISR returns FALSE and does not look at the device.
    #[serde(default)]
    pub refuses: bool,
    /// SpinLock is the driver's one.
    #[serde(default)]
    pub lock: bool,
    /// FallBackServiceRoutine is there.
    #[serde(default)]
    pub fallback: bool,
    /// SynchronizeIrql.
    pub synchronize_irql: Option<Number>,
    /// Irql.
    pub irql: Option<Number>,
    /// Vector.
    pub vector: Option<Number>,
    /// InterruptMode.
    pub mode: Option<u32>,
    /// ShareVector.
    pub shared: Option<u8>,
    /// ProcessorEnableMask.
    pub mask: Option<u64>,
    /// Group.
    pub group: Option<u16>,
    /// FloatingSave.
    #[serde(default)]
    pub floating_save: u8,
}

/// Which routine connects or disconnects.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Routine {
    /// `IoConnectInterruptEx`, `IoDisconnectInterruptEx`
    #[default]
    Ex,
    /// `IoConnectInterrupt`, `IoDisconnectInterrupt`
    Old,
}

/// What a connect returned.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The connect's number.
    #[serde(default, rename = "of")]
    pub slot: u32,
    /// Version, if it is not the one that connect returned.
    pub version: Option<u32>,
    /// Another context or object than the one that connect returned.
    pub context: Option<u64>,
    /// The object in this entry of the message table.
    pub entry: Option<u32>,
    /// Which routine, if it is not the one that belongs to the connect.
    pub routine: Option<Routine>,
}

/// A report.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Active, or inactive.
    pub active: bool,
    /// The connect's number.
    #[serde(default, rename = "of")]
    pub slot: u32,
    /// Version, if it is not the one that connect returned.
    pub version: Option<u32>,
}

/// A number, or a name for one that the computer decides: `own`, `raw`, `highest`, `lowest`, `any`,
/// with `+ 1` or `- 1`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Number {
    /// This number.
    Is(u64),
    /// What the name stands for.
    Named(String),
}

fn windows_10() -> Vec<String> {
    vec![String::from("10")]
}

const fn one() -> u16 {
    1
}

fn a_line() -> Vec<String> {
    vec![String::from("line")]
}

fn both_hands() -> Vec<Hand> {
    vec![Hand::C, Hand::Rust]
}

fn version_1() -> Vec<u32> {
    vec![1]
}
