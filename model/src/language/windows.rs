//! A text's tokens as sequences of one length, each with the model's token for a beginning in front, as it stands before every prompt;
//! and how many of them scales are taken from.

/// Tokens to calibrate on, if windows are long; and the fewest and the most windows.
const TOKENS: usize = 2048;
const LEAST: usize = 4;
const MOST: usize = 16;

/// Whole windows of `length` tokens, from the text's beginning.
pub fn windows(tokens: &[u32], beginning: Option<u32>, length: usize) -> Vec<Vec<u32>> {
    // A window of nothing but its beginning says nothing of the text.
    let fresh = length.saturating_sub(usize::from(beginning.is_some())).max(1);
    let whole = |text: &[u32]| beginning.into_iter().chain(text.iter().copied()).take(length).collect();
    tokens.chunks_exact(fresh).map(whole).collect()
}

/// How many windows of `length` tokens scales are taken from.
pub fn calibration_windows(length: usize) -> usize {
    (TOKENS / length.max(1)).clamp(LEAST, MOST)
}

/// Some of many, evenly spread.
pub fn spread(windows: Vec<Vec<u32>>, count: usize) -> Vec<Vec<u32>> {
    let step = windows.len().div_ceil(count).max(1);
    windows.into_iter().step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_whole_begin_as_prompts_do_and_are_spread_over_the_text() {
        let text: Vec<u32> = (1..=10).collect();
        assert_eq!(windows(&text, None, 4), [[1, 2, 3, 4], [5, 6, 7, 8]]);
        assert_eq!(windows(&text, Some(0), 4), [[0, 1, 2, 3], [0, 4, 5, 6], [0, 7, 8, 9]]);
        assert_eq!(windows(&text[..2], Some(0), 1), [[0], [0]]);
        assert!(windows(&text, None, 11).is_empty());
        let each = |count| spread(windows(&text, None, 1), count).concat();
        assert_eq!((each(3), each(20)), (vec![1, 5, 9], text.clone()));
        assert_eq!([1, 128, 256, 512, 4096].map(calibration_windows), [16, 16, 8, 4, 4]);
    }
}
