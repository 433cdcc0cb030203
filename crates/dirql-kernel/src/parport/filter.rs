//! FilterResourceMethod: whether the port asks for an interrupt at all.
//!
//! | value | effect |
//! |---|---|
//! | 0 | alternatives with an interrupt are dropped if there is one without |
//! | 1, and the default | the same; if all have one, their interrupts become type Null |
//! | 2 and others | the list stays as it is |
//!
//! Source: the sample; interrupts were scarce, and few clients wanted the port's.

use alloc::vec::Vec;

use dirql_abi::resource::resource_type::{CmResourceTypeInterrupt, CmResourceTypeNull};
use dirql_abi::resource::{IoResourceDescriptor, IoResourceList, IoResourceRequirementsList};

use crate::{Ddi, DriverPtr, Kernel, at};

/// A list is read up to so many alternatives and descriptors.
const MOST: u32 = 256;

/// What is done without a value in the registry.
const DEFAULT: u32 = 1;

/// An alternative: where it is, how long, and its interrupts.
struct Alternative {
    address: u64,
    bytes: u64,
    interrupts: Vec<DriverPtr<IoResourceDescriptor>>,
}

impl Kernel {
    /// Changes a requirements list in place.
    pub(super) fn filter_port_requirements(&self, physical_device: u64, list: u64) -> Ddi<()> {
        let method = self.port_filter_method(physical_device).unwrap_or(DEFAULT);
        if method > 1 {
            return Ok(());
        }
        let alternatives = self.alternatives(list)?;
        if alternatives.iter().any(|one| one.interrupts.is_empty()) {
            return self.keep_alternatives(list, &alternatives);
        }
        if method == 1 {
            for descriptor in alternatives.iter().flat_map(|one| &one.interrupts) {
                self.write(
                    at!(*descriptor, IoResourceDescriptor, type_),
                    CmResourceTypeNull,
                )?;
            }
        }
        Ok(())
    }

    fn alternatives(&self, list: u64) -> Ddi<Vec<Alternative>> {
        let head = self.read(DriverPtr::<IoResourceRequirementsList>::new(list))?;
        let mut address = list + size_of::<IoResourceRequirementsList>() as u64;
        let mut alternatives = Vec::new();
        for _ in 0..head.alternative_lists.min(MOST) {
            let count = self
                .read(DriverPtr::<IoResourceList>::new(address))?
                .count
                .min(MOST);
            let first = address + size_of::<IoResourceList>() as u64;
            let mut interrupts = Vec::new();
            for index in 0..count as usize {
                let descriptor = DriverPtr::<IoResourceDescriptor>::new(first).element(index);
                if self.read(at!(descriptor, IoResourceDescriptor, type_))?
                    == CmResourceTypeInterrupt
                {
                    interrupts.push(descriptor);
                }
            }
            let bytes = (size_of::<IoResourceList>()
                + count as usize * size_of::<IoResourceDescriptor>())
                as u64;
            alternatives.push(Alternative {
                address,
                bytes,
                interrupts,
            });
            address += bytes;
        }
        Ok(alternatives)
    }

    /// Leaves the alternatives without an interrupt, moved together.
    fn keep_alternatives(&self, list: u64, alternatives: &[Alternative]) -> Ddi<()> {
        let kept = alternatives.iter().filter(|one| one.interrupts.is_empty());
        let mut to = list + size_of::<IoResourceRequirementsList>() as u64;
        let mut count: u32 = 0;
        for one in kept {
            let bytes = self.read_bytes(one.address, one.bytes as usize)?;
            self.write_bytes(to, &bytes)?;
            to += one.bytes;
            count += 1;
        }
        let head = DriverPtr::<IoResourceRequirementsList>::new(list);
        self.write(
            at!(head, IoResourceRequirementsList, alternative_lists),
            count,
        )?;
        self.write(
            at!(head, IoResourceRequirementsList, list_size),
            (to - list) as u32,
        )?;
        Ok(())
    }
}
