//! What the verifier brings along must fit wasm32 and a browser: no threads, files, clocks, entropy or C code.

use std::process::Command;

/// Crates of the verifier's tree on wasm32, each with its features.
fn tree() -> Vec<(String, Vec<String>)> {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe"])
        .args(["--target", "wasm32-unknown-unknown", "--format", "{p}|{f}"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let mut crates: Vec<_> = text
        .lines()
        .map(|line| {
            let (package, features) = line.split_once('|').expect("the format has a bar");
            let name = package.split(' ').next().unwrap_or_default();
            (name.to_owned(), features.split(',').map(str::to_owned).collect())
        })
        .collect();
    crates.sort();
    crates.dedup();
    crates
}

#[test]
fn nothing_needs_an_operating_system() {
    let crates = tree();
    assert!(crates.iter().any(|(name, _)| name == "p3-whir"), "the tree is not the verifier's: {crates:?}");
    for (name, features) in crates {
        for feature in ["std", "parallel", "rayon", "os_rng", "thread_rng"] {
            assert!(!features.iter().any(|f| f == feature), "{name} is built with its feature {feature}");
        }
        let refused = ["rayon", "rayon-core", "getrandom", "libc", "cc", "tokio", "js-sys", "wasm-bindgen"];
        assert!(!refused.contains(&name.as_str()), "{name} is among the dependencies");
        assert!(name != "blake3" || features.iter().any(|f| f == "pure"), "blake3 would be built from C");
    }
}
