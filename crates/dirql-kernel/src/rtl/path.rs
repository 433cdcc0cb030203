//! C routines that take paths of files apart and put them together.
//!
//! Source: C run-time library reference, "_splitpath_s, _wsplitpath_s", "_makepath_s, _wmakepath_s".

use alloc::vec::Vec;

use super::format::Width;
use crate::{Ddi, Kernel};

/// `errno_t`: success, invalid argument, does not fit.
const OK: i32 = 0;
const EINVAL: i32 = 22;
const ERANGE: i32 = 34;

/// Characters of a drive, of a path and of each other part, with the terminator (`_MAX_DRIVE`,
/// `_MAX_PATH`).
const MAX_PATH: usize = 260;

const fn is(unit: u16, byte: u8) -> bool {
    unit == byte as u16
}

/// Drive with its colon, directory with its last slash, name, extension with its period.
fn split(path: &[u16]) -> [&[u16]; 4] {
    let (drive, rest) = match path {
        [_, colon, ..] if is(*colon, b':') => path.split_at(2),
        _ => path.split_at(0),
    };
    let slash = rest
        .iter()
        .rposition(|unit| is(*unit, b'\\') || is(*unit, b'/'));
    let (directory, file) = rest.split_at(slash.map_or(0, |slash| slash + 1));
    let period = file.iter().rposition(|unit| is(*unit, b'.'));
    let (name, extension) = file.split_at(period.unwrap_or(file.len()));
    [drive, directory, name, extension]
}

fn join(parts: &[Vec<u16>; 4]) -> Vec<u16> {
    let [drive, directory, name, extension] = parts;
    let mut path = Vec::new();
    if let Some(letter) = drive.first() {
        path.extend([*letter, u16::from(b':')]);
    }
    path.extend(directory);
    if let Some(last) = directory.last()
        && !is(*last, b'\\')
        && !is(*last, b'/')
    {
        path.push(u16::from(b'\\'));
    }
    path.extend(name);
    if let Some(first) = extension.first() {
        if !is(*first, b'.') {
            path.push(u16::from(b'.'));
        }
        path.extend(extension);
    }
    path
}

impl Kernel {
    /// `errno_t _splitpath_s(const char *Path, char *Drive, size_t, char *Directory, size_t, char
    /// *Name, size_t, char *Extension, size_t)`, `_wsplitpath_s`
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: 0; 22 without a path, or for a part with an address and no room or the reverse; 34
    ///   if a part does not fit. All parts are empty then.
    /// - Source: C run-time library reference, _splitpath_s.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn split_path(&self, path: u64, parts: [(u64, u64); 4], width: Width) -> Ddi<i32> {
        let empty = |status| -> Ddi<i32> {
            for (to, _) in parts.iter().filter(|(to, room)| *to != 0 && *room != 0) {
                self.write_units(*to, &[0], width)?;
            }
            Ok(status)
        };
        if path == 0 || parts.iter().any(|(to, room)| (*to == 0) != (*room == 0)) {
            return empty(EINVAL);
        }
        let path = self.read_units(path, MAX_PATH, width)?;
        let found = split(&path);
        for (part, (to, room)) in found.iter().zip(parts) {
            if to != 0 && part.len() as u64 >= room {
                return empty(ERANGE);
            }
        }
        for (part, (to, _)) in found.iter().zip(parts).filter(|(_, (to, _))| *to != 0) {
            self.write_units(to, &[*part, &[0]].concat(), width)?;
        }
        Ok(OK)
    }

    /// `errno_t _makepath_s(char *Path, size_t, const char *Drive, const char *Directory, const char
    /// *Name, const char *Extension)`, `_wmakepath_s`
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: 0; 22 without a target; 34 if it does not fit, with the target empty.
    /// - Source: C run-time library reference, _makepath_s.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn make_path(&self, to: u64, room: u64, parts: [u64; 4], width: Width) -> Ddi<i32> {
        if to == 0 || room == 0 {
            return Ok(EINVAL);
        }
        let mut read = [const { Vec::new() }; 4];
        for (part, from) in read.iter_mut().zip(parts).filter(|(_, from)| *from != 0) {
            *part = self.read_units(from, MAX_PATH, width)?;
        }
        let mut path = join(&read);
        let fits = (path.len() as u64) < room;
        if !fits {
            path.clear();
        }
        path.push(0);
        self.write_units(to, &path, width)?;
        Ok(if fits { OK } else { ERANGE })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn parts(path: &str) -> [String; 4] {
        let units: Vec<u16> = path.encode_utf16().collect();
        split(&units).map(String::from_utf16_lossy)
    }

    #[test]
    fn a_path_has_four_parts_each_of_which_may_be_missing() {
        assert_eq!(parts(r"C:\a\b.c"), ["C:", r"\a\", "b", ".c"]);
        assert_eq!(parts(r"\??\x\y.tar.gz"), ["", r"\??\x\", "y.tar", ".gz"]);
        assert_eq!(parts("a/b/"), ["", "a/b/", "", ""]);
        assert_eq!(parts("name"), ["", "", "name", ""]);
        assert_eq!(parts(r"a.b\c"), ["", r"a.b\", "c", ""]);
        assert_eq!(parts(""), [""; 4]);
    }

    #[test]
    fn what_was_taken_apart_is_put_together_if_there_is_room() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let text = |text: &str| {
            let at = bench.variable(32);
            kernel.write_bytes(at, text.as_bytes()).unwrap();
            at
        };
        let places = [0; 4].map(|_| text("????????"));
        let path = text(r"C:\a\b.c");
        let split = kernel.split_path(path, places.map(|place| (place, 8)), Width::Narrow);
        assert_eq!(split, Ok(OK));
        let to = bench.variable(32);
        let make = |room, parts| kernel.make_path(to, room, parts, Width::Narrow);
        assert_eq!(make(9, places), Ok(OK));
        assert_eq!(kernel.read_string(to, 32).unwrap(), br"C:\a\b.c");
        assert_eq!(make(8, places), Ok(ERANGE));
        assert_eq!(kernel.read_string(to, 32).unwrap(), b"");
        assert_eq!(make(32, [0, text("d"), text("e"), text("f")]), Ok(OK));
        assert_eq!(kernel.read_string(to, 32).unwrap(), br"d\e.f");
        let split = kernel.split_path(path, places.map(|place| (place, 4)), Width::Narrow);
        assert_eq!(split, Ok(OK), "each fits");
        let split = kernel.split_path(path, places.map(|place| (place, 2)), Width::Narrow);
        assert_eq!(split, Ok(ERANGE));
        assert_eq!(kernel.read_string(places[2], 8).unwrap(), b"");
        let split = kernel.split_path(path, [(0, 1); 4], Width::Narrow);
        assert_eq!(split, Ok(EINVAL));
    }
}
