//! What a run is set up with.

use core::fmt;
use core::str::FromStr;

use crate::failure::FailurePoint;

use crate::readings::Readings;

/// A Windows version whose behaviour is reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WindowsVersion {
    /// Windows XP Professional x64 Edition.
    WinXp64,
    /// Windows Server 2003 x64.
    Server2003,
    /// Windows Vista.
    Vista,
    /// Windows 7.
    Seven,
    /// Windows 8.
    Eight,
    /// Windows 8.1.
    EightOne,
    /// Windows 10.
    Ten,
    /// Windows 11.
    Eleven,
}

impl WindowsVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 8] = [
        Self::WinXp64,
        Self::Server2003,
        Self::Vista,
        Self::Seven,
        Self::Eight,
        Self::EightOne,
        Self::Ten,
        Self::Eleven,
    ];

    /// The name used in scenario files and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WinXp64 => "winxp64",
            Self::Server2003 => "server2003",
            Self::Vista => "vista",
            Self::Seven => "7",
            Self::Eight => "8",
            Self::EightOne => "8.1",
            Self::Ten => "10",
            Self::Eleven => "11",
        }
    }

    /// Major, minor and build number, as `RtlGetVersion` reports them.
    #[must_use]
    pub const fn numbers(self) -> (u32, u32, u32) {
        match self {
            Self::WinXp64 | Self::Server2003 => (5, 2, 3790),
            Self::Vista => (6, 0, 6002),
            Self::Seven => (6, 1, 7601),
            Self::Eight => (6, 2, 9200),
            Self::EightOne => (6, 3, 9600),
            Self::Ten => (10, 0, 19045),
            Self::Eleven => (10, 0, 22631),
        }
    }
}

impl fmt::Display for WindowsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a supported Windows version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Windows version; use one of winxp64, server2003, vista, 7, 8, 8.1, 10, 11")]
pub struct UnknownWindowsVersion;

impl FromStr for WindowsVersion {
    type Err = UnknownWindowsVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|version| version.name() == text)
            .ok_or(UnknownWindowsVersion)
    }
}

/// 10 ms: many times what an ISR or a DPC should take, and still what a computer that is busy
/// with something else may need for one.
const LATE_100NS: u64 = 100_000;

/// At a microsecond each, four seconds.
const MAX_LOOKS: u32 = 4 << 20;

/// What a run is set up with. Part of what makes a run a pure function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Windows version to be.
    pub windows: WindowsVersion,
    /// Number of processors, 1..=256; 64 in a group.
    pub processors: u16,
    /// Steps (yield points) after which the run ends without a verdict.
    pub max_steps: u64,
    /// Stalls, and looks at what has been seen before, after which a driver that lets its processor
    /// do nothing else hangs.
    pub max_looks: u32,
    /// How much longer than it says code may take, 100 ns units, when somebody chooses what
    /// happens: a timer or timeout that is due within that may end meanwhile. Counted from when
    /// all processors had nothing to do.
    pub late_100ns: u64,
    /// Whether a finding ends the run.
    pub stop_at_finding: bool,
    /// Whether the run goes on after the bug check of a routine that can do nothing instead.
    pub keep_going: bool,
    /// Whether the driver is judged by rules that Windows does not enforce by itself; see
    /// [`dirql_rules::is_outcome`] for what is told all the same.
    pub rules: bool,
    /// Whether every block of pool has pages of its own, with inaccessible ones behind.
    pub special_pool: bool,
    /// What is made to fail.
    pub fail: Option<FailurePoint>,
    /// How the function driver of parallel ports reads what is said in two ways.
    pub parallel_port: crate::parport::Settings,
    /// Where the documentation is read in the other way.
    pub readings: Readings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            windows: WindowsVersion::Ten,
            processors: 1,
            max_steps: 100_000_000,
            max_looks: MAX_LOOKS,
            late_100ns: LATE_100NS,
            stop_at_finding: false,
            keep_going: false,
            rules: true,
            special_pool: false,
            fail: None,
            parallel_port: crate::parport::Settings::default(),
            readings: Readings::default(),
        }
    }
}
