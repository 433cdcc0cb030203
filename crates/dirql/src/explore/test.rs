//! Exploring in a test.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

use dirql_explore::strategy::Replay;
use dirql_explore::{Coverage, Deviation, Points, Run, Schedule, Strategy as _, shrink};
use dirql_kernel::Kernel;
use dirql_kernel::ke::Chooser;

use super::Strategy;
use super::lives::{self, End, Found, Lives, Task};
use super::steering::Steering;
use crate::bench::{Bench, BenchError, Builder};

/// Explores what a test does with a bench: runs it again and again, each time with another order
/// of what happens.
///
/// ```no_run
/// use dirql::{Bench, Driver, Strategy};
///
/// dirql::Explorer::new(Strategy::Bounded { switches: 2 })
///     .check(
///         || Ok(Bench::builder().processors(2).driver(Driver::file("edu.sys")?)),
///         |bench| {
///             bench.load()?;
///             bench.unload()
///         },
///     )
///     .unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Explorer {
    strategy: Strategy,
    runs: u64,
    goes_back: bool,
}

/// An order in which a test fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What was found or what went wrong, in words.
    pub what: String,
    /// The order, for [`Explorer::replay`].
    pub schedule: String,
    /// Where it differs from what happens by itself.
    pub switches: usize,
    /// The run that showed it first, counted from 1.
    pub run: u64,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switches = if self.switches == 1 {
            "switch"
        } else {
            "switches"
        };
        write!(
            f,
            "{}\nrun {}, needs {} {switches}; replay it with {}",
            self.what, self.run, self.switches, self.schedule
        )
    }
}

impl std::error::Error for Failed {}

/// How a test ended: what was found, or why it went no further.
type Ended = Option<String>;

impl Explorer {
    /// With a strategy, for at most 100,000 runs.
    #[must_use]
    pub const fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            runs: 100_000,
            goes_back: true,
        }
    }

    /// For at most so many runs.
    #[must_use]
    pub const fn runs(mut self, runs: u64) -> Self {
        self.runs = runs;
        self
    }

    /// Has every run of [`Explorer::check_functions`] begin from nothing.
    #[must_use]
    pub const fn from_nothing(mut self) -> Self {
        self.goes_back = false;
        self
    }

    /// Runs `test` on a computer from `build` in one order after the other, until something is
    /// found, `test` fails or panics, or nothing is left to try.
    ///
    /// # Errors
    /// The order that failed, with as few switches as possible.
    pub fn check(
        &self,
        mut build: impl FnMut() -> Result<Builder, BenchError>,
        mut test: impl FnMut(&Bench) -> Result<(), BenchError>,
    ) -> Result<Coverage, Box<Failed>> {
        let mut strategy = self.strategy.part(0, 1);
        let mut runs = 0;
        while runs < self.runs && strategy.begin() {
            let (ended, back, run) = once(&mut build, &mut test, strategy);
            strategy = back;
            runs += 1;
            if let Some(what) = ended {
                return Err(Box::new(shorten(
                    &mut build, &mut test, what, &run, runs, false,
                )));
            }
        }
        Ok(strategy.coverage())
    }

    /// As [`Explorer::check`], for functions that capture nothing: where the program's allocator
    /// is `dirql_host::Arena`, a run goes on from where it differs from the one before instead
    /// of beginning from nothing, which is many times as fast. Neither function may change a
    /// static or a thread-local: what it stores there may be gone when it is read.
    ///
    /// # Errors
    /// As [`Explorer::check`].
    pub fn check_functions(
        &self,
        build: fn() -> Result<Builder, BenchError>,
        test: fn(&Bench) -> Result<(), BenchError>,
    ) -> Result<Coverage, Box<Failed>> {
        let strategy = self.strategy.part(0, 1);
        let lives = Lives::new(Functions { build, test }, strategy, None);
        let mut lives = lives.going_back(self.goes_back);
        let mut runs = 0;
        while runs < self.runs {
            let next = panic::catch_unwind(AssertUnwindSafe(|| lives.next()));
            runs += 1;
            let what = match next {
                Ok(None) => break,
                Ok(Some(End {
                    found: Found::Failed(what),
                    ..
                })) => what,
                Ok(Some(_)) => continue,
                Err(payload) => panic_text(&*payload),
            };
            lives.rest();
            let (mut build, mut test) = (build, test);
            return Err(Box::new(shorten(
                &mut build,
                &mut test,
                what,
                &lives.run(),
                runs,
                true,
            )));
        }
        Ok(lives.ask(|strategy| strategy.coverage()))
    }

    /// Runs `test` once in the order that [`Failed::schedule`] says.
    ///
    /// # Errors
    /// It fails; or the schedule is not one, or does not fit.
    pub fn replay(
        schedule: &str,
        mut build: impl FnMut() -> Result<Builder, BenchError>,
        mut test: impl FnMut(&Bench) -> Result<(), BenchError>,
    ) -> Result<(), Box<Failed>> {
        let failed = |what: String, deviations: usize| {
            Box::new(Failed {
                what,
                schedule: schedule.into(),
                switches: deviations,
                run: 1,
            })
        };
        let parsed: Schedule = schedule
            .parse()
            .map_err(|error: dirql_explore::ScheduleError| failed(error.to_string(), 0))?;
        let (ended, run) = try_deviations(&mut build, &mut test, &parsed.deviations);
        let switches = parsed.deviations.len();
        if run.deviations != parsed.deviations {
            return Err(failed(
                "the schedule does not fit this test".into(),
                switches,
            ));
        }
        match ended {
            Some(what) => Err(failed(what, switches)),
            None => Ok(()),
        }
    }
}

/// Explores `test` with every order of at most two switches, and panics with the first that
/// fails. `test` fails with an error, or panics itself, as assertions do.
///
/// # Panics
/// Something is found, or `test` fails.
#[track_caller]
pub fn explore(
    build: impl FnMut() -> Result<Builder, BenchError>,
    test: impl FnMut(&Bench) -> Result<(), BenchError>,
) -> Coverage {
    match Explorer::new(Strategy::Bounded { switches: 2 }).check(build, test) {
        Ok(coverage) => coverage,
        Err(failed) => panic!("{failed}"),
    }
}

/// A test that captures nothing.
struct Functions {
    build: fn() -> Result<Builder, BenchError>,
    test: fn(&Bench) -> Result<(), BenchError>,
}

impl Task for Functions {
    fn live(&self, chooser: Rc<dyn Chooser>, end: Rc<dyn Fn(End)>) {
        let was_told = Cell::new(false);
        let ended = Rc::new(move |ended: Ended| {
            if !was_told.replace(true) {
                let found = ended.map_or(Found::Nothing, Found::Failed);
                end(End {
                    found,
                    ..End::default()
                });
            }
        });
        let bench = (self.build)().and_then(|builder| builder.chooser(chooser).build());
        match bench {
            Err(error) => ended(Some(error.to_string())),
            Ok(bench) => {
                let early = ended.clone();
                bench.tell_end_of_run(Rc::new(move |kernel, result| {
                    early(what_failed(kernel, in_words(result)));
                }));
                let result = (self.test)(&bench);
                ended(what_failed(bench.kernel(), in_words(&result)));
            }
        }
    }
}

fn in_words(result: &Result<(), BenchError>) -> Result<(), String> {
    result.as_ref().map_err(ToString::to_string).copied()
}

/// What was found, or else why the test went no further.
fn what_failed(kernel: &Kernel, result: Result<(), String>) -> Ended {
    let findings = kernel.findings();
    let defect = findings.iter().find(|finding| is_defect(finding));
    let found = defect.map(|finding| format!("{}: {}", finding.rule, finding.message));
    found.or(result.err())
}

fn once(
    build: &mut dyn FnMut() -> Result<Builder, BenchError>,
    test: &mut dyn FnMut(&Bench) -> Result<(), BenchError>,
    strategy: Box<dyn dirql_explore::Strategy>,
) -> (Ended, Box<dyn dirql_explore::Strategy>, Run) {
    let steering = Steering::new(strategy, None);
    let chooser = steering.clone();
    let attempt = || {
        let bench = build()?.chooser(chooser).build()?;
        let early = Rc::new(RefCell::new(None));
        let told = early.clone();
        bench.tell_end_of_run(Rc::new(move |kernel, result| {
            *told.borrow_mut() = Some(what_failed(kernel, in_words(result)));
        }));
        let result = panic::catch_unwind(AssertUnwindSafe(|| test(&bench)));
        if let Some(ended) = early.take() {
            return Ok(ended);
        }
        let result = match result {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(payload) => Err(panic_text(&*payload)),
        };
        Ok::<_, BenchError>(what_failed(bench.kernel(), result))
    };
    let ended = attempt().unwrap_or_else(|error| Some(error.to_string()));
    let Some((strategy, run)) = steering.finish() else {
        unreachable!("a run is finished once")
    };
    (ended, strategy, run)
}

/// What a test said that panicked, as one that asserts does.
fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the test panicked").into()
}

fn is_defect(finding: &dirql_rules::Finding) -> bool {
    dirql_rules::rule(finding.rule)
        .is_none_or(|rule| rule.severity != dirql_rules::Severity::Advice)
}

fn try_deviations(
    build: &mut dyn FnMut() -> Result<Builder, BenchError>,
    test: &mut dyn FnMut(&Bench) -> Result<(), BenchError>,
    deviations: &[Deviation],
) -> (Ended, Run) {
    let mut replay = Replay::new(deviations.to_vec());
    let _ = replay.begin();
    let (ended, _, run) = once(build, test, Box::new(replay));
    (ended, run)
}

fn shorten(
    build: &mut dyn FnMut() -> Result<Builder, BenchError>,
    test: &mut dyn FnMut(&Bench) -> Result<(), BenchError>,
    what: String,
    run: &Run,
    number: u64,
    goes_back: bool,
) -> Failed {
    let schedule = |deviations| Schedule {
        image: 0,
        scenario: 0,
        points: Points::Usual,
        deviations,
    };
    let mut fails = |candidate: &[Deviation]| {
        let (ended, run) = try_deviations(build, test, candidate);
        ended.as_ref() == Some(&what) && run.deviations == candidate
    };
    if goes_back && !fails(&run.deviations) {
        lives::differ(&schedule(run.deviations.clone()));
    }
    let deviations = shrink(&run.deviations, 1000, fails);
    let schedule = schedule(deviations);
    Failed {
        what,
        schedule: schedule.to_string(),
        switches: schedule.deviations.len(),
        run: number,
    }
}
