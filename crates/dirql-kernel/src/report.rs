//! Findings, and where and when things happen.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_rules::{Context, Finding, Place, RuleId};

use crate::event::{Event, EventSink, Stamp};
use crate::outlived::Outlived;
use crate::platform::CallSite;
use crate::stop::{Ddi, Stop};
use crate::{Kernel, Outcome};

/// Findings after which a run ends: more of them tell nobody anything.
pub const MOST_FINDINGS: usize = 1000;

/// The DDI that is being carried out, and where the driver called it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CurrentDdi {
    name: Option<&'static str>,
    site: CallSite,
    /// What the processor was running.
    context: Option<Context>,
    /// It is carried out, and returns.
    done: bool,
}

impl CurrentDdi {
    /// Its name, if a driver has called one.
    pub(crate) const fn name(self) -> Option<&'static str> {
        self.name
    }

    /// The instruction after the call.
    pub(crate) const fn return_address(self) -> u64 {
        self.site.return_address
    }

    /// What the processor was running when the driver called; `None` if no driver did.
    pub(crate) const fn context(self) -> Option<Context> {
        self.context
    }
}

#[derive(Default)]
pub(crate) struct Report {
    findings: RefCell<Vec<Finding>>,
    pub(crate) outlived: RefCell<Vec<Outlived>>,
    sink: RefCell<Option<Box<dyn EventSink>>>,
    recording: Cell<bool>,
    /// Events that the sink was told.
    events: Cell<u64>,
    ddi: Cell<CurrentDdi>,
    /// The driver's instruction that is being carried out for it, 0 if none is.
    instruction: Cell<u64>,
    /// The driver's instruction that waits until the kernel has attended to something, or 0.
    waiting: Cell<u64>,
}

impl Report {
    pub(crate) fn take_instruction(&self) -> u64 {
        self.instruction.take()
    }

    /// Driver code waits before an instruction, or (0) no longer does; returns what was said before.
    pub(crate) fn set_waiting(&self, instruction: u64) -> u64 {
        self.waiting.replace(instruction)
    }

    pub(crate) fn set_sink(&self, sink: Option<Box<dyn EventSink>>) {
        self.recording.set(sink.is_some());
        *self.sink.borrow_mut() = sink;
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.recording.get()
    }

    pub(crate) fn enter_ddi(&self, name: &'static str, site: CallSite, context: Context) {
        self.ddi.set(CurrentDdi {
            name: Some(name),
            site,
            context: Some(context),
            done: false,
        });
    }

    /// The routine is carried out. A nested call has overwritten the name; the site is looked up
    /// again by need.
    pub(crate) fn ddi_is_done(&self, name: &'static str) {
        self.ddi.set(CurrentDdi {
            name: Some(name),
            done: true,
            ..self.ddi.get()
        });
    }

    /// Where the driver goes on, if a routine that it has called is about to return.
    pub(crate) fn returns_to(&self) -> Option<CallSite> {
        let ddi = self.ddi.get();
        ddi.done.then_some(ddi.site)
    }

    /// Whether a routine that a driver has called is carried out.
    pub(crate) fn is_in_ddi(&self) -> bool {
        self.ddi.get().name.is_some()
    }

    /// The driver's instruction that waits until the kernel has attended to something, or 0.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.get()
    }

    pub(crate) fn leave_ddi(&self) {
        self.ddi.set(CurrentDdi::default());
    }

    /// Driver code is about to run inside a DDI; what it does is not that DDI's doing.
    pub(crate) fn suspend_ddi(&self) -> CurrentDdi {
        self.ddi.replace(CurrentDdi::default())
    }

    pub(crate) fn resume_ddi(&self, ddi: CurrentDdi) {
        self.ddi.set(ddi);
    }

    /// From now on what is found where no routine of the kernel is carried out is the doing of the
    /// driver's `routine`, which has returned. [`Report::resume_ddi`] ends that.
    pub(crate) fn blame(&self, routine: u64) -> CurrentDdi {
        let before = self.ddi.get();
        if before.name.is_none() && before.site.return_address == 0 {
            let site = CallSite {
                return_address: routine,
                ..before.site
            };
            self.ddi.set(CurrentDdi { site, ..before });
        }
        before
    }
}

impl Kernel {
    /// Records an event, if somebody listens. Nearly always nobody does: then the event is not
    /// even made.
    #[inline]
    pub(crate) fn event(&self, event: Event) {
        if self.report.is_recording() {
            self.record(event);
        }
    }

    #[cold]
    #[inline(never)]
    fn record(&self, event: Event) {
        if let Some(sink) = &mut *self.report.sink.borrow_mut() {
            sink.record(self.stamp(), &event);
            self.report.events.set(self.report.events.get() + 1);
        }
    }

    /// The driver has come to an instruction that is carried out for it, or that it is stopped
    /// before; 0: that is over. For whoever reads the trace.
    #[inline]
    pub fn come_to(&self, instruction: u64) {
        self.report.instruction.set(instruction);
    }

    /// The driver's instruction that is being carried out for it, 0 if none is.
    pub(crate) fn instruction(&self) -> u64 {
        match self.report.instruction.get() {
            0 => 0,
            address => self.platform().original(address),
        }
    }

    /// Where the driver code waits that a yield point has stopped, 0 if that is unknown, and
    /// whether that is after a call.
    #[must_use]
    pub fn waiting_place(&self) -> (u64, bool) {
        let ddi = self.report.ddi.get();
        match ddi.name {
            Some(_) => (ddi.site.return_address, true),
            None => match self.report.waiting.get() {
                0 => (0, false),
                address => (self.platform().original(address), false),
            },
        }
    }

    /// How many events have been recorded so far: what has this number comes before the next.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.report.events.get()
    }

    /// A landmark of the scenario, for whoever reads the trace.
    pub fn landmark(&self, text: String) {
        self.event(Event::Landmark(text));
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            step: self.step(),
            time_100ns: self.time_100ns(),
            processor: self.processor().id.0,
            irql: self.irql().0,
            context: self.context(),
        }
    }

    /// Where and when we are.
    #[must_use]
    pub fn here(&self) -> Place {
        let ddi = self.report.ddi.get();
        Place {
            step: self.step(),
            time_100ns: self.time_100ns(),
            processor: self.processor().id.0,
            irql: self.irql().0,
            context: self.context(),
            ddi: ddi.name,
            address: self.caller(ddi),
        }
    }

    /// Where the driver goes on after a routine, or an address in its own routine if it has jumped
    /// to the kernel's as its last act.
    fn caller(&self, ddi: CurrentDdi) -> u64 {
        match (ddi.name, ddi.site.return_address) {
            (Some(_), 0) => match self.platform().running_routine() {
                0 => 0,
                routine => routine + 1,
            },
            (_, address) => address,
        }
    }

    /// As [`Kernel::here`], and where no routine is carried out, with the code of the driver from
    /// which the kernel was entered.
    #[must_use]
    pub fn here_in_driver(&self) -> Place {
        let place = self.here();
        if place.address != 0 {
            return place;
        }
        Place {
            address: self.platform().call_site().return_address,
            ..place
        }
    }

    /// As [`Kernel::here`], at a given instruction of the driver.
    #[must_use]
    pub fn here_at(&self, address: u64) -> Place {
        Place {
            ddi: None,
            address,
            ..self.here()
        }
    }

    /// Records a finding at the current place. `earlier` is where its other half was.
    ///
    /// # Errors
    /// [`Stop::Ended`] if a finding ends the run.
    pub fn find(&self, rule: RuleId, message: String, earlier: Option<(String, Place)>) -> Ddi<()> {
        self.find_at(rule, message, self.here(), earlier)
    }

    /// As [`Kernel::find`], at a given place. The same finding at the same instruction is
    /// recorded once, and none against a rule that the run does not judge by.
    ///
    /// # Errors
    /// [`Stop::Ended`] if a finding ends the run.
    pub fn find_at(
        &self,
        rule: RuleId,
        message: String,
        place: Place,
        earlier: Option<(String, Place)>,
    ) -> Ddi<()> {
        if self.judges() || dirql_rules::is_outcome(rule) {
            return self.add_finding(rule, message, place, earlier);
        }
        Ok(())
    }

    fn add_finding(
        &self,
        rule: RuleId,
        message: String,
        place: Place,
        earlier: Option<(String, Place)>,
    ) -> Ddi<()> {
        let known = |finding: &Finding| {
            finding.rule == rule
                && finding.place.address == place.address
                && finding.message == message
        };
        if self.report.findings.borrow().iter().any(known) {
            return Ok(());
        }
        let finding = Finding {
            rule,
            message,
            place,
            earlier,
        };
        self.event(Event::Finding(finding.clone()));
        let count = {
            let mut findings = self.report.findings.borrow_mut();
            findings.push(finding);
            findings.len()
        };
        if self.config().stop_at_finding || count == MOST_FINDINGS {
            self.end(Outcome::Finding);
            return Err(Stop::Ended);
        }
        Ok(())
    }

    /// Tells who listens of a finding that somebody has made of a run that is over.
    pub fn tell_finding(&self, finding: Finding) {
        self.event(Event::Finding(finding));
    }

    /// As [`Kernel::find`], and the run cannot go on after it.
    #[must_use]
    pub fn find_fatal(
        &self,
        rule: RuleId,
        message: String,
        earlier: Option<(String, Place)>,
    ) -> Stop {
        let _ = self.add_finding(rule, message, self.here(), earlier);
        self.end(Outcome::Finding);
        Stop::Ended
    }

    /// What has been found so far, in order.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.report.findings.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use dirql_rules::ids;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn found(rules: bool) -> Vec<RuleId> {
        let bench = Bench::new(Config {
            rules,
            ..Config::default()
        });
        bench.try_on_thread(|kernel| {
            kernel.find(ids::POOL_LEAK, String::new(), None)?;
            kernel.find(ids::HANG, String::new(), None)?;
            Err::<(), _>(kernel.find_fatal(ids::FAST_MUTEX, String::new(), None))
        });
        bench.rules()
    }

    #[test]
    fn a_run_ends_with_so_many_findings() {
        let bench = Bench::new(Config::default());
        bench.try_on_thread(|kernel| {
            for number in 1..=MOST_FINDINGS {
                let found = kernel.find(ids::POOL_LEAK, alloc::format!("{number}"), None);
                assert_eq!(found.is_err(), number == MOST_FINDINGS);
            }
            Ok(())
        });
        assert_eq!(bench.rules().len(), MOST_FINDINGS);
        assert_eq!(bench.kernel.outcome(), Some(Outcome::Finding));
    }

    #[test]
    fn without_rules_only_ends_are_told() {
        assert_eq!(found(true), [ids::POOL_LEAK, ids::HANG, ids::FAST_MUTEX]);
        assert_eq!(found(false), [ids::HANG, ids::FAST_MUTEX]);
    }
}
