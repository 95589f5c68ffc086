//! A temperature: a decimal with at most three digits after the point, exact in thousandths. Written as a string, as no float is exact.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Temperature(pub u32);

/// Not a decimal, or one that is too fine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a temperature: write a decimal with at most two digits before the point and three after it, in quotes, such as \"0.8\""
)]
pub struct TemperatureError(String);

impl Temperature {
    /// Of a draw from the model's own probabilities.
    pub const ONE: Self = Self(1000);
    const PATTERN: &str = r"^[0-9]{1,2}(\.[0-9]{1,3})?$";
}

impl FromStr for Temperature {
    type Err = TemperatureError;

    fn from_str(text: &str) -> Result<Self, TemperatureError> {
        let (whole, digits) = text.split_once('.').unwrap_or((text, "0"));
        let number = |text: &str, most: usize| {
            let plain = (1..=most).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| plain)
        };
        match (number(whole, 2), number(digits, 3)) {
            (Some(whole), Some(part)) => Ok(Self(1000 * whole + part * 10u32.pow(3 - digits.len() as u32))),
            _ => Err(TemperatureError(text.into())),
        }
    }
}

/// Without zeros at its end: `0.8`.
impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1000, self.0 % 1000);
        match part {
            0 => write!(f, "{whole}"),
            _ => write!(f, "{whole}.{}", format!("{part:03}").trim_end_matches('0')),
        }
    }
}

impl Serialize for Temperature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Temperature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Temperature;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal in quotes, such as \"0.8\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Temperature, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

impl JsonSchema for Temperature {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Temperature".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 6, "pattern": Self::PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use super::Temperature;

    #[test]
    fn thousandths_are_read_and_written_exactly() {
        for (text, thousandths, again) in [
            ("0", 0, "0"),
            ("0.8", 800, "0.8"),
            ("0.80", 800, "0.8"),
            ("1.05", 1050, "1.05"),
            ("10.001", 10_001, "10.001"),
            ("00.0", 0, "0"),
        ] {
            let temperature: Temperature = text.parse().unwrap();
            assert_eq!((temperature, temperature.to_string().as_str()), (Temperature(thousandths), again));
            let json = serde_json::to_string(&temperature).unwrap();
            assert_eq!(serde_json::from_str::<Temperature>(&json).unwrap(), temperature);
        }
        for text in ["", ".8", "1.", "-1", "+1", "1e1", "0.0001", "100", "1,5", "0.8 ", "٣"] {
            assert!(text.parse::<Temperature>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Temperature>("0.8").is_err());
    }
}
