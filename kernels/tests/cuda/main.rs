//! Every loop on the GPU against the same loop on the CPU, on shapes where indices go wrong and on values where carries do.
//!
//! Without a GPU the emulator stands in; with `PROOFMILL_TEST_GPU=n` it is GPU `n`.

mod integers;
mod memory;
mod sumchecks;
mod tensor;

use kernels::cuda::emulator::{CHECKER, compiler, device_under_test};
use kernels::{Affine, Cpu, Cuda, Device, DeviceError, Dual, IntegerDevice, Ints, Strided, attempt};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField64};
use std::cell::Cell;
use std::env;
use std::process::Command;
use verifier::commitment::Layout;
use verifier::field::{F, K};

/// The device under test beside the CPU, each step compared. What an operation does not hold on the device is gone when it allocates.
fn devices() -> Option<Dual<Cpu, Cuda>> {
    device_under_test().map(|cuda| Dual(Cpu, cuda.short_of_memory()))
}

struct Random(Cell<u64>);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        self.0.get() ^ self.0.get() >> 29
    }

    /// One in four is a word that is not reduced, or nearly so.
    fn base(&self) -> F {
        let edges = [0, 1, u32::MAX.into(), 1 << 32, F::ORDER_U64 - 1, F::ORDER_U64, u64::MAX];
        let word = self.next();
        F::from_u64(if word.is_multiple_of(4) { edges[(word >> 8) as usize % edges.len()] } else { word })
    }

    fn element(&self) -> K {
        K::from_basis_coefficients_fn(|_| self.base())
    }

    fn bases(&self, count: usize) -> Vec<F> {
        (0..count).map(|_| self.base()).collect()
    }

    fn elements(&self, count: usize) -> Vec<K> {
        (0..count).map(|_| self.element()).collect()
    }

    /// Integers of this many bits, one in four the least or the largest.
    fn integers(&self, bits: u32, count: usize) -> Ints {
        let one = |_| match self.next() % 8 {
            0 => i64::MIN >> (64 - bits),
            1 => i64::MAX >> (64 - bits),
            _ => self.next() as i64 >> (64 - bits),
        };
        let values: Vec<i64> = (0..count).map(one).collect();
        match bits {
            8 => Ints::I8(values.iter().map(|&x| x as i8).collect()),
            16 => Ints::I16(values.iter().map(|&x| x as i16).collect()),
            32 => Ints::I32(values.iter().map(|&x| x as i32).collect()),
            // The graph keeps wide ones below 2^62.
            _ => Ints::I64(values.iter().map(|&x| x >> 2).collect()),
        }
    }
}

#[test]
fn codewords_trees_and_openings() {
    let Some(devices) = devices() else { return };
    let random = Random::new(1);
    // One pass, two and three; widths that a tile holds and that it does not; rows of one block of the hash and of several.
    for (log_message, log_width, log_inv_rate) in [
        (0, 0, 0),
        (0, 2, 3),
        (1, 5, 1),
        (3, 3, 2),
        (5, 1, 0),
        (6, 4, 4),
        (8, 5, 1),
        (10, 0, 1),
        (11, 2, 1),
        (12, 0, 2),
    ] {
        let rows = 1usize << (log_message + log_inv_rate);
        let leaves: Vec<usize> = [0, 3, 2, 5, 5, 7 * rows / 8, rows - 1].iter().map(|leaf| leaf % rows).collect();
        let message = devices.upload(random.bases(1 << (log_message + log_width)));
        let (_, tree) = devices.commit_base(&message, log_width, log_inv_rate);
        devices.open(&tree, &leaves);
        devices.open(&tree, &(0..rows.min(32)).collect::<Vec<_>>());
        if log_message < 11 {
            let message = devices.upload_extension(random.elements(1 << (log_message + log_width)));
            let (_, tree) = devices.commit_extension(&message, log_width, log_inv_rate);
            devices.open(&tree, &leaves);
        }
    }
}

#[test]
fn codewords_without_room_are_hashed_in_parts_and_encoded_again() {
    if device_under_test().is_none() {
        return;
    }
    let random = Random::new(12);
    // One column, widths of less than a block of the hash and of several; of extension elements, three times as many words.
    for (log_message, log_width, log_inv_rate) in [(0, 0, 0), (2, 5, 3), (5, 4, 0), (6, 0, 2), (10, 3, 1), (10, 4, 0)] {
        let log_rows = log_message + log_inv_rate;
        let (rows, width) = (1usize << log_rows, 1usize << log_width);
        let leaves: Vec<usize> = [0, 3, 2, 5, 5, 7 * rows / 8, rows - 1].iter().map(|leaf| leaf % rows).collect();
        let bytes = 8 * rows * width;
        // Far too little, too little, enough to keep wide rows, enough.
        for room in [0, 2 * bytes, 4 * bytes, 64 * bytes] {
            let devices = Dual(Cpu, device_under_test().expect("it was there before").with_room(room));
            let message = polynomial(&devices, random.integers(16, 1 << (log_message + log_width)));
            let (_, tree) = devices.commit_base(&message, log_width, log_inv_rate);
            let before = devices.1.usage().kernels;
            let hashed = before["hash"].launches as usize - log_rows;
            devices.open(&tree, &leaves);
            devices.open(&tree, &leaves[4..5]);
            let again = devices.1.usage().kernels["encode"].launches > before["encode"].launches;
            match room / bytes {
                0 => assert_eq!((hashed, again), ((width / 8).max(1) << log_inv_rate, true)),
                2 => assert!(again, "kept in {room} bytes: {bytes}"),
                // Cosets apart, in two passes each.
                4 if log_rows == 11 => assert_eq!((hashed, again, before["encode"].launches), (1, false, 4)),
                64 => assert_eq!((hashed, again), (1, false)),
                _ => {}
            }
            if log_message < 10 {
                let mut message = devices.upload_extension(random.elements(1 << (log_message + log_width)));
                let (_, tree) = devices.commit_extension(&message, log_width, log_inv_rate);
                // What is committed may change after.
                devices.add_at(&mut message, Strided::ALL, &devices.upload_extension(vec![K::ONE; 1 << log_message]));
                devices.open(&tree, &leaves);
            }
        }
    }
}

#[test]
fn a_transform_of_three_passes() {
    let Some(devices) = devices() else { return };
    let message = devices.upload(Random::new(2).bases(1 << 19));
    let (_, tree) = devices.commit_base(&message, 0, 0);
    devices.open(&tree, &[1, 1 << 18, (1 << 19) - 1]);
}

#[test]
fn rows_and_columns_are_bound() {
    let Some(devices) = devices() else { return };
    let random = Random::new(3);
    for (variables, log_stride, first, log_width) in
        [(0, 0, 0, 0), (1, 2, 1, 3), (5, 1, 2, 5), (9, 0, 0, 2), (11, 0, 3, 0), (3, 0, 0, 9)]
    {
        let rows = Strided { first, log_stride };
        let values = devices.upload(random.bases(rows.range(1 << variables).end << log_width));
        devices.bind_rows(&values, rows, &random.elements(variables), log_width);
    }
    for (width, rows) in [(1, 5), (2, 300), (8, 257), (32, 1000), (13, 77)] {
        let values = devices.upload(random.bases(width * rows));
        devices.bind_columns(&values, &random.elements(width));
    }
}

/// A committed polynomial of these integers, as many as a power of two.
fn polynomial(devices: &Dual<Cpu, Cuda>, cells: Ints) -> <Dual<Cpu, Cuda> as Device>::Base {
    let layout = Layout::new(&[vec![cells.len()]]);
    devices.pack(&layout, &[&devices.upload_integers(cells)])
}

#[test]
fn polynomials_of_integers_are_encoded_and_bound() {
    let Some(devices) = devices() else { return };
    let random = Random::new(10);
    for bits in [8, 16, 32, 64] {
        for (log_message, log_width, log_inv_rate) in [(0, 0, 0), (1, 5, 1), (5, 1, 2), (10, 1, 1)] {
            let message = polynomial(&devices, random.integers(bits, 1 << (log_message + log_width)));
            let (_, tree) = devices.commit_base(&message, log_width, log_inv_rate);
            devices.open(&tree, &[0, (1 << (log_message + log_inv_rate)) - 1]);
        }
        for (variables, log_stride, first, log_width) in [(0, 0, 1, 0), (1, 2, 1, 3), (5, 1, 2, 5), (9, 0, 0, 2)] {
            let rows = Strided { first, log_stride };
            let len = (rows.range(1 << variables).end << log_width).next_power_of_two();
            let values = polynomial(&devices, random.integers(bits, len));
            devices.bind_rows(&values, rows, &random.elements(variables), log_width);
        }
        for (log_width, log_rows) in [(0, 9), (1, 3), (3, 8), (5, 5), (8, 2)] {
            let values = polynomial(&devices, random.integers(bits, 1 << (log_width + log_rows)));
            devices.bind_columns(&values, &random.elements(1 << log_width));
        }
    }
}

#[test]
fn sums_of_the_largest_cells_do_not_overflow() {
    let Some(devices) = devices() else { return };
    let log_len = 16;
    let largest = -K::ONE - K::from_basis_coefficients_fn(|_| F::from_u64(u32::MAX.into()));
    for cell in [i16::MIN, i16::MAX] {
        let values = polynomial(&devices, Ints::I16(vec![cell; 1 << log_len]));
        devices.bind_columns(&values, &vec![largest; 1 << log_len]);
        devices.bind_rows(&values, Strided::ALL, &vec![largest; log_len], 0);
    }
}

#[test]
fn weights_are_added_and_evaluated() {
    let Some(devices) = devices() else { return };
    let random = Random::new(4);
    for variables in [0, 1, 4, 9, 12] {
        let values = devices.upload_extension(random.elements(1 << variables));
        let _ = devices.evaluate(&values, &random.elements(variables));
    }
    let mut out = devices.zeros(1 << 11);
    for (variables, first, log_stride) in [(0, 7, 3), (11, 0, 0), (4, 2, 6), (9, 1, 1)] {
        let places = Strided { first, log_stride };
        devices.add_eq(&mut out, places, &random.elements(variables), random.element());
        devices.add_at(&mut out, places, &devices.upload_extension(random.elements(1 << variables)));
    }
    // Few exponents one by one, many by a transform.
    for (log_order, count) in [(11, 3), (14, 30), (11, 40), (20, 0)] {
        let exponents: Vec<usize> = (0..count).map(|_| random.next() as usize % (1 << log_order)).collect();
        devices.add_powers(&mut out, log_order, &exponents, &random.elements(count));
    }
}

#[test]
fn rounds_of_two_factors() {
    let Some(devices) = devices() else { return };
    let random = Random::new(5);
    for variables in [1, 2, 3, 11, 13] {
        let [mut a, mut b] = [0, 1].map(|_| devices.upload_extension(random.elements(1 << variables)));
        let _ = devices.round(&a, &b);
        for _ in 1..variables {
            let _ = devices.fold_round(&mut a, &mut b, random.element());
        }
        devices.fold(&mut a, &mut b, random.element());
        assert_eq!(devices.download(&a).len(), 1);
    }
}

#[test]
fn integers_are_lifted_contracted_and_combined() {
    let Some(devices) = devices() else { return };
    let random = Random::new(6);
    for bits in [8, 16, 32, 64] {
        for shape in [vec![1], vec![5], vec![3, 5, 7], vec![2, 1, 33], vec![9_000], vec![700, 2], vec![2, 300, 9]] {
            let len: usize = shape.iter().product();
            let values = devices.upload_integers(random.integers(bits, len));
            let lifted = devices.lift(&values);
            for axis in 0..shape.len() {
                let weights = random.elements(shape[axis]);
                devices.contract_ints(&values, &shape, axis, &weights);
                devices.contract(&lifted, &shape, axis, &weights);
            }
            let terms =
                [bits, 8, 64].map(|bits| (random.element(), devices.upload_integers(random.integers(bits, len))));
            let terms: Vec<(K, &_)> = terms.iter().map(|(factor, column)| (*factor, column)).collect();
            let slice = |terms: &[(K, _)]| Affine { len, constant: random.element(), terms: terms.to_vec() };
            devices.affine(&[slice(&terms), slice(&[]), slice(&terms[1..2])]);
        }
    }
}

#[test]
fn sums_of_the_largest_integers_do_not_overflow() {
    let Some(devices) = devices() else { return };
    let len = (1 << 16) + 100;
    let weights = vec![-K::ONE - K::from_basis_coefficients_fn(|_| F::from_u64(u32::MAX.into())); len];
    for values in [Ints::I8(vec![i8::MAX; len]), Ints::I16(vec![i16::MAX; len]), Ints::I16(vec![i16::MIN; len])] {
        let values = devices.upload_integers(values);
        devices.contract_ints(&values, &[len], 0, &weights);
        devices.contract_ints(&values, &[len / 2, 2], 0, &weights[..len / 2]);
    }
}

#[test]
fn axes_are_reordered() {
    let Some(devices) = devices() else { return };
    let (random, shape) = (Random::new(7), [3, 4, 1, 5]);
    for order in [[0, 1, 2, 3], [3, 0, 1, 2], [1, 0, 3, 2], [3, 2, 1, 0]] {
        devices.permute(devices.upload_extension(random.elements(60)), &shape, &order);
    }
}

#[test]
fn what_was_asked_for_is_named_when_memory_runs_out_and_the_device_goes_on() {
    let Some(cuda) = device_under_test() else { return };
    let Err(error) = attempt(|| cuda.zeros(1 << 34)) else { panic!("a device of 384 GiB") };
    assert!(matches!(error, DeviceError::Memory { asked, .. } if asked == 24 << 34), "{error}");
    assert!(error.to_string().contains(" is out of memory: 412316860416 bytes were asked for, "), "{error}");
    assert_eq!(cuda.download(&cuda.zeros(3)), [K::ZERO; 3]);
    assert!(matches!(Cuda::open(1000), Err(DeviceError::NoGpu { ordinal: 1000, .. })));
}

/// Runs all tests of this file in a process with a checker.
fn under(checker: &str, library: &str) {
    let compiler = match compiler() {
        Ok(compiler) => compiler,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let found = Command::new(&compiler).arg(format!("-print-file-name={library}")).output().unwrap();
    let library = String::from_utf8(found.stdout).unwrap().trim().to_owned();
    if !library.contains('/') {
        return eprintln!("skipped: the C++ compiler '{compiler}' has no checker: {library}");
    }
    let status = Command::new(env::current_exe().unwrap())
        // Both are long, and do nothing that shorter ones do not.
        .args(["--test-threads=1", "--skip", "three_passes", "--skip", "sums_of_products_of_limbs"])
        .env("LD_PRELOAD", library)
        .env(CHECKER, checker)
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .env("TSAN_OPTIONS", "ignore_noninstrumented_modules=1")
        .status();
    assert!(status.unwrap().success(), "the {checker} checker has found something, see above");
}

#[test]
#[ignore = "a minute: the checks of the project run it"]
fn no_kernel_reads_or_writes_beyond_its_memory() {
    under("address", "libasan.so");
}

#[test]
#[ignore = "a minute: the checks of the project run it"]
fn no_kernel_has_a_race() {
    under("thread", "libtsan.so");
}
