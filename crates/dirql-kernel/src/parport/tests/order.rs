//! Fairness: one queue, in the order of arrival.

use proptest::prelude::*;

use super::*;

/// Allocate or select, for a client.
fn code(select: bool) -> u32 {
    if select {
        ioctl::IOCTL_INTERNAL_SELECT_DEVICE
    } else {
        ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE
    }
}

/// The statuses of those requests that are complete.
fn outcomes(rig: &Rig, requests: &[Request]) -> Vec<Option<NtStatus>> {
    let requests = requests.to_vec();
    rig.bench.on_thread(move |kernel| {
        let status = |request: &Request| {
            if !kernel.request_is_done(*request) {
                return Ok(None);
            }
            kernel
                .wait_request(*request)
                .map(|outcome| Some(outcome.status))
        };
        requests.iter().map(status).collect()
    })
}

/// Frees the port until nobody has it; the order in which requests were completed.
fn serve(rig: &Rig, requests: &[Request]) -> Vec<usize> {
    let port = rig.information();
    let requests = requests.to_vec();
    rig.bench.on_thread(move |kernel| {
        let mut order = Vec::new();
        let mut open: Vec<usize> = (0..requests.len()).collect();
        loop {
            open.retain(|index| {
                let done = kernel.request_is_done(requests[*index]);
                if done && !order.contains(index) {
                    order.push(*index);
                }
                !done
            });
            if kernel.with_port(port.context, |port| port.queue.is_free())? {
                return Ok(order);
            }
            kernel.call("Callback", port.free, &[port.context]);
        }
    })
}

#[test]
fn a_thousand_requests_of_8_clients_are_served_in_the_order_of_arrival() {
    let rig = Rig::with(Setup {
        options: &[("peer", "chain"), ("devices", "2")],
        ..Setup::default()
    });
    let port = rig.information();
    assert_eq!(rig.call(port.try_allocate, &[port.context]), 1);
    let files: Vec<FileHandle> = (0..8).map(|_| rig.open()).collect();
    let requests = rig.bench.on_thread(move |kernel| {
        let mut requests = Vec::new();
        for number in 0..1000_usize {
            // Clients come in no pattern, with both kinds.
            let client = number * number % 7 + number % 2;
            let select = number % 3 == 0;
            let input = command((number % 2) as u8, 0);
            let kind = control_kind(code(select), if select { &input } else { &[] }, 0);
            requests.push(kernel.submit(files[client % 8], &kind)?);
        }
        Ok(requests)
    });
    assert_eq!(rig.call(port.waiters, &[port.context]), 1000);
    assert_eq!(serve(&rig, &requests), (0..1000).collect::<Vec<usize>>());
    assert_eq!(outcomes(&rig, &requests), [Some(NtStatus::SUCCESS); 1000]);
    assert_eq!(rig.bench.rules(), []);
}

/// What happens to the port.
#[derive(Clone, Debug)]
enum Act {
    /// A client sends a request.
    Send { client: usize, select: bool },
    /// One of the requests so far is cancelled, wherever it is.
    Cancel(prop::sample::Index),
    /// The owner frees the port.
    Free,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..8_usize, any::<bool>()).prop_map(|(client, select)| Act::Send { client, select }),
        2 => any::<prop::sample::Index>().prop_map(Act::Cancel),
        2 => Just(Act::Free),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The model: a list of those who wait, the first of which has the port.
    #[test]
    fn cancelling_any_request_leaves_the_rest_in_order(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let rig = Rig::with(Setup {
            options: &[("peer", "chain"), ("devices", "2")],
            ..Setup::default()
        });
        let port = rig.information();
        let files: Vec<FileHandle> = (0..8).map(|_| rig.open()).collect();
        let mut requests = Vec::new();
        let mut expected: Vec<Option<NtStatus>> = Vec::new();
        let mut owner = None;
        let mut waiting: Vec<usize> = Vec::new();
        for act in acts {
            match act {
                Act::Send { client, select } => {
                    let number = requests.len();
                    requests.push(rig.submit(files[client], code(select), &command(4, 1), 0));
                    if owner.is_none() {
                        owner = Some(number);
                        expected.push(Some(NtStatus::SUCCESS));
                    } else {
                        waiting.push(number);
                        expected.push(None);
                    }
                }
                Act::Cancel(index) => {
                    if requests.is_empty() {
                        continue;
                    }
                    let number = index.index(requests.len());
                    let request = requests[number];
                    let cancelled = rig.bench.on_thread(move |kernel| kernel.cancel_request(request));
                    let waits = waiting.iter().position(|waits| *waits == number);
                    prop_assert_eq!(cancelled, waits.is_some());
                    if let Some(at) = waits {
                        waiting.remove(at);
                        expected[number] = Some(NtStatus::CANCELLED);
                    }
                }
                Act::Free => {
                    if owner.is_none() {
                        continue;
                    }
                    rig.call(port.free, &[port.context]);
                    owner = (!waiting.is_empty()).then(|| waiting.remove(0));
                    if let Some(number) = owner {
                        expected[number] = Some(NtStatus::SUCCESS);
                    }
                }
            }
            let done: Vec<bool> = requests
                .iter()
                .map(|request| rig.kernel().request_is_done(*request))
                .collect();
            let wanted: Vec<bool> = expected.iter().map(Option::is_some).collect();
            prop_assert_eq!(done, wanted);
            let waiters = rig.call(port.waiters, &[port.context]);
            prop_assert_eq!(waiters, waiting.len() as u64);
        }
        prop_assert_eq!(outcomes(&rig, &requests), expected);
        prop_assert_eq!(rig.bench.rules(), []);
    }
}
