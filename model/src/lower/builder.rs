//! Builds the integer graph: unique names, shared tables, and for every tensor the interval that the relation implies.

use super::interval::{self, Factor, Interval};
use kernels::Ints;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use thiserror::Error;
use verifier::graph::{
    Advice, AdviceRule, AxisGroup, Bound, Einsum, Graph, Lookup, Node, Op, Operand, Source, Tensor, TensorId, Term,
    View,
};

/// Constants of more elements may be one tensor for several contractions, whatever these multiply them with.
pub const SHARED: usize = 1 << 17;
/// Every magnitude stays below this.
pub const LIMIT: i128 = 1 << 62;

/// A layer that does not fit the integer range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "layer '{layer}': {what} would need values from {lo} to {hi}, beyond 62 bits; lower the activation or weight bits"
)]
pub struct Overflow {
    /// Layer of the source model.
    pub layer: String,
    /// Which of its tensors.
    pub what: String,
    /// Least value.
    pub lo: i128,
    /// Greatest value.
    pub hi: i128,
}

/// `h = floor((x * multiplier + add) / 2^shift)`, clamped to `lo..lo + 2^bits`.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Added before the shift.
    pub add: i64,
    /// Bits dropped.
    pub shift: u32,
    /// Lowest value.
    pub lo: i64,
    /// Logarithm of the number of values.
    pub bits: u32,
    /// What happens below.
    pub below: Bound,
    /// What happens above.
    pub above: Bound,
}

impl Domain {
    /// Rounds `shift` bits away, halves up, and saturates at both ends.
    pub fn saturating(shift: u32, lo: i64, bits: u32) -> Self {
        Self { add: rounding(shift), shift, lo, bits, below: Bound::Saturate, above: Bound::Saturate }
    }

    /// Asserts `lo <= x < lo + 2^bits`.
    pub fn exact(lo: i64, bits: u32) -> Self {
        Self { add: 0, shift: 0, lo, bits, below: Bound::Forbid, above: Bound::Forbid }
    }
}

/// What to add before a shift to round halves up.
pub fn rounding(shift: u32) -> i64 {
    if shift == 0 { 0 } else { 1 << (shift - 1) }
}

/// The integer graph under construction.
#[derive(Default)]
pub struct Builder {
    /// The graph so far.
    pub graph: Graph,
    /// Values of its constants.
    pub weights: BTreeMap<TensorId, Ints>,
    /// Layer of the source model that new nodes belong to.
    pub layer: String,
    names: HashMap<String, usize>,
    constants: HashMap<(Vec<usize>, u64), Vec<TensorId>>,
}

impl Builder {
    /// Goes on with the tensors and ports of a graph, without its nodes.
    pub fn rebuilding(graph: &Graph) -> Self {
        let mut names = HashMap::new();
        for tensor in &graph.tensors {
            let (base, count) = match tensor.name.rsplit_once('#') {
                Some((base, count)) => (base, count.parse().unwrap_or(1)),
                None => (tensor.name.as_str(), 1),
            };
            let taken = names.entry(base.to_owned()).or_default();
            *taken = count.max(*taken);
        }
        let (tensors, inputs, outputs) = (graph.tensors.clone(), graph.inputs.clone(), graph.outputs.clone());
        let graph = Graph { tensors, nodes: Vec::new(), inputs, outputs, interface: graph.interface };
        Self { graph, names, ..Self::default() }
    }

    /// Shape of a tensor.
    pub fn shape(&self, id: TensorId) -> Vec<usize> {
        self.graph.tensor(id).shape.clone()
    }

    /// Interval of a tensor.
    pub fn interval(&self, id: TensorId) -> (i64, i64) {
        let tensor = self.graph.tensor(id);
        (tensor.lo, tensor.hi)
    }

    fn name(&mut self, what: &str) -> String {
        let base = if what.is_empty() { self.layer.clone() } else { format!("{}/{what}", self.layer) };
        let count = self.names.entry(base.clone()).or_default();
        *count += 1;
        let taken = *count;
        if taken == 1 { base } else { format!("{base}#{taken}") }
    }

    fn tensor(&mut self, what: &str, shape: Vec<usize>, range: Interval, source: Source) -> Result<TensorId, Overflow> {
        let (lo, hi) = range;
        if lo <= -LIMIT || hi >= LIMIT {
            return Err(Overflow { layer: self.layer.clone(), what: what.into(), lo, hi });
        }
        let name = self.name(what);
        self.graph.tensors.push(Tensor { name, shape, lo: lo as i64, hi: hi as i64, source });
        Ok(TensorId(self.graph.tensors.len() as u32 - 1))
    }

    fn node(&mut self, op: Op) {
        self.graph.nodes.push(Node { name: self.layer.clone(), op });
    }

    fn next(&self) -> Source {
        Source::Node(self.graph.nodes.len() as u32)
    }

    /// A public input.
    pub fn input(&mut self, name: &str, shape: Vec<usize>, range: (i64, i64)) -> Result<TensorId, Overflow> {
        self.layer = name.into();
        self.tensor("", shape, (range.0.into(), range.1.into()), Source::Input)
    }

    /// A constant; equal ones are one tensor.
    pub fn constant(&mut self, what: &str, shape: Vec<usize>, values: Vec<i64>) -> Result<TensorId, Overflow> {
        let lo = values.iter().copied().min().unwrap_or(0);
        let hi = values.iter().copied().max().unwrap_or(0);
        let mut hasher = DefaultHasher::new();
        values.hash(&mut hasher);
        let (key, values) = ((shape.clone(), hasher.finish()), Ints::from(values));
        let alike = self.constants.get(&key).into_iter().flatten();
        if let Some(&id) = alike.into_iter().find(|id| self.weights[id] == values) {
            return Ok(id);
        }
        let id = self.tensor(what, shape, (lo.into(), hi.into()), Source::Weight)?;
        self.constants.entry(key).or_default().push(id);
        self.weights.insert(id, values);
        Ok(id)
    }

    /// A constant whose values are kept elsewhere.
    pub fn weight(&mut self, what: &str, shape: Vec<usize>, range: (i64, i64)) -> Result<TensorId, Overflow> {
        self.tensor(what, shape, (range.0.into(), range.1.into()), Source::Weight)
    }

    /// A node as it is, and so what it computes.
    pub fn keep(&mut self, node: &Node) {
        if let Some(output) = node.op.output() {
            self.graph.tensors[output.index()].source = self.next();
        }
        self.graph.nodes.push(node.clone());
    }

    /// The values that a contraction can take, or the range beyond 62 bits that it would need.
    pub fn contraction(&self, dims: &[usize], out: &[u8], terms: &[Term]) -> Option<Interval> {
        let mut total = (0, 0);
        for term in terms {
            let constants = term.operands.iter().map(|operand| self.weights.get(&operand.tensor).map(Ints::to_vec));
            let constants: Vec<Option<Vec<i64>>> = constants.collect();
            let factors: Vec<Factor<'_>> = term
                .operands
                .iter()
                .zip(&constants)
                .map(|(operand, constant)| Factor {
                    operand,
                    tensor: self.graph.tensor(operand.tensor),
                    constant: constant.as_deref(),
                })
                .collect();
            total = interval::sum(total, interval::term(dims, out, term.coefficient, &factors)?);
        }
        (total.0 > -LIMIT && total.1 < LIMIT).then_some(total)
    }

    /// A contraction.
    pub fn einsum(
        &mut self,
        what: &str,
        dims: Vec<usize>,
        out: Vec<u8>,
        terms: Vec<Term>,
    ) -> Result<TensorId, Overflow> {
        let range = self.contraction(&dims, &out, &terms).unwrap_or((-LIMIT, LIMIT));
        self.einsum_within(what, dims, out, terms, range)
    }

    /// A contraction whose interval follows from more than its operands' intervals; the caller gives it.
    pub fn einsum_within(
        &mut self,
        what: &str,
        dims: Vec<usize>,
        out: Vec<u8>,
        terms: Vec<Term>,
        range: Interval,
    ) -> Result<TensorId, Overflow> {
        let shape = out.iter().map(|&l| dims[l as usize]).collect();
        let output = self.tensor(what, shape, range, self.next())?;
        self.node(Op::Einsum(Einsum { dims, out_labels: out, terms, output }));
        Ok(output)
    }

    /// `constant + sum_t coefficient_t * x_t`, elementwise over tensors of one shape.
    pub fn linear(&mut self, what: &str, constant: i64, terms: &[(i64, TensorId)]) -> Result<TensorId, Overflow> {
        self.linear_within(what, constant, terms, None)
    }

    /// As [`Builder::linear`], with an interval that follows from more than the operands' intervals.
    pub fn linear_within(
        &mut self,
        what: &str,
        constant: i64,
        terms: &[(i64, TensorId)],
        range: Option<Interval>,
    ) -> Result<TensorId, Overflow> {
        let dims = terms.first().map_or_else(Vec::new, |&(_, x)| self.shape(x));
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let operand = |tensor| vec![Operand { tensor, labels: labels.clone() }];
        let mut all: Vec<Term> =
            terms.iter().map(|&(coefficient, x)| Term { coefficient, operands: operand(x) }).collect();
        if constant != 0 {
            all.push(Term { coefficient: constant, operands: Vec::new() });
        }
        match range {
            Some(range) => self.einsum_within(what, dims, labels, all, range),
            None => self.einsum(what, dims, labels, all),
        }
    }

    /// A view. Its interval includes 0 if an element of it is none of the input's.
    pub fn view(&mut self, input: TensorId, shape: Vec<usize>, groups: Vec<AxisGroup>) -> Result<TensorId, Overflow> {
        let input_shape = self.shape(input);
        let padded = groups.iter().any(|g| g.indices(&input_shape, &shape).contains(&None));
        let (lo, hi) = self.interval(input);
        let range = if padded { (lo.min(0), hi.max(0)) } else { (lo, hi) };
        let output = self.tensor("view", shape, (range.0.into(), range.1.into()), self.next())?;
        self.node(Op::View(View { input, output, groups }));
        Ok(output)
    }

    /// Requantisation, saturation and, with a table, a function.
    pub fn lookup(
        &mut self,
        what: &str,
        input: TensorId,
        domain: Domain,
        table: Option<TensorId>,
    ) -> Result<TensorId, Overflow> {
        let (lo, hi) = self.interval(input);
        let image = |x: i64| (i128::from(x) + i128::from(domain.add)) >> domain.shift;
        let top = i128::from(domain.lo) + (1i128 << domain.bits) - 1;
        let clamp = |h: i128| h.clamp(domain.lo.into(), top);
        let (low, high) = (clamp(image(lo)), clamp(image(hi)));
        let range = match table {
            None => (low, high),
            Some(table) => {
                let first = (low - i128::from(domain.lo)) as usize;
                let last = (high - i128::from(domain.lo)) as usize;
                let values = self.weights[&table].to_vec();
                let reachable = values.get(first..=last).unwrap_or_default();
                let lo = reachable.iter().copied().min().unwrap_or(0);
                let hi = reachable.iter().copied().max().unwrap_or(0);
                (lo.into(), hi.into())
            }
        };
        // A side that no input reaches needs no saturation.
        let below = if image(lo) >= domain.lo.into() { Bound::Forbid } else { domain.below };
        let above = if image(hi) <= top { Bound::Forbid } else { domain.above };
        let shape = self.shape(input);
        let output = self.tensor(what, shape, range, self.next())?;
        self.push_lookup(input, Domain { below, above, ..domain }, table, Some(output));
        Ok(output)
    }

    /// What a lookup does to another tensor of the same interval.
    pub fn lookup_again(&mut self, input: TensorId, lookup: &Lookup) -> Result<TensorId, Overflow> {
        let (lo, hi) = lookup.output.map_or((0, 0), |output| self.interval(output));
        let shape = self.shape(input);
        let output = self.tensor("rounded", shape, (lo.into(), hi.into()), self.next())?;
        self.node(Op::Lookup(Lookup { input, output: Some(output), ..lookup.clone() }));
        Ok(output)
    }

    /// Asserts that every element lies in `lo..lo + 2^bits`.
    pub fn assert_range(&mut self, input: TensorId, lo: i64, bits: u32) {
        self.push_lookup(input, Domain::exact(lo, bits.max(1)), None, None);
    }

    fn push_lookup(&mut self, input: TensorId, domain: Domain, table: Option<TensorId>, output: Option<TensorId>) {
        let Domain { add, shift, lo, bits, below, above } = domain;
        self.node(Op::Lookup(Lookup { input, multiplier: 1, add, shift, lo, bits, below, above, table, output }));
    }

    /// A value that the assertions after it pin down; `range` must follow from them.
    pub fn advice(
        &mut self,
        what: &str,
        shape: Vec<usize>,
        range: (i64, i64),
        rule: AdviceRule,
    ) -> Result<TensorId, Overflow> {
        let output = self.tensor(what, shape, (range.0.into(), range.1.into()), self.next())?;
        self.node(Op::Advice(Advice { rule, output }));
        Ok(output)
    }
}

/// The least `bits` with `n <= 2^bits`.
pub fn bits_for(n: i128) -> u32 {
    if n <= 1 { 0 } else { 128 - (n - 1).leading_zeros() }
}
