//! Resource lists as drivers see them.
//!
//! Source: WDK reference, wdm.CM_PARTIAL_RESOURCE_DESCRIPTOR, wdm.IO_RESOURCE_DESCRIPTOR,
//! "Using Interrupt Resource Descriptors", "Raw and Translated Resources".

use alloc::vec::Vec;

use dirql_abi::resource::interrupt_flags::{
    CM_RESOURCE_INTERRUPT_LATCHED, CM_RESOURCE_INTERRUPT_MESSAGE,
};
use dirql_abi::resource::resource_type::{
    CmResourceTypeInterrupt, CmResourceTypeMemory, CmResourceTypePort,
};
use dirql_abi::resource::share_disposition::{
    CmResourceShareDeviceExclusive, CmResourceShareShared,
};
use dirql_abi::resource::{
    CmFullResourceDescriptor, CmInterrupt, CmMessageRaw, CmPartialResourceDescriptor,
    CmPartialResourceList, CmRange, CmResourceList, INTERRUPT_MESSAGE_TOKEN, IoInterrupt, IoRange,
    IoResourceDescriptor, IoResourceList, IoResourceRequirementsList, port_flags,
};
use zerocopy::IntoBytes;

use super::Node;
use crate::hal::{Assignment, InterruptGrant, Resource};
use crate::{Ddi, DriverPtr, Kernel};

/// A driver's requirements list is read up to this many descriptors; MSI-X has up to 2048.
const MOST_DESCRIPTORS: u32 = 4096;

/// Which of the two lists of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Raw,
    Translated,
}

/// The CM_RESOURCE_LIST of an assignment; `None` for a device without resources, whose lists
/// are NULL.
pub(super) fn resource_list(node: &Node, assignment: &Assignment, form: Form) -> Option<Vec<u8>> {
    if assignment.resources.is_empty() {
        return None;
    }
    let head = CmFullResourceDescriptor {
        interface_type: node.interface_type(),
        bus_number: node.bus_number(),
        partial_resource_list: CmPartialResourceList {
            version: 1,
            revision: 1,
            count: assignment.resources.len() as u32,
        },
    };
    let mut bytes = CmResourceList { count: 1 }.as_bytes().to_vec();
    bytes.extend_from_slice(head.as_bytes());
    for resource in &assignment.resources {
        bytes.extend_from_slice(descriptor(resource, form).as_bytes());
    }
    Some(bytes)
}

fn descriptor(resource: &Resource, form: Form) -> CmPartialResourceDescriptor {
    match resource {
        Resource::Port { base, length } => CmPartialResourceDescriptor::new(
            CmResourceTypePort,
            CmResourceShareDeviceExclusive,
            port_flags::CM_RESOURCE_PORT_IO,
            &CmRange {
                start: *base,
                length: *length,
            },
        ),
        Resource::Memory { base, length } => CmPartialResourceDescriptor::new(
            CmResourceTypeMemory,
            CmResourceShareDeviceExclusive,
            0,
            &CmRange {
                start: *base,
                length: *length,
            },
        ),
        Resource::Interrupt(grant) => interrupt(grant, form),
    }
}

fn interrupt(grant: &InterruptGrant, form: Form) -> CmPartialResourceDescriptor {
    let flags = flags(grant);
    let share = share(grant);
    match form {
        Form::Raw if grant.message => CmPartialResourceDescriptor::new(
            CmResourceTypeInterrupt,
            share,
            flags,
            &CmMessageRaw {
                group: grant.group,
                message_count: grant.messages(),
                vector: grant.line,
                affinity: grant.affinity,
            },
        ),
        Form::Raw => CmPartialResourceDescriptor::new(
            CmResourceTypeInterrupt,
            share,
            flags,
            &CmInterrupt {
                level: grant.line as u16,
                group: grant.group,
                vector: grant.line,
                affinity: u64::MAX,
            },
        ),
        Form::Translated => CmPartialResourceDescriptor::new(
            CmResourceTypeInterrupt,
            share,
            flags,
            &CmInterrupt {
                level: grant.irql.0.into(),
                group: grant.group,
                vector: grant.vector.0.into(),
                affinity: grant.affinity,
            },
        ),
    }
}

fn flags(grant: &InterruptGrant) -> u16 {
    let latched = if grant.latched {
        CM_RESOURCE_INTERRUPT_LATCHED
    } else {
        0
    };
    let message = if grant.message {
        CM_RESOURCE_INTERRUPT_MESSAGE
    } else {
        0
    };
    latched | message
}

fn share(grant: &InterruptGrant) -> u8 {
    if grant.shared {
        CmResourceShareShared
    } else {
        CmResourceShareDeviceExclusive
    }
}

/// The IO_RESOURCE_REQUIREMENTS_LIST with which a device asks for what it can be given.
pub(super) fn requirements_list(node: &Node, assignment: &Assignment) -> Option<Vec<u8>> {
    if assignment.resources.is_empty() {
        return None;
    }
    let descriptors: Vec<IoResourceDescriptor> =
        assignment.resources.iter().map(requirement).collect();
    let list = IoResourceList {
        version: 1,
        revision: 1,
        count: descriptors.len() as u32,
    };
    let size = size_of::<IoResourceRequirementsList>()
        + size_of::<IoResourceList>()
        + descriptors.len() * size_of::<IoResourceDescriptor>();
    let head = IoResourceRequirementsList {
        list_size: size as u32,
        interface_type: node.interface_type(),
        bus_number: node.bus_number(),
        slot_number: node.pci.map_or(0, |at| {
            u32::from(at.device()) | u32::from(at.function()) << 5
        }),
        reserved: [0; 3],
        alternative_lists: 1,
    };
    let mut bytes = head.as_bytes().to_vec();
    bytes.extend_from_slice(list.as_bytes());
    for descriptor in &descriptors {
        bytes.extend_from_slice(descriptor.as_bytes());
    }
    Some(bytes)
}

fn requirement(resource: &Resource) -> IoResourceDescriptor {
    let range = |base: u64, length: u32| IoRange {
        length,
        alignment: 1,
        minimum_address: base,
        maximum_address: base + u64::from(length.max(1)) - 1,
    };
    match resource {
        Resource::Port { base, length } => IoResourceDescriptor::new(
            0,
            CmResourceTypePort,
            CmResourceShareDeviceExclusive,
            port_flags::CM_RESOURCE_PORT_IO,
            &range(*base, *length),
        ),
        Resource::Memory { base, length } => IoResourceDescriptor::new(
            0,
            CmResourceTypeMemory,
            CmResourceShareDeviceExclusive,
            0,
            &range(*base, *length),
        ),
        Resource::Interrupt(grant) => {
            let (minimum_vector, maximum_vector) = if grant.message {
                (
                    INTERRUPT_MESSAGE_TOKEN - (u32::from(grant.messages()) - 1),
                    INTERRUPT_MESSAGE_TOKEN,
                )
            } else {
                (grant.line, grant.line)
            };
            let arm = IoInterrupt {
                minimum_vector,
                maximum_vector,
                affinity_policy: 0,
                group: grant.group,
                priority_policy: 0,
                targeted_processors: 0,
            };
            IoResourceDescriptor::new(0, CmResourceTypeInterrupt, share(grant), flags(grant), &arm)
        }
    }
}

impl InterruptGrant {
    /// How many messages it is; 1 for a line.
    fn messages(&self) -> u16 {
        self.sources.len().clamp(1, 0xFFFF) as u16
    }
}

impl Kernel {
    /// Whether a requirements list in driver memory asks for interrupts, by its first
    /// alternative.
    pub(super) fn wants_interrupts(&self, list: u64) -> Ddi<bool> {
        let descriptors = self.first_alternative(list)?;
        let mut interrupts = descriptors.iter().map(|descriptor| descriptor.type_);
        Ok(interrupts.any(|type_| type_ == CmResourceTypeInterrupt))
    }

    /// How many messages a requirements list in driver memory asks for, by its first
    /// alternative.
    pub(super) fn messages_wanted(&self, list: u64) -> Ddi<u32> {
        let mut messages = 0;
        for descriptor in self.first_alternative(list)? {
            let is_message = descriptor.flags & CM_RESOURCE_INTERRUPT_MESSAGE != 0;
            if descriptor.type_ == CmResourceTypeInterrupt && is_message {
                let arm = descriptor.arm::<IoInterrupt>();
                messages += arm
                    .maximum_vector
                    .saturating_sub(arm.minimum_vector)
                    .min(2047)
                    + 1;
            }
        }
        Ok(messages)
    }

    fn first_alternative(&self, list: u64) -> Ddi<Vec<IoResourceDescriptor>> {
        let head = self.read(DriverPtr::<IoResourceRequirementsList>::new(list))?;
        if head.alternative_lists == 0 {
            return Ok(Vec::new());
        }
        let first = list + size_of::<IoResourceRequirementsList>() as u64;
        let count = self
            .read(DriverPtr::<IoResourceList>::new(first))?
            .count
            .min(MOST_DESCRIPTORS);
        let descriptors =
            DriverPtr::<IoResourceDescriptor>::new(first + size_of::<IoResourceList>() as u64);
        let mut all = Vec::new();
        for index in 0..count as usize {
            all.push(self.read(descriptors.element(index))?);
        }
        Ok(all)
    }
}
