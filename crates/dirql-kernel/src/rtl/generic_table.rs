//! Generic tables: elements in an order that the driver's routine decides, kept in a splay tree
//! or, for the routines with `Avl` in their name, in a balanced one.
//!
//! An element is the tree's links, for splay trees a link in the order of insertion, and the
//! driver's data; its memory comes from the driver's routine. The members of a table in which
//! Windows remembers where an enumeration by number was are left alone.
//!
//! Source: WDK reference, ntddk.RtlInitializeGenericTable, ntddk.RtlInitializeGenericTableAvl and
//! their relatives; ntddk.h, `RTL_GENERIC_TABLE`, `RTL_AVL_TABLE`.

use alloc::vec::Vec;

use dirql_abi::list::ListEntry;

use super::tree::{Links, Side};
use crate::{Ddi, DriverPtr, Kernel, at};

/// `RTL_GENERIC_COMPARE_RESULTS`
const LESS_THAN: u32 = 0;
const GREATER_THAN: u32 = 1;

/// `TABLE_SEARCH_RESULT`
mod search {
    pub(super) const EMPTY: u32 = 0;
    pub(super) const FOUND: u32 = 1;
    pub(super) const INSERT_LEFT: u32 = 2;
    pub(super) const INSERT_RIGHT: u32 = 3;
}

/// Which tree a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// RTL_GENERIC_TABLE.
    Splay,
    /// RTL_AVL_TABLE.
    Avl,
}

/// Where the members of a table are, and how long what is in front of an element's data is.
struct Shape {
    bytes: usize,
    count: u64,
    compare: u64,
    header: u64,
}

/// Where an RTL_GENERIC_TABLE has its list in the order of insertion, and an element its link.
const INSERT_ORDER: u64 = 8;
const ELEMENT_LINK: u64 = 24;

/// Where an RTL_AVL_TABLE keeps the depth of its tree and counts deletions.
const DEPTH: u64 = 48;
const DELETE_COUNT: u64 = 64;

impl TableKind {
    const fn shape(self) -> Shape {
        match self {
            Self::Splay => Shape {
                bytes: 72,
                count: 36,
                compare: 40,
                header: 40,
            },
            Self::Avl => Shape {
                bytes: 104,
                count: 44,
                compare: 72,
                header: 32,
            },
        }
    }
}

/// A table that a driver has handed over.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    kind: TableKind,
    address: u64,
}

impl Table {
    /// The table of that kind at an address.
    #[must_use]
    pub const fn new(kind: TableKind, address: u64) -> Self {
        Self { kind, address }
    }

    const fn shape(self) -> Shape {
        self.kind.shape()
    }

    const fn count(self) -> DriverPtr<u32> {
        DriverPtr::new(self.address.wrapping_add(self.shape().count))
    }

    /// Address of the routine that is the `index`th of: compare, allocate, free.
    const fn routine(self, index: u64) -> DriverPtr<u64> {
        DriverPtr::new(self.address.wrapping_add(self.shape().compare + 8 * index))
    }

    /// What stands above the root: a balanced tree's header; 0 for a splay tree.
    const fn tree_header(self) -> u64 {
        match self.kind {
            TableKind::Splay => 0,
            TableKind::Avl => self.address,
        }
    }

    const fn data(self, node: u64) -> u64 {
        node.wrapping_add(self.shape().header)
    }
}

/// Where a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    /// The node, or the one below which it would be; 0 in an empty tree.
    node: u64,
    result: u32,
}

impl Kernel {
    /// `VOID RtlInitializeGenericTable(Table, CompareRoutine, AllocateRoutine, FreeRoutine, TableContext)`,
    /// `RtlInitializeGenericTableAvl`
    ///
    /// - IRQL: below DISPATCH_LEVEL, or any if the table and the routines are resident.
    /// - Source: WDK reference, ntddk.RtlInitializeGenericTable.
    ///
    /// # Errors
    /// A table that is not memory.
    pub fn rtl_initialize_generic_table(
        &self,
        table: Table,
        routines: [u64; 3],
        context: u64,
    ) -> Ddi<()> {
        self.write_bytes(table.address, &alloc::vec![0; table.shape().bytes])?;
        match table.kind {
            TableKind::Splay => {
                let head = table.address + INSERT_ORDER;
                self.write(
                    DriverPtr::new(head),
                    ListEntry {
                        flink: head,
                        blink: head,
                    },
                )?;
            }
            TableKind::Avl => Links::new(self).set_parent(table.address, table.address)?,
        }
        for (index, routine) in (0..).zip(routines.into_iter().chain([context])) {
            self.write(table.routine(index), routine)?;
        }
        Ok(())
    }

    /// `PVOID RtlInsertElementGenericTable(Table, PVOID Buffer, CLONG BufferSize, PBOOLEAN NewElement)`,
    /// `RtlInsertElementGenericTableAvl`
    ///
    /// - IRQL: as for initialising.
    /// - Returns: the element's data: that of the new one, which is a copy of the buffer, or of the
    ///   one that was there; NULL if the driver's routine has no memory.
    /// - Findings: DQ0532 links that lead round in a circle.
    /// - Source: WDK reference, ntddk.RtlInsertElementGenericTable.
    ///
    /// # Errors
    /// A table or a buffer that is not memory; as the driver's routines.
    pub fn rtl_insert_element(
        &self,
        table: Table,
        buffer: u64,
        bytes: u32,
        new: DriverPtr<u8>,
    ) -> Ddi<u64> {
        let found = self.search_table(table, buffer)?;
        self.insert_at(table, (buffer, bytes), new, found)
    }

    /// `PVOID RtlInsertElementGenericTableFull(Table, Buffer, BufferSize, NewElement, PVOID NodeOrParent, TABLE_SEARCH_RESULT)`,
    /// `RtlInsertElementGenericTableFullAvl`: as [`Kernel::rtl_insert_element`], where a search
    /// by [`Kernel::rtl_lookup_element_full`] ended.
    ///
    /// # Errors
    /// As there.
    pub fn rtl_insert_element_full(
        &self,
        table: Table,
        buffer: (u64, u32),
        new: DriverPtr<u8>,
        node: u64,
        result: u32,
    ) -> Ddi<u64> {
        self.insert_at(table, buffer, new, Found { node, result })
    }

    /// `PVOID RtlLookupElementGenericTable(Table, PVOID Buffer)`, `RtlLookupElementGenericTableAvl`
    ///
    /// - Returns: the element's data, or NULL. A splay tree has it as its root then.
    /// - Findings and errors: as [`Kernel::rtl_insert_element`].
    /// - Source: WDK reference, ntddk.RtlLookupElementGenericTable.
    ///
    /// # Errors
    /// As there.
    pub fn rtl_lookup_element(&self, table: Table, buffer: u64) -> Ddi<u64> {
        let found = self.search_table(table, buffer)?;
        self.found_data(table, found)
    }

    /// `PVOID RtlLookupElementGenericTableFull(Table, Buffer, PVOID *NodeOrParent, TABLE_SEARCH_RESULT *)`,
    /// `RtlLookupElementGenericTableFullAvl`: as [`Kernel::rtl_lookup_element`], and where the
    /// search ended.
    ///
    /// # Errors
    /// As there.
    pub fn rtl_lookup_element_full(
        &self,
        table: Table,
        buffer: u64,
        node: DriverPtr<u64>,
        result: DriverPtr<u32>,
    ) -> Ddi<u64> {
        let found = self.search_table(table, buffer)?;
        self.write(node, found.node)?;
        self.write(result, found.result)?;
        self.found_data(table, found)
    }

    /// `PVOID RtlLookupFirstMatchingElementGenericTableAvl(Table, Buffer, PVOID *RestartKey)`: the
    /// first in order of the elements that the driver's routine says are equal.
    ///
    /// # Errors
    /// As [`Kernel::rtl_lookup_element`].
    pub fn rtl_lookup_first_matching_element(
        &self,
        table: Table,
        buffer: u64,
        restart: DriverPtr<u64>,
    ) -> Ddi<u64> {
        let found = self.search_table(table, buffer)?;
        if found.result != search::FOUND {
            return Ok(0);
        }
        let links = Links::new(self);
        let mut node = found.node;
        loop {
            let before = links.neighbour(node, Side::Left, table.tree_header())?;
            if before == 0
                || matches!(
                    self.compare_element(table, buffer, before)?,
                    LESS_THAN | GREATER_THAN
                )
            {
                break;
            }
            node = before;
        }
        self.write(restart, node)?;
        Ok(table.data(node))
    }

    /// `BOOLEAN RtlDeleteElementGenericTable(Table, PVOID Buffer)`, `RtlDeleteElementGenericTableAvl`
    ///
    /// - Returns: FALSE if there is no such element.
    /// - Findings and errors: as [`Kernel::rtl_insert_element`].
    /// - Source: WDK reference, ntddk.RtlDeleteElementGenericTable.
    ///
    /// # Errors
    /// As there.
    pub fn rtl_delete_element(&self, table: Table, buffer: u64) -> Ddi<u8> {
        let found = self.search_table(table, buffer)?;
        if found.result != search::FOUND {
            return Ok(0);
        }
        self.delete_node(table, found.node)?;
        Ok(1)
    }

    /// `VOID RtlDeleteElementGenericTableAvlEx(Table, PVOID NodeOrParent)`: as a search found it.
    ///
    /// # Errors
    /// As [`Kernel::rtl_delete_element`].
    pub fn rtl_delete_element_node(&self, table: Table, node: u64) -> Ddi<()> {
        self.delete_node(table, node)
    }

    /// `PVOID RtlEnumerateGenericTable(Table, BOOLEAN Restart)`, `RtlEnumerateGenericTableAvl`
    ///
    /// - Returns: the data of the first element, or of the one after that of the last call;
    ///   NULL at the end.
    /// - Findings and errors: as [`Kernel::rtl_insert_element`].
    /// - Source: WDK reference, ntddk.RtlEnumerateGenericTable.
    ///
    /// # Errors
    /// As there.
    pub fn rtl_enumerate_table(&self, table: Table, restart: u8) -> Ddi<u64> {
        let links = Links::new(self);
        let root = self.table_root(table)?;
        if root == 0 {
            return Ok(0);
        }
        // A splay tree remembers by its root; a balanced one in its RestartKey.
        let key = DriverPtr::<u64>::new(table.address.wrapping_add(56));
        let last = match table.kind {
            TableKind::Splay => root,
            TableKind::Avl => self.read(key)?,
        };
        let next = if restart != 0 || last == 0 {
            links.outermost(root, Side::Left)?
        } else {
            links.neighbour(last, Side::Right, table.tree_header())?
        };
        if table.kind == TableKind::Avl {
            self.write(key, next)?;
        } else if next != 0 {
            let root = links.splay(next)?;
            self.write(DriverPtr::new(table.address), root)?;
        }
        Ok(if next == 0 { 0 } else { table.data(next) })
    }

    /// `PVOID RtlEnumerateGenericTableWithoutSplaying(Table, PVOID *RestartKey)`,
    /// `RtlEnumerateGenericTableWithoutSplayingAvl`: as [`Kernel::rtl_enumerate_table`], with the
    /// driver's own memory of where it was, NULL at first.
    ///
    /// # Errors
    /// As there.
    pub fn rtl_enumerate_table_by_key(&self, table: Table, key: DriverPtr<u64>) -> Ddi<u64> {
        let links = Links::new(self);
        let root = self.table_root(table)?;
        let next = match self.read(key)? {
            _ if root == 0 => 0,
            0 => links.outermost(root, Side::Left)?,
            last => links.neighbour(last, Side::Right, table.tree_header())?,
        };
        if next == 0 {
            return Ok(0);
        }
        self.write(key, next)?;
        Ok(table.data(next))
    }

    /// `PVOID RtlGetElementGenericTable(Table, ULONG I)`, `RtlGetElementGenericTableAvl`
    ///
    /// - Returns: the data of element `index`, from 0, in the order of insertion or, for a balanced
    ///   tree, in the tree's; NULL if there are fewer.
    /// - Findings and errors: as [`Kernel::rtl_insert_element`].
    /// - Source: WDK reference, ntddk.RtlGetElementGenericTable.
    ///
    /// # Errors
    /// As there.
    pub fn rtl_get_element(&self, table: Table, index: u32) -> Ddi<u64> {
        if index >= self.read(table.count())? {
            return Ok(0);
        }
        if table.kind == TableKind::Splay {
            let mut link = table.address + INSERT_ORDER;
            for _ in 0..=index {
                link = self.read(DriverPtr::<ListEntry>::new(link))?.flink;
            }
            return Ok(table.data(link.wrapping_sub(ELEMENT_LINK)));
        }
        let links = Links::new(self);
        let mut node = links.outermost(self.table_root(table)?, Side::Left)?;
        for _ in 0..index {
            node = links.neighbour(node, Side::Right, table.tree_header())?;
        }
        Ok(table.data(node))
    }

    /// `ULONG RtlNumberGenericTableElements(Table)`, `RtlNumberGenericTableElementsAvl`; also behind
    /// `RtlIsGenericTableEmpty`.
    ///
    /// # Errors
    /// A table that is not memory.
    pub fn rtl_number_of_elements(&self, table: Table) -> Ddi<u32> {
        Ok(self.read(table.count())?)
    }

    fn table_root(&self, table: Table) -> Ddi<u64> {
        match table.kind {
            TableKind::Splay => Ok(self.read(DriverPtr::new(table.address))?),
            TableKind::Avl => Links::new(self).child(table.address, Side::Right),
        }
    }

    fn set_table_root(&self, table: Table, root: u64) -> Ddi<()> {
        match table.kind {
            TableKind::Splay => Ok(self.write(DriverPtr::new(table.address), root)?),
            TableKind::Avl => Links::new(self).set_child(table.address, Side::Right, root),
        }
    }

    fn compare_element(&self, table: Table, buffer: u64, node: u64) -> Ddi<u32> {
        let compare = self.read(table.routine(0))?;
        let arguments = [table.address, buffer, table.data(node)];
        Ok(self.call("CompareRoutine", compare, &arguments) as u32)
    }

    fn search_table(&self, table: Table, buffer: u64) -> Ddi<Found> {
        let links = Links::new(self);
        let mut node = self.table_root(table)?;
        if node == 0 {
            return Ok(Found {
                node,
                result: search::EMPTY,
            });
        }
        loop {
            let (side, result) = match self.compare_element(table, buffer, node)? {
                LESS_THAN => (Side::Left, search::INSERT_LEFT),
                GREATER_THAN => (Side::Right, search::INSERT_RIGHT),
                _ => {
                    return Ok(Found {
                        node,
                        result: search::FOUND,
                    });
                }
            };
            match links.child(node, side)? {
                0 => return Ok(Found { node, result }),
                child => node = child,
            }
        }
    }

    /// The data of what a search found, which a splay tree has as its root then.
    fn found_data(&self, table: Table, found: Found) -> Ddi<u64> {
        if found.result != search::FOUND {
            return Ok(0);
        }
        if table.kind == TableKind::Splay {
            let root = Links::new(self).splay(found.node)?;
            self.set_table_root(table, root)?;
        }
        Ok(table.data(found.node))
    }

    fn insert_at(
        &self,
        table: Table,
        (buffer, bytes): (u64, u32),
        new: DriverPtr<u8>,
        found: Found,
    ) -> Ddi<u64> {
        let is_there = found.result == search::FOUND;
        if !new.is_null() {
            self.write(new, u8::from(!is_there))?;
        }
        if is_there {
            return self.found_data(table, found);
        }
        let allocate = self.read(table.routine(1))?;
        let size = table.shape().header + u64::from(bytes);
        let node = self.call("AllocateRoutine", allocate, &[table.address, size]);
        if node == 0 {
            if !new.is_null() {
                self.write(new, 0)?;
            }
            return Ok(0);
        }
        self.write_bytes(node, &Vec::from_iter((0..table.shape().header).map(|_| 0)))?;
        self.hang_in(table, node, found)?;
        let count = self.read(table.count())?;
        self.write(table.count(), count.wrapping_add(1))?;
        let data = table.data(node);
        self.memmove(data, buffer, bytes.into())?;
        Ok(data)
    }

    fn hang_in(&self, table: Table, node: u64, found: Found) -> Ddi<()> {
        let links = Links::new(self);
        let side = match found.result {
            search::INSERT_LEFT => Side::Left,
            _ => Side::Right,
        };
        match (table.kind, found.result) {
            (TableKind::Splay, search::EMPTY) => {
                links.set_parent(node, node)?;
                self.set_table_root(table, node)?;
            }
            (TableKind::Splay, _) => {
                links.set_child(found.node, side, node)?;
                links.set_parent(node, found.node)?;
                let root = links.splay(node)?;
                self.set_table_root(table, root)?;
            }
            (TableKind::Avl, _) => {
                let above = match found.result {
                    search::EMPTY => table.address,
                    _ => found.node,
                };
                links.set_child(above, side, node)?;
                links.set_parent(node, above)?;
                if links.balance_after_insert(node, table.address)? {
                    self.change_depth(table, 1)?;
                }
                return Ok(());
            }
        }
        let head = DriverPtr::<ListEntry>::new(table.address + INSERT_ORDER);
        let link = DriverPtr::<ListEntry>::new(node + ELEMENT_LINK);
        let last = self.read(at!(head, ListEntry, blink))?;
        let between = ListEntry {
            flink: head.address(),
            blink: last,
        };
        self.write(link, between)?;
        self.write(DriverPtr::<u64>::new(last), link.address())?;
        Ok(self.write(at!(head, ListEntry, blink), link.address())?)
    }

    fn delete_node(&self, table: Table, node: u64) -> Ddi<()> {
        let links = Links::new(self);
        match table.kind {
            TableKind::Splay => {
                let root = match links.delete(node)? {
                    (Some(above), _) => links.splay(above)?,
                    (None, root) => root.unwrap_or(0),
                };
                self.set_table_root(table, root)?;
                let link = self.read(DriverPtr::<ListEntry>::new(node + ELEMENT_LINK))?;
                let next = DriverPtr::<ListEntry>::new(link.flink);
                self.write(DriverPtr::<u64>::new(link.blink), link.flink)?;
                self.write(at!(next, ListEntry, blink), link.blink)?;
            }
            TableKind::Avl => {
                let key = DriverPtr::<u64>::new(table.address + 56);
                if self.read(key)? == node {
                    let before = links.neighbour(node, Side::Left, table.address)?;
                    self.write(key, before)?;
                }
                if links.delete_balanced(node, table.address)? {
                    self.change_depth(table, -1)?;
                }
                let deleted = DriverPtr::<u32>::new(table.address + DELETE_COUNT);
                let count = self.read(deleted)?;
                self.write(deleted, count.wrapping_add(1))?;
            }
        }
        let count = self.read(table.count())?;
        self.write(table.count(), count.wrapping_sub(1))?;
        let free = self.read(table.routine(2))?;
        self.call("FreeRoutine", free, &[table.address, node]);
        Ok(())
    }

    fn change_depth(&self, table: Table, by: i32) -> Ddi<()> {
        let depth = DriverPtr::<i32>::new(table.address + DEPTH);
        let value = self.read(depth)?;
        Ok(self.write(depth, value.wrapping_add(by))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    /// A table of numbers in 4 bytes, over the pool.
    fn table(bench: &Bench, kind: TableKind) -> Table {
        let compare = bench.routine(|kernel, arguments| {
            let one = kernel.read(DriverPtr::<u32>::new(arguments[1]))?;
            let other = kernel.read(DriverPtr::<u32>::new(arguments[2]))?;
            Ok(match one.cmp(&other) {
                core::cmp::Ordering::Less => 0,
                core::cmp::Ordering::Greater => 1,
                core::cmp::Ordering::Equal => 2,
            })
        });
        let allocate = bench.routine(|kernel, arguments| kernel.pool_allocate(0, arguments[1], 1));
        let free =
            bench.routine(|kernel, arguments| kernel.pool_free(arguments[1], None).map(|()| 0));
        let table = Table::new(kind, bench.variable(104));
        bench
            .kernel
            .rtl_initialize_generic_table(table, [compare, allocate, free], 9)
            .unwrap();
        table
    }

    fn insert(bench: &Bench, table: Table, value: u32) -> bool {
        let (buffer, new) = (bench.variable(4), DriverPtr::<u8>::new(bench.variable(1)));
        let kernel = &bench.kernel;
        kernel.write(DriverPtr::new(buffer), value).unwrap();
        let data = kernel.rtl_insert_element(table, buffer, 4, new).unwrap();
        assert_eq!(kernel.read(DriverPtr::<u32>::new(data)), Ok(value));
        kernel.read(new).unwrap() == 1
    }

    fn all(bench: &Bench, table: Table) -> Vec<u32> {
        let kernel = &bench.kernel;
        let mut values = Vec::new();
        let mut data = kernel.rtl_enumerate_table(table, 1).unwrap();
        while data != 0 {
            values.push(kernel.read(DriverPtr::<u32>::new(data)).unwrap());
            data = kernel.rtl_enumerate_table(table, 0).unwrap();
        }
        values
    }

    #[test]
    fn elements_come_in_order_whatever_was_inserted_and_deleted() {
        for kind in [TableKind::Splay, TableKind::Avl] {
            let bench = Bench::new(Config::default());
            let table = table(&bench, kind);
            let kernel = &bench.kernel;
            let buffer = bench.variable(4);
            let (mut there, mut random) = (alloc::collections::BTreeSet::new(), 1u32);
            for round in 0..600 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let value = random >> 16 & 0x7F;
                if round % 3 == 2 {
                    kernel.write(DriverPtr::new(buffer), value).unwrap();
                    let deleted = kernel.rtl_delete_element(table, buffer).unwrap();
                    assert_eq!(deleted == 1, there.remove(&value), "{kind:?}");
                } else {
                    assert_eq!(
                        insert(&bench, table, value),
                        there.insert(value),
                        "{kind:?}"
                    );
                }
                if round % 50 == 0 {
                    let expected: Vec<u32> = there.iter().copied().collect();
                    assert_eq!(all(&bench, table), expected, "{kind:?} after {round}");
                }
            }
            assert_eq!(
                kernel.rtl_number_of_elements(table).unwrap() as usize,
                there.len()
            );
            if kind == TableKind::Avl {
                // The height of a balanced tree is at most 1.44 log2(n + 2).
                let depth = kernel.read(DriverPtr::<u32>::new(table.address + DEPTH));
                assert!((6..=9).contains(&depth.unwrap()), "{depth:?}");
            }
            assert!(bench.rules().is_empty());
        }
    }

    #[test]
    fn an_element_is_found_by_number_and_by_where_a_search_ended() {
        for (kind, third) in [(TableKind::Splay, 20), (TableKind::Avl, 30)] {
            let bench = Bench::new(Config::default());
            let table = table(&bench, kind);
            let kernel = &bench.kernel;
            for value in [30, 10, 20] {
                assert!(insert(&bench, table, value));
            }
            assert!(!insert(&bench, table, 20));
            let data = kernel.rtl_get_element(table, 2).unwrap();
            assert_eq!(kernel.read(DriverPtr::<u32>::new(data)), Ok(third));
            assert_eq!(kernel.rtl_get_element(table, 3), Ok(0));
            let (buffer, node) = (bench.variable(4), DriverPtr::new(bench.variable(8)));
            let result = DriverPtr::<u32>::new(bench.variable(4));
            kernel.write(DriverPtr::new(buffer), 25u32).unwrap();
            assert_eq!(
                kernel.rtl_lookup_element_full(table, buffer, node, result),
                Ok(0)
            );
            let (at, how) = (kernel.read(node).unwrap(), kernel.read(result).unwrap());
            assert!([search::INSERT_LEFT, search::INSERT_RIGHT].contains(&how));
            let new = DriverPtr::NULL;
            kernel
                .rtl_insert_element_full(table, (buffer, 4), new, at, how)
                .unwrap();
            assert_eq!(all(&bench, table), [10, 20, 25, 30]);
            assert_ne!(kernel.rtl_lookup_element(table, buffer), Ok(0));
            let key = DriverPtr::<u64>::new(bench.variable(8));
            let mut count = 0;
            while kernel.rtl_enumerate_table_by_key(table, key).unwrap() != 0 {
                count += 1;
            }
            assert_eq!(count, 4);
        }
    }

    #[test]
    fn links_in_a_circle_are_found() {
        let bench = Bench::new(Config::default());
        let (one, other) = (bench.variable(24), bench.variable(24));
        let links = Links::new(&bench.kernel);
        links.set_child(one, Side::Right, other).unwrap();
        links.set_child(other, Side::Left, other).unwrap();
        assert!(bench.kernel.rtl_neighbour(one, true, true).is_err());
        assert_eq!(bench.rules(), [dirql_rules::ids::TREE_LINKS]);
    }
}
