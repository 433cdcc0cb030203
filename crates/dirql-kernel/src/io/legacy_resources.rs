//! Resources of drivers that find their hardware without plug and play.
//!
//! Source: WDK reference, ntddk.IoReportResourceForDetection, ntddk.IoReportResourceUsage,
//! ntddk.IoAssignResources, ntddk.HalAssignSlotResources; "Adding a PnP Device Object for Legacy
//! Hardware".

use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::NtStatus;
use dirql_abi::resource::resource_type as kind;
use dirql_abi::resource::share_disposition::{
    CmResourceShareDeviceExclusive, CmResourceShareDriverExclusive, CmResourceShareShared,
};
use dirql_abi::resource::{
    CmDeviceSpecificData, CmFullResourceDescriptor, CmInterrupt, CmPartialResourceDescriptor,
    CmPartialResourceList, CmRange, CmResourceList, interface_type, interrupt_flags, port_flags,
};
use dirql_chips::pci::Space;
use zerocopy::IntoBytes;

use crate::hal::{Alternative, InterruptPolicy, Resource, Want, WantedRange};
use crate::{Ddi, DriverPtr, Kernel};

/// A list is read up to this many buses, and this many descriptors of each.
const MOST: u32 = 4096;

/// How many places are tried for a range that may lie anywhere.
const MOST_PLACES: u64 = 0x1_0000;

/// Something that one owner has and others may want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    kind: u8,
    first: u64,
    last: u64,
    share: u8,
}

impl Item {
    /// Whether the two cannot be had by different owners at one time.
    fn excludes(&self, other: &Self, same_driver: bool) -> bool {
        let shared = |item: &Self| {
            item.share == CmResourceShareShared
                || same_driver && item.share == CmResourceShareDriverExclusive
        };
        self.kind == other.kind
            && self.first <= other.last
            && other.first <= self.last
            && !(shared(self) && shared(other))
    }
}

/// What a driver has claimed for a device of its, or for itself.
#[derive(Clone, Debug)]
struct Claim {
    driver: u64,
    /// 0: all devices of the driver.
    device: u64,
    items: Vec<Item>,
}

/// Who has claimed what.
#[derive(Default)]
pub(super) struct Claims(RefCell<Vec<Claim>>);

/// A `CM_RESOURCE_LIST` in driver memory: address and bytes.
#[derive(Clone, Copy, Debug)]
pub struct ResourceListArgument {
    /// 0 if there is none.
    pub address: u64,
    /// Bytes, as the driver says.
    pub size: u32,
}

impl Kernel {
    /// `IoReportResourceForDetection(DriverObject, DriverList, DriverListSize, DeviceObject,
    /// DeviceList, DeviceListSize, *ConflictDetected)`
    ///
    /// Claims resources, raw, for looking for a legacy device. A device's list stands in for the
    /// driver's. What was claimed for the same device before is given back, and without a list
    /// nothing is claimed in its place.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; CONFLICTING_ADDRESSES with `*ConflictDetected` TRUE if another driver
    ///   or a started device has them; UNSUCCESSFUL for a list that is none.
    /// - Source: WDK reference, ntddk.IoReportResourceForDetection.
    ///
    /// # Errors
    /// An argument that is not memory; the bug check if the driver object is none.
    pub fn io_report_resource_for_detection(
        &self,
        driver: u64,
        driver_list: ResourceListArgument,
        device: u64,
        device_list: ResourceListArgument,
        conflict: DriverPtr<u8>,
    ) -> Ddi<NtStatus> {
        self.report_resources(driver, driver_list, (device, device_list), false, conflict)
    }

    /// `IoReportResourceUsage(DriverClassName, DriverObject, DriverList, DriverListSize,
    /// DeviceObject, DeviceList, DeviceListSize, OverrideConflict, *ConflictDetected)`
    ///
    /// As [`Kernel::io_report_resource_for_detection`]; with `OverrideConflict` resources in use
    /// are claimed all the same.
    ///
    /// - Source: WDK reference, ntddk.IoReportResourceUsage.
    ///
    /// # Errors
    /// As there.
    pub fn io_report_resource_usage(
        &self,
        driver: u64,
        driver_list: ResourceListArgument,
        (device, device_list): (u64, ResourceListArgument),
        override_conflict: u8,
        conflict: DriverPtr<u8>,
    ) -> Ddi<NtStatus> {
        let override_conflict = override_conflict != 0;
        self.report_resources(
            driver,
            driver_list,
            (device, device_list),
            override_conflict,
            conflict,
        )
    }

    fn report_resources(
        &self,
        driver: u64,
        driver_list: ResourceListArgument,
        (device, device_list): (u64, ResourceListArgument),
        override_conflict: bool,
        conflict: DriverPtr<u8>,
    ) -> Ddi<NtStatus> {
        if self.driver_name(driver).is_none() {
            return Err(self.not_io_object(driver, "driver object"));
        }
        self.write(conflict, 0)?;
        let is_devices = device_list.address != 0 || driver_list.address == 0;
        let (owner, list) = if is_devices {
            (device, device_list)
        } else {
            (0, driver_list)
        };
        let Some(items) = self.read_claimed(list)? else {
            return Ok(NtStatus::UNSUCCESSFUL);
        };
        self.withdraw_claim(driver, owner);
        if self.is_claimed(&items, driver) {
            self.write(conflict, 1)?;
            if !override_conflict {
                return Ok(NtStatus::CONFLICTING_ADDRESSES);
            }
        }
        self.claim_resources(driver, owner, items);
        Ok(NtStatus::SUCCESS)
    }

    /// `IoAssignResources(RegistryPath, DriverClassName, DriverObject, DeviceObject,
    /// RequestedResources, *AllocatedResources)`
    ///
    /// Picks from a requirements list what nobody else has, claims it, and gives the raw list in
    /// paged pool, which the driver frees. Without a requirements list it gives back what was
    /// claimed.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; CONFLICTING_ADDRESSES if no alternative is free; INVALID_PARAMETER for
    ///   a list that is none; INSUFFICIENT_RESOURCES. `*AllocatedResources` is NULL then.
    /// - Source: WDK reference, ntddk.IoAssignResources (obsolete).
    ///
    /// # Errors
    /// An argument that is not memory; the bug check if the driver object is none.
    pub fn io_assign_resources(
        &self,
        driver: u64,
        device: u64,
        requested: u64,
        allocated: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        if self.driver_name(driver).is_none() {
            return Err(self.not_io_object(driver, "driver object"));
        }
        if !allocated.is_null() {
            self.write(allocated, 0)?;
        }
        self.withdraw_claim(driver, device);
        if requested == 0 {
            return Ok(NtStatus::SUCCESS);
        }
        let Ok(alternatives) = self.read_requirements(requested)? else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let head: [u32; 3] = self.read(DriverPtr::new(requested))?;
        let chosen = alternatives
            .iter()
            .find_map(|list| self.choose_items(driver, list));
        let Some(items) = chosen else {
            return Ok(NtStatus::CONFLICTING_ADDRESSES);
        };
        self.give_claim(driver, device, items, (head[1] as i32, head[2]), allocated)
    }

    /// `HalAssignSlotResources(RegistryPath, DriverClassName, DriverObject, DeviceObject,
    /// BusType, BusNumber, SlotNumber, *AllocatedResources)`
    ///
    /// Claims the windows and the line of a PCI function, lets it answer, and gives the raw list
    /// in paged pool, which the driver frees.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; NO_SUCH_DEVICE for an empty slot; NOT_SUPPORTED for another bus;
    ///   CONFLICTING_ADDRESSES; INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, ntddk.HalAssignSlotResources (obsolete).
    ///
    /// # Errors
    /// An argument that is not memory; the bug check if the driver object is none.
    pub fn hal_assign_slot_resources(
        &self,
        driver: u64,
        device: u64,
        bus: (i32, u32),
        slot: u32,
        allocated: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        if self.driver_name(driver).is_none() {
            return Err(self.not_io_object(driver, "driver object"));
        }
        self.write(allocated, 0)?;
        if bus.0 != interface_type::PCIBus {
            return Ok(NtStatus::NOT_SUPPORTED);
        }
        let Some(found) = self.device_in_slot(bus.1, slot) else {
            return Ok(NtStatus::NO_SUCH_DEVICE);
        };
        // The last list is the one without messages.
        let list = self.offer(found, &InterruptPolicy::default()).pop();
        self.withdraw_claim(driver, device);
        let Some(items) = self.choose_items(driver, &list.unwrap_or_default()) else {
            return Ok(NtStatus::CONFLICTING_ADDRESSES);
        };
        self.give_claim(driver, device, items, bus, allocated)
    }

    /// Claims `items` and gives their list to the driver.
    fn give_claim(
        &self,
        driver: u64,
        device: u64,
        items: Vec<Item>,
        (interface_type, bus_number): (i32, u32),
        allocated: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let head = CmFullResourceDescriptor {
            interface_type,
            bus_number,
            partial_resource_list: CmPartialResourceList {
                version: 1,
                revision: 1,
                count: items.len() as u32,
            },
        };
        let mut bytes = CmResourceList { count: 1 }.as_bytes().to_vec();
        bytes.extend_from_slice(head.as_bytes());
        for item in &items {
            bytes.extend_from_slice(self.raw_descriptor(item).as_bytes());
        }
        let list = self.pool_allocate(super::PAGED, bytes.len() as u64, super::tag(b"IoRl"))?;
        if list == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.write_bytes(list, &bytes)?;
        self.write(allocated, list)?;
        self.claim_resources(driver, device, items);
        Ok(NtStatus::SUCCESS)
    }

    fn raw_descriptor(&self, item: &Item) -> CmPartialResourceDescriptor {
        if item.kind == kind::CmResourceTypeInterrupt {
            let line = item.first as u32;
            let flags = if self.line_is_latched(line) {
                interrupt_flags::CM_RESOURCE_INTERRUPT_LATCHED
            } else {
                0
            };
            let arm = CmInterrupt {
                level: line as u16,
                group: 0,
                vector: line,
                affinity: u64::MAX,
            };
            return CmPartialResourceDescriptor::new(item.kind, item.share, flags, &arm);
        }
        let flags = if item.kind == kind::CmResourceTypePort {
            port_flags::CM_RESOURCE_PORT_IO
        } else {
            0
        };
        let arm = CmRange {
            start: item.first,
            length: (item.last - item.first + 1) as u32,
        };
        CmPartialResourceDescriptor::new(item.kind, item.share, flags, &arm)
    }

    /// One item for each place of a list, none of which others have.
    fn choose_items(&self, driver: u64, list: &Alternative) -> Option<Vec<Item>> {
        let mut items: Vec<Item> = Vec::new();
        for choice in list {
            let mut wants = choice
                .iter()
                .filter(|want| !matches!(want, Want::Private(_)))
                .peekable();
            if wants.peek().is_none() {
                continue;
            }
            items.push(wants.find_map(|want| self.choose_item(driver, want, &items))?);
        }
        Some(items)
    }

    fn choose_item(&self, driver: u64, want: &Want, before: &[Item]) -> Option<Item> {
        let is_free = |item: &Item| {
            !before.iter().any(|other| item.excludes(other, true))
                && !self.is_claimed(&[*item], driver)
        };
        match want {
            Want::Range(range) => {
                let last = u64::from(range.length).max(1) - 1;
                let step = u64::from(range.alignment.max(1));
                let highest = range.maximum.checked_sub(last)?;
                let places = (0..MOST_PLACES).map(|place| {
                    range
                        .minimum
                        .next_multiple_of(step)
                        .saturating_add(place * step)
                });
                places
                    .take_while(|first| *first <= highest)
                    .map(|first| Item {
                        kind: kind_of(range),
                        first,
                        last: first + last,
                        share: CmResourceShareDeviceExclusive,
                    })
                    .find(is_free)
            }
            Want::Line {
                minimum,
                maximum,
                shared,
                ..
            } => (*minimum..=*maximum)
                .take(usize::from(crate::hal::LINES))
                .map(|line| Item {
                    kind: kind::CmResourceTypeInterrupt,
                    first: line.into(),
                    last: line.into(),
                    share: if *shared {
                        CmResourceShareShared
                    } else {
                        CmResourceShareDeviceExclusive
                    },
                })
                .find(is_free),
            Want::Messages { .. } | Want::Private(_) => None,
        }
    }

    /// The items of a list; empty without one, `None` if it is no list.
    fn read_claimed(&self, list: ResourceListArgument) -> Ddi<Option<Vec<Item>>> {
        let mut items = Vec::new();
        if list.address == 0 {
            return Ok(Some(items));
        }
        let end = list.address.saturating_add(list.size.into());
        let buses = self
            .read(DriverPtr::<CmResourceList>::new(list.address))?
            .count;
        let mut at = list.address + size_of::<CmResourceList>() as u64;
        for _ in 0..buses.min(MOST) {
            let first = at + size_of::<CmFullResourceDescriptor>() as u64;
            if first > end {
                return Ok(None);
            }
            let head = self.read(DriverPtr::<CmFullResourceDescriptor>::new(at))?;
            let count = head.partial_resource_list.count;
            at = first;
            for _ in 0..count.min(MOST) {
                let next = at + size_of::<CmPartialResourceDescriptor>() as u64;
                if next > end {
                    return Ok(None);
                }
                let descriptor = self.read(DriverPtr::<CmPartialResourceDescriptor>::new(at))?;
                at = next;
                if descriptor.type_ == kind::CmResourceTypeDeviceSpecific {
                    at += u64::from(descriptor.arm::<CmDeviceSpecificData>().data_size);
                }
                items.extend(item_of(&descriptor));
            }
        }
        Ok((at <= end).then_some(items))
    }

    /// Whether somebody else has one of these: another claim, or a device that is started.
    fn is_claimed(&self, items: &[Item], driver: u64) -> bool {
        let excluded =
            |other: &Item, same: bool| items.iter().any(|item| item.excludes(other, same));
        let claims = self.io.claims.0.borrow();
        let by_claim = claims.iter().any(|claim| {
            claim
                .items
                .iter()
                .any(|other| excluded(other, claim.driver == driver))
        });
        by_claim
            || self
                .assigned_elsewhere(driver)
                .iter()
                .any(|other| excluded(other, false))
    }

    /// What plug and play has given to devices of other drivers.
    fn assigned_elsewhere(&self, driver: u64) -> Vec<Item> {
        let physical_devices = self.physical_devices().into_iter();
        let nodes = physical_devices.filter_map(|device| self.node(device));
        let others = nodes.filter(|node| node.driver != Some(driver));
        let devices = others.filter_map(|node| node.device);
        let assignments = devices.filter_map(|device| self.assignment(device));
        assignments
            .flat_map(|assignment| assignment.resources)
            .filter_map(|resource| assigned_item(&resource))
            .collect()
    }

    fn claim_resources(&self, driver: u64, device: u64, items: Vec<Item>) {
        if !items.is_empty() {
            self.io.claims.0.borrow_mut().push(Claim {
                driver,
                device,
                items,
            });
        }
    }

    fn withdraw_claim(&self, driver: u64, device: u64) {
        let mut claims = self.io.claims.0.borrow_mut();
        claims.retain(|claim| (claim.driver, claim.device) != (driver, device));
    }

    /// A driver that was unloaded has nothing any more.
    pub(super) fn withdraw_claims_of(&self, driver: u64) {
        self.io
            .claims
            .0
            .borrow_mut()
            .retain(|claim| claim.driver != driver);
    }
}

const fn kind_of(range: &WantedRange) -> u8 {
    match range.space {
        Space::Port => kind::CmResourceTypePort,
        Space::Memory => kind::CmResourceTypeMemory,
    }
}

fn item_of(descriptor: &CmPartialResourceDescriptor) -> Option<Item> {
    let share = descriptor.share_disposition;
    match descriptor.type_ {
        kind::CmResourceTypePort | kind::CmResourceTypeMemory => {
            let range = descriptor.arm::<CmRange>();
            let (first, length) = (range.start, range.length);
            (length > 0).then(|| Item {
                kind: descriptor.type_,
                first,
                last: first.saturating_add(u64::from(length) - 1),
                share,
            })
        }
        kind::CmResourceTypeInterrupt
            if descriptor.flags & interrupt_flags::CM_RESOURCE_INTERRUPT_MESSAGE == 0 =>
        {
            let line = u64::from(descriptor.arm::<CmInterrupt>().vector);
            Some(Item {
                kind: descriptor.type_,
                first: line,
                last: line,
                share,
            })
        }
        _ => None,
    }
}

fn assigned_item(resource: &Resource) -> Option<Item> {
    let range = |kind, base: u64, length: u32| Item {
        kind,
        first: base,
        last: base.saturating_add(u64::from(length).max(1) - 1),
        share: CmResourceShareDeviceExclusive,
    };
    match resource {
        Resource::Port { base, length } => Some(range(kind::CmResourceTypePort, *base, *length)),
        Resource::Memory { base, length } => {
            Some(range(kind::CmResourceTypeMemory, *base, *length))
        }
        Resource::Interrupt(grant) if !grant.message => Some(Item {
            kind: kind::CmResourceTypeInterrupt,
            first: grant.line.into(),
            last: grant.line.into(),
            share: if grant.shared {
                CmResourceShareShared
            } else {
                CmResourceShareDeviceExclusive
            },
        }),
        Resource::Interrupt(_) | Resource::Private(_) => None,
    }
}
