//! The book's page of device models, written from the table that the program has.

use std::fmt::Write as _;

use dirql_chips::models::{HOSTILE, Kind, MODELS, Model};

use super::pages::cell;

pub(super) fn page() -> String {
    let mut page = String::from(
        "# Device models\n\n\
         <!-- Written by `cargo xtask pages`; change crates/dirql-chips/src/models/mod.rs instead. -->\n\n\
         What can be plugged into the simulated computer. In a [scenario](scenario.md) `model` is the name, and `options` \
         a table; on the command line it is `--device MODEL,key=value`.\n",
    );
    let _ = writeln!(page, "\nThe option `{}` is {}.", HOSTILE.name, HOSTILE.doc);
    MODELS.iter().for_each(|model| section(&mut page, model));
    page
}

fn section(page: &mut String, model: &Model) {
    let place = match model.kind {
        Kind::Pci => "On the PCI bus.",
        Kind::Legacy => "At fixed ports or addresses, with lines of its own.",
    };
    let _ = write!(
        page,
        "\n## {}\n\n{}. {place}\n",
        model.name,
        sentence(model.doc)
    );
    if model.options.is_empty() {
        return;
    }
    page.push_str("\n| option | value |\n|---|---|\n");
    for option in model.options {
        let _ = writeln!(page, "| `{}` | {} |", option.name, cell(option.doc));
    }
}

/// The first letter in upper case.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_a_section_and_every_option_a_row() {
        let page = page();
        for model in MODELS {
            assert!(
                page.contains(&format!("\n## {}\n", model.name)),
                "{}",
                model.name
            );
            for option in model.options {
                assert!(
                    page.contains(&format!("| `{}` |", option.name)),
                    "{}",
                    option.name
                );
            }
        }
    }
}
