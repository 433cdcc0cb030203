//! The steps of one thread.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::rc::Rc;

use dirql_abi::NtStatus;
use dirql_kernel::io::pnp::{PnpError, PowerState};
use dirql_kernel::io::{RequestKind, RequestOutcome, UnloadError};
use dirql_kernel::{Ddi, Kernel};
use dirql_rules::{Place, ids};

use super::prints::Prints;
use crate::bench::outside::stimulus_name;
use crate::bench::state::State;
use crate::bench::{Bench, BenchError};
use crate::report::StepReport;
use crate::scenario::{Action, DeviceRequest, Expect, Expected, Explored, Step, Target};

/// How long a life waits for a request that it has cancelled: a minute, in units of 100 ns.
const PATIENCE_100NS: u64 = 600_000_000;

/// What threads have done so far.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) steps: Vec<StepReport>,
    pub(super) prints: Prints,
}

impl Log {
    /// Nothing has been done, but what is printed is listened for.
    pub(super) fn new(prints: &Prints) -> Self {
        Self {
            steps: Vec::new(),
            prints: prints.clone(),
        }
    }
}

/// A thread of the scenario.
pub(super) struct Thread {
    pub(super) number: usize,
    pub(super) file: String,
    pub(super) state: Rc<State>,
    pub(super) log: Rc<RefCell<Log>>,
    /// Whether there are other threads, so that a step says whose it is.
    pub(super) several: bool,
    /// Expectations do not count: something was made to fail.
    pub(super) is_lenient: bool,
    /// Time has run faster than devices, so that expectations do not count.
    pub(super) hurried: Rc<Cell<bool>>,
    /// Set when nobody waits for the thread any more: it begins no other step.
    pub(super) is_over: Rc<Cell<bool>>,
}

/// Whether a thread goes on after a step.
type GoOn = bool;

impl Thread {
    /// Does the steps. After one that did not end as expected the rest is left out: it would
    /// only repeat what went wrong.
    pub(super) fn perform(&self, kernel: &Kernel, steps: &[Step]) -> Ddi<()> {
        for (index, step) in steps.iter().enumerate() {
            if self.is_over.get() {
                break;
            }
            let entry = self.begin(kernel, step);
            if !self.step(kernel, step, entry)? && !self.is_excused() {
                self.skip(&steps[index + 1..]);
                break;
            }
        }
        Ok(())
    }

    /// Whether expectations do not count.
    fn is_excused(&self) -> bool {
        self.is_lenient || self.hurried.get()
    }

    /// Where a step is, for messages.
    fn place(&self, step: &Step) -> String {
        let mut place = String::new();
        if !self.file.is_empty() && step.line > 0 {
            let _ = write!(place, "{}:{}: ", self.file, step.line);
        }
        place
    }

    fn begin(&self, kernel: &Kernel, step: &Step) -> usize {
        let what = describe(&step.action);
        let landmark = if self.several {
            format!("thread {}: {what}", self.number)
        } else {
            what.clone()
        };
        kernel.landmark(landmark);
        let mut log = self.log.borrow_mut();
        log.steps.push(StepReport {
            thread: self.number as u32,
            line: step.line,
            step: what,
            place: self.place(step),
            sends: match &step.action {
                Action::Send { name, .. } => Some(name.clone()),
                _ => None,
            },
            result: None,
            met: true,
        });
        log.steps.len() - 1
    }

    fn skip(&self, steps: &[Step]) {
        for step in steps {
            self.log.borrow_mut().steps.push(StepReport {
                thread: self.number as u32,
                line: step.line,
                step: describe(&step.action),
                place: self.place(step),
                sends: None,
                result: Some("left out".into()),
                met: true,
            });
        }
    }

    fn end(&self, entry: usize, result: impl Into<String>, met: bool) {
        if let Some(step) = self.log.borrow_mut().steps.get_mut(entry) {
            step.result = Some(result.into());
            step.met &= met || self.is_excused();
        }
    }

    fn step(&self, kernel: &Kernel, step: &Step, entry: usize) -> Ddi<GoOn> {
        let state = &self.state;
        match &step.action {
            Action::Device {
                device,
                request,
                expect,
            } => {
                if self.is_lenient && state.is_gone(kernel, device) {
                    // Plug and play has other things to say to it then.
                    return self.request_gone(kernel, step, entry, device, *request);
                }
                let mut answer = state.request_device(kernel, device, *request)?;
                // It may be busy: then it is asked again when nothing else happens any more.
                if is_refused(&answer) && !matches!(expect, Expect::Exactly(_)) {
                    state.wait_idle(kernel)?;
                    answer = state.request_device(kernel, device, *request)?;
                }
                self.judge(kernel, step, entry, answer, *expect)
            }
            Action::Open {
                target,
                handle,
                expect,
                if_possible,
            } => {
                let answer = state.open(kernel, target, handle)?;
                if *if_possible && matches!(answer, Err(BenchError::NothingToOpen(_))) {
                    self.end(entry, "nothing to open", true);
                    return Ok(true);
                }
                self.judge(kernel, step, entry, answer, *expect)
            }
            Action::Close { handle, expect } => {
                if self.never_opened(step, handle) {
                    self.end(entry, "nothing to close", true);
                    return Ok(true);
                }
                let answer = state.close(kernel, handle)?;
                self.judge(kernel, step, entry, answer, *expect)
            }
            Action::Cleanup { handle, expect } => {
                let answer = state.cleanup(kernel, handle)?;
                self.judge(kernel, step, entry, answer, *expect)
            }
            Action::Request {
                handle,
                request,
                expected,
            } => {
                let answer = state.request(kernel, handle, request)?;
                self.judge_request(kernel, step, entry, answer, expected)
            }
            Action::Send {
                handle,
                request,
                name,
            } => match state.send(kernel, handle, request, name)? {
                Ok(request) => {
                    let is_done = kernel.request_is_done(request);
                    self.end(entry, if is_done { "done" } else { "pending" }, true);
                    Ok(true)
                }
                Err(error) => self.judge(kernel, step, entry, Err(error), Expect::Success),
            },
            Action::Await { name, expected } => {
                let answer = state.wait_request(kernel, name)?;
                self.judge_request(kernel, step, entry, answer, expected)
            }
            Action::AwaitCancelled(name) => {
                match state.wait_request_within(kernel, name, PATIENCE_100NS)? {
                    Some(answer) => {
                        let expected = Expected {
                            status: Expect::Any,
                            ..Expected::default()
                        };
                        self.judge_request(kernel, step, entry, answer, &expected)
                    }
                    None => {
                        self.end(entry, "was cancelled, and is under way still", true);
                        Ok(true)
                    }
                }
            }
            Action::Cancel(name) => {
                let answer = match state.request_named(name) {
                    Ok(request) => Ok(kernel.cancel_request(request).map(|_| ())?),
                    Err(error) => Err(error),
                };
                self.judge(kernel, step, entry, answer, Expect::Success)
            }
            Action::ExpectPending(name) => self.expect_pending(kernel, step, entry, name),
            Action::Signal(name) => {
                state.signal(kernel, name)?;
                self.end(entry, "done", true);
                Ok(true)
            }
            Action::Wait(name) => {
                state.wait_signal(kernel, name)?;
                self.end(entry, "done", true);
                Ok(true)
            }
            Action::Stimulus { device, stimulus } => {
                let answer = state.stimulate(kernel, device, stimulus)?;
                self.judge(kernel, step, entry, answer, Expect::Success)
            }
            Action::InterruptOnce { device } => {
                let answer = state.interrupt_once(kernel, device)?;
                self.judge(kernel, step, entry, answer, Expect::Success)
            }
            Action::ExpectSent { device, data } => {
                self.expect_sent(kernel, step, entry, device, data)
            }
            Action::Sleep(duration) => {
                state.sleep(kernel, *duration)?;
                self.end(entry, "done", true);
                Ok(true)
            }
            Action::WaitIdle => {
                state.wait_idle(kernel)?;
                self.end(entry, "done", true);
                Ok(true)
            }
            Action::Explore(place) => {
                if *place == Explored::UntilHere {
                    // What is on its way could have come before.
                    state.wait_idle(kernel)?;
                }
                kernel.let_choose(*place == Explored::FromHere);
                self.end(entry, "done", true);
                Ok(true)
            }
            Action::Unload {
                driver,
                if_possible,
            } => {
                let answer = state.unload(kernel, driver.as_deref())?;
                if *if_possible
                    && matches!(
                        answer,
                        Err(BenchError::Unload {
                            error: UnloadError::NoRoutine,
                            ..
                        })
                    )
                {
                    self.end(entry, "the driver has no Unload routine and stays", true);
                    return Ok(true);
                }
                self.judge(kernel, step, entry, answer, Expect::Success)
            }
        }
    }

    /// Removes a device that was pulled out; everything else is left out.
    fn request_gone(
        &self,
        kernel: &Kernel,
        step: &Step,
        entry: usize,
        device: &str,
        request: DeviceRequest,
    ) -> Ddi<GoOn> {
        let is_open = !self.state.handle_names().is_empty();
        if request != DeviceRequest::Remove || is_open {
            self.end(entry, "left out: the device was pulled out", true);
            return Ok(true);
        }
        // It is told first that it is gone.
        while self.state.plug_and_play_is_busy() {
            self.state
                .sleep(kernel, std::time::Duration::from_micros(100))?;
        }
        let answer = self.state.request_device(kernel, device, request)?;
        self.judge(kernel, step, entry, answer, Expect::Any)
    }

    /// A handle that an optional step did not get. Such a step has no line of a file.
    fn never_opened(&self, step: &Step, handle: &str) -> bool {
        step.line == 0 && self.state.handle(handle).is_err()
    }

    fn judge(
        &self,
        kernel: &Kernel,
        step: &Step,
        entry: usize,
        answer: Result<(), BenchError>,
        expect: Expect,
    ) -> Ddi<GoOn> {
        let status = match &answer {
            Ok(()) => Some(NtStatus::SUCCESS),
            Err(error) => error.status(),
        };
        let text = match &answer {
            Ok(()) if !has_status(&step.action) => "done".into(),
            Ok(()) => NtStatus::SUCCESS.to_string(),
            Err(error) => error.brief(),
        };
        let met = status.map_or(expect == Expect::Any, |status| expect.allows(status));
        self.end(entry, text.clone(), met);
        if met {
            return Ok(true);
        }
        self.find(kernel, step, &format!("expected {expect}, was: {text}"))?;
        Ok(false)
    }

    fn judge_request(
        &self,
        kernel: &Kernel,
        step: &Step,
        entry: usize,
        answer: Result<RequestOutcome, BenchError>,
        expected: &Expected,
    ) -> Ddi<GoOn> {
        let outcome = match answer {
            Ok(outcome) => outcome,
            Err(error) => return self.judge(kernel, step, entry, Err(error), expected.status),
        };
        let mut text = outcome.status.to_string();
        if outcome.information > 0 {
            let _ = write!(text, ", {} bytes", outcome.information);
        }
        if !outcome.data.is_empty() {
            let _ = write!(text, ": {}", hex(&outcome.data));
        }
        let status_met = expected.status.allows(outcome.status);
        let difference = if status_met {
            difference(expected, &outcome)
        } else {
            Some(format!(
                "expected {}, was: {}",
                expected.status, outcome.status
            ))
        };
        self.end(entry, text, difference.is_none());
        if let Some(difference) = difference {
            self.find_at(kernel, step, &difference, kernel.completed_at())?;
        }
        Ok(status_met)
    }

    fn expect_pending(&self, kernel: &Kernel, step: &Step, entry: usize, name: &str) -> Ddi<GoOn> {
        let request = match self.state.request_named(name) {
            Ok(request) => request,
            Err(error) => return self.judge(kernel, step, entry, Err(error), Expect::Success),
        };
        let is_done = kernel.request_is_done(request);
        self.end(entry, if is_done { "done" } else { "pending" }, !is_done);
        if is_done {
            self.find(
                kernel,
                step,
                "expected the request to be under way, but it is done",
            )?;
        }
        Ok(!is_done)
    }

    fn expect_sent(
        &self,
        kernel: &Kernel,
        step: &Step,
        entry: usize,
        device: &str,
        data: &[u8],
    ) -> Ddi<GoOn> {
        let sent = match self.state.take_sent(kernel, device) {
            Ok(sent) => sent,
            Err(error) => return self.judge(kernel, step, entry, Err(error), Expect::Success),
        };
        self.end(entry, hex(&sent), sent == data);
        if sent != data {
            self.find(
                kernel,
                step,
                &data_difference("", data, &sent).unwrap_or_default(),
            )?;
        }
        Ok(true)
    }

    fn find(&self, kernel: &Kernel, step: &Step, what: &str) -> Ddi<()> {
        self.find_at(kernel, step, what, None)
    }

    /// As [`Thread::find`], at the place of the driver's that has to do with it, if one is known.
    fn find_at(&self, kernel: &Kernel, step: &Step, what: &str, place: Option<Place>) -> Ddi<()> {
        if self.is_excused() {
            return Ok(());
        }
        let message = format!("{}{}: {what}", self.place(step), describe(&step.action));
        expected(kernel, message, place)
    }
}

/// Steps that never came to their end while nothing happens any more.
pub(super) fn find_unfinished(bench: &Bench, log: &Log) {
    for step in log.steps.iter().filter(|step| step.result.is_none()) {
        let message = format!(
            "{}{} does not come to its end, and nothing is left that could end it",
            step.place, step.step
        );
        // The only error is that the run has ended, and it has.
        let _ = expected(bench.kernel(), message, bench.kernel().kept_by());
    }
}

/// What was expected did not happen, because of what a driver did or keeps at `place`.
fn expected(kernel: &Kernel, message: String, place: Option<Place>) -> Ddi<()> {
    match place.filter(|place| place.address != 0) {
        Some(place) => kernel.find_at(ids::EXPECTATION, message, place, None),
        None => kernel.find(ids::EXPECTATION, message, None),
    }
}

/// Whether a driver did not agree to something.
fn is_refused(answer: &Result<(), BenchError>) -> bool {
    matches!(
        answer,
        Err(BenchError::Pnp {
            error: PnpError::Refused { .. },
            ..
        })
    )
}

/// Whether a driver answers a step with a status.
const fn has_status(action: &Action) -> bool {
    matches!(
        action,
        Action::Device { .. } | Action::Open { .. } | Action::Cleanup { .. } | Action::Close { .. }
    )
}

/// A step in words, close to how a scenario writes it.
pub(super) fn describe(action: &Action) -> String {
    match action {
        Action::Device {
            device, request, ..
        } => match request {
            DeviceRequest::Start => format!("start {device}"),
            DeviceRequest::Stop => format!("stop {device}"),
            DeviceRequest::Rebalance(_) => format!("rebalance {device}"),
            DeviceRequest::Remove => format!("remove {device}"),
            DeviceRequest::SurpriseRemove => format!("surprise_remove {device}"),
            DeviceRequest::QueryStop => format!("query_stop {device}"),
            DeviceRequest::CancelStop => format!("cancel_stop {device}"),
            DeviceRequest::QueryRemove => format!("query_remove {device}"),
            DeviceRequest::CancelRemove => format!("cancel_remove {device}"),
            DeviceRequest::Power(state) => format!("power {device} {}", power(*state)),
            DeviceRequest::QueryPower(state) => format!("query_power {device} {}", power(*state)),
        },
        Action::Open {
            target: Target::Device(name) | Target::Path(name),
            ..
        } => format!("open {name}"),
        Action::Close { handle, .. } => format!("close {handle}"),
        Action::Cleanup { handle, .. } => format!("cleanup {handle}"),
        Action::Request {
            handle, request, ..
        } => describe_request(handle, request),
        Action::Send {
            handle,
            request,
            name,
        } => format!("{} as {name}", describe_request(handle, request)),
        Action::Await { name, .. } | Action::AwaitCancelled(name) => format!("await {name}"),
        Action::Cancel(name) => format!("cancel {name}"),
        Action::ExpectPending(name) => format!("expect_pending {name}"),
        Action::Signal(name) => format!("signal {name}"),
        Action::Wait(name) => format!("wait {name}"),
        Action::Stimulus { device, stimulus } => format!("{device} is {}", stimulus_name(stimulus)),
        Action::InterruptOnce { device } => format!("interrupt {device}"),
        Action::ExpectSent { device, .. } => format!("expect_sent {device}"),
        Action::Sleep(duration) => format!("sleep {duration:?}"),
        Action::WaitIdle => "wait_idle".into(),
        Action::Explore(Explored::FromHere) => "explore from_here".into(),
        Action::Explore(Explored::UntilHere) => "explore until_here".into(),
        Action::Unload {
            driver: Some(driver),
            ..
        } => format!("unload {driver}"),
        Action::Unload { .. } => "unload".into(),
    }
}

fn describe_request(handle: &str, request: &RequestKind) -> String {
    match request {
        RequestKind::Read { length, .. } => format!("read {handle} {length} bytes"),
        RequestKind::Write { data, .. } => format!("write {handle} {}", hex(data)),
        RequestKind::Control {
            code,
            internal: false,
            ..
        } => format!("ioctl {handle} {code:#x}"),
        RequestKind::Control { code, .. } => format!("internal ioctl {handle} {code:#x}"),
        RequestKind::Flush => format!("flush {handle}"),
    }
}

fn power(state: PowerState) -> String {
    match state {
        PowerState::Device(state) => format!("D{state}"),
        PowerState::System(state) => format!("S{state}"),
    }
}

/// What is not as expected of a request whose status is.
fn difference(expected: &Expected, outcome: &RequestOutcome) -> Option<String> {
    if let Some(information) = expected.information
        && information != outcome.information
    {
        let found = outcome.information;
        return Some(format!(
            "expected the information {information}, was: {found}"
        ));
    }
    data_difference("the data ", expected.data.as_ref()?, &outcome.data)
}

/// What is not as expected of some bytes, which are `what`.
fn data_difference(what: &str, expected: &[u8], found: &[u8]) -> Option<String> {
    if expected == found {
        return None;
    }
    let mut text = format!("expected {what}{}, was: {}", hex(expected), hex(found));
    let pairs = expected.iter().zip(found);
    let place = pairs
        .take_while(|(expected, found)| expected == found)
        .count();
    if place >= SHOWN {
        let rest = |bytes: &[u8]| hex(&bytes[place.min(bytes.len())..]);
        let _ = write!(
            text,
            "; byte {place} is the first difference: expected {}, was: {}",
            rest(expected),
            rest(found)
        );
    }
    Some(text)
}

/// Bytes that are shown at most.
const SHOWN: usize = 16;

/// Bytes as a scenario writes them, shortened if there are many.
fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".into();
    }
    let mut text = String::new();
    for (index, byte) in bytes.iter().take(SHOWN).enumerate() {
        let space = if index > 0 && index % 2 == 0 { " " } else { "" };
        let _ = write!(text, "{space}{byte:02x}");
    }
    if bytes.len() > SHOWN {
        let _ = write!(text, " ... ({} bytes)", bytes.len());
    }
    text
}
