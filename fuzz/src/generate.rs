//! Inputs without a fuzzer: random bytes, and good inputs with random damage.
//!
//! Input number `n` of a target is the same for good, so that a number names it.

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014,
/// figure 17).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Input `number`: one of `seeds` with up to 8 places changed, or, without seeds, any bytes.
#[must_use]
pub fn input(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut random = Random(number);
    if seeds.is_empty() {
        let length = random.below(1024);
        return (0..length).map(|_| random.next() as u8).collect();
    }
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        damage(&mut bytes, &mut random);
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    let length = 1 + random.below(16);
    let end = (at + length).min(bytes.len());
    match random.below(6) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
        2 => {
            let value = [0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF][random.below(4)];
            let word = u32::to_le_bytes(value);
            for (byte, new) in bytes.iter_mut().skip(at).zip(word) {
                *byte = new;
            }
        }
        3 => {
            bytes.drain(at..end);
        }
        4 => {
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        _ => bytes.truncate(random.below(bytes.len() + 1)),
    }
}
