//! A text cut into windows: some to measure on, others to calibrate on, never the same.

use anyhow::{Result, bail};
use model::language::{calibration_windows, spread, windows};

/// Sequences of equal length, each with the model's token for a beginning, if it has one, in front.
pub struct Windows {
    /// From the text's beginning.
    pub measured: Vec<Vec<u32>>,
    /// From a text of their own, or what follows the windows that are measured.
    pub calibration: Vec<Vec<u32>>,
}

impl Windows {
    /// Cuts up to `most` windows of `context` tokens off the text.
    pub fn new(
        text: &[u32],
        calibration: Option<&[u32]>,
        bos: Option<u32>,
        context: usize,
        most: usize,
    ) -> Result<Self> {
        let (fresh, count) = (context - usize::from(bos.is_some()), calibration_windows(context));
        let mut measured = windows(text, bos, context);
        if measured.is_empty() {
            bail!(
                "the text has {} tokens; a window takes {fresh}: give a longer text or a smaller --context",
                text.len()
            );
        }
        let calibration = match calibration {
            Some(tokens) => spread(windows(tokens, bos, context), count),
            None => {
                let kept = most.min(measured.len().saturating_sub(count));
                spread(measured.split_off(kept), count)
            }
        };
        measured.truncate(most);
        if measured.is_empty() || calibration.is_empty() {
            bail!(
                "calibration takes {count} windows of {fresh} tokens that are not measured; \
                 give a longer text, a smaller --context, or another text with --calibration"
            );
        }
        Ok(Self { measured, calibration })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_measured_or_calibrated_on_and_never_both() {
        let text: Vec<u32> = (1..=67).collect();
        let w = Windows::new(&text, None, Some(0), 4, usize::MAX).unwrap();
        assert_eq!(
            w.measured,
            [[0, 1, 2, 3], [0, 4, 5, 6], [0, 7, 8, 9], [0, 10, 11, 12], [0, 13, 14, 15], [0, 16, 17, 18]]
        );
        let following: Vec<Vec<u32>> = (0..16).map(|w| 3 * w + 19).map(|t| vec![0, t, t + 1, t + 2]).collect();
        assert_eq!(w.calibration, following);
        let w = Windows::new(&text, None, None, 3, 2).unwrap();
        assert_eq!((w.measured.len(), w.calibration.len()), (2, 10));
        assert_eq!(w.calibration[..2], [[7, 8, 9], [13, 14, 15]]);
        let w = Windows::new(&text, Some(&text[20..]), None, 3, 2).unwrap();
        assert_eq!((w.measured.len(), w.calibration[0].clone()), (2, vec![21, 22, 23]));
    }

    #[test]
    fn short_texts_are_refused_with_what_would_do() {
        let error = |n: u32, calibration: Option<&[u32]>| {
            let text: Vec<u32> = (0..n).collect();
            Windows::new(&text, calibration, Some(9), 5, 9).map(drop).unwrap_err().to_string()
        };
        assert_eq!(
            error(3, None),
            "the text has 3 tokens; a window takes 4: give a longer text or a smaller --context"
        );
        assert!(error(12, None).contains("another text with --calibration"));
        assert!(error(12, Some(&[1, 2, 3])).contains("calibration takes 16 windows of 4 tokens"));
    }
}
