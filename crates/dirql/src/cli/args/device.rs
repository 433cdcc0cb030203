//! A device on the command line.

use std::collections::BTreeSet;

use dirql::scenario::{DeviceSpec, Interrupts};
use dirql_chips::models::{self, Kind};

/// A device such as `edu,interrupts=msi:1,dma_mask=0xff`.
pub(super) fn device(text: &str) -> Result<DeviceSpec, String> {
    let mut parts = text.split(',');
    let model = parts.next().unwrap_or_default();
    let kind = models::find(model).map(|model| model.kind);
    let mut spec = DeviceSpec::new("", model);
    let mut keys = BTreeSet::new();
    for part in parts {
        let (key, value) = part
            .split_once('=')
            .filter(|(key, value)| !key.is_empty() && !value.is_empty())
            .ok_or(format!("`{part}` is not KEY=VALUE"))?;
        if !keys.insert(key) {
            return Err(format!("`{key}` is there twice"));
        }
        match key {
            "name" => spec.name = value.into(),
            "interrupts" => spec = spec.interrupts(interrupts(value)?),
            "driver" => spec = spec.driver(value),
            "shared" => {
                spec = spec.shared(
                    value
                        .parse()
                        .map_err(|_| format!("`{part}`: true or false"))?,
                )
            }
            "line" if kind == Some(Kind::Pci) => {
                spec = spec.line(
                    value
                        .parse()
                        .map_err(|_| format!("`{part}`: a number up to 239"))?,
                );
            }
            _ => spec = spec.option(key, value),
        }
    }
    let options: Vec<(&str, &str)> = spec
        .options
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    models::build(model, &options).map_err(|error| error.to_string())?;
    Ok(spec)
}

fn interrupts(text: &str) -> Result<Interrupts, String> {
    let (kind, count) = match text.split_once(':') {
        Some((kind, count)) => (kind, Some(count)),
        None => (text, None),
    };
    let number = |count: &str| {
        count
            .parse()
            .ok()
            .filter(|count| (1..=2048).contains(count))
    };
    let count = match count {
        Some(count) => {
            Some(number(count).ok_or(format!("`{count}` is not a number of messages, 1 to 2048"))?)
        }
        None => None,
    };
    match (kind, count) {
        ("line", None) => Ok(Interrupts::Line),
        ("msi", count) => Ok(Interrupts::Msi(count.unwrap_or(u16::MAX))),
        ("msix", count) => Ok(Interrupts::Msix(count.unwrap_or(u16::MAX))),
        _ => Err(format!("`{text}` is not line, msi, msi:N, msix or msix:N")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_options_of_its_own_and_of_its_model() {
        let spec = device("edu,name=e,interrupts=msi:2,line=17,driver=d,dma_mask=0xff").unwrap();
        let expected = DeviceSpec::new("e", "edu")
            .interrupts(Interrupts::Msi(2))
            .line(17)
            .driver("d");
        assert_eq!(spec, expected.option("dma_mask", "0xff"));
        assert_eq!(
            device("button,line=3,shared=true").unwrap().options,
            [("line".into(), "3".into())]
        );
    }

    #[test]
    fn what_is_wrong_with_a_device_is_said() {
        let wrong = |text: &str| device(text).unwrap_err();
        assert!(wrong("edo").starts_with("no model `edo`, did you mean `edu`?"));
        assert_eq!(wrong("edu,x"), "`x` is not KEY=VALUE");
        assert!(wrong("edu,dma=1").starts_with("model `edu` has no option `dma`"));
        assert_eq!(wrong("edu,line=240x"), "`line=240x`: a number up to 239");
        assert_eq!(wrong("edu,shared=yes"), "`shared=yes`: true or false");
    }

    #[test]
    fn a_key_has_a_value_and_is_there_once() {
        for wrong in [
            "edu,",
            "edu,name",
            "edu,name=",
            "edu,=a",
            "edu,name=a,name=b",
        ] {
            assert!(device(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn messages_are_counted_from_1_to_2048() {
        assert_eq!(interrupts("line"), Ok(Interrupts::Line));
        assert_eq!(interrupts("msi"), Ok(Interrupts::Msi(u16::MAX)));
        assert_eq!(interrupts("msix:2048"), Ok(Interrupts::Msix(2048)));
        for wrong in ["msi:0", "msix:2049", "msi:", "line:1", "apic"] {
            assert!(interrupts(wrong).is_err(), "{wrong}");
        }
    }
}
