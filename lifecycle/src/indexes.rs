//! Sets of indexes as text, as batch/v1 writes them: `0-2,5`.

/// Writes ascending, distinct indexes as intervals.
pub fn intervals(indexes: impl IntoIterator<Item = u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(index) => *last = index,
            _ => runs.push((index, index)),
        }
    }
    let write = |&(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    runs.iter().map(write).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::intervals;

    #[test]
    fn runs_are_joined() {
        assert_eq!(intervals([]), "");
        assert_eq!(intervals([7]), "7");
        assert_eq!(intervals([0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(intervals([u32::MAX - 1, u32::MAX]), "4294967294-4294967295");
    }
}
