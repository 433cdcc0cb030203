//! Compares every structure and constant with what a C compiler makes of the driver headers.
//!
//! A C file with one number per line is generated from the tables of this crate and compiled to
//! assembly for x64 Windows; the numbers are read out of the assembly, so nothing has to run on
//! Windows. Where the headers of mingw-w64 differ from Windows, or lack something, the difference
//! is listed with its reason in `known_differences`. The list must be exact: a difference that is
//! not listed fails, and so does an entry that is no longer true.

mod c_compiler;
mod known_differences;

use std::collections::BTreeSet;

use c_compiler::{Headers, evaluate, guids_of_headers};
use dirql_abi::layout::StructLayout;
use dirql_abi::{ALL_LAYOUTS, ALL_NAMED_VALUES, NtStatus};
use known_differences::{KNOWN, MAY_BE_MISSING, MEMBERS_WITH_TAIL, RENAMED, TAILS};

/// One number that C and this crate should agree on.
struct Claim {
    headers: Headers,
    /// How a difference names it.
    what: String,
    c: String,
    rust: i64,
    /// Not to be reported when C lacks it.
    may_be_missing: bool,
    /// The claim without which this one cannot hold either.
    depends_on: Option<String>,
}

/// The exceptions are declared for drivers and defined for applications.
fn headers_of(module: &str) -> Headers {
    if module == "exception" {
        Headers::Application
    } else {
        Headers::Driver
    }
}

/// `A.b.c` as a C type expression: the type of that member of `A`.
fn c_type(nt_name: &str) -> String {
    match nt_name.split_once('.') {
        None => nt_name.to_owned(),
        Some((outer, path)) => format!("__typeof__((({outer} *)0)->{path})"),
    }
}

fn claims_of_layout(headers: Headers, layout: &StructLayout) -> Vec<Claim> {
    let nt_name = layout.nt_name;
    let type_ = c_type(nt_name);
    let claim = |what: &str, c: String, rust: usize, depends_on: Option<&str>| {
        let rust = i64::try_from(rust).expect("structures are small");
        let depends_on = depends_on.map(str::to_owned);
        Claim {
            headers,
            what: what.to_owned(),
            c,
            rust,
            may_be_missing: false,
            depends_on,
        }
    };
    let whole = format!("sizeof({nt_name})");
    let mut claims = vec![match TAILS.iter().find(|(name, _)| *name == nt_name) {
        Some((_, tail)) => {
            let c = format!("__builtin_offsetof({type_}, {tail})");
            claim(
                &format!("offsetof({nt_name}, {tail})"),
                c,
                layout.size,
                None,
            )
        }
        None => claim(&whole, format!("sizeof({type_})"), layout.size, None),
    }];
    for field in layout.fields {
        let Some(member) = field.member else { continue };
        let offset = format!("offsetof({nt_name}, {member})");
        let c = format!("__builtin_offsetof({type_}, {member})");
        claims.push(claim(&offset, c, field.offset, Some(&whole)));
        if !MEMBERS_WITH_TAIL.contains(&format!("{nt_name}.{member}").as_str()) {
            let c = format!("sizeof((({type_} *)0)->{member})");
            let what = format!("sizeof({nt_name}.{member})");
            claims.push(claim(&what, c, field.size, Some(&offset)));
        }
    }
    claims
}

fn claims_of_constants() -> Vec<Claim> {
    let named = ALL_NAMED_VALUES.iter().flat_map(|(module, enumerations)| {
        enumerations.iter().flat_map(move |(enumeration, values)| {
            values
                .iter()
                .map(move |(value, name)| (*module, *enumeration, *name, *value))
        })
    });
    let statuses = NtStatus::TABLE
        .iter()
        .map(|(status, name)| ("status", "status", *name, i64::from(status.0)));
    named
        .chain(statuses)
        .map(|(module, enumeration, name, value)| {
            let c = RENAMED
                .iter()
                .find(|(here, ..)| *here == name)
                .map_or(name, |(_, c, _)| c);
            Claim {
                headers: headers_of(module),
                what: name.to_owned(),
                // Half of the headers' constants are signed, half are not.
                c: format!("(long long)(unsigned)({c})"),
                rust: value & 0xFFFF_FFFF,
                may_be_missing: MAY_BE_MISSING.iter().any(|(may, _)| *may == enumeration),
                depends_on: None,
            }
        })
        .collect()
}

/// One line for each claim that C does not agree with.
fn differences(claims: &[Claim]) -> BTreeSet<String> {
    let mut differences = BTreeSet::new();
    for headers in [Headers::Driver, Headers::Application] {
        let claims: Vec<&Claim> = claims
            .iter()
            .filter(|claim| claim.headers == headers)
            .collect();
        let expressions: Vec<&str> = claims.iter().map(|claim| claim.c.as_str()).collect();
        let mut missing = BTreeSet::new();
        for (claim, c) in claims.iter().zip(evaluate(headers, &expressions)) {
            let Claim { what, rust, .. } = claim;
            let Some(c) = c else {
                let implied = claim
                    .depends_on
                    .as_ref()
                    .is_some_and(|on| missing.contains(on));
                if !implied && !claim.may_be_missing {
                    differences.insert(format!("{what}: not in the headers"));
                }
                missing.insert(what.clone());
                continue;
            };
            if c != *rust {
                differences.insert(format!("{what}: C {c:#x}, here {rust:#x}"));
            }
        }
    }
    differences
}

/// Fails unless the differences are exactly the known ones of the same group.
#[track_caller]
fn assert_known(group: &str, found: &BTreeSet<String>) {
    let mut stale = Vec::new();
    let mut known = BTreeSet::new();
    for entry in KNOWN.iter().filter(|entry| entry.group == group) {
        for line in entry
            .differences
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            if !found.contains(line) {
                stale.push(format!("{line} ({})", entry.reason));
            }
            known.insert(line);
        }
    }
    let new: Vec<_> = found
        .iter()
        .filter(|line| !known.contains(line.as_str()))
        .collect();
    assert!(
        new.is_empty() && stale.is_empty(),
        "{group}: differences that are not listed: {new:#?}\nlisted, but not so: {stale:#?}"
    );
}

#[test]
fn structures_agree_with_c() {
    let claims: Vec<Claim> = ALL_LAYOUTS
        .iter()
        .flat_map(|(module, layouts)| {
            layouts
                .iter()
                .flat_map(|layout| claims_of_layout(headers_of(module), layout))
        })
        .collect();
    assert!(
        claims.len() > 1000,
        "only {} numbers to compare",
        claims.len()
    );
    assert_known("structures", &differences(&claims));
}

#[test]
fn constants_agree_with_c() {
    let claims = claims_of_constants();
    assert!(
        claims.len() > 1000,
        "only {} numbers to compare",
        claims.len()
    );
    assert_known("constants", &differences(&claims));
}

#[test]
fn guids_agree_with_c() {
    let c = guids_of_headers();
    let mut differences = BTreeSet::new();
    for (guid, name) in dirql_abi::guid::TABLE {
        let mut here: Vec<i64> = vec![guid.data1.into(), guid.data2.into(), guid.data3.into()];
        here.extend(guid.data4.map(i64::from));
        match c.get(*name) {
            Some(c) if *c == here => {}
            Some(c) => drop(differences.insert(format!("{name}: C {c:x?}, here {here:x?}"))),
            None => drop(differences.insert(format!("{name}: not in the headers"))),
        }
    }
    assert_known("guids", &differences);
}

/// Padding is named, so that a structure that is copied to a driver has no undefined byte.
#[test]
fn rows_of_a_structure_leave_no_gap() {
    for layout in ALL_LAYOUTS.iter().flat_map(|(_, layouts)| layouts.iter()) {
        let mut end = 0;
        for field in layout.fields {
            assert_eq!(field.offset, end, "{}.{}", layout.nt_name, field.field);
            end += field.size;
        }
        assert_eq!(end, layout.size, "{}", layout.nt_name);
    }
}
