//! A blocking client of QEMU's test protocol.
//!
//! Source: QEMU, softmmu/qtest.c, "QTest Protocol". The machine is stopped but for one chip, so
//! nothing happens but what is asked for; virtual time stands still. Commands are lines, each answered by a line
//! beginning with `OK`; a line `IRQ raise N` or `IRQ lower N` before that says what an intercepted
//! interrupt line did meanwhile.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const PROGRAM: &str = "qemu-system-x86_64";
const WITHOUT_LOCAL_APIC: [&str; 2] = ["-cpu", "qemu64,-apic"];
/// Bytes of commands after which answers are read: QEMU stops reading while nobody reads what it
/// writes, and a pipe holds 64 KiB.
const BATCH: usize = 16 * 1024;

/// What came of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// What follows `OK`.
    pub(crate) value: String,
    /// What the intercepted lines did, in order.
    pub(crate) lines: Vec<(u8, bool)>,
    /// The intercepted lines that are high afterwards, a bit each.
    pub(crate) levels: u64,
}

impl Reply {
    /// The value as a number.
    pub(crate) fn number(&self) -> u64 {
        let digits = self.value.trim_start_matches("0x");
        u64::from_str_radix(digits, 16).expect("QEMU answers with a number")
    }
}

/// A running QEMU.
#[derive(Debug)]
pub(crate) struct Qemu {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    levels: u64,
    /// Files that go when it does.
    files: Vec<PathBuf>,
}

impl Qemu {
    /// A PC of the model `i440FX` without local APICs, so that there is nothing at 0xFEE0_0000 and
    /// what is written there can be watched.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with_local_apic(&[&WITHOUT_LOCAL_APIC[..], arguments].concat())
    }

    /// A PC of the same model that has a local APIC, without which QEMU has no devices with MSI.
    pub(crate) fn start_with_local_apic(arguments: &[&str]) -> Self {
        Self::start_running(&[&["-S"][..], arguments].concat())
    }

    /// A PC of the same model that is not stopped: its processor runs its firmware.
    pub(crate) fn start_running(arguments: &[&str]) -> Self {
        let mut child = machine(arguments)
            .args(["-qtest", "stdio", "-qtest-log", "/dev/null"])
            .spawn()
            .unwrap_or_else(|error| missing(&error));
        let input = child.stdin.take().expect("asked for");
        let output = child.stdout.take().expect("asked for");
        Self {
            child,
            input,
            output: BufReader::new(output),
            levels: 0,
            files: Vec::new(),
        }
    }

    /// The same, and `file` goes when it does.
    pub(crate) fn with_file(mut self, file: PathBuf) -> Self {
        self.files.push(file);
        self
    }

    /// Sends commands and reads their answers.
    pub(crate) fn run(&mut self, commands: &[String]) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(commands.len());
        let mut batch = String::new();
        let mut waiting = 0;
        for command in commands {
            batch.push_str(command);
            batch.push('\n');
            waiting += 1;
            if batch.len() >= BATCH {
                self.exchange(&mut batch, &mut waiting, &mut replies);
            }
        }
        self.exchange(&mut batch, &mut waiting, &mut replies);
        replies
    }

    /// One command.
    pub(crate) fn ask(&mut self, command: impl Into<String>) -> Reply {
        self.run(&[command.into()]).remove(0)
    }

    fn exchange(&mut self, batch: &mut String, waiting: &mut usize, replies: &mut Vec<Reply>) {
        self.input
            .write_all(batch.as_bytes())
            .expect("QEMU takes commands");
        batch.clear();
        replies.extend((0..core::mem::take(waiting)).map(|_| self.reply()));
    }

    fn reply(&mut self) -> Reply {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.output.read_line(&mut line).expect("QEMU answers");
            assert_ne!(length, 0, "QEMU ended");
            match *line.split_ascii_whitespace().collect::<Vec<&str>>() {
                ["IRQ", what, number] => {
                    let number: u8 = number.parse().expect("a line's number");
                    let bit = 1 << number;
                    let is_high = what == "raise";
                    self.levels = self.levels & !bit | if is_high { bit } else { 0 };
                    lines.push((number, is_high));
                }
                ["OK"] => return self.finish(lines, ""),
                ["OK", value] => return self.finish(lines, value),
                _ => panic!("QEMU says {line:?}"),
            }
        }
    }

    fn finish(&self, lines: Vec<(u8, bool)>, value: &str) -> Reply {
        Reply {
            value: value.to_owned(),
            lines,
            levels: self.levels,
        }
    }

    /// Resets the computer. Its devices have no addresses afterwards.
    pub(crate) fn reset(&mut self) {
        // Done before the next command is read, so it cannot stand in the middle of a batch.
        self.ask(out8(0xCF9, 0x06));
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It has nothing to save, and an error here means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

/// A file for temporary use that no other test uses: each has a thread, or a process.
pub(crate) fn temporary(name: &str) -> PathBuf {
    let (process, thread) = (std::process::id(), std::thread::current().id());
    std::env::temp_dir().join(format!("dirql-qemu-{process}-{thread:?}-{name}"))
}

fn machine(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["-machine", "pc", "-accel", "tcg", "-m", "16"])
        .args(["-nodefaults", "-display", "none"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

fn missing(error: &std::io::Error) -> ! {
    panic!("cannot run {PROGRAM} ({error}); on Debian or Ubuntu: apt-get install qemu-system-x86")
}

/// The paths of the devices of a type that have no name in the PC of [`Qemu::start`], in the order
/// in which they were made.
pub(crate) fn paths_of(kind: &str) -> Vec<String> {
    let mut child = machine(&[&WITHOUT_LOCAL_APIC[..], &["-S", "-qmp", "stdio"]].concat())
        .spawn()
        .unwrap_or_else(|error| missing(&error));
    let questions = concat!(
        r#"{"execute":"qmp_capabilities"}"#,
        r#"{"execute":"qom-list","arguments":{"path":"/machine/unattached"}}"#,
        r#"{"execute":"quit"}"#,
    );
    let mut input = child.stdin.take().expect("asked for");
    input
        .write_all(questions.as_bytes())
        .expect("QEMU takes commands");
    let output = child.wait_with_output().expect("QEMU answers");
    let text = String::from_utf8(output.stdout).expect("QEMU answers with text");
    let kind = format!(r#"", "type": "child<{kind}>""#);
    let mut numbers: Vec<u32> = text
        .match_indices(&kind)
        .filter_map(|(at, _)| {
            text[..at]
                .rsplit_once("device[")?
                .1
                .strip_suffix(']')?
                .parse()
                .ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers
        .iter()
        .map(|number| format!("/machine/unattached/device[{number}]"))
        .collect()
}

/// Writes a port.
pub(crate) fn out8(port: u16, value: u8) -> String {
    format!("outb {port:#x} {value:#x}")
}

/// Reads a port.
pub(crate) fn in8(port: u16) -> String {
    format!("inb {port:#x}")
}

/// Writes 32 bits of memory.
pub(crate) fn write32(address: u64, value: u32) -> String {
    format!("writel {address:#x} {value:#x}")
}

/// Reads 32 bits of memory.
pub(crate) fn read32(address: u64) -> String {
    format!("readl {address:#x}")
}

/// Drives an input of a device.
pub(crate) fn drive(path: &str, input: u8, is_high: bool) -> String {
    format!(
        "set_irq_in {path} unnamed-gpio-in {input} {}",
        u8::from(is_high)
    )
}

/// Selects 32 bits of a PCI function's configuration space; port 0xCFC is then its window.
pub(crate) fn select_configuration(slot: u8, offset: u8) -> String {
    let address = 0x8000_0000 | u32::from(slot) << 11 | u32::from(offset & 0xFC);
    format!("outl 0xcf8 {address:#x}")
}
