//! Running an export of a driver as its entry point.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use dirql_abi::NtStatus;
use dirql_host::{DriverSource, Host};
use dirql_image::ExportTarget;
use dirql_kernel::Kernel;
use dirql_kernel::ke::{RunState, ThreadBody};

/// Runs an export of a driver as its entry point. Returns its address too.
pub(crate) fn run(host: &Host, driver: &str, export: &str) -> (RunState, Option<NtStatus>, u64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/drivers/{driver}"));
    let file = std::fs::read(path).unwrap();
    let loaded = host
        .load_driver(driver, DriverSource::Image(&file))
        .unwrap();
    let mut image = loaded.driver_image().unwrap();
    let export = loaded
        .image()
        .image()
        .unwrap()
        .exports()
        .by_name(export)
        .unwrap();
    let ExportTarget::Rva(rva) = export.target else {
        panic!("it is not forwarded")
    };
    image.entry = image.base + u64::from(rva);
    let object = host.kernel().create_driver(&image).unwrap().unwrap();
    let status = Rc::new(Cell::new(None));
    let slot = status.clone();
    let body = move |kernel: &Kernel| {
        slot.set(Some(kernel.run_driver_entry(object)?));
        Ok(())
    };
    host.kernel()
        .spawn_thread("test", 8, ThreadBody::Native(Box::new(body)));
    (host.run_until_idle(), status.get(), image.entry)
}
