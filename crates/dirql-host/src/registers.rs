//! Registers of the real processor that belong to what runs on a simulated one.

use std::arch::asm;

/// `MXCSR` as Windows gives it to a thread: all exceptions masked, round to nearest.
const MXCSR: u32 = 0x1F80;

/// The SSE control word of code that was left, to be had again when it goes on.
pub(crate) struct FloatControl(u32);

impl FloatControl {
    /// Notes the word and goes on with Windows' default, which is Linux's too.
    #[inline]
    pub(crate) fn take() -> Self {
        let word = read_mxcsr();
        if word != MXCSR {
            write_mxcsr(MXCSR);
        }
        Self(word)
    }

    #[inline]
    pub(crate) fn give_back(self) {
        if read_mxcsr() != self.0 {
            write_mxcsr(self.0);
        }
    }
}

#[inline]
fn read_mxcsr() -> u32 {
    let mut word = 0_u32;
    // SAFETY: stores 4 bytes to `word` and changes nothing else.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
    word
}

#[inline]
fn write_mxcsr(word: u32) {
    // SAFETY: reads 4 bytes of `word`. Values come from `read_mxcsr` or are [`MXCSR`], so no
    // reserved bit is set. A driver's own word is only in force while that driver's code
    // runs, or a kernel routine that it called, and those compute nothing in floating point.
    unsafe {
        asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, readonly, preserves_flags))
    };
}

/// Makes `gs` point at `base`.
pub(crate) fn set_gs_base(base: u64) {
    const ARCH_SET_GS: libc::c_int = 0x1001;
    if has_fsgsbase() {
        // SAFETY: Linux says that the instruction is enabled. Nothing of Rust or glibc on
        // x86-64 uses `gs`.
        unsafe { asm!("wrgsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
        return;
    }
    // SAFETY: the system call changes this thread's `gs` base and nothing else.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, base) };
    assert_eq!(result, 0, "every address of this process is allowed in gs");
}

/// What `gs` points at.
pub(crate) fn gs_base() -> u64 {
    const ARCH_GET_GS: libc::c_int = 0x1004;
    let mut base = 0_u64;
    if has_fsgsbase() {
        // SAFETY: Linux says that the instruction is enabled.
        unsafe { asm!("rdgsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
        return base;
    }
    // SAFETY: the system call writes eight bytes to `base`.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_GET_GS, &raw mut base) };
    base
}

/// Whether Linux lets user code set `gs` itself, as 5.9 and later do.
fn has_fsgsbase() -> bool {
    use std::sync::atomic::{AtomicU8, Ordering};

    const HWCAP2_FSGSBASE: u64 = 1 << 1;
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: `getauxval` reads what the process was started with.
            let has = unsafe { libc::getauxval(libc::AT_HWCAP2) } & HWCAP2_FSGSBASE != 0;
            KNOWN.store(if has { 2 } else { 1 }, Ordering::Relaxed);
            has
        }
        known => known == 2,
    }
}
