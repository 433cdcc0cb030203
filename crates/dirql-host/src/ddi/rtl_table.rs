//! Splay trees, generic tables, and one-time initialisation.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;
use dirql_kernel::rtl::{Table, TableKind};

use super::{Nothing, exports};

const fn splay(table: u64) -> Table {
    Table::new(TableKind::Splay, table)
}

const fn avl(table: u64) -> Table {
    Table::new(TableKind::Avl, table)
}

exports! {
    fn RtlSplay(links: u64) -> u64 = |k| k.rtl_splay(links);
    fn RtlDelete(links: u64) -> u64 = |k| k.rtl_delete(links);
    fn RtlDeleteNoSplay(links: u64, root: DriverPtr<u64>) -> Nothing
        = |k| k.rtl_delete_no_splay(links, root).map(Nothing::from);
    fn RtlRealSuccessor(links: u64) -> u64 = |k| k.rtl_neighbour(links, true, false);
    fn RtlRealPredecessor(links: u64) -> u64 = |k| k.rtl_neighbour(links, false, false);
    fn RtlSubtreeSuccessor(links: u64) -> u64 = |k| k.rtl_neighbour(links, true, true);
    fn RtlSubtreePredecessor(links: u64) -> u64 = |k| k.rtl_neighbour(links, false, true);

    fn RtlInitializeGenericTable(table: u64, compare: u64, allocate: u64, free: u64, context: u64) -> Nothing
        = |k| k.rtl_initialize_generic_table(splay(table), [compare, allocate, free], context).map(Nothing::from);
    fn RtlInsertElementGenericTable(table: u64, buffer: u64, bytes: u32, new: DriverPtr<u8>) -> u64
        = |k| k.rtl_insert_element(splay(table), buffer, bytes, new);
    fn RtlInsertElementGenericTableFull(table: u64, buffer: u64, bytes: u32, new: DriverPtr<u8>, node: u64, result: u32) -> u64
        = |k| k.rtl_insert_element_full(splay(table), (buffer, bytes), new, node, result);
    fn RtlDeleteElementGenericTable(table: u64, buffer: u64) -> u8 = |k| k.rtl_delete_element(splay(table), buffer);
    fn RtlLookupElementGenericTable(table: u64, buffer: u64) -> u64 = |k| k.rtl_lookup_element(splay(table), buffer);
    fn RtlLookupElementGenericTableFull(table: u64, buffer: u64, node: DriverPtr<u64>, result: DriverPtr<u32>) -> u64
        = |k| k.rtl_lookup_element_full(splay(table), buffer, node, result);
    fn RtlEnumerateGenericTable(table: u64, restart: u8) -> u64 = |k| k.rtl_enumerate_table(splay(table), restart);
    fn RtlEnumerateGenericTableWithoutSplaying(table: u64, key: DriverPtr<u64>) -> u64
        = |k| k.rtl_enumerate_table_by_key(splay(table), key);
    fn RtlGetElementGenericTable(table: u64, index: u32) -> u64 = |k| k.rtl_get_element(splay(table), index);
    fn RtlNumberGenericTableElements(table: u64) -> u32 = |k| k.rtl_number_of_elements(splay(table));
    fn RtlIsGenericTableEmpty(table: u64) -> u8
        = |k| k.rtl_number_of_elements(splay(table)).map(|count| u8::from(count == 0));

    fn RtlInitializeGenericTableAvl(table: u64, compare: u64, allocate: u64, free: u64, context: u64) -> Nothing
        = |k| k.rtl_initialize_generic_table(avl(table), [compare, allocate, free], context).map(Nothing::from);
    fn RtlInsertElementGenericTableAvl(table: u64, buffer: u64, bytes: u32, new: DriverPtr<u8>) -> u64
        = |k| k.rtl_insert_element(avl(table), buffer, bytes, new);
    fn RtlInsertElementGenericTableFullAvl(table: u64, buffer: u64, bytes: u32, new: DriverPtr<u8>, node: u64, result: u32) -> u64
        = |k| k.rtl_insert_element_full(avl(table), (buffer, bytes), new, node, result);
    fn RtlDeleteElementGenericTableAvl(table: u64, buffer: u64) -> u8 = |k| k.rtl_delete_element(avl(table), buffer);
    fn RtlDeleteElementGenericTableAvlEx(table: u64, node: u64) -> Nothing
        = |k| k.rtl_delete_element_node(avl(table), node).map(Nothing::from);
    fn RtlLookupElementGenericTableAvl(table: u64, buffer: u64) -> u64 = |k| k.rtl_lookup_element(avl(table), buffer);
    fn RtlLookupElementGenericTableFullAvl(table: u64, buffer: u64, node: DriverPtr<u64>, result: DriverPtr<u32>) -> u64
        = |k| k.rtl_lookup_element_full(avl(table), buffer, node, result);
    fn RtlLookupFirstMatchingElementGenericTableAvl(table: u64, buffer: u64, key: DriverPtr<u64>) -> u64
        = |k| k.rtl_lookup_first_matching_element(avl(table), buffer, key);
    fn RtlEnumerateGenericTableAvl(table: u64, restart: u8) -> u64 = |k| k.rtl_enumerate_table(avl(table), restart);
    fn RtlEnumerateGenericTableWithoutSplayingAvl(table: u64, key: DriverPtr<u64>) -> u64
        = |k| k.rtl_enumerate_table_by_key(avl(table), key);
    fn RtlGetElementGenericTableAvl(table: u64, index: u32) -> u64 = |k| k.rtl_get_element(avl(table), index);
    fn RtlNumberGenericTableElementsAvl(table: u64) -> u32 = |k| k.rtl_number_of_elements(avl(table));
    fn RtlIsGenericTableEmptyAvl(table: u64) -> u8
        = |k| k.rtl_number_of_elements(avl(table)).map(|count| u8::from(count == 0));

    fn RtlRunOnceInitialize(once: DriverPtr<u64>) -> Nothing = |k| k.rtl_run_once_initialize(once).map(Nothing::from);
    fn RtlRunOnceBeginInitialize(once: DriverPtr<u64>, flags: u32, context: DriverPtr<u64>) -> NtStatus
        = |k| k.rtl_run_once_begin_initialize(once, flags, context);
    fn RtlRunOnceComplete(once: DriverPtr<u64>, flags: u32, context: u64) -> NtStatus
        = |k| k.rtl_run_once_complete(once, flags, context);
    fn RtlRunOnceExecuteOnce(once: DriverPtr<u64>, routine: u64, parameter: u64, context: DriverPtr<u64>) -> NtStatus
        = |k| k.rtl_run_once_execute_once(once, routine, parameter, context);
}
