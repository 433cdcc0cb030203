//! The book under `docs/`: what is generated, and what is checked without a tool to build it.

pub(crate) mod contents;
mod contract;
mod contract_rules;
pub(crate) mod examples;
pub(crate) mod links;
mod models;
pub(crate) mod notes;
pub(crate) mod pages;
pub(crate) mod picture;
pub(crate) mod rule_tests;
mod rules;
