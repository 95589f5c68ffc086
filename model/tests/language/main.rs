//! Transformers: every architecture against an independent computation, the definition of its integers, and itself with
//! caches.

mod ahead;
#[path = "../reference/mod.rs"]
mod definition;
#[path = "../../../formats/tests/common/mod.rs"]
mod files;
mod fixture;
mod gguf;
mod real;
mod sampling;
#[path = "../common/shared.rs"]
mod shared;
mod split;
mod texts;

use definition::Tensors as Defined;
use fixture::Fixture;
use kernels::Ints;
use model::language::{Config, GenerateError, LanguageError, Output, Prompt, Reference};
use model::{Cache, Model, Subgraphs, Values, dequantise, execute, partition};
use verifier::generation::{self, Generated, Lengths};
use verifier::graph::TensorId;
use verifier::sampling::Sampling;

const ALL: [&str; 5] = ["gpt2", "gpt2-digits", "llama", "gemma3", "bert"];
const CAUSAL: [&str; 4] = ["gpt2", "gpt2-digits", "llama", "gemma3"];

/// Every tensor of a run on these inputs.
fn run(model: &Model, inputs: &[Vec<i64>]) -> Values {
    let graph = &model.graph;
    let mut values: Values = vec![None; graph.tensors.len()];
    model.weights.iter().for_each(|(id, weight)| values[id.index()] = Some(weight.clone()));
    assert_eq!(inputs.len(), graph.inputs.len());
    graph
        .inputs
        .iter()
        .zip(inputs)
        .for_each(|(port, input)| values[port.tensor.index()] = Some(Ints::from(input.clone())));
    execute(&kernels::Cpu, graph, 0..graph.nodes.len() as u32, &mut values).expect("the model runs");
    values
}

/// Tokens as an input.
fn sequence(tokens: &[u32]) -> [Vec<i64>; 1] {
    [tokens.iter().map(|&t| t.into()).collect()]
}

/// A whole sequence, as the model takes it: an encoder is told where it ends.
fn whole(model: &Model, tokens: &[u32]) -> Vec<Vec<i64>> {
    let last = vec![tokens.len() as i64 - 1];
    sequence(tokens).into_iter().chain([last]).take(model.graph.inputs.len()).collect()
}

fn output(model: &Model, values: &Values) -> Vec<i64> {
    values[model.graph.outputs[0].tensor.index()].as_ref().expect("the output is computed").to_vec()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn float_models_match_the_independent_computation() {
    for name in ALL {
        let f = Fixture::load(name);
        let reference = Reference::new(&f.config, &f, f.tokens.len(), f.whole()).expect("the model is supported");
        let difference = largest_difference(&reference.run(&f.tokens), &f.output.concat());
        println!("{name}: {difference:.1e}");
        assert!(difference < 1e-4, "{name}: {difference}");
    }
}

#[test]
fn integer_models_match_the_definition_and_are_close_to_the_float_models() {
    for name in ALL {
        let f = Fixture::load(name);
        let model = f.import(f.tokens.len(), f.whole());
        let values = run(&model, &whole(&model, &f.tokens));
        let mut defined = Defined::new();
        for (id, tensor) in (0..).map(TensorId).zip(&model.graph.tensors) {
            if !matches!(tensor.source, verifier::graph::Source::Node(_)) {
                let given = values[id.index()].as_ref().expect("inputs and weights have values").to_vec();
                defined.insert(id, given.into_iter().map(i128::from).collect());
            }
        }
        definition::run(&model.graph, &mut defined).expect("the definition runs");
        for (id, tensor) in (0..).map(TensorId).zip(&model.graph.tensors) {
            let found = values[id.index()].as_ref().map(|v| v.to_vec().into_iter().map(i128::from).collect());
            assert_eq!(found, defined.remove(&id), "{name}: tensor '{}'", tensor.name);
        }
        let port = model.graph.outputs[0];
        let found = dequantise(port.exponent, &Ints::from(output(&model, &values)));
        let difference = largest_difference(&found, &f.output.concat());
        let scale = f.output.concat().iter().fold(0f64, |m, x| m.max(x.abs()));
        println!("{name}: {difference:.1e} of {scale:.1}, {} nodes", model.graph.nodes.len());
        assert!(difference < 2e-3 * scale, "{name}: {difference}");
    }
}

/// The whole answer to a prompt.
fn answer(model: &Model, prompt: &[u32], sampling: Option<Sampling>) -> Vec<u32> {
    let placed = Prompt::new(&model.graph, prompt).expect("the prompt fits");
    let answer = placed.answer(&kernels::Cpu, &model.weights, sampling).expect("the model is causal");
    answer.map(|token| token.expect("the model runs")).collect()
}

#[test]
fn caches_give_what_one_pass_gives() {
    for name in CAUSAL {
        let f = Fixture::load(name);
        for (length, answers) in [(8, 4), (8, 1), (5, 5), (4, 2), (3, 1), (2, 1), (1, 1)] {
            let model = f.import(length, Output::Answers(answers));
            for prompt in 1..=length + 1 - answers {
                let prompt = f.tokens[..prompt].to_vec();
                let generated = Generated { answer: answer(&model, &prompt, None), prompt };
                assert_eq!(generated.answer.len(), answers, "{name}");
                let lengths = Lengths::of(&model.graph).expect("the model generates");
                let inputs = generation::inputs(lengths, &generated).expect("the answer fits");
                let values = run(&model, &inputs);
                assert_eq!(
                    generation::read(&model.graph, &inputs, &[output(&model, &values)]),
                    Ok(generated),
                    "{name}"
                );
            }
        }
    }
}

/// The embedding and the final projection contract one tensor, so they are proved in one place; what is between is not.
#[test]
fn tied_weights_are_in_one_subgraph() {
    let model = Fixture::load("gpt2-digits").import(8, Output::Answers(4));
    let graph = &model.graph;
    let parts = partition(&model, Subgraphs::Count(3)).expect("the model can be cut");
    let reads = |node: &&verifier::graph::Node, tensor: TensorId| node.op.inputs().contains(&tensor);
    let is_shared = |t: &TensorId| graph.nodes.iter().filter(|node| reads(node, *t)).count() == 2;
    let weights = model.weights.keys().copied().filter(is_shared);
    let tied = weights.max_by_key(|t| graph.tensor(*t).len()).expect("the embedding is tied");
    assert!(graph.tensor(tied).len() >= 300 * 16);
    let readers: Vec<u32> =
        (0..graph.nodes.len()).filter(|&n| reads(&&graph.nodes[n], tied)).map(|n| parts.subgraph_of_node[n]).collect();
    assert_eq!(readers, [readers[0]; 2]);
    assert!((0..3).all(|s| parts.subgraph_of_node.contains(&s)) && readers[0] > 0);
}

/// Logits themselves, in steps of several sizes; what comes later changes nothing.
#[test]
fn steps_of_any_size_give_the_same_logits() {
    for name in CAUSAL {
        let f = Fixture::load(name);
        let model = f.import(8, Output::Logits(8));
        let whole = output(&model, &run(&model, &sequence(&f.tokens)));
        for steps in [vec![8], vec![1; 8], vec![3, 4, 1], vec![1, 7]] {
            let mut cache = Cache::new(&kernels::Cpu, &model.graph, &model.weights).expect("the model is causal");
            let mut logits = Vec::new();
            let mut rest = &f.tokens[..];
            for step in &steps {
                let (now, later) = rest.split_at(*step);
                let now: Vec<i64> = now.iter().map(|&t| t.into()).collect();
                logits.extend(cache.extend(&now).expect("the step runs").remove(0));
                rest = later;
            }
            assert_eq!(logits, whole, "{name} in steps {steps:?}");
        }
        let mut altered = f.tokens.clone();
        altered[6] = (altered[6] + 1) % 29;
        let vocabulary = whole.len() / 8;
        let other = output(&model, &run(&model, &sequence(&altered)));
        assert_eq!(other[..6 * vocabulary], whole[..6 * vocabulary], "{name} looks ahead");
        assert_ne!(other[6 * vocabulary..], whole[6 * vocabulary..], "{name} does not look at its token");
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let f = Fixture::load("gpt2");
    let too_long = Reference::new(&f.config, &f, 17, Output::Logits(17)).err();
    assert_eq!(too_long, Some(LanguageError::Length { length: 17, context: 16 }));
    assert!(matches!(Reference::new(&f.config, &f, 8, Output::Embedding).err(), Some(LanguageError::Output { .. })));
    let mut without = Fixture::load("gpt2");
    without.tensors.remove("transformer.h.1.mlp.c_fc.weight").expect("the fixture has the tensor");
    let missing = Reference::new(&without.config, &without, 8, Output::Logits(8)).err().map(|e| e.to_string());
    assert_eq!(missing.as_deref(), Some("the checkpoint has no tensor 'h.1.mlp.c_fc.weight'"));
    let model = f.import(8, Output::Answers(4));
    assert_eq!(Prompt::new(&model.graph, &[]).err(), Some(GenerateError::Empty));
    let prompt = |n: usize| Prompt::new(&model.graph, &f.tokens[..n]).err().map(|e| e.to_string());
    let long = "the prompt has 6 tokens; this model takes at most 5: it reads 8 and answers with up to 4";
    assert_eq!((prompt(5), prompt(6).as_deref()), (None, Some(long)));
    let unknown = Prompt::new(&model.graph, &[1, 2, 3, 4, 31]).expect("the prompt fits");
    let unknown = unknown
        .answer(&kernels::Cpu, &model.weights, None)
        .expect("the model is causal")
        .next()
        .expect("there is an answer");
    let unknown = unknown.unwrap_err().to_string();
    assert_eq!(unknown, "tensor 'tokens' has the value 31; expected 0..=30");
    let mut evaluation = f.evaluation(7);
    let mut refused = |window: &[u32]| evaluation.window(window).unwrap_err().to_string();
    let short = "the window has 7 tokens; the model's length and the token after it make 8";
    assert_eq!(refused(&f.tokens[..7]), short);
    assert_eq!(refused(&[1, 2, 3, 4, 5, 6, 7, 31]), "the window has token 31; the vocabulary ends at 31");
    let encoder = Fixture::load("bert");
    let model = encoder.import(8, Output::Embedding);
    assert!(
        Cache::new(&kernels::Cpu, &model.graph, &model.weights)
            .is_err_and(|e| e.to_string().contains("position by position"))
    );
}

#[test]
fn configurations_that_contradict_themselves_are_refused_by_field() {
    let mut tensors = Fixture::load("llama");
    tensors.tensors.insert("token_embd.weight".into(), (vec![31, 64], 1.0, 0.0));
    let gguf = |heads: u32, more: (&str, u32)| {
        let mut metadata = serde_json::json!({
            "general.architecture": "llama", "llama.embedding_length": 64, "llama.block_count": 2,
            "llama.attention.head_count": heads, "llama.feed_forward_length": 96, "llama.context_length": 32,
        });
        metadata[more.0] = more.1.into();
        let metadata =
            formats::Config::from_json("metadata", metadata.to_string().as_bytes()).expect("it is an object");
        Config::from_gguf(&metadata, &tensors).map(drop).map_err(|error| error.to_string())
    };
    let refused = |heads, more, field: &str, expected: &str| {
        let error = gguf(heads, more).unwrap_err();
        assert!(error.contains(field) && error.contains(expected), "{error}");
    };
    let nothing = ("llama.attention.head_count_kv", 4);
    gguf(4, nothing).unwrap();
    refused(128, ("llama.attention.head_count_kv", 128), "llama.embedding_length", "a multiple of the heads");
    refused(4, ("llama.attention.head_count_kv", 3), "llama.attention.head_count_kv", "divide the heads");
    refused(64, ("llama.attention.head_count_kv", 64), "llama.attention.key_length", "even");
    refused(4, ("llama.block_count", 1 << 20), "llama.block_count", "at most 4096 layers");
    refused(4, ("llama.context_length", 0), "llama.context_length", "a positive whole number");
    let mut bert = Fixture::load("bert");
    let segments = bert.tensors.iter_mut().find(|(name, _)| name.contains("token_type_embeddings"));
    segments.expect("the fixture has segments").1.0[0] = 0;
    assert!(Reference::new(&bert.config, &bert, 8, Output::Embedding).is_err());
}

#[test]
fn perplexity_of_integers_is_that_of_floats() {
    for name in CAUSAL {
        let f = Fixture::load(name);
        let mut evaluation = f.evaluation(7);
        evaluation.window(&f.tokens).expect("the model runs");
        let p = evaluation.perplexity();
        println!("{name}: {} against {}", p.integer, p.float);
        assert_eq!(p.tokens, 7);
        let reference = Reference::new(&f.config, &f, 7, Output::Logits(7)).expect("the model is supported");
        let logits = reference.run(&f.tokens[..7]);
        let row = logits.len() / 7;
        let surprise = |i: usize| {
            let logits = &logits[i * row..][..row];
            logits.iter().map(|x| x.exp()).sum::<f64>().ln() - logits[f.tokens[i + 1] as usize]
        };
        assert!(((0..7).map(surprise).sum::<f64>() / 7.0).exp() - p.float < 1e-9, "{name}: {p:?}");
        let report = evaluation.report();
        assert!(report.layers.len() > 40 && report.outputs[0].max_error > 0.0);
        assert!(report.layers.iter().all(|layer| layer.cosine > 0.999), "{name}: {report:?}");
        assert!((p.integer / p.float - 1.0).abs() < 1e-2, "{name}: {} against {}", p.integer, p.float);
    }
}

#[test]
fn a_tied_embedding_is_one_tensor() {
    let f = Fixture::load("gpt2-digits");
    let model = f.import(8, Output::Logits(8));
    // 300 tokens in rows of 32: ten rows, the last one in part.
    let shape = vec![10, 32, 16];
    assert_eq!(model.graph.tensors.iter().filter(|t| t.shape == shape).count(), 1);
}
