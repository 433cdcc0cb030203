//! What happened at each switch of a run, in words.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::{Rc, Weak};

use dirql_host::Host;
use dirql_kernel::Kernel;
use dirql_kernel::ke::{Choice, Chooser, ClockAction, ProcessorId, Touch};

use crate::bench::{Addresses, Bench};
use crate::report::PlaceReport;

/// Tells of the switches of one run.
#[derive(Clone, Default)]
pub(crate) struct Narrator {
    computer: RefCell<Option<Computer>>,
    told: Rc<RefCell<Vec<String>>>,
    /// The latest switch has not been followed by anything yet.
    is_open: Cell<bool>,
}

#[derive(Clone)]
struct Computer {
    /// Not the owner: the computer keeps who chooses.
    host: Weak<Host>,
    addresses: Rc<Addresses>,
}

impl Narrator {
    /// The run is on this computer.
    pub(super) fn watch(&self, bench: &Bench) {
        *self.computer.borrow_mut() = Some(Computer {
            host: bench.state().host.clone(),
            addresses: bench.addresses().clone(),
        });
    }

    /// Who chooses as `chooser` does, and has this tell of it.
    pub(super) fn beside(self: &Rc<Self>, chooser: Rc<dyn Chooser>) -> Rc<dyn Chooser> {
        Rc::new(Telling {
            chooser,
            narrator: self.clone(),
        })
    }

    /// What was told.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.borrow().clone()
    }

    /// Something was chosen; `choice` if it is not what happens by itself.
    fn chosen(&self, choice: Option<Choice>) {
        let Some(computer) = self.computer.borrow().clone() else {
            return;
        };
        let Some(host) = computer.host.upgrade() else {
            return;
        };
        let kernel = host.kernel();
        if self.is_open.replace(choice.is_some())
            && let Some(last) = self.told.borrow_mut().last_mut()
        {
            let _ = write!(last, "\n    next: {}", computer.here(kernel));
        }
        if let Some(choice) = choice {
            let text = format!(
                "before {}: {}",
                computer.here(kernel),
                words(kernel, choice)
            );
            self.told.borrow_mut().push(text);
        }
    }
}

/// Lets another one choose, and has it told.
struct Telling {
    chooser: Rc<dyn Chooser>,
    narrator: Rc<Narrator>,
}

impl Chooser for Telling {
    fn choose(&self, options: &[Choice]) -> usize {
        let chosen = self.chooser.choose(options);
        let choice = options.get(chosen).copied().filter(|_| chosen > 0);
        self.narrator.chosen(choice);
        chosen
    }

    /// It tells where what was chosen has led, which is the next place that asks, with one option
    /// or many.
    fn listens(&self) -> bool {
        true
    }

    fn touched(&self, touch: Touch) {
        self.chooser.touched(touch);
    }

    fn wants(&self, processor: ProcessorId, lock: u64) {
        self.chooser.wants(processor, lock);
    }
}

impl Computer {
    /// Where the processor whose turn it is stands.
    fn here(&self, kernel: &Kernel) -> String {
        let place = PlaceReport::new(&kernel.here_in_driver(), &self.addresses);
        let code = place.code.clone().unwrap_or_else(|| "the kernel".into());
        let ddi = place
            .ddi
            .as_deref()
            .filter(|ddi| !ddi.starts_with("dirql:"));
        let call = ddi.map(|ddi| format!(" in {ddi}")).unwrap_or_default();
        format!(
            "{code}{call} (processor {}, {}, {})",
            place.processor,
            place.irql_name(),
            place.context
        )
    }
}

fn words(kernel: &Kernel, choice: Choice) -> String {
    match choice {
        Choice::Processor(processor) => format!("processor {} goes on", processor.0),
        Choice::OtherThread(processor) => {
            format!("processor {} goes on with another thread", processor.0)
        }
        Choice::Arrival { processor, vector } => {
            format!(
                "vector {:#x} arrives at processor {}",
                vector.0, processor.0
            )
        }
        Choice::Delay(ClockAction::Device { device, .. }) => {
            let name = kernel.device_name(dirql_kernel::hal::DeviceId(device));
            format!("{name} is ready")
        }
        Choice::Delay(_) => "a timer or a timeout is over".into(),
    }
}
