//! Attention: queries, keys and values with their norms and rotations, scores under a mask, an exact softmax, the output's projection.

use super::super::LanguageError;
use super::super::architecture::{Norm, Pairing, Positions};
use super::super::config::{Attention, Rotation};
use super::{Input, Network, Projection, term};
use crate::float::{Kind, Value};
use crate::scalar::{Expr, Primitive};
use verifier::graph::IndexMap;
impl Network<'_> {
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

    pub(super) fn attention(&mut self, layer: usize, x: &Input) -> Result<Value, LanguageError> {
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
        if let Some(text) = self.text {
            scores = self.g.mask(scores, text.within);
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
