//! Whether every package may be linked: its licence is allowed and it comes from the registry.
//!
//! The list of licences is that of `deny.toml`. `cargo deny` checks more; this needs no tool.

mod expression;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::problem::Problem;
use crate::tree::Tree;
use crate::{layers, licences::expression::Expression};

/// The part of `deny.toml` that matters here.
#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

/// # Errors
/// If cargo or `deny.toml` cannot be read.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>> {
    let deny: Deny = toml::from_str(&tree.read("deny.toml")?).context("deny.toml")?;
    let packages = layers::packages(tree)?;
    let problems = packages.iter().filter_map(|package| {
        let name = format!("{} {}", package.name, package.version);
        problem_of(
            package.license.as_deref(),
            package.source.as_deref(),
            &deny.licenses.allow,
        )
        .map(|message| Problem::new(name, None, message))
    });
    Ok(problems.collect())
}

fn problem_of(licence: Option<&str>, source: Option<&str>, allowed: &[String]) -> Option<String> {
    if let Some(source) = source
        && !source.starts_with("registry+")
    {
        return Some(format!("comes from {source}, not from a registry"));
    }
    let Some(licence) = licence else {
        return Some(String::from("names no licence in its manifest"));
    };
    match Expression::parse(licence) {
        Ok(expression) if expression.is_allowed(allowed) => None,
        Ok(_) => Some(format!("licence {licence} is not on the list of deny.toml")),
        Err(error) => Some(format!("licence {licence} cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: Option<&str> = Some("registry+index");

    fn of(licence: Option<&str>, source: Option<&str>) -> Option<String> {
        problem_of(licence, source, &[String::from("MIT")])
    }

    #[test]
    fn an_allowed_licence_of_the_registry_or_our_own_is_fine() {
        assert_eq!(of(Some("GPL-2.0 OR MIT"), REGISTRY), None);
        assert_eq!(of(Some("MIT"), None), None);
    }

    #[test]
    fn everything_else_is_a_problem() {
        assert!(of(Some("GPL-2.0"), REGISTRY).is_some());
        assert!(of(Some("MIT AND"), REGISTRY).is_some());
        assert!(of(None, REGISTRY).is_some());
        assert!(
            of(
                Some("MIT"),
                Some("git+https://github.com/somebody/something")
            )
            .is_some()
        );
    }
}
