//! Element types and constant tensors of ONNX.

use super::proto::{TensorProto, data_type};
use crate::float::{ABSENT, Kind};

/// Largest constant, in elements.
const MAX_ELEMENTS: usize = 1 << 32;

/// The kind of an ONNX element type; `None` for strings, complex numbers and packed types.
pub fn kind(data_type: i32) -> Option<Kind> {
    match data_type {
        data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16 => Some(Kind::Real),
        data_type::BOOL => Some(Kind::Bool),
        data_type::UINT8
        | data_type::INT8
        | data_type::UINT16
        | data_type::INT16
        | data_type::INT32
        | data_type::INT64
        | data_type::UINT32
        | data_type::UINT64 => Some(Kind::Int),
        _ => None,
    }
}

/// A constant tensor.
pub struct Constant {
    /// Shape.
    pub shape: Vec<usize>,
    /// Element kind.
    pub kind: Kind,
    /// Elements, row-major.
    pub data: Vec<f64>,
}

/// Reads a constant. Minus infinity, and the lowest floats, become [`ABSENT`].
pub fn read(proto: &TensorProto) -> Result<Constant, String> {
    let shape: Option<Vec<usize>> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape = shape.ok_or_else(|| format!("shape {:?} has a negative length", proto.dims))?;
    let length = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_ELEMENTS);
    let length = length.ok_or_else(|| format!("shape {shape:?} is too large"))?;
    let code = proto.data_type.unwrap_or(0);
    let kind = kind(code).ok_or_else(|| format!("element type {code} is not supported"))?;
    if proto.data_location == Some(1) {
        return Err("its data is in another file; store it inside the model".into());
    }
    let data = match &proto.raw_data {
        Some(raw) if !raw.is_empty() => from_bytes(code, raw)?,
        _ => from_fields(code, proto),
    };
    if data.len() != length {
        return Err(format!("shape {shape:?} needs {length} elements, found {}", data.len()));
    }
    let data = data.into_iter().map(|x| if x < -1e30 { ABSENT } else { x });
    let data: Vec<f64> = data.collect();
    match data.iter().find(|x| !x.is_finite()) {
        Some(x) => Err(format!("holds the value {x}; every constant must be finite (or minus infinity, in a mask)")),
        None => Ok(Constant { shape, kind, data }),
    }
}

fn from_fields(code: i32, proto: &TensorProto) -> Vec<f64> {
    match code {
        data_type::FLOAT => proto.float_data.iter().map(|&x| x.into()).collect(),
        data_type::DOUBLE => proto.double_data.clone(),
        data_type::INT64 => proto.int64_data.iter().map(|&x| x as f64).collect(),
        data_type::UINT32 | data_type::UINT64 => proto.uint64_data.iter().map(|&x| x as f64).collect(),
        data_type::FLOAT16 => proto.int32_data.iter().map(|&x| half(x as u16)).collect(),
        data_type::BFLOAT16 => proto.int32_data.iter().map(|&x| brain(x as u16)).collect(),
        _ => proto.int32_data.iter().map(|&x| x.into()).collect(),
    }
}

fn from_bytes(code: i32, raw: &[u8]) -> Result<Vec<f64>, String> {
    fn words<const N: usize>(raw: &[u8], read: impl Fn([u8; N]) -> f64) -> Result<Vec<f64>, String> {
        let (words, rest) = raw.as_chunks::<N>();
        if rest.is_empty() { Ok(words.iter().map(|&w| read(w)).collect()) } else { Err("its data is cut off".into()) }
    }
    match code {
        data_type::FLOAT => words(raw, |b| f32::from_le_bytes(b).into()),
        data_type::DOUBLE => words(raw, f64::from_le_bytes),
        data_type::FLOAT16 => words(raw, |b| half(u16::from_le_bytes(b))),
        data_type::BFLOAT16 => words(raw, |b| brain(u16::from_le_bytes(b))),
        data_type::INT8 => words(raw, |b| i8::from_le_bytes(b).into()),
        data_type::UINT8 => words(raw, |b| u8::from_le_bytes(b).into()),
        data_type::BOOL => words(raw, |[b]| f64::from(b != 0)),
        data_type::INT16 => words(raw, |b| i16::from_le_bytes(b).into()),
        data_type::UINT16 => words(raw, |b| u16::from_le_bytes(b).into()),
        data_type::INT32 => words(raw, |b| i32::from_le_bytes(b).into()),
        data_type::UINT32 => words(raw, |b| u32::from_le_bytes(b).into()),
        data_type::INT64 => words(raw, |b| i64::from_le_bytes(b) as f64),
        _ => words(raw, |b| u64::from_le_bytes(b) as f64),
    }
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    }
}

/// bfloat16: the upper half of a float.
fn brain(bits: u16) -> f64 {
    f32::from_bits(u32::from(bits) << 16).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_has_known_values() {
        assert_eq!(half(0x3c00), 1.0);
        assert_eq!(half(0xc000), -2.0);
        assert_eq!(half(0x0001), 2f64.powi(-24));
        assert_eq!(half(0x7bff), 65504.0);
        assert_eq!(brain(0x3f80), 1.0);
    }

    #[test]
    fn bad_constants_are_errors() {
        let tensor = |dims: &[i64], floats: &[f32]| TensorProto {
            dims: dims.to_vec(),
            data_type: Some(data_type::FLOAT),
            float_data: floats.to_vec(),
            ..TensorProto::default()
        };
        assert!(read(&tensor(&[2], &[1.0, 2.0])).is_ok());
        assert!(read(&tensor(&[2], &[1.0])).is_err());
        assert!(read(&tensor(&[-1], &[1.0])).is_err());
        assert!(read(&tensor(&[1], &[f32::NAN])).is_err());
        assert!(read(&tensor(&[i64::MAX, i64::MAX], &[])).is_err());
        assert!(read(&TensorProto { raw_data: Some(vec![0; 3]), ..tensor(&[1], &[]) }).is_err());
        assert_eq!(read(&tensor(&[1], &[f32::NEG_INFINITY])).map(|c| c.data), Ok(vec![ABSENT]));
    }
}
