//! Linked lists that drivers link and unlink themselves.
//!
//! Every link found in memory is a claim: the kernel checks it before it follows it.
//!
//! Source: WDK reference, "Singly and Doubly Linked Lists".

use crate::layout::layouts;

layouts! {
    /// A doubly linked, circular list: both the head and each element's link.
    struct ListEntry = "LIST_ENTRY", size 16 {
        0 flink: u64 = "Flink",
        8 blink: u64 = "Blink",
    }

    /// A singly linked list's head or link. Null ends the list.
    struct SingleListEntry = "SINGLE_LIST_ENTRY", size 8 {
        0 next: u64 = "Next",
    }

    /// An element of a sequenced list; 16-byte aligned.
    struct SListEntry = "SLIST_ENTRY", size 16, align(16) {
        0 next: u64 = "Next",
        8 padding8: u64,
    }

    /// Head of a sequenced list, changed by one 16-byte compare-exchange.
    ///
    /// Newer systems keep depth in bits 15 to 0 and the sequence number above it, and the next
    /// element's address divided by 16 in bits 63 to 4 of the second word.
    struct SListHeader = "SLIST_HEADER", size 16, align(16) {
        0 alignment: u64 = "Alignment",
        8 region: u64 = "Region",
    }
}
