//! `--trace`

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, LineWriter, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::rc::Rc;

use dirql::MakeSink;
use dirql_trace::{Form, Stream};

use super::Failure;

/// The first error of a writer that is gone when one asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstError(Rc<RefCell<Option<io::Error>>>);

impl FirstError {
    pub(crate) fn take(&self) -> Option<io::Error> {
        self.0.borrow_mut().take()
    }
}

/// Remembers the first error.
struct Watched<W> {
    out: W,
    error: FirstError,
}

impl<W> Watched<W> {
    fn watch<R>(&mut self, result: io::Result<R>) -> io::Result<R> {
        result.map_err(|error| {
            let kind = error.kind();
            self.error.0.borrow_mut().get_or_insert(error);
            kind.into()
        })
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.watch(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.watch(result)
    }
}

/// Where a trace goes, open.
#[derive(Debug)]
pub(crate) struct Target {
    form: Form,
    /// `None`: standard output.
    file: Option<File>,
}

impl Target {
    /// Opens `path`; `-` is standard output.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let form = Form::of_file(&path.to_string_lossy());
        let file = (path != Path::new("-")).then(|| File::create(path));
        let file = file
            .transpose()
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        Ok(Self { form, file })
    }

    /// Its number, for a process that is to keep it open.
    pub(crate) fn number(&self) -> RawFd {
        self.file
            .as_ref()
            .map_or_else(|| io::stdout().as_raw_fd(), AsRawFd::as_raw_fd)
    }
}

/// A sink that writes to `target`.
pub(crate) fn sink(target: Target) -> (MakeSink, FirstError) {
    let Target { form, file } = target;
    let error = FirstError::default();
    let out: Box<dyn Write> = match file {
        None => Box::new(io::stdout()),
        Some(file) => Box::new(file),
    };
    // A driver may destroy the process: what it did until then is written line by line.
    let out = LineWriter::with_capacity(
        1 << 16,
        Watched {
            out,
            error: error.clone(),
        },
    );
    let make: MakeSink = Box::new(move |names| Box::new(Stream::new(out, form, names)));
    (make, error)
}
