//! The driver's code at a place, as a trace carries it: source lines and instructions.

use serde::{Deserialize, Serialize};

/// What surrounds an instruction of a driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The instruction, in bytes from the base of its image.
    pub at: u64,
    /// The function that it is in.
    #[serde(default)]
    pub function: Option<String>,
    /// The source file.
    #[serde(default)]
    pub file: Option<String>,
    /// The line of that file, from 1.
    #[serde(default)]
    pub line: Option<u32>,
    /// Lines around it, if the file is at hand.
    #[serde(default)]
    pub source: Vec<SourceText>,
    /// Instructions around it.
    #[serde(default)]
    pub instructions: Vec<InstructionText>,
}

/// A line of source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceText {
    /// Its number, from 1.
    pub line: u32,
    /// Its text, without the end of the line.
    pub text: String,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstructionText {
    /// Bytes from the base of the image.
    pub at: u64,
    /// As the assembler writes it.
    pub text: String,
}
