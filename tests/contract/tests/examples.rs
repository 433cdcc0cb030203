//! The worked examples of the driver kit's documentation, as code compiled from C, and what is said
//! where a page is wrong.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use dirql::scenario::{DeviceSpec, Interrupts};
use dirql::{Bench, BenchError, Driver, Explorer, Outcome, Reading, Strategy, WindowsVersion};

/// `CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801 and 0x802, METHOD_BUFFERED, FILE_ANY_ACCESS)`
const RUN: u32 = 0x22 << 16 | 0x801 << 2;
const END: u32 = 0x22 << 16 | 0x802 << 2;

/// Orders in which an example is played that is about orders.
const ORDERS: u64 = 60;

/// What an example writes down at most.
const LOG_BYTES: u32 = 2048;

/// A run of an example.
struct Example {
    device: DeviceSpec,
    neighbour: bool,
    windows: WindowsVersion,
    processors: u16,
    readings: Vec<Reading>,
    number: u32,
    variant: u32,
    presses: u32,
}

/// What came of it.
struct Seen {
    /// What the driver wrote down; `None` if it did not come to its end.
    log: Option<String>,
    findings: Vec<String>,
    bug_check: Option<u32>,
}

fn line() -> DeviceSpec {
    DeviceSpec::new("dev", "msix")
        .interrupts(Interrupts::Line)
        .line(20)
}

fn messages(count: u16) -> DeviceSpec {
    DeviceSpec::new("dev", "msix")
        .option("queues", count)
        .option("messages", count)
        .interrupts(Interrupts::Msix(count))
}

fn button() -> DeviceSpec {
    DeviceSpec::new("dev", "button").option("line", 10)
}

fn edge() -> DeviceSpec {
    button().option("trigger", "edge")
}

fn example(number: u32, device: DeviceSpec) -> Example {
    Example {
        device,
        neighbour: false,
        windows: WindowsVersion::Ten,
        processors: 1,
        readings: Vec::new(),
        number,
        variant: 0,
        presses: 0,
    }
}

impl Example {
    fn variant(self, variant: u32) -> Self {
        Self { variant, ..self }
    }

    fn windows(self, windows: WindowsVersion) -> Self {
        Self { windows, ..self }
    }

    /// The button is pressed so often, and released in between.
    fn presses(self, presses: u32) -> Self {
        Self { presses, ..self }
    }

    fn play(self) -> Seen {
        let driver = dirql_contract::directory().join("driver/examples-iointex.sys");
        let mut builder = Bench::builder()
            .windows(self.windows)
            .processors(self.processors)
            .readings(self.readings.clone())
            .driver(Driver::file(driver).unwrap())
            .device(self.device.clone());
        if self.neighbour {
            let neighbour = DeviceSpec::new("neighbour", "button")
                .option("port", 0x300)
                .option("line", 10);
            builder = builder.device(neighbour);
        }
        let bench = builder.build().unwrap();
        let log = self.steps(&bench);
        let findings = bench.findings();
        Seen {
            log: log.ok(),
            findings: findings
                .iter()
                .map(|finding| finding.rule.to_string())
                .collect(),
            bug_check: match bench.outcome() {
                Some(Outcome::BugCheck { bug_check, .. }) => Some(bug_check.code),
                _ => None,
            },
        }
    }

    fn request(&self) -> Vec<u8> {
        [self.number.to_le_bytes(), self.variant.to_le_bytes()].concat()
    }

    fn steps(&self, bench: &Bench) -> Result<String, BenchError> {
        bench.load()?;
        bench.start("dev")?;
        bench.open("dev")?;
        bench
            .ioctl("dev", RUN, &self.request(), 0)?
            .expect_success()?;
        if self.neighbour {
            bench.start("neighbour")?;
            bench.open("neighbour")?;
            // It does as the page says.
            let right = [self.number.to_le_bytes(), 0_u32.to_le_bytes()].concat();
            bench.ioctl("neighbour", RUN, &right, 0)?.expect_success()?;
        }
        for _ in 0..self.presses {
            bench.press("dev")?;
            bench.run_until_idle()?;
            bench.release("dev")?;
            bench.run_until_idle()?;
        }
        if self.neighbour {
            bench.press("neighbour")?;
            bench.run_until_idle()?;
            let right = [self.number.to_le_bytes(), 0_u32.to_le_bytes()].concat();
            bench
                .ioctl("neighbour", END, &right, LOG_BYTES)?
                .expect_success()?;
            bench.close("neighbour")?;
            bench.remove("neighbour")?;
        }
        let end = bench.ioctl("dev", END, &self.request(), LOG_BYTES)?;
        let log = end.expect_success()?.data;
        bench.close("dev")?;
        bench.remove("dev")?;
        bench.unload()?;
        Ok(String::from_utf8(log).expect("the driver writes ASCII"))
    }

    /// It runs clean and writes this down.
    #[track_caller]
    fn is(self, log: &str) {
        let seen = self.play();
        assert_eq!(seen.findings, [""; 0], "{:?}", seen.log);
        assert_eq!(seen.log.as_deref(), Some(log));
    }

    /// It is told of these rules.
    #[track_caller]
    fn breaks(self, rules: &[&str]) -> Seen {
        let seen = self.play();
        assert_eq!(seen.findings, rules, "{:?} {:?}", seen.log, seen.bug_check);
        seen
    }
}

const OLD: [WindowsVersion; 2] = [WindowsVersion::WinXp64, WindowsVersion::Server2003];

/// "Using the CONNECT_FULLY_SPECIFIED Version of IoConnectInterruptEx".
#[test]
fn the_table_of_members_connects_a_line_an_edge_and_each_message() {
    for windows in WindowsVersion::ALL {
        let one = || example(1, button()).windows(windows).presses(2);
        one().is("connect SUCCESS, version 1\nisr at own\nisr at own\n");
        let edge = Example {
            device: edge(),
            ..one()
        };
        edge.is("connect SUCCESS, version 1\nisr at own\nisr at own\n");
        example(1, line())
            .windows(windows)
            .is("connect SUCCESS, version 1\n");
    }
    example(1, messages(3)).is(&"connect SUCCESS, version 1\n".repeat(3));
}

/// "Using the CONNECT_LINE_BASED Version of IoConnectInterruptEx".
#[test]
fn line_based_stays_version_2() {
    example(2, button())
        .presses(1)
        .is("connect SUCCESS, version 2\nisr at own\n");
}

/// "Using the CONNECT_MESSAGE_BASED Version of IoConnectInterruptEx".
#[test]
fn message_based_is_version_3_with_messages_and_2_with_a_line() {
    example(3, messages(4)).is("connect SUCCESS, version 3\n");
    example(3, button())
        .presses(1)
        .is("connect SUCCESS, version 2\nisr at own\n");
}

/// Its example does not set ConnectionContext.
#[test]
fn message_based_as_printed_has_no_place_for_the_result() {
    for device in [messages(4), button()] {
        let seen = example(3, device).variant(1).breaks(&["DQ0410"]);
        let log = "connect INVALID_PARAMETER, version 3\n";
        assert_eq!(seen.log.as_deref(), Some(log));
    }
}

/// "Using IoConnectInterruptEx Prior to Windows Vista", as its code does it.
#[test]
fn the_retry_for_old_systems_happens_there_and_nowhere_else() {
    for windows in OLD {
        example(4, button())
            .windows(windows)
            .presses(1)
            .is("retry\nconnect SUCCESS, version 1\nisr at own\n");
    }
    for windows in [WindowsVersion::Vista, WindowsVersion::Ten] {
        // No messages and no fallback: another reason.
        example(4, button()).windows(windows).is("no retry\n");
        example(4, messages(2))
            .windows(windows)
            .is("connect SUCCESS, version 3\n");
    }
}

/// Its text has the condition the other way round: the driver stays without an interrupt.
#[test]
fn the_retry_as_its_text_says_leaves_old_systems_without_an_interrupt() {
    for windows in OLD {
        example(4, button())
            .windows(windows)
            .variant(1)
            .is("no retry\n");
    }
    example(4, button())
        .variant(1)
        .presses(1)
        .is("retry\nconnect SUCCESS, version 1\nisr at own\n");
}

/// "Making an ISR Active or Inactive".
#[test]
fn an_inactive_isr_is_not_called_and_an_asserted_line_waits() {
    for windows in [WindowsVersion::Eight, WindowsVersion::Eleven] {
        example(9, line())
            .windows(windows)
            .is("connect SUCCESS, version 2\ninactive\nisr at own\nactive\n");
    }
}

/// "Using Passive-Level Interrupt Service Routines".
#[test]
fn a_passive_isr_may_wait_and_has_no_spin_lock() {
    for device in [button(), edge()] {
        example(10, device)
            .presses(2)
            .is("connect SUCCESS, version 1\npassive isr at 0\npassive isr at 0\n");
    }
    let seen = example(10, button()).variant(1).breaks(&["DQ0522"]);
    assert_eq!(
        seen.log.as_deref(),
        Some("connect INVALID_PARAMETER, version 1\n")
    );
}

/// "Handling Active-Both Interrupts".
#[test]
fn each_edge_of_a_button_is_one_call() {
    example(11, edge())
        .presses(3)
        .is("connect SUCCESS, version 1\nisr at own\nisr at own\nisr at own\n");
}

/// As printed: an exclusive interrupt is 1, which is TRUE; the second release disconnects again.
#[test]
fn active_both_as_printed_shares_an_exclusive_line_and_disconnects_twice() {
    example(11, edge())
        .variant(1)
        .presses(1)
        .breaks(&["DQ0135", "DQ0131"]);
}

/// "Writing an ISR".
#[test]
fn an_isr_that_takes_the_steps_is_clean() {
    let one = example(15, button()).presses(2);
    one.is("connect SUCCESS, version 1\ndpc 0 at 2\ndpc 0 at 2\n");
}

#[test]
fn an_isr_that_does_not_ask_whether_its_device_interrupted_is_told() {
    let example = Example {
        neighbour: true,
        ..example(15, button()).variant(1)
    };
    // The neighbour is never asked, so its line stays asserted.
    let seen = example.breaks(&["DQ0123", "DQ0122"]);
    assert_eq!(seen.bug_check, Some(0xF2));
}

#[test]
fn an_isr_that_does_not_stop_its_device_is_a_storm() {
    let seen = example(15, button())
        .variant(2)
        .presses(1)
        .breaks(&["DQ0122"]);
    assert_eq!(seen.bug_check, Some(0xF2));
}

/// What the ends of "Using Spin Locks: An Example" say, over many orders of four processors.
fn spin_lock_example(variant: u32) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let one = Example {
        device: DeviceSpec::new("dev", "msix")
            .option("queues", 2)
            .interrupts(Interrupts::Line)
            .line(20),
        ..example(16, line()).variant(variant)
    };
    let build = || {
        let driver = dirql_contract::directory().join("driver/examples-iointex.sys");
        let builder = Bench::builder().processors(4).device(one.device.clone());
        Ok(builder.driver(Driver::file(driver)?))
    };
    let strategy = Strategy::Pct {
        seeds: 0..ORDERS,
        depth: 3,
    };
    let explored = Explorer::new(strategy).check(build, |bench| {
        seen.extend(one.steps(bench)?.lines().map(str::to_owned));
        Ok(())
    });
    explored.unwrap_or_else(|failed| panic!("{failed}"));
    seen
}

/// "Using Spin Locks: An Example": its schedule is found, and the one in which the ISR comes
/// again before the DPC.
#[test]
fn an_isr_start_io_and_a_dpc_meet_at_the_interrupts_lock() {
    let right = spin_lock_example(0);
    assert_eq!(right, ["all three", "processed"].map(String::from).into());
}

#[test]
fn what_a_second_interrupt_saves_over_the_first_is_lost_in_some_order() {
    let wrong = spin_lock_example(1);
    assert_eq!(
        wrong,
        ["all three", "lost", "processed"].map(String::from).into()
    );
}

/// "Using an IoTimer Routine": its three outcomes.
#[test]
fn a_device_is_in_time_or_reset_once_or_given_up() {
    let one = |variant| example(18, line()).variant(variant);
    one(0).is("connect SUCCESS, version 1\ndone\n");
    one(1).is("connect SUCCESS, version 1\nreset at 2\ndone\n");
    one(2).is("connect SUCCESS, version 1\nreset at 2\nfailed\n");
}

/// "Using Extended Processor Features in Windows Drivers".
#[test]
fn extended_registers_are_used_up_to_dispatch_level() {
    example(30, line()).is("14 at 0\n");
    example(30, line()).variant(1).is("14 at 2\n");
    example(30, line())
        .windows(WindowsVersion::Vista)
        .is("not there\n");
    let seen = example(30, line()).variant(2).breaks(&["DQ0100"]);
    assert_eq!(seen.bug_check, Some(0x131));
}

/// "Dynamically Configuring MSI-X", GUID_MSIX_TABLE_CONFIG_INTERFACE.
#[test]
fn the_entries_of_an_msix_table_are_mapped_and_masked_while_the_device_runs() {
    let log = "too small INVALID_PARAMETER\ninterface SUCCESS\nversion 1\nmessage 1\nset SUCCESS\n\
         message 2\nmask SUCCESS\nmessage 2\nunmask SUCCESS\nno such entry INVALID_PARAMETER\n\
         no such message INVALID_PARAMETER\n";
    for windows in [WindowsVersion::Vista, WindowsVersion::Eleven] {
        let seen = example(37, messages(3)).windows(windows);
        let seen = seen.breaks(&["DQ0580", "DQ0580"]);
        assert_eq!(seen.log.as_deref(), Some(log));
    }
}

#[test]
fn a_device_without_messages_has_no_entries_to_map() {
    let refused = "INVALID_PARAMETER\n";
    let asked = ["set", "mask", "unmask", "no such entry", "no such message"];
    let answers: String = asked
        .iter()
        .map(|question| format!("{question} {refused}"))
        .collect();
    let log = format!("too small {refused}interface SUCCESS\nversion 1\n{answers}");
    let seen = example(37, line()).breaks(&["DQ0580"; 5]);
    assert_eq!(seen.log, Some(log));
    for windows in OLD {
        let log = "too small NOT_SUPPORTED\ninterface NOT_SUPPORTED\n";
        example(37, line()).windows(windows).is(log);
    }
}

/// "Accessing Shared State Information".
#[test]
fn a_critical_section_keeps_the_isr_out() {
    example(17, line()).is("connect SUCCESS, version 1\ncritical section at own\nisr at own\n");
}

#[test]
fn the_interrupts_lock_taken_with_the_wrong_routine_is_a_deadlock() {
    example(17, line()).variant(1).breaks(&["DQ0110"]);
}

/// "Unload Routine Functionality".
#[test]
fn what_is_left_connected_is_told() {
    example(14, button())
        .presses(1)
        .is("connect SUCCESS, version 1\nisr at own\n");
    // When its device is removed, deleted, and when the driver is unloaded.
    example(14, button()).variant(1).breaks(&["DQ0132"; 3]);
}

/// "Registering and Queuing a DpcForIsr Routine".
#[test]
fn several_interrupts_may_give_one_run_of_dpc_for_isr() {
    example(20, line()).is("connect SUCCESS, version 1\nDpcForIsr 0 after 2\n");
}

#[test]
fn a_context_for_each_interrupt_is_dropped_and_told() {
    let seen = example(20, line()).variant(1).breaks(&["DQ0143"]);
    let log = "connect SUCCESS, version 1\nDpcForIsr 1 after 2\n";
    assert_eq!(seen.log.as_deref(), Some(log));
}

/// "Registering and Queuing a CustomDpc Routine", "Which Type of DPC Should You Use?".
#[test]
fn two_interrupts_make_one_run_of_each_dpc_in_the_order_of_queueing() {
    example(21, line()).is(
        "connect SUCCESS, version 1\nisr TRUE TRUE TRUE\nisr FALSE FALSE FALSE\n\
         dpc 0 at 2\ndpc 1 at 2\ndpc 2 at 2\n",
    );
}

/// "Organization of DPC Queues".
#[test]
fn a_dpc_of_high_importance_goes_first() {
    example(21, line()).variant(1).is(
        "connect SUCCESS, version 1\nisr TRUE TRUE TRUE\nisr FALSE FALSE FALSE\n\
         dpc 2 at 2\ndpc 0 at 2\ndpc 1 at 2\n",
    );
}

/// "Converting an Ordinary DPC to a Threaded DPC", "Introduction to Threaded DPCs".
#[test]
fn a_converted_threaded_dpc_is_clean_whether_or_not_it_is_threaded() {
    example(24, line()).is("threaded dpc at 0\n");
    let off = Example {
        readings: vec![Reading::NoThreadedDpcs],
        ..example(24, line())
    };
    off.is("threaded dpc at 2\n");
}

#[test]
fn a_threaded_dpc_that_was_not_converted_is_told_where_it_is_threaded() {
    let seen = example(24, line()).variant(1).play();
    assert!(!seen.findings.is_empty());
    assert!(
        seen.findings.iter().all(|rule| rule == "DQ0100"),
        "{:?}",
        seen.findings
    );
    let off = Example {
        readings: vec![Reading::NoThreadedDpcs],
        ..example(24, line()).variant(1)
    };
    off.is("threaded dpc at 2\n");
}

/// "Queued Spin Locks".
#[test]
fn queued_and_ordinary_routines_do_not_go_together() {
    example(26, line()).is("queued lock at 2\n");
    example(26, line()).variant(1).breaks(&["DQ0113"]);
}

/// "Preventing Errors and Deadlocks While Using Spin Locks".
#[test]
fn a_lock_is_not_taken_twice() {
    example(27, line()).is("spin lock at 2\n");
    example(27, line()).variant(1).breaks(&["DQ0110"]);
}

/// KeIpiGenericCall.
#[test]
fn an_ipi_runs_everywhere_and_returns_what_the_callers_run_returned() {
    for processors in [1, 2, 5] {
        let one = Example {
            processors,
            ..example(29, line())
        };
        one.is(&format!("ipi 1400, runs {processors}\n"));
    }
}

/// "Managing Hardware Priorities", and the pages of the routines.
#[test]
fn what_may_be_called_at_dirql_is_called_without_a_finding_and_the_rest_is_told() {
    const ALLOWED: [&str; 15] = [
        "InsertQueueDpc",
        "RemoveQueueDpc",
        "InitializeDpc",
        "SetImportanceDpc",
        "SetTargetProcessorDpc",
        "SynchronizeExecution",
        "InterruptSpinLock",
        "RaiseAndLower",
        "ExInterlockedList",
        "StallExecutionProcessor",
        "QueryPerformanceCounter",
        "GetPhysicalAddress",
        "DbgPrint",
        "CopyMemory",
        "GetAffinity",
    ];
    const REFUSED: u32 = 14;
    for variant in 0..ALLOWED.len() as u32 + REFUSED {
        let seen = example(31, line()).variant(variant).play();
        match ALLOWED.get(variant as usize) {
            Some(name) => {
                assert_eq!(seen.findings, [""; 0], "{name}");
                let log = seen.log.expect("it comes to its end");
                assert!(log.starts_with(name), "{log} {name}");
            }
            None => assert!(
                seen.findings
                    .first()
                    .is_some_and(|rule| ["DQ0100", "DQ0101"].contains(&rule.as_str())),
                "{variant}: {:?} {:?}",
                seen.log,
                seen.findings
            ),
        }
    }
    example(31, line())
        .variant(ALLOWED.len() as u32 + REFUSED)
        .is("no more");
}
