//! Making Linux call the handler.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;

use super::decode::{decode, describe};
use super::handler::on_signal;
use super::interrupt_flag::SavedPatches;
use super::machine::Machine;
use super::registers::{RSP, Registers};
use super::state;

/// The signals that exceptions become.
const SIGNALS: [c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGTRAP,
    libc::SIGILL,
    libc::SIGFPE,
];

/// What was to be done with each signal before.
static BEFORE: OnceLock<[Action; 5]> = OnceLock::new();

struct Action(UnsafeCell<libc::sigaction>);

// SAFETY: written before it is shared, and only read afterwards.
unsafe impl Sync for Action {}
// SAFETY: plain data with the address of a function.
unsafe impl Send for Action {}

/// While this lives, driver code in this thread runs in `machine`.
#[derive(Debug)]
pub(crate) struct Attached {
    before: Option<&'static dyn Machine>,
    /// It belongs to this thread.
    _thread: PhantomData<*const ()>,
}

impl std::fmt::Debug for dyn Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Machine")
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(state) = state::current() {
            state.machine.set(self.before);
        }
    }
}

/// From now on, exceptions of driver code in this thread are carried out by `machine`.
/// Cheap, but for the first time in a thread.
///
/// # Errors
/// What Linux says when it has no memory or refuses the handler; `Unsupported` without
/// XSAVE.
pub(crate) fn attach(machine: &'static dyn Machine) -> io::Result<Attached> {
    let state = state::prepare()?;
    if BEFORE.get().is_none() {
        let before = install()?;
        // If another thread was faster, what it found is right and what we found is its handler.
        let _ = BEFORE.set(before);
    }
    Ok(Attached {
        before: state.machine.replace(Some(machine)),
        _thread: PhantomData,
    })
}

/// The code in `range` is gone or has changed: what is known of it is forgotten. Bytes that
/// were replaced there are not put back.
pub(crate) fn forget(range: &Range<u64>) {
    if let Some(state) = state::current() {
        state.forget(range);
    }
}

/// What is known of replaced bytes of this thread's images.
pub(crate) fn save_patches() -> SavedPatches {
    state::current()
        .map(|state| state.patches.save())
        .unwrap_or_default()
}

/// The computer's memory is as it was when `saved` was.
pub(crate) fn put_patches(saved: &SavedPatches) {
    if let Some(state) = state::current() {
        state.patches.put(saved);
    }
}

/// Makes the tables of the decoder, which are made once.
pub(crate) fn warm_up() {
    if let Some(instruction) = decode(&[0x48, 0x8B, 0x01], 0) {
        let _ = describe(&[0x48, 0x8B, 0x01], 0);
        let _ = iced_x86::Encoder::new(64).encode(&instruction, 0);
    }
}

/// Puts right what was read of an image at `address` where bytes are replaced. Whether the
/// first of them is, so that the instruction there traps.
pub(crate) fn restore(address: u64, bytes: &mut [u8]) -> bool {
    state::current().is_some_and(|state| state.patches.restore(address, bytes))
}

/// Makes `rdtsc` and `rdtscp` trap in this thread, so that drivers see the computer's time
/// and runs are alike. Off unless asked for: it applies to all code of the thread, and
/// Linux' own clocks read the counter in the process (`clock_gettime` without a system
/// call), so they would show the computer's time as well, and only while a machine is
/// attached.
///
/// # Errors
/// What Linux says when it cannot.
pub(crate) fn trap_time_stamp_counter(trap: bool) -> io::Result<()> {
    let mode = if trap {
        libc::PR_TSC_SIGSEGV
    } else {
        libc::PR_TSC_ENABLE
    };
    // SAFETY: the call changes what two instructions do in this thread, nothing else.
    if unsafe { libc::prctl(libc::PR_SET_TSC, mode) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn install() -> io::Result<[Action; 5]> {
    let mut before = [const { MaybeUninit::<libc::sigaction>::zeroed() }; 5];
    for (signal, before) in SIGNALS.into_iter().zip(&mut before) {
        // SAFETY: all zeros is a valid value of this plain structure.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = on_signal as *const () as usize;
        // Not deferred: the handler's own accesses to driver memory may fault.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        // SAFETY: both pointers are valid; the handler has the signature that SA_SIGINFO asks
        // for and runs on a stack of its own in every thread that runs driver code.
        if unsafe { libc::sigaction(signal, &raw const action, before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: zeroed, and filled by the calls that succeeded.
    Ok(before.map(|action| Action(UnsafeCell::new(unsafe { action.assume_init() }))))
}

/// The signal is not about a driver: says so, and has whoever was there before deal with it.
pub(super) fn pass_on(signal: c_int, info: &libc::siginfo_t, registers: &Registers<'_>) {
    // SAFETY: these signals have an address; for those sent by a process it means nothing.
    let address = unsafe { info.si_addr() }.addr() as u64;
    if info.si_code > 0 {
        Message::default()
            .text("dirql: its own code got signal ")
            .number(signal as u64)
            .text(" at ")
            .number(registers.rip())
            .text(", address ")
            .number(address)
            .text(", stack pointer ")
            .number(registers.get(RSP))
            .text("\n")
            .write();
    }
    // SAFETY: all zeros is the default action, without flags.
    let default: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let sent = info.si_code <= 0;
    let place = SIGNALS.iter().position(|known| *known == signal);
    let before = place.and_then(|place| BEFORE.get().map(|before| before[place].0.get()));
    // Rust's own handler, which was there before, names stack overflows and leaves the rest to
    // the exception's coming back; what was sent does not.
    let action = before
        .filter(|_| !sent)
        .map_or(&raw const default, |before| before.cast_const());
    // SAFETY: both pointers are valid.
    unsafe { libc::sigaction(signal, action, ptr::null_mut()) };
    if sent {
        // SAFETY: sends this thread the signal again.
        unsafe { libc::raise(signal) };
    }
}

/// Text put together without allocation.
struct Message {
    bytes: [u8; 160],
    length: usize,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            bytes: [0; 160],
            length: 0,
        }
    }
}

impl Message {
    fn text(&mut self, text: &str) -> &mut Self {
        for byte in text.bytes() {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
        self
    }

    /// In hexadecimal.
    fn number(&mut self, value: u64) -> &mut Self {
        let digits = (64 - value.leading_zeros()).div_ceil(4).max(1);
        self.text("0x");
        for digit in (0..digits).rev() {
            let digit = (value >> (4 * digit)) as u32 & 15;
            let mut text = [0; 4];
            let character = char::from_digit(digit, 16).unwrap_or('?');
            self.text(character.encode_utf8(&mut text));
        }
        self
    }

    fn write(&self) {
        // SAFETY: the bytes are valid for reading.
        unsafe { libc::write(2, self.bytes.as_ptr().cast(), self.length) };
    }
}
