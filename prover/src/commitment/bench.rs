//! The commitment measured against `p3-whir`'s own prover: same polynomial, same points, same parameters, same run.

use super::whir::Polynomial;
use super::{reference, whir};
use kernels::Device;
use std::time::{Duration, Instant};
use verifier::commitment::{Joint, Layout, Opening, Parameters, ParametersError, verify_joint};
use verifier::field::{F, from_i64};
use verifier::transcript::{Reader, Transcript, Writer};

/// What one size costs.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Logarithm of the polynomial's size.
    pub num_variables: usize,
    /// Bits of the opening's error.
    pub bits: f64,
    /// Committing over the device.
    pub commit: Duration,
    /// Opening over the device.
    pub open: Duration,
    /// Committing with `p3-whir`.
    pub reference_commit: Duration,
    /// Opening with `p3-whir`.
    pub reference_open: Duration,
    /// Verifying.
    pub verify: Duration,
    /// Length of the opening.
    pub proof_bytes: usize,
    /// Whether both provers gave the same bytes.
    pub identical: bool,
}

/// Commits `2^num_variables` random 16-bit integers and opens them at one random point, `repetitions` times; least times.
///
/// # Errors
/// If the size has no parameters at the target.
pub fn measure<D: Device>(
    device: &D,
    num_variables: usize,
    target_bits: u32,
    repetitions: usize,
) -> Result<Measurement, ParametersError> {
    let parameters = Parameters::new(&Joint::new(&[num_variables]), 1, target_bits)?;
    let start = Instant::now();
    Ok(measure_with(device, &parameters, repetitions, || start.elapsed()))
}

/// The same under given parameters for one point, by a clock that tells the time passed since some moment.
pub fn measure_with<D: Device>(
    device: &D,
    parameters: &Parameters,
    repetitions: usize,
    clock: impl Fn() -> Duration,
) -> Measurement {
    let num_variables = parameters.config().num_variables();
    let layout = Layout::new(&[vec![1usize << num_variables]]);
    let packed = random_cells(1 << num_variables);
    let mut best = Measurement {
        num_variables,
        bits: parameters.bits(),
        commit: Duration::MAX,
        open: Duration::MAX,
        reference_commit: Duration::MAX,
        reference_open: Duration::MAX,
        verify: Duration::MAX,
        proof_bytes: 0,
        identical: true,
    };
    let timed = |least: &mut Duration, start: Duration| *least = (clock() - start).min(*least);
    for _ in 0..repetitions {
        let start = clock();
        let cells = device.upload(packed.clone());
        let code = parameters.code();
        let (root, tree) = device.commit_base(&cells, code.log_width, code.log_inv_rate);
        timed(&mut best.commit, start);
        let mut transcript = Writer::new("bench");
        transcript.write_digest(root);
        let point = transcript.challenges(num_variables);
        let opening = Opening { points: vec![(0, point.clone())], sums: Vec::new() };
        let mut reference_transcript = transcript.clone();
        let start = clock();
        let polynomial = Polynomial { values: &cells, tree: &tree, layout: &layout, opening };
        let message = whir::open(device, &[polynomial], parameters, transcript.challenger());
        timed(&mut best.open, start);
        let message = postcard::to_allocvec(&message).expect("a proof is plain data");
        transcript.write_message(&message);
        let proof = transcript.finish();

        let start = clock();
        let (reference_roots, data) = reference::commit(&packed, parameters);
        timed(&mut best.reference_commit, start);
        let start = clock();
        let reference = reference::open(data, parameters, std::slice::from_ref(&point), &mut reference_transcript);
        timed(&mut best.reference_open, start);
        best.identical &= reference_roots == [root] && reference == message;
        best.proof_bytes = proof.len();

        for _ in 0..10 {
            let start = clock();
            let mut reader = Reader::new("bench", &proof);
            let root = reader.read_digest().expect("the proof begins with the root");
            let _ = reader.challenges(num_variables);
            verify_joint(&[root], std::slice::from_ref(&point), parameters, &mut reader).expect("the opening is valid");
            timed(&mut best.verify, start);
        }
    }
    best
}

fn random_cells(count: usize) -> Vec<F> {
    let mut state = 1u64;
    let step = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        from_i64(((state >> 48) as i16).into())
    };
    (0..count).map(step).collect()
}
