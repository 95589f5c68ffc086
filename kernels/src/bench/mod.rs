//! What the loops of a proof take on a GPU, one by one, beside the least that they can take there: [`load`] says what they cannot avoid,
//! [`Rates`] what the GPU does at best, measured in the same run.

mod integers;
pub mod load;
mod openings;
mod random;
mod rates;
mod sizes;
mod sumchecks;

use crate::cuda::{Cuda, Filling};
use crate::usage::KernelUsage;
use load::Load;
use random::Random;
pub use rates::{Bound, Rates};
pub use sizes::Sizes;
use std::collections::BTreeMap;

/// A GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Properties {
    /// Number and name.
    pub name: String,
    /// Compute capability.
    pub capability: String,
    /// The CUDA version that the driver is of.
    pub driver: String,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Of it free.
    pub free_bytes: u64,
    /// The cache that all multiprocessors share.
    pub cache_bytes: u64,
}

/// A kernel that a loop launched.
#[derive(Clone, Debug, PartialEq)]
pub struct Launched {
    /// The file that it is in.
    pub family: &'static str,
    /// Its name.
    pub name: &'static str,
    /// How often, and for how long.
    pub used: KernelUsage,
}

/// What a loop took.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Of the loop: what [`Device`](crate::Device) or [`IntegerDevice`](crate::IntegerDevice) calls it, or part of that.
    pub name: &'static str,
    /// What there is one of for each step: words, elements, fractions, integers.
    pub unit: &'static str,
    /// How many.
    pub items: u64,
    /// What cannot be avoided.
    pub load: Load,
    /// Seconds that its kernels ran, the least of the repetitions.
    pub seconds: f64,
    /// Those kernels, in the same repetition.
    pub kernels: Vec<Launched>,
    /// Most bytes of memory that were allocated at one time meanwhile.
    pub peak_memory_bytes: u64,
}

/// How much of its floor a loop is meant to reach: of the copy's bandwidth where memory bounds it.
const MEMORY_TARGET: f64 = 0.7;
/// Of their arithmetic, for transforms and hashing.
const ARITHMETIC_TARGET: f64 = 0.6;

/// A target is for loops whose floor is at least so many launches of a kernel: what is shorter tells of launches.
const LAUNCHES: f64 = 4.0;

impl Row {
    /// Whether launches say more of its time than its floor does.
    pub fn is_short(&self, rates: &Rates) -> bool {
        rates.floor(&self.load).0 < LAUNCHES * rates.launch_seconds
    }

    /// What the floor's part of the time is meant to be at least. Short loops, and those that other arithmetic bounds, have no target.
    pub fn target(&self, rates: &Rates) -> Option<f64> {
        match rates.floor(&self.load).1 {
            _ if self.is_short(rates) => None,
            Bound::Memory => Some(MEMORY_TARGET),
            Bound::Arithmetic if self.load.compressions > 0 || self.load.multiplications > 0 => Some(ARITHMETIC_TARGET),
            Bound::Arithmetic => None,
        }
    }
}

/// What is measured, on which sizes.
struct Bench<'a> {
    cuda: &'a Cuda,
    sizes: Sizes,
    random: Random,
    filling: Filling,
}

/// A loop, and how it is measured.
type Case = (&'static str, fn(&Bench) -> Row);

/// All loops.
fn cases() -> impl Iterator<Item = Case> {
    openings::CASES.iter().chain(sumchecks::CASES).chain(integers::CASES).copied()
}

/// Measures every loop, and shows each as soon as it is.
pub fn measure(cuda: &Cuda, sizes: Sizes, mut show: impl FnMut(&Row)) -> Vec<Row> {
    let bench = Bench { cuda, sizes, random: Random::default(), filling: cuda.filling() };
    let measured = cases().map(|(name, case)| {
        let row = Row { name, ..case(&bench) };
        show(&row);
        row
    });
    measured.collect()
}

/// A loop is repeated at least and at most so often, and between them until its kernels have run for so many seconds.
const REPETITIONS: std::ops::RangeInclusive<usize> = 3..=20;
const SECONDS: f64 = 0.05;

/// How often each kernel was launched, and for how long it ran.
type Times = BTreeMap<(&'static str, &'static str), KernelUsage>;

/// What came to pass between two readings.
fn between(before: &Times, after: Times) -> Vec<Launched> {
    let spent = after.into_iter().map(|((family, name), used)| {
        let was = before.get(&(family, name)).copied().unwrap_or_default();
        let used = KernelUsage { launches: used.launches - was.launches, seconds: used.seconds - was.seconds };
        Launched { family, name, used }
    });
    spent.filter(|kernel| kernel.used.launches > 0).collect()
}

impl Bench<'_> {
    /// Measures `run` on what `prepare` makes anew for each repetition, in a cache that holds something else. Of the kernels that are
    /// launched those count that are `counted`.
    fn part<T, R>(
        &self,
        (unit, items): (&'static str, usize),
        load: Load,
        counted: fn(family: &str, name: &str) -> bool,
        prepare: impl Fn() -> T,
        run: impl Fn(T) -> R,
    ) -> Row {
        // The first repetition loads kernels and fills the pool of memory.
        drop(run(prepare()));
        let (mut best, mut spent, mut repetitions) = ((f64::INFINITY, Vec::new(), 0), 0.0, 0);
        while repetitions < *REPETITIONS.start() || (spent < SECONDS && repetitions < *REPETITIONS.end()) {
            let prepared = prepare();
            self.cuda.fill_cache(&self.filling);
            self.cuda.restart_peak_memory();
            let before = self.cuda.timed_kernels();
            let made = run(prepared);
            let mut kernels = between(&before, self.cuda.timed_kernels());
            let peak = self.cuda.usage().peak_memory_bytes - self.filling.bytes();
            drop(made);
            kernels.retain(|kernel| counted(kernel.family, kernel.name));
            let seconds = kernels.iter().map(|kernel| kernel.used.seconds).sum();
            if seconds < best.0 {
                best = (seconds, kernels, peak);
            }
            (spent, repetitions) = (spent + seconds, repetitions + 1);
        }
        let (seconds, kernels, peak_memory_bytes) = best;
        Row { name: "", unit, items: items as u64, load, seconds, kernels, peak_memory_bytes }
    }

    /// The same with all kernels.
    fn whole<T, R>(
        &self,
        items: (&'static str, usize),
        load: Load,
        prepare: impl Fn() -> T,
        run: impl Fn(T) -> R,
    ) -> Row {
        self.part(items, load, |_, _| true, prepare, run)
    }

    /// The same of a loop that changes nothing of what it reads.
    fn row<R>(&self, items: (&'static str, usize), load: Load, run: impl Fn() -> R) -> Row {
        self.whole(items, load, || (), |()| run())
    }
}
