//! That the emulator finds the mistakes that it is there to find: planted ones, in a process of their own.

use crate::cuda::emulator::{CHECKER, GPU, ONLY_PLANTED, compiler, device_under_test};
use crate::cuda::launch::Grid;
use std::env;
use std::process::{Command, Output};

/// The kernel that the other process is to run.
const PLANTED: &str = "PROOFMILL_TEST_PLANTED";
const SUM: u64 = 256 * 255 / 2;

/// Runs a planted kernel in a process of its own, under a checker; `None` where there is no compiler.
fn run(kernel: &str, checker: Option<&str>) -> Option<(Output, String)> {
    let compiler = match compiler() {
        Ok(compiler) => compiler,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return None;
        }
    };
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "cuda::tests::emulator::planted"]);
    command.env_remove(GPU).env(ONLY_PLANTED, "1").env(PLANTED, kernel);
    if let Some(checker) = checker {
        // The checker has to be there before anything else; this program itself is compiled without.
        let name = if checker == "address" { "libasan.so" } else { "libtsan.so" };
        let found = Command::new(&compiler).arg(format!("-print-file-name={name}")).output().unwrap();
        let library = String::from_utf8(found.stdout).unwrap().trim().to_owned();
        if !library.contains('/') {
            eprintln!("skipped: the C++ compiler '{compiler}' has no {name}");
            return None;
        }
        command.env("LD_PRELOAD", library).env(CHECKER, checker).env("ASAN_OPTIONS", "detect_leaks=0");
        command.env("TSAN_OPTIONS", "ignore_noninstrumented_modules=1");
    }
    let output = command.output().unwrap();
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some((output, said))
}

#[test]
#[ignore = "the other tests here run it, each in a process of its own"]
fn planted() {
    let Some(cuda) = device_under_test() else { return };
    let gpu = cuda.gpu();
    let kernel = env::var(PLANTED).unwrap();
    // So many go through page-locked memory, and the first 256 are added up.
    let count = if kernel == "unawaited" { 1 << 14 } else { 256 };
    let words: Vec<u64> = (0..count).collect();
    let sent = gpu.try_send(&words).unwrap();
    let x = if kernel == "unawaited" { sent.unawaited() } else { gpu.arrived(sent) };
    let out = gpu.allocate::<u64>(1);
    let (from, to, grid) = (gpu.pointer(&x), gpu.pointer(&out), Grid { blocks: 1, rows: 1 });
    match kernel.as_str() {
        "none" | "unawaited" => gpu.planted_none(grid, from, to),
        "race" => gpu.planted_race(grid, from, to),
        "out_of_bounds" => gpu.planted_out_of_bounds(grid, from, to),
        "freed" => {
            let pointer = from.unbound();
            drop(x);
            gpu.planted_none(grid, pointer, to);
        }
        "divergence" => gpu.planted_divergence(grid, from, to),
        other => panic!("no kernel {other}"),
    }
    println!("sum {}", gpu.download(&out, 1)[0]);
}

#[test]
fn a_kernel_without_mistakes_passes_every_check() {
    for checker in [None, Some("address"), Some("thread")] {
        let Some((output, said)) = run("none", checker) else { return };
        assert!(output.status.success() && said.contains(&format!("sum {SUM}")), "{checker:?}: {said}");
        assert!(!said.contains("Sanitizer"), "{checker:?}: {said}");
    }
}

#[test]
fn a_race_is_found() {
    let Some((output, said)) = run("race", Some("thread")) else { return };
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("ThreadSanitizer: data race") && said.contains("planted.cu"), "{said}");
    // Without a checker the sum is another: the order of threads is random.
    let (_, said) = run("race", None).unwrap();
    assert!(said.contains("sum ") && !said.contains(&format!("sum {SUM}\n")), "{said}");
}

#[test]
fn a_kernel_that_does_not_wait_for_a_copy_is_found() {
    let Some((_, said)) = run("unawaited", None) else { return };
    assert!(said.contains("sum ") && !said.contains(&format!("sum {SUM}\n")), "{said}");
}

#[test]
fn a_kernel_that_reads_freed_memory_is_found() {
    let Some((output, said)) = run("freed", Some("address")) else { return };
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("AddressSanitizer: heap-use-after-free") && said.contains("planted.cu"), "{said}");
}

#[test]
fn page_locked_memory_that_is_touched_while_it_is_copied_is_found() {
    let Some(cuda) = device_under_test() else { return };
    let gpu = cuda.gpu();
    if env::var_os(GPU).is_some() {
        return;
    }
    let (stream, mut memory) = (&gpu.stream, gpu.allocate::<u64>(1));
    // SAFETY: it is written before it is read.
    let mut page_locked = unsafe { stream.context().alloc_pinned_with_flags::<u64>(1, 0) }.unwrap();
    page_locked.as_mut_slice().unwrap()[0] = 1;
    stream.memcpy_htod(page_locked.as_slice().unwrap(), &mut memory).unwrap();
    page_locked.as_mut_slice().unwrap()[0] = 2;
    assert_eq!(gpu.download(&memory, 1), [2], "it was written too early");
    page_locked.as_mut_slice().unwrap()[0] = 3;
    stream.memcpy_dtoh(&memory, page_locked.as_mut_slice().unwrap()).unwrap();
    assert_eq!(page_locked.as_slice().unwrap(), [3], "it is read too early");
    gpu.wait();
    assert_eq!(page_locked.as_slice().unwrap(), [2]);
}

#[test]
fn an_access_out_of_bounds_is_found() {
    let Some((output, said)) = run("out_of_bounds", Some("address")) else { return };
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("AddressSanitizer: heap-buffer-overflow") && said.contains("planted.cu"), "{said}");
}

#[test]
fn threads_of_a_block_at_different_places_are_found() {
    let Some((output, said)) = run("divergence", None) else { return };
    assert!(!output.status.success() && said.contains("planted_divergence"), "{said}");
}
