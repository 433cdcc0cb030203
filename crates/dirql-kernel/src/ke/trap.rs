//! What driver code does without calling us: privileged instructions and accesses to
//! addresses that are not memory.
//!
//! The platform catches the fault, decodes the instruction and asks here what the
//! processor would do. These routines change state but run no driver code; afterwards
//! the platform looks at [`Kernel::needs_attention`] and, if it is set, calls
//! [`Kernel::attend`] on the interrupted strand, from where interrupts are delivered.

use dirql_abi::Irql;
use dirql_abi::processor::{KSystemTime, KUserSharedData};
use dirql_rules::ids;
use zerocopy::{FromZeros, IntoBytes};

use crate::Kernel;
use crate::ke::clock::{START_SYSTEM_TIME, TICK};
use crate::stop::Ddi;

/// Cycles of the time stamp counter in 100 ns: 2.5 GHz.
const CYCLES_PER_100NS: u64 = 250;

/// Model-specific registers that drivers were seen to read.
mod msr {
    /// Time stamp counter.
    pub(super) const TSC: u32 = 0x10;
    /// Where the local APIC is, and that it is on.
    pub(super) const APIC_BASE: u32 = 0x1B;
    /// GS base: the KPCR in the kernel.
    pub(super) const GS_BASE: u32 = 0xC000_0101;
    /// GS base of user mode.
    pub(super) const KERNEL_GS_BASE: u32 = 0xC000_0102;
    /// Extended feature enables: SCE, LME, LMA, NXE.
    pub(super) const EFER: u32 = 0xC000_0080;
}

/// 24 fractional bits: milliseconds in a tick.
const TICK_COUNT_MULTIPLIER: u32 = 0x0FA0_0000;

impl Kernel {
    /// `mov r64, cr8`: the current IRQL.
    #[must_use]
    pub fn read_cr8(&self) -> u64 {
        u64::from(self.irql().0)
    }

    /// `mov cr8, r64`: sets the IRQL. The processor ignores nothing here: bits above the low
    /// four raise a general protection fault, which the platform checks first.
    pub fn write_cr8(&self, value: u64) {
        self.count_step();
        let to = Irql(value as u8 & 0xF);
        self.note_raise(to, self.here_at(self.instruction()));
        self.set_irql(to);
        self.forget_raise(to);
    }

    /// `cli` and `sti`.
    pub fn set_interrupt_flag(&self, enabled: bool) {
        self.count_step();
        self.processor().interrupt_flag.set(enabled);
    }

    /// The interrupt flag, bit 9 of RFLAGS.
    #[must_use]
    pub fn interrupt_flag(&self) -> bool {
        self.processor().interrupt_flag.get()
    }

    /// `rdmsr`; `None` is a general protection fault.
    #[must_use]
    pub fn read_msr(&self, number: u32) -> Option<u64> {
        self.count_step();
        Some(match number {
            msr::TSC => self.time_stamp_counter(),
            msr::APIC_BASE => 0xFEE0_0000 | 1 << 11 | u64::from(self.processor().id.0 == 0) << 8,
            msr::GS_BASE => self.processor().kpcr.get(),
            msr::KERNEL_GS_BASE => 0,
            msr::EFER => 0xD01,
            _ => return None,
        })
    }

    /// `wrmsr`; `false` is a general protection fault. Nothing here can be changed by drivers
    /// without ending the system, except the time stamp counter, which is ignored.
    #[must_use]
    pub fn write_msr(&self, number: u32, _value: u64) -> bool {
        number == msr::TSC
    }

    /// `rdtsc`, where it traps. Drivers poll it, so a look takes time.
    #[must_use]
    pub fn time_stamp_counter(&self) -> u64 {
        self.count_step();
        self.look_at_clock();
        self.time_100ns() * CYCLES_PER_100NS
    }

    /// `hlt`: the processor waits for an interrupt, so others have their turn, and if none
    /// has anything to do time passes to the next event.
    ///
    /// Findings: DQ0003 with interrupts disabled: only a non-maskable one would end it (Intel SDM
    /// volume 2, HLT).
    pub fn halt(&self) {
        self.count_step();
        if !self.processor().interrupt_flag.get() {
            let message = "the driver halted its processor with interrupts disabled".into();
            // The end of the run is seen where the instruction is left.
            let _ = self.find_fatal(ids::HANG, message, None);
            return;
        }
        if self.processor().can_take_interrupt() {
            return;
        }
        self.give_up_turn();
        let me = self.processor().id;
        if !self
            .processors()
            .iter()
            .any(|other| other.id != me && self.is_runnable(other))
        {
            self.pass_time_to_next_event();
        }
    }

    /// Reads from KUSER_SHARED_DATA. Bytes without a meaning here are zero.
    pub fn read_shared_data(&self, offset: u64, into: &mut [u8]) {
        self.count_step();
        self.look_at_clock();
        let page = self.shared_data_page();
        let page = page.as_bytes();
        for (at, byte) in into.iter_mut().enumerate() {
            let from = offset as usize + at;
            *byte = page.get(from).copied().unwrap_or(0);
        }
    }

    fn shared_data_page(&self) -> KUserSharedData {
        let now = self.time_100ns();
        let (major, minor, _) = self.config().windows.numbers();
        let mut page = KUserSharedData::new_zeroed();
        page.tick_count_multiplier = TICK_COUNT_MULTIPLIER;
        page.interrupt_time = KSystemTime::new(now);
        page.system_time = KSystemTime::new(START_SYSTEM_TIME + now);
        page.tick_count = KSystemTime::new(now / TICK);
        for (slot, unit) in page
            .nt_system_root
            .iter_mut()
            .zip("C:\\Windows".encode_utf16())
        {
            *slot = unit;
        }
        page.nt_product_type = 1;
        page.product_type_is_valid = 1;
        page.nt_major_version = major;
        page.nt_minor_version = minor;
        let processors = self.processors().len();
        page.active_processor_count = processors as u32;
        page.active_group_count = processors.div_ceil(64) as u16;
        page
    }

    /// Whether something is to be done before the interrupted driver code goes on.
    #[inline]
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        let processor = self.processor();
        processor.asked.get() != 0
            || processor.can_take_interrupt()
            || self.has_ended()
            || self.turn_is_over()
            || self.is_exploring()
    }

    /// Does it: takes interrupts, lets another processor run. On the interrupted strand.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] once the run is over.
    pub fn attend(&self) -> Ddi<()> {
        let before = self.report.set_waiting(self.report.take_instruction());
        let went_on = self.yield_point();
        self.report.set_waiting(before);
        went_on?;
        self.touch_driver();
        self.note_attended();
        Ok(())
    }
}
