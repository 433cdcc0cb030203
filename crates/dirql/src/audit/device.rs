//! The device of a driver whose hardware nobody has described.

use std::path::Path;

use crate::scenario::{DeviceSpec, Interrupts, Scenario};

/// Gives the driver of a scenario without devices one to drive: a PCI device that lies and
/// interrupts when it likes, with the IDs that the driver's INF has. An INF that is for no PCI
/// device is left out, so that the driver gets the device all the same.
pub fn give_device(scenario: &mut Scenario) {
    let Some(driver) = scenario.drivers.first_mut() else {
        return;
    };
    let ids = driver.inf.as_deref().and_then(pci_ids);
    if ids.is_none() {
        driver.inf = None;
    }
    let device = DeviceSpec::new("device0", "hostile");
    scenario.devices.push(match ids {
        Some((vendor, id)) => device.option("vendor", vendor).option("device", id),
        None => device,
    });
}

/// Has devices be given their lines: Windows gives messages only to a device whose INF asks for them,
/// and a driver that connects to its line alone cannot do with several.
pub fn give_lines(scenario: &mut Scenario) {
    for device in &mut scenario.devices {
        device.interrupts = Some(Interrupts::Line);
    }
}

/// Vendor and device of the first PCI hardware ID in an INF.
fn pci_ids(inf: &Path) -> Option<(u16, u16)> {
    let text = std::fs::read(inf).ok()?;
    first_pci_id(&String::from_utf8_lossy(&text))
}

fn first_pci_id(text: &str) -> Option<(u16, u16)> {
    // INFs of two bytes for each character lose those that are zero.
    let text = text.replace('\0', "").to_uppercase();
    let number = |digits: Option<&str>| u16::from_str_radix(digits?, 16).ok();
    text.match_indices(r"PCI\VEN_").find_map(|(at, start)| {
        let rest = &text[at + start.len()..];
        let device = rest.get(4..)?.strip_prefix("&DEV_")?;
        Some((number(rest.get(..4))?, number(device.get(..4))?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hardware_id_of_pci_counts() {
        let text = "%Ours% = Install, root\\x\n%A% = Install, pci\\ven_8086&dev_10d3&subsys_1\n%B% = I, PCI\\VEN_1&DEV_2";
        assert_eq!(first_pci_id(text), Some((0x8086, 0x10D3)));
        assert_eq!(first_pci_id(r"PCI\CC_0101"), None);
        assert_eq!(first_pci_id(r"PCI\VEN_80"), None);
        assert_eq!(first_pci_id("PCI\\VEN_80é6&DEV_"), None);
    }
}
