//! What queries of keys and values answer, byte by byte.
//!
//! Source: WDK reference, wdm.KEY_VALUE_FULL_INFORMATION and its relatives, wdm.ZwQueryValueKey
//! and wdm.ZwQueryKey, Return values.

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::registry::{
    key_information_class as key_class, key_value_information_class as value_class,
};

use super::tree::{Key, KeyId, Tree, Value};
use crate::{Ddi, DriverPtr, Kernel};

/// A complete answer, and how much of its front is not variable.
pub(super) struct Answer {
    bytes: Vec<u8>,
    fixed: usize,
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The bytes for one class of information on a value; `None` for a class that is none.
pub(super) fn of_value(value: &Value, class: u32) -> Option<Answer> {
    let name = wide(&value.name);
    let name_length = name.len() as u32;
    let data_length = value.data.len() as u32;
    let value_type = value.value_type;
    let full = |alignment: usize| {
        let offset = (20 + name.len()).next_multiple_of(alignment);
        let mut bytes = words(&[0, value_type, offset as u32, data_length, name_length]);
        bytes.extend(&name);
        bytes.resize(offset, 0);
        bytes.extend(&value.data);
        Answer { bytes, fixed: 20 }
    };
    Some(match class {
        value_class::KeyValueBasicInformation => {
            let bytes = [words(&[0, value_type, name_length]), name].concat();
            Answer { bytes, fixed: 12 }
        }
        value_class::KeyValueFullInformation => full(4),
        value_class::KeyValueFullInformationAlign64 => full(8),
        value_class::KeyValuePartialInformation => {
            let bytes = [words(&[0, value_type, data_length]), value.data.clone()].concat();
            Answer { bytes, fixed: 12 }
        }
        value_class::KeyValuePartialInformationAlign64 => {
            let bytes = [words(&[value_type, data_length]), value.data.clone()].concat();
            Answer { bytes, fixed: 8 }
        }
        _ => return None,
    })
}

/// The bytes for one class of information on a key; `None` for a class that is none.
pub(super) fn of_key(tree: &Tree, id: KeyId, key: &Key, class: u32) -> Option<Answer> {
    let name = wide(&key.name);
    let key_class: Vec<u8> = key
        .class
        .iter()
        .flat_map(|unit| unit.to_le_bytes())
        .collect();
    let time = key.last_write_100ns.to_le_bytes().to_vec();
    Some(match class {
        key_class::KeyBasicInformation => {
            let bytes = [time, words(&[0, name.len() as u32]), name].concat();
            Answer { bytes, fixed: 16 }
        }
        key_class::KeyNodeInformation => {
            let offset = if key_class.is_empty() {
                u32::MAX
            } else {
                24 + name.len() as u32
            };
            let header = words(&[0, offset, key_class.len() as u32, name.len() as u32]);
            Answer {
                bytes: [time, header, name, key_class].concat(),
                fixed: 24,
            }
        }
        key_class::KeyFullInformation => {
            let offset = if key_class.is_empty() { u32::MAX } else { 44 };
            let children = || key.children.values().filter_map(|id| tree.key(*id));
            let longest =
                |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0) as u32;
            let header = words(&[
                0,
                offset,
                key_class.len() as u32,
                key.children.len() as u32,
                longest(&mut children().map(|child| wide(&child.name).len())),
                longest(&mut children().map(|child| 2 * child.class.len())),
                key.values.len() as u32,
                longest(&mut key.values.iter().map(|value| wide(&value.name).len())),
                longest(&mut key.values.iter().map(|value| value.data.len())),
            ]);
            Answer {
                bytes: [time, header, key_class].concat(),
                fixed: 44,
            }
        }
        key_class::KeyNameInformation => {
            let path = wide(&tree.path(id));
            Answer {
                bytes: [words(&[path.len() as u32]), path].concat(),
                fixed: 4,
            }
        }
        _ => return None,
    })
}

impl Kernel {
    /// Gives an answer to a driver's buffer: all of it, the part that fits, or nothing if not
    /// even its fixed part does.
    pub(super) fn give_answer(
        &self,
        answer: Option<Answer>,
        buffer: u64,
        length: u32,
        needed: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let Some(Answer { bytes, fixed }) = answer else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        self.write(needed, bytes.len() as u32)?;
        let length = length as usize;
        if length < fixed {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        let fits = length.min(bytes.len());
        self.write_bytes(buffer, &bytes[..fits])?;
        Ok(if fits < bytes.len() {
            NtStatus::BUFFER_OVERFLOW
        } else {
            NtStatus::SUCCESS
        })
    }
}
