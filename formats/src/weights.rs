//! Named tensors of a model, decoded when they are asked for: at no time is more than one of them in memory twice.

use std::{collections::HashMap, ops::Range};

use crate::{Encoding, FormatError, dequantise::decode, source::Named};

/// A tensor that a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// Row-major, the outermost axis first, whatever the file's own order.
    pub shape: Vec<usize>,
    /// How it is stored.
    pub encoding: Encoding,
    /// Place in [`Weights::files`].
    pub(crate) file: usize,
    /// Where its bytes begin in the file.
    pub(crate) offset: u64,
}

/// All tensors of a model.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    files: Vec<Named>,
    tensors: Vec<TensorInfo>,
    places: HashMap<String, usize>,
}

/// Bytes that are read at one time, about.
const CHUNK: usize = 1 << 20;

impl Weights {
    /// Tensors of one file, whose places the caller has checked.
    pub(crate) fn new(file: Named, tensors: Vec<TensorInfo>) -> Self {
        let places = (0..).zip(&tensors).map(|(place, tensor)| (tensor.name.clone(), place)).collect();
        Self { files: vec![file], tensors, places }
    }

    /// Adds the tensors of another file.
    pub(crate) fn extend(&mut self, other: Self) -> Result<(), FormatError> {
        let first = self.files.len();
        for mut tensor in other.tensors {
            tensor.file += first;
            if self.places.insert(tensor.name.clone(), self.tensors.len()).is_some() {
                let file = &other.files[tensor.file - first].name;
                return Err(FormatError::new(file, place(&tensor.name), "a tensor in one file", "one in two"));
            }
            self.tensors.push(tensor);
        }
        self.files.extend(other.files);
        Ok(())
    }

    /// All tensors, in the order of the files.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.places.get(name).map(|&place| &self.tensors[place])
    }

    /// The numbers of a tensor that must have this shape, row-major.
    ///
    /// # Errors
    /// If there is no such tensor, it has another shape, its encoding is not decoded, or the file cannot be read.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, FormatError> {
        let rows = 0..shape.first().copied().unwrap_or(1);
        self.read_rows(name, shape, rows)
    }

    /// The numbers in some places of the first axis; a scalar has one row.
    ///
    /// # Errors
    /// As [`Weights::read`], and if there are no such rows or a block of the encoding reaches across them.
    pub fn read_rows(&self, name: &str, shape: &[usize], rows: Range<usize>) -> Result<Vec<f32>, FormatError> {
        let tensor = self.expect(name, shape)?;
        let file = &self.files[tensor.file];
        let fail = |expected: String, found: String| FormatError::new(&file.name, place(name), expected, found);
        let not_decoded = || fail("real numbers".into(), tensor.encoding.to_string());
        let block_bytes = tensor.encoding.block_bytes().ok_or_else(not_decoded)?;
        let row: usize = shape.get(1..).unwrap_or(&[]).iter().product();
        let count = shape.first().copied().unwrap_or(1);
        if rows.start > rows.end || rows.end > count {
            return Err(fail(format!("{count} rows"), format!("a request for rows {rows:?}")));
        }
        let (first, length) = (rows.start * row, rows.len() * row);
        let block = tensor.encoding.block_length();
        if !first.is_multiple_of(block) || !length.is_multiple_of(block) {
            return Err(fail(
                format!("rows of whole blocks of {block} numbers"),
                format!("rows of {row}, of which {rows:?} are asked for"),
            ));
        }
        let mut out = vec![0.0; length];
        let mut offset = tensor.offset + (first / block * block_bytes) as u64;
        let blocks_at_once = (CHUNK / block_bytes).max(1);
        let mut bytes = vec![0; (length / block).min(blocks_at_once) * block_bytes];
        for out in out.chunks_mut(blocks_at_once * block) {
            let bytes = &mut bytes[..out.len() / block * block_bytes];
            file.read_at(offset, bytes)?;
            decode(tensor.encoding, bytes, out).ok_or_else(not_decoded)?;
            offset += bytes.len() as u64;
        }
        Ok(out)
    }

    fn expect(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo, FormatError> {
        let Some(tensor) = self.get(name) else {
            let files: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
            let found = format!("none among {}", self.tensors.len());
            return Err(FormatError::new(
                &files.join(", "),
                place(name),
                format!("a tensor of shape {shape:?}"),
                found,
            ));
        };
        if tensor.shape != shape {
            let (file, found) = (&self.files[tensor.file].name, format!("{:?}", tensor.shape));
            return Err(FormatError::new(file, place(name), format!("shape {shape:?}"), found));
        }
        Ok(tensor)
    }
}

pub(crate) fn place(name: &str) -> String {
    format!("tensor '{name}'")
}
