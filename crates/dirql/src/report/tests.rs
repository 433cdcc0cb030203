//! Reports as text and as JSON.

use std::collections::BTreeMap;

use anstream::StripStream;
use dirql_abi::NtStatus;
use dirql_kernel::WindowsVersion;
use dirql_rules::{Context, Finding, Place, ids};
use snapbox::prelude::*;
use snapbox::{assert_data_eq, str};

use super::{
    Detail, DeviceReport, DriverReport, FindingReport, InterruptReport, Report, ResourceReport,
    StepReport, Verdict, write_report,
};
use crate::bench::Addresses;

fn text(report: &Report, detail: Detail) -> String {
    let mut out = StripStream::new(Vec::new());
    write_report(&mut out, report, detail).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

fn finding() -> FindingReport {
    let place = Place {
        step: 120,
        time_100ns: 5,
        processor: 1,
        irql: 2,
        context: Context::Dpc,
        ddi: Some("KeWaitForSingleObject"),
        address: 0,
    };
    let earlier = Place {
        ddi: None,
        context: Context::Isr(0x61),
        irql: 6,
        step: 100,
        ..place.clone()
    };
    let finding = Finding {
        rule: ids::WAIT_LEVEL,
        message: "KeWaitForSingleObject was called at DISPATCH_LEVEL".into(),
        place,
        earlier: Some(("the DPC was queued here".into(), earlier)),
    };
    let mut report = FindingReport::new(&finding, &Addresses::default());
    report.place.code = Some("edu.sys!EduDpc+0x42 (edu.c:98)".into());
    report
}

fn report() -> Report {
    let interrupt = |message, latched| ResourceReport::Interrupt {
        message,
        line: 17,
        count: 1,
        vector: 0x60,
        irql: 6,
        latched,
        shared: !latched,
    };
    let step = |thread, step: &str, result: Option<&str>, met| StepReport {
        thread,
        line: 1,
        step: step.into(),
        place: String::new(),
        sends: None,
        result: result.map(Into::into),
        met,
    };
    let memory = ResourceReport::Memory {
        base: 0xC000_0000,
        length: 0x1000,
    };
    let several = ResourceReport::Interrupt {
        message: true,
        line: 0,
        count: 4,
        vector: 0x70,
        irql: 7,
        latched: true,
        shared: true,
    };
    let mut report = Report::empty(WindowsVersion::Eleven, 2);
    report.verdict = Verdict::Findings;
    report.replay = "dirql run edu.sys".into();
    report.scenario = Some("edu.toml".into());
    report.drivers = vec![
        DriverReport {
            name: "edu.sys".into(),
            loaded: true,
            refused: None,
            unloaded: true,
        },
        DriverReport {
            name: "no.sys".into(),
            loaded: false,
            refused: Some(NtStatus::UNSUCCESSFUL.to_string()),
            unloaded: false,
        },
    ];
    report.devices = vec![DeviceReport {
        name: "edu0".into(),
        model: "edu".into(),
        hardware_id: r"PCI\VEN_1234&DEV_11E8".into(),
        starts: vec![
            vec![memory.clone(), interrupt(false, false)],
            vec![memory, interrupt(false, false)],
            vec![
                ResourceReport::Port {
                    base: 0x280,
                    length: 4,
                },
                several,
            ],
            vec![interrupt(true, true), interrupt(false, true)],
            vec![],
        ],
    }];
    report.steps = vec![
        step(0, "start edu0", Some("STATUS_SUCCESS (0x00000000)"), true),
        step(1, "read edu0 4 bytes", None, true),
        step(
            1,
            "close edu0",
            Some("STATUS_UNSUCCESSFUL (0xC0000001)"),
            false,
        ),
    ];
    report.interrupts = vec![
        InterruptReport {
            source: "edu0 line 17".into(),
            vector: 0x60,
            irql: 6,
            delivered: BTreeMap::from([(0, 2), (1, 3)]),
            isr_calls: 5,
            claimed: 4,
        },
        InterruptReport {
            source: "edu0 message 0".into(),
            vector: 0x70,
            irql: 7,
            delivered: BTreeMap::new(),
            isr_calls: 0,
            claimed: 0,
        },
    ];
    report.dpcs = 3;
    report.ddi_calls =
        BTreeMap::from([("IoConnectInterrupt".into(), 1), ("KeSetEvent".into(), 12)]);
    report.prints = vec!["edu: started".into()];
    report.findings = vec![finding()];
    report.step_count = 130;
    report.time_100ns = 25;
    report
}

#[test]
fn a_hostile_device_that_did_not_start_is_told_with_what_to_do() {
    let mut report = report();
    let hint = "its registers read as they like";
    assert!(!text(&report, Detail::Summary).contains(hint));
    for device in &mut report.devices {
        device.model = "hostile".into();
        device.starts.clear();
    }
    assert!(text(&report, Detail::Summary).contains(hint));
}

#[test]
fn a_summary_says_what_happened_and_what_is_wrong() {
    assert_data_eq!(text(&report(), Detail::Summary), str![[r#"
Windows 11, 2 processors
  scenario edu.toml
  driver edu.sys: loaded, unloaded
  driver no.sys: DriverEntry returned STATUS_UNSUCCESSFUL (0xC0000001)
  device edu0 (edu, PCI\VEN_1234&DEV_11E8)
    started with memory 0xc0000000 to 0xc0000fff; line 17 (vector 0x60, DIRQL 6, level-sensitive, shared)
    started again with the same resources
    started with ports 0x280 to 0x283; 4 messages (vectors from 0x70, DIRQL 7)
    started with a message (vector 0x60, DIRQL 6); line 17 (vector 0x60, DIRQL 6, latched, exclusive)
    started with nothing

What was done
  [0] start edu0         STATUS_SUCCESS
  [1] read edu0 4 bytes  did not come to its end
  [1] close edu0         STATUS_UNSUCCESSFUL (0xC0000001)  <- not as expected

Interrupts
  source          vector  DIRQL  taken  on processor  ISR calls  claimed
  edu0 line 17    0x60    6      5      0: 2, 1: 3    5          4
  edu0 message 0  0x70    7      0      -             0          0
  DPC routines called: 3

error[DQ0160]: nothing waits at or above DISPATCH_LEVEL
  KeWaitForSingleObject was called at DISPATCH_LEVEL
    at edu.sys!EduDpc+0x42 (edu.c:98), calling KeWaitForSingleObject
       step 120, processor 1, DISPATCH_LEVEL, DPC
  earlier: the DPC was queued here
       step 100, processor 1, DIRQL 6, ISR of vector 0x61
  help: queue a work item and wait there
  on Windows: 0xC4 0x3B, 0xB8 ATTEMPTED_SWITCH_FROM_DPC

1 finding
again: dirql run edu.sys

"#]].raw());
}

#[test]
fn everything_is_the_summary_and_the_counters() {
    let text = text(&report(), Detail::Everything);
    for line in [
        "  start edu0         STATUS_SUCCESS (0x00000000)\n",
        "  IoConnectInterrupt  1\n",
        "  KeSetEvent          12\n",
        "130 steps, 2.5 us of virtual time\n",
        "  edu: started\n",
    ] {
        assert!(text.contains(line.trim_start()), "{line}{text}");
    }
}

#[test]
fn quiet_says_only_what_is_wrong() {
    let mut report = report();
    let quiet = text(&report, Detail::Quiet);
    assert!(quiet.starts_with("error[DQ0160]: "), "{quiet}");
    assert!(
        quiet.ends_with("1 finding\nagain: dirql run edu.sys\n"),
        "{quiet}"
    );
    report.findings.clear();
    report.verdict = Verdict::Clean;
    assert_eq!(text(&report, Detail::Quiet), "");
}

#[test]
fn a_verdict_says_why_there_is_none() {
    let mut report = Report::empty(WindowsVersion::Ten, 1);
    report.ended_early = Some("its 5 steps are used up".into());
    let end =
        "the run ended early: its 5 steps are used up\nno verdict: the run was not long enough\n";
    assert_eq!(text(&report, Detail::Quiet), end);
}

#[test]
fn advice_is_no_defect() {
    let mut report = report();
    report.findings[0].severity = "advice".into();
    report.verdict = Verdict::Clean;
    assert_eq!(report.counts(), (0, 1));
    let text = text(&report, Detail::Summary);
    assert!(
        text.ends_with("clean: nothing was found (1 piece of advice)\n"),
        "{text}"
    );
    assert!(text.contains("advice[DQ0160]: "), "{text}");
}

#[test]
fn json_comes_back_as_it_was() {
    let report = report();
    let json = serde_json::to_string(&report).unwrap();
    assert!(
        json.starts_with(r#"{"schema":"dirql-report/1","verdict":"findings","#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}
