//! Commit, open, verify: layouts from one cell to some thousands, sent in the clear or opened, and what a false claim gets.
//! Openings are byte for byte those of `p3-whir`'s own prover.

use kernels::{Cpu, Ints};
use p3_field::PrimeCharacteristicRing;
use prover::commitment::{commit, open, reference};
use verifier::commitment::{Claim, Layout, OpeningError, Parameters, verify};
use verifier::field::{F, K, from_i64, k_from_i64};
use verifier::transcript::{Reader, Transcript, Writer};

const TARGET: u32 = 130;

/// The definition: `sum_i prod_a eq(r_a, bits(i_a)) T[i]`.
fn extension(shape: &[usize], cells: &Ints, point: &[K]) -> K {
    let variables: Vec<usize> = shape.iter().map(|&d| d.next_power_of_two().ilog2() as usize).collect();
    let mut sum = K::ZERO;
    for index in 0..cells.len() {
        let (mut rest, mut end, mut weight) = (index, point.len(), K::ONE);
        for (&d, &n) in shape.iter().zip(&variables).rev() {
            let coordinate = rest % d;
            rest /= d;
            for (bit, &x) in point[end - n..end].iter().rev().enumerate() {
                weight *= if coordinate >> bit & 1 == 1 { x } else { K::ONE - x };
            }
            end -= n;
        }
        sum += weight * k_from_i64(cells.get(index));
    }
    sum
}

/// Deterministic cells of a few bits, some larger.
fn cells(count: usize, seed: u64) -> Ints {
    let mut state = seed | 1;
    let values = (0..count).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        if state >> 58 == 0 { (state >> 20) as i64 % 100_000 } else { (state >> 33) as i64 % 256 - 128 }
    });
    Ints::from(values.collect::<Vec<_>>())
}

struct Case {
    layout: Layout,
    tensors: Vec<Ints>,
    claims: Vec<Claim>,
    proof: Vec<u8>,
    root: [u8; 32],
}

/// One claim per tensor, a second one on every other tensor, the first one twice.
fn prove(shapes: &[Vec<usize>]) -> Case {
    let layout = Layout::new(shapes);
    let tensors: Vec<_> =
        shapes.iter().enumerate().map(|(i, shape)| cells(shape.iter().product(), 7 + i as u64)).collect();
    let committed = commit(&Cpu, &layout, &tensors);
    let mut transcript = Writer::new("test");
    transcript.write_digest(committed.root);
    let mut claims = Vec::new();
    for (tensor, shape) in shapes.iter().enumerate() {
        for _ in 0..1 + tensor % 2 {
            let point = transcript.challenges(layout.point_len(tensor));
            let value = extension(shape, &tensors[tensor], &point);
            claims.push(Claim { tensor, point, value });
        }
    }
    claims.push(claims[0].clone());
    open(&Cpu, &committed, &layout, &claims, TARGET, &mut transcript).unwrap();
    Case { layout, tensors, claims, proof: transcript.finish(), root: committed.root }
}

/// Verifies with the claims' values as given.
fn check(case: &Case, claims: &[Claim], proof: &[u8]) -> Result<(), OpeningError> {
    let mut reader = Reader::new("test", proof);
    let root = reader.read_digest()?;
    for claim in &claims[..claims.len() - 1] {
        let _ = reader.challenges(claim.point.len());
    }
    verify(&root, &case.layout, claims, TARGET, &mut reader)?;
    Ok(reader.finish()?)
}

fn layouts() -> Vec<Vec<Vec<usize>>> {
    vec![
        vec![vec![]],
        vec![vec![1]],
        vec![vec![1, 1, 3]],
        vec![vec![5], vec![7, 3], vec![]],
        vec![vec![25, 3], vec![4, 4], vec![2, 3, 5]],
        vec![vec![768, 24], vec![24], vec![3, 3, 3, 3]],
        vec![vec![100, 130], vec![1], vec![17, 5], vec![64, 64]],
        vec![vec![9; 5], vec![1 << 14], vec![2]],
    ]
}

#[test]
fn true_claims_are_accepted() {
    for shapes in layouts() {
        let case = prove(&shapes);
        check(&case, &case.claims, &case.proof).unwrap_or_else(|error| panic!("{shapes:?}: {error}"));
        assert_eq!(case.tensors.len(), shapes.len());
    }
}

#[test]
fn false_values_are_rejected() {
    for shapes in layouts() {
        let case = prove(&shapes);
        for index in 0..case.claims.len() {
            let mut claims = case.claims.clone();
            claims[index].value += K::ONE;
            let error = check(&case, &claims, &case.proof).unwrap_err();
            assert!(matches!(error, OpeningError::Value { tensor } if tensor == claims[index].tensor), "{error}");
        }
    }
}

#[test]
fn another_root_is_rejected() {
    for shapes in layouts() {
        let case = prove(&shapes);
        let mut proof = case.proof.clone();
        proof[3] ^= 1;
        assert!(check(&case, &case.claims, &proof).is_err());
        assert_eq!(case.root, case.proof[..32]);
    }
}

#[test]
fn claims_that_do_not_fit_are_refused() {
    let case = prove(&[vec![25, 3], vec![4]]);
    let mut claims = case.claims.clone();
    claims[0].tensor = 2;
    assert!(matches!(check(&case, &claims, &case.proof), Err(OpeningError::NoSuchTensor { tensor: 2, tensors: 2 })));
    let mut claims = case.claims.clone();
    claims[1].point.pop();
    assert!(matches!(check(&case, &claims, &case.proof), Err(OpeningError::PointLength { tensor: 1, .. })));
}

#[test]
fn openings_are_byte_for_byte_those_of_p3() {
    for shapes in layouts() {
        let case = prove(&shapes);
        if case.layout.in_the_clear() {
            continue;
        }
        let opening = case.layout.opening(&case.claims).unwrap();
        let parameters = Parameters::new(case.layout.num_variables(), opening.points.len(), TARGET).unwrap();
        let points: Vec<_> =
            opening.points.iter().map(|(block, local)| case.layout.packed_point(*block, local)).collect();
        let mut packed = vec![F::ZERO; 1 << case.layout.num_variables()];
        for (index, tensor) in case.tensors.iter().enumerate() {
            case.layout.pack(&mut packed, index, &tensor.to_vec(), from_i64);
        }
        let (root, data) = reference::commit(&packed, &parameters);
        let mut transcript = Writer::new("test");
        transcript.write_digest(root);
        for claim in &case.claims[..case.claims.len() - 1] {
            let _ = transcript.challenges(claim.point.len());
        }
        let message = reference::open(data, &parameters, &points, &mut transcript);
        transcript.write_message(&message);
        assert!(transcript.finish() == case.proof, "{shapes:?}");
    }
}

#[test]
fn every_size_has_parameters_at_both_targets() {
    for num_variables in 15..=30 {
        for target in [102, 136] {
            let parameters = Parameters::new(num_variables, 200, target).unwrap();
            assert!(parameters.bits() >= f64::from(target));
        }
    }
    assert!(Parameters::new(62, 1, 130).is_err());
    assert!(Parameters::new(15, 1, 190).is_err());
}

#[test]
fn the_bytes_of_an_opening_are_known() {
    // Another digest means another proof format: give it a new protocol version.
    let case = prove(&[vec![100, 130], vec![1], vec![17, 5], vec![64, 64]]);
    let digest = verifier::commitment::clear::digest(&case.proof);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "e1c1a4d3dabf0aa60b44371f8c33670f16544d1e9713e1001ca80a7835e63639");
}
