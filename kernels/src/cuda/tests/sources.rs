//! The sources against the launches, and against the images.

use crate::cuda::images::{MODULES, of_module};
use crate::cuda::launch::{DECLARED, DECLARED_FOR_TESTS};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda")
}

fn source(module: &str) -> String {
    fs::read_to_string(folder().join(format!("{module}.cu"))).unwrap()
}

/// The module's kernels as the source declares them: name, block size and parameters, macros for several types written out.
fn declared(source: &str) -> Vec<(String, String, Vec<String>)> {
    let mut kernels = Vec::new();
    for part in source.replace(" \\\n", "\n").split("KERNEL(").skip(1) {
        let (name, rest) = part.split_once(',').unwrap();
        let (threads, rest) = rest.split_once(',').unwrap();
        let end = rest.find(')').unwrap();
        let parameters = rest[..end].trim().trim_start_matches('(').split(',');
        let parameters: Vec<String> = parameters.map(|p| p.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let macro_types: &[&str] = match name.strip_suffix("_##T") {
            None => &["T"],
            Some("bind_rows" | "bind_columns" | "encode_pass") => &["i8", "i16", "i32", "u64"],
            Some("lift") => &["i8", "i16", "i32", "i64"],
            Some(_) => &["i8", "i16", "i32", "i64", "gl3"],
        };
        for of_type in macro_types {
            kernels.push((name.replace("##T", of_type), threads.trim().to_owned(), parameters.clone()));
        }
    }
    kernels
}

#[test]
fn launches_have_the_parameters_of_the_sources() {
    let mut found = BTreeSet::new();
    for module in MODULES {
        for (name, threads, parameters) in declared(&source(module)) {
            let launches = DECLARED.iter().chain(DECLARED_FOR_TESTS);
            let &(of_module, _, launched_threads, launched) = launches
                .clone()
                .find(|(_, kernel, ..)| *kernel == name)
                .unwrap_or_else(|| panic!("no launch of {name}"));
            assert_eq!(of_module, *module, "{name}");
            let threads = if threads == "ROWS" { "HASHED_ROWS" } else { &threads };
            assert_eq!(threads, launched_threads, "{name}");
            let expected: Vec<String> = launched
                .iter()
                .zip(&parameters)
                .map(|((parameter, kind), found)| match *kind {
                    "Pointer" => {
                        let (pointed, _) = found.rsplit_once("* ").unwrap_or_else(|| panic!("{name}: {found}"));
                        format!("{pointed}* {parameter}")
                    }
                    "Element" => format!("gl3 {parameter}"),
                    kind => format!("{kind} {parameter}"),
                })
                .collect();
            assert_eq!(parameters, expected, "{name}");
            assert_eq!(parameters.len(), launched.len(), "{name}");
            found.insert(name);
        }
    }
    for (_, kernel, ..) in DECLARED.iter().chain(DECLARED_FOR_TESTS) {
        assert!(found.contains(*kernel), "{kernel} is launched, and no source has it");
    }
}

#[test]
fn images_are_of_these_sources() {
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(folder().join("images/manifest.json")).unwrap()).unwrap();
    let mut sources: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.sort();
    let with = |extension: &'static str| sources.iter().filter(move |p| p.extension().is_some_and(|e| e == extension));
    assert_eq!(with("cu").map(|path| path.file_stem().unwrap().to_str().unwrap()).collect::<Vec<_>>(), MODULES);
    for path in with("cu") {
        let mut digest = Sha256::new();
        for part in std::iter::once(path).chain(with("cuh")) {
            digest.update(part.file_name().unwrap().as_encoded_bytes());
            digest.update([0]);
            digest.update(fs::read(part).unwrap());
            digest.update([0]);
        }
        let module = path.file_stem().unwrap().to_str().unwrap();
        let entry = &manifest["modules"][module];
        assert_eq!(entry["source"], hex(&digest.finalize()), "{module}.cu has changed: run kernels/cuda/build.py");
        for image in of_module(module) {
            let (major, minor) = image.capability;
            let target = format!("{}_{}", if image.is_ptx { "compute" } else { "sm" }, major * 10 + minor);
            assert_eq!(entry["images"][&target], hex(&Sha256::digest(image.bytes())), "{module} for {target}");
        }
    }
}

#[test]
fn no_kernel_spills_registers() {
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(folder().join("images/manifest.json")).unwrap()).unwrap();
    let mut kernels = 0;
    for (module, entry) in manifest["modules"].as_object().unwrap() {
        for (target, used) in entry["kernels"].as_object().unwrap() {
            for (kernel, used) in used.as_object().unwrap() {
                assert_eq!(used["spilled"], 0, "{kernel} of {module} for {target}");
                kernels += 1;
            }
        }
    }
    assert_eq!(kernels, 4 * (DECLARED.len() + DECLARED_FOR_TESTS.len()));
}

use sha2::{Digest, Sha256};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
