//! What the registry says about a device's interrupts.
//!
//! Source: WDK, "Enabling Message-Signaled Interrupts in the Registry", "Interrupt Affinity".

use alloc::format;

use dirql_abi::interrupt::{irq_device_policy, irq_group_policy, irq_priority};
use dirql_abi::registry::value_type;
use dirql_abi::resource::ALL_PROCESSOR_GROUPS;

use crate::Kernel;
use crate::cm::DeviceKeyKind;
use crate::config::WindowsVersion;

/// Below a device's hardware key.
const MESSAGES: &str = r"Interrupt Management\MessageSignaledInterruptProperties";
const AFFINITY: &str = r"Interrupt Management\Affinity Policy";

/// Messages that the registry allows a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessagePolicy {
    /// `MSISupported` is 1.
    pub(crate) supported: bool,
    /// `MessageNumberLimit`.
    pub(crate) limit: Option<u32>,
}

/// Which processors an interrupt is for, and how urgent it is: the policy members of a
/// requirement. All zero is what Windows does by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    /// One of [`irq_device_policy`].
    pub(crate) policy: u32,
    /// A group, or [`ALL_PROCESSOR_GROUPS`] for a driver that knows about them.
    pub(crate) group: u16,
    /// One of [`irq_priority`].
    pub(crate) priority: u32,
    /// For [`irq_device_policy::IrqPolicySpecifiedProcessors`].
    pub(crate) processors: u64,
}

/// What the registry says about a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InterruptPolicy {
    /// `None` if nobody has said anything: the scenario decides.
    pub(crate) messages: Option<MessagePolicy>,
    pub(crate) targets: Targets,
}

impl Kernel {
    /// What the hardware key of a device says. A value of another type, or one that the pages do
    /// not know, counts as absent.
    ///
    /// `installed`: an INF has filled the key, so that what is absent was left out on purpose.
    pub(crate) fn interrupt_policy(
        &self,
        physical_device: u64,
        installed: bool,
    ) -> InterruptPolicy {
        let Some(key) = self.device_key_path(physical_device, DeviceKeyKind::Hardware) else {
            return InterruptPolicy::default();
        };
        let value = |subkey: &str, name| self.registry_get(&format!(r"{key}\{subkey}"), name);
        let dword = |subkey, name| match value(subkey, name)? {
            (value_type::REG_DWORD, data) => <[u8; 4]>::try_from(data).ok().map(u32::from_le_bytes),
            _ => None,
        };
        let supported = dword(MESSAGES, "MSISupported");
        let messages = (installed || supported.is_some()).then(|| MessagePolicy {
            supported: supported == Some(1),
            limit: dword(MESSAGES, "MessageNumberLimit").filter(|limit| *limit > 0),
        });
        let known = |value: Option<u32>, last: u32| value.filter(|value| *value <= last);
        let policy = dword(AFFINITY, "DevicePolicy");
        let last = irq_device_policy::IrqPolicySpreadMessagesAcrossAllProcessors;
        let policy = known(policy, last).unwrap_or_default();
        let priority = dword(AFFINITY, "DevicePriority");
        let all_groups = self.config().windows >= WindowsVersion::Seven
            && policy != irq_device_policy::IrqPolicySpecifiedProcessors
            && dword(AFFINITY, "GroupPolicy") == Some(irq_group_policy::GroupAffinityDontCare);
        let targets = Targets {
            policy,
            group: if all_groups { ALL_PROCESSOR_GROUPS } else { 0 },
            priority: known(priority, irq_priority::IrqPriorityHigh).unwrap_or_default(),
            processors: value(AFFINITY, "AssignmentSetOverride")
                .and_then(|(kind, data)| mask(kind, &data))
                .unwrap_or_default(),
        };
        InterruptPolicy { messages, targets }
    }
}

/// `AssignmentSetOverride` in its three types.
fn mask(kind: u32, data: &[u8]) -> Option<u64> {
    let fits = match kind {
        value_type::REG_BINARY => (1..=8).contains(&data.len()),
        value_type::REG_DWORD => data.len() == 4,
        value_type::REG_QWORD => data.len() == 8,
        _ => false,
    };
    let number = |data: &[u8]| {
        data.iter()
            .rev()
            .fold(0, |mask, byte| mask << 8 | u64::from(*byte))
    };
    fits.then(|| number(data))
}
