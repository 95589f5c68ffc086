//! The stages on a language model: the example that adds, from a prompt to a proof, and prompts that are refused.

use std::{fs, path::Path};

use crds::{
    Digest, Format, Output, Subgraphs,
    contract::{
        AggregateArgs, ExecuteArgs, ExecutionManifest, FailureKind, ProofManifest, ProveArgs, SetupArgs, SetupManifest,
        StageArgs,
    },
};
use formats::Tokenizer;
use kernels::Cpu;
use prover_worker::{Finished, StageError, run_stage, store::Store};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;
use verifier::{Verified, generation::Generated, key::ModelKey, sampling::Sampling};

const SUBGRAPHS: u32 = 2;
const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

fn example() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/adder").canonicalize().unwrap()
}

fn url(path: &Path) -> String {
    Url::from_file_path(path).unwrap().into()
}

fn setup_of(folder: &Path, sequence: u32, answer: u32) -> SetupArgs {
    SetupArgs {
        source: Url::from_directory_path(folder).unwrap().into(),
        format: Format::HuggingFace,
        calibration: vec![url(&example().join("calibration.txt"))],
        sequence,
        answer,
        sampling: false,
        subgraphs: Subgraphs::Count(SUBGRAPHS),
        security_bits: 100,
    }
}

/// A store in memory with the model set up in it.
struct Adder {
    store: Store,
    setup: Digest,
}

impl Adder {
    fn new() -> Self {
        Self::set_up(setup_of(&example(), 9, 4))
    }

    fn sampling() -> Self {
        Self::set_up(SetupArgs { sampling: true, ..setup_of(&example(), 9, 4) })
    }

    fn set_up(args: SetupArgs) -> Self {
        let store = Store::in_memory().unwrap();
        let setup = run_stage(&Cpu, &store, &StageArgs::Setup(args)).unwrap().artifact.digest;
        Self { store, setup }
    }

    fn prove(&self, execution: Digest) -> Verified {
        let proofs = (0..SUBGRAPHS).map(|i| StageArgs::Prove(ProveArgs::of(execution, i)));
        proofs.for_each(|stage| drop(run_stage(&Cpu, &self.store, &stage).unwrap()));
        let aggregated = run_stage(&Cpu, &self.store, &StageArgs::Aggregate(AggregateArgs { execution })).unwrap();
        let proof: ProofManifest = self.read(aggregated.artifact.digest);
        let setup: SetupManifest = self.read(self.setup);
        let key = ModelKey::from_bytes(&self.store.get(setup.key.digest).unwrap()).unwrap();
        verifier::verify(&key, &self.store.get(proof.proof.digest).unwrap()).unwrap()
    }

    fn read<T: DeserializeOwned>(&self, digest: Digest) -> T {
        serde_json::from_slice(&self.store.get(digest).unwrap()).unwrap()
    }

    fn execute(&self, input: &Value) -> Result<Finished, StageError> {
        let input = self.store.put(input.to_string().into_bytes()).unwrap().digest;
        let args = ExecuteArgs { setup: self.setup, input: format!("artifact:{input}") };
        run_stage(&Cpu, &self.store, &StageArgs::Execute(args))
    }

    /// What is answered.
    fn output(&self, input: &Value) -> Output {
        let executed = self.execute(input).unwrap();
        let [output] = &self.read::<ExecutionManifest>(executed.artifact.digest).outputs[..] else { panic!() };
        output.clone()
    }

    fn text(&self, input: &Value) -> String {
        self.output(input).text.unwrap()
    }

    /// Why there is no answer; trying again would not help.
    fn refusal(&self, input: &Value) -> String {
        let error = self.execute(input).unwrap_err();
        assert_eq!(error.kind, FailureKind::Deterministic);
        error.message
    }
}

#[test]
fn a_prompt_is_answered_and_proved() {
    let adder = Adder::new();
    let execution = adder.execute(&json!({ "prompt": "27+35=" })).unwrap().artifact.digest;
    let mut verified = adder.prove(execution);
    let setup: SetupManifest = adder.read(adder.setup);
    let tokenizer = Tokenizer::from_bytes("t", &adder.store.get(setup.tokenizer.unwrap().digest).unwrap()).unwrap();
    let Generated { prompt, answer } = verified.generated.remove(0);
    // The model's own end is part of the answer, and no text.
    assert_eq!((prompt.len(), answer.len(), answer.last()), (6, 3, Some(&tokenizer.eos()[0])));
    assert_eq!(
        (tokenizer.decode(&prompt).unwrap(), tokenizer.decode(&answer).unwrap()),
        ("27+35=".into(), "62".into())
    );
}

#[test]
fn an_answer_ends_where_it_is_to_end() {
    let adder = Adder::new();
    assert_eq!(adder.text(&json!({ "prompt": "1+2=" })), "3");
    assert_eq!(adder.text(&json!({ "prompt": "98+99=" })), "197");
    assert_eq!(adder.text(&json!({ "prompt": "98+99=", "maxNewTokens": 2 })), "19");
    assert_eq!(adder.text(&json!({ "prompt": "98+99=", "stop": ["x", "7", "97"] })), "1");
    // The tokens of the same prompt.
    let [tokens, text] = [json!({ "input_data": [[9, 8, 10, 9, 9, 11]] }), json!({ "prompt": "98+99=" })];
    assert_eq!(adder.output(&tokens), adder.output(&text));
    assert_eq!(adder.output(&text).values[..3], [1.0, 9.0, 7.0]);
}

/// What is drawn depends on the seed alone, is another artifact for another seed, and is proved.
#[test]
fn an_answer_is_drawn_by_its_seed() {
    let adder = Adder::sampling();
    let input = |seed: i64, temperature: &str| json!({ "prompt": "27+35=", "seed": seed, "temperature": temperature });
    // An adder is sure of its sums, so the draw is seen where it is made to doubt them.
    let said: Vec<String> = (0..6).map(|seed| adder.text(&input(seed, "10"))).collect();
    assert!(said.iter().collect::<std::collections::BTreeSet<_>>().len() > 2, "{said:?}");
    assert_eq!(adder.output(&input(0, "10.0")), adder.output(&input(0, "10")));
    assert_eq!(adder.text(&input(i64::MAX, "0.001")), "62");
    let first = adder.execute(&input(1, "10")).unwrap();
    assert!(adder.execute(&input(1, "10")).unwrap().reused && !adder.execute(&input(9, "10")).unwrap().reused);
    let drawn = adder.output(&input(1, "10")).drawn.unwrap();
    assert_eq!((drawn.seed, drawn.temperature.to_string().as_str()), (1, "10"));
    let mut verified = adder.prove(first.artifact.digest);
    assert_eq!(verified.inferences[0].sampling, Some(Sampling { seed: 1, temperature: 10_000 }));
    let tokens: Vec<f64> = verified.generated.remove(0).answer.into_iter().map(f64::from).collect();
    assert_eq!(tokens, adder.output(&input(1, "10")).values);

    // Tokens as values, a temperature that is not said, and the most likely tokens.
    let values = adder.output(&json!({ "input_data": [[2, 7, 10, 3, 5, 11]], "seed": 4, "temperature": "10" }));
    assert_eq!(values, adder.output(&input(4, "10")));
    assert_eq!(adder.output(&json!({ "prompt": "27+35=", "seed": 4 })), adder.output(&input(4, "1")));
    let likeliest = adder.output(&json!({ "prompt": "27+35=", "temperature": "0" }));
    assert_eq!((likeliest.text.as_deref(), likeliest.drawn), (Some("62"), None));
    assert_eq!(Adder::new().output(&json!({ "prompt": "27+35=", "temperature": "0" })), likeliest);
    for (input, expected) in [
        (json!({ "prompt": "1+2=" }), "the model samples: give a seed (spec.input.seed), or the temperature \"0\""),
        (json!({ "prompt": "1+2=", "temperature": "0.5" }), "the model samples: give a seed"),
        (json!({ "prompt": "1+2=", "seed": 1, "temperature": "0" }), "a seed with the temperature 0"),
        (json!({ "prompt": "1+2=", "seed": -1 }), "seed is -1: must be from 0 to 2^63 - 1"),
        (json!({ "prompt": "1+2=", "seed": 1, "temperature": "10.001" }), "temperature is 10.001: must be at most 10"),
        (json!({ "prompt": "1+2=", "seed": 1, "temperature": 1 }), "expected a decimal in quotes, such as \"0.8\""),
        (json!({ "prompt": "1+2=", "seed": 1, "temperature": "warm" }), "\"warm\" is not a temperature"),
        (json!({ "input_data": [[1, 10, 2, 11]] }), "the model samples: give a seed"),
    ] {
        let message = adder.refusal(&input);
        assert!(message.contains(expected), "{input}\ngave   {message}\nwanted {expected}");
    }
}

/// Several prompts, each with bounds and a draw of its own, are answered as each would be alone, and proved together.
#[test]
fn several_prompts_are_answered_and_proved_together() {
    let adder = Adder::sampling();
    let inputs = [
        json!({ "prompt": "27+35=", "temperature": "0" }),
        json!({ "prompt": "98+99=", "seed": 3, "temperature": "10" }),
        json!({ "prompt": "98+99=", "temperature": "0", "maxNewTokens": 2 }),
        json!({ "input_data": [[1, 10, 2, 11]], "temperature": "0" }),
    ];
    let executed = adder.execute(&json!({ "inputs": inputs })).unwrap();
    let outputs = adder.read::<ExecutionManifest>(executed.artifact.digest).outputs;
    assert_eq!(outputs.iter().map(|output| output.input).collect::<Vec<_>>(), [0, 1, 2, 3].map(Some));
    for (output, input) in outputs.iter().zip(&inputs) {
        assert_eq!(Output { input: None, ..output.clone() }, adder.output(input));
    }
    let verified = adder.prove(executed.artifact.digest);
    assert_eq!(verified.inferences.len(), 4);
    for (generated, output) in verified.generated.iter().zip(&outputs) {
        assert_eq!(generated.answer.iter().map(|&token| f64::from(token)).collect::<Vec<_>>(), output.values);
    }
    let seeds: Vec<_> = verified.inferences.iter().map(|inference| inference.sampling.map(|s| s.seed)).collect();
    assert_eq!(seeds, [None, Some(3), None, None]);
    let listed = |input: Value| adder.refusal(&json!({ "inputs": [inputs[0], input] }));
    assert!(listed(json!({ "prompt": "1+2=" })).contains("inputs[1]: the model samples: give a seed"));
    assert!(listed(json!({ "prompt": "1+2=?", "seed": 1 })).contains("inputs[1]: "));
    assert!(listed(json!({ "input_data": [[1], [2]], "seed": 1 })).contains("inputs[1]: 2 lists are given"));
}

#[test]
fn prompts_that_do_not_fit_are_refused() {
    let adder = Adder::new();
    for (input, expected) in [
        (json!({ "prompt": "" }), "the prompt is empty"),
        (json!({ "prompt": "1+2=", "maxNewTokens": 0 }), "maxNewTokens is 0"),
        (
            json!({ "prompt": "1+2=", "maxNewTokens": 5 }),
            "maxNewTokens is 5; the model was set up for answers of at most 4 tokens",
        ),
        (json!({ "prompt": "1+2=", "stop": [""] }), "stop has an empty text"),
        (json!({ "prompt": "1+2=", "top_k": 1 }), "unknown field `top_k`"),
        (
            json!({ "prompt": "1+2=", "seed": 1 }),
            "the model was set up to choose the most likely tokens, and draws none",
        ),
        (json!({ "prompt": "1+2=", "temperature": "0.7" }), "the model was set up to choose the most likely tokens"),
        (json!({ "prompt": "1+2+3=" , "maxNewTokens": 1 }), ""),
        (
            json!({ "prompt": "10+20+30=" }),
            "the prompt has 9 tokens; this model takes at most 6: it reads 9 and answers with up to 4",
        ),
        (json!({ "input_data": [[]] }), "the prompt is empty"),
        (json!({ "input_data": [[1, 10, 13]] }), "token 2 is 13: expected 0 to 12"),
        (json!({ "input_data": [[1, 0.5]] }), "token 1 is 0.5"),
        (json!({ "input_data": [[1], [2]] }), "2 lists are given; a prompt is one list of tokens"),
    ] {
        if expected.is_empty() {
            adder.execute(&input).unwrap();
            continue;
        }
        let message = adder.refusal(&input);
        assert!(message.contains(expected), "{input}\ngave   {message}\nwanted {expected}");
    }
}

/// Hugging Face's layout of the tiny encoder that the model's tests have, with weights that follow from their place.
fn encoder(folder: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/language/fixtures/bert.json");
    let fixture: Value = serde_json::from_slice(&fs::read(fixture).unwrap()).unwrap();
    fs::write(folder.join("config.json"), fixture["config"].to_string()).unwrap();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, tensor) in fixture["tensors"].as_object().unwrap() {
        let begin = data.len();
        let count: u64 = tensor["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).product();
        let offset = tensor["offset"].as_f64().unwrap();
        let weight =
            |i: u64| (offset + (((i * i * 31 + i * 17 + begin as u64) % 101) as f64 / 101.0 - 0.5) * 0.5) as f32;
        (0..count).for_each(|i| data.extend(weight(i).to_le_bytes()));
        header.insert(
            name.clone(),
            json!({ "dtype": "F32", "shape": tensor["shape"], "data_offsets": [begin, data.len()] }),
        );
    }
    let header = Value::Object(header).to_string();
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    fs::write(folder.join("model.safetensors"), file).unwrap();
}

/// The statement has the text, zeros behind it, and where it ends.
#[test]
fn an_encoder_takes_texts_up_to_its_length() {
    let folder = tempfile::tempdir().unwrap();
    encoder(folder.path());
    let encoder = |sequence| Adder::set_up(SetupArgs { calibration: vec![], ..setup_of(folder.path(), sequence, 1) });
    let (six, three) = (encoder(6), encoder(3));
    let text = json!({ "input_data": [[4, 9, 30]] });
    let (padded, alone) = (six.output(&text).values, three.output(&text).values);
    let most = padded.iter().zip(&alone).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(!padded.is_empty() && most < 2e-2, "{padded:?} {alone:?}");
    assert_ne!(padded, six.output(&json!({ "input_data": [[4, 9, 30, 0]] })).values);
    let verified = six.prove(six.execute(&text).unwrap().artifact.digest);
    assert_eq!(verified.inferences[0].inputs, [vec![4, 9, 30, 0, 0, 0], vec![2]]);
    for (input, expected) in [
        (json!({ "input_data": [[1, 2, 3, 4, 5, 6, 7]] }), "the text has 7 tokens; the model was set up for 1 to 6"),
        (json!({ "input_data": [[]] }), "the text has 0 tokens; the model was set up for 1 to 6"),
        (json!({ "input_data": [[1, 33]] }), "token 1 is 33: expected 0 to 32"),
        (json!({ "input_data": [[1], [0]] }), "2 lists are given"),
        (json!({ "input_data": [[1, 2]], "seed": 1 }), "this model gives none"),
    ] {
        let message = six.refusal(&input);
        assert!(message.contains(expected), "{input}\ngave   {message}\nwanted {expected}");
    }
}

#[test]
fn models_that_cannot_be_set_up_are_refused_by_file() {
    let refusal = |args: SetupArgs| {
        let error = run_stage(&Cpu, &Store::in_memory().unwrap(), &StageArgs::Setup(args)).unwrap_err();
        assert_eq!(error.kind, FailureKind::Deterministic);
        error.message
    };
    let with = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        for name in FILES {
            fs::copy(example().join(name), folder.path().join(name)).unwrap();
        }
        change(folder.path());
        refusal(setup_of(folder.path(), 9, 4))
    };
    let write =
        |name: &'static str, text: &'static str| move |folder: &Path| fs::write(folder.join(name), text).unwrap();
    let remove = |name: &'static str| move |folder: &Path| fs::remove_file(folder.join(name)).unwrap();
    let index = r#"{"weight_map": {"a": "../model.safetensors"}}"#;
    for (message, expected) in [
        (with(&remove("config.json")), "config.json: file: expected the model's config.json, found no such file"),
        (with(&remove("model.safetensors")), "model.safetensors: file: expected this file, or"),
        (with(&remove("tokenizer.json")), "calibration.txt: a text, but the model came without a tokenizer"),
        (with(&write("config.json", r#"{"model_type": "rwkv"}"#)), "rwkv"),
        (with(&write("model.safetensors", "nothing")), "model.safetensors: header"),
        (
            with(&|folder| {
                remove("model.safetensors")(folder);
                write("model.safetensors.index.json", index)(folder);
            }),
            "\"../model.safetensors\" is not the name of a file in it",
        ),
        (refusal(setup_of(&example(), 10, 4)), "10 tokens were asked for; the model takes 1 to 9"),
        (refusal(setup_of(&example(), 4, 5)), "5 tokens were asked for"),
        (
            refusal(SetupArgs { calibration: vec![url(&example().join("config.json"))], ..setup_of(&example(), 9, 4) }),
            "config.json: ",
        ),
        (
            refusal(SetupArgs {
                format: Format::Gguf,
                source: url(&example().join("config.json")),
                ..setup_of(&example(), 9, 4)
            }),
            "config.json: ",
        ),
    ] {
        assert!(message.contains(expected), "gave   {message}\nwanted {expected}");
    }
}
