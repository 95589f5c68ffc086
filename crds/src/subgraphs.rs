//! `Auto` or a count: how many subgraphs a model is cut into.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How many subgraphs. In YAML the word `Auto` or an integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subgraphs {
    /// The partitioner's cost model decides.
    #[default]
    Auto,
    /// This many, at least 1 and at most [`Subgraphs::MAX`].
    Count(u32),
}

impl Subgraphs {
    /// Most subgraphs that a job can have.
    pub const MAX: u32 = 1024;
}

/// Neither `Auto` nor a count in range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of subgraphs: write Auto, or an integer from 1 to {max}", max = Subgraphs::MAX)]
pub struct SubgraphsError(String);

impl fmt::Display for Subgraphs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("Auto"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

impl FromStr for Subgraphs {
    type Err = SubgraphsError;

    fn from_str(text: &str) -> Result<Self, SubgraphsError> {
        match text.parse::<u32>() {
            Ok(count) if (1..=Self::MAX).contains(&count) => Ok(Self::Count(count)),
            Err(_) if text == "Auto" => Ok(Self::Auto),
            _ => Err(SubgraphsError(text.into())),
        }
    }
}

impl Serialize for Subgraphs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("Auto"),
            Self::Count(count) => serializer.serialize_u32(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Subgraphs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Subgraphs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "Auto, or an integer from 1 to {}", Subgraphs::MAX)
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Subgraphs, E> {
                count.to_string().parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Subgraphs, E> {
                count.to_string().parse().map_err(E::custom)
            }

            // A string of digits is no count: the schema's rule compares types.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Subgraphs, E> {
                if text == "Auto" { Ok(Subgraphs::Auto) } else { Err(E::custom(SubgraphsError(text.into()))) }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Subgraphs {
    fn schema_name() -> Cow<'static, str> {
        "Subgraphs".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "x-kubernetes-validations": [{
                "rule": format!("self == 'Auto' || (self >= 1 && self <= {})", Self::MAX),
                "message": format!("must be Auto, or an integer from 1 to {}", Self::MAX),
            }],
        })
    }
}
