//! What a GPU does at best, and how long that makes a load take at least.

use super::load::Load;
use crate::floor::Work;

/// Multiply-adds in a product of two words of the base field: see [`Load`].
const MULTIPLY_ADDS: u64 = 4;
/// Bytes that a compression of BLAKE3 takes in.
const BLOCK: u64 = 64;

/// Rates for a second, measured; operations are in registers, of all threads together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Bytes read and written in copying a buffer beyond the cache.
    pub copied_bytes: f64,
    /// 32 by 32 bits, added to 64.
    pub multiply_adds: f64,
    /// Of the base field, reduced.
    pub multiplications: f64,
    /// Of the base field.
    pub additions: f64,
    /// Of BLAKE3.
    pub compressions: f64,
    /// 8 by 8 bits, added to 32, on tensor cores.
    pub byte_products: f64,
    /// Seconds that a kernel with nothing to do takes.
    pub launch_seconds: f64,
}

/// What a load's time is bounded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Bytes.
    Memory,
    /// Operations.
    Arithmetic,
}

impl Rates {
    /// Seconds that a load takes at least, and what they are: moving and computing overlap, computing does not with itself.
    pub fn floor(&self, load: &Load) -> (f64, Bound) {
        let moving = load.bytes as f64 / self.copied_bytes;
        let computing: f64 = self.operations(load).iter().map(|(_, count, rate)| *count as f64 / rate).sum();
        if computing > moving { (computing, Bound::Arithmetic) } else { (moving, Bound::Memory) }
    }

    /// Operations of every kind, with their rates.
    fn operations(&self, load: &Load) -> [(&'static str, u64, f64); 5] {
        [
            ("multiply-adds", load.multiply_adds, self.multiply_adds),
            ("multiplications", load.multiplications, self.multiplications),
            ("additions", load.additions, self.additions),
            ("compressions", load.compressions, self.compressions),
            ("byte products", load.byte_products, self.byte_products),
        ]
    }

    /// The kind of operation that takes the most of a load's time, and how many there are; `None` if there are none.
    pub fn hardest(&self, load: &Load) -> Option<(&'static str, u64)> {
        let operations = self.operations(load).into_iter().filter(|(_, count, _)| *count > 0);
        let hardest = operations.max_by(|a, b| (a.1 as f64 / a.2).total_cmp(&(b.1 as f64 / b.2)));
        hardest.map(|(name, count, _)| (name, count))
    }

    /// Seconds that the work of a prover takes at least. A product is four multiply-adds here, for many are added before they are reduced.
    pub fn floor_of(&self, work: &Work) -> f64 {
        let load = Load {
            bytes: work.read_bytes,
            multiply_adds: MULTIPLY_ADDS * work.multiplications,
            compressions: work.hashed_bytes / BLOCK,
            ..Load::default()
        };
        self.floor(&load).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        copied_bytes: 100.0,
        multiply_adds: 40.0,
        multiplications: 10.0,
        additions: 20.0,
        compressions: 5.0,
        byte_products: 1000.0,
        launch_seconds: 0.25,
    };

    #[test]
    fn the_floor_is_the_slower_of_moving_and_computing() {
        let load = Load { bytes: 300, multiplications: 10, additions: 20, ..Load::default() };
        assert_eq!(RATES.floor(&load), (3.0, Bound::Memory));
        assert_eq!(RATES.floor(&Load { compressions: 10, ..load }), (4.0, Bound::Arithmetic));
        assert_eq!(RATES.floor(&Load { byte_products: 2000, ..load }), (4.0, Bound::Arithmetic));
        assert_eq!(RATES.floor(&Load::default()), (0.0, Bound::Memory));
    }

    #[test]
    fn the_hardest_operations_are_those_that_take_longest() {
        let load = Load { additions: 30, multiplications: 20, ..Load::default() };
        assert_eq!(RATES.hardest(&load), Some(("multiplications", 20)));
        assert_eq!(RATES.hardest(&Load { bytes: 9, ..Load::default() }), None);
    }

    #[test]
    fn work_of_a_prover_has_a_floor_on_a_gpu() {
        let work = Work { multiplications: 20, hashed_bytes: 640, read_bytes: 300 };
        assert_eq!(RATES.floor_of(&work), 80.0 / 40.0 + 10.0 / 5.0);
        assert_eq!(RATES.floor_of(&Work { read_bytes: 500, ..work }), 5.0);
    }
}
