//! The transformer as a float graph: `[length]` token numbers in, logits, tokens or an embedding out.
//!
//! Axes are ordered (heads, query position, key position); values of a position are `[length, width]`. A linear layer's
//! matrix is `[outputs, inputs]`.

mod attention;
mod head;

use super::architecture::{Architecture, Layout, Norm, Placement, Positions};
use super::config::{Activation, Config, Rotation};
use super::{LanguageError, Tensors};
use crate::float::{Graph, Kind, Term, Value};
use crate::scalar::Expr;

/// What a network returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Logits of the next token at the last positions, so many: `[n, vocabulary]`.
    Logits(usize),
    /// The most likely next token, ties to the smaller number, at the position that a second input `[1]` names and at those that
    /// follow it: `[n]`. The position leaves room for all of them.
    Answers(usize),
    /// As [`Output::Answers`], of logits with noise: see [`verifier::sampling`].
    Samples(usize),
    /// The embedding of the text: `[width]`. A second input, `[1]`, names the position of its last token; those after it count for nothing.
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
    let g = Graph { by_position: output != Output::Embedding, ..Graph::default() };
    let mut network = Network { config, weights, length, g, rotations: Vec::new(), text: None };
    let embedding = network.embedding()?;
    let mut x = network.embed(embedding)?;
    if output == Output::Embedding {
        network.text = Some(network.text());
    }
    for index in 0..config.layers.len() {
        x = network.block(index, x)?;
    }
    let result = network.head(embedding, x, output)?;
    let name = match output {
        Output::Logits(_) => "logits",
        Output::Answers(_) | Output::Samples(_) => "answers",
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
    /// Where a text ends that may be shorter than the sequence.
    text: Option<Text>,
}

/// A text that begins the sequence.
#[derive(Clone, Copy)]
struct Text {
    /// `[length]`: 1 for its positions.
    within: Value,
    /// `[1]`: how many they are.
    count: Value,
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

    /// The text that ends at the position that the second input names.
    fn text(&mut self) -> Text {
        let length = self.length;
        self.g.layer = super::LAST_TOKEN.into();
        let last = self.g.input(1, &[1], Kind::Int);
        self.g.classes.insert(1, length);
        let one = self.g.constant(&[1], Kind::Int, vec![1.0]);
        let count = self.g.add(last, one);
        let positions = self.g.constant(&[length], Kind::Int, (0..length).map(|i| -(i as f64)).collect());
        let left = self.g.add(count, positions);
        Text { within: self.g.positive(left), count }
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
