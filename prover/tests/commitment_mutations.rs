//! No changed opening is accepted, and none makes a verifier panic: every byte region, every list, every value, in the clear,
//! of one commitment and of two, of a subgraph and of the boundary.

mod common;

use common::nets::{large, layers, wide};
use common::verdict::Keys;
use common::{Job, run};
use p3_field::PrimeCharacteristicRing;
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::{OpeningBatch, SumcheckData};
use p3_whir::{QueryOpenings, SharedProofOpening};
use verifier::argument::subgraph::{self, DOMAIN, begin};
use verifier::commitment::{Layout, Proof as Opening};
use verifier::field::{F, K};
use verifier::proof::Proof;
use verifier::transcript::Reader;

/// Distance of the bytes that are flipped in a large message.
const STRIDE: usize = 127;
/// Bytes that tell a message's length.
const LENGTH: usize = 4;

/// A proof whose last message is an opening.
struct Case {
    name: &'static str,
    keys: Keys,
    proof: Proof,
    message: Vec<u8>,
}

impl Case {
    /// The opening of a job's one subgraph.
    fn of_subgraph(name: &'static str, job: &Job) -> Self {
        let proof = Proof::from_bytes(&job.proof).unwrap();
        let mut reader = Reader::new(DOMAIN, &proof.subgraphs[0]);
        begin(&mut reader, &job.key, proof.statement.digest(&job.key), None, 0);
        reader.read_digest().unwrap();
        subgraph::verify(&mut reader, &job.key, 0).unwrap();
        let mut messages = std::iter::from_fn(|| reader.read_message().ok().map(<[u8]>::to_vec));
        let message = messages.by_ref().last().unwrap();
        Self { name, keys: Keys::of(job), proof, message }
    }

    /// The opening of a job's boundary.
    fn of_boundary(name: &'static str, job: &Job) -> Self {
        let proof = Proof::from_bytes(&job.proof).unwrap();
        let message = proof.opening[LENGTH..].to_vec();
        Self { name, keys: Keys::of(job), proof, message }
    }

    /// The proof with other bytes at the end of the part that holds the message.
    fn with_end(&self, end: &[u8]) -> Vec<u8> {
        let mut proof = self.proof.clone();
        let part = if proof.opening.is_empty() { &mut proof.subgraphs[0] } else { &mut proof.opening };
        part.truncate(part.len() - LENGTH - self.message.len());
        part.extend_from_slice(end);
        proof.to_bytes()
    }

    fn with_message(&self, message: &[u8]) -> Vec<u8> {
        self.with_end(&[&(message.len() as u32).to_le_bytes(), message].concat())
    }

    fn refuse(&self, what: &str, proof: &[u8]) {
        self.keys.refuse(proof, || format!("{}: {what}", self.name));
    }
}

fn cases() -> [Case; 4] {
    let [small, one, two, cut] = [run(&layers(), &[]), run(&wide(), &[]), run(&large(), &[]), run(&large(), &[1])];
    let in_the_clear = |job: &Job| {
        let plan = &job.key.plan().subgraphs[0];
        [verifier::weight_layout(&job.key, 0), Layout::new(&plan.column_shapes)].map(|layout| layout.in_the_clear())
    };
    assert_eq!([&small, &one, &two].map(in_the_clear), [[true, true], [false, true], [false, false]]);
    assert!(!verifier::boundary_layout(&cut.key).in_the_clear());
    [
        Case::of_subgraph("in the clear", &small),
        Case::of_subgraph("weights and, in the clear, witness", &one),
        Case::of_subgraph("weights and witness together", &two),
        Case::of_boundary("boundary", &cut),
    ]
}

#[test]
fn altered_bytes_are_rejected() {
    for case in cases() {
        assert_eq!(case.with_message(&case.message), case.proof.to_bytes());
        // A stride that shares no factor with the words and rows, so that it meets all their bytes.
        let stride = if case.message.len() < 1 << 12 { 1 } else { STRIDE };
        for (count, at) in (0..case.message.len()).step_by(stride).enumerate() {
            let flip = [1, 0x80][count % 2];
            let mut message = case.message.clone();
            message[at] ^= flip;
            case.refuse(&format!("byte {at} flipped by {flip}"), &case.with_message(&message));
        }
    }
}

#[test]
fn truncated_and_extended_messages_are_rejected() {
    for case in cases() {
        let message = case.message.as_slice();
        let length = (message.len() as u32).to_le_bytes();
        for len in (0..message.len()).step_by(message.len() / 60 + 1) {
            case.refuse("proof cut", &case.with_end(&[&length, &message[..len]].concat()));
            case.refuse("message cut", &case.with_message(&message[..len]));
            case.refuse("bytes dropped", &case.with_message(&[&message[..len], &message[len + 1..]].concat()));
            case.refuse("byte inserted", &case.with_message(&[&message[..len], &[0], &message[len..]].concat()));
        }
        case.refuse("byte after the message", &case.with_message(&[message, &[0]].concat()));
        case.refuse("byte after the proof", &case.with_end(&[&length, message, &[0]].concat()));
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

type Openings = QueryOpenings<F, K, Vec<kernels::MultiProof>>;

fn change_openings(openings: &mut Openings, how: usize) -> bool {
    if how == 30 {
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
        let (tree, how) = ((how - 10) / 5, (how - 10) % 5);
        return match proof.get_mut(tree) {
            Some(proof) => change(&mut proof.sibling_hashes, how, |hash| hash[0] ^= 1),
            // Another number of trees.
            None if how == 0 => proof.pop().is_some(),
            None if how == 1 => proof.first().cloned().map(|first| proof.push(first)).is_some(),
            None => false,
        };
    }
    let within = |how: usize| how - 5;
    match openings {
        QueryOpenings::Base(opening) if how < 5 => change(&mut opening.rows, how, |row| row[0] += F::ONE),
        QueryOpenings::Base(opening) => change(&mut opening.rows[0], within(how), |x| *x += F::ONE),
        QueryOpenings::Extension(opening) if how < 5 => change(&mut opening.rows, how, |row| row[0] += K::ONE),
        QueryOpenings::Extension(opening) => change(&mut opening.rows[0], within(how), |x| *x += K::ONE),
    }
}

fn change_round(proof: &mut Opening, round: usize, how: usize) -> bool {
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

fn change_rest(proof: &mut Opening, how: usize) -> bool {
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
    for case in &cases()[1..] {
        every_changed_field_of(case);
    }
}

fn every_changed_field_of(case: &Case) {
    let mut changes = 0;
    let mut attempt = |what: String, apply: &dyn Fn(&mut Opening) -> bool| {
        let mut opening: Opening = postcard::from_bytes(&case.message).unwrap();
        if apply(&mut opening) {
            changes += 1;
            case.refuse(&what, &case.with_message(&postcard::to_allocvec(&opening).unwrap()));
        }
    };
    for how in 0..76 {
        attempt(format!("proof, change {how}"), &|proof| change_rest(proof, how));
        for round in 0..2 {
            attempt(format!("round {round}, change {how}"), &|proof| change_round(proof, round, how));
        }
    }
    assert!(changes > 80, "only {changes} changes applied");
}
