//! Recurrent layers, unrolled over the sequence.

use super::activation;
use super::linear::matmul;
use crate::float::{Kind, Value};
use crate::onnx::context::{Context, Imported};

/// The operands that LSTM and GRU share, for one direction at a time.
struct Layer {
    directions: Vec<bool>,
    hidden: usize,
    batch: usize,
    length: usize,
}

impl Layer {
    fn read(c: &Context<'_>, gates: usize) -> Imported<Self> {
        let shape = c.shape(c.input(0)?);
        let [length, batch, _] = shape[..] else { return Err(c.invalid("the input needs 3 axes")) };
        let directions = match c.string("direction", "forward").as_str() {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => return Err(c.unsupported(format!("direction '{other}'"))),
        };
        c.only("layout", 0)?;
        let weights = c.shape(c.input(2)?);
        let [d, rows, hidden] = weights[..] else { return Err(c.invalid("the recurrence needs 3 axes")) };
        c.ensure(d == directions.len() && rows == gates * hidden, "the recurrence does not fit the gates")?;
        c.ensure(c.int("hidden_size").is_none_or(|h| h == hidden as i64), "hidden_size does not fit the recurrence")?;
        if let Some(lengths) = c.optional(4)
            && c.integers(lengths, "sequence_lens")?.iter().any(|&n| n != length as i64)
        {
            return Err(c.unsupported("sequences shorter than the input"));
        }
        for name in ["activation_alpha", "activation_beta", "clip"] {
            if c.floats(name).is_some_and(|list| !list.is_empty()) || (name == "clip" && c.float(name, 0.0) != 0.0) {
                return Err(c.unsupported(format!("attribute '{name}'")));
            }
        }
        Ok(Self { directions, hidden, batch, length })
    }

    fn activations(&self, c: &Context<'_>, default: &[&str]) -> Imported<Vec<String>> {
        let default = || default.iter().cycle().take(default.len() * self.directions.len());
        let list = c.strings("activations").unwrap_or_else(|| default().map(|&s| s.into()).collect());
        c.ensure(list.len() == default().count(), "the activations do not fit the gates")?;
        Ok(list)
    }
}

/// Part `index` of the first axis.
fn part(c: &mut Context<'_>, x: Value, index: usize) -> Value {
    let shape = c.shape(x);
    let one = c.g.slice(x, 0, index as i64, 1, 1);
    c.g.reshape(one, &shape[1..])
}

fn apply(c: &mut Context<'_>, x: Value, function: &str) -> Imported<Value> {
    if function == "Relu" {
        return Ok(c.g.relu(x));
    }
    let function = activation::function(c, function)?;
    Ok(c.g.map(x, function))
}

/// `x w' + h r' + bias` for the rows `gate * hidden ..` of the weights of one direction.
struct Gates {
    input: Value,
    recurrence: Value,
    input_bias: Option<Value>,
    recurrent_bias: Option<Value>,
    hidden: usize,
}

impl Gates {
    fn read(c: &mut Context<'_>, layer: &Layer, direction: usize, gates: usize) -> Imported<Self> {
        let (w, r) = (c.input(1)?, c.input(2)?);
        c.ensure(c.shape(w).len() == 3 && c.shape(w)[1] == gates * layer.hidden, "the weights do not fit the gates")?;
        let (w, r) = (part(c, w, direction), part(c, r, direction));
        let (input, recurrence) = (c.g.transpose(w, &[1, 0]), c.g.transpose(r, &[1, 0]));
        let (mut input_bias, mut recurrent_bias) = (None, None);
        if let Some(bias) = c.optional(3) {
            let rows = gates * layer.hidden;
            c.ensure(c.shape(bias) == [layer.directions.len(), 2 * rows], "the bias does not fit the gates")?;
            let bias = part(c, bias, direction);
            input_bias = Some(c.g.slice(bias, 0, 0, 1, rows));
            recurrent_bias = Some(c.g.slice(bias, 0, rows as i64, 1, rows));
        }
        Ok(Self { input, recurrence, input_bias, recurrent_bias, hidden: layer.hidden })
    }

    fn columns(&self, c: &mut Context<'_>, x: Value, gate: usize) -> Value {
        let axis = c.shape(x).len() - 1;
        c.g.slice(x, axis, (gate * self.hidden) as i64, 1, self.hidden)
    }

    /// The product of `x` with one gate's weights, and the gate's bias.
    fn side(&self, c: &mut Context<'_>, x: Value, gate: usize, recurrent: bool) -> Imported<Value> {
        let (weights, bias) =
            if recurrent { (self.recurrence, self.recurrent_bias) } else { (self.input, self.input_bias) };
        let weights = self.columns(c, weights, gate);
        let product = matmul(c, x, weights)?;
        Ok(match bias {
            Some(bias) => {
                let bias = self.columns(c, bias, gate);
                c.g.add(product, bias)
            }
            None => product,
        })
    }

    fn gate(&self, c: &mut Context<'_>, x: Value, h: Value, gate: usize) -> Imported<Value> {
        let (a, b) = (self.side(c, x, gate, false)?, self.side(c, h, gate, true)?);
        Ok(c.g.add(a, b))
    }
}

fn initial(c: &mut Context<'_>, layer: &Layer, index: usize, direction: usize) -> Imported<Value> {
    let shape = [layer.batch, layer.hidden];
    match c.optional(index) {
        Some(state) => {
            let whole = [layer.directions.len(), layer.batch, layer.hidden];
            c.ensure(c.shape(state) == whole, "an initial state does not fit the layer")?;
            Ok(part(c, state, direction))
        }
        None => Ok(c.g.constant(&shape, Kind::Real, vec![0.0; layer.batch * layer.hidden])),
    }
}

/// One direction's states in the order of the sequence, and the last of each kind.
type Run = (Vec<Value>, Vec<Value>);

/// `[length, directions, batch, hidden]` and, for each state, `[directions, batch, hidden]`.
fn outputs(c: &mut Context<'_>, layer: &Layer, runs: &[Run]) -> Vec<Value> {
    let one = [1, layer.batch, layer.hidden];
    let mut steps = Vec::new();
    for t in 0..layer.length {
        let states: Vec<Value> = runs.iter().map(|run| c.g.reshape(run.0[t], &one)).collect();
        let side_by_side = c.g.concat(&states, 0);
        steps.push(c.g.reshape(side_by_side, &[1, runs.len(), layer.batch, layer.hidden]));
    }
    let mut results = vec![c.g.concat(&steps, 0)];
    for kind in 0..runs[0].1.len() {
        let last: Vec<Value> = runs.iter().map(|run| c.g.reshape(run.1[kind], &one)).collect();
        results.push(c.g.concat(&last, 0));
    }
    results
}

fn times(layer: &Layer, reverse: bool) -> Vec<usize> {
    if reverse { (0..layer.length).rev().collect() } else { (0..layer.length).collect() }
}

pub fn lstm(c: &mut Context<'_>) -> Imported {
    let layer = Layer::read(c, 4)?;
    c.only("input_forget", 0)?;
    if let Some(peepholes) = c.optional(7)
        && c.constant(peepholes, "the peepholes")?.iter().any(|&p| p != 0.0)
    {
        return Err(c.unsupported("peepholes"));
    }
    let functions = layer.activations(c, &["Sigmoid", "Tanh", "Tanh"])?;
    let x = c.input(0)?;
    let mut runs = Vec::new();
    for (direction, &reverse) in layer.directions.iter().enumerate() {
        let gates = Gates::read(c, &layer, direction, 4)?;
        let functions = &functions[3 * direction..];
        let (mut h, mut cell) = (initial(c, &layer, 5, direction)?, initial(c, &layer, 6, direction)?);
        let mut states = vec![h; layer.length];
        for t in times(&layer, reverse) {
            let now = part(c, x, t);
            let mut values = Vec::new();
            // Input, output, forget, cell.
            for (gate, function) in [(0, 0), (1, 0), (2, 0), (3, 1)] {
                let sum = gates.gate(c, now, h, gate)?;
                values.push(apply(c, sum, &functions[function])?);
            }
            cell = c.g.linear(&[(1.0, &[values[2], cell]), (1.0, &[values[0], values[3]])]);
            let shown = apply(c, cell, &functions[2])?;
            h = c.g.mul(values[1], shown);
            states[t] = h;
        }
        runs.push((states, vec![h, cell]));
    }
    Ok(outputs(c, &layer, &runs))
}

pub fn gru(c: &mut Context<'_>) -> Imported {
    let layer = Layer::read(c, 3)?;
    let reset_after = c.flag("linear_before_reset", false);
    let functions = layer.activations(c, &["Sigmoid", "Tanh"])?;
    let x = c.input(0)?;
    let mut runs = Vec::new();
    for (direction, &reverse) in layer.directions.iter().enumerate() {
        let gates = Gates::read(c, &layer, direction, 3)?;
        let functions = &functions[2 * direction..];
        let mut h = initial(c, &layer, 5, direction)?;
        let mut states = vec![h; layer.length];
        for t in times(&layer, reverse) {
            let now = part(c, x, t);
            let (update, reset) = (gates.gate(c, now, h, 0)?, gates.gate(c, now, h, 1)?);
            let (update, reset) = (apply(c, update, &functions[0])?, apply(c, reset, &functions[0])?);
            let from_input = gates.side(c, now, 2, false)?;
            let from_state = if reset_after {
                let recurrent = gates.side(c, h, 2, true)?;
                c.g.mul(reset, recurrent)
            } else {
                let state = c.g.mul(reset, h);
                gates.side(c, state, 2, true)?
            };
            let sum = c.g.add(from_input, from_state);
            let candidate = apply(c, sum, &functions[1])?;
            // (1 - z) candidate + z h
            h = c.g.linear(&[(1.0, &[candidate]), (-1.0, &[update, candidate]), (1.0, &[update, h])]);
            states[t] = h;
        }
        runs.push((states, vec![h]));
    }
    Ok(outputs(c, &layer, &runs))
}
