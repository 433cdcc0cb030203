//! A run in a process of its own.
//!
//! A driver runs natively: it can end or damage the process that it is in. So the process splits
//! early, while it has one thread; the child runs the driver and says through a pipe what happens;
//! the parent, in which no driver code ever runs, has the last word. What the child does not need
//! it gives up before ([`sandbox`]).
#![expect(
    unsafe_code,
    reason = "fork, signals and alarms have no safe interface"
)]

mod lines;
mod sandbox;
mod shared;
mod stream;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dirql::Piece;
use dirql::report::{FindingReport, Report};
use rustix::process::{Pid, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use super::Failure;
use super::audit::AuditMessage;
use super::explore::Part;
use lines::{End, Patience, Time, listen};

pub(crate) use sandbox::switch_off as switch_sandbox_off;
pub(crate) use shared::{SharedLog, SharedQueue};
pub(crate) use stream::{Stream, next_messages};

/// How far a search is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tried {
    /// Runs that came to their end.
    pub(crate) runs: u64,
    /// Runs known to be left, at least.
    pub(crate) left: u64,
    /// What was found.
    pub(crate) findings: u64,
}

/// What the child says, one JSON value per line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// A step of the scenario begins.
    Step(String),
    /// Something was found.
    Finding(Box<FindingReport>),
    /// Runs have come to their ends.
    Tried(Tried),
    /// Instructions that meet others in memory.
    Met(Vec<u32>),
    /// Whether there are few orders.
    Few(bool),
    /// Everything, in pieces.
    Pieces(Vec<Piece>),
    /// The search of this part begins.
    Part(u64),
    /// A search is over.
    Searched(Box<Part>),
    /// About an audit.
    Audit(AuditMessage),
    /// The run is over.
    Done(Box<Report>),
    /// There was no run.
    Failed(Failure),
    /// A file that the scenario names is to have this content.
    Output(PathBuf, Vec<u8>),
    /// Something to know about the child.
    Note(String),
    /// Our own code has given up, and whether a driver had jumped there.
    Panicked(bool),
}

impl From<Result<Report, Failure>> for Message {
    fn from(played: Result<Report, Failure>) -> Self {
        match played {
            Ok(report) => Self::Done(Box::new(report)),
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// The child's end of the pipe.
#[derive(Clone, Debug)]
pub(crate) struct Channel(Rc<File>);

impl Channel {
    pub(crate) fn send(&mut self, message: &Message) {
        let Ok(mut line) = serde_json::to_vec(message) else {
            return;
        };
        line.push(b'\n');
        // Without a parent there is nobody to be told.
        let _ = (&*self.0).write_all(&line);
    }
}

/// How the child ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// With a report.
    Done(Box<Report>),
    /// Without a run.
    Failed(Failure),
    /// The driver's code destroyed it.
    Destroyed(Destroyed),
    /// The limit of time was reached.
    TooLong(Destroyed),
    /// Our own code gave up.
    Panicked,
}

/// What is known of a run that did not come to its end.
#[derive(Debug, Default)]
pub(crate) struct Destroyed {
    /// How the process ended, in words.
    pub(crate) how: String,
    /// The step that had begun.
    pub(crate) step: Option<String>,
    /// What had been found.
    pub(crate) findings: Vec<FindingReport>,
}

/// Exit status of a child that panicked; also ours then.
const PANICKED: i32 = 101;

/// Time that a child has beyond its limit to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// How long a child may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// So many seconds of real time, which somebody asked for; without a limit if that is 0.
    Real(u32),
    /// So many seconds of CPU time, so that a computer with too much to do makes no difference.
    Cpu(u32),
}

impl Limit {
    /// This process ends when the limit, counted from now, is reached.
    fn set(self) {
        match self {
            // SAFETY: sets this process's alarm; its signal is not handled, so it ends the process.
            Self::Real(seconds) => unsafe {
                libc::alarm(seconds);
            },
            Self::Cpu(seconds) => limit_time(seconds),
        }
    }

    /// How long a child with this limit is listened to.
    fn patience(self, pid: libc::pid_t) -> Patience {
        match self {
            Self::Real(0) | Self::Cpu(0) => Patience::Endless,
            Self::Real(seconds) => Patience::Total(Time::Real(with_grace(seconds))),
            Self::Cpu(seconds) => Patience::Total(cpu_of(pid, seconds)),
        }
    }
}

fn with_grace(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into()) + GRACE
}

/// So much CPU time of a child.
fn cpu_of(pid: libc::pid_t, seconds: u32) -> Time {
    match Pid::from_raw(pid) {
        Some(pid) => Time::Cpu(pid, with_grace(seconds)),
        None => Time::Real(with_grace(seconds)),
    }
}

/// The CPU time that a process has used; `None` if there is no such process.
fn cpu_time(pid: Pid) -> Option<Duration> {
    let mut clock = 0;
    // SAFETY: writes the number of a clock to `clock`.
    let found = unsafe { libc::clock_getcpuclockid(pid.as_raw_nonzero().get(), &raw mut clock) };
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes a time to `time`; a clock that has gone is an error.
    if found != 0 || unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    Some(Duration::new(
        time.tv_sec.try_into().ok()?,
        time.tv_nsec.try_into().ok()?,
    ))
}

/// Runs `body` in a process of its own, for no longer than `limit`. `heard` is told each step as it
/// begins.
pub(crate) fn isolated(
    limit: Limit,
    body: impl FnOnce(&mut Channel),
    mut heard: impl FnMut(&str),
) -> io::Result<Ending> {
    isolated_with(limit, &[], body, |message| match message {
        Message::Step(text) | Message::Note(text) => heard(&text),
        _ => {}
    })
}

/// As [`isolated`], but the process keeps some open files of ours, and `heard` is told everything
/// but how it ends.
pub(crate) fn isolated_with(
    limit: Limit,
    keeps: &[RawFd],
    body: impl FnOnce(&mut Channel),
    mut heard: impl FnMut(Message),
) -> io::Result<Ending> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: this process has one thread (the command line starts none before this), so the
    // child may do everything that this process might have done.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(reader);
            child(limit, writer, keeps, body)
        }
        pid => {
            drop(writer);
            answer_interrupts();
            parent(pid, limit, reader, &mut heard)
        }
    }
}

/// A process that searches.
#[derive(Debug)]
pub(crate) struct Worker {
    pid: libc::pid_t,
    reader: OwnedFd,
}

/// How a worker ended, if not with a result.
#[derive(Debug)]
pub(crate) enum WorkerEnd {
    /// It said all that it had to say.
    Finished,
    /// The driver's code destroyed it; how.
    Destroyed(String),
    /// A run took too long.
    TooLong,
    /// Our own code gave up.
    Panicked,
}

impl Worker {
    /// Runs `body` in a process of its own.
    pub(crate) fn start(body: impl FnOnce(&mut Channel)) -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // SAFETY: as in `isolated`: workers are started before any thread.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(reader);
                child(Limit::Cpu(0), writer, &[], body)
            }
            pid => {
                drop(writer);
                answer_interrupts();
                Ok(Self { pid, reader })
            }
        }
    }

    /// How long it may say nothing.
    fn patience(&self, seconds: u32) -> Time {
        cpu_of(self.pid, seconds)
    }

    /// Listens to it until it ends, or says nothing for more than `seconds` of its CPU time: its
    /// own limit ([`limit_time`]) may be gone with the rest of it.
    pub(crate) fn listen_within(
        self,
        seconds: u32,
        mut heard: impl FnMut(Message),
    ) -> io::Result<WorkerEnd> {
        let patience = self.patience(seconds);
        let mut panicked = false;
        let end = listen(
            self.reader,
            Patience::Each(patience),
            |line| match message(line) {
                Some(Message::Panicked(by_driver)) => panicked = !by_driver,
                Some(message) => heard(message),
                None => {}
            },
        )?;
        Self::ended(self.pid, end, panicked)
    }

    /// How it ended, once no more is to be heard of it.
    fn ended(pid: libc::pid_t, end: End, panicked: bool) -> io::Result<WorkerEnd> {
        let status = end_of(pid, end)?;
        Ok(match (status.exit_status(), status.terminating_signal()) {
            _ if end == End::Silent => WorkerEnd::TooLong,
            (Some(0), _) => WorkerEnd::Finished,
            (Some(PANICKED), _) if panicked => WorkerEnd::Panicked,
            (_, Some(libc::SIGPROF)) => WorkerEnd::TooLong,
            (code, signal) => WorkerEnd::Destroyed(how(code, signal)),
        })
    }
}

/// This process is given up after so many seconds of CPU time, counted from now; 0: it is not.
pub(crate) fn limit_time(seconds: u32) {
    let time = |seconds: u32| libc::timeval {
        tv_sec: seconds.into(),
        tv_usec: 0,
    };
    let once = libc::itimerval {
        it_interval: time(0),
        it_value: time(seconds),
    };
    // SAFETY: sets this process's timer of CPU time; its signal is not handled, so it ends the
    // process.
    unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const once, std::ptr::null_mut()) };
}

/// Whether the last panic was in code that a driver had jumped to.
static DRIVER_RAN: AtomicBool = AtomicBool::new(false);

fn child(limit: Limit, writer: OwnedFd, keeps: &[RawFd], body: impl FnOnce(&mut Channel)) -> ! {
    // Best effort, both: an orphan must not run on, and what a driver leaves of the process is not
    // worth a core file.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    limit.set();
    let mut channel = Channel(Rc::new(File::from(writer)));
    let mut files = keeps.to_vec();
    files.push(channel.0.as_raw_fd());
    for missing in sandbox::enter(&files) {
        channel.send(&Message::Note(missing));
    }
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        DRIVER_RAN.store(dirql_host::is_driver_running(), Ordering::Relaxed);
        tell(panic);
    }));
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| body(&mut channel)));
    if result.is_err() {
        channel.send(&Message::Panicked(DRIVER_RAN.load(Ordering::Relaxed)));
    }
    std::process::exit(if result.is_ok() { 0 } else { PANICKED })
}

fn parent(
    pid: libc::pid_t,
    limit: Limit,
    reader: OwnedFd,
    heard: &mut dyn FnMut(Message),
) -> io::Result<Ending> {
    let mut known = Destroyed::default();
    let (mut ending, mut panicked) = (None, false);
    let end = listen(reader, limit.patience(pid), |line| {
        let Some(message) = message(line) else {
            return;
        };
        match message {
            Message::Finding(finding) => known.findings.push(*finding),
            Message::Done(report) => ending = Some(Ending::Done(report)),
            Message::Failed(failure) => ending = Some(Ending::Failed(failure)),
            Message::Panicked(by_driver) => panicked = !by_driver,
            message => {
                if let Message::Step(step) = &message {
                    known.step = Some(step.clone());
                }
                heard(message);
            }
        }
    })?;
    let status = end_of(pid, end)?;
    if panicked && status.exit_status() == Some(PANICKED) {
        return Ok(Ending::Panicked);
    }
    if let Some(ending) = ending {
        return Ok(ending);
    }
    let signal = status.terminating_signal();
    known.how = how(status.exit_status(), signal);
    if matches!(signal, Some(libc::SIGALRM | libc::SIGPROF)) || end == End::Silent {
        return Ok(Ending::TooLong(known));
    }
    Ok(Ending::Destroyed(known))
}

/// What a line says; `None` if that is nothing that a child says: lines of a destroyed child may be
/// cut off or anything. Its text is shown on terminals, which do what control characters say.
fn message(line: &[u8]) -> Option<Message> {
    let text = std::str::from_utf8(line).ok()?;
    let mut plain = text
        .replace("\\u001b", "\\ufffd")
        .replace("\\u001B", "\\ufffd");
    if plain.contains(char::is_control) {
        plain = plain.replace(char::is_control, "\u{FFFD}");
    }
    serde_json::from_str(&plain).ok()
}

/// Waits for a child, and ends it if it was not heard to its end.
fn end_of(pid: libc::pid_t, end: End) -> io::Result<rustix::process::WaitStatus> {
    if let (true, Some(pid)) = (end != End::Closed, Pid::from_raw(pid)) {
        // It may have ended in the meantime.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    wait_for(pid)
}

fn wait_for(pid: libc::pid_t) -> io::Result<rustix::process::WaitStatus> {
    loop {
        match rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// How a process ended, in words.
fn how(code: Option<i32>, signal: Option<i32>) -> String {
    match (signal, code) {
        (Some(signal), _) => format!("by signal {signal}{}", signal_name(signal)),
        (None, Some(code)) => format!("with exit status {code}"),
        (None, None) => "in an unknown way".into(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGILL => " (SIGILL)",
        libc::SIGFPE => " (SIGFPE)",
        libc::SIGTRAP => " (SIGTRAP)",
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGKILL => " (SIGKILL)",
        libc::SIGSYS => " (SIGSYS)",
        _ => "",
    }
}

/// From now on an interrupt (Ctrl+C) ends this process with 130. The child goes with it.
fn answer_interrupts() {
    extern "C" fn interrupted(_signal: libc::c_int) {
        // SAFETY: `_exit` may be called in a signal handler.
        unsafe { libc::_exit(130) }
    }
    // SAFETY: the handler has the signature that a handler without SA_SIGINFO has, and does only
    // what a handler may do.
    unsafe { libc::signal(libc::SIGINT, interrupted as *const () as libc::sighandler_t) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: u32, body: impl FnOnce(&mut Channel)) -> (Ending, Vec<String>) {
        run_within(Limit::Real(seconds), body)
    }

    fn run_within(limit: Limit, body: impl FnOnce(&mut Channel)) -> (Ending, Vec<String>) {
        let mut steps = Vec::new();
        let ending = isolated(limit, body, |step| steps.push(step.to_owned())).unwrap();
        (ending, steps)
    }

    fn finding() -> FindingReport {
        let report = Report::empty(dirql::WindowsVersion::Ten, 1);
        let text = format!(
            r#"{{"rule":"DQ0001","severity":"error","headline":"","message":"m","place":
            {{"step":1,"time_100ns":0,"processor":0,"irql":0,"context":"","ddi":null,"code":null,"image":null,"source":null}},
            "earlier":null,"help":"","source":"","windows":"{}"}}"#,
            report.windows
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_report_comes_through_whole() {
        let mut report = Report::empty(dirql::WindowsVersion::Seven, 3);
        report.findings.push(finding());
        let sent = report.clone();
        let (ending, steps) = run(60, |channel| {
            channel.send(&Message::Step("one".into()));
            channel.send(&Message::Done(Box::new(sent)));
        });
        assert_eq!(steps, ["one"]);
        assert!(matches!(ending, Ending::Done(received) if *received == report));
    }

    #[test]
    fn what_a_destroyed_process_had_said_is_kept() {
        let (ending, _) = run(60, |channel| {
            channel.send(&Message::Step("start edu0".into()));
            channel.send(&Message::Finding(Box::new(finding())));
            // Half a message, as of a process that ends in the middle of one.
            let _ = (&*channel.0).write_all(b"{\"Step\":");
            // SAFETY: ends this process, which is the child.
            unsafe { libc::raise(libc::SIGKILL) };
        });
        let Ending::Destroyed(known) = ending else {
            panic!("{ending:?}")
        };
        assert_eq!(known.how, "by signal 9 (SIGKILL)");
        assert_eq!(known.step.as_deref(), Some("start edu0"));
        assert_eq!(known.findings, [finding()]);
    }

    #[test]
    fn a_process_that_says_nothing_is_destroyed() {
        // SAFETY: ends this process, which is the child.
        let (ending, _) = run(60, |_| unsafe { libc::_exit(3) });
        assert!(matches!(ending, Ending::Destroyed(known) if known.how == "with exit status 3"));
    }

    #[test]
    fn a_panic_is_not_the_drivers_doing() {
        let (ending, _) = run(60, |channel| {
            channel.send(&Message::Step("one".into()));
            panic!("this panic is part of a test");
        });
        assert!(matches!(ending, Ending::Panicked), "{ending:?}");
    }

    #[test]
    fn real_time_is_limited() {
        let (ending, _) = run(1, |_| {
            loop {
                // SAFETY: waits for a signal, which `alarm` sends.
                unsafe { libc::pause() };
            }
        });
        assert!(matches!(ending, Ending::TooLong(known) if known.how.starts_with("by signal 14")));
    }

    #[test]
    fn cpu_time_is_limited() {
        let (ending, _) = run_within(Limit::Cpu(1), |_| {
            loop {
                std::hint::spin_loop();
            }
        });
        assert!(matches!(ending, Ending::TooLong(known) if known.how.starts_with("by signal 27")));
    }

    #[test]
    fn a_process_that_only_says_that_it_panicked_is_destroyed() {
        // SAFETY: ends this process, which is the child.
        let (ending, _) = run(60, |_| unsafe { libc::_exit(PANICKED) });
        assert!(matches!(ending, Ending::Destroyed(known) if known.how == "with exit status 101"));
    }

    #[test]
    fn a_process_that_hears_no_alarm_is_ended() {
        let (ending, _) = run_within(Limit::Cpu(1), |channel| {
            limit_time(0);
            channel.send(&Message::Step("one".into()));
            loop {
                std::hint::spin_loop();
            }
        });
        let Ending::TooLong(known) = ending else {
            panic!("{ending:?}")
        };
        assert_eq!(known.how, "by signal 9 (SIGKILL)");
        assert_eq!(known.step.as_deref(), Some("one"));
    }

    #[test]
    fn a_child_opens_no_file_and_no_socket() {
        let (ending, steps) = run(60, |channel| {
            let mut say = |result: io::Result<()>| {
                let text = format!("{:?}", result.map_err(|error| error.kind()));
                channel.send(&Message::Step(text));
            };
            say(std::fs::read("/etc/passwd").map(drop));
            say(std::fs::write("written-by-a-child", "").map(drop));
            say(std::net::UdpSocket::bind("127.0.0.1:0").map(drop));
            let report = Report::empty(dirql::WindowsVersion::Ten, 1);
            channel.send(&Message::Done(Box::new(report)));
        });
        assert!(matches!(ending, Ending::Done(_)), "{ending:?}");
        assert_eq!(steps, ["Err(PermissionDenied)"; 3]);
    }

    #[test]
    fn a_child_makes_no_process() {
        let (ending, steps) = run(60, |channel| {
            let _ = std::process::Command::new("/bin/true").status();
            channel.send(&Message::Step("made".into()));
        });
        // The C library keeps all signals off meanwhile, that of the filter too.
        assert!(matches!(ending, Ending::Destroyed(known) if known.how == "by signal 31 (SIGSYS)"));
        assert_eq!(steps, [""; 0]);
    }

    #[test]
    fn a_terminal_is_told_nothing_by_a_driver() {
        let said = |text: &str| match message(text.as_bytes()) {
            Some(Message::Step(step)) => Some(step),
            _ => None,
        };
        let escape = serde_json::to_string(&Message::Step("\u{1b}[2J\u{9b}1A".into())).unwrap();
        assert_eq!(said(&escape).as_deref(), Some("\u{FFFD}[2J\u{FFFD}1A"));
        assert_eq!(
            said("{\"Step\":\"\\u001B[m\"}").as_deref(),
            Some("\u{FFFD}[m")
        );
        assert_eq!(said("{\"Step\":\"a\\nb\"}").as_deref(), Some("a\nb"));
        assert_eq!(said("{\"Step\":"), None);
    }
}
