//! `dirql imports`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dirql::WindowsVersion;
use dirql_host::{ImportState, import_state};
use dirql_image::{Image, Symbol};
use dirql_kernel::versions;
use serde::Serialize;

use super::args::{Format, Imports};
use super::output::Output;
use super::{Exit, Failure};

/// The form's name and version.
const SCHEMA: &str = "dirql-imports/1";

/// The state of what a driver exports that lies beside this one.
const BESIDE: &str = "beside";

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    drivers: Vec<Driver>,
}

#[derive(Serialize)]
struct Driver {
    file: String,
    implemented: usize,
    data: usize,
    missing: usize,
    modules: Vec<Module>,
}

#[derive(Serialize)]
struct Module {
    name: String,
    delayed: bool,
    imports: Vec<Import>,
}

#[derive(Serialize)]
struct Import {
    name: String,
    state: &'static str,
    /// Whether the Windows version that was asked for has it.
    on_windows: Option<bool>,
}

impl Driver {
    fn is_complete(&self) -> bool {
        let elsewhere = |import: &Import| import.on_windows == Some(false);
        self.missing == 0
            && !self
                .modules
                .iter()
                .flat_map(|module| &module.imports)
                .any(elsewhere)
    }
}

pub(crate) fn imports(args: &Imports, out: &mut Output) -> Result<Exit, Failure> {
    let mut drivers = Vec::new();
    for path in &args.drivers {
        drivers.push(driver(path, args.windows)?);
    }
    let complete = drivers.iter().all(Driver::is_complete);
    match args.format {
        Format::Json => {
            let answer = Answer {
                schema: SCHEMA,
                drivers,
            };
            serde_json::to_writer_pretty(out.results(), &answer).map_err(io::Error::from)?;
            writeln!(out.results())?;
        }
        Format::Human => {
            let quiet = out.detail() == dirql::report::Detail::Quiet;
            for driver in &drivers {
                write(out.results(), driver, args.windows, quiet)?;
            }
        }
    }
    Ok(if complete { Exit::Clean } else { Exit::Load })
}

fn driver(path: &Path, windows: Option<WindowsVersion>) -> Result<Driver, Failure> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::usage(format!("{file}: {error}")).help("give the path of a driver file")
    })?;
    let image = Image::parse(&bytes).map_err(|error| Failure {
        exit: Exit::Load,
        message: format!("{file}: {error}"),
        help: Some("drivers for x64 can be looked at: PE32+ images of the native subsystem".into()),
    })?;
    let modules: Vec<Module> = image
        .import_modules()
        .iter()
        .map(|module| {
            let other = beside(path, &module.name);
            let look = |import| look(&module.name, import, other.as_ref(), windows);
            Module {
                name: module.name.to_string(),
                delayed: module.delayed,
                imports: module.imports.iter().map(look).collect(),
            }
        })
        .collect();
    let count = |state: &str| {
        modules
            .iter()
            .flat_map(|module| &module.imports)
            .filter(|import| import.state == state)
            .count()
    };
    let (data, missing) = (count("data"), count("missing"));
    let implemented = count("implemented") + count(BESIDE);
    Ok(Driver {
        file,
        implemented,
        data,
        missing,
        modules,
    })
}

/// The driver of this name that lies beside another one, and is loaded with it.
fn beside(path: &Path, module: &str) -> Option<Image> {
    if !module.to_ascii_lowercase().ends_with(".sys") {
        return None;
    }
    let directory = Path::new(".").join(path.parent()?);
    let entries = std::fs::read_dir(directory).ok()?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_it = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.eq_ignore_ascii_case(module)
    };
    // Of several that differ in case a run takes the first one, too.
    let file = files.filter(is_it).min()?;
    Image::parse(&std::fs::read(file).ok()?).ok()
}

fn look(
    module: &str,
    import: &dirql_image::Import,
    other: Option<&Image>,
    windows: Option<WindowsVersion>,
) -> Import {
    let exported = other.and_then(|other| match &import.symbol {
        Symbol::Name { name, .. } => other.exports().by_name(name),
        Symbol::Ordinal(ordinal) => other.exports().by_ordinal(*ordinal),
    });
    let state = match import_state(module, import) {
        ImportState::Missing if exported.is_some() => BESIDE,
        ImportState::Routine => "implemented",
        ImportState::Data => "data",
        ImportState::Missing => "missing",
    };
    let on_windows = match (&import.symbol, windows) {
        // Of other modules nobody knows which Windows has what.
        (Symbol::Name { name, .. }, Some(windows)) if !matches!(state, "missing" | BESIDE) => {
            Some(versions::exists(name, windows))
        }
        _ => None,
    };
    Import {
        name: import.symbol.to_string(),
        state,
        on_windows,
    }
}

fn write(
    out: &mut dyn Write,
    driver: &Driver,
    windows: Option<WindowsVersion>,
    quiet: bool,
) -> io::Result<()> {
    let Driver {
        file,
        implemented,
        data,
        missing,
        ..
    } = driver;
    writeln!(
        out,
        "{file}: {implemented} implemented, {data} data, {missing} missing"
    )?;
    for module in &driver.modules {
        let shown: Vec<&Import> = module
            .imports
            .iter()
            .filter(|import| {
                !quiet || import.state == "missing" || import.on_windows == Some(false)
            })
            .collect();
        if shown.is_empty() {
            continue;
        }
        let delayed = if module.delayed {
            " (delay-loaded)"
        } else {
            ""
        };
        writeln!(out, "  {}{delayed}", module.name)?;
        for import in shown {
            write!(out, "    {:11}  {}", import.state, import.name)?;
            match (import.on_windows, windows) {
                (Some(false), Some(windows)) => writeln!(out, "  (not on Windows {windows})")?,
                _ => writeln!(out)?,
            }
        }
    }
    Ok(())
}
