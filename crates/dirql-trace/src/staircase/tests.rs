//! A drawing of a thread that is interrupted while it holds a lock.

use snapbox::{assert_data_eq, str};

use super::*;
use crate::tests::with_a_finding;
use crate::{Numbers, Recorder};
use dirql_kernel::EventSink as _;

fn drawn(width: usize) -> String {
    let (mut recorder, recording) = Recorder::new(1000);
    for entry in with_a_finding() {
        recorder.record(entry.stamp, &entry.event);
    }
    let mut out = Vec::new();
    draw_recording(&mut out, &recording, &Numbers, width).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_run_is_a_staircase() {
    assert_data_eq!(
        drawn(110),
        str![[r#"
                           1      2    3  4  5  6
line 17               ______________/‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾
lock a                ···········000000000000000000000000
processor 0  DIRQL 6                        ┌ISR 0x1000 ─
             DISPATCH            ┌──────────┘
             PASSIVE  ─thread 1 ─┘
processor 1  PASSIVE    ─idle ───────────────────────────

  lock a is 0x5000
    1  step 1     processor 0  == read edu0
①   2  step 3     processor 0  earlier: it was taken here, at 0x101a
◆   3  step 4     processor 0  SWITCH: vector 0x60 arrives at processor 0 now, while 0x101a waits
    4  step 5     processor 0  vector 0x60 pending at processor 0
    5  step 6     processor 0  ISR 0x1000 called for vector 0x60
②   6  step 9     processor 0  FINDING DQ0120: this processor waits for a spin lock that it already holds, at 0x1052

"#]]
    );
}

#[test]
fn a_narrow_drawing_goes_on_below() {
    let narrow = drawn(60);
    assert!(narrow.matches("processor 0 ").count() > 1, "{narrow}");
    for line in narrow.lines().take_while(|line| !line.is_empty()) {
        assert!(line.chars().count() <= 60, "{line}");
    }
}
