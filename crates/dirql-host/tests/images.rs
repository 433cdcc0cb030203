//! Images in memory: where they are, what they are bound to, what may be done with them.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use dirql_abi::NtStatus;
use dirql_host::{DriverSource, Host, LoadError, LoadedDriver};
use dirql_image::{ExportTarget, Image};
use dirql_kernel::io::DriverImage;
use dirql_kernel::ke::ThreadBody;
use dirql_kernel::{Config, DriverPtr, Kernel, Outcome, WindowsVersion};
use dirql_rules::ids;

const SAMPLES: [&str; 5] = [
    "edu-fully-specified",
    "edu-iointex",
    "edu-line-based",
    "edu-message-based",
    "legacy-two-vectors",
];

fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn sample(name: &str) -> Vec<u8> {
    file(&format!("../../samples/{name}/{name}.sys"))
}

fn host(windows: WindowsVersion) -> Host {
    Host::new(Config {
        windows,
        processors: 2,
        ..Config::default()
    })
    .unwrap()
}

fn load(host: &Host, name: &str) -> Result<LoadedDriver, LoadError> {
    host.load_driver(
        &format!("{name}.sys"),
        DriverSource::Image(&file(&format!("tests/drivers/{name}.sys"))),
    )
}

/// Calls an entry point on a thread; `None` if it did not return.
fn enter(host: &Host, image: &DriverImage) -> Option<NtStatus> {
    let object = host.kernel().create_driver(image).unwrap().unwrap();
    let status = Rc::new(Cell::new(None));
    let slot = status.clone();
    let body = move |kernel: &Kernel| {
        slot.set(Some(kernel.run_driver_entry(object)?));
        Ok(())
    };
    host.kernel()
        .spawn_thread("test", 8, ThreadBody::Native(Box::new(body)));
    host.run_until_idle();
    status.get()
}

#[test]
fn every_sample_can_be_loaded_on_every_version_that_has_what_it_imports() {
    for windows in WindowsVersion::ALL {
        let host = host(windows);
        for name in SAMPLES {
            let direct = name.starts_with("edu") && name != "edu-iointex";
            let loaded =
                host.load_driver(&format!("{name}.sys"), DriverSource::Image(&sample(name)));
            let expected = !direct || windows >= WindowsVersion::Vista;
            assert_eq!(
                loaded.is_ok(),
                expected,
                "{name} on {windows}: {:?}",
                loaded.err()
            );
        }
    }
}

#[test]
fn an_entry_point_that_the_version_lacks_is_named() {
    let host = host(WindowsVersion::Server2003);
    let error = host
        .load_driver(
            "edu.sys",
            DriverSource::Image(&sample("edu-fully-specified")),
        )
        .expect_err("Windows would not load it");
    let LoadError::EntryPointNotFound {
        missing, windows, ..
    } = &error
    else {
        panic!("{error}")
    };
    let names: Vec<&str> = missing.iter().map(|entry| &*entry.name).collect();
    assert_eq!(
        (names, *windows),
        (
            vec!["IoConnectInterruptEx", "IoDisconnectInterruptEx"],
            WindowsVersion::Server2003
        )
    );
    assert!(
        error
            .to_string()
            .contains("entry point not found: IoConnectInterruptEx in ntoskrnl.exe"),
        "{error}"
    );
    assert!(host.images().is_empty());
}

#[test]
fn a_file_that_is_no_driver_is_refused_by_field() {
    let host = host(WindowsVersion::Ten);
    let mut bytes = sample("edu-line-based");
    let refused = |bytes: &[u8]| {
        host.load_driver("x.sys", DriverSource::Image(bytes))
            .expect_err("no driver")
            .to_string()
    };
    assert!(refused(&[]).starts_with("x.sys: "));
    assert!(refused(&bytes[..100]).starts_with("x.sys: "));
    bytes[0] = 0;
    assert!(refused(&bytes).starts_with("x.sys: "));
    assert!(host.images().is_empty());
}

#[test]
fn sections_have_the_access_that_they_ask_for() {
    let host = host(WindowsVersion::Ten);
    for name in SAMPLES {
        let driver = host
            .load_driver(name, DriverSource::Image(&sample(name)))
            .unwrap();
        for section in driver.image().image().unwrap().sections() {
            let at = DriverPtr::<u8>::new(driver.image().base() + u64::from(section.rva()));
            let value = host.kernel().read(at).unwrap();
            assert_eq!(
                host.kernel().write(at, value).is_ok(),
                section.is_writable(),
                "{name}, {}",
                section.name()
            );
        }
    }
}

#[test]
fn what_init_held_is_gone_after_the_entry_point() {
    let host = host(WindowsVersion::Ten);
    let driver = host
        .load_driver(
            "edu.sys",
            DriverSource::Image(&sample("edu-fully-specified")),
        )
        .unwrap();
    let discardable = driver.image().discardable();
    assert!(!discardable.is_empty(), "the sample has an INIT section");
    let entry = driver.image().entry().unwrap();
    assert!(
        discardable.iter().any(|region| region.contains(&entry)),
        "with its entry point"
    );
    host.discard_init(&driver);
    assert!(host.kernel().read(DriverPtr::<u8>::new(entry)).is_err());
    assert!(
        host.kernel()
            .read(DriverPtr::<u8>::new(driver.image().base()))
            .is_ok()
    );
    assert!(
        !driver.image().pageable().is_empty(),
        "the sample has a PAGE section"
    );
}

#[test]
fn an_address_is_described_while_and_after_its_image_is_loaded() {
    let host = host(WindowsVersion::Ten);
    let driver = host
        .load_driver("edu.sys", DriverSource::Image(&sample("edu-line-based")))
        .unwrap();
    let base = driver.image().base();
    let text = driver.image().image().unwrap().sections()[0].clone();
    let address = base + u64::from(text.rva()) + 5;
    let location = host.describe(address).unwrap();
    assert_eq!(
        location.to_string(),
        format!("edu.sys+{:#x}", text.rva() + 5)
    );
    assert_eq!(location.section.as_deref(), Some(text.name()));
    assert_eq!(
        host.describe(base).unwrap().section,
        None,
        "headers are in no section"
    );
    assert_eq!(host.describe(base - 1), None);
    assert_eq!(host.describe(base + u64::from(driver.image().size())), None);
    host.remove_image(&driver);
    host.remove_image(&driver);
    assert!(!driver.image().is_loaded());
    assert_eq!(host.describe(address), Some(location));
    assert!(host.kernel().read(DriverPtr::<u8>::new(address)).is_err());
}

#[test]
fn two_computers_place_a_driver_at_the_same_address() {
    let place = || {
        let host = host(WindowsVersion::Ten);
        let driver = host
            .load_driver("edu.sys", DriverSource::Image(&sample("edu-line-based")))
            .unwrap();
        (
            driver.image().base(),
            host.kernel()
                .read_bytes(driver.image().base(), 0x1000)
                .unwrap(),
        )
    };
    assert_eq!(place(), place());
}

#[test]
fn a_driver_calls_routines_of_another_and_reads_variables() {
    let host = host(WindowsVersion::Ten);
    let exporter = load(&host, "exporter").unwrap();
    assert_eq!(exporter.driver_image(), None, "it has no entry point");
    let importer = load(&host, "importer").unwrap();
    assert_eq!(
        enter(&host, &importer.driver_image().unwrap()),
        Some(NtStatus(1))
    );
    assert_eq!(host.kernel().findings(), []);
}

#[test]
fn calling_what_nobody_exports_ends_the_run_and_names_it() {
    let host = host(WindowsVersion::Ten);
    load(&host, "exporter").unwrap();
    let importer = load(&host, "importer").unwrap();
    let mut image = importer.driver_image().unwrap();
    let ExportTarget::Rva(rva) = importer
        .image()
        .image()
        .unwrap()
        .exports()
        .by_name("Missing")
        .unwrap()
        .target
    else {
        panic!("it is not forwarded")
    };
    image.entry = image.base + u64::from(rva);
    assert_eq!(enter(&host, &image), None);
    assert_eq!(host.kernel().outcome(), Some(Outcome::Finding));
    let findings = host.kernel().findings();
    assert_eq!(
        (findings.len(), findings[0].rule),
        (1, ids::UNIMPLEMENTED_IMPORT)
    );
    assert_eq!(
        findings[0].message,
        "importer.sys called exporter.sys!NotThere, which is not implemented"
    );
    assert_eq!(
        host.describe(findings[0].place.address)
            .unwrap()
            .section
            .as_deref(),
        Some(".text")
    );
}

#[test]
fn the_bundled_drivers_are_what_their_sources_say() {
    // The compilers are not everywhere; where they are, the bytes must be the same.
    let tools = ["clang", "lld-link", "llvm-dlltool"];
    let there = |tool: &&str| {
        std::process::Command::new(tool)
            .arg("--version")
            .output()
            .is_ok()
    };
    let version = std::process::Command::new("clang")
        .arg("--version")
        .output();
    let is_14 =
        version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("version 14."));
    if !tools.iter().all(there) || !is_14 {
        return;
    }
    let scratch = std::env::temp_dir().join(format!("dirql-host-drivers-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/build");
    let built = std::process::Command::new(build)
        .arg(&scratch)
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    for name in ["seh", "exporter", "importer"] {
        let new = std::fs::read(scratch.join(format!("{name}.sys"))).unwrap();
        assert!(
            new == file(&format!("tests/drivers/{name}.sys")),
            "{name}.sys is not what its source says"
        );
        Image::parse(&new).unwrap();
    }
    std::fs::remove_dir_all(&scratch).unwrap();
}
