//! A report as text for people.
//!
//! Styled with ANSI sequences throughout; whoever writes to something else than a terminal strips
//! them. Nothing is said by colour alone.

use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::excerpt::excerpt;
use super::{
    DeviceReport, FailureReport, FindingReport, FrameReport, ImportReport, InterruptReport,
    PlaceReport, Report, ResourceReport, StepReport, Verdict,
};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ADVICE: Style = AnsiColor::Cyan.on_default().bold();

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Only what is wrong.
    Quiet,
    /// What happened, as a summary.
    #[default]
    Summary,
    /// Everything that was counted.
    Everything,
}

/// Writes a report.
///
/// # Errors
/// The writer's.
pub fn write_report(out: &mut dyn Write, report: &Report, detail: Detail) -> io::Result<()> {
    if detail > Detail::Quiet {
        write_summary(out, report, detail)?;
    }
    for finding in &report.findings {
        write_finding(out, finding, detail)?;
        writeln!(out)?;
    }
    if detail > Detail::Quiet || report.verdict != Verdict::Clean {
        write_verdict(out, report)?;
    }
    Ok(())
}

fn write_summary(out: &mut dyn Write, report: &Report, detail: Detail) -> io::Result<()> {
    let processors = if report.processors == 1 {
        "processor"
    } else {
        "processors"
    };
    writeln!(
        out,
        "{BOLD}Windows {}, {} {processors}{BOLD:#}",
        report.windows, report.processors
    )?;
    match &report.scenario {
        Some(file) => writeln!(out, "  scenario {file}")?,
        None => writeln!(out, "  no scenario: every device once through its life")?,
    }
    for driver in &report.drivers {
        let life = match (driver.loaded, driver.unloaded, &driver.refused) {
            (false, _, Some(status)) => format!("DriverEntry returned {status}"),
            (false, _, None) if report.ended_early.is_some() => "DriverEntry did not return".into(),
            (false, _, None) => "not loaded".into(),
            (true, false, _) => "loaded".into(),
            (true, true, _) => "loaded, unloaded".into(),
        };
        writeln!(out, "  driver {}: {life}", driver.name)?;
        write_missing(out, report, &driver.name)?;
    }
    if let Some(failed) = &report.failed {
        write_failed(out, failed)?;
    }
    for device in &report.devices {
        write_device(out, device)?;
        write_refused(out, report, device)?;
    }
    write_steps(out, &report.steps, detail)?;
    write_interrupts(out, &report.interrupts, report.dpcs)?;
    if detail == Detail::Everything {
        write_prints(out, &report.prints)?;
        let points = report.failure_points;
        writeln!(
            out,
            "\nCould have been made to fail: allocations 1 to {}, calls 1 to {}, connects 1 to {}",
            points.allocations, points.calls, points.connects
        )?;
        write_calls(out, report)?;
    }
    writeln!(out)
}

/// The imports of a driver that nothing implements.
fn write_missing(out: &mut dyn Write, report: &Report, driver: &str) -> io::Result<()> {
    let own = |import: &&ImportReport| import.importer == driver;
    let missing: Vec<&ImportReport> = report.missing_imports.iter().filter(own).collect();
    if missing.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "    {} of its imports {} not implemented; calling one ends the run:",
        missing.len(),
        if missing.len() == 1 { "is" } else { "are" }
    )?;
    for import in missing {
        writeln!(out, "      {}!{}", import.module, import.name)?;
    }
    Ok(())
}

fn write_failed(out: &mut dyn Write, failed: &FailureReport) -> io::Result<()> {
    match failed.in_words() {
        Some(text) => writeln!(out, "  {text}"),
        None => writeln!(out, "  {}: the run has not come to it", failed.point),
    }
}

impl FailureReport {
    /// What was made to fail, and where, if the run has come to it.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        let what = self.what.as_ref()?;
        let code = self.place.as_ref().and_then(|place| place.code.as_ref());
        let at = code.map(|code| format!(" at {code}")).unwrap_or_default();
        Some(format!("{} was made to fail: {what}{at}", self.point))
    }
}

fn write_device(out: &mut dyn Write, device: &DeviceReport) -> io::Result<()> {
    writeln!(
        out,
        "  device {} ({}, {})",
        device.name, device.model, device.hardware_id
    )?;
    let mut before: Option<&Vec<ResourceReport>> = None;
    for start in &device.starts {
        if before == Some(start) {
            writeln!(out, "    started again with the same resources")?;
            continue;
        }
        let resources: Vec<String> = start.iter().map(resource).collect();
        let resources = if resources.is_empty() {
            "nothing".into()
        } else {
            resources.join("; ")
        };
        writeln!(out, "    started with {resources}")?;
        before = Some(start);
    }
    Ok(())
}

/// What to do about a driver that has refused a device which nobody has described.
fn write_refused(out: &mut dyn Write, report: &Report, device: &DeviceReport) -> io::Result<()> {
    let start = format!("start {}", device.name);
    let was_asked = report.steps.iter().any(|step| step.step == start);
    if device.model == "hostile" && device.starts.is_empty() && was_asked {
        writeln!(
            out,
            "    its registers read as they like, and the driver did not start it; --device MODEL plugs another in (`dirql models`), and a scenario can describe registers"
        )?;
    }
    Ok(())
}

fn resource(resource: &ResourceReport) -> String {
    match resource {
        ResourceReport::Port { base, length } => {
            format!(
                "ports {base:#x} to {:#x}",
                base.saturating_add(u64::from(*length)).saturating_sub(1)
            )
        }
        ResourceReport::Memory { base, length } => {
            format!(
                "memory {base:#x} to {:#x}",
                base.saturating_add(u64::from(*length)).saturating_sub(1)
            )
        }
        ResourceReport::Interrupt {
            message: true,
            count: 1,
            vector,
            irql,
            ..
        } => {
            format!("a message (vector {vector:#x}, DIRQL {irql})")
        }
        ResourceReport::Interrupt {
            message: true,
            count,
            vector,
            irql,
            ..
        } => {
            format!("{count} messages (vectors from {vector:#x}, DIRQL {irql})")
        }
        ResourceReport::Interrupt {
            line,
            vector,
            irql,
            latched,
            shared,
            ..
        } => {
            let mode = if *latched {
                "latched"
            } else {
                "level-sensitive"
            };
            let share = if *shared { "shared" } else { "exclusive" };
            format!("line {line} (vector {vector:#x}, DIRQL {irql}, {mode}, {share})")
        }
    }
}

fn write_steps(out: &mut dyn Write, steps: &[StepReport], detail: Detail) -> io::Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    let several = steps.iter().any(|step| step.thread > 0);
    let width = steps
        .iter()
        .map(|step| step.step.len())
        .max()
        .unwrap_or(0)
        .min(40);
    writeln!(out, "\n{BOLD}What was done{BOLD:#}")?;
    for step in steps {
        let thread = if several {
            format!("[{}] ", step.thread)
        } else {
            String::new()
        };
        let result = step.result.as_deref().unwrap_or("did not come to its end");
        // The number of a success is only noise.
        let result = if detail < Detail::Everything {
            result.replace(" (0x00000000)", "")
        } else {
            result.into()
        };
        let mark = if step.met { "" } else { "  <- not as expected" };
        writeln!(out, "  {thread}{:width$}  {result}{mark}", step.step)?;
    }
    Ok(())
}

fn write_interrupts(
    out: &mut dyn Write,
    interrupts: &[InterruptReport],
    dpcs: u64,
) -> io::Result<()> {
    if interrupts.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{BOLD}Interrupts{BOLD:#}")?;
    let header = [
        "source",
        "vector",
        "DIRQL",
        "taken",
        "on processor",
        "ISR calls",
        "claimed",
    ]
    .map(String::from);
    let mut rows = vec![header];
    for interrupt in interrupts {
        let taken: u64 = interrupt.delivered.values().sum();
        rows.push([
            interrupt.source.clone(),
            format!("{:#x}", interrupt.vector),
            interrupt.irql.to_string(),
            taken.to_string(),
            processors(interrupt),
            interrupt.isr_calls.to_string(),
            interrupt.claimed.to_string(),
        ]);
    }
    write_table(out, &rows)?;
    writeln!(out, "  DPC routines called: {dpcs}")
}

/// Which processors took an interrupt, with how often if there are several.
fn processors(interrupt: &InterruptReport) -> String {
    match interrupt.delivered.len() {
        0 => "-".into(),
        1 => interrupt
            .delivered
            .keys()
            .map(ToString::to_string)
            .collect(),
        _ => {
            let each = interrupt
                .delivered
                .iter()
                .map(|(processor, count)| format!("{processor}: {count}"));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}

fn write_table<const N: usize>(out: &mut dyn Write, rows: &[[String; N]]) -> io::Result<()> {
    for row in rows {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
            let _ = write!(line, " {cell:width$} ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn write_prints(out: &mut dyn Write, prints: &[String]) -> io::Result<()> {
    if prints.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{BOLD}Printed{BOLD:#}")?;
    prints.iter().try_for_each(|line| writeln!(out, "  {line}"))
}

fn write_calls(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(out, "\n{BOLD}Exports called{BOLD:#}")?;
    let width = report.ddi_calls.keys().map(String::len).max().unwrap_or(0);
    for (name, count) in &report.ddi_calls {
        writeln!(out, "  {name:width$}  {count}")?;
    }
    let (whole, tenth) = (report.time_100ns / 10, report.time_100ns % 10);
    writeln!(
        out,
        "\n{} steps, {whole}.{tenth} us of virtual time",
        report.step_count
    )
}

/// Writes one finding, with the lines of source that it names if they are at hand and it is not to
/// be brief.
///
/// # Errors
/// The writer's.
pub fn write_finding(
    out: &mut dyn Write,
    finding: &FindingReport,
    detail: Detail,
) -> io::Result<()> {
    let style = match finding.severity.as_str() {
        "advice" => ADVICE,
        "warning" => WARNING,
        _ => ERROR,
    };
    writeln!(
        out,
        "{style}{}[{}]{style:#}{BOLD}: {}{BOLD:#}",
        finding.severity, finding.rule, finding.headline
    )?;
    writeln!(out, "  {}", finding.message)?;
    write_place(out, "at", &finding.place)?;
    write_excerpt(out, &finding.place, detail)?;
    if let Some(earlier) = &finding.earlier {
        writeln!(out, "  earlier: {}", earlier.what)?;
        write_place(out, "at", &earlier.place)?;
        write_excerpt(out, &earlier.place, detail)?;
    }
    write_stack(out, &finding.stack)?;
    if !finding.help.is_empty() {
        writeln!(out, "  {BOLD}help:{BOLD:#} {}", finding.help)?;
    }
    if !finding.windows.is_empty() {
        writeln!(out, "  {DIM}on Windows: {}{DIM:#}", finding.windows)?;
    }
    Ok(())
}

/// The line of source at a place.
fn write_excerpt(out: &mut dyn Write, place: &PlaceReport, detail: Detail) -> io::Result<()> {
    if detail == Detail::Quiet {
        return Ok(());
    }
    let excerpt = place
        .source_line()
        .and_then(|(file, line)| excerpt(file, line));
    for line in excerpt.iter().flat_map(|text| text.lines()) {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}

/// The functions that were being executed.
fn write_stack(out: &mut dyn Write, stack: &[FrameReport]) -> io::Result<()> {
    // One frame is the place itself.
    if stack.len() < 2 {
        return Ok(());
    }
    writeln!(out, "  stack:")?;
    for frame in stack {
        if frame.interrupted {
            writeln!(out, "    which interrupted")?;
        }
        writeln!(out, "    {}", frame.code)?;
    }
    Ok(())
}

fn write_place(out: &mut dyn Write, word: &str, place: &PlaceReport) -> io::Result<()> {
    let mut text = String::new();
    match (&place.code, &place.ddi) {
        (Some(code), Some(ddi)) => {
            let _ = write!(text, "{code}, calling {ddi}");
        }
        (Some(code), None) => text.push_str(code),
        (None, Some(ddi)) => {
            let _ = write!(text, "a call of {ddi}");
        }
        (None, None) => {}
    }
    if !text.is_empty() {
        writeln!(out, "    {word} {text}")?;
    }
    let PlaceReport {
        step,
        processor,
        context,
        ..
    } = place;
    writeln!(
        out,
        "       step {step}, processor {processor}, {}, {context}",
        place.irql_name()
    )
}

fn write_verdict(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let (defects, advice) = report.counts();
    if report.outlived > 0 {
        let stops = plural(report.outlived as usize, "bug check", "bug checks");
        writeln!(
            out,
            "the run went on after {stops}; what was found after the first may come of it"
        )?;
    }
    if let Some(early) = &report.ended_early {
        writeln!(out, "the run ended early: {early}")?;
    }
    let advice = match advice {
        0 => String::new(),
        count => format!(
            " ({})",
            plural(count, "piece of advice", "pieces of advice")
        ),
    };
    match report.verdict {
        Verdict::Clean => writeln!(out, "{GOOD}clean{GOOD:#}: nothing was found{advice}")?,
        Verdict::Findings => {
            let defects = plural(defects, "finding", "findings");
            writeln!(out, "{ERROR}{defects}{ERROR:#}{advice}")?;
        }
        Verdict::NoVerdict => writeln!(
            out,
            "{WARNING}no verdict{WARNING:#}: the run was not long enough{advice}"
        )?,
    }
    if report.verdict != Verdict::Clean && !report.replay.is_empty() {
        writeln!(out, "again: {}", report.replay)?;
    }
    Ok(())
}

fn plural(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}
