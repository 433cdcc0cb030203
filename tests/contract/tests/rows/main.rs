//! Plays the cases of every claim, by the driver compiled from C and by one in this process.
#![forbid(unsafe_code)]

mod c_driver;
mod computer;
mod in_process;
mod play;
mod protocol;

use dirql_contract::sections;

/// Plays the cases of a section.
fn section(number: u32) {
    let sections = sections().expect("the claims are well-formed");
    let section = sections
        .iter()
        .find(|section| section.section == number)
        .expect("there is such a section");
    let mut failures = Vec::new();
    for claim in &section.claims {
        for (index, case) in claim.cases.iter().enumerate() {
            for failure in play::case(case) {
                failures.push(format!("{} case {}: {failure}", claim.id, index + 1));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

macro_rules! sections {
    ($($name:ident = $number:literal),* $(,)?) => { $(#[test] fn $name() { section($number); })* };
}

sections!(
    numbers = 1,
    the_connect_block = 2,
    connecting = 3,
    disconnecting = 4,
    the_library_for_older_systems = 5,
    the_message_table = 6,
    isr_callbacks = 7,
    synchronising = 8,
    spin_locks = 9,
    irql = 10,
    resources = 11,
    dpcs = 12,
    obsolete = 13,
    order = 14,
    errors_in_the_sources = 15,
    worked_examples = 16,
);
