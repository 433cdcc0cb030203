//! What is played when nobody says what.

use std::path::{Path, PathBuf};

use dirql_image::inf::Inf;

use crate::bench::Bench;
use crate::bench::state::{BenchDevice, State};
use crate::scenario::{
    Action, DeviceRequest, DeviceSpec, DriverSpec, Expect, Scenario, Target, ThreadSpec,
};

/// What was found beside a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// A scenario of the same name.
    Scenario(PathBuf),
    /// No scenario: the INF of the same name, if there is one, and a device that it is for, if
    /// that is one of the built-in models.
    Parts {
        /// The INF.
        inf: Option<PathBuf>,
        /// The device.
        device: Option<DeviceSpec>,
    },
}

/// Looks beside a driver file for what belongs to it.
#[must_use]
pub fn discover(image: &Path) -> Found {
    let scenario = image.with_extension("toml");
    if scenario.is_file() {
        return Found::Scenario(scenario);
    }
    let inf = Some(image.with_extension("inf")).filter(|inf| inf.is_file());
    let device = inf.as_deref().and_then(device_of);
    Found::Parts { inf, device }
}

/// The built-in model whose hardware ID an INF has.
fn device_of(inf: &Path) -> Option<DeviceSpec> {
    // What is wrong with the INF is said when it is installed.
    let text = std::fs::read(inf).ok()?;
    Inf::parse(&text).ok()?;
    let text = String::from_utf8_lossy(&text).to_uppercase();
    let text = text.replace('\0', "");
    let models = dirql_chips::models::MODELS.iter();
    models
        .map(|model| DeviceSpec::new(format!("{}0", model.name), model.name))
        .find(|spec| {
            crate::bench::hardware_ids_of(spec)
                .iter()
                .any(|id| text.contains(&id.to_uppercase()))
        })
}

impl Scenario {
    /// A scenario without threads, which plays the default ones: one driver and these devices.
    #[must_use]
    pub fn of_driver(
        image: impl Into<PathBuf>,
        inf: Option<PathBuf>,
        devices: Vec<DeviceSpec>,
    ) -> Self {
        let driver = DriverSpec {
            inf,
            ..DriverSpec::new(image)
        };
        Self {
            drivers: vec![driver],
            devices,
            ..Self::default()
        }
    }
}

/// The thread that is played when a scenario has none: every device once through its life.
pub(super) fn thread(bench: &Bench) -> ThreadSpec {
    let devices = bench.state().devices.borrow();
    let mut actions = Vec::new();
    for device in devices.iter().filter(|device| device.installed.built_in) {
        actions.extend([
            Action::InterruptOnce {
                device: device.spec.name.clone(),
            },
            Action::WaitIdle,
        ]);
    }
    for device in devices
        .iter()
        .filter(|device| is_for_a_driver(bench, device))
    {
        actions.extend(life(&device.spec.name));
    }
    let drivers = bench.state().drivers.borrow();
    for driver in drivers.iter().rev() {
        actions.push(Action::Unload {
            driver: Some(driver.service.clone()),
            if_possible: true,
        });
    }
    ThreadSpec::new(actions.into_iter().map(Into::into).collect())
}

/// A driver without AddDevice finds its hardware by itself.
fn is_for_a_driver(bench: &Bench, device: &BenchDevice) -> bool {
    let drivers = bench.state().drivers.borrow();
    let driver = device
        .installed
        .driver
        .and_then(|index| drivers.get(index)?.object);
    driver.is_some_and(|driver| State::has_add_device(bench.kernel(), driver))
}

fn life(name: &str) -> [Action; 6] {
    let device = |request| Action::Device {
        device: name.into(),
        request,
        expect: Expect::Success,
    };
    [
        device(DeviceRequest::Start),
        Action::Open {
            target: Target::Device(name.into()),
            handle: name.into(),
            expect: Expect::Success,
            if_possible: true,
        },
        Action::InterruptOnce {
            device: name.into(),
        },
        Action::WaitIdle,
        Action::Close {
            handle: name.into(),
            expect: Expect::Success,
        },
        device(DeviceRequest::Remove),
    ]
}
