//! Honest provers are accepted, however the graph is cut.

mod common;

use common::nets::convnet;
use common::run;
use common::verdict::verify;

#[test]
fn a_network_of_every_kind_of_node_verifies_for_every_cut() {
    let net = convnet();
    for cuts in [vec![], vec![2], vec![3, 9], vec![1, 2, 4, 5, 8, 11]] {
        let job = run(&net, &cuts);
        let verified = verify(&job.key, &job.proof).unwrap_or_else(|e| panic!("{cuts:?}: {e}"));
        assert_eq!(verified.inferences, job.statement.inferences);
        assert!(verified.soundness.total_bits >= 128.0, "{}", verified.soundness);
    }
}

#[test]
fn a_proof_is_a_function_of_its_statement() {
    let net = convnet();
    assert_eq!(run(&net, &[4]).proof, run(&net, &[4]).proof);
}
