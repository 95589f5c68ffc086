//! The commitment by itself: a polynomial of given size is committed, or opened at one point.

use super::{Claimed, Committed, commit, open};
use crate::floor;
use crate::instance::{Instance, InstanceError, integers};
use kernels::floor::Work;
use kernels::{Device, Ints};
use verifier::commitment::{Claim, Layout, ParametersError, opening_soundness, verify};
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
        commit(device, &self.layout, &[device.upload_integers(self.cells.clone())]).root.to_vec()
    }

    fn verify(&self, _: &[u8]) -> Result<(), InstanceError> {
        Ok(())
    }
}

/// Committed polynomials, one or two, to be opened together, each at one point.
#[derive(Debug)]
pub struct Open<D: Device> {
    polynomials: Vec<(Layout, Committed<D>, Vec<Claim>)>,
    target_bits: u32,
}

impl<D: Device> Open<D> {
    /// Commits pseudo-random cells, `2^n` for each `n`.
    ///
    /// # Errors
    /// If no parameters reach the target.
    pub fn new(device: &D, num_variables: &[usize], target_bits: u32) -> Result<Self, ParametersError> {
        let cells: Vec<Commit> = num_variables.iter().map(|&n| Commit::new(n)).collect();
        let sized: Vec<_> = cells.iter().map(|cells| (&cells.layout, 1)).collect();
        opening_soundness(&sized, target_bits)?;
        let committed = cells.into_iter().map(|Commit { layout, cells }| {
            let cells = device.upload_integers(cells);
            let committed = commit(device, &layout, std::slice::from_ref(&cells));
            (layout, committed, cells)
        });
        let committed: Vec<_> = committed.collect();
        let mut transcript = Writer::new(DOMAIN);
        committed.iter().for_each(|(_, committed, _)| transcript.write_digest(committed.root));
        let claim = |(layout, committed, cells): (Layout, Committed<D>, D::Integers)| {
            let point: Vec<K> = transcript.challenges(layout.num_variables());
            let value = crate::argument::evaluate(device, &cells, &[device.count(&cells)], &point);
            (layout, committed, vec![Claim { tensor: 0, point, value }])
        };
        Ok(Self { polynomials: committed.into_iter().map(claim).collect(), target_bits })
    }

    fn layouts(&self) -> impl Iterator<Item = &Layout> {
        self.polynomials.iter().map(|(layout, ..)| layout)
    }
}

impl<D: Device> Instance<D> for Open<D> {
    fn items(&self) -> (&'static str, u64) {
        ("cells", self.layouts().map(|layout| layout.cells() as u64).sum())
    }

    fn floor(&self) -> Work {
        self.layouts().map(floor::open).sum()
    }

    fn prove(&self, device: &D) -> Vec<u8> {
        let mut transcript = Writer::new(DOMAIN);
        self.polynomials.iter().for_each(|(_, committed, _)| transcript.write_digest(committed.root));
        self.layouts().for_each(|layout| drop(transcript.challenges(layout.num_variables())));
        let claimed = self.polynomials.iter();
        let claimed = claimed.map(|(layout, committed, claims)| Claimed { committed, layout, claims });
        open(device, &claimed.collect::<Vec<_>>(), self.target_bits, &mut transcript)
            .expect("claims that fit, and parameters that exist");
        transcript.finish()
    }

    fn verify(&self, proof: &[u8]) -> Result<(), InstanceError> {
        let fail = |error: &dyn std::fmt::Display| InstanceError(error.to_string());
        let mut transcript = Reader::new(DOMAIN, proof);
        let roots = self.polynomials.iter().map(|_| transcript.read_digest()).collect::<Result<Vec<_>, _>>();
        let roots = roots.map_err(|e| fail(&e))?;
        self.layouts().for_each(|layout| drop(transcript.challenges(layout.num_variables())));
        let claimed = self.polynomials.iter().zip(&roots);
        let claimed = claimed.map(|((layout, _, claims), root)| verifier::commitment::Claimed { root, layout, claims });
        verify(&claimed.collect::<Vec<_>>(), self.target_bits, &mut transcript).map_err(|e| fail(&e))?;
        transcript.finish().map_err(|e| fail(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::Cpu;

    #[test]
    fn an_opening_verifies_and_no_other_value_does() {
        // In the clear, folded, and two together.
        for num_variables in [&[3][..], &[15], &[15, 16]] {
            let mut instance = Open::new(&Cpu, num_variables, 100).unwrap();
            let proof = instance.prove(&Cpu);
            instance.verify(&proof).unwrap();
            for polynomial in 0..num_variables.len() {
                let one = verifier::field::k_from_i64(1);
                instance.polynomials[polynomial].2[0].value += one;
                assert!(instance.verify(&proof).is_err());
                instance.polynomials[polynomial].2[0].value -= one;
            }
        }
    }
}
