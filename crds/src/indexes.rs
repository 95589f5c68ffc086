//! A set of subgraphs as text, as batch/v1 writes completed indexes: `0-2,5`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::Subgraphs;

/// Indexes in ascending order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Indexes(BTreeSet<u32>);

/// Not intervals of indexes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a set of subgraphs: write ascending intervals below {max} such as 0-2,5", max = Subgraphs::MAX)]
pub struct IndexesError(String);

impl Indexes {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an index is in the set.
    pub fn contains(&self, index: u32) -> bool {
        self.0.contains(&index)
    }

    /// All, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }
}

impl FromIterator<u32> for Indexes {
    fn from_iter<I: IntoIterator<Item = u32>>(indexes: I) -> Self {
        Self(indexes.into_iter().collect())
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for index in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(index) => *last = index,
                _ => runs.push((index, index)),
            }
        }
        for (position, (first, last)) in runs.into_iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Indexes {
    type Err = IndexesError;

    fn from_str(text: &str) -> Result<Self, IndexesError> {
        let refuse = || IndexesError(text.chars().take(100).collect());
        let number = |text: &str| match text.parse::<u32>() {
            // One spelling per number, and bounded, so that a short text is no long list.
            Ok(index) if index < Subgraphs::MAX && index.to_string() == text => Ok(index),
            _ => Err(refuse()),
        };
        let mut indexes = BTreeSet::new();
        for interval in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = interval.split_once('-').unwrap_or((interval, interval));
            let (first, last) = (number(first)?, number(last)?);
            if first > last || indexes.last().is_some_and(|&before| before >= first) {
                return Err(refuse());
            }
            indexes.extend(first..=last);
        }
        Ok(Self(indexes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_are_joined() {
        let written = |indexes: &[u32]| indexes.iter().copied().collect::<Indexes>().to_string();
        assert_eq!(written(&[]), "");
        assert_eq!(written(&[7]), "7");
        assert_eq!(written(&[8, 0, 1, 2, 5, 7]), "0-2,5,7-8");
        assert_eq!(written(&[u32::MAX - 1, u32::MAX]), "4294967294-4294967295");
    }

    #[test]
    fn loose_texts_are_refused() {
        for text in ["-", "1-", "2-1", "1,1", "3,1-2", "01", "+1", "1024", "0-4294967295", "a", ",", "1,", " 1"] {
            assert!(text.parse::<Indexes>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_set_is_read_as_it_was_written(indexes in proptest::collection::btree_set(0u32..1024, 0..100)) {
            let set: Indexes = indexes.into_iter().collect();
            prop_assert_eq!(set.to_string().parse::<Indexes>().unwrap(), set);
        }
    }
}
