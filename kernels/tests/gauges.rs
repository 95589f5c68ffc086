//! What a device counts of its own work. The work is the commitment's, whose launches and bytes follow from its size.

use kernels::cuda::emulator::device_under_test;
use kernels::{Cuda, Device, Strided};
use p3_field::PrimeCharacteristicRing;
use std::time::Instant;
use verifier::field::{F, K};

/// Commits to `2^12` words in rows of 16, and opens two of the `2^9` rows.
fn commit(cuda: &Cuda) {
    let message = cuda.upload((0..1 << 12).map(F::from_usize).collect());
    let (_, tree) = cuda.commit_base(&message, 4, 1);
    cuda.open(&tree, &[3, 300]);
}

#[test]
fn launches_bytes_and_waits_are_counted() {
    let Some(cuda) = device_under_test() else { return };
    commit(&cuda);
    let usage = cuda.usage();
    let launches = |family| usage.kernels.get(family).map(|kernel| kernel.launches);
    // Rows, then nine levels of pairs; the root, the opened rows and their siblings are gathered.
    assert_eq!((launches("encode"), launches("hash"), launches("rows")), (Some(1), Some(10), Some(3)));
    assert_eq!(usage.kernels.len(), 3, "{usage:?}");
    // The message, tables of 2^5 and 2^4 roots, and indices: of the root, of two rows, of their siblings.
    let siblings = 2 * 9 - 2;
    assert_eq!(usage.bytes_to_device, 8 * ((1 << 12) + (1 << 5) + (1 << 4) + 1 + 2 + siblings));
    assert_eq!(usage.bytes_from_device, 32 + 2 * 16 * 8 + siblings * 32);
    // Three downloads, and that of the usage.
    assert_eq!(usage.waits, 4);
    // Message, codeword, digests.
    assert!(usage.peak_memory_bytes >= 8 * (4096 + 8192) + 32 * (2 << 9), "{usage:?}");
    assert_eq!(usage.seconds(), 0.0, "kernels are not timed unless that is asked for");
}

#[test]
fn kernels_are_timed_in_batches_and_while_nothing_waits() {
    let Some(cuda) = device_under_test() else { return };
    let cuda = cuda.with_kernel_times();
    let begun = Instant::now();
    commit(&cuda);
    // More launches than events are kept for, with nothing that waits.
    let mut sum = cuda.zeros(1 << 8);
    let one = cuda.upload_extension(vec![K::ONE; 1 << 8]);
    for _ in 0..5000 {
        cuda.add_at(&mut sum, Strided::ALL, &one);
    }
    let waits = cuda.usage().waits;
    assert_eq!(cuda.download(&sum), vec![K::from_u32(5000); 1 << 8]);
    let (usage, wall) = (cuda.usage(), begun.elapsed().as_secs_f64());
    assert_eq!((usage.kernels["weights"].launches, usage.waits), (5000, waits + 2));
    for (family, kernel) in &usage.kernels {
        assert!(kernel.seconds > 0.0, "{family}: {usage:?}");
    }
    assert!(usage.seconds() < wall, "{} of {wall}", usage.seconds());
}
