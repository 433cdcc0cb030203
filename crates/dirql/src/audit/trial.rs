//! One trial: what is different from the scenario as it is, as a value and as text.

use std::fmt;
use std::str::FromStr;

use dirql_explore::{Schedule, ScheduleError};
use dirql_kernel::{FailurePoint, WindowsVersion};
use dirql_rules::{RuleId, ids};

use super::{Act, ActKind};

/// Which interrupts every PCI device is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Its line.
    Line,
    /// At most so many messages.
    Messages(u16),
}

/// What is different in a run from the scenario as it is. The text form is what `--trial` takes:
/// words with commas between them.
///
/// ```
/// use dirql::audit::Trial;
///
/// let trial: Trial = "life,processors=4,spurious=17".parse().unwrap();
/// assert_eq!(trial.processors, Some(4));
/// assert_eq!(trial.to_string(), "life,processors=4,spurious=17");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trial {
    /// Every device through its life, in place of what the scenario's threads do.
    pub life: bool,
    /// In lives, without the requests that move much.
    pub brief: bool,
    /// In lives, without the requests with these numbers.
    pub without: Vec<u32>,
    /// The Windows version.
    pub windows: Option<WindowsVersion>,
    /// Number of processors.
    pub processors: Option<u16>,
    /// Which interrupts devices are given.
    pub interrupts: Option<Wish>,
    /// What is made to fail.
    pub fail: Option<FailurePoint>,
    /// Every block of pool has pages of its own, so that what is used after it was freed is seen at
    /// once.
    pub special_pool: bool,
    /// What somebody does to the devices.
    pub act: Option<Act>,
    /// The seed of devices that lie.
    pub hostile: Option<u64>,
    /// The order of events.
    pub order: Option<Schedule>,
}

/// The text is no trial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// A word means nothing.
    #[error(
        "`{0}` is no part of a trial; parts are: life, brief-life, without=N+N, windows=VERSION, processors=N, line, messages=N, fail=KIND:N, special-pool, {acts}, hostile=SEED, order=SCHEDULE", acts = Act::forms()
    )]
    Word(String),
    /// Something is said twice.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// The order is no schedule.
    #[error(transparent)]
    Order(#[from] ScheduleError),
}

impl Trial {
    /// Every device through its life, and nothing else.
    #[must_use]
    pub fn life() -> Self {
        Self {
            life: true,
            ..Self::default()
        }
    }

    /// The same, without the requests that move much.
    #[must_use]
    pub fn brief_life() -> Self {
        Self {
            brief: true,
            ..Self::life()
        }
    }

    /// Whether the scenario's expectations count: they are for a computer that works.
    #[must_use]
    pub const fn is_strict(&self) -> bool {
        !self.life
            && self.interrupts.is_none()
            && self.fail.is_none()
            && self.act.is_none()
            && self.hostile.is_none()
    }

    /// Rules about what a device does, which are no rules for the driver where the device does
    /// what it likes: in this trial, or always.
    #[must_use]
    pub(super) const fn excused(&self, always: bool) -> &'static [RuleId] {
        const INTERRUPTS: &[RuleId] = &[ids::INTERRUPT_STORM, ids::DEVICE_NOT_SILENT];
        const ALL: &[RuleId] = &[
            ids::INTERRUPT_STORM,
            ids::DEVICE_NOT_SILENT,
            ids::CLAIMED_FOREIGN,
        ];
        // A client of a port that is gone has nobody to disconnect from.
        const GONE: &[RuleId] = &[ids::PORT_LEFT_CONNECTED, ids::PORT_LEFT_ALLOCATED];
        match self.act {
            _ if self.device_lies() => ALL,
            Some(act) if matches!(act.kind, ActKind::Cancelled) => &[],
            Some(act) if always && !matches!(act.kind, ActKind::Pulled) => ALL,
            Some(act) if !matches!(act.kind, ActKind::Pulled) => INTERRUPTS,
            Some(_) => GONE,
            None => &[],
        }
    }

    /// Rules that the scenario itself may break where it is not played as it is: a port that it
    /// asked for and did not get, it gives back all the same.
    #[must_use]
    pub(super) const fn excused_of_scenario(&self) -> &'static [RuleId] {
        if self.is_strict() {
            &[]
        } else {
            &[ids::PORT_FREED_TWICE]
        }
    }

    /// Whether registers may read something else than the device has in them.
    pub(super) const fn device_lies(&self) -> bool {
        let pretends = matches!(self.act, Some(act) if matches!(act.kind, ActKind::Caused));
        pretends || self.hostile.is_some()
    }

    fn add(&mut self, word: &str) -> Result<(), TrialError> {
        let wrong = || TrialError::Word(word.into());
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse().map_err(|_| wrong());
        let is_new = match name {
            "life" | "brief-life" if value.is_empty() => {
                self.brief = name == "brief-life";
                !std::mem::replace(&mut self.life, true)
            }
            "without" => {
                let numbers = value.split('+').map(str::parse);
                let without: Result<Vec<u32>, _> = numbers.collect();
                let without = without.map_err(|_| wrong())?;
                std::mem::replace(&mut self.without, without).is_empty()
            }
            "line" if value.is_empty() => set(&mut self.interrupts, Wish::Line),
            "messages" => {
                let most = value.parse().ok().filter(|most| (1..=2048).contains(most));
                set(
                    &mut self.interrupts,
                    Wish::Messages(most.ok_or_else(wrong)?),
                )
            }
            "windows" => set(&mut self.windows, value.parse().map_err(|_| wrong())?),
            "processors" => {
                let count = value.parse().ok().filter(|count| (1..=256).contains(count));
                set(&mut self.processors, count.ok_or_else(wrong)?)
            }
            "special-pool" if value.is_empty() => !std::mem::replace(&mut self.special_pool, true),
            "fail" => set(&mut self.fail, value.parse().map_err(|_| wrong())?),
            "hostile" => set(&mut self.hostile, number()?),
            "order" => set(&mut self.order, value.parse()?),
            name => {
                let act = Act::parse(name, number()?).ok_or_else(wrong)?;
                set(&mut self.act, act)
            }
        };
        if is_new {
            Ok(())
        } else {
            Err(TrialError::Twice(name.into()))
        }
    }
}

/// Whether there was nothing before.
fn set<T>(slot: &mut Option<T>, value: T) -> bool {
    slot.replace(value).is_none()
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if self.life {
            words.push(if self.brief { "brief-life" } else { "life" }.into());
        }
        if !self.without.is_empty() {
            let numbers: Vec<String> = self.without.iter().map(u32::to_string).collect();
            words.push(format!("without={}", numbers.join("+")));
        }
        if let Some(windows) = self.windows {
            words.push(format!("windows={windows}"));
        }
        if let Some(processors) = self.processors {
            words.push(format!("processors={processors}"));
        }
        match self.interrupts {
            None => {}
            Some(Wish::Line) => words.push("line".into()),
            Some(Wish::Messages(most)) => words.push(format!("messages={most}")),
        }
        if let Some(point) = self.fail {
            words.push(format!("fail={point}"));
        }
        if self.special_pool {
            words.push("special-pool".into());
        }
        if let Some(act) = self.act {
            words.push(act.to_string());
        }
        if let Some(seed) = self.hostile {
            words.push(format!("hostile={seed}"));
        }
        if let Some(order) = &self.order {
            words.push(format!("order={order}"));
        }
        if words.is_empty() {
            words.push("as-it-is".into());
        }
        f.write_str(&words.join(","))
    }
}

impl FromStr for Trial {
    type Err = TrialError;

    fn from_str(text: &str) -> Result<Self, TrialError> {
        let mut trial = Self::default();
        if text != "as-it-is" {
            text.split(',').try_for_each(|word| trial.add(word))?;
        }
        Ok(trial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_written_as_it_is_read() {
        for text in [
            "as-it-is",
            "life",
            "life,windows=7,processors=4,line,fail=allocation:3,special-pool,spurious=17,hostile=5",
            "messages=1,pulled=1",
            "brief-life,pulled=1",
            "life,without=0+17,storm=3",
            "order=d1-01234567-89abcdef-12.1-30.2-07e4",
        ] {
            match text.parse::<Trial>() {
                Ok(trial) => assert_eq!(trial.to_string(), text),
                Err(error) => assert!(matches!(error, TrialError::Order(_)), "{error}"),
            }
        }
    }

    #[test]
    fn what_is_no_trial_is_refused() {
        for text in [
            "",
            "life,",
            "life=1",
            "lives",
            "processors=0",
            "processors=257",
            "messages=0",
            "line=1",
            "without=",
            "without=1+",
            "special-pool=1",
            "spurious",
            "spurious=-1",
            "hostile=",
            "windows=12",
        ] {
            assert!(
                matches!(text.parse::<Trial>(), Err(TrialError::Word(_))),
                "{text}"
            );
        }
        assert_eq!(
            "line,messages=2".parse::<Trial>(),
            Err(TrialError::Twice("messages".into()))
        );
    }
}
