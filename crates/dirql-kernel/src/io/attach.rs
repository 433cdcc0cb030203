//! Device stacks.
//!
//! Source: WDK, "Device Objects and Device Stacks"; the pages of the routines.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::device::{DeviceObject, device_flags};
use dirql_abi::string::UnicodeString;

use crate::ob::ObjectKind;
use crate::{Ddi, DriverPtr, Kernel, at};

impl Kernel {
    /// The devices of the stack that `device` is in, from it upwards.
    pub(crate) fn stack_of(&self, device: u64) -> Vec<u64> {
        let mut stack = alloc::vec![device];
        let mut at = device;
        while let Some(above) = self.with_device(at, |d| d.above).flatten() {
            stack.push(above);
            at = above;
        }
        stack
    }

    /// The name of the first device above a physical device that has one: what an application
    /// opens if the driver offers no interface.
    #[must_use]
    pub fn name_of_stack(&self, physical_device: u64) -> Option<String> {
        let above = self.stack_of(physical_device).into_iter().skip(1);
        above.filter_map(|device| self.ob_name(device)).next()
    }

    /// The top of the stack that `device` is in.
    pub(crate) fn top_of_stack(&self, device: u64) -> u64 {
        let mut at = device;
        while let Some(above) = self.with_device(at, |d| d.above).flatten() {
            at = above;
        }
        at
    }

    /// The bottom of the stack that `device` is in.
    pub(crate) fn bottom_of_stack(&self, device: u64) -> u64 {
        let mut at = device;
        while let Some(below) = self.with_device(at, |d| d.below).flatten() {
            at = below;
        }
        at
    }

    /// Puts `source` on top of the stack of `target`; gives the device it lies on.
    fn attach(&self, source: u64, target: u64) -> Ddi<Option<u64>> {
        self.expect_device(source)?;
        self.expect_device(target)?;
        let top = self.top_of_stack(target);
        let gone = self
            .with_device(top, |d| d.deleted.is_some())
            .unwrap_or(true);
        if gone
            || top == source
            || self.device_flags(top)? & device_flags::DO_DEVICE_INITIALIZING != 0
        {
            return Ok(None);
        }
        let lower = self.read(DriverPtr::<DeviceObject>::new(top))?;
        let object = DriverPtr::<DeviceObject>::new(source);
        self.write(
            at!(object, DeviceObject, stack_size),
            lower.stack_size.saturating_add(1),
        )?;
        self.write(
            at!(object, DeviceObject, alignment_requirement),
            lower.alignment_requirement,
        )?;
        self.write(at!(object, DeviceObject, sector_size), lower.sector_size)?;
        self.write(
            at!(
                DriverPtr::<DeviceObject>::new(top),
                DeviceObject,
                attached_device
            ),
            source,
        )?;
        self.with_device_mut(top, |d| d.above = Some(source));
        self.with_device_mut(source, |d| d.below = Some(top));
        Ok(Some(top))
    }

    /// `PDEVICE_OBJECT IoAttachDeviceToDeviceStack(PDEVICE_OBJECT Source, PDEVICE_OBJECT Target)`
    ///
    /// Attaches `Source` to the top of the stack of `Target`; sets its StackSize,
    /// AlignmentRequirement and SectorSize.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the device it was attached to, or NULL, for example if that one is still
    ///   initializing or is being deleted.
    /// - Source: WDK reference, wdm.IoAttachDeviceToDeviceStack.
    ///
    /// # Errors
    /// The bug check if either is no device.
    pub fn io_attach_device_to_device_stack(&self, source: u64, target: u64) -> Ddi<u64> {
        Ok(self.attach(source, target)?.unwrap_or(0))
    }

    /// `NTSTATUS IoAttachDeviceToDeviceStackSafe(Source, Target, *AttachedTo)`
    ///
    /// As [`Kernel::io_attach_device_to_device_stack`]; `*AttachedTo` is written before a
    /// request can arrive.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS; NO_SUCH_DEVICE, with `*AttachedTo` NULL.
    /// - Source: WDK reference, ntddk.IoAttachDeviceToDeviceStackSafe.
    ///
    /// # Errors
    /// An out pointer that is not memory; the bug check if either is no device.
    pub fn io_attach_device_to_device_stack_safe(
        &self,
        source: u64,
        target: u64,
        attached_to: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let below = self.attach(source, target)?;
        self.write(attached_to, below.unwrap_or(0))?;
        Ok(if below.is_some() {
            NtStatus::SUCCESS
        } else {
            NtStatus::NO_SUCH_DEVICE
        })
    }

    /// `NTSTATUS IoAttachDevice(Source, PUNICODE_STRING TargetDevice, *AttachedDevice)`
    ///
    /// Attaches to the device of a name. The target is opened for that, so that its driver
    /// sees a create and a close request.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; NO_SUCH_DEVICE; the status of opening the target.
    /// - Source: WDK reference, wdm.IoAttachDevice.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_attach_device(
        &self,
        source: u64,
        name: DriverPtr<UnicodeString>,
        attached_to: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let name = self.text_of(name)?;
        let access = super::file::READ_ATTRIBUTES;
        let file = match self.in_kernel_mode(|| self.open_by_name(&name, access))? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let target = self.device_of_file(file)?;
        let below = self.attach(source, target)?;
        self.write(attached_to, below.unwrap_or(0))?;
        self.close_file_object(file)?;
        Ok(if below.is_some() {
            NtStatus::SUCCESS
        } else {
            NtStatus::NO_SUCH_DEVICE
        })
    }

    /// `NTSTATUS IoAttachDeviceByPointer(PDEVICE_OBJECT Source, PDEVICE_OBJECT Target)`
    ///
    /// Obsolete form of [`Kernel::io_attach_device_to_device_stack`].
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; NO_SUCH_DEVICE.
    /// - Source: WDK reference, "Obsolete routines", IoAttachDeviceByPointer.
    ///
    /// # Errors
    /// The bug check if either is no device.
    pub fn io_attach_device_by_pointer(&self, source: u64, target: u64) -> Ddi<NtStatus> {
        let below = self.attach(source, target)?;
        Ok(if below.is_some() {
            NtStatus::SUCCESS
        } else {
            NtStatus::NO_SUCH_DEVICE
        })
    }

    /// `VOID IoDetachDevice(PDEVICE_OBJECT TargetDevice)`
    ///
    /// Takes away what is attached to `TargetDevice`.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: DQ0205 nothing is attached to it, for example because it was handed the
    ///   driver's own device.
    /// - Source: WDK reference, wdm.IoDetachDevice.
    ///
    /// # Errors
    /// The bug check if it is no device.
    pub fn io_detach_device(&self, target: u64) -> Ddi<()> {
        self.expect_device(target)?;
        if self.with_device(target, |d| d.above).flatten().is_none() {
            let message = alloc::format!(
                "nothing is attached to {}; the argument is the device that was attached to",
                self.device_text(target)
            );
            return self.find(dirql_rules::ids::DETACH_UNATTACHED, message, None);
        }
        self.unlink_stack(target);
        self.write(
            at!(
                DriverPtr::<DeviceObject>::new(target),
                DeviceObject,
                attached_device
            ),
            0,
        )?;
        if self.with_device_mut(target, |d| core::mem::take(&mut d.kept_until_detached))
            == Some(true)
        {
            self.obf_dereference_object(target)?;
        }
        Ok(())
    }

    /// Separates `below` from what is above it, in our records.
    pub(super) fn unlink_stack(&self, below: u64) {
        if let Some(above) = self.with_device_mut(below, |d| d.above.take()).flatten() {
            self.with_device_mut(above, |d| d.below = None);
        }
    }

    /// `PDEVICE_OBJECT IoGetAttachedDevice(PDEVICE_OBJECT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the top of the stack, without a reference.
    /// - Source: WDK reference, ntifs.IoGetAttachedDevice.
    ///
    /// # Errors
    /// The bug check if it is no device.
    pub fn io_get_attached_device(&self, device: u64) -> Ddi<u64> {
        self.expect_device(device)?;
        Ok(self.top_of_stack(device))
    }

    /// `PDEVICE_OBJECT IoGetAttachedDeviceReference(PDEVICE_OBJECT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the top of the stack, with a reference that the caller has to give back.
    /// - Source: WDK reference, wdm.IoGetAttachedDeviceReference.
    ///
    /// # Errors
    /// The bug check if it is no device.
    pub fn io_get_attached_device_reference(&self, device: u64) -> Ddi<u64> {
        let top = self.io_get_attached_device(device)?;
        self.obf_reference_object(top)?;
        Ok(top)
    }

    /// `PDEVICE_OBJECT IoGetLowerDeviceObject(PDEVICE_OBJECT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the next lower device with a reference, or NULL.
    /// - Source: WDK reference, ntifs.IoGetLowerDeviceObject.
    ///
    /// # Errors
    /// The bug check if it is no device.
    pub fn io_get_lower_device_object(&self, device: u64) -> Ddi<u64> {
        self.expect_device(device)?;
        let Some(below) = self.with_device(device, |d| d.below).flatten() else {
            return Ok(0);
        };
        self.obf_reference_object(below)?;
        Ok(below)
    }

    /// `PDEVICE_OBJECT IoGetDeviceAttachmentBaseRef(PDEVICE_OBJECT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the bottom of the stack with a reference.
    /// - Source: WDK reference, ntifs.IoGetDeviceAttachmentBaseRef.
    ///
    /// # Errors
    /// The bug check if it is no device.
    pub fn io_get_device_attachment_base_ref(&self, device: u64) -> Ddi<u64> {
        self.expect_device(device)?;
        let base = self.bottom_of_stack(device);
        self.obf_reference_object(base)?;
        Ok(base)
    }

    /// `NTSTATUS IoGetDeviceObjectPointer(PUNICODE_STRING ObjectName, ACCESS_MASK, *FileObject, *DeviceObject)`
    ///
    /// Opens the named device and gives the file object with a reference and the top of the
    /// device's stack without. The handle that Windows opens for that is closed again, so
    /// that the driver sees IRP_MJ_CREATE and IRP_MJ_CLEANUP; IRP_MJ_CLOSE follows when the
    /// caller gives the reference to the file object back.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; the status of opening.
    /// - Source: WDK reference, wdm.IoGetDeviceObjectPointer, Remarks.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_get_device_object_pointer(
        &self,
        name: DriverPtr<UnicodeString>,
        access: u32,
        file_object: DriverPtr<u64>,
        device_object: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let name = self.text_of(name)?;
        let file = match self.in_kernel_mode(|| self.open_by_name(&name, access))? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        self.clean_up_file(file)?;
        self.write(file_object, file)?;
        let device = self.io_get_related_device_object(file)?;
        self.write(device_object, device)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `PDEVICE_OBJECT IoGetRelatedDeviceObject(PFILE_OBJECT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the top of the stack that requests for the file go to.
    /// - Source: WDK reference, wdm.IoGetRelatedDeviceObject.
    ///
    /// # Errors
    /// The bug check if it is no file object.
    pub fn io_get_related_device_object(&self, file: u64) -> Ddi<u64> {
        if self.ob_kind(file) != Some(ObjectKind::File) {
            return Err(self.not_io_object(file, "file object"));
        }
        let device = self.device_of_file(file)?;
        Ok(self.top_of_stack(device))
    }
}
