//! The end of a network: logits at the last positions, the most likely tokens from a position on, or the embedding of a text.

use super::super::LanguageError;
use super::super::architecture::Head;
use super::{Embedding, Input, Network, Output, Text, term};
use crate::float::moves::affine;
use crate::float::{Kind, Value};
impl Network<'_> {
    pub(super) fn head(&mut self, embedding: Embedding, x: Value, output: Output) -> Result<Value, LanguageError> {
        let (length, names) = (self.length, self.config.names);
        let mut x = x;
        match (self.architecture().head, output) {
            (Head::MeanPool, Output::Embedding) => {
                if self.architecture().final_norm {
                    x = self.norm(names.final_norm, None, x)?;
                }
                self.g.layer = "pooling".into();
                let mean = self.mean(x);
                let squares = self.g.mul(mean, mean);
                let square = self.g.reduce_sum(squares, &[0], false, 1.0);
                let inverse = self.g.rsqrt(square);
                Ok(self.g.mul(mean, inverse))
            }
            (Head::Vocabulary, Output::Logits(n) | Output::Answers(n) | Output::Samples(n))
                if (1..=length).contains(&n) =>
            {
                x = match output {
                    Output::Answers(_) | Output::Samples(_) => self.chosen(x, n),
                    _ => self.g.reindex_axis(x, 0, (vec![n], affine((length - n) as i64, &[1]))),
                };
                if self.architecture().final_norm {
                    x = self.norm(names.final_norm, None, x)?;
                }
                self.g.layer = "logits".into();
                let logits = self.logits(embedding, x, n)?;
                Ok(match output {
                    Output::Answers(_) => self.g.arg_max(logits, false),
                    Output::Samples(_) => {
                        let noisy = self.g.noisy(logits);
                        self.g.arg_max(noisy, false)
                    }
                    _ => logits,
                })
            }
            (_, Output::Logits(n) | Output::Answers(n) | Output::Samples(n)) if n == 0 || n > length => {
                Err(LanguageError::Length { length: n, context: length })
            }
            (head, _) => Err(LanguageError::Output { output, head }),
        }
    }

    /// The mean over the positions of the text.
    fn mean(&mut self, x: Value) -> Value {
        let (length, width) = (self.length, self.config.width);
        let Some(Text { within, count }) = self.text else {
            return self.g.reduce_sum(x, &[0], false, 1.0 / length as f64);
        };
        let share = self.g.reciprocal(count);
        let sum = term(&[(within, &[0]), (share, &[2]), (x, &[0, 1])]);
        self.g.einsum(Kind::Real, vec![length, width, 1], vec![1], vec![sum])
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
