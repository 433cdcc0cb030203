//! What a driver is not allowed to do with interrupts: code compiled from C that breaks a rule is
//! reported under its ID, in the routine that does it and with the other half, and the same done
//! right is not.
#![forbid(unsafe_code)]

use dirql::audit::{Audit, Trial};
use dirql::report::{FindingReport, PlaceReport, Report};
use dirql::scenario::Scenario;

/// `CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)`
const RULE: u32 = 0x22 << 16 | 0x801 << 2;

/// The line that the device is wired to, which is its raw vector.
const LINE: u32 = 20;

/// A trial at every step of a run at most.
const STEPS: u64 = 150;

/// What is different from a plain run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    /// Nothing: two processors, and a line.
    Nothing,
    /// One processor.
    OneProcessor,
    /// Messages.
    Messages,
    /// What is accessed in memory is looked at, in a few orders.
    Watched,
    /// The same with messages.
    TwoMessagesWatched,
    /// The device is stopped and started again.
    Restart,
    /// The device loses its power and gets it again.
    Power,
    /// Something happens at one step after the other, until a rule is broken: a trial of an audit.
    AtEveryStep(&'static str),
}

impl With {
    fn messages(self) -> &'static str {
        match self {
            Self::Messages | Self::TwoMessagesWatched => r#"{ kind = "msix", messages = 2 }"#,
            _ => r#"{ kind = "line" }"#,
        }
    }

    fn steps(self) -> &'static str {
        match self {
            Self::Restart => r#"{ stop = "dev" }, { start = "dev", expect = "any" },"#,
            Self::Power => r#"{ power = "dev", state = "D3" }, { power = "dev", state = "D0" },"#,
            _ => "",
        }
    }
}

fn audit(number: u32, keep: bool, with: With) -> Audit {
    let request: String = [number, keep.into(), LINE]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let text = format!(
        r#"
        driver = [{{ image = "rules.sys" }}]

        [machine]
        processors = {processors}

        [[device]]
        name = "dev"
        model = "msix"
        line = {LINE}
        interrupts = {interrupts}

        [[thread]]
        steps = [
            {{ start = "dev" }},
            {{ open = "dev" }},
            {{ ioctl = "dev", code = {RULE}, in = "{request}" }},
            {steps}
            {{ wait_idle = true }},
            {{ close = "dev" }},
            {{ remove = "dev" }},
            {{ unload = true }},
        ]
        "#,
        processors = if with == With::OneProcessor { 1 } else { 2 },
        interrupts = with.messages(),
        steps = with.steps(),
    );
    let scenario = Scenario::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let scenario = scenario.in_directory(&dirql_contract::directory().join("driver"));
    Audit::new(scenario, None, None, None).expect("the driver is there")
}

/// What is found, and whether the runs came to their ends: of the first run in which something is
/// found, or the last one.
fn play(number: u32, keep: bool, with: With) -> (Vec<FindingReport>, bool) {
    let audit = audit(number, keep, with);
    if matches!(with, With::Watched | With::TwoMessagesWatched) {
        let survey = audit.survey(&Trial::default(), None, |_| {}, &mut |_| true);
        let survey = survey.expect("it can be played");
        let found = survey.found.into_iter().map(|(finding, _)| finding);
        return (found.collect(), survey.no_verdict == 0);
    }
    let report = run(&audit, with);
    (report.findings, report.ended_early.is_none())
}

fn run(audit: &Audit, with: With) -> Report {
    let run = |trial: Trial| audit.play(&trial, None, None).expect("it can be played");
    let With::AtEveryStep(what) = with else {
        return run(Trial::default());
    };
    let mut trials = (1..=STEPS).map(|step| format!("{what}{step}").parse().expect("a trial"));
    let mut report = run(trials.next().expect("there is a first one"));
    for trial in trials {
        if !report.findings.is_empty() {
            break;
        }
        report = run(trial);
    }
    report
}

/// Whether a finding names these functions; an empty name is for code that is no driver's.
fn names(finding: &FindingReport, here: &str, earlier: Option<&str>) -> bool {
    let is_in = |place: &PlaceReport, function: &str| match place.code {
        Some(_) => place.function() == Some(function),
        None => function.is_empty(),
    };
    let other = finding.earlier.as_ref().map(|earlier| &earlier.place);
    is_in(&finding.place, here)
        && match (other, earlier) {
            (Some(place), Some(function)) => is_in(place, function),
            (None, None) => true,
            _ => false,
        }
}

#[test]
fn what_breaks_a_rule_is_reported_with_both_functions_and_what_keeps_it_is_not() {
    /// The number of a pair of routines in `rules.c`, what is found of the one that breaks the rule,
    /// and the two functions. What has no other half is in one function.
    #[rustfmt::skip] // read as a table
    const RULES: &[(u32, With, &str, &str, Option<&str>)] = &[
        (10, With::Nothing, "DQ0101", "BreakConnectLevel", Some("BreakConnectLevel")),
        (11, With::Nothing, "DQ0101", "BreakDisconnectLevel", Some("BreakDisconnectLevel")),
        (20, With::Nothing, "DQ0102", "ReportAt", Some("ReportAt")),
        (30, With::Nothing, "DQ0103", "SynchronizeAt", Some("SynchronizeAt")),
        (40, With::Nothing, "DQ0104", "LockAt", Some("LockAt")),
        (41, With::Nothing, "DQ0104", "BreakLockOldLevel", Some("BreakLockOldLevel")),
        (42, With::Nothing, "DQ0112", "BreakLockNotHeld", None),
        (50, With::Nothing, "DQ0106", "BreakPassiveLock", None),
        (60, With::Nothing, "DQ0110", "IsrThatSynchronizes", Some("IsrThatSynchronizes")),
        (61, With::Nothing, "DQ0110", "SectionThatLocks", Some("BreakNested")),
        (70, With::Nothing, "DQ0137", "BreakReportContext", Some("ConnectOld")),
        (80, With::Nothing, "DQ0126", "ConnectWithLock", None),
        (81, With::Nothing, "DQ0126", "ConnectWithLock", None),
        (82, With::Nothing, "DQ0126", "ConnectWithLock", Some("BreakLockPageable")),
        (90, With::Nothing, "DQ0575", "ServeWithContext", Some("ServeWithContext")),
        (100, With::Nothing, "DQ0522", "ConnectPassive", None),
        (110, With::Messages, "DQ0125", "ConnectTwo", Some("ConnectTwo")),
        (120, With::Messages, "DQ0139", "ConnectTwo", Some("ConnectTwo")),
        (130, With::Nothing, "DQ0133", "ConnectOld", None),
        (140, With::Nothing, "DQ0135", "BreakMode", None),
        (141, With::Nothing, "DQ0135", "BreakSharing", None),
        (150, With::Nothing, "DQ0138", "BreakMask", None),
        (151, With::Nothing, "DQ0583", "BreakMaskOfAll", None),
        (160, With::Nothing, "DQ0130", "DisconnectFully", Some("DisconnectFully")),
        (170, With::Nothing, "DQ0001", "BreakReturnedVersion", None),
        (171, With::Nothing, "DQ0410", "BreakPlace", None),
        (180, With::Nothing, "DQ0131", "Disconnect", Some("Disconnect")),
        (190, With::Restart, "DQ0132", "Pnp", Some("Connect")),
        (200, With::Nothing, "DQ0134", "Disconnect", Some("Connect")),
        (210, With::Nothing, "DQ0576", "Connect", Some("Set")),
        (220, With::AtEveryStep("spurious="), "DQ0001", "IsrOfLateCount", None),
        (230, With::Restart, "DQ0132", "Pnp", Some("Connect")),
        (240, With::AtEveryStep("foreign="), "DQ0123", "IsrThatClaimsAll", Some("Connect")),
        (241, With::Nothing, "DQ0582", "IsrThatDisowns", Some("Connect")),
        (250, With::OneProcessor, "DQ0122", "IsrThatOnlyClaims", Some("Connect")),
        (260, With::Nothing, "DQ0120", "IsrThatRaises", Some("IsrThatRaises")),
        (261, With::Nothing, "DQ0577", "IsrWithAvx", Some("Connect")),
        (262, With::Nothing, "DQ0577", "IsrWithX87", Some("Connect")),
        (270, With::Messages, "DQ0581", "IsrOfOneCompletion", Some("ConnectMessagesTo")),
        (280, With::TwoMessagesWatched, "DQ0555", "IsrThatCounts", Some("IsrThatCounts")),
        (290, With::Messages, "DQ0001", "SynchronizeMessages", None),
        (300, With::AtEveryStep("fail=call:"), "DQ0001", "BreakConnectFails", None),
        (310, With::Nothing, "DQ0142", "BreakDpcInitialized", None),
        (311, With::Nothing, "DQ0140", "BreakDpcInitializedAgain", Some("BreakDpcInitializedAgain")),
        (312, With::Nothing, "DQ0575", "BreakDpcPageable", Some("BreakDpcPageable")),
        (320, With::Nothing, "DQ0143", "QueueTwice", Some("QueueTwice")),
        (330, With::Watched, "DQ0584", "IsrThatRequestsFirst", Some("IsrThatRequestsFirst")),
        (340, With::Nothing, "DQ0535", "BreakDpcLeft", Some("BreakDpcLeft")),
        (350, With::Nothing, "DQ0100", "BreakFlushLevel", Some("BreakFlushLevel")),
        (351, With::Nothing, "DQ0111", "DeferredFlush", None),
        (360, With::Nothing, "DQ0585", "RemoveSlow", Some("RemoveSlow")),
        (370, With::Nothing, "DQ0144", "BreakImportance", Some("BreakImportance")),
        (371, With::Nothing, "DQ0144", "BreakTarget", Some("BreakTarget")),
        (380, With::Nothing, "DQ0100", "ThreadedAtDpcLevel", None),
        (381, With::Nothing, "DQ0160", "ThreadedThatWaits", None),
        (390, With::Nothing, "DQ0131", "BreakUseAfterDisconnect", Some("Disconnect")),
        (400, With::Messages, "DQ0580", "SetEntry", None),
        (401, With::Messages, "DQ0580", "SetEntry", None),
        (402, With::Messages, "DQ0430", "SetEntryAt", Some("SetEntryAt")),
        (410, With::Power, "DQ0603", "ConnectOld", Some("")),
        (420, With::Nothing, "DQ0136", "BreakVectorLookup", None),
        (430, With::Nothing, "DQ0578", "ConnectOld", None),
        (900, With::Nothing, "DQ0579", "BreakEndlessLoop", Some("BreakEndlessLoop")),
        (901, With::OneProcessor, "DQ0579", "DeferredLoop", Some("BreakWaitBelow")),
    ];
    let mut wrong = Vec::new();
    for (number, with, rule, here, earlier) in RULES {
        let (broken, _) = play(*number, false, *with);
        let mut found = broken.iter();
        if !found.any(|finding| finding.rule == *rule && names(finding, here, *earlier)) {
            wrong.push(format!("{number} broken: {broken:#?}"));
        }
        let (kept, ended) = play(*number, true, *with);
        if !kept.is_empty() || !ended {
            wrong.push(format!("{number} kept, ended {ended}: {kept:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_driver_that_does_not_look_is_found_whatever_a_connect_fails_with() {
    for keep in [false, true] {
        let audit = audit(300, keep, With::Nothing);
        for number in 1..=6 {
            let trial = format!("fail=connect:{number}").parse().expect("a trial");
            let report = audit.play(&trial, None, None).expect("it can be played");
            assert_eq!(
                report.findings.is_empty(),
                keep,
                "{number} {:?}",
                report.findings
            );
            let failed = report.failed.expect("something was made to fail");
            assert_eq!(failed.what.as_deref(), Some("IoConnectInterruptEx"));
        }
    }
}
