mod commands;
mod controller;
mod data;
mod host;
mod properties;

use super::spec::{admin, feature, io};
use super::*;
use host::{Host, IO_COMPLETION, IO_SUBMISSION};
