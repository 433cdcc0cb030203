//! What a driver is not allowed to do beside interrupts, whose rules the contract's tests break: code
//! compiled from C (`tests/rules`) that breaks a rule is reported under its ID, in the routine that does
//! it and with the other half, and the same done right is not.

use std::path::Path;

use dirql::report::{FindingReport, PlaceReport, Report};
use dirql::scenario::Scenario;
use dirql::{Settings, play};

/// What is done beside the one request that names the pair.
fn steps(driver: &str, number: u32) -> &'static str {
    match number {
        _ if driver != "plugged" => "",
        2230 => r#"{ start = "edu0" }, { stop = "edu0", expect = "any" },"#,
        2240 => {
            r#"{ start = "edu0" }, { power = "edu0", state = "D3" }, { power = "edu0", state = "D0" },"#
        }
        6060 => r#"{ start = "edu0" }, { surprise_remove = "edu0" },"#,
        _ => r#"{ start = "edu0" },"#,
    }
}

fn run(driver: &str, number: u32, keep: bool) -> Report {
    let request: String = [number, keep.into()]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (device, remove) = match driver {
        "plugged" => (
            r#"device = [{ name = "edu0", model = "edu" }]"#,
            r#"{ remove = "edu0", expect = "any" },"#,
        ),
        "ports" => (
            r#"device = [{ name = "lpt1", model = "parport", registry = { EnableConnectInterruptIoctl = 1, FilterResourceMethod = 2 } }]"#,
            "",
        ),
        _ => ("", ""),
    };
    // Later versions of Windows do without what this rule is about.
    let windows = if number == 2240 { "server2003" } else { "10" };
    let text = format!(
        r#"
        driver = [{{ image = "{driver}.sys" }}]
        {device}

        [machine]
        processors = 2
        windows = "{windows}"

        [[thread]]
        steps = [
            {{ open = '\Device\Rules', handle = "rules" }},
            {{ write = "rules", data = "{request}" }},
            {steps}
            {remove}
            {{ read = "rules", length = 16, expect = "any" }},
            {{ wait_idle = true }},
            {{ close = "rules" }},
            {{ unload = true }},
        ]
        "#,
        steps = steps(driver, number),
    );
    let scenario = Scenario::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut settings = Settings::default();
    // With a failure to come, what is under way at the end is cancelled.
    settings.fail = (number == 4600).then(|| "allocation:9999".parse().expect("a point"));
    let report = play(&scenario.in_directory(&directory), settings);
    report.expect("it can be played")
}

/// Whether a finding names these functions; an empty name is for what is no driver's code.
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

/// The pairs of a driver that are wrong.
fn wrong(of: &str) -> Vec<String> {
    /// A driver, a pair of routines in it, by the rule's number and which of several, and the
    /// functions in which the finding and its other half are, if there is one.
    #[rustfmt::skip] // read as a table
    const PAIRS: &[(&str, u32, &str, Option<&str>)] = &[
        ("levels", 30, "BreakLoop", Some("Write")),
        ("levels", 40, "BreakBreakpoint", None),
        ("levels", 50, "BreakInstruction", None),
        ("levels", 1050, "BreakReleaseAbove", None),
        ("levels", 1130, "BreakLockKind", Some("BreakLockKind")),
        ("levels", 1140, "BreakReleaseLevel", Some("BreakReleaseLevel")),
        ("levels", 1210, "DpcThatRaises", Some("DpcThatRaises")),
        ("levels", 1240, "DpcWithoutInterrupts", None),
        ("levels", 1610, "BreakRegion", None),
        ("levels", 2000, "Read", Some("ReadThatRaises")),
        ("levels", 3300, "BreakFastMutex", None),
        ("levels", 3320, "BreakResource", None),
        ("levels", 3321, "BreakResourceHeld", Some("BreakResourceHeld")),
        ("levels", 3700, "BreakPrint", Some("BreakPrint")),
        ("levels", 3710, "BreakAssertion", None),
        ("levels", 4440, "BreakRundown", None),
        ("levels", 6070, "SlowDpc", None),
        ("memory", 1410, "Unload", Some("BreakTimerFreed")),
        ("memory", 1500, "Unload", Some("BreakLeak")),
        ("memory", 1510, "BreakFree", Some("BreakFree")),
        ("memory", 3000, "BreakPagedLevel", Some("BreakPagedLevel")),
        ("memory", 3001, "BreakPagedFree", Some("BreakPagedFree")),
        ("memory", 3010, "Fill", Some("Fill")),
        ("memory", 3020, "Unload", Some("BreakUseAfterFree")),
        ("memory", 3030, "BreakZeroBytes", None),
        ("memory", 3100, "BreakUnmap", Some("MapRegisters")),
        ("memory", 3101, "Unmap", Some("Unmap")),
        ("memory", 3110, "Unload", Some("MapRegisters")),
        ("memory", 3200, "BreakMdl", None),
        ("memory", 3201, "BreakMdlLocked", Some("BreakMdlLocked")),
        ("memory", 3210, "BreakSection", None),
        ("memory", 3310, "Unload", Some("BreakLookaside")),
        ("memory", 3311, "BreakLookaside", Some("BreakLookaside")),
        ("memory", 4470, "BreakPageable", Some("BreakPageable")),
        ("memory", 5230, "BreakUnmappedAccess", Some("Unmap")),
        ("memory", 5320, "Walk", None),
        ("memory", 5380, "BreakTimerInitialised", Some("BreakTimerFreed")),
        ("requests", 1700, "Complete", Some("Complete")),
        ("requests", 1710, "Read", None),
        ("requests", 1810, "Unload", Some("MakeBelow")),
        ("requests", 2030, "BreakDeletedTwice", Some("BreakDeletedTwice")),
        ("requests", 2040, "BreakDeletedAttached", None),
        ("requests", 2050, "BreakDetach", None),
        ("requests", 2060, "BreakIrpInitialised", Some("BreakIrpInitialised")),
        ("requests", 2070, "Complete", None),
        ("requests", 2080, "Read", Some("Complete")),
        ("requests", 2081, "Read", Some("Complete")),
        ("requests", 2090, "Read", Some("Complete")),
        ("requests", 2100, "Complete", None),
        ("requests", 2110, "ForgetPending", None),
        ("requests", 2120, "CancelKeepsLock", Some("CancelOne")),
        ("requests", 2130, "Complete", None),
        ("requests", 2140, "Complete", Some("SendOwn")),
        ("requests", 2150, "BreakRemoveLock", Some("BreakRemoveLock")),
        ("requests", 2160, "BreakWorkItem", Some("BreakWorkItem")),
        ("requests", 2170, "BreakTimer", None),
        ("requests", 2171, "BreakTimerTwice", None),
        ("requests", 2180, "BreakErrorLog", Some("BreakErrorLog")),
        ("requests", 2200, "UseEvent", Some("UseEvent")),
        ("requests", 2220, "BreakLocations", None),
        ("requests", 4600, "Read", None),
        ("requests", 5250, "DeleteBelow", Some("MakeBelow")),
        ("requests", 6050, "Complete", Some("ReadUnderLock")),
        ("requests", 6080, "SendAtDispatch", Some("SendAtDispatch")),
        ("left", 1150, "TakeQueued", None),
        ("left", 1450, "Unload", Some("BreakBugCheck")),
        ("left", 3330, "Unload", Some("BreakCallback")),
        ("left", 3331, "Unregister", Some("BreakCallbackTwice")),
        ("left", 3500, "Unload", Some("BreakKey")),
        ("left", 3600, "Unload", Some("BreakNotify")),
        ("left", 4450, "DeleteTimer", Some("DeleteTimer")),
        ("left", 4460, "Unload", Some("BreakProvider")),
        ("left", 5240, "Unload", Some("StartThread")),
        ("left", 5310, "AcquirePush", None),
        ("left", 5311, "ReleasePush", None),
        ("left", 5330, "Unload", Some("BreakSetting")),
        ("left", 5360, "QueueApc", Some("QueueApc")),
        ("left", 5370, "BreakPureCall", None),
        ("imports", 20, "BreakLaterRoutine", None),
        ("imports", 6040, "CountUnderLock", None),
        ("ports", 4700, "BreakLevel", None),
        ("ports", 4710, "Free", None),
        ("ports", 4720, "Unload", Some("Ask")),
        ("ports", 4730, "Unload", Some("Allocate")),
        ("ports", 4740, "Ask", None),
        ("ports", 4750, "Ask", None),
        ("ports", 4760, "Ask", None),
        ("ports", 4770, "BreakContext", None),
        ("plugged", 2190, "RegisterTwice", None),
        ("plugged", 2210, "AddDevice", None),
        ("plugged", 2230, "Pnp", None),
        ("plugged", 2240, "Power", Some("")),
        ("plugged", 4310, "", None),
        ("plugged", 4400, "LeaveBuffer", Some("LeaveBuffer")),
        ("plugged", 4410, "Transfer", None),
        ("plugged", 4420, "Transfer", Some("DoTransfer")),
        ("plugged", 5340, "OnIdle", None),
        ("plugged", 5341, "Unload", Some("RegisterWithFramework")),
        ("plugged", 5860, "Delete", Some("UseRemoveLock")),
        ("plugged", 6060, "Delete", Some("")),
    ];
    let mut wrong = Vec::new();
    let pairs = PAIRS.iter().filter(|(driver, ..)| *driver == of);
    assert!(pairs.clone().count() > 1, "{of} has pairs");
    for (driver, number, here, earlier) in pairs {
        let rule = format!("DQ{:04}", number / 10);
        let broken = run(driver, *number, false).findings;
        let mut found = broken.iter();
        if !found.any(|finding| finding.rule == rule && names(finding, here, *earlier)) {
            wrong.push(format!("{driver} {number} broken: {broken:#?}"));
        }
        let kept = run(driver, *number, true);
        if !kept.findings.is_empty() || kept.ended_early.is_some() {
            wrong.push(format!("{driver} {number} kept: {kept:#?}"));
        }
    }
    wrong
}

#[test]
fn levels_and_locks() {
    assert_eq!(wrong("levels"), [""; 0]);
}

#[test]
fn memory() {
    assert_eq!(wrong("memory"), [""; 0]);
}

#[test]
fn requests_and_devices() {
    assert_eq!(wrong("requests"), [""; 0]);
}

#[test]
fn what_is_left_behind() {
    assert_eq!(wrong("left"), [""; 0]);
}

#[test]
fn plug_and_play_power_and_dma() {
    assert_eq!(wrong("plugged"), [""; 0]);
}

#[test]
fn imports() {
    assert_eq!(wrong("imports"), [""; 0]);
}

#[test]
fn parallel_ports() {
    assert_eq!(wrong("ports"), [""; 0]);
}
