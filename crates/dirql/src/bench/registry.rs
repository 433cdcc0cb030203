//! Values in the registry, as an INF's AddReg or a scenario puts them there.

use dirql_abi::registry::value_type;
use dirql_image::inf::{RegistryData, RegistryValue};
use dirql_kernel::Kernel;

/// The key below which every service has its own.
const SERVICES: &str = r"\Registry\Machine\System\CurrentControlSet\Services";

/// The key of a driver's service.
pub(super) fn service_key(service: &str) -> String {
    format!(r"{SERVICES}\{service}")
}

/// Makes `key` with these values below it; of two with one name the later one counts.
pub(super) fn set(kernel: &Kernel, key: &str, values: &[RegistryValue]) {
    kernel.registry_create(key);
    for value in values {
        let key = match value.subkey.trim_matches('\\') {
            "" => key.to_owned(),
            subkey => format!(r"{key}\{subkey}"),
        };
        let (kind, data) = bytes(&value.data);
        kernel.registry_set(&key, &value.name, kind, &data);
    }
}

/// A value's type and its bytes in memory.
fn bytes(data: &RegistryData) -> (u32, Vec<u8>) {
    let text = |text: &str| -> Vec<u8> {
        text.encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect()
    };
    match data {
        RegistryData::String(value) => (value_type::REG_SZ, text(value)),
        RegistryData::ExpandString(value) => (value_type::REG_EXPAND_SZ, text(value)),
        RegistryData::MultiString(values) => {
            let mut all: Vec<u8> = values.iter().flat_map(|value| text(value)).collect();
            all.extend([0, 0]);
            (value_type::REG_MULTI_SZ, all)
        }
        RegistryData::Dword(value) => (value_type::REG_DWORD, value.to_le_bytes().into()),
        RegistryData::Qword(value) => (value_type::REG_QWORD, value.to_le_bytes().into()),
        RegistryData::Binary(value) => (value_type::REG_BINARY, value.clone()),
        RegistryData::None(value) => (value_type::REG_NONE, value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_bytes() {
        let strings = |values: &[&str]| values.iter().map(ToString::to_string).collect();
        assert_eq!(
            bytes(&RegistryData::String("a".into())),
            (1, vec![97, 0, 0, 0])
        );
        assert_eq!(
            bytes(&RegistryData::ExpandString(String::new())),
            (2, vec![0, 0])
        );
        assert_eq!(bytes(&RegistryData::Binary(vec![5])), (3, vec![5]));
        assert_eq!(
            bytes(&RegistryData::Dword(0x0102_0304)),
            (4, vec![4, 3, 2, 1])
        );
        let several = RegistryData::MultiString(strings(&["a", "b"]));
        assert_eq!(bytes(&several), (7, vec![97, 0, 0, 0, 98, 0, 0, 0, 0, 0]));
        assert_eq!(
            bytes(&RegistryData::MultiString(Vec::new())),
            (7, vec![0, 0])
        );
        assert_eq!(
            bytes(&RegistryData::Qword(1)),
            (11, vec![1, 0, 0, 0, 0, 0, 0, 0])
        );
        assert_eq!(bytes(&RegistryData::None(vec![])), (0, vec![]));
    }
}
