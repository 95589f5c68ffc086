//! safetensors and Hugging Face's folders: read as they were meant, or refused by name.

mod common;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use common::{GgufFile, Meta, read};
use formats::{Encoding, Layout, Source, open, open_files, safetensors};

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

const HEADER: &str = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
    "h":{"dtype":"BF16","shape":[2],"data_offsets":[16,20]},"f":{"dtype":"F16","shape":[],"data_offsets":[20,22]},
    "mask":{"dtype":"BOOL","shape":[2],"data_offsets":[22,24]}}"#;

fn data() -> Vec<u8> {
    [floats(&[1.0, 2.0, 3.0, 4.0]), vec![0x80, 0x3f, 0x00, 0xc0], vec![0x00, 0x3c], vec![1, 0]].concat()
}

#[test]
fn tensors_are_decoded_in_the_order_of_the_file() {
    let weights = safetensors::read("m.safetensors", file(HEADER, &data())).unwrap();
    let names: Vec<&str> = weights.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["w", "h", "f", "mask"]);
    assert_eq!(weights.get("h").unwrap().encoding, Encoding::BF16);
    assert_eq!(weights.read("w", &[2, 2]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(weights.read_rows("w", &[2, 2], 1..2).unwrap(), [3.0, 4.0]);
    assert_eq!((read(&weights, "h").unwrap(), read(&weights, "f").unwrap()), (vec![1.0, -2.0], vec![1.0]));
    assert_eq!(
        read(&weights, "mask").unwrap_err().to_string(),
        "m.safetensors: tensor 'mask': expected real numbers, found BOOL"
    );
}

#[test]
fn malformed_files_are_refused_with_what_is_wrong() {
    let error = |bytes: Vec<u8>| safetensors::read("m.safetensors", bytes).map(drop).unwrap_err().to_string();
    assert!(error(vec![1, 2]).ends_with("expected 8 bytes of its length, found a file of 2 bytes"));
    assert!(error(b"GGUF\x03\0\0\0and more".to_vec()).ends_with("(is this a safetensors file?)"));
    assert!(error(file("{", &[])).contains("header: expected a table of tensors, found "));
    let short = error(file(HEADER, &data()[..20]));
    assert_eq!(short, "m.safetensors: header: expected 24 bytes of tensors after the header, found 20 bytes");
    assert!(error(file(&HEADER.replace("[2,2]", "[2,3]"), &data())).contains("header"));
    assert!(error(file(&HEADER.replace("[16,20]", "[15,20]"), &data())).contains("header"));
    let huge = HEADER.replace("[2,2]", "[4294967296,4294967296]");
    assert!(error(file(&huge, &data())).contains("header"));
    let unknown = r#"{"w":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#;
    assert_eq!(error(file(unknown, &[0])), "m.safetensors: tensor 'w': expected a known type, found F8_E4M3");
}

#[test]
fn every_cut_and_every_changed_byte_is_an_error_or_a_file_and_never_a_panic() {
    let bytes = file(HEADER, &data());
    for length in 0..bytes.len() {
        assert!(safetensors::read("m", bytes[..length].to_vec()).is_err(), "cut at {length}");
    }
    for at in 0..bytes.len() {
        for to in [0, b'0', b'9', b'"', 0xff, bytes[at] ^ 1] {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            let Ok(weights) = safetensors::read("m", bytes) else { continue };
            for tensor in weights.tensors() {
                // A flag that has become another type is one no more.
                let _ = weights.read(&tensor.name, &tensor.shape);
            }
        }
    }
}

fn one(name: &str, x: f32) -> Vec<u8> {
    file(&format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#), &floats(&[x]))
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
    folder
}

fn refused(path: &Path) -> String {
    let error = open(path).map(drop).unwrap_err();
    assert!(error.file.starts_with(&path.display().to_string()), "{error}");
    format!("{}: {}: {}", error.place, error.expected, error.found)
}

#[test]
fn a_folder_is_a_model_in_one_file_or_in_shards() {
    let whole = folder(&[("config.json", br#"{"n_layer": 2}"#), ("model.safetensors", &one("w", 1.5))]);
    let model = open(whole.path()).unwrap();
    assert_eq!((model.layout, model.config.usize("n_layer")), (Layout::HuggingFace, Ok(2)));
    assert_eq!(model.weights.read("w", &[1]).unwrap(), [1.5]);
    assert!(model.tokenizer().unwrap().is_none());

    let index = br#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#;
    let (a, b) = (one("a", 1.0), one("b", 2.0));
    let shards: [(&str, &[u8]); 4] =
        [("config.json", b"{}"), ("model.safetensors.index.json", index), ("1.safetensors", &a), ("2.safetensors", &b)];
    let model = open(folder(&shards).path()).unwrap();
    assert_eq!(
        (model.weights.read("a", &[1]).unwrap(), model.weights.read("b", &[1]).unwrap()),
        (vec![1.0], vec![2.0])
    );

    let without = |name: &str| -> Vec<(&str, &[u8])> { shards.into_iter().filter(|(n, _)| *n != name).collect() };
    assert_eq!(refused(folder(&without("2.safetensors")).path()), "file: a file that the index names: no such file");
    assert_eq!(refused(folder(&without("config.json")).path()), "file: the model's config.json: no such file");
    let mut swapped = shards;
    swapped[3].1 = &a;
    assert_eq!(refused(folder(&swapped).path()), "tensor 'b': it here, as the index says: none");
    let mut leading = shards;
    leading[1].1 = br#"{"weight_map": {"a": "../1.safetensors"}}"#;
    assert!(refused(folder(&leading).path()).contains("the name of a file in this folder"));
    let both = one("a", 1.0);
    let index = br#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#;
    let twice = file(
        r#"{"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
        &floats(&[1.0, 2.0]),
    );
    let files: [(&str, &[u8]); 4] = [
        ("config.json", b"{}"),
        ("model.safetensors.index.json", index),
        ("1.safetensors", &both),
        ("2.safetensors", &twice),
    ];
    assert_eq!(refused(folder(&files).path()), "tensor 'a': a tensor in one file: one in two");
}

#[test]
fn files_in_memory_are_a_model_too() {
    let files = |files: &[(&str, &[u8])]| -> BTreeMap<String, Arc<dyn Source>> {
        files.iter().map(|(name, bytes)| ((*name).into(), Arc::new(bytes.to_vec()) as Arc<dyn Source>)).collect()
    };
    let model = open_files(&files(&[("config.json", br#"{"n_layer": 2}"#), ("model.safetensors", &one("w", 1.5))]));
    let model = model.unwrap();
    assert_eq!((model.layout, model.config.usize("n_layer")), (Layout::HuggingFace, Ok(2)));
    assert_eq!(model.weights.read("w", &[1]).unwrap(), [1.5]);

    let gguf = GgufFile::default().with("general.architecture", Meta::Text("llama".into())).tensor("w", &[1], &[2.5]);
    let model = open_files(&files(&[("5f3a", &gguf.bytes())])).unwrap();
    assert_eq!((model.layout, model.weights.read("w", &[1]).unwrap()), (Layout::Gguf, vec![2.5]));

    let error = |list: &[(&str, &[u8])]| open_files(&files(list)).map(drop).unwrap_err().to_string();
    assert_eq!(error(&[]), "config.json: file: expected the model's config.json, found no such file");
    assert!(error(&[("config.json", b"{}")]).starts_with("model.safetensors: file: expected this file"));
    assert_eq!(error(&[("m", b"{}")]).split(':').next(), Some("m"));
}

#[test]
fn what_is_no_model_is_refused() {
    let nowhere = Path::new("/nonexistent.gguf");
    assert_eq!(refused(nowhere), "file: a GGUF file, or a folder with config.json: no such file");
    let empty = folder(&[("config.json", b"{}")]);
    assert!(refused(empty.path()).contains("this file, or model.safetensors.index.json"));
    let list = folder(&[("config.json", b"[]"), ("model.safetensors", &one("w", 1.0))]);
    assert_eq!(refused(list.path()), "file: an object: a list");
}
