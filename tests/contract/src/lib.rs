//! What drivers may rely on when they connect, service, synchronise with and disconnect
//! interrupts, as data: a file under `claims/` for each part of the contract, a row for each claim.
//!
//! A claim is proved in one of two ways. Either it has cases, which the tests of this package
//! play against dirql, by a driver compiled from C and by one in this process; or it names the
//! tests that prove it, and that they exist is checked. A claim with neither does not load.
#![forbid(unsafe_code)]

mod case;
mod tests_of;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use case::{Action, Case, Connect, Hand, Number, Report, Routine, Step, Target};
pub use tests_of::{TestName, UnknownTest};

/// One file of claims.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its number; the IDs of its claims begin with `IC-` and it.
    pub section: u32,
    /// What it is about.
    pub title: String,
    /// The claims, in order.
    #[serde(rename = "claim")]
    pub claims: Vec<Claim>,
}

/// One thing that a driver may rely on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// For example `IC-3.1-04`. Never used again for something else.
    pub id: String,
    /// The claim.
    pub says: String,
    /// Where it is written down.
    pub source: String,
    /// Cases that prove it.
    #[serde(default, rename = "case")]
    pub cases: Vec<Case>,
    /// Tests that prove it.
    #[serde(default)]
    pub tests: Vec<TestName>,
}

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsError {
    /// A file or directory cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file does not have the form that it must have.
    #[error("{}: {error}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// Why.
        error: Box<toml::de::Error>,
    },
    /// An ID is not `IC-SECTION-NN` or `IC-SECTION.PART-NN`, or not greater than the one before.
    #[error("{0}: IDs are IC-SECTION-NN or IC-SECTION.PART-NN, in order")]
    Id(String),
    /// A claim has neither cases nor tests.
    #[error("{0} has neither a case nor a test")]
    Unproved(String),
}

/// The directory of this package.
#[must_use]
pub fn directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every section, in order.
///
/// # Errors
/// A file cannot be read or is not as it must be.
pub fn sections() -> Result<Vec<Section>, ClaimsError> {
    let directory = directory().join("claims");
    let read = |path: &Path, error| ClaimsError::Read {
        path: path.to_owned(),
        error,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(&directory).map_err(|error| read(&directory, error))? {
        paths.push(entry.map_err(|error| read(&directory, error))?.path());
    }
    paths.sort();
    let mut sections = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| read(&path, error))?;
        let section = parse(&text).map_err(|error| match error {
            Ok(error) => ClaimsError::Form {
                path: path.clone(),
                error: Box::new(error),
            },
            Err(error) => error,
        })?;
        sections.push(section);
    }
    Ok(sections)
}

/// One file. The inner `Ok` is an error of its form.
fn parse(text: &str) -> Result<Section, Result<toml::de::Error, ClaimsError>> {
    let section: Section = toml::from_str(text).map_err(Ok)?;
    check(&section).map_err(Err)?;
    Ok(section)
}

fn check(section: &Section) -> Result<(), ClaimsError> {
    let mut before = None;
    for claim in &section.claims {
        let number = number(&claim.id).filter(|(first, ..)| *first == section.section);
        if number.is_none() || number <= before {
            return Err(ClaimsError::Id(claim.id.clone()));
        }
        before = number;
        if claim.cases.is_empty() && claim.tests.is_empty() {
            return Err(ClaimsError::Unproved(claim.id.clone()));
        }
    }
    Ok(())
}

/// Section, part (0 without one) and number of an ID.
fn number(id: &str) -> Option<(u32, u32, u32)> {
    let (place, number) = id.strip_prefix("IC-")?.split_once('-')?;
    let (section, part) = match place.split_once('.') {
        Some((section, part)) => (section, part.parse().ok()?),
        None => (place, 0),
    };
    let two_digits = number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit());
    two_digits.then_some((section.parse().ok()?, part, number.parse().ok()?))
}

/// The tests that claims name and that are not there.
///
/// # Errors
/// The sources cannot be read.
pub fn missing_tests(sections: &[Section]) -> Result<Vec<UnknownTest>, ClaimsError> {
    let root = directory().join("../..");
    let names: BTreeSet<&TestName> = sections
        .iter()
        .flat_map(|section| &section.claims)
        .flat_map(|claim| &claim.tests)
        .collect();
    let mut missing = Vec::new();
    for name in names {
        let problem = name
            .find(&root)
            .map_err(|(path, error)| ClaimsError::Read { path, error })?;
        missing.extend(problem);
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(claims: &str) -> Result<Section, String> {
        parse(&format!("section = 3\ntitle = \"Connecting\"\n{claims}")).map_err(
            |error| match error {
                Ok(form) => form.to_string(),
                Err(error) => error.to_string(),
            },
        )
    }

    fn claim(id: &str) -> String {
        format!(
            "[[claim]]\nid = \"{id}\"\nsays = \"a\"\nsource = \"b\"\ntests = [\"iointex tests::a\"]\n"
        )
    }

    #[test]
    fn ids_are_of_their_section_and_in_order() {
        for good in [
            ["IC-3-01", "IC-3.1-01"],
            ["IC-3.1-01", "IC-3.1-02"],
            ["IC-3.2-01", "IC-3.10-01"],
        ] {
            assert!(
                section(&good.map(claim).concat()).is_ok_and(|section| section.claims.len() == 2)
            );
        }
        for bad in [
            "IC-4-01",
            "IC-3-1",
            "IC-3-001",
            "IC-3.x-01",
            "XX-3-01",
            "IC-3-a1",
        ] {
            assert!(
                section(&claim(bad)).is_err_and(|error| error.starts_with(bad)),
                "{bad}"
            );
        }
        assert!(section(&[claim("IC-3-02"), claim("IC-3-02")].concat()).is_err());
        assert!(section(&[claim("IC-3.2-01"), claim("IC-3.1-02")].concat()).is_err());
    }

    #[test]
    fn a_claim_without_a_proof_is_none() {
        let text = "[[claim]]\nid = \"IC-3-01\"\nsays = \"a\"\nsource = \"b\"\n";
        assert_eq!(
            section(text).unwrap_err(),
            "IC-3-01 has neither a case nor a test"
        );
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        let text = claim("IC-3-01") + "color = \"red\"\n";
        assert!(section(&text).is_err_and(|error| error.contains("color")));
    }

    #[test]
    fn the_bundled_claims_load() {
        let sections = sections().unwrap();
        let numbers: Vec<u32> = sections.iter().map(|section| section.section).collect();
        assert_eq!(numbers, (1..=16).collect::<Vec<u32>>());
    }

    #[test]
    fn every_test_that_a_claim_names_is_there() {
        let missing = missing_tests(&sections().unwrap()).unwrap();
        assert!(missing.is_empty(), "{missing:#?}");
    }
}
