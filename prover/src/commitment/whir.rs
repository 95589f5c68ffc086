//! The WHIR prover over a device. Every step of the transcript is the verifier's own, so a proof is byte for byte that of
//! `p3-whir`'s prover.
//!
//! Claims about the packed polynomial, viewed as rows of `2^k` elements, are first bound over the rows alone: the `2^k` values
//! left of each carry the first `k` sumcheck rounds, so these never touch the polynomial, and a claim costs its block.

use super::sumcheck::Pair;
use kernels::Device;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use p3_multilinear_util::point::Point;
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::constraints::Statements;
use p3_sumcheck::layout::{Layout as _, SuffixProver, Verifier as ClaimTranscript};
use p3_sumcheck::{OpeningBatch, SumcheckData};
use p3_whir::transcript::WhirProverTranscript;
use p3_whir::{QueryOpenings, RoundConfig, SharedProofOpening, WhirProof, WhirRoundProof, WhirShape};
use verifier::commitment::{Commitment, Layout, Mmcs, Opening, Parameters, Proof};
use verifier::field::{F, K};
use verifier::multilinear::eq_table;
use verifier::transcript::Challenger;

type Transcript<'a> = WhirProverTranscript<'a, Challenger, F, K>;
type Openings = QueryOpenings<F, K, kernels::MultiProof>;

/// Opens the polynomial `values`, committed by `tree`, at the points of `opening`.
pub fn open<D: Device>(
    device: &D,
    values: &D::Base,
    tree: &D::Tree,
    layout: &Layout,
    opening: &Opening,
    parameters: &Parameters,
    challenger: &mut Challenger,
) -> Proof {
    let config = parameters.config();
    let k = config.round_folding_factor(0);
    let mut transcript =
        ClaimTranscript::<F, K>::new(&parameters.protocol().table_shapes(), SuffixProver::<F, K>::strategy());

    let mut virtual_claims = Vec::new();
    let mut initial_ood_answers = Vec::new();
    for _ in 0..config.commitment_ood_samples() {
        let point = next_virtual_point(&transcript, challenger);
        let claim = RowClaim::bind(device, values, 0, &point, &point, k);
        initial_ood_answers.push(claim.value());
        transcript.add_virtual_eval(claim.value(), challenger);
        virtual_claims.push(claim);
    }
    let mut claims = Vec::new();
    let mut evals = Vec::new();
    let column = OpeningBatch::new(vec![0], vec![]);
    for (block, local) in &opening.points {
        let full = layout.packed_point(*block, local);
        let claim = RowClaim::bind(device, values, layout.blocks()[*block].offset, local, &full, k);
        let eval = OpeningBatch::new(vec![claim.value()], vec![]);
        transcript.add_claim_at(0, &column, &Point::new(full), &eval, challenger).expect("one value for one column");
        evals.push(eval);
        claims.push(claim);
    }
    claims.extend(virtual_claims);

    let mut run = Transcript::new(challenger, WhirShape::new(config, opening.points.len()));
    let (mut state, initial_sumcheck) = run.delegate_initial_fold(|challenger| {
        let alpha = transcript.batching_challenge(challenger);
        first_fold(device, values, &claims, alpha, parameters, challenger)
    });
    let mut rounds = Vec::new();
    let mut oracle = None;
    for (index, round) in config.round_parameters().iter().enumerate() {
        let queried = oracle.as_ref().unwrap_or(tree);
        let (proof, next) = state.round(index, round, config.round_folding_factor(index + 1), queried, &mut run);
        rounds.push(proof);
        oracle = Some(next);
    }

    let coefficients = device.download(&state.values);
    run.final_poly(&coefficients);
    let final_pow_witness = run.query_pow(config.n_rounds());
    let indices = run.query_indices(config.n_rounds());
    let final_openings = openings(device, oracle.as_ref().unwrap_or(tree), oracle.is_some(), &indices);
    let final_sumcheck = run.delegate_final_fold(|challenger| {
        state.rounds(config.final_sumcheck_rounds(), config.final_folding_pow_bits(), challenger).0
    });
    run.finish();
    let final_poly = Some(Poly::new(coefficients));
    let whir = WhirProof {
        initial_ood_answers,
        initial_sumcheck,
        rounds,
        final_poly,
        final_pow_witness,
        final_openings,
        final_sumcheck,
    };
    Proof { whir, evals }
}

/// The out-of-domain point that the transcript draws next, read off a replay of the draw on a copy.
fn next_virtual_point(transcript: &ClaimTranscript<F, K>, challenger: &Challenger) -> Vec<K> {
    let mut replay = transcript.clone();
    replay.add_virtual_eval(K::ZERO, &mut challenger.clone());
    let constraint = replay.constraint(K::ONE);
    let Some(Statements::Eq(statement)) = constraint.statements().last() else {
        unreachable!("the claim just added is an equality");
    };
    statement.iter().last().map(|(point, _)| point.as_slice().to_vec()).unwrap_or_default()
}

/// A claim bound over the rows of its block.
struct RowClaim {
    /// First row of the block.
    first: usize,
    /// Coordinates of the rows within the block.
    rows: Vec<K>,
    /// `eq` of the last `k` coordinates.
    columns: Vec<K>,
    /// The block's columns, each bound at `rows`.
    bound: Vec<K>,
}

impl RowClaim {
    /// Binds the block at `offset` at its coordinates `local`, which `full` extends to the whole polynomial's.
    fn bind<D: Device>(device: &D, values: &D::Base, offset: usize, local: &[K], full: &[K], k: usize) -> Self {
        let (first, rows) = (offset >> k, &local[..local.len().saturating_sub(k)]);
        Self {
            first,
            rows: rows.to_vec(),
            columns: eq_table(&full[full.len() - k..], 1 << k),
            bound: device.bind_rows(values, first, rows, k),
        }
    }

    fn value(&self) -> K {
        self.columns.iter().zip(&self.bound).map(|(&weight, &x)| weight * x).sum()
    }
}

/// Batches the claims and plays the first `k` rounds on what is left of them.
fn first_fold<'a, D: Device>(
    device: &'a D,
    values: &D::Base,
    claims: &[RowClaim],
    alpha: K,
    parameters: &Parameters,
    challenger: &mut Challenger,
) -> (Pair<'a, D>, SumcheckData<F, K>) {
    let config = parameters.config();
    let k = config.round_folding_factor(0);
    let bound = claims.iter().flat_map(|claim| claim.bound.iter().copied()).collect();
    let weights = claims
        .iter()
        .zip(alpha.powers())
        .flat_map(|(claim, power)| claim.columns.iter().map(move |&weight| power * weight))
        .collect();
    let mut pair = Pair { device, values: device.upload_extension(bound), weights: device.upload_extension(weights) };
    let (data, challenges) = pair.rounds(k, config.starting_folding_pow_bits(), challenger);

    let mut weights = device.zeros(1 << (config.num_variables() - k));
    for (claim, scale) in claims.iter().zip(device.download(&pair.weights)) {
        device.add_eq(&mut weights, claim.first, &claim.rows, scale);
    }
    let columns: Vec<K> = challenges.into_iter().rev().collect();
    let values = device.bind_columns(values, &eq_table(&columns, 1 << k));
    (Pair { device, values, weights }, data)
}

impl<D: Device> Pair<'_, D> {
    /// Commits the folded polynomial, opens the previous oracle `queried`, and folds `folding` variables more.
    fn round(
        &mut self,
        index: usize,
        parameters: &RoundConfig,
        folding: usize,
        queried: &D::Tree,
        run: &mut Transcript,
    ) -> (WhirRoundProof<F, K, Mmcs>, D::Tree) {
        let device = self.device;
        let (root, tree) = device.commit_extension(&self.values, folding, parameters.log_inv_rate);
        let root = Commitment::from(vec![root]);
        run.commitment(root.clone());

        let (mut points, mut ood_answers) = (Vec::new(), Vec::new());
        for _ in 0..parameters.ood_samples {
            let point = Point::expand_from_univariate(run.ood_point(), parameters.num_variables);
            let answer = device.evaluate(&self.values, point.as_slice());
            run.ood_answer(answer);
            points.push(point);
            ood_answers.push(answer);
        }
        let pow_witness = run.query_pow(index);
        let indices = run.query_indices(index);
        let openings = openings(device, queried, index > 0, &indices);

        let mut scales = run.round_batching().powers().skip(1);
        for (point, scale) in points.iter().zip(&mut scales) {
            device.add_eq(&mut self.weights, 0, point.as_slice(), scale);
        }
        let scales: Vec<K> = scales.take(indices.len()).collect();
        device.add_powers(&mut self.weights, parameters.log_folded_domain_size, &indices, &scales);
        let sumcheck =
            run.delegate_round_fold(|challenger| self.rounds(folding, parameters.folding_pow_bits, challenger).0);
        (WhirRoundProof { commitment: Some(root), ood_answers, pow_witness, openings, sumcheck }, tree)
    }
}

/// The rows of a tree: of base elements at first, of extension elements in later rounds.
fn openings<D: Device>(device: &D, tree: &D::Tree, extension: bool, indices: &[usize]) -> Openings {
    let kernels::Opened { rows, proof } = device.open(tree, indices);
    if extension {
        let rows = rows.into_iter().map(K::reconstitute_from_base).collect();
        QueryOpenings::Extension(SharedProofOpening { rows, proof })
    } else {
        QueryOpenings::Base(SharedProofOpening { rows, proof })
    }
}
