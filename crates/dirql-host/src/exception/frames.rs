//! Walking the frames of driver code.

use std::ptr;

use dirql_abi::NtStatus;
use dirql_abi::exception::{Context, DispatcherContext, RuntimeFunction};
use dirql_image::unwind::{Frame, Gpr, Handler};
use dirql_kernel::{Ddi, DriverPtr, Kernel, Platform, Stop};
use zerocopy::{FromZeros, IntoBytes};

use crate::exception::cpu::Cpu;
use crate::exception::{Active, Crossing, own_frames};
use crate::loader::LoadedImage;
use crate::run::LinuxPlatform;
use crate::trap;

const RBX: Gpr = Gpr::new(3);

/// More frames than a stack of 256 KiB can hold; a chain that goes round ends here.
const MOST_FRAMES: u32 = 0x4000;

/// A walk from some registers outwards.
pub(super) struct Walk<'a> {
    platform: &'a LinuxPlatform,
    /// The registers in the frame that comes next.
    pub(super) cpu: Cpu,
    /// The exception during whose handling the frames so far were made.
    pub(super) outer: *const Active,
    /// The kernel's last call of a driver further out than the frames so far.
    crossing: *const Crossing,
    /// The outermost such call that was left.
    pub(super) left_crossing: Option<Crossing>,
    /// How many scopes of the next frame have had their termination handlers called.
    scope_index: u32,
    left: u32,
    /// Whether the frame so far was that of code in no image.
    from_leaf: bool,
}

/// One frame of a driver. It owns nothing, because a handler may not return.
#[derive(Clone, Copy, Debug)]
pub(super) struct DriverFrame {
    /// Where the image with its code is.
    base: u64,
    /// Address of its RUNTIME_FUNCTION, 0 if it has none or no handler.
    function_entry: u64,
    /// What the unwind data says.
    pub(super) frame: Frame,
    /// The registers in it.
    pub(super) cpu: Cpu,
    /// The registers in its caller.
    caller: Cpu,
    /// How many of its scopes are not to be looked at any more.
    scope_index: u32,
    /// Whether it was reached through the frames of another exception's handler.
    pub(super) nested: bool,
}

impl<'a> Walk<'a> {
    /// Starts with the frame that `cpu` is in.
    pub(super) fn new(platform: &'a LinuxPlatform, cpu: &Cpu) -> Self {
        Self {
            platform,
            cpu: *cpu,
            outer: platform.active.get(),
            crossing: platform.crossing.get(),
            left_crossing: None,
            scope_index: 0,
            left: MOST_FRAMES,
            from_leaf: false,
        }
    }

    /// The next frame of a driver; `None` where there is none further out, or where nothing can
    /// be made of the stack.
    pub(super) fn frame(&mut self) -> Option<DriverFrame> {
        let mut nested = false;
        self.left = self.left.checked_sub(1)?;
        let image = loop {
            match self.platform.image_at(self.cpu.rip) {
                Some(image) if image.image().is_some() => break image,
                _ if self.leave_leaf().is_some() => self.from_leaf = true,
                _ if !self.outer.is_null() => {
                    self.leave_handler()?;
                    nested = true;
                }
                _ => self.leave_kernel()?,
            }
        };
        let mut registers = self.cpu.registers();
        let space = &self.platform.space;
        let read = |address| {
            let mut bytes = [0; 8];
            space.read(address, &mut bytes).ok()?;
            Some(u64::from_le_bytes(bytes))
        };
        let frame = image
            .image()?
            .unwind(image.base(), &mut registers, read)
            .ok()?;
        let mut caller = self.cpu;
        caller.set_registers(&registers);
        let entry = frame
            .handler
            .and_then(|_| function_entry(self.platform, &image, self.cpu.rip));
        let (base, function_entry) = (image.base(), entry.unwrap_or(0));
        let scope_index = self.scope_index;
        Some(DriverFrame {
            base,
            function_entry,
            frame,
            cpu: self.cpu,
            caller,
            scope_index,
            nested,
        })
    }

    /// Goes on with the caller of `frame`.
    pub(super) fn leave(&mut self, frame: &DriverFrame) {
        self.cpu = frame.caller;
        self.scope_index = 0;
        self.from_leaf = false;
    }

    /// Code in no image has no unwind data, so that it is taken for a function without a frame:
    /// nothing at all, which a call through a bad pointer leads to, or what a driver has written
    /// itself. `None` if it is code of this program, or if no driver is where it returns to.
    fn leave_leaf(&mut self) -> Option<()> {
        let caller = self
            .platform
            .caller_of_nowhere(self.cpu.rip, self.cpu.rsp())?;
        let mut registers = self.cpu.registers();
        registers.set_gpr(Gpr::RSP, self.cpu.rsp() + 8);
        registers.rip = caller;
        self.cpu.set_registers(&registers);
        Some(())
    }

    /// The kernel called this code because a driver had called the kernel: goes on there.
    fn leave_kernel(&mut self) -> Option<()> {
        let mut registers = self.cpu.registers();
        let stack = |address| self.platform.strands.read_stack(address);
        for _ in 0..own_frames::MOST {
            self.pass_calls(registers.rsp())?;
            if self.platform.has_frames(registers.rip) {
                self.cpu.set_registers(&registers);
                self.scope_index = 0;
                return Some(());
            }
            own_frames::step(&mut registers, stack)?;
        }
        None
    }

    /// After the last frame of an ISR or a DPC: goes on with what it interrupted. `None` if that was no
    /// driver.
    fn interrupted(&mut self) -> Option<()> {
        if self.platform.has_frames(self.cpu.rip) {
            // It was not the last one, but nothing could be made of it.
            return None;
        }
        let mut registers = self.cpu.registers();
        let stack = |address| self.platform.strands.read_stack(address);
        for _ in 0..own_frames::MOST {
            // SAFETY: as in `pass_calls`.
            while let Some(crossing) = unsafe { self.crossing.as_ref() }
                && (self.crossing.expose_provenance() as u64) < registers.rsp()
            {
                self.outer = crossing.active;
                self.crossing = crossing.outer;
            }
            if self.platform.has_frames(registers.rip) {
                self.cpu.set_registers(&registers);
                self.scope_index = 0;
                return Some(());
            }
            // SAFETY: the registers are those of a frame on this stack, whose functions have not
            // returned.
            if let Some(context) = unsafe { trap::interrupted(registers.rip, registers.gpr(RBX)) } {
                self.cpu = Cpu::from_trap(context);
                self.scope_index = 0;
                return self.platform.has_frames(self.cpu.rip).then_some(());
            }
            own_frames::step(&mut registers, stack)?;
        }
        None
    }

    /// Notes the calls of drivers whose records lie below `stack_pointer`. `None` at one that no
    /// driver's call is behind.
    fn pass_calls(&mut self, stack_pointer: u64) -> Option<()> {
        // SAFETY: null, or a record in the frame of a call on this stack that has not returned.
        while let Some(crossing) = unsafe { self.crossing.as_ref() } {
            if self.crossing.expose_provenance() as u64 >= stack_pointer {
                break;
            }
            crossing.from?;
            self.left_crossing = Some(*crossing);
            self.outer = crossing.active;
            self.crossing = crossing.outer;
        }
        Some(())
    }

    /// Notes the calls of drivers, and the exceptions that are being handled, whose records lie
    /// below `stack_pointer`, where the driver goes on. `None` as for [`Walk::pass_calls`].
    pub(super) fn pass_everything(&mut self, stack_pointer: u64) -> Option<()> {
        self.pass_calls(stack_pointer)?;
        // SAFETY: as in `leave_handler`.
        while let Some(active) = unsafe { self.outer.as_ref() } {
            if self.outer.expose_provenance() as u64 >= stack_pointer {
                break;
            }
            self.outer = active.outer;
        }
        Some(())
    }

    /// The kernel called this code to handle an exception: goes on where that was raised. If
    /// it was called to end a frame, what of it is ended stays so ("collided unwind").
    fn leave_handler(&mut self) -> Option<()> {
        // SAFETY: null, or an exception that is being handled: `call_handler` keeps it in its
        // frame, further out on this stack, until the handler returns, and takes it off the
        // list then; a jump past that frame takes it off too.
        let active = unsafe { self.outer.as_ref() }?;
        self.cpu = active.cpu;
        // SAFETY: null, or a value in the frame that called `call_handler` and waits for it.
        self.scope_index = unsafe { active.dispatcher.as_ref() }.map_or(0, |told| told.scope_index);
        self.outer = active.outer;
        Some(())
    }
}

impl DriverFrame {
    /// Whether this is the innermost frame that a place on the stack can belong to, as those
    /// further in do not reach to it.
    pub(super) fn holds(&self, stack_pointer: u64) -> bool {
        self.caller.rsp() > stack_pointer
    }

    /// Address of the language handler.
    pub(super) fn handler(&self, wanted: impl Fn(&Handler) -> bool) -> Option<u64> {
        let handler = self.frame.handler.filter(wanted)?;
        Some(self.base + u64::from(handler.rva))
    }

    /// What a language handler is told about its frame.
    pub(super) fn dispatcher_context(&self, context: u64) -> DispatcherContext {
        let mut dispatcher = DispatcherContext::new_zeroed();
        dispatcher.control_pc = self.cpu.rip;
        dispatcher.image_base = self.base;
        dispatcher.function_entry = self.function_entry;
        dispatcher.establisher_frame = self.frame.establisher;
        dispatcher.context_record = context;
        dispatcher.scope_index = self.scope_index;
        if let Some(handler) = self.frame.handler {
            dispatcher.language_handler = self.base + u64::from(handler.rva);
            dispatcher.handler_data = self.base + u64::from(handler.data);
        }
        dispatcher
    }
}

/// Stands in [`addresses`] before what was interrupted by what stands before it.
const INTERRUPTED: u64 = 0;

/// Most words of a frame that is left which are looked through: 4 KiB.
const FRAME_SLOTS: u64 = 512;

/// Where the frames of drivers from `cpu` outwards are: the instruction, then the places to
/// which they return; after [`INTERRUPTED`], those of what an ISR, a DPC or a thread of its own
/// interrupted.
pub(super) fn addresses(platform: &LinuxPlatform, cpu: &Cpu) -> Vec<u64> {
    /// More than a reader wants.
    const MOST: usize = 64;
    let mut walk = Walk::new(platform, cpu);
    let mut addresses = Vec::new();
    while addresses.len() < MOST {
        let Some(frame) = walk.frame() else {
            if walk.interrupted().is_none() {
                break;
            }
            addresses.push(INTERRUPTED);
            continue;
        };
        // The first is that of an instruction: the call's, which ends there.
        let is_call = walk.from_leaf && addresses.is_empty();
        addresses.push(frame.cpu.rip - u64::from(is_call));
        walk.leave(&frame);
    }
    addresses
}

impl LinuxPlatform {
    /// Where a call came from that led to `address`, which is no code of a driver's, as the stack
    /// has it: the address after the call. `None` for code of this program, and if no driver is
    /// there.
    pub(crate) fn caller_of_nowhere(&self, address: u64, stack_pointer: u64) -> Option<u64> {
        if self.is_own_code(address) {
            return None;
        }
        let caller = self.strands.read_stack(stack_pointer)?;
        self.has_frames(caller).then_some(caller)
    }

    /// Where a routine that returned to `address`, which is no code, had called something last: the
    /// address after that call, from what is left of its frame below the stack pointer. Only
    /// right until something else uses the stack; it is kept for [`Self::left_to_nowhere`].
    ///
    /// The return address is what a frame that was overrun has lost; the routine's own calls have
    /// left theirs at the other end of the frame.
    pub(crate) fn find_left_to_nowhere(&self, address: u64, stack_pointer: u64) -> Option<u64> {
        let below = |slot: u64| {
            self.strands
                .read_stack(stack_pointer.checked_sub(8 * slot)?)
        };
        if self.is_own_code(address) || below(1)? != address {
            return None;
        }
        let place = (2..FRAME_SLOTS)
            .map_while(below)
            .find(|value| self.is_after_call(*value))
            .or_else(|| self.after_last_probe(stack_pointer))?;
        self.left.set(Some((address, stack_pointer, place)));
        Some(place)
    }

    /// Behind the instruction that a probe stood before last, if that was inside the frame that ended
    /// at this stack pointer: where there are probes, they have used what is left of a frame.
    fn after_last_probe(&self, stack_pointer: u64) -> Option<u64> {
        let (instruction, probed_at) = self.probed.get();
        let depth = stack_pointer.checked_sub(probed_at)?;
        (1..8 * FRAME_SLOTS)
            .contains(&depth)
            .then_some(instruction + 1)
    }

    /// What [`Self::find_left_to_nowhere`] found for the same return.
    pub(crate) fn left_to_nowhere(&self, address: u64, stack_pointer: u64) -> Option<u64> {
        let (target, left_at, place) = self.left.get()?;
        (target == address && left_at == stack_pointer).then_some(place)
    }

    /// Whether `address` is in a driver's image, behind an instruction that calls: a near call with a
    /// displacement, or one through a register or memory.
    fn is_after_call(&self, address: u64) -> bool {
        if !self.has_frames(address) {
            return false;
        }
        let mut code = [0; 7];
        let begin = address.wrapping_sub(7);
        if self.read(begin, &mut code).is_err() {
            return false;
        }
        let is_indirect = |bytes: &[u8]| bytes[0] == 0xFF && bytes[1] >> 3 & 7 == 2;
        // FF /2 has a ModRM byte, then up to a SIB byte and a displacement of four.
        code[2] == 0xE8 || [0, 1, 3, 4, 5].iter().any(|at| is_indirect(&code[*at..]))
    }

    /// Whether the code at `address` is in an image whose frames can be walked.
    pub(super) fn has_frames(&self, address: u64) -> bool {
        self.image_at(address)
            .is_some_and(|image| image.image().is_some())
    }

    /// `PRUNTIME_FUNCTION RtlLookupFunctionEntry(ControlPc, *ImageBase, HistoryTable)`: the
    /// entry for the code at `address`, or NULL; `*ImageBase` is set if an image is there.
    pub(crate) fn lookup_function_entry(
        &self,
        kernel: &Kernel,
        address: u64,
        base: DriverPtr<u64>,
    ) -> Ddi<u64> {
        let Some(image) = self.image_at(address) else {
            return Ok(0);
        };
        kernel.write(base, image.base())?;
        Ok(function_entry(self, &image, address).unwrap_or(0))
    }

    /// `PEXCEPTION_ROUTINE RtlVirtualUnwind(...)`: changes `*context` from inside the function
    /// at `address` to right after the call in its caller. Returns the language handler that
    /// applies, with its data in `*data`, or NULL.
    pub(crate) fn virtual_unwind(
        &self,
        kernel: &Kernel,
        base: u64,
        address: u64,
        context: DriverPtr<Context>,
        data: DriverPtr<u64>,
        frame: DriverPtr<u64>,
    ) -> Ddi<u64> {
        let mut record = kernel.read(context)?;
        record.rip = address;
        let mut walk = Walk {
            platform: self,
            cpu: Cpu::from_context(&record),
            outer: ptr::null(),
            crossing: ptr::null(),
            left_crossing: None,
            scope_index: 0,
            left: 1,
            from_leaf: false,
        };
        let Some(found) = walk.frame().filter(|found| found.base == base) else {
            return Err(Stop::Exception {
                code: NtStatus::BAD_STACK,
                parameters: [0; 4],
            });
        };
        kernel.write(
            context,
            Context {
                p1_home: record.p1_home,
                ..found.caller.to_context()
            },
        )?;
        kernel.write(frame, found.frame.establisher)?;
        let Some(handler) = found.frame.handler else {
            return Ok(0);
        };
        kernel.write(data, base + u64::from(handler.data))?;
        Ok(base + u64::from(handler.rva))
    }
}

/// Where in its image's memory the RUNTIME_FUNCTION for `address` is. For a stretch that is
/// part of a function it is the stretch's own.
pub(super) fn function_entry(
    platform: &LinuxPlatform,
    image: &LoadedImage,
    address: u64,
) -> Option<u64> {
    let rva = u32::try_from(address.checked_sub(image.base())?).ok()?;
    let function = image.image()?.function_at(rva)?;
    let (table, bytes) = exception_directory(platform, image.base())?;
    let size = size_of::<RuntimeFunction>() as u64;
    let entries = (0..bytes / size).map(|index| table + index * size);
    // Few drivers have more than some thousand; the table is sorted, but nothing makes it so.
    entries.into_iter().find(|entry| {
        let mut found = RuntimeFunction::new_zeroed();
        platform.read(*entry, found.as_mut_bytes()).is_ok()
            && (found.begin_address, found.end_address) == (function.begin, function.end)
    })
}

/// Address and size of the exception directory, from the headers in memory.
fn exception_directory(platform: &LinuxPlatform, base: u64) -> Option<(u64, u64)> {
    const E_LFANEW: u64 = 0x3C;
    // Signature, file header, and the optional header up to the fourth directory.
    const EXCEPTION: u64 = 4 + 20 + 112 + 3 * 8;
    let read = |address| {
        let mut bytes = [0; 4];
        platform.read(address, &mut bytes).ok()?;
        Some(u64::from(u32::from_le_bytes(bytes)))
    };
    let entry = base + read(base + E_LFANEW)? + EXCEPTION;
    Some((base + read(entry)?, read(entry + 4)?))
}
