//! Provers that lie: what they claim is false, all else that they say is consistent with it. Each is rejected, by the
//! equation that the lie breaks.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../model/tests/language/fixture.rs"]
#[allow(dead_code)]
mod fixture;

mod advice;
mod boundary;
mod fiat_shamir;
mod language;
mod linear;
mod lookup;
mod protocol;
