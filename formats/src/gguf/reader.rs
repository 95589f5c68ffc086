//! Little-endian values from the front of a file, through a buffer; no length is believed before the file proves it.

use crate::{FormatError, Value, source::Named};

/// Reads on from where it is.
pub struct Reader<'a> {
    file: &'a Named,
    length: u64,
    /// Place in the file of the buffer's first byte.
    base: u64,
    buffer: Vec<u8>,
    /// Place in the buffer.
    at: usize,
}

const BUFFER: u64 = 1 << 16;

impl<'a> Reader<'a> {
    pub fn new(file: &'a Named) -> Result<Self, FormatError> {
        Ok(Self { length: file.length()?, file, base: 0, buffer: Vec::new(), at: 0 })
    }

    /// Bytes of the file.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Bytes read so far.
    pub const fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    pub fn error(&self, place: &str, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> FormatError {
        FormatError::new(&self.file.name, place, expected, found)
    }

    /// Checks that so many bytes follow.
    fn require(&self, count: u64, place: &str) -> Result<(), FormatError> {
        let left = self.length - self.position();
        if count > left {
            return Err(self.error(place, format!("{count} bytes"), format!("the end of the file after {left}")));
        }
        Ok(())
    }

    fn bytes(&mut self, count: usize, place: &str) -> Result<&[u8], FormatError> {
        self.require(count as u64, place)?;
        if self.buffer.len() - self.at < count {
            let position = self.position();
            let wanted = BUFFER.max(count as u64).min(self.length - position);
            self.buffer.resize(wanted as usize, 0);
            self.file.read_at(position, &mut self.buffer)?;
            (self.base, self.at) = (position, 0);
        }
        let start = self.at;
        self.at += count;
        Ok(&self.buffer[start..start + count])
    }

    fn array<const N: usize>(&mut self, place: &str) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N, place)?);
        Ok(array)
    }

    pub fn u32(&mut self, place: &str) -> Result<u32, FormatError> {
        self.array(place).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, place: &str) -> Result<u64, FormatError> {
        self.array(place).map(u64::from_le_bytes)
    }

    pub fn text(&mut self, place: &str) -> Result<String, FormatError> {
        let length = self.u64(place)?;
        self.require(length, place)?;
        let bytes = self.bytes(length as usize, place)?.to_vec();
        String::from_utf8(bytes).map_err(|error| self.error(place, "UTF-8", error))
    }

    /// A typed value of the metadata.
    pub fn value(&mut self, key: &str) -> Result<Value, FormatError> {
        let place = format!("key '{key}'");
        match self.u32(&place)? {
            ARRAY => self.list(&place),
            code => match self.kind(code, &place)? {
                Kind::Boolean => self.boolean(&place).map(Value::Boolean),
                Kind::Integer(kind) => self.integer(kind, &place).map(Value::Integer),
                Kind::Float(double) => self.float(double, &place).map(Value::Float),
                Kind::Text => self.text(&place).map(Value::Text),
            },
        }
    }

    fn list(&mut self, place: &str) -> Result<Value, FormatError> {
        let code = self.u32(place)?;
        if code == ARRAY {
            return Err(self.error(place, "a list of plain values", "a list of lists"));
        }
        let kind = self.kind(code, place)?;
        let count = self.u64(place)?;
        self.require(count.saturating_mul(kind.least_bytes()), place)?;
        Ok(match kind {
            Kind::Boolean => Value::Booleans((0..count).map(|_| self.boolean(place)).collect::<Result<_, _>>()?),
            Kind::Integer(kind) => {
                Value::Integers((0..count).map(|_| self.integer(kind, place)).collect::<Result<_, _>>()?)
            }
            Kind::Float(double) => {
                Value::Floats((0..count).map(|_| self.float(double, place)).collect::<Result<_, _>>()?)
            }
            Kind::Text => Value::Texts((0..count).map(|_| self.text(place)).collect::<Result<_, _>>()?),
        })
    }

    fn kind(&self, code: u32, place: &str) -> Result<Kind, FormatError> {
        Ok(match code {
            0 => Kind::Integer(Width::U8),
            1 => Kind::Integer(Width::I8),
            2 => Kind::Integer(Width::U16),
            3 => Kind::Integer(Width::I16),
            4 => Kind::Integer(Width::U32),
            5 => Kind::Integer(Width::I32),
            6 => Kind::Float(false),
            7 => Kind::Boolean,
            8 => Kind::Text,
            10 => Kind::Integer(Width::U64),
            11 => Kind::Integer(Width::I64),
            12 => Kind::Float(true),
            other => return Err(self.error(place, "a type from 0 to 12", other)),
        })
    }

    fn boolean(&mut self, place: &str) -> Result<bool, FormatError> {
        match self.array::<1>(place)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.error(place, "0 or 1 for a flag", other)),
        }
    }

    fn integer(&mut self, width: Width, place: &str) -> Result<i64, FormatError> {
        Ok(match width {
            Width::U8 => u8::from_le_bytes(self.array(place)?).into(),
            Width::I8 => i8::from_le_bytes(self.array(place)?).into(),
            Width::U16 => u16::from_le_bytes(self.array(place)?).into(),
            Width::I16 => i16::from_le_bytes(self.array(place)?).into(),
            Width::U32 => u32::from_le_bytes(self.array(place)?).into(),
            Width::I32 => i32::from_le_bytes(self.array(place)?).into(),
            Width::I64 => i64::from_le_bytes(self.array(place)?),
            Width::U64 => {
                let value = self.u64(place)?;
                i64::try_from(value).map_err(|_| self.error(place, "an integer below 2^63", value))?
            }
        })
    }

    fn float(&mut self, double: bool, place: &str) -> Result<f64, FormatError> {
        if double {
            self.array(place).map(f64::from_le_bytes)
        } else {
            self.array(place).map(|b| f32::from_le_bytes(b).into())
        }
    }
}

/// The type code of a list.
const ARRAY: u32 = 9;

#[derive(Clone, Copy)]
enum Kind {
    Boolean,
    Integer(Width),
    /// Of double precision?
    Float(bool),
    Text,
}

#[derive(Clone, Copy)]
enum Width {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

impl Kind {
    const fn least_bytes(self) -> u64 {
        match self {
            Self::Boolean | Self::Integer(Width::U8 | Width::I8) => 1,
            Self::Integer(Width::U16 | Width::I16) => 2,
            Self::Integer(Width::U32 | Width::I32) | Self::Float(false) => 4,
            Self::Integer(Width::U64 | Width::I64) | Self::Float(true) | Self::Text => 8,
        }
    }
}
