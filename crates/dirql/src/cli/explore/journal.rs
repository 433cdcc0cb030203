//! What a search that may be interrupted has done, in a file.
//!
//! Lines of JSON. The first says of which search the file is; each other one what came out of one
//! part of it, written when that part was done. A search that goes on does the parts that are not
//! there: what was under way is done again from its beginning, so that nothing is lost and nothing
//! counted twice. A last line without an end is one that an interrupted search had begun to write;
//! it goes away.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::Failure;
use super::part::Part;

/// The form's name and version.
const SCHEMA: &str = "dirql-journal/1";

/// Parts of a search that goes on from a file: what is done again after an interruption is less
/// than this part of it for each worker.
pub(super) const PARTS: u64 = 32;

/// Which search a file is of: all that its result depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    /// [`SCHEMA`].
    schema: String,
    /// Fingerprints of driver and scenario.
    pub(super) subject: String,
    pub(super) strategy: String,
    pub(super) granularity: String,
    /// Which part of how many, counted from 1.
    pub(super) shard: (u64, u64),
    /// Parts of that.
    pub(super) parts: u64,
    /// The most runs.
    pub(super) runs: Option<u64>,
    pub(super) keep_going: bool,
}

/// One part that is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    /// Which time the search began again with more points, from 0.
    round: u64,
    part: u64,
    result: Part,
}

/// A file that a search goes on from.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    done: Vec<Done>,
}

impl Search {
    pub(super) fn new(subject: String, strategy: String, granularity: String) -> Self {
        Self {
            schema: SCHEMA.into(),
            subject,
            strategy,
            granularity,
            shard: (1, 1),
            parts: PARTS,
            runs: None,
            keep_going: false,
        }
    }

    /// In which way another search differs, in words.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let same = [
            ("driver or scenario", self.subject == other.subject),
            ("strategy", self.strategy == other.strategy),
            ("granularity", self.granularity == other.granularity),
            ("shard", self.shard == other.shard),
            ("number of parts", self.parts == other.parts),
            ("budget of runs", self.runs == other.runs),
            ("--keep-going", self.keep_going == other.keep_going),
        ];
        same.iter().find(|(_, same)| !same).map(|(what, _)| *what)
    }
}

impl Journal {
    /// The file at `path`, made if it is not there.
    ///
    /// # Errors
    /// It cannot be used, somebody else uses it, it is damaged, or of another search.
    pub(super) fn open(path: &Path, search: &Search) -> Result<Self, Failure> {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| wrong(&error))?;
        if file.try_lock().is_err() {
            return Err(wrong(&"another search uses it"));
        }
        let mut journal = Self {
            path: path.into(),
            file,
            done: Vec::new(),
        };
        let mut text = Vec::new();
        let read = journal.file.read_to_end(&mut text);
        read.map_err(|error| wrong(&error))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |at| at + 1);
        journal
            .file
            .set_len(whole as u64)
            .and_then(|()| journal.file.seek(SeekFrom::End(0)))
            .map_err(|error| wrong(&error))?;
        let mut lines = text[..whole].split_inclusive(|byte| *byte == b'\n');
        match lines.next() {
            None => journal.write(search)?,
            Some(first) => check(first, search).map_err(|error| wrong(&error))?,
        }
        for (number, line) in lines.enumerate() {
            let done: Done = serde_json::from_slice(line)
                .map_err(|error| wrong(&format!("line {}: {error}", number + 2)))?;
            if journal.find(done.round, done.part).is_some() || done.part >= search.parts {
                let error = format!("line {}: part {} is there twice", number + 2, done.part);
                return Err(wrong(&error));
            }
            journal.done.push(done);
        }
        Ok(journal)
    }

    /// What came out of a part, if it is done.
    pub(super) fn find(&self, round: u64, part: u64) -> Option<&Part> {
        let mut done = self.done.iter();
        let done = done.find(|done| done.round == round && done.part == part);
        done.map(|done| &done.result)
    }

    /// A part is done.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn add(&mut self, round: u64, part: u64, result: Part) -> Result<(), Failure> {
        let done = Done {
            round,
            part,
            result,
        };
        self.write(&done)?;
        self.done.push(done);
        Ok(())
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("{}: {error}", self.path.display()))
        };
        let mut bytes = serde_json::to_vec(line).map_err(|error| wrong(&error))?;
        bytes.push(b'\n');
        let written = self.file.write_all(&bytes);
        written
            .and_then(|()| self.file.sync_data())
            .map_err(|error| wrong(&error))
    }
}

/// Whether the first line is of this search, and of a form that is known.
fn check(line: &[u8], search: &Search) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Form {
        schema: String,
    }
    let no_journal = "it is no file that `--resume` has written";
    let form: Form = serde_json::from_slice(line).map_err(|_| no_journal)?;
    if form.schema != SCHEMA {
        return Err(format!(
            "its form is {}, and this dirql reads {SCHEMA}",
            form.schema
        ));
    }
    let found: Search = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match found.difference(search) {
        Some(what) => Err(format!("it is of a search with another {what}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search() -> Search {
        Search::new("image-scenario".into(), "exhaustive".into(), "ddi".into())
    }

    fn with_file(name: &str, test: impl FnOnce(&Path)) {
        let name = format!("dirql-journal-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        test(&path);
        std::fs::remove_file(&path).unwrap();
    }

    fn part(runs: u64) -> Part {
        Part {
            runs,
            ..Part::default()
        }
    }

    fn error(path: &Path, search: &Search) -> String {
        let error = Journal::open(path, search).unwrap_err().message;
        error.replace(&path.display().to_string(), "FILE")
    }

    #[test]
    fn what_is_done_is_there_again() {
        with_file("again", |path| {
            let mut journal = Journal::open(path, &search()).unwrap();
            journal.add(0, 3, part(7)).unwrap();
            drop(journal);
            let journal = Journal::open(path, &search()).unwrap();
            assert_eq!(journal.find(0, 3).map(|part| part.runs), Some(7));
            assert!(journal.find(0, 2).is_none() && journal.find(1, 3).is_none());
        });
    }

    #[test]
    fn a_line_that_was_begun_goes_away() {
        with_file("begun", |path| {
            let mut journal = Journal::open(path, &search()).unwrap();
            journal.add(0, 0, part(1)).unwrap();
            drop(journal);
            let whole = std::fs::read(path).unwrap();
            for cut in [1, whole.len() - 1, whole.len() - 20] {
                std::fs::write(path, [&whole[..], &whole[..cut]].concat()).unwrap();
                let journal = Journal::open(path, &search());
                // A cut at a line's end leaves a whole line: the first one, which is none of a part.
                let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
                assert_eq!(journal.is_ok(), lines == 0, "{cut}");
            }
            std::fs::write(path, &whole[..10]).unwrap();
            assert!(Journal::open(path, &search()).unwrap().find(0, 0).is_none());
        });
    }

    #[test]
    fn another_search_is_refused() {
        with_file("another", |path| {
            drop(Journal::open(path, &search()).unwrap());
            let mut other = search();
            other.strategy = "pct".into();
            assert_eq!(
                error(path, &other),
                "FILE: it is of a search with another strategy"
            );
            std::fs::write(path, "{\"schema\":\"dirql-journal/9\"}\n").unwrap();
            assert_eq!(
                error(path, &search()),
                "FILE: its form is dirql-journal/9, and this dirql reads dirql-journal/1"
            );
            std::fs::write(path, "a poem\n").unwrap();
            assert_eq!(
                error(path, &search()),
                "FILE: it is no file that `--resume` has written"
            );
        });
    }

    #[test]
    fn a_part_that_is_there_twice_is_refused() {
        with_file("twice", |path| {
            let mut journal = Journal::open(path, &search()).unwrap();
            journal.add(0, 1, part(1)).unwrap();
            journal.add(0, 1, part(1)).unwrap();
            drop(journal);
            assert_eq!(
                error(path, &search()),
                "FILE: line 3: part 1 is there twice"
            );
        });
    }

    #[test]
    fn two_searches_do_not_share_a_file() {
        with_file("shared", |path| {
            let _first = Journal::open(path, &search()).unwrap();
            assert_eq!(error(path, &search()), "FILE: another search uses it");
        });
    }
}
