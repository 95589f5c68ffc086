//! Lies about lookups: rounding, quotient, saturation, function, limbs, multiplicities.

use crate::common::Lie;
use crate::common::attempt::{Attempt, edit};
use crate::common::nets::{functions, requantised};
use kernels::Ints;
use prover::LookupColumns;
use verifier::graph::TensorId;

const Y: TensorId = TensorId(3);
const SUM: &str = "subgraph 0: the lookup argument: the sum of all lookups does not hold";

/// The network `requantised` with the columns of one element as given, the output made to fit, and rows counted anew.
fn columns(element: usize, output: i64, lie: impl Fn(&mut LookupColumns)) -> Attempt {
    let mut attempt = Attempt::of(&requantised(), &[]);
    lie(&mut attempt.witnesses[0].lookups[0]);
    attempt.set(0, Y, element, output);
    attempt.statement.inferences[0].outputs[0][element] = output;
    attempt.count(0);
    attempt
}

fn put(column: &mut Ints, element: usize, value: i64) {
    edit(column, element, |_| value);
}

#[test]
fn the_honest_prover_is_accepted() {
    columns(0, 14, |_| ()).accepted();
    Attempt::of(&functions(), &[]).accepted();
}

#[test]
fn a_wrong_quotient_is_rejected() {
    for delta in [-1, 1, 5] {
        for element in [0, 3, 4] {
            let attempt = Attempt::lying(&requantised(), &[], Lie { tensor: Y, element, delta });
            attempt.rejected("subgraph 0: einsum 'einsum2': the product of the operands does not hold");
        }
    }
}

#[test]
fn a_quotient_compensated_by_the_remainder_is_rejected() {
    // 7000 + 256 = 88 + 512 * 14 = (88 + 512) + 512 * 13: the top limb of the remainder has 3 bits.
    columns(0, 13, |c| edit(&mut c.remainder[1], 0, |r| r + 8)).rejected(SUM);
    columns(0, 15, |c| edit(&mut c.remainder[1], 0, |r| r - 8)).rejected(SUM);
}

#[test]
fn limbs_that_overlap_are_rejected() {
    columns(0, 14, |c| {
        edit(&mut c.remainder[0], 0, |r| r + 64);
        edit(&mut c.remainder[1], 0, |r| r - 1);
    })
    .rejected(SUM);
    // The lowest limb of the value is implied: 14 + 128 = 14 + 64 * 2 = 78 + 64 * 1.
    columns(0, 14, |c| edit(&mut c.value[0], 0, |v| v - 1)).rejected(SUM);
}

#[test]
fn a_limb_without_a_column_is_what_the_input_leaves() {
    for delta in [-1, 1] {
        columns(0, 14, |c| edit(&mut c.remainder[0], 0, |r| r + delta))
            .rejected("subgraph 0: einsum 'einsum2': the product of the operands does not hold");
    }
}

/// Element 0, 14 in truth, clamped to `end` by the excess `14 - end`, whatever its edges are said to be.
fn clamped(end: i64, edge: i64) -> Attempt {
    columns(0, end, |c| {
        put(&mut c.value[0], 0, if end > 0 { 3 } else { 0 });
        c.edges.iter_mut().for_each(|e| put(e, 0, edge));
        put(&mut c.excess[0], 0, (14 - end) % 64);
        put(&mut c.excess[1], 0, (14 - end) / 64);
    })
}

#[test]
fn excess_inside_the_domain_is_rejected() {
    // The sign is wrong, at either end; so is the edge, or the edges are right.
    for end in [127, -128] {
        for edge in [-1, 0, 1] {
            clamped(end, edge).rejected(SUM);
        }
    }
}

#[test]
fn excess_of_both_signs_is_rejected() {
    // round(1000000 / 512) - 127 = 1826 = 28 * 64 + 34 = 29 * 64 - 30.
    columns(1, 127, |c| {
        edit(&mut c.excess[0], 1, |e| e - 64);
        edit(&mut c.excess[1], 1, |e| e + 1);
    })
    .rejected(SUM);
}

#[test]
fn a_value_that_is_not_clamped_is_rejected() {
    // round(1000000 / 512) = 1953 = 127 + 1826, in the limbs of the value and not of the excess.
    let place = 1953 + 128;
    columns(1, 1953, |c| {
        put(&mut c.value[0], 1, place / 64);
        put(&mut c.edges[0], 1, 0);
        put(&mut c.edges[1], 1, 0);
        c.excess.iter_mut().for_each(|e| put(e, 1, 0));
    })
    .rejected(SUM);
    // A part of the excess stays in the value.
    columns(1, 128, |c| edit(&mut c.excess[0], 1, |e| e - 1)).rejected(SUM);
}

#[test]
fn saturation_short_of_the_end_is_rejected() {
    // 126 and one more excess: the value is not full.
    for edges in [[0, 1], [1, 1]] {
        columns(1, 126, |c| {
            edit(&mut c.excess[0], 1, |e| e + 1);
            put(&mut c.edges[0], 1, edges[0]);
            put(&mut c.edges[1], 1, edges[1]);
        })
        .rejected(SUM);
    }
}

#[test]
fn a_wrong_edge_is_rejected() {
    for edge in 0..2 {
        for value in [-1, 1, 2] {
            columns(0, 14, |c| put(&mut c.edges[edge], 0, value)).rejected(SUM);
        }
    }
}

#[test]
fn a_wrong_function_value_is_rejected() {
    for (tensor, element) in [(TensorId(4), 0), (TensorId(4), 3), (TensorId(5), 5)] {
        Attempt::lying(&functions(), &[], Lie { tensor, element, delta: 1 }).rejected(SUM);
    }
}

#[test]
fn a_function_value_of_another_place_is_rejected() {
    // f(3) = 121 looked up at the place of f(2) = 100: the input does not fit.
    let mut attempt = Attempt::of(&functions(), &[]);
    edit(&mut attempt.witnesses[0].lookups[0].value[0], 0, |v| v - 1);
    attempt.set(0, TensorId(4), 0, 100);
    attempt.statement.inferences[0].outputs[0][0] = 100;
    attempt.count(0);
    attempt.rejected("boundary: public tensor 'input0': the claim on a public tensor does not hold");
}

#[test]
fn the_value_of_another_table_is_rejected() {
    // Element 0 of f(x) is g(x), and counted in g.
    let mut attempt = Attempt::of(&functions(), &[]);
    let place = 3 + 8;
    let value = 100 - place as i64;
    attempt.set(0, TensorId(4), 0, value);
    attempt.statement.inferences[0].outputs[0][0] = value;
    let tables = &attempt.key.plan().subgraphs[0].tables;
    let table = |outputs| tables.iter().position(|t| t.outputs() == Some(TensorId(outputs))).unwrap();
    let (f, g) = (table(2), table(3));
    edit(&mut attempt.witnesses[0].multiplicities[f], place, |m| m - 1);
    edit(&mut attempt.witnesses[0].multiplicities[g], place, |m| m + 1);
    attempt.rejected(SUM);
}

#[test]
fn an_altered_table_is_rejected() {
    // The table itself says what the lie needs: it is not the table that the key commits to.
    let mut attempt = Attempt::of(&functions(), &[]);
    attempt.set(0, TensorId(2), 11, 77);
    attempt.set(0, TensorId(4), 0, 77);
    attempt.statement.inferences[0].outputs[0][0] = 77;
    attempt.rejected("subgraph 0: the values sent are not the committed ones");
}

#[test]
fn wrong_multiplicities_are_rejected() {
    let honest = Attempt::of(&functions(), &[]);
    let tables = honest.key.plan().subgraphs[0].tables.clone();
    for (place, table) in tables.iter().enumerate() {
        for (row, delta) in [(0, 1), (3, -1), (5, 1 << 61), (5, -1 << 61)] {
            let mut attempt = Attempt::of(&functions(), &[]);
            edit(&mut attempt.witnesses[0].multiplicities[place], row, |m| m + delta);
            attempt.rejected(SUM);
            // The total is right: another row is short. Rows without excess repeat.
            if table.row(row, 0) != table.row(row + 1, 1) {
                edit(&mut attempt.witnesses[0].multiplicities[place], row + 1, |m| m - delta);
                attempt.rejected(SUM);
            }
        }
    }
}

#[test]
fn a_multiplicity_is_one_modulo_the_characteristic() {
    // `MIN + 7` and `MIN + 7 + p` are one field element: neither is a small count.
    const P: i128 = (1 << 64) - (1 << 32) + 1;
    let low = i64::MIN + 7;
    for multiplicity in [low, i64::try_from(i128::from(low) + P).unwrap()] {
        let mut attempt = Attempt::of(&functions(), &[]);
        edit(&mut attempt.witnesses[0].multiplicities[0], 0, |_| multiplicity);
        attempt.rejected(SUM);
    }
}
