//! A model's hyperparameters: `config.json` with nested keys joined by a dot, or GGUF's metadata under its own keys.

use std::{collections::BTreeMap, fmt};

use serde_json::Value as Json;

use crate::FormatError;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON's null, and an empty list: nothing is known of its type.
    Null,
    /// A flag.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// Any other number; GGUF's are mostly of single precision.
    Float(f64),
    /// A text.
    Text(String),
    /// A list of flags.
    Booleans(Vec<bool>),
    /// A list of integers.
    Integers(Vec<i64>),
    /// A list of numbers.
    Floats(Vec<f64>),
    /// A list of texts.
    Texts(Vec<String>),
}

/// Values by key.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    file: String,
    values: BTreeMap<String, Value>,
}

/// The deepest nesting of a `config.json`; `serde_json` has a limit of its own beyond.
const DEEPEST: usize = 16;

impl Config {
    /// Values that a file was found to hold.
    pub(crate) fn new(file: &str, values: BTreeMap<String, Value>) -> Self {
        Self { file: file.into(), values }
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// If it is not an object of JSON, or two keys come out the same.
    pub fn from_json(file: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let json: Json =
            serde_json::from_slice(bytes).map_err(|error| FormatError::new(file, "file", "JSON", error))?;
        if !json.is_object() {
            return Err(FormatError::new(file, "file", "an object", kind_of(&json)));
        }
        let mut config = Self::new(file, BTreeMap::new());
        config.enter(String::new(), &json, 0)?;
        Ok(config)
    }

    fn enter(&mut self, key: String, json: &Json, depth: usize) -> Result<(), FormatError> {
        if depth > DEEPEST {
            return Err(FormatError::new(&self.file, key, format!("at most {DEEPEST} levels"), "more"));
        }
        let within = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        let value = match json {
            Json::Object(fields) => {
                return fields.iter().try_for_each(|(name, field)| self.enter(within(name), field, depth + 1));
            }
            Json::Array(items) => match list(items) {
                Some(list) => list,
                None => {
                    let mut items = (0..).zip(items);
                    return items
                        .try_for_each(|(i, item): (usize, _)| self.enter(within(&i.to_string()), item, depth + 1));
                }
            },
            scalar => self::scalar(scalar).unwrap_or(Value::Null),
        };
        if self.values.insert(key.clone(), value).is_some() {
            return Err(FormatError::new(&self.file, key, "one value", "two"));
        }
        Ok(())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// All keys, in alphabetical order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The name of the file, for errors.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// A count.
    ///
    /// # Errors
    /// If the key is absent, or not an integer from 0.
    pub fn usize(&self, key: &str) -> Result<usize, FormatError> {
        self.optional_usize(key)?.ok_or_else(|| self.absent(key, COUNT))
    }

    /// A number; an integer is one too.
    ///
    /// # Errors
    /// If the key is absent, or not a number.
    pub fn float(&self, key: &str) -> Result<f64, FormatError> {
        self.optional_float(key)?.ok_or_else(|| self.absent(key, NUMBER))
    }

    /// A flag.
    ///
    /// # Errors
    /// If the key is absent, or not a flag.
    pub fn boolean(&self, key: &str) -> Result<bool, FormatError> {
        self.optional_boolean(key)?.ok_or_else(|| self.absent(key, FLAG))
    }

    /// A text.
    ///
    /// # Errors
    /// If the key is absent, or not a text.
    pub fn text(&self, key: &str) -> Result<&str, FormatError> {
        self.optional_text(key)?.ok_or_else(|| self.absent(key, TEXT))
    }

    /// A count, `None` if the key is absent or null.
    ///
    /// # Errors
    /// If it is not an integer from 0.
    pub fn optional_usize(&self, key: &str) -> Result<Option<usize>, FormatError> {
        self.typed(key, COUNT, |value| match value {
            Value::Integer(x) => usize::try_from(*x).ok(),
            _ => None,
        })
    }

    /// A number, `None` if the key is absent or null.
    ///
    /// # Errors
    /// If it is not a number.
    pub fn optional_float(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.typed(key, NUMBER, |value| match value {
            Value::Float(x) => Some(*x),
            Value::Integer(x) => Some(*x as f64),
            _ => None,
        })
    }

    /// A flag, `None` if the key is absent or null.
    ///
    /// # Errors
    /// If it is not a flag.
    pub fn optional_boolean(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.typed(key, FLAG, |value| if let Value::Boolean(x) = value { Some(*x) } else { None })
    }

    /// A text, `None` if the key is absent or null.
    ///
    /// # Errors
    /// If it is not a text.
    pub fn optional_text(&self, key: &str) -> Result<Option<&str>, FormatError> {
        self.typed(key, TEXT, |value| if let Value::Text(x) = value { Some(x.as_str()) } else { None })
    }

    /// The value as a type that `convert` takes it to, `None` if the key is absent or null.
    pub(crate) fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match convert(value) {
                Some(converted) => Ok(Some(converted)),
                None => Err(FormatError::new(&self.file, place(key), expected, value)),
            },
        }
    }

    pub(crate) fn absent(&self, key: &str, expected: &str) -> FormatError {
        FormatError::new(&self.file, place(key), expected, "no such key")
    }
}

const COUNT: &str = "an integer from 0";
const NUMBER: &str = "a number";
const FLAG: &str = "true or false";
const TEXT: &str = "a text";

fn place(key: &str) -> String {
    format!("key '{key}'")
}

impl fmt::Display for Value {
    /// For errors: a list by its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Boolean(x) => write!(f, "{x}"),
            Self::Integer(x) => write!(f, "{x}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Text(x) => write!(f, "'{x}'"),
            Self::Booleans(x) => write!(f, "a list of {} flags", x.len()),
            Self::Integers(x) => write!(f, "a list of {} integers", x.len()),
            Self::Floats(x) => write!(f, "a list of {} numbers", x.len()),
            Self::Texts(x) => write!(f, "a list of {} texts", x.len()),
        }
    }
}

fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a flag",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

fn scalar(json: &Json) -> Option<Value> {
    match json {
        Json::Bool(x) => Some(Value::Boolean(*x)),
        Json::Number(x) => x.as_i64().map(Value::Integer).or_else(|| x.as_f64().map(Value::Float)),
        Json::String(x) => Some(Value::Text(x.clone())),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// A list whose items are of one type.
fn list(items: &[Json]) -> Option<Value> {
    if items.is_empty() {
        return Some(Value::Null);
    }
    let booleans = || items.iter().map(Json::as_bool).collect::<Option<_>>().map(Value::Booleans);
    let integers = || items.iter().map(Json::as_i64).collect::<Option<_>>().map(Value::Integers);
    let floats = || items.iter().map(Json::as_f64).collect::<Option<_>>().map(Value::Floats);
    let texts = || items.iter().map(|x| x.as_str().map(str::to_owned)).collect::<Option<_>>().map(Value::Texts);
    booleans().or_else(integers).or_else(floats).or_else(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_keys_are_joined_and_types_are_kept() {
        let json = br#"{"n": 3, "eps": 1e-5, "rope": {"factor": 8, "kind": "llama3"}, "tied": true, "eos": [1, 2],
                        "scale": null, "mixed": [1, {"a": 2}], "none": []}"#;
        let config = Config::from_json("config.json", json).unwrap();
        assert_eq!((config.usize("n"), config.float("n"), config.float("eps")), (Ok(3), Ok(3.0), Ok(1e-5)));
        assert_eq!((config.text("rope.kind"), config.boolean("tied")), (Ok("llama3"), Ok(true)));
        assert_eq!(config.get("eos"), Some(&Value::Integers(vec![1, 2])));
        assert_eq!((config.optional_float("scale"), config.usize("mixed.1.a")), (Ok(None), Ok(2)));
        assert_eq!(config.optional_text("none"), Ok(None));
    }

    #[test]
    fn errors_name_file_key_expected_and_found() {
        let config = Config::from_json("config.json", br#"{"n": -3, "name": "x"}"#).unwrap();
        let error = |e: FormatError| e.to_string();
        assert_eq!(error(config.usize("n").unwrap_err()), "config.json: key 'n': expected an integer from 0, found -3");
        assert_eq!(error(config.float("name").unwrap_err()), "config.json: key 'name': expected a number, found 'x'");
        assert_eq!(
            error(config.usize("m").unwrap_err()),
            "config.json: key 'm': expected an integer from 0, found no such key"
        );
        let twice = Config::from_json("config.json", br#"{"a.b": 1, "a": {"b": 2}}"#).unwrap_err();
        assert_eq!(error(twice), "config.json: a.b: expected one value, found two");
        assert!(Config::from_json("config.json", b"[1]").unwrap_err().to_string().ends_with("found a list"));
    }
}
