//! The result of a search as a page.

use dirql::report::{
    SearchFinding, SearchResult, add_run, page_finding, page_outcome, page_run, page_verdict,
};
use dirql::{Plan, Schedule};
use dirql_trace::page::{Page, Table};

use super::super::Failure;
use super::super::pictures::filmed;

/// Findings whose runs are put on the page; the others have their commands.
const MOST_RUNS: usize = 50;

/// Seconds of CPU time that one run may take.
const RUN_SECONDS: u32 = 60;

/// The page without timelines.
pub(crate) fn page(result: &SearchResult) -> Page {
    let mut facts = Vec::new();
    let mut fact = |name: &str, text: String| facts.push((name.to_owned(), text));
    fact("Strategy", result.strategy.clone());
    fact("Granularity", result.granularity.clone());
    fact("Processors", result.processors.to_string());
    if result.shards.0 > 1 {
        let shards: Vec<String> = result.shards.1.iter().map(ToString::to_string).collect();
        fact(
            "Shards",
            format!("{} of {}", shards.join(", "), result.shards.0),
        );
    }
    let coverage = Table {
        title: "Coverage".into(),
        head: ["what", "how many"].map(Into::into).into(),
        rows: [
            ("interleavings tried", result.tried.runs.to_string()),
            (
                "repeated what others had done",
                result.tried.redundant.to_string(),
            ),
            ("not long enough", result.tried.no_verdict.to_string()),
            (
                "left, at least",
                if result.tried.complete {
                    0
                } else {
                    result.tried.left
                }
                .to_string(),
            ),
            (
                "everything was tried",
                if result.tried.complete { "yes" } else { "no" }.into(),
            ),
        ]
        .map(|(what, count)| vec![what.into(), count])
        .into(),
    };
    let finding = |found: &SearchFinding| {
        let needs = match found.switches {
            0 => "Needs no switch: it happens by itself.".into(),
            1 => "Needs 1 switch.".into(),
            switches => format!("Needs {switches} switches."),
        };
        page_finding(&found.finding, &needs, &found.replay)
    };
    Page {
        title: result.driver.clone(),
        verdict: page_verdict(result.verdict, result.discoveries.len()),
        outcome: page_outcome(result.verdict).into(),
        facts,
        tables: vec![coverage],
        findings: result.discoveries.iter().map(finding).collect(),
        runs: Vec::new(),
    }
}

/// The page with the run of each finding.
///
/// # Errors
/// There is no room for a run's events.
pub(super) fn with_timelines(result: &SearchResult, plan: &Plan) -> Result<Page, Failure> {
    let mut page = page(result);
    for (number, found) in result.discoveries.iter().enumerate().take(MOST_RUNS) {
        let Ok(schedule) = found.schedule.parse::<Schedule>() else {
            continue;
        };
        // A run that destroyed its process has no picture; its command is on the page.
        let play = |sink| plan.replay(&schedule, None, sink).ok();
        if let Some((report, timeline)) = filmed(plan.scenario(), RUN_SECONDS, play)? {
            let name = format!("{}: {}", found.finding.rule, found.finding.message);
            let run = page_run(&name, &found.replay, &report, timeline);
            add_run(&mut page, number..number + 1, run);
        }
    }
    Ok(page)
}
