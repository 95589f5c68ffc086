//! How many pods each of a job's proving children may have at one time, so that together they keep to `spec.parallelism`.

use crds::contract::Stage;

use crate::child::{Child, State};

/// For subgraphs that are to be proved, child by child in the order of their making, how many pods at one time.
pub fn shares(limit: Option<u32>, open: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut left = limit.unwrap_or(u32::MAX);
    let share = |open: u32| {
        let share = open.min(left);
        left -= share;
        share
    };
    open.into_iter().map(share).collect()
}

/// The children that prove, or will when they are resumed.
pub fn proving(children: &[Child]) -> Vec<&Child> {
    let is_proving = |child: &&Child| child.stage == Stage::Prove && child.state == State::Running && !child.deleting;
    let mut proving: Vec<&Child> = children.iter().filter(is_proving).collect();
    proving.sort_by_key(|child| child.sequence);
    proving
}

/// Children that have to be given another number, with that number. What a child cannot use up is no reason.
pub fn changes<'a>(limit: Option<u32>, proving: &[&'a Child]) -> Vec<(&'a Child, u32)> {
    let shares = shares(limit, proving.iter().map(|child| open(child)));
    let differs = |(child, share): &(&Child, u32)| child.parallelism.min(open(child)) != *share;
    proving.iter().copied().zip(shares).filter(differs).collect()
}

/// Subgraphs of a child that are not settled.
pub fn open(child: &Child) -> u32 {
    let settled = |subgraph: &u32| child.completed.contains(*subgraph) || child.failed.contains(*subgraph);
    child.subgraphs.iter().filter(|subgraph| !settled(subgraph)).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_share_what_there_is_in_the_order_of_their_making() {
        assert_eq!(shares(None, [4, 2]), [4, 2]);
        assert_eq!(shares(Some(3), [4, 2]), [3, 0]);
        assert_eq!(shares(Some(3), [1, 4]), [1, 2]);
        assert!(shares(Some(3), []).is_empty());
    }
}
