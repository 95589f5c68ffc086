//! Provers that lie: what they claim is false, all else that they say is consistent with it. Each is rejected, by the
//! equation that the lie breaks.

#[path = "../common/mod.rs"]
mod common;

mod advice;
mod boundary;
mod fiat_shamir;
mod linear;
mod lookup;
mod protocol;
