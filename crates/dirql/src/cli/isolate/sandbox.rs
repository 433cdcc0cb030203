//! What a worker gives up before it runs a driver.
//!
//! A driver is machine code that nobody vouches for, and it runs in the worker's process. Two
//! walls keep it there. Linux hands system calls of driver code to us in place of carrying them
//! out ([`dirql_host::intercept_system_calls`]). And because a driver can jump to an instruction
//! of ours that makes a system call, the process itself is not allowed to make any but those that
//! a run needs: memory, signals to itself, its timers, and writing to files that are open
//! already. Where the kernel has Landlock, the same is said a second time for files, sockets
//! and signals.
//!
//! Nothing here fails: what this kernel does not have is said, and the rest is done.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, RestrictionStatus,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Whether workers give anything up; `--no-sandbox` says no.
static ON: AtomicBool = AtomicBool::new(true);

/// From now on workers keep every right of this process.
pub(crate) fn switch_off() {
    ON.store(false, Ordering::Relaxed);
}

/// System calls that every run may make, whatever their arguments: they change this process only.
const ALWAYS: &[i64] = &[
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_brk,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_restart_syscall,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_delete,
    libc::SYS_alarm,
    libc::SYS_setitimer,
    libc::SYS_close,
];

/// Signals whose handling a run may change: what exceptions become, the watchdog's, and those of
/// an orderly abort.
const SIGNALS: [i32; 8] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGTRAP,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGSYS,
    libc::SIGVTALRM,
    libc::SIGABRT,
];

/// Questions to `prctl` and `arch_prctl`: the time-stamp counter, and the base of `gs`.
const PR_SET_TSC: u64 = 26;
const ARCH_SET_GS: u64 = 0x1001;
const ARCH_GET_GS: u64 = 0x1004;

/// Gives up all but the open files `keeps` and standard error, for reading and writing, and what
/// a run needs of the process. Returns what could not be given up, in words.
pub(super) fn enter(keeps: &[RawFd]) -> Vec<String> {
    if !ON.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let mut missing = Vec::new();
    let mut note = |what: &str, result: Result<(), String>| {
        if let Err(error) = result {
            missing.push(format!("the sandbox has no {what}: {error}"));
        }
    };
    note("closed files", close_files(keeps));
    note("Landlock", restrict_paths());
    // Not before: Landlock's rules are a file for a moment.
    note("limits", limit());
    note("interception of system calls", intercept());
    // The last, because it forbids what the others need.
    note("filter of system calls", filter(keeps));
    missing
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Standard input and output lead nowhere, and all other files but those kept are closed.
fn close_files(keeps: &[RawFd]) -> Result<(), String> {
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(text)?;
    rustix::stdio::dup2_stdin(null.as_fd()).map_err(text)?;
    if !keeps.contains(&1) {
        rustix::stdio::dup2_stdout(null.as_fd()).map_err(text)?;
    }
    drop(null);
    let mut kept: Vec<RawFd> = keeps.iter().copied().filter(|file| *file > 2).collect();
    kept.sort_unstable();
    kept.dedup();
    let mut first = 3;
    for file in kept.into_iter().map(Some).chain([None]) {
        let last = file.map_or(u32::MAX, |file| file as u32 - 1);
        if first <= last {
            // SAFETY: the files that this closes belong to values of the parent that this process
            // does not use again: it goes on with those that are kept, and then exits.
            if unsafe { libc::close_range(first, last, 0) } != 0 {
                return Err(text(std::io::Error::last_os_error()));
            }
        }
        first = last.wrapping_add(2);
    }
    Ok(())
}

/// No new file, process or thread.
fn limit() -> Result<(), String> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Nofile, none).map_err(text)?;
    setrlimit(Resource::Nproc, none).map_err(text)
}

/// No path, no port, no socket and no signal outside this process.
fn restrict_paths() -> Result<(), String> {
    match ruleset() {
        Ok(RestrictionStatus {
            ruleset: RulesetStatus::NotEnforced,
            ..
        }) => Err("this kernel does not have it".into()),
        Ok(_) => Ok(()),
        Err(error) => Err(text(error)),
    }
}

fn ruleset() -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V6))?
        .handle_access(AccessNet::from_all(ABI::V6))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .no_new_privs(true)
        .restrict_self()
}

fn intercept() -> Result<(), String> {
    dirql_host::intercept_system_calls().map_err(text)
}

fn filter(keeps: &[RawFd]) -> Result<(), String> {
    let program = program(keeps).map_err(text)?;
    seccompiler::apply_filter(&program).map_err(text)
}

/// The filter: what is not in it traps, and fails, or is the driver's finding.
fn program(keeps: &[RawFd]) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALWAYS.iter().map(|call| (*call, Vec::new())).collect();
    let files: Vec<u64> = keeps
        .iter()
        .chain(&[libc::STDERR_FILENO])
        .map(|file| *file as u64)
        .collect();
    let signals: Vec<u64> = SIGNALS.iter().map(|signal| *signal as u64).collect();
    let this = [u64::from(std::process::id())];
    let no_file = [u64::from(u32::MAX)];
    let mut only = |call: i64, argument: u8, values: &[u64]| {
        let rule = |value: &u64| SeccompRule::new(vec![is(argument, *value)?]);
        let chain: Result<Vec<_>, _> = values.iter().map(rule).collect();
        chain.map(|chain| drop(rules.insert(call, chain)))
    };
    only(libc::SYS_write, 0, &files)?;
    only(libc::SYS_writev, 0, &files)?;
    only(libc::SYS_mmap, 4, &no_file)?;
    only(libc::SYS_tgkill, 0, &this)?;
    only(libc::SYS_rt_sigaction, 0, &signals)?;
    only(libc::SYS_prctl, 0, &[PR_SET_TSC])?;
    only(libc::SYS_arch_prctl, 0, &[ARCH_SET_GS, ARCH_GET_GS])?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Trap,
        SeccompAction::Allow,
        TargetArch::x86_64,
    )?;
    filter.try_into()
}

/// The low half of an argument has this value.
fn is(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}
