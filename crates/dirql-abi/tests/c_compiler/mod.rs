//! The C compiler: from expressions to numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The compiler of mingw-w64 for x64.
const COMPILER: &str = "x86_64-w64-mingw32-gcc";

const PRELUDE: &str = r#"
#define NUMBERS const long long __attribute__((used))
/* One more than the number: the compiler writes zeros in another form. */
#define N(number) ((long long)(number) + 1)
#define NT_PROCESSOR_GROUPS 1
"#;

/// Each GUID of the headers as 11 numbers.
const GUIDS: &str = "#include <ntifs.h>
#undef DEFINE_GUID
#define DEFINE_GUID(name, a, b, c, d0, d1, d2, d3, d4, d5, d6, d7) \
    NUMBERS name##_n[] = { N((unsigned)(a)), N(b), N(c), \
        N(d0), N(d1), N(d2), N(d3), N(d4), N(d5), N(d6), N(d7) };
#include <wdmguid.h>
#include <ntddpar.h>
";

/// Which headers an expression is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headers {
    /// Those of drivers.
    Driver,
    /// Those of applications, which define what the others only declare.
    Application,
}

impl Headers {
    const fn includes(self) -> &'static str {
        match self {
            Self::Driver => {
                "#include <ntifs.h>\n#include <parallel.h>\n#include <bugcodes.h>\n#include <wmistr.h>\n#include <wmilib.h>\n"
            }
            Self::Application => "#include <windows.h>\n#include <excpt.h>\n#include <setjmp.h>\n",
        }
    }
}

/// The value of each expression; `None` for those that the headers do not support.
pub(crate) fn evaluate(headers: Headers, expressions: &[&str]) -> Vec<Option<i64>> {
    let source = |skip: &BTreeSet<usize>| {
        let mut source = format!("{}#line 0 \"generated.c\"\n", headers.includes());
        for (index, expression) in expressions.iter().enumerate() {
            if skip.contains(&index) {
                source.push('\n');
            } else {
                writeln!(source, "NUMBERS n{index}[] = {{ N({expression}) }};")
                    .expect("a string takes all");
            }
        }
        source
    };
    // The first pass finds what has errors; the second leaves that out.
    let unsupported = lines_with_errors(&source(&BTreeSet::new()));
    let values = values_in(&compile_to_assembly(&source(&unsupported)));
    (0..expressions.len())
        .map(|index| {
            values
                .get(&format!("n{index}"))
                .and_then(|values| values.first().copied())
        })
        .collect()
}

/// The GUIDs that the driver headers define, by name: three parts and eight bytes.
pub(crate) fn guids_of_headers() -> BTreeMap<String, Vec<i64>> {
    values_in(&compile_to_assembly(GUIDS))
        .into_iter()
        .filter_map(|(label, values)| Some((label.strip_suffix("_n")?.to_owned(), values)))
        .collect()
}

/// Runs the compiler, or says what to install.
fn run(arguments: &[&str], input: &str) -> Output {
    let spawned = Command::new(COMPILER)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => panic!("{COMPILER}: {error}; to install it: apt-get install mingw-w64"),
    };
    let mut stdin = child.stdin.take().expect("piped above");
    let text = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("the compiler was started");
    // A compiler that stops early closes its end; its exit status tells why.
    let _ = writer.join();
    output
}

/// The directory of the driver headers, which is not searched by default.
fn ddk() -> PathBuf {
    let output = run(&["-E", "-v", "-x", "c", "-"], "");
    String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| line.starts_with(" /"))
        .map(|line| Path::new(line.trim()).join("ddk"))
        .find(|directory| directory.join("wdm.h").exists())
        .expect("mingw-w64 comes with driver headers (apt-get install mingw-w64)")
}

#[rustfmt::skip] // read as a command line
fn compile(source: &str) -> Output {
    let ddk = ddk();
    let ddk = ddk.to_str().expect("a path of the compiler's own");
    let arguments = [
        "-isystem", ddk, "-D_WIN32_WINNT=0x0A00", "-DNTDDI_VERSION=0x0A000000",
        "-w", "-fmax-errors=0", "-fdiagnostics-color=never",
        "-S", "-o", "-", "-x", "c", "-",
    ];
    run(&arguments, &format!("{PRELUDE}{source}"))
}

/// The assembly of `source`, which must be free of errors.
fn compile_to_assembly(source: &str) -> String {
    let output = compile(source);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the headers do not compile:\n{errors}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines of `source` from its `#line` directive on that have errors.
fn lines_with_errors(source: &str) -> BTreeSet<usize> {
    String::from_utf8_lossy(&compile(source).stderr)
        .lines()
        .filter(|line| line.contains(": error: "))
        .filter_map(|line| {
            line.strip_prefix("generated.c:")?
                .split(':')
                .next()?
                .parse()
                .ok()
        })
        .collect()
}

/// The numbers after each label of `assembly`.
fn values_in(assembly: &str) -> BTreeMap<String, Vec<i64>> {
    let mut values: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut label = String::new();
    for line in assembly.lines() {
        if let Some(name) = line.strip_suffix(':') {
            name.clone_into(&mut label);
        } else if let Some(number) = line.trim_start().strip_prefix(".quad\t") {
            let number: i64 = number
                .parse()
                .expect("numbers only: the arrays are constant");
            values
                .entry(label.clone())
                .or_default()
                .push(number.wrapping_sub(1));
        } else if line.trim_start().starts_with(".space") {
            panic!("{label} holds a zero: {line}");
        }
    }
    values
}
