//! The transformer as a float graph: `[length]` token numbers in, logits, tokens or an embedding out.
//!
//! Axes are ordered (heads, query position, key position); values of a position are `[length, width]`. A linear layer's
//! matrix is `[outputs, inputs]`.

use super::architecture::{Architecture, Head, Layout, Norm, Pairing, Placement, Positions};
use super::config::{Activation, Attention, Config, Rotation};
use super::{LanguageError, Tensors};
use crate::float::moves::affine;
use crate::float::{Graph, Kind, Term, Value};
use crate::scalar::{Expr, Primitive};
use verifier::graph::IndexMap;

/// What a network returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Logits of the next token at the last positions, so many: `[n, vocabulary]`.
    Logits(usize),
    /// The most likely next token, ties to the smaller number, at the position that a second input `[1]` names and at those that
    /// follow it: `[n]`. The position leaves room for all of them.
    Answers(usize),
    /// The embedding of the text: `[width]`.
    Embedding,
}

/// Vocabularies up to this size are one-hot; larger ones digit by digit.
const ONE_HOT: usize = 256;

/// Builds the graph for sequences of `length` tokens.
///
/// # Errors
/// A tensor that the file lacks or that has another shape; a length beyond the model's context.
pub fn build(config: &Config, weights: &dyn Tensors, length: usize, output: Output) -> Result<Graph, LanguageError> {
    if length == 0 || length > config.context {
        return Err(LanguageError::Length { length, context: config.context });
    }
    let mut network = Network { config, weights, length, g: Graph::default(), rotations: Vec::new() };
    let embedding = network.embedding()?;
    let mut x = network.embed(embedding)?;
    for index in 0..config.layers.len() {
        x = network.block(index, x)?;
    }
    let result = network.head(embedding, x, output)?;
    let name = match output {
        Output::Logits(_) => "logits",
        Output::Answers(_) => "answers",
        Output::Embedding => "embedding",
    };
    network.g.outputs.push((name.into(), result));
    Ok(network.g)
}

struct Network<'a> {
    config: &'a Config,
    weights: &'a dyn Tensors,
    length: usize,
    g: Graph,
    /// Cosines and signed sines of the rotations used so far.
    rotations: Vec<(Rotation, (Value, Value))>,
}

/// The embedding matrix `[high, low, width]`: token `t` is row `(t / low, t % low)`; rows beyond the vocabulary are 0.
#[derive(Clone, Copy)]
struct Embedding {
    matrix: Value,
    high: usize,
    low: usize,
}

/// What linear layers read: a value, and what a norm still has to multiply it by and to add to it, which their weights do.
struct Input {
    value: Value,
    affine: Option<(Vec<f64>, Option<Vec<f64>>)>,
}

/// A matrix `[outputs, inputs]` and a bias.
type Projection = (Vec<f64>, Option<Vec<f64>>);

/// Labels of an [`Graph::einsum`]; every contraction here names its axes.
fn term(operands: &[(Value, &[u8])]) -> Term {
    Term { coefficient: 1.0, operands: operands.iter().map(|(v, labels)| (*v, labels.to_vec())).collect() }
}

impl Network<'_> {
    fn architecture(&self) -> &'static Architecture {
        self.config.architecture
    }

    /// The full name of a tensor that the file has, with the first prefix that fits.
    fn find(&self, name: &str, layer: Option<usize>) -> Option<String> {
        if name.is_empty() {
            return None;
        }
        let name = layer.map_or_else(|| name.into(), |n| name.replace("{}", &n.to_string()));
        self.config.names.prefixes.iter().map(|prefix| format!("{prefix}{name}")).find(|name| self.weights.has(name))
    }

    fn read(&self, name: &str, layer: Option<usize>, shape: &[usize]) -> Result<Vec<f64>, LanguageError> {
        let missing = || layer.map_or_else(|| name.into(), |n| name.replace("{}", &n.to_string()));
        let name = self.find(name, layer).ok_or_else(|| LanguageError::Missing(missing()))?;
        let values = self.weights.read(&name, shape)?;
        if let Some(index) = values.iter().position(|x| !x.is_finite()) {
            return Err(LanguageError::NotFinite { tensor: name, index, value: values[index] });
        }
        Ok(values.into_iter().map(f64::from).collect())
    }

    fn vector(&mut self, name: &str, layer: Option<usize>, n: usize) -> Result<Vec<f64>, LanguageError> {
        self.read(&format!("{name}.weight"), layer, &[n])
    }

    /// The bias of a layer, if it has one.
    fn bias(&self, name: &str, layer: usize, n: usize) -> Result<Option<Vec<f64>>, LanguageError> {
        let name = format!("{name}.bias");
        if self.find(&name, Some(layer)).is_some() { self.read(&name, Some(layer), &[n]).map(Some) } else { Ok(None) }
    }

    /// A matrix `[outputs, inputs]`.
    fn matrix(&self, name: &str, layer: usize, outputs: usize, inputs: usize) -> Result<Vec<f64>, LanguageError> {
        let name = format!("{name}.weight");
        if self.config.names.layout == Layout::OutputFirst {
            return self.read(&name, Some(layer), &[outputs, inputs]);
        }
        let stored = self.read(&name, Some(layer), &[inputs, outputs])?;
        let mut turned = Vec::with_capacity(stored.len());
        for o in 0..outputs {
            turned.extend((0..inputs).map(|i| stored[i * outputs + o]));
        }
        Ok(turned)
    }

    fn constant(&mut self, shape: &[usize], data: Vec<f64>) -> Value {
        self.g.constant(shape, Kind::Real, data)
    }

    fn embedding(&mut self) -> Result<Embedding, LanguageError> {
        let (vocabulary, width) = (self.config.vocabulary, self.config.width);
        self.g.layer = "embedding".into();
        let low = if vocabulary <= ONE_HOT { vocabulary } else { vocabulary.isqrt().next_power_of_two() };
        let high = vocabulary.div_ceil(low);
        let mut rows = self.read(&format!("{}.weight", self.config.names.embedding), None, &[vocabulary, width])?;
        rows.resize(high * low * width, 0.0);
        Ok(Embedding { matrix: self.constant(&[high, low, width], rows), high, low })
    }

    /// The vector of every token, with positions and norm where the architecture has them.
    fn embed(&mut self, embedding: Embedding) -> Result<Value, LanguageError> {
        let (length, width, names) = (self.length, self.config.width, self.config.names);
        let Embedding { matrix, high, low } = embedding;
        self.g.layer = "tokens".into();
        let tokens = self.g.input(0, &[length], Kind::Int);
        self.g.classes.insert(0, self.config.vocabulary);
        self.g.layer = "embedding".into();
        let mut one = if high == 1 {
            let hot = self.g.one_hot(tokens, low);
            let matrix = self.g.reshape(matrix, &[low, width]);
            term(&[(hot, &[0, 1]), (matrix, &[1, 3])])
        } else {
            let quotient = self.g.scale(tokens, 1.0 / low as f64, 0.0);
            let digit = self.g.floor(quotient, Kind::Int);
            let rest = self.g.linear(&[(1.0, &[tokens]), (-(low as f64), &[digit])]);
            let (first, second) = (self.g.one_hot(digit, high), self.g.one_hot(rest, low));
            term(&[(first, &[0, 2]), (second, &[0, 1]), (matrix, &[2, 1, 3])])
        };
        if self.architecture().scale_embedding {
            one.coefficient = (width as f64).sqrt();
        }
        let mut terms = vec![one];
        let mut added = Vec::new();
        if self.architecture().positions == Positions::Learned {
            let mut all = self.read(&format!("{}.weight", names.positions), None, &[self.config.context, width])?;
            all.truncate(length * width);
            added = all;
        }
        let segments = format!("{}.weight", names.segments);
        if let Some(found) = self.find(&segments, None) {
            // A table without rows does not have the one that is read.
            let count = self.weights.rows(&found).unwrap_or(2).max(1);
            let segment = self.read(&segments, None, &[count, width])?;
            added.resize(length * width, 0.0);
            added.iter_mut().zip(segment[..width].iter().cycle()).for_each(|(a, s)| *a += s);
        }
        if !added.is_empty() {
            let added = self.constant(&[length, width], added);
            terms.push(term(&[(added, &[0, 3])]));
        }
        let x = self.g.einsum(Kind::Real, vec![length, low, high, width], vec![0, 3], terms);
        if self.architecture().embedding_norm { self.norm(names.embedding_norm, None, x) } else { Ok(x) }
    }

    /// The norm of a `[.., n]` value over its last axis, with the gain and bias of that name.
    fn norm(&mut self, name: &str, layer: Option<usize>, x: Value) -> Result<Value, LanguageError> {
        let (gain, bias) = self.gain_and_bias(name, layer, x)?;
        Ok(self.normed(x, gain, bias))
    }

    /// As [`Network::norm`], for linear layers alone: they take over gain and bias. So the product has a factor less, and of the
    /// channels that the gain makes small nothing is rounded away.
    fn norm_for_linear(&mut self, name: &str, layer: usize, x: Value) -> Result<Input, LanguageError> {
        let (mut gain, bias) = self.gain_and_bias(name, Some(layer), x)?;
        let dims = self.g.shape(x).to_vec();
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let last = dims.len() - 1;
        let standardised = self.g.standardise(x, &[last], self.config.epsilon, bias.is_some());
        gain.iter_mut().for_each(|g| *g *= standardised.factor);
        let inverse = self.g.reshape(standardised.inverse, &dims[..last]);
        let product = term(&[(standardised.scaled, &labels), (inverse, &labels[..last])]);
        let value = self.g.einsum(Kind::Real, dims, labels, vec![product]);
        Ok(Input { value, affine: Some((gain, bias)) })
    }

    fn gain_and_bias(
        &mut self,
        name: &str,
        layer: Option<usize>,
        x: Value,
    ) -> Result<(Vec<f64>, Option<Vec<f64>>), LanguageError> {
        self.g.layer = self.label(name, layer);
        let n = self.g.shape(x).last().copied().unwrap_or(1);
        let mut gain = self.vector(name, layer, n)?;
        if self.architecture().norm == Norm::RmsPlusOne && !self.config.names.gains_are_whole {
            gain.iter_mut().for_each(|g| *g += 1.0);
        }
        let centred = self.architecture().norm == Norm::Layer;
        let bias = if centred { Some(self.read(&format!("{name}.bias"), layer, &[n])?) } else { None };
        Ok((gain, bias))
    }

    /// `(x - mean) / sqrt(mean of squares + epsilon) * gain + bias`, the mean only with a bias.
    fn normed(&mut self, x: Value, gain: Vec<f64>, bias: Option<Vec<f64>>) -> Value {
        let dims = self.g.shape(x).to_vec();
        let (last, n) = (dims.len() - 1, dims[dims.len() - 1]);
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let row = &labels[..last];
        let centred = bias.is_some();
        let standardised = self.g.standardise(x, &[last], self.config.epsilon, centred);
        let gain = self.constant(&[n], gain.iter().map(|g| g * standardised.factor).collect());
        let inverse = self.g.reshape(standardised.inverse, &dims[..last]);
        let mut terms = vec![term(&[(standardised.scaled, &labels), (inverse, row), (gain, &labels[last..])])];
        if let Some(bias) = bias {
            let bias = self.constant(&[n], bias);
            terms.push(term(&[(bias, &labels[last..])]));
        }
        self.g.einsum(Kind::Real, dims, labels, terms)
    }

    /// A name for reports: the tensor's, without the file's prefix.
    fn label(&self, name: &str, layer: Option<usize>) -> String {
        layer.map_or_else(|| name.into(), |n| name.replace("{}", &n.to_string()))
    }

    fn block(&mut self, index: usize, x: Value) -> Result<Value, LanguageError> {
        let (placement, names) = (self.architecture().placement, self.config.names);
        let parts =
            [(true, names.attention_norm, names.attention_post_norm), (false, names.feed_norm, names.feed_post_norm)];
        let mut x = x;
        for (attends, before, after) in parts {
            let input = match placement {
                Placement::After => Input { value: x, affine: None },
                Placement::Before | Placement::Both => self.norm_for_linear(before, index, x)?,
            };
            let mut y = if attends { self.attention(index, &input)? } else { self.feed_forward(index, &input)? };
            if placement == Placement::Both {
                y = self.norm(after, Some(index), y)?;
            }
            x = self.g.add(x, y);
            if placement == Placement::After {
                x = self.norm(after, Some(index), x)?;
            }
        }
        Ok(x)
    }

    /// `x W^T + b`, with the outputs split into the axes `outputs`: `[length, outputs ..]`.
    fn linear(&mut self, x: &Input, outputs: &[usize], mut matrix: Vec<f64>, mut bias: Option<Vec<f64>>) -> Value {
        if let Some((gain, shift)) = &x.affine {
            if let Some(shift) = shift {
                let rows = matrix.chunks_exact(shift.len());
                let sums = rows.map(|row| row.iter().zip(shift).map(|(w, s)| w * s).sum::<f64>());
                let sums: Vec<f64> = sums.collect();
                bias.get_or_insert_with(|| vec![0.0; sums.len()]).iter_mut().zip(sums).for_each(|(b, s)| *b += s);
            }
            matrix.chunks_exact_mut(gain.len()).flatten().zip(gain.iter().cycle()).for_each(|(w, g)| *w *= g);
        }
        let x = x.value;
        let dims: Vec<usize> = self.g.shape(x).iter().chain(outputs).copied().collect();
        let inputs = dims[1];
        let labels: Vec<u8> = (2..dims.len() as u8).collect();
        let shape: Vec<usize> = outputs.iter().copied().chain([inputs]).collect();
        let matrix = self.constant(&shape, matrix);
        let with_input: Vec<u8> = labels.iter().copied().chain([1]).collect();
        let mut terms = vec![term(&[(x, &[0, 1]), (matrix, &with_input)])];
        if let Some(bias) = bias {
            let bias = self.constant(outputs, bias);
            terms.push(term(&[(bias, &labels)]));
        }
        let out = [0].into_iter().chain(labels).collect();
        self.g.einsum(Kind::Real, dims, out, terms)
    }

    /// Query, key and value matrices with their biases.
    fn projections(&self, layer: usize) -> Result<[Projection; 3], LanguageError> {
        let (c, names) = (self.config, self.config.names);
        let (q, k) = (c.heads * c.head_width, c.key_heads * c.head_width);
        if self.find(&format!("{}.weight", names.fused), Some(layer)).is_some() {
            let mut matrix = self.matrix(names.fused, layer, q + 2 * k, c.width)?;
            let mut bias = self.bias(names.fused, layer, q + 2 * k)?;
            let mut take = |from: usize| {
                let rows = matrix.split_off(from * c.width);
                (rows, bias.as_mut().map(|b| b.split_off(from)))
            };
            let (value, key, query) = (take(q + k), take(q), take(0));
            return Ok([query, key, value]);
        }
        let one = |name: &str, n: usize| -> Result<_, LanguageError> {
            Ok((self.matrix(name, layer, n, c.width)?, self.bias(name, layer, n)?))
        };
        Ok([one(names.query, q)?, one(names.key, k)?, one(names.value, k)?])
    }

    fn attention(&mut self, layer: usize, x: &Input) -> Result<Value, LanguageError> {
        let (c, names, length) = (self.config, self.config.names, self.length);
        let (groups, repeats, width) = (c.key_heads, c.heads / c.key_heads, c.head_width);
        let Attention { window, rotation } = c.layers[layer];
        let [mut query, key, value] = self.projections(layer)?;
        // The scale of the scores goes into the first constant that multiplies every query.
        let rotary = self.architecture().positions == Positions::Rotary;
        let normed = self.architecture().query_key_norm;
        if !normed {
            query.0.iter_mut().chain(query.1.iter_mut().flatten()).for_each(|w| *w *= c.query_scale);
        }
        self.g.layer = self.label(names.query, Some(layer));
        let mut q = self.linear(x, &[groups, repeats, width], query.0, query.1);
        self.g.layer = self.label(names.key, Some(layer));
        let mut k = self.linear(x, &[groups, width], key.0, key.1);
        self.g.layer = self.label(names.value, Some(layer));
        let v = self.linear(x, &[groups, width], value.0, value.1);
        if normed {
            q = self.head_norm(names.query_norm, layer, q, c.query_scale)?;
            k = self.head_norm(names.key_norm, layer, k, 1.0)?;
        }
        if rotary {
            self.g.layer = format!("layer {layer} rotation");
            q = self.rotate(rotation, q);
            k = self.rotate(rotation, k);
        }
        self.g.layer = format!("layer {layer} attention");
        // Labels: 0 query position, 1 key position, 2 group, 3 query head of the group, 4 element.
        let dims = vec![length, length, groups, repeats, width];
        let scores = term(&[(q, &[0, 2, 3, 4]), (k, &[1, 2, 4])]);
        let mut scores = self.g.einsum(Kind::Real, dims.clone(), vec![2, 3, 0, 1], vec![scores]);
        if let Some(mask) = self.mask(window) {
            scores = self.g.mask(scores, mask);
        }
        let max = self.g.max(scores, None);
        let row = vec![groups, repeats, length, 1];
        let max = self.g.reshape(max, &row);
        let gap = self.g.sub(scores, max);
        let powers = self.g.map(gap, Expr::of(Primitive::Exp));
        let sum = self.g.reduce_sum(powers, &[3], false, 1.0);
        let inverse = self.g.reciprocal(sum);
        let weighted = term(&[(powers, &[2, 3, 0, 1]), (v, &[1, 2, 4])]);
        let weighted = self.g.einsum(Kind::Real, dims.clone(), vec![0, 2, 3, 4], vec![weighted]);
        let mean = term(&[(weighted, &[0, 2, 3, 4]), (inverse, &[2, 3, 0])]);
        let mean = self.g.einsum(Kind::Real, dims, vec![0, 2, 3, 4], vec![mean]);
        self.g.layer = self.label(names.attention_output, Some(layer));
        let inputs = c.heads * width;
        let matrix = self.matrix(names.attention_output, layer, c.width, inputs)?;
        let bias = self.bias(names.attention_output, layer, c.width)?;
        let matrix = self.constant(&[c.width, groups, repeats, width], matrix);
        let dims = vec![length, c.width, groups, repeats, width];
        let mut terms = vec![term(&[(mean, &[0, 2, 3, 4]), (matrix, &[1, 2, 3, 4])])];
        if let Some(bias) = bias {
            let bias = self.constant(&[c.width], bias);
            terms.push(term(&[(bias, &[1])]));
        }
        Ok(self.g.einsum(Kind::Real, dims, vec![0, 1], terms))
    }

    /// The norm of every head's query or key, times `scale`.
    fn head_norm(&mut self, name: &str, layer: usize, x: Value, scale: f64) -> Result<Value, LanguageError> {
        self.g.layer = self.label(name, Some(layer));
        let mut gain = self.vector(name, Some(layer), self.config.head_width)?;
        let plus_one = self.architecture().norm == Norm::RmsPlusOne && !self.config.names.gains_are_whole;
        gain.iter_mut().for_each(|g| *g = (*g + f64::from(u8::from(plus_one))) * scale);
        Ok(self.normed(x, gain, None))
    }

    /// `x * cos + turned(x) * sin` with the sign of the turn in `sin`.
    fn rotate(&mut self, rotation: Rotation, x: Value) -> Value {
        let (cosine, sine) = self.rotation(rotation);
        let dims = self.g.shape(x).to_vec();
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let last = labels.len() - 1;
        let width = dims[last] as i64;
        let partner = |e: i64| match self.config.names.pairing {
            Pairing::Halves => (e + width / 2) % width,
            Pairing::Neighbours => e ^ 1,
        };
        let turned =
            self.g.reindex_axis(x, last, (vec![dims[last]], IndexMap::Table((0..width).map(partner).collect())));
        let angle = [0, last as u8];
        let terms = vec![term(&[(x, &labels), (cosine, &angle)]), term(&[(turned, &labels), (sine, &angle)])];
        self.g.einsum(Kind::Real, dims, labels, terms)
    }

    /// Cosines and signed sines of every position and element, `[length, head_width]`.
    fn rotation(&mut self, rotation: Rotation) -> (Value, Value) {
        if let Some((_, values)) = self.rotations.iter().find(|(r, _)| *r == rotation) {
            return *values;
        }
        let (length, width) = (self.length, self.config.head_width);
        let (mut cosines, mut sines) = (Vec::new(), Vec::new());
        for position in 0..length {
            for element in 0..width {
                let (pair, second) = match self.config.names.pairing {
                    Pairing::Halves => (element % (width / 2), element >= width / 2),
                    Pairing::Neighbours => (element / 2, element % 2 == 1),
                };
                let angle = position as f64 * rotation.speed(pair, width);
                cosines.push(angle.cos());
                sines.push(if second { angle.sin() } else { -angle.sin() });
            }
        }
        let values = (self.constant(&[length, width], cosines), self.constant(&[length, width], sines));
        self.rotations.push((rotation, values));
        values
    }

    /// 1 where a query sees a key, else 0; `None` if all see all.
    fn mask(&mut self, window: Option<usize>) -> Option<Value> {
        let length = self.length;
        let seen =
            |q: usize, k: usize| (!self.architecture().causal || k <= q) && window.is_none_or(|window| k + window > q);
        let mask: Vec<f64> = (0..length * length).map(|i| f64::from(u8::from(seen(i / length, i % length)))).collect();
        mask.contains(&0.0).then(|| self.g.constant(&[length, length], Kind::Bool, mask))
    }

    fn feed_forward(&mut self, layer: usize, x: &Input) -> Result<Value, LanguageError> {
        let (c, names) = (self.config, self.config.names);
        let function = c.activation.function();
        let up = |n: &mut Self, name: &str| -> Result<Value, LanguageError> {
            n.g.layer = n.label(name, Some(layer));
            let matrix = n.matrix(name, layer, c.hidden, c.width)?;
            let bias = n.bias(name, layer, c.hidden)?;
            Ok(n.linear(x, &[c.hidden], matrix, bias))
        };
        let hidden = if self.architecture().gated {
            let gate = up(self, names.gate)?;
            let gate = self.g.map(gate, function);
            let value = up(self, names.up)?;
            self.g.mul(gate, value)
        } else {
            let value = up(self, names.up)?;
            self.g.map(value, function)
        };
        self.g.layer = self.label(names.down, Some(layer));
        let matrix = self.matrix(names.down, layer, c.width, c.hidden)?;
        let bias = self.bias(names.down, layer, c.width)?;
        Ok(self.linear(&Input { value: hidden, affine: None }, &[c.width], matrix, bias))
    }

    fn head(&mut self, embedding: Embedding, x: Value, output: Output) -> Result<Value, LanguageError> {
        let (length, names) = (self.length, self.config.names);
        let mut x = x;
        match (self.architecture().head, output) {
            (Head::MeanPool, Output::Embedding) => {
                if self.architecture().final_norm {
                    x = self.norm(names.final_norm, None, x)?;
                }
                self.g.layer = "pooling".into();
                let mean = self.g.reduce_sum(x, &[0], false, 1.0 / length as f64);
                let squares = self.g.mul(mean, mean);
                let square = self.g.reduce_sum(squares, &[0], false, 1.0);
                let inverse = self.g.rsqrt(square);
                Ok(self.g.mul(mean, inverse))
            }
            (Head::Vocabulary, Output::Logits(n) | Output::Answers(n)) if (1..=length).contains(&n) => {
                x = match output {
                    Output::Answers(_) => self.chosen(x, n),
                    _ => self.g.reindex_axis(x, 0, (vec![n], affine((length - n) as i64, &[1]))),
                };
                if self.architecture().final_norm {
                    x = self.norm(names.final_norm, None, x)?;
                }
                self.g.layer = "logits".into();
                let logits = self.logits(embedding, x, n)?;
                Ok(if matches!(output, Output::Answers(_)) { self.g.arg_max(logits, false) } else { logits })
            }
            (_, Output::Logits(n) | Output::Answers(n)) if n == 0 || n > length => {
                Err(LanguageError::Length { length: n, context: length })
            }
            (head, _) => Err(LanguageError::Output { output, head }),
        }
    }

    /// The `n` rows of `x` from the position on that the second input names.
    fn chosen(&mut self, x: Value, n: usize) -> Value {
        let (length, width) = (self.length, self.config.width);
        let places = length - n + 1;
        self.g.layer = "answer position".into();
        let first = self.g.input(1, &[1], Kind::Int);
        self.g.classes.insert(1, places);
        if places == 1 {
            return x;
        }
        let hot = self.g.one_hot(first, places);
        let hot = self.g.reshape(hot, &[places]);
        // Row j chooses position i where first = i - j.
        let band = self.g.reindex_axis(hot, 0, (vec![n, length], affine(0, &[-1, 1])));
        let rows = term(&[(band, &[0, 1]), (x, &[1, 2])]);
        self.g.einsum(Kind::Real, vec![n, length, width], vec![0, 2], vec![rows])
    }

    fn logits(&mut self, embedding: Embedding, x: Value, n: usize) -> Result<Value, LanguageError> {
        let (vocabulary, width) = (self.config.vocabulary, self.config.width);
        let name = format!("{}.weight", self.config.names.head);
        let untied = !self.config.tied && self.find(&name, None).is_some();
        if untied {
            let matrix = self.read(&name, None, &[vocabulary, width])?;
            let bias = format!("{}.bias", self.config.names.head);
            let bias = self.find(&bias, None).map(|_| self.read(&bias, None, &[vocabulary])).transpose()?;
            return Ok(self.linear(&Input { value: x, affine: None }, &[vocabulary], matrix, bias));
        }
        if !self.config.tied {
            return Err(LanguageError::Missing(name));
        }
        let Embedding { matrix, high, low } = embedding;
        let dims = vec![n, high, low, width];
        let logits = term(&[(x, &[0, 3]), (matrix, &[1, 2, 3])]);
        let logits = self.g.einsum(Kind::Real, dims, vec![0, 1, 2], vec![logits]);
        let logits = self.g.reshape(logits, &[n, high * low]);
        Ok(if high * low == vocabulary { logits } else { self.g.slice(logits, 1, 0, 1, vocabulary) })
    }
}

impl Activation {
    fn function(self) -> Expr {
        match self {
            Self::Gelu => Expr::gelu(),
            Self::GeluTanh => Expr::gelu_tanh(),
            Self::Silu => Expr::silu(),
            Self::Relu => Expr::relu(),
        }
    }
}

impl Rotation {
    /// Radians by which a step turns a pair.
    fn speed(&self, pair: usize, width: usize) -> f64 {
        let speed = self.base.powf(-2.0 * pair as f64 / width as f64);
        let Some(s) = self.stretch else { return speed / self.factor };
        let length = 2.0 * std::f64::consts::PI / speed;
        if length < s.original / s.high {
            speed
        } else if length > s.original / s.low {
            speed / s.factor
        } else {
            let blend = (s.original / length - s.low) / (s.high - s.low);
            (1.0 - blend) * speed / s.factor + blend * speed
        }
    }
}
