//! A registered device, and what is to be done next for it.

use alloc::vec::Vec;

use dirql_rules::Place;

/// The callbacks, in the order in which every version of the structure has them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Callbacks {
    pub(super) active: u64,
    pub(super) idle: u64,
    pub(super) idle_state: u64,
    pub(super) required: u64,
    pub(super) not_required: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Active,
    /// The driver was told and has not completed it.
    BecomingIdle,
    Idle,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    pub(super) references: u32,
    pub(super) condition: Condition,
    /// The Fx state, and the deepest there is.
    pub(super) state: u32,
    pub(super) deepest: u32,
    /// The driver was told of a state and has not completed it.
    pub(super) changes_state: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    On,
    /// The driver was told that power is not required, and has not completed that.
    GoingOff,
    Off,
    /// The driver was told that power is required, and has not reported the device on.
    ComingOn,
}

#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) physical_device: u64,
    pub(super) callbacks: Callbacks,
    pub(super) context: u64,
    pub(super) components: Vec<Component>,
    pub(super) started: bool,
    pub(super) power: Power,
    /// 100 ns units.
    pub(super) idle_timeout: u64,
    /// Since when all components have been idle, in 100 ns units.
    pub(super) idle_since: Option<u64>,
    /// A thread of the framework's is at it.
    pub(super) served: bool,
    /// Events of those who wait for a change.
    pub(super) waiters: Vec<u64>,
    pub(super) place: Place,
}

/// What is to be done next for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Call(&'static str, u64, [u64; 3]),
    /// Nothing changes before this much time has passed.
    Sleep(u64),
    Nothing,
}

impl Device {
    pub(super) fn wants_active(&self, component: &Component) -> bool {
        !self.started || component.references > 0
    }

    /// The next step, which counts as begun.
    pub(super) fn next(&mut self, now: u64) -> Step {
        if let Some(step) = self.next_for_components() {
            return step;
        }
        let resting = self.started
            && self.components.iter().all(|component| {
                component.references == 0
                    && component.condition == Condition::Idle
                    && !component.changes_state
            });
        if !resting || self.power != Power::On {
            self.idle_since = None;
            return Step::Nothing;
        }
        let since = *self.idle_since.get_or_insert(now);
        let left = (since + self.idle_timeout).saturating_sub(now);
        if left > 0 {
            return Step::Sleep(left);
        }
        if self.callbacks.not_required == 0 {
            return Step::Nothing;
        }
        self.power = Power::GoingOff;
        Step::Call(
            "DevicePowerNotRequiredCallback",
            self.callbacks.not_required,
            [self.context, 0, 0],
        )
    }

    fn next_for_components(&mut self) -> Option<Step> {
        for index in 0..self.components.len() {
            let component = self.components[index];
            let arguments = [self.context, index as u64, 0];
            match component.condition {
                _ if component.changes_state => {}
                Condition::Active if !self.wants_active(&component) => {
                    let told = self.callbacks.idle != 0;
                    self.components[index].condition = if told {
                        Condition::BecomingIdle
                    } else {
                        Condition::Idle
                    };
                    let name = "ComponentIdleConditionCallback";
                    return Some(Step::Call(name, self.callbacks.idle, arguments));
                }
                Condition::Idle if self.wants_active(&component) => {
                    if let Some(step) = self.activate(index) {
                        return Some(step);
                    }
                }
                Condition::Idle if self.power == Power::On => {
                    if component.state != component.deepest {
                        return Some(self.change_state(index, component.deepest));
                    }
                }
                Condition::Active | Condition::Idle | Condition::BecomingIdle => {}
            }
        }
        None
    }

    /// The next step on a component's way to being active, if it can be taken now.
    fn activate(&mut self, index: usize) -> Option<Step> {
        match self.power {
            Power::On => {}
            Power::Off => {
                let told = self.callbacks.required != 0;
                self.power = if told { Power::ComingOn } else { Power::On };
                return Some(Step::Call(
                    "DevicePowerRequiredCallback",
                    self.callbacks.required,
                    [self.context, 0, 0],
                ));
            }
            Power::GoingOff | Power::ComingOn => return None,
        }
        if self.components[index].state != 0 {
            return Some(self.change_state(index, 0));
        }
        self.components[index].condition = Condition::Active;
        Some(Step::Call(
            "ComponentActiveConditionCallback",
            self.callbacks.active,
            [self.context, index as u64, 0],
        ))
    }

    fn change_state(&mut self, index: usize, state: u32) -> Step {
        let component = &mut self.components[index];
        component.state = state;
        component.changes_state = self.callbacks.idle_state != 0;
        Step::Call(
            "ComponentIdleStateCallback",
            self.callbacks.idle_state,
            [self.context, index as u64, state.into()],
        )
    }
}
