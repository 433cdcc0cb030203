//! Where the documentation and Microsoft's published sample differ.
//!
//! The default is the documentation's reading, wherever it has one. Sources: WDK, "Connecting an
//! Interrupt Service Routine to a Parallel Port", the pages of parallel.h; the parallel-port
//! function driver among the samples of the Windows Server 2003 DDK.

/// One difference: two readings by name.
macro_rules! readings {
    ($($(#[$doc:meta])* $name:ident { $(#[$first_doc:meta])* $first:ident = $first_text:literal, $(#[$second_doc:meta])* $second:ident = $second_text:literal $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
            pub enum $name {
                $(#[$first_doc])*
                #[default]
                $first,
                $(#[$second_doc])*
                $second,
            }

            impl $name {
                /// Both, the default first.
                pub const ALL: [Self; 2] = [Self::$first, Self::$second];

                /// The names of both, as [`Self::name`] gives them.
                pub const NAMES: [&'static str; 2] = [$first_text, $second_text];

                /// The one of that name.
                #[must_use]
                pub fn of_name(name: &str) -> Option<Self> {
                    Self::ALL.into_iter().find(|one| one.name() == name)
                }

                /// The name used in scenario files.
                #[must_use]
                pub const fn name(self) -> &'static str {
                    match self {
                        Self::$first => $first_text,
                        Self::$second => $second_text,
                    }
                }
            }
        )*
    };
}

readings! {
    /// How many of the connected ISRs an interrupt reaches.
    IsrChain {
        /// All of them, in the order of connecting: what the pages say.
        All = "all",
        /// Up to the first that returns TRUE: what the sample does.
        FirstClaim = "first-claim",
    }

    /// Where deferred port checks run. The pages do not say; note N0165.
    DeferredChecks {
        /// At the port's DIRQL with its interrupt lock held: what the sample does.
        Dirql = "dirql",
        /// At DISPATCH_LEVEL without the lock.
        Dispatch = "dispatch",
    }

    /// Which waiting requests IRP_MJ_CLEANUP cancels.
    Cleanup {
        /// Those of the file object that is closed: what "DispatchCleanup Routines" asks for.
        File = "file",
        /// All of the port, whoever sent them: what the sample does.
        Port = "port",
    }

    /// What an allocation does before the port is handed out.
    Allocation {
        /// It selects the end-of-chain device: what the page of
        /// IOCTL_INTERNAL_SELECT_DEVICE says.
        SelectsEndOfChain = "selects-end-of-chain",
        /// Nothing: what the sample does.
        Plain = "plain",
    }

    /// What setting a chip mode other than SPP, BYTE, ECP and EPP does, and whether BYTE mode
    /// has to be cleared first.
    ChipModes {
        /// STATUS_NO_SUCH_DEVICE, and every mode has to be cleared: what the page says.
        Strict = "strict",
        /// STATUS_SUCCESS without any effect, and BYTE mode may be left for another: what the
        /// sample does.
        Lenient = "lenient",
    }
}

/// How the function driver of parallel ports reads what is said in two ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How many ISRs an interrupt reaches.
    pub isr_chain: IsrChain,
    /// Where deferred port checks run.
    pub deferred_checks: DeferredChecks,
    /// What closing a handle cancels.
    pub cleanup: Cleanup,
    /// What an allocation does.
    pub allocation: Allocation,
    /// How chip modes are set.
    pub chip_modes: ChipModes,
}

impl Settings {
    /// All that the sample does.
    pub const SAMPLE: Self = Self {
        isr_chain: IsrChain::FirstClaim,
        deferred_checks: DeferredChecks::Dirql,
        cleanup: Cleanup::Port,
        allocation: Allocation::Plain,
        chip_modes: ChipModes::Lenient,
    };
}
