//! The device models by name, with their options as text: what a command line or a scenario says.
//!
//! Invariant: [`build`] knows exactly the models of [`MODELS`] and exactly their options.

mod options;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::button::{self, Button};
use crate::device::{Device, Region};
use crate::edu::{self, Edu};
use crate::gpio::{self, Gpio, Wiring};
use crate::hostile::spec::Shape;
use crate::hostile::{self, Hostile};
use crate::ivshmem::{self, Ivshmem};
use crate::msix::{self, MsixDevice};
use crate::nvme::{self, Nvme};
use crate::parport::peer::{Chain, Peer, Peripheral};
use crate::parport::{self, Features, ParallelPort};
use crate::pci::{Description, Function, MsiOffer, Space};
use crate::registers::Registers;
use crate::uart16550::{self, Uart16550};
use crate::wire::{Polarity, Trigger};

pub use options::ModelError;
use options::Options;
pub(crate) use options::parse_number;

/// Where a model is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The PCI bus.
    Pci,
    /// Fixed ports or addresses, and lines.
    Legacy,
}

/// An option of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelOption {
    /// Its name.
    pub name: &'static str,
    /// What it takes, and what it is if left out; one line.
    pub doc: &'static str,
}

/// A model as a list of them shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: &'static str,
    /// Where it is plugged in.
    pub kind: Kind,
    /// What it is; one line.
    pub doc: &'static str,
    /// Its options.
    pub options: &'static [ModelOption],
}

const fn option(name: &'static str, doc: &'static str) -> ModelOption {
    ModelOption { name, doc }
}

const VENDOR: ModelOption = option("vendor", "vendor ID (default 0x1234)");
const DEVICE: ModelOption = option("device", "device ID (default 0xd1ff)");
const CLASS: ModelOption = option("class", "class code, 24 bits (default 0xff0000)");
const MEMORY: ModelOption = option(
    "memory",
    "bytes of its first window: 4096, 65536, 1048576 or 16777216 (default 65536)",
);
const MSI: ModelOption = option(
    "msi",
    "messages of an MSI capability, 0, 1, 2, 4, 8, 16 or 32 (default 8; 0: none)",
);
const MSIX: ModelOption = option("msix", "MSI-X table entries, 0..=2048 (default 0: none)");

/// An option that every model has: its device lies now and then, and interrupts when it likes.
pub const HOSTILE: ModelOption = option(
    "hostile",
    "every model's: it lies now and then, and interrupts when it likes, as this seed says (default: it is honest)",
);

/// Every model, by name.
pub const MODELS: &[Model] = &[
    Model {
        name: "button",
        kind: Kind::Legacy,
        doc: "a line that is asserted while somebody presses it; cannot be told not to interrupt",
        options: &[
            option("port", "first of 4 ports, 0x0..=0xfffc (default 0x280)"),
            option("line", "number of its line, 0..=239 (default 10)"),
            option(
                "line2",
                "number of a second line, 0..=239, for the release (default: none)",
            ),
            option("trigger", "of its lines: level or edge (default level)"),
        ],
    },
    Model {
        name: "edu",
        kind: Kind::Pci,
        doc: "QEMU's educational PCI device: factorials, DMA, INTx or one MSI message",
        options: &[option(
            "dma_mask",
            "address bits that reach memory (default 0xfffffff)",
        )],
    },
    Model {
        name: "gpio",
        kind: Kind::Legacy,
        doc: "a controller of pins that interrupt, by edge or level",
        options: &[
            option(
                "base",
                "address of its 64 bytes of registers (default 0xfebf0000)",
            ),
            option("pins", "how many pins, 1..=32 (default 8)"),
            option(
                "line",
                "number of its line, or of the line of pin 0, 0..=239 (default 24)",
            ),
            option(
                "wiring",
                "each (pin n has line + n) or shared (default each)",
            ),
            option("trigger", "of its lines: level or edge (default level)"),
        ],
    },
    Model {
        name: "hostile",
        kind: Kind::Pci,
        doc: "a device that nobody has described: it reads what it likes and interrupts when it likes",
        options: &[VENDOR, DEVICE, CLASS, MEMORY, MSI, MSIX],
    },
    Model {
        name: "ivshmem-doorbell",
        kind: Kind::Pci,
        doc: "QEMU's shared memory with a doorbell to other machines, by MSI-X",
        options: &[
            option("vectors", "how many vectors, 1..=64 (default 2)"),
            option(
                "size",
                "bytes of memory: 4096, 65536 or 1048576 (default 4096)",
            ),
            option("id", "its own ID, 0..=65535 (default 0)"),
            option(
                "peers",
                "how many peers, with the IDs that follow, 0..=65535 (default 1)",
            ),
        ],
    },
    Model {
        name: "msix",
        kind: Kind::Pci,
        doc: "a PCI device of many queues, each with its own MSI-X message",
        options: &[
            option("queues", "how many queues, 1..=2048 (default 4)"),
            option(
                "messages",
                "MSI-X table entries, 1..=2048 (default as many as queues)",
            ),
            option(
                "msi",
                "messages of an MSI capability beside it, 0 to 32 (default 0: none)",
            ),
        ],
    },
    Model {
        name: "nvme",
        kind: Kind::Pci,
        doc: "a small NVM Express disk, with admin queues and one pair of I/O queues",
        options: &[
            option(
                "blocks",
                "size in blocks of 512 bytes, 1..=16777216 (default 2048)",
            ),
            option("messages", "MSI-X table entries, 1 or 2 (default 2)"),
            option(
                "msi",
                "messages of an MSI capability beside it, 0, 1 or 2 (default 0: none)",
            ),
        ],
    },
    Model {
        name: "parport",
        kind: Kind::Legacy,
        doc: "the parallel port of a PC, with what is at the other end of its cable",
        options: &[
            option(
                "port",
                "first of its ports, 0x0..=0xfbf8 (default 0x378); the ECP registers are 0x400 higher",
            ),
            option("line", "number of its line, 0..=239 (default 7)"),
            option(
                "trigger",
                "edge: interrupts are pulses; level: held until the status is read (default edge)",
            ),
            option(
                "modes",
                "spp, ps2 (data lines can be inputs), epp, ecp or ecp+epp (default ecp+epp)",
            ),
            option(
                "peer",
                "nothing, loopback, printer, script or chain (default printer)",
            ),
            option(
                "devices",
                "of a chain: how many devices before the printer at its end, 1..=4 (default 2)",
            ),
        ],
    },
    Model {
        name: "registers",
        kind: Kind::Pci,
        doc: "a device of registers that the scenario describes",
        options: &[
            option("registers", "its registers, as text (default: none)"),
            VENDOR,
            DEVICE,
            CLASS,
            MEMORY,
            MSI,
            MSIX,
        ],
    },
    Model {
        name: "uart16550",
        kind: Kind::Legacy,
        doc: "the serial port of a PC, a 16550A",
        options: &[
            option("port", "first of 8 ports, 0x0..=0xfff8 (default 0x3f8)"),
            option("line", "number of its line, 0..=239 (default 4)"),
            option("trigger", "level or edge (default edge)"),
        ],
    },
];

/// How many messages an MSI capability can have; 0 stands for none.
const MSI_COUNTS: [(&str, u8); 7] = [
    ("0", 0),
    ("1", 1),
    ("2", 2),
    ("4", 4),
    ("8", 8),
    ("16", 16),
    ("32", 32),
];

/// A model with its options applied, to be plugged into a machine.
#[derive(Clone, Debug)]
pub enum PluggedDevice {
    /// A function for the PCI bus; where it goes is the machine's choice.
    Pci(Box<Function>),
    /// A device at fixed places.
    Legacy(LegacyDevice),
}

/// A device that is not on a bus that describes it.
#[derive(Clone, Debug)]
pub struct LegacyDevice {
    /// The device. It drives `lines[n]` with its source `n`.
    pub device: Box<dyn Device>,
    /// Its ports and memory.
    pub windows: Vec<LegacyWindow>,
    /// Its lines.
    pub lines: Vec<LegacyLine>,
}

/// A window of a legacy device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegacyWindow {
    /// What the device knows it as.
    pub region: Region,
    /// Ports or memory.
    pub space: Space,
    /// First address.
    pub base: u64,
    /// How many.
    pub size: u64,
}

/// A line of a legacy device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegacyLine {
    /// The line's number in the machine.
    pub number: u8,
    /// What the device makes of it.
    pub trigger: Trigger,
    /// Which level is asserted.
    pub polarity: Polarity,
}

impl PluggedDevice {
    /// The same device, which lies now and then, and interrupts when it likes; see [`Hostile`].
    #[must_use]
    pub fn hostile(mut self, seed: u64) -> Self {
        match &mut self {
            Self::Pci(function) => {
                let description = function.description();
                let messages = description.msi.map_or(1, |offer| offer.messages.into());
                let table = description.msix.map_or(1, |offer| offer.messages);
                let honest = function.device().clone_device();
                let device = Hostile::new(seed, messages.max(table), Some(honest));
                function.replace_device(Box::new(device));
            }
            Self::Legacy(legacy) => {
                let honest = legacy.device.clone_device();
                // A device has far fewer lines.
                let device = Hostile::new(seed, legacy.lines.len() as u16, Some(honest));
                legacy.device = Box::new(device);
            }
        }
        self
    }
}

/// The model of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

/// Builds a model from its name and options. Numbers are decimal, or hexadecimal after `0x`.
///
/// # Errors
/// There is no such model or option, an option is given twice, or its value is not one that the
/// option takes.
pub fn build(name: &str, options: &[(&str, &str)]) -> Result<PluggedDevice, ModelError> {
    let model = find(name).ok_or_else(|| ModelError::unknown_model(name))?;
    let options = Options::new(model, options)?;
    let seed = options.number(HOSTILE.name, 0, 0..=u64::MAX)?;
    let built = build_honest(model, &options)?;
    // One that is nothing else has its seed already.
    if options.is_given(HOSTILE.name) && model.name != "hostile" {
        return Ok(built.hostile(seed));
    }
    Ok(built)
}

fn build_honest(model: &Model, options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    match model.name {
        "button" => build_button(options),
        "edu" => build_edu(options),
        "gpio" => build_gpio(options),
        "hostile" => build_hostile(options),
        "ivshmem-doorbell" => build_ivshmem(options),
        "msix" => build_msix(options),
        "nvme" => build_nvme(options),
        "parport" => build_parport(options),
        "registers" => build_registers(options),
        "uart16550" => build_uart16550(options),
        // The test `every_model_in_the_table_can_be_built` keeps the table and this together.
        name => Err(ModelError::unknown_model(name)),
    }
}

fn build_edu(options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    let dma_mask = options.number("dma_mask", edu::spec::DMA_MASK, 0..=u64::MAX)?;
    Ok(pci(Box::new(Edu::new(dma_mask)), edu::spec::description()))
}

fn build_gpio(options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    let pins = options.number("pins", 8, 1..=gpio::spec::MAX_PINS.into())?;
    let wirings = [("each", Wiring::Each), ("shared", Wiring::Shared)];
    let wiring = options.choice("wiring", Wiring::Each, &wirings)?;
    let first = line(options, 24, Trigger::Level)?;
    let lines = match wiring {
        Wiring::Each => pins,
        Wiring::Shared => 1,
    };
    // The last line has a number, too.
    options.number("line", first.number.into(), 0..=240 - lines)?;
    let base = options.number("base", 0xFEBF_0000, 0..=0xFFFF_FFC0)?;
    Ok(PluggedDevice::Legacy(LegacyDevice {
        // At most 32.
        device: Box::new(Gpio::new(pins as u8, wiring)),
        windows: vec![LegacyWindow {
            region: Region(0),
            space: Space::Memory,
            base,
            size: gpio::spec::WINDOW,
        }],
        lines: (0..lines as u8)
            .map(|pin| LegacyLine {
                number: first.number + pin,
                ..first
            })
            .collect(),
    }))
}

fn build_hostile(options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    let shape = shape(options)?;
    let seed = options.number(HOSTILE.name, 0, 0..=u64::MAX)?;
    let device = Hostile::new(seed, shape.sources(), None);
    Ok(pci(Box::new(device), shape.description()))
}

fn build_registers(options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    let shape = shape(options)?;
    let layout = options.text("registers").unwrap_or_default().parse();
    let layout = layout.map_err(ModelError::Registers)?;
    Ok(pci(Box::new(Registers::new(layout)), shape.description()))
}

/// Who a PCI device that has no model says it is, and what it has.
fn shape(options: &Options<'_>) -> Result<Shape, ModelError> {
    let shape = Shape::default();
    let sizes = [
        ("4096", 0x1000),
        ("65536", 0x1_0000),
        ("1048576", 0x10_0000),
        ("16777216", hostile::spec::MOST_MEMORY),
    ];
    let number = |name, default: u64, most| options.number(name, default, 0..=most);
    Ok(Shape {
        // 16 bits each.
        vendor: number("vendor", shape.vendor.into(), 0xFFFE)? as u16,
        device: number("device", shape.device.into(), 0xFFFF)? as u16,
        // 24 bits.
        class: number("class", shape.class.into(), 0xFF_FFFF)? as u32,
        memory: options.choice("memory", shape.memory, &sizes)?,
        msi: options.choice("msi", shape.msi, &MSI_COUNTS)?,
        // At most 2048.
        msix: number("msix", shape.msix.into(), hostile::spec::MAX_ENTRIES.into())? as u16,
    })
}

fn build_ivshmem(options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    let vectors = options.number("vectors", 2, 1..=ivshmem::spec::MAX_VECTORS.into())?;
    let sizes = [("4096", 4096), ("65536", 65_536), ("1048576", 1 << 20)];
    let size = options.choice("size", 4096, &sizes)?;
    let id = options.number("id", 0, 0..=0xFFFF)?;
    let peers = options.number("peers", 1, 0..=0xFFFF)?;
    // All three have 16 bits.
    let (vectors, id, peers) = (vectors as u16, id as u16, peers as u16);
    let device = Ivshmem::new(id, peers, vectors, size);
    let description = ivshmem::spec::description(vectors, size as u64);
    Ok(pci(Box::new(device), description))
}

fn build_msix(options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    let queues = options.number("queues", 4, 1..=2048)?;
    let messages = options.number("messages", queues, 1..=2048)?;
    let msi = msi_offer(options.choice("msi", 0, &MSI_COUNTS)?);
    // Both at most 2048.
    let device = Box::new(MsixDevice::new(queues as u16));
    Ok(pci(device, msix::spec::description(messages as u16, msi)))
}

fn build_nvme(options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    let blocks = options.number("blocks", 2048, 1..=1 << 24)?;
    // 1 or 2.
    let messages = options.number("messages", 2, 1..=nvme::spec::MAX_VECTORS.into())? as u16;
    let counts = [("0", 0), ("1", 1), ("2", 2)];
    let msi = options.choice("msi", 0, &counts)?;
    let device = Box::new(Nvme::new(blocks, messages));
    Ok(pci(
        device,
        nvme::spec::description(msi_offer(msi), messages),
    ))
}

/// A full capability, or none for no messages.
const fn msi_offer(messages: u8) -> Option<MsiOffer> {
    if messages == 0 {
        return None;
    }
    Some(MsiOffer {
        messages,
        address_64: true,
        per_vector_mask: true,
    })
}

fn build_button(options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    let size = button::spec::WINDOW;
    let mut lines = vec![line(options, 10, Trigger::Level)?];
    let mut device = Button::new();
    if options.is_given("line2") {
        // At most 239.
        let number = options.number("line2", 0, 0..=239)? as u8;
        lines.push(LegacyLine { number, ..lines[0] });
        device = Button::with_release_line();
    }
    Ok(PluggedDevice::Legacy(LegacyDevice {
        device: Box::new(device),
        windows: vec![ports(options, 0x280, size)?],
        lines,
    }))
}

fn build_parport(options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    let modes = [
        ("spp", (false, false, false)),
        ("ps2", (true, false, false)),
        ("epp", (true, true, false)),
        ("ecp", (true, false, true)),
        ("ecp+epp", (true, true, true)),
    ];
    let (byte, epp, ecp) = options.choice("modes", (true, true, true), &modes)?;
    let size = if epp {
        parport::spec::EPP_PORTS
    } else {
        parport::spec::SPP_PORTS
    };
    let base = options.number("port", 0x378, 0..=0xFBF8)?;
    let window = |region, base, size| LegacyWindow {
        region: Region(region),
        space: Space::Port,
        base,
        size,
    };
    let mut windows = vec![window(0, base, size)];
    if ecp {
        let base = base + parport::spec::ECP_OFFSET;
        windows.push(window(1, base, parport::spec::ECP_PORTS));
    }
    let line = line(options, 7, Trigger::Edge)?;
    let features = Features {
        byte,
        epp,
        ecp,
        line: line.number,
        trigger: line.trigger,
    };
    let peer = parport_peer(options)?;
    Ok(PluggedDevice::Legacy(LegacyDevice {
        device: Box::new(ParallelPort::new(features, peer)),
        windows,
        lines: vec![line],
    }))
}

fn parport_peer(options: &Options<'_>) -> Result<Peer, ModelError> {
    // At most 4.
    let devices = options.number("devices", 2, 1..=parport::peer::MAX_DEVICES as u64)? as usize;
    let kinds = ["nothing", "loopback", "printer", "script", "chain"].map(|name| (name, name));
    Ok(match options.choice("peer", "printer", &kinds)? {
        "nothing" => Peer::Nothing,
        "loopback" => Peer::loopback(),
        "script" => Peer::Peripheral(Peripheral::script()),
        "chain" => Peer::Chain(Chain::new(devices, Some(Peripheral::printer()))),
        _ => Peer::Peripheral(Peripheral::printer()),
    })
}

fn build_uart16550(options: &Options<'_>) -> Result<PluggedDevice, ModelError> {
    Ok(PluggedDevice::Legacy(LegacyDevice {
        device: Box::new(Uart16550::new()),
        windows: vec![ports(options, 0x3F8, uart16550::spec::PORTS)?],
        lines: vec![line(options, 4, Trigger::Edge)?],
    }))
}

/// A description of ours is always valid; the tests build every model.
fn pci(device: Box<dyn Device>, description: Description) -> PluggedDevice {
    let function = Function::new(device, description);
    PluggedDevice::Pci(Box::new(function.expect("a built-in description is valid")))
}

fn ports(options: &Options<'_>, default: u64, size: u64) -> Result<LegacyWindow, ModelError> {
    let base = options.number("port", default, 0..=0x1_0000 - size)?;
    Ok(LegacyWindow {
        region: Region(0),
        space: Space::Port,
        base,
        size,
    })
}

/// Lines of legacy devices are active high, as on the ISA bus.
fn line(options: &Options<'_>, default: u8, trigger: Trigger) -> Result<LegacyLine, ModelError> {
    let number = options.number("line", default.into(), 0..=239)?;
    let names = [("edge", Trigger::Edge), ("level", Trigger::Level)];
    let trigger = options.choice("trigger", trigger, &names)?;
    // At most 239.
    Ok(LegacyLine {
        number: number as u8,
        trigger,
        polarity: Polarity::ActiveHigh,
    })
}
