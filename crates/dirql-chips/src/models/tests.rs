use alloc::format;
use alloc::string::String;

use snapbox::{assert_data_eq, str};

use super::*;

/// `model,option=value,…` for each line: what was built, or what is wrong.
fn script(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        let (name, rest) = line.split_once(',').unwrap_or((line, ""));
        let options: Vec<(&str, &str)> = rest
            .split(',')
            .filter_map(|option| option.split_once('='))
            .collect();
        text += &match build(name, &options) {
            Ok(PluggedDevice::Pci(function)) => format!(
                "pci {} {:08x}\n",
                function.device().model(),
                function.config().read32(0)
            ),
            Ok(PluggedDevice::Legacy(legacy)) => format!(
                "legacy {} at{}{}\n",
                legacy.device.model(),
                legacy_windows(&legacy.windows),
                legacy_lines(&legacy.lines)
            ),
            Err(error) => format!("{error}\n"),
        };
    }
    text
}

fn legacy_windows(windows: &[LegacyWindow]) -> String {
    let text = windows.iter().enumerate().map(|(index, window)| {
        assert_eq!(usize::from(window.region.0), index);
        format!(" {:#x}+{:#x}", window.base, window.size)
    });
    text.collect()
}

fn legacy_lines(lines: &[LegacyLine]) -> String {
    let text = lines
        .iter()
        .map(|line| format!(" line {} {:?}", line.number, line.trigger));
    text.collect()
}

#[test]
fn every_model_in_the_table_can_be_built() {
    for model in MODELS {
        let built = build(model.name, &[]).expect("built without options");
        let (name, kind) = match &built {
            PluggedDevice::Pci(function) => (function.device().model(), Kind::Pci),
            PluggedDevice::Legacy(legacy) => (legacy.device.model(), Kind::Legacy),
        };
        assert_eq!((name, kind), (model.name, model.kind));
        assert!(!model.doc.contains('\n'));
    }
    assert!(MODELS.is_sorted_by_key(|model| model.name));
}

#[test]
fn every_option_in_the_table_is_known() {
    for model in MODELS {
        for option in model.options {
            let error = build(model.name, &[(option.name, "?")]).expect_err("no option takes this");
            assert!(
                !matches!(error, ModelError::UnknownOption { .. }),
                "{error}"
            );
        }
    }
}

#[test]
fn options_change_what_is_built() {
    assert_data_eq!(
        script(&[
            "button",
            "button,port=0x300,line=5,trigger=edge",
            "button,port=0xfffc,line=239",
            "button,line2=11",
            "button,line=5,line2=5,trigger=edge",
            "edu,dma_mask=0xffffffffffffffff",
            "gpio,pins=2,trigger=edge",
            "gpio,base=0xd0000000,pins=32,wiring=shared,line=239",
            "ivshmem-doorbell,vectors=64,size=1048576,id=65535,peers=0",
            "msix",
            "msix,queues=2048,messages=1,msi=32",
            "nvme",
            "nvme,blocks=16777216,messages=1,msi=2",
            "parport",
            "parport,port=0x3bc,line=5,trigger=level,modes=spp,peer=chain,devices=4",
            "parport,port=0xfbf8,peer=loopback",
            "uart16550",
            "uart16550,port=0x2f8,line=3"
        ]),
        str![[r#"
legacy button at 0x280+0x4 line 10 Level
legacy button at 0x300+0x4 line 5 Edge
legacy button at 0xfffc+0x4 line 239 Level
legacy button at 0x280+0x4 line 10 Level line 11 Level
legacy button at 0x280+0x4 line 5 Edge line 5 Edge
pci edu 11e81234
legacy gpio at 0xfebf0000+0x40 line 24 Edge line 25 Edge
legacy gpio at 0xd0000000+0x40 line 239 Level
pci ivshmem-doorbell 11101af4
pci msix d1421234
pci msix d1421234
pci nvme d14e1234
pci nvme d14e1234
legacy parport at 0x378+0x8 0x778+0x3 line 7 Edge
legacy parport at 0x3bc+0x3 line 5 Level
legacy parport at 0xfbf8+0x8 0xfff8+0x3 line 7 Edge
legacy uart16550 at 0x3f8+0x8 line 4 Edge
legacy uart16550 at 0x2f8+0x8 line 3 Edge

"#]]
    );
}

#[test]
fn what_is_wrong_is_said_with_a_hint() {
    assert_data_eq!(
        script(&[
            "edo",
            "Button",
            "toaster",
            "",
            "edu,dma-mask=1",
            "edu,port=1",
            "button,line=1,line=1"
        ]),
        str![[r#"
no model `edo`, did you mean `edu`?; models: button, edu, gpio, hostile, ivshmem-doorbell, msix, nvme, parport, registers, uart16550
no model `Button`, did you mean `button`?; models: button, edu, gpio, hostile, ivshmem-doorbell, msix, nvme, parport, registers, uart16550
no model `toaster`; models: button, edu, gpio, hostile, ivshmem-doorbell, msix, nvme, parport, registers, uart16550
no model ``; models: button, edu, gpio, hostile, ivshmem-doorbell, msix, nvme, parport, registers, uart16550
model `edu` has no option `dma-mask`, did you mean `dma_mask`?; options: dma_mask
model `edu` has no option `port`; options: dma_mask
option `line` is given twice

"#]]
    );
}

#[test]
fn values_are_strict() {
    assert_data_eq!(
        script(&[
            "button,line=240",
            "button,line2=240",
            "button,line=-1",
            "button,line=+1",
            "button,line=",
            "button,line=0x",
            "button,line= 1",
            "button,line=0b",
            "button,port=0xfffd",
            "uart16550,port=0xfff9",
            "edu,dma_mask=0x10000000000000000",
            "msix,queues=2049",
            "msix,messages=0",
            "msix,msi=3",
            "gpio,pins=33",
            "gpio,pins=4,line=237",
            "gpio,base=0xffffffc1",
            "ivshmem-doorbell,vectors=65",
            "ivshmem-doorbell,size=8192",
            "nvme,blocks=0",
            "nvme,messages=3",
            "nvme,msi=4",
            "parport,port=0xfbf9",
            "parport,modes=ieee",
            "parport,peer=printre",
            "parport,devices=5",
            "button,trigger=levle",
            "button,trigger=Edge",
        ]),
        str![[r#"
option `line` is 240, not in 0..=239
option `line2` is 240, not in 0..=239
option `line` is `-1`, not a number (decimal, or hexadecimal after 0x)
option `line` is `+1`, not a number (decimal, or hexadecimal after 0x)
option `line` is ``, not a number (decimal, or hexadecimal after 0x)
option `line` is `0x`, not a number (decimal, or hexadecimal after 0x)
option `line` is ` 1`, not a number (decimal, or hexadecimal after 0x)
option `line` is `0b`, not a number (decimal, or hexadecimal after 0x)
option `port` is 0xfffd, not in 0x0..=0xfffc
option `port` is 0xfff9, not in 0x0..=0xfff8
option `dma_mask` is `0x10000000000000000`, not a number (decimal, or hexadecimal after 0x)
option `queues` is 2049, not in 1..=2048
option `messages` is 0, not in 1..=2048
option `msi` is `3`; it takes: 0, 1, 2, 4, 8, 16, 32
option `pins` is 33, not in 1..=32
option `line` is 237, not in 0..=236
option `base` is 0xffffffc1, not in 0x0..=0xffffffc0
option `vectors` is 65, not in 1..=64
option `size` is `8192`; it takes: 4096, 65536, 1048576
option `blocks` is 0, not in 1..=16777216
option `messages` is 3, not in 1..=2
option `msi` is `4`; it takes: 0, 1, 2
option `port` is 0xfbf9, not in 0x0..=0xfbf8
option `modes` is `ieee`; it takes: spp, ps2, epp, ecp, ecp+epp
option `peer` is `printre`, did you mean `printer`?; it takes: nothing, loopback, printer, script, chain
option `devices` is 5, not in 1..=4
option `trigger` is `levle`, did you mean `level`?; it takes: edge, level
option `trigger` is `Edge`, did you mean `edge`?; it takes: edge, level

"#]]
    );
}
