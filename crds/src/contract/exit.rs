//! What a stage's exit code says about trying again.

use serde::{Deserialize, Serialize};

/// Exit code of a stage that misses another task's artifact: `Retryable`, but only after that task has been done again.
pub const LOST_EXIT_CODE: u8 = 44;

/// Why a stage's process ended without its artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// Another attempt may succeed: killed, out of memory, store unreachable. Every code but 0 and those below, and every signal.
    Retryable,
    /// Another attempt would fail in the same way: the input does not fit the model, an operator is not supported. Code 42.
    Deterministic,
    /// The model or the program's version is not the one that the job needs: no task of the job can succeed. Code 43.
    WrongModelOrVersion,
}

impl FailureKind {
    /// The exit code that says so.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Retryable => 1,
            Self::Deterministic => 42,
            Self::WrongModelOrVersion => 43,
        }
    }

    /// What an exit code says; `None` stands for death by a signal. `Ok` is success.
    ///
    /// # Errors
    /// The kind of failure, for every code but 0.
    pub const fn of_exit_code(code: Option<i32>) -> Result<(), Self> {
        match code {
            Some(0) => Ok(()),
            Some(42) => Err(Self::Deterministic),
            Some(43) => Err(Self::WrongModelOrVersion),
            _ => Err(Self::Retryable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_everything_else_is_retryable() {
        for kind in [FailureKind::Retryable, FailureKind::Deterministic, FailureKind::WrongModelOrVersion] {
            assert_eq!(FailureKind::of_exit_code(Some(kind.exit_code().into())), Err(kind));
        }
        assert_eq!(FailureKind::of_exit_code(Some(0)), Ok(()));
        for code in [None, Some(2), Some(LOST_EXIT_CODE.into()), Some(101), Some(137), Some(-1)] {
            assert_eq!(FailureKind::of_exit_code(code), Err(FailureKind::Retryable), "{code:?}");
        }
    }
}
