//! Addresses in words: image, function and source line.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use dirql_host::LoadedImage;
use dirql_image::disassembly;
use dirql_image::symbols::{Location, Symbols};
use dirql_trace::{Code, InstructionText, Names};

/// The longest piece of code that is asked for.
const PIECE: usize = 0x200;

/// Knows every image that was loaded. Symbols are read when the first address in their image is
/// asked for.
#[derive(Default)]
pub(crate) struct Addresses(RefCell<Vec<Known>>);

struct Known {
    image: Rc<LoadedImage>,
    pdb: Option<Arc<[u8]>>,
    symbols: Option<Option<Rc<Symbols>>>,
}

/// An address of a driver in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodePlace {
    /// The image, for example `edu.sys`.
    pub image: String,
    /// Bytes from its base.
    pub rva: u64,
    /// The function and the bytes from its start.
    pub function: Option<(String, u32)>,
    /// The file and the line.
    pub source: Option<String>,
}

impl fmt::Display for CodePlace {
    /// As in `edu.sys!EduIsr+0x12 (edu.c:52)`, or `edu.sys+0x1012`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some((name, 0)) => write!(f, "{}!{name}", self.image)?,
            Some((name, offset)) => write!(f, "{}!{name}+{offset:#x}", self.image)?,
            None => write!(f, "{}+{:#x}", self.image, self.rva)?,
        }
        self.source
            .as_ref()
            .map_or(Ok(()), |source| write!(f, " ({source})"))
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses")
            .field("images", &self.0.borrow().len())
            .finish()
    }
}

impl Addresses {
    /// Makes an image known, with its PDB if there is one.
    pub(crate) fn add(&self, image: Rc<LoadedImage>, pdb: Option<Arc<[u8]>>) {
        self.0.borrow_mut().push(Known {
            image,
            pdb,
            symbols: None,
        });
    }

    /// What is at `address`. For an address to which a call returns, `call` asks for the call.
    pub(crate) fn describe(&self, address: u64, call: bool) -> Option<CodePlace> {
        let mut images = self.0.borrow_mut();
        let inside = address.wrapping_sub(u64::from(call));
        // The latest image at an address is the one that is meant.
        let known = images
            .iter_mut()
            .rev()
            .find(|known| known.image.range().contains(&inside))?;
        let rva = inside - known.image.base();
        let location = known
            .symbols()
            .and_then(|symbols| symbols.lookup(u32::try_from(rva).ok()?));
        Some(CodePlace {
            image: known.image.name().into(),
            rva: rva + u64::from(call),
            function: location
                .as_ref()
                .and_then(|location| function(location, call)),
            source: location
                .as_ref()
                .and_then(Location::source)
                .map(ToString::to_string),
        })
    }

    /// The first bytes of code at `address`, as the image's file has them; none where no image is
    /// or was.
    pub(crate) fn code(&self, address: u64) -> Vec<u8> {
        let images = self.0.borrow();
        let known = images
            .iter()
            .rev()
            .find(|known| known.image.range().contains(&address));
        let code = known.and_then(|known| {
            let laid_out = known.image.image()?.lay_out(known.image.base()).ok()?;
            let from = usize::try_from(address - known.image.base()).ok()?;
            let bytes = laid_out.bytes();
            let end = bytes.len().min(from.saturating_add(PIECE));
            bytes.get(from..end).map(<[u8]>::to_vec)
        });
        code.unwrap_or_default()
    }
}

fn function(location: &Location, call: bool) -> Option<(String, u32)> {
    let name = location.function()?;
    // No call returns to the second byte of a function: the function as a whole is meant, which has
    // jumped to where it called.
    let offset = match location.offset {
        0 => 0,
        offset => offset + u32::from(call),
    };
    Some((name.into(), offset))
}

impl Known {
    fn symbols(&mut self) -> Option<Rc<Symbols>> {
        let (image, pdb) = (&self.image, &self.pdb);
        let load = || Some(Rc::new(load(image, pdb.as_deref())?));
        self.symbols.get_or_insert_with(load).clone()
    }
}

fn load(image: &LoadedImage, pdb: Option<&[u8]>) -> Option<Symbols> {
    let parsed = image.image()?;
    // A PDB of another build, or a broken one, is as good as none.
    let with_pdb = pdb.and_then(|pdb| Symbols::load(parsed, image.file(), Some(pdb)).ok());
    with_pdb.or_else(|| Symbols::load(parsed, image.file(), None).ok())
}

impl Names for Addresses {
    fn name(&self, address: u64) -> Option<String> {
        self.describe(address, false).map(|place| place.to_string())
    }

    fn caller(&self, address: u64) -> Option<String> {
        self.describe(address, true).map(|place| place.to_string())
    }

    fn code(&self, address: u64, call: bool) -> Option<Code> {
        let mut images = self.0.borrow_mut();
        let inside = address.wrapping_sub(u64::from(call));
        let known = images
            .iter_mut()
            .rev()
            .find(|known| known.image.range().contains(&inside))?;
        let rva = u32::try_from(inside - known.image.base()).ok()?;
        let symbols = known.symbols();
        code_at(&known.image, symbols.as_deref(), rva, call)
    }
}

/// Instructions before and after the one of interest.
const AROUND: (usize, usize) = (8, 6);

/// The code at `rva`, which for a call is the last byte of its instruction.
fn code_at(image: &LoadedImage, symbols: Option<&Symbols>, rva: u32, call: bool) -> Option<Code> {
    let parsed = image.image()?;
    let location = symbols.and_then(|symbols| symbols.lookup(rva));
    let start = location.as_ref().map(|location| rva - location.offset);
    let name = |rva: u32| {
        let location = symbols?.lookup(rva)?;
        let function = location.function()?;
        Some(match location.offset {
            0 => function.to_owned(),
            offset => format!("{function}+{offset:#x}"),
        })
    };
    // From before the instruction that ends with this byte to after it.
    let at = |rva| {
        let start = start.unwrap_or(rva);
        disassembly::listing(parsed, image.file(), start, rva, AROUND, name)
    };
    let (at, lines) = if call {
        let next = rva + 1;
        let lines = at(next);
        let before = lines.iter().rev().find(|line| line.rva < next);
        (before.map_or(next, |line| line.rva), lines)
    } else {
        (rva, at(rva))
    };
    let source = location.as_ref().and_then(Location::source);
    Some(Code {
        at: at.into(),
        function: location
            .as_ref()
            .and_then(|location| location.function())
            .map(Into::into),
        file: source.map(|source| source.file.to_string()),
        line: source.and_then(|source| source.line),
        source: Vec::new(),
        instructions: lines
            .into_iter()
            .map(|line| InstructionText {
                at: line.rva.into(),
                text: line.text,
            })
            .collect(),
    })
}
