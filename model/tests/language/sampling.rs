//! Answers that are drawn: the same in steps and in one pass, the same however a prompt is cut, and as often as the softmax says.

use super::{CAUSAL, answer, fixture::Fixture, output, run, sequence};
use model::language::{GenerateError, Output, Prompt};
use model::{Model, dequantise};
use verifier::generation::{self, Generated, Lengths};
use verifier::graph::Interface;
use verifier::sampling::Sampling;

fn draws() -> impl Iterator<Item = Option<Sampling>> {
    let draw = |(seed, temperature)| Some(Sampling { seed, temperature });
    [(1, 1000), (2, 1000), (2, 300), (u64::MAX, 10_000)].into_iter().map(draw).chain([None])
}

#[test]
fn caches_draw_what_one_pass_draws() {
    for name in CAUSAL {
        let f = Fixture::load(name);
        let model = f.import(8, Output::Samples(4));
        let lengths = Lengths::of(&model.graph).expect("the model generates");
        assert_eq!(lengths, Lengths { sequence: 8, answer: 4 });
        let mut answers = Vec::new();
        for (prompt, sampling) in (1..=5).flat_map(|prompt| draws().map(move |draw| (prompt, draw))) {
            let prompt = f.tokens[..prompt].to_vec();
            let generated = Generated { answer: answer(&model, &prompt, sampling), prompt };
            let noise = generation::noise(&model.graph, generated.prompt.len() - 1, sampling);
            let given = generation::inputs(lengths, &generated).expect("the answer fits");
            let inputs: Vec<_> = given.iter().cloned().chain(noise).collect();
            let values = run(&model, &inputs);
            assert_eq!(
                generation::read(&model.graph, &given, &[output(&model, &values)]),
                Ok(generated.clone()),
                "{name}"
            );
            if sampling.is_none() {
                let greedy = f.import(8, Output::Answers(4));
                assert_eq!(answer(&greedy, &generated.prompt, None), generated.answer, "{name}");
            }
            answers.push(generated.answer);
        }
        let count = answers.len();
        answers.sort();
        answers.dedup();
        assert!(answers.len() > count / 2, "{name}: {count} draws gave {} answers", answers.len());
    }
}

/// Noise belongs to a position, so an answer goes on as if it had not been interrupted.
#[test]
fn an_answer_that_becomes_a_prompt_goes_on() {
    let f = Fixture::load("llama");
    let model = f.import(8, Output::Samples(4));
    for sampling in draws() {
        let prompt = f.tokens[..2].to_vec();
        let whole = answer(&model, &prompt, sampling);
        for cut in 1..=3 {
            let longer = [&prompt[..], &whole[..cut]].concat();
            assert_eq!(answer(&model, &longer, sampling)[..4 - cut], whole[cut..], "{sampling:?}");
        }
    }
}

/// How often each token is drawn first, under so many seeds.
fn counts(model: &Model, prompt: &[u32], temperature: u32, seeds: u64) -> Vec<f64> {
    let placed = Prompt::new(&model.graph, prompt).expect("the prompt fits");
    let mut counts = vec![0f64; 31];
    for seed in 0..seeds {
        let sampling = Some(Sampling { seed, temperature });
        let mut answer = placed.answer(&kernels::Cpu, &model.weights, sampling).expect("the model samples");
        counts[answer.next().expect("it answers").expect("the model runs") as usize] += 1.0;
    }
    counts
}

/// Pearson's statistic of the counts against a softmax, in deviations from its mean; tokens that few draws give count as one.
fn deviation(counts: &[f64], logits: &[f64], temperature: f64) -> f64 {
    let powers: Vec<f64> = logits.iter().map(|x| (x / temperature).exp()).collect();
    let scale = counts.iter().sum::<f64>() / powers.iter().sum::<f64>();
    let mut cells = vec![(0.0, 0.0)];
    for (expected, count) in powers.iter().map(|power| power * scale).zip(counts) {
        if expected < 5.0 {
            cells[0] = (cells[0].0 + expected, cells[0].1 + count);
        } else {
            cells.push((expected, *count));
        }
    }
    cells.retain(|&(expected, _)| expected > 0.0);
    let statistic: f64 = cells.iter().map(|(expected, count)| (count - expected).powi(2) / expected).sum();
    let freedom = cells.len() as f64 - 1.0;
    println!("temperature {temperature}: {statistic:.1} at {freedom} degrees of freedom");
    (statistic - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn tokens_are_drawn_as_often_as_the_softmax_says() {
    let f = Fixture::load("gpt2");
    let (model, prompt) = (f.import(8, Output::Samples(4)), &f.tokens[..3]);
    let plain = f.import(3, Output::Logits(1));
    let logits = output(&plain, &run(&plain, &sequence(prompt)));
    let logits = dequantise(plain.graph.outputs[0].exponent, &logits.into());
    // The fixture is sure of its tokens.
    for temperature in [3, 10] {
        let counts = counts(&model, prompt, 1000 * temperature, 1000);
        assert!(deviation(&counts, &logits, temperature.into()) < 4.0);
        // What the test would say of another temperature.
        assert!(temperature > 3 || deviation(&counts, &logits, 4.5) > 4.0);
    }
}

#[test]
fn a_model_without_noise_draws_nothing() {
    let f = Fixture::load("gpt2");
    let greedy = f.import(8, Output::Answers(4));
    let placed = Prompt::new(&greedy.graph, &f.tokens[..3]).expect("the prompt fits");
    let sampling = Some(Sampling { seed: 1, temperature: 1000 });
    assert_eq!(placed.answer(&kernels::Cpu, &greedy.weights, sampling).err(), Some(GenerateError::NotSampling));
    let model = f.import(8, Output::Samples(4));
    let Interface::Generation(generation) = model.graph.interface else { panic!("it generates") };
    assert!(generation.samples && greedy.graph.noise().is_none());
    let [.., noise] = model.graph.inputs[..] else { panic!("it has inputs") };
    assert_eq!(model.graph.tensor(noise.tensor).shape, [4, 31]);
}
