//! Object headers and pointer counts.

use alloc::format;
use alloc::string::String;

use dirql_rules::{BugCheck, Place, ids};

use crate::{Ddi, DriverPtr, Kernel};

/// Bug check REFERENCE_BY_POINTER: a count went wrong.
const REFERENCE_BY_POINTER: u32 = 0x18;

/// Bytes of an OBJECT_TYPE that a driver could look at; drivers only compare its address.
const TYPE_BYTES: u64 = 0x100;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ObjectKind {
    /// A device object.
    Device,
    /// A driver object.
    Driver,
    /// An open file or device.
    File,
    /// An event with a name or a handle.
    Event,
    /// A semaphore with a name or a handle.
    Semaphore,
    /// A mutant with a name or a handle.
    Mutant,
    /// A timer with a name or a handle.
    Timer,
    /// A thread.
    Thread,
    /// A process.
    Process,
    /// An open registry key.
    Key,
    /// A section.
    Section,
    /// A callback object.
    Callback,
    /// A controller object.
    Controller,
    /// A directory of the namespace.
    Directory,
    /// A symbolic link that was opened.
    SymbolicLink,
    /// An access token.
    Token,
}

impl ObjectKind {
    /// The variable through which the kernel exports the type, if it does.
    #[must_use]
    pub const fn export(self) -> Option<&'static str> {
        Some(match self {
            Self::Device => "IoDeviceObjectType",
            Self::Driver => "IoDriverObjectType",
            Self::File => "IoFileObjectType",
            Self::Event => "ExEventObjectType",
            Self::Semaphore => "ExSemaphoreObjectType",
            Self::Mutant => "ExMutantObjectType",
            Self::Timer => "ExTimerObjectType",
            Self::Thread => "PsThreadType",
            Self::Process => "PsProcessType",
            Self::Key => "CmKeyObjectType",
            Self::Section => "MmSectionObjectType",
            Self::Token => "SeTokenObjectType",
            Self::Callback | Self::Controller | Self::Directory | Self::SymbolicLink => {
                return None;
            }
        })
    }

    /// What the type is called.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Device => "Device",
            Self::Driver => "Driver",
            Self::File => "File",
            Self::Event => "Event",
            Self::Semaphore => "Semaphore",
            Self::Mutant => "Mutant",
            Self::Timer => "Timer",
            Self::Thread => "Thread",
            Self::Process => "Process",
            Self::Key => "Key",
            Self::Section => "Section",
            Self::Callback => "Callback",
            Self::Controller => "Controller",
            Self::Directory => "Directory",
            Self::SymbolicLink => "SymbolicLink",
            Self::Token => "Token",
        }
    }

    const ALL: [Self; 16] = [
        Self::Device,
        Self::Driver,
        Self::File,
        Self::Event,
        Self::Semaphore,
        Self::Mutant,
        Self::Timer,
        Self::Thread,
        Self::Process,
        Self::Key,
        Self::Section,
        Self::Callback,
        Self::Controller,
        Self::Directory,
        Self::SymbolicLink,
        Self::Token,
    ];
}

/// What is done when nobody refers to an object any more.
pub(crate) type Delete = fn(&Kernel, u64) -> Ddi<()>;

#[derive(Clone)]
pub(super) struct Object {
    pub(super) kind: ObjectKind,
    /// References by pointer, with one for each handle.
    pub(super) pointers: u32,
    pub(super) handles: u32,
    pub(super) name: Option<String>,
    delete: Delete,
    created: Place,
}

/// For objects whose memory is not given back.
pub(crate) fn keep(_: &Kernel, _: u64) -> Ddi<()> {
    Ok(())
}

impl Kernel {
    /// From now on `body` is an object with one reference. `delete` is called when the last
    /// reference is gone.
    pub(crate) fn ob_register(&self, body: u64, kind: ObjectKind, delete: Delete) {
        let object = Object {
            kind,
            pointers: 1,
            handles: 0,
            name: None,
            delete,
            created: self.here(),
        };
        self.io.ob.objects.borrow_mut().insert(body, object);
    }

    /// Whether `body` is an object, and what kind.
    pub(crate) fn ob_kind(&self, body: u64) -> Option<ObjectKind> {
        self.io
            .ob
            .objects
            .borrow()
            .get(&body)
            .map(|object| object.kind)
    }

    /// References to `body`, 0 if it is no object.
    pub(crate) fn ob_references(&self, body: u64) -> u32 {
        self.io
            .ob
            .objects
            .borrow()
            .get(&body)
            .map_or(0, |object| object.pointers)
    }

    /// Open handles of an object, and all references to it.
    pub(super) fn counts_of(&self, body: u64) -> (u32, u32) {
        let objects = self.io.ob.objects.borrow();
        let object = objects.get(&body);
        object.map_or((0, 0), |object| (object.handles, object.pointers))
    }

    /// The full name of an object, if it has one.
    pub(crate) fn ob_name(&self, body: u64) -> Option<String> {
        self.io
            .ob
            .objects
            .borrow()
            .get(&body)
            .and_then(|object| object.name.clone())
    }

    /// `LONG_PTR ObfReferenceObject(PVOID Object)`
    ///
    /// Adds a reference.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the count afterwards; the page reserves the value.
    /// - Findings: bug check 0x18 if this is no object.
    /// - Source: WDK reference, wdm.ObfReferenceObject.
    ///
    /// # Errors
    /// The bug check.
    pub fn obf_reference_object(&self, body: u64) -> Ddi<u64> {
        let mut objects = self.io.ob.objects.borrow_mut();
        let Some(object) = objects.get_mut(&body) else {
            drop(objects);
            return Err(self.not_an_object(body));
        };
        object.pointers = object.pointers.saturating_add(1);
        Ok(u64::from(object.pointers))
    }

    /// `LONG_PTR ObfDereferenceObject(PVOID Object)`
    ///
    /// Takes a reference away; without any, the object is deleted.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the count afterwards; the page reserves the value.
    /// - Findings: bug check 0x18 if this is no object, for example because it had no
    ///   reference left.
    /// - Source: WDK reference, wdm.ObfDereferenceObject; Bug check 0x18.
    ///
    /// # Errors
    /// The bug check.
    pub fn obf_dereference_object(&self, body: u64) -> Ddi<u64> {
        let mut objects = self.io.ob.objects.borrow_mut();
        let Some(object) = objects.get_mut(&body) else {
            drop(objects);
            return Err(self.not_an_object(body));
        };
        if object.pointers <= object.handles {
            let message = format!(
                "{body:#x} has {} references, all by open handles; one more was taken away",
                object.pointers
            );
            let created = object.created.clone();
            let parameters = [0, body, 2, u64::from(object.pointers)];
            drop(objects);
            self.find(
                ids::OBJECT_COUNT,
                message,
                Some((String::from("the object was made here"), created)),
            )?;
            return Err(BugCheck::new(REFERENCE_BY_POINTER, parameters).into());
        }
        object.pointers -= 1;
        if object.pointers > 0 {
            return Ok(u64::from(object.pointers));
        }
        let removed = objects.remove(&body);
        drop(objects);
        if let Some(object) = removed {
            self.io.ob.security.borrow_mut().remove(&body);
            if let Some(name) = &object.name {
                self.name_remove(name);
            }
            (object.delete)(self, body)?;
        }
        Ok(0)
    }

    /// `ObReferenceObjectByPointer(Object, DesiredAccess, ObjectType, AccessMode)`
    ///
    /// Adds a reference if the object is of the type.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS; OBJECT_TYPE_MISMATCH.
    /// - Source: WDK reference, wdm.ObReferenceObjectByPointer.
    ///
    /// # Errors
    /// As [`Kernel::obf_reference_object`].
    pub fn ob_reference_object_by_pointer(
        &self,
        body: u64,
        _access: u32,
        object_type: u64,
        mode: u8,
    ) -> Ddi<dirql_abi::NtStatus> {
        if !self.is_of_type(body, object_type, mode) {
            return Ok(dirql_abi::NtStatus::OBJECT_TYPE_MISMATCH);
        }
        self.obf_reference_object(body)?;
        Ok(dirql_abi::NtStatus::SUCCESS)
    }

    /// `POBJECT_TYPE ObGetObjectType(PVOID Object)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the object's type, as `*PsThreadType` and its relatives.
    /// - Source: ntifs.h, which declares it; it has no page.
    ///
    /// # Errors
    /// As [`Kernel::obf_reference_object`].
    pub fn ob_get_object_type(&self, body: u64) -> Ddi<u64> {
        match self.ob_kind(body) {
            Some(kind) => Ok(self.type_object(kind)),
            None => Err(self.not_an_object(body)),
        }
    }

    /// Whether `body` is of the type whose object is at `object_type`. Null stands for any
    /// type if the caller is the kernel.
    pub(super) fn is_of_type(&self, body: u64, object_type: u64, mode: u8) -> bool {
        if object_type == 0 {
            return mode == 0;
        }
        self.ob_kind(body)
            .is_some_and(|kind| self.type_object(kind) == object_type)
    }

    /// The address of a type's object.
    pub(crate) fn type_object(&self, kind: ObjectKind) -> u64 {
        if let Some(address) = self.io.ob.types.borrow().get(&kind) {
            return *address;
        }
        let address = self.allocate_system(TYPE_BYTES);
        self.io.ob.types.borrow_mut().insert(kind, address);
        address
    }

    /// The address of the exported variable `name` if it is one that holds an object type.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ob_data_export(&self, name: &str) -> Ddi<Option<u64>> {
        let Some(kind) = ObjectKind::ALL
            .into_iter()
            .find(|kind| kind.export() == Some(name))
        else {
            return Ok(None);
        };
        if let Some(address) = self.io.ob.variables.borrow().get(&kind) {
            return Ok(Some(*address));
        }
        let variable = self.allocate_system(8);
        self.write(DriverPtr::new(variable), self.type_object(kind))?;
        self.io.ob.variables.borrow_mut().insert(kind, variable);
        Ok(Some(variable))
    }

    fn not_an_object(&self, body: u64) -> crate::Stop {
        let message = format!("{body:#x} is not an object, or not any more");
        let gone = self.given_back(body);
        if self.find(ids::OBJECT_COUNT, message, gone).is_err() {
            return crate::Stop::Ended;
        }
        BugCheck::new(REFERENCE_BY_POINTER, [0, body, 0, 0]).into()
    }
}
