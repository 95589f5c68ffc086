//! Commit, open, verify: layouts from one cell to some thousands, sent in the clear or opened, alone or two together, and what
//! a false claim gets.
//! Openings are byte for byte those of `p3-whir`'s own prover.

use kernels::{Cpu, Ints};
use p3_field::PrimeCharacteristicRing;
use prover::commitment::{self, commit, open, reference};
use std::sync::LazyLock;
use verifier::commitment::{Claim, Claimed, Joint, Layout, OpeningError, Parameters, verify};
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

/// The shapes of the tensors under one root.
type Shapes = Vec<Vec<usize>>;

/// Tensors under one root, and claims about them.
#[derive(Clone)]
struct Part {
    layout: Layout,
    tensors: Vec<Ints>,
    claims: Vec<Claim>,
    root: [u8; 32],
}

struct Case {
    parts: Vec<Part>,
    proof: Vec<u8>,
}

/// The roots, then for each commitment one claim per tensor, a second one on every other tensor, the first one twice.
fn prove(shapes: &[Shapes]) -> Case {
    let mut transcript = Writer::new("test");
    let commit = |(seed, shapes): (u64, &Shapes)| {
        let layout = Layout::new(shapes);
        let tensors: Vec<_> = (seed..).zip(shapes).map(|(seed, shape)| cells(shape.iter().product(), seed)).collect();
        let committed = commit(&Cpu, &layout, &tensors);
        (Part { layout, tensors, claims: Vec::new(), root: committed.root }, committed)
    };
    let (mut parts, committed): (Vec<_>, Vec<_>) = (7..).step_by(100).zip(shapes).map(commit).unzip();
    parts.iter().for_each(|part| transcript.write_digest(part.root));
    for (part, shapes) in parts.iter_mut().zip(shapes) {
        for (tensor, shape) in shapes.iter().enumerate() {
            for _ in 0..1 + tensor % 2 {
                let point = transcript.challenges(part.layout.point_len(tensor));
                let value = extension(shape, &part.tensors[tensor], &point);
                part.claims.push(Claim { tensor, point, value });
            }
        }
        part.claims.push(part.claims[0].clone());
    }
    let claimed: Vec<_> = parts
        .iter()
        .zip(&committed)
        .map(|(Part { layout, claims, .. }, committed)| commitment::Claimed { committed, layout, claims })
        .collect();
    open(&Cpu, &claimed, TARGET, &mut transcript).unwrap();
    Case { parts, proof: transcript.finish() }
}

/// Draws the points again.
fn replay(parts: &[Part], transcript: &mut impl Transcript) {
    for claim in parts.iter().flat_map(|part| &part.claims[..part.claims.len() - 1]) {
        let _ = transcript.challenges(claim.point.len());
    }
}

/// Verifies the claims as given.
fn check(parts: &[Part], proof: &[u8]) -> Result<(), OpeningError> {
    let mut reader = Reader::new("test", proof);
    let roots = parts.iter().map(|_| reader.read_digest()).collect::<Result<Vec<_>, _>>()?;
    replay(parts, &mut reader);
    let claimed = parts.iter().zip(&roots).map(|(Part { layout, claims, .. }, root)| Claimed { root, layout, claims });
    let claimed: Vec<_> = claimed.collect();
    verify(&claimed, TARGET, &mut reader)?;
    Ok(reader.finish()?)
}

/// Every layout, proved.
fn cases() -> &'static [(Vec<Shapes>, Case)] {
    static CASES: LazyLock<Vec<(Vec<Shapes>, Case)>> = LazyLock::new(|| {
        let prove = |shapes: Vec<Shapes>| {
            let case = prove(&shapes);
            (shapes, case)
        };
        layouts().into_iter().map(prove).collect()
    });
    &CASES
}

fn layouts() -> Vec<Vec<Shapes>> {
    let single = [
        vec![vec![]],
        vec![vec![1]],
        vec![vec![1, 1, 3]],
        vec![vec![5], vec![7, 3], vec![]],
        vec![vec![25, 3], vec![4, 4], vec![2, 3, 5]],
        vec![vec![768, 24], vec![24], vec![3, 3, 3, 3]],
        vec![vec![100, 130], vec![1], vec![17, 5], vec![64, 64]],
        vec![vec![9; 5], vec![1 << 14], vec![2]],
    ];
    let large = || vec![vec![768, 24], vec![24], vec![3, 3, 3, 3], vec![]];
    let [twice, wide] = [vec![vec![129, 256], vec![5, 3], vec![1]], vec![vec![600, 500], vec![7], vec![2, 2, 9]]];
    // One in the clear, of equal size, smaller and larger by one and by many halvings.
    let pairs = [
        vec![vec![vec![25, 3], vec![7]], large()],
        vec![large(), vec![vec![25, 3], vec![7]]],
        vec![large(), vec![vec![100, 130], vec![1], vec![17, 5], vec![64, 64]]],
        vec![large(), twice.clone()],
        vec![twice, large()],
        vec![wide.clone(), large()],
        vec![large(), wide],
    ];
    single.into_iter().map(|shapes| vec![shapes]).chain(pairs).collect()
}

#[test]
fn true_claims_are_accepted() {
    for (shapes, case) in cases() {
        check(&case.parts, &case.proof).unwrap_or_else(|error| panic!("{shapes:?}: {error}"));
    }
}

#[test]
fn commitments_without_claims_are_not_opened() {
    let [first, second] = [vec![vec![768, 24]], vec![vec![100, 200]]];
    let case = prove(&[first, second]);
    let mut transcript = Writer::new("test");
    let committed = commit(&Cpu, &case.parts[1].layout, &case.parts[1].tensors);
    case.parts.iter().for_each(|part| transcript.write_digest(part.root));
    replay(&case.parts, &mut transcript);
    let none = commit(&Cpu, &case.parts[0].layout, &case.parts[0].tensors);
    let Part { layout, claims, .. } = &case.parts[1];
    let claimed = [
        commitment::Claimed { committed: &none, layout: &case.parts[0].layout, claims: &[] },
        commitment::Claimed { committed: &committed, layout, claims },
    ];
    open(&Cpu, &claimed, TARGET, &mut transcript).unwrap();
    let proof = transcript.finish();
    assert!(proof.len() < case.proof.len());

    let mut reader = Reader::new("test", &proof);
    let roots = [reader.read_digest().unwrap(), reader.read_digest().unwrap()];
    replay(&case.parts, &mut reader);
    let claimed = [
        Claimed { root: &roots[0], layout: &case.parts[0].layout, claims: &[] },
        Claimed { root: &roots[1], layout, claims },
    ];
    verify(&claimed, TARGET, &mut reader).unwrap();
    reader.finish().unwrap();
    assert!(check(&case.parts, &proof).is_err(), "a claim on an unopened commitment is accepted");
}

#[test]
fn claims_of_other_values_and_points_are_rejected() {
    for (_, case) in cases() {
        for part in 0..case.parts.len() {
            for index in 0..case.parts[part].claims.len() {
                let mut parts = case.parts.clone();
                let claim = &mut parts[part].claims[index];
                claim.value += K::ONE;
                let false_tensor = claim.tensor;
                let error = check(&parts, &case.proof).unwrap_err();
                assert!(matches!(error, OpeningError::Value { tensor } if tensor == false_tensor), "{error}");

                let mut parts = case.parts.clone();
                if let Some(coordinate) = parts[part].claims[index].point.first_mut() {
                    *coordinate += K::ONE;
                    assert!(check(&parts, &case.proof).is_err(), "another point is accepted");
                }
            }
        }
    }
}

#[test]
fn other_roots_are_rejected() {
    for (shapes, case) in cases() {
        for part in 0..shapes.len() {
            let mut proof = case.proof.clone();
            proof[32 * part + 3] ^= 1;
            assert!(check(&case.parts, &proof).is_err());
            assert_eq!(case.parts[part].root, case.proof[32 * part..][..32]);
        }
        if let [first, second] = case.parts.as_slice() {
            let exchanged = [&second.root, &first.root[..], &case.proof[64..]].concat();
            assert!(check(&case.parts, &exchanged).is_err());
        }
    }
}

#[test]
fn claims_that_do_not_fit_are_refused() {
    let case = prove(&[vec![vec![25, 3], vec![4]]]);
    let mut parts = case.parts.clone();
    parts[0].claims[0].tensor = 2;
    assert!(matches!(check(&parts, &case.proof), Err(OpeningError::NoSuchTensor { tensor: 2, tensors: 2 })));
    let mut parts = case.parts.clone();
    parts[0].claims[1].point.pop();
    assert!(matches!(check(&parts, &case.proof), Err(OpeningError::PointLength { tensor: 1, .. })));
}

/// The cells of the joint polynomial, by its definition.
fn interleave(joint: &Joint, parts: &[&Part]) -> Vec<F> {
    let (columns, width) = (1 << joint.log_columns(), 1 << joint.code().log_width);
    let mut cells = vec![F::ZERO; 1 << joint.num_variables()];
    for (number, (part, place)) in parts.iter().zip(joint.parts()).enumerate() {
        let mut packed = vec![F::ZERO; 1 << part.layout.num_variables()];
        for (index, tensor) in part.tensors.iter().enumerate() {
            part.layout.pack(&mut packed, index, &tensor.to_vec(), from_i64);
        }
        for (row, values) in packed.chunks(columns).enumerate() {
            cells[(row << place.log_stride) * width + number * columns..][..columns].copy_from_slice(values);
        }
    }
    cells
}

#[test]
fn openings_are_byte_for_byte_those_of_p3() {
    let mut pairs = 0;
    for (shapes, case) in cases() {
        let parts: Vec<_> = case.parts.iter().filter(|part| !part.layout.in_the_clear()).collect();
        let Some(joint) = Joint::of(parts.iter().map(|part| &part.layout)) else { continue };
        pairs += usize::from(parts.len() == 2);
        let mut points = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let opening = part.layout.opening(&part.claims).unwrap();
            let packed = opening.points.iter().map(|(block, local)| part.layout.packed_point(*block, local));
            points.extend(packed.map(|point| joint.point(number, &point)));
        }
        let parameters = Parameters::new(&joint, points.len(), TARGET).unwrap();
        let (roots, data) = reference::commit(&interleave(&joint, &parts), &parameters);
        assert_eq!(roots, parts.iter().map(|part| part.root).collect::<Vec<_>>(), "{shapes:?}");

        let mut transcript = Writer::new("test");
        case.parts.iter().for_each(|part| transcript.write_digest(part.root));
        replay(&case.parts, &mut transcript);
        for part in case.parts.iter().filter(|part| part.layout.in_the_clear()) {
            let mut cells = vec![0; part.layout.cells()];
            for (index, tensor) in part.tensors.iter().enumerate() {
                part.layout.pack(&mut cells, index, &tensor.to_vec(), |x| x);
            }
            transcript.write_message(&verifier::commitment::clear::encode(&cells));
        }
        let message = reference::open(data, &parameters, &points, &mut transcript);
        transcript.write_message(&message);
        assert!(transcript.finish() == case.proof, "{shapes:?}");
    }
    assert_eq!(pairs, 5);
}

#[test]
fn every_size_has_parameters_at_both_targets() {
    let sizes = (15..=30).flat_map(|n| [vec![n], vec![n, n], vec![15, n]]);
    for joint in sizes.map(|sizes| Joint::new(&sizes)) {
        for target in [102, 136] {
            let parameters = Parameters::new(&joint, 200, target).unwrap();
            assert!(parameters.bits() >= f64::from(target));
        }
    }
    assert!(Parameters::new(&Joint::new(&[]), 1, 130).is_err());
    assert!(Parameters::new(&Joint::new(&[15, 16, 17]), 1, 130).is_err());
    assert!(Parameters::new(&Joint::new(&[62]), 1, 130).is_err());
    assert!(Parameters::new(&Joint::new(&[15]), 1, 190).is_err());
}

#[test]
fn the_bytes_of_an_opening_are_known() {
    // Another digest means another proof format: give it a new protocol version.
    let digest = |shapes: &[Shapes]| {
        let digest = verifier::commitment::clear::digest(&prove(shapes).proof);
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let shapes = vec![vec![100, 130], vec![1], vec![17, 5], vec![64, 64]];
    assert_eq!(
        digest(std::slice::from_ref(&shapes)),
        "833e77c6930e4453bdcc67a3360a5ca626c70edac2f5b202c5242539bcfd82c9"
    );
    assert_eq!(
        digest(&[shapes, vec![vec![768, 70]]]),
        "99c9b30324c30644faadb2cc2bc8a04f15b9d88b24463214249b4c57f7bf1f0c"
    );
}
