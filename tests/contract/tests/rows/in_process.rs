//! Calls made by this process: its functions are the ISRs, and the kernel is called without a
//! driver in between. The driver compiled from C only answers plug and play.

use std::cell::RefCell;
use std::collections::BTreeMap;

use dirql::{Bench, BenchError};
use dirql_abi::NtStatus;
use dirql_abi::interrupt::{
    FullySpecified, IoConnectInterruptParameters, IoDisconnectInterruptParameters,
    IoReportInterruptActiveStateParameters, MessageBased,
};
use dirql_abi::processor::GroupAffinity;
use dirql_chips::Width;
use dirql_kernel::hal::Resource;
use dirql_kernel::io::interrupt::ConnectArguments;
use dirql_kernel::{Ddi, DriverPtr, Kernel};
use zerocopy::FromZeros;

use super::computer::name;
use super::protocol::{ABSENT, Call, Hands, Reply, Request, UNTOUCHED, flag, operation};

scoped_tls::scoped_thread_local!(static KERNEL: Kernel);

thread_local! {
    static SCENE: RefCell<Scene> = RefCell::default();
}

/// What the ISRs need.
#[derive(Default)]
struct Scene {
    devices: Vec<Registers>,
    calls: Vec<Vec<Call>>,
    /// Connects by context, and whether they refuse and have not returned.
    connects: BTreeMap<u64, (bool, bool)>,
    level: u8,
}

#[derive(Clone, Copy, Debug)]
enum Registers {
    /// `msix`: where they are, and how many queues.
    Queues(u64, u32),
    /// `button`: the first port.
    Button(u16),
}

impl Registers {
    fn of(kernel: &Kernel, resources: &[Resource]) -> Self {
        resources
            .iter()
            .find_map(|resource| match resource {
                Resource::Memory { base, .. } => {
                    let queues = kernel.read_device(base + 0x04, Width::U32) as u32;
                    Some(Self::Queues(*base, queues))
                }
                Resource::Port { base, .. } => Some(Self::Button(*base as u16)),
                Resource::Interrupt(_) | Resource::Private(_) => None,
            })
            .expect("a device has registers")
    }

    /// Takes the completions of one queue, or of all.
    fn serve(self, kernel: &Kernel, message: Option<u32>) -> bool {
        let (base, queues) = match self {
            Self::Queues(base, queues) => {
                (base, message.map_or(0..queues, |queue| queue..queue + 1))
            }
            Self::Button(port) => {
                let causes = kernel.read_port(port, Width::U8) >> 1 & 3;
                if causes != 0 {
                    kernel.write_port(port + 2, Width::U8, causes);
                }
                return causes != 0;
            }
        };
        let mut claimed = false;
        for queue in queues {
            let completions = base + 0x104 + 16 * u64::from(queue);
            let done = kernel.read_device(completions, Width::U32);
            if done != 0 {
                kernel.write_device(completions, Width::U32, done);
                claimed = true;
            }
        }
        claimed
    }
}

extern "win64" fn line_isr(object: u64, context: u64) -> u8 {
    called(object, context, None)
}

extern "win64" fn message_isr(object: u64, context: u64, message: u32) -> u8 {
    called(object, context, Some(message))
}

fn called(object: u64, context: u64, message: Option<u32>) -> u8 {
    KERNEL.with(|kernel| {
        let (device, slot) = ((context >> 8) as usize, context as u8);
        let (registers, refuses) = SCENE.with_borrow_mut(|scene| {
            let (refuses, connecting) = scene.connects.get(&context).copied().unwrap_or_default();
            scene.calls[device].push(Call {
                slot,
                level: kernel.irql().0,
                early: connecting.into(),
                is_message: message.is_some().into(),
                message: message.unwrap_or(0),
                object,
            });
            (scene.devices[device], refuses)
        });
        u8::from(!refuses && registers.serve(kernel, message))
    })
}

extern "win64" fn critical_section(_context: u64) -> u8 {
    KERNEL.with(|kernel| SCENE.with_borrow_mut(|scene| scene.level = kernel.irql().0));
    0x5A
}

/// What the calls need of memory.
#[derive(Clone, Copy)]
struct Memory(u64);

impl Memory {
    const BYTES: u64 = 0x200;

    const fn block(self) -> DriverPtr<IoConnectInterruptParameters> {
        DriverPtr::new(self.0)
    }

    const fn result(self, slot: u32) -> DriverPtr<u64> {
        DriverPtr::new(self.0 + 0x80 + 8 * slot as u64)
    }

    const fn lock(self) -> u64 {
        self.0 + 0x100
    }

    const fn pair<T>(self) -> DriverPtr<T> {
        DriverPtr::new(self.0 + 0x140)
    }
}

pub(crate) struct InProcess<'a> {
    bench: &'a Bench,
    memory: Vec<Memory>,
}

impl<'a> InProcess<'a> {
    pub(crate) fn new(bench: &'a Bench, devices: usize) -> Result<Self, BenchError> {
        let mut memory = Vec::new();
        let mut registers = Vec::new();
        for device in 0..devices {
            registers.push(Registers::of(
                bench.kernel(),
                &bench.resources(&name(device))?,
            ));
            let address = bench.on_kernel_thread(|kernel| {
                let address = kernel.ex_allocate_pool(0, Memory::BYTES)?;
                kernel.write_bytes(address, &[0; Memory::BYTES as usize])?;
                Ok(address)
            })?;
            memory.push(Memory(address));
        }
        SCENE.with_borrow_mut(|scene| {
            *scene = Scene {
                calls: vec![Vec::new(); devices],
                devices: registers,
                ..Scene::default()
            };
        });
        Ok(Self { bench, memory })
    }

    /// Runs `body` with the kernel known to the ISRs.
    pub(crate) fn scene<R>(bench: &Bench, body: impl FnOnce() -> R) -> R {
        KERNEL.set(bench.kernel(), body)
    }

    fn pdo(&self, device: usize) -> Result<u64, BenchError> {
        let id = self.bench.device_id(&name(device))?;
        let pdo = self.bench.kernel().pdo_of_device(id);
        Ok(pdo.expect("a device that is started has a PDO"))
    }
}

impl Hands for InProcess<'_> {
    fn perform(&self, device: usize, request: &Request) -> Result<Reply, BenchError> {
        let (memory, request) = (self.memory[device], *request);
        let pdo = self.pdo(device)?;
        self.bench
            .on_kernel_thread(move |kernel| match request.operation {
                operation::CONNECT => connect(kernel, memory, &request, pdo, device),
                operation::INTERRUPT => interrupt(kernel, device, &request),
                _ => with_object(kernel, memory, &request),
            })
    }

    fn calls(&self, device: usize) -> Result<Vec<Call>, BenchError> {
        Ok(SCENE.with_borrow_mut(|scene| std::mem::take(&mut scene.calls[device])))
    }

    fn finish(&self) -> Result<(), BenchError> {
        for memory in &self.memory {
            let address = memory.0;
            self.bench
                .on_kernel_thread(move |kernel| kernel.ex_free_pool(address))?;
        }
        Ok(())
    }
}

fn connect(
    kernel: &Kernel,
    memory: Memory,
    request: &Request,
    pdo: u64,
    device: usize,
) -> Ddi<Reply> {
    let mut reply = Reply::new_zeroed();
    let mut block = request.block;
    let version = block[0] as u32;
    let context = (device as u64) << 8 | u64::from(request.slot);
    let isr = match version {
        3 | 5 => message_isr as *const (),
        _ => line_isr as *const (),
    };
    // The members that lie at the same places whatever Version is, by their offset in words.
    let members = [
        (flag::USE_PDO, 1, pdo),
        (flag::USE_RESULT, 2, memory.result(request.slot).address()),
        (flag::USE_ROUTINE, 3, isr as u64),
        (flag::USE_LOCK, 5, memory.lock()),
        (flag::USE_FALLBACK, 7, line_isr as *const () as u64),
    ];
    for (flag, word, value) in members {
        if request.has(flag) {
            block[word] = value;
        }
    }
    block[4] = context;
    let parameters = memory.block();
    kernel.write(parameters.cast(), block)?;
    kernel.write(memory.result(request.slot), UNTOUCHED)?;
    let refuses = request.has(flag::REFUSE);
    SCENE.with_borrow_mut(|scene| scene.connects.insert(context, (refuses, true)));
    let status = if request.has(flag::OLD_ROUTINE) {
        let old: FullySpecified = kernel.read(DriverPtr::new(parameters.address() + 8))?;
        let result = DriverPtr::new(old.interrupt_object);
        kernel.io_connect_interrupt(result, arguments(&old))?
    } else if exists(kernel, "IoConnectInterruptEx") {
        kernel.io_connect_interrupt_ex(parameters)?
    } else {
        NtStatus::from_bits(ABSENT)
    };
    SCENE.with_borrow_mut(|scene| scene.connects.insert(context, (refuses, false)));
    reply.status = status.bits();
    reply.value = kernel.read(memory.result(request.slot))?;
    reply.block = kernel.read(parameters.cast())?;
    Ok(reply)
}

const fn arguments(block: &FullySpecified) -> ConnectArguments {
    ConnectArguments {
        service_routine: block.service_routine,
        service_context: block.service_context,
        spin_lock: block.spin_lock,
        vector: block.vector,
        irql: block.irql,
        synchronize_irql: block.synchronize_irql,
        interrupt_mode: block.interrupt_mode,
        share_vector: block.share_vector,
        processor_enable_mask: block.processor_enable_mask,
    }
}

/// Whether a driver would find the routine.
fn exists(kernel: &Kernel, routine: &str) -> bool {
    dirql_kernel::versions::exists(routine, kernel.config().windows)
}

fn interrupt(kernel: &Kernel, device: usize, request: &Request) -> Ddi<Reply> {
    let mut reply = Reply::new_zeroed();
    let Registers::Queues(base, queues) = SCENE.with_borrow(|scene| scene.devices[device]) else {
        reply.status = NtStatus::INVALID_DEVICE_REQUEST.bits();
        return Ok(reply);
    };
    let old = kernel.ke_raise_irql(request.level as u8)?;
    for queue in (0..queues).filter(|queue| request.argument & 1 << queue != 0) {
        kernel.write_device(base + 0x100 + 16 * u64::from(queue), Width::U32, 1);
    }
    if request.level > 0 {
        kernel.ke_stall_execution_processor(50)?;
    }
    kernel.ke_lower_irql(old)?;
    Ok(reply)
}

/// The operations on what a connect returned.
fn with_object(kernel: &Kernel, memory: Memory, request: &Request) -> Ddi<Reply> {
    let mut reply = Reply::new_zeroed();
    let mut pair = IoDisconnectInterruptParameters::new_zeroed();
    (pair.version, pair.connection_context) = (request.version, request.argument);
    let object = request.argument;
    let absent = |reply: &mut Reply, name| {
        let is_absent = !exists(kernel, name);
        if is_absent {
            reply.status = ABSENT;
        }
        is_absent
    };
    if request.operation == operation::DISCONNECT {
        if request.has(flag::OLD_ROUTINE) {
            kernel.io_disconnect_interrupt(object)?;
        } else if !absent(&mut reply, "IoDisconnectInterruptEx") {
            kernel.write(memory.pair(), pair)?;
            kernel.io_disconnect_interrupt_ex(memory.pair())?;
        }
        return Ok(reply);
    }
    let old = kernel.ke_raise_irql(request.level as u8)?;
    match request.operation {
        operation::REPORT if !absent(&mut reply, "IoReportInterruptActive") => {
            kernel.write(memory.pair(), pair)?;
            let parameters = memory
                .pair::<IoDisconnectInterruptParameters>()
                .cast::<IoReportInterruptActiveStateParameters>();
            if request.has(flag::ACTIVE) {
                kernel.io_report_interrupt_active(parameters)?;
            } else {
                kernel.io_report_interrupt_inactive(parameters)?;
            }
        }
        operation::AFFINITY if !absent(&mut reply, "IoGetAffinityInterrupt") => {
            let affinity = memory.pair::<GroupAffinity>();
            kernel.write(affinity, GroupAffinity::new_zeroed())?;
            reply.status = kernel.io_get_affinity_interrupt(object, affinity)?.bits();
            let affinity = kernel.read(affinity)?;
            (reply.mask, reply.extra) = (affinity.mask, affinity.group.into());
        }
        operation::SYNCHRONIZE => {
            let routine = critical_section as *const () as u64;
            reply.value = kernel.ke_synchronize_execution(object, routine, 0)?.into();
            reply.extra = SCENE.with_borrow(|scene| scene.level).into();
        }
        operation::LOCK => {
            let before = kernel.ke_acquire_interrupt_spin_lock(object)?;
            reply.extra = kernel.irql().0.into();
            kernel.ke_release_interrupt_spin_lock(object, before)?;
            reply.value = before.into();
        }
        _ => {}
    }
    kernel.ke_lower_irql(old)?;
    Ok(reply)
}

const _: () = assert!(core::mem::offset_of!(MessageBased, fall_back_service_routine) == 48);
