//! Which trials are worth it, in groups.

use dirql_kernel::{FailureKind, FailurePoint, WindowsVersion};
use serde::{Deserialize, Serialize};

use super::{Act, ActKind, Hunt, RunFacts, Trial, Wish};
use crate::explore::{Strategy, Worth};

/// How much is tried. It is counted in steps of runs, not in time, so that the same audit is the
/// same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effort {
    /// Steps of one group of runs, about; of cases that do not fit some are left out.
    pub steps: u64,
    /// Runs of one group, or of one search, at most.
    pub runs: u64,
    /// Switches of an order at most.
    pub switches: u32,
    /// Steps of a run at most of which orders with more than one switch are searched: there are too
    /// many of a longer one. Of its accesses to memory so many steps are looked at.
    pub hunted: u64,
    /// The first seed of devices that lie.
    pub first_seed: u64,
}

/// Steps of a run of which more orders are searched than those with one switch, if nobody wants
/// everything.
const HUNTED: u64 = 10_000;

/// What it costs to begin a run and to end it, in steps.
const RUN: u64 = 1000;

/// A search has so many times the steps of a group of runs.
const SEARCH: u64 = 4;

impl Effort {
    /// A few seconds: below ten on one core of a usual machine.
    pub const QUICK: Self = Self::of_steps(80_000, 2);
    /// About a minute.
    pub const USUAL: Self = Self::of_steps(6_000_000, 2);
    /// Until everything was tried.
    pub const DEEP: Self = Self {
        hunted: u64::MAX,
        ..Self::of_steps(u64::MAX, 3)
    };

    const fn of_steps(steps: u64, switches: u32) -> Self {
        Self {
            steps,
            runs: u64::MAX,
            switches,
            hunted: HUNTED,
            first_seed: 0,
        }
    }

    /// With about so many runs in all.
    #[must_use]
    pub const fn of_runs(runs: u64) -> Self {
        // There are about as many groups, and searches count several times.
        let runs = runs / 24;
        Self {
            runs: if runs == 0 { 1 } else { runs },
            ..Self::of_steps(u64::MAX, 2)
        }
    }

    /// How many runs of so many steps fit into `times` groups, 1 or more.
    fn fitting(&self, steps: u64, times: u64) -> u64 {
        let runs = self.steps.saturating_mul(times) / (steps + RUN);
        runs.min(self.runs.saturating_mul(times)).max(1)
    }
}

/// Runs that a search at accesses to memory is worth.
const LEARNING: u64 = 100;

/// What else could happen at a step, about, counting the step itself.
const ALTERNATIVES: u64 = 2;

/// Runs of one part of a search, about. Groups take turns, part by part, so that each of them has come
/// to something when there is no time any more. Each part begins with runs that tell what is worth most,
/// which this many are to outweigh.
const PART: u64 = 64;

/// Parts of a search at least, so that several workers can share it.
const LEAST_PARTS: u64 = 4;

/// Parts of a search at most.
const MOST_PARTS: u64 = 256;

/// Points after a switch at which another one is tried, where there are too many orders with two.
const WITHIN: u32 = 16;

/// Seeds of hostile devices if there is no limit.
const SEEDS: u64 = 100_000;

/// What is known of a driver when the battery is put together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The scenario as it is, if it says what happens.
    pub scenario: Option<RunFacts>,
    /// Every device through its life.
    pub life: Option<RunFacts>,
    /// Whether that is a life without the requests that move much.
    pub brief: bool,
    /// The numbers of the requests that stop the system, which lives are without.
    pub without: Vec<u32>,
}

/// One thing to be done by a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Case {
    /// One run.
    Run(Trial),
    /// A look at what a few runs share in memory, in so many of their steps.
    Survey(Trial, Option<u64>),
    /// A search.
    Hunt(Hunt),
}

/// Cases that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What is tried.
    pub title: &'static str,
    /// How many cases there would be; `None` if nobody knows.
    pub of: Option<u64>,
    /// Those that are tried.
    pub cases: Vec<Case>,
}

/// What is worth trying.
#[must_use]
pub fn battery(
    facts: &Facts,
    windows: WindowsVersion,
    processors: u16,
    effort: Effort,
) -> Vec<Group> {
    let bases = bases(facts);
    let battery = Battery {
        bases,
        brief: facts.brief,
        without: facts.without.clone(),
        effort,
    };
    let versions = WindowsVersion::ALL
        .into_iter()
        .filter(|version| *version != windows);
    let counts = (1..=4).filter(|count| *count != processors);
    let mut groups = vec![
        battery.surveys(),
        battery.variants(
            "another number of processors, 1 to 4",
            counts.map(|count| Trial {
                processors: Some(count),
                ..Trial::default()
            }),
        ),
        battery.variants(
            "every other Windows that the driver can be loaded on",
            versions.map(|version| Trial {
                windows: Some(version),
                ..Trial::default()
            }),
        ),
        battery.variants("a line or fewer messages than asked for", battery.wishes()),
        battery.each(
            "every allocation fails in turn",
            |facts| facts.allocations,
            |number| failing(FailureKind::Allocation, number),
        ),
        battery.each(
            "every call that can fail fails in turn",
            |facts| facts.calls,
            |number| failing(FailureKind::Call, number),
        ),
        battery.each(
            "connecting fails with each status that its page has",
            |facts| facts.connects,
            |number| failing(FailureKind::Connect, number),
        ),
    ];
    for (title, kind) in [
        (
            "an interrupt without a cause, at every step",
            ActKind::Spurious,
        ),
        (
            "an interrupt that nobody expects, at every step",
            ActKind::Caused,
        ),
        (
            "another device interrupts on a shared line, at every step",
            ActKind::Foreign,
        ),
        ("a burst of interrupts, at every step", ActKind::Repeated),
        ("a storm of interrupts, from every step on", ActKind::Storm),
        ("somebody uses the device, at every step", ActKind::Input),
        (
            "what is under way is cancelled, at every step",
            ActKind::Cancelled,
        ),
        ("the device is pulled out, at every step", ActKind::Pulled),
    ] {
        groups.push(battery.each_step(title, |facts, step| {
            Trial {
                act: Some(Act { kind, step }),
                // Nobody shares messages.
                interrupts: (kind == ActKind::Foreign && facts.messages > 0 && !facts.line)
                    .then_some(Wish::Line),
                ..Trial::default()
            }
        }));
    }
    groups.push(battery.hostile());
    groups.extend(battery.hunts());
    groups.push(battery.lives_at_random());
    groups.push(battery.cancelled_in_another_order());
    groups.retain(|group| !group.cases.is_empty());
    groups
}

/// How many parts a search of so many runs has. Workers share one that is alone in its group, and
/// several searches without its being cut.
fn parts(runs: u64, is_alone: bool) -> u64 {
    let least = if is_alone { LEAST_PARTS } else { 1 };
    (runs / PART).clamp(least, MOST_PARTS)
}

/// About how many orders a search of runs with so many steps has.
fn orders(steps: u64, strategy: &Strategy) -> u64 {
    let once = steps.saturating_mul(ALTERNATIVES);
    match strategy {
        Strategy::Bounded { switches } => once.saturating_pow(*switches),
        Strategy::Close { within } => once.saturating_mul(u64::from(*within) * ALTERNATIVES),
        _ => u64::MAX,
    }
}

/// A search in so many parts: what is in each is the same whoever does it.
fn in_parts(of: u64, hunt: &Hunt) -> Vec<Case> {
    let part = |part| {
        Case::Hunt(Hunt {
            part: (part, of),
            runs: hunt.runs.div_ceil(of),
            ..hunt.clone()
        })
    };
    (0..of).map(part).collect()
}

/// The first of each, then the second of each, and so on.
fn in_turn(all: Vec<Vec<Case>>) -> Vec<Case> {
    let mut all: Vec<_> = all.into_iter().map(Vec::into_iter).collect();
    let mut cases = Vec::new();
    loop {
        let before = cases.len();
        cases.extend(all.iter_mut().filter_map(Iterator::next));
        if cases.len() == before {
            return cases;
        }
    }
}

fn failing(kind: FailureKind, number: u64) -> Trial {
    Trial {
        fail: Some(FailurePoint { kind, number }),
        ..Trial::default()
    }
}

/// What trials start from: the scenario, if it says what happens, and lives.
fn bases(facts: &Facts) -> Vec<(bool, RunFacts)> {
    let scenario = facts.scenario.clone().map(|facts| (false, facts));
    let life = facts.life.clone().map(|facts| (true, facts));
    scenario.into_iter().chain(life).collect()
}

struct Battery {
    /// Whether it is lives, and what is known of a run.
    bases: Vec<(bool, RunFacts)>,
    /// Whether lives are brief.
    brief: bool,
    /// The requests that lives are without.
    without: Vec<u32>,
    effort: Effort,
}

impl Battery {
    /// A trial from a base.
    fn from(&self, life: bool, trial: Trial) -> Trial {
        Trial {
            life,
            brief: life && self.brief,
            without: if life {
                self.without.clone()
            } else {
                Vec::new()
            },
            ..trial
        }
    }

    /// What nothing orders, from each base.
    fn surveys(&self) -> Group {
        let trial = |life| self.from(life, Trial::default());
        // Of a longer run there is a part.
        let most = self.effort.hunted;
        let survey = |(life, facts): &(bool, RunFacts)| {
            Case::Survey(trial(*life), (facts.steps > most).then_some(most))
        };
        Group {
            title: "accesses to memory that nothing orders",
            of: None,
            cases: self.bases.iter().map(survey).collect(),
        }
    }

    /// Each trial from each base.
    fn variants(&self, title: &'static str, trials: impl Iterator<Item = Trial>) -> Group {
        let from = |trial: Trial| {
            self.bases
                .iter()
                .map(move |(life, _)| Case::Run(self.from(*life, trial.clone())))
        };
        let cases: Vec<Case> = trials.flat_map(from).collect();
        Group {
            title,
            of: Some(cases.len() as u64),
            cases,
        }
    }

    /// A trial for each number up to the one of a run, from each base; if there are too many, for
    /// some of them.
    fn each(
        &self,
        title: &'static str,
        count: impl Fn(&RunFacts) -> u64,
        trial: impl Fn(u64) -> Trial,
    ) -> Group {
        static NOTHING_KNOWN: Worth = Worth::NOTHING_KNOWN;
        self.picked(title, count, |_| &NOTHING_KNOWN, |_, number| trial(number))
    }

    /// A trial for each step of a run, from each base; if there are too many, for those that are
    /// worth most.
    fn each_step(&self, title: &'static str, trial: impl Fn(&RunFacts, u64) -> Trial) -> Group {
        self.picked(title, |facts| facts.steps, |facts| &facts.worth, trial)
    }

    fn picked(
        &self,
        title: &'static str,
        count: impl Fn(&RunFacts) -> u64,
        worth: impl Fn(&RunFacts) -> &Worth,
        trial: impl Fn(&RunFacts, u64) -> Trial,
    ) -> Group {
        let bases = self.bases.len().max(1) as u64;
        let mut cases = Vec::new();
        let mut of = 0;
        for (life, facts) in &self.bases {
            let count = count(facts);
            of += count;
            let most = self.effort.fitting(facts.steps * bases, 1);
            let steps = worth(facts).pick(count, most).into_iter();
            let trials = steps.map(|step| self.from(*life, trial(facts, step)));
            cases.extend(trials.map(Case::Run));
        }
        Group {
            title,
            of: Some(of),
            cases,
        }
    }

    /// Other interrupts than those that were given.
    fn wishes(&self) -> impl Iterator<Item = Trial> + use<> {
        let most = self
            .bases
            .iter()
            .map(|(_, facts)| facts.messages)
            .max()
            .unwrap_or(0);
        let line = (most > 0).then_some(Wish::Line);
        let fewer = (0..16)
            .map(|power| 1 << power)
            .take_while(move |count| *count < most);
        let wishes = line.into_iter().chain(fewer.map(Wish::Messages));
        wishes.map(|wish| Trial {
            interrupts: Some(wish),
            ..Trial::default()
        })
    }

    fn hostile(&self) -> Group {
        let first = self.effort.first_seed;
        let steps = self
            .bases
            .iter()
            .map(|(_, facts)| facts.steps)
            .max()
            .unwrap_or(0);
        let count = self.effort.fitting(steps, 1).min(SEEDS);
        let seeds = first..first.saturating_add(count);
        let cases = seeds.map(|seed| {
            let base = seed as usize % self.bases.len().max(1);
            let life = self.bases.get(base).is_none_or(|(life, _)| *life);
            let trial = Trial {
                hostile: Some(seed),
                ..Trial::default()
            };
            Case::Run(self.from(life, trial))
        });
        Group {
            title: "a device that lies and interrupts when it likes",
            of: None,
            cases: cases.collect(),
        }
    }

    /// Who cancels, and who ends a request, both believe that it is theirs in an order that takes a
    /// switch beside the cancelling: a search for each of a few steps at which requests are cancelled.
    fn cancelled_in_another_order(&self) -> Group {
        let title = "cancelled at a step, and one switch";
        let mut cases = Vec::new();
        let life = self.bases.iter().find(|(life, _)| *life);
        if let Some((life, facts)) = life.filter(|(_, facts)| facts.steps <= self.effort.hunted) {
            let all = self.effort.fitting(facts.steps, SEARCH);
            // About as many as there are orders with one switch, so that each search is whole.
            let each = facts.steps.saturating_mul(ALTERNATIVES).max(1);
            let steps = facts.worth.pick(facts.steps, (all / each).max(1));
            let runs = each.min(all);
            let searches = steps.into_iter().map(|step| {
                let kind = ActKind::Cancelled;
                let trial = Trial {
                    act: Some(Act { kind, step }),
                    ..Trial::default()
                };
                in_parts(
                    parts(runs, false),
                    &Hunt {
                        trial: self.from(*life, trial),
                        strategy: Strategy::Bounded { switches: 1 },
                        at_accesses: false,
                        part: (0, 1),
                        runs,
                    },
                )
            });
            // The searches take turns, too.
            cases = in_turn(searches.collect());
        }
        Group {
            title,
            of: None,
            cases,
        }
    }

    /// Searches: one switch first, which is done soonest and finds most.
    fn hunts(&self) -> Vec<Group> {
        let steps = |life| {
            let base = self.bases.iter().find(|(of, _)| *of == life);
            base.map(|(_, facts)| facts.steps)
        };
        let hunts = |life: bool, strategy: Strategy, at_accesses| {
            let trial = Trial {
                special_pool: life,
                ..Trial::default()
            };
            let steps = steps(life).unwrap_or(0);
            let runs = self.effort.fitting(steps, SEARCH);
            // Where accesses meet is learned anew by each part.
            let of = if at_accesses {
                1
            } else {
                parts(runs.min(orders(steps, &strategy)), true)
            };
            in_parts(
                of,
                &Hunt {
                    trial: self.from(life, trial),
                    strategy,
                    at_accesses,
                    part: (0, 1),
                    runs,
                },
            )
        };
        let group = |title, cases| Group {
            title,
            of: None,
            cases,
        };
        let few = |switches| Strategy::Bounded { switches };
        let more = self.effort.switches;
        let mut groups = Vec::new();
        if let Some(steps) = steps(false) {
            let title = "every order of events with one switch";
            groups.push(group(title, hunts(false, few(1), false)));
            // Of a longer run there are too many to come anywhere.
            if steps <= self.effort.hunted {
                let title = "orders with more switches";
                groups.push(group(title, hunts(false, few(more), false)));
                // Where accesses meet is learned from runs, too.
                if self.effort.fitting(steps, SEARCH) >= LEARNING {
                    let title = "orders that differ between accesses to memory";
                    groups.push(group(title, hunts(false, few(1), true)));
                }
            }
        }
        if steps(true).is_some() {
            let close = Strategy::Close { within: WITHIN };
            let title = "lives in other orders";
            groups.push(group(title, hunts(true, close, false)));
        }
        groups
    }

    /// What is used late, by a thread that a DPC woke for example, is used after it was freed in an
    /// order with two switches or more: where the thread comes to it, and where who frees it does. Of a
    /// life there are too many orders with as many, so those are tried in which the two are close
    /// together, and some at random, in which several come together in each run.
    fn lives_at_random(&self) -> Group {
        let mut cases = Vec::new();
        let life = self.bases.iter().find(|(life, _)| *life);
        if let Some((life, facts)) = life.filter(|(_, facts)| facts.steps <= self.effort.hunted) {
            let runs = self.effort.fitting(facts.steps, SEARCH).min(SEEDS);
            let first = self.effort.first_seed;
            let trial = Trial {
                special_pool: true,
                ..Trial::default()
            };
            let seeds = first..first.saturating_add(runs);
            cases = in_parts(
                parts(runs, true),
                &Hunt {
                    trial: self.from(*life, trial),
                    strategy: Strategy::Random { seeds },
                    at_accesses: false,
                    part: (0, 1),
                    runs,
                },
            );
        }
        Group {
            title: "lives in orders at random",
            of: None,
            cases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let run = RunFacts {
            steps: 100,
            allocations: 3,
            calls: 7,
            connects: 6,
            messages: 4,
            line: false,
            ended: true,
            ..RunFacts::default()
        };
        Facts {
            scenario: Some(run.clone()),
            life: Some(run),
            brief: false,
            without: Vec::new(),
        }
    }

    #[test]
    fn all_lives_are_as_brief_as_the_first() {
        let facts = Facts {
            brief: true,
            ..facts()
        };
        let groups = battery(&facts, WindowsVersion::Ten, 2, Effort::USUAL);
        let trials = groups
            .iter()
            .flat_map(|group| &group.cases)
            .map(|case| match case {
                Case::Run(trial) | Case::Survey(trial, _) => trial,
                Case::Hunt(hunt) => &hunt.trial,
            });
        for trial in trials {
            assert_eq!(trial.brief, trial.life, "{trial}");
        }
    }

    #[test]
    fn what_is_tried_is_counted() {
        let groups = battery(&facts(), WindowsVersion::Ten, 2, Effort::of_runs(480));
        let counts: Vec<(usize, Option<u64>)> = groups
            .iter()
            .map(|group| (group.cases.len(), group.of))
            .collect();
        // Three other counts of processors, seven other versions, the line and 1 and 2 messages.
        assert_eq!(
            counts[..7],
            [
                (2, None),
                (6, Some(6)),
                (14, Some(14)),
                (6, Some(6)),
                (6, Some(6)),
                (14, Some(14)),
                (12, Some(12))
            ]
        );
        assert_eq!(counts[7], (40, Some(200)));
    }

    #[test]
    fn searches_take_turns_in_parts_of_about_one_size() {
        let groups = battery(&facts(), WindowsVersion::Ten, 2, Effort::USUAL);
        let cases = groups.into_iter().flat_map(|group| group.cases);
        let mut at_random = 0;
        for case in cases {
            let Case::Hunt(hunt) = case else { continue };
            let (_, of) = hunt.part;
            let orders = orders(100, &hunt.strategy).div_ceil(of);
            if !hunt.at_accesses {
                assert!(hunt.runs.min(orders) <= 2 * PART, "{hunt:?}");
                assert!(of <= MOST_PARTS, "{hunt:?}");
            }
            if matches!(hunt.strategy, Strategy::Random { .. }) {
                at_random += hunt.runs;
            }
        }
        let all = Effort::USUAL.fitting(100, SEARCH);
        assert!((all..all + MOST_PARTS).contains(&at_random), "{at_random}");
    }

    #[test]
    fn searches_of_one_kind_take_turns_too() {
        let trial = |seed| {
            Case::Run(Trial {
                hostile: Some(seed),
                ..Trial::default()
            })
        };
        let all = in_turn(vec![vec![trial(0), trial(2), trial(3)], vec![trial(1)]]);
        assert_eq!(all, [trial(0), trial(1), trial(2), trial(3)]);
    }

    #[test]
    fn a_line_is_shared_also_by_a_device_that_was_given_messages() {
        let foreign = |line| {
            let mut facts = facts();
            facts.life = facts.life.map(|life| RunFacts { line, ..life });
            facts.scenario = None;
            let groups = battery(&facts, WindowsVersion::Ten, 2, Effort::QUICK);
            let cases = groups.into_iter().flat_map(|group| group.cases);
            let wishes = cases.filter_map(|case| match case {
                Case::Run(trial) => {
                    let kind = trial.act.map(|act| act.kind);
                    (kind == Some(ActKind::Foreign)).then_some(trial.interrupts)
                }
                _ => None,
            });
            let wishes: Vec<Option<Wish>> = wishes.collect();
            assert!(!wishes.is_empty());
            wishes
        };
        let is_line = |wish: &Option<Wish>| *wish == Some(Wish::Line);
        assert!(foreign(false).iter().all(is_line));
        assert!(!foreign(true).iter().any(is_line));
    }

    #[test]
    fn without_a_scenario_there_are_only_lives() {
        let facts = Facts {
            scenario: None,
            ..facts()
        };
        let groups = battery(&facts, WindowsVersion::Ten, 2, Effort::QUICK);
        let lives = |case: &Case| match case {
            Case::Run(trial) | Case::Survey(trial, _) => trial.life,
            Case::Hunt(hunt) => hunt.trial.life,
        };
        assert!(groups.iter().flat_map(|group| &group.cases).all(lives));
    }
}
