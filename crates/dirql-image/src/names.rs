//! Names of the numbers in PE headers, for messages.
//!
//! Source: PE Format, "Machine Types" and "Windows Subsystem".

/// What processor a COFF machine type stands for.
pub(crate) fn machine(value: u16) -> Option<&'static str> {
    Some(match value {
        0x014c => "i386",
        0x01c0 | 0x01c2 | 0x01c4 => "ARM",
        0x0200 => "Itanium",
        0x0ebc => "EFI byte code",
        0x5064 => "RISC-V 64",
        0x8664 => "AMD64",
        0xa641 => "ARM64EC",
        0xaa64 => "ARM64",
        _ => return None,
    })
}

/// What environment a subsystem number stands for.
pub(crate) fn subsystem(value: u16) -> Option<&'static str> {
    Some(match value {
        0 => "unknown",
        1 => "native",
        2 => "Windows GUI program",
        3 => "Windows console program",
        5 => "OS/2 console program",
        7 => "POSIX console program",
        8 => "native Windows 9x driver",
        9 => "Windows CE program",
        10 => "EFI application",
        11 => "EFI boot driver",
        12 => "EFI runtime driver",
        13 => "EFI ROM",
        14 => "Xbox",
        16 => "Windows boot application",
        _ => return None,
    })
}

/// ` (name)`, or nothing when there is no name.
pub(crate) fn in_brackets(name: Option<&'static str>) -> String {
    name.map(|name| format!(" ({name})")).unwrap_or_default()
}
