//! A driver with an interrupt that does not mean well (`tests/drivers/assault.c`): whatever it tries
//! in a dispatch routine, a DPC or its ISR, the command ends with a finding that says what it was,
//! and is not taken for broken itself.

use std::path::Path;
use std::process::{Command, Stdio};

/// A finding's rule and message.
type Found = (String, String);

/// Rules that say that the process of the run was damaged, or the system stopped by what it was
/// damaged with: which of them depends on the build.
const DAMAGE: &[&str] = &["DQ0001", "DQ0450", "DQ0601", "DQ0602"];

/// Attempts, the rule that the last finding is against (one of [`DAMAGE`], if none is named), and
/// what it says, for a bug check its code.
#[rustfmt::skip] // read as a table
const ATTEMPTS: &[(&str, &str, &str)] = &[
    ("JumpToZero", "DQ0001", "(0x7E)"),
    ("JumpToNonCanonical", "DQ0001", "(0x7E)"),
    ("JumpToUpperHalf", "DQ0001", "(0x50)"),
    ("JumpToVsyscall", "DQ0600", ""),
    ("JumpToStack", "DQ0001", "(0xFC)"),
    ("JumpToPool", "DQ0001", "(0xFC)"),
    ("JumpToData", "DQ0001", "(0xFC)"),
    ("JumpToDevice", "DQ0001", "(0x50)"),
    ("NoMoreStack", "DQ0001", "(0x7F)"),
    ("StackAtZero", "DQ0001", "(0x50)"),
    ("StackNonCanonical", "DQ0001", "(0x7E)"),
    ("StackInData", "", ""),
    ("StackInOurText", "", ""),
    ("StackUnaligned", "", ""),
    ("SmashDriver", "DQ0001", "(0x7E)"),
    ("SmashDevice", "DQ0525", ""),
    ("SmashHeader", "DQ0001", "(0x19)"),
    ("SmashIrp", "", ""),
    ("SmashInterrupt", "DQ0111", ""),
    ("SmashQueuedDpc", "DQ0001", "(0x1E)"),
    ("SmashPoolHeader", "DQ0001", "(0x19)"),
    ("SmashThunks", "DQ0001", "(0x50)"),
    ("SmashImports", "DQ0001", "(0x7E)"),
    ("SmashOwnText", "DQ0001", "(0x50)"),
    ("SmashOwnHeaders", "DQ0001", "(0x50)"),
    ("SmashSharedUserData", "DQ0001", "(0x50)"),
    ("SmashOurThread", "", ""),
    ("SmashOurStack", "", ""),
    ("SmashAdapter", "DQ0001", "(0x50)"),
    ("CopyOverOurThread", "DQ0001", "(0x50)"),
    ("FillOurText", "DQ0001", "(0x50)"),
    ("SetEventInOurThread", "DQ0001", "(0x50)"),
    ("LockInOurThread", "DQ0001", "(0xA)"),
    ("CopyWithoutEnd", "DQ0001", "(0x50)"),
    ("FillFromZero", "DQ0001", "(0x7E)"),
    ("SystemCall", "DQ0600", ""),
    ("SystemCall32", "DQ0600", ""),
    ("SystemEnter", "", ""),
    ("SystemReturn", "DQ0005", ""),
    ("InterruptReturn", "", ""),
    ("FarReturn", "", ""),
    ("FarReturnTo32", "", ""),
    ("Interrupt3", "DQ0001", "(0x7E)"),
    ("Interrupt1", "DQ0001", "(0x7E)"),
    ("FastFail", "DQ0001", "(0x139)"),
    ("Interrupt255", "DQ0001", "(0x7E)"),
    ("HaltForEver", "DQ0003", ""),
    ("LoopWithoutInterrupts", "DQ0003", ""),
    ("LoopForEver", "DQ0003", ""),
    ("LoopWithPause", "DQ0003", ""),
    ("LoadGdt", "DQ0005", ""),
    ("LoadIdt", "DQ0005", ""),
    ("LoadTask", "DQ0005", ""),
    ("LoadLdt", "DQ0005", ""),
    ("WriteCr0", "DQ0005", ""),
    ("WriteCr3", "DQ0005", ""),
    ("WriteCr4", "DQ0005", ""),
    ("WriteCr8", "DQ0001", "(0x7E)"),
    ("WriteDr7", "DQ0005", ""),
    ("ReadMsr", "DQ0001", "(0x7E)"),
    ("WriteMsr", "DQ0001", "(0x7E)"),
    ("SetXcr0", "DQ0005", ""),
    ("GetXcr7", "DQ0001", "(0x7E)"),
    ("Undefined", "DQ0001", "(0x7E)"),
    ("TooLong", "DQ0001", "(0x7E)"),
    ("LockedNop", "DQ0001", "(0x7E)"),
    ("WritePorts", "DQ0001", "(0x50)"),
    ("SwapGs", "DQ0005", ""),
    ("MoveGs", "", ""),
    ("MoveFs", "", ""),
    ("LoadGs", "", ""),
    ("LoadFs", "", ""),
    ("LoadSs", "", ""),
    ("Divide", "DQ0001", "(0x7E)"),
    ("ReadNonCanonical", "DQ0001", "(0x7E)"),
    ("ReadUserZero", "DQ0001", "(0x7E)"),
    ("TrapFlag", "DQ0001", "(0x7E)"),
    ("EveryFlag", "DQ0001", "(0x7E)"),
    ("SseException", "DQ0001", "(0x7E)"),
    ("X87Exception", "DQ0001", "(0x7E)"),
    ("AllocateEverything", "DQ0311", ""),
    ("AllocateSmall", "DQ0150", ""),
    ("AllocateAll", "DQ0150", ""),
    ("ThreadsWithoutEnd", "DQ0524", ""),
    ("ThreadAtZero", "DQ0001", "(0x7E)"),
    ("TimersWithoutEnd", "DQ0150", ""),
    ("DpcAtZero", "DQ0001", "(0xD1)"),
    ("WorkAtZero", "DQ0001", "(0x7E)"),
    ("DevicesWithoutEnd", "DQ0181", ""),
    ("StallForEver", "DQ0003", ""),
    ("DelayForEver", "DQ0003", ""),
    ("CallItself", "DQ0001", "(0x7F)"),
    ("CompleteOften", "DQ0001", "(0x44)"),
    ("FreeRequest", "DQ0001", "(0xC9)"),
    ("OtherBuffer", "DQ0001", "(0x50)"),
    ("OtherLocation", "DQ0001", "(0x44)"),
    ("MdlInCircles", "DQ0001", "(0xC2)"),
    ("MdlThatLies", "DQ0001", "(0x4E)"),
    ("MdlOfOurs", "DQ0001", "(0x7E)"),
    ("DeleteTwice", "DQ0001", "(0xC9)"),
    ("DeleteOther", "DQ0001", "(0xC9)"),
    ("UnmapItself", "DQ0310", ""),
    ("FreeItself", "DQ0001", "(0xC2)"),
    ("FreeItselfContiguous", "DQ0001", "(0xC2)"),
    ("FreeStack", "DQ0001", "(0xC2)"),
    ("FreeOurs", "DQ0001", "(0xC2)"),
    ("FreeObjects", "DQ0001", "(0xC2)"),
    ("FreeInside", "DQ0001", "(0xC2)"),
    ("LetGo", "DQ0001", "(0x18)"),
    ("UnloadItself", "DQ0002", ""),
    ("DisconnectTwice", "DQ0131", ""),
    ("ConnectNowhere", "DQ0001", "(0x50)"),
    ("ConnectToNothing", "DQ0132", ""),
    ("StopTheSystem", "DQ0001", "0xDEADBEEF"),
    ("RaiseTo255", "DQ0001", "(0x7E)"),
    ("WaitHere", "DQ0180", ""),
    ("WaitForTooMany", "DQ0001", "(0xC)"),
    ("LockTwice", "DQ0110", ""),
    ("SynchronizeInside", "DQ0110", ""),
    ("SynchronizeWithNothing", "DQ0001", "(0x7E)"),
    ("LongName", "DQ0150", ""),
    ("NameThatLies", "DQ0001", "(0x50)"),
    ("NameNowhere", "DQ0001", "(0x7E)"),
    ("PrintNothing", "DQ0001", "(0x7E)"),
    ("PrintNowhere", "DQ0001", "(0x50)"),
    ("EscapeTheTerminal", "DQ0001", "(0x41)"),
    ("RestoreNothing", "", ""),
    ("UnwindToNowhere", "DQ0001", "(0x7E)"),
    ("RaiseNothing", "DQ0001", "(0x7E)"),
];

/// Those that are made in a DPC and in an ISR as well.
#[rustfmt::skip] // read as a list
const EVERYWHERE: &[&str] = &[
    "JumpToZero", "JumpToNonCanonical", "JumpToUpperHalf", "JumpToVsyscall", "JumpToStack",
    "JumpToData", "JumpToDevice", "NoMoreStack", "StackAtZero", "StackInData", "SmashHeader",
    "SmashThunks", "SmashOwnText", "SmashOurThread", "CopyOverOurThread", "LockInOurThread",
    "SystemCall", "SystemCall32", "SystemEnter", "InterruptReturn", "FastFail", "HaltForEver",
    "WriteCr3", "WriteCr8", "SwapGs", "MoveGs", "MoveFs", "Divide", "EveryFlag", "X87Exception",
    "ThreadsWithoutEnd", "CompleteOften", "FreeItself", "FreeStack", "StopTheSystem", "RaiseTo255",
    "LowerToZero", "WaitHere", "LockTwice", "SynchronizeInside", "RestoreNothing", "PrintNowhere",
];

/// What a run does not notice: members of system objects that nothing is read from here, flags and
/// control bits that a call of the kernel puts right.
#[rustfmt::skip] // read as a list
const UNNOTICED: &[&str] = &[
    "SmashDriverExtension", "SmashDeviceExtension", "SmashPdo", "SmashFile", "SmashThread",
    "SmashProcess", "SmashProcessor", "SmashProcessorByGs", "SmashTimer", "SmashEvent",
    "DirectionFlag", "NestedFlag", "AlignmentFlag", "FloatingPointLeft", "LowerToZero",
];

/// Has the driver try `name` at `place`; the exit code, and what was found.
fn attempt(place: char, name: &str, machine: &str) -> (Option<i32>, Vec<Found>) {
    let request: String = format!("{place}{name}")
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/assault.sys");
    let text = format!(
        r#"
        [machine]
        processors = 2
        {machine}

        [driver]
        image = '{}'

        [[device]]
        name = "edu0"
        model = "edu"
        interrupts = {{ kind = "line" }}

        [[thread]]
        steps = [
            {{ start = "edu0" }},
            {{ open = '\Device\Assault', handle = "assault" }},
            {{ write = "assault", data = "{request}" }},
            {{ wait_idle = true }},
            {{ close = "assault" }},
            {{ remove = "edu0" }},
            {{ unload = true }},
        ]
        "#,
        image.display()
    );
    let file = format!("assault-{place}-{name}-{}.toml", std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    std::fs::write(&file, text).expect("a scenario for the test");
    let output = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .args(["run", "--format", "json"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .expect("the command line can be started");
    std::fs::remove_file(&file).expect("it can be removed");
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{place} {name}: {error}: {errors}"));
    let findings = report["findings"].as_array().into_iter().flatten();
    let word = |finding: &serde_json::Value, key: &str| {
        finding[key].as_str().unwrap_or_default().to_owned()
    };
    let found = findings.map(|one| (word(one, "rule"), word(one, "message")));
    (output.status.code(), found.collect())
}

/// Makes attempts, some at a time; what is wrong with how they ended.
fn wrong<T: Copy + Sync>(of: &[T], check: impl Fn(T) -> Option<String> + Sync) -> Vec<String> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = of.len().div_ceil(workers);
    std::thread::scope(|scope| {
        let check = &check;
        let shares = of.chunks(share);
        let running: Vec<_> = shares
            .map(|own| scope.spawn(move || own.iter().filter_map(|one| check(*one)).collect()))
            .collect();
        let ended = running.into_iter().map(|one| one.join().expect("it ends"));
        ended.flat_map(|wrong: Vec<String>| wrong).collect()
    })
}

/// Whether a rule is the one that is named, or one of damage if none is.
fn is_named(rule: &str, named: &str) -> bool {
    rule == named || named.is_empty() && DAMAGE.contains(&rule)
}

#[test]
fn each_attempt_of_a_dispatch_routine_is_found_and_named() {
    let failed = wrong(ATTEMPTS, |(name, rule, message)| {
        let (code, found) = attempt('h', name, "");
        let last = found.last();
        let is_right =
            last.is_some_and(|(found, text)| is_named(found, rule) && text.contains(message));
        (code != Some(1) || !is_right).then(|| format!("{name}: {code:?} {last:?}"))
    });
    assert_eq!(failed, [""; 0]);
}

/// Above the level that is allowed the routines that an attempt calls may be what is found.
#[test]
fn each_attempt_of_a_dpc_and_of_an_isr_is_found() {
    let places: Vec<_> = ['d', 'i']
        .into_iter()
        .flat_map(|place| EVERYWHERE.iter().map(move |name| (place, *name)))
        .collect();
    let failed = wrong(&places, |(place, name)| {
        let (code, found) = attempt(place, name, "");
        (code != Some(1) || found.is_empty()).then(|| format!("{place} {name}: {code:?}"))
    });
    assert_eq!(failed, [""; 0]);
}

#[test]
fn what_is_not_noticed_does_no_harm() {
    let failed = wrong(UNNOTICED, |name| {
        let (code, found) = attempt('h', name, "");
        (code != Some(0) || !found.is_empty()).then(|| format!("{name}: {code:?} {found:?}"))
    });
    assert_eq!(failed, [""; 0]);
}

#[test]
fn what_never_ends_has_so_many_steps_and_no_verdict() {
    for name in ["DpcWithoutEnd", "WorkWithoutEnd"] {
        let (code, found) = attempt('h', name, "max_steps = 20000");
        assert_eq!((code, found), (Some(4), vec![]), "{name}");
    }
}

#[test]
fn every_attempt_is_made() {
    let source = include_str!("drivers/assault.c");
    let known = source.split("DO(").skip(2);
    let known: Vec<&str> = known.filter_map(|rest| rest.split(')').next()).collect();
    let endless = ["DpcWithoutEnd", "WorkWithoutEnd"];
    let made = ATTEMPTS.iter().map(|(name, ..)| *name);
    let mut made: Vec<&str> = made
        .chain(UNNOTICED.iter().copied())
        .chain(endless)
        .collect();
    made.sort_unstable();
    let mut sorted = known.clone();
    sorted.sort_unstable();
    assert_eq!(made, sorted);
    assert!(EVERYWHERE.iter().all(|name| known.contains(name)));
}
