//! What devices ask for, as drivers see and change it.
//!
//! Source: WDK reference, wdm.IO_RESOURCE_REQUIREMENTS_LIST, wdm.IO_RESOURCE_DESCRIPTOR, "Using
//! Interrupt Resource Descriptors".

use alloc::vec::Vec;

use dirql_abi::resource::interrupt_flags::{
    CM_RESOURCE_INTERRUPT_LATCHED, CM_RESOURCE_INTERRUPT_MESSAGE,
    CM_RESOURCE_INTERRUPT_POLICY_INCLUDED,
};
use dirql_abi::resource::resource_option::{IO_RESOURCE_ALTERNATIVE, IO_RESOURCE_PREFERRED};
use dirql_abi::resource::share_disposition::{
    CmResourceShareDeviceExclusive, CmResourceShareShared,
};
use dirql_abi::resource::{
    INTERRUPT_MESSAGE_TOKEN, IoDevicePrivate, IoInterrupt, IoRange, IoResourceDescriptor,
    IoResourceList, IoResourceRequirementsList, port_flags, resource_type,
};
use dirql_chips::pci::Space;
use zerocopy::IntoBytes;

use super::Node;
use crate::hal::{Alternative, Targets, Want, WantedRange};
use crate::{Ddi, DriverPtr, Kernel};

/// A list is read up to this many descriptors; MSI-X has up to 2048.
const MOST_DESCRIPTORS: u32 = 4096;

/// And up to this many alternatives.
const MOST_ALTERNATIVES: u32 = 64;

/// Why a list that a driver gave back cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::io) enum BadList {
    /// It says that it has this many descriptors, or lists.
    #[error("the requirements list says that it has {0} descriptors or lists")]
    TooMany(u32),
    /// Its lists end beyond `ListSize`.
    #[error("the requirements list has {needed} bytes, ListSize says {list_size}")]
    TooShort { list_size: u32, needed: u64 },
}

/// The IO_RESOURCE_REQUIREMENTS_LIST with which a device asks for what it can be given; `None`
/// for a device that asks for nothing.
pub(super) fn requirements_list(node: &Node, alternatives: &[Alternative]) -> Option<Vec<u8>> {
    if alternatives.iter().all(Vec::is_empty) {
        return None;
    }
    let mut lists = Vec::new();
    for alternative in alternatives {
        let head = IoResourceList {
            version: 1,
            revision: 1,
            count: alternative.iter().map(Vec::len).sum::<usize>() as u32,
        };
        lists.extend_from_slice(head.as_bytes());
        for choice in alternative {
            for (index, want) in choice.iter().enumerate() {
                let option = if index == 0 {
                    0
                } else {
                    IO_RESOURCE_ALTERNATIVE
                };
                lists.extend_from_slice(descriptor(option, want).as_bytes());
            }
        }
    }
    let head = IoResourceRequirementsList {
        list_size: (size_of::<IoResourceRequirementsList>() + lists.len()) as u32,
        interface_type: node.interface_type(),
        bus_number: node.bus_number(),
        slot_number: node.pci.map_or(0, |at| {
            u32::from(at.device()) | u32::from(at.function()) << 5
        }),
        reserved: [0; 3],
        alternative_lists: alternatives.len() as u32,
    };
    let mut bytes = head.as_bytes().to_vec();
    bytes.extend(lists);
    Some(bytes)
}

fn descriptor(option: u8, want: &Want) -> IoResourceDescriptor {
    match want {
        Want::Range(range) => {
            let (kind, flags) = match range.space {
                Space::Port => (
                    resource_type::CmResourceTypePort,
                    port_flags::CM_RESOURCE_PORT_IO,
                ),
                Space::Memory => (resource_type::CmResourceTypeMemory, 0),
            };
            let arm = IoRange {
                length: range.length,
                alignment: range.alignment,
                minimum_address: range.minimum,
                maximum_address: range.maximum,
            };
            IoResourceDescriptor::new(option, kind, CmResourceShareDeviceExclusive, flags, &arm)
        }
        Want::Line {
            minimum,
            maximum,
            latched,
            shared,
            targets,
        } => {
            let latched = if *latched {
                CM_RESOURCE_INTERRUPT_LATCHED
            } else {
                0
            };
            let share = if *shared {
                CmResourceShareShared
            } else {
                CmResourceShareDeviceExclusive
            };
            interrupt(option, share, latched, (*minimum, *maximum), targets)
        }
        Want::Messages { count, targets } => {
            let flags = CM_RESOURCE_INTERRUPT_LATCHED | CM_RESOURCE_INTERRUPT_MESSAGE;
            let vectors = (
                INTERRUPT_MESSAGE_TOKEN - (count - 1),
                INTERRUPT_MESSAGE_TOKEN,
            );
            interrupt(option, CmResourceShareShared, flags, vectors, targets)
        }
        Want::Private(data) => IoResourceDescriptor::new(
            option,
            resource_type::CmResourceTypeDevicePrivate,
            CmResourceShareDeviceExclusive,
            0,
            &IoDevicePrivate { data: *data },
        ),
    }
}

fn interrupt(
    option: u8,
    share: u8,
    flags: u16,
    (minimum_vector, maximum_vector): (u32, u32),
    targets: &Targets,
) -> IoResourceDescriptor {
    let policy = if *targets == Targets::default() {
        0
    } else {
        CM_RESOURCE_INTERRUPT_POLICY_INCLUDED
    };
    let arm = IoInterrupt {
        minimum_vector,
        maximum_vector,
        affinity_policy: targets.policy as u16,
        group: targets.group,
        priority_policy: targets.priority,
        targeted_processors: targets.processors,
    };
    IoResourceDescriptor::new(
        option,
        resource_type::CmResourceTypeInterrupt,
        share,
        flags | policy,
        &arm,
    )
}

/// What a descriptor asks for; `None` for a kind that this machine has nothing of.
///
/// The policy members count with and without CM_RESOURCE_INTERRUPT_POLICY_INCLUDED: drivers set
/// them without it, and where nobody has set them they are zero.
fn want(descriptor: &IoResourceDescriptor) -> Option<Want> {
    let range = |space| {
        let arm = descriptor.arm::<IoRange>();
        Want::Range(WantedRange {
            space,
            length: arm.length,
            minimum: arm.minimum_address,
            maximum: arm.maximum_address,
            alignment: arm.alignment,
        })
    };
    match descriptor.type_ {
        resource_type::CmResourceTypePort => Some(range(Space::Port)),
        resource_type::CmResourceTypeMemory => Some(range(Space::Memory)),
        resource_type::CmResourceTypeDevicePrivate => {
            Some(Want::Private(descriptor.arm::<IoDevicePrivate>().data))
        }
        resource_type::CmResourceTypeInterrupt => {
            let arm = descriptor.arm::<IoInterrupt>();
            let targets = Targets {
                policy: arm.affinity_policy.into(),
                group: arm.group,
                priority: arm.priority_policy,
                processors: arm.targeted_processors,
            };
            Some(if descriptor.flags & CM_RESOURCE_INTERRUPT_MESSAGE != 0 {
                let count = arm.maximum_vector.saturating_sub(arm.minimum_vector);
                Want::Messages {
                    count: count.saturating_add(1),
                    targets,
                }
            } else {
                Want::Line {
                    minimum: arm.minimum_vector,
                    maximum: arm.maximum_vector,
                    latched: descriptor.flags & CM_RESOURCE_INTERRUPT_LATCHED != 0,
                    shared: descriptor.share_disposition == CmResourceShareShared,
                    targets,
                }
            })
        }
        _ => None,
    }
}

impl Kernel {
    /// A requirements list in driver memory, as it asks for things.
    ///
    /// # Errors
    /// A list that is not memory.
    pub(in crate::io) fn read_requirements(
        &self,
        list: u64,
    ) -> Ddi<Result<Vec<Alternative>, BadList>> {
        let head = self.read(DriverPtr::<IoResourceRequirementsList>::new(list))?;
        if head.alternative_lists > MOST_ALTERNATIVES {
            return Ok(Err(BadList::TooMany(head.alternative_lists)));
        }
        let mut at = list + size_of::<IoResourceRequirementsList>() as u64;
        let mut alternatives = Vec::new();
        for _ in 0..head.alternative_lists {
            let count = self.read(DriverPtr::<IoResourceList>::new(at))?.count;
            if count > MOST_DESCRIPTORS {
                return Ok(Err(BadList::TooMany(count)));
            }
            let first = at + size_of::<IoResourceList>() as u64;
            at = first + u64::from(count) * size_of::<IoResourceDescriptor>() as u64;
            if at - list > u64::from(head.list_size) {
                let (list_size, needed) = (head.list_size, at - list);
                return Ok(Err(BadList::TooShort { list_size, needed }));
            }
            alternatives.push(self.read_alternative(DriverPtr::new(first), count)?);
        }
        Ok(Ok(alternatives))
    }

    fn read_alternative(
        &self,
        descriptors: DriverPtr<IoResourceDescriptor>,
        count: u32,
    ) -> Ddi<Alternative> {
        let mut alternative = Alternative::new();
        for index in 0..count as usize {
            let descriptor = self.read(descriptors.element(index))?;
            if descriptor.type_ == resource_type::CmResourceTypeNull {
                continue;
            }
            let Some(want) = want(&descriptor) else {
                continue;
            };
            let preferred = descriptor.option & IO_RESOURCE_PREFERRED != 0;
            match alternative.last_mut() {
                Some(choice) if descriptor.option & IO_RESOURCE_ALTERNATIVE != 0 => {
                    let at = if preferred { 0 } else { choice.len() };
                    choice.insert(at, want);
                }
                _ => alternative.push(alloc::vec![want]),
            }
        }
        Ok(alternative)
    }
}
