//! An attempt at a proof: everything that a prover holds, and may lie about. What it does with it is the honest code's work.

use super::{Lie, Net, verdict};
use kernels::{Cpu, Ints};
use prover::commitment::{Claimed, commit, open};
use prover::{Boundary, Job, ProveError, Values, Witness, commit_boundary, prove_witness};
use verifier::graph::{Tensor, TensorId};
use verifier::key::ModelKey;
use verifier::proof::Proof;
use verifier::statement::Statement;
use verifier::transcript::Writer;
use verifier::{DOMAIN, Verified, VerifyError, begin_aggregate, boundary_layout, opening_target, verify_subgraph};

/// See the module. Fields may be changed one by one.
pub struct Attempt {
    pub key: ModelKey,
    pub statement: Statement,
    /// What the boundary commits to.
    pub boundary: Values,
    /// What each subgraph's prover takes the tensors to be.
    pub values: Vec<Values>,
    /// What each subgraph's prover commits to.
    pub witnesses: Vec<Witness>,
}

impl Attempt {
    /// A proof of the values that the network has.
    pub fn of(net: &Net, cuts: &[usize]) -> Self {
        Self::with(net, net.key(cuts), net.values.clone())
    }

    /// The values of a run in which one element is another, and all else follows from it.
    pub fn lying(net: &Net, cuts: &[usize], lie: Lie) -> Self {
        Self::with(net, net.key(cuts), net.lying(lie))
    }

    /// One proof of several runs.
    pub fn together(net: &Net, cuts: &[usize], runs: &[Values]) -> Self {
        let key = net.key(cuts).for_batch(runs.len()).unwrap();
        let stacked = |(index, tensor): (usize, &Tensor)| {
            let each: Vec<_> = runs.iter().map(|run| run[index].as_ref().unwrap().to_vec()).collect();
            let varies = key.graph().tensors[index].shape != tensor.shape;
            Some(Ints::from(if varies { each.concat() } else { each[0].clone() }))
        };
        let values = net.graph.tensors.iter().enumerate().map(stacked).collect();
        let statement = Statement { inferences: runs.iter().map(|run| net.inference_of(run)).collect() };
        Self::saying(key, statement, values)
    }

    fn with(net: &Net, key: ModelKey, values: Values) -> Self {
        Self::saying(key, net.statement_of(&values), values)
    }

    fn saying(key: ModelKey, statement: Statement, values: Values) -> Self {
        let each = vec![values.clone(); key.plan().subgraphs.len()];
        let mut attempt = Self { key, statement, boundary: values, values: each, witnesses: Vec::new() };
        attempt.fill();
        attempt
    }

    /// Makes the witnesses that belong to the values.
    pub fn fill(&mut self) {
        let plans = self.key.plan().subgraphs.iter().zip(&self.values);
        self.witnesses = plans.map(|(plan, values)| Witness::new(&Cpu, self.key.graph(), plan, values)).collect();
    }

    /// Counts anew how often each row of each table is looked up.
    pub fn count(&mut self, subgraph: usize) {
        let (graph, plan) = (self.key.graph(), &self.key.plan().subgraphs[subgraph]);
        let (values, witness) = (&self.values[subgraph], &mut self.witnesses[subgraph]);
        let mut counts: Vec<Vec<i64>> = witness.multiplicities.iter().map(|m| vec![0; m.len()]).collect();
        for (lookup_plan, columns) in plan.lookups.iter().zip(&witness.lookups) {
            let lookup = verifier::argument::lookup::lookup_of(graph, lookup_plan).unwrap();
            let output = lookup.output.and_then(|t| values[t.index()].as_ref());
            for leaf in columns.leaves(&Cpu, lookup, lookup_plan, output) {
                for i in 0..graph.tensor(lookup.input).len() {
                    let row: Vec<i64> = leaf.entries.iter().map(|column| column.get(i)).collect();
                    if let Some(count) = counts[leaf.table].get_mut(plan.tables[leaf.table].find(&row)) {
                        *count += 1;
                    }
                }
            }
        }
        witness.multiplicities = counts.into_iter().map(Ints::from).collect();
    }

    /// Changes an element of a tensor, in the eyes of one subgraph's prover.
    pub fn set(&mut self, subgraph: usize, tensor: TensorId, element: usize, value: i64) {
        edit(self.values[subgraph][tensor.index()].as_mut().unwrap(), element, |_| value);
    }

    /// The boundary as committed.
    pub fn boundary(&self) -> Boundary {
        commit_boundary(&Cpu, &self.key, &self.boundary).unwrap()
    }

    /// One subgraph's proof.
    pub fn subgraph(&self, index: usize) -> Result<Vec<u8>, ProveError> {
        let (statement, boundary) = (self.statement.digest(&self.key), self.boundary().root);
        let job = Job { key: &self.key, statement, boundary };
        prove_witness(&Cpu, job, index as u32, &self.values[index], None, &self.witnesses[index])
    }

    /// The whole proof, none of its parts checked.
    pub fn proof(&self) -> Vec<u8> {
        let subgraphs = (0..self.values.len()).map(|s| self.subgraph(s).unwrap()).collect();
        assemble(&self.key, &self.statement, &self.boundary(), subgraphs)
    }

    /// What the verifiers say.
    pub fn verify(&self) -> Result<Verified, VerifyError> {
        verdict::verify(&self.key, &self.proof())
    }

    /// Expects the verifier to say exactly this.
    #[track_caller]
    pub fn rejected(&self, expected: &str) {
        assert_eq!(self.verify().expect_err("the lie is accepted").to_string(), expected);
    }

    /// Expects the verifier to accept.
    #[track_caller]
    pub fn accepted(&self) {
        self.verify().expect("the proof is rejected");
    }
}

/// Puts a proof together from its parts, whatever they are.
pub fn assemble(key: &ModelKey, statement: &Statement, boundary: &Boundary, subgraphs: Vec<Vec<u8>>) -> Vec<u8> {
    let digest = statement.digest(key);
    let mut transcript = Writer::new(DOMAIN);
    begin_aggregate(&mut transcript, digest, boundary.root, &subgraphs);
    if boundary.root.is_some() {
        let accepted =
            (0..).zip(&subgraphs).filter_map(|(s, p)| verify_subgraph(key, digest, boundary.root, s, p).ok());
        let mut claims = Vec::new();
        for (tensor, claim) in accepted.flat_map(|claims| claims.outside) {
            let Some(tensor) = key.plan().boundary.iter().position(|&t| t == tensor) else { continue };
            let claim = verifier::commitment::Claim { tensor, point: claim.point, value: claim.value };
            if !claims.contains(&claim) {
                claims.push(claim);
            }
        }
        let layout = boundary_layout(key);
        let committed = commit(&Cpu, &layout, &boundary.tensors);
        let claimed = Claimed { committed: &committed, layout: &layout, claims: &claims };
        open(&Cpu, &[claimed], opening_target(key), &mut transcript).unwrap();
    }
    let (model, statement, boundary) = (key.commitment(), statement.clone(), boundary.root);
    Proof { model, statement, boundary, subgraphs, opening: transcript.finish() }.to_bytes()
}

/// Changes one element.
pub fn edit(column: &mut Ints, element: usize, change: impl Fn(i64) -> i64) {
    let mut values = column.to_vec();
    values[element] = change(values[element]);
    *column = Ints::from(values);
}
