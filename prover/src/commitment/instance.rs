//! The commitment by itself: a polynomial of given size is committed, or opened at one point.

use super::{Claimed, Committed, commit, open};
use crate::floor;
use crate::instance::{Instance, InstanceError, integers};
use kernels::floor::Work;
use kernels::{Device, Ints};
use verifier::commitment::{Claim, Joint, Layout, Parameters, ParametersError, verify};
use verifier::field::K;
use verifier::transcript::{Reader, Transcript, Writer};

const DOMAIN: &str = "commitment";

/// `2^num_variables` cells to be committed.
#[derive(Debug)]
pub struct Commit {
    layout: Layout,
    cells: Ints,
}

impl Commit {
    /// Pseudo-random cells.
    pub fn new(num_variables: usize) -> Self {
        let shape = vec![1usize << num_variables];
        Self { cells: integers(shape[0], 1).collect::<Vec<_>>().into(), layout: Layout::new(&[shape]) }
    }
}

impl<D: Device> Instance<D> for Commit {
    fn items(&self) -> (&'static str, u64) {
        ("cells", self.layout.cells() as u64)
    }

    fn floor(&self) -> Work {
        floor::commit(&self.layout)
    }

    fn prove(&self, device: &D) -> Vec<u8> {
        commit(device, &self.layout, std::slice::from_ref(&self.cells)).root.to_vec()
    }

    fn verify(&self, _: &[u8]) -> Result<(), InstanceError> {
        Ok(())
    }
}

/// A committed polynomial to be opened at one point.
#[derive(Debug)]
pub struct Open<D: Device> {
    layout: Layout,
    committed: Committed<D>,
    claims: Vec<Claim>,
    target_bits: u32,
}

impl<D: Device> Open<D> {
    /// Commits pseudo-random cells.
    ///
    /// # Errors
    /// If no parameters reach the target.
    pub fn new(device: &D, num_variables: usize, target_bits: u32) -> Result<Self, ParametersError> {
        let Commit { layout, cells } = Commit::new(num_variables);
        if !layout.in_the_clear() {
            Parameters::new(&Joint::new(&[num_variables]), 1, target_bits)?;
        }
        let committed = commit(device, &layout, std::slice::from_ref(&cells));
        let mut transcript = Writer::new(DOMAIN);
        transcript.write_digest(committed.root);
        let point: Vec<K> = transcript.challenges(num_variables);
        let value = crate::argument::evaluate(device, &cells, &[cells.len()], &point);
        Ok(Self { layout, committed, claims: vec![Claim { tensor: 0, point, value }], target_bits })
    }
}

impl<D: Device> Instance<D> for Open<D> {
    fn items(&self) -> (&'static str, u64) {
        ("cells", self.layout.cells() as u64)
    }

    fn floor(&self) -> Work {
        floor::open(&self.layout)
    }

    fn prove(&self, device: &D) -> Vec<u8> {
        let mut transcript = Writer::new(DOMAIN);
        transcript.write_digest(self.committed.root);
        let _: Vec<K> = transcript.challenges(self.layout.num_variables());
        let opened = Claimed { committed: &self.committed, layout: &self.layout, claims: &self.claims };
        open(device, &[opened], self.target_bits, &mut transcript).expect("one claim, and parameters that exist");
        transcript.finish()
    }

    fn verify(&self, proof: &[u8]) -> Result<(), InstanceError> {
        let mut transcript = Reader::new(DOMAIN, proof);
        let root = transcript.read_digest().map_err(|e| InstanceError(e.to_string()))?;
        let _: Vec<K> = transcript.challenges(self.layout.num_variables());
        let claimed = verifier::commitment::Claimed { root: &root, layout: &self.layout, claims: &self.claims };
        verify(&[claimed], self.target_bits, &mut transcript).map_err(|e| InstanceError(e.to_string()))?;
        transcript.finish().map_err(|e| InstanceError(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::Cpu;

    #[test]
    fn an_opening_verifies_and_no_other_value_does() {
        // In the clear, and folded.
        for num_variables in [3, 15] {
            let mut instance = Open::new(&Cpu, num_variables, 100).unwrap();
            let proof = instance.prove(&Cpu);
            instance.verify(&proof).unwrap();
            instance.claims[0].value += verifier::field::k_from_i64(1);
            assert!(instance.verify(&proof).is_err());
        }
    }
}
