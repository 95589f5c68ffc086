//! GGUF, versions 2 and 3: metadata, a table of tensors, then the tensors, each at a multiple of the alignment.
//!
//! After `ggml/docs/gguf.md`. Strict: every length is bounded by the file, and tensors neither overlap nor leave it.

mod reader;

use std::collections::{BTreeMap, HashSet};

use reader::Reader;

use crate::{
    Config, Encoding, FormatError, Source, Value,
    source::Named,
    weights::{TensorInfo, Weights, place},
};

/// What a GGUF file holds.
#[derive(Clone, Debug)]
pub struct Gguf {
    /// The metadata.
    pub config: Config,
    /// The tensors.
    pub weights: Weights,
}

const MAGIC: u32 = u32::from_le_bytes(*b"GGUF");
/// Most metadata keys, and most tensors: many times what any model has.
const MOST_ENTRIES: u64 = 1 << 20;
const MOST_AXES: u32 = 4;
/// Where the file does not say otherwise.
const ALIGNMENT: u64 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

/// The metadata and the table of tensors; their bytes are read later.
///
/// # Errors
/// If the file is malformed, of another version, or cut off.
pub fn read(name: &str, source: impl Source + 'static) -> Result<Gguf, FormatError> {
    read_named(Named::new(name, source))
}

pub(crate) fn read_named(file: Named) -> Result<Gguf, FormatError> {
    let mut reader = Reader::new(&file)?;
    let magic = reader.u32("magic")?;
    if magic != MAGIC {
        return Err(FormatError::new(&file.name, "magic", "'GGUF'", format!("{:02x?}", magic.to_le_bytes())));
    }
    let version = reader.u32("version")?;
    if !(2..=3).contains(&version) {
        let found =
            if version.swap_bytes() <= 3 { "a file of a big-endian machine".into() } else { version.to_string() };
        return Err(FormatError::new(&file.name, "version", "2 or 3", found));
    }
    let tensor_count = entries(&mut reader, "number of tensors")?;
    let key_count = entries(&mut reader, "number of keys")?;
    let mut values = BTreeMap::new();
    for _ in 0..key_count {
        let key = reader.text("a key")?;
        let value = reader.value(&key)?;
        if values.contains_key(&key) {
            return Err(FormatError::new(&file.name, format!("key '{key}'"), "one value", "two"));
        }
        values.insert(key, value);
    }
    let config = Config::new(&file.name, values);
    let alignment = match config.optional_usize(ALIGNMENT_KEY)? {
        None => ALIGNMENT,
        Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 20 => alignment as u64,
        Some(other) => {
            return Err(FormatError::new(&file.name, format!("key '{ALIGNMENT_KEY}'"), "a power of two", other));
        }
    };
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for _ in 0..tensor_count {
        let tensor = tensor(&mut reader, &file.name, alignment)?;
        if !names.insert(tensor.name.clone()) {
            return Err(FormatError::new(&file.name, place(&tensor.name), "one tensor of the name", "two"));
        }
        tensors.push(tensor);
    }
    let data = reader.position().next_multiple_of(alignment);
    tensors.iter_mut().for_each(|tensor| tensor.offset = tensor.offset.saturating_add(data));
    check_places(&file.name, &tensors, reader.length())?;
    Ok(Gguf { config, weights: Weights::new(file, tensors) })
}

fn entries(reader: &mut Reader, what: &str) -> Result<u64, FormatError> {
    let count = reader.u64(what)?;
    // An entry takes a dozen bytes at least.
    let most = MOST_ENTRIES.min(reader.length() / 12);
    if count > most {
        return Err(reader.error(what, format!("at most {most}"), count));
    }
    Ok(count)
}

/// One row of the table of tensors; its offset still counts from where the tensors begin.
fn tensor(reader: &mut Reader, file: &str, alignment: u64) -> Result<TensorInfo, FormatError> {
    let name = reader.text("a tensor's name")?;
    let fail = |expected: &str, found: String| FormatError::new(file, place(&name), expected, found);
    let axes = reader.u32(&place(&name))?;
    if !(1..=MOST_AXES).contains(&axes) {
        return Err(fail("1 to 4 axes", axes.to_string()));
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        let length = reader.u64(&place(&name))?;
        let length = usize::try_from(length).ok().filter(|&length| length > 0);
        shape.push(length.ok_or_else(|| fail("axes of at least 1", "another length".into()))?);
    }
    let code = reader.u32(&place(&name))?;
    let encoding = encoding(code).ok_or_else(|| fail(DECODED, encoding_name(code)))?;
    let offset = reader.u64(&place(&name))?;
    if !offset.is_multiple_of(alignment) {
        return Err(fail("an offset that is a multiple of the alignment", format!("{offset}, alignment {alignment}")));
    }
    // The innermost axis comes first in the file, and blocks lie along it.
    if !shape[0].is_multiple_of(encoding.block_length()) {
        let expected = format!("rows of whole blocks of {} numbers", encoding.block_length());
        return Err(fail(&expected, format!("rows of {}", shape[0])));
    }
    shape.reverse();
    Ok(TensorInfo { name, shape, encoding, file: 0, offset })
}

fn check_places(file: &str, tensors: &[TensorInfo], length: u64) -> Result<(), FormatError> {
    let mut spans = Vec::new();
    for tensor in tensors {
        let bytes = bytes(tensor);
        let end = bytes.and_then(|bytes| tensor.offset.checked_add(bytes)).filter(|&end| end <= length);
        let Some(end) = end else {
            let expected = format!("{:?} numbers of {} before the end at {length}", tensor.shape, tensor.encoding);
            return Err(FormatError::new(file, place(&tensor.name), expected, format!("offset {}", tensor.offset)));
        };
        spans.push((tensor.offset, end, &tensor.name));
    }
    spans.sort_unstable();
    match spans.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => {
            let found = format!("bytes that tensor '{}' has too", pair[0].2);
            Err(FormatError::new(file, place(pair[1].2), "bytes of its own", found))
        }
        None => Ok(()),
    }
}

fn bytes(tensor: &TensorInfo) -> Option<u64> {
    let numbers = tensor.shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length))?;
    let blocks = numbers / tensor.encoding.block_length();
    blocks.checked_mul(tensor.encoding.block_bytes()?).map(|bytes| bytes as u64)
}

const DECODED: &str = "F32, F16, BF16, F64, Q8_0, Q5_0, Q5_1, Q4_0, Q4_1, Q4_K, Q5_K or Q6_K";

/// `ggml_type`.
const fn encoding(code: u32) -> Option<Encoding> {
    Some(match code {
        0 => Encoding::F32,
        1 => Encoding::F16,
        2 => Encoding::Q4_0,
        3 => Encoding::Q4_1,
        6 => Encoding::Q5_0,
        7 => Encoding::Q5_1,
        8 => Encoding::Q8_0,
        12 => Encoding::Q4_K,
        13 => Encoding::Q5_K,
        14 => Encoding::Q6_K,
        28 => Encoding::F64,
        30 => Encoding::BF16,
        _ => return None,
    })
}

/// The name of a type that is not decoded.
fn encoding_name(code: u32) -> String {
    let name = match code {
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        16..=23 | 29 => "one of the IQ types",
        24..=27 => "integers",
        34 | 35 => "one of the ternary types",
        39 => "MXFP4",
        _ => return format!("type {code}"),
    };
    name.into()
}

/// The metadata's lists of a tokenizer are long: they are taken by reference.
pub(crate) fn texts<'a>(config: &'a Config, key: &str) -> Result<&'a [String], FormatError> {
    let expected = "a list of texts";
    let list =
        config.typed(key, expected, |value| if let Value::Texts(x) = value { Some(x.as_slice()) } else { None })?;
    list.ok_or_else(|| config.absent(key, expected))
}
