//! What is played when nobody says what.

use std::path::{Path, PathBuf};

use dirql_image::inf::Inf;

use crate::bench::Bench;
use crate::bench::state::BenchDevice;
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
        device: Option<Box<DeviceSpec>>,
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
    let device = inf.as_deref().and_then(device_of).map(Box::new);
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

/// The thread that is played when a scenario has none: every device once through its life. A
/// driver without AddDevice has found its hardware by itself when it was loaded; what it made is
/// opened while the devices that are nobody else's interrupt.
pub(crate) fn thread(bench: &Bench) -> ThreadSpec {
    let devices = bench.state().devices.borrow();
    let drivers = bench.state().drivers.borrow();
    let (built_in, others): (Vec<_>, Vec<_>) =
        devices.iter().partition(|device| device.installed.built_in);
    let (owned, free): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|device| is_for_a_driver(bench, device));
    let mut actions = Vec::new();
    for device in built_in {
        actions.extend([interrupt(device), Action::WaitIdle]);
    }
    for device in owned {
        // One that lies may be refused.
        let expect = match device.spec.model.as_str() {
            "hostile" => Expect::Any,
            _ => Expect::Success,
        };
        actions.extend(life(&device.spec.name, expect));
    }
    let old_drivers = drivers
        .iter()
        .filter_map(|driver| driver.object)
        .filter(|driver| !bench.kernel().has_add_device(*driver));
    let names: Vec<_> = old_drivers
        .flat_map(|driver| bench.kernel().device_names(driver))
        .collect();
    if !names.is_empty() {
        actions.extend(life_without_plug_and_play(&names, &free));
    }
    // Those from which others only import cannot be unloaded by themselves.
    let loaded = drivers
        .iter()
        .rev()
        .filter(|driver| driver.object.is_some());
    for driver in loaded {
        actions.push(Action::Unload {
            driver: Some(driver.service.clone()),
            if_possible: true,
        });
    }
    ThreadSpec::new(actions.into_iter().map(Into::into).collect())
}

pub(crate) fn is_for_a_driver(bench: &Bench, device: &BenchDevice) -> bool {
    let drivers = bench.state().drivers.borrow();
    let driver = device
        .installed
        .driver
        .and_then(|index| drivers.get(index)?.object);
    driver.is_some_and(|driver| bench.kernel().has_add_device(driver))
}

fn interrupt(device: &BenchDevice) -> Action {
    Action::InterruptOnce {
        device: device.spec.name.clone(),
    }
}

fn life_without_plug_and_play(names: &[String], devices: &[&BenchDevice]) -> Vec<Action> {
    let open = names.iter().map(|name| Action::Open {
        target: Target::Path(name.clone()),
        handle: name.clone(),
        // It may be for one user at a time, or for its driver alone.
        expect: Expect::Any,
        if_possible: true,
    });
    let interrupts = devices.iter().map(|device| interrupt(device));
    let close = names.iter().map(|name| Action::Close {
        handle: name.clone(),
        expect: Expect::Success,
    });
    open.chain(interrupts)
        .chain([Action::WaitIdle])
        .chain(close)
        .collect()
}

fn life(name: &str, expect: Expect) -> [Action; 6] {
    let device = |request| Action::Device {
        device: name.into(),
        request,
        expect,
    };
    [
        device(DeviceRequest::Start),
        Action::Open {
            target: Target::Device(name.into()),
            handle: name.into(),
            expect,
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
        // A driver may say that its device cannot be removed now.
        Action::Device {
            device: name.into(),
            request: DeviceRequest::Remove,
            expect: Expect::Any,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bench, Driver};

    mod old {
        //! A driver from before plug and play: it makes its device when it is loaded.

        dirql_host::import! {
            fn IoCreateDevice(driver: u64, extension: u32, name: u64, kind: u32, characteristics: u32, exclusive: u8, device: u64) -> i32;
        }

        pub(super) extern "win64" fn entry(driver: u64, _path: u64) -> i32 {
            let name: Vec<u16> = r"\Device\Old".encode_utf16().collect();
            let bytes = 2 * name.len() as u64;
            // A UNICODE_STRING: Length, MaximumLength and Buffer.
            let string = [
                bytes << 16 | bytes,
                name.as_ptr().expose_provenance() as u64,
            ];
            let string = string.as_ptr().expose_provenance() as u64;
            let mut device = 0_u64;
            let device = (&raw mut device).expose_provenance() as u64;
            IoCreateDevice(driver, 0, string, 0x22, 0, 0, device)
        }
    }

    #[test]
    fn a_driver_may_refuse_to_have_its_device_removed() {
        let last = life("edu0", Expect::Success).into_iter().last();
        let Some(Action::Device {
            request: DeviceRequest::Remove,
            expect,
            ..
        }) = last
        else {
            panic!("{last:?}");
        };
        assert_eq!(expect, Expect::Any);
    }

    #[test]
    fn what_a_driver_without_add_device_made_is_open_while_every_device_interrupts() {
        let bench = Bench::builder()
            .device(DeviceSpec::new("button0", "button"))
            .driver(Driver::native("old.sys", old::entry))
            .build()
            .unwrap();
        bench.load().unwrap();
        let steps: Vec<_> = thread(&bench)
            .steps
            .iter()
            .map(|step| crate::play::perform::describe(&step.action))
            .collect();
        assert_eq!(
            steps,
            [
                r"open \Device\Old",
                "interrupt button0",
                "wait_idle",
                r"close \Device\Old",
                "unload old"
            ]
        );
    }
}
