//! What is done when the device's memory runs short. The emulator has as much as its environment says, so each test is a process of its own.

use super::Random;
use kernels::cuda::emulator::{GPU, device_under_test};
use kernels::{Cpu, Cuda, Device, DeviceError, Dual, IntegerDevice, Ints, Strided, attempt};
use p3_field::PrimeCharacteristicRing;
use std::env;
use std::process::Command;
use verifier::commitment::Layout;
use verifier::field::K;

/// Bytes of an element of the challenge field.
const ELEMENT: usize = 24;

/// Of the emulator: bytes of its memory, and of the host's that may be page-locked.
const MEMORY: &str = "PROOFMILL_EMULATOR_MEMORY";
const PAGE_LOCKED: &str = "PROOFMILL_EMULATOR_LOCKED";

/// Runs a test of this file, one that is ignored otherwise, with so much memory.
fn with_memory(bytes: usize, test: &str) {
    with(MEMORY, bytes, test);
}

fn with(limit: &str, bytes: usize, test: &str) {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", &format!("memory::{test}")])
        .env_remove(GPU)
        .env(limit, bytes.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// In such a process, the device.
fn with_little_memory() -> Option<Cuda> {
    env::var_os(MEMORY).and_then(|_| device_under_test())
}

#[test]
fn what_is_freed_is_there_for_anything_else() {
    with_memory(1000 * ELEMENT, "freed_memory_is_used_again");
}

#[test]
#[ignore = "with little memory: the test above runs it"]
fn freed_memory_is_used_again() {
    let Some(cuda) = with_little_memory() else { return };
    // Each takes more than what the one before leaves, and less than half of it or more than all.
    for len in [400, 900, 300, 1000, 200, 700] {
        assert_eq!(cuda.download(&cuda.zeros(len)), vec![K::ZERO; len]);
    }
    let held = cuda.zeros(700);
    let Err(error) = attempt(|| cuda.zeros(301)) else { panic!("there are {} bytes", 300 * ELEMENT) };
    let (asked, free, total) = (301 * ELEMENT, 300 * ELEMENT, 1000 * ELEMENT);
    assert!(
        matches!(error, DeviceError::Memory { asked: a, free: f, total: t, .. } if (a, f, t) == (asked, free, total)),
        "{error}"
    );
    assert_eq!(cuda.download(&cuda.zeros(300)), vec![K::ZERO; 300]);
    assert_eq!(cuda.download(&held), vec![K::ZERO; 700]);
}

#[test]
fn what_the_host_holds_too_makes_room() {
    with_memory(100_000, "copies_go_and_come_back");
    with_memory(192 << 10, "tensors_are_packed_that_do_not_fit_together");
    with_memory(350_000, "what_is_used_next_is_sent_ahead");
}

#[test]
#[ignore = "with little memory: the test above runs it"]
fn copies_go_and_come_back() {
    let Some(cuda) = with_little_memory() else { return };
    let values = |tensor: i16| Ints::I16((0..10_000).map(|i| i * 3 % 9973 + 1000 * tensor).collect());
    let tensors = [0, 1, 2, 3].map(|tensor| cuda.upload_integers(values(tensor)));
    let largest = |tensor: usize| {
        let found = cuda.download_integers(&cuda.row_max(&tensors[tensor], 10_000));
        assert_eq!(found, Ints::from(vec![9972 + 1000 * tensor as i64]));
        cuda.usage().bytes_to_device
    };
    // All four fit, and then only two beside what else there is: those that were used last.
    assert_eq!([2, 0, 3, 1].map(largest), [80_000; 4]);
    let zeros = cuda.zeros(36_000 / ELEMENT);
    assert_eq!([3, 1].map(largest), [80_000; 2]);
    // There is room for a third, not for all.
    assert_eq!([0, 2].map(largest), [100_000, 120_000]);
    assert_eq!([1, 0, 2].map(largest), [120_000; 3]);
    assert_eq!(largest(3), 140_000);
    // What is on the device alone does not go, and when all else has gone that is the end.
    let Err(error) = attempt(|| cuda.zeros(70_000 / ELEMENT)) else { panic!("of 100000 bytes 36000 are taken") };
    assert!(matches!(error, DeviceError::Memory { free, .. } if (60_000..=64_000).contains(&free)), "{error}");
    assert_eq!(cuda.download(&zeros), vec![K::ZERO; 1500]);
    assert_eq!([0, 1, 2].map(largest), [160_000, 180_000, 200_000]);
}

#[test]
#[ignore = "with little memory: a test above runs it"]
fn tensors_are_packed_that_do_not_fit_together() {
    let Some(cuda) = with_little_memory() else { return };
    let devices = Dual(Cpu, cuda);
    // 96000 bytes of tensors, and 2^14 words of the polynomial.
    let shapes = vec![vec![30, 33]; 12];
    let random = Random::new(31);
    let tensors: Vec<_> = shapes.iter().map(|_| devices.upload_integers(random.integers(64, 990))).collect();
    let packed = devices.pack(&Layout::new(&shapes), &tensors.iter().collect::<Vec<_>>());
    devices.bind_columns(&packed, &random.elements(8));
    let usage = devices.1.usage();
    assert!(usage.kernels["integers"].launches > 1 && usage.bytes_to_device > 2 * 12 * 990 * 8, "{usage:?}");
}

#[test]
#[ignore = "with little memory: a test above runs it"]
fn what_is_used_next_is_sent_ahead() {
    let Some(cuda) = with_little_memory() else { return };
    let tensors = [0; 4].map(|x| cuda.upload_integers(Ints::I16(vec![x + 5; 50_000])));
    let sent = || cuda.usage().bytes_to_device;
    let used = |tensor: usize| {
        let largest = cuda.row_max(&tensors[tensor], 50_000);
        assert_eq!(cuda.download_integers(&largest), Ints::from(vec![5]));
        sent()
    };
    // The last found no room.
    assert_eq!([sent(), used(0)], [300_000; 2]);
    // Of what is there, one that is not used next makes room for it, when the stream has come that far.
    cuda.prefetch(&[&tensors[1], &tensors[3]]);
    cuda.prefetch(&[&tensors[1], &tensors[3]]);
    assert_eq!([sent(), used(1)], [300_000; 2]);
    cuda.prefetch(&[&tensors[1], &tensors[3]]);
    assert_eq!([sent(), used(3), used(1), used(0)], [400_000; 4]);
    assert_eq!(used(2), 500_000);
    // What was sent ahead and is not used goes as well.
    cuda.prefetch(&[&tensors[3]]);
    assert_eq!(used(0), 500_000);
    cuda.prefetch(&[&tensors[3]]);
    assert_eq!(cuda.download(&cuda.zeros(340_000 / ELEMENT)), vec![K::ZERO; 340_000 / ELEMENT]);
    assert_eq!([sent(), used(3)], [600_000, 700_000]);
}

/// More than all page-locked memory together holds, there and back.
fn there_and_back(cuda: &Cuda) {
    let random = Random::new(41);
    let values: Vec<K> = (0..17).flat_map(|_| vec![random.element(); 25_000 + random.next() as usize % 10]).collect();
    let uploaded = cuda.upload_extension(values.clone());
    assert!(cuda.download(&uploaded) == values);
    let usage = cuda.usage();
    let bytes = (ELEMENT * values.len()) as u64;
    assert_eq!((usage.bytes_to_device, usage.bytes_from_device), (bytes, bytes));
}

#[test]
fn large_vectors_go_through_page_locked_memory_in_pieces() {
    let Some(cuda) = device_under_test() else { return };
    there_and_back(&cuda);
    // Uploading waits for a buffer, downloading for all.
    assert!(cuda.usage().waits >= 3, "{:?}", cuda.usage());
}

#[test]
fn memory_is_freed_behind_the_kernels_that_read_it() {
    let Some(cuda) = device_under_test() else { return };
    let mut sum = cuda.zeros(1 << 18);
    for x in 1..=4 {
        // Kernels wait, while the next copy goes on.
        cuda.add_at(&mut sum, Strided::ALL, &cuda.upload_extension(vec![K::from_u32(x); 1 << 18]));
    }
    assert!(cuda.download(&sum) == vec![K::from_u32(10); 1 << 18]);
}

#[test]
fn without_page_locked_memory_the_driver_copies() {
    with(PAGE_LOCKED, 6 << 20, "copies_without_page_locked_memory");
}

#[test]
#[ignore = "with little memory: the test above runs it"]
fn copies_without_page_locked_memory() {
    let Some(cuda) = env::var_os(PAGE_LOCKED).and_then(|_| device_under_test()) else { return };
    there_and_back(&cuda);
    // The download, and each look at the usage.
    assert_eq!(cuda.usage().waits, 3);
}
