//! What routines for registry callbacks ask about key objects.
//!
//! Source: WDK reference, wdm.CmCallbackGetKeyObjectID, wdm.CmCallbackGetKeyObjectIDEx,
//! wdm.CmCallbackReleaseKeyObjectIDEx, wdm.CmGetBoundTransaction, wdm.CmSetCallbackObjectContext.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::cell::RefCell;

use dirql_abi::NtStatus;

use super::tree::KeyId;
use crate::{Ddi, DriverPtr, Kernel};

/// Names that were told to drivers, which keep them: one string for each key's path.
pub(super) type Told = RefCell<BTreeMap<String, u64>>;

impl Kernel {
    /// `NTSTATUS CmCallbackGetKeyObjectID(PLARGE_INTEGER Cookie, PVOID Object, PULONG_PTR ObjectID,
    /// PCUNICODE_STRING *ObjectName)`, and with flags `CmCallbackGetKeyObjectIDEx`
    ///
    /// Gives a number that is the same for all objects of a key, and the key's path. Either
    /// result may be NULL. The path stays valid; the Ex routine's is given back by
    /// CmCallbackReleaseKeyObjectIDEx.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: INVALID_PARAMETER for a cookie or an object that is none, or flags.
    /// - Source: WDK reference, wdm.CmCallbackGetKeyObjectID, wdm.CmCallbackGetKeyObjectIDEx.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn cm_callback_get_key_object_id(
        &self,
        cookie: DriverPtr<u64>,
        object: u64,
        id: DriverPtr<u64>,
        name: DriverPtr<u64>,
        flags: u32,
    ) -> Ddi<NtStatus> {
        let cookie = self.read(cookie)?;
        let Some(key) = self.key_of_object(object) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        if !self.is_registry_callback(cookie) || flags != 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        if !id.is_null() {
            self.write(id, u64::from(key.0) + 1)?;
        }
        if !name.is_null() {
            let told = self.told_name(key)?;
            self.write(name, told)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    fn told_name(&self, key: KeyId) -> Ddi<u64> {
        let path = self.cm.tree.borrow().path(key);
        let known = self.cm.told.borrow().get(&path).copied();
        if let Some(name) = known {
            return Ok(name);
        }
        let name = self.new_unicode_string(&path)?;
        self.cm.told.borrow_mut().insert(path, name);
        Ok(name)
    }

    /// `VOID CmCallbackReleaseKeyObjectIDEx(PCUNICODE_STRING ObjectName)`
    ///
    /// Gives a name back, which may be NULL; it is kept for the next one who asks.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `BAD_FREE` for what is no such name.
    /// - Source: WDK reference, wdm.CmCallbackReleaseKeyObjectIDEx.
    ///
    /// # Errors
    /// None but the end of the run.
    pub fn cm_callback_release_key_object_id_ex(&self, name: u64) -> Ddi<()> {
        let is_known = self.cm.told.borrow().values().any(|told| *told == name);
        if name != 0 && !is_known {
            let message = alloc::format!("{name:#x} is no name of a key object");
            self.find(dirql_rules::ids::BAD_FREE, message, None)?;
        }
        Ok(())
    }

    /// `PVOID CmGetBoundTransaction(PLARGE_INTEGER Cookie, PVOID Object)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: NULL: no key is opened in a transaction here.
    /// - Source: WDK reference, wdm.CmGetBoundTransaction.
    ///
    /// # Errors
    /// The cookie is not memory.
    pub fn cm_get_bound_transaction(&self, cookie: DriverPtr<u64>) -> Ddi<u64> {
        self.read(cookie)?;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::ob::ObjectKind;
    use crate::testing::Bench;

    const PATH: &str = r"\Registry\Machine\Software\Key";

    fn open(bench: &Bench) -> u64 {
        let handle = DriverPtr::<u64>::new(bench.variable(8));
        let attributes = bench.object_attributes(PATH);
        let status = bench.kernel.zw_open_key(handle, 0, attributes).unwrap();
        assert_eq!(status, NtStatus::SUCCESS);
        let value = bench.kernel.read(handle).unwrap();
        let object = bench.kernel.ob_of_handle(value).unwrap();
        assert_eq!(bench.kernel.ob_kind(object), Some(ObjectKind::Key));
        object
    }

    #[test]
    fn all_objects_of_a_key_have_one_number_and_its_path() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        kernel.registry_create(PATH);
        let (cookie, id, name) = (
            DriverPtr::<u64>::new(bench.variable(8)),
            DriverPtr::<u64>::new(bench.variable(8)),
            DriverPtr::<u64>::new(bench.variable(8)),
        );
        let altitude = DriverPtr::new(bench.unicode("1"));
        let routine = bench.routine(|_, _| Ok(0));
        kernel
            .cm_register_callback_ex(routine, altitude, 0, cookie)
            .unwrap();
        let (one, other) = (open(&bench), open(&bench));
        assert_ne!(one, other);
        let ask = |object, flags| {
            let status = kernel.cm_callback_get_key_object_id(cookie, object, id, name, flags);
            assert_eq!(status, Ok(NtStatus::SUCCESS));
            (kernel.read(id).unwrap(), kernel.read(name).unwrap())
        };
        assert_eq!(ask(one, 0), ask(other, 0));
        let told = kernel.read(name).unwrap();
        let text = kernel.text_of(DriverPtr::new(told)).unwrap();
        assert!(text.eq_ignore_ascii_case(PATH), "{text}");
        let null = DriverPtr::NULL;
        for (object, flags) in [(told, 0), (one, 1)] {
            assert_eq!(
                kernel.cm_callback_get_key_object_id(cookie, object, null, null, flags),
                Ok(NtStatus::INVALID_PARAMETER)
            );
        }
        kernel.cm_callback_release_key_object_id_ex(told).unwrap();
        kernel.cm_callback_release_key_object_id_ex(0).unwrap();
        assert!(bench.rules().is_empty());
        kernel.cm_callback_release_key_object_id_ex(one).unwrap();
        assert_eq!(bench.rules(), [dirql_rules::ids::BAD_FREE]);
        assert_eq!(kernel.cm_get_bound_transaction(cookie), Ok(0));
        kernel.write(cookie, 0x77).unwrap();
        assert_eq!(
            kernel.cm_callback_get_key_object_id(cookie, one, null, null, 0),
            Ok(NtStatus::INVALID_PARAMETER)
        );
    }
}
