//! Every bundled sample with every single failure: it survives, and leaves nothing behind.

use std::path::PathBuf;
use std::process::{Command, Output};

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../samples")
}

fn run(sample: &str, more: &[&str]) -> Output {
    let file = format!("{sample}/{sample}.sys");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dirql"));
    command
        .current_dir(samples())
        .args(["run", &file, "--format", "json"])
        .args(more)
        .output()
        .expect("the command line can be started")
}

fn report(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    })
}

/// Runs a sample once for each thing of a kind that can fail.
fn survives(sample: &str, kind: &str, counter: &str) {
    let whole = report(&run(sample, &[]));
    let count = whole["failure_points"][counter].as_u64().expect("a count");
    assert!(count > 0, "{sample} {kind}");
    for number in 1..=count {
        let point = format!("{kind}:{number}");
        let output = run(sample, &["--fail", &point]);
        let report = report(&output);
        assert_eq!(
            (
                report["findings"].as_array().map(Vec::len),
                output.status.code()
            ),
            (Some(0), Some(0)),
            "{sample} {point} {}\n{:#}",
            report["failed"],
            report["findings"]
        );
        assert!(
            report["failed"]["what"].is_string(),
            "{sample} {point} was not reached"
        );
    }
}

macro_rules! robust {
    ($($name:ident = $sample:literal;)*) => {
        $(mod $name {
            #[test]
            fn survives_every_failing_allocation() {
                super::survives($sample, "allocation", "allocations");
            }

            #[test]
            fn survives_every_failing_call() {
                super::survives($sample, "call", "calls");
            }
        })*

        #[test]
        fn no_sample_is_forgotten() {
            let entries = samples().read_dir().expect("they can be listed");
            let entries = entries.map(|entry| entry.expect("it can be read").path());
            let mut names: Vec<_> = entries
                .filter(|path| path.is_dir())
                .map(|path| path.file_name().unwrap_or_default().to_owned())
                .collect();
            names.sort();
            assert_eq!(names, [$($sample),*]);
        }
    };
}

robust! {
    button_rust = "button-rust";
    edu_dma = "edu-dma";
    edu_fully_specified = "edu-fully-specified";
    edu_iointex = "edu-iointex";
    edu_line_based = "edu-line-based";
    edu_message_based = "edu-message-based";
    legacy_two_vectors = "legacy-two-vectors";
    nvme_msix = "nvme-msix";
    parport_fifo = "parport-fifo";
    parport_reader = "parport-reader";
    parport_rival = "parport-rival";
    serial_16550 = "serial-16550";
}
