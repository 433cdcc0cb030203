//! Lengths of memory in resource descriptors, which have 32 bits and three ways to mean more.
//!
//! Source: WDK reference, wdm.RtlCmDecodeMemIoResource, wdm.RtlCmEncodeMemIoResource,
//! wdm.RtlFindClosestEncodableLength; wdm.CM_PARTIAL_RESOURCE_DESCRIPTOR, Memory40, Memory48, Memory64.

use dirql_abi::NtStatus;
use dirql_abi::resource::{CmPartialResourceDescriptor, CmRange, memory_flags, resource_type};
use zerocopy::{FromBytes, IntoBytes};

use crate::{Ddi, DriverPtr, Kernel};

/// The flag of each way to mean more than 32 bits, and by how many bits the length is shifted.
const LARGE: [(u16, u32); 3] = [
    (memory_flags::CM_RESOURCE_MEMORY_LARGE_40, 8),
    (memory_flags::CM_RESOURCE_MEMORY_LARGE_48, 16),
    (memory_flags::CM_RESOURCE_MEMORY_LARGE_64, 32),
];

/// Every flag of [`LARGE`].
const ANY_LARGE: u16 = 0x0E00;

/// The length that can be written and is the least of those that are not less, with its flag and
/// the 32 bits. `None` above the greatest.
fn encode(length: u64) -> Option<(u64, u16, u32)> {
    if let Ok(short) = u32::try_from(length) {
        return Some((length, 0, short));
    }
    LARGE.iter().find_map(|(flag, shift)| {
        let units = length.div_ceil(1 << shift);
        let short = u32::try_from(units).ok()?;
        Some((units << shift, *flag, short))
    })
}

impl Kernel {
    /// `ULONGLONG RtlCmDecodeMemIoResource(PCM_PARTIAL_RESOURCE_DESCRIPTOR, PULONGLONG Start)`
    ///
    /// - IRQL: any level, if the descriptor is resident.
    /// - Returns: the length of a port or memory range; 0 for another resource.
    /// - Source: WDK reference, wdm.RtlCmDecodeMemIoResource.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn rtl_cm_decode_mem_io_resource(
        &self,
        descriptor: DriverPtr<CmPartialResourceDescriptor>,
        start: DriverPtr<u64>,
    ) -> Ddi<u64> {
        let descriptor = self.read(descriptor)?;
        let Ok((range, _)) = CmRange::read_from_prefix(&descriptor.u) else {
            return Ok(0);
        };
        let shift = match descriptor.type_ {
            resource_type::CmResourceTypePort | resource_type::CmResourceTypeMemory => 0,
            resource_type::CmResourceTypeMemoryLarge => {
                let mut all = LARGE.iter();
                let found = all.find(|(flag, _)| descriptor.flags & flag != 0);
                found.map_or(0, |(_, shift)| *shift)
            }
            _ => return Ok(0),
        };
        if !start.is_null() {
            self.write(start, range.start)?;
        }
        Ok(u64::from(range.length) << shift)
    }

    /// `NTSTATUS RtlCmEncodeMemIoResource(PCM_PARTIAL_RESOURCE_DESCRIPTOR, UCHAR Type, ULONGLONG
    /// Length, ULONGLONG Start)`
    ///
    /// - IRQL: any level, if the descriptor is resident.
    /// - Returns: NOT_SUPPORTED for a length that no descriptor can hold; INVALID_PARAMETER for
    ///   another type than a port or memory range.
    /// - Source: WDK reference, wdm.RtlCmEncodeMemIoResource.
    ///
    /// # Errors
    /// A descriptor that is not memory.
    pub fn rtl_cm_encode_mem_io_resource(
        &self,
        descriptor: DriverPtr<CmPartialResourceDescriptor>,
        type_: u8,
        length: u64,
        start: u64,
    ) -> Ddi<NtStatus> {
        let is_port = type_ == resource_type::CmResourceTypePort;
        let is_memory = type_ == resource_type::CmResourceTypeMemory
            || type_ == resource_type::CmResourceTypeMemoryLarge;
        if !is_port && !is_memory {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let encoded = encode(length).filter(|(all, ..)| *all == length);
        let Some((_, flag, length)) = encoded.filter(|(_, flag, _)| *flag == 0 || is_memory) else {
            return Ok(NtStatus::NOT_SUPPORTED);
        };
        let mut value = self.read(descriptor)?;
        value.type_ = match (is_port, flag) {
            (true, _) => type_,
            (false, 0) => resource_type::CmResourceTypeMemory,
            (false, _) => resource_type::CmResourceTypeMemoryLarge,
        };
        if is_memory {
            value.flags = value.flags & !ANY_LARGE | flag;
        }
        value.u[..size_of::<CmRange>()].copy_from_slice(CmRange { start, length }.as_bytes());
        self.write(descriptor, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlFindClosestEncodableLength(ULONGLONG SourceLength, PULONGLONG TargetLength)`: the
    /// least length that a descriptor can hold and that is not less.
    ///
    /// - IRQL: any level, if the target is resident.
    /// - Returns: NOT_SUPPORTED if there is none.
    /// - Source: WDK reference, wdm.RtlFindClosestEncodableLength.
    ///
    /// # Errors
    /// A target that is not memory.
    pub fn rtl_find_closest_encodable_length(
        &self,
        length: u64,
        target: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let Some((closest, ..)) = encode(length) else {
            return Ok(NtStatus::NOT_SUPPORTED);
        };
        self.write(target, closest)?;
        Ok(NtStatus::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn a_length_is_written_in_the_shortest_way_that_holds_it() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (descriptor, start) = (
            DriverPtr::new(bench.variable(20)),
            DriverPtr::new(bench.variable(8)),
        );
        let memory = resource_type::CmResourceTypeMemory;
        for (length, kind, flag) in [
            (0x1000, memory, 0),
            (0xFFFF_FFFF, memory, 0),
            (0x1_0000_0000, 7, 0x200),
            (0xFF_FFFF_FF00, 7, 0x200),
            (0x100_0000_0000, 7, 0x400),
            (0xFFFF_FFFF_0000_0000, 7, 0x800),
        ] {
            let encoded = kernel.rtl_cm_encode_mem_io_resource(descriptor, memory, length, 0xE000);
            assert_eq!(encoded, Ok(NtStatus::SUCCESS), "{length:#x}");
            let value = kernel.read(descriptor).unwrap();
            assert_eq!((value.type_, value.flags), (kind, flag), "{length:#x}");
            let decoded = kernel.rtl_cm_decode_mem_io_resource(descriptor, start);
            assert_eq!(decoded, Ok(length));
            assert_eq!(kernel.read(start), Ok(0xE000));
        }
        let odd = kernel.rtl_cm_encode_mem_io_resource(descriptor, memory, 0x1_0000_0001, 0);
        assert_eq!(odd, Ok(NtStatus::NOT_SUPPORTED));
        let port = resource_type::CmResourceTypePort;
        let long = kernel.rtl_cm_encode_mem_io_resource(descriptor, port, 0x1_0000_0000, 0);
        assert_eq!(long, Ok(NtStatus::NOT_SUPPORTED));
        let other = kernel.rtl_cm_encode_mem_io_resource(descriptor, 2, 1, 0);
        assert_eq!(other, Ok(NtStatus::INVALID_PARAMETER));
    }

    #[test]
    fn a_length_is_rounded_up_to_one_that_can_be_written() {
        let bench = Bench::new(Config::default());
        let target = DriverPtr::<u64>::new(bench.variable(8));
        let kernel = &bench.kernel;
        for (length, closest) in [
            (5, 5),
            (0x1_0000_0001, 0x1_0000_0100),
            (0x100_0000_0001, 0x100_0001_0000),
        ] {
            let found = kernel.rtl_find_closest_encodable_length(length, target);
            assert_eq!(found, Ok(NtStatus::SUCCESS));
            assert_eq!(kernel.read(target), Ok(closest));
        }
        let found = kernel.rtl_find_closest_encodable_length(u64::MAX, target);
        assert_eq!(found, Ok(NtStatus::NOT_SUPPORTED));
    }
}
