//! Whether layers point down only: which of our packages may depend on which.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::problem::Problem;
use crate::task::Task;
use crate::tree::Tree;

/// A package and those of ours that it may depend on, lowest first. ARCHITECTURE.md says why.
#[rustfmt::skip] // read as a table
const LAYERS: &[(&str, &[&str])] = &[
    ("dirql-abi",    &[]),
    ("dirql-chips",  &[]),
    ("dirql-image",  &[]),
    ("dirql-rules",  &["dirql-abi"]),
    ("dirql-explore", &[]),
    ("dirql-kernel", &["dirql-abi", "dirql-chips", "dirql-rules"]),
    ("dirql-trace",  &["dirql-abi", "dirql-chips", "dirql-rules", "dirql-kernel"]),
    ("dirql-host",   &["dirql-abi", "dirql-chips", "dirql-rules", "dirql-kernel", "dirql-image"]),
    ("dirql",        &["dirql-abi", "dirql-chips", "dirql-rules", "dirql-kernel", "dirql-image", "dirql-trace", "dirql-host", "dirql-explore"]),
    ("dirql-fuzz",   &["dirql-abi", "dirql-chips", "dirql-rules", "dirql-kernel", "dirql-image", "dirql-trace", "dirql-host", "dirql-explore", "dirql"]),
    ("dirql-benches", &["dirql-abi", "dirql-chips", "dirql-rules", "dirql-kernel", "dirql-image", "dirql-trace", "dirql-host", "dirql-explore", "dirql"]),
    ("dirql-contract", &[]),
    ("xtask",        &["dirql-chips", "dirql-rules", "dirql-contract"]),
];

/// A package as `cargo metadata` describes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) repository: Option<String>,
    /// The registries that it may go to; `None`: any.
    pub(crate) publish: Option<Vec<String>>,
    /// Where it comes from; `None`: from here.
    pub(crate) source: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One dependency of a package.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build`, or nothing.
    pub(crate) kind: Option<String>,
    /// Where it is, if it is one of ours.
    pub(crate) path: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// The computer that we run on; what others would need is not looked at.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Every package that can be linked, ours and others.
///
/// # Errors
/// If cargo cannot say.
pub(crate) fn packages(tree: &Tree) -> Result<Vec<Package>> {
    let text = Task::cargo(tree.root())
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", PLATFORM])
        .output()?;
    let metadata: Metadata = serde_json::from_str(&text).context("cargo metadata")?;
    Ok(metadata.packages)
}

/// # Errors
/// If cargo cannot say what the packages are.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>> {
    let packages = packages(tree)?;
    let ours: Vec<&Package> = packages
        .iter()
        .filter(|package| package.source.is_none())
        .collect();
    let mut problems: Vec<Problem> = ours
        .iter()
        .flat_map(|package| layer_problems(package))
        .collect();
    problems.extend(ours.iter().flat_map(|package| manifest_problems(package)));
    Ok(problems)
}

/// Dependencies of tests may point anywhere.
fn layer_problems(package: &Package) -> Vec<Problem> {
    let at = |message: String| Problem::new(&package.name, None, message);
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
        return vec![at(String::from(
            "has no place in the layers; give it one in xtask/src/layers.rs and ARCHITECTURE.md",
        ))];
    };
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.path.is_some() && dependency.kind.as_deref() != Some("dev"))
        .filter(|dependency| !below.contains(&dependency.name.as_str()))
        .map(|dependency| at(format!("may not depend on {}", dependency.name)))
        .collect()
}

/// What a package needs to be published, if it is to be.
fn manifest_problems(package: &Package) -> Vec<Problem> {
    if package.publish.as_ref().is_some_and(Vec::is_empty) {
        return Vec::new();
    }
    let fields = [
        ("description", package.description.is_some()),
        ("license", package.license.is_some()),
        ("repository", package.repository.is_some()),
    ];
    let missing = fields.into_iter().filter(|(_, is_there)| !is_there);
    missing
        .map(|(field, _)| Problem::new(&package.name, None, format!("its manifest has no {field}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependencies = dependencies.iter().map(|(name, kind)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
            path: Some(String::from("crates")),
        });
        Package {
            name: name.to_owned(),
            version: String::from("0.1.0"),
            license: Some(String::from("MIT")),
            description: Some(String::from("what it is")),
            repository: None,
            publish: None,
            source: None,
            dependencies: dependencies.collect(),
        }
    }

    #[test]
    fn a_layer_may_use_those_below_it() {
        assert_eq!(
            layer_problems(&package("dirql-kernel", &[("dirql-rules", None)])),
            []
        );
        assert_eq!(
            layer_problems(&package("dirql-kernel", &[("dirql-host", Some("dev"))])),
            []
        );
    }

    #[test]
    fn a_layer_may_not_use_those_above_it() {
        let problems = layer_problems(&package("dirql-rules", &[("dirql-kernel", None)]));
        assert_eq!(
            problems,
            [Problem::new(
                "dirql-rules",
                None,
                "may not depend on dirql-kernel"
            )]
        );
    }

    #[test]
    fn a_new_package_needs_a_place() {
        assert_eq!(layer_problems(&package("dirql-misc", &[])).len(), 1);
    }

    #[test]
    fn a_manifest_that_lacks_a_field_is_a_problem() {
        let abi = package("dirql-abi", &[]);
        let problems = manifest_problems(&abi);
        assert_eq!(
            problems,
            [Problem::new(
                "dirql-abi",
                None,
                "its manifest has no repository"
            )]
        );
        let kept = Package {
            publish: Some(Vec::new()),
            ..abi
        };
        assert_eq!(manifest_problems(&kept), []);
    }

    #[test]
    fn each_layer_stands_on_those_named_before_it() {
        for (at, (_, below)) in LAYERS.iter().enumerate() {
            assert!(
                below
                    .iter()
                    .all(|name| LAYERS[..at].iter().any(|(earlier, _)| earlier == name))
            );
        }
    }
}
