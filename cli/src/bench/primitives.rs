//! The polynomial commitment by size, beside `p3-whir`'s own prover in the same run: its time is the floor to compare with.

use std::time::Duration;

use anyhow::Result;
use kernels::Cpu;
use prover::commitment::bench::{Measurement, measure};
use serde_json::{Value, json};

use crate::{args::BenchArgs, format};

/// Logarithms of the sizes measured.
const SIZES: [usize; 4] = [16, 18, 20, 22];
/// Each is measured so often; the least counts.
const REPETITIONS: usize = 3;

/// Measures commit, open and verify.
pub fn bench(args: &BenchArgs) -> Result<()> {
    let measured = SIZES.map(|size| measure(&Cpu, size, args.security_bits, REPETITIONS));
    let measured = measured.into_iter().collect::<Result<Vec<_>, _>>()?;
    if args.json {
        println!("{}", measured.iter().map(describe).collect::<Value>());
        return Ok(());
    }
    println!(
        "{:<10}{:>10}{:>10}{:>16}{:>14}{:>10}{:>12}{:>12}  same bytes",
        "elements", "commit", "open", "p3-whir commit", "p3-whir open", "verify", "opening", "elements/s"
    );
    for m in &measured {
        let time = |duration: Duration| format::seconds(duration.as_secs_f64());
        println!(
            "{:<10}{:>10}{:>10}{:>16}{:>14}{:>10}{:>12}{:>12.2e}  {}",
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
    Ok(())
}

/// Elements committed and opened in a second.
fn throughput(m: &Measurement) -> f64 {
    f64::powi(2.0, m.num_variables as i32) / (m.commit + m.open).as_secs_f64()
}

fn describe(m: &Measurement) -> Value {
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
