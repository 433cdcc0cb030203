//! Every bundled sample, as a user runs it.

use std::path::PathBuf;
use std::process::{Command, Output};

const SAMPLES: [&str; 9] = [
    "button-rust",
    "edu-dma",
    "edu-fully-specified",
    "edu-iointex",
    "edu-line-based",
    "edu-message-based",
    "legacy-two-vectors",
    "nvme-msix",
    "serial-16550",
];

/// Clients of the parallel port: drivers without a device, which need their scenario.
const CLIENTS: [&str; 3] = ["parport-fifo", "parport-reader", "parport-rival"];

/// Samples that also load where IoConnectInterruptEx does not exist.
const FOR_OLD_SYSTEMS: [&str; 4] = [
    "button-rust",
    "edu-iointex",
    "legacy-two-vectors",
    "serial-16550",
];

const OLD_SYSTEMS: [&str; 2] = ["winxp64", "server2003"];
const NEW_SYSTEMS: [&str; 6] = ["vista", "7", "8", "8.1", "10", "11"];

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../samples")
}

fn dirql(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dirql"));
    command
        .current_dir(samples())
        .args(arguments)
        .output()
        .expect("the command line can be started")
}

/// Standard output, standard error, exit code.
fn texts(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
    (
        text(&output.stdout),
        text(&output.stderr),
        output.status.code(),
    )
}

fn file(sample: &str) -> String {
    format!("{sample}/{sample}.sys")
}

fn run(sample: &str, more: &[&str]) -> (String, String, Option<i32>) {
    let file = file(sample);
    let mut arguments = vec!["run", &file];
    arguments.extend(more);
    texts(&dirql(&arguments))
}

#[test]
fn every_sample_runs_clean_on_every_windows_that_has_what_it_imports() {
    for sample in SAMPLES {
        let old = if FOR_OLD_SYSTEMS.contains(&sample) {
            &OLD_SYSTEMS[..]
        } else {
            &[]
        };
        for windows in old.iter().chain(&NEW_SYSTEMS) {
            for processors in ["1", "2", "5"] {
                let (out, err, code) =
                    run(sample, &["--windows", windows, "--processors", processors]);
                let what =
                    format!("{sample}, Windows {windows}, {processors} processors\n{out}\n{err}");
                assert_eq!(code, Some(0), "{what}");
                assert_eq!(err, "", "{what}");
                assert!(out.ends_with("clean: nothing was found\n"), "{what}");
            }
        }
    }
}

#[test]
fn every_client_of_the_port_runs_clean_on_every_windows() {
    for sample in CLIENTS {
        for windows in OLD_SYSTEMS.iter().chain(&NEW_SYSTEMS) {
            for processors in ["1", "2", "5"] {
                let (out, err, code) =
                    run(sample, &["--windows", windows, "--processors", processors]);
                let what =
                    format!("{sample}, Windows {windows}, {processors} processors\n{out}\n{err}");
                assert_eq!(code, Some(0), "{what}");
                assert_eq!(err, "", "{what}");
                assert!(out.ends_with("clean: nothing was found\n"), "{what}");
            }
        }
    }
}

/// What a scenario expects holds in every order, not only in the one that it was written in.
#[test]
fn random_orders_of_every_sample_are_clean() {
    // An order of the serial port's has a hundred thousand steps.
    let quick = SAMPLES.iter().filter(|sample| **sample != "serial-16550");
    for sample in quick.chain(&CLIENTS) {
        let file = file(sample);
        let random = ["explore", "--strategy", "random", "--budget", "24", &file];
        let (out, err, code) = texts(&dirql(&random));
        assert_eq!(code, Some(4), "{out}{err}");
        assert!(out.contains("24 interleavings, no finding"), "{out}{err}");
    }
}

#[test]
fn a_printer_prints_to_a_file() {
    let directory = std::env::temp_dir().join(format!("dirql-printer-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for ending in ["sys", "inf"] {
        let name = format!("parport-fifo.{ending}");
        std::fs::copy(
            samples().join("parport-fifo").join(&name),
            directory.join(&name),
        )
        .unwrap();
    }
    // More than the FIFO holds many times over, with every byte there is.
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let scenario = format!(
        r#"
[driver]
image = "parport-fifo.sys"
inf = "parport-fifo.inf"

[[device]]
name = "lpt1"
model = "parport"
output = "printed.bin"
registry = {{ EnableConnectInterruptIoctl = 1, FilterResourceMethod = 2 }}

[[thread]]
steps = [
  {{ open = '\??\PortFifo', handle = "fifo" }},
  {{ write = "fifo", data = "{digits}" }},
  {{ expect_sent = "lpt1", data = "{digits}" }},
  {{ close = "fifo" }},
  {{ unload = true }},
]
"#
    );
    let file = directory.join("print.toml");
    std::fs::write(&file, scenario).unwrap();
    let (out, err, code) = texts(&dirql(&["run", file.to_str().unwrap()]));
    assert_eq!(code, Some(0), "{out}\n{err}");
    assert_eq!(std::fs::read(directory.join("printed.bin")).unwrap(), bytes);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_client_without_its_port_says_so() {
    for sample in CLIENTS {
        let driver = samples().join(file(sample));
        let directory = std::env::temp_dir().join(format!("dirql-{sample}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let alone = directory.join("alone.sys");
        std::fs::copy(driver, &alone).unwrap();
        let (_, err, code) = texts(&dirql(&["run", alone.to_str().unwrap()]));
        assert_eq!(code, Some(3), "{err}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn a_megabyte_goes_through_a_pair_of_serial_ports() {
    let scenario = "serial-16550/megabyte.toml";
    let (out, err, code) = texts(&dirql(&["run", scenario]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(out.matches("STATUS_SUCCESS, 65536 bytes").count(), 32);
}

#[test]
fn an_image_that_imports_the_newer_routine_does_not_load_on_older_systems() {
    for sample in SAMPLES
        .into_iter()
        .filter(|sample| !FOR_OLD_SYSTEMS.contains(sample))
    {
        for windows in OLD_SYSTEMS {
            let (out, err, code) = run(sample, &["--windows", windows]);
            assert_eq!(
                (out.as_str(), code),
                ("", Some(3)),
                "{sample} {windows}: {err}"
            );
            assert!(
                err.contains("entry point not found: IoConnectInterruptEx"),
                "{err}"
            );
            assert!(
                err.contains("entry point not found: IoDisconnectInterruptEx"),
                "{err}"
            );
            assert!(err.contains("help: Windows vista has all of them"), "{err}");
        }
    }
}

#[test]
fn every_sample_runs_clean_without_its_scenario() {
    let directory = std::env::temp_dir().join(format!("dirql-samples-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for sample in SAMPLES {
        let copy = |ending: &str| {
            let from = samples().join(sample).join(format!("{sample}.{ending}"));
            std::fs::copy(from, directory.join(format!("{sample}.{ending}"))).unwrap();
        };
        copy("sys");
        copy("inf");
        let driver = directory.join(format!("{sample}.sys"));
        let mut arguments = vec!["run", driver.to_str().unwrap()];
        if sample == "legacy-two-vectors" {
            // Its INF names the button, but not that it has two lines.
            arguments.extend(["--device", "button,line=10,line2=11"]);
        }
        if sample == "edu-dma" {
            // It asks for DMA with 32 address lines; the device's default is 28.
            arguments.extend(["--device", "edu,dma_mask=0xffffffff"]);
        }
        let (out, err, code) = texts(&dirql(&arguments));
        assert_eq!(code, Some(0), "{sample}\n{out}\n{err}");
        assert!(
            out.contains("no scenario: every device once through its life"),
            "{out}"
        );
        assert!(out.contains("unload"), "{out}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_same_command_twice_gives_the_same_bytes() {
    for sample in SAMPLES.into_iter().chain(CLIENTS) {
        for more in [
            &[][..],
            &["--format", "json"],
            &["--processors", "3", "--verbose"],
            &["--trace", "-"],
            &["--trace", "/dev/stderr"],
        ] {
            let (first, second) = (run(sample, more), run(sample, more));
            assert_eq!(first, second, "{sample} {more:?}");
            assert_eq!(first.2, Some(0), "{sample} {more:?}");
            assert!(first.0.len() > 100, "{sample} {more:?}");
        }
    }
}

#[test]
fn nothing_of_the_host_is_in_the_output() {
    let root = samples().canonicalize().unwrap();
    let root = root.to_str().unwrap();
    for sample in SAMPLES.into_iter().chain(CLIENTS) {
        let (out, err, _) = run(sample, &["--verbose", "--trace", "-"]);
        assert!(!out.contains(root) && !err.contains(root), "{sample}");
    }
}

#[test]
fn every_sample_imports_only_what_is_implemented() {
    let files: Vec<String> = SAMPLES.into_iter().chain(CLIENTS).map(file).collect();
    let mut arguments = vec!["imports"];
    arguments.extend(files.iter().map(String::as_str));
    let (out, err, code) = texts(&dirql(&arguments));
    assert_eq!((err.as_str(), code), ("", Some(0)), "{out}");
    assert_eq!(out.matches(" 0 missing\n").count(), files.len(), "{out}");
}

#[test]
fn all_imports_that_nothing_implements_are_listed_and_calling_one_ends_the_run() {
    let directory = std::env::temp_dir().join(format!("dirql-imports-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let sample = samples().join("legacy-two-vectors/legacy-two-vectors");
    let mut image = std::fs::read(sample.with_extension("sys")).unwrap();
    // Names of the same length that no Windows has.
    for (name, other) in [
        (&b"IoDetachDevice"[..], &b"IoDetachDevicf"[..]),
        (b"IoSetDeviceInterfaceState", b"IoSetDeviceInterfaceStatf"),
    ] {
        let at = image
            .windows(name.len())
            .position(|bytes| bytes == name)
            .unwrap();
        image[at..at + name.len()].copy_from_slice(other);
    }
    let driver = directory.join("legacy-two-vectors.sys");
    std::fs::write(&driver, image).unwrap();
    for ending in ["inf", "toml"] {
        let copy = driver.with_extension(ending);
        std::fs::copy(sample.with_extension(ending), copy).unwrap();
    }
    let (out, _, code) = texts(&dirql(&["run", driver.to_str().unwrap()]));
    std::fs::remove_dir_all(directory).unwrap();
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.contains(
            "    2 of its imports are not implemented; calling one ends the run:\n      \
             ntoskrnl.exe!IoDetachDevicf\n      ntoskrnl.exe!IoSetDeviceInterfaceStatf\n"
        ),
        "{out}"
    );
    assert!(out.contains("error[DQ0002]"), "{out}");
    assert!(
        out.contains("called ntoskrnl.exe!IoSetDeviceInterfaceStatf, which is not implemented"),
        "{out}"
    );
}

#[test]
fn the_image_and_its_scenario_may_be_named_in_every_way() {
    let sample = "edu-line-based";
    let (by_driver, ..) = run(sample, &[]);
    let scenario = format!("{sample}/{sample}.toml");
    let (by_scenario, _, code) = texts(&dirql(&["run", &scenario]));
    assert_eq!(code, Some(0));
    assert_eq!(by_driver, by_scenario);
    let (by_both, ..) = run(sample, &["--scenario", &scenario]);
    assert_eq!(by_driver, by_both);
}

/// Plays a sample's scenario with each text changed to another.
fn run_changed(sample: &str, changes: &[(&str, &str)]) -> (String, String, Option<i32>) {
    let directory = samples().join(sample);
    let scenario = directory.join(format!("{sample}.toml"));
    let mut text = std::fs::read_to_string(scenario).expect("the sample has a scenario");
    for (from, to) in changes {
        assert!(text.contains(from), "{sample} says {from}");
        text = text.replace(from, to);
    }
    let place = |key: &str| format!("{key} = \"{}/", directory.display());
    for key in ["image", "inf"] {
        text = text.replace(&format!("{key} = \""), &place(key));
    }
    let changed = std::env::temp_dir().join(format!("dirql-{sample}-{}.toml", std::process::id()));
    std::fs::write(&changed, text).expect("it can be written");
    let answer = run(sample, &["--scenario", &changed.display().to_string()]);
    std::fs::remove_file(&changed).expect("it was written");
    answer
}

#[test]
fn samples_move_their_data_with_fewer_messages_with_a_line_and_with_a_shared_one() {
    let two = r#"{ kind = "msix", messages = 2 }"#;
    let line = r#"{ kind = "line" }"#;
    for (sample, changes) in [
        (
            "edu-dma",
            &[(r#"{ kind = "msi", messages = 1 }"#, line)][..],
        ),
        ("nvme-msix", &[(two, r#"{ kind = "msix", messages = 1 }"#)]),
        ("nvme-msix", &[(two, line)]),
        (
            "serial-16550",
            &[
                ("line = 4 }", "line = 4 }\nshared = true"),
                ("line = 3 }", "line = 4 }\nshared = true"),
            ],
        ),
    ] {
        let (out, err, code) = run_changed(sample, changes);
        assert_eq!(code, Some(0), "{sample} {changes:?}\n{out}\n{err}");
        assert!(out.contains("clean: nothing was found"), "{out}");
        if sample != "nvme-msix" || changes[0].1 == line {
            assert!(out.contains(" line "), "{out}");
        }
    }
}

/// An INF that knows hardware of every computer by its ACPI name gets it, under that name.
#[test]
fn a_serial_port_is_found_by_its_acpi_name() {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("acpi");
    std::fs::create_dir_all(&place).expect("a directory for the test");
    let sample = samples().join("serial-16550/serial-16550");
    let image = place.join("serial.sys");
    std::fs::copy(sample.with_extension("sys"), &image).expect("the sample is there");
    let inf = std::fs::read_to_string(sample.with_extension("inf")).expect("its INF, too");
    let inf = inf.replace(r"DIRQL\uart16550", "*PNP0501");
    std::fs::write(place.join("serial.inf"), inf).expect("an INF for the test");
    let image = image.display().to_string();
    let (out, err, code) = texts(&dirql(&["run", &image, "--format", "json"]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("a report");
    let device = &report["devices"][0];
    assert_eq!(
        (&device["model"], &device["hardware_id"]),
        (&"uart16550".into(), &r"ACPI\PNP0501".into())
    );
}
