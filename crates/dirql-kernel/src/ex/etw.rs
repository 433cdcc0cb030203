//! Event tracing: providers without a session.
//!
//! Nobody has enabled a provider, so that events go nowhere, as on a system on which nobody
//! traces; a provider's enable callback is never called.
//!
//! Source: WDK reference, "Adding Event Tracing to Kernel-Mode Drivers", wdm.EtwRegister and its
//! relatives.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_rules::{Place, ids};

use crate::{Ddi, DriverPtr, Kernel};

/// EVENT_ACTIVITY_CTRL_: get, set, create, get and set, create and set.
const CREATE_ID: [u32; 2] = [3, 5];

/// The providers there are.
#[derive(Debug, Default)]
pub(super) struct Providers {
    last: u64,
    live: BTreeMap<u64, Place>,
}

impl Kernel {
    /// `NTSTATUS EtwRegister(LPCGUID, PETWENABLECALLBACK, PVOID, PREGHANDLE)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, wdm.EtwRegister.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn etw_register(&self, provider: DriverPtr<Guid>, handle: DriverPtr<u64>) -> Ddi<NtStatus> {
        self.read(provider)?;
        let place = self.here();
        let number = {
            let mut providers = self.ex.providers.borrow_mut();
            providers.last += 1;
            let number = providers.last;
            providers.live.insert(number, place);
            number
        };
        self.write(handle, number)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS EtwUnregister(REGHANDLE)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE.
    /// - Source: WDK reference, wdm.EtwUnregister.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn etw_unregister(&self, handle: u64) -> Ddi<NtStatus> {
        let known = self.ex.providers.borrow_mut().live.remove(&handle);
        Ok(match known {
            Some(_) => NtStatus::SUCCESS,
            None => NtStatus::INVALID_HANDLE,
        })
    }

    /// `NTSTATUS EtwWrite(REGHANDLE, PCEVENT_DESCRIPTOR, LPCGUID, ULONG, PEVENT_DATA_DESCRIPTOR)` and
    /// its relatives: no session wants the event.
    ///
    /// - IRQL: any level.
    /// - Returns: INVALID_HANDLE for a handle that is not registered, except 0.
    /// - Source: WDK reference, wdm.EtwWrite.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn etw_write(&self, handle: u64) -> Ddi<NtStatus> {
        let known = handle == 0 || self.ex.providers.borrow().live.contains_key(&handle);
        Ok(if known {
            NtStatus::SUCCESS
        } else {
            NtStatus::INVALID_HANDLE
        })
    }

    /// `NTSTATUS EtwActivityIdControl(ULONG ControlCode, LPGUID ActivityId)`
    ///
    /// Makes a new identifier where the code asks for one; no thread has one already.
    ///
    /// - IRQL: any level.
    /// - Returns: INVALID_PARAMETER for a code out of 1..=5.
    /// - Source: WDK reference, wdm.EtwActivityIdControl.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn etw_activity_id_control(&self, code: u32, id: DriverPtr<Guid>) -> Ddi<NtStatus> {
        if !(1..=5).contains(&code) {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        if CREATE_ID.contains(&code) {
            return self.ex_uuid_create(id);
        }
        self.read(id)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Reports providers that `driver`, whose image is `image`, has left registered.
    pub(crate) fn find_providers_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        let left: Vec<Place> = {
            let mut providers = self.ex.providers.borrow_mut();
            let mut left = Vec::new();
            providers.live.retain(|_, place| {
                let theirs = image.contains(&place.address);
                if theirs {
                    left.push(place.clone());
                }
                !theirs
            });
            left
        };
        for place in left {
            let message = format!("{driver} was unloaded and left an event provider registered");
            self.find(
                ids::PROVIDER_LEFT,
                message,
                Some((String::from("registered here"), place)),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn a_provider_is_registered_written_to_and_missed_if_it_is_left() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let guid = DriverPtr::new(bench.variable(16));
        let handle = DriverPtr::<u64>::new(bench.variable(8));
        let register = || {
            kernel.etw_register(guid, handle).unwrap();
            kernel.read(handle).unwrap()
        };
        let first = register();
        assert_eq!(kernel.etw_write(first), Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.etw_unregister(first), Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.etw_unregister(first), Ok(NtStatus::INVALID_HANDLE));
        assert_eq!(kernel.etw_write(first), Ok(NtStatus::INVALID_HANDLE));
        register();
        // The test double's calls come from address 0.
        kernel.find_providers_left("sample", &(0..1)).unwrap();
        assert_eq!(bench.rules(), [ids::PROVIDER_LEFT]);
    }
}
