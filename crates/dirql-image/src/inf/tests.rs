//! Tests of reading setup information files.

use proptest::prelude::*;

use super::{Device, Inf, LONGEST_VALUE, ProductType, RegistryData, RegistryValue, Target};

const WINDOWS_10: Target = Target {
    major: 10,
    minor: 0,
    build: 19041,
    product: ProductType::Workstation,
};

const EDU: &str = r#"; A driver for the edu device
[Version]
Signature = "$Windows NT$"
Class     = System              ; comment
Provider  = %Provider%
DriverVer = 11/20/2026,1.0.0.0

[Manufacturer]
%Provider% = Models, NTamd64, NTamd64.6.1, NTx86

[Models.NTamd64]
%Old% = Old, PCI\VEN_1234&DEV_0001

[Models.NTamd64.6.1]
%Edu% = Edu, PCI\VEN_1234&DEV_11E8&SUBSYS_11001AF4, \
             PCI\VEN_1234&DEV_11E8 ; two
"Plain" = edu, "PCI\VEN_1234&DEV_0002"

[Edu.NT]
CopyFiles = Edu.Files
AddReg = Edu.Software

[Edu.NT.HW]
AddReg = Edu.Msi, Edu.Affinity

[Edu.NT.Services]
AddService = EduFilter, , Filter.Service
AddService = %Name%, 0x00000002, Edu.Service

[Edu.Msi]
HKR, "Interrupt Management",, 0x00000010
HKR, "Interrupt Management\MessageSignaledInterruptProperties",, 0x00000010
HKR, "Interrupt Management\MessageSignaledInterruptProperties", MSISupported, 0x00010001, 1
hkr, Interrupt Management\MessageSignaledInterruptProperties, MessageNumberLimit, 0x00010001, 0x10

[Edu.Affinity]
HKR, "Interrupt Management\Affinity Policy", DevicePolicy, 0x00010001, 4
HKR, "Interrupt Management\Affinity Policy", AssignmentSetOverride, 0x00000001, 0F,00,00,00, 0x80,00,\
  00,00
HKLM, Software\Elsewhere, x, 0, y

[Edu.Software]
HKR,,Text,,"a ""quoted"" text; and, %Edu%"
HKR,,Expand,0x20000,%%SystemRoot%%\%Dir%
HKR,,Many,0x10000,one, two ,"three"
HKR,,Many,0x10008,four
HKR,,Big,0xb0001,0x123456789abcdef0
HKR,,Nothing,0x20001

[Edu.Service]
ServiceType   = 1
StartType     = 3
ErrorControl  = 1
ServiceBinary = %12%\edu.sys
AddReg        = Edu.Parameters

[Edu.Parameters]
HKR,Parameters,Depth,0x10001,08,00,01,00

[Old]
[Filter.Service]
ServiceBinary = %12%\filter.sys

[Strings]
Provider = "dirql project"
Edu = "Educational device"
Old = "Old device"
Name = "edu"
"#;

fn devices(text: &str) -> Result<Vec<Device>, String> {
    let inf = Inf::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    inf.devices(WINDOWS_10).map_err(|error| error.to_string())
}

fn edu() -> Device {
    devices(EDU).unwrap().remove(0)
}

/// What is said about [`EDU`] with one text replaced.
fn error(from: &str, to: &str) -> String {
    assert_eq!(EDU.matches(from).count(), 1, "{from}");
    devices(&EDU.replace(from, to)).unwrap_err()
}

#[test]
fn devices_have_ids_and_a_service() {
    let devices = devices(EDU).unwrap();
    assert_eq!(devices.len(), 2);
    let edu = &devices[0];
    assert_eq!(edu.description, "Educational device");
    assert_eq!(edu.section, "Edu.NT");
    assert_eq!(
        edu.hardware_ids,
        [
            r"PCI\VEN_1234&DEV_11E8&SUBSYS_11001AF4",
            r"PCI\VEN_1234&DEV_11E8"
        ],
    );
    let service = edu.service.as_ref().unwrap();
    assert_eq!((&*service.name, &*service.file_name), ("edu", "edu.sys"));
    assert_eq!(service.start_type, 3);
    assert_eq!(
        service.registry,
        [RegistryValue {
            subkey: "Parameters".into(),
            name: "Depth".into(),
            data: RegistryData::Dword(0x1_0008),
        }],
    );
    assert_eq!(
        (&*devices[1].description, &*devices[1].section),
        ("Plain", "Edu.NT")
    );
}

#[test]
fn the_hardware_key_says_how_the_device_interrupts() {
    let edu = edu();
    let msi = r"Interrupt Management\MessageSignaledInterruptProperties";
    assert_eq!(
        edu.hardware_value(msi, "MSISupported"),
        Some(&RegistryData::Dword(1))
    );
    assert_eq!(
        edu.hardware_value(msi, "messagenumberlimit"),
        Some(&RegistryData::Dword(16))
    );
    let affinity = r"interrupt management\affinity policy";
    assert_eq!(
        edu.hardware_value(affinity, "DevicePolicy"),
        Some(&RegistryData::Dword(4))
    );
    assert_eq!(
        edu.hardware_value(affinity, "AssignmentSetOverride"),
        Some(&RegistryData::Binary(vec![0xf, 0, 0, 0, 0x80, 0, 0, 0])),
    );
    assert_eq!(edu.hardware.len(), 4);
    assert_eq!(edu.hardware_value(affinity, "x"), None);
}

#[test]
fn registry_values_are_typed() {
    let edu = edu();
    let data: Vec<&RegistryData> = edu.software.iter().map(|value| &value.data).collect();
    let strings = ["one", "two", "three", "four"].map(String::from).to_vec();
    assert_eq!(
        data,
        [
            &RegistryData::String(r#"a "quoted" text; and, Educational device"#.into()),
            &RegistryData::ExpandString(r"%SystemRoot%\%Dir%".into()),
            &RegistryData::MultiString(strings),
            &RegistryData::Qword(0x1234_5678_9abc_def0),
            &RegistryData::None(vec![]),
        ],
    );
}

#[test]
fn the_models_section_that_asks_for_most_is_used() {
    let first = |target: Target| {
        let inf = Inf::parse(EDU.as_bytes()).unwrap();
        inf.devices(target).unwrap().remove(0).description
    };
    let product = ProductType::Server;
    assert_eq!(
        first(Target {
            major: 6,
            minor: 0,
            build: 6000,
            product
        }),
        "Old device"
    );
    assert_eq!(
        first(Target {
            major: 6,
            minor: 1,
            build: 7600,
            product
        }),
        "Educational device"
    );
    assert_eq!(first(WINDOWS_10), "Educational device");
}

#[test]
fn models_may_ask_for_a_build_and_a_kind_of_windows() {
    let installs = |decoration: &str, target: Target| {
        let text =
            format!("[Manufacturer]\nx=M,{decoration}\n[M.{decoration}]\nd=I\n[I]\nAddReg=\n");
        Inf::parse(text.as_bytes()).unwrap().devices(target).is_ok()
    };
    let server = Target {
        product: ProductType::Server,
        ..WINDOWS_10
    };
    assert!(installs("ntAMD64", WINDOWS_10));
    assert!(installs("NTamd64...", WINDOWS_10));
    assert!(installs("NTamd64.10.0...19041", WINDOWS_10));
    assert!(!installs("NTamd64.10.0...19042", WINDOWS_10));
    assert!(!installs("NTamd64.10.1", WINDOWS_10));
    assert!(!installs("NTamd64.11", WINDOWS_10));
    assert!(installs("NTamd64.10.0.0x1", WINDOWS_10));
    assert!(!installs("NTamd64.10.0.0x1", server));
    assert!(installs("NTamd64.10.0.3", server));
    assert!(!installs("NTamd64.10.0.1.0x80", WINDOWS_10));
    assert!(!installs("NTamd64.ten", WINDOWS_10));
    assert!(!installs("NT", WINDOWS_10));
    assert!(!installs("NTx86", WINDOWS_10));
    assert!(!installs("NTarm64", WINDOWS_10));
}

#[test]
fn install_sections_for_x64_come_first() {
    let section = |sections: &str| {
        let text = format!("[Manufacturer]\nx=M,NTamd64\n[M.NTamd64]\nd=I\n{sections}");
        devices(&text).map(|devices| devices[0].section.clone())
    };
    assert_eq!(
        section("[I]\n[I.nt]\n[I.ntamd64]").as_deref(),
        Ok("I.ntamd64")
    );
    assert_eq!(section("[I]\n[I.nt]").as_deref(), Ok("I.nt"));
    assert_eq!(section("[I]\n[I.ntx86]").as_deref(), Ok("I"));
    assert_eq!(section("").unwrap_err(), "4:1: there is no section [I]");
}

#[test]
fn a_device_may_have_no_service() {
    let service = |services: &str| {
        let text = format!(
            "[Manufacturer]\nx=M,NTamd64\n[M.NTamd64]\nd=I\n[I]\n{services}\n[S]\nServiceBinary=a.sys\n[T]\nServiceBinary=%13%\\b.sys"
        );
        devices(&text).unwrap()[0]
            .service
            .clone()
            .map(|service| service.file_name)
    };
    assert_eq!(service(""), None);
    assert_eq!(service("[I.Services]\nAddService = , 2"), None);
    assert_eq!(
        service("[I.Services]\nAddService = a,,S\nAddService = ,2"),
        None
    );
    assert_eq!(
        service("[I.Services]\nAddService = a,,S").as_deref(),
        Some("a.sys")
    );
    assert_eq!(
        service("[I.Services]\nAddService = a,,S\nAddService = b,2,T").as_deref(),
        Some("b.sys"),
    );
}

#[test]
fn values_can_be_kept_replaced_and_deleted() {
    let values = |lines: &str| {
        let text =
            format!("[Manufacturer]\nx=M,NTamd64\n[M.NTamd64]\nd=I\n[I]\nAddReg=R\n[R]\n{lines}");
        let values = devices(&text).unwrap().remove(0).software;
        values
            .into_iter()
            .map(|value| format!("{}={:?}", value.name, value.data))
            .collect::<Vec<_>>()
    };
    assert_eq!(values("HKR,,a,,1\nHKR,,A,,2"), [r#"a=String("2")"#]);
    assert_eq!(values("HKR,,a,,1\nHKR,,a,2,2"), [r#"a=String("1")"#]);
    assert_eq!(values("HKR,,a,,1\nHKR,,a,4"), [""; 0]);
    assert_eq!(values("HKR,,a,0x20,1"), [""; 0]);
    assert_eq!(values("HKR,,a,,1\nHKR,,a,0x20,2"), [r#"a=String("2")"#]);
    assert_eq!(values("HKR,,,,default"), [r#"=String("default")"#]);
    assert_eq!(values("HKR,key"), [""; 0]);
    assert_eq!(values("HKR,,a,0x10001,-1"), ["a=Dword(4294967295)"]);
    assert_eq!(values("HKR,,a,65537,0xFFFFFFFF"), ["a=Dword(4294967295)"]);
}

#[test]
fn errors_have_a_place() {
    assert_eq!(
        error("[Models.NTamd64.6.1]", "[Other]"),
        "9:31: there is no section [Models.NTamd64.6.1]",
    );
    assert_eq!(
        error("AddReg = Edu.Msi, Edu.Affinity", "AddReg = Edu.Msi, Gone"),
        "24:19: there is no section [Gone]"
    );
    assert_eq!(
        error(
            "MSISupported, 0x00010001, 1",
            "MSISupported, 0x00010001, yes"
        ),
        "33:91: REG_DWORD is \"yes\", must be a number, decimal or with 0x",
    );
    assert_eq!(
        error(
            "MSISupported, 0x00010001, 1",
            "MSISupported, 0x00010001, 0x100000000"
        ),
        "33:91: REG_DWORD is \"0x100000000\", must be a number of at most 32 bits",
    );
    assert_eq!(
        error("08,00,01,00", "08,00,01"),
        "58:1: REG_DWORD has 3 fields, must have 1 or 4",
    );
    assert_eq!(
        error("08,00,01,00", "08,00,01,100"),
        "58:39: a byte is \"100\", must be hexadecimal, 0..=ff",
    );
    assert_eq!(
        error("Many,0x10000,", "Many,0x30000,"),
        "45:1: registry type 0x30000 in the flags, must be 0, 1, 0x10000, 0x10001, 0x20000, 0x20001 or 0xb0001",
    );
    assert_eq!(
        error("Many,0x10000,", "Many,many,"),
        "45:11: Flags is \"many\", must be a number of at most 32 bits",
    );
    assert_eq!(
        error(r"ServiceBinary = %12%\edu.sys", "Gone = 1"),
        "50:2: ServiceBinary is missing"
    );
    assert_eq!(
        error(", NTamd64, NTamd64.6.1, NTx86", ", NTx86"),
        "8:2: no models section of [Manufacturer] is for x64 and Windows 10.0.19041: the entry needs NTamd64",
    );
    assert_eq!(
        error("[Manufacturer]", "[Manufacturers]"),
        "1:1: there is no section [Manufacturer]"
    );
    assert_eq!(
        error("[Version]", "[Version"),
        "2:1: the section name has no closing bracket"
    );
    assert_eq!(
        error("[Version]", "Version"),
        "2:1: entry outside of a section"
    );
    assert_eq!(
        error("\"dirql project\"", "\"dirql project"),
        "65:12: the quoted string has no closing quote on this line",
    );
}

#[test]
fn lines_continue_after_a_backslash() {
    let value = |text: &str| {
        let inf = Inf::parse(text.as_bytes()).unwrap();
        let section = inf.section("s").unwrap();
        let values = section.entries[0]
            .values
            .iter()
            .map(|field| field.text.clone());
        values.collect::<Vec<_>>().join("|")
    };
    assert_eq!(value("[s]\r\nk=a,\\\r\n  b"), "a|b");
    assert_eq!(value("[s]\nk=a, \\ ; why\n b"), "a|b");
    assert_eq!(value("[s]\nk=C:\\a\\b, c"), "C:\\a\\b|c");
    assert_eq!(value("[s]\nk=\"a\\\"\nb"), "a\\");
    assert_eq!(value("[s]\na,b=c,d"), "a|b=c|d");
    assert_eq!(value("[s]\nk = \"  a \" b  , c"), "  a  b|c");
    assert_eq!(value("[s]\nk = a,,"), "a||");
    assert_eq!(value("[s]\nk = a\\"), "a\\");
}

#[test]
fn an_inf_of_a_driver_without_a_device_installs_none() {
    for section in [
        "DefaultInstall",
        "defaultinstall.nt",
        "DefaultInstall.NTamd64",
    ] {
        let text = format!("[Version]\nSignature=\"$WINDOWS NT$\"\n[{section}]\n");
        let inf = Inf::parse(text.as_bytes()).unwrap();
        assert_eq!(inf.devices(WINDOWS_10), Ok(Vec::new()), "{section}");
    }
}

#[test]
fn sections_of_one_name_are_one_section() {
    let inf = Inf::parse(b"[A]\nx=1\n[b]\n[a] ; again\ny=2").unwrap();
    assert_eq!(inf.sections().collect::<Vec<_>>(), ["A", "b"]);
    assert_eq!(inf.value("a", "Y").unwrap().as_deref(), Some("2"));
    assert_eq!(inf.value("a", "z"), Ok(None));
    assert_eq!(inf.value("z", "z"), Ok(None));
}

#[test]
fn strings_are_put_in() {
    let text = |value: &str| {
        let text = format!("[s]\nk={value}\n[Strings]\na=\"one\"\nB=two %a%");
        Inf::parse(text.as_bytes())
            .unwrap()
            .value("s", "k")
            .unwrap()
            .unwrap()
    };
    assert_eq!(text("%a%"), "one");
    assert_eq!(text("<%A%%b%>"), "<onetwo %a%>");
    assert_eq!(text("\"%a% %12% %none%\""), "one %12% %none%");
    assert_eq!(text("100%%"), "100%");
    assert_eq!(
        text("100% %a%"),
        "100% %a%",
        "the name between the first two is not known"
    );
    assert_eq!(text("50%"), "50%");
}

#[test]
fn values_have_a_longest_length() {
    let value = |count: usize| {
        let text = format!(
            "[s]\nk = {}\n[Strings]\na={}",
            "%a%".repeat(count),
            "é".repeat(1024)
        );
        Inf::parse(text.as_bytes())
            .unwrap()
            .value("s", "k")
            .map(|value| value.unwrap().chars().count())
    };
    assert_eq!(value(4), Ok(LONGEST_VALUE));
    let error = value(5).unwrap_err().to_string();
    assert_eq!(
        error,
        "2:5: the value is longer than 4096 characters with its %strings%"
    );
    assert!(value(10_000).is_err());
}

#[test]
fn files_come_in_several_encodings() {
    let text = "[s]\r\nk = \"Gerät\"\r\n";
    let read = |bytes: Vec<u8>| {
        Inf::parse(&bytes)
            .unwrap()
            .value("s", "k")
            .unwrap()
            .unwrap()
    };
    let units = || text.encode_utf16();
    assert_eq!(read(text.as_bytes().to_vec()), "Gerät");
    assert_eq!(read([b"\xef\xbb\xbf", text.as_bytes()].concat()), "Gerät");
    assert_eq!(
        read(
            [0xff, 0xfe]
                .into_iter()
                .chain(units().flat_map(u16::to_le_bytes))
                .collect()
        ),
        "Gerät"
    );
    assert_eq!(
        read(
            [0xfe, 0xff]
                .into_iter()
                .chain(units().flat_map(u16::to_be_bytes))
                .collect()
        ),
        "Gerät"
    );
    assert_eq!(read(text.chars().map(|c| c as u8).collect()), "Gerät");
    let broken = Inf::parse(b"\xff\xfe[\0s\0]\0\n\0k\0\x00\xd8=\0").unwrap_err();
    assert_eq!(
        broken.to_string(),
        "2:2: the file is UTF-16, but this is no character"
    );
    assert!(Inf::parse(b"\xff\xfe[").is_err());
    assert_eq!(Inf::parse(b"").unwrap(), Inf::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn changed_files_are_read_without_a_panic(
        changes in proptest::collection::vec((0..EDU.len(), "[\\[\\]=,\"%;\\\\\n \\x00-\u{ff}]"), 1..20),
    ) {
        let mut text: Vec<char> = EDU.chars().collect();
        for (offset, with) in changes {
            text[offset] = with.chars().next().unwrap();
        }
        let text: String = text.into_iter().collect();
        if let Ok(inf) = Inf::parse(text.as_bytes()) {
            let _ = inf.devices(WINDOWS_10);
        }
    }

    #[test]
    fn noise_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Inf::parse(&bytes);
    }
}

#[test]
fn needed_sections_are_taken_once_and_those_of_other_files_are_left_out() {
    let text = EDU
        .replace(
            "AddReg = Edu.Msi, Edu.Affinity",
            "Include = machine.inf\nNeeds = PciIoSpaceNotRequired.HW, More.HW\nAddReg = Edu.Msi",
        )
        .replace(
            "[Old]\n",
            "[Old]\n[More.HW]\nNeeds = Edu.NT.HW\nAddReg = Edu.Affinity\n",
        );
    let edu = devices(&text).unwrap().remove(0);
    let policy = edu.hardware_value(r"Interrupt Management\Affinity Policy", "DevicePolicy");
    assert_eq!(policy, Some(&RegistryData::Dword(4)));
    let messages = r"Interrupt Management\MessageSignaledInterruptProperties";
    assert!(edu.hardware_value(messages, "MSISupported").is_some());
    let without = text.replace("Include = machine.inf\n", "");
    assert!(
        devices(&without)
            .unwrap_err()
            .contains("PciIoSpaceNotRequired.HW")
    );
}

#[test]
fn services_can_be_needed_and_a_filter_value_collects_names() {
    let text = EDU
        .replace(
            "[Edu.NT.Services]\n",
            "[Edu.NT.Services]\nNeeds = Common.Services\n[Common.Services]\n",
        )
        .replace(
            "[Edu.Affinity]\n",
            "[Edu.Affinity]\nHKR,,UpperFilters,0x00010008,one\nHKR,,UpperFilters,0x00010008,two\n",
        );
    let edu = devices(&text).unwrap().remove(0);
    assert_eq!(edu.service.unwrap().name, "edu");
    assert_eq!(
        edu.hardware
            .iter()
            .find(|value| value.name == "UpperFilters")
            .map(|value| &value.data),
        Some(&RegistryData::MultiString(vec!["one".into(), "two".into()]))
    );
}
