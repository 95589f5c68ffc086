//! The operator in a cluster in memory. One program, since what it is made of takes longest to compile.

mod crash;
mod failures;
mod fake;
mod lease;
mod life;
mod scale;
