//! The forms, the recorder and the counters, on one small run.

use std::io;
use std::rc::Rc;

use dirql_abi::{Irql, NtStatus};
use dirql_chips::{Level, MessageWrite, Vector, Width};
use dirql_kernel::ke::{Choice, ClockAction, ProcessorId, ThreadId};
use dirql_kernel::{Event, EventSink, Stamp};
use dirql_rules::{Context, Finding, Place, ids};
use snapbox::prelude::*;
use snapbox::{assert_data_eq, str};

use crate::{
    Both, Counters, Entry, Form, JSON_SCHEMA, Names, Numbers, Record, Recorder, Stream, Timeline,
    read, write_all,
};

/// Knows one routine.
struct OneRoutine;

impl Names for OneRoutine {
    fn name(&self, address: u64) -> Option<String> {
        (address == 0x1000).then(|| "edu.sys!EduIsr".into())
    }
}

fn stamp(step: u64, irql: u8, context: Context) -> Stamp {
    Stamp {
        step,
        time_100ns: step * 7,
        processor: 1,
        irql,
        context,
    }
}

/// A thread is interrupted inside KeSetEvent.
fn run() -> Vec<Entry> {
    let thread = Context::Thread(2);
    let isr = Context::Isr(0x61);
    let events = [
        (0, 0, thread, Event::Landmark("write edu0".into())),
        (
            1,
            0,
            thread,
            Event::DdiEnter {
                name: "KeSetEvent",
                caller: 0x2000,
            },
        ),
        (
            2,
            0,
            thread,
            Event::Line {
                gsi: 17,
                level: Level::High,
            },
        ),
        (
            2,
            0,
            thread,
            Event::Message(MessageWrite {
                address: 0xFEE0_0000,
                data: 0x61,
            }),
        ),
        (
            2,
            0,
            thread,
            Event::Pending {
                target: 1,
                vector: Vector(0x61),
            },
        ),
        (
            2,
            6,
            thread,
            Event::Irql {
                from: Irql(0),
                to: Irql(6),
            },
        ),
        (2, 6, thread, Event::Delivered(Vector(0x61))),
        (
            2,
            6,
            isr,
            Event::IsrEnter {
                vector: Vector(0x61),
                object: 0x3000,
                routine: 0x1000,
            },
        ),
        (
            3,
            6,
            isr,
            Event::DeviceRead {
                address: 0x24,
                port: false,
                width: Width::U32,
                value: 1,
                instruction: 0x1000,
            },
        ),
        (
            4,
            6,
            isr,
            Event::DeviceWrite {
                address: 0x280,
                port: true,
                width: Width::U8,
                value: 255,
                instruction: 0,
            },
        ),
        (
            5,
            6,
            isr,
            Event::DpcQueued {
                dpc: 0x4000,
                target: 1,
            },
        ),
        (
            5,
            6,
            isr,
            Event::IsrLeave {
                vector: Vector(0x61),
                claimed: true,
            },
        ),
        (5, 6, thread, Event::EndOfInterrupt(Vector(0x61))),
        (
            6,
            2,
            Context::Dpc,
            Event::DpcEnter {
                dpc: 0x4000,
                routine: 0x1100,
            },
        ),
        (7, 2, Context::Dpc, Event::DpcLeave { dpc: 0x4000 }),
        (7, 2, thread, Event::LockTaken(0x5000)),
        (7, 2, thread, Event::LockWanted(0x5000)),
        (8, 2, thread, Event::LockReleased(0x5000)),
        (
            8,
            0,
            thread,
            Event::DdiLeave {
                name: "KeSetEvent",
                result: 0,
            },
        ),
        (
            9,
            0,
            thread,
            Event::RoutineEnter {
                kind: "DispatchWrite",
                routine: 0x1200,
            },
        ),
        (
            9,
            0,
            thread,
            Event::RoutineLeave {
                kind: "DispatchWrite",
                result: 0x103,
            },
        ),
        (9, 0, thread, Event::WaitBegin(0x6000)),
        (9, 0, Context::Idle, Event::ThreadSwitch(None)),
        (9, 0, thread, Event::ThreadSwitch(Some(2))),
        (9, 0, thread, Event::WaitEnd(NtStatus::SUCCESS)),
        (9, 0, thread, Event::DebugPrint("two\nlines\r\n".into())),
        (
            9,
            0,
            thread,
            Event::Connection {
                object: 0x3000,
                vector: Vector(0x61),
                connected: false,
            },
        ),
        (9, 0, thread, Event::Finding(finding())),
    ];
    events
        .map(|(step, irql, context, event)| Entry {
            stamp: stamp(step, irql, context),
            event,
        })
        .into()
}

fn finding() -> Finding {
    Finding {
        rule: ids::ISR_IRQL,
        message: "EduIsr returned at DIRQL 7".into(),
        place: Place::default(),
        earlier: None,
    }
}

/// A thread takes a lock; an interrupt that the schedule lets arrive now has its ISR want the
/// same one.
pub(crate) fn with_a_finding() -> Vec<Entry> {
    let thread = Context::Thread(1);
    let isr = Context::Isr(0x60);
    let vector = Vector(0x60);
    let place = |step, irql, context, ddi, address| Place {
        step,
        time_100ns: 0,
        processor: 0,
        irql,
        context,
        ddi: Some(ddi),
        address,
    };
    let take = "KeAcquireSpinLockRaiseToDpc";
    let finding = Finding {
        rule: ids::ISR_IRQL,
        message: "this processor waits for a spin lock that it already holds".into(),
        place: place(9, 6, isr, "ExInterlockedInsertTailList", 0x1052),
        earlier: Some((
            "it was taken here".into(),
            place(3, 2, thread, take, 0x101A),
        )),
    };
    let switch = Event::Switch {
        choice: Choice::Arrival {
            processor: ProcessorId(0),
            vector,
        },
        options: 3,
        address: 0x101A,
        after_call: true,
    };
    let enter = Event::DdiEnter {
        name: take,
        caller: 0x101A,
    };
    let leave = Event::DdiLeave {
        name: take,
        result: 0,
    };
    let called = Event::DdiEnter {
        name: "ExInterlockedInsertTailList",
        caller: 0x1052,
    };
    let called_isr = Event::IsrEnter {
        vector,
        object: 0x3000,
        routine: 0x1000,
    };
    let level = |from, to| Event::Irql {
        from: Irql(from),
        to: Irql(to),
    };
    let pending = Event::Pending { target: 0, vector };
    let high = Event::Line {
        gsi: 17,
        level: Level::High,
    };
    let events = [
        (0, 0, 0, thread, Event::ThreadSwitch(Some(1))),
        (0, 1, 0, Context::Idle, Event::ThreadSwitch(None)),
        (1, 0, 0, thread, Event::Landmark("read edu0".into())),
        (2, 0, 0, thread, enter),
        (3, 0, 2, thread, level(0, 2)),
        (3, 0, 2, thread, Event::LockTaken(0x5000)),
        (3, 0, 2, thread, leave),
        (4, 0, 2, thread, high),
        (4, 0, 2, thread, switch),
        (5, 0, 2, thread, pending),
        (5, 0, 6, thread, level(2, 6)),
        (5, 0, 6, thread, Event::Delivered(vector)),
        (6, 0, 6, isr, called_isr),
        (8, 0, 6, isr, called),
        (9, 0, 6, isr, Event::Finding(finding)),
    ];
    let entry = |(step, processor, irql, context, event)| Entry {
        stamp: Stamp {
            step,
            time_100ns: step * 10,
            processor,
            irql,
            context,
        },
        event,
    };
    events.map(entry).into()
}

/// Every kind of event, besides those of [`run`].
fn others() -> Vec<Entry> {
    let actions = [
        ClockAction::WaitTimeout(ThreadId(3)),
        ClockAction::Timer(0x2000_1000_16bb),
        ClockAction::Device {
            device: 2,
            token: 77,
        },
        ClockAction::IoTimers,
    ];
    let choices = [
        Choice::Processor(ProcessorId(255)),
        Choice::OtherThread(ProcessorId(1)),
    ];
    let mut events = vec![
        Event::LineMasked {
            gsi: 17,
            masked: true,
        },
        Event::EntryMasked {
            device: 1,
            entry: 2047,
            masked: false,
        },
        Event::BugCheck {
            text: "IRQL_NOT_LESS_OR_EQUAL (0xA)".into(),
            place: Place::default(),
        },
        Event::ThreadBegin(4),
        Event::ThreadEnd(4),
        Event::ThreadSwitch(Some(0)),
        Event::WaitEnd(NtStatus(-1)),
        Event::DdiLeave {
            name: "KeSetEvent",
            result: u64::MAX,
        },
    ];
    events.extend(actions.map(Event::DelayOver));
    let delays = actions.map(Choice::Delay);
    events.extend(
        choices
            .into_iter()
            .chain(delays)
            .enumerate()
            .map(|(number, choice)| Event::Switch {
                choice,
                options: 2 + number as u16,
                address: number as u64 * 0x1000,
                after_call: number % 2 == 0,
            }),
    );
    let entry = |event| Entry {
        stamp: Stamp {
            step: u64::MAX,
            ..stamp(10, 15, Context::CriticalSection)
        },
        event,
    };
    events.into_iter().map(entry).collect()
}

fn everything() -> Vec<Entry> {
    let mut all = run();
    all.extend(with_a_finding());
    all.extend(others());
    all
}

fn written(form: Form, names: Rc<dyn Names>) -> String {
    let mut bytes = Vec::new();
    write_all(&mut bytes, form, names, &run()).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn text_is_a_line_per_event_in_columns() {
    assert_data_eq!(
        written(Form::Text, Rc::new(OneRoutine)),
        str![[r#"
    step     time us cpu irql running           event
       0         0.0   1    0 thread 2          == write edu0
       1         0.7   1    0 thread 2          KeSetEvent called from 0x2000
       2         1.4   1    0 thread 2          line 17 high
       2         1.4   1    0 thread 2          message 0x61 to 0xfee00000
       2         1.4   1    0 thread 2          vector 0x61 pending at processor 1
       2         1.4   1    6 thread 2          IRQL 0 -> 6
       2         1.4   1    6 thread 2          vector 0x61 taken
       2         1.4   1    6 isr 0x61          ISR edu.sys!EduIsr called for vector 0x61
       3         2.1   1    6 isr 0x61          register 0x24 read: 0x00000001
       4         2.8   1    6 isr 0x61          port 0x280 written: 0xff
       5         3.5   1    6 isr 0x61          DPC 0x4000 queued to processor 1
       5         3.5   1    6 isr 0x61          ISR for vector 0x61 returned TRUE
       5         3.5   1    6 thread 2          vector 0x61 ended
       6         4.2   1    2 dpc               DPC 0x4000 runs 0x1100
       7         4.9   1    2 dpc               DPC 0x4000 returned
       7         4.9   1    2 thread 2          lock 0x5000 taken
       7         4.9   1    2 thread 2          lock 0x5000 wanted, and held
       8         5.6   1    2 thread 2          lock 0x5000 released
       8         5.6   1    0 thread 2          KeSetEvent returned 0x0
       9         6.3   1    0 thread 2          DispatchWrite 0x1200 called
       9         6.3   1    0 thread 2          DispatchWrite returned 0x103
       9         6.3   1    0 thread 2          waits for 0x6000
       9         6.3   1    0 idle              to the idle loop
       9         6.3   1    0 thread 2          to thread 2
       9         6.3   1    0 thread 2          wait ended: STATUS_SUCCESS (0x00000000)
       9         6.3   1    0 thread 2          prints: two\nlines
       9         6.3   1    0 thread 2          interrupt object 0x3000 disconnected from vector 0x61
       9         6.3   1    0 thread 2          FINDING DQ0120: EduIsr returned at DIRQL 7

"#]].raw()
    );
}

#[test]
fn json_lines_say_their_version_first() {
    assert_data_eq!(
        written(Form::JsonLines, Rc::new(OneRoutine)),
        str![[r#"
{"schema":"dirql-trace/1"}
{"step":0,"time_100ns":0,"processor":1,"irql":0,"context":"thread 2","event":"landmark","text":"write edu0"}
{"step":1,"time_100ns":7,"processor":1,"irql":0,"context":"thread 2","event":"ddi_enter","name":"KeSetEvent","caller":"0x2000"}
{"step":2,"time_100ns":14,"processor":1,"irql":0,"context":"thread 2","event":"line","line":17,"level":"high"}
{"step":2,"time_100ns":14,"processor":1,"irql":0,"context":"thread 2","event":"message","address":"0xfee00000","data":97}
{"step":2,"time_100ns":14,"processor":1,"irql":0,"context":"thread 2","event":"pending","target":1,"vector":97}
{"step":2,"time_100ns":14,"processor":1,"irql":6,"context":"thread 2","event":"irql","from":0,"to":6}
{"step":2,"time_100ns":14,"processor":1,"irql":6,"context":"thread 2","event":"delivered","vector":97}
{"step":2,"time_100ns":14,"processor":1,"irql":6,"context":"isr 0x61","event":"isr_enter","vector":97,"object":"0x3000","routine":"edu.sys!EduIsr"}
{"step":3,"time_100ns":21,"processor":1,"irql":6,"context":"isr 0x61","event":"device_read","address":"0x24","port":false,"bytes":4,"value":"0x1","at":"edu.sys!EduIsr"}
{"step":4,"time_100ns":28,"processor":1,"irql":6,"context":"isr 0x61","event":"device_write","address":"0x280","port":true,"bytes":1,"value":"0xff"}
{"step":5,"time_100ns":35,"processor":1,"irql":6,"context":"isr 0x61","event":"dpc_queued","dpc":"0x4000","target":1}
{"step":5,"time_100ns":35,"processor":1,"irql":6,"context":"isr 0x61","event":"isr_leave","vector":97,"claimed":true}
{"step":5,"time_100ns":35,"processor":1,"irql":6,"context":"thread 2","event":"end_of_interrupt","vector":97}
{"step":6,"time_100ns":42,"processor":1,"irql":2,"context":"dpc","event":"dpc_enter","dpc":"0x4000","routine":"0x1100"}
{"step":7,"time_100ns":49,"processor":1,"irql":2,"context":"dpc","event":"dpc_leave","dpc":"0x4000"}
{"step":7,"time_100ns":49,"processor":1,"irql":2,"context":"thread 2","event":"lock_taken","lock":"0x5000"}
{"step":7,"time_100ns":49,"processor":1,"irql":2,"context":"thread 2","event":"lock_wanted","lock":"0x5000"}
{"step":8,"time_100ns":56,"processor":1,"irql":2,"context":"thread 2","event":"lock_released","lock":"0x5000"}
{"step":8,"time_100ns":56,"processor":1,"irql":0,"context":"thread 2","event":"ddi_leave","name":"KeSetEvent","result":"0x0"}
{"step":9,"time_100ns":63,"processor":1,"irql":0,"context":"thread 2","event":"routine_enter","kind":"DispatchWrite","routine":"0x1200"}
{"step":9,"time_100ns":63,"processor":1,"irql":0,"context":"thread 2","event":"routine_leave","kind":"DispatchWrite","result":"0x103"}
{"step":9,"time_100ns":63,"processor":1,"irql":0,"context":"thread 2","event":"wait_begin","object":"0x6000"}
{"step":9,"time_100ns":63,"processor":1,"irql":0,"context":"idle","event":"thread_switch","thread":null}
{"step":9,"time_100ns":63,"processor":1,"irql":0,"context":"thread 2","event":"thread_switch","thread":2}
{"step":9,"time_100ns":63,"processor":1,"irql":0,"context":"thread 2","event":"wait_end","status":"STATUS_SUCCESS (0x00000000)"}
{"step":9,"time_100ns":63,"processor":1,"irql":0,"context":"thread 2","event":"debug_print","text":"two\nlines\r\n"}
{"step":9,"time_100ns":63,"processor":1,"irql":0,"context":"thread 2","event":"connection","object":"0x3000","vector":97,"connected":false}
{"step":9,"time_100ns":63,"processor":1,"irql":0,"context":"thread 2","event":"finding","rule":"DQ0120","message":"EduIsr returned at DIRQL 7","place":{"step":0,"processor":0,"irql":0,"context":"bench","ddi":null,"at":null},"earlier":null}

"#]].raw()
    );
}

#[test]
fn chrome_spans_are_balanced_in_every_lane() {
    let text = written(Form::Chrome, Rc::new(Numbers));
    let trace: serde_json::Value = serde_json::from_str(&text).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let mut open = std::collections::BTreeMap::<u64, Vec<u64>>::new();
    let mut last = None;
    for event in &events[1..] {
        let (lane, time) = (
            event["tid"].as_u64().unwrap(),
            event["ts"].as_u64().unwrap(),
        );
        assert!(last < Some(time), "time goes on");
        last = Some(time);
        match event["ph"].as_str().unwrap() {
            "B" => open.entry(lane).or_default().push(time),
            "E" => assert!(open.get_mut(&lane).and_then(Vec::pop).is_some(), "{event}"),
            "C" => assert_eq!(event["args"]["irql"], 6),
            "i" => assert_eq!(event["s"], "t"),
            other => panic!("{other}"),
        }
        assert_ne!(event["name"], "event", "{event}");
    }
    assert!(open.values().all(Vec::is_empty));
    assert_eq!(
        open.keys().copied().collect::<Vec<_>>(),
        [1, 1002],
        "one processor and one thread"
    );
}

/// Source: "Trace Event Format", the sections of the kinds of events that are used.
#[test]
fn chrome_events_have_what_their_phases_need() {
    let mut bytes = Vec::new();
    write_all(&mut bytes, Form::Chrome, Rc::new(Numbers), &everything()).unwrap();
    let trace: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert!(["ms", "ns"].contains(&trace["displayTimeUnit"].as_str().unwrap()));
    let events = trace["traceEvents"].as_array().unwrap();
    assert_eq!(events.len(), everything().len() + 1);
    for event in events {
        assert!(
            event["name"].as_str().is_some_and(|name| !name.is_empty()),
            "{event}"
        );
        assert!(event["pid"].is_u64() && event["tid"].is_u64(), "{event}");
        assert!(event["args"].is_object(), "{event}");
        match event["ph"].as_str().unwrap() {
            "M" => assert_eq!(event["name"], "process_name"),
            phase @ ("B" | "E" | "C" | "i") => {
                assert!(event["ts"].is_u64(), "{event}");
                assert_eq!(phase == "i", event.get("s").is_some(), "{event}");
                if phase == "C" {
                    let series = event["args"].as_object().unwrap().values();
                    assert!(series.into_iter().all(serde_json::Value::is_number));
                }
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_trace_without_events_is_complete() {
    let mut chrome = Vec::new();
    write_all(&mut chrome, Form::Chrome, Rc::new(Numbers), &[]).unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&chrome).is_ok());
    let mut lines = Vec::new();
    write_all(&mut lines, Form::JsonLines, Rc::new(Numbers), &[]).unwrap();
    assert_eq!(
        String::from_utf8(lines).unwrap(),
        "{\"schema\":\"dirql-trace/1\"}\n"
    );
}

#[test]
fn the_form_comes_from_the_name() {
    assert_eq!(Form::of_file("a.json"), Form::Chrome);
    assert_eq!(Form::of_file("a.b.jsonl"), Form::JsonLines);
    assert_eq!(Form::of_file("a.vcd"), Form::Vcd);
    assert_eq!(Form::of_file("a.txt"), Form::Text);
    assert_eq!(Form::of_file("-"), Form::Text);
    assert_eq!(Form::of_file("json"), Form::Text);
}

#[test]
fn a_recorder_keeps_the_last_events_up_to_its_limit() {
    let all = run();
    for limit in [0, 1, 5, all.len(), all.len() + 1] {
        let (mut recorder, recording) = Recorder::new(limit);
        for entry in &all {
            recorder.record(entry.stamp, &entry.event);
        }
        let kept = limit.min(all.len());
        assert_eq!(
            recording.entries(),
            all[all.len() - kept..],
            "limit {limit}"
        );
        assert_eq!(
            recording.dropped() as usize,
            all.len() - kept,
            "limit {limit}"
        );
        recording.clear();
        assert!(recording.entries().is_empty());
        assert_eq!(recording.dropped(), 0);
    }
}

#[test]
fn counters_count_by_vector_and_processor() {
    let (recorder, recording) = Recorder::new(100);
    let counters = Counters::default();
    let mut both = Both(counters.clone(), recorder);
    for entry in run() {
        both.record(entry.stamp, &entry.event);
    }
    let not_mine = Event::IsrLeave {
        vector: Vector(0x61),
        claimed: false,
    };
    both.record(
        Stamp {
            processor: 0,
            ..stamp(10, 6, Context::Isr(0x61))
        },
        &not_mine,
    );
    both.record(
        Stamp {
            processor: 0,
            ..stamp(10, 6, Context::Isr(0x61))
        },
        &Event::Delivered(Vector(0x61)),
    );
    let vector = counters.vector(0x61);
    assert_eq!(
        (
            vector.total(),
            vector.isr_calls,
            vector.claimed,
            vector.unclaimed()
        ),
        (2, 2, 1, 1)
    );
    assert_eq!(vector.delivered, [(0, 1), (1, 1)].into());
    assert_eq!(counters.vector(0x62), Default::default());
    assert_eq!(counters.vectors().len(), 1);
    assert_eq!(
        (
            counters.dpcs(),
            counters.messages(),
            counters.thread_switches()
        ),
        (1, 1, 2)
    );
    assert_eq!(counters.ddi_calls(), [("KeSetEvent", 1)].into());
    assert_eq!(
        recording.entries().len(),
        run().len() + 2,
        "the second sink was told as well"
    );
}

/// A writer that takes so many bytes and then fails.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_first_error_of_a_writer_is_reported_at_the_end() {
    for form in [Form::Text, Form::JsonLines, Form::Chrome, Form::Vcd] {
        for room in [0, 20, 200, 1000] {
            let mut stream = Stream::new(Full(room), form, Rc::new(Numbers));
            for entry in run() {
                stream.record(entry.stamp, &entry.event);
            }
            let error = stream.finish().expect_err("there is more than that");
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{form:?} {room}");
        }
    }
}

#[test]
fn a_recording_gives_back_what_it_was_told() {
    let all = everything();
    let kinds: std::collections::BTreeSet<u8> = all
        .iter()
        .map(|entry| crate::kind(&Record::new(&entry.event, &Numbers)))
        .collect();
    assert_eq!(kinds.len(), crate::KINDS.len(), "every kind is tried");
    let (mut recorder, recording) = Recorder::new(1_000_000);
    for _ in 0..200 {
        for entry in &all {
            recorder.record(entry.stamp, &entry.event);
        }
    }
    let back = recording.entries();
    assert_eq!(back.len(), 200 * all.len());
    for (number, entry) in back.iter().enumerate() {
        assert_eq!(*entry, all[number % all.len()], "event {number}");
    }
}

#[test]
fn a_recorder_takes_no_more_memory_than_its_limit_needs() {
    let all = everything();
    let (mut recorder, recording) = Recorder::new(5_000);
    for _ in 0..2_000 {
        for entry in &all {
            recorder.record(entry.stamp, &entry.event);
        }
    }
    let back = recording.entries();
    assert_eq!(back.len(), 5_000);
    assert_eq!(
        recording.dropped() as usize,
        2_000 * all.len() - back.len(),
        "the rest is counted"
    );
    assert_eq!(back.last(), all.last());
}

#[test]
fn json_lines_are_read_as_they_were_written() {
    let all = everything();
    let mut bytes = Vec::new();
    write_all(&mut bytes, Form::JsonLines, Rc::new(OneRoutine), &all).unwrap();
    let trace = read(&*bytes).unwrap();
    assert_eq!(trace.events.len(), all.len());
    for ((stamp, record), entry) in trace.events.iter().zip(&all) {
        assert_eq!(*stamp, entry.stamp);
        assert_eq!(*record, Record::new(&entry.event, &OneRoutine));
    }
    // The process was destroyed while it wrote a line.
    bytes.truncate(bytes.len() - 20);
    assert_eq!(read(&*bytes).unwrap().events.len(), all.len() - 1);
}

#[test]
fn what_is_no_trace_is_said() {
    let error = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
    let head = "{\"schema\":\"dirql-trace/1\"}\n";
    assert_eq!(
        error(""),
        "it is not a trace in JSON lines: its first line has no schema dirql-trace/1"
    );
    assert_eq!(
        error("{\"schema\":\"dirql-trace/2\"}\n"),
        "its form is dirql-trace/2, and this dirql reads dirql-trace/1"
    );
    assert!(error(&format!("{head}\n{{}}\n")).starts_with("line 3: "));
    let event = r#"{"step":0,"time_100ns":0,"processor":0,"irql":16,"context":"idle","event":"irql","from":0,"to":2}"#;
    assert_eq!(
        error(&format!("{head}{event}\n")),
        "line 2: 16 is not an IRQL"
    );
    let event = event.replace("idle", "asleep");
    assert_eq!(
        error(&format!("{head}{event}\n")),
        "line 2: `asleep` is not a context"
    );
}

#[test]
fn the_schema_takes_every_line_and_no_wrong_one() {
    let schema: serde_json::Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("trace.json", schema).unwrap();
    let mut schemas = boon::Schemas::new();
    let index = compiler.compile("trace.json", &mut schemas).unwrap();
    let judge = |line: &str| {
        let value = serde_json::from_str(line).unwrap();
        schemas
            .validate(&value, index)
            .map_err(|error| format!("{line}: {error:#}"))
    };
    let mut bytes = Vec::new();
    write_all(&mut bytes, Form::JsonLines, Rc::new(Numbers), &everything()).unwrap();
    for line in String::from_utf8(bytes).unwrap().lines() {
        judge(line).unwrap();
    }
    let right = r#"{"step":0,"time_100ns":0,"processor":0,"irql":2,"context":"idle","event":"irql","from":0,"to":2}"#;
    judge(right).unwrap();
    for (from, to) in [
        ("\"irql\":2", "\"irql\":16"),
        (",\"to\":2", ""),
        ("idle", "asleep"),
        ("\"step\":0,", ""),
        ("\"event\":\"irql\"", "\"event\":\"landmark\""),
    ] {
        judge(&right.replace(from, to)).unwrap_err();
    }
}

/// What an independent reader of value change dumps makes of ours: the names of the signals, and
/// the value of each after each event.
#[test]
fn a_value_change_dump_is_read_by_others() {
    let mut bytes = Vec::new();
    write_all(&mut bytes, Form::Vcd, Rc::new(Numbers), &with_a_finding()).unwrap();
    let mut parser = vcd::Parser::new(&*bytes);
    let header = parser.parse_header().unwrap();
    let find = |path: &[&str]| {
        let path: Vec<&str> = std::iter::once("dirql")
            .chain(path.iter().copied())
            .collect();
        header
            .find_var(&path)
            .unwrap_or_else(|| panic!("{path:?}"))
            .code
    };
    let irql = find(&["processor0", "irql"]);
    let line = find(&["lines", "line17"]);
    let lock = find(&["locks", "lock_0x5000"]);
    find(&["processor1", "thread"]);
    let pending = find(&["vectors", "processor0_pending_0x60"]);
    let mut now = 0;
    let mut seen = Vec::new();
    for command in parser {
        match command.unwrap() {
            vcd::Command::Timestamp(time) => now = time,
            vcd::Command::ChangeScalar(code, value) => {
                let name = [(line, "line"), (pending, "pending")];
                if let Some((_, name)) = name.iter().find(|(known, _)| *known == code) {
                    seen.push(format!("{now} {name} {value}"));
                }
            }
            vcd::Command::ChangeVector(code, value) => {
                let name = [(irql, "irql"), (lock, "lock")];
                if let Some((_, name)) = name.iter().find(|(known, _)| *known == code) {
                    seen.push(format!("{now} {name} {value}"));
                }
            }
            _ => {}
        }
    }
    assert_eq!(
        seen,
        [
            "0 irql 0",
            "4 irql 10",
            "5 lock 1",
            "7 line 1",
            "9 pending 1",
            "10 irql 110",
            "11 pending 0",
        ]
    );
}

#[test]
fn a_findings_two_places_are_events() {
    let (mut recorder, recording) = Recorder::new(1_000);
    for entry in with_a_finding() {
        recorder.record(entry.stamp, &entry.event);
    }
    let timeline = Timeline::of_recording(&recording, &Numbers);
    assert_eq!(timeline.len(), 15);
    let [mark] = timeline.findings() else {
        panic!("{:?}", timeline.findings())
    };
    assert_eq!(mark.event, 14);
    assert_eq!(
        mark.earlier,
        Some((5, "it was taken here".into())),
        "where the lock was taken, not where the call began"
    );
    // A trace that was written and read gives the same picture.
    let mut bytes = Vec::new();
    write_all(
        &mut bytes,
        Form::JsonLines,
        Rc::new(Numbers),
        &with_a_finding(),
    )
    .unwrap();
    assert_eq!(Timeline::of_trace(&read(&*bytes).unwrap()), timeline);
}
