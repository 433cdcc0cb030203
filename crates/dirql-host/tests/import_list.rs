//! What real drivers import is implemented.

use dirql_host::{ImportState, import_state};
use dirql_image::{Import, Symbol};

/// Names and how many files import each, most wanted first.
const IMPORTS: &str = include_str!("imports.txt");

/// Names that are not implemented, with the reason.
const MISSING: &[(&str, &str)] = &[
    (
        "HeadlessDispatch",
        "not documented; there is no such terminal",
    ),
    (
        "NtShutdownSystem",
        "not documented; a run has no system to shut down",
    ),
];

fn is_implemented(name: &str) -> bool {
    let import = Import {
        symbol: Symbol::Name {
            name: name.into(),
            hint: 0,
        },
        slot: 0,
    };
    import_state("ntoskrnl.exe", &import) != ImportState::Missing
}

fn wanted() -> impl Iterator<Item = (u32, &'static str)> {
    IMPORTS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (files, name) = line.split_once(' ').expect("a count and a name");
            (files.parse().expect("a count"), name)
        })
}

#[test]
fn every_name_that_real_drivers_import_is_implemented() {
    let missing: Vec<(u32, &str)> = wanted()
        .filter(|(_, name)| !is_implemented(name))
        .filter(|(_, name)| !MISSING.iter().any(|(known, _)| known == name))
        .collect();
    assert_eq!(missing, []);
}

#[test]
fn what_is_said_to_be_missing_is() {
    let there: Vec<&str> = MISSING
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| is_implemented(name))
        .collect();
    assert_eq!(there, [""; 0]);
}

#[test]
fn the_list_is_the_whole_list() {
    let all: Vec<_> = wanted().collect();
    assert_eq!(all.len(), 379);
    assert_eq!(all[0], (41, "IoCreateDevice"));
}
