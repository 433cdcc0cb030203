//! A report as a page with its timeline.

use dirql_rules::{RULES, Severity};
use dirql_trace::page::{Finding, Page, Run, Table};
use dirql_trace::{Mark, Timeline};

use super::finding::severity;
use super::{FindingReport, PlaceReport, Report, Verdict};

/// Exports that are listed, those that were called most.
const MOST_EXPORTS: usize = 20;

/// The page of one run: what was done, what was found, and the run's timeline.
#[must_use]
pub fn page(report: &Report, timeline: Timeline) -> Page {
    let mut page = Page {
        title: title(report),
        verdict: page_verdict(report.verdict, report.findings.len()),
        outcome: page_outcome(report.verdict).into(),
        facts: facts(report),
        tables: vec![steps(report), interrupts(report), exports(report)],
        findings: Vec::new(),
        runs: Vec::new(),
    };
    page.tables.retain(|table| !table.rows.is_empty());
    let findings = report.findings.iter();
    page.findings = findings
        .map(|finding| page_finding(finding, "", &report.replay))
        .collect();
    let run = page_run("the run", &report.replay, report, timeline);
    add_run(&mut page, 0..report.findings.len(), run);
    page
}

/// Adds a run to a page, and ties to it the findings among `of` that it shows.
pub fn add_run(page: &mut Page, of: std::ops::Range<usize>, run: Run) {
    let number = page.runs.len();
    let mut taken = vec![false; run.timeline.findings().len()];
    for finding in page.findings.get_mut(of).into_iter().flatten() {
        let marks = run.timeline.findings().iter().enumerate();
        let mark = marks
            .filter(|(place, _)| !taken[*place])
            .find(|(_, mark)| mark.rule == finding.rule && mark.message == finding.message);
        if let Some((place, _)) = mark {
            taken[place] = true;
            finding.run = Some((number, place));
        }
    }
    page.runs.push(run);
}

/// A run as a page shows it, with the names of what interrupts in it.
#[must_use]
pub fn page_run(name: &str, replay: &str, report: &Report, timeline: Timeline) -> Run {
    Run {
        name: name.into(),
        replay: replay.into(),
        sources: sources(report),
        timeline: timeline.with_processors(report.processors),
    }
}

/// A finding as a page tells it. `needs` is a sentence about what it takes, for example how many
/// switches.
#[must_use]
pub fn page_finding(finding: &FindingReport, needs: &str, replay: &str) -> Finding {
    Finding {
        rule: finding.rule.clone(),
        severity: finding.severity.clone(),
        headline: finding.headline.clone(),
        message: finding.message.clone(),
        place: place(&finding.place),
        earlier: finding
            .earlier
            .as_ref()
            .map(|earlier| (earlier.what.clone(), place(&earlier.place))),
        help: finding.help.clone(),
        source: finding.source.clone(),
        windows: finding.windows.clone(),
        needs: needs.into(),
        replay: replay.into(),
        run: None,
    }
}

/// A finding of which a trace alone is known: its places are in the picture.
#[must_use]
pub fn page_mark(mark: &Mark) -> Finding {
    let rule = RULES.iter().find(|rule| rule.id.to_string() == mark.rule);
    let text = |text: Option<&'static str>| text.unwrap_or_default().to_owned();
    Finding {
        rule: mark.rule.clone(),
        severity: severity(rule.map_or(Severity::Error, |rule| rule.severity)).into(),
        headline: text(rule.map(|rule| rule.headline)),
        message: mark.message.clone(),
        earlier: mark.earlier.clone().map(|(_, what)| (what, String::new())),
        help: text(rule.map(|rule| rule.help)),
        source: text(rule.map(|rule| rule.source)),
        windows: text(rule.map(|rule| rule.windows)),
        ..Finding::default()
    }
}

/// A place in one line.
fn place(place: &PlaceReport) -> String {
    let mut text = place.code.clone().unwrap_or_default();
    if let Some(ddi) = &place.ddi {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str("calling ");
        text.push_str(ddi);
    }
    if !text.is_empty() {
        text.push_str(" · ");
    }
    text.push_str(&format!(
        "step {}, processor {}, {}, {}",
        place.step,
        place.processor,
        place.irql_name(),
        place.context
    ));
    text
}

/// How a page says a verdict.
#[must_use]
pub fn page_verdict(verdict: Verdict, findings: usize) -> String {
    match verdict {
        Verdict::Clean => "clean".into(),
        Verdict::NoVerdict => "no verdict".into(),
        Verdict::Findings if findings == 1 => "1 finding".into(),
        Verdict::Findings => format!("{findings} findings"),
    }
}

/// How a page calls a verdict.
#[must_use]
pub const fn page_outcome(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "clean",
        Verdict::Findings => "findings",
        Verdict::NoVerdict => "no_verdict",
    }
}

fn title(report: &Report) -> String {
    let names: Vec<&str> = report
        .drivers
        .iter()
        .map(|driver| driver.name.as_str())
        .collect();
    if names.is_empty() {
        "a run".into()
    } else {
        names.join(", ")
    }
}

fn facts(report: &Report) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, text: String| facts.push((name.to_owned(), text));
    fact("Windows", report.windows.clone());
    fact("Processors", report.processors.to_string());
    if let Some(scenario) = &report.scenario {
        fact("Scenario", scenario.clone());
    }
    for device in &report.devices {
        let text = format!("{} ({}, {})", device.name, device.model, device.hardware_id);
        fact("Device", text);
    }
    fact("Steps", report.step_count.to_string());
    let (whole, tenth) = (report.time_100ns / 10, report.time_100ns % 10);
    fact("Virtual time", format!("{whole}.{tenth} µs"));
    fact("DPC routines called", report.dpcs.to_string());
    if let Some(early) = &report.ended_early {
        fact("Ended early", early.clone());
    }
    if !report.replay.is_empty() {
        fact("Again", report.replay.clone());
    }
    facts
}

fn steps(report: &Report) -> Table {
    let row = |step: &super::StepReport| {
        let result = step.result.clone().unwrap_or_else(|| "did not end".into());
        let met = if step.met { "" } else { "not as expected" };
        vec![
            step.thread.to_string(),
            step.step.clone(),
            result,
            met.into(),
        ]
    };
    table(
        "What was done",
        &["thread", "step", "result", ""],
        report.steps.iter().map(row),
    )
}

fn interrupts(report: &Report) -> Table {
    let row = |interrupt: &super::InterruptReport| {
        let taken: u64 = interrupt.delivered.values().sum();
        vec![
            interrupt.source.clone(),
            format!("{:#x}", interrupt.vector),
            interrupt.irql.to_string(),
            taken.to_string(),
            interrupt.isr_calls.to_string(),
            interrupt.claimed.to_string(),
        ]
    };
    table(
        "Interrupts",
        &["source", "vector", "DIRQL", "taken", "ISR calls", "claimed"],
        report.interrupts.iter().map(row),
    )
}

fn exports(report: &Report) -> Table {
    let mut calls: Vec<(&String, &u64)> = report.ddi_calls.iter().collect();
    // The sort is stable: those called as often stay in the order of the alphabet.
    calls.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    calls.truncate(MOST_EXPORTS);
    let rows = calls
        .into_iter()
        .map(|(name, count)| vec![name.clone(), count.to_string()]);
    table("Routines called most", &["routine", "calls"], rows)
}

fn table(title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    Table {
        title: title.into(),
        head: head.iter().map(ToString::to_string).collect(),
        rows: rows.collect(),
    }
}

/// What interrupts by its line and vector.
fn sources(report: &Report) -> Vec<(String, u32, String)> {
    let mut sources = Vec::new();
    for interrupt in &report.interrupts {
        let vector = u32::from(interrupt.vector);
        sources.push(("vector".into(), vector, interrupt.source.clone()));
        for source in interrupt.source.split(", ") {
            if let Some((_, number)) = source.rsplit_once(" line ")
                && let Ok(line) = number.parse()
            {
                sources.push(("line".into(), line, source.into()));
            }
        }
    }
    sources.sort();
    sources.dedup();
    sources
}
