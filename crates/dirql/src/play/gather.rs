//! From a bench to a report.

use std::collections::BTreeMap;

use dirql_chips::Vector;
use dirql_host::MemoryAccess;
use dirql_kernel::hal::{Assignment, Resource};
use dirql_kernel::{FailureCounts, MOST_FINDINGS, Outcome};
use dirql_rules::{Finding, ids};

use super::ended_without_verdict;
use super::perform::Log;
use crate::bench::Bench;
use crate::bench::state::{BenchDevice, BenchDriver};
use crate::races::Events;
use crate::report::{
    DeviceReport, DriverReport, FailurePointsReport, FailureReport, FindingReport, ImportReport,
    InterruptReport, PlaceReport, Report, ResourceReport, SCHEMA, Verdict,
};
use crate::scenario::Scenario;

pub(super) fn report(bench: &Bench, scenario: &Scenario, log: &Log) -> Report {
    let config = bench.kernel().config();
    let outcome = bench.outcome();
    let findings = findings(bench, outcome.as_ref());
    let found = findings.iter().any(FindingReport::is_defect);
    let verdict = match (found, ended_without_verdict(outcome.as_ref())) {
        (true, _) => Verdict::Findings,
        (false, true) => Verdict::NoVerdict,
        (false, false) => Verdict::Clean,
    };
    let devices = bench.state().devices.borrow();
    Report {
        schema: SCHEMA.into(),
        verdict,
        ended_early: outcome
            .as_ref()
            .map(|outcome| early(bench, outcome, findings.len())),
        replay: String::new(),
        windows: config.windows.to_string(),
        processors: config.processors,
        scenario: Some(scenario.file.clone()).filter(|file| !file.is_empty()),
        drivers: bench.state().drivers.borrow().iter().map(driver).collect(),
        missing_imports: missing_imports(bench),
        devices: devices
            .iter()
            .map(|device| device_report(bench, device))
            .collect(),
        steps: log.steps.clone(),
        interrupts: interrupts(bench, &devices),
        dpcs: bench.counters().dpcs(),
        ddi_calls: bench
            .counters()
            .ddi_calls()
            .into_iter()
            .map(|(name, count)| (name.into(), count))
            .collect(),
        prints: log.prints.lines(),
        failure_points: failure_points(bench),
        failed: failed(bench),
        findings,
        outlived: bench.kernel().outlived().len() as u64,
        step_count: bench.kernel().step(),
        time_100ns: bench.kernel().time_100ns(),
    }
}

/// Adds what goes wrong with memory in another order.
pub(super) fn add_races(
    bench: &Bench,
    events: &Events,
    accesses: &[MemoryAccess],
    report: &mut Report,
) {
    let addresses = bench.addresses();
    let code = |address| addresses.code(address);
    let races = events.races(accesses, report.processors, &code);
    let found = races.iter().map(|race| FindingReport::new(race, addresses));
    report.findings.extend(found);
    for race in races {
        bench.kernel().tell_finding(race);
    }
    if report.findings.iter().any(FindingReport::is_defect) {
        report.verdict = Verdict::Findings;
    }
}

fn missing_imports(bench: &Bench) -> Vec<ImportReport> {
    let imports = bench.host().missing_imports().into_iter();
    imports
        .map(|import| ImportReport {
            importer: import.importer.into(),
            module: import.module.into(),
            name: import.name.into(),
        })
        .collect()
}

fn failure_points(bench: &Bench) -> FailurePointsReport {
    let FailureCounts {
        allocations,
        calls,
        connects,
    } = bench.kernel().failure_counts();
    FailurePointsReport {
        allocations,
        calls,
        connects,
    }
}

fn failed(bench: &Bench) -> Option<FailureReport> {
    let point = bench.kernel().config().fail?;
    let failure = bench.kernel().failure();
    let place = failure
        .as_ref()
        .map(|(_, place)| PlaceReport::new(place, bench.addresses()));
    Some(FailureReport {
        point: point.to_string(),
        what: failure.map(|(what, _)| what),
        place,
    })
}

fn early(bench: &Bench, outcome: &Outcome, findings: usize) -> String {
    match outcome {
        Outcome::BugCheck { bug_check, .. } => format!("the system stopped: {bug_check}"),
        Outcome::Finding if findings >= MOST_FINDINGS => {
            format!("{MOST_FINDINGS} findings are enough")
        }
        Outcome::Finding => "it cannot go on after what was found".into(),
        Outcome::Budget => {
            let steps = bench.kernel().config().max_steps;
            let used_up = format!("its {steps} steps are used up");
            match last_seen(bench) {
                Some(last) => format!("{used_up}, {last}"),
                None => used_up,
            }
        }
    }
}

/// Where a driver was when the run's steps were used up.
fn last_seen(bench: &Bench) -> Option<String> {
    let (place, _) = bench.kernel().busy_at_end()?;
    let place = PlaceReport::new(&place, bench.addresses());
    let level = place.irql_name();
    Some(format!("last in {} at {level}", place.code?))
}

/// The kernel's findings; a bug check is one, too.
fn findings(bench: &Bench, outcome: Option<&Outcome>) -> Vec<FindingReport> {
    let addresses = bench.addresses();
    let mut findings: Vec<FindingReport> = bench
        .findings()
        .iter()
        .map(|finding| FindingReport::new(finding, addresses))
        .collect();
    for one in bench.kernel().outlived() {
        let finding = findings.remove(one.finding);
        let finding = finding.stopped(&one.bug_check, &one.stack, addresses);
        findings.insert(one.finding, finding);
    }
    if let Some(Outcome::BugCheck { bug_check, place }) = outcome {
        let finding = Finding {
            rule: ids::BUG_CHECK,
            message: format!("the system stopped: {}", bug_check.in_full()),
            place: place.clone(),
            earlier: None,
        };
        let stack = bench.kernel().stack_at_end();
        findings
            .push(FindingReport::new(&finding, addresses).stopped(bug_check, &stack, addresses));
    }
    findings
}

fn driver(driver: &BenchDriver) -> DriverReport {
    let image = driver.loaded.as_ref().map(|loaded| loaded.image());
    DriverReport {
        name: image.map_or_else(|| driver.service.clone(), |image| image.name().into()),
        loaded: driver.started,
        refused: driver.refused.map(|status| status.to_string()),
        unloaded: driver.started && driver.object.is_none(),
    }
}

fn device_report(bench: &Bench, device: &BenchDevice) -> DeviceReport {
    let node = device
        .physical
        .and_then(|physical| bench.kernel().node(physical));
    let ids = crate::bench::hardware_ids_of(&device.spec);
    let own = ids.into_iter().next().unwrap_or_default();
    // The first of PCI has subsystem and revision in it, which nobody looks for.
    let known = node
        .map(|node| node.device_id().to_owned())
        .filter(|id| !id.starts_with(r"PCI\"));
    DeviceReport {
        name: device.spec.name.clone(),
        model: device.spec.model.clone(),
        hardware_id: known.unwrap_or(own),
        starts: device.starts.iter().map(resources).collect(),
    }
}

fn resources(assignment: &Assignment) -> Vec<ResourceReport> {
    let resource = |resource: &Resource| {
        Some(match resource {
            Resource::Port { base, length } => ResourceReport::Port {
                base: *base,
                length: *length,
            },
            Resource::Memory { base, length } => ResourceReport::Memory {
                base: *base,
                length: *length,
            },
            Resource::Interrupt(grant) => ResourceReport::Interrupt {
                message: grant.message,
                line: grant.line,
                count: grant.count() as u32,
                vector: grant.vector.0,
                irql: grant.irql.0,
                latched: grant.latched,
                shared: grant.shared,
            },
            Resource::Private(_) => return None,
        })
    };
    assignment.resources.iter().filter_map(resource).collect()
}

/// What each vector that was given to a device led to, and those of lines that a driver found by
/// itself.
fn interrupts(bench: &Bench, devices: &[BenchDevice]) -> Vec<InterruptReport> {
    let mut sources = BTreeMap::<u8, Vec<String>>::new();
    for device in devices {
        for (vector, source) in device
            .starts
            .iter()
            .flat_map(|start| sources_of(&device.spec.name, start))
        {
            let known = sources.entry(vector).or_default();
            if !known.contains(&source) {
                known.push(source);
            }
        }
    }
    let counted = bench.counters().vectors();
    for vector in counted.keys() {
        if let Some((line, device)) = bench.kernel().line_of_vector(Vector(*vector)) {
            sources.entry(*vector).or_insert_with(|| {
                let device = device.map(|device| bench.kernel().device_name(device) + " ");
                vec![format!("{}line {line}", device.unwrap_or_default())]
            });
        }
    }
    let report = |(vector, names): (u8, Vec<String>)| {
        let counts = counted.get(&vector).cloned().unwrap_or_default();
        InterruptReport {
            source: names.join(", "),
            vector,
            irql: vector >> 4,
            isr_calls: counts.isr_calls,
            claimed: counts.claimed,
            delivered: counts.delivered,
        }
    };
    sources.into_iter().map(report).collect()
}

fn sources_of(name: &str, assignment: &Assignment) -> Vec<(u8, String)> {
    let mut message = 0;
    let mut sources = Vec::new();
    for resource in &assignment.resources {
        let Resource::Interrupt(grant) = resource else {
            continue;
        };
        if !grant.message {
            sources.push((grant.vector.0, format!("{name} line {}", grant.line)));
            continue;
        }
        for offset in 0..grant.count() as u8 {
            sources.push((
                grant.vector.0.wrapping_add(offset),
                format!("{name} message {message}"),
            ));
            message += 1;
        }
    }
    sources
}
