//! GGUF: what the `gguf` package writes is read as it was meant; what is malformed is refused by name.

mod common;

use common::{GgufFile, Meta, read, reference};
use formats::{Encoding, Value, gguf};

fn file() -> GgufFile {
    GgufFile::default()
        .with("general.architecture", Meta::Text("llama".into()))
        .with("llama.block_count", Meta::U32(2))
        .tensor("a", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        .tensor("b", &[1], &[7.0])
}

fn error(bytes: Vec<u8>) -> String {
    gguf::read("m.gguf", bytes).map(drop).unwrap_err().to_string()
}

/// The file with its first occurrence of `old` replaced.
fn replaced(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = file().bytes();
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    bytes.splice(at..at + old.len(), new.iter().copied());
    bytes
}

#[test]
fn every_encoding_decodes_to_what_the_reference_decodes_it_to() {
    let gguf = gguf::read("quantised.gguf", std::fs::read(reference("quantised.gguf")).unwrap()).unwrap();
    let mut checked = 0;
    for tensor in gguf.weights.tensors() {
        let Some(expected) = gguf.weights.get(&format!("{}.decoded", tensor.name)) else { continue };
        assert_eq!((tensor.encoding.to_string(), &tensor.shape), (tensor.name.clone(), &expected.shape));
        let bits =
            |name: &str| -> Vec<u32> { read(&gguf.weights, name).unwrap().into_iter().map(f32::to_bits).collect() };
        assert_eq!(bits(&tensor.name), bits(&expected.name), "{}", tensor.name);
        let row = gguf.weights.read_rows(&tensor.name, &tensor.shape, 1..2).unwrap();
        let length = tensor.shape[1];
        assert_eq!(row, read(&gguf.weights, &expected.name).unwrap()[length..2 * length]);
        checked += 1;
    }
    assert_eq!(checked, 12);
}

#[test]
fn metadata_of_every_type_is_read() {
    let gguf = gguf::read("quantised.gguf", std::fs::read(reference("quantised.gguf")).unwrap()).unwrap();
    let integers = [
        ("a.u8", 200),
        ("a.i8", -3),
        ("a.u16", 60_000),
        ("a.i16", -30_000),
        ("a.u32", 4_000_000_000),
        ("a.i32", -2_000_000_000),
        ("a.u64", 1 << 62),
        ("a.i64", -(1 << 62)),
    ];
    for (key, value) in integers {
        assert_eq!(gguf.config.get(key), Some(&Value::Integer(value)), "{key}");
    }
    let others = [
        ("a.f32", Value::Float(0.1f32.into())),
        ("a.f64", Value::Float(0.1)),
        ("a.bool", Value::Boolean(true)),
        ("a.text", Value::Text("grüße".into())),
        ("a.texts", Value::Texts(vec!["a".into(), String::new(), "grüße".into()])),
        ("a.integers", Value::Integers(vec![1, -2, 3])),
        ("a.floats", Value::Floats(vec![0.5, -1.5])),
        ("a.booleans", Value::Booleans(vec![true, false])),
    ];
    for (key, value) in others {
        assert_eq!(gguf.config.get(key), Some(&value), "{key}");
    }
}

#[test]
fn shapes_have_the_outermost_axis_first() {
    let gguf = gguf::read("m.gguf", file().bytes()).unwrap();
    let tensor = gguf.weights.get("a").unwrap();
    assert_eq!((tensor.shape.as_slice(), tensor.encoding), ([2, 3].as_slice(), Encoding::F32));
    assert_eq!(gguf.weights.read("a", &[2, 3]).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(gguf.weights.read_rows("a", &[2, 3], 1..2).unwrap(), [4.0, 5.0, 6.0]);
    assert_eq!(gguf.weights.read("b", &[1]).unwrap(), [7.0]);
    assert_eq!(gguf.config.usize("llama.block_count"), Ok(2));
}

#[test]
fn a_tensor_that_is_not_what_is_asked_for_is_named() {
    let weights = gguf::read("m.gguf", file().bytes()).unwrap().weights;
    let error = |name: &str, shape: &[usize]| weights.read(name, shape).unwrap_err().to_string();
    assert_eq!(error("a", &[3, 2]), "m.gguf: tensor 'a': expected shape [3, 2], found [2, 3]");
    assert_eq!(error("c", &[1]), "m.gguf: tensor 'c': expected a tensor of shape [1], found none among 2");
    let rows = weights.read_rows("a", &[2, 3], 1..3).unwrap_err().to_string();
    assert_eq!(rows, "m.gguf: tensor 'a': expected 2 rows, found a request for rows 1..3");
}

#[test]
fn malformed_files_are_refused_with_what_is_wrong() {
    assert_eq!(error(Vec::new()), "m.gguf: magic: expected 4 bytes, found the end of the file after 0");
    assert_eq!(error(replaced(b"GGUF", b"GGML")), "m.gguf: magic: expected 'GGUF', found [47, 47, 4d, 4c]");
    assert_eq!(error(replaced(b"GGUF\x03", b"GGUF\x01")), "m.gguf: version: expected 2 or 3, found 1");
    assert!(error(replaced(b"GGUF\x03\0\0\0", b"GGUF\0\0\0\x03")).ends_with("found a file of a big-endian machine"));
    let many = replaced(b"GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0", b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    assert!(error(many).starts_with("m.gguf: number of tensors: expected at most "));
    assert!(
        error(replaced(b"llama.block_count\x04", b"llama.block_count\x0d")).ends_with("a type from 0 to 12, found 13")
    );
    assert!(error(replaced(b"llama.block_count", b"llama.block_coun\xff")).contains("expected UTF-8"));
    // The table's row of tensor b: its name, one axis of length 1, type 0, offset 32.
    let row = b"\x01\0\0\0\0\0\0\0b\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0";
    let changed = |at: usize, to: u8| {
        let mut new = row.to_vec();
        new[at] = to;
        error(replaced(row, &new))
    };
    assert_eq!(changed(8, b'a'), "m.gguf: tensor 'a': expected one tensor of the name, found two");
    assert_eq!(changed(9, 5), "m.gguf: tensor 'b': expected 1 to 4 axes, found 5");
    assert!(changed(13, 0).ends_with("expected axes of at least 1, found another length"));
    assert!(changed(13, 9).contains("tensor 'b': expected [9] numbers of F32 before the end"));
    assert!(changed(20, 0xff).contains("tensor 'b': expected [") || changed(20, 0xff).contains("axes of at least 1"));
    assert!(changed(21, 10).ends_with("Q5_K or Q6_K, found Q2_K"));
    assert!(changed(21, 8).ends_with("expected rows of whole blocks of 32 numbers, found rows of 1"));
    assert!(changed(25, 8).contains("a multiple of the alignment, found 8, alignment 32"));
    assert_eq!(changed(25, 0), "m.gguf: tensor 'a': expected bytes of its own, found bytes that tensor 'b' has too");
    let twice = file().with("llama.block_count", Meta::U32(3)).bytes();
    assert_eq!(error(twice), "m.gguf: key 'llama.block_count': expected one value, found two");
    let alignment = file().with("general.alignment", Meta::U32(24)).bytes();
    assert_eq!(error(alignment), "m.gguf: key 'general.alignment': expected a power of two, found 24");
}

#[test]
fn every_cut_and_every_changed_byte_is_an_error_or_a_file_and_never_a_panic() {
    let bytes = file().with("t", Meta::Texts(vec!["x".into(), "yz".into()])).bytes();
    for length in 0..bytes.len() {
        assert!(gguf::read("m.gguf", bytes[..length].to_vec()).is_err(), "cut at {length}");
    }
    for at in 0..bytes.len() {
        for to in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1] {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            let Ok(gguf) = gguf::read("m.gguf", bytes) else { continue };
            for tensor in gguf.weights.tensors() {
                gguf.weights.read(&tensor.name, &tensor.shape).unwrap();
            }
        }
    }
}
