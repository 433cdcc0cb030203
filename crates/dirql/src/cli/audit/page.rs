//! The page of an audit: what was tried and how much of it, what of the driver ran, and what was
//! found, each finding in a run that shows it.

use dirql::audit::{Audit, AuditFinding, AuditReport, GroupReport, Trial};
use dirql::coverage::CoverageSummary;
use dirql::report::{add_run, page_finding, page_outcome, page_run, page_verdict};
use dirql_trace::page::{Page, Table};

use super::super::Failure;
use super::super::pictures::filmed;

/// Findings whose runs are put on the page; the others have their commands.
const MOST_RUNS: usize = 50;

/// Seconds of CPU time that one run may take.
const RUN_SECONDS: u32 = 60;

/// The page with the run of each finding.
///
/// # Errors
/// There is no room for a run's events.
pub(super) fn with_timelines(report: &AuditReport, audit: &Audit) -> Result<Page, Failure> {
    let mut page = page(report);
    for (number, found) in report.findings.iter().enumerate().take(MOST_RUNS) {
        let Ok(trial) = found.trial.parse::<Trial>() else {
            continue;
        };
        let play = |sink| audit.play(&trial, None, sink).ok();
        // A run that destroyed its process has no picture; its command is on the page.
        if let Some((run, timeline)) = filmed(audit.scenario(), RUN_SECONDS, play)? {
            let name = format!("{}: {}", found.finding.rule, found.finding.message);
            let run = page_run(&name, &found.replay, &run, timeline);
            add_run(&mut page, number..number + 1, run);
        }
    }
    Ok(page)
}

/// The page without timelines.
fn page(report: &AuditReport) -> Page {
    let mut tables = vec![tried(&report.groups)];
    tables.extend(report.coverage.iter().filter_map(missing));
    Page {
        title: report.driver.clone(),
        verdict: page_verdict(report.verdict, report.findings.len()),
        outcome: page_outcome(report.verdict).into(),
        facts: facts(report),
        tables,
        findings: report.findings.iter().map(finding).collect(),
        runs: Vec::new(),
    }
}

fn facts(report: &AuditReport) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, text: String| facts.push((name.to_owned(), text));
    fact("Runs", report.runs.to_string());
    for summary in &report.coverage {
        let of = format!("{} of {} basic blocks", summary.ran, summary.blocks);
        fact("Covered", format!("{of} of {}", summary.driver));
    }
    fact("Windows", report.windows.clone());
    if let Some(scenario) = &report.scenario {
        fact("Scenario", scenario.clone());
    }
    for device in &report.devices {
        fact("Device", device.clone());
    }
    for note in &report.notes {
        fact("Note", note.clone());
    }
    facts
}

fn tried(groups: &[GroupReport]) -> Table {
    let row = |group: &GroupReport| {
        let of = match group.of {
            Some(of) if of == group.tried => "all".into(),
            Some(of) => of.to_string(),
            None => String::new(),
        };
        let count = |count: u64| match count {
            0 => String::new(),
            count => count.to_string(),
        };
        vec![
            group.title.clone(),
            group.runs.to_string(),
            of,
            count(group.findings),
            count(group.no_verdict),
        ]
    };
    let mut table = Table {
        title: "What was tried".into(),
        head: ["what", "runs", "of", "findings", "not long enough"]
            .map(Into::into)
            .into(),
        rows: groups.iter().map(row).collect(),
    };
    // Nobody wants to read columns without anything in them.
    for column in [4, 3] {
        if table.rows.iter().all(|row| row[column].is_empty()) {
            table.head.remove(column);
            for row in &mut table.rows {
                row.remove(column);
            }
        }
    }
    table
}

/// What of a driver has never run; `None` if everything has.
fn missing(summary: &CoverageSummary) -> Option<Table> {
    let rows: Vec<Vec<String>> = summary
        .missing
        .iter()
        .map(|missing| vec![missing.function.clone(), missing.what.clone()])
        .collect();
    (!rows.is_empty()).then(|| Table {
        title: format!("What of {} never ran", summary.driver),
        head: ["function", "blocks"].map(Into::into).into(),
        rows,
    })
}

fn finding(found: &AuditFinding) -> dirql_trace::page::Finding {
    let times = match found.seen {
        1 => "once".into(),
        seen => format!("{seen} times, first"),
    };
    let mut needs = format!("Seen {times} in: {}.", found.group);
    if let Some(failed) = &found.failed {
        needs.push_str(&format!(" {failed}."));
    }
    if !found.switches.is_empty() {
        needs.push_str(&format!(
            " Where the order differs: {}.",
            found.switches.join("; ")
        ));
    }
    page_finding(&found.finding, &needs, &found.replay)
}
