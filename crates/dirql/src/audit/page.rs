//! The page with which an audit ends.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{AuditFinding, AuditReport, GroupReport};
use crate::coverage::write_summary;
use crate::report::{Detail, Verdict, write_finding};

const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const UNSURE: Style = AnsiColor::Yellow.on_default().bold();

/// Writes the page.
///
/// # Errors
/// The writer's.
pub fn write_page(out: &mut dyn Write, report: &AuditReport, detail: Detail) -> io::Result<()> {
    if detail > Detail::Quiet {
        write_head(out, report)?;
        write_groups(out, &report.groups)?;
        for note in &report.notes {
            writeln!(out, "  note: {note}")?;
        }
        if !report.coverage.is_empty() {
            writeln!(out)?;
            write_summary(out, &report.coverage, detail == Detail::Everything)?;
        }
        writeln!(out)?;
    }
    for found in &report.findings {
        write_found(out, found, detail)?;
    }
    if detail > Detail::Quiet || report.verdict != Verdict::Clean {
        write_verdict(out, report)?;
    }
    Ok(())
}

fn write_head(out: &mut dyn Write, report: &AuditReport) -> io::Result<()> {
    writeln!(
        out,
        "{BOLD}Audit of {}{BOLD:#}, Windows {}",
        report.driver, report.windows
    )?;
    match &report.scenario {
        Some(file) => writeln!(out, "  scenario {file}, and every device through its life")?,
        None => writeln!(out, "  no scenario: every device through its life")?,
    }
    for device in &report.devices {
        writeln!(out, "  device {device}")?;
    }
    writeln!(out)
}

fn write_groups(out: &mut dyn Write, groups: &[GroupReport]) -> io::Result<()> {
    let width = groups
        .iter()
        .map(|group| group.title.len())
        .max()
        .unwrap_or(0);
    writeln!(
        out,
        "{BOLD}{:width$}  {:>8}  of{BOLD:#}",
        "What was tried", "runs"
    )?;
    for group in groups {
        let of = match group.of {
            Some(of) if of == group.tried => "all".into(),
            Some(of) => of.to_string(),
            None => String::new(),
        };
        let mut more = Vec::new();
        if group.findings > 0 {
            let findings = if group.findings == 1 {
                "finding"
            } else {
                "findings"
            };
            more.push(format!("{} {findings}", group.findings));
        }
        if group.no_verdict > 0 {
            more.push(format!("{} not long enough", group.no_verdict));
        }
        let line = format!(
            "{:width$}  {:>8}  {of:8}  {}",
            group.title,
            group.runs,
            more.join(", ")
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Switches of an order that are shown: one that was not shrunk has hundreds.
const SWITCHES: usize = 8;

fn write_found(out: &mut dyn Write, found: &AuditFinding, detail: Detail) -> io::Result<()> {
    write_finding(out, &found.finding, detail)?;
    let shown = match detail {
        Detail::Everything => found.switches.len(),
        _ => SWITCHES,
    };
    if let Some(failed) = &found.failed {
        writeln!(out, "  {failed}")?;
    }
    for switch in found.switches.iter().take(shown) {
        writeln!(out, "  {switch}")?;
    }
    if found.switches.len() > shown {
        let more = found.switches.len() - shown;
        writeln!(out, "  and {more} more, which -v shows")?;
    }
    writeln!(out, "  seen {} in: {}", times(found.seen), found.group)?;
    writeln!(out, "  again: {}\n", found.replay)
}

fn times(count: u64) -> String {
    match count {
        1 => "once".into(),
        count => format!("{count} times, first"),
    }
}

fn write_verdict(out: &mut dyn Write, report: &AuditReport) -> io::Result<()> {
    let runs = report.runs;
    match report.verdict {
        Verdict::Clean => writeln!(out, "{GOOD}clean{GOOD:#}: {runs} runs, no finding"),
        Verdict::Findings => {
            let count = report.findings.len();
            let findings = if count == 1 { "finding" } else { "findings" };
            writeln!(out, "{BAD}{count} {findings}{BAD:#} in {runs} runs")
        }
        Verdict::NoVerdict => {
            writeln!(
                out,
                "{UNSURE}no verdict{UNSURE:#}: {runs} runs, no finding, and some were not long enough"
            )
        }
    }
}
