//! Texts of any length up to the encoder's: their embeddings are those of an encoder of just their length, and what follows them is not seen.

use super::{fixture::Fixture, largest_difference, output, run};
use kernels::Ints;
use model::language::{Output, Reference};
use model::{Model, dequantise};

/// The embedding of the first tokens of a sequence, in integers.
fn embedding(model: &Model, sequence: &[u32], text: usize) -> Vec<i64> {
    let tokens = sequence.iter().map(|&t| t.into()).collect();
    output(model, &run(model, &[tokens, vec![text as i64 - 1]]))
}

#[test]
fn shorter_texts_have_the_embeddings_of_shorter_encoders() {
    let f = Fixture::load("bert");
    for length in [8, 13] {
        let model = f.import(length, Output::Embedding);
        let longer = Reference::new(&f.config, &f, length, Output::Embedding).expect("the model is supported");
        let mut sequence = f.tokens.clone();
        sequence.resize(length, 0);
        for text in 1..=8 {
            let own = Reference::new(&f.config, &f, text, Output::Embedding).expect("the model is supported");
            let expected = own.run(&f.tokens[..text]);
            assert!(largest_difference(&longer.run(&f.tokens[..text]), &expected) < 1e-12);
            let found = embedding(&model, &sequence, text);
            let reals = dequantise(model.graph.outputs[0].exponent, &Ints::from(found.clone()));
            let difference = largest_difference(&reals, &expected);
            println!("{text} of {length}: {difference:.1e}");
            assert!(difference < 2e-3, "{text} tokens of {length}: {difference}");
            // Other tokens after the text are not seen, the text's own are.
            let mut other = sequence.clone();
            other[text..].iter_mut().for_each(|t| *t = (*t + 7) % 33);
            assert_eq!(embedding(&model, &other, text), found);
            other[text - 1] = (other[text - 1] + 1) % 33;
            assert_ne!(embedding(&model, &other, text), found);
        }
        let all = dequantise(model.graph.outputs[0].exponent, &Ints::from(embedding(&model, &sequence, 8)));
        assert!(largest_difference(&all, &f.output[0]) < 2e-3);
    }
}
