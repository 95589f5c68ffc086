//! The polynomial commitment by size, beside `p3-whir`'s own prover in the same run.

use std::time::Duration;

use anyhow::Result;
use kernels::Device;
use prover::commitment::bench::{Measurement, measure};
use serde_json::{Value, json};

use crate::format;

/// Logarithms of the sizes measured.
const SIZES: [usize; 4] = [16, 18, 20, 22];
/// Each is measured so often; the least counts.
const REPETITIONS: usize = 3;

/// Measures commit, open and verify.
pub fn measure_sizes<D: Device>(device: &D, security_bits: u32) -> Result<Vec<Measurement>> {
    let measured = SIZES.map(|size| measure(device, size, security_bits, REPETITIONS));
    Ok(measured.into_iter().collect::<Result<_, _>>()?)
}

/// A line for each size.
pub fn report(measured: &[Measurement]) -> String {
    let mut text = format!(
        "{:<10}{:>10}{:>10}{:>16}{:>14}{:>10}{:>12}{:>12}  same bytes\n",
        "elements", "commit", "open", "p3-whir commit", "p3-whir open", "verify", "opening", "elements/s"
    );
    for m in measured {
        let time = |duration: Duration| format::seconds(duration.as_secs_f64());
        text += &format!(
            "{:<10}{:>10}{:>10}{:>16}{:>14}{:>10}{:>12}{:>12.2e}  {}\n",
            format!("2^{}", m.num_variables),
            time(m.commit),
            time(m.open),
            time(m.reference_commit),
            time(m.reference_open),
            time(m.verify),
            format::bytes(m.proof_bytes as u64),
            throughput(m),
            if m.identical { "yes" } else { "no" }
        );
    }
    text
}

/// Elements committed and opened in a second.
fn throughput(m: &Measurement) -> f64 {
    f64::powi(2.0, m.num_variables as i32) / (m.commit + m.open).as_secs_f64()
}

/// The same as JSON.
pub fn describe(m: &Measurement) -> Value {
    json!({
        "elements": 1u64 << m.num_variables,
        "bits": m.bits,
        "commitSeconds": m.commit.as_secs_f64(),
        "openSeconds": m.open.as_secs_f64(),
        "referenceCommitSeconds": m.reference_commit.as_secs_f64(),
        "referenceOpenSeconds": m.reference_open.as_secs_f64(),
        "verifySeconds": m.verify.as_secs_f64(),
        "openingBytes": m.proof_bytes,
        "elementsPerSecond": throughput(m),
        "identical": m.identical,
    })
}
