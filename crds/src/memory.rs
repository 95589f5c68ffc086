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
    /// MiB more for every input after the first, rounded up likewise.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mebibytes_per_input: u32,
    /// The subgraphs, as intervals: `0-2,5`.
    #[schemars(length(max = 8192))]
    pub subgraphs: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(MEBIBYTES_MAX).min(MEBIBYTES_MAX)
}

/// Bytes for each subgraph, for one input and more for every other, as a list of sizes, smallest first.
pub fn memory_needs(bytes: &[(u64, u64)]) -> Vec<MemoryNeed> {
    let mut sizes: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
    for (subgraph, &(first, other)) in (0..).zip(bytes) {
        let rounded = |bytes| mebibytes(bytes).next_power_of_two();
        let more = if other == 0 { 0 } else { rounded(other) };
        sizes.entry((rounded(first), more)).or_default().push(subgraph);
    }
    let mut needs: Vec<MemoryNeed> = sizes
        .into_iter()
        .map(|((mebibytes, mebibytes_per_input), all)| MemoryNeed {
            mebibytes,
            mebibytes_per_input,
            subgraphs: all.into_iter().collect::<Indexes>().to_string(),
        })
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
    needs[0].mebibytes_per_input = needs[0].mebibytes_per_input.max(smallest.mebibytes_per_input);
    needs[0].subgraphs = indexes(&smallest).iter().chain(indexes(&needs[0]).iter()).collect::<Indexes>().to_string();
    true
}

/// Bytes that a subgraph needs for so many inputs; `None` where nothing is said of it, or nothing readable.
pub fn memory_need(needs: &[MemoryNeed], subgraph: u32, inputs: u32) -> Option<u64> {
    let covers = |need: &&MemoryNeed| need.subgraphs.parse::<Indexes>().is_ok_and(|all| all.contains(subgraph));
    let more = |need: &MemoryNeed| u64::from(need.mebibytes_per_input) * u64::from(inputs.saturating_sub(1));
    needs.iter().find(covers).map(|need| (u64::from(need.mebibytes) + more(need)) << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(mebibytes: u32, mebibytes_per_input: u32, subgraphs: &str) -> MemoryNeed {
        MemoryNeed { mebibytes, mebibytes_per_input, subgraphs: subgraphs.into() }
    }

    #[test]
    fn sizes_are_rounded_up_and_subgraphs_of_one_size_are_together() {
        let mebibytes = |first: u64, other: u64| (first << 20, other << 20);
        let bytes =
            [mebibytes(60, 5), ((64 << 20) + 1, 1), mebibytes(33, 7), mebibytes(40, 2), (u64::MAX, u64::MAX), (1, 0)];
        let needs = memory_needs(&bytes);
        let expected =
            [need(1, 0, "5"), need(64, 2, "3"), need(64, 8, "0,2"), need(128, 1, "1"), need(1 << 25, 1 << 25, "4")];
        assert_eq!(needs, expected);
        assert_eq!(memory_need(&needs, 1, 1), Some(128 << 20));
        assert_eq!(memory_need(&needs, 0, 3), Some(80 << 20));
        assert_eq!(memory_need(&needs, 6, 1), None);
        assert_eq!(memory_need(&[need(64, 0, "lies")], 0, 1), None);
    }

    #[test]
    fn a_list_gets_shorter_and_never_promises_less() {
        let bytes: Vec<(u64, u64)> = (0..1024).map(|subgraph| (1 << (subgraph % 60), 1 << (subgraph % 30))).collect();
        let mut needs = memory_needs(&bytes);
        assert!(needs.len() <= MEMORY_NEEDS_MAX);
        loop {
            for (subgraph, &(first, other)) in (0..).zip(&bytes) {
                let need = memory_need(&needs, subgraph, 3).unwrap();
                assert!(need >= first.min(u64::from(MEBIBYTES_MAX) << 20) + 2 * other);
            }
            if !coarsen(&mut needs) {
                break;
            }
        }
        assert_eq!(needs, [need(1 << 25, 1 << 9, "0-1023")]);
    }
}
