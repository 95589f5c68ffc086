//! How much memory proving is expected to take, subgraph by subgraph: setup's estimate, from which an executor chooses.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Indexes;

/// Most entries of a list of [`MemoryNeed`]s: sizes are powers of two.
pub const MEMORY_NEEDS_MAX: usize = 16;

/// The largest size, 2^25 MiB. What needs more is said to need that.
const MEBIBYTES_MAX: u32 = 1 << 25;

/// What some of the subgraphs need.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemoryNeed {
    /// MiB of a worker, rounded up to a power of two.
    pub mebibytes: u32,
    /// The subgraphs, as intervals: `0-2,5`.
    #[schemars(length(max = 8192))]
    pub subgraphs: String,
}

/// Bytes for each subgraph as a list of sizes, smallest first.
pub fn memory_needs(bytes: &[u64]) -> Vec<MemoryNeed> {
    let mut sizes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (subgraph, bytes) in (0..).zip(bytes) {
        let mebibytes = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(MEBIBYTES_MAX).min(MEBIBYTES_MAX);
        sizes.entry(mebibytes.next_power_of_two()).or_default().push(subgraph);
    }
    let mut needs: Vec<MemoryNeed> = sizes
        .into_iter()
        .map(|(mebibytes, all)| MemoryNeed { mebibytes, subgraphs: all.into_iter().collect::<Indexes>().to_string() })
        .collect();
    while needs.len() > MEMORY_NEEDS_MAX {
        coarsen(&mut needs);
    }
    needs
}

/// Makes a list shorter: the subgraphs of the smallest size are said to need the next one. `false` if there is one size.
pub(crate) fn coarsen(needs: &mut Vec<MemoryNeed>) -> bool {
    if needs.len() < 2 {
        return false;
    }
    let smallest = needs.remove(0);
    let indexes = |need: &MemoryNeed| need.subgraphs.parse::<Indexes>().unwrap_or_default();
    needs[0].subgraphs = indexes(&smallest).iter().chain(indexes(&needs[0]).iter()).collect::<Indexes>().to_string();
    true
}

/// Bytes that a subgraph needs; `None` where nothing is said of it, or nothing readable.
pub fn memory_need(needs: &[MemoryNeed], subgraph: u32) -> Option<u64> {
    let covers = |need: &&MemoryNeed| need.subgraphs.parse::<Indexes>().is_ok_and(|all| all.contains(subgraph));
    needs.iter().find(covers).map(|need| u64::from(need.mebibytes) << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(mebibytes: u32, subgraphs: &str) -> MemoryNeed {
        MemoryNeed { mebibytes, subgraphs: subgraphs.into() }
    }

    #[test]
    fn sizes_are_rounded_up_and_subgraphs_of_one_size_are_together() {
        let needs = memory_needs(&[60 << 20, (64 << 20) + 1, 33 << 20, u64::MAX]);
        assert_eq!(needs, [need(64, "0,2"), need(128, "1"), need(1 << 25, "3")]);
        assert_eq!(memory_need(&needs, 1), Some(128 << 20));
        assert_eq!(memory_need(&needs, 4), None);
        assert_eq!(memory_need(&[need(64, "lies")], 0), None);
    }

    #[test]
    fn a_list_gets_shorter_and_never_promises_less() {
        let bytes: Vec<u64> = (0..1024).map(|subgraph| 1 << (subgraph % 60)).collect();
        let mut needs = memory_needs(&bytes);
        assert!(needs.len() <= MEMORY_NEEDS_MAX);
        loop {
            for (subgraph, bytes) in (0..).zip(&bytes) {
                let need = memory_need(&needs, subgraph).unwrap();
                assert!(need >= *bytes || need == u64::from(MEBIBYTES_MAX) << 20);
            }
            if !coarsen(&mut needs) {
                break;
            }
        }
        assert_eq!(needs, [need(1 << 25, "0-1023")]);
    }
}
