//! `dirql report`

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use dirql::report::{Report, SCHEMA, SEARCH_SCHEMA, add_run, page, page_mark, page_run};
use dirql_trace::page::{Page, Run};
use dirql_trace::{Timeline, Trace, staircase};
use serde::Deserialize;

use super::args::Report as Args;
use super::output::Output;
use super::pictures::{WIDTH, add_sources, write_page};
use super::{Exit, Failure, explore};

/// What every JSON file of ours begins with.
#[derive(Deserialize)]
struct Head {
    schema: String,
}

pub(crate) fn report(args: &Args, out: &mut Output) -> Result<Exit, Failure> {
    let mut whole: Option<Page> = None;
    let mut reports: Vec<Report> = Vec::new();
    let mut traces = Vec::new();
    for file in &args.files {
        if file.extension().is_some_and(|ending| ending == "jsonl") {
            traces.push((file, read_trace(file)?));
            continue;
        }
        let part = match schema(file)?.as_str() {
            SCHEMA => {
                let report: Report = parse(file)?;
                let mut part = page(&report, Timeline::default());
                // The trace brings the run.
                part.runs.clear();
                reports.push(report);
                part
            }
            SEARCH_SCHEMA => explore::page(&explore::read(file)?),
            other => {
                let message = format!("{}: its form is {other}", file.display());
                return Err(Failure::usage(message).help(WANTED));
            }
        };
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => join(whole, part),
        }
    }
    let names = args.files.iter().map(|file| file_name(file));
    let mut whole = whole.unwrap_or_else(|| Page {
        title: names.collect::<Vec<_>>().join(", "),
        ..Page::default()
    });
    for (number, (file, trace)) in traces.iter().enumerate() {
        if args.timeline {
            staircase::draw_trace(out.results(), trace, WIDTH)?;
        }
        let mut timeline = Timeline::of_trace(trace);
        add_sources(&mut timeline, &directories(args, file));
        let run = match reports.get(number) {
            Some(report) => page_run(&file_name(file), &report.replay, report, timeline),
            None => Run {
                name: file_name(file),
                timeline,
                ..Run::default()
            },
        };
        add_trace(&mut whole, run);
    }
    if whole.verdict.is_empty() {
        (whole.verdict, whole.outcome) = match whole.findings.len() {
            0 => ("no finding".into(), "clean".into()),
            1 => ("1 finding".into(), "findings".into()),
            several => (format!("{several} findings"), "findings".into()),
        };
    }
    let output = match &args.output {
        Some(output) => output.clone(),
        None => args.files[0].with_extension("html"),
    };
    write_page(&whole, &output)?;
    out.note(&format!("wrote {}", output.display()));
    Ok(Exit::Clean)
}

const WANTED: &str =
    "give traces of `--trace FILE.jsonl`, and reports or results of `--output FILE.json`";

fn read_trace(file: &Path) -> Result<Trace, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {error}", file.display())).help(WANTED)
    };
    let input = File::open(file).map_err(|error| wrong(&error))?;
    dirql_trace::read(BufReader::new(input)).map_err(|error| wrong(&error))
}

fn schema(file: &Path) -> Result<String, Failure> {
    parse(file).map(|head: Head| head.schema)
}

fn parse<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<T, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {error}", file.display())).help(WANTED)
    };
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    serde_json::from_slice(&text).map_err(|error| wrong(&error))
}

fn file_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Adds the facts and findings of another file.
fn join(whole: &mut Page, part: Page) {
    whole.title = format!("{}, {}", whole.title, part.title);
    whole.facts.extend(part.facts);
    whole.tables.extend(part.tables);
    whole.findings.extend(part.findings);
    whole.verdict = match whole.findings.len() {
        1 => "1 finding".into(),
        several => format!("{several} findings"),
    };
    if part.outcome == "findings" || whole.outcome == "clean" {
        whole.outcome = part.outcome;
    }
}

/// Adds a run, with the findings in it that no report has brought.
fn add_trace(whole: &mut Page, run: Run) {
    for mark in run.timeline.findings() {
        let is_known = whole.findings.iter().any(|finding| {
            finding.run.is_none() && finding.rule == mark.rule && finding.message == mark.message
        });
        if !is_known {
            whole.findings.push(page_mark(mark));
        }
    }
    let all = 0..whole.findings.len();
    add_run(whole, all, run);
}

/// Where sources may be: where one said, beside the trace, and where we are.
fn directories(args: &Args, trace: &Path) -> Vec<PathBuf> {
    let beside = trace.parent().unwrap_or(Path::new("")).to_owned();
    let mut all = args.source.clone();
    all.extend([beside, PathBuf::new()]);
    all
}
