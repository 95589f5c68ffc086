//! `p3-whir`'s own prover: what the prover over a device is compared with, byte for byte and in time.

use p3_commit::MultilinearPcs;
use p3_matrix::dense::RowMajorMatrix;
use p3_multilinear_util::point::Point;
use p3_sumcheck::PrescribedPointPcs;
use p3_sumcheck::layout::{Layout, SuffixProver, Table};
use verifier::commitment::{Parameters, Pcs};
use verifier::field::{F, K};
use verifier::transcript::{Challenger, Digest, Transcript, Writer};

/// The codeword, its tree and the polynomial.
pub type ProverData = <Pcs as MultilinearPcs<K, Challenger>>::ProverData;

/// Encodes and hashes the `2^m` cells of a joint polynomial: the roots of its parts.
pub fn commit(packed: &[F], parameters: &Parameters) -> (Vec<Digest>, ProverData) {
    let table = Table::new(RowMajorMatrix::new(packed.to_vec(), packed.len()));
    let folding = parameters.config().round_folding_factor(0);
    let witness = <SuffixProver<F, K> as Layout<F, K>>::new_witness(vec![table], folding);
    // `commit` binds the roots; whoever calls this binds them himself.
    let mut unused = Challenger::new(b"");
    let (cap, data) = MultilinearPcs::<K, Challenger>::commit(parameters.pcs(), witness, &mut unused)
        .expect("the parameters fit the polynomial");
    (cap.roots().to_vec(), data)
}

/// The encoded opening at full points.
pub fn open(data: ProverData, parameters: &Parameters, points: &[Vec<K>], transcript: &mut Writer) -> Vec<u8> {
    let points: Vec<_> = points.iter().cloned().map(Point::new).collect();
    let proof = PrescribedPointPcs::<K, Challenger>::open_at(
        parameters.pcs(),
        data,
        parameters.protocol(),
        &points,
        transcript.challenger(),
    )
    .expect("the parameters fit the points");
    postcard::to_allocvec(&proof).expect("a proof is plain data")
}
