//! Assigned resources as drivers see them.
//!
//! Source: WDK reference, wdm.CM_PARTIAL_RESOURCE_DESCRIPTOR, "Raw and Translated Resources".

use alloc::vec::Vec;

use dirql_abi::resource::interrupt_flags::{
    CM_RESOURCE_INTERRUPT_LATCHED, CM_RESOURCE_INTERRUPT_MESSAGE,
};
use dirql_abi::resource::resource_type::{
    CmResourceTypeDevicePrivate, CmResourceTypeInterrupt, CmResourceTypeMemory, CmResourceTypePort,
};
use dirql_abi::resource::share_disposition::{
    CmResourceShareDeviceExclusive, CmResourceShareShared,
};
use dirql_abi::resource::{
    CmDevicePrivate, CmFullResourceDescriptor, CmInterrupt, CmMessageRaw,
    CmPartialResourceDescriptor, CmPartialResourceList, CmRange, CmResourceList, port_flags,
};
use zerocopy::IntoBytes;

use super::Node;
use crate::hal::{Assignment, InterruptGrant, Resource};

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
        Resource::Private(data) => CmPartialResourceDescriptor::new(
            CmResourceTypeDevicePrivate,
            CmResourceShareDeviceExclusive,
            0,
            &CmDevicePrivate { data: *data },
        ),
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
                message_count: grant.count().clamp(1, 0xFFFF) as u16,
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
