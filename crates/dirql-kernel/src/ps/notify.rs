//! Routines that a driver wants called when images, processes and threads come and go.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::{NtStatus, is_true};
use dirql_rules::{Place, ids};

use crate::{Ddi, DriverPtr, Kernel};

/// Most routines of one kind. Windows has 8 places before Windows Vista, 64 since.
const PLACES: usize = 64;
const PLACES_BEFORE_VISTA: usize = 8;

/// `IMAGE_INFO`: Properties, ImageBase, ImageSelector, ImageSize, ImageSectionNumber.
const IMAGE_INFO_BYTES: u64 = 40;

/// `ImageAddressingMode` 3 and `SystemModeImage` in Properties.
const SYSTEM_IMAGE: u64 = 0x103;

/// What a routine wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyKind {
    /// `PsSetLoadImageNotifyRoutine`.
    LoadImage,
    /// `PsSetCreateProcessNotifyRoutine`.
    Process,
    /// `PsSetCreateThreadNotifyRoutine`.
    Thread,
}

#[derive(Clone, Debug)]
pub(super) struct Registered {
    kind: NotifyKind,
    routine: u64,
    place: Place,
}

impl Kernel {
    fn add_notify(&self, kind: NotifyKind, routine: u64) -> NtStatus {
        let places = if self.config().windows < crate::WindowsVersion::Vista {
            PLACES_BEFORE_VISTA
        } else {
            PLACES
        };
        let place = self.here();
        let mut notify = self.ps.notify.borrow_mut();
        if notify.iter().filter(|one| one.kind == kind).count() >= places {
            return NtStatus::INSUFFICIENT_RESOURCES;
        }
        notify.push(Registered {
            kind,
            routine,
            place,
        });
        NtStatus::SUCCESS
    }

    fn remove_notify(&self, kind: NotifyKind, routine: u64) -> bool {
        let mut notify = self.ps.notify.borrow_mut();
        let index = notify
            .iter()
            .position(|one| one.kind == kind && one.routine == routine);
        index.map(|index| notify.remove(index)).is_some()
    }

    /// `NTSTATUS PsSetLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE)`
    ///
    /// From now on `routine` is called for every image that is loaded.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INSUFFICIENT_RESOURCES above 64 routines (8 before Windows Vista).
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntddk.PsSetLoadImageNotifyRoutine.
    pub fn ps_set_load_image_notify_routine(&self, routine: u64) -> Ddi<NtStatus> {
        Ok(self.add_notify(NotifyKind::LoadImage, routine))
    }

    /// `NTSTATUS PsRemoveLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; PROCEDURE_NOT_FOUND.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.PsRemoveLoadImageNotifyRoutine.
    pub fn ps_remove_load_image_notify_routine(&self, routine: u64) -> Ddi<NtStatus> {
        Ok(found(self.remove_notify(NotifyKind::LoadImage, routine)))
    }

    /// `NTSTATUS PsSetCreateProcessNotifyRoutine(PCREATE_PROCESS_NOTIFY_ROUTINE, BOOLEAN Remove)`
    ///
    /// Registers or removes a routine. No process is ever made here, so it is not called.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER if it is registered already (or is not, to be
    ///   removed: PROCEDURE_NOT_FOUND), or above 64 routines.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntddk.PsSetCreateProcessNotifyRoutine.
    pub fn ps_set_create_process_notify_routine(&self, routine: u64, remove: u8) -> Ddi<NtStatus> {
        if is_true(remove) {
            return Ok(found(self.remove_notify(NotifyKind::Process, routine)));
        }
        let same = |one: &Registered| one.kind == NotifyKind::Process && one.routine == routine;
        if self.ps.notify.borrow().iter().any(same) {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        match self.add_notify(NotifyKind::Process, routine) {
            NtStatus::SUCCESS => Ok(NtStatus::SUCCESS),
            _ => Ok(NtStatus::INVALID_PARAMETER),
        }
    }

    /// `NTSTATUS PsSetCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE)`
    ///
    /// Registers a routine. Threads of the system process are not announced, so it is not
    /// called.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INSUFFICIENT_RESOURCES.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntddk.PsSetCreateThreadNotifyRoutine.
    pub fn ps_set_create_thread_notify_routine(&self, routine: u64) -> Ddi<NtStatus> {
        Ok(self.add_notify(NotifyKind::Thread, routine))
    }

    /// `NTSTATUS PsRemoveCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; PROCEDURE_NOT_FOUND.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.PsRemoveCreateThreadNotifyRoutine.
    pub fn ps_remove_create_thread_notify_routine(&self, routine: u64) -> Ddi<NtStatus> {
        Ok(found(self.remove_notify(NotifyKind::Thread, routine)))
    }

    /// Calls the load-image routines for an image that was just mapped. `name` is its path.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn notify_image_loaded(&self, name: &str, image: &Range<u64>) -> Ddi<()> {
        let routines: Vec<u64> = {
            let notify = self.ps.notify.borrow();
            let wanted = notify
                .iter()
                .filter(|one| one.kind == NotifyKind::LoadImage);
            wanted.map(|one| one.routine).collect()
        };
        if routines.is_empty() {
            return Ok(());
        }
        let string = self.new_unicode_string(name)?;
        let info = self.allocate_system(IMAGE_INFO_BYTES);
        let words = [SYSTEM_IMAGE, image.start, 0, image.end - image.start, 0];
        self.write(DriverPtr::new(info), words)?;
        for routine in routines {
            self.call("LoadImageNotify", routine, &[string, 0, info]);
        }
        Ok(())
    }

    /// Reports routines of `driver`, whose image is `image`, that are still registered. For
    /// the moment after its Unload routine has returned.
    ///
    /// Findings: `NOTIFY_LEFT`.
    pub(crate) fn find_notify_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        let left: Vec<Registered> = {
            let mut notify = self.ps.notify.borrow_mut();
            let left = notify
                .iter()
                .filter(|one| image.contains(&one.routine))
                .cloned()
                .collect();
            notify.retain(|one| !image.contains(&one.routine));
            left
        };
        for one in left {
            let message = format!(
                "{driver} was unloaded and its {:?} notify routine {:#x} is still registered",
                one.kind, one.routine
            );
            self.find(
                ids::NOTIFY_LEFT,
                message,
                Some((String::from("registered here"), one.place)),
            )?;
        }
        Ok(())
    }
}

fn found(found: bool) -> NtStatus {
    if found {
        NtStatus::SUCCESS
    } else {
        NtStatus::PROCEDURE_NOT_FOUND
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Config, WindowsVersion};

    #[test]
    fn a_registered_routine_hears_of_images_until_it_is_removed() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let seen = bench.variable(8);
        let routine = bench.routine(move |kernel, arguments| {
            assert_eq!(
                kernel.text_of(DriverPtr::new(arguments[0]))?,
                r"\SystemRoot\a.sys"
            );
            kernel.write(
                DriverPtr::new(seen),
                kernel.read(DriverPtr::<[u64; 5]>::new(arguments[2]))?[3],
            )?;
            Ok(0)
        });
        assert_eq!(
            kernel.ps_set_load_image_notify_routine(routine),
            Ok(NtStatus::SUCCESS)
        );
        kernel
            .notify_image_loaded(r"\SystemRoot\a.sys", &(0x1000..0x3000))
            .unwrap();
        assert_eq!(kernel.read(DriverPtr::<u64>::new(seen)), Ok(0x2000));
        assert_eq!(
            kernel.ps_remove_load_image_notify_routine(routine),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(
            kernel.ps_remove_load_image_notify_routine(routine),
            Ok(NtStatus::PROCEDURE_NOT_FOUND)
        );
    }

    #[test]
    fn there_are_8_places_before_vista_and_64_since() {
        for (windows, places) in [(WindowsVersion::Server2003, 8), (WindowsVersion::Vista, 64)] {
            let bench = Bench::new(Config {
                windows,
                ..Config::default()
            });
            for _ in 0..places {
                assert_eq!(
                    bench.kernel.ps_set_create_thread_notify_routine(1),
                    Ok(NtStatus::SUCCESS)
                );
            }
            let more = bench.kernel.ps_set_create_thread_notify_routine(1);
            assert_eq!(more, Ok(NtStatus::INSUFFICIENT_RESOURCES));
        }
    }

    #[test]
    fn a_process_routine_is_registered_once() {
        let kernel = Bench::new(Config::default()).kernel;
        assert_eq!(
            kernel.ps_set_create_process_notify_routine(1, 0),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(
            kernel.ps_set_create_process_notify_routine(1, 0),
            Ok(NtStatus::INVALID_PARAMETER)
        );
        assert_eq!(
            kernel.ps_set_create_process_notify_routine(1, 1),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(
            kernel.ps_set_create_process_notify_routine(1, 1),
            Ok(NtStatus::PROCEDURE_NOT_FOUND)
        );
    }

    #[test]
    fn routines_of_a_driver_that_is_gone_are_findings() {
        let bench = Bench::new(Config::default());
        bench
            .kernel
            .ps_set_load_image_notify_routine(0x2000)
            .unwrap();
        bench
            .kernel
            .find_notify_left("sample", &(0x1000..0x2000))
            .unwrap();
        assert!(bench.rules().is_empty());
        bench
            .kernel
            .find_notify_left("sample", &(0x1000..0x2001))
            .unwrap();
        assert_eq!(bench.rules(), [ids::NOTIFY_LEFT]);
    }
}
