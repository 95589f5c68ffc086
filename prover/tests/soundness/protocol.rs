//! Provers that depart from the protocol itself, written out plainly, with a place for the lie: leaves of the lookup argument
//! that are not what was committed, fractions without a value, terms that only add up.

use crate::common::attempt::{Attempt, assemble, edit};
use crate::common::nets::{plain, two_terms};
use crate::common::verdict::verify;
use kernels::{Cpu, Ints};
use p3_field::{Field, PrimeCharacteristicRing};
use prover::commitment::{Claimed, commit, open};
use verifier::argument::ledger::Ledger;
use verifier::argument::logup::{DEGREE, Fraction, LeafClaim, combine};
use verifier::argument::lookup::{Challenges, Columns, enter_columns, lookup_of, tag};
use verifier::argument::subgraph::{DOMAIN, begin};
use verifier::commitment::Layout;
use verifier::field::{K, k_from_i64};
use verifier::graph::TensorId;
use verifier::multilinear::{eq_table, evaluate};
use verifier::transcript::{Transcript, Writer};
use verifier::{opening_target, placed};

/// Sumcheck over arrays of `2^n` elements; returns the point and the arrays' values there.
fn sumcheck(
    transcript: &mut Writer,
    mut arrays: Vec<Vec<K>>,
    degree: usize,
    summand: impl Fn(&[K]) -> K,
) -> (Vec<K>, Vec<K>) {
    let mut point = Vec::new();
    while arrays[0].len() > 1 {
        let bound = |x: K| -> Vec<Vec<K>> {
            arrays.iter().map(|a| a.chunks(2).map(|pair| pair[0] + x * (pair[1] - pair[0])).collect()).collect()
        };
        for x in (0..=degree).filter(|&x| x != 1) {
            let at = bound(K::from_usize(x));
            let row = |i: usize| at.iter().map(|array| array[i]).collect::<Vec<K>>();
            transcript.write((0..at[0].len()).map(|i| summand(&row(i))).sum());
        }
        let r = transcript.challenge();
        arrays = bound(r);
        point.push(r);
    }
    point.reverse();
    (point, arrays.into_iter().map(|array| array[0]).collect())
}

/// The fractional sum over trees of `2^n` leaves.
fn fractional_sum(transcript: &mut Writer, trees: &[Vec<Fraction>]) -> Vec<LeafClaim> {
    let layers: Vec<Vec<Vec<Fraction>>> = trees
        .iter()
        .map(|leaves| {
            let above = |below: &Vec<Fraction>| {
                (below.len() > 1).then(|| below.chunks(2).map(|pair| pair[0] + pair[1]).collect())
            };
            let mut layers: Vec<_> = std::iter::successors(Some(leaves.clone()), above).collect();
            layers.reverse();
            layers
        })
        .collect();
    let mut claims: Vec<LeafClaim> =
        layers.iter().map(|layers| LeafClaim { point: Vec::new(), leaf: layers[0][0] }).collect();
    claims.iter().for_each(|claim| transcript.write_all(&[claim.leaf.p, claim.leaf.q]));
    let mut point = Vec::new();
    for depth in 1.. {
        let active: Vec<usize> = (0..trees.len()).filter(|&i| layers[i].len() > depth).collect();
        if active.is_empty() {
            break;
        }
        let c = transcript.challenge();
        let mut arrays = vec![eq_table(&point, 1 << (depth - 1))];
        for &i in &active {
            let part = |from: usize, part: fn(&Fraction) -> K| layers[i][depth].iter().skip(from).step_by(2).map(part);
            arrays.extend([part(0, |f| f.p).collect(), part(0, |f| f.q).collect()]);
            arrays.extend([part(1, |f| f.p).collect(), part(1, |f| f.q).collect()]);
        }
        let pairs = |row: &[K]| -> Vec<[Fraction; 2]> {
            let fraction = |p: K, q: K| Fraction { p, q };
            row[1..].chunks(4).map(|h| [fraction(h[0], h[1]), fraction(h[2], h[3])]).collect()
        };
        let summand = |row: &[K]| row[0] * combine(pairs(row).into_iter().map(|[even, odd]| even + odd), c);
        let (reduced, ends) = sumcheck(transcript, arrays, DEGREE, summand);
        transcript.write_all(&ends[1..]);
        let last = transcript.challenge();
        point = reduced;
        point.push(last);
        for (&i, [even, odd]) in active.iter().zip(pairs(&ends)) {
            let leaf = Fraction { p: even.p + last * (odd.p - even.p), q: even.q + last * (odd.q - even.q) };
            claims[i] = LeafClaim { point: point.clone(), leaf };
        }
    }
    claims
}

/// A proof of the network `plain` in which the leaves, one vector for the lookup and one for the tables, are made as committed
/// and then changed. The first lie is about what is committed.
fn forged(commit_lie: impl Fn(&mut Attempt), leaf_lie: impl Fn(&mut [Vec<Fraction>], &Challenges)) -> String {
    let mut attempt = Attempt::of(&plain(), &[]);
    commit_lie(&mut attempt);
    let (key, values, witness) = (&attempt.key, &attempt.values[0], &attempt.witnesses[0]);
    let (graph, plan) = (key.graph(), &key.plan().subgraphs[0]);
    let (lookup_plan, columns) = (&plan.lookups[0], &witness.lookups[0]);
    let lookup = lookup_of(graph, lookup_plan).unwrap();
    let output = values[lookup.output.unwrap().index()].as_ref().unwrap();

    let mut transcript = Writer::new(DOMAIN);
    begin(&mut transcript, key, attempt.statement.digest(key), None, 0);
    let layout = Layout::new(&plan.column_shapes);
    let committed = commit(&Cpu, &layout, &witness.columns(&Cpu, plan, values));
    transcript.write_digest(committed.root);

    let challenges = Challenges::draw(&mut transcript);
    let denominator = |table: usize, row: Vec<i64>| {
        let entries: Vec<K> = row.into_iter().map(k_from_i64).collect();
        challenges.denominator(tag(table), &entries, K::ONE)
    };
    let mut trees = vec![Vec::new()];
    for leaf in columns.leaves(&Cpu, lookup, lookup_plan, Some(output)) {
        let row = |i| leaf.entries.iter().map(|column| column.get(i)).collect();
        trees[0].extend((0..output.len()).map(|i| Fraction { p: K::ONE, q: denominator(leaf.table, row(i)) }));
    }
    let rows = plan.segments().into_iter().flat_map(|segment| {
        let (table, multiplicities) = (&plan.tables[segment.table], &witness.multiplicities[segment.table]);
        let rows = segment.kind << segment.width..(segment.kind + 1) << segment.width;
        rows.map(move |row| (segment.table, table.row(row, 0), multiplicities.get(row)))
    });
    trees.push(rows.map(|(table, row, m)| Fraction { p: -k_from_i64(m), q: denominator(table, row) }).collect());
    leaf_lie(&mut trees, &challenges);
    let leaves = fractional_sum(&mut transcript, &trees);

    let mut ledger = Ledger::new(graph, plan);
    let (shape, point) = (&graph.tensor(lookup.input).shape, &leaves[0].point[1..]);
    let at = |columns: &[Ints]| columns.iter().map(|c| evaluate(shape, &c.to_vec(), point)).collect::<Vec<K>>();
    let columns = Columns {
        output: Some(evaluate(shape, &output.to_vec(), point)),
        remainder: at(&columns.remainder),
        value: at(&columns.value),
        edges: at(&columns.edges),
        excess: at(&columns.excess),
    };
    for part in [columns.output.as_slice(), &columns.remainder, &columns.value, &columns.edges, &columns.excess] {
        transcript.write_all(part);
    }
    enter_columns(lookup_plan, lookup, &columns, point, &mut ledger).unwrap();
    let tables = leaves.into_iter().nth(1).unwrap();
    ledger.column(plan.multiplicities(), tables.point, -tables.leaf.p).unwrap();
    let claimed = Claimed { committed: &committed, layout: &layout, claims: &placed(&ledger.witness) };
    open(&Cpu, &[claimed], opening_target(key), &mut transcript).unwrap();
    let proof = assemble(key, &attempt.statement, &attempt.boundary(), vec![transcript.finish()]);
    verify(key, &proof).map_or_else(|e| e.to_string(), |_| "accepted".into())
}

fn honest(_: &mut Attempt) {}

/// The remainder of element 0 is 64 more, the output one less: a row that is in no table.
fn overlapping(attempt: &mut Attempt) {
    edit(&mut attempt.witnesses[0].lookups[0].remainder[0], 0, |r| r + 64);
    let output = attempt.statement.inferences[0].outputs[0][0] - 1;
    attempt.set(0, TensorId(1), 0, output);
    attempt.statement.inferences[0].outputs[0][0] = output;
    attempt.count(0);
}

#[test]
fn the_protocol_as_written_out_here_is_the_protocol() {
    assert_eq!(forged(honest, |_, _| ()), "accepted");
    let sum = "subgraph 0: the lookup argument: the sum of all lookups does not hold";
    assert_eq!(forged(overlapping, |_, _| ()), sum);
}

#[test]
fn lookups_that_are_left_out_are_missed() {
    // No numerators at all: their sum is zero whatever the rows.
    let omitted = |trees: &mut [Vec<Fraction>], _: &Challenges| {
        trees.iter_mut().flatten().for_each(|leaf| leaf.p = K::ZERO);
    };
    let expected = "subgraph 0: lookups like 'lookup': one lookup for every limb does not hold";
    assert_eq!(forged(overlapping, omitted), expected);
    // Only the row that is in no table.
    assert_eq!(forged(overlapping, |trees, _| trees[0][0].p = K::ZERO), expected);
}

#[test]
fn a_lookup_made_twice_is_noticed() {
    // Element 0 twice, element 1 never: counted as it is made.
    let twice = |trees: &mut [Vec<Fraction>], _: &Challenges| {
        for (element, delta) in [(0, K::ONE), (1, -K::ONE)] {
            trees[0][element].p += delta;
            let q = trees[0][element].q;
            let row = trees[1..].iter_mut().flatten().find(|row| row.q == q).unwrap();
            row.p -= delta;
        }
    };
    let expected = "subgraph 0: lookups like 'lookup': one lookup for every limb does not hold";
    assert_eq!(forged(honest, twice), expected);
}

#[test]
fn rows_looked_up_are_the_committed_ones() {
    // The row in no table is replaced by one that is counted in its place.
    let replaced = |trees: &mut [Vec<Fraction>], _: &Challenges| {
        let (lookups, tables) = trees.split_at_mut(1);
        lookups[0][0].q = tables[0][7].q;
        tables[0][7].p -= K::ONE;
    };
    assert_eq!(forged(overlapping, replaced), "subgraph 0: lookups like 'lookup': the rows looked up does not hold");
}

#[test]
fn the_rows_of_a_table_are_the_plans() {
    // The row in no table is put into it.
    let extended = |trees: &mut [Vec<Fraction>], _: &Challenges| {
        let q = trees[0][0].q;
        trees[1][63] = Fraction { p: trees[1][63].p - K::ONE, q };
    };
    let mut attempt = Attempt::of(&plain(), &[]);
    overlapping(&mut attempt);
    assert_eq!(attempt.witnesses[0].multiplicities[0].get(63), 0, "row 63 is free for the lie");
    assert_eq!(forged(overlapping, extended), "subgraph 0: the tables: their rows does not hold");
}

#[test]
fn multiplicities_are_fixed_before_the_challenge() {
    // Numerators that make up for the row in no table, chosen when the denominators are known.
    let solved = |trees: &mut [Vec<Fraction>], _: &Challenges| {
        let total: Fraction = trees.iter().flatten().copied().reduce(|a, b| a + b).unwrap();
        let rest = total.p * (K::ONE + total.q).inverse();
        let row = &mut trees[1][0];
        row.p -= rest * (K::ONE + row.q);
    };
    let column = Attempt::of(&plain(), &[]).key.plan().subgraphs[0].multiplicities();
    let expected = format!("subgraph 0: the claimed value of tensor {column} is not the opened one");
    assert_eq!(forged(overlapping, solved), expected);
}

#[test]
fn a_denominator_of_zero_is_refused() {
    // 0/0 absorbs whatever it is added to.
    let expected = "subgraph 0: the lookup argument: every denominator is non-zero does not hold";
    for place in [0, 1] {
        let absorbed = |trees: &mut [Vec<Fraction>], _: &Challenges| {
            trees[place][0] = Fraction { p: K::ZERO, q: -K::ONE };
        };
        assert_eq!(forged(overlapping, absorbed), expected);
    }
}

#[test]
fn terms_that_only_add_up_are_rejected() {
    // 2 (v_0 + 3 d) - 3 (v_1 + 2 d) = 2 v_0 - 3 v_1
    for d in [0, 1] {
        let attempt = Attempt::of(&two_terms(), &[]);
        let (key, values) = (&attempt.key, &attempt.values[0]);
        let get = |t: usize| values[t].as_ref().unwrap().to_vec();
        let mut transcript = Writer::new(DOMAIN);
        begin(&mut transcript, key, attempt.statement.digest(key), None, 0);
        let point = transcript.challenges(2);
        transcript.write(evaluate(&[4], &get(3), &point));
        // The weights bound at the point, padded as the axis of 3 is.
        let bound = |t: usize| -> Vec<K> {
            let rows = get(t);
            rows.chunks(4).map(|row| evaluate(&[4], row, &point)).chain([K::ZERO]).collect()
        };
        let x: Vec<K> = get(0).into_iter().chain([0]).map(k_from_i64).collect();
        let product = |w: &[K]| x.iter().zip(w).map(|(&x, &w)| x * w).sum::<K>();
        transcript.write(product(&bound(1)) + K::from_usize(3 * d));
        transcript.write(product(&bound(2)) + K::from_usize(2 * d));
        let mut claims = Vec::new();
        for (place, tensor) in [1, 2].into_iter().enumerate() {
            let (a, ends) = sumcheck(&mut transcript, vec![x.clone(), bound(tensor)], 2, |row| row[0] * row[1]);
            transcript.write_all(&ends);
            let point = a.into_iter().chain(point.iter().copied()).collect();
            claims.push(verifier::commitment::Claim { tensor: place, point, value: ends[1] });
        }
        let layout = verifier::weight_layout(key, 0);
        let committed = commit(&Cpu, &layout, &[Ints::from(get(1)), Ints::from(get(2))]);
        let claimed = Claimed { committed: &committed, layout: &layout, claims: &claims };
        open(&Cpu, &[claimed], opening_target(key), &mut transcript).unwrap();
        let proof = assemble(key, &attempt.statement, &attempt.boundary(), vec![transcript.finish()]);
        match (d, verify(key, &proof)) {
            (0, result) => drop(result.unwrap()),
            (_, result) => assert_eq!(
                result.unwrap_err().to_string(),
                "subgraph 0: einsum 'einsum3': the product of the operands does not hold"
            ),
        }
    }
}
