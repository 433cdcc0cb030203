//! A computer with very many messages on one device, all of them connected to one ISR.

use std::cell::Cell;
use std::mem::offset_of;

use dirql::scenario::{DeviceSpec, RegistryData};
use dirql::{Bench, BenchError, Driver};
use dirql_abi::device::{DriverExtension, DriverObject};
use dirql_abi::interrupt::connect_version::CONNECT_MESSAGE_BASED;
use dirql_abi::interrupt::{
    IoConnectInterruptParameters, MessageBased, irq_device_policy, irq_group_policy,
};
use dirql_abi::{Irql, NtStatus};
use dirql_chips::Stimulus;
use dirql_kernel::DriverPtr;
use dirql_kernel::hal::{DeviceId, Resource};

/// Where an INF says to which processors interrupts go. Source: WDK, "Interrupt Affinity".
const AFFINITY: &str = r"Interrupt Management\Affinity Policy";

thread_local! {
    static DRIVER_OBJECT: Cell<u64> = const { Cell::new(0) };
    static INTERRUPTS: Cell<u64> = const { Cell::new(0) };
}

extern "win64" fn entry(driver_object: u64, _registry_path: u64) -> i32 {
    DRIVER_OBJECT.set(driver_object);
    0
}

/// Leaves the device to the bus alone.
extern "win64" fn add_device(_driver_object: u64, _physical_device: u64) -> i32 {
    0
}

extern "win64" fn isr(_interrupt: u64, _context: u64, _message: u32) -> u8 {
    INTERRUPTS.set(INTERRUPTS.get() + 1);
    1
}

/// The computer, started and connected.
#[derive(Debug)]
pub struct Machine {
    bench: Bench,
    device: DeviceId,
    /// The processor group of each message, and its processors.
    pub targets: Vec<(u16, u64)>,
}

impl Machine {
    /// Makes it, starts the device, and connects all its messages.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn start(processors: u16, messages: u16) -> Result<Self, BenchError> {
        let spread =
            RegistryData::Dword(irq_device_policy::IrqPolicySpreadMessagesAcrossAllProcessors);
        let any_group = RegistryData::Dword(irq_group_policy::GroupAffinityDontCare);
        let bench = Bench::builder()
            .device(
                DeviceSpec::new("msix0", "msix")
                    .driver("scale")
                    .option("queues", messages)
                    .registry(AFFINITY, "DevicePolicy", spread)
                    .registry(AFFINITY, "GroupPolicy", any_group),
            )
            .driver(Driver::native("scale.sys", entry))
            .processors(processors)
            .max_steps(u64::MAX)
            .without_counters()
            .build()?;
        bench.load()?;
        let driver = DRIVER_OBJECT.get();
        bench.on_kernel_thread(move |kernel| {
            let at = driver + offset_of!(DriverObject, driver_extension) as u64;
            let extension: u64 = kernel.read(DriverPtr::new(at))?;
            let at = extension + offset_of!(DriverExtension, add_device) as u64;
            Ok(kernel.write(DriverPtr::new(at), add_device as *const () as u64)?)
        })?;
        bench.start("msix0")?;
        let device = bench.device_id("msix0")?;
        let targets = bench
            .resources("msix0")?
            .into_iter()
            .filter_map(|resource| match resource {
                Resource::Interrupt(grant) => Some((grant.group, grant.affinity)),
                _ => None,
            })
            .collect();
        let machine = Self {
            bench,
            device,
            targets,
        };
        machine.connect()?;
        Ok(machine)
    }

    fn connect(&self) -> Result<(), BenchError> {
        let kernel = self.bench.kernel();
        let pdo = kernel.pdo_of_device(self.device).unwrap_or(0);
        let status = self.bench.on_kernel_thread(move |kernel| {
            let at = kernel.allocate_system(128);
            let block = MessageBased {
                physical_device_object: pdo,
                connection_context: at + 96,
                message_service_routine: isr as *const () as u64,
                service_context: 0,
                spin_lock: 0,
                synchronize_irql: Irql::PASSIVE,
                floating_save: 0,
                fall_back_service_routine: 0,
                ..zerocopy::FromZeros::new_zeroed()
            };
            let parameters = IoConnectInterruptParameters::new(CONNECT_MESSAGE_BASED, &block);
            kernel.write(DriverPtr::new(at), parameters)?;
            kernel.io_connect_interrupt_ex(DriverPtr::new(at))
        })?;
        assert_eq!(status, NtStatus::SUCCESS, "connecting all messages");
        Ok(())
    }

    /// Sends messages and lets them be delivered. Returns how often the ISR ran.
    pub fn interrupt(&self, messages: impl IntoIterator<Item = u16>) -> u64 {
        let before = INTERRUPTS.get();
        let kernel = self.bench.kernel();
        for message in messages {
            kernel.stimulate(self.device, &Stimulus::Interrupt(message));
        }
        kernel.run_until_idle();
        INTERRUPTS.get() - before
    }

    /// How many findings there are; a right driver has none.
    #[must_use]
    pub fn findings(&self) -> usize {
        self.bench.findings().len()
    }
}
