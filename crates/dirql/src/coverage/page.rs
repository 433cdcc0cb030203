//! Coverage as a page: functions with what has not run, and the sources with what each line has
//! run as. One HTML file, without scripts, that needs nothing else.

use std::collections::BTreeMap;
use std::io::{self, Write};

use dirql_trace::page::escaped;

use super::{BlockCoverage, CodeCoverage, DriverCoverage, FunctionCoverage, Ran, missing, rank};

const STYLE: &str = include_str!("page.css");

/// Writes the page. `source` gives the text of a file that symbols name, if it is at hand.
///
/// # Errors
/// The writer's.
pub fn write_page(
    out: &mut dyn Write,
    coverage: &CodeCoverage,
    source: &mut dyn FnMut(&str) -> Option<String>,
) -> io::Result<()> {
    let names: Vec<&str> = coverage
        .drivers
        .iter()
        .map(|driver| &*driver.name)
        .collect();
    let title = format!("Coverage of {}", names.join(", "));
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n<main>",
        escaped(&title)
    )?;
    for driver in &coverage.drivers {
        write_driver(out, driver, source)?;
    }
    writeln!(out, "</main>\n</html>")
}

fn write_driver(
    out: &mut dyn Write,
    driver: &DriverCoverage,
    source: &mut dyn FnMut(&str) -> Option<String>,
) -> io::Result<()> {
    writeln!(
        out,
        "<h1>{}: {} of {} basic blocks ran</h1>\n\
         <p class=\"key\"><span class=\"ran\">ran</span> <span class=\"partly\">in part</span> \
         <span class=\"never\">never ran</span></p>",
        escaped(&driver.name),
        driver.ran,
        driver.blocks
    )?;
    write_functions(out, &driver.functions)?;
    let mut files: BTreeMap<&str, BTreeMap<u32, Vec<&BlockCoverage>>> = BTreeMap::new();
    for block in driver.functions.iter().flat_map(|of| &of.blocks) {
        for line in &block.lines {
            let lines = files.entry(&line.file).or_default();
            lines.entry(line.line).or_default().push(block);
        }
    }
    let mut missing = Vec::new();
    for (name, lines) in &files {
        match source(name) {
            Some(text) => write_source(out, name, &text, lines)?,
            None => missing.push(escaped(name)),
        }
    }
    if !missing.is_empty() {
        let names = missing.join("</code>, <code>");
        writeln!(out, "<p>Not at hand: <code>{names}</code></p>")?;
    }
    let without = |function: &&FunctionCoverage| {
        let blocks = &function.blocks;
        blocks.iter().any(|block| !block.code.is_empty())
    };
    let mut functions = driver.functions.iter().filter(without).peekable();
    if functions.peek().is_some() {
        writeln!(out, "<h2>Code without lines</h2>")?;
    }
    functions.try_for_each(|function| write_code(out, function))
}

/// The functions of which something has not run, and, folded, the others.
fn write_functions(out: &mut dyn Write, functions: &[FunctionCoverage]) -> io::Result<()> {
    let missing = missing(functions);
    if !missing.is_empty() {
        begin_functions(
            out,
            "Functions with code that never ran",
            "<th scope=\"col\">never ran",
        )?;
        for (function, what) in missing {
            write_function(out, function, Some(&what))?;
        }
        writeln!(out, "</table></div>")?;
    }
    let whole: Vec<_> = functions
        .iter()
        .filter(|function| function.ran() == function.blocks.len())
        .collect();
    if whole.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<details><summary>Functions that ran whole: {}</summary>",
        whole.len()
    )?;
    begin_functions(out, "Functions that ran whole", "")?;
    for function in whole {
        write_function(out, function, None)?;
    }
    writeln!(out, "</table></div></details>")
}

fn begin_functions(out: &mut dyn Write, caption: &str, more: &str) -> io::Result<()> {
    writeln!(
        out,
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\
         <table class=\"functions\"><caption>{caption}</caption><thead><tr><th scope=\"col\">function\
         <th scope=\"col\">blocks<th scope=\"col\">ran as{more}<tbody>"
    )
}

fn write_function(
    out: &mut dyn Write,
    function: &FunctionCoverage,
    what: Option<&str>,
) -> io::Result<()> {
    let (all, ran) = (function.blocks.len(), function.ran());
    let class = class(ran, all);
    let source = function.source.as_ref();
    let source = source.map(|source| format!("{}:{}", source.file, source.line));
    writeln!(
        out,
        "<tr><th scope=\"row\"><code>{}</code> <small>{}</small><td class=\"{class}\">{ran} of {all}<td>{}{}",
        escaped(&function.title()),
        escaped(&source.unwrap_or_default()),
        escaped(&words(&function.roles())),
        what.map(|what| format!("<td>{}", escaped(what)))
            .unwrap_or_default()
    )
}

fn write_source(
    out: &mut dyn Write,
    name: &str,
    text: &str,
    lines: &BTreeMap<u32, Vec<&BlockCoverage>>,
) -> io::Result<()> {
    writeln!(
        out,
        "<h2>{}</h2><div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table class=\"source\">",
        escaped(name)
    )?;
    for (number, line) in (1_u32..).zip(text.lines()) {
        let blocks = lines.get(&number).map_or(&[][..], Vec::as_slice);
        let ran = blocks.iter().filter(|block| block.has_run()).count();
        let class = if blocks.is_empty() {
            "none"
        } else {
            class(ran, blocks.len())
        };
        let roles = together(blocks);
        let said = match class {
            "never" => "never ran".into(),
            "partly" => format!("in part: {}", words(&roles)),
            _ => words(&roles),
        };
        writeln!(
            out,
            "<tr class=\"{class}\"><td>{number}<td><code>{}</code><td>{}",
            escaped(line),
            escaped(&said)
        )?;
    }
    writeln!(out, "</table></div>")
}

fn write_code(out: &mut dyn Write, function: &FunctionCoverage) -> io::Result<()> {
    let title = escaped(&function.title());
    writeln!(
        out,
        "<h3><code>{title}</code></h3><div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\"><table class=\"source\">"
    )?;
    for block in &function.blocks {
        let (class, said) = match block.has_run() {
            true => ("ran", words(&block.ran)),
            false => ("never", "never ran".into()),
        };
        for (place, line) in block.code.iter().enumerate() {
            let said = if place == 0 { &*said } else { "" };
            writeln!(
                out,
                "<tr class=\"{class}\"><td><td><code>{}</code><td>{}",
                escaped(line),
                escaped(said)
            )?;
        }
    }
    writeln!(out, "</table></div>")
}

const fn class(ran: usize, all: usize) -> &'static str {
    match ran {
        0 => "never",
        ran if ran == all => "ran",
        _ => "partly",
    }
}

/// As what some blocks have run.
fn together(blocks: &[&BlockCoverage]) -> Vec<Ran> {
    let mut roles: Vec<Ran> = Vec::new();
    for ran in blocks.iter().flat_map(|block| &block.ran) {
        match roles.iter_mut().find(|known| known.role == ran.role) {
            Some(known) => known.irqls.extend(&ran.irqls),
            None => roles.push(ran.clone()),
        }
    }
    for ran in &mut roles {
        ran.irqls.sort_unstable();
        ran.irqls.dedup();
    }
    roles.sort_by_key(|ran| rank(&ran.role));
    roles
}

fn words(roles: &[Ran]) -> String {
    let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
    roles.join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn written(source: Option<&str>) -> String {
        let mut out = Vec::new();
        let mut find = |_: &str| source.map(Into::into);
        write_page(&mut out, &sample(), &mut find).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_line_says_what_it_has_run_as() {
        let text = written(Some("isr(\nif (a < b)\n  x;\n  y;\nend"));
        for wanted in [
            "<tr class=\"ran\"><td>1<td><code>isr(</code><td>ISR at IRQL 6",
            "<tr class=\"ran\"><td>2<td><code>if (a &lt; b)</code><td>ISR at IRQL 6; DPC at IRQL 2",
            "<tr class=\"never\"><td>3<td><code>  x;</code><td>never ran",
            "<tr class=\"never\"><td><td><code>0x1010  ret</code><td>never ran",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn nothing_is_fetched_and_nothing_runs() {
        let text = written(Some("<script>"));
        for wanted in ["http:", "https:", "src=", "@import", "url(", "<script"] {
            assert!(!text.contains(wanted), "{wanted}");
        }
        assert!(text.contains("default-src 'none'"));
    }

    #[test]
    fn without_its_source_a_file_is_named() {
        assert!(written(None).contains("<p>Not at hand: <code>a.c</code></p>"));
    }
}
