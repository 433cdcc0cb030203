//! `--trace`

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::rc::Rc;

use dirql::MakeSink;
use dirql_trace::{Form, Stream};

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

/// A sink that writes to `path`, or to standard output for `-`.
pub(crate) fn sink(path: &Path) -> io::Result<(MakeSink, FirstError)> {
    let form = Form::of_file(&path.to_string_lossy());
    let error = FirstError::default();
    let out: Box<dyn Write> = if path == Path::new("-") {
        Box::new(io::stdout())
    } else {
        Box::new(File::create(path)?)
    };
    let out = BufWriter::with_capacity(
        1 << 16,
        Watched {
            out,
            error: error.clone(),
        },
    );
    let make: MakeSink = Box::new(move |names| Box::new(Stream::new(out, form, names)));
    Ok((make, error))
}
