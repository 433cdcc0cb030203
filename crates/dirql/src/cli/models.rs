//! `dirql models`

use dirql_chips::models::{HOSTILE, Kind, MODELS};

use super::output::Output;
use super::{Exit, Failure};

pub(crate) fn models(out: &mut Output) -> Result<Exit, Failure> {
    let out = out.results();
    writeln!(out, "{}: {}\n", HOSTILE.name, HOSTILE.doc)?;
    for model in MODELS {
        let place = match model.kind {
            Kind::Pci => "PCI",
            Kind::Legacy => "fixed addresses",
        };
        writeln!(out, "{} ({place})\n  {}", model.name, model.doc)?;
        let width = model
            .options
            .iter()
            .map(|option| option.name.len())
            .max()
            .unwrap_or(0);
        for option in model.options {
            writeln!(out, "    {:width$}  {}", option.name, option.doc)?;
        }
    }
    Ok(Exit::Clean)
}
