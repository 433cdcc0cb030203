//! Keys and values, without handles and drivers.
//!
//! Source: WDK reference, "Using the Registry in a Driver"; "Registry Element Size Limits".

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;

/// A key, by the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyId(pub u32);

/// Longest name of a key, in characters.
const LONGEST_KEY_NAME: usize = 255;

/// Longest name of a value, in characters.
const LONGEST_VALUE_NAME: usize = 16_383;

/// A value. Its name is compared without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub name: String,
    pub value_type: u32,
    pub data: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub name: String,
    pub parent: Option<KeyId>,
    pub class: Vec<u16>,
    pub volatile: bool,
    pub last_write_100ns: u64,
    /// By name in upper case, which is also the order in which they are enumerated.
    pub children: BTreeMap<String, KeyId>,
    /// In order of creation.
    pub values: Vec<Value>,
}

/// All keys.
#[derive(Debug)]
pub(super) struct Tree {
    keys: BTreeMap<KeyId, Key>,
    next: u32,
}

/// The root, `\REGISTRY`.
pub(super) const ROOT: KeyId = KeyId(0);

/// Keys that exist from the beginning.
const SKELETON: [&str; 14] = [
    r"MACHINE\SYSTEM\CurrentControlSet\Services",
    r"MACHINE\SYSTEM\CurrentControlSet\Control\Class",
    r"MACHINE\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management",
    r"MACHINE\SYSTEM\CurrentControlSet\Control\Session Manager\Kernel",
    r"MACHINE\SYSTEM\CurrentControlSet\Control\DeviceClasses",
    r"MACHINE\SYSTEM\CurrentControlSet\Enum",
    r"MACHINE\SYSTEM\CurrentControlSet\Hardware Profiles\Current",
    r"MACHINE\SYSTEM\Select",
    r"MACHINE\HARDWARE\DESCRIPTION\System",
    r"MACHINE\HARDWARE\DEVICEMAP",
    r"MACHINE\HARDWARE\RESOURCEMAP",
    r"MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion",
    r"MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion",
    r"USER\.Default",
];

/// The form in which names are compared.
pub(super) fn folded(name: &str) -> String {
    // The current set of controls is a link to the first one.
    if name.eq_ignore_ascii_case("ControlSet001") {
        return String::from("CURRENTCONTROLSET");
    }
    if name.is_ascii() {
        return name.to_ascii_uppercase();
    }
    name.chars().flat_map(char::to_uppercase).collect()
}

impl Default for Tree {
    fn default() -> Self {
        let root = Key::new("REGISTRY", None, false, 0);
        let mut tree = Self {
            keys: BTreeMap::from([(ROOT, root)]),
            next: 1,
        };
        for path in SKELETON {
            tree.create_path(ROOT, path, 0);
        }
        tree
    }
}

impl Key {
    fn new(name: &str, parent: Option<KeyId>, volatile: bool, now_100ns: u64) -> Self {
        Self {
            name: name.into(),
            parent,
            class: Vec::new(),
            volatile,
            last_write_100ns: now_100ns,
            children: BTreeMap::new(),
            values: Vec::new(),
        }
    }

    /// The value of this name.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        let name = folded(name);
        self.values.iter().find(|value| folded(&value.name) == name)
    }
}

impl Tree {
    /// A key that was not deleted.
    pub(super) fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys.get(&id)
    }

    /// The key below `from` that the path leads to.
    pub(super) fn find(&self, from: KeyId, path: &str) -> Option<KeyId> {
        let mut at = from;
        for part in parts(path) {
            at = *self.keys.get(&at)?.children.get(&folded(part))?;
        }
        Some(at)
    }

    /// Makes the last part of a path, if it does not exist. Returns it and whether it is new.
    ///
    /// # Errors
    /// `OBJECT_NAME_NOT_FOUND` if what is before the last part does not exist,
    /// `OBJECT_NAME_INVALID` for a name longer than 255 characters, `CHILD_MUST_BE_VOLATILE`,
    /// `KEY_DELETED`.
    pub(super) fn create(
        &mut self,
        from: KeyId,
        path: &str,
        volatile: bool,
        now_100ns: u64,
    ) -> Result<(KeyId, bool), NtStatus> {
        if let Some(found) = self.find(from, path) {
            return Ok((found, false));
        }
        let path = path.trim_matches('\\');
        let (before, last) = path.rsplit_once('\\').unwrap_or(("", path));
        if !self.keys.contains_key(&from) {
            return Err(NtStatus::KEY_DELETED);
        }
        let parent = self
            .find(from, before)
            .ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        if last.encode_utf16().count() > LONGEST_KEY_NAME {
            return Err(NtStatus::OBJECT_NAME_INVALID);
        }
        let id = KeyId(self.next);
        let key = self.keys.get_mut(&parent).ok_or(NtStatus::KEY_DELETED)?;
        if key.volatile && !volatile {
            return Err(NtStatus::CHILD_MUST_BE_VOLATILE);
        }
        key.children.insert(folded(last), id);
        key.last_write_100ns = now_100ns;
        self.keys
            .insert(id, Key::new(last, Some(parent), volatile, now_100ns));
        self.next += 1;
        Ok((id, true))
    }

    /// Makes a path with all that is before its last part.
    pub(super) fn create_path(&mut self, from: KeyId, path: &str, now_100ns: u64) -> Option<KeyId> {
        let mut at = from;
        for part in parts(path) {
            let volatile = self.keys.get(&at).is_some_and(|key| key.volatile);
            at = self.create(at, part, volatile, now_100ns).ok()?.0;
        }
        Some(at)
    }

    /// Gives a new key its class.
    pub(super) fn set_class(&mut self, id: KeyId, class: Vec<u16>) {
        if let Some(key) = self.keys.get_mut(&id) {
            key.class = class;
        }
    }

    /// Deletes a key without children.
    ///
    /// # Errors
    /// `CANNOT_DELETE` for a key with children or the root, `KEY_DELETED`.
    pub(super) fn delete(&mut self, id: KeyId, now_100ns: u64) -> Result<(), NtStatus> {
        let key = self.keys.get(&id).ok_or(NtStatus::KEY_DELETED)?;
        let Some(parent) = key.parent.filter(|_| key.children.is_empty()) else {
            return Err(NtStatus::CANNOT_DELETE);
        };
        let name = folded(&key.name);
        self.keys.remove(&id);
        if let Some(parent) = self.keys.get_mut(&parent) {
            parent.children.remove(&name);
            parent.last_write_100ns = now_100ns;
        }
        Ok(())
    }

    /// Sets or replaces a value.
    ///
    /// # Errors
    /// `KEY_DELETED`; `INVALID_PARAMETER` for a name longer than 16,383 characters.
    pub(super) fn set_value(
        &mut self,
        id: KeyId,
        value: Value,
        now_100ns: u64,
    ) -> Result<(), NtStatus> {
        if value.name.encode_utf16().count() > LONGEST_VALUE_NAME {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let key = self.keys.get_mut(&id).ok_or(NtStatus::KEY_DELETED)?;
        key.last_write_100ns = now_100ns;
        let wanted = folded(&value.name);
        match key
            .values
            .iter_mut()
            .find(|known| folded(&known.name) == wanted)
        {
            Some(known) => {
                known.value_type = value.value_type;
                known.data = value.data;
            }
            None => key.values.push(value),
        }
        Ok(())
    }

    /// Deletes a value.
    ///
    /// # Errors
    /// `KEY_DELETED`, `OBJECT_NAME_NOT_FOUND`.
    pub(super) fn delete_value(
        &mut self,
        id: KeyId,
        name: &str,
        now_100ns: u64,
    ) -> Result<(), NtStatus> {
        let key = self.keys.get_mut(&id).ok_or(NtStatus::KEY_DELETED)?;
        let wanted = folded(name);
        let index = key
            .values
            .iter()
            .position(|known| folded(&known.name) == wanted);
        key.values
            .remove(index.ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?);
        key.last_write_100ns = now_100ns;
        Ok(())
    }

    /// The full path of a key.
    pub(super) fn path(&self, id: KeyId) -> String {
        let mut names = Vec::new();
        let mut at = Some(id);
        while let Some(key) = at.and_then(|id| self.keys.get(&id)) {
            names.push(key.name.as_str());
            at = key.parent;
        }
        let mut path = String::new();
        for name in names.into_iter().rev() {
            path.push('\\');
            path.push_str(name);
        }
        path
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('\\').filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, data: &[u8]) -> Value {
        Value {
            name: name.into(),
            value_type: 3,
            data: data.into(),
        }
    }

    #[test]
    fn a_key_is_made_below_an_existing_one_and_found_without_case() {
        let mut tree = Tree::default();
        let services = tree
            .find(ROOT, r"machine\System\ControlSet001\services")
            .unwrap();
        assert_eq!(
            tree.create(services, r"edu\Parameters", false, 5),
            Err(NtStatus::OBJECT_NAME_NOT_FOUND)
        );
        let (edu, new) = tree.create(services, "edu", false, 5).unwrap();
        assert!(new);
        assert_eq!(tree.create(services, "EDU", false, 6), Ok((edu, false)));
        assert_eq!(
            tree.path(edu),
            r"\REGISTRY\MACHINE\SYSTEM\CurrentControlSet\Services\edu"
        );
        assert_eq!(tree.key(services).unwrap().last_write_100ns, 5);
    }

    #[test]
    fn only_keys_without_children_are_deleted() {
        let mut tree = Tree::default();
        let (parent, _) = tree.create(ROOT, "a", false, 0).unwrap();
        let (child, _) = tree.create(parent, "b", false, 0).unwrap();
        assert_eq!(tree.delete(parent, 0), Err(NtStatus::CANNOT_DELETE));
        assert_eq!(tree.delete(child, 0), Ok(()));
        assert_eq!(tree.delete(child, 0), Err(NtStatus::KEY_DELETED));
        assert_eq!(
            tree.create(child, "c", false, 0),
            Err(NtStatus::KEY_DELETED)
        );
        assert_eq!(tree.delete(parent, 0), Ok(()));
        assert_eq!(tree.delete(ROOT, 0), Err(NtStatus::CANNOT_DELETE));
        assert_eq!(tree.find(ROOT, "a"), None);
    }

    #[test]
    fn values_are_replaced_in_place_and_deleted() {
        let mut tree = Tree::default();
        let (key, _) = tree.create(ROOT, "a", false, 0).unwrap();
        tree.set_value(key, value("One", &[1]), 1).unwrap();
        tree.set_value(key, value("Two", &[2]), 2).unwrap();
        tree.set_value(key, value("one", &[3]), 3).unwrap();
        let names: Vec<&str> = tree
            .key(key)
            .unwrap()
            .values
            .iter()
            .map(|value| value.name.as_str())
            .collect();
        assert_eq!(names, ["One", "Two"]);
        assert_eq!(tree.key(key).unwrap().value("ONE").unwrap().data, [3]);
        assert_eq!(tree.delete_value(key, "ONE", 4), Ok(()));
        assert_eq!(
            tree.delete_value(key, "ONE", 4),
            Err(NtStatus::OBJECT_NAME_NOT_FOUND)
        );
    }

    #[test]
    fn names_have_a_longest_length() {
        let mut tree = Tree::default();
        let longest = "x".repeat(LONGEST_KEY_NAME);
        assert!(tree.create(ROOT, &longest, false, 0).is_ok());
        let longer = "x".repeat(LONGEST_KEY_NAME + 1);
        assert_eq!(
            tree.create(ROOT, &longer, false, 0),
            Err(NtStatus::OBJECT_NAME_INVALID)
        );
        let name = "x".repeat(LONGEST_VALUE_NAME + 1);
        assert_eq!(
            tree.set_value(ROOT, value(&name, &[]), 0),
            Err(NtStatus::INVALID_PARAMETER)
        );
        assert_eq!(tree.set_value(ROOT, value(&name[1..], &[]), 0), Ok(()));
    }

    #[test]
    fn what_is_below_a_volatile_key_is_volatile() {
        let mut tree = Tree::default();
        let (volatile, _) = tree.create(ROOT, "v", true, 0).unwrap();
        assert_eq!(
            tree.create(volatile, "n", false, 0),
            Err(NtStatus::CHILD_MUST_BE_VOLATILE)
        );
        assert!(tree.create(volatile, "n", true, 0).is_ok());
        assert!(tree.create_path(volatile, r"p\q", 0).is_some());
    }
}
