//! Neighbours in the rows of a tensor: pairs of an even and an odd element, numbered through all rows. Rows are as long as they
//! are: an odd end is paired with zero, so padding costs nothing.

use super::PARALLEL_FROM;
use core::ops::Range;
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;
use verifier::field::K;

/// Pairs that one task takes.
const TASK: usize = PARALLEL_FROM / 2;

/// The pairs of rows of one length.
#[derive(Clone, Copy)]
pub struct Pairs {
    length: usize,
    half: usize,
    count: usize,
}

/// Pairs of one row that follow each other.
pub struct Run {
    /// Places of the elements, an even number unless the row ends in an even element alone.
    pub elements: Range<usize>,
    /// Numbers of the pairs.
    pub pairs: Range<usize>,
}

impl Pairs {
    /// The pairs of so many elements in rows of this length.
    pub fn new(elements: usize, length: usize) -> Self {
        let half = length.div_ceil(2);
        Self { length, half, count: elements / length * half }
    }

    fn tasks(self) -> impl IndexedParallelIterator<Item = Range<usize>> {
        (0..self.count.div_ceil(TASK)).into_par_iter().map(move |t| t * TASK..self.count.min((t + 1) * TASK))
    }

    /// The runs that make up a range of pairs.
    fn runs(self, range: Range<usize>) -> impl Iterator<Item = Run> {
        let Self { length, half, .. } = self;
        let mut next = range.start;
        core::iter::from_fn(move || {
            let (row, column) = (next / half, next % half);
            let count = (half - column).min(range.end - next);
            let start = row * length + 2 * column;
            let elements = start..start + (2 * count).min(length - 2 * column);
            let pairs = next..next + count;
            next = pairs.end;
            (count > 0).then_some(Run { elements, pairs })
        })
    }

    /// `sum` over all runs, those of a task one after the other.
    pub fn sum<const N: usize>(self, sum: impl Fn(Run) -> [K; N] + Sync) -> [K; N] {
        let add = |a: [K; N], b: [K; N]| core::array::from_fn(|i| a[i] + b[i]);
        let task = |range: Range<usize>| self.runs(range).map(&sum).fold([K::ZERO; N], add);
        if self.count <= TASK {
            return task(0..self.count);
        }
        self.tasks().map(task).reduce(|| [K::ZERO; N], add)
    }

    /// Vectors of one element for each pair, as `fill` fills them for every run.
    pub fn map<const N: usize>(self, fill: impl Fn(Run, [&mut [K]; N]) + Sync) -> [Vec<K>; N] {
        let mut out: [Vec<K>; N] = core::array::from_fn(|_| K::zero_vec(self.count));
        let mut parts: Vec<_> = out.iter_mut().map(|out| out.chunks_mut(TASK)).collect();
        let tasks = (0..self.count.div_ceil(TASK)).map(|_| parts.iter_mut().filter_map(Iterator::next).collect());
        let tasks: Vec<Vec<&mut [K]>> = tasks.collect();
        let task = |(t, mut out): (usize, Vec<&mut [K]>)| {
            let first = t * TASK;
            for run in self.runs(first..self.count.min(first + TASK)) {
                let places = run.pairs.start - first..run.pairs.end - first;
                let mut out = out.iter_mut().map(|out| &mut out[places.clone()]);
                fill(run, core::array::from_fn(|_| out.next().unwrap_or_default()));
            }
        };
        match tasks.len() {
            0 | 1 => tasks.into_iter().enumerate().for_each(task),
            _ => tasks.into_par_iter().enumerate().for_each(task),
        }
        out
    }
}

/// Even and odd element of every pair.
pub fn pairs(elements: &[K]) -> impl Iterator<Item = (K, K)> {
    let (whole, end) = elements.as_chunks::<2>();
    whole.iter().map(|&[even, odd]| (even, odd)).chain(end.iter().map(|&even| (even, K::ZERO)))
}

/// `even + x (odd - even)` of every pair.
pub fn fold_rows(values: &[K], length: usize, x: K) -> Vec<K> {
    let [out] = Pairs::new(values.len(), length).map(|run, [out]| {
        out.iter_mut().zip(pairs(&values[run.elements])).for_each(|(out, (even, odd))| *out = even + x * (odd - even));
    });
    out
}
