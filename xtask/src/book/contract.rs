//! The book's page of the contract, written from the claims that the tests play.

use std::fmt::Write as _;

use anyhow::Result;
use dirql_contract::{Case, Claim, Hand, Section};

use super::pages::cell;

/// # Errors
/// The claims cannot be read, or are not well-formed.
pub(super) fn page() -> Result<String> {
    let sections = dirql_contract::sections()?;
    let claims = || sections.iter().flat_map(|section| &section.claims);
    let mut page = format!(
        "# The contract of interrupts\n\n\
         <!-- Written by `cargo xtask pages`; change the files under tests/contract/claims instead. -->\n\n\
         What a driver may rely on when it connects, services, synchronises with and disconnects interrupts: {} claims. \
         Each one is proved by cases, which are played by a driver compiled from C and by one in the test's process, or \
         by tests that are named here, or by both. A claim without either does not load. The cases are in \
         `tests/contract/claims`, beside the runner that plays them.\n\n\
         IDs are permanent. Where the documentation is silent or contradicts itself the claim names one of the \
         [notes](notes.md).\n",
        claims().count()
    );
    sections
        .iter()
        .for_each(|section| section_of(&mut page, section));
    Ok(page)
}

fn section_of(page: &mut String, section: &Section) {
    let _ = write!(
        page,
        "\n## {}. {}\n\n| ID | claim | source | proof |\n|---|---|---|---|\n",
        section.section, section.title
    );
    for claim in &section.claims {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            claim.id,
            cell(&with_notes(&claim.says)),
            cell(&claim.source),
            cell(&proof(claim))
        );
    }
}

/// `(note N0001)` becomes a link.
fn with_notes(text: &str) -> String {
    match text.split_once("(note N") {
        Some((before, rest)) => format!("{before}([note](notes.md) N{rest}"),
        None => text.to_owned(),
    }
}

fn proof(claim: &Claim) -> String {
    let mut proofs = Vec::new();
    if !claim.cases.is_empty() {
        let runs: usize = claim.cases.iter().map(runs).sum();
        proofs.push(format!(
            "{} by {}, on {}",
            counted(runs, "run"),
            hands(&claim.cases),
            windows(&claim.cases)
        ));
    }
    proofs.extend(claim.tests.iter().map(|test| format!("`{test}`")));
    proofs.join("<br>")
}

/// How often a case is played.
const fn runs(case: &Case) -> usize {
    case.windows.len() * case.versions.len() * case.by.len()
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn hands(cases: &[Case]) -> String {
    let plays = |hand: Hand| cases.iter().any(|case| case.by.contains(&hand));
    let names = [
        (Hand::C, "C"),
        (Hand::Iointex, "C with `iointex`"),
        (Hand::Rust, "Rust"),
    ];
    let names: Vec<&str> = names
        .into_iter()
        .filter(|(hand, _)| plays(*hand))
        .map(|(_, name)| name)
        .collect();
    names.join(" and ")
}

/// The versions of Windows, oldest first.
fn windows(cases: &[Case]) -> String {
    const ORDER: [&str; 8] = [
        "winxp64",
        "server2003",
        "vista",
        "7",
        "8",
        "8.1",
        "10",
        "11",
    ];
    let names: Vec<&str> = ORDER
        .into_iter()
        .filter(|name| {
            cases
                .iter()
                .any(|case| case.windows.iter().any(|windows| windows == name))
        })
        .collect();
    match names.as_slice() {
        [one] => format!("Windows {one}"),
        all if all.len() == ORDER.len() => String::from("every Windows"),
        several => several.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_claim_has_a_row_with_its_proof() {
        let page = page().unwrap();
        for section in dirql_contract::sections().unwrap() {
            for claim in section.claims {
                let start = format!("| {} | ", claim.id);
                let row = page
                    .lines()
                    .find(|line| line.starts_with(&start))
                    .unwrap_or_else(|| panic!("{} has no row", claim.id));
                assert!(!row.ends_with("|  |"), "{row}");
            }
        }
    }

    #[test]
    fn a_note_is_a_link() {
        assert_eq!(
            with_notes("It is so (note N0001)."),
            "It is so ([note](notes.md) N0001)."
        );
        assert_eq!(with_notes("It is so."), "It is so.");
    }
}
