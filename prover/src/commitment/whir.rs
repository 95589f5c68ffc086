//! The WHIR prover over a device. Every step of the transcript is the verifier's own, so a proof is byte for byte that of
//! `p3-whir`'s prover.
//!
//! Claims about the joint polynomial, viewed as rows of `2^k` elements, are first bound over the rows alone: the `2^k` values
//! left of each carry the first `k` sumcheck rounds, so these never touch the polynomial, and a claim costs its block's rows.

use super::rows::{self, Claim, RowClaim};
use super::sumcheck::Pair;
use kernels::{Device, Strided};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use p3_multilinear_util::point::Point;
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::constraints::Statements;
use p3_sumcheck::layout::{Layout as _, SuffixProver, Verifier as ClaimTranscript};
use p3_sumcheck::{OpeningBatch, SumcheckData};
use p3_whir::transcript::WhirProverTranscript;
use p3_whir::{QueryOpenings, RoundConfig, SharedProofOpening, WhirProof, WhirRoundProof, WhirShape};
use verifier::commitment::{Commitment, Forest, Joint, Layout, Opening, Parameters, Proof};
use verifier::field::{F, K};
use verifier::multilinear::eq_table;
use verifier::transcript::Challenger;

type Transcript<'a> = WhirProverTranscript<'a, Challenger, F, K>;
type Openings = QueryOpenings<F, K, Vec<kernels::MultiProof>>;

/// A committed polynomial and where it is to be opened.
pub struct Polynomial<'a, D: Device> {
    /// Its cells.
    pub values: &'a D::Base,
    /// The tree over its codeword.
    pub tree: &'a D::Tree,
    /// Where its blocks lie.
    pub layout: &'a Layout,
    /// The points.
    pub opening: Opening,
}

/// Opens polynomials together at the points of their openings.
pub fn open<D: Device>(
    device: &D,
    polynomials: &[Polynomial<D>],
    parameters: &Parameters,
    challenger: &mut Challenger,
) -> Proof {
    let (config, joint) = (parameters.config(), parameters.joint());
    let parts: Vec<&D::Base> = polynomials.iter().map(|p| p.values).collect();
    let trees: Vec<&D::Tree> = polynomials.iter().map(|p| p.tree).collect();
    let mut transcript =
        ClaimTranscript::<F, K>::new(&parameters.protocol().table_shapes(), SuffixProver::<F, K>::strategy());

    let mut virtual_claims = Vec::new();
    let mut initial_ood_answers = Vec::new();
    for _ in 0..config.commitment_ood_samples() {
        let point = next_virtual_point(&transcript, challenger);
        let claim = RowClaim::bind_all(device, joint, &parts, &[Claim::everywhere(joint, point)]).swap_remove(0);
        initial_ood_answers.push(claim.value());
        transcript.add_virtual_eval(claim.value(), challenger);
        virtual_claims.push(claim);
    }
    let claims = polynomials.iter().enumerate().flat_map(|(part, Polynomial { layout, opening, .. })| {
        opening.points.iter().map(move |(block, local)| {
            let point = joint.point(part, &layout.packed_point(*block, local));
            Claim::on_block(joint, part, &layout.blocks()[*block], point)
        })
    });
    let claims: Vec<Claim> = claims.collect();
    let bound = RowClaim::bind_all(device, joint, &parts, &claims);
    let mut evals = Vec::new();
    let column = OpeningBatch::new(vec![0], vec![]);
    for (claim, bound) in claims.into_iter().zip(&bound) {
        let eval = OpeningBatch::new(vec![bound.value()], vec![]);
        transcript
            .add_claim_at(0, &column, &Point::new(claim.point), &eval, challenger)
            .expect("one value for one column");
        evals.push(eval);
    }
    let claims: Vec<RowClaim> = bound.into_iter().chain(virtual_claims).collect();

    let num_points = evals.len();
    let mut run = Transcript::new(challenger, WhirShape::new(config, num_points));
    let (mut state, initial_sumcheck) = run.delegate_initial_fold(|challenger| {
        let alpha = transcript.batching_challenge(challenger);
        first_fold(device, &parts, &claims, alpha, parameters, challenger)
    });
    let mut rounds = Vec::new();
    let mut oracle = None;
    for (index, round) in config.round_parameters().iter().enumerate() {
        let queried = oracle.as_ref().map_or(Queried::Base(joint, &trees), Queried::Extension);
        let (proof, next) = state.round(index, round, config.round_folding_factor(index + 1), queried, &mut run);
        rounds.push(proof);
        oracle = Some(next);
    }

    let coefficients = device.download(&state.values);
    run.final_poly(&coefficients);
    let final_pow_witness = run.query_pow(config.n_rounds());
    let indices = run.query_indices(config.n_rounds());
    let final_openings =
        oracle.as_ref().map_or(Queried::Base(joint, &trees), Queried::Extension).open(device, &indices);
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

/// Batches the claims and plays the first `k` rounds on what is left of them.
fn first_fold<'a, D: Device>(
    device: &'a D,
    parts: &[&D::Base],
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
        device.add_eq(&mut weights, claim.rows, &claim.point, scale);
    }
    let columns: Vec<K> = challenges.into_iter().rev().collect();
    let values = rows::bind_columns(device, parameters.joint(), parts, &eq_table(&columns, 1 << k));
    (Pair { device, values, weights }, data)
}

impl<D: Device> Pair<'_, D> {
    /// Commits the folded polynomial, opens the previous oracle `queried`, and folds `folding` variables more.
    fn round(
        &mut self,
        index: usize,
        parameters: &RoundConfig,
        folding: usize,
        queried: Queried<D>,
        run: &mut Transcript,
    ) -> (WhirRoundProof<F, K, Forest>, D::Tree) {
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
        let openings = queried.open(device, &indices);

        let mut scales = run.round_batching().powers().skip(1);
        for (point, scale) in points.iter().zip(&mut scales) {
            device.add_eq(&mut self.weights, Strided::ALL, point.as_slice(), scale);
        }
        let scales: Vec<K> = scales.take(indices.len()).collect();
        device.add_powers(&mut self.weights, parameters.log_folded_domain_size, &indices, &scales);
        let sumcheck =
            run.delegate_round_fold(|challenger| self.rounds(folding, parameters.folding_pow_bits, challenger).0);
        (WhirRoundProof { commitment: Some(root), ood_answers, pow_witness, openings, sumcheck }, tree)
    }
}

/// The oracle that is queried.
enum Queried<'a, D: Device> {
    /// The polynomials' codewords, read side by side.
    Base(&'a Joint, &'a [&'a D::Tree]),
    /// The folded polynomial's.
    Extension(&'a D::Tree),
}

impl<D: Device> Queried<'_, D> {
    /// Its rows at these places.
    fn open(self, device: &D, places: &[usize]) -> Openings {
        match self {
            Self::Base(joint, trees) => {
                let mut rows = vec![Vec::new(); places.len()];
                let mut proof = Vec::with_capacity(trees.len());
                for (tree, part) in trees.iter().zip(joint.parts()) {
                    let leaves: Vec<usize> = places.iter().map(|place| place % (1 << part.log_leaves)).collect();
                    let opened = device.open(tree, &leaves);
                    rows.iter_mut().zip(opened.rows).for_each(|(row, shown)| row.extend(shown));
                    proof.push(opened.proof);
                }
                QueryOpenings::Base(SharedProofOpening { rows, proof })
            }
            Self::Extension(tree) => {
                let kernels::Opened { rows, proof } = device.open(tree, places);
                let rows = rows.into_iter().map(K::reconstitute_from_base).collect();
                QueryOpenings::Extension(SharedProofOpening { rows, proof: vec![proof] })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::Cpu;
    use verifier::commitment::{Claim, Claimed, OpeningError, verify};
    use verifier::field::from_i64;
    use verifier::multilinear::evaluate;
    use verifier::transcript::{Reader, Transcript as _, Writer};

    const TARGET: u32 = 130;

    /// A prover that has committed to some cells and argues about others: one cell of one polynomial differs, every claim is
    /// true of what it argues about, and queries are answered from what it has committed.
    fn argue(difference: [i64; 2]) -> Result<(), OpeningError> {
        let sizes = [16, 15];
        let layouts = sizes.map(|n| Layout::new(&[vec![1usize << n]]));
        let cells = sizes.map(|n| (0..1i64 << n).map(|i| i * i * 7919 % 2003 - 1000).collect::<Vec<_>>());
        let mut argued = cells.clone();
        argued.iter_mut().zip(difference).for_each(|(cells, difference)| cells[1234] += difference);
        let base = |cells: &Vec<i64>| Cpu.upload(cells.iter().map(|&x| from_i64(x)).collect());
        let trees: Vec<_> = cells
            .iter()
            .zip(sizes)
            .map(|(cells, n)| {
                let code = verifier::commitment::Code::new(n);
                Cpu.commit_base(&base(cells), code.log_width, code.log_inv_rate)
            })
            .collect();
        let mut writer = Writer::new("test");
        trees.iter().for_each(|(root, _)| writer.write_digest(*root));
        let claims: Vec<Vec<Claim>> = sizes
            .iter()
            .zip(&argued)
            .map(|(&n, cells)| {
                let point = writer.challenges(n);
                vec![Claim { tensor: 0, value: evaluate(&[1 << n], cells, &point), point }]
            })
            .collect();
        let values: Vec<_> = argued.iter().map(base).collect();
        let polynomials: Vec<Polynomial<Cpu>> = (0..2)
            .map(|i| {
                let opening = layouts[i].opening(&claims[i]).unwrap();
                Polynomial { values: &values[i], tree: &trees[i].1, layout: &layouts[i], opening }
            })
            .collect();
        let joint = Joint::new(&sizes);
        let parameters = Parameters::new(&joint, 2, TARGET).unwrap();
        let message = open(&Cpu, &polynomials, &parameters, writer.challenger());
        writer.write_message(&postcard::to_allocvec(&message).unwrap());
        let proof = writer.finish();

        let mut reader = Reader::new("test", &proof);
        let roots = [reader.read_digest().unwrap(), reader.read_digest().unwrap()];
        sizes.iter().for_each(|&n| drop(reader.challenges(n)));
        let claimed = (0..2).map(|i| Claimed { root: &roots[i], layout: &layouts[i], claims: &claims[i] });
        verify(&claimed.collect::<Vec<_>>(), TARGET, &mut reader)
    }

    #[test]
    fn provers_that_argue_about_other_cells_are_rejected() {
        argue([0, 0]).unwrap();
        for difference in [[1, 0], [0, 1], [1, -1]] {
            let error = argue(difference).unwrap_err();
            assert!(matches!(error, OpeningError::Whir(_)), "{error}");
        }
    }
}
