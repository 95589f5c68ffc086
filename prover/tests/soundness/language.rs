//! Provers that lie about a language model: each takes one tensor of a run to be something else, and computes all that follows
//! from it. Statement, boundary and witnesses fit together; only the model is not the one that ran.

use crate::common::Net;
use crate::common::attempt::Attempt;
use crate::common::verdict::verify;
use crate::fixture::Fixture;
use kernels::Ints;
use model::language::{Output, Prompt};
use model::split::split;
use model::{Model, execute};
use prover::{ProveError, Values};
use verifier::generation::{self, Generated, Lengths};
use verifier::graph::{Op, Source, TensorId};
use verifier::proof::Proof;
use verifier::sampling::{MAX_TEMPERATURE, Sampling};

const LENGTH: usize = 6;
const PROMPT: [u32; 4] = [5, 15, 8, 15];

fn model() -> Model {
    Fixture::load("gpt2").import(LENGTH, Output::Answers(3))
}

fn sampling_model() -> Model {
    Fixture::load("gpt2").import(LENGTH, Output::Samples(3))
}

const SAMPLING: Sampling = Sampling { seed: 9, temperature: 800 };

/// All values of the run that reads this answer.
fn run(model: &Model, generated: &Generated) -> Values {
    drawn_run(model, generated, None)
}

fn drawn_run(model: &Model, generated: &Generated, sampling: Option<Sampling>) -> Values {
    let lengths = Lengths::of(&model.graph).unwrap();
    let inputs = generation::inputs(lengths, generated).unwrap();
    let noise = generation::noise(&model.graph, generated.prompt.len() - 1, sampling);
    let inputs = inputs.into_iter().chain(noise);
    let mut values: Values = vec![None; model.graph.tensors.len()];
    model.weights.iter().for_each(|(id, weight)| values[id.index()] = Some(weight.clone()));
    model
        .graph
        .inputs
        .iter()
        .zip(inputs)
        .for_each(|(port, input)| values[port.tensor.index()] = Some(Ints::from(input)));
    execute(&kernels::Cpu, &model.graph, 0..model.graph.nodes.len() as u32, &mut values).unwrap();
    values
}

fn answer(model: &Model) -> Generated {
    drawn(model, None)
}

fn drawn(model: &Model, sampling: Option<Sampling>) -> Generated {
    let placed = Prompt::new(&model.graph, &PROMPT).unwrap();
    let answer = placed.answer(&kernels::Cpu, &model.weights, sampling).unwrap().map(Result::unwrap).collect();
    Generated { prompt: PROMPT.to_vec(), answer }
}

fn net(model: &Model, values: Values) -> Net {
    Net { graph: model.graph.clone(), weights: model.weights.clone(), values, sampling: None }
}

/// A sampling under which the first token is not the most likely one.
fn unlikely(model: &Model) -> Sampling {
    let likely = answer(model).answer[0];
    let mut all = (0..).map(|seed| Sampling { seed, ..SAMPLING });
    all.find(|&sampling| drawn(model, Some(sampling)).answer[0] != likely).unwrap()
}

/// A run under a sampling, and a statement that says so.
fn drawn_net(model: &Model, generated: &Generated, sampling: Option<Sampling>) -> Net {
    Net { sampling, ..net(model, drawn_run(model, generated, sampling)) }
}

/// The tensors that nodes of this layer compute, with an operation and a shape.
fn computed(net: &Net, layer: &str, is: impl Fn(&Op) -> bool, shape: &[usize]) -> Vec<TensorId> {
    let nodes = net.graph.nodes.iter().filter(|node| node.name == layer && is(&node.op));
    let outputs = nodes.filter_map(|node| node.op.output());
    let found: Vec<TensorId> = outputs.filter(|t| net.graph.tensor(*t).shape == shape).collect();
    assert!(!found.is_empty(), "layer '{layer}' has no such tensor");
    found
}

fn is_einsum(op: &Op) -> bool {
    matches!(op, Op::Einsum(_))
}

fn is_lookup(op: &Op) -> bool {
    matches!(op, Op::Lookup(_))
}

fn has_table(op: &Op) -> bool {
    matches!(op, Op::Lookup(lookup) if lookup.table.is_some())
}

/// What a prover comes to for whom the tensor is what `change` makes of it, all else following. An error: the honest code finds that its
/// claims contradict each other, and makes no proof.
fn attempted(net: &Net, tensor: TensorId, change: impl FnOnce(&mut Vec<i64>)) -> Result<Attempt, ProveError> {
    let mut told = net.get(tensor);
    change(&mut told);
    assert_ne!(told, net.get(tensor), "nothing was changed");
    let values = net.telling(tensor, told);
    let half = net.graph.nodes.len() / 2;
    let attempt = Attempt::of(&Net { values, ..net.clone() }, &[half]);
    (0..2).try_for_each(|subgraph| attempt.subgraph(subgraph).map(drop))?;
    Ok(attempt)
}

/// Such a prover has a proof, which both verifiers refuse.
#[track_caller]
fn refused(net: &Net, tensor: TensorId, change: impl FnOnce(&mut Vec<i64>)) {
    attempted(net, tensor, change).expect("there is a proof").verify().expect_err("the lie is accepted");
}

#[test]
fn the_truth_is_accepted() {
    let model = model();
    let generated = answer(&model);
    let net = net(&model, run(&model, &generated));
    let verified = Attempt::of(&net, &[net.graph.nodes.len() / 2]).verify().expect("the proof is rejected");
    assert_eq!(verified.generated, [generated]);
}

/// The sequence reads the token that is claimed, so the statement is a generation; the model chose another.
#[test]
fn another_token_than_the_most_likely_one() {
    let model = model();
    let mut generated = answer(&model);
    let honest = generated.answer[0];
    generated.answer = vec![(honest + 1) % 31];
    let told = net(&model, run(&model, &generated));
    let output = model.graph.outputs[0].tensor;
    assert_eq!(told.get(output)[0], i64::from(honest));
    refused(&told, output, |tokens| tokens[0] = i64::from(generated.answer[0]));
    // Computed from logits that say so.
    let logits = computed(&told, "logits", is_einsum, &[3, 1, 31])[0];
    refused(&told, logits, |logits| logits[generated.answer[0] as usize] = *logits[..31].iter().max().unwrap() + 1);
    // Every step of the choice, told otherwise.
    let steps = |shape: &[usize]| computed(&told, "logits", |op| !matches!(op, Op::View(_)), shape);
    let steps = steps(&[3]).into_iter().map(|step| (step, 0)).chain(steps(&[3, 31]).into_iter().map(|s| (s, honest)));
    let mut without_proof = Vec::new();
    for (step, element) in steps {
        match attempted(&told, step, |values| values[element as usize] += 1) {
            Ok(attempt) => drop(attempt.verify().expect_err("the lie is accepted")),
            Err(error) => without_proof.push(format!("{}: {error}", told.graph.tensor(step).name)),
        }
    }
    // Another maximum is another token, which is public: the verifier would be told two values of it at one point.
    let twice = "the values are not a run of the model: tensor 'logits/index': one value at one point does not hold";
    assert_eq!(without_proof, [format!("logits/maximum: {twice}")]);
}

/// The final projection in three pieces, each proved apart: another piece is said to have the largest logit, or another token of the piece
/// that has it.
#[test]
fn the_winner_of_another_piece() {
    const STARTS: [u32; 3] = [0, 10, 20];
    let whole = model();
    let model = split(&whole.graph, 3).unwrap().apply(whole);
    let honest = answer(&model);
    let named = |name: &str| (0..).map(TensorId).find(|t| model.graph.tensor(*t).name == name).unwrap();
    let is_piece = |t: &TensorId| model.graph.tensor(*t).name.starts_with("logits/piece");
    let cuts =
        model.graph.nodes.iter().enumerate().filter(|(_, n)| is_einsum(&n.op) && n.op.inputs().iter().any(is_piece));
    let cuts: Vec<usize> = cuts.map(|(index, _)| index).take(3).collect();
    let truth = net(&model, run(&model, &honest));
    Attempt::of(&truth, &cuts).verify().expect("the proof is rejected");
    let winners = ["logits/index#2", "logits/index#3", "logits/index#4"].map(named);
    let winner = STARTS.iter().rposition(|&start| start <= honest.answer[0]).unwrap();
    let lies = |answer: u32, tensor: TensorId, change: &dyn Fn(&mut Vec<i64>)| {
        let told = net(&model, run(&model, &Generated { prompt: PROMPT.to_vec(), answer: vec![answer] }));
        let mut values = told.get(tensor);
        change(&mut values);
        let lying = Net { values: told.telling(tensor, values), ..told };
        assert_eq!(lying.get(model.graph.outputs[0].tensor)[0], i64::from(answer));
        Attempt::of(&lying, &cuts).verify().expect_err("the lie is accepted");
    };
    for piece in (0..3).filter(|&piece| piece != winner) {
        let token = STARTS[piece] + truth.get(winners[piece])[0] as u32;
        lies(token, named("logits/maxima"), &|maxima| maxima.swap(winner, piece));
        lies(token, named("logits/token"), &|tokens| tokens[0] = i64::from(token));
    }
    let other = (truth.get(winners[winner])[0] + 1) % 10;
    lies(STARTS[winner] + other as u32, winners[winner], &|index| index[0] = other);
}

/// Every public value of a proof, altered.
#[test]
fn another_prompt_or_answer_than_was_proved() {
    let model = model();
    let net = net(&model, run(&model, &answer(&model)));
    let attempt = Attempt::of(&net, &[]);
    let proof = Proof::from_bytes(&attempt.proof()).expect("it is a proof");
    let places = |ports: &[Vec<i64>]| -> Vec<(usize, usize)> {
        ports.iter().enumerate().flat_map(|(port, values)| (0..values.len()).map(move |v| (port, v))).collect()
    };
    let (inputs, outputs) =
        (places(&proof.statement.inferences[0].inputs), places(&proof.statement.inferences[0].outputs));
    assert_eq!((inputs.len(), outputs.len()), (LENGTH + 1, 3));
    for delta in [-1, 1] {
        for &(port, value) in &inputs {
            let mut altered = proof.clone();
            altered.statement.inferences[0].inputs[port][value] += delta;
            verify(&attempt.key, &altered.to_bytes()).expect_err("another input is accepted");
        }
        for &(port, value) in &outputs {
            let mut altered = proof.clone();
            altered.statement.inferences[0].outputs[port][value] += delta;
            verify(&attempt.key, &altered.to_bytes()).expect_err("another output is accepted");
        }
    }
}

/// A run that is proved honestly, of a sequence that does not read what the model chose.
#[test]
fn an_answer_that_was_not_read() {
    let model = model();
    let mut generated = answer(&model);
    generated.answer[0] = (generated.answer[0] + 1) % 31;
    let net = net(&model, run(&model, &generated));
    let error = Attempt::of(&net, &[]).verify().expect_err("another answer is accepted").to_string();
    assert!(error.contains("no generation: position 4 of the sequence"), "{error}");
}

#[test]
fn a_prompt_that_ends_elsewhere() {
    let model = model();
    let generated = answer(&model);
    let net = net(&model, run(&model, &generated));
    // The positions chosen are those of a prompt that is one token shorter.
    for hot in computed(&net, "answer position", is_lookup, &[1, 3]) {
        refused(&net, hot, |steps| {
            let last = steps.iter().rposition(|&step| step == 1).unwrap();
            steps[last] = 0;
        });
    }
}

#[test]
fn a_skipped_layer() {
    let model = model();
    let net = net(&model, run(&model, &answer(&model)));
    let before = *computed(&net, "h.0.attn.c_proj", is_einsum, &[LENGTH, 24]).last().unwrap();
    let after = *computed(&net, "h.0.mlp.c_proj", is_einsum, &[LENGTH, 24]).last().unwrap();
    let skipped = net.get(before);
    refused(&net, after, |values| *values = skipped);
}

#[test]
fn a_mask_that_shows_what_comes_later() {
    let model = model();
    let net = net(&model, run(&model, &answer(&model)));
    for layer in ["layer 0 attention", "layer 1 attention"] {
        let powers = computed(&net, layer, has_table, &[3, 1, LENGTH, LENGTH])[0];
        let row = net.get(powers)[..LENGTH].to_vec();
        assert!(row[0] > 0 && row[1..].iter().all(|&power| power == 0), "the first position sees itself alone");
        refused(&net, powers, |powers| powers[1] = powers[0]);
    }
}

#[test]
fn an_altered_row_of_a_softmax() {
    let model = model();
    let net = net(&model, run(&model, &answer(&model)));
    let powers = computed(&net, "layer 1 attention", has_table, &[3, 1, LENGTH, LENGTH])[0];
    refused(&net, powers, |powers| powers[4 * LENGTH + 2] += 1);
    let means = *computed(&net, "layer 1 attention", is_einsum, &[LENGTH, 3, 1, 8]).last().unwrap();
    refused(&net, means, |means| means[4 * 24] += 1);
}

#[test]
fn swapped_heads() {
    let model = model();
    let net = net(&model, run(&model, &answer(&model)));
    let heads = *computed(&net, "layer 0 attention", is_einsum, &[LENGTH, 3, 1, 8]).last().unwrap();
    refused(&net, heads, |values| {
        for row in values.chunks_mut(24) {
            row[..16].rotate_left(8);
        }
    });
}

/// Keys and values of the second position are those of another prompt.
#[test]
fn stale_keys_and_values() {
    let model = model();
    let generated = answer(&model);
    let net = net(&model, run(&model, &generated));
    let mut other = generated;
    other.prompt[1] = 9;
    let other = run(&model, &other);
    for (layer, is) in
        [("layers.0.self_attn.k_proj", is_einsum as fn(&Op) -> bool), ("layers.0.self_attn.v_proj", is_einsum)]
    {
        let tensor = computed(&net, layer, is, &[LENGTH, 3, 8])[0];
        let stale = other[tensor.index()].as_ref().unwrap().to_vec();
        refused(&net, tensor, |values| values[24..48].copy_from_slice(&stale[24..48]));
    }
}

/// Position vectors are constants of the key: those of other positions are other weights.
#[test]
fn wrong_positions() {
    let model = model();
    let net = net(&model, run(&model, &answer(&model)));
    let is_weight = |id: &TensorId| {
        let tensor = net.graph.tensor(*id);
        tensor.source == Source::Weight && tensor.shape == [LENGTH, 24]
    };
    let positions = (0..).map(TensorId).take(net.graph.tensors.len()).find(is_weight).expect("there are positions");
    refused(&net, positions, |values| values.rotate_left(24));
}

#[test]
fn a_drawn_answer_is_accepted_for_what_it_is() {
    let model = sampling_model();
    for sampling in [Some(SAMPLING), Some(Sampling { temperature: 2000, ..SAMPLING }), None] {
        let generated = drawn(&model, sampling);
        let net = drawn_net(&model, &generated, sampling);
        let verified = Attempt::of(&net, &[net.graph.nodes.len() / 2]).verify().expect("the proof is rejected");
        assert_eq!((verified.generated, verified.inferences[0].sampling), (vec![generated], sampling));
    }
    let likeliest = answer(&model);
    assert_eq!(likeliest, answer(&self::model()));
    assert_ne!(likeliest, drawn(&model, Some(unlikely(&model))));
}

/// An honest run with the noise of another seed, of another temperature, of the positions next to these, or with none at all.
#[test]
fn another_noise_than_the_statement_says() {
    let model = sampling_model();
    let generated = drawn(&model, Some(SAMPLING));
    let noise = model.graph.noise().unwrap().tensor;
    let others = [
        Some(Sampling { seed: 10, ..SAMPLING }),
        Some(Sampling { seed: 9 | 1 << 63, ..SAMPLING }),
        Some(Sampling { temperature: 799, ..SAMPLING }),
        Some(Sampling { temperature: 801, ..SAMPLING }),
        None,
    ];
    let honest = drawn_net(&model, &generated, Some(SAMPLING));
    for other in others {
        let told = drawn_net(&model, &drawn(&model, other), other);
        let attempt = Attempt::of(&Net { sampling: Some(SAMPLING), ..told }, &[]);
        attempt.rejected("boundary: public tensor 'noise': the claim on a public tensor does not hold");
    }
    let last = generated.prompt.len() - 1;
    for (position, row) in [(last - 1, 0), (last + 1, 0)] {
        let width = model.graph.tensor(noise).shape[1];
        let moved = generation::noise(&model.graph, position, Some(SAMPLING)).unwrap();
        refused(&honest, noise, |values| values[row * width..][..width].copy_from_slice(&moved[..width]));
    }
    // One token's, by the least that there is.
    refused(&honest, noise, |values| values[40] += 1);
}

#[test]
fn another_choice_than_was_drawn() {
    let model = sampling_model();
    let sampling = Some(unlikely(&model));
    let mut generated = drawn(&model, sampling);
    let honest = generated.answer[0];
    // The likeliest token is a choice that only another noise would make.
    generated.answer = vec![answer(&model).answer[0]];
    assert_ne!(generated.answer[0], honest);
    let told = drawn_net(&model, &generated, sampling);
    let output = model.graph.outputs[0].tensor;
    assert_eq!(told.get(output)[0], i64::from(honest));
    refused(&told, output, |tokens| tokens[0] = i64::from(generated.answer[0]));
    let noisy = computed(&told, "logits", is_einsum, &[3, 31])[0];
    refused(&told, noisy, |sums| sums[generated.answer[0] as usize] = *sums[..31].iter().max().unwrap() + 1);
    refused(&told, model.graph.noise().unwrap().tensor, |noise| {
        noise[generated.answer[0] as usize] = noise[honest as usize] * 4
    });
}

/// Every field of the sampling in a proof, altered.
#[test]
fn another_sampling_than_was_proved() {
    let model = sampling_model();
    for sampling in [Some(SAMPLING), None] {
        let net = drawn_net(&model, &drawn(&model, sampling), sampling);
        let attempt = Attempt::of(&net, &[]);
        let honest = Proof::from_bytes(&attempt.proof()).expect("it is a proof");
        let seeds = (0..64).map(|bit| Sampling { seed: SAMPLING.seed ^ 1 << bit, ..SAMPLING });
        let temperatures = (0..32).map(|bit| Sampling { temperature: SAMPLING.temperature ^ 1 << bit, ..SAMPLING });
        let bounds =
            [0, 1, MAX_TEMPERATURE, MAX_TEMPERATURE + 1].map(|temperature| Sampling { temperature, ..SAMPLING });
        let others = seeds.chain(temperatures).chain(bounds).chain([SAMPLING]).map(Some).chain([None]);
        for other in others.filter(|&other| other != sampling) {
            let mut altered = honest.clone();
            altered.statement.inferences[0].sampling = other;
            let error = verify(&attempt.key, &altered.to_bytes()).expect_err("another sampling is accepted");
            let beyond = other.is_some_and(|other| !other.is_valid());
            assert_eq!(error.to_string().contains("thousandths"), beyond, "{error}");
        }
        // The flag is a 0 or a 1, and what follows a 1 is all there.
        let bytes = honest.to_bytes();
        let flag = 8 + 32 + 8 + (8 + 2 * 8 + 8 * (LENGTH + 1)) + (8 + 8 + 8 * 3);
        assert_eq!(bytes[flag], u8::from(sampling.is_some()));
        for value in (0..=255).filter(|&value| value != bytes[flag]) {
            let mut altered = bytes.clone();
            altered[flag] = value;
            verify(&attempt.key, &altered).expect_err("another flag is accepted");
        }
    }
}
