//! `--report` and `--timeline`: what the process that runs a driver has seen, and where it goes.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Component, Path, PathBuf};

use dirql::report::{Report, page};
use dirql::scenario::Scenario;
use dirql::{Film, MakeSink};
use dirql_trace::page::Page;
use dirql_trace::{Form, Stream, Timeline, staircase};
use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};

use super::Failure;
use super::args::{Pictures as Args, ReportFormat};
use super::isolate::{self, Channel, Ending, Limit, Message};
use super::output::Output;

/// Characters of a line of the drawing: what the log of a CI shows.
pub(super) const WIDTH: usize = 110;

/// What is asked for, and a file in memory for it: the process that runs the driver writes it at
/// the end, if it comes so far, and may open no file of its own.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    args: Args,
    memory: Option<File>,
}

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    timeline: Timeline,
    drawing: String,
}

impl Pictures {
    /// # Errors
    /// There is no room for a file in memory.
    pub(crate) fn new(args: &Args) -> Result<Self, Failure> {
        let memory = args
            .is_any()
            .then(|| rustix::fs::memfd_create("dirql-pictures", MemfdFlags::CLOEXEC))
            .transpose()
            .map_err(|error| Failure::usage(format!("no memory for a picture: {error}")))?;
        Ok(Self {
            args: args.clone(),
            memory: memory.map(File::from),
        })
    }

    /// The file's number, for a process that is to keep it open.
    pub(crate) fn number(&self) -> Option<RawFd> {
        self.memory.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Puts a run on record, if pictures of it are wanted. `other` is the sink that it has.
    pub(crate) fn film(&self, other: Option<MakeSink>) -> (Option<Film>, Option<MakeSink>) {
        if self.memory.is_none() {
            return (None, other);
        }
        let film = Film::default();
        let sink = film.sink(other);
        (Some(film), Some(sink))
    }

    /// The run is over. Called in the process that ran the driver.
    ///
    /// # Errors
    /// The file's.
    pub(crate) fn keep(&self, film: Option<&Film>) -> io::Result<()> {
        let (Some(film), Some(memory)) = (film, &self.memory) else {
            return Ok(());
        };
        let mut drawing = Vec::new();
        if self.args.timeline {
            film.draw(&mut drawing, WIDTH)?;
        }
        let timeline = if self.args.report.is_some() {
            film.timeline()
        } else {
            Timeline::default()
        };
        let seen = Seen {
            timeline,
            drawing: String::from_utf8_lossy(&drawing).into_owned(),
        };
        let mut out = BufWriter::new(memory);
        serde_json::to_writer(&mut out, &seen)?;
        out.flush()
    }

    /// If a run destroyed its process before it had kept anything: has `run` play it again, in a
    /// process like the first, with every event written down as it happens.
    ///
    /// # Errors
    /// There is no process, or no memory.
    pub(crate) fn again(
        &self,
        ending: &Ending,
        seconds: u32,
        run: impl FnOnce(MakeSink, &mut Channel),
    ) -> io::Result<()> {
        let (Ending::Destroyed(_), Some(memory)) = (ending, &self.memory) else {
            return Ok(());
        };
        memory.set_len(0)?;
        let mut out = memory.try_clone()?;
        out.rewind()?;
        let out = Bounded {
            out,
            left: MOST_BYTES,
        };
        let sink: MakeSink =
            Box::new(move |names| Box::new(Stream::new(out, Form::JsonLines, names)));
        let keeps: Vec<_> = self.number().into_iter().collect();
        // It ends as the first one did.
        isolate::isolated_with(
            Limit::Real(seconds),
            &keeps,
            |channel| run(sink, channel),
            |_| {},
        )
        .map(|_| ())
    }

    /// What was kept, or written down until the process was destroyed.
    fn seen(&self) -> Option<Seen> {
        let mut memory = self.memory.as_ref()?;
        let mut text = Vec::new();
        memory.rewind().ok()?;
        memory.read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok().or_else(|| {
            let trace = dirql_trace::read(&*text).ok()?;
            let mut drawing = Vec::new();
            staircase::draw_trace(&mut drawing, &trace, WIDTH).ok()?;
            Some(Seen {
                timeline: Timeline::of_trace(&trace),
                drawing: String::from_utf8_lossy(&drawing).into_owned(),
            })
        })
    }

    /// The timeline that was kept, with lines of source.
    pub(crate) fn timeline(&self, scenario: &Scenario) -> Option<Timeline> {
        let mut timeline = self.seen()?.timeline;
        add_sources(&mut timeline, &directories(scenario));
        Some(timeline)
    }

    /// Shows what was kept, beside the report of the run.
    ///
    /// # Errors
    /// The page cannot be written.
    pub(crate) fn show(
        &self,
        report: &Report,
        scenario: &Scenario,
        format: ReportFormat,
        out: &mut Output,
    ) -> Result<(), Failure> {
        if self.memory.is_none() {
            return Ok(());
        }
        let Some(mut seen) = self.seen() else {
            out.note("no picture: the run's process did not come to its end");
            return Ok(());
        };
        if self.args.timeline {
            match format {
                ReportFormat::Human => write!(out.results(), "\n{}", seen.drawing)?,
                // Standard output is for the report.
                _ => out.note(&seen.drawing),
            }
        }
        if let Some(file) = &self.args.report {
            add_sources(&mut seen.timeline, &directories(scenario));
            write_page(&page(report, seen.timeline), file)?;
            out.note(&format!("wrote {}", file.display()));
        }
        Ok(())
    }
}

/// A run again, with all that happens in it; `None` if it does not come to its end. `play` is given
/// the sink.
///
/// # Errors
/// There is no process, or no memory.
pub(crate) fn filmed(
    scenario: &Scenario,
    seconds: u32,
    play: impl FnOnce(Option<MakeSink>) -> Option<Report>,
) -> Result<Option<(Report, Timeline)>, Failure> {
    let pictures = Pictures::new(&Args {
        report: Some("page".into()),
        timeline: false,
    })?;
    let keeps: Vec<_> = pictures.number().into_iter().collect();
    let body = |channel: &mut Channel| {
        let (film, sink) = pictures.film(None);
        if let Some(report) = play(sink)
            && pictures.keep(film.as_ref()).is_ok()
        {
            channel.send(&Message::Done(Box::new(report)));
        }
    };
    let ending = isolate::isolated_with(Limit::Cpu(seconds), &keeps, body, |_| {})?;
    let Ending::Done(report) = ending else {
        return Ok(None);
    };
    let timeline = pictures.timeline(scenario);
    Ok(timeline.map(|timeline| (*report, timeline)))
}

/// Bytes that are written down of a run that destroys its process, at most.
const MOST_BYTES: usize = 256 << 20;

/// A file that takes so many bytes, each write at once, so that nothing is lost with the process.
struct Bounded {
    out: File,
    left: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len());
        self.left = left.ok_or(io::ErrorKind::StorageFull)?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a page to a file.
///
/// # Errors
/// The file's.
pub(crate) fn write_page(page: &Page, path: &Path) -> Result<(), Failure> {
    let write = || {
        let mut out = BufWriter::new(File::create(path)?);
        page.write(&mut out)?;
        out.flush()
    };
    write().map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Where the drivers of a scenario are, and with luck their sources.
pub(super) fn directories(scenario: &Scenario) -> Vec<PathBuf> {
    let of_driver = |driver: &dirql::scenario::DriverSpec| {
        let directory = driver.image.parent().unwrap_or(Path::new(""));
        directory.to_owned()
    };
    scenario.drivers.iter().map(of_driver).collect()
}

/// Endings of files that are shown.
const SOURCES: &[&str] = &[
    "asm", "c", "cc", "cpp", "cxx", "h", "hh", "hpp", "hxx", "inc", "inl", "rs", "s",
];

/// The path below a directory that a name of symbols stands for, if it is a source's. Who wrote
/// the symbols may want to see another file of this machine in the page.
fn source_path(file: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(file).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            // Above the directory there is nothing to be seen.
            Component::ParentDir if path.pop() => {}
            _ => return None,
        }
    }
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    SOURCES.contains(&ending.as_str()).then_some(path)
}

/// Where a file of source is that symbols name, and what it says. It is looked for by the path that
/// symbols have of it, from each directory upwards, and by its name there.
pub(super) fn find_source(file: &str, directories: &[PathBuf]) -> Option<(PathBuf, String)> {
    let file = source_path(file)?;
    let upwards = directories
        .iter()
        .flat_map(|directory| directory.ancestors().take(8));
    let mut places = upwards.flat_map(|directory| {
        let by_name = file.file_name().map(|name| directory.join(name));
        std::iter::once(directory.join(&file)).chain(by_name)
    });
    places.find_map(|place| {
        let text = std::fs::read_to_string(&place).ok()?;
        Some((place, text))
    })
}

/// Adds what lines of source are at hand.
pub(crate) fn add_sources(timeline: &mut Timeline, directories: &[PathBuf]) {
    timeline.add_sources(&mut |file| Some(find_source(file, directories)?.1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_below_a_directory_are_shown() {
        for (file, path) in [
            ("edu.c", "edu.c"),
            ("zoo/edu/edu.C", "zoo/edu/edu.C"),
            ("zoo/edu/../zoo.h", "zoo/zoo.h"),
            ("./src/lib.rs", "src/lib.rs"),
        ] {
            assert_eq!(source_path(file).as_deref(), Some(Path::new(path)));
        }
        for wrong in [
            "/edu.c",
            "../edu.c",
            "a/../../edu.c",
            "etc/passwd",
            "a.toml",
            "",
        ] {
            assert_eq!(source_path(wrong), None, "{wrong}");
        }
    }
}
