//! How a tensor's numbers are stored: plain floats, or `ggml`'s blocks of integers with a scale.

use std::fmt;

/// An encoding of real numbers in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the names that ggml gives them")]
pub enum Encoding {
    /// IEEE 754 binary64; rounded when decoded.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// 8 bits and a scale.
    Q8_0,
    /// 5 bits and a scale.
    Q5_0,
    /// 5 bits, a scale and a minimum.
    Q5_1,
    /// 4 bits and a scale.
    Q4_0,
    /// 4 bits, a scale and a minimum.
    Q4_1,
    /// 4 bits in a super-block, 6-bit scales and minima.
    Q4_K,
    /// 5 bits in a super-block, 6-bit scales and minima.
    Q5_K,
    /// 6 bits in a super-block, 8-bit scales.
    Q6_K,
    /// Integers and flags: stored, but no weights.
    Other(&'static str),
}

impl Encoding {
    /// Numbers in a block.
    pub const fn block_length(self) -> usize {
        match self {
            Self::F64 | Self::F32 | Self::F16 | Self::BF16 | Self::Other(_) => 1,
            Self::Q8_0 | Self::Q5_0 | Self::Q5_1 | Self::Q4_0 | Self::Q4_1 => 32,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes of a block; nothing is known of an encoding that is not decoded.
    pub const fn block_bytes(self) -> Option<usize> {
        Some(match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q8_0 => 34,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
            Self::Other(_) => return None,
        })
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Other(name) => f.write_str(name),
            known => write!(f, "{known:?}"),
        }
    }
}
