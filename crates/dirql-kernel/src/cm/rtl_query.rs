//! `RtlQueryRegistryValues`: a table of values to read or to be told of.
//!
//! Source: WDK reference, wdm.RtlQueryRegistryValues and wdm.RTL_QUERY_REGISTRY_TABLE.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::registry::{
    RtlQueryRegistryTable, query_registry_flags as flag, relative_to, value_type,
};
use dirql_abi::string::UnicodeString;

use super::tree::{KeyId, Value};
use crate::{Ddi, DriverPtr, Kernel};

/// Rows of a table before it is taken for one without an end.
const MOST_ROWS: u32 = 0x1_0000;

/// Tag of buffers that are allocated for a driver's string.
const TAG: u32 = u32::from_le_bytes(*b"Strg");

/// The type that a row with `TYPECHECK` expects is in the top byte of its default type.
const EXPECTED_SHIFT: u32 = 24;
const DEFAULT_MASK: u32 = 0x00FF_FFFF;

/// Where the table is, and where its rows look at the moment.
struct Query {
    top: KeyId,
    current: KeyId,
    context: u64,
}

/// A value as it is handed to a driver.
struct Found<'v> {
    name: &'v str,
    value_type: u32,
    data: Vec<u8>,
}

impl Kernel {
    /// `NTSTATUS RtlQueryRegistryValues(ULONG RelativeTo, PCWSTR Path, PRTL_QUERY_REGISTRY_TABLE, PVOID Context, PVOID Environment)`
    ///
    /// Goes through a table: each row stores a value, or calls the driver's routine for it, for
    /// a key's values, or for a default.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_NOT_FOUND for a key, or a required value, that does not
    ///   exist; INVALID_PARAMETER for a row that makes no sense; BUFFER_TOO_SMALL;
    ///   OBJECT_TYPE_MISMATCH if a type was to be checked; or what a routine returned.
    /// - Findings: none of its own; strings without a buffer get one that counts as the
    ///   driver's pool.
    /// - Yields: inside the driver's routines.
    /// - Source: WDK reference, wdm.RtlQueryRegistryValues.
    pub fn rtl_query_registry_values(
        &self,
        relative_to: u32,
        path: u64,
        table: DriverPtr<RtlQueryRegistryTable>,
        context: u64,
        _environment: u64,
    ) -> Ddi<NtStatus> {
        let top = match self.rtl_key(relative_to, path, false)? {
            Ok(top) => top,
            Err(_) if relative_to & relative_to::RTL_REGISTRY_OPTIONAL != 0 => {
                return Ok(NtStatus::SUCCESS);
            }
            Err(status) => return Ok(status),
        };
        let mut query = Query {
            top,
            current: top,
            context,
        };
        let mut pointer = table;
        for _ in 0..MOST_ROWS {
            let row = self.read(pointer)?;
            if row.query_routine == 0
                && row.flags & (flag::RTL_QUERY_REGISTRY_SUBKEY | flag::RTL_QUERY_REGISTRY_DIRECT)
                    == 0
            {
                return Ok(NtStatus::SUCCESS);
            }
            let status = self.query_row(&mut query, &row)?;
            if !status.is_success() {
                return Ok(status);
            }
            pointer = pointer.element(1);
        }
        Ok(NtStatus::INVALID_PARAMETER)
    }

    fn query_row(&self, query: &mut Query, row: &RtlQueryRegistryTable) -> Ddi<NtStatus> {
        let has = |bit: u32| row.flags & bit != 0;
        let subkey = has(flag::RTL_QUERY_REGISTRY_SUBKEY);
        if has(flag::RTL_QUERY_REGISTRY_DIRECT)
            && (row.name == 0 || subkey || row.query_routine != 0)
        {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        if has(flag::RTL_QUERY_REGISTRY_TOPKEY | flag::RTL_QUERY_REGISTRY_SUBKEY) {
            query.current = query.top;
        }
        let name = self.wide_text(row.name)?;
        if subkey {
            if row.name == 0 {
                return Ok(NtStatus::INVALID_PARAMETER);
            }
            let Some(key) = self.cm.tree.borrow().find(query.top, &name) else {
                return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
            };
            query.current = key;
            if row.query_routine == 0 {
                return Ok(NtStatus::SUCCESS);
            }
            return self.query_all_values(query, row);
        }
        if row.name != 0 {
            return self.query_one_value(query, row, &name);
        }
        if has(flag::RTL_QUERY_REGISTRY_NOVALUE) {
            let arguments = [
                0,
                value_type::REG_NONE.into(),
                0,
                0,
                query.context,
                row.entry_context,
            ];
            return self.call_query_routine(row, &arguments);
        }
        self.query_all_values(query, row)
    }

    fn query_one_value(
        &self,
        query: &Query,
        row: &RtlQueryRegistryTable,
        name: &str,
    ) -> Ddi<NtStatus> {
        let found = {
            let tree = self.cm.tree.borrow();
            tree.key(query.current)
                .and_then(|key| key.value(name))
                .cloned()
        };
        let Some(value) = found else {
            return self.query_default(query, row, name);
        };
        let expected = row.default_type >> EXPECTED_SHIFT;
        let checks = row.flags & flag::RTL_QUERY_REGISTRY_TYPECHECK != 0;
        if checks && expected != value.value_type {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        }
        let status = self.give_value(query, row, &value)?;
        if status.is_success() && row.flags & flag::RTL_QUERY_REGISTRY_DELETE != 0 {
            let now = self.time_100ns();
            let deleted = self
                .cm
                .tree
                .borrow_mut()
                .delete_value(query.current, name, now);
            return Ok(deleted.err().unwrap_or(NtStatus::SUCCESS));
        }
        Ok(status)
    }

    fn query_default(
        &self,
        query: &Query,
        row: &RtlQueryRegistryTable,
        name: &str,
    ) -> Ddi<NtStatus> {
        let default_type = row.default_type & DEFAULT_MASK;
        if row.flags & flag::RTL_QUERY_REGISTRY_REQUIRED != 0 {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        }
        if default_type == value_type::REG_NONE {
            return Ok(NtStatus::SUCCESS);
        }
        let length = if row.default_length == 0 {
            self.default_length(row, default_type)?
        } else {
            row.default_length as usize
        };
        let data = self.read_bytes(row.default_data, length)?;
        self.give_value(
            query,
            row,
            &Value {
                name: name.into(),
                value_type: default_type,
                data,
            },
        )
    }

    /// The bytes of a default string whose length is not given, terminators included.
    fn default_length(&self, row: &RtlQueryRegistryTable, default_type: u32) -> Ddi<usize> {
        let length = |at| -> Ddi<usize> { Ok(2 * self.read_wide_string(at, usize::MAX)?.len()) };
        match default_type {
            _ if row.default_data == 0 => Ok(0),
            value_type::REG_SZ | value_type::REG_EXPAND_SZ => Ok(length(row.default_data)? + 2),
            value_type::REG_MULTI_SZ => {
                let mut total = 0;
                loop {
                    let one = length(row.default_data.wrapping_add(total as u64))?;
                    total += one + 2;
                    if one == 0 {
                        return Ok(total);
                    }
                }
            }
            _ => Ok(0),
        }
    }

    fn query_all_values(&self, query: &Query, row: &RtlQueryRegistryTable) -> Ddi<NtStatus> {
        let values: Vec<Value> = {
            let tree = self.cm.tree.borrow();
            tree.key(query.current)
                .map_or(Vec::new(), |key| key.values.clone())
        };
        if values.is_empty() && row.flags & flag::RTL_QUERY_REGISTRY_REQUIRED != 0 {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        }
        for value in values {
            let status = self.give_value(query, row, &value)?;
            if !status.is_success() {
                return Ok(status);
            }
        }
        Ok(NtStatus::SUCCESS)
    }

    /// Hands a value to a row, a string list as its strings and with variables expanded unless
    /// the row says not to.
    fn give_value(
        &self,
        query: &Query,
        row: &RtlQueryRegistryTable,
        value: &Value,
    ) -> Ddi<NtStatus> {
        let expands = row.flags & flag::RTL_QUERY_REGISTRY_NOEXPAND == 0;
        let one = |value_type, data| Found {
            name: &value.name,
            value_type,
            data,
        };
        match value.value_type {
            value_type::REG_MULTI_SZ if expands => {
                let mut target = row.entry_context;
                for text in strings(&value.data) {
                    let status =
                        self.give_one_value(query, row, &one(value_type::REG_SZ, text), target)?;
                    if !status.is_success() {
                        return Ok(status);
                    }
                    if row.flags & flag::RTL_QUERY_REGISTRY_DIRECT != 0 {
                        target = target.wrapping_add(size_of::<UnicodeString>() as u64);
                    }
                }
                Ok(NtStatus::SUCCESS)
            }
            value_type::REG_EXPAND_SZ if expands => {
                let found = one(value_type::REG_SZ, expanded(&value.data));
                self.give_one_value(query, row, &found, row.entry_context)
            }
            other => self.give_one_value(
                query,
                row,
                &one(other, value.data.clone()),
                row.entry_context,
            ),
        }
    }

    fn give_one_value(
        &self,
        query: &Query,
        row: &RtlQueryRegistryTable,
        found: &Found<'_>,
        target: u64,
    ) -> Ddi<NtStatus> {
        if row.flags & flag::RTL_QUERY_REGISTRY_DIRECT != 0 {
            return self.store_directly(found, target);
        }
        let name: Vec<u8> = found
            .name
            .encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let bytes = (name.len() + found.data.len()) as u64 + 16;
        let buffer = self.pool_allocate(1, bytes, TAG)?;
        if buffer == 0 {
            return Ok(NtStatus::NO_MEMORY);
        }
        let data = (buffer + name.len() as u64).next_multiple_of(8);
        self.write_bytes(buffer, &name)?;
        self.write_bytes(data, &found.data)?;
        let length = found.data.len() as u64;
        let arguments = [
            buffer,
            found.value_type.into(),
            data,
            length,
            query.context,
            row.entry_context,
        ];
        let status = self.call_query_routine(row, &arguments)?;
        self.pool_free(buffer, Some(TAG))?;
        Ok(status)
    }

    fn call_query_routine(&self, row: &RtlQueryRegistryTable, arguments: &[u64]) -> Ddi<NtStatus> {
        let result = self.call_at_same_level("QueryRoutine", row.query_routine, arguments)?;
        Ok(NtStatus::from_bits(result as u32))
    }

    /// `RTL_QUERY_REGISTRY_DIRECT`: a string goes to a UNICODE_STRING, up to four bytes go
    /// where the pointer points, and more go to a buffer whose length its first LONG says:
    /// negative for the data alone, positive for length and type in front of it.
    fn store_directly(&self, found: &Found<'_>, target: u64) -> Ddi<NtStatus> {
        let text = matches!(
            found.value_type,
            value_type::REG_SZ | value_type::REG_EXPAND_SZ | value_type::REG_MULTI_SZ
        );
        if text {
            return self.store_string(&found.data, DriverPtr::new(target));
        }
        let length = found.data.len() as u32;
        if length <= 4 {
            self.write_bytes(target, &found.data)?;
            return Ok(NtStatus::SUCCESS);
        }
        let room = self.read(DriverPtr::<i32>::new(target))?;
        if room.unsigned_abs() < length {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        if room < 0 {
            self.write_bytes(target, &found.data)?;
        } else {
            self.write(
                DriverPtr::<[u32; 2]>::new(target),
                [length, found.value_type],
            )?;
            self.write_bytes(target.wrapping_add(8), &found.data)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    fn store_string(&self, data: &[u8], target: DriverPtr<UnicodeString>) -> Ddi<NtStatus> {
        let mut header = self.read(target)?;
        let Ok(length) = u16::try_from(data.len()) else {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        };
        if header.buffer == 0 {
            header.buffer = self.pool_allocate(1, data.len().max(2) as u64, TAG)?;
            header.maximum_length = length;
            if header.buffer == 0 {
                return Ok(NtStatus::NO_MEMORY);
            }
        } else if length > header.maximum_length {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        self.write_bytes(header.buffer, data)?;
        // The terminator does not count.
        header.length = length.saturating_sub(2);
        self.write(target, header)?;
        Ok(NtStatus::SUCCESS)
    }
}

fn units(data: &[u8]) -> Vec<u16> {
    data.chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// The strings of a list, each with its terminator.
fn strings(data: &[u8]) -> Vec<Vec<u8>> {
    let units = units(data);
    let texts = units
        .split(|unit| *unit == 0)
        .take_while(|text| !text.is_empty());
    texts
        .map(|text| {
            text.iter()
                .copied()
                .chain([0])
                .flat_map(u16::to_le_bytes)
                .collect()
        })
        .collect()
}

/// Text with `%SystemRoot%`, the one variable that the kernel's part of the system has,
/// replaced.
fn expanded(data: &[u8]) -> Vec<u8> {
    let text = String::from_utf16_lossy(&units(data));
    let lower = text.to_ascii_lowercase();
    let variable = "%systemroot%";
    let mut out = String::new();
    let mut from = 0;
    while let Some(at) = lower[from..].find(variable) {
        out.push_str(&text[from..from + at]);
        out.push_str(r"\SystemRoot");
        from += at + variable.len();
    }
    out.push_str(&text[from..]);
    out.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
