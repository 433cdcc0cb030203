//! What somebody does to the devices while the driver runs.

use std::cell::Cell;
use std::fmt;
use std::rc::{Rc, Weak};

use dirql_chips::Stimulus;
use dirql_kernel::Kernel;
use dirql_kernel::hal::{DeviceId, Pretence};
use dirql_kernel::ke::{Intruder, ThreadBody};

use crate::bench::Bench;
use crate::bench::state::State;
use crate::scenario::ThreadSpec;

/// Interrupts of a burst.
const BURST: u64 = 8;

/// Interrupts of a storm: more than a driver may take for a burst, few enough to come to an end.
const STORM: u64 = 200;

/// What ISRs read, one step this and the next step that.
const CAUSES: [Pretence; 3] = [Pretence::First, Pretence::Second, Pretence::Most];

/// Sources of one device that are looked for at most.
const MOST_SOURCES: u16 = 2048;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActKind {
    /// Every source of the devices fires once, without a cause in a register.
    Spurious,
    /// Every source fires once, and the ISR reads a cause.
    Caused,
    /// Another device asserts the devices' shared lines for a moment.
    Foreign,
    /// Every source fires several times, a step apart.
    Repeated,
    /// Every source fires at every step for a long time.
    Storm,
    /// Somebody uses the devices: presses a button, sends a byte.
    Input,
    /// Whoever waits for a request loses patience: all that are under way are cancelled.
    Cancelled,
    /// The devices are pulled out.
    Pulled,
}

impl ActKind {
    const ALL: [Self; 8] = [
        Self::Spurious,
        Self::Caused,
        Self::Foreign,
        Self::Repeated,
        Self::Storm,
        Self::Input,
        Self::Cancelled,
        Self::Pulled,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Spurious => "spurious",
            Self::Caused => "caused",
            Self::Foreign => "foreign",
            Self::Repeated => "repeated",
            Self::Storm => "storm",
            Self::Input => "input",
            Self::Cancelled => "cancelled",
            Self::Pulled => "pulled",
        }
    }

    /// At how many steps in a row it is done.
    const fn times(self) -> u64 {
        match self {
            Self::Repeated => BURST,
            Self::Storm => STORM,
            _ => 1,
        }
    }
}

/// What is done, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// What.
    pub kind: ActKind,
    /// At the first yield point from this step on.
    pub step: u64,
}

impl Act {
    pub(super) fn parse(name: &str, step: u64) -> Option<Self> {
        let kind = ActKind::ALL.into_iter().find(|kind| kind.name() == name)?;
        Some(Self { kind, step })
    }

    /// All forms, for messages.
    pub(super) fn forms() -> String {
        ActKind::ALL
            .map(|kind| format!("{}=STEP", kind.name()))
            .join(", ")
    }

    /// Has it done to the computer of `bench`, in which nothing has happened yet.
    pub(super) fn prepare(self, bench: &Bench) {
        let actor = Actor {
            kind: self.kind,
            step: self.step,
            state: Rc::downgrade(bench.state()),
            left: Cell::new(self.kind.times()),
        };
        bench.kernel().set_intruder(self.step, Rc::new(actor));
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind.name(), self.step)
    }
}

/// Who does it.
struct Actor {
    kind: ActKind,
    step: u64,
    /// Not the owner: the computer keeps the actor.
    state: Weak<State>,
    left: Cell<u64>,
}

impl Intruder for Actor {
    fn intrude(&self, kernel: &Kernel) -> u64 {
        let Some(state) = self.state.upgrade() else {
            return u64::MAX;
        };
        if self.kind == ActKind::Cancelled {
            cancel(kernel, tells_at_once(self.step));
        }
        // Looked at first: what follows may look at the devices, too.
        let devices: Vec<(String, DeviceId)> = state
            .devices
            .borrow()
            .iter()
            .map(|device| (device.spec.name.clone(), device.id))
            .collect();
        for (name, device) in devices {
            match self.kind {
                ActKind::Spurious | ActKind::Repeated | ActKind::Storm => {
                    fire(kernel, device);
                }
                ActKind::Caused => {
                    kernel.pretend_cause(device, CAUSES[self.step as usize % CAUSES.len()]);
                    fire(kernel, device);
                }
                ActKind::Foreign => {
                    kernel.assert_shared_lines(device);
                }
                ActKind::Input => use_it(kernel, device),
                // It is not done to devices.
                ActKind::Cancelled => {}
                ActKind::Pulled => state.pull(kernel, &name, device, tells_at_once(self.step)),
            }
        }
        self.left.set(self.left.get().saturating_sub(1));
        if self.left.get() == 0 {
            u64::MAX
        } else {
            kernel.step() + 1
        }
    }
}

/// Whether plug and play tells of a device that was pulled out at this step, or somebody cancels,
/// before what runs there goes on, or when others let it: half of all steps each. The order has no period, so that
/// both come among every n-th step, too.
const fn tells_at_once(step: u64) -> bool {
    step.count_ones().is_multiple_of(2)
}

fn fire(kernel: &Kernel, device: DeviceId) {
    for source in 0..MOST_SOURCES {
        if !kernel.stimulate(device, &Stimulus::Interrupt(source)) {
            break;
        }
    }
}

/// Cancels what is under way by then.
fn cancel(kernel: &Kernel, at_once: bool) {
    let body = |kernel: &Kernel| {
        for request in kernel.requests_under_way() {
            kernel.cancel_request(request)?;
        }
        Ok(())
    };
    let body = ThreadBody::Native(Box::new(body));
    if at_once {
        kernel.spawn_thread_ahead("cancelling", body);
    } else {
        kernel.spawn_thread("cancelling", ThreadSpec::PRIORITY, body);
    }
}

fn use_it(kernel: &Kernel, device: DeviceId) {
    for stimulus in [
        Stimulus::Press,
        Stimulus::Release,
        Stimulus::Receive(b"U".to_vec()),
    ] {
        kernel.stimulate(device, &stimulus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_tell_of_a_device_that_is_gone_are_tried() {
        for stride in 1..=16 {
            let told = |at_once| (0..64).any(|n| tells_at_once(n * stride) == at_once);
            assert!(told(true) && told(false), "every {stride} steps");
        }
        for step in (0..1000).step_by(2) {
            assert_ne!(tells_at_once(step), tells_at_once(step + 1));
        }
    }
}
