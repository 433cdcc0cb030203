//! The battery that a careful reviewer would run.
//!
//! An [`Audit`] is a driver with a scenario. A [`Trial`] says what is different in one run of it;
//! [`battery`] lists the trials that are worth it, in groups; what they find is gathered in an
//! [`AuditReport`], each finding once.
//!
//! What is expected of the driver depends on the trial ([`Trial::is_strict`]). On a computer that
//! works its scenario's expectations count. Where something fails, breaks or is used as nobody
//! should, any answer is right, but the rules hold: nothing is left behind, nothing crashes, what
//! was cancelled comes to its end.

mod act;
mod battery;
mod codes;
mod device;
mod life;
mod page;
mod result;
mod trial;

use std::rc::Rc;

use dirql_abi::NtStatus;
use dirql_explore::strategy::Bounded;
use dirql_explore::{Deviation, Points};
use dirql_host::{Footprints, Watch};
use dirql_image::{Image, Symbol};
use dirql_kernel::WindowsVersion;
use serde::{Deserialize, Serialize};

use self::life::Lives;
use crate::bench::{Bench, BenchError, Driver};
use crate::explore::{
    Limits, Narrator, Places, Plan, ReplayError, Search, Strategy, explore_plan, meeting_points,
    survey,
};
use crate::levels::Levels;
use crate::play::{MakeSink, MakeThreads, Progress, Settings};
use crate::report::{FindingReport, Report, ResourceReport, Verdict};
use crate::scenario::{DeviceSpec, Interrupts, Scenario};

pub use crate::explore::Worth;
pub use act::{Act, ActKind};
pub use battery::{Case, Effort, Facts, Group, battery};
pub use device::{give_device, give_lines};
pub use page::write_page;
pub use result::{
    AuditFinding, AuditReport, Explanation, GroupReport, SCHEMA, TrialResult, badness, key,
};
pub use trial::{Trial, TrialError, Wish};

/// Steps of a run when nobody says how many: several times what the longest of honest drivers take
/// with a device that lies, whose answers have them wait for a time-out again and again.
const MOST_STEPS: u64 = 1_000_000;

/// Runs that making one order shorter may take when few runs were made to find it.
const SHRINKING: usize = 24;

/// A driver with a scenario, to be tried in many ways.
#[derive(Clone, Debug)]
pub struct Audit {
    plan: Plan,
    /// Control codes that the drivers probably know.
    codes: Vec<u32>,
    /// Whether a driver is the owner of its device's power policy.
    owns_power: bool,
}

/// A search for an order of events in which something goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunt {
    /// What is different from the scenario as it is.
    pub trial: Trial,
    /// Which orders are tried.
    pub strategy: Strategy,
    /// Whether accesses to memory that meet are points, too.
    pub at_accesses: bool,
    /// Which part of how many, counted from 0.
    pub part: (u64, u64),
    /// Runs at most.
    pub runs: u64,
}

/// What of a run decides what else is worth trying.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// Yield points.
    pub steps: u64,
    /// Allocations that could fail.
    pub allocations: u64,
    /// Calls that could fail.
    pub calls: u64,
    /// Connects that could fail, each once for every status.
    pub connects: u64,
    /// The most messages that a device was given.
    pub messages: u16,
    /// Whether a device was given a line.
    pub line: bool,
    /// Whether it came to its end.
    pub ended: bool,
    /// The number of the request of a life that the driver was handling when it did not.
    pub stuck: Option<u32>,
    /// Which of the yield points are worth more than others.
    pub worth: Worth,
    /// The devices that drivers were asked to start and that never did, each with what the first
    /// answer was.
    pub never_started: Vec<(String, String)>,
}

impl RunFacts {
    /// From a run's report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let resources = || {
            report
                .devices
                .iter()
                .flat_map(|device| &device.starts)
                .flatten()
        };
        let messages = resources().map(|resource| match resource {
            ResourceReport::Interrupt {
                message: true,
                count,
                ..
            } => u16::try_from(*count).unwrap_or(u16::MAX),
            _ => 0,
        });
        Self {
            steps: report.step_count,
            allocations: report.failure_points.allocations,
            calls: report.failure_points.calls,
            connects: report.failure_points.connects,
            messages: messages.max().unwrap_or(0),
            line: resources().any(|resource| {
                matches!(resource, ResourceReport::Interrupt { message: false, .. })
            }),
            worth: Worth::default(),
            ended: has_ended(report),
            stuck: stuck(report),
            never_started: never_started(report),
        }
    }
}

fn has_ended(report: &Report) -> bool {
    report.verdict != Verdict::NoVerdict && report.ended_early.is_none()
}

/// The request that was sent last of those that their driver has not returned from.
fn stuck(report: &Report) -> Option<u32> {
    let steps = report.steps.iter().rev();
    let mut sent = steps.filter(|step| step.result.is_none());
    let last = sent.find_map(|step| step.sends.as_deref())?;
    life::number(last).filter(|_| !has_ended(report))
}

fn never_started(report: &Report) -> Vec<(String, String)> {
    let devices = report.devices.iter().filter_map(|device| {
        let start = format!("start {}", device.name);
        let asked = report.steps.iter().filter(|step| step.step == start);
        let mut answers = asked.filter_map(|step| step.result.as_ref());
        let first = answers.next()?;
        let success = NtStatus::SUCCESS.to_string();
        let has_started = *first == success || answers.any(|answer| *answer == success);
        (!has_started).then(|| (device.name.clone(), first.clone()))
    });
    devices.collect()
}

/// How a trial is played, beside its scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// Expectations do not count, and what is left at the end is ended.
    lenient: bool,
    /// Nothing is different from what happens by itself, so drivers have to be loaded.
    must_load: bool,
    /// That devices are slower than a driver waits for is no fault of the driver's.
    excuses_haste: bool,
    /// Lives in place of the scenario's threads.
    life: Option<Lives>,
    act: Option<Act>,
    /// Who notes where the run comes to.
    pub(crate) places: Option<Rc<Places>>,
    /// What the devices do not end themselves is ended by pulling them out.
    pulls_at_end: bool,
    /// Driver code runs in the form that can be watched, in which a port costs a call in place of
    /// a trap.
    in_twins: bool,
}

impl Manner {
    /// Has `places` note where the run comes to, in place of anything that somebody does.
    #[must_use]
    pub(crate) fn noting(self, places: Rc<Places>) -> Self {
        Self {
            act: None,
            places: Some(places),
            ..self
        }
    }

    /// Has `settings` say so.
    pub(crate) fn apply(&self, settings: Settings) -> Settings {
        let (life, act, places) = (self.life.clone(), self.act, self.places.clone());
        let prepare = move |bench: &Bench| match (act, places) {
            (Some(act), _) => act.prepare(bench),
            (None, Some(places)) => bench.kernel().set_intruder(0, places),
            (None, None) => {}
        };
        Settings {
            lenient: self.lenient,
            must_load: self.must_load,
            hurried: settings.hurried.filter(|_| self.excuses_haste),
            waits_for_gone: act.is_some_and(|act| act.kind == ActKind::Pulled),
            pulls_at_end: self.pulls_at_end,
            watch: settings.watch.or(self.in_twins.then(Watch::default)),
            prepare: Some(Box::new(prepare)),
            threads: life.map(|lives| {
                Box::new(move |bench: &Bench| life::threads(bench, &lives)) as MakeThreads
            }),
            ..settings
        }
    }
}

/// Whether a driver asks for power states, as the owner of its device's power policy does.
///
/// Source: "Managing Device Power Policy"; WDK reference, wdm.PoRequestPowerIrp.
fn requests_power(image: &[u8]) -> bool {
    Image::parse(image).is_ok_and(|image| {
        image
            .imports()
            .any(|import| matches!(import.symbol, Symbol::Name { name, .. } if &**name == "PoRequestPowerIrp"))
    })
}

impl Audit {
    /// Reads the drivers. What `processors`, `windows` and `max_steps` say wins over the scenario.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(
        scenario: Scenario,
        processors: Option<u16>,
        windows: Option<WindowsVersion>,
        max_steps: Option<u64>,
    ) -> Result<Self, BenchError> {
        let said = max_steps.or(scenario.machine.max_steps);
        let plan = Plan::new(scenario, processors, windows, said.or(Some(MOST_STEPS)))?;
        let codes = codes::guess(plan.drivers().iter().map(Driver::image_bytes));
        let owns_power = plan
            .drivers()
            .iter()
            .any(|driver| requests_power(driver.image_bytes()));
        Ok(Self {
            plan,
            codes,
            owns_power,
        })
    }

    /// Judges rules as `levels` say.
    #[must_use]
    pub fn judged(mut self, levels: Levels) -> Self {
        self.plan = self.plan.judged(levels);
        self
    }

    /// Notes in `prints` which blocks of the drivers run.
    #[must_use]
    pub fn covered(mut self, prints: &'static Footprints) -> Self {
        self.plan = self.plan.covered(prints);
        self
    }

    /// The drivers.
    #[must_use]
    pub fn drivers(&self) -> &[Driver] {
        self.plan.drivers()
    }

    /// The scenario, with its settings.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        self.plan.scenario()
    }

    /// Whether the scenario says what happens.
    #[must_use]
    pub const fn has_threads(&self) -> bool {
        !self.scenario().threads.is_empty()
    }

    /// Whether registers of a device of the scenario read as they like.
    fn has_liars(&self) -> bool {
        let hostile = dirql_chips::models::HOSTILE.name;
        let mut devices = self.scenario().devices.iter();
        devices.any(|device| {
            device.model == "hostile" || device.options.iter().any(|(name, _)| name == hostile)
        })
    }

    /// The plan of a trial.
    #[must_use]
    pub fn plan(&self, trial: &Trial) -> Plan {
        let life = trial.life || !self.has_threads();
        let manner = Manner {
            lenient: !trial.is_strict() || life,
            must_load: *trial == Trial::life(),
            excuses_haste: true,
            life: life.then(|| Lives {
                codes: self.codes.clone(),
                owns_power: self.owns_power,
                brief: trial.brief,
                without: trial.without.clone(),
            }),
            act: trial.act,
            places: None,
            pulls_at_end: trial.device_lies(),
            in_twins: true,
        };
        let plan = self.plan.varied(|scenario| {
            let machine = &mut scenario.machine;
            machine.processors = trial.processors.or(machine.processors);
            machine.windows = trial.windows.or(machine.windows);
            machine.special_pool |= trial.special_pool;
            scenario.fail = trial.fail.or(scenario.fail);
            if trial.life {
                scenario.threads.clear();
            }
            for device in &mut scenario.devices {
                vary(device, trial);
            }
        });
        plan.manner(manner)
    }

    /// Plays a trial. `progress` and `sink` are told what happens.
    ///
    /// # Errors
    /// The run could not begin, or the order is of something else.
    pub fn play(
        &self,
        trial: &Trial,
        progress: Option<Box<dyn FnMut(Progress)>>,
        sink: Option<MakeSink>,
    ) -> Result<Report, ReplayError> {
        let plan = self.plan(trial);
        let mut report = match &trial.order {
            Some(order) => plan.replay(order, progress, sink)?,
            None => plan.play(progress, sink)?,
        };
        self.excuse(&mut report, trial);
        Ok(report)
    }

    /// Plays a trial that other trials are made from, and tells what of it decides which.
    ///
    /// # Errors
    /// The run could not begin.
    pub fn look_at(&self, trial: &Trial) -> Result<(Report, RunFacts), ReplayError> {
        let places = Rc::<Places>::default();
        let plan = self.plan(trial).noting(places.clone());
        let mut report = plan.play(None, None)?;
        self.excuse(&mut report, trial);
        let facts = RunFacts {
            worth: places.steps(),
            ..RunFacts::of(&report)
        };
        Ok((report, facts))
    }

    /// Leaves out what is no fault of the driver's in a trial.
    fn excuse(&self, report: &mut Report, trial: &Trial) {
        report.excuse(trial.excused(self.has_liars()));
        report.excuse_scenario(trial.excused_of_scenario());
    }

    /// What a trial does to the driver, in words: what it makes fail, where its order differs from
    /// what happens by itself.
    ///
    /// # Errors
    /// The run could not begin, or the order is of something else.
    pub fn explain(&self, trial: &Trial) -> Result<Explanation, ReplayError> {
        let narrator = Rc::<Narrator>::default();
        let plan = self.plan(trial).narrated(narrator.clone());
        let failed = match (&trial.order, trial.fail) {
            (None, None) => None,
            (Some(order), _) => plan.replay(order, None, None)?.failed,
            (None, Some(_)) => plan.play(None, None)?.failed,
        };
        Ok(Explanation {
            failed: failed.and_then(|failed| failed.in_words()),
            switches: narrator.told(),
        })
    }

    /// Plays a trial for what it finds.
    ///
    /// # Errors
    /// The run could not begin.
    pub fn try_out(&self, trial: &Trial) -> Result<TrialResult, ReplayError> {
        let report = self.play(trial, None, None)?;
        Ok(found_by(&report, trial))
    }

    /// Tells what is wrong with memory that several contexts share from a few runs of a trial,
    /// whether or not it went wrong in them; `cut` is after how many steps they end. `each` is told after every run and says whether to go
    /// on.
    ///
    /// # Errors
    /// A run could not begin.
    pub fn survey(
        &self,
        trial: &Trial,
        cut: Option<u64>,
        watch: impl Fn(Option<Deviation>) + 'static,
        each: &mut dyn FnMut(&TrialResult) -> bool,
    ) -> Result<TrialResult, BenchError> {
        let mut plan = self.plan(trial).watched(watch).shrinking(SHRINKING);
        if let Some(steps) = cut {
            plan = plan.cut(steps);
        }
        let survey = survey(&plan, &mut |search| each(&so_far(search, trial)))?;
        let result = so_far(&survey, trial);
        Ok(TrialResult {
            complete: cut.is_none(),
            // Runs that are cut have none.
            no_verdict: if cut.is_none() { result.no_verdict } else { 0 },
            ..result
        })
    }

    /// Where the orders of a search can differ.
    ///
    /// # Errors
    /// A run could not begin.
    pub fn points(&self, hunt: &Hunt) -> Result<Points, BenchError> {
        if hunt.at_accesses {
            meeting_points(&self.plan(&hunt.trial))
        } else {
            Ok(Points::Usual)
        }
    }

    /// The trial in which a search or a survey of `trial` has made these choices.
    #[must_use]
    pub fn trial_of(&self, trial: &Trial, points: Points, choices: Vec<Deviation>) -> Trial {
        let plan = self.plan(trial).at(points);
        Trial {
            order: Some(plan.schedule(choices)),
            ..trial.clone()
        }
    }

    /// Searches for an order in which something goes wrong. `watch` is told the choices of each
    /// run as they are made, and `None` at its beginning; `each` is told after every run and says
    /// whether to go on.
    ///
    /// # Errors
    /// A run could not begin.
    pub fn hunt(
        &self,
        hunt: &Hunt,
        points: Points,
        watch: impl Fn(Option<Deviation>) + 'static,
        each: &mut dyn FnMut(&TrialResult) -> bool,
    ) -> Result<TrialResult, BenchError> {
        if points == Points::Before(Vec::new()) {
            return Ok(TrialResult {
                complete: true,
                ..TrialResult::default()
            });
        }
        let plan = self.plan(&hunt.trial).at(points).watched(watch);
        let plan = plan.shrinking(usize::try_from(hunt.runs).unwrap_or(usize::MAX));
        let (part, of) = hunt.part;
        let all = hunt.runs.saturating_mul(of);
        let strategy: Box<dyn dirql_explore::Strategy> = match hunt.strategy {
            Strategy::Bounded { switches } => {
                let bounded = Bounded::new(switches);
                Box::new(worth_it(&plan, bounded, all, None)?.shard(part, of))
            }
            Strategy::Close { within } => {
                let bounded = Bounded::new(2).within(within);
                Box::new(worth_it(&plan, bounded, all, Some(within))?.shard(part, of))
            }
            _ => hunt.strategy.part(part, of),
        };
        let limits = Limits {
            runs: Some(hunt.runs),
            keep_going: true,
            ..Limits::default()
        };
        let search = explore_plan(&plan, strategy, &limits, &mut |search| {
            each(&so_far(search, &hunt.trial))
        })?;
        Ok(so_far(&search, &hunt.trial))
    }
}

/// A search of so many runs, which are of what is worth most if not of everything: first of where
/// they can differ once, then of where they can differ again, `within` so many points.
fn worth_it(
    plan: &Plan,
    search: Bounded,
    runs: u64,
    within: Option<u32>,
) -> Result<Bounded, BenchError> {
    let (options, worth) = plan.points_by_worth()?;
    let points = options.len() as u64;
    let alternatives: u64 = options.iter().map(|options| u64::from(*options) - 1).sum();
    // At how many points there are so many alternatives.
    let points_of = |most: u64| {
        let most = u128::from(most) * u128::from(points) / u128::from(alternatives.max(1));
        let picked = worth.pick(points, most.max(1) as u64);
        picked.iter().map(|number| *number as u32 - 1).collect()
    };
    let search = if alternatives > runs {
        search.first_at(points_of(runs))
    } else {
        search
    };
    let Some(within) = within else {
        return Ok(search);
    };
    let each = alternatives.saturating_mul(within.into()) / points.max(1);
    let followed = runs.saturating_sub(alternatives) / each.max(1);
    Ok(if followed < alternatives {
        search.followed_at(points_of(followed))
    } else {
        search
    })
}

/// What runs of a trial have brought, each finding with the trial in whose order it is seen.
fn so_far(search: &Search, trial: &Trial) -> TrialResult {
    let shown = search.discoveries.iter().map(|discovery| {
        let trial = Trial {
            order: discovery.schedule.parse().ok(),
            ..trial.clone()
        };
        (discovery.finding.clone(), trial.to_string())
    });
    TrialResult {
        runs: search.coverage.runs,
        no_verdict: search.no_verdict,
        complete: search.coverage.complete,
        left: search.coverage.left,
        found: shown.collect(),
    }
}

/// What a run's report says of a trial.
#[must_use]
pub fn found_by(report: &Report, trial: &Trial) -> TrialResult {
    let text = trial.to_string();
    let all = &report.findings;
    let told = |finding: &&FindingReport| finding.is_defect() && !finding.follows_from_one_of(all);
    let defects = all.iter().filter(told);
    TrialResult {
        runs: 1,
        no_verdict: u64::from(report.verdict == Verdict::NoVerdict),
        complete: true,
        left: 0,
        found: defects
            .map(|finding| (finding.clone(), text.clone()))
            .collect(),
    }
}

/// Makes a device what a trial says.
fn vary(device: &mut DeviceSpec, trial: &Trial) {
    if let Some(wish) = trial.interrupts
        && let Some(kind) = crate::bench::messages_of(device)
    {
        device.interrupts = Some(match (wish, kind) {
            (Wish::Line, _) => Interrupts::Line,
            (Wish::Messages(most), Interrupts::Msix(_)) => Interrupts::Msix(most),
            (Wish::Messages(most), _) => Interrupts::Msi(most),
        });
    }
    if let Some(seed) = trial.hostile {
        device
            .options
            .retain(|(name, _)| name != dirql_chips::models::HOSTILE.name);
        *device = std::mem::take(device).option(dirql_chips::models::HOSTILE.name, seed);
    }
}
