//! The version of the system.
//!
//! Source: WDK reference, wdm.RtlGetVersion, wdm.RtlVerifyVersionInfo,
//! wdm.RtlIsNtDdiVersionAvailable; "Operating System Version".

use core::cmp::Ordering;

use dirql_abi::NtStatus;
use dirql_abi::registry::{RtlOsVersionInfoExW, RtlOsVersionInfoW};

use crate::{Ddi, DriverPtr, Kernel, WindowsVersion, at};

/// `VER_PLATFORM_WIN32_NT`.
const NT: u32 = 2;

/// `wProductType`: workstation, server.
const WORKSTATION: u8 = 1;
const SERVER: u8 = 3;

/// `VER_SUITE_SINGLEUSERTS`.
const SINGLE_USER_TS: u16 = 0x100;

/// Bits of a type mask, in the order in which a condition mask has three bits for each.
mod mask {
    pub(super) const MINOR: u32 = 0x01;
    pub(super) const MAJOR: u32 = 0x02;
    pub(super) const BUILD: u32 = 0x04;
    pub(super) const PLATFORM: u32 = 0x08;
    pub(super) const SERVICE_PACK_MINOR: u32 = 0x10;
    pub(super) const SERVICE_PACK_MAJOR: u32 = 0x20;
    pub(super) const SUITE: u32 = 0x40;
    pub(super) const PRODUCT: u32 = 0x80;
}

/// `VER_EQUAL` and so on.
fn holds(condition: u64, ordering: Ordering) -> Option<bool> {
    Some(match condition {
        1 => ordering.is_eq(),
        2 => ordering.is_gt(),
        3 => ordering.is_ge(),
        4 => ordering.is_lt(),
        5 => ordering.is_le(),
        _ => return None,
    })
}

/// The condition for one bit of a type mask.
const fn condition(conditions: u64, bit: u32) -> u64 {
    conditions >> (3 * bit.trailing_zeros()) & 7
}

/// What the system is, as a version block; no service packs.
fn block(windows: WindowsVersion) -> RtlOsVersionInfoExW {
    let (major_version, minor_version, build_number) = windows.numbers();
    let product_type = if windows == WindowsVersion::Server2003 {
        SERVER
    } else {
        WORKSTATION
    };
    RtlOsVersionInfoExW {
        os_version_info_size: size_of::<RtlOsVersionInfoExW>() as u32,
        major_version,
        minor_version,
        build_number,
        platform_id: NT,
        csd_version: [0; 128],
        service_pack_major: 0,
        service_pack_minor: 0,
        suite_mask: SINGLE_USER_TS,
        product_type,
        reserved: 0,
    }
}

/// Whether `system` is as `wanted` says; `None` for a condition that is none.
fn verify(
    system: &RtlOsVersionInfoExW,
    wanted: &RtlOsVersionInfoExW,
    types: u32,
    conditions: u64,
) -> Option<bool> {
    let condition = |bit| condition(conditions, bit);
    // The parts of the version are one number, compared as its first part says.
    let parts = [
        (mask::MAJOR, system.major_version, wanted.major_version),
        (mask::MINOR, system.minor_version, wanted.minor_version),
        (
            mask::SERVICE_PACK_MAJOR,
            system.service_pack_major.into(),
            wanted.service_pack_major.into(),
        ),
        (
            mask::SERVICE_PACK_MINOR,
            system.service_pack_minor.into(),
            wanted.service_pack_minor.into(),
        ),
    ];
    let mut asked = parts.into_iter().filter(|(bit, ..)| types & bit != 0);
    if let Some((bit, left, right)) = asked.next() {
        let rest = asked.fold(left.cmp(&right), |so_far, (_, left, right)| {
            so_far.then(left.cmp(&right))
        });
        if !holds(condition(bit), rest)? {
            return Some(false);
        }
    }
    let others = [
        (mask::BUILD, system.build_number, wanted.build_number),
        (mask::PLATFORM, system.platform_id, wanted.platform_id),
        (
            mask::PRODUCT,
            system.product_type.into(),
            wanted.product_type.into(),
        ),
    ];
    for (bit, left, right) in others.into_iter().filter(|(bit, ..)| types & bit != 0) {
        if !holds(condition(bit), left.cmp(&right))? {
            return Some(false);
        }
    }
    if types & mask::SUITE != 0 {
        let common = system.suite_mask & wanted.suite_mask;
        return Some(match condition(mask::SUITE) {
            // VER_AND: all of them; VER_OR: at least one.
            6 => common == wanted.suite_mask,
            7 => common != 0 || wanted.suite_mask == 0,
            _ => return None,
        });
    }
    Some(true)
}

impl Kernel {
    /// `NTSTATUS RtlGetVersion(PRTL_OSVERSIONINFOW)`
    ///
    /// Fills in a version block; the longer form if its size says so.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlGetVersion.
    pub fn rtl_get_version(&self, information: DriverPtr<RtlOsVersionInfoExW>) -> Ddi<NtStatus> {
        let size = self.read(at!(information, RtlOsVersionInfoExW, os_version_info_size))?;
        let block = block(self.config().windows);
        if size == block.os_version_info_size {
            self.write(information, block)?;
            return Ok(NtStatus::SUCCESS);
        }
        let short = RtlOsVersionInfoW {
            os_version_info_size: size,
            major_version: block.major_version,
            minor_version: block.minor_version,
            build_number: block.build_number,
            platform_id: block.platform_id,
            csd_version: block.csd_version,
        };
        self.write(information.cast(), short)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlVerifyVersionInfo(PRTL_OSVERSIONINFOEXW, ULONG TypeMask, ULONGLONG ConditionMask)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS if the system is as asked; REVISION_MISMATCH if not;
    ///   INVALID_PARAMETER for no type or a condition that is none.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.RtlVerifyVersionInfo.
    pub fn rtl_verify_version_info(
        &self,
        information: DriverPtr<RtlOsVersionInfoExW>,
        types: u32,
        conditions: u64,
    ) -> Ddi<NtStatus> {
        if types & 0xFF == 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let wanted = self.read(information)?;
        Ok(
            match verify(&block(self.config().windows), &wanted, types, conditions) {
                Some(true) => NtStatus::SUCCESS,
                Some(false) => NtStatus::REVISION_MISMATCH,
                None => NtStatus::INVALID_PARAMETER,
            },
        )
    }

    /// `ULONGLONG VerSetConditionMask(ULONGLONG, ULONG Type, UCHAR Condition)`
    ///
    /// - IRQL: any level.
    /// - Returns: the mask with the condition for these types.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.VerSetConditionMask.
    pub fn ver_set_condition_mask(&self, conditions: u64, types: u32, condition: u8) -> Ddi<u64> {
        // The highest type of several counts.
        let types = types & 0xFF;
        if types == 0 {
            return Ok(conditions);
        }
        let shift = 3 * (31 - types.leading_zeros());
        Ok(conditions | u64::from(condition & 7) << shift)
    }

    /// `BOOLEAN RtlIsNtDdiVersionAvailable(ULONG Version)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: TRUE if the system is this version or a later one. The version is 0xMMmm0000;
    ///   one with a service pack is never available.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.RtlIsNtDdiVersionAvailable.
    pub fn rtl_is_nt_ddi_version_available(&self, version: u32) -> Ddi<u8> {
        let (major, minor, _) = self.config().windows.numbers();
        let ours = major << 24 | minor << 16;
        Ok(u8::from(version & 0xFFFF == 0 && ours >= version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;
    use zerocopy::FromZeros;

    fn bench(windows: WindowsVersion) -> Bench {
        Bench::new(Config {
            windows,
            ..Config::default()
        })
    }

    #[test]
    fn the_block_is_filled_as_its_size_says() {
        for (windows, product) in [(WindowsVersion::Server2003, 3), (WindowsVersion::Ten, 1)] {
            let bench = bench(windows);
            let kernel = &bench.kernel;
            let block = DriverPtr::<RtlOsVersionInfoExW>::new(bench.variable(284));
            let size = at!(block, RtlOsVersionInfoExW, os_version_info_size);
            kernel.write(size, 276).unwrap();
            kernel.rtl_get_version(block).unwrap();
            let value = kernel.read(block).unwrap();
            assert_eq!(
                (value.major_version, value.minor_version, value.build_number),
                windows.numbers()
            );
            assert_eq!(value.product_type, 0);
            kernel.write(size, 284).unwrap();
            kernel.rtl_get_version(block).unwrap();
            assert_eq!(kernel.read(block).unwrap().product_type, product);
        }
    }

    #[test]
    fn versions_are_compared_as_one_number() {
        let bench = bench(WindowsVersion::Seven);
        let kernel = &bench.kernel;
        let pointer = DriverPtr::<RtlOsVersionInfoExW>::new(bench.variable(284));
        let verify = |major, minor, condition: u8| {
            let mut wanted = RtlOsVersionInfoExW::new_zeroed();
            (wanted.major_version, wanted.minor_version) = (major, minor);
            kernel.write(pointer, wanted).unwrap();
            let conditions = [mask::MAJOR, mask::MINOR]
                .into_iter()
                .fold(0, |so_far, bit| {
                    kernel
                        .ver_set_condition_mask(so_far, bit, condition)
                        .unwrap()
                });
            kernel
                .rtl_verify_version_info(pointer, mask::MAJOR | mask::MINOR, conditions)
                .unwrap()
        };
        for (major, minor, condition, status) in [
            (6, 1, 1, NtStatus::SUCCESS),
            (6, 0, 1, NtStatus::REVISION_MISMATCH),
            (6, 0, 2, NtStatus::SUCCESS),
            (5, 2, 3, NtStatus::SUCCESS),
            (6, 2, 3, NtStatus::REVISION_MISMATCH),
            (10, 0, 3, NtStatus::REVISION_MISMATCH),
            (10, 0, 4, NtStatus::SUCCESS),
            (6, 1, 5, NtStatus::SUCCESS),
            (6, 1, 0, NtStatus::INVALID_PARAMETER),
        ] {
            assert_eq!(
                verify(major, minor, condition),
                status,
                "{major}.{minor} {condition}"
            );
        }
        assert_eq!(
            kernel.rtl_verify_version_info(pointer, 0, 0),
            Ok(NtStatus::INVALID_PARAMETER)
        );
    }

    #[test]
    fn versions_are_available_up_to_the_systems() {
        let kernel = bench(WindowsVersion::Eight).kernel;
        for (version, available) in [
            (0x0501_0000, 1),
            (0x0602_0000, 1),
            (0x0603_0000, 0),
            (0x0601_0100, 0),
        ] {
            assert_eq!(
                kernel.rtl_is_nt_ddi_version_available(version),
                Ok(available),
                "{version:#x}"
            );
        }
    }
}
