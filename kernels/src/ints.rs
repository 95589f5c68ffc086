//! Integer vectors in the narrowest type that holds them: weights and activations stay small until the first fold.

// `with_ints!` expands to one arm per width; the widening is idle in the widest.
#![allow(clippy::useless_conversion)]

use serde::{Deserialize, Serialize};

/// Integers of one width.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ints {
    /// 8 bits.
    I8(Vec<i8>),
    /// 16 bits.
    I16(Vec<i16>),
    /// 32 bits.
    I32(Vec<i32>),
    /// 64 bits.
    I64(Vec<i64>),
}

/// Runs an expression on the vector inside, whatever its width.
#[macro_export]
macro_rules! with_ints {
    ($ints:expr, $v:ident => $body:expr) => {
        match $ints {
            $crate::Ints::I8($v) => $body,
            $crate::Ints::I16($v) => $body,
            $crate::Ints::I32($v) => $body,
            $crate::Ints::I64($v) => $body,
        }
    };
}

impl Ints {
    /// Number of integers.
    pub fn len(&self) -> usize {
        with_ints!(self, v => v.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The integer at `index`.
    pub fn get(&self, index: usize) -> i64 {
        with_ints!(self, v => i64::from(v[index]))
    }

    /// All of them, widened.
    pub fn to_vec(&self) -> Vec<i64> {
        with_ints!(self, v => v.iter().map(|&x| i64::from(x)).collect())
    }
}

impl From<Vec<i64>> for Ints {
    /// Takes the narrowest width that holds every value.
    fn from(values: Vec<i64>) -> Self {
        let (lo, hi) = values.iter().fold((0, 0), |(lo, hi), &x| (x.min(lo), x.max(hi)));
        let fits = |min: i64, max: i64| lo >= min && hi <= max;
        if fits(i8::MIN.into(), i8::MAX.into()) {
            Self::I8(values.into_iter().map(|x| x as i8).collect())
        } else if fits(i16::MIN.into(), i16::MAX.into()) {
            Self::I16(values.into_iter().map(|x| x as i16).collect())
        } else if fits(i32::MIN.into(), i32::MAX.into()) {
            Self::I32(values.into_iter().map(|x| x as i32).collect())
        } else {
            Self::I64(values)
        }
    }
}
