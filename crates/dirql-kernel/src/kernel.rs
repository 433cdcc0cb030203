//! The kernel as a whole: its parts, and the one way in for each kind of caller.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::Irql;
use dirql_rules::{BugCheck, Context, IrqlRule, Place, ids};

use crate::config::Config;
use crate::event::{Event, EventSink};
use crate::platform::Platform;
use crate::report::Report;
use crate::stop::Ddi;
use crate::{cm, ex, failure, hal, io, ke, mm, parport, ps, rtl};

/// How a run ended before it was idle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The system stopped.
    BugCheck {
        /// Code and parameters.
        bug_check: BugCheck,
        /// Where.
        place: Place,
    },
    /// A finding that ends a run was recorded.
    Finding,
    /// The step budget is used up.
    Budget,
}

/// The kernel. One per simulated computer.
///
/// All methods take `&self`; state is in cells that are never borrowed across a call
/// into driver code.
pub struct Kernel {
    platform: Rc<dyn Platform>,
    config: Config,
    pub(crate) hal: hal::Hal,
    pub(crate) ke: ke::Ke,
    pub(crate) io: io::Io,
    pub(crate) mm: mm::Mm,
    pub(crate) ex: ex::Ex,
    pub(crate) cm: cm::Cm,
    pub(crate) parport: parport::Parport,
    pub(crate) ps: ps::Ps,
    pub(crate) rtl: rtl::Rtl,
    pub(crate) report: Report,
    pub(crate) failures: failure::Failures,
    outcome: RefCell<Option<Outcome>>,
    stack: RefCell<Vec<u64>>,
    ended: Cell<bool>,
}

impl Kernel {
    /// A kernel on `platform`, booted: processors at PASSIVE_LEVEL and idle, no devices.
    #[must_use]
    pub fn new(platform: Rc<dyn Platform>, config: Config) -> Self {
        let kernel = Self {
            hal: hal::Hal::default(),
            ke: ke::Ke::new(config.processors),
            io: io::Io::default(),
            mm: mm::Mm::default(),
            ex: ex::Ex::default(),
            cm: cm::Cm::default(),
            parport: parport::Parport::default(),
            ps: ps::Ps::default(),
            rtl: rtl::Rtl::default(),
            report: Report::default(),
            failures: failure::Failures::default(),
            outcome: RefCell::new(None),
            stack: RefCell::default(),
            ended: Cell::new(false),
            platform,
            config,
        };
        kernel.boot_processors();
        kernel.set_up_threaded_dpcs();
        kernel
    }

    /// What the run was set up with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the driver is judged by rules that Windows does not enforce.
    #[inline]
    pub(crate) fn judges(&self) -> bool {
        self.config.rules
    }

    /// The outside.
    pub(crate) fn platform(&self) -> &dyn Platform {
        &*self.platform
    }

    /// From now on tells `sink` what happens; `None` stops it.
    pub fn set_event_sink(&self, sink: Option<Box<dyn EventSink>>) {
        self.report.set_sink(sink);
    }

    /// Whether the run has ended early.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// How the run ended early, if it did.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.borrow().clone()
    }

    /// Where the drivers were when the run ended with a bug check, from the inside out: the
    /// instruction, then the places to which their frames would have returned; after a 0, the same of
    /// what was interrupted by what stands before it. Empty if that is not known.
    #[must_use]
    pub fn stack_at_end(&self) -> Vec<u64> {
        self.stack.borrow().clone()
    }

    /// Notes the stack of a run that ends; the first one counts.
    pub fn note_stack(&self, frames: Vec<u64>) {
        let mut stack = self.stack.borrow_mut();
        if stack.is_empty() {
            *stack = frames;
        }
    }

    /// Ends the run. The first reason counts. The caller must not return to driver code:
    /// on a strand it returns [`crate::Stop::Ended`] up to the table of exports.
    pub fn end(&self, outcome: Outcome) {
        if let Outcome::BugCheck { bug_check, place } = &outcome
            && !self.has_ended()
            && self.report.is_recording()
        {
            self.event(Event::BugCheck {
                text: bug_check.to_string(),
                place: place.clone(),
            });
        }
        self.outcome.borrow_mut().get_or_insert(outcome);
        self.ended.set(true);
    }

    /// A driver calls the DDI `name`: checks its IRQL rule, lets interrupts arrive, runs
    /// `body`, lets interrupts arrive again.
    ///
    /// # Errors
    /// What `body` returns, and [`crate::Stop::Ended`] once the run is over.
    pub fn ddi<R: Into<u64> + Copy>(
        &self,
        name: &'static str,
        irql: Option<&'static IrqlRule>,
        body: impl FnOnce(&Self) -> Ddi<R>,
    ) -> Ddi<R> {
        self.ddi_or(name, irql, None, body)
    }

    /// As [`Kernel::ddi`]. `refused` is the answer of a routine that does nothing in place of the
    /// bug check that Windows has for what it is asked.
    ///
    /// # Errors
    /// As there.
    pub fn ddi_or<R: Into<u64> + Copy>(
        &self,
        name: &'static str,
        irql: Option<&'static IrqlRule>,
        refused: Option<R>,
        body: impl FnOnce(&Self) -> Ddi<R>,
    ) -> Ddi<R> {
        self.report
            .enter_ddi(name, self.platform.call_site(), self.context());
        if self.report.is_recording() {
            self.event(Event::DdiEnter {
                name,
                caller: self.platform.call_site().return_address,
            });
        }
        self.yield_point()?;
        self.touch_for_ddi(name);
        if self.judges() {
            self.check_path(name)?;
            if let Some(rule) = irql {
                self.check_entry(name, rule)?;
            }
        }
        let entry = self.config().keep_going.then(|| self.entry());
        let result = match (body(self), refused, entry) {
            (Ok(result), ..) => result,
            (Err(stop), Some(refused), Some(entry)) => {
                self.outlive_refusal(name, entry, stop)?;
                refused
            }
            (Err(stop), ..) => return Err(stop),
        };
        self.report.ddi_is_done(name);
        if self.report.is_recording() {
            self.event(Event::DdiLeave {
                name,
                result: result.into(),
            });
        }
        self.yield_point()?;
        self.touch_driver();
        self.report.leave_ddi();
        Ok(result)
    }

    /// A driver calls `name`: whether its page allows that at this level.
    #[inline]
    fn check_entry(&self, name: &'static str, rule: &IrqlRule) -> Ddi<()> {
        let level = self.irql();
        if level >= rule.lowest && level <= rule.highest {
            return Ok(());
        }
        let message = format!(
            "{name} was called at {level}; it is allowed {}",
            allowed(rule)
        );
        let raised = (level > rule.highest).then(|| self.raised_here()).flatten();
        self.find(rule.rule, message, raised)
    }

    /// Calls driver code that is neither an ISR nor a DPC routine, on the current strand.
    #[inline]
    pub(crate) fn call(&self, kind: &'static str, routine: u64, arguments: &[u64]) -> u64 {
        if self.report.is_recording() {
            self.event(Event::RoutineEnter { kind, routine });
        }
        let ddi = self.report.suspend_ddi();
        self.touch_driver();
        self.platform.announce(kind);
        let result = match ddi.context() {
            // An interrupt came inside the routine that the driver called: it is not the caller.
            Some(outer) if !matches!(self.context(), Context::Isr(_)) => {
                self.platform.call_from_driver(routine, arguments, outer)
            }
            _ => self.platform.call(routine, arguments),
        };
        self.touch_kernel();
        self.report.resume_ddi(ddi);
        if self.report.is_recording() {
            self.event(Event::RoutineLeave { kind, result });
        }
        result
    }

    /// An exception in a routine that the kernel had called was handled in the driver that had
    /// called the kernel, so that the kernel's frames in between are gone. What they would have
    /// undone stays done, as on Windows: a lock that was taken, a level that was raised.
    ///
    /// Findings: DQ0443 out of the routine of KeSynchronizeExecution. A finding that ends a run
    /// ends it at the next call.
    pub fn routine_left(&self, outer: Context) {
        self.report.leave_ddi();
        let inner = self.processor().context.replace(outer);
        if inner == Context::CriticalSection && outer != inner {
            let message = format!(
                "an exception left the routine of KeSynchronizeExecution; its lock stays held and the level stays {}",
                self.irql()
            );
            let _ = self.find(ids::CRITICAL_SECTION_LEFT, message, None);
        }
    }

    /// What the current processor is running.
    #[must_use]
    pub fn context(&self) -> Context {
        self.processor().context.get()
    }
}

fn allowed(rule: &IrqlRule) -> alloc::string::String {
    if rule.lowest == rule.highest {
        format!("at {} only", rule.lowest)
    } else if rule.lowest == Irql::PASSIVE {
        format!("at or below {}", rule.highest)
    } else {
        format!("from {} to {}", rule.lowest, rule.highest)
    }
}
