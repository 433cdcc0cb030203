//! A number for what driver code goes on with.
//!
//! Two moments at which it is the same, at the same place, are followed by the same, as long as
//! nothing comes from outside: a loop that has come round to it never ends.

use std::ops::Range;

use dirql_image::unwind::{Gpr, Registers, Xmm};
use dirql_kernel::mm::layout::{self, PAGE, PLATFORM, STACKS, SYSTEM};
use dirql_kernel::{Access, CallSite};

use crate::exception;
use crate::run::LinuxPlatform;

/// The general registers that the Win64 convention has a call preserve: rbx, rsp, rbp, rsi, rdi,
/// r12 to r15.
const PRESERVED: [u8; 9] = [3, 4, 5, 6, 7, 12, 13, 14, 15];

/// `xmm6` to `xmm15`, which it preserves, too.
const PRESERVED_XMM: Range<u8> = 6..16;

/// Bytes of the stacks of others that are looked at, from their tops: what is in use there is seldom
/// more.
const TOP_OF_STACK: u64 = 0x1_0000;

/// The number; `None` if the registers of the code at `site` are not to be had.
pub(crate) fn number(platform: &LinuxPlatform, site: CallSite) -> Option<u64> {
    let registers = exception::registers_of_caller(platform)?;
    if registers.rsp() != site.stack_pointer {
        return None;
    }
    let mut sum = Sum(site.return_address);
    sum.add_registers(&registers);
    let mut page = [0; PAGE as usize];
    let regions = platform.space.regions();
    // Pageable memory is closed at these levels, and nobody has access to it.
    let is_closed = |at: u64| {
        let mut closed = regions.iter().filter(|(_, access)| *access == Access::None);
        closed.any(|(region, _)| region.contains(&at))
    };
    for (region, access) in &regions {
        if !matches!(access, Access::ReadWrite | Access::ReadWriteExecute)
            || is_in(region, &SYSTEM)
            || is_in(region, &PLATFORM)
        {
            continue;
        }
        let mut at = first(region, site.stack_pointer);
        while at < region.end {
            let length = (region.end - at).min(PAGE - at % PAGE);
            if !is_closed(at) {
                let bytes = &mut page[..length as usize];
                platform.space.read(at, bytes).ok()?;
                sum.add_page(at, bytes);
            }
            at += length;
        }
    }
    Some(sum.0)
}

/// The first byte of a region that counts. Below the stack pointer nothing is in use.
fn first(region: &Range<u64>, stack_pointer: u64) -> u64 {
    if !is_in(region, &STACKS) {
        region.start
    } else if region.contains(&stack_pointer) {
        stack_pointer
    } else {
        region.start.max(region.end.saturating_sub(TOP_OF_STACK))
    }
}

fn is_in(region: &Range<u64>, window: &Range<u64>) -> bool {
    window.start <= region.start && region.end <= window.end
}

const _: () = assert!(layout::STACKS.end <= SYSTEM.start);

/// A sum over words. Collisions are as likely as those of any hash of 64 bits, and three in a row
/// are asked for.
struct Sum(u64);

impl Sum {
    fn add(&mut self, word: u64) {
        // The multiplier of Knuth's linear congruential generator for 64 bits.
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(6_364_136_223_846_793_005);
    }

    fn add_registers(&mut self, registers: &Registers) {
        for number in PRESERVED {
            self.add(registers.gpr(Gpr::new(number)));
        }
        for number in PRESERVED_XMM {
            let value = registers.xmm(Xmm::new(number));
            self.add(value as u64);
            self.add((value >> 64) as u64);
        }
    }

    /// What is all zeros is passed over, but for its place.
    fn add_page(&mut self, address: u64, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for (offset, word) in (0..).step_by(8).zip(words) {
            let word = u64::from_le_bytes(*word);
            if word != 0 {
                self.add(address + offset);
                self.add(word);
            }
        }
        for byte in rest {
            self.add(u64::from(*byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u64 {
        let mut sum = Sum(1);
        sum.add_page(0x1000, bytes);
        sum.0
    }

    #[test]
    fn every_byte_and_its_place_count() {
        let zeros = [0; 20];
        for at in 0..20 {
            let mut bytes = zeros;
            bytes[at] = 1;
            assert_ne!(sum(&bytes), sum(&zeros), "{at}");
            for other in 0..at {
                let mut others = zeros;
                others[other] = 1;
                assert_ne!(sum(&bytes), sum(&others), "{at} {other}");
            }
        }
    }

    #[test]
    fn a_stack_is_in_use_from_its_pointer_up() {
        let stack = STACKS.start..STACKS.start + 0x4_0000;
        assert_eq!(first(&stack, stack.start + 0x123), stack.start + 0x123);
        let other = stack.end + PAGE..stack.end + PAGE + 0x4_0000;
        assert_eq!(first(&other, stack.start), other.end - TOP_OF_STACK);
        let pool = layout::NONPAGED_POOL.start..layout::NONPAGED_POOL.start + PAGE;
        assert_eq!(first(&pool, stack.start), pool.start);
    }
}
