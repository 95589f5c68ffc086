//! Random graphs, cut at random: an honest proof is always accepted, and a lie about one value never is.

#[path = "../common/mod.rs"]
mod common;
mod graphs;

use common::attempt::Attempt;
use common::{Lie, Net};
use graphs::{Dice, Step, build};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use std::cell::Cell;
use verifier::graph::{Op, TensorId};

fn step() -> impl Strategy<Value = Step> {
    let seed = any::<u64>();
    prop_oneof![
        1 => seed.prop_map(Step::Input),
        4 => seed.prop_map(Step::Einsum),
        4 => seed.prop_map(Step::View),
        6 => seed.prop_map(Step::Lookup),
        2 => seed.prop_map(Step::Maximum),
    ]
}

/// The same cases in every run.
fn runner(cases: u32) -> TestRunner {
    let config =
        ProptestConfig { cases, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Places to cut: some nodes, ascending.
fn cuts(dice: &mut Dice, nodes: usize) -> Vec<usize> {
    (1..nodes).filter(|_| dice.one_in(4)).collect()
}

#[test]
fn honest_proofs_are_accepted() {
    let graphs = (proptest::collection::vec(step(), 1..9), any::<u64>());
    let honest = |(steps, seed): (Vec<Step>, u64)| {
        let net = build(&steps, seed);
        let cuts = cuts(&mut Dice::new(seed), net.graph.nodes.len());
        let verified = Attempt::of(&net, &cuts).verify();
        prop_assert!(verified.is_ok(), "cuts {cuts:?}: {}\n{:#?}", verified.unwrap_err(), net.graph.nodes);
        Ok(())
    };
    runner(100).run(&graphs, honest).unwrap();
}

/// A batch is accepted if, and only if, each of its inferences is.
#[test]
fn batches_are_what_their_inferences_are() {
    let graphs = (proptest::collection::vec(step(), 1..7), any::<u64>());
    let accepted_batches = Cell::new(0);
    let batch = |(steps, seed): (Vec<Step>, u64)| {
        let mut net = build(&steps, seed);
        let mut dice = Dice::new(seed);
        let cuts = cuts(&mut dice, net.graph.nodes.len());
        let runs = net.runs(2 + dice.below(2));
        let alone = runs.iter().all(|run| accepted(&Attempt::together(&net, &cuts, std::slice::from_ref(run))));
        let together = accepted(&Attempt::together(&net, &cuts, &runs));
        prop_assert_eq!(alone, together, "cuts {:?}\n{:#?}", cuts, net.graph.nodes);
        accepted_batches.set(accepted_batches.get() + u32::from(together));
        Ok(())
    };
    runner(60).run(&graphs, batch).unwrap();
    assert!(accepted_batches.get() >= 20, "{accepted_batches:?}");
}

#[test]
fn lies_are_rejected() {
    let graphs = (proptest::collection::vec(step(), 1..7), any::<u64>());
    let lying = |(steps, seed): (Vec<Step>, u64)| {
        let net = build(&steps, seed);
        let mut dice = Dice::new(seed);
        let cuts = cuts(&mut dice, net.graph.nodes.len());
        let computed = graphs::computed(&net);
        for _ in 0..2 {
            let tensor = dice.pick(&computed);
            let element = dice.below(net.graph.tensor(tensor).len());
            let lie = Lie { tensor, element, delta: dice.pick(&[1, -1, 2, 100, -5000]) };
            let attempt = Attempt::lying(&net, &cuts, lie);
            // The honest prover's code takes magnitudes of honest runs.
            if attempt.values[0].iter().flatten().any(|v| v.to_vec().iter().any(|x| x.unsigned_abs() > 1 << 54)) {
                continue;
            }
            // What is neither public nor committed may be anything where nothing that is depends on it.
            let seen = |t: &TensorId| attempt.values[0][t.index()] != net.values[t.index()];
            if observed(&net).iter().any(seen) {
                prop_assert!(!accepted(&attempt), "{lie:?} {cuts:?}\n{:#?}", net.graph.nodes);
            }
        }
        Ok(())
    };
    runner(100).run(&graphs, lying).unwrap();
}

/// Tensors that are public or committed whatever the cut.
fn observed(net: &Net) -> Vec<TensorId> {
    let committed = net.graph.nodes.iter().filter(|n| matches!(n.op, Op::Lookup(_) | Op::Advice(_)));
    committed.filter_map(|n| n.op.output()).chain(net.graph.outputs.iter().map(|p| p.tensor)).collect()
}

/// A prover that finds its values contradictory gives no proof.
fn accepted(attempt: &Attempt) -> bool {
    (0..attempt.values.len()).all(|s| attempt.subgraph(s).is_ok()) && attempt.verify().is_ok()
}
