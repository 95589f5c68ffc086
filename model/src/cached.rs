//! The integer executor, position by position: a causal graph run on a sequence that grows, with the keys and values of
//! earlier positions kept. Integers make it the same, bit for bit, as one run over the whole sequence.
//!
//! Every tensor that depends on the input has an axis of positions ("rows"). A step computes the rows of its own
//! positions; a contraction that reads another tensor at all positions (the keys of attention) finds them in the cache.

use crate::executor::{self, AHEAD, ExecuteError};
use kernels::{Cpu, IntegerDevice, Ints, Summand};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use thiserror::Error;
use verifier::graph::{Advice, AdviceRule, AxisGroup, Einsum, Graph, IndexMap, Node, Op, Operand, TensorId, View};

/// Where a tensor's axes lie in the sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rows {
    /// The axis of the tensor's own positions.
    axis: usize,
    /// Position of its first row.
    first: usize,
    /// Axes of positions that are looked back at.
    keys: Vec<usize>,
}

/// A graph that cannot be run position by position, or a step that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CacheError {
    /// A node mixes positions.
    #[error("layer '{layer}' cannot be run position by position: {reason}")]
    NotCausal {
        /// Layer of the source model.
        layer: String,
        /// Why.
        reason: &'static str,
    },
    /// More positions than the graph has.
    #[error("the model takes {length} positions; {asked} were asked for")]
    Full {
        /// Positions of the graph.
        length: usize,
        /// Positions asked for.
        asked: usize,
    },
    /// The run itself.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

/// A causal graph with one input, a sequence, and what it has computed so far.
pub struct Cache<'a, D: IntegerDevice = Cpu> {
    device: &'a D,
    graph: &'a Graph,
    weights: &'a BTreeMap<TensorId, D::Integers>,
    rows: Vec<Option<Rows>>,
    /// Tensors that depend on no input.
    fixed: BTreeMap<TensorId, D::Integers>,
    /// Tensors that are looked back at: all rows so far, the axis of rows first.
    kept: BTreeMap<TensorId, Option<D::Integers>>,
    length: usize,
    done: usize,
}

/// The labels of positions in a contraction.
struct Labels {
    row: u8,
    keys: Vec<u8>,
    first: usize,
}

impl<'a, D: IntegerDevice> Cache<'a, D> {
    /// Finds the positions of every tensor; nothing is computed yet.
    ///
    /// # Errors
    /// The layer that mixes positions.
    pub fn new(
        device: &'a D,
        graph: &'a Graph,
        weights: &'a BTreeMap<TensorId, D::Integers>,
    ) -> Result<Self, CacheError> {
        let length =
            graph.inputs.first().map_or(0, |port| graph.tensor(port.tensor).shape.first().copied().unwrap_or(0));
        let rows = vec![None; graph.tensors.len()];
        let (fixed, kept) = Default::default();
        let mut cache = Self { device, graph, weights, rows, fixed, kept, length, done: 0 };
        for port in &graph.inputs {
            let input = graph.tensor(port.tensor);
            if input.shape.is_empty() {
                let reason = "an input without positions";
                return Err(CacheError::NotCausal { layer: input.name.clone(), reason });
            }
            cache.rows[port.tensor.index()] = Some(Rows { axis: 0, first: 0, keys: Vec::new() });
        }
        for node in &graph.nodes {
            let fail = |reason| CacheError::NotCausal { layer: node.name.clone(), reason };
            let rows = match &node.op {
                Op::Lookup(l) => cache.rows[l.input.index()].clone(),
                Op::View(v) => cache.view_rows(v).map_err(fail)?,
                Op::Advice(a) => cache.advice_rows(a).map_err(fail)?,
                Op::Einsum(e) => cache.einsum_rows(e).map_err(fail)?,
            };
            if let Some(output) = node.op.output() {
                cache.rows[output.index()] = rows;
            }
        }
        Ok(cache)
    }

    /// Positions computed.
    pub fn len(&self) -> usize {
        self.done
    }

    /// Whether nothing has been computed.
    pub fn is_empty(&self) -> bool {
        self.done == 0
    }

    fn labels(&self, e: &Einsum) -> Result<Option<Labels>, &'static str> {
        let operands = || e.terms.iter().flat_map(|t| &t.operands);
        let positioned = || operands().filter_map(|o| Some((o, self.rows[o.tensor.index()].as_ref()?)));
        let own: Vec<u8> = positioned().map(|(o, rows)| o.labels[rows.axis]).collect();
        if own.is_empty() {
            return Ok(None);
        }
        let row = e.out_labels.iter().copied().find(|l| own.contains(l)).ok_or("it sums over all positions")?;
        let mut labels = Labels { row, keys: Vec::new(), first: 0 };
        for (operand, rows) in positioned() {
            let own = operand.labels[rows.axis];
            if own == row {
                labels.first = rows.first;
            } else {
                labels.keys.push(own);
            }
            labels.keys.extend(rows.keys.iter().map(|&axis| operand.labels[axis]));
        }
        for (operand, rows) in positioned() {
            let expected = if operand.labels[rows.axis] == row { labels.first } else { 0 };
            if rows.first != expected {
                return Err("its operands begin at different positions");
            }
        }
        if labels.keys.contains(&row) {
            return Err("an axis is both a position and one that is looked back at");
        }
        Ok(Some(labels))
    }

    /// Where a contraction looks back at an operand: its rows, and all of them so far.
    fn looked_back_at(&self, operand: &Operand, labels: Option<&Labels>) -> Option<(&Rows, Option<&D::Integers>)> {
        let rows = self.rows[operand.tensor.index()].as_ref()?;
        let kept = || self.kept.get(&operand.tensor).and_then(Option::as_ref);
        (operand.labels[rows.axis] != labels?.row).then(|| (rows, kept()))
    }

    fn einsum_rows(&mut self, e: &Einsum) -> Result<Option<Rows>, &'static str> {
        let Some(labels) = self.labels(e)? else { return Ok(None) };
        for operand in e.terms.iter().flat_map(|t| &t.operands) {
            if let Some(rows) = &self.rows[operand.tensor.index()]
                && operand.labels[rows.axis] != labels.row
            {
                if !rows.keys.is_empty() {
                    return Err("it looks back at something that looks back itself");
                }
                self.kept.entry(operand.tensor).or_default();
            }
        }
        let axis = e.out_labels.iter().position(|&l| l == labels.row).unwrap_or_default();
        let keys = (0..e.out_labels.len()).filter(|&a| labels.keys.contains(&e.out_labels[a])).collect();
        Ok(Some(Rows { axis, first: labels.first, keys }))
    }

    fn view_rows(&self, v: &View) -> Result<Option<Rows>, &'static str> {
        let Some(rows) = &self.rows[v.input.index()] else { return Ok(None) };
        let (input, output) = (&self.graph.tensor(v.input).shape, &self.graph.tensor(v.output).shape);
        let mut result = Rows { axis: 0, first: rows.first, keys: Vec::new() };
        for group in &v.groups {
            let is_row = group.input_axes.contains(&rows.axis);
            if !is_row && !group.input_axes.iter().any(|a| rows.keys.contains(a)) {
                continue;
            }
            let (&[from], &[to]) = (&group.input_axes[..], &group.output_axes[..]) else {
                return Err("a view joins positions with another axis");
            };
            match &group.map {
                IndexMap::Affine { offset, strides } if strides[..] == [1] && *offset >= 0 => {
                    let inside = *offset as usize + output[to] <= input[from];
                    if !inside || (!is_row && *offset != 0) || (!is_row && output[to] != input[from]) {
                        return Err("a view moves positions");
                    }
                    if is_row {
                        result.axis = to;
                        result.first += *offset as usize;
                    } else {
                        result.keys.push(to);
                    }
                }
                _ => return Err("a view moves positions"),
            }
        }
        Ok(Some(result))
    }

    fn advice_rows(&self, a: &Advice) -> Result<Option<Rows>, &'static str> {
        match &a.rule {
            AdviceRule::Max { input } => {
                let Some(rows) = self.rows[input.index()].clone() else { return Ok(None) };
                let last = self.graph.tensor(*input).shape.len() - 1;
                if rows.axis == last {
                    return Err("it is a maximum over all positions");
                }
                Ok(Some(Rows { keys: rows.keys.into_iter().filter(|&k| k != last).collect(), ..rows }))
            }
            AdviceRule::FloorDiv { denominator: input, .. } | AdviceRule::Rsqrt { input, .. } => {
                Ok(self.rows[input.index()].clone())
            }
        }
    }

    /// Appends positions to the sequence. Returns the rows of every output that they have: the last rows of a tensor whose
    /// own axis of positions comes first, so many values for each position.
    ///
    /// # Errors
    /// More positions than the graph has; a value that the graph forbids.
    pub fn extend(&mut self, input: &[i64]) -> Result<Vec<Vec<i64>>, CacheError> {
        let (start, end) = (self.done, self.done + input.len());
        if input.is_empty() || end > self.length {
            return Err(CacheError::Full { length: self.length, asked: end });
        }
        let mut step = Step { cache: self, start, end, values: BTreeMap::new() };
        let port = step.cache.graph.inputs[0].tensor;
        executor::check_range(step.cache.graph, port, input)?;
        step.keep(port, step.cache.device.upload_integers(Ints::from(input.to_vec())));
        let mut last_use: BTreeMap<TensorId, usize> = BTreeMap::new();
        for (index, node) in step.cache.graph.nodes.iter().enumerate() {
            last_use.extend(node.op.inputs().into_iter().map(|t| (t, index)));
        }
        let outputs: Vec<TensorId> = step.cache.graph.outputs.iter().map(|port| port.tensor).collect();
        let due = |(index, node): (usize, &Node)| step.is_due(&node.op).then_some(index);
        let due: Vec<usize> = step.cache.graph.nodes.iter().enumerate().filter_map(due).collect();
        let mut next = due.as_slice();
        for (index, node) in step.cache.graph.nodes.iter().enumerate() {
            step.node(&node.name, &node.op)?;
            for tensor in node.op.inputs() {
                if last_use[&tensor] == index && !outputs.contains(&tensor) {
                    step.values.remove(&tensor);
                }
            }
            if let Some(rest) = next.strip_prefix(&[index]) {
                next = rest;
                let read = next.iter().take(AHEAD).flat_map(|&index| step.reads(&step.cache.graph.nodes[index].op));
                step.cache.device.prefetch(&read.collect::<Vec<_>>());
            }
        }
        let device = step.cache.device;
        let rows = |values: D::Integers| device.download_integers(&values).to_vec();
        let results = outputs.iter().map(|t| step.values.remove(t).map(rows).unwrap_or_default()).collect();
        self.done = end;
        Ok(results)
    }
}

/// The computation of the positions `start..end`.
struct Step<'c, 'a, D: IntegerDevice> {
    cache: &'c mut Cache<'a, D>,
    start: usize,
    end: usize,
    values: BTreeMap<TensorId, D::Integers>,
}

impl<D: IntegerDevice> Step<'_, '_, D> {
    /// The tensor's rows in this step, by their index.
    fn range(&self, rows: &Rows) -> Range<usize> {
        self.start.max(rows.first) - rows.first..self.end.max(rows.first) - rows.first
    }

    /// Shape of what this step computes of a tensor.
    fn shape(&self, tensor: TensorId) -> Vec<usize> {
        let mut shape = self.cache.graph.tensor(tensor).shape.clone();
        if let Some(rows) = &self.cache.rows[tensor.index()] {
            shape[rows.axis] = self.range(rows).len();
            rows.keys.iter().for_each(|&axis| shape[axis] = self.end);
        }
        shape
    }

    /// What has a value by now.
    fn known(&self, tensor: TensorId) -> Option<&D::Integers> {
        let Cache { weights, fixed, .. } = &*self.cache;
        self.values.get(&tensor).or_else(|| fixed.get(&tensor)).or_else(|| weights.get(&tensor))
    }

    fn read(&self, layer: &str, tensor: TensorId) -> Result<&D::Integers, ExecuteError> {
        self.known(tensor).ok_or_else(|| self.missing(layer, tensor))
    }

    fn missing(&self, layer: &str, tensor: TensorId) -> ExecuteError {
        ExecuteError::Missing { layer: layer.into(), tensor: self.cache.graph.tensor(tensor).name.clone() }
    }

    /// What an operation will read, as far as it has a value by now; to what is kept of its result the new rows are appended.
    fn reads(&self, op: &Op) -> Vec<&D::Integers> {
        let mut read: Vec<&D::Integers> = match op {
            Op::Einsum(e) => {
                let labels = self.cache.labels(e).ok().flatten();
                let value = |operand: &Operand| match self.cache.looked_back_at(operand, labels.as_ref()) {
                    Some((_, kept)) => kept,
                    None => self.known(operand.tensor),
                };
                e.terms.iter().flat_map(|term| &term.operands).filter_map(value).collect()
            }
            _ => op.inputs().into_iter().filter_map(|tensor| self.known(tensor)).collect(),
        };
        read.extend(op.output().and_then(|output| self.cache.kept.get(&output)).and_then(Option::as_ref));
        read
    }

    fn keep(&mut self, tensor: TensorId, value: D::Integers) {
        let shape = self.shape(tensor);
        let Cache { device, rows, fixed, kept, .. } = &mut *self.cache;
        let Some(rows) = &rows[tensor.index()] else {
            fixed.insert(tensor, value);
            return;
        };
        if let Some(kept) = kept.get_mut(&tensor) {
            let new = leading(*device, &value, &shape, rows.axis);
            let parts = kept.iter().chain([&new]).map(|part| (part, 0..device.count(part)));
            *kept = Some(device.concat(&parts.collect::<Vec<_>>()));
        }
        self.values.insert(tensor, value);
    }

    /// Whether an operation is computed in this step: it has rows in it, or has not been computed once for all.
    fn is_due(&self, op: &Op) -> bool {
        let subject = match op {
            Op::Lookup(l) => l.input,
            Op::Einsum(e) => e.output,
            Op::View(v) => v.output,
            Op::Advice(a) => a.output,
        };
        match &self.cache.rows[subject.index()] {
            Some(rows) => !self.range(rows).is_empty(),
            None => !self.cache.fixed.contains_key(&op.output().unwrap_or(subject)),
        }
    }

    fn node(&mut self, layer: &str, op: &Op) -> Result<(), ExecuteError> {
        if !self.is_due(op) {
            return Ok(());
        }
        let value = match op {
            Op::Einsum(e) => self.einsum(layer, e)?,
            Op::View(v) => self.view(layer, v)?,
            Op::Lookup(l) => executor::look_up(self.cache.device, self.cache.graph, layer, l, |t| self.read(layer, t))?,
            Op::Advice(a) => {
                let (device, graph) = (self.cache.device, self.cache.graph);
                executor::advise(device, graph, layer, a, |t| self.read(layer, t), |t| self.shape(t))?
            }
        };
        if let Some(output) = op.output() {
            self.keep(output, value);
        }
        Ok(())
    }

    fn einsum(&self, layer: &str, e: &Einsum) -> Result<D::Integers, ExecuteError> {
        let mut dims = e.dims.clone();
        // Whether a graph is causal was settled when the cache was made.
        let labels = self.cache.labels(e).ok().flatten();
        let mut range = 0..0;
        if let Some(labels) = &labels {
            let rows = Rows { axis: 0, first: labels.first, keys: Vec::new() };
            range = self.range(&rows);
            dims[labels.row as usize] = range.len();
            labels.keys.iter().for_each(|&l| dims[l as usize] = self.end);
        }
        let mut terms = Vec::with_capacity(e.terms.len());
        for term in &e.terms {
            let operands = term.operands.iter().map(|operand| self.operand(layer, operand, labels.as_ref(), &range));
            terms.push((term.coefficient, operands.collect::<Result<Vec<_>, _>>()?));
        }
        let factors = |operands| -> Vec<(&D::Integers, &[u8])> {
            let operands: &Vec<(Cow<D::Integers>, Vec<u8>)> = operands;
            operands.iter().map(|(values, labels)| (values.as_ref(), &labels[..])).collect()
        };
        let summands: Vec<_> =
            terms.iter().map(|(c, operands)| Summand { coefficient: *c, factors: factors(operands) }).collect();
        let within = executor::within(self.cache.graph, e.output);
        Ok(self.cache.device.einsum(&dims, &e.out_labels, &summands, within))
    }

    /// What a contraction reads of an operand in this step, and the labels of its axes.
    fn operand(
        &self,
        layer: &str,
        operand: &Operand,
        labels: Option<&Labels>,
        range: &Range<usize>,
    ) -> Result<(Cow<'_, D::Integers>, Vec<u8>), ExecuteError> {
        let Cache { device, graph, rows, .. } = &*self.cache;
        if let Some((rows, kept)) = self.cache.looked_back_at(operand, labels) {
            let mut order = operand.labels.clone();
            let own = order.remove(rows.axis);
            order.insert(0, own);
            return Ok((Cow::Borrowed(kept.ok_or_else(|| self.missing(layer, operand.tensor))?), order));
        }
        match (&rows[operand.tensor.index()], labels) {
            (None, Some(labels)) if operand.labels.iter().any(|l| *l == labels.row || labels.keys.contains(l)) => {
                let shape = &graph.tensor(operand.tensor).shape;
                let part = |(l, &n): (&u8, &usize)| match *l {
                    l if l == labels.row => range.clone(),
                    l if labels.keys.contains(&l) => 0..self.end,
                    _ => 0..n,
                };
                let parts: Vec<_> = operand.labels.iter().zip(shape).map(part).collect();
                let data = block(*device, self.read(layer, operand.tensor)?, shape, &parts);
                Ok((Cow::Owned(data), operand.labels.clone()))
            }
            _ => Ok((Cow::Borrowed(self.read(layer, operand.tensor)?), operand.labels.clone())),
        }
    }

    fn view(&self, layer: &str, v: &View) -> Result<D::Integers, ExecuteError> {
        let (device, data) = (self.cache.device, self.read(layer, v.input)?);
        let (input, output) = (self.shape(v.input), self.shape(v.output));
        let (Some(from), Some(to)) = (&self.cache.rows[v.input.index()], &self.cache.rows[v.output.index()]) else {
            return Ok(device.rearrange(data, &input, &output, &v.groups));
        };
        // The first row that the output has, among those that this step has of the input.
        let skipped = (to.first + self.range(to).start) as i64 - (from.first + self.range(from).start) as i64;
        let local = |group: &AxisGroup| match &group.map {
            IndexMap::Affine { strides, .. } if group.input_axes[..] == [from.axis] => {
                AxisGroup { map: IndexMap::Affine { offset: skipped, strides: strides.clone() }, ..group.clone() }
            }
            _ => group.clone(),
        };
        let groups: Vec<AxisGroup> = v.groups.iter().map(local).collect();
        Ok(device.rearrange(data, &input, &output, &groups))
    }
}

/// A map of one axis to one.
fn along(from: usize, to: usize, offset: usize) -> AxisGroup {
    let map = IndexMap::Affine { offset: offset as i64, strides: vec![1] };
    AxisGroup { input_axes: vec![from], output_axes: vec![to], map }
}

/// The values with one axis moved to the front.
fn leading<D: IntegerDevice>(device: &D, values: &D::Integers, shape: &[usize], axis: usize) -> D::Integers {
    if shape[..axis].iter().all(|&length| length == 1) {
        return values.clone();
    }
    let order: Vec<usize> = [axis].into_iter().chain((0..shape.len()).filter(|&a| a != axis)).collect();
    let moved: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
    let groups: Vec<AxisGroup> = order.iter().enumerate().map(|(to, &from)| along(from, to, 0)).collect();
    device.rearrange(values, shape, &moved, &groups)
}

/// A block of a tensor: a range along every axis.
fn block<D: IntegerDevice>(device: &D, values: &D::Integers, shape: &[usize], parts: &[Range<usize>]) -> D::Integers {
    let groups: Vec<AxisGroup> = parts.iter().enumerate().map(|(axis, part)| along(axis, axis, part.start)).collect();
    let lengths: Vec<usize> = parts.iter().map(ExactSizeIterator::len).collect();
    device.rearrange(values, shape, &lengths, &groups)
}
