//! What is done when the device's memory runs short. The emulator has as much as its environment says, so each test is a process of its own.

use super::{Random, polynomial};
use kernels::cuda::emulator::{CHECKER, GPU, device_under_test};
use kernels::{Cpu, Cuda, Device, DeviceError, Dual, IntegerDevice, Ints, Strided, attempt};
use p3_field::PrimeCharacteristicRing;
use std::env;
use std::process::Command;
use verifier::commitment::Layout;
use verifier::field::K;
use verifier::plan::Table;

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
    // All four fit, and then only three beside what else there is: those that were used last.
    assert_eq!([2, 0, 3, 1].map(largest), [80_000; 4]);
    let zeros = cuda.zeros(36_000 / ELEMENT);
    assert_eq!([0, 3, 1].map(largest), [80_000; 3]);
    // Each that comes back is in the place of another.
    assert_eq!([2, 3, 1, 2].map(largest), [100_000; 4]);
    assert_eq!([0, 1, 2].map(largest), [120_000; 3]);
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

/// Zeros in so many bytes that stay as long as they are there.
fn taken(cuda: &Cuda, bytes: usize) -> impl Sized {
    cuda.zeros(bytes / ELEMENT)
}

#[test]
fn what_was_computed_moves_to_the_host() {
    with_memory(400_000, "computed_integers_go_and_come_back");
    with_memory(2_000_000, "computed_integers_are_changed_where_they_are_needed");
    with_memory(170_000, "threads_take_room_from_each_other");
}

#[test]
#[ignore = "with little memory: the test above runs it"]
fn computed_integers_go_and_come_back() {
    let Some(cuda) = with_little_memory() else { return };
    let copied = || (cuda.usage().bytes_from_device, cuda.usage().bytes_to_device);
    // The first is wider, and one has less than is worth moving: a part in 2^16 of all memory.
    let numbers = cuda.upload_integers(Ints::from((0..10_000).map(|i| i * 3 % 9973).collect::<Vec<i64>>()));
    let within = |tensor: i64| if tensor == 0 { 0..=1 << 20 } else { 0..=20_000 };
    let tensors = [0, 1, 2, 3].map(|tensor| cuda.combine(1000 * tensor, &[(1, &numbers)], within(tensor)));
    let few = cuda.row_max(&tensors[0], 10_000);
    let largest = |tensor: i64| {
        let (received, sent) = copied();
        assert_eq!(cuda.count(&tensors[tensor as usize]), 10_000);
        let found = cuda.download_integers(&cuda.row_max(&tensors[tensor as usize], 10_000));
        assert_eq!(found, Ints::from(vec![9972 + 1000 * tensor]));
        let width = if tensor == 0 { 4 } else { 2 };
        (copied().0 - received - width, copied().1 - sent)
    };
    // All of them fit, beside the copy of what the host holds. That goes first, and nothing else is moved for it.
    assert_eq!([2, 0, 3, 1].map(largest), [(0, 0); 4]);
    let (received, sent) = copied();
    let first = taken(&cuda, 290_000);
    assert_eq!(copied(), (received, sent));
    // Then what was used least recently moves, and what is used after that is copied back.
    let second = taken(&cuda, 24_000);
    assert_eq!(copied(), (received + 20_000, sent));
    assert_eq!([0, 3, 1].map(largest), [(0, 0); 3]);
    drop(second);
    assert_eq!([2, 2].map(largest), [(0, 20_000), (0, 0)]);
    // What has been moved once is dropped from then on, before what has not; in its place comes what was dropped before.
    let second = taken(&cuda, 24_000);
    assert_eq!(copied().0, received + 20_000 + 12);
    assert_eq!([0, 3, 1].map(largest), [(0, 0); 3]);
    // When all has gone that can go that is the end, and says what was asked for.
    let Err(error) = attempt(|| cuda.zeros(100_000 / ELEMENT)) else { panic!("of 400000 bytes 314000 are taken") };
    assert!(
        matches!(error, DeviceError::Memory { asked, free, .. } if asked == 99_984 && (86_000..86_010).contains(&free)),
        "{error}"
    );
    drop((first, second));
    assert_eq!([0, 1, 2, 3].map(largest), [(0, 40_000), (0, 20_000), (0, 20_000), (0, 20_000)]);
    let (received, _) = copied();
    assert_eq!(cuda.download_integers(&few), Ints::from(vec![9972]));
    assert_eq!(copied().0, received + 4, "it was on the device alone");
    // What the host holds needs no copy from the device.
    let expected: Vec<i64> = (0..10_000).map(|i| i * 3 % 9973 + 3000).collect();
    assert_eq!(cuda.download_integers(&tensors[3]), Ints::from(expected));
    assert_eq!(copied().0, received + 4);
}

#[test]
#[ignore = "with little memory: a test above runs it"]
fn computed_integers_are_changed_where_they_are_needed() {
    let Some(cuda) = with_little_memory() else { return };
    let devices = Dual(Cpu, cuda);
    let random = Random::new(51);
    let table = Table::Range(14);
    let mut counts = devices.upload_integers(Ints::I64(vec![0; table.rows()]));
    let rows = devices.upload_integers(random.integers(16, 3000));
    let everything = || drop(taken(&devices.1, 1_990_000));
    for _ in 0..3 {
        // On the device, on the host, on both, and shared with what keeps them as they are.
        devices.count_rows(&table, &[&rows], &mut counts);
        everything();
        devices.count_rows(&table, &[&rows], &mut counts);
        everything();
        devices.row_max(&counts, table.rows());
        let before = counts.clone();
        devices.count_rows(&table, &[&rows], &mut counts);
        devices.combine(0, &[(2, &before), (-1, &counts)], i64::MIN..=i64::MAX);
    }
    // To be compared four times in each round, and moved twice.
    let received = devices.1.usage().bytes_from_device;
    assert!(received > 3 * (4 + 2) * 8 * table.rows() as u64, "{received}");
}

#[test]
#[ignore = "with little memory: a test above runs it"]
fn threads_take_room_from_each_other() {
    let Some(cuda) = with_little_memory() else { return };
    // Room for eight of twelve, of which three are in use at one time.
    let numbers = cuda.upload_integers(Ints::from((0..10_000).map(|i| i * 3 % 9973).collect::<Vec<i64>>()));
    let tensors: Vec<_> = (0..12).map(|tensor| cuda.combine(1000 * tensor, &[(1, &numbers)], 0..=21_000)).collect();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (cuda, tensors) = (&cuda, &tensors);
            scope.spawn(move || {
                for step in 0..60 {
                    let tensor = (step * (2 * thread + 5) + thread) % tensors.len();
                    let largest = cuda.row_max(&tensors[tensor], 10_000);
                    assert_eq!(cuda.download_integers(&largest), Ints::from(vec![9972 + 1000 * tensor as i64]));
                }
            });
        }
    });
    let usage = cuda.usage();
    assert!(usage.bytes_from_device >= 4 * 20_000 && usage.bytes_to_device > 20_000 + 180 * 2000, "{usage:?}");
}

#[test]
fn codewords_that_were_kept_make_room() {
    with_memory(1 << 20, "codewords_go_first");
}

#[test]
#[ignore = "with little memory: the test above runs it"]
fn codewords_go_first() {
    let Some(cuda) = with_little_memory() else { return };
    let devices = Dual(Cpu, cuda);
    let random = Random::new(61);
    // Codewords of 32, 32 and 24 KiB; digests and what they are of, 112 KiB.
    let [a, b] = [0, 1].map(|_| polynomial(&devices, random.integers(16, 1 << 11)));
    let mut elements = devices.upload_extension(random.elements(1 << 9));
    let trees =
        [devices.commit_base(&a, 3, 1).1, devices.commit_base(&b, 3, 1).1, devices.commit_extension(&elements, 2, 1).1];
    // What a tree is of stays what it is.
    devices.add_at(&mut elements, Strided::ALL, &devices.upload_extension(vec![K::ONE; 1 << 9]));
    let usage = || devices.1.usage();
    let is_encoded = |tree: usize| {
        let before = usage().kernels["encode"].launches;
        devices.open(&trees[tree], &[5, 0, 255, 77]);
        usage().kernels["encode"].launches > before
    };
    assert_eq!([1, 2, 0].map(is_encoded), [false; 3]);
    let first = taken(&devices.1, 780 << 10);
    assert_eq!([1, 2, 0].map(is_encoded), [false; 3]);
    // What was used least recently goes, and no more than is needed. It is encoded whenever it is opened.
    let second = taken(&devices.1, 50 << 10);
    assert_eq!([0, 2, 1, 1].map(is_encoded), [false, false, true, true]);
    drop((first, second));

    // A codeword that is there goes before the copy of what the host holds, and that before what was computed, whenever they were used.
    let held = devices.upload_integers(random.integers(8, 100_000));
    let computed = devices.combine(1, &[(1, &held)], -128..=255);
    let sent = |values| {
        let before = usage().bytes_to_device;
        devices.row_max(values, 1000);
        usage().bytes_to_device - before
    };
    assert_eq!([&computed, &held].map(sent), [0; 2]);
    assert_eq!([0, 2].map(is_encoded), [false; 2]);
    let first = taken(&devices.1, 572 << 10);
    assert_eq!([&held, &computed].map(sent), [0; 2]);
    assert_eq!([2, 0].map(is_encoded), [false, true]);
    let received = usage().bytes_from_device;
    let second = taken(&devices.1, 40 << 10);
    assert_eq!(usage().bytes_from_device, received);
    assert_eq!([&computed, &held].map(sent), [0, 100_000]);
    assert!(is_encoded(2));
    let received = usage().bytes_from_device;
    let third = taken(&devices.1, 150 << 10);
    assert_eq!(usage().bytes_from_device, received + 200_000);
    assert_eq!([0, 1, 2].map(is_encoded), [true; 3]);
    drop((first, second, third));
}

#[test]
fn the_host_may_have_no_room_either() {
    // A checker does not let an allocation fail.
    if env::var_os(CHECKER).is_none() {
        with_memory(72 << 20, "what_finds_no_room_on_the_host_is_an_error");
    }
}

#[test]
#[ignore = "with little memory: the test above runs it"]
fn what_finds_no_room_on_the_host_is_an_error() {
    let Some(cuda) = with_little_memory() else { return };
    // Larger than what the C library keeps for a thread.
    let values = cuda.table_entries(&Table::Range(24), 0, None).remove(0);
    let limited = |limit: &str| {
        let this = std::process::id().to_string();
        Command::new("prlimit").args(["--pid", &this, limit]).status().is_ok_and(|status| status.success())
    };
    cuda.usage();
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    if !limited(&format!("--as={}:", pages * 4096 + (24 << 20))) {
        return eprintln!("skipped: there is no prlimit");
    }
    let Err(error) = attempt(|| cuda.zeros(1 << 20)) else { panic!("of 72 MiB 64 are taken") };
    assert!(matches!(error, DeviceError::HostMemory { asked, .. } if asked == 64 << 20), "{error}");
    assert!(error.to_string().contains("out of memory: 67108864 bytes were asked for on the host"), "{error}");
    assert!(limited("--as=unlimited:"));
    let zeros = cuda.zeros(1 << 20);
    assert_eq!(cuda.usage().bytes_from_device, 64 << 20);
    drop(zeros);
    assert_eq!(cuda.download_integers(&cuda.row_max(&values, 1 << 24)), Ints::from(vec![(1 << 24) - 1]));
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
