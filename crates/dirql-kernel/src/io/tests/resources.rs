//! What devices are given: the tables of the pages on interrupt resources, row by row.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::NtStatus;
use dirql_abi::irp::{major, minor_pnp};
use dirql_abi::registry::value_type::{REG_BINARY, REG_DWORD, REG_QWORD};
use dirql_abi::resource::{
    INTERRUPT_MESSAGE_TOKEN, IoInterrupt, IoResourceDescriptor, IoResourceList,
    IoResourceRequirementsList,
};
use dirql_abi::stack_parameters::StackParametersFilterResourceRequirements;
use dirql_chips::models::{self, PluggedDevice};
use dirql_rules::ids;

use super::{Log, below, complete, function_driver, on, stack};
use crate::cm::DeviceKeyKind;
use crate::hal::{MessageWish, Plug, Resource, Socket};
use crate::io::pnp::{Identity, PnpError};
use crate::testing::Bench;
use crate::{Config, Ddi, DriverPtr, Kernel, WindowsVersion, at};

const MESSAGES: &str = r"Interrupt Management\MessageSignaledInterruptProperties";
const AFFINITY: &str = r"Interrupt Management\Affinity Policy";

/// A function that was started with an INF's settings.
struct Case {
    bench: Bench,
    physical_device: u64,
}

/// A PCI function with `table` MSI-X messages and `msi` MSI messages; 0 is no capability.
fn case(config: Config, table: u32, msi: u32) -> Case {
    let bench = Bench::new(config);
    let function = if table == 0 && msi == 0 {
        models::build("edu", &[])
    } else {
        let (table, msi) = (format!("{table}"), format!("{msi}"));
        models::build(
            "msix",
            &[("queues", "2"), ("messages", &table), ("msi", &msi)],
        )
    };
    let Ok(PluggedDevice::Pci(function)) = function else {
        panic!("a PCI model");
    };
    let interrupts = if table == 0 && msi == 0 {
        MessageWish::Line
    } else {
        MessageWish::Default
    };
    let device = bench.kernel.plug(Plug {
        name: String::from("device"),
        socket: Socket::Pci(function),
        interrupts,
        gsi: None,
    });
    let device = device.expect("there is room");
    let identity = Identity {
        installed: true,
        ..Identity::default()
    };
    let physical_device = bench
        .on_thread(move |kernel| kernel.enumerate_device(device, &identity))
        .expect("there is memory");
    Case {
        bench,
        physical_device,
    }
}

fn machine(processors: u16) -> Config {
    Config {
        processors,
        ..Config::default()
    }
}

impl Case {
    fn value(&self, subkey: &str, name: &str, kind: u32, data: &[u8]) {
        let kernel = &self.bench.kernel;
        let key = kernel.device_key_path(self.physical_device, DeviceKeyKind::Hardware);
        let key = key.expect("a device");
        assert!(kernel.registry_set(&format!(r"{key}\{subkey}"), name, kind, data));
    }

    fn dword(&self, subkey: &str, name: &str, value: u32) {
        self.value(subkey, name, REG_DWORD, &value.to_le_bytes());
    }

    fn supported(self) -> Self {
        self.dword(MESSAGES, "MSISupported", 1);
        self
    }

    fn start(&self) -> Result<(), PnpError> {
        let driver = function_driver(&self.bench, "driver", &Log::default());
        self.start_with(driver)
    }

    fn start_with(&self, driver: u64) -> Result<(), PnpError> {
        let (kernel, physical_device) = (&self.bench.kernel, self.physical_device);
        kernel
            .choose_driver(physical_device, driver)
            .expect("a physical device");
        self.bench
            .on_thread(move |kernel| kernel.start_device(physical_device))
    }

    /// A driver that edits its requirements on the way up.
    fn filtering_driver(&self, edit: impl Fn(&Kernel, u64) -> Ddi<u64> + 'static) -> u64 {
        let driver = function_driver(&self.bench, "driver", &Log::default());
        let table = at!(
            DriverPtr::<dirql_abi::device::DriverObject>::new(driver),
            dirql_abi::device::DriverObject,
            major_function
        );
        let before = self.bench.kernel.read(table).expect("a driver object");
        let before = before[usize::from(major::IRP_MJ_PNP)];
        on(
            &self.bench,
            driver,
            major::IRP_MJ_PNP,
            move |kernel, device, irp| {
                let location = stack(kernel, irp)?;
                if location.minor_function != minor_pnp::IRP_MN_FILTER_RESOURCE_REQUIREMENTS {
                    return Ok(NtStatus(
                        kernel.call("DispatchPnp", before, &[device, irp]) as i32
                    ));
                }
                kernel.io_forward_irp_synchronously(below(kernel, device)?, irp)?;
                let wish = location.parameters::<StackParametersFilterResourceRequirements>();
                let list = edit(kernel, wish.io_resource_requirement_list)?;
                complete(kernel, irp, NtStatus::SUCCESS, list)
            },
        );
        driver
    }

    /// Each interrupt: what it is, how many, group and mask.
    fn given(&self) -> Vec<String> {
        let kernel = &self.bench.kernel;
        let node = kernel.node(self.physical_device).expect("a node");
        let assignment = kernel
            .assignment(node.device.expect("a device of the machine"))
            .unwrap_or_default();
        let interrupt = |resource: &Resource| match resource {
            Resource::Interrupt(grant) if grant.message => Some(format!(
                "{} messages {}:{:#x}",
                grant.count(),
                grant.group,
                grant.affinity
            )),
            Resource::Interrupt(grant) => {
                Some(format!("line {}:{:#x}", grant.group, grant.affinity))
            }
            _ => None,
        };
        assignment.resources.iter().filter_map(interrupt).collect()
    }

    /// As [`Case::given`], shortened: equal neighbours are counted.
    fn summary(&self) -> String {
        let given = self.given();
        match given.first() {
            Some(first) if given.iter().all(|other| other == first) => {
                format!("{} x {first}", given.len())
            }
            _ => given.join(", "),
        }
    }

    fn irql(&self) -> u8 {
        let kernel = &self.bench.kernel;
        let node = kernel.node(self.physical_device).expect("a node");
        kernel
            .highest_irql(node.device.expect("a device of the machine"))
            .expect("an interrupt")
            .0
    }
}

/// MSI-X, MSI, MSISupported, MessageNumberLimit, Windows, what the driver sees.
type Row = (
    u32,
    u32,
    Option<u32>,
    Option<u32>,
    WindowsVersion,
    &'static str,
);

/// "How the settings decide".
#[test]
fn the_settings_decide_what_a_driver_sees() {
    let absent = None;
    #[rustfmt::skip] // read as a table
    let rows: &[Row] = &[
        // MSI-X, MSI, MSISupported, MessageNumberLimit, Windows, what the driver sees
        (0,  0,  Some(1), absent,    WindowsVersion::Ten,        "1 x line 0:0x3"),
        (0,  0,  absent,  absent,    WindowsVersion::Ten,        "1 x line 0:0x3"),
        (4,  0,  Some(1), absent,    WindowsVersion::Ten,        "4 x 1 messages 0:0x3"),
        (4,  2,  Some(1), absent,    WindowsVersion::Ten,        "4 x 1 messages 0:0x3"),
        (4,  0,  Some(1), Some(3),   WindowsVersion::Ten,        "3 x 1 messages 0:0x3"),
        (4,  0,  Some(1), Some(5),   WindowsVersion::Ten,        "4 x 1 messages 0:0x3"),
        (4,  0,  Some(1), Some(1),   WindowsVersion::Ten,        "1 x 1 messages 0:0x3"),
        (4,  0,  Some(1), Some(0),   WindowsVersion::Ten,        "4 x 1 messages 0:0x3"),
        (4,  0,  Some(0), absent,    WindowsVersion::Ten,        "1 x line 0:0x3"),
        (4,  0,  absent,  absent,    WindowsVersion::Ten,        "1 x line 0:0x3"),
        (4,  0,  absent,  Some(4),   WindowsVersion::Ten,        "1 x line 0:0x3"),
        (4,  0,  Some(2), absent,    WindowsVersion::Ten,        "1 x line 0:0x3"),
        (4,  0,  Some(1), absent,    WindowsVersion::Server2003, "1 x line 0:0x3"),
        (4,  0,  Some(1), absent,    WindowsVersion::Vista,      "4 x 1 messages 0:0x3"),
    ];
    for (table, msi, supported, limit, windows, expected) in rows {
        let config = Config {
            windows: *windows,
            ..machine(2)
        };
        let case = case(config, *table, *msi);
        if let Some(supported) = supported {
            case.dword(MESSAGES, "MSISupported", *supported);
        }
        if let Some(limit) = limit {
            case.dword(MESSAGES, "MessageNumberLimit", *limit);
        }
        assert_eq!(case.start(), Ok(()));
        assert_eq!(
            case.summary(),
            *expected,
            "{table} {msi} {supported:?} {limit:?} {windows}"
        );
    }
}

/// The same for a function with MSI only: `edu` has one message, so the wish of the scenario
/// chooses the capability of a function with both.
#[test]
fn msi_has_one_descriptor_with_a_power_of_two() {
    for (offered, limit, expected) in [
        (1, None, 1),
        (4, None, 4),
        (16, None, 16),
        (32, None, 16),
        (16, Some(8), 8),
        (16, Some(5), 4),
        (4, Some(16), 4),
    ] {
        let case = case(machine(2), 1, offered).supported();
        if let Some(limit) = limit {
            case.dword(MESSAGES, "MessageNumberLimit", limit);
        }
        case.wish(MessageWish::Msi(u16::MAX));
        assert_eq!(case.start(), Ok(()));
        assert_eq!(
            case.summary(),
            format!("1 x {expected} messages 0:0x3"),
            "{offered} {limit:?}"
        );
    }
}

impl Case {
    fn wish(&self, wish: MessageWish) {
        let kernel = &self.bench.kernel;
        let node = kernel.node(self.physical_device).expect("a node");
        kernel.set_message_wish(node.device.expect("a device of the machine"), wish);
    }

    /// Takes all vectors but so many that could be had on all processors.
    fn leave_vectors(&self, free: usize) {
        let kernel = &self.bench.kernel;
        let mask = kernel.active_mask(0);
        let all: Vec<_> =
            core::iter::from_fn(|| kernel.allocate_vectors(1, 0, mask, 3..=11)).collect();
        for vector in &all[..free] {
            kernel.release_vector(*vector, 0, mask);
        }
    }
}

#[test]
fn a_shortfall_gives_exactly_one_message_and_then_a_line_and_then_nothing() {
    for (free, expected) in [
        (4, "4 x 1 messages 0:0x1"),
        (3, "1 x 1 messages 0:0x1"),
        (1, "1 x 1 messages 0:0x1"),
    ] {
        let case = case(machine(1), 4, 0).supported();
        case.leave_vectors(free);
        assert_eq!(case.start(), Ok(()));
        assert_eq!(case.summary(), expected, "{free}");
    }
    let case = case(machine(1), 4, 0).supported();
    case.leave_vectors(0);
    assert_eq!(case.start(), Err(PnpError::Conflict));
}

#[test]
fn a_line_that_somebody_has_already_needs_no_free_vector() {
    let case = case(machine(1), 4, 0).supported();
    let neighbour = case.bench.kernel.plug(Plug {
        name: String::from("neighbour"),
        socket: Socket::Legacy {
            device: match models::build("button", &[]) {
                Ok(PluggedDevice::Legacy(button)) => button.device,
                _ => panic!("a legacy model"),
            },
            windows: Vec::new(),
            lines: alloc::vec![crate::hal::LineWish {
                gsi: Some(17),
                trigger: dirql_chips::Trigger::Level,
                shared: true,
            }],
        },
        interrupts: MessageWish::Line,
        gsi: None,
    });
    let neighbour = neighbour.expect("there is room");
    case.bench.kernel.assign_resources(neighbour);
    case.leave_vectors(0);
    assert_eq!(case.start(), Ok(()));
    assert_eq!(case.summary(), "1 x line 0:0x1");
}

/// "DevicePolicy".
#[test]
fn the_device_policy_decides_which_processors() {
    #[rustfmt::skip] // read as a table
    let rows: &[(u32, &str, &str, &str)] = &[
        // policy, a line, MSI, MSI-X
        (0, "1 x line 0:0xf", "1 x 2 messages 0:0xf", "4 x 1 messages 0:0xf"),
        (1, "1 x line 0:0xf", "1 x 2 messages 0:0xf", "4 x 1 messages 0:0xf"),
        (3, "1 x line 0:0xf", "1 x 2 messages 0:0xf", "4 x 1 messages 0:0xf"),
        (2, "1 x line 0:0x1", "1 x 2 messages 0:0x1",
            "1 messages 0:0x1, 1 messages 0:0x2, 1 messages 0:0x4, 1 messages 0:0x8"),
        (4, "1 x line 0:0x6", "1 x 2 messages 0:0x6", "4 x 1 messages 0:0x6"),
        (5, "1 x line 0:0xf", "1 x 2 messages 0:0xf",
            "1 messages 0:0x1, 1 messages 0:0x2, 1 messages 0:0x4, 1 messages 0:0x8"),
        // Not one that exists.
        (6, "1 x line 0:0xf", "1 x 2 messages 0:0xf", "4 x 1 messages 0:0xf"),
    ];
    for (policy, line, msi, table) in rows {
        for (wish, expected) in [
            (MessageWish::Line, line),
            (MessageWish::Msi(2), msi),
            (MessageWish::Msix(4), table),
        ] {
            let case = case(machine(4), 4, 2).supported();
            case.wish(wish);
            case.dword(AFFINITY, "DevicePolicy", *policy);
            // Processors that do not exist do not count.
            case.value(AFFINITY, "AssignmentSetOverride", REG_BINARY, &[0xF6, 0xFF]);
            assert_eq!(case.start(), Ok(()));
            assert_eq!(case.summary(), *expected, "{policy} {wish:?}");
        }
    }
}

#[test]
fn the_override_has_three_types_and_counts_for_policy_4_only() {
    let four = 4_u32.to_le_bytes();
    let rows: &[(u32, &[u8], &str)] = &[
        (REG_BINARY, &[4], "1 x line 0:0x4"),
        (REG_BINARY, &[0, 1, 0, 0, 0, 0, 0, 0], "1 x line 0:0x100"),
        (REG_BINARY, &[4, 0, 0, 0, 0, 0, 0, 0, 0], "1 x line 0:0x3ff"),
        (REG_BINARY, &[], "1 x line 0:0x3ff"),
        (REG_DWORD, &four, "1 x line 0:0x4"),
        (REG_QWORD, &[8, 0, 0, 0, 0, 0, 0, 0], "1 x line 0:0x8"),
        // A mask without a processor of this machine.
        (REG_QWORD, &[0, 0, 0, 0, 0, 0, 0, 0x80], "1 x line 0:0x3ff"),
        (1, &[b'4', 0, 0, 0], "1 x line 0:0x3ff"),
    ];
    for (kind, data, expected) in rows {
        let case = case(machine(10), 4, 0);
        case.dword(AFFINITY, "DevicePolicy", 4);
        case.value(AFFINITY, "AssignmentSetOverride", *kind, data);
        assert_eq!(case.start(), Ok(()));
        assert_eq!(case.summary(), *expected, "{kind} {data:?}");
    }
    let case = case(machine(10), 4, 0);
    case.dword(AFFINITY, "AssignmentSetOverride", 4);
    assert_eq!(case.start(), Ok(()));
    assert_eq!(case.summary(), "1 x line 0:0x3ff");
}

#[test]
fn the_priority_shifts_the_level() {
    for (priority, levels) in [(1, 3..=5), (2, 6..=8), (3, 9..=11)] {
        let case = case(machine(1), 4, 0);
        case.dword(AFFINITY, "DevicePriority", priority);
        assert_eq!(case.start(), Ok(()));
        assert!(levels.contains(&case.irql()), "{priority} {}", case.irql());
    }
}

#[test]
fn interrupts_stay_in_group_0_unless_the_settings_ask_otherwise() {
    let groups = |case: &Case| {
        let mut groups: Vec<String> = case
            .given()
            .iter()
            .map(|given| given.chars().skip(11).take(1).collect())
            .collect();
        groups.dedup();
        groups.concat()
    };
    let spread = |group_policy: Option<u32>, windows| {
        let config = Config {
            windows,
            ..machine(128)
        };
        let case = case(config, 128, 0).supported();
        case.dword(AFFINITY, "DevicePolicy", 5);
        if let Some(policy) = group_policy {
            case.dword(AFFINITY, "GroupPolicy", policy);
        }
        assert_eq!(case.start(), Ok(()));
        groups(&case)
    };
    assert_eq!(spread(None, WindowsVersion::Ten), "0");
    assert_eq!(spread(Some(0), WindowsVersion::Ten), "0");
    assert_eq!(spread(Some(1), WindowsVersion::Ten), "01");
    assert_eq!(spread(Some(1), WindowsVersion::Vista), "0");
}

#[test]
fn many_messages_are_spread_when_they_do_not_fit_on_all_processors() {
    for (windows, expected) in [(WindowsVersion::Seven, 910), (WindowsVersion::Eight, 2048)] {
        let config = Config {
            windows,
            ..machine(256)
        };
        let case = case(config, 2048, 0).supported();
        assert_eq!(case.start(), Ok(()));
        assert_eq!(case.given().len(), expected, "{windows}");
    }
}

/// Where the descriptors of the first list are, and how many there are.
fn first_list(kernel: &Kernel, list: u64) -> Ddi<(DriverPtr<IoResourceDescriptor>, u32)> {
    let head = list + size_of::<IoResourceRequirementsList>() as u64;
    let count = kernel.read(DriverPtr::<IoResourceList>::new(head))?.count;
    Ok((DriverPtr::new(head + 8), count))
}

#[test]
fn the_filter_step_is_shown_the_settings() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let case = case(machine(4), 2, 0).supported();
    case.dword(AFFINITY, "DevicePolicy", 4);
    case.dword(AFFINITY, "DevicePriority", 3);
    case.dword(AFFINITY, "AssignmentSetOverride", 6);
    let lines = seen.clone();
    let driver = case.filtering_driver(move |kernel, list| {
        let head = kernel.read(DriverPtr::<IoResourceRequirementsList>::new(list))?;
        let mut at = list + 32;
        for alternative in 0..head.alternative_lists {
            let count = kernel.read(DriverPtr::<IoResourceList>::new(at))?.count;
            for index in 0..count as usize {
                let descriptor = DriverPtr::<IoResourceDescriptor>::new(at + 8).element(index);
                let descriptor = kernel.read(descriptor)?;
                if descriptor.type_ != 2 {
                    lines.borrow_mut().push(format!("{alternative}: type {}", descriptor.type_));
                    continue;
                }
                let arm = descriptor.arm::<IoInterrupt>();
                lines.borrow_mut().push(format!(
                    "{alternative}: flags {} vectors {:x}..={:x} policy {} priority {} processors {:#x}",
                    descriptor.flags,
                    arm.minimum_vector,
                    arm.maximum_vector,
                    { arm.affinity_policy },
                    { arm.priority_policy },
                    { arm.targeted_processors },
                ));
            }
            at += 8 + 32 * u64::from(count);
        }
        assert_eq!(at - list, u64::from(head.list_size));
        Ok(list)
    });
    assert_eq!(case.start_with(driver), Ok(()));
    let message = "0: flags 7 vectors fffffffe..=fffffffe policy 4 priority 3 processors 0x6";
    assert_eq!(
        *seen.borrow(),
        [
            "0: type 3",
            "0: type 129",
            "0: type 3",
            message,
            message,
            "1: type 3",
            "1: type 129",
            "1: type 3",
            "1: flags 4 vectors 11..=11 policy 4 priority 3 processors 0x6",
        ]
    );
}

#[test]
fn a_filter_step_chooses_the_number_of_msi_messages() {
    for (wanted, given) in [(1_u32, 1), (3, 2), (4, 4), (8, 8), (64, 8)] {
        let case = case(machine(1), 1, 8).supported();
        case.wish(MessageWish::Msi(8));
        let driver = case.filtering_driver(move |kernel, list| {
            let (descriptors, count) = first_list(kernel, list)?;
            let last = descriptors.element(count as usize - 1);
            let mut descriptor = kernel.read(last)?;
            let mut arm = descriptor.arm::<IoInterrupt>();
            assert_eq!(arm.minimum_vector, INTERRUPT_MESSAGE_TOKEN - 7);
            arm.minimum_vector = INTERRUPT_MESSAGE_TOKEN - wanted + 1;
            descriptor.set_arm(&arm);
            kernel.write(last, descriptor)?;
            Ok(list)
        });
        assert_eq!(case.start_with(driver), Ok(()));
        assert_eq!(
            case.summary(),
            format!("1 x {given} messages 0:0x1"),
            "{wanted}"
        );
    }
}

/// A larger list with `more` copies of the last descriptor of the first list, each for the
/// processor after the one before; there is one list afterwards.
fn enlarge(kernel: &Kernel, list: u64, more: u32) -> Ddi<u64> {
    let (descriptors, count) = first_list(kernel, list)?;
    let mut head = kernel.read(DriverPtr::<IoResourceRequirementsList>::new(list))?;
    let mut all = Vec::new();
    for index in 0..count {
        all.push(kernel.read(descriptors.element(index as usize))?);
    }
    let last = all.last().copied().expect("there is a message");
    all.extend((0..more).map(|_| last));
    let interrupts = all.iter_mut().filter(|descriptor| descriptor.type_ == 2);
    for (processor, descriptor) in interrupts.enumerate() {
        let mut arm = descriptor.arm::<IoInterrupt>();
        arm.affinity_policy = 4;
        arm.targeted_processors = 1 << (processor % 64);
        descriptor.set_arm(&arm);
    }
    head.alternative_lists = 1;
    head.list_size = 40 + 32 * all.len() as u32;
    let larger = kernel.pool_allocate(1, u64::from(head.list_size), 0x6772_616C)?;
    kernel.write(DriverPtr::new(larger), head)?;
    let lists = IoResourceList {
        version: 1,
        revision: 1,
        count: all.len() as u32,
    };
    kernel.write(DriverPtr::new(larger + 32), lists)?;
    for (index, descriptor) in all.iter().enumerate() {
        let to = DriverPtr::<IoResourceDescriptor>::new(larger + 40).element(index);
        kernel.write(to, *descriptor)?;
    }
    kernel.pool_free(list, None)?;
    Ok(larger)
}

#[test]
fn a_filter_step_adds_messages_of_its_own_processors_beyond_the_table() {
    for (free, expected) in [(144, 8), (8, 8), (7, 1), (1, 1)] {
        let case = case(machine(8), 4, 0).supported();
        case.leave_vectors_of_each(free);
        let driver = case.filtering_driver(|kernel, list| enlarge(kernel, list, 4));
        let started = case.start_with(driver);
        assert_eq!(started, Ok(()));
        let given = case.given();
        let masks: Vec<String> = (0..expected)
            .map(|processor| format!("1 messages 0:{:#x}", 1 << processor))
            .collect();
        assert_eq!(given, masks, "{free}");
    }
}

impl Case {
    /// Leaves vectors only on the first `processors` processors.
    fn leave_vectors_of_each(&self, processors: u32) {
        if processors >= 8 {
            return;
        }
        let kernel = &self.bench.kernel;
        let busy = 0xFF & !((1 << processors) - 1);
        while kernel.allocate_vectors(1, 0, busy, 3..=11).is_some() {}
    }
}

#[test]
fn a_filter_step_that_removes_the_messages_gets_the_line() {
    let case = case(machine(1), 4, 0).supported();
    let driver = case.filtering_driver(|kernel, list| {
        // Drops the first list: the second one, with the line, moves into its place.
        let mut head = kernel.read(DriverPtr::<IoResourceRequirementsList>::new(list))?;
        let (_, count) = first_list(kernel, list)?;
        let first = 8 + 32 * u64::from(count);
        let rest = u64::from(head.list_size) - 32 - first;
        let bytes = kernel.read_bytes(list + 32 + first, rest as usize)?;
        kernel.write_bytes(list + 32, &bytes)?;
        head.alternative_lists = 1;
        head.list_size = 32 + rest as u32;
        kernel.write(DriverPtr::new(list), head)?;
        Ok(list)
    });
    assert_eq!(case.start_with(driver), Ok(()));
    assert_eq!(case.summary(), "1 x line 0:0x1");
}

#[test]
fn a_list_that_lies_about_its_size_is_found_and_not_followed() {
    let case = case(machine(1), 4, 0).supported();
    let driver = case.filtering_driver(|kernel, list| {
        let count = DriverPtr::<u32>::new(list + 32 + 4);
        kernel.write(count, 100)?;
        Ok(list)
    });
    assert_eq!(case.start_with(driver), Ok(()));
    assert_eq!(case.bench.rules(), [ids::REQUIREMENTS_LIST]);
    assert_eq!(case.summary(), "4 x 1 messages 0:0x1");
}

#[test]
fn more_messages_than_this_windows_supports_leave_the_line() {
    for (more, expected) in [(908, "910 x 1 messages 0:0x1"), (909, "1 x line 0:0x1")] {
        let config = Config {
            windows: WindowsVersion::Seven,
            ..machine(64)
        };
        let case = case(config, 2, 0).supported();
        let driver = case.filtering_driver(move |kernel, list| {
            let line = line_of(kernel, list)?;
            let larger = enlarge(kernel, list, more)?;
            add_alternative(kernel, larger, &line)
        });
        assert_eq!(case.start_with(driver), Ok(()));
        let given = case.given();
        assert_eq!(given.len(), if more == 908 { 910 } else { 1 }, "{expected}");
    }
}

/// The last descriptor of the last list.
fn line_of(kernel: &Kernel, list: u64) -> Ddi<IoResourceDescriptor> {
    let size = kernel.read(DriverPtr::<u32>::new(list))?;
    Ok(kernel.read(DriverPtr::new(list + u64::from(size) - 32))?)
}

/// A list of one more alternative that has one descriptor.
fn add_alternative(kernel: &Kernel, list: u64, only: &IoResourceDescriptor) -> Ddi<u64> {
    let mut head = kernel.read(DriverPtr::<IoResourceRequirementsList>::new(list))?;
    let old = u64::from(head.list_size);
    let larger = kernel.pool_allocate(1, old + 40, 0x6772_616C)?;
    kernel.write_bytes(larger, &kernel.read_bytes(list, old as usize)?)?;
    head.list_size += 40;
    head.alternative_lists += 1;
    kernel.write(DriverPtr::new(larger), head)?;
    let one = IoResourceList {
        version: 1,
        revision: 1,
        count: 1,
    };
    kernel.write(DriverPtr::new(larger + old), one)?;
    kernel.write(DriverPtr::new(larger + old + 8), *only)?;
    kernel.pool_free(list, None)?;
    Ok(larger)
}
