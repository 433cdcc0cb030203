//! The kernel as a whole: its parts, and the one way in for each kind of caller.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use dirql_rules::{BugCheck, Context, IrqlRule, Place};

use crate::config::Config;
use crate::event::{Event, EventSink};
use crate::platform::Platform;
use crate::report::Report;
use crate::stop::Ddi;
use crate::{cm, ex, hal, io, ke, mm, parport, ps, rtl};

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
    outcome: RefCell<Option<Outcome>>,
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
            outcome: RefCell::new(None),
            ended: Cell::new(false),
            platform,
            config,
        };
        kernel.boot_processors();
        kernel
    }

    /// What the run was set up with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
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

    /// Ends the run. The first reason counts. The caller must not return to driver code:
    /// on a strand it returns [`crate::Stop::Ended`] up to the table of exports.
    pub fn end(&self, outcome: Outcome) {
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
        self.report.enter_ddi(name, self.platform.call_site());
        if self.report.is_recording() {
            self.event(Event::DdiEnter {
                name,
                caller: self.platform.call_site().return_address,
            });
        }
        self.yield_point()?;
        if let Some(rule) = irql {
            let level = self.irql();
            if level < rule.lowest || level > rule.highest {
                self.find(
                    rule.rule,
                    format!(
                        "{name} was called at {level}; it is allowed {}",
                        allowed(rule)
                    ),
                    None,
                )?;
            }
        }
        let result = body(self)?;
        self.report.name_ddi(name);
        if self.report.is_recording() {
            self.event(Event::DdiLeave {
                name,
                result: result.into(),
            });
        }
        self.yield_point()?;
        self.report.leave_ddi();
        Ok(result)
    }

    /// Calls driver code that is neither an ISR nor a DPC routine, on the current strand.
    pub(crate) fn call(&self, kind: &'static str, routine: u64, arguments: &[u64]) -> u64 {
        if self.report.is_recording() {
            self.event(Event::RoutineEnter { kind, routine });
        }
        let ddi = self.report.suspend_ddi();
        let result = self.platform.call(routine, arguments);
        self.report.resume_ddi(ddi);
        if self.report.is_recording() {
            self.event(Event::RoutineLeave { kind, result });
        }
        result
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
    } else {
        format!("at or below {}", rule.highest)
    }
}
