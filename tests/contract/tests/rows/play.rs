//! Plays a case: one computer for each Windows, Version and hand.

use std::collections::BTreeMap;

use dirql::{Bench, BenchError, Outcome, WindowsVersion};
use dirql_abi::interrupt::{
    FullySpecified, IoConnectInterruptParameters, IoInterruptMessageInfo,
    IoInterruptMessageInfoEntry, KInterrupt,
};
use dirql_abi::{Irql, NtStatus};
use dirql_contract::{Action, Case, Connect, Hand, Number, Routine, Step, Target};
use dirql_kernel::DriverPtr;
use zerocopy::{FromZeros, IntoBytes};

use super::c_driver::CDriver;
use super::computer::{self, Assigned, name};
use super::in_process::InProcess;
use super::protocol::{ABSENT, Call, Hands, Reply, Request, UNTOUCHED, flag, operation};

/// `Type` of a KINTERRUPT.
const INTERRUPT_OBJECT: i16 = 22;

/// The advice that says why a connect was refused: a row about a status need not name it.
const WHY_REFUSED: &str = "DQ0522";

/// What is wrong with the case; nothing if it holds.
pub(crate) fn case(case: &Case) -> Vec<String> {
    let mut failures = Vec::new();
    for windows in &case.windows {
        for version in &case.versions {
            for hand in &case.by {
                if let Err(failure) = play(case, windows, *version, *hand) {
                    failures.push(format!(
                        "Windows {windows}, version {version}, {hand:?}: {failure}"
                    ));
                }
            }
        }
    }
    failures
}

fn play(case: &Case, windows: &str, version: u32, hand: Hand) -> Result<(), String> {
    let windows: WindowsVersion = windows.parse().map_err(|_| "no such Windows")?;
    let bench = computer::build(case, windows, hand).map_err(said)?;
    InProcess::scene(&bench, || {
        let hands: Box<dyn Hands> = match hand {
            Hand::Rust => Box::new(InProcess::new(&bench, case.devices.len()).map_err(said)?),
            Hand::C | Hand::Iointex => Box::new(CDriver(&bench)),
        };
        let mut run = Run {
            case,
            bench: &bench,
            hands: &*hands,
            version,
            connected: BTreeMap::new(),
        };
        run.steps()?;
        run.findings()
    })
}

fn said(error: BenchError) -> String {
    error.to_string()
}

/// A connect that succeeded.
#[derive(Clone, Copy, Debug)]
struct Connected {
    routine: Routine,
    version: u32,
    handle: u64,
}

/// Why a step was not as it has to be, or that the run is over.
enum Broken {
    Failure(String),
    Ended(Option<Outcome>),
}

impl From<BenchError> for Broken {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Ended(outcome) => Self::Ended(outcome),
            error => Self::Failure(error.to_string()),
        }
    }
}

impl From<String> for Broken {
    fn from(failure: String) -> Self {
        Self::Failure(failure)
    }
}

struct Run<'a> {
    case: &'a Case,
    bench: &'a Bench,
    hands: &'a dyn Hands,
    version: u32,
    connected: BTreeMap<(usize, u32), Connected>,
}

impl Run<'_> {
    fn steps(&mut self) -> Result<(), String> {
        for (index, step) in self.case.steps.iter().enumerate() {
            match self.step(step) {
                Ok(()) => {}
                Err(Broken::Failure(failure)) => {
                    return Err(format!("step {}: {failure}", index + 1));
                }
                Err(Broken::Ended(outcome)) => return self.ended(outcome.as_ref(), index),
            }
        }
        match (&self.case.stops, self.tidy()) {
            (Some(_), _) => Err(String::from("the system was to stop and went on")),
            (None, Ok(())) => Ok(()),
            (None, Err(Broken::Failure(failure))) => Err(format!("at the end: {failure}")),
            (None, Err(Broken::Ended(outcome))) => Err(format!("at the end: {outcome:?}")),
        }
    }

    /// The run is over: the last step was to stop the system in this way.
    fn ended(&self, outcome: Option<&Outcome>, step: usize) -> Result<(), String> {
        let is = match outcome {
            Some(Outcome::BugCheck { bug_check, .. }) => {
                let [a, b, c, d] = bug_check.parameters;
                vec![u64::from(bug_check.code), a, b, c, d]
            }
            other => Vec::from_iter(other.map(|_| 0)),
        };
        let wanted = self.case.stops.as_deref().unwrap_or_default();
        let same = !wanted.is_empty()
            && wanted.iter().zip(&is).all(|(wanted, is)| match wanted {
                Number::Is(number) => number == is,
                Number::Named(_) => true,
            });
        if same && step + 1 == self.case.steps.len() {
            return Ok(());
        }
        Err(format!("step {}: {outcome:x?}", step + 1))
    }

    fn findings(&self) -> Result<(), String> {
        let named = |rule: &String| rule != WHY_REFUSED || self.case.findings.contains(rule);
        let is: Vec<String> = self
            .bench
            .findings()
            .iter()
            .map(|finding| finding.rule.to_string())
            .filter(named)
            .collect();
        if is == self.case.findings {
            return Ok(());
        }
        let messages: Vec<String> = self
            .bench
            .findings()
            .into_iter()
            .map(|finding| format!("{}: {}", finding.rule, finding.message))
            .collect();
        Err(format!("findings are {is:?}: {messages:?}"))
    }

    /// Disconnects what is connected, removes the devices and unloads the driver.
    fn tidy(&mut self) -> Result<(), Broken> {
        for ((device, slot), connected) in std::mem::take(&mut self.connected) {
            let target = Target {
                slot,
                ..Target::default()
            };
            let request = Self::request_for(operation::DISCONNECT, connected, target, None);
            self.hands.perform(device, &request)?;
        }
        self.hands.finish()?;
        for device in 0..self.case.devices.len() {
            self.bench.close(&name(device))?;
            self.bench.remove(&name(device))?;
        }
        Ok(self.bench.unload()?)
    }

    fn step(&mut self, step: &Step) -> Result<(), Broken> {
        let assigned = computer::assigned(self.bench, step.on)?;
        let at = match &step.at {
            Some(level) => Some(level_of(level, &assigned)?),
            None => None,
        };
        let action = step
            .action()
            .ok_or_else(|| String::from("a step is exactly one action"))?;
        match action {
            Action::Connect(connect) => self.connect(step, connect, at, &assigned)?,
            Action::Disconnect(target) => {
                let reply = self.ask(step, operation::DISCONNECT, target, at)?;
                status(step, reply.status)?;
                if target.context.is_none() {
                    self.connected.remove(&(step.on, target.slot));
                }
            }
            Action::Report(report) => {
                let target = Target {
                    slot: report.slot,
                    version: report.version,
                    ..Target::default()
                };
                let connected = self.connected_at(step, target)?;
                let mut request = Self::request_for(operation::REPORT, connected, target, at);
                request.flags = if report.active { flag::ACTIVE } else { 0 };
                let reply = self.hands.perform(step.on, &request)?;
                status(step, reply.status)?;
            }
            Action::Interrupt(queues) => {
                let mut request = Request::new(operation::INTERRUPT);
                request.argument = queues.iter().fold(0, |mask, queue| mask | 1 << queue);
                request.level = at.unwrap_or(0);
                status(step, self.hands.perform(step.on, &request)?.status)?;
            }
            Action::Press => self.bench.press(&name(step.on))?,
            Action::Wait => {}
            Action::Affinity(target) => {
                let reply = self.ask(step, operation::AFFINITY, target, at)?;
                status(step, reply.status)?;
                same("mask", step.mask, reply.mask)?;
                same("group", step.group.map(u32::from), reply.extra)?;
            }
            Action::Synchronize(target) => {
                let reply = self.ask(step, operation::SYNCHRONIZE, target, at)?;
                same("what the routine returned", Some(0x5A), reply.value)?;
                runs_at(step, &reply, &assigned)?;
            }
            Action::Lock(target) => {
                let reply = self.ask(step, operation::LOCK, target, at)?;
                same("the level before", Some(at.unwrap_or(0)), reply.value)?;
                runs_at(step, &reply, &assigned)?;
            }
        }
        self.bench.run_until_idle()?;
        self.calls(step, &assigned)
    }

    fn connect(
        &mut self,
        step: &Step,
        connect: &Connect,
        at: Option<u64>,
        assigned: &[Assigned],
    ) -> Result<(), Broken> {
        let version = connect.version.unwrap_or(self.version);
        let mut request = request(connect, version, assigned)?;
        request.level = at.unwrap_or(0);
        let reply = self.hands.perform(step.on, &request)?;
        status(step, reply.status)?;
        let returned = reply.block[0] as u32;
        let succeeded = NtStatus::from_bits(reply.status).is_success();
        if connect.routine == Routine::Ex {
            same("Version", Some(step.version.unwrap_or(version)), returned)?;
        }
        let is_table = connect.routine == Routine::Ex && matches!(returned, 3 | 5);
        let wanted = match (&step.result, succeeded) {
            (Some(result), _) => result.as_str(),
            (None, true) if is_table => "table",
            (None, true) => "object",
            (None, false) => "null",
        };
        let is_object = self.is_interrupt_object(reply.value);
        let is = match reply.value {
            0 => "null",
            UNTOUCHED => "kept",
            _ if is_object => "object",
            _ if is_table => "table",
            _ => "something else",
        };
        same("the result pointer", Some(wanted), is)?;
        if is == "table" {
            self.table(step, reply.value, assigned)?;
        }
        if succeeded {
            let connected = Connected {
                routine: connect.routine,
                version: returned,
                handle: reply.value,
            };
            self.connected.insert((step.on, connect.slot), connected);
        }
        Ok(())
    }

    /// A message table says what was assigned, in order.
    fn table(&self, step: &Step, table: u64, assigned: &[Assigned]) -> Result<(), Broken> {
        let read = |error| format!("the table is no memory: {error:?}");
        let kernel = self.bench.kernel();
        let head: IoInterruptMessageInfo = kernel.read(DriverPtr::new(table)).map_err(read)?;
        let count = assigned.len() as u32;
        same("MessageCount", Some(count), head.message_count)?;
        if let Some(unified) = &step.unified {
            let level = level_of(unified, assigned)?;
            same("UnifiedIrql", Some(level), u64::from(head.unified_irql.0))?;
        }
        for (index, one) in (0..).zip(assigned) {
            let entry: IoInterruptMessageInfoEntry = kernel
                .read(DriverPtr::new(table + 8 + 48 * index))
                .map_err(read)?;
            let is = (
                entry.vector,
                entry.irql,
                entry.mode,
                entry.target_processor_set,
            );
            same(
                "an entry",
                Some((one.vector, one.irql, 1, one.affinity)),
                is,
            )?;
            let object = self.is_interrupt_object(entry.interrupt_object);
            same(
                "whether an entry has an interrupt object",
                Some(true),
                object,
            )?;
        }
        Ok(())
    }

    /// By the members that drivers look at.
    fn is_interrupt_object(&self, address: u64) -> bool {
        let object = self
            .bench
            .kernel()
            .read(DriverPtr::<KInterrupt>::new(address));
        object.is_ok_and(|object| (object.type_, object.connected) == (INTERRUPT_OBJECT, 1))
    }

    fn connected_at(&self, step: &Step, target: Target) -> Result<Connected, String> {
        let known = self.connected.get(&(step.on, target.slot)).copied();
        match (known, target.context) {
            (Some(connected), _) => Ok(connected),
            (None, Some(handle)) => Ok(Connected {
                routine: Routine::Ex,
                version: 1,
                handle,
            }),
            (None, None) => Err(format!("nothing is connected as {}", target.slot)),
        }
    }

    fn ask(
        &self,
        step: &Step,
        operation: u32,
        target: Target,
        at: Option<u64>,
    ) -> Result<Reply, Broken> {
        let mut connected = self.connected_at(step, target)?;
        if let Some(entry) = target.entry {
            let object = connected.handle + 8 + 48 * u64::from(entry) + 16;
            connected.handle = self
                .bench
                .kernel()
                .read(DriverPtr::new(object))
                .map_err(|error| format!("the table is no memory: {error:?}"))?;
        }
        let request = Self::request_for(operation, connected, target, at);
        Ok(self.hands.perform(step.on, &request)?)
    }

    fn request_for(
        operation: u32,
        connected: Connected,
        target: Target,
        at: Option<u64>,
    ) -> Request {
        let mut request = Request::new(operation);
        request.version = target.version.unwrap_or(connected.version);
        request.argument = target.context.unwrap_or(connected.handle);
        request.level = at.unwrap_or(0);
        if target.routine.unwrap_or(connected.routine) == Routine::Old {
            request.flags |= flag::OLD_ROUTINE;
        }
        request
    }

    /// The calls since the last step, of all devices, in the order of the devices.
    fn calls(&self, step: &Step, assigned: &[Assigned]) -> Result<(), Broken> {
        let mut calls = Vec::new();
        for device in 0..self.case.devices.len() {
            let all = self.hands.calls(device)?;
            calls.extend(all.into_iter().map(|call| (device, call)));
        }
        if let Some(count) = step.count {
            same("the number of calls", Some(count), calls.len())?;
            return Ok(());
        }
        let wanted = step.calls.as_deref().unwrap_or_default();
        let is: Vec<String> = calls
            .iter()
            .map(|(device, call)| shown(*device, call))
            .collect();
        let wanted: Result<Vec<String>, String> =
            wanted.iter().map(|call| expected(call, assigned)).collect();
        same("the calls", Some(wanted?), is)?;
        for (device, call) in &calls {
            self.given_its_object(*device, call)?;
        }
        Ok(())
    }

    /// A message ISR is given its entry's object.
    fn given_its_object(&self, device: usize, call: &Call) -> Result<(), Broken> {
        let connected = self.connected.get(&(device, call.slot.into()));
        let Some(connected) =
            connected.filter(|_| call.is_message != 0 && self.case.processors == 1)
        else {
            return Ok(());
        };
        let at = connected.handle + 8 + 48 * u64::from(call.message) + 16;
        let entry = self.bench.kernel().read(DriverPtr::<u64>::new(at));
        let entry = entry.map_err(|error| format!("the table is no memory: {error:?}"))?;
        Ok(same(
            "the ISR's interrupt object",
            Some(entry),
            call.object,
        )?)
    }
}

/// The request for a connect.
fn request(connect: &Connect, version: u32, assigned: &[Assigned]) -> Result<Request, String> {
    let mut request = Request::new(operation::CONNECT);
    request.slot = connect.slot;
    let without = |what: &str| connect.without.iter().any(|member| member == what);
    let flags = [
        (flag::USE_PDO, !without("pdo")),
        (flag::USE_RESULT, !without("result")),
        (flag::USE_ROUTINE, !without("routine")),
        (flag::USE_FALLBACK, connect.fallback),
        (flag::USE_LOCK, connect.lock),
        (flag::OLD_ROUTINE, connect.routine == Routine::Old),
        (flag::REFUSE, connect.refuses),
    ];
    request.flags = flags
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .fold(0, |flags, (flag, _)| flags | flag);
    let one = assigned
        .get(connect.index)
        .ok_or("the device has no such interrupt")?;
    let value = |wanted: &Option<Number>, own: u64| match wanted {
        None => Ok(own),
        Some(wanted) => computer::number(wanted, own, assigned)
            .ok_or_else(|| format!("{wanted:?} is no number")),
    };
    let own = u64::from(one.irql.0);
    let is_full = matches!(version, 1 | 4) || connect.routine == Routine::Old;
    let mut block = FullySpecified::new_zeroed();
    block.floating_save = connect.floating_save;
    block.synchronize_irql = Irql(match connect.synchronize_irql {
        None if !is_full => 0,
        _ => value(&connect.synchronize_irql, own)? as u8,
    });
    if is_full {
        block.irql = Irql(value(&connect.irql, own)? as u8);
        block.vector = value(&connect.vector, one.vector.into())? as u32;
        block.interrupt_mode = connect.mode.unwrap_or(u32::from(one.latched));
        block.share_vector = connect.shared.unwrap_or(u8::from(one.shared));
        block.processor_enable_mask = connect.mask.unwrap_or(one.affinity);
        block.group = connect.group.unwrap_or(one.group);
    }
    let image = IoConnectInterruptParameters::new(version, &block);
    request
        .block
        .as_mut_bytes()
        .copy_from_slice(image.as_bytes());
    Ok(request)
}

fn level_of(level: &Number, assigned: &[Assigned]) -> Result<u64, String> {
    let own = assigned.first().map_or(0, |one| u64::from(one.irql.0));
    computer::number(level, own, assigned).ok_or_else(|| format!("{level:?} is no level"))
}

fn runs_at(step: &Step, reply: &Reply, assigned: &[Assigned]) -> Result<(), String> {
    let Some(level) = &step.runs_at else {
        return Ok(());
    };
    same(
        "the level",
        Some(level_of(level, assigned)?),
        u64::from(reply.extra),
    )
}

fn status(step: &Step, bits: u32) -> Result<(), String> {
    let status = NtStatus::from_bits(bits);
    let wanted = step.status.as_deref().unwrap_or("SUCCESS");
    let holds = match wanted {
        "absent" => bits == ABSENT,
        "error" => bits >> 30 == 3 && bits != ABSENT,
        name => status.name().and_then(|name| name.strip_prefix("STATUS_")) == Some(name),
    };
    if holds {
        return Ok(());
    }
    Err(format!("the status is {status:?}, not {wanted}"))
}

fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    wanted: Option<T>,
    is: T,
) -> Result<(), String> {
    match wanted {
        Some(wanted) if wanted != is => Err(format!("{what}: {is:x?}, not {wanted:x?}")),
        _ => Ok(()),
    }
}

/// A call as cases write it.
fn shown(device: usize, call: &Call) -> String {
    let device = if device == 0 {
        String::new()
    } else {
        format!("device {device} ")
    };
    let message = if call.is_message == 0 {
        String::new()
    } else {
        format!(" message {}", call.message)
    };
    let early = if call.early == 0 { "" } else { ", early" };
    format!("{device}{}{message} at {}{early}", call.slot, call.level)
}

/// The same with the level that is meant: `own` is that of the message, or of the first interrupt.
fn expected(call: &str, assigned: &[Assigned]) -> Result<String, String> {
    let (rest, early) = match call.strip_suffix(", early") {
        Some(rest) => (rest, ", early"),
        None => (call, ""),
    };
    let (who, level) = rest
        .split_once(" at ")
        .ok_or_else(|| format!("`{call}` is not `WHO at LEVEL`"))?;
    let message = who
        .split_once(" message ")
        .and_then(|(_, message)| message.parse::<usize>().ok());
    let own = assigned
        .get(message.unwrap_or(0))
        .map_or(0, |one| u64::from(one.irql.0));
    let level = computer::number(&Number::Named(level.to_owned()), own, assigned)
        .ok_or_else(|| format!("`{level}` is no level"))?;
    Ok(format!("{who} at {level}{early}"))
}
