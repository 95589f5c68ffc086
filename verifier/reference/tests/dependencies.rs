//! The reference verifier is a second opinion: neither the verifier nor the library under it may stand behind it.

use std::process::Command;

#[test]
fn nothing_is_shared_with_the_verifier() {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    assert!(text.contains("ark-ff v"), "the tree is not the reference verifier's: {text}");
    for line in text.lines().skip(1) {
        assert!(!line.starts_with("p3-") && !line.starts_with("proofmill-"), "{line} is among the dependencies");
    }
}
