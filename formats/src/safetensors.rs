//! `safetensors`: a JSON header that says where each tensor lies, then the tensors, end to end.

use std::collections::BTreeMap;

use safetensors::{Dtype, tensor::Metadata};

use crate::{
    Encoding, FormatError, Source,
    source::Named,
    weights::{TensorInfo, Weights, place},
};

/// The limit that the format's own library has.
const HEADER_MOST: u64 = 100_000_000;

/// The tensors of a file; their bytes are read later.
///
/// # Errors
/// If the header is malformed or does not fit the file.
pub fn read(name: &str, source: impl Source + 'static) -> Result<Weights, FormatError> {
    read_named(Named::new(name, source))
}

pub(crate) fn read_named(file: Named) -> Result<Weights, FormatError> {
    let fail = |expected: String, found: String| FormatError::new(&file.name, "header", expected, found);
    let length = file.length()?;
    let mut prefix = [0; 8];
    if length < 8 {
        return Err(fail("8 bytes of its length".into(), format!("a file of {length} bytes")));
    }
    file.read_at(0, &mut prefix)?;
    let header_length = u64::from_le_bytes(prefix);
    if header_length > HEADER_MOST.min(length - 8) {
        let most = format!("at most {} bytes", HEADER_MOST.min(length - 8));
        return Err(fail(most, format!("{header_length} (is this a safetensors file?)")));
    }
    let mut header = vec![0; header_length as usize];
    file.read_at(8, &mut header)?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| fail("a table of tensors".into(), error.to_string()))?;
    let data = 8 + header_length;
    if data + metadata.data_len() as u64 != length {
        let expected = format!("{} bytes of tensors after the header", metadata.data_len());
        return Err(fail(expected, format!("{} bytes", length - data)));
    }
    let mut tensors = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let encoding = encoding(info.dtype)
            .ok_or_else(|| FormatError::new(&file.name, place(&name), "a known type", format!("{:?}", info.dtype)))?;
        let offset = data + info.data_offsets.0 as u64;
        tensors.push(TensorInfo { shape: info.shape.clone(), name, encoding, file: 0, offset });
    }
    Ok(Weights::new(file, tensors))
}

/// The file of each tensor, from `model.safetensors.index.json`.
pub(crate) fn shards(name: &str, index: &[u8]) -> Result<BTreeMap<String, Vec<String>>, FormatError> {
    let fail = |place: String, expected: &str, found: String| FormatError::new(name, place, expected, found);
    let index: serde_json::Value =
        serde_json::from_slice(index).map_err(|e| fail("file".into(), "JSON", e.to_string()))?;
    let map = index.get("weight_map").and_then(serde_json::Value::as_object);
    let map = map.ok_or_else(|| fail("weight_map".into(), "an object", "none".into()))?;
    let mut shards: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, file) in map {
        let plain = |file: &&str| !file.is_empty() && !file.contains(['/', '\\']) && !file.starts_with('.');
        let file = file.as_str().filter(plain);
        let file =
            file.ok_or_else(|| fail(place(tensor), "the name of a file in this folder", map[tensor].to_string()))?;
        shards.entry(file.into()).or_default().push(tensor.clone());
    }
    Ok(shards)
}

const fn encoding(dtype: Dtype) -> Option<Encoding> {
    Some(match dtype {
        Dtype::F64 => Encoding::F64,
        Dtype::F32 => Encoding::F32,
        Dtype::F16 => Encoding::F16,
        Dtype::BF16 => Encoding::BF16,
        Dtype::BOOL => Encoding::Other("BOOL"),
        Dtype::U8 => Encoding::Other("U8"),
        Dtype::I8 => Encoding::Other("I8"),
        Dtype::U16 => Encoding::Other("U16"),
        Dtype::I16 => Encoding::Other("I16"),
        Dtype::U32 => Encoding::Other("U32"),
        Dtype::I32 => Encoding::Other("I32"),
        Dtype::U64 => Encoding::Other("U64"),
        Dtype::I64 => Encoding::Other("I64"),
        _ => return None,
    })
}
