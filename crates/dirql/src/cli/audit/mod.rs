//! `dirql audit`

mod page;
mod supervisor;

use std::io::Write;
use std::time::Duration;

use dirql::audit::{
    self, Audit, AuditReport, Effort, Facts, Group, GroupReport, RunFacts, SCHEMA, Trial,
    TrialResult,
};
use dirql::coverage::CodeCoverage;
use dirql::report::{FindingReport, Found, Results, Verdict};
use dirql::{ReplayError, WindowsVersion};

use super::args::{self, Budget, ReportFormat};
use super::isolate::Channel;
use super::output::Output;
use super::played::{played, teller};
use super::{Exit, Failure, coverage, pictures, run, subject};

use supervisor::{Ended, Supervisor};

pub(crate) use supervisor::AuditMessage;

/// The longest that `--quick` may take. It is less than what is promised, because a run that has
/// begun is ended, and what was found is played again.
const QUICK_TIME: Duration = Duration::from_secs(7);

/// The longest that an audit takes if nobody says how much is to be tried.
const USUAL_TIME: Duration = Duration::from_secs(75);

pub(crate) fn audit(args: &args::Audit, out: &mut Output) -> Result<Exit, Failure> {
    let (mut scenario, used) = subject::scenario(&args.subject, out.is_styled())?;
    let is_given = scenario.devices.is_empty() && scenario.threads.is_empty();
    if is_given {
        audit::give_device(&mut scenario);
    }
    let windows = subject::windows(&args.subject, &scenario);
    let of = |scenario| {
        let subject = &args.subject;
        let (processors, windows_wanted) = (subject.processors, subject.windows);
        Audit::new(scenario, processors, windows_wanted, subject.max_steps)
            .map(|audit| audit.judged(subject::levels(subject)))
            .map_err(|error| subject::failure(&error, windows))
    };
    let mut audit = of(scenario)?;
    if is_given && !starts(&audit, windows, out)? {
        let mut scenario = audit.scenario().clone();
        audit::give_lines(&mut scenario);
        let with_lines = of(scenario)?;
        if starts(&with_lines, windows, out)? {
            audit = with_lines;
        }
    }
    let again = subject::command(&["audit"], &args.subject, used.as_deref());
    let survey = match args.trial {
        // Nobody is told of it but files.
        Some(_) => coverage::wanted(&args.coverage, audit.drivers())?,
        None if args.no_coverage => None,
        None => Some(coverage::survey(audit.drivers())?),
    };
    let audit = match &survey {
        Some(survey) => audit.covered(survey.footprints()),
        None => audit,
    };
    if let Some(trial) = &args.trial {
        let exit = play(args, &audit, trial, windows, &again, out)?;
        if let Some(survey) = survey {
            coverage::write(&survey.report(), &args.coverage, audit.scenario(), out)?;
        }
        return Ok(exit);
    }
    let mut report = all(args, &audit, windows, out)?;
    for found in &mut report.findings {
        found.replay = format!("{again} --trial {}", found.trial);
    }
    let covered = survey.map(|survey| survey.report());
    report.coverage = covered.iter().flat_map(CodeCoverage::summaries).collect();
    write(&report, args, out)?;
    if let Some(covered) = covered {
        coverage::write(&covered, &args.coverage, audit.scenario(), out)?;
    }
    if let Some(file) = &args.report {
        pictures::write_page(&page::with_timelines(&report, &audit)?, file)?;
        out.note(&format!("wrote {}", file.display()));
    }
    Ok(match report.verdict {
        Verdict::Clean => Exit::Clean,
        Verdict::Findings => Exit::Findings,
        Verdict::NoVerdict => Exit::NoVerdict,
    })
}

/// Whether the devices start that nobody has described.
fn starts(audit: &Audit, windows: WindowsVersion, out: &mut Output) -> Result<bool, Failure> {
    let (facts, _) = Supervisor::new(audit, 1, None).first(&Trial::life(), windows, out)?;
    Ok(facts.is_none_or(|facts| facts.never_started.is_empty()))
}

/// Plays one trial, and says what `run` would say of it.
fn play(
    args: &args::Audit,
    audit: &Audit,
    trial: &Trial,
    windows: WindowsVersion,
    again: &str,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let windows = trial.windows.unwrap_or(windows);
    let run = args::Run::of_audit(args);
    let play = |sink, channel: &mut Channel| {
        audit
            .play(trial, Some(teller(channel)), sink)
            .map_err(|error| failure(&error, windows))
    };
    let (ending, pictures) = played(&run, audit.scenario(), play, out)?;
    let replay = format!("{again} --trial {trial}");
    run::conclude(&run, audit.scenario(), ending, replay, &pictures, out)
}

fn failure(error: &ReplayError, windows: WindowsVersion) -> Failure {
    match error {
        ReplayError::Bench(error) => subject::failure(error, windows),
        error => Failure::usage(error.to_string()),
    }
}

/// The whole battery.
fn all(
    args: &args::Audit,
    audit: &Audit,
    windows: WindowsVersion,
    out: &mut Output,
) -> Result<AuditReport, Failure> {
    let scenario = audit.scenario();
    let devices = scenario.devices.iter();
    let mut report = AuditReport {
        schema: SCHEMA.into(),
        verdict: Verdict::NoVerdict,
        driver: args.subject.driver.display().to_string(),
        scenario: Some(scenario.file.clone()).filter(|_| audit.has_threads()),
        windows: windows.to_string(),
        devices: devices
            .map(|device| format!("{} ({})", device.name, device.model))
            .collect(),
        groups: Vec::new(),
        findings: Vec::new(),
        coverage: Vec::new(),
        notes: Vec::new(),
        runs: 0,
    };
    let time = match args.budget {
        Some(Budget::Time(time)) => Some(time),
        Some(Budget::Runs(_)) => None,
        None if args.quick => Some(QUICK_TIME),
        None if args.deep => None,
        None => Some(USUAL_TIME),
    };
    let supervisor = Supervisor::new(audit, args.jobs, time);
    let mut effort = effort(args);
    let facts = as_it_is(&supervisor, windows, effort.hunted, &mut report, out)?;
    let processors = scenario.machine.processors.unwrap_or(1);
    effort.first_seed = args.seed;
    let groups = audit::battery(&facts, windows, processors, effort);
    let known = facts.scenario.iter().chain(&facts.life);
    if let Some(longest) = known.map(|facts| facts.steps).max()
        && longest > effort.hunted
    {
        report.notes.push(format!(
            "a run has {longest} steps; without --deep, orders of runs with more than {most} have one switch at most, and their accesses to memory are looked at in the first {most}",
            most = effort.hunted
        ));
    }
    report.notes.extend(never_started(&facts));
    let ends = supervisor.all(&groups, out)?;
    for (group, ends) in groups.iter().zip(ends) {
        report_group(&mut report, group, ends);
    }
    if let (true, Some(time), None) = (supervisor.is_over(), time, args.budget) {
        report.notes.push(format!(
            "there was no time for everything in {} s; --budget {} gives twice that",
            time.as_secs(),
            time.as_secs() * 2,
        ));
    }
    report.judge();
    let trials: Vec<Trial> = report
        .findings
        .iter()
        .map(|found| found.trial.parse().unwrap_or_default())
        .collect();
    let told = supervisor.explain(&trials)?;
    for (found, told) in report.findings.iter_mut().zip(told) {
        found.failed = told.failed;
        found.switches = told.switches;
    }
    Ok(report)
}

/// What a reader must know who thinks that a device was tried.
fn never_started(facts: &Facts) -> impl Iterator<Item = String> {
    let facts = facts.scenario.as_ref().or(facts.life.as_ref());
    let devices = facts.into_iter().flat_map(|facts| &facts.never_started);
    devices.map(|(device, answer)| {
        format!(
            "{device} never started, so most of the driver was not tried: {answer}; --device MODEL plugs another in (`dirql models`), and a scenario can describe registers"
        )
    })
}

fn effort(args: &args::Audit) -> Effort {
    match args.budget {
        Some(Budget::Runs(runs)) => Effort::of_runs(runs),
        _ if args.quick => Effort::QUICK,
        _ if args.deep => Effort::DEEP,
        _ => Effort::USUAL,
    }
}

/// The scenario as it is, and lives: what everything else starts from. A life of more than `most`
/// steps has a brief one take its place in what follows, one that a request stops one without it.
fn as_it_is(
    supervisor: &Supervisor<'_>,
    windows: WindowsVersion,
    most: u64,
    report: &mut AuditReport,
    out: &mut Output,
) -> Result<Facts, Failure> {
    let mut play = |title, trial: &Trial, out: &mut Output| {
        let (known, ended) = supervisor.first(trial, windows, out)?;
        report_group(report, &group_of(title, Some(1)), vec![ended]);
        Ok::<Option<RunFacts>, Failure>(known)
    };
    let mut facts = Facts::default();
    if supervisor.audit().has_threads() {
        facts.scenario = play("the scenario as it is", &Trial::default(), out)?;
    }
    facts.life = play("every device through its life", &Trial::life(), out)?;
    let is_long = |facts: &Facts| facts.life.as_ref().is_some_and(|life| life.steps > most);
    let mut ends = Vec::new();
    if !is_long(&facts) {
        ends = leave_out(supervisor, windows, &mut facts, out)?;
    }
    if is_long(&facts) {
        let title = "a life without long requests, as in all that follows";
        if let Some(brief) = play(title, &life_of(true, &facts.without), out)? {
            facts.life = Some(brief);
            facts.brief = true;
        }
        ends.extend(leave_out(supervisor, windows, &mut facts, out)?);
    }
    if !ends.is_empty() {
        let title = "a life without what stops the system, as in all that follows";
        report_group(report, &group_of(title, None), ends);
        let count = facts.without.len();
        report.notes.push(format!(
            "requests of a life that stop the system, and are left out of what follows so that the rest is tried: {count}"
        ));
    }
    Ok(facts)
}

/// Requests that lives are without at most.
const MOST_LEFT_OUT: usize = 48;

/// A life that a request has stopped is lived again without that request, and so on: what the
/// driver does after it would never be tried otherwise.
fn leave_out(
    supervisor: &Supervisor<'_>,
    windows: WindowsVersion,
    facts: &mut Facts,
    out: &mut Output,
) -> Result<Vec<Ended>, Failure> {
    let mut ends = Vec::new();
    while let Some(stuck) = facts.life.as_ref().and_then(|life| life.stuck)
        && !facts.without.contains(&stuck)
        && facts.without.len() < MOST_LEFT_OUT
        && !supervisor.is_over()
    {
        facts.without.push(stuck);
        facts.without.sort_unstable();
        let trial = life_of(facts.brief, &facts.without);
        let (known, ended) = supervisor.first(&trial, windows, out)?;
        ends.push(ended);
        facts.life = known;
    }
    Ok(ends)
}

fn life_of(brief: bool, without: &[u32]) -> Trial {
    let mut trial = Trial::life();
    trial.brief = brief;
    trial.without = without.to_vec();
    trial
}

const fn group_of(title: &'static str, of: Option<u64>) -> Group {
    Group {
        title,
        of,
        cases: Vec::new(),
    }
}

/// Adds what came out of a group.
fn report_group(report: &mut AuditReport, group: &Group, ends: Vec<Ended>) {
    let number = report.groups.len();
    let mut of = group.of;
    report.groups.push(GroupReport {
        title: group.title.into(),
        ..GroupReport::default()
    });
    let mut found: Vec<(FindingReport, String)> = Vec::new();
    let (mut complete, mut left) = (true, 0);
    let row = &mut report.groups[number];
    for end in ends {
        match end {
            Ended::Result(result) => {
                let TrialResult {
                    runs,
                    no_verdict,
                    complete: whole,
                    left: more,
                    found: new,
                } = result;
                row.runs += runs;
                row.tried += 1;
                row.no_verdict += no_verdict;
                complete &= whole;
                left += more;
                found.extend(new);
            }
            // The image does not allow it.
            Ended::Impossible => of = of.map(|of| of - 1),
            Ended::NotTried => complete = false,
            Ended::Defect(trial) => {
                row.tried += 1;
                row.no_verdict += 1;
                report.notes.push(format!(
                    "dirql itself gave up in the trial {trial}; please report that"
                ));
            }
        }
    }
    let row = &mut report.groups[number];
    row.of = match of {
        // A search knows what is left of it.
        None if complete => Some(row.tried),
        None if left > 0 => Some(row.runs + left),
        of => of,
    };
    for (finding, trial) in found {
        report.add(number, finding, &trial);
    }
}

fn write(report: &AuditReport, args: &args::Audit, out: &mut Output) -> Result<(), Failure> {
    let detail = out.detail();
    let found = report.findings.iter().map(|found| Found {
        finding: &found.finding,
        replay: &found.replay,
    });
    let results = Results {
        name: format!("audit {}", report.driver),
        driver: report.driver.clone(),
        verdict: report.verdict,
        incomplete: None,
        found: found.collect(),
    };
    let write = |format, out: &mut dyn Write| match format {
        ReportFormat::Human => audit::write_page(out, report, detail),
        ReportFormat::Json => run::write_json(out, report),
        other => run::write_results(out, other, &results),
    };
    write(args.format, out.results())?;
    run::write_files(&args.output, write)
}
