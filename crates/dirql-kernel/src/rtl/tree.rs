//! Binary trees whose links lie in a driver's memory: splay trees, and balanced ones for tables.
//!
//! A node begins with the addresses of its parent, its left child and its right child, 0 for none.
//! The root of a splay tree is its own parent. The root of a balanced tree is the right child of
//! a header, and each node has its balance behind the links: the height of its right side
//! less that of its left one.
//!
//! Links are claims: a tree of a driver's can lead round in a circle, which is found instead of
//! followed for ever.
//!
//! Sources: WDK headers, ntddk.h, `RTL_SPLAY_LINKS`, `RTL_BALANCED_LINKS`; ntifs.RtlSplay,
//! ntifs.RtlDelete; Knuth, The Art of Computer Programming 3, 6.2.3, "Balanced Trees".

use alloc::format;

use dirql_rules::ids;

use crate::{Ddi, DriverPtr, Kernel};

/// Where the members of a node are.
const PARENT: u64 = 0;
const LEFT: u64 = 8;
const RIGHT: u64 = 16;
const BALANCE: u64 = 24;

/// Most links that are followed for one call.
const MOST_STEPS: u32 = 1 << 20;

/// A side of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    const fn offset(self) -> u64 {
        match self {
            Self::Left => LEFT,
            Self::Right => RIGHT,
        }
    }

    /// A balance that leans to this side.
    const fn lean(self) -> i8 {
        match self {
            Self::Left => -1,
            Self::Right => 1,
        }
    }
}

/// A walk over the links of one tree.
pub(super) struct Links<'k> {
    kernel: &'k Kernel,
    steps: core::cell::Cell<u32>,
}

impl<'k> Links<'k> {
    pub(super) fn new(kernel: &'k Kernel) -> Self {
        Self {
            kernel,
            steps: core::cell::Cell::new(0),
        }
    }

    fn get(&self, address: u64) -> Ddi<u64> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MOST_STEPS {
            let message = format!("the links of a tree lead round in a circle at {address:#x}");
            return Err(self.kernel.refuse(ids::TREE_LINKS, message, None));
        }
        Ok(self.kernel.read(DriverPtr::new(address))?)
    }

    fn set(&self, address: u64, value: u64) -> Ddi<()> {
        Ok(self.kernel.write(DriverPtr::new(address), value)?)
    }

    pub(super) fn parent(&self, node: u64) -> Ddi<u64> {
        self.get(node.wrapping_add(PARENT))
    }

    pub(super) fn set_parent(&self, node: u64, parent: u64) -> Ddi<()> {
        self.set(node.wrapping_add(PARENT), parent)
    }

    pub(super) fn child(&self, node: u64, side: Side) -> Ddi<u64> {
        self.get(node.wrapping_add(side.offset()))
    }

    pub(super) fn set_child(&self, node: u64, side: Side, child: u64) -> Ddi<()> {
        self.set(node.wrapping_add(side.offset()), child)
    }

    /// Makes `child`, if it is one, the child of `node` on one side.
    fn adopt(&self, node: u64, side: Side, child: u64) -> Ddi<()> {
        self.set_child(node, side, child)?;
        if child != 0 {
            self.set_parent(child, node)?;
        }
        Ok(())
    }

    /// On which side of its parent a node is.
    fn side(&self, node: u64, parent: u64) -> Ddi<Side> {
        Ok(if self.child(parent, Side::Left)? == node {
            Side::Left
        } else {
            Side::Right
        })
    }

    fn balance(&self, node: u64) -> Ddi<i8> {
        Ok(self.kernel.read(DriverPtr::new(node + BALANCE))?)
    }

    fn set_balance(&self, node: u64, balance: i8) -> Ddi<()> {
        Ok(self.kernel.write(DriverPtr::new(node + BALANCE), balance)?)
    }

    /// The last node on one side of the tree below `node`.
    pub(super) fn outermost(&self, node: u64, side: Side) -> Ddi<u64> {
        let mut at = node;
        loop {
            match self.child(at, side)? {
                0 => return Ok(at),
                next => at = next,
            }
        }
    }

    /// The next node in order on one side of `node`, 0 for none. `header` is a balanced tree's.
    pub(super) fn neighbour(&self, node: u64, side: Side, header: u64) -> Ddi<u64> {
        match self.child(node, side)? {
            0 => {}
            child => return self.outermost(child, side.other()),
        }
        let mut at = node;
        loop {
            let parent = self.parent(at)?;
            if parent == at || parent == header {
                return Ok(0);
            }
            if self.side(at, parent)? != side {
                return Ok(parent);
            }
            at = parent;
        }
    }

    /// Turns the tree so that a node takes the place of its parent.
    fn rotate_up(&self, node: u64) -> Ddi<()> {
        let parent = self.parent(node)?;
        let above = self.parent(parent)?;
        let side = self.side(node, parent)?;
        let place = if above == parent {
            None
        } else {
            Some(self.side(parent, above)?)
        };
        let inner = self.child(node, side.other())?;
        self.adopt(parent, side, inner)?;
        self.adopt(node, side.other(), parent)?;
        match place {
            None => self.set_parent(node, node),
            Some(place) => self.adopt(above, place, node),
        }
    }

    /// Makes a node the root of its splay tree.
    pub(super) fn splay(&self, node: u64) -> Ddi<u64> {
        loop {
            let parent = self.parent(node)?;
            if parent == node {
                return Ok(node);
            }
            let above = self.parent(parent)?;
            if above != parent {
                let in_line = self.side(node, parent)? == self.side(parent, above)?;
                self.rotate_up(if in_line { parent } else { node })?;
            }
            self.rotate_up(node)?;
        }
    }

    /// Lets `one`, which has two children, and the node before it in order change places.
    fn swap_with_predecessor(&self, one: u64) -> Ddi<()> {
        let left = self.child(one, Side::Left)?;
        let before = self.outermost(left, Side::Right)?;
        let (parent, right) = (self.parent(one)?, self.child(one, Side::Right)?);
        let place = if parent == one {
            None
        } else {
            Some(self.side(one, parent)?)
        };
        let (from, inner) = (self.parent(before)?, self.child(before, Side::Left)?);
        if before == left {
            self.adopt(before, Side::Left, one)?;
        } else {
            self.adopt(from, Side::Right, one)?;
            self.adopt(before, Side::Left, left)?;
        }
        self.adopt(before, Side::Right, right)?;
        self.adopt(one, Side::Left, inner)?;
        self.set_child(one, Side::Right, 0)?;
        match place {
            None => self.set_parent(before, before),
            Some(place) => self.adopt(parent, place, before),
        }
    }

    /// Takes a node out of its splay tree. Returns what was above it, and the root if that is
    /// another one now: 0 if the tree is empty.
    pub(super) fn delete(&self, node: u64) -> Ddi<(Option<u64>, Option<u64>)> {
        let children = [Side::Left, Side::Right].map(|side| self.child(node, side));
        let [left, right] = children;
        let mut root = None;
        if left? != 0 && right? != 0 {
            let was_root = self.parent(node)? == node;
            let before = self.outermost(self.child(node, Side::Left)?, Side::Right)?;
            self.swap_with_predecessor(node)?;
            if was_root {
                root = Some(before);
            }
        }
        let child = match self.child(node, Side::Left)? {
            0 => self.child(node, Side::Right)?,
            child => child,
        };
        let parent = self.parent(node)?;
        if parent == node {
            if child != 0 {
                self.set_parent(child, child)?;
            }
            return Ok((None, Some(child)));
        }
        let side = self.side(node, parent)?;
        self.adopt(parent, side, child)?;
        Ok((Some(parent), root))
    }

    /// A node was hung into a balanced tree below `header`: balances it again. Returns whether
    /// the tree is higher now.
    pub(super) fn balance_after_insert(&self, node: u64, header: u64) -> Ddi<bool> {
        let mut at = node;
        loop {
            let parent = self.parent(at)?;
            if parent == header {
                return Ok(true);
            }
            let side = self.side(at, parent)?;
            match self.balance(parent)? {
                0 => self.set_balance(parent, side.lean())?,
                lean if lean == side.lean() => {
                    self.rebalance(parent, side)?;
                    return Ok(false);
                }
                _ => {
                    self.set_balance(parent, 0)?;
                    return Ok(false);
                }
            }
            at = parent;
        }
    }

    /// Takes a node out of a balanced tree below `header`. Returns whether the tree is lower now.
    pub(super) fn delete_balanced(&self, node: u64, header: u64) -> Ddi<bool> {
        let full = self.child(node, Side::Left)? != 0 && self.child(node, Side::Right)? != 0;
        if full {
            let before = self.outermost(self.child(node, Side::Left)?, Side::Right)?;
            let (mine, theirs) = (self.balance(node)?, self.balance(before)?);
            self.swap_with_predecessor(node)?;
            self.set_balance(before, mine)?;
            self.set_balance(node, theirs)?;
        }
        let child = match self.child(node, Side::Left)? {
            0 => self.child(node, Side::Right)?,
            child => child,
        };
        let mut at = self.parent(node)?;
        let mut side = self.side(node, at)?;
        self.adopt(at, side, child)?;
        while at != header {
            let above = self.parent(at)?;
            let place = self.side(at, above)?;
            match self.balance(at)? {
                0 => {
                    self.set_balance(at, side.other().lean())?;
                    return Ok(false);
                }
                lean if lean == side.lean() => self.set_balance(at, 0)?,
                _ if !self.rebalance(at, side.other())? => return Ok(false),
                _ => {}
            }
            (at, side) = (above, place);
        }
        Ok(true)
    }

    /// Turns the tree at `node`, which is two higher on one side. Returns whether it is lower
    /// than before.
    fn rebalance(&self, node: u64, side: Side) -> Ddi<bool> {
        let lean = side.lean();
        let high = self.child(node, side)?;
        match self.balance(high)? {
            0 => {
                self.rotate_up(high)?;
                self.set_balance(high, -lean)?;
                self.set_balance(node, lean)?;
                Ok(false)
            }
            other if other == lean => {
                self.rotate_up(high)?;
                self.set_balance(high, 0)?;
                self.set_balance(node, 0)?;
                Ok(true)
            }
            _ => {
                let inner = self.child(high, side.other())?;
                self.rotate_up(inner)?;
                self.rotate_up(inner)?;
                let leaned = self.balance(inner)?;
                self.set_balance(node, if leaned == lean { -lean } else { 0 })?;
                self.set_balance(high, if leaned == -lean { lean } else { 0 })?;
                self.set_balance(inner, 0)?;
                Ok(true)
            }
        }
    }
}

impl Kernel {
    /// `PRTL_SPLAY_LINKS RtlSplay(PRTL_SPLAY_LINKS)`: makes a node the root.
    ///
    /// - IRQL: any, if the tree is resident.
    /// - Returns: the root.
    /// - Findings: DQ0532 links that lead round in a circle.
    /// - Source: WDK reference, ntifs.RtlSplay.
    ///
    /// # Errors
    /// Links that are not memory.
    pub fn rtl_splay(&self, node: u64) -> Ddi<u64> {
        Links::new(self).splay(node)
    }

    /// `PRTL_SPLAY_LINKS RtlDelete(PRTL_SPLAY_LINKS)`: takes a node out.
    ///
    /// - Returns: the root, which is what was above the node; NULL if the tree is empty.
    /// - Findings and errors: as [`Kernel::rtl_splay`].
    /// - Source: WDK reference, ntifs.RtlDelete.
    ///
    /// # Errors
    /// As there.
    pub fn rtl_delete(&self, node: u64) -> Ddi<u64> {
        let links = Links::new(self);
        match links.delete(node)? {
            (Some(above), _) => links.splay(above),
            (None, root) => Ok(root.unwrap_or(0)),
        }
    }

    /// `VOID RtlDeleteNoSplay(PRTL_SPLAY_LINKS Links, PRTL_SPLAY_LINKS *Root)`
    ///
    /// - Findings and errors: as [`Kernel::rtl_splay`].
    /// - Source: WDK reference, ntifs.RtlDeleteNoSplay.
    ///
    /// # Errors
    /// As there.
    pub fn rtl_delete_no_splay(&self, node: u64, root: DriverPtr<u64>) -> Ddi<()> {
        let (_, changed) = Links::new(self).delete(node)?;
        if let Some(changed) = changed {
            self.write(root, changed)?;
        }
        Ok(())
    }

    /// `PRTL_SPLAY_LINKS RtlRealSuccessor(PRTL_SPLAY_LINKS)`, `RtlRealPredecessor`; of the tree
    /// below the node only with `RtlSubtreeSuccessor`, `RtlSubtreePredecessor`
    ///
    /// - Returns: the next node in order, NULL if there is none.
    /// - Findings and errors: as [`Kernel::rtl_splay`].
    /// - Source: WDK reference, ntifs.RtlRealSuccessor, ntifs.RtlSubtreeSuccessor.
    ///
    /// # Errors
    /// As there.
    pub fn rtl_neighbour(&self, node: u64, forward: bool, below: bool) -> Ddi<u64> {
        let links = Links::new(self);
        let side = if forward { Side::Right } else { Side::Left };
        if !below {
            return links.neighbour(node, side, 0);
        }
        match links.child(node, side)? {
            0 => Ok(0),
            child => links.outermost(child, side.other()),
        }
    }
}
