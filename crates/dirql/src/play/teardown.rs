//! What is done after something was made to fail: whatever the scenario has left is ended, so
//! that what the driver has left shows.

use std::rc::Rc;

use dirql_kernel::io::Request;

use super::perform::Log;
use super::run_threads;
use crate::bench::Bench;
use crate::scenario::{Action, DeviceRequest, Expect, Scenario, Step, ThreadSpec};

/// Rounds of cancelling: a thread goes on and sends more.
const MOST_ROUNDS: usize = 1000;

/// Cancels what is under way until the threads have come to their end, or nothing changes.
pub(super) fn end_requests(bench: &Bench, threads_have_ended: &dyn Fn() -> bool) {
    for _ in 0..MOST_ROUNDS {
        let before = bench.kernel().requests_under_way();
        if before.is_empty() || cancel(bench, before.clone()).is_err() {
            break;
        }
        let ended = bench.run(|_| threads_have_ended());
        if ended.is_err() || bench.kernel().requests_under_way() == before {
            break;
        }
    }
}

/// Says what is still under way, closes, removes and unloads.
pub(super) fn run(bench: &Bench, scenario: &Scenario, log: Log) -> Log {
    // A system that has stopped ends no request.
    let left = match bench.kernel().outcome() {
        None => bench.kernel().requests_under_way(),
        Some(_) => Vec::new(),
    };
    for request in left {
        // The only error is that the run ends.
        let _ = bench.kernel().find_cancelled(request);
    }
    let thread = ThreadSpec::new(steps(bench, scenario));
    let manner = super::Manner {
        lenient: true,
        must_load: false,
        waits_for_gone: false,
        pulls_at_end: false,
        hurried: Rc::default(),
    };
    run_threads(bench, &scenario.file, &[thread], log, &manner)
}

/// Pulls the devices out, and lets the drivers hear of it.
pub(super) fn pull_devices(bench: &Bench) {
    let devices = bench.state().devices.borrow().clone();
    for device in devices {
        bench
            .state()
            .pull(bench.kernel(), &device.spec.name, device.id, false);
    }
    // The end of the run is in the kernel's outcome.
    let _ = bench.run_until_idle();
}

fn cancel(bench: &Bench, requests: Vec<Request>) -> Result<(), crate::BenchError> {
    bench.on_kernel_thread(move |kernel| {
        for request in requests {
            kernel.cancel_request(request)?;
        }
        Ok(())
    })
}

fn steps(bench: &Bench, scenario: &Scenario) -> Vec<Step> {
    let handles = bench.state().handle_names().into_iter();
    let close = handles.map(|handle| Action::Close {
        handle,
        expect: Expect::Any,
    });
    let remove = scenario.devices.iter().map(|device| Action::Device {
        device: device.name.clone(),
        request: DeviceRequest::Remove,
        expect: Expect::Any,
    });
    let drivers = scenario.drivers.iter().rev();
    let unload = drivers.map(|driver| Action::Unload {
        driver: Some(driver.name()),
        if_possible: true,
    });
    close.chain(remove).chain(unload).map(Into::into).collect()
}
