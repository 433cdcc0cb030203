//! Coverage as lcov's tracefile, which editors and CI services read.
//!
//! Source: lcov(1), geninfo(1), "TRACEFILE FORMAT".
//!
//! A line has run if one of the blocks that it was made into has. It is not known how often: the
//! counts are 1 and 0. Code without lines is not in the file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{CodeCoverage, FunctionCoverage};

/// Functions and lines of one file.
#[derive(Debug, Default)]
struct File<'a> {
    functions: Vec<(&'a FunctionCoverage, u32)>,
    lines: BTreeMap<u32, bool>,
}

/// Writes the file. `path` says where a source is that symbols name; a name that it does not know
/// stays as it is.
///
/// # Errors
/// The writer's.
pub fn write_lcov(
    out: &mut dyn Write,
    coverage: &CodeCoverage,
    path: &mut dyn FnMut(&str) -> Option<String>,
) -> io::Result<()> {
    for driver in &coverage.drivers {
        let mut files: BTreeMap<&str, File<'_>> = BTreeMap::new();
        for function in &driver.functions {
            if let Some(source) = &function.source {
                let file = files.entry(&source.file).or_default();
                file.functions.push((function, source.line));
            }
            for block in &function.blocks {
                for line in &block.lines {
                    let file = files.entry(&line.file).or_default();
                    *file.lines.entry(line.line).or_default() |= block.has_run();
                }
            }
        }
        for (name, file) in files {
            // The test's name may have letters, digits and low lines.
            writeln!(out, "TN:{}", word(&driver.name))?;
            let path = path(name).unwrap_or_else(|| name.to_owned());
            writeln!(out, "SF:{path}")?;
            write_functions(out, &file.functions)?;
            for (line, ran) in &file.lines {
                writeln!(out, "DA:{line},{}", u32::from(*ran))?;
            }
            writeln!(out, "LF:{}", file.lines.len())?;
            let ran = file.lines.values().filter(|ran| **ran).count();
            writeln!(out, "LH:{ran}\nend_of_record")?;
        }
    }
    Ok(())
}

fn write_functions(out: &mut dyn Write, functions: &[(&FunctionCoverage, u32)]) -> io::Result<()> {
    // A function in several pieces has one name.
    let mut names: BTreeMap<String, (u32, bool)> = BTreeMap::new();
    for (function, line) in functions {
        let known = names.entry(function.title()).or_insert((*line, false));
        known.0 = known.0.min(*line);
        known.1 |= function.ran() > 0;
    }
    for (name, (line, _)) in &names {
        writeln!(out, "FN:{line},{name}")?;
    }
    for (name, (_, ran)) in &names {
        writeln!(out, "FNDA:{},{name}", u32::from(*ran))?;
    }
    writeln!(out, "FNF:{}", names.len())?;
    let ran = names.values().filter(|(_, ran)| *ran).count();
    writeln!(out, "FNH:{ran}")
}

fn word(name: &str) -> String {
    let fits = |sign: char| {
        if sign.is_ascii_alphanumeric() {
            sign
        } else {
            '_'
        }
    };
    name.chars().map(fits).collect()
}

#[cfg(test)]
mod tests {
    use snapbox::{assert_data_eq, str};

    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_line_has_run_if_one_of_its_blocks_has() {
        let mut text = Vec::new();
        let mut path = |name: &str| Some(format!("src/{name}"));
        write_lcov(&mut text, &sample(), &mut path).unwrap();
        assert_data_eq!(
            String::from_utf8(text).unwrap(),
            str![[r#"
TN:a_sys
SF:src/a.c
FN:1,Isr
FNDA:1,Isr
FNF:1
FNH:1
DA:1,1
DA:2,1
DA:3,0
DA:4,0
DA:5,1
LF:5
LH:3
end_of_record

"#]]
        );
    }
}
