use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::spec::{command, offset, port, status};
use super::*;
use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::Level;

/// A device that does what is written to it: offset 0 asserts the source in the value, 4 releases
/// it, 8 reads memory, 12 writes memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Puppet {
    asserted: Vec<u16>,
    brought: Option<usize>,
}

impl Device for Puppet {
    fn model(&self) -> &'static str {
        "puppet"
    }

    fn read(&mut self, region: Region, offset: u64, _width: Width, _out: &mut Effects) -> u64 {
        offset << 8 | 0x40 | u64::from(region.0)
    }

    fn write(&mut self, _region: Region, offset: u64, _w: Width, value: u64, out: &mut Effects) {
        let source = value as u16;
        match offset {
            0 => {
                self.asserted.push(source);
                out.push(Effect::Interrupt {
                    source,
                    level: Level::High,
                });
            }
            4 => {
                self.asserted.retain(|&other| other != source);
                out.push(Effect::Interrupt {
                    source,
                    level: Level::Low,
                });
            }
            8 => out.push(Effect::DmaRead {
                address: value,
                length: 4,
                token: 7,
            }),
            12 => out.push(Effect::DmaWrite {
                address: value,
                bytes: vec![1, 2],
            }),
            _ => {}
        }
    }

    fn dma_data(&mut self, _token: u32, bytes: &[u8], _out: &mut Effects) {
        self.brought = Some(bytes.len());
    }

    fn stimulate(&mut self, stimulus: &Stimulus, _out: &mut Effects) -> bool {
        *stimulus == Stimulus::Press
    }

    fn reset(&mut self, out: &mut Effects) {
        for source in core::mem::take(self).asserted {
            out.push(Effect::Interrupt {
                source,
                level: Level::Low,
            });
        }
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}

const MEMORY: Bar = Bar::Memory32 {
    size: 0x4000,
    prefetchable: false,
};

fn description() -> Description {
    Description {
        identity: Identity {
            vendor: 0x1AF4,
            device: 0x10F0,
            revision: 2,
            class: 0x01_0802,
            subsystem_vendor: 0xAAAA,
            subsystem: 0xBBBB,
        },
        bars: vec![
            (0, MEMORY),
            (1, Bar::Io { size: 32 }),
            (
                2,
                Bar::Memory64 {
                    size: 0x1_0000_0000,
                    prefetchable: true,
                },
            ),
        ],
        pin: Some(IntPin::B),
        msi: Some(MsiOffer {
            messages: 4,
            address_64: true,
            per_vector_mask: true,
        }),
        msix: Some(MsixOffer {
            messages: 3,
            table_bar: 0,
            table_offset: 0x1000,
            pending_bar: 0,
            pending_offset: 0x2000,
        }),
    }
}

const MSI: u16 = 0x40;
const MSIX: u16 = 0x58;

fn function() -> Function {
    Function::new(Box::new(Puppet::default()), description()).expect("valid")
}

fn set_command(function: &mut Function, bits: u16) -> Outputs {
    let mut out = vec![];
    function.write_config(offset::COMMAND, Width::U16, bits.into(), &mut out);
    out
}

/// A function that decodes memory and may be a bus master.
fn running() -> Function {
    let mut function = function();
    assert_eq!(
        set_command(&mut function, command::MEMORY | command::BUS_MASTER),
        []
    );
    function
}

/// Runs steps and shows what left the function: `raise N`, `lower N`, `cfg OFFSET VALUE` with 16
/// bits, `table OFFSET VALUE` with 32, `pending` shows the pending bits, `status` bit 3.
fn script(function: &mut Function, steps: &str) -> String {
    let hex = |text: &str| u64::from_str_radix(text, 16).expect("hexadecimal");
    let mut text = String::new();
    for step in steps.split(", ") {
        let mut out = vec![];
        let words: Vec<&str> = step.split(' ').collect();
        let mut line = String::new();
        match *words {
            ["raise", source] => function.write(0, 0, Width::U32, hex(source), &mut out),
            ["lower", source] => function.write(0, 4, Width::U32, hex(source), &mut out),
            ["cfg", at, value] => {
                function.write_config(hex(at) as u16, Width::U16, hex(value), &mut out);
            }
            ["table", at, value] => {
                function.write(0, 0x1000 + hex(at), Width::U32, hex(value), &mut out);
            }
            ["pending"] => {
                line = format!(
                    " msi {:x} msix {:x}",
                    function.config().read32(MSI + 0x14),
                    function.read(0, 0x2000, Width::U32, &mut out)
                );
            }
            ["status"] => {
                let status = function.config().read16(offset::STATUS) & status::INTERRUPT;
                line = String::from(if status == 0 { " idle" } else { " pending" });
            }
            _ => panic!("no step {step:?}"),
        }
        for output in out {
            line += &match output {
                Output::Line { asserted: true } => String::from(" line"),
                Output::Line { asserted: false } => String::from(" no line"),
                Output::Message { message, write } => {
                    format!(
                        " message {message}: {:x} at {:x}",
                        write.data, write.address
                    )
                }
                Output::Blocked { transfer, .. } => format!(" blocked {transfer:?}"),
                other => format!(" {other:?}"),
            };
        }
        text += &format!("{step:<15}->{line}\n");
    }
    text
}

#[test]
fn the_header_says_who_it_is() {
    let function = function();
    let config = function.config();
    assert_eq!(config.read32(offset::VENDOR), 0x10F0_1AF4);
    assert_eq!(config.read32(offset::REVISION), 0x0108_0202);
    assert_eq!(config.read32(offset::SUBSYSTEM_VENDOR), 0xBBBB_AAAA);
    assert_eq!(config.read16(offset::STATUS), status::CAPABILITIES);
    assert_eq!(config.read16(offset::INTERRUPT_LINE), 0x0200, "INTB#");
    assert_eq!(config.read8(offset::CAPABILITIES), MSI as u8);
    assert_eq!(
        config.read32(MSI),
        0x0184_5805,
        "MSI, 4 of 64 bits with masks, then MSI-X"
    );
    assert_eq!(
        config.read32(MSIX),
        0x0002_0011,
        "MSI-X with 3 entries, last"
    );
    assert_eq!(config.read32(MSIX + 4), 0x1000);
    assert_eq!(config.read32(MSIX + 8), 0x2000);
    assert_eq!(config.read(0xFE, Width::U32), 0xFFFF_0000, "256 bytes");
    assert_eq!(config.read(0xFFF, Width::U64), u64::MAX);
}

#[test]
fn read_only_bits_stay() {
    let (mut function, mut out) = (function(), vec![]);
    let before = function.config().clone();
    for at in (0..0x100)
        .step_by(4)
        .filter(|&at| at != 4 && !(0x10..0x28).contains(&at))
    {
        function.write_config(at, Width::U32, 0, &mut out);
        function.write_config(at, Width::U32, u32::MAX.into(), &mut out);
        function.write_config(at, Width::U32, 0, &mut out);
    }
    assert_eq!(function.config(), &before);
    let _ = set_command(&mut function, u16::MAX);
    assert_eq!(function.config().read16(offset::COMMAND), 0x0547);
}

#[test]
fn sizing_reads_back_the_size() {
    let (mut function, mut out) = (function(), vec![]);
    let mut size = |index: u16| {
        function.write_config(offset::BAR + 4 * index, Width::U32, 0xFFFF_FFFF, &mut out);
        function.config().read32(offset::BAR + 4 * index)
    };
    assert_eq!([size(0), size(1)], [0xFFFF_C000, 0xFFFF_FFE1]);
    assert_eq!(
        [size(2), size(3)],
        [0x0000_000C, 0xFFFF_FFFF],
        "4 GiB, 64-bit, prefetchable"
    );
    assert_eq!([size(4), size(5)], [0, 0]);
    assert_eq!(out, [], "nothing decodes, so nothing moved");
}

#[test]
fn windows_answer_as_the_command_register_says() {
    let (mut function, mut out) = (function(), vec![]);
    function.assign(0, 0xE000_0000, &mut out);
    function.assign(1, 0xC000, &mut out);
    function.assign(2, 0x80_0000_0000, &mut out);
    function.assign(4, 0x1000, &mut out);
    assert_eq!(out, []);
    assert_eq!(function.read(0, 0, Width::U32, &mut out), 0xFFFF_FFFF);
    assert_eq!(
        set_command(&mut function, command::IO),
        [Output::WindowsMoved]
    );
    assert_eq!(function.read(0, 0, Width::U32, &mut out), 0xFFFF_FFFF);
    assert_eq!(function.read(1, 4, Width::U16, &mut out), 0x0441);
    assert_eq!(
        set_command(&mut function, command::MEMORY),
        [Output::WindowsMoved]
    );
    assert_eq!(function.read(0, 0x3FFC, Width::U32, &mut out), 0x3F_FC40);
}

#[test]
fn an_access_must_fit_its_window() {
    let (mut function, mut out) = (running(), vec![]);
    assert_ne!(function.read(0, 0x3FFC, Width::U32, &mut out), 0xFFFF_FFFF);
    for (bar, at) in [
        (0, 0x3FFD),
        (0, 0x4000),
        (0, u64::MAX),
        (3, 0),
        (5, 0),
        (6, 0),
        (255, 0),
    ] {
        assert_eq!(
            function.read(bar, at, Width::U32, &mut out),
            0xFFFF_FFFF,
            "{bar} {at:#x}"
        );
        function.write(bar, at, Width::U32, 0, &mut out);
    }
    assert_eq!(out, []);
}

#[test]
fn the_line_follows_the_sources_and_the_command_register() {
    assert_data_eq!(
        script(
            &mut running(),
            "raise 0, raise 1, raise 0, lower 0, status, cfg 4 406, status, lower 1, status, raise 0, cfg 4 6, lower 0"
        ),
        str![[r#"
raise 0        -> line
raise 1        ->
raise 0        ->
lower 0        ->
status         -> pending
cfg 4 406      -> no line
status         -> pending
lower 1        ->
status         -> idle
raise 0        ->
cfg 4 6        -> line
lower 0        -> no line

"#]]
    );
}

#[test]
fn a_function_without_a_pin_has_no_line() {
    let description = Description {
        pin: None,
        ..description()
    };
    let mut function = Function::new(Box::new(Puppet::default()), description).expect("valid");
    let _ = set_command(&mut function, command::MEMORY);
    let text = script(&mut function, "raise 0, status");
    assert_eq!(text, "raise 0        ->\nstatus         -> idle\n");
}

#[test]
fn up_to_32_messages_can_be_granted() {
    let msi = Some(MsiOffer {
        messages: 32,
        address_64: false,
        per_vector_mask: false,
    });
    let description = Description {
        msi,
        msix: None,
        ..description()
    };
    let mut function = Function::new(Box::new(Puppet::default()), description).expect("valid");
    let _ = set_command(&mut function, command::MEMORY | command::BUS_MASTER);
    // Five is 32 messages; six and seven are reserved.
    for control in ["51", "61", "71"] {
        let text = script(
            &mut function,
            &format!("cfg 48 e0, cfg 42 {control}, raise 1f"),
        );
        assert!(text.ends_with("message 31: ff at 0\n"), "{text}");
    }
    let text = script(&mut function, "cfg 42 41, raise 1f, raise f");
    assert!(
        text.ends_with("message 0: e0 at 0\nraise f        -> message 15: ef at 0\n"),
        "{text}"
    );
}

#[test]
fn enabled_messages_replace_the_line() {
    assert_data_eq!(
        script(
            &mut running(),
            "cfg 44 1000, cfg 46 fee0, cfg 4c 4050, raise 0, cfg 42 1, status, raise 0, raise 3, lower 0, cfg 42 0, lower 3"
        ),
        str![[r#"
cfg 44 1000    ->
cfg 46 fee0    ->
cfg 4c 4050    ->
raise 0        -> line
cfg 42 1       -> no line
status         -> idle
raise 0        -> message 0: 4050 at fee01000
raise 3        -> message 0: 4050 at fee01000
lower 0        ->
cfg 42 0       -> line
lower 3        -> no line

"#]]
    );
}

#[test]
fn several_messages_differ_in_the_low_bits_of_the_data() {
    assert_data_eq!(
        script(
            &mut running(),
            "cfg 44 1003, cfg 46 fee0, cfg 4c 53, cfg 42 11, raise 0, raise 1, raise 2, cfg 42 71, raise 2, raise 4"
        ),
        str![[r#"
cfg 44 1003    ->
cfg 46 fee0    ->
cfg 4c 53      ->
cfg 42 11      ->
raise 0        -> message 0: 52 at fee01000
raise 1        -> message 1: 53 at fee01000
raise 2        -> message 0: 52 at fee01000
cfg 42 71      ->
raise 2        -> message 2: 52 at fee01000
raise 4        -> message 0: 50 at fee01000

"#]]
    );
}

#[test]
fn a_masked_message_waits_and_may_be_withdrawn() {
    assert_data_eq!(
        script(
            &mut running(),
            "cfg 4c 50, cfg 42 21, cfg 50 3, raise 0, raise 1, pending, lower 1, pending, cfg 50 0, pending"
        ),
        str![[r#"
cfg 4c 50      ->
cfg 42 21      ->
cfg 50 3       ->
raise 0        ->
raise 1        ->
pending        -> msi 3 msix 0
lower 1        ->
pending        -> msi 1 msix 0
cfg 50 0       -> message 0: 50 at 0
pending        -> msi 0 msix 0

"#]]
    );
}

#[test]
fn msix_entries_are_masked_after_reset() {
    assert_data_eq!(
        script(
            &mut running(),
            "table 0 fee03000, table 8 61, table 10 fee04000, table 18 62, cfg 5a 8000, raise 0, raise 1, raise 2, \
             pending, table c 0, table 1c 0, raise 1, lower 2, pending, raise 7"
        ),
        str![[r#"
table 0 fee03000->
table 8 61     ->
table 10 fee04000->
table 18 62    ->
cfg 5a 8000    ->
raise 0        ->
raise 1        ->
raise 2        ->
pending        -> msi 0 msix 7
table c 0      -> message 0: 61 at fee03000
table 1c 0     -> message 1: 62 at fee04000
raise 1        -> message 1: 62 at fee04000
lower 2        ->
pending        -> msi 0 msix 0
raise 7        -> message 0: 61 at fee03000

"#]]
    );
}

#[test]
fn the_msix_function_mask_masks_all() {
    assert_data_eq!(
        script(
            &mut running(),
            "table c 0, table 1c 0, cfg 5a c000, raise 0, raise 1, pending, cfg 5a 8000, pending, cfg 5a 0, raise 2"
        ),
        str![[r#"
table c 0      ->
table 1c 0     ->
cfg 5a c000    ->
raise 0        ->
raise 1        ->
pending        -> msi 0 msix 3
cfg 5a 8000    -> message 0: 0 at 0 message 1: 0 at 0
pending        -> msi 0 msix 0
cfg 5a 0       -> line
raise 2        ->

"#]]
    );
}

#[test]
fn msix_goes_before_msi() {
    let mut function = running();
    let text = script(
        &mut function,
        "cfg 42 1, table c 0, table 8 77, cfg 5a 8000, raise 0",
    );
    assert!(text.ends_with("message 0: 77 at 0\n"), "{text}");
}

#[test]
fn the_msix_table_takes_4_and_8_bytes_and_the_pending_bits_no_writes() {
    let (mut function, mut out) = (running(), vec![]);
    function.write(0, 0x1010, Width::U64, 0x1_FEE0_0003, &mut out);
    function.write(0, 0x1018, Width::U64, 0xFFFF_FFFF_0000_0042, &mut out);
    assert_eq!(
        function.read(0, 0x1010, Width::U64, &mut out),
        0x1_FEE0_0000
    );
    assert_eq!(function.read(0, 0x1014, Width::U32, &mut out), 1);
    assert_eq!(
        function.read(0, 0x1018, Width::U64, &mut out),
        0x1_0000_0042
    );
    assert_eq!(function.read(0, 0x1018, Width::U16, &mut out), 0);
    assert_eq!(
        function.read(0, 0x1014, Width::U64, &mut out),
        0,
        "not aligned"
    );
    function.write(0, 0x1018, Width::U8, 0, &mut out);
    assert_eq!(function.read(0, 0x1018, Width::U32, &mut out), 0x42);
    function.write(0, 0x2000, Width::U64, u64::MAX, &mut out);
    assert_eq!(function.read(0, 0x2000, Width::U64, &mut out), 0);
    let beyond = function.read(0, 0x1030, Width::U32, &mut out);
    assert_eq!(beyond, 0x10_3040, "the device answers");
}

#[test]
fn nothing_leaves_without_bus_mastering() {
    let (mut function, mut out) = (running(), vec![]);
    function.write(0, 8, Width::U32, 0x1000, &mut out);
    function.write(0, 12, Width::U32, 0x2000, &mut out);
    assert_eq!(
        core::mem::take(&mut out),
        [
            Output::DmaRead {
                address: 0x1000,
                length: 4,
                token: 7
            },
            Output::DmaWrite {
                address: 0x2000,
                bytes: vec![1, 2]
            }
        ]
    );
    let _ = set_command(&mut function, command::MEMORY);
    function.write_config(MSI + 2, Width::U16, 1, &mut out);
    function.write(0, 8, Width::U32, 0x1000, &mut out);
    function.write(0, 12, Width::U32, 0x2000, &mut out);
    function.write(0, 0, Width::U32, 0, &mut out);
    let blocked = |address, transfer| Output::Blocked { address, transfer };
    assert_eq!(
        out,
        [
            blocked(0x1000, Transfer::Read),
            blocked(0x2000, Transfer::Write),
            blocked(0, Transfer::Message)
        ]
    );
    assert!(
        format!("{:?}", function.device()).contains("brought: Some(0)"),
        "the read ended"
    );
}

#[test]
fn a_function_that_sleeps_asserts_its_line_when_it_is_awake_again() {
    let (mut function, mut out) = (running(), vec![]);
    function.assign(0, 0xE000_0000, &mut out);
    function.write(0, 0, Width::U32, 5, &mut out);
    for (sleeps, asserted) in [(true, false), (false, true)] {
        out.clear();
        function.set_sleeping(sleeps, &mut out);
        assert_eq!(out, [Output::Line { asserted }]);
    }
    function.set_sleeping(true, &mut out);
    out.clear();
    function.reset(&mut out);
    assert_eq!(out, [Output::WindowsMoved], "the line was released before");
    assert_eq!(format!("{function:?}"), format!("{:?}", self::function()));
}

#[test]
fn reset_releases_the_line_and_forgets_everything() {
    let (mut function, mut out) = (running(), vec![]);
    function.assign(0, 0xE000_0000, &mut out);
    function.write(0, 0, Width::U32, 5, &mut out);
    out.clear();
    function.reset(&mut out);
    assert_eq!(
        out,
        [Output::Line { asserted: false }, Output::WindowsMoved]
    );
    assert_eq!(format!("{function:?}"), format!("{:?}", self::function()));
    out.clear();
    function.reset(&mut out);
    assert_eq!(out, []);
}

#[test]
fn reset_with_messages_enabled_does_not_touch_the_line() {
    let (mut function, mut out) = (running(), vec![]);
    let _ = script(&mut function, "cfg 5a 8000, raise 0, raise 1");
    function.reset(&mut out);
    assert_eq!(
        out,
        [],
        "not even between the release of one source and the next"
    );
}

#[test]
fn descriptions_that_cannot_be() {
    let with = |change: &dyn Fn(&mut Description)| {
        let mut description = description();
        change(&mut description);
        Function::new(Box::new(Puppet::default()), description)
            .map(|_| ())
            .map_err(|e| format!("{e}"))
    };
    let bars = |bars: &[(u8, Bar)]| {
        let bars = bars.to_vec();
        with(&move |description| {
            description.bars = bars.clone();
            description.msix = None;
        })
    };
    let memory = |size| Bar::Memory32 {
        size,
        prefetchable: false,
    };
    let memory_64 = |size| Bar::Memory64 {
        size,
        prefetchable: false,
    };
    let error = |text: &str| Err(String::from(text));
    assert_eq!(bars(&[(0, memory(16)), (5, memory(0x8000_0000))]), Ok(()));
    assert_eq!(
        bars(&[(0, memory(8))]),
        error("base address register 0 cannot have size 0x8")
    );
    assert_eq!(
        bars(&[(0, memory(24))]),
        error("base address register 0 cannot have size 0x18")
    );
    assert_eq!(
        bars(&[(0, memory(0))]),
        error("base address register 0 cannot have size 0x0")
    );
    assert_eq!(
        bars(&[(6, memory(16))]),
        error("base address register 6 is not 0..=5")
    );
    assert_eq!(bars(&[(4, memory_64(16))]), Ok(()));
    assert_eq!(
        bars(&[(5, memory_64(16))]),
        error("base address register 6 is not 0..=5")
    );
    assert_eq!(
        bars(&[(0, memory_64(16)), (1, memory(16))]),
        error("base address register 1 is used twice")
    );
    assert_eq!(
        bars(&[(0, Bar::Io { size: 256 }), (1, Bar::Io { size: 4 })]),
        Ok(())
    );
    assert_eq!(
        bars(&[(0, Bar::Io { size: 2 })]),
        error("base address register 0 cannot have size 0x2")
    );
    assert_eq!(
        bars(&[(0, Bar::Io { size: 512 })]),
        error("base address register 0 cannot have size 0x200")
    );
    let msi = |messages| {
        with(&move |description| description.msi.as_mut().expect("has one").messages = messages)
    };
    assert_eq!([msi(1), msi(32)], [Ok(()), Ok(())]);
    for messages in [0, 3, 64] {
        let text = format!("MSI cannot offer {messages} messages, only 1, 2, 4, 8, 16 or 32");
        assert_eq!(msi(messages), Err(text));
    }
    let msix = |change: &dyn Fn(&mut MsixOffer)| {
        with(&|description| change(description.msix.as_mut().expect("has one")))
    };
    let place = "the MSI-X table and pending bits are not apart in memory windows";
    assert_eq!(
        msix(&|offer| offer.messages = 0),
        error("MSI-X cannot offer 0 messages, only 1 to 2048")
    );
    assert_eq!(
        msix(&|offer| offer.messages = 2049),
        error("MSI-X cannot offer 2049 messages, only 1 to 2048")
    );
    assert_eq!(
        msix(&|offer| offer.messages = 256),
        Ok(()),
        "ends where the pending bits begin"
    );
    assert_eq!(msix(&|offer| offer.messages = 257), error(place));
    assert_eq!(msix(&|offer| offer.pending_offset = 0x3FF8), Ok(()));
    assert_eq!(msix(&|offer| offer.pending_offset = 0x4000), error(place));
    assert_eq!(msix(&|offer| offer.table_offset = 4), error(place));
    assert_eq!(msix(&|offer| offer.table_bar = 1), error(place), "ports");
    assert_eq!(msix(&|offer| offer.table_bar = 3), error(place), "nothing");
}

fn address(device: u8, function: u8) -> Address {
    Address::new(0, device, function).expect("in range")
}

#[test]
fn addresses_have_limits() {
    assert_eq!(
        format!("{}", Address::new(0xAB, 31, 7).expect("in range")),
        "ab:1f.7"
    );
    assert_eq!(Address::new(0, 32, 0), None);
    assert_eq!(Address::new(0, 0, 8), None);
    let at = Bus::decode_ecam(0x00AB_F0FC).expect("in the window");
    assert_eq!(at, (Address::new(0x0A, 0x17, 7).expect("in range"), 0x0FC));
    assert!(Bus::decode_ecam(0x0FFF_FFFF).is_some());
    assert_eq!(Bus::decode_ecam(0x1000_0000), None);
}

#[test]
fn a_bus_has_one_function_in_each_place() {
    let mut bus = Bus::new();
    assert_eq!(
        bus.insert(address(3, 1), function()),
        Err(InsertError::NoFunctionZero(address(3, 1)))
    );
    bus.insert(address(3, 0), function()).expect("free");
    assert_eq!(
        bus.read_config(address(3, 0), offset::HEADER_TYPE, Width::U8),
        0
    );
    assert_eq!(
        bus.insert(address(3, 0), function()),
        Err(InsertError::Occupied(address(3, 0)))
    );
    bus.insert(address(3, 1), function()).expect("free");
    assert_eq!(
        bus.read_config(address(3, 0), offset::HEADER_TYPE, Width::U8),
        0x80
    );
    assert_eq!(
        bus.read_config(address(4, 0), offset::VENDOR, Width::U32),
        0xFFFF_FFFF
    );
    assert!(bus.remove(address(3, 1)).is_some());
    assert!(bus.remove(address(3, 1)).is_none());
}

#[test]
fn configuration_mechanism_1() {
    let (mut bus, mut out) = (Bus::new(), vec![]);
    bus.insert(address(3, 0), function()).expect("free");
    let select = 0x8000_1800;
    assert_eq!(
        bus.read_port(port::DATA, Width::U32),
        Some(0xFFFF_FFFF),
        "not enabled"
    );
    assert_eq!(
        bus.write_port(port::ADDRESS, Width::U32, select | 3, &mut out),
        Some(None)
    );
    assert_eq!(bus.read_port(port::ADDRESS, Width::U32), Some(select));
    assert_eq!(bus.read_port(port::DATA, Width::U32), Some(0x10F0_1AF4));
    assert_eq!(bus.read_port(port::DATA + 2, Width::U16), Some(0x10F0));
    assert_eq!(bus.read_port(port::DATA + 3, Width::U8), Some(0x10));
    assert_eq!(
        bus.read_port(port::DATA + 3, Width::U16),
        None,
        "beyond the four ports"
    );
    assert_eq!(bus.read_port(port::DATA + 4, Width::U8), None);
    assert_eq!(
        bus.read_port(port::ADDRESS, Width::U8),
        None,
        "32 bits only"
    );
    assert_eq!(bus.read_port(port::ADDRESS - 1, Width::U8), None);
    let _ = bus.write_port(port::ADDRESS, Width::U32, select | 0x3C, &mut out);
    let whose = bus.write_port(port::DATA, Width::U8, 0x0B, &mut out);
    assert_eq!(whose, Some(Some(address(3, 0))));
    assert_eq!(
        bus.read_config(address(3, 0), offset::INTERRUPT_LINE, Width::U8),
        0x0B
    );
    let _ = bus.write_port(port::ADDRESS, Width::U32, select & 0x7FFF_FFFF, &mut out);
    assert_eq!(
        bus.read_port(port::DATA, Width::U32),
        Some(0xFFFF_FFFF),
        "disabled"
    );
    let _ = bus.write_port(port::ADDRESS, Width::U32, 0x8000_2000, &mut out);
    assert_eq!(
        bus.write_port(port::DATA, Width::U32, 0, &mut out),
        Some(None),
        "nobody there"
    );
    assert_eq!(out, []);
}

#[test]
fn an_access_is_claimed_by_the_window_that_holds_all_of_it() {
    let (mut bus, mut out) = (Bus::new(), vec![]);
    bus.insert(address(3, 0), running()).expect("free");
    let function = bus.get_mut(address(3, 0)).expect("just inserted");
    function.assign(0, 0xE000_0000, &mut out);
    let claim = |at, width| bus.claim(Space::Memory, at, width);
    assert_eq!(claim(0xE000_0000, Width::U64), Some((address(3, 0), 0, 0)));
    assert_eq!(
        claim(0xE000_3FFC, Width::U32),
        Some((address(3, 0), 0, 0x3FFC))
    );
    assert_eq!(claim(0xE000_3FFD, Width::U32), None);
    assert_eq!(claim(0xDFFF_FFFF, Width::U16), None);
    assert_eq!(claim(u64::MAX, Width::U64), None);
    assert_eq!(bus.claim(Space::Port, 0xE000_0000, Width::U8), None);
}

#[derive(Clone, Debug)]
enum Step {
    Config(u16, u8, u64),
    Read(u8, u64, u8),
    Write(u8, u64, u8, u64),
    Signal(bool, u16),
}

fn step() -> impl Strategy<Value = Step> {
    let config = prop_oneof![0u16..0x70, any::<u16>()];
    let at = prop_oneof![
        0u64..0x10,
        0x1000u64..0x1040,
        0x2000u64..0x2010,
        any::<u64>()
    ];
    let value = prop_oneof![0u64..0x10, any::<u64>(), Just(u64::MAX)];
    prop_oneof![
        (config, 0u8..4, value.clone()).prop_map(|(at, w, value)| Step::Config(at, w, value)),
        // The registers that decide how interrupts leave.
        (
            prop::sample::select(&[4u16, 0x42, 0x50, 0x5A]),
            any::<u16>()
        )
            .prop_map(|(at, value)| Step::Config(at, 1, value.into())),
        (0u8..7, at.clone(), 0u8..4).prop_map(|(bar, at, width)| Step::Read(bar, at, width)),
        (0u8..7, at, 0u8..4, value).prop_map(|(bar, at, w, value)| Step::Write(bar, at, w, value)),
        (any::<bool>(), 0u16..6).prop_map(|(raise, source)| Step::Signal(raise, source)),
    ]
}

fn apply(function: &mut Function, step: &Step) -> (u64, Outputs) {
    const WIDTHS: [Width; 4] = [Width::U8, Width::U16, Width::U32, Width::U64];
    let width = |index: u8| WIDTHS[usize::from(index)];
    let mut out = vec![];
    let mut value = 0;
    match *step {
        Step::Config(at, w, value) => function.write_config(at, width(w), value, &mut out),
        Step::Read(bar, at, w) => value = function.read(bar, at, width(w), &mut out),
        Step::Write(bar, at, w, value) => function.write(bar, at, width(w), value, &mut out),
        Step::Signal(raise, source) => {
            let at = if raise { 0 } else { 4 };
            function.write(0, at, Width::U32, source.into(), &mut out);
        }
    }
    (value, out)
}

proptest! {
    #[test]
    fn any_script_keeps_the_invariants(steps in prop::collection::vec(step(), 0..60)) {
        let mut function = running();
        let mut line = false;
        for step in &steps {
            let mut copy = function.clone();
            let (one, other) = (apply(&mut function, step), apply(&mut copy, step));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(format!("{function:?}"), format!("{copy:?}"));
            let command_now = function.config().read16(offset::COMMAND);
            for output in one.1 {
                match output {
                    Output::Line { asserted } => {
                        prop_assert_ne!(asserted, line, "each is a change");
                        line = asserted;
                    }
                    Output::Message { .. } | Output::DmaRead { .. } | Output::DmaWrite { .. } => {
                        prop_assert!(command_now & command::BUS_MASTER != 0);
                    }
                    _ => {}
                }
            }
            prop_assert!(!(line && function.uses_messages()), "one way to interrupt at a time");
            prop_assert!(!(line && command_now & command::INTX_DISABLE != 0));
        }
        let mut out = vec![];
        function.reset(&mut out);
        prop_assert_eq!(out.contains(&Output::Line { asserted: false }), line);
        prop_assert_eq!(format!("{function:?}"), format!("{:?}", self::function()));
    }
}

/// The messages of an MSI-X table of three, as PCI 3.0, "Per-vector Masking and Function Masking",
/// describes them.
#[derive(Debug)]
struct Masks {
    entries: [bool; 3],
    function: bool,
    pending: [bool; 3],
}

impl Masks {
    fn raise(&mut self, message: usize) -> Vec<u16> {
        self.pending[message] = true;
        self.send()
    }

    /// What is pending and not masked is sent, once, the lowest first.
    fn send(&mut self) -> Vec<u16> {
        let ready =
            |message: &usize| self.pending[*message] && !self.entries[*message] && !self.function;
        let sent: Vec<usize> = (0..3).filter(ready).collect();
        for &message in &sent {
            self.pending[message] = false;
        }
        sent.into_iter().map(|message| message as u16).collect()
    }
}

proptest! {
    /// Neither mask loses a message or sends one twice, in whatever order they are used.
    #[test]
    fn masks_of_msix_hold_messages_back(
        steps in prop::collection::vec((0u8..7, 0usize..3), 0..80),
    ) {
        let mut function = running();
        function.write_config(MSIX + 2, Width::U16, 0x8000, &mut vec![]);
        let mut masks = Masks { entries: [true; 3], function: false, pending: [false; 3] };
        for (action, message) in steps {
            let mut out = vec![];
            let entry = 0x1000 + 16 * message as u64 + 12;
            let expected = match action {
                0..=2 => {
                    function.write(0, 0, Width::U32, message as u64, &mut out);
                    masks.raise(message)
                }
                3 => {
                    function.write(0, 4, Width::U32, message as u64, &mut out);
                    masks.pending[message] = false;
                    vec![]
                }
                4 => {
                    function.write(0, entry, Width::U32, 1, &mut out);
                    masks.entries[message] = true;
                    vec![]
                }
                5 => {
                    function.write(0, entry, Width::U32, 0, &mut out);
                    masks.entries[message] = false;
                    masks.send()
                }
                _ => {
                    masks.function = !masks.function;
                    let control = if masks.function { 0xC000 } else { 0x8000 };
                    function.write_config(MSIX + 2, Width::U16, control, &mut out);
                    masks.send()
                }
            };
            let sent: Vec<u16> = out
                .iter()
                .filter_map(|output| match output {
                    Output::Message { message, .. } => Some(*message),
                    _ => None,
                })
                .collect();
            prop_assert_eq!(sent, expected);
            let shown = function.read(0, 0x2000, Width::U64, &mut vec![]);
            let pending = (0..3).filter(|&message| masks.pending[message]);
            prop_assert_eq!(shown, pending.fold(0, |bits, message| bits | 1 << message));
        }
    }
}
