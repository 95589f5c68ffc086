//! Sizes of what the kernels are measured on.

/// As in proving GPT-2 with 124 million parameters on 64 tokens, cut into twelve subgraphs, at [`Self::DEFAULT`]; else as much more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    log_cells: u32,
}

impl Sizes {
    /// Logarithm of the cells that the weights of one such subgraph are committed in.
    pub const DEFAULT: u32 = 24;
    /// The smallest that every kernel still has work for, and the largest that no index is too narrow for.
    pub const RANGE: std::ops::RangeInclusive<u32> = 12..=30;
    /// Logarithm of the words of a row of a codeword, and of words for each of the message's.
    const LOG_WIDTH: u32 = 5;
    const LOG_COSETS: u32 = 2;
    /// Bytes that the most demanding kernel holds for each cell, and some more.
    const BYTES: u64 = 160;

    /// Of the largest commitment's cells the logarithm.
    pub fn new(log_cells: u32) -> Self {
        Self { log_cells: log_cells.clamp(*Self::RANGE.start(), *Self::RANGE.end()) }
    }

    /// The default, or less if it does not fit so much memory.
    pub fn that_fit(free_bytes: u64) -> Self {
        let fits = |log_cells: &u32| Self::BYTES << log_cells <= free_bytes;
        Self::new((*Self::RANGE.start()..=Self::DEFAULT).rev().find(fits).unwrap_or(0))
    }

    /// Of the largest commitment's cells the logarithm.
    pub const fn log_cells(self) -> u32 {
        self.log_cells
    }

    /// Cells of the largest commitment.
    pub const fn cells(self) -> usize {
        1 << self.log_cells
    }

    /// Logarithm of the rows of its message, the elements of an opening's vectors.
    pub const fn log_rows(self) -> u32 {
        self.log_cells - Self::LOG_WIDTH
    }

    /// Rows of its message.
    pub const fn rows(self) -> usize {
        1 << self.log_rows()
    }

    /// Logarithm of the words of a row.
    pub const fn log_width(self) -> u32 {
        Self::LOG_WIDTH
    }

    /// Logarithm of the codeword's words for each of the message's.
    pub const fn log_cosets(self) -> u32 {
        Self::LOG_COSETS
    }

    /// Tokens, and the widths of a layer before and after: 64, 768 and 3072.
    pub fn layer(self) -> [usize; 3] {
        let mut lengths = [64, 768, 3072];
        for _ in self.log_cells..Self::DEFAULT {
            if let Some(longest) = lengths.iter_mut().max() {
                *longest /= 2;
            }
        }
        lengths[2] <<= self.log_cells.saturating_sub(Self::DEFAULT);
        lengths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_grows_and_shrinks_with_the_cells() {
        assert_eq!(Sizes::new(24).layer(), [64, 768, 3072]);
        assert_eq!(Sizes::new(26).layer(), [64, 768, 12288]);
        assert_eq!(Sizes::new(12).layer(), [32, 48, 24]);
        for log_cells in Sizes::RANGE {
            let [tokens, inner, outer] = Sizes::new(log_cells).layer();
            let ratio = (tokens * inner * outer) as f64 / f64::from(64 * 768 * 3072);
            assert_eq!(ratio.log2(), f64::from(log_cells) - 24.0);
        }
    }

    #[test]
    fn a_small_gpu_is_measured_on_less() {
        assert_eq!(Sizes::that_fit(140 << 30).log_cells(), 24);
        assert_eq!(Sizes::that_fit(2 << 30).log_cells(), 23);
        assert_eq!(Sizes::that_fit(0).log_cells(), 12);
        assert_eq!(Sizes::new(99), Sizes::new(30));
    }
}
