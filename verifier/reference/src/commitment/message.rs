//! An opening as it stands in a proof. The order of fields and variants is the encoding (postcard).

use crate::error::Error;
use crate::field::{F, K, from_word, word};
use crate::transcript::Digest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An opening.
#[derive(Debug, Serialize, Deserialize)]
pub struct Message {
    /// The proximity proof.
    pub whir: Whir,
    /// For each point, the polynomial's value there.
    pub values: Vec<Value>,
}

/// The value at a point.
#[derive(Debug, Serialize, Deserialize)]
pub struct Value {
    /// One value.
    pub current: Vec<K>,
    /// None: another kind of opening, which is not used.
    pub next: Vec<K>,
}

/// The proximity proof.
#[derive(Debug, Serialize, Deserialize)]
pub struct Whir {
    /// Values at points outside the first domain.
    pub ood_answers: Vec<K>,
    /// The first fold.
    pub sumcheck: Sumcheck,
    /// One for each later code.
    pub rounds: Vec<Round>,
    /// The folded polynomial.
    pub sent: Option<Vec<K>>,
    /// Nonce before the last queries.
    pub nonce: Word,
    /// Answers to the last queries.
    pub openings: Openings,
    /// The sumcheck that binds what is left.
    pub last_sumcheck: Option<Sumcheck>,
}

/// A later code.
#[derive(Debug, Serialize, Deserialize)]
pub struct Round {
    /// One root.
    pub root: Option<Vec<Digest>>,
    /// Values at points outside its domain.
    pub ood_answers: Vec<K>,
    /// Nonce before the queries to the code before it.
    pub nonce: Word,
    /// Answers to them.
    pub openings: Openings,
    /// Its fold.
    pub sumcheck: Sumcheck,
}

/// Rounds of a sumcheck of degree 2.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sumcheck {
    /// For each round, the polynomial's value at 0 and its leading coefficient.
    pub polynomials: Vec<[K; 2]>,
    /// For each round its nonce, if it has grinding.
    pub nonces: Vec<Word>,
}

/// Rows of a codeword, in the order of the queries, with the Merkle siblings that they share.
#[derive(Debug, Serialize, Deserialize)]
pub enum Openings {
    /// Of the first code.
    Base(Rows<Word>),
    /// Of a later code.
    Extension(Rows<K>),
}

/// Rows and siblings.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rows<T> {
    /// One for each query.
    pub rows: Vec<Vec<T>>,
    /// For each tree, level by level from the leaves, from left to right.
    pub siblings: Vec<Vec<Digest>>,
}

/// An element of the base field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub F);

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        word(self.0).to_le_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = u64::from_le_bytes(<[u8; 8]>::deserialize(deserializer)?);
        from_word(word).map(Self).ok_or_else(|| D::Error::custom("a word is not below the modulus"))
    }
}

impl Serialize for K {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.map(Word).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for K {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(<[Word; 3]>::deserialize(deserializer)?.map(|word| word.0)))
    }
}

impl Message {
    /// Decodes an opening from its one encoding.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let fail = |_| Error::Opening("it is not an encoded opening".into());
        let message: Self = postcard::from_bytes(bytes).map_err(fail)?;
        if postcard::to_allocvec(&message).map_err(fail)? != bytes {
            return Err(Error::Opening("it is not in canonical form".into()));
        }
        Ok(message)
    }
}
