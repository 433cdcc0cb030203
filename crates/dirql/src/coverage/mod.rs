//! Which code of drivers has run, as what and at which levels, and which has not.
//!
//! A [`Survey`] knows the basic blocks of some drivers. Runs that are given its
//! [`Survey::footprints`] note which of them they enter; runs of processes that were made from this
//! one count as well. [`Survey::report`] says what came out, in a form that the other modules write
//! as text, as lcov's tracefile, as a page.
//!
//! A block counts as run when its first instruction is about to be executed. What a driver is made
//! of beside its own source counts, too: routines of the compiler that were linked in.

mod lcov;
mod page;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use dirql_host::{Footprints, Role};
use dirql_image::Image;
use dirql_image::blocks::{self, Block};
use dirql_image::disassembly;
use dirql_image::symbols::Symbols;
use serde::{Deserialize, Serialize};

use crate::bench::Driver;

pub use lcov::write_lcov;
pub use page::write_page;
use summary::missing;
pub use summary::{CoverageSummary, Missing, write_summary};

/// The form's name and version; see [`crate::report::SCHEMA`].
pub const SCHEMA: &str = "dirql-coverage/1";

/// What of some drivers has run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeCoverage {
    /// [`SCHEMA`].
    pub schema: String,
    /// The drivers, in the order in which they are loaded.
    pub drivers: Vec<DriverCoverage>,
}

/// What of one driver has run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverCoverage {
    /// The image's file, for example `edu.sys`.
    pub name: String,
    /// Basic blocks.
    pub blocks: usize,
    /// Those that ran.
    pub ran: usize,
    /// Its functions, in the order of their addresses.
    pub functions: Vec<FunctionCoverage>,
}

/// What of a function has run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCoverage {
    /// Its name, if it is known.
    pub name: Option<String>,
    /// Bytes from the image's base.
    pub rva: u32,
    /// Where it is in its source, if that is known.
    pub source: Option<SourceLine>,
    /// Its basic blocks, in the order of their addresses.
    pub blocks: Vec<BlockCoverage>,
}

/// A line of a source file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceLine {
    /// The file, as symbols name it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// Whether a block has run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCoverage {
    /// Bytes from the image's base.
    pub rva: u32,
    /// Its length, bytes.
    pub length: u32,
    /// The lines that it was made of.
    pub lines: Vec<SourceLine>,
    /// If it has not run: where a block that has run could have led to it.
    pub from: Option<SourceLine>,
    /// What it calls of the kernel, in order.
    pub calls: Vec<String>,
    /// Its instructions, where the lines are not known.
    pub code: Vec<String>,
    /// As what it has run; empty if it has not.
    pub ran: Vec<Ran>,
}

/// What a block has run as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ran {
    /// For example `ISR`; see [`Role::name`].
    pub role: String,
    /// The IRQLs, in ascending order.
    pub irqls: Vec<u8>,
}

/// The blocks of some drivers, and which of them have run.
#[derive(Debug)]
pub struct Survey {
    images: Vec<Surveyed>,
    prints: &'static Footprints,
}

#[derive(Debug)]
struct Surveyed {
    name: String,
    file: Vec<u8>,
    image: Image,
    symbols: Option<Symbols>,
    blocks: Vec<Block>,
}

impl Survey {
    /// The blocks of these drivers; none of Rust functions, and none of what is no image, as
    /// loading it will say. Its memory stays until the process ends.
    ///
    /// # Errors
    /// What Linux says when it has no memory.
    pub fn new(drivers: &[Driver]) -> io::Result<Self> {
        let images: Vec<Surveyed> = drivers.iter().filter_map(Surveyed::of).collect();
        let known = images.iter().map(|of| {
            let begins = of.blocks.iter().map(|block| block.begin).collect();
            (of.file.clone(), begins)
        });
        Ok(Self {
            prints: Footprints::new(known)?,
            images,
        })
    }

    /// What runs are given.
    #[must_use]
    pub const fn footprints(&self) -> &'static Footprints {
        self.prints
    }

    /// What has run by now.
    #[must_use]
    pub fn report(&self) -> CodeCoverage {
        let of = |(number, image): (usize, &Surveyed)| {
            image.report(|block| by_role(self.prints.ran(number, block)))
        };
        CodeCoverage {
            schema: SCHEMA.into(),
            drivers: self.images.iter().enumerate().map(of).collect(),
        }
    }
}

fn by_role(ran: Vec<(Role, u8)>) -> Vec<Ran> {
    let mut roles: BTreeMap<Role, Vec<u8>> = BTreeMap::new();
    for (role, irql) in ran {
        roles.entry(role).or_default().push(irql);
    }
    let ran = |(role, irqls): (Role, Vec<u8>)| Ran {
        role: role.name().into(),
        irqls,
    };
    roles.into_iter().map(ran).collect()
}

impl Surveyed {
    fn of(driver: &Driver) -> Option<Self> {
        let file = driver.image_bytes().to_vec();
        let image = Image::parse(&file).ok()?;
        let load = |pdb: Option<&[u8]>| Symbols::load(&image, &file, pdb).ok();
        // A PDB of another build, or a broken one, is as good as none.
        let pdb = driver.pdb();
        let symbols = pdb.and_then(|pdb| load(Some(pdb))).or_else(|| load(None));
        let names = symbols.iter().flat_map(Symbols::function_starts);
        Some(Self {
            name: driver.file_name().into(),
            blocks: blocks::blocks(&image, names),
            symbols,
            image,
            file,
        })
    }

    fn report(&self, ran: impl Fn(usize) -> Vec<Ran>) -> DriverCoverage {
        let mut functions: BTreeMap<u32, FunctionCoverage> = BTreeMap::new();
        let ran: Vec<Vec<Ran>> = (0..self.blocks.len()).map(ran).collect();
        let count = ran.iter().filter(|ran| !ran.is_empty()).count();
        let from = self.branches(&ran);
        for (block, ran) in self.blocks.iter().zip(ran) {
            let from = from.get(&block.begin).filter(|_| ran.is_empty()).cloned();
            let function = functions
                .entry(block.function)
                .or_insert_with(|| self.function(block.function));
            function.blocks.push(self.block(block, ran, from));
        }
        DriverCoverage {
            name: self.name.clone(),
            blocks: self.blocks.len(),
            ran: count,
            functions: functions.into_values().collect(),
        }
    }

    /// By block: the line of a branch that has run and leads to it.
    fn branches(&self, ran: &[Vec<Ran>]) -> BTreeMap<u32, SourceLine> {
        let mut from = BTreeMap::new();
        for (block, _) in self
            .blocks
            .iter()
            .zip(ran)
            .filter(|(_, ran)| !ran.is_empty())
        {
            let last = blocks::instructions(&self.image, block).pop();
            let Some(line) = last.and_then(|last| self.line(last)) else {
                continue;
            };
            for to in blocks::leads_to(&self.image, block) {
                from.entry(to).or_insert_with(|| line.clone());
            }
        }
        from
    }

    /// The line that was made into an instruction, wherever it was inlined.
    fn line(&self, rva: u32) -> Option<SourceLine> {
        let location = self.symbols.as_ref()?.lookup(rva)?;
        line_of(location.frames.first()?.source.as_ref()?)
    }

    fn function(&self, rva: u32) -> FunctionCoverage {
        let location = self.symbols.as_ref().and_then(|names| names.lookup(rva));
        let location = location.as_ref();
        let source = location.and_then(|location| location.source());
        FunctionCoverage {
            name: location.and_then(|location| location.function().map(Into::into)),
            rva,
            source: source.and_then(line_of),
            blocks: Vec::new(),
        }
    }

    fn block(&self, block: &Block, ran: Vec<Ran>, from: Option<SourceLine>) -> BlockCoverage {
        let instructions = blocks::instructions(&self.image, block);
        let lines: BTreeSet<SourceLine> = instructions
            .iter()
            .filter_map(|rva| self.line(*rva))
            .collect();
        let code = if lines.is_empty() {
            self.disassembled(block, instructions.len())
        } else {
            Vec::new()
        };
        BlockCoverage {
            rva: block.begin,
            length: block.end - block.begin,
            lines: lines.into_iter().collect(),
            from,
            calls: blocks::calls(&self.image, block),
            code,
            ran,
        }
    }

    fn disassembled(&self, block: &Block, count: usize) -> Vec<String> {
        let around = (0, count.saturating_sub(1));
        let name = |rva: u32| {
            let location = self.symbols.as_ref()?.lookup(rva)?;
            Some(location.function()?.to_owned())
        };
        let lines = disassembly::listing(
            &self.image,
            &self.file,
            block.begin,
            block.begin,
            around,
            name,
        );
        lines
            .into_iter()
            .map(|line| format!("{:#x}  {}", line.rva, line.text))
            .collect()
    }
}

fn line_of(source: &dirql_image::symbols::SourceLine) -> Option<SourceLine> {
    Some(SourceLine {
        file: source.file.to_string(),
        line: source.line?,
    })
}

impl CodeCoverage {
    /// Blocks of all drivers, and those that ran.
    #[must_use]
    pub fn total(&self) -> (usize, usize) {
        let blocks = self.drivers.iter().map(|driver| driver.blocks).sum();
        let ran = self.drivers.iter().map(|driver| driver.ran).sum();
        (blocks, ran)
    }
}

impl FunctionCoverage {
    /// What to call it: its name, or where it is.
    #[must_use]
    pub fn title(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| format!("{:#x}", self.rva))
    }

    /// How many of its blocks ran.
    #[must_use]
    pub fn ran(&self) -> usize {
        self.blocks.iter().filter(|block| block.has_run()).count()
    }

    /// As what it has run, in all of its blocks.
    #[must_use]
    pub fn roles(&self) -> Vec<Ran> {
        let mut roles: BTreeMap<usize, (String, BTreeSet<u8>)> = BTreeMap::new();
        for ran in self.blocks.iter().flat_map(|block| &block.ran) {
            let (_, irqls) = roles
                .entry(rank(&ran.role))
                .or_insert_with(|| (ran.role.clone(), BTreeSet::new()));
            irqls.extend(&ran.irqls);
        }
        let ran = |(role, irqls): (String, BTreeSet<u8>)| Ran {
            role,
            irqls: irqls.into_iter().collect(),
        };
        roles.into_values().map(ran).collect()
    }
}

impl BlockCoverage {
    /// Whether it ran, as whatever.
    #[must_use]
    pub fn has_run(&self) -> bool {
        !self.ran.is_empty()
    }
}

impl std::fmt::Display for Ran {
    /// As in `ISR at IRQL 6`, or `dispatch routine at IRQL 0, 2`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let irqls: Vec<String> = self.irqls.iter().map(ToString::to_string).collect();
        write!(f, "{} at IRQL {}", self.role, irqls.join(", "))
    }
}

/// The place of a role among [`Role::ALL`]; those that interrupt others come first.
fn rank(role: &str) -> usize {
    let place = Role::ALL.iter().position(|known| known.name() == role);
    place.unwrap_or(Role::ALL.len())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn block(rva: u32, lines: &[u32], role: Option<(&str, u8)>) -> BlockCoverage {
        BlockCoverage {
            rva,
            length: 4,
            lines: lines.iter().map(|line| at(*line)).collect(),
            from: None,
            calls: Vec::new(),
            code: Vec::new(),
            ran: role
                .map(|(role, irql)| Ran {
                    role: role.into(),
                    irqls: vec![irql],
                })
                .into_iter()
                .collect(),
        }
    }

    fn at(line: u32) -> SourceLine {
        SourceLine {
            file: "a.c".into(),
            line,
        }
    }

    /// An ISR whose second block never ran, and a function that never ran at all.
    pub(crate) fn sample() -> CodeCoverage {
        let mut missed = block(0x1004, &[3, 4], None);
        missed.from = Some(at(2));
        missed.calls = vec!["IoCompleteRequest".into()];
        CodeCoverage {
            schema: SCHEMA.into(),
            drivers: vec![DriverCoverage {
                name: "a.sys".into(),
                blocks: 4,
                ran: 2,
                functions: vec![
                    FunctionCoverage {
                        name: Some("Isr".into()),
                        rva: 0x1000,
                        source: Some(at(1)),
                        blocks: vec![
                            block(0x1000, &[1, 2], Some(("ISR", 6))),
                            missed,
                            block(0x1008, &[2, 5], Some(("DPC", 2))),
                        ],
                    },
                    FunctionCoverage {
                        name: None,
                        rva: 0x1010,
                        source: None,
                        blocks: vec![BlockCoverage {
                            code: vec!["0x1010  ret".into()],
                            ..block(0x1010, &[], None)
                        }],
                    },
                ],
            }],
        }
    }

    #[test]
    fn a_function_has_run_as_what_its_blocks_have() {
        let coverage = sample();
        let function = &coverage.drivers[0].functions[0];
        assert_eq!(function.ran(), 2);
        let roles: Vec<String> = function.roles().iter().map(ToString::to_string).collect();
        assert_eq!(roles, ["ISR at IRQL 6", "DPC at IRQL 2"]);
        assert_eq!(coverage.total(), (4, 2));
    }
}
