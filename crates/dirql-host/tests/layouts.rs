//! What drivers read directly in the kernel's structures is where they read it.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use dirql_abi::NtStatus;
use dirql_host::{DriverSource, Host};
use dirql_image::ExportTarget;
use dirql_kernel::ke::ThreadBody;
use dirql_kernel::{Config, Kernel, WindowsVersion};

/// What the driver's export says on this Windows: 1, or 100 and the number of a group.
fn layouts(windows: WindowsVersion) -> Option<NtStatus> {
    let host = Host::new(Config {
        windows,
        ..Config::default()
    })
    .unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/layouts.sys");
    let file = std::fs::read(path).unwrap();
    let loaded = host
        .load_driver("layouts.sys", DriverSource::Image(&file))
        .unwrap();
    let mut image = loaded.driver_image().unwrap();
    let exports = loaded.image().image().unwrap().exports();
    let ExportTarget::Rva(rva) = exports.by_name("layouts").unwrap().target else {
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
    host.run_until_idle();
    assert_eq!(host.kernel().findings(), [], "{windows} {:?}", status.get());
    status.get()
}

#[test]
fn structures_are_laid_out_as_drivers_of_every_windows_read_them() {
    for windows in WindowsVersion::ALL {
        assert_eq!(layouts(windows), Some(NtStatus(1)), "{windows}");
    }
}
