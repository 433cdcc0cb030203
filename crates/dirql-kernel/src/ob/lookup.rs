//! Objects by their names.
//!
//! Source: ntifs.h's and ReactOS's declarations of ObReferenceObjectByName and
//! ObOpenObjectByName, which have no pages; WDK reference, ntddk.IoEnumerateDeviceObjectList.

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `NTSTATUS ObReferenceObjectByName(PUNICODE_STRING Name, ULONG Attributes, PACCESS_STATE,
    /// ACCESS_MASK, POBJECT_TYPE, KPROCESSOR_MODE, PVOID ParseContext, PVOID *Object)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the object with a reference; OBJECT_TYPE_MISMATCH, and what a name brings.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ob_reference_object_by_name(
        &self,
        name: DriverPtr<UnicodeString>,
        object_type: u64,
        mode: u8,
        object: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let name = self.text_of(name)?;
        let body = match self.named_object(&name, object_type, mode) {
            Ok(body) => body,
            Err(status) => return Ok(status),
        };
        self.obf_reference_object(body)?;
        self.write(object, body)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ObOpenObjectByName(POBJECT_ATTRIBUTES, POBJECT_TYPE, KPROCESSOR_MODE, PACCESS_STATE,
    /// ACCESS_MASK, PVOID ParseContext, PHANDLE)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: as [`Kernel::ob_reference_object_by_name`].
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ob_open_object_by_name(
        &self,
        attributes: DriverPtr<ObjectAttributes>,
        object_type: u64,
        mode: u8,
        access: u32,
        handle: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let name = self.read(attributes)?.object_name;
        if name == 0 {
            return Ok(NtStatus::OBJECT_PATH_SYNTAX_BAD);
        }
        let name = self.text_of(DriverPtr::new(name))?;
        let body = match self.named_object(&name, object_type, mode) {
            Ok(body) => body,
            Err(status) => return Ok(status),
        };
        let value = self.ob_create_filtered_handle(body, access)?;
        self.write(handle, value)?;
        Ok(NtStatus::SUCCESS)
    }

    fn named_object(&self, name: &str, object_type: u64, mode: u8) -> Result<u64, NtStatus> {
        let found = self.name_resolve(name)?;
        if !found.rest.is_empty() {
            return Err(NtStatus::OBJECT_PATH_NOT_FOUND);
        }
        if !self.is_of_type(found.object, object_type, mode) {
            return Err(NtStatus::OBJECT_TYPE_MISMATCH);
        }
        Ok(found.object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::ob::{ObjectKind, keep};
    use crate::testing::Bench;

    #[test]
    fn an_object_is_found_by_its_name_and_type() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let body = kernel.allocate_system(64);
        kernel.ob_register(body, ObjectKind::Driver, keep);
        kernel.name_insert(r"\Driver\Sample", body).unwrap();
        let out = DriverPtr::<u64>::new(bench.variable(8));
        let drivers = kernel.type_object(ObjectKind::Driver);
        let find = |name, kind| {
            let name = DriverPtr::new(bench.unicode(name));
            kernel
                .ob_reference_object_by_name(name, kind, 0, out)
                .unwrap()
        };
        assert_eq!(find(r"\driver\sample", drivers), NtStatus::SUCCESS);
        assert_eq!(kernel.read(out), Ok(body));
        assert_eq!(kernel.ob_references(body), 2);
        assert_eq!(
            find(r"\Driver\Other", drivers),
            NtStatus::OBJECT_NAME_NOT_FOUND
        );
        let files = kernel.type_object(ObjectKind::File);
        assert_eq!(
            find(r"\Driver\Sample", files),
            NtStatus::OBJECT_TYPE_MISMATCH
        );
        let attributes = bench.object_attributes(r"\Driver\Sample");
        let opened = kernel.ob_open_object_by_name(attributes, drivers, 0, 0, out);
        assert_eq!(opened, Ok(NtStatus::SUCCESS));
        let handle = kernel.read(out).unwrap();
        assert_eq!(kernel.ob_of_handle(handle), Some(body));
    }
}
