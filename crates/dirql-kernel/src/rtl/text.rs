//! Reading strings from memory and writing them.

use alloc::vec::Vec;

use crate::mm::layout::PAGE;
use crate::{Ddi, Kernel};

impl Kernel {
    /// The bytes before the first `0` at `address`, at most `limit`. Nothing is read beyond
    /// the page that holds the end.
    ///
    /// # Errors
    /// The string runs into what is not memory.
    pub(crate) fn read_string(&self, address: u64, limit: usize) -> Ddi<Vec<u8>> {
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < limit {
            let to_page_end = (PAGE - at % PAGE) as usize;
            let mut chunk = [0; 128];
            let length = to_page_end.min(chunk.len()).min(limit - text.len());
            let chunk = &mut chunk[..length];
            self.platform().read(at, chunk)?;
            if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&chunk[..end]);
                break;
            }
            text.extend_from_slice(chunk);
            at = at.wrapping_add(length as u64);
        }
        Ok(text)
    }

    /// The units before the first `0` at `address`, at most `limit`.
    ///
    /// # Errors
    /// The string runs into what is not memory.
    pub(crate) fn read_wide_string(&self, address: u64, limit: usize) -> Ddi<Vec<u16>> {
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < limit {
            let to_page_end = (PAGE - at % PAGE) as usize;
            let mut chunk = [0; 128];
            // A unit can lie across two pages.
            let length = (to_page_end.max(2) & !1)
                .min(chunk.len())
                .min((limit - text.len()).saturating_mul(2));
            let chunk = &mut chunk[..length];
            self.platform().read(at, chunk)?;
            let units = chunk
                .chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            let before = text.len();
            text.extend(units.take_while(|unit| *unit != 0));
            if text.len() - before < length / 2 {
                break;
            }
            at = at.wrapping_add(length as u64);
        }
        Ok(text)
    }

    /// Writes units in the width of their string: bytes, or UTF-16.
    pub(crate) fn write_units(
        &self,
        address: u64,
        units: &[u16],
        width: super::format::Width,
    ) -> Ddi<()> {
        let bytes: Vec<u8> = match width {
            super::format::Width::Narrow => units.iter().map(|unit| *unit as u8).collect(),
            super::format::Width::Wide => {
                units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
            }
        };
        self.write_bytes(address, &bytes)?;
        Ok(())
    }

    /// The characters before the terminator, in units, whichever the width.
    pub(crate) fn read_units(
        &self,
        address: u64,
        limit: usize,
        width: super::format::Width,
    ) -> Ddi<Vec<u16>> {
        match width {
            super::format::Width::Narrow => {
                let bytes = self.read_string(address, limit)?;
                Ok(bytes.into_iter().map(u16::from).collect())
            }
            super::format::Width::Wide => self.read_wide_string(address, limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn a_string_ends_at_its_terminator_or_limit_also_across_pages() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let memory = kernel.pool_allocate(0, 8192, 1).unwrap();
        let text = alloc::vec![b'x'; 300];
        kernel.write_bytes(memory + 4000, &text).unwrap();
        kernel.write_bytes(memory + 4300, &[0; 4]).unwrap();
        assert_eq!(kernel.read_string(memory + 4000, usize::MAX).unwrap(), text);
        assert_eq!(kernel.read_string(memory + 4000, 299).unwrap().len(), 299);
        for start in [4000, 4001] {
            // 0x7878 until the terminator, one half of which is text for an odd distance.
            let wide = kernel.read_wide_string(memory + start, usize::MAX).unwrap();
            assert_eq!(wide.len(), 150, "{start}");
        }
        assert_eq!(
            kernel.read_wide_string(memory + 4000, 3).unwrap(),
            [0x7878; 3]
        );
        assert_eq!(kernel.read_string(memory + 4000, 0).unwrap(), []);
    }

    #[test]
    fn the_terminator_may_be_the_last_byte_of_memory() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let page = kernel.pool_allocate(0, 4096, 1).unwrap();
        kernel.write_bytes(page + 4092, &[b'a', 0, 0, 0]).unwrap();
        assert_eq!(kernel.read_string(page + 4092, usize::MAX).unwrap(), b"a");
        assert_eq!(
            kernel.read_wide_string(page + 4092, usize::MAX).unwrap(),
            [b'a'.into()]
        );
        kernel.write_bytes(page + 4095, b"b").unwrap();
        assert!(kernel.read_string(page + 4095, usize::MAX).is_err());
        assert!(kernel.read_wide_string(page + 4095, usize::MAX).is_err());
    }
}
