//! What drivers read directly in the kernel's structures is where they read it.

mod entry;

use dirql_abi::NtStatus;
use dirql_host::Host;
use dirql_kernel::{Config, WindowsVersion};

/// What the driver's export says on this Windows: 1, or 100 and the number of a group.
fn layouts(windows: WindowsVersion) -> Option<NtStatus> {
    let host = Host::new(Config {
        windows,
        ..Config::default()
    })
    .unwrap();
    let (_, status, _) = entry::run(&host, "layouts.sys", "layouts");
    assert_eq!(host.kernel().findings(), [], "{windows} {:?}", status);
    status
}

#[test]
fn structures_are_laid_out_as_drivers_of_every_windows_read_them() {
    for windows in WindowsVersion::ALL {
        assert_eq!(layouts(windows), Some(NtStatus(1)), "{windows}");
    }
}
