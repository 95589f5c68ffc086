//! Proofmill.
