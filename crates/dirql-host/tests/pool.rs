//! What a driver does wrong with pool, with and without special pool.

mod entry;

use dirql_host::{Host, Stops, Watch};
use dirql_kernel::{Config, Outcome};

/// The rules that were broken, and how the run ended: with what the export returned, or with a bug
/// check at an instruction of the export.
fn run(export: &str, special_pool: bool) -> String {
    let config = Config {
        special_pool,
        ..Config::default()
    };
    let host = Host::new(config).unwrap();
    let (_, status, entry) = entry::run(&host, "pool.sys", export);
    let findings = host.kernel().findings();
    let mut all: Vec<String> = findings.iter().map(|one| one.rule.to_string()).collect();
    all.push(match host.kernel().outcome() {
        None => format!("returned {:#x}", status.unwrap().0),
        Some(Outcome::BugCheck { bug_check, place }) => {
            assert!((entry..entry + 0x100).contains(&place.address), "{place:?}");
            format!("stopped with {:#x}", bug_check.code)
        }
        other => panic!("{other:?}"),
    });
    all.join(" ")
}

macro_rules! outcomes {
    ($($export:ident: $special:literal, $ordinary:literal;)*) => { $(
        #[test]
        fn $export() {
            let export = stringify!($export);
            assert_eq!(run(export, true), $special, "special pool");
            assert_eq!(run(export, false), $ordinary, "ordinary pool");
        }
    )* };
}

outcomes! {
    right: "returned 0x1", "returned 0x1";
    // The page behind the block is not there; in ordinary pool the next block's header is.
    writes_past_the_end: "DQ0301 stopped with 0xd6", "DQ0301 stopped with 0x19";
    reads_past_the_end: "DQ0301 stopped with 0xd6", "returned 0xfd";
    writes_just_past_the_end: "DQ0301 returned 0x1", "DQ0301 returned 0x1";
    writes_before_the_beginning: "DQ0301 stopped with 0x19", "DQ0301 stopped with 0x19";
    // Ordinary pool tells a write when the block is looked at, at the latest when the driver goes.
    writes_after_the_free: "DQ0302 stopped with 0xd5", "returned 0x1";
    reads_after_the_free: "DQ0302 stopped with 0xd5", "returned 0xdd";
    runs_what_it_wrote: "returned 0x1", "returned 0x1";
    runs_what_is_not_code: "stopped with 0xfc", "stopped with 0xfc";
    frees_twice: "DQ0151 stopped with 0xc2", "DQ0151 stopped with 0xc2";
}

#[test]
fn code_that_a_driver_wrote_goes_on_in_a_driver_that_is_watched() {
    for record in [false, true] {
        let host = Host::new(Config::default()).unwrap();
        let stops = Stops::Everywhere;
        host.watch(Watch { record, stops }).unwrap();
        let (_, status, _) = entry::run(&host, "pool.sys", "runs_what_it_wrote");
        assert_eq!(status.unwrap().0, 1, "{:?}", host.kernel().outcome());
    }
}
