//! What is done when the device's memory runs short. The emulator has as much as its environment says, so each test is a process of its own.

use kernels::cuda::emulator::{GPU, device_under_test};
use kernels::{Cuda, Device, DeviceError, attempt};
use p3_field::PrimeCharacteristicRing;
use std::env;
use std::process::Command;
use verifier::field::K;

/// Bytes of an element of the challenge field.
const ELEMENT: usize = 24;

/// Of the emulator.
const MEMORY: &str = "PROOFMILL_EMULATOR_MEMORY";

/// Runs a test of this file, one that is ignored otherwise, with so much memory.
fn with_memory(bytes: usize, test: &str) {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", &format!("memory::{test}")])
        .env_remove(GPU)
        .env(MEMORY, bytes.to_string())
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
