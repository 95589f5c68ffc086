//! No changed opening is accepted, and none makes the verifier panic: every byte region, every list, every value.

use kernels::{Cpu, Ints};
use p3_field::PrimeCharacteristicRing;
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::{OpeningBatch, SumcheckData};
use p3_whir::{QueryOpenings, SharedProofOpening};
use prover::commitment::{commit, open};
use std::panic::{AssertUnwindSafe, catch_unwind};
use verifier::commitment::{Claim, Layout, OpeningError, Proof, verify};
use verifier::field::{F, K, k_from_i64};
use verifier::multilinear::evaluate;
use verifier::transcript::{Reader, Transcript, Writer};

const TARGET: u32 = 130;
/// The root and the message's length.
const HEADER: usize = 32 + 4;

struct Case {
    layout: Layout,
    claims: Vec<Claim>,
    proof: Vec<u8>,
}

fn case(shapes: &[Vec<usize>]) -> Case {
    let layout = Layout::new(shapes);
    let values: Vec<Vec<i64>> = shapes
        .iter()
        .map(|shape| (0..shape.iter().product::<usize>() as i64).map(|i| i * i * 7919 % 2003 - 1000).collect())
        .collect();
    let tensors: Vec<_> = values.iter().cloned().map(Ints::from).collect();
    let committed = commit(&Cpu, &layout, &tensors);
    let mut transcript = Writer::new("test");
    transcript.write_digest(committed.root);
    let claims: Vec<_> = (0..shapes.len())
        .map(|tensor| {
            let point = transcript.challenges(layout.point_len(tensor));
            let value = evaluate(&shapes[tensor], &values[tensor], &point);
            Claim { tensor, point, value }
        })
        .collect();
    open(&Cpu, &committed, &layout, &claims, TARGET, &mut transcript).unwrap();
    Case { layout, claims, proof: transcript.finish() }
}

impl Case {
    fn check(&self, proof: &[u8]) -> Result<(), OpeningError> {
        let mut reader = Reader::new("test", proof);
        let root = reader.read_digest()?;
        for claim in &self.claims {
            let _ = reader.challenges(claim.point.len());
        }
        verify(&root, &self.layout, &self.claims, TARGET, &mut reader)?;
        Ok(reader.finish()?)
    }

    fn message(&self) -> &[u8] {
        &self.proof[HEADER..]
    }

    fn with_message(&self, message: &[u8]) -> Vec<u8> {
        [&self.proof[..32], &(message.len() as u32).to_le_bytes(), message].concat()
    }

    fn expect_rejection(&self, what: &str, proof: &[u8]) {
        match catch_unwind(AssertUnwindSafe(|| self.check(proof))) {
            Ok(Err(_)) => {}
            Ok(Ok(())) => panic!("accepted: {what}"),
            Err(_) => panic!("the verifier panicked: {what}"),
        }
    }
}

fn cases() -> [Case; 2] {
    [case(&[vec![100, 130], vec![17, 5], vec![64, 64]]), case(&[vec![25, 3], vec![4]])]
}

#[test]
fn altered_bytes_are_rejected() {
    for case in cases() {
        case.check(&case.proof).unwrap();
        // A stride that shares no factor with the words and rows, so that it meets all their bytes.
        let stride = if case.layout.in_the_clear() { 1 } else { 61 };
        for at in (0..case.proof.len()).step_by(stride) {
            for flip in [1, 0x80] {
                let mut proof = case.proof.clone();
                proof[at] ^= flip;
                case.expect_rejection(&format!("byte {at} of {}, flipped by {flip}", proof.len()), &proof);
            }
        }
    }
}

#[test]
fn truncated_and_extended_messages_are_rejected() {
    for case in cases() {
        let message = case.message();
        for len in (0..message.len()).step_by(message.len() / 60 + 1) {
            case.expect_rejection("proof cut", &case.proof[..HEADER + len]);
            case.expect_rejection("message cut", &case.with_message(&message[..len]));
            case.expect_rejection(
                "bytes dropped",
                &case.with_message(&[&message[..len], &message[len + 1..]].concat()),
            );
            case.expect_rejection(
                "byte inserted",
                &case.with_message(&[&message[..len], &[0], &message[len..]].concat()),
            );
        }
        case.expect_rejection("byte after the message", &case.with_message(&[message, &[0]].concat()));
        case.expect_rejection("byte after the proof", &[&case.proof[..], &[0]].concat());
    }
}

/// Every way to change the length of a list, or one of its elements.
fn change<T: Clone>(list: &mut Vec<T>, how: usize, alter: impl Fn(&mut T)) -> bool {
    match how {
        0 => list.pop().is_some(),
        1 => list.first().cloned().map(|first| list.push(first)).is_some(),
        2 => !std::mem::take(list).is_empty(),
        3 => list.first_mut().map(&alter).is_some(),
        _ => list.last_mut().map(&alter).is_some(),
    }
}

fn change_sumcheck(data: &mut SumcheckData<F, K>, how: usize) -> bool {
    match how {
        0..5 => change(&mut data.polynomial_evaluations, how, |h| h[0] += K::ONE),
        5 => {
            data.pow_witnesses.push(F::ONE);
            true
        }
        _ => data.polynomial_evaluations.last_mut().map(|h| h[1] += K::ONE).is_some(),
    }
}

type Openings = QueryOpenings<F, K, kernels::MultiProof>;

fn change_openings(openings: &mut Openings, how: usize) -> bool {
    if how == 20 {
        // Rows of the other field.
        *openings = match openings.clone() {
            QueryOpenings::Base(SharedProofOpening { rows, proof }) => {
                let lift = |row: Vec<F>| row.into_iter().map(K::from).collect();
                QueryOpenings::Extension(SharedProofOpening { rows: rows.into_iter().map(lift).collect(), proof })
            }
            QueryOpenings::Extension(SharedProofOpening { rows, proof }) => {
                let flat = |row: Vec<K>| <K as p3_field::BasedVectorSpace<F>>::flatten_to_base(row);
                QueryOpenings::Base(SharedProofOpening { rows: rows.into_iter().map(flat).collect(), proof })
            }
        };
        return true;
    }
    let proof = match openings {
        QueryOpenings::Base(opening) => &mut opening.proof,
        QueryOpenings::Extension(opening) => &mut opening.proof,
    };
    if how >= 10 {
        return how < 15 && change(&mut proof.sibling_hashes, how - 10, |hash| hash[0] ^= 1);
    }
    let within = |how: usize| how - 5;
    match openings {
        QueryOpenings::Base(opening) if how < 5 => change(&mut opening.rows, how, |row| row[0] += F::ONE),
        QueryOpenings::Base(opening) => change(&mut opening.rows[0], within(how), |x| *x += F::ONE),
        QueryOpenings::Extension(opening) if how < 5 => change(&mut opening.rows, how, |row| row[0] += K::ONE),
        QueryOpenings::Extension(opening) => change(&mut opening.rows[0], within(how), |x| *x += K::ONE),
    }
}

fn change_round(proof: &mut Proof, round: usize, how: usize) -> bool {
    let Some(round) = proof.whir.rounds.get_mut(round) else { return false };
    match how {
        0 => round.commitment.take().is_some(),
        1 => {
            round.commitment = Some(vec![[7; 32]].into());
            true
        }
        2 => {
            round.commitment = Some(vec![[7; 32], [8; 32]].into());
            true
        }
        3 => {
            round.commitment = round.commitment.take().map(|cap| vec![cap[0], cap[0]].into());
            true
        }
        4 => {
            round.pow_witness += F::ONE;
            true
        }
        5..10 => change(&mut round.ood_answers, how - 5, |x| *x += K::ONE),
        10..20 => change_sumcheck(&mut round.sumcheck, how - 10),
        _ => change_openings(&mut round.openings, how - 20),
    }
}

fn change_rest(proof: &mut Proof, how: usize) -> bool {
    let whir = &mut proof.whir;
    match how {
        0..5 => change(&mut whir.initial_ood_answers, how, |x| *x += K::ONE),
        5..15 => change_sumcheck(&mut whir.initial_sumcheck, how - 5),
        15..20 => change(&mut whir.rounds, how - 15, |round| round.pow_witness += F::TWO),
        20 => whir.final_poly.take().is_some(),
        21..26 => {
            let mut coefficients = whir.final_poly.take().map(Poly::into_evals).unwrap_or_default();
            let changed = change(&mut coefficients, how - 21, |x| *x += K::ONE);
            // `Poly` itself holds powers of two only.
            let fits = coefficients.len().is_power_of_two();
            whir.final_poly = fits.then(|| Poly::new(coefficients));
            changed
        }
        26 => {
            whir.final_pow_witness += F::ONE;
            true
        }
        27 => whir.final_sumcheck.take().is_some(),
        28..38 => whir.final_sumcheck.as_mut().is_some_and(|data| change_sumcheck(data, how - 28)),
        38..43 => change(&mut proof.evals, how - 38, |eval| {
            *eval = OpeningBatch::new(vec![eval.current()[0] + K::ONE], vec![]);
        }),
        43 => {
            let value = proof.evals[0].current()[0];
            proof.evals[0] = OpeningBatch::new(vec![value, value], vec![]);
            true
        }
        44 => {
            let value = proof.evals[0].current()[0];
            proof.evals[0] = OpeningBatch::new(vec![], vec![value]);
            true
        }
        _ => change_openings(&mut whir.final_openings, how - 45),
    }
}

#[test]
fn every_changed_field_is_rejected() {
    let [case, _] = cases();
    let mut changes = 0;
    let mut attempt = |what: String, apply: &dyn Fn(&mut Proof) -> bool| {
        let mut proof: Proof = postcard::from_bytes(case.message()).unwrap();
        if apply(&mut proof) {
            changes += 1;
            case.expect_rejection(&what, &case.with_message(&postcard::to_allocvec(&proof).unwrap()));
        }
    };
    for how in 0..66 {
        attempt(format!("proof, change {how}"), &|proof| change_rest(proof, how));
        for round in 0..2 {
            attempt(format!("round {round}, change {how}"), &|proof| change_round(proof, round, how));
        }
    }
    assert!(changes > 80, "only {changes} changes applied");
}

#[test]
fn claims_of_another_value_are_rejected_with_a_fitting_message() {
    for case in cases() {
        let mut other = Case { layout: case.layout.clone(), claims: case.claims.clone(), proof: case.proof.clone() };
        other.claims[0].value += k_from_i64(1);
        other.expect_rejection("another value", &case.proof);
        let mut other = Case { layout: case.layout.clone(), claims: case.claims.clone(), proof: case.proof.clone() };
        other.claims[0].point[0] += k_from_i64(1);
        other.expect_rejection("another point", &case.proof);
    }
}
