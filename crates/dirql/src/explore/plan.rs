//! A scenario with everything that a run of it depends on.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use dirql_explore::strategy::{Misfit, Replay};
use dirql_explore::{Deviation, Points, Run, Schedule, Strategy, fingerprint};
use dirql_host::{Footprints, Stops, outside};
use dirql_kernel::WindowsVersion;
use dirql_kernel::ke::Chooser;
use dirql_kernel::mm::layout::IMAGES;

use super::hurry::Hurry;
use super::lives::{End, Found, Lives, Task};
use super::memory::Memory;
use super::steering::{Steering, Watch};
use super::{Narrator, Places, Worth};
use crate::audit::Manner;
use crate::bench::{BenchError, Driver};
use crate::levels::Levels;
use crate::play::{MakeSink, Progress, Settings, play, play_to, read_drivers};
use crate::report::{FindingReport, Report, Verdict};
use crate::scenario::Scenario;

/// Steps of a run when nobody says how many: a run that is explored is short, and one that never
/// ends must not hold up the others.
const MOST_STEPS: u64 = 200_000;

/// Processors when nobody says how many: with one, only interrupts come between.
const PROCESSORS: u16 = 2;

/// A scenario, its drivers and settings: with a schedule, all that a run is a function of.
#[derive(Clone, Debug)]
pub struct Plan {
    scenario: Scenario,
    drivers: Vec<Driver>,
    image: u32,
    /// The scenario's number, once somebody has asked for it.
    fingerprint: OnceCell<u32>,
    points: Points,
    levels: Levels,
    /// What driver code has accessed in runs of this plan.
    memory: Rc<RefCell<Memory>>,
    /// Whether recorded accesses are looked at for races.
    races: bool,
    pub(super) watch: WatchSlot,
    goes_back: bool,
    manner: Manner,
    narrator: Option<NarratorSlot>,
    /// Where it is noted which blocks of the drivers run.
    footprints: Option<&'static Footprints>,
    /// Runs that making one finding's order shorter may take.
    pub(super) shrinking: usize,
    /// Steps after which every run ends.
    most_steps: Option<u64>,
}

/// Who tells of a run's switches.
#[derive(Clone)]
struct NarratorSlot(Rc<Narrator>);

impl std::fmt::Debug for NarratorSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NarratorSlot")
    }
}

/// Who is told of deviations.
#[derive(Clone, Default)]
pub(super) struct WatchSlot(pub(super) Option<Watch>);

impl std::fmt::Debug for WatchSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WatchSlot").field(&self.0.is_some()).finish()
    }
}

/// Why a schedule could not be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The run could not begin.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// It is of another driver.
    #[error(
        "the schedule is of another driver: of image {schedule:08x}, and this one is {driver:08x}"
    )]
    Image {
        /// What the schedule says.
        schedule: u32,
        /// What the driver is.
        driver: u32,
    },
    /// It is of another scenario.
    #[error(
        "the schedule is of another scenario or other settings: of {schedule:08x}, and these are {scenario:08x}"
    )]
    Scenario {
        /// What the schedule says.
        schedule: u32,
        /// What scenario and settings are.
        scenario: u32,
    },
    /// It fits the driver and the scenario by its fingerprints only.
    #[error("the schedule does not fit: {0}")]
    Misfit(#[from] Misfit),
}

impl Plan {
    /// Reads the drivers. What `processors`, `windows` and `max_steps` say wins over the scenario.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(
        mut scenario: Scenario,
        processors: Option<u16>,
        windows: Option<WindowsVersion>,
        max_steps: Option<u64>,
    ) -> Result<Self, BenchError> {
        let machine = &mut scenario.machine;
        machine.processors = processors.or(machine.processors).or(Some(PROCESSORS));
        machine.windows = windows.or(machine.windows).or(Some(WindowsVersion::Ten));
        machine.max_steps = max_steps.or(machine.max_steps).or(Some(MOST_STEPS));
        let drivers = read_drivers(&scenario)?;
        let named = named(&scenario, &drivers).iter();
        let images: Vec<&[u8]> = named.map(Driver::image_bytes).collect();
        Ok(Self {
            image: fingerprint(&images),
            fingerprint: OnceCell::new(),
            scenario,
            drivers,
            points: Points::Usual,
            levels: Levels::default(),
            memory: Rc::default(),
            races: false,
            watch: WatchSlot::default(),
            goes_back: true,
            manner: Manner::default(),
            narrator: None,
            footprints: None,
            shrinking: usize::MAX,
            most_steps: None,
        })
    }

    /// The same with another scenario; the drivers stay.
    #[must_use]
    pub(crate) fn varied(&self, vary: impl FnOnce(&mut Scenario)) -> Self {
        let mut plan = self.clone();
        vary(&mut plan.scenario);
        plan.fingerprint = OnceCell::new();
        plan.memory = Rc::default();
        plan
    }

    /// The same, played in another manner.
    #[must_use]
    pub(crate) fn manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    /// Has `places` note where runs come to.
    #[must_use]
    pub(crate) fn noting(mut self, places: Rc<Places>) -> Self {
        self.manner = self.manner.noting(places);
        self
    }

    /// Spends at most so many runs on making one finding's order shorter.
    #[must_use]
    pub(crate) const fn shrinking(mut self, runs: usize) -> Self {
        self.shrinking = runs;
        self
    }

    /// Notes in `prints` which blocks of the drivers run; see [`crate::coverage::Survey`]. Runs that
    /// only make a finding's order shorter do not count: how many of them there are depends on who
    /// has found it.
    #[must_use]
    pub const fn covered(mut self, prints: &'static Footprints) -> Self {
        self.footprints = Some(prints);
        self
    }

    /// The same, and nobody notes which blocks run.
    pub(super) fn uncovered(&self) -> Self {
        Self {
            footprints: None,
            ..self.clone()
        }
    }

    /// Has `narrator` tell of the switches of runs.
    #[must_use]
    pub(crate) fn narrated(mut self, narrator: Rc<Narrator>) -> Self {
        self.narrator = Some(NarratorSlot(narrator));
        self
    }

    /// The drivers.
    #[must_use]
    pub fn drivers(&self) -> &[Driver] {
        &self.drivers
    }

    /// What happens by itself. `progress` and `sink` are told of it.
    ///
    /// # Errors
    /// The run could not begin.
    pub(crate) fn play(
        &self,
        progress: Option<Box<dyn FnMut(Progress)>>,
        sink: Option<MakeSink>,
    ) -> Result<Report, BenchError> {
        let settings = Settings {
            drivers: Some(self.drivers.clone()),
            outputs: Some(Box::new(|_, _| Ok(()))),
            levels: self.levels.clone(),
            progress,
            sink,
            footprints: self.footprints,
            ..Settings::default()
        };
        play(&self.scenario, self.manner.apply(settings))
    }

    /// The scenario, with its settings.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Tells `watch` each deviation as it is chosen, and `None` at the beginning of each run.
    #[must_use]
    pub fn watched(mut self, watch: impl Fn(Option<Deviation>) + 'static) -> Self {
        self.watch = WatchSlot(Some(Rc::new(watch)));
        self
    }

    /// Has every run of a search begin from nothing. Nothing else changes but the time that it
    /// takes.
    #[must_use]
    pub const fn from_nothing(mut self) -> Self {
        self.goes_back = false;
        self
    }

    /// Has runs stop at other points: see [`Points`]. Instructions are numbered by their place
    /// in the area of images.
    #[must_use]
    pub fn at(mut self, points: Points) -> Self {
        self.points = points;
        self
    }

    /// Ends every run after so many steps.
    #[must_use]
    pub(crate) const fn cut(mut self, steps: u64) -> Self {
        self.most_steps = Some(steps);
        self
    }

    /// Has the accesses of runs that record them looked at for what goes wrong in another order, if
    /// the scenario has the driver judged by rules.
    #[must_use]
    pub const fn with_races(mut self) -> Self {
        self.races = !self.scenario.machine.no_rules;
        self
    }

    /// Judges some rules otherwise.
    #[must_use]
    pub fn judged(mut self, levels: Levels) -> Self {
        self.levels = levels;
        self
    }

    /// Where runs have points.
    #[must_use]
    pub const fn points(&self) -> &Points {
        &self.points
    }

    /// The points before instructions that meet others in memory, as far as runs of this plan
    /// have shown; only runs whose points are before instructions are looked at.
    #[must_use]
    pub fn met(&self) -> Points {
        Points::Before(self.memory.borrow().met())
    }

    /// Forgets what runs of this plan have shown of memory.
    pub fn forget_met(&self) {
        self.memory.take();
    }

    /// A number for the drivers' images, and one for scenario and settings.
    #[must_use]
    pub fn fingerprints(&self) -> (u32, u32) {
        (self.image, self.fingerprint())
    }

    fn fingerprint(&self) -> u32 {
        *self.fingerprint.get_or_init(|| {
            scenario_fingerprint(&self.scenario, named(&self.scenario, &self.drivers))
        })
    }

    /// Whether something is found in the run with these deviations.
    ///
    /// # Errors
    /// The run could not begin.
    pub fn run_deviations(&self, deviations: &[Deviation]) -> Result<Report, BenchError> {
        self.try_deviations(deviations).0
    }

    /// The schedule with these deviations.
    #[must_use]
    pub fn schedule(&self, deviations: Vec<Deviation>) -> Schedule {
        Schedule {
            image: self.image,
            scenario: self.fingerprint(),
            points: self.points.clone(),
            deviations,
        }
    }

    /// One run under a strategy that has begun it.
    pub(super) fn run(
        &self,
        strategy: Box<dyn Strategy>,
    ) -> (Result<Report, BenchError>, Box<dyn Strategy>, Run) {
        self.run_with(strategy, Settings::default())
    }

    /// The points of the run that happens by itself: how many options each has, and which are worth
    /// more than others.
    ///
    /// # Errors
    /// The run could not begin.
    pub(crate) fn points_by_worth(&self) -> Result<(Vec<u16>, Worth), BenchError> {
        let places = Rc::<Places>::default();
        let plan = self.uncovered().noting(places.clone());
        let mut strategy: Box<dyn Strategy> = Box::new(Replay::nothing());
        strategy.begin();
        let (report, _, run) = plan.run(strategy);
        report?;
        Ok((run.options, places.worth_of_points()))
    }

    /// Runs of this plan, one after the other, under a strategy that has not begun.
    pub(super) fn lives(&self, strategy: Box<dyn Strategy>) -> Lives {
        Lives::new(self.clone(), strategy, self.watch.0.clone()).going_back(self.goes_back)
    }

    fn run_with(
        &self,
        strategy: Box<dyn Strategy>,
        settings: Settings,
    ) -> (Result<Report, BenchError>, Box<dyn Strategy>, Run) {
        if let Some(watch) = &self.watch.0 {
            watch(None);
        }
        let steering = Steering::new(strategy, self.watch.0.clone());
        if let Some(places) = &self.manner.places {
            places.steered_by(steering.clone());
        }
        let mut chooser: Rc<dyn Chooser> = steering.clone();
        if let Some(NarratorSlot(narrator)) = &self.narrator {
            chooser = narrator.beside(chooser);
        }
        let (chooser, hurried) = Hurry::beside(chooser);
        let memory = self.memory.clone();
        let settings = Settings {
            chooser: Some(chooser),
            hurried: Some(hurried),
            drivers: Some(self.drivers.clone()),
            progress: settings.progress,
            sink: settings.sink,
            accesses: Some(Box::new(move |accesses| {
                memory.borrow_mut().learn(&accesses)
            })),
            ..self.settings()
        };
        let mut settings = self.manner.apply(settings);
        if let Some(NarratorSlot(narrator)) = self.narrator.clone() {
            let prepare = settings.prepare.take();
            settings.prepare = Some(Box::new(move |bench| {
                narrator.watch(bench);
                if let Some(prepare) = prepare {
                    prepare(bench);
                }
            }));
        }
        let report = play(&self.scenario, settings);
        let Some((strategy, run)) = steering.finish() else {
            unreachable!("a run is finished once")
        };
        (report, strategy, run)
    }

    /// What all runs of this plan have in common.
    fn settings(&self) -> Settings {
        Settings {
            watch: watch_at(&self.points),
            footprints: self.footprints,
            levels: self.levels.clone(),
            // One of many runs, whose files nobody asked for.
            outputs: Some(Box::new(|_, _| Ok(()))),
            races: self.races && matches!(self.points, Points::Before(_)),
            max_steps: self.most_steps,
            ..Settings::default()
        }
    }

    /// One run with these deviations, whether they fit or not.
    pub(super) fn try_deviations(
        &self,
        deviations: &[Deviation],
    ) -> (Result<Report, BenchError>, Run) {
        let mut replay = Replay::new(deviations.to_vec());
        let _ = replay.begin();
        let (report, _, run) = self.run(Box::new(replay));
        (report, run)
    }

    /// The run that a schedule says. `progress` and `sink` are told what happens. Files that the
    /// scenario names are not written.
    ///
    /// # Errors
    /// The schedule is of another driver or scenario, or the run cannot begin.
    pub fn replay(
        &self,
        schedule: &Schedule,
        progress: Option<Box<dyn FnMut(Progress)>>,
        sink: Option<MakeSink>,
    ) -> Result<Report, ReplayError> {
        if schedule.image != self.image {
            return Err(ReplayError::Image {
                schedule: schedule.image,
                driver: self.image,
            });
        }
        if schedule.scenario != self.fingerprint() {
            return Err(ReplayError::Scenario {
                schedule: schedule.scenario,
                scenario: self.fingerprint(),
            });
        }
        let mut replay = Replay::new(schedule.deviations.clone());
        let _ = replay.begin();
        let settings = Settings {
            progress,
            sink,
            ..Settings::default()
        };
        let plan = self.clone().at(schedule.points.clone()).with_races();
        let (report, _, run) = plan.run_with(Box::new(replay), settings);
        let report = report?;
        if run.deviations != schedule.deviations {
            return Err(self.misfit(schedule, &run).into());
        }
        Ok(report)
    }

    /// The first deviation that the run did not have.
    fn misfit(&self, schedule: &Schedule, run: &Run) -> Misfit {
        let missing = schedule
            .deviations
            .iter()
            .find(|deviation| !run.deviations.contains(deviation));
        let deviation = missing.copied().unwrap_or(Deviation {
            point: 0,
            option: 1,
        });
        match run.options.get(deviation.point as usize) {
            Some(options) => Misfit::Option {
                deviation,
                options: usize::from(*options),
            },
            None => Misfit::Point {
                deviation,
                points: run.options.len() as u32,
            },
        }
    }
}

impl Task for Plan {
    fn live(&self, chooser: Rc<dyn Chooser>, end: Rc<dyn Fn(End)>) {
        let (chooser, hurried) = Hurry::beside(chooser);
        let settings = Settings {
            chooser: Some(chooser),
            hurried: Some(hurried),
            drivers: Some(self.drivers.iter().map(Driver::apart).collect()),
            ..self.settings()
        };
        let settings = self.manner.apply(settings);
        #[cfg(test)]
        let trace = super::lives_tests::Trace::default();
        #[cfg(test)]
        let settings = {
            let trace = trace.clone();
            let mut settings = settings;
            settings.sink = Some(Box::new(|_| Box::new(trace)));
            settings
        };
        // Who is not told of the end finds the error in a run from the start.
        let _ = play_to(&self.scenario, settings, |report, accesses| {
            outside(|| self.memory.borrow_mut().learn(accesses));
            let Ok(report) = report else { return };
            let is_defect = |finding: &FindingReport| finding.is_defect();
            let findings: Vec<_> = report.findings.into_iter().filter(is_defect).collect();
            end(End {
                found: if findings.is_empty() {
                    Found::Nothing
                } else {
                    Found::Findings(findings)
                },
                no_verdict: report.verdict == Verdict::NoVerdict,
                steps: report.step_count,
                is_error: false,
                #[cfg(test)]
                trace: trace.number(),
            });
        });
    }
}

/// What happens before instructions when a run has `points`.
fn watch_at(points: &Points) -> Option<dirql_host::Watch> {
    let (record, stops) = match points {
        Points::Usual => return None,
        Points::Everywhere => (false, Stops::Everywhere),
        Points::Before(instructions) => {
            let address = |place: &u32| IMAGES.start + u64::from(*place);
            (true, Stops::At(instructions.iter().map(address).collect()))
        }
    };
    Some(dirql_host::Watch { record, stops })
}

/// The drivers that a scenario names; others are there because those import from them.
fn named<'a>(scenario: &Scenario, drivers: &'a [Driver]) -> &'a [Driver] {
    drivers.get(..scenario.drivers.len()).unwrap_or(drivers)
}

/// What of a scenario decides how a run goes: not where its files are, nor how it is written.
fn scenario_fingerprint(scenario: &Scenario, drivers: &[Driver]) -> u32 {
    let mut scenario = scenario.clone();
    scenario.file.clear();
    for driver in &mut scenario.drivers {
        driver.image = driver.image.file_name().unwrap_or_default().into();
        driver.inf = None;
    }
    for thread in &mut scenario.threads {
        for step in &mut thread.steps {
            step.line = 0;
        }
    }
    let text = format!("{scenario:?}");
    let infs: Vec<String> = drivers.iter().map(Driver::inf_text).collect();
    let mut parts = vec![text.as_bytes()];
    parts.extend(infs.iter().map(String::as_bytes));
    fingerprint(&parts)
}
