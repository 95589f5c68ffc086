//! Real models, where they have been fetched: numbers against the checksums that `tests/reference/checksums.py` prints, tokens
//! against the models' own tokenizers.

mod common;

use std::collections::BTreeMap;

use common::{GgufFile, Meta, fetched, read, shared};
use formats::{Checkpoint, Layout, Tokenizer, gguf, open};

/// As `checksums.py`.
fn checksums(model: &Checkpoint) -> BTreeMap<String, u64> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for tensor in model.weights.tensors() {
        let numbers = read(&model.weights, &tensor.name).unwrap();
        let weighted = (0u64..).zip(numbers).map(|(i, x)| u64::from(x.to_bits()).wrapping_mul(2 * i + 1));
        let sum = sums.entry(tensor.encoding.to_string()).or_default();
        *sum = sum.wrapping_mul(31).wrapping_add(weighted.fold(0, u64::wrapping_add));
    }
    sums
}

fn expect(model: &Checkpoint, expected: &[(&str, u64)]) {
    let expected: BTreeMap<String, u64> = expected.iter().map(|&(name, sum)| (name.into(), sum)).collect();
    assert_eq!(checksums(model), expected);
}

/// Texts that tokenizers differ on.
fn texts() -> Vec<String> {
    let fixed = [
        "",
        " ",
        "Hello, world!",
        "  two  spaces   three \n\n\nlines\ttab\r\n",
        "don't we've I'll 2024 3.14159 1,000,000",
        "Grüße, Привет, こんにちは, 안녕, שלום, 🙂👩\u{200d}👩\u{200d}👧",
        "def f(x):\n    return x ** 2  # comment\n",
        "\u{0}\u{1}\u{feff}\u{2028}\u{a0}é e\u{301}",
        "<s> </s> [INST] <|x|> ▁▁ a▁b",
    ];
    let mut texts: Vec<String> = fixed.map(str::to_owned).into();
    for folder in ["text", "text/wikitext-2"].iter().filter_map(|folder| shared(folder)) {
        for file in std::fs::read_dir(folder).unwrap() {
            let Ok(text) = std::fs::read_to_string(file.unwrap().path()) else { continue };
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            texts.extend(lines.chunks(40).step_by(8).map(<[&str]>::concat));
        }
    }
    texts
}

fn same_tokens(a: &Tokenizer, b: &Tokenizer) {
    let mut tokens = 0;
    for text in texts() {
        let ids = a.encode(&text).unwrap();
        assert_eq!(ids, b.encode(&text).unwrap(), "{text:?}");
        assert_eq!(a.decode(&ids).unwrap(), b.decode(&ids).unwrap());
        tokens += ids.len();
    }
    println!("{tokens} tokens");
}

fn round_trips(tokenizer: &Tokenizer, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        let ids = tokenizer.encode(&text).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        let mut stream = tokenizer.stream();
        let streamed: String = ids.iter().filter_map(|&id| stream.push(id).unwrap()).collect();
        assert_eq!(streamed, text);
    }
}

#[test]
fn smollm2_in_gguf() {
    let Some(path) = fetched("smollm2.gguf") else { return };
    let model = open(&path).unwrap();
    assert_eq!((model.layout, model.config.text("general.architecture")), (Layout::Gguf, Ok("llama")));
    assert_eq!(model.weights.get("blk.0.attn_k.weight").unwrap().shape, [192, 576]);
    expect(&model, &[("Q8_0", 0xee6fa1c00885e840), ("F32", 0xdb4ee413f3d50000), ("Q4_1", 0xa904355be8c01a00)]);
    let tokenizer = model.tokenizer().unwrap().unwrap();
    assert_eq!((tokenizer.size(), tokenizer.bos(), tokenizer.eos()), (49_152, Some(1), [2].as_slice()));
    assert_eq!(tokenizer.encode("Hello, world! 2024").unwrap(), [19556, 28, 905, 17, 216, 34, 32, 34, 36]);
    round_trips(&tokenizer, texts());
}

#[test]
fn gemma3_in_gguf() {
    let Some(path) = fetched("gemma3.gguf") else { return };
    let model = open(&path).unwrap();
    assert_eq!(model.config.usize("gemma3.attention.sliding_window"), Ok(512));
    expect(
        &model,
        &[
            ("F32", 0xed82c9a2c9294a90),
            ("Q8_0", 0x3b6cef84bf06e580),
            ("Q5_0", 0xaaf7db574516c000),
            ("Q4_K", 0xf09a253eec5dd8a0),
            ("Q6_K", 0x8c63142cd0be2894),
        ],
    );
    let tokenizer = model.tokenizer().unwrap().unwrap();
    assert_eq!((tokenizer.size(), tokenizer.bos(), tokenizer.eos()), (262_144, Some(2), [1].as_slice()));
    // SentencePiece has one sign for a space and for this one, and wikitext spells out a special token.
    round_trips(&tokenizer, texts().into_iter().filter(|text| !text.contains('\u{2581}') && !text.contains("<unk>")));
    let Some(path) = fetched("gemma3-tokenizer.json") else { return };
    let own = Tokenizer::from_json("tokenizer.json", &std::fs::read(path).unwrap(), &[]).unwrap();
    same_tokens(&tokenizer, &own);
}

#[test]
fn minilm_in_a_folder() {
    let Some(path) = fetched("minilm") else { return };
    let model = open(&path).unwrap();
    assert_eq!((model.layout, model.config.usize("num_hidden_layers")), (Layout::HuggingFace, Ok(6)));
    let norm = model.weights.read("embeddings.LayerNorm.weight", &[384]).unwrap();
    assert!(norm.iter().all(|x| x.is_finite()) && norm.iter().any(|&x| x != 0.0));
    let tokenizer = model.tokenizer().unwrap().unwrap();
    assert_eq!(tokenizer.encode("This is a test.").unwrap(), [101, 2023, 2003, 1037, 3231, 1012, 102]);
    assert_eq!(tokenizer.encode_plain("This is a test.").unwrap(), [2023, 2003, 1037, 3231, 1012]);
    // Its file says to truncate at 128 tokens.
    assert_eq!(tokenizer.encode(&"a ".repeat(500)).unwrap().len(), 502);
}

#[test]
fn gpt2_tokens() {
    let Some(path) = shared("tokenizers/gpt2") else { return };
    let file = |name: &str| std::fs::read(path.join(name)).unwrap();
    let config = formats::Config::from_json("tokenizer_config.json", &file("tokenizer_config.json")).unwrap();
    let tokenizer = Tokenizer::from_json("tokenizer.json", &file("tokenizer.json"), &[&config]).unwrap();
    assert_eq!(tokenizer.encode("Hello, world!").unwrap(), [15496, 11, 995, 0]);
    assert_eq!((tokenizer.size(), tokenizer.eos()), (50_257, [50_256].as_slice()));
    round_trips(&tokenizer, texts());
}

#[test]
fn gpt2_models_beside_the_repository() {
    for name in ["char-gpt2-shakespeare", "gpt-nano-sort"] {
        let Some(path) = shared(&format!("models/{name}")) else { continue };
        let model = open(&path).unwrap();
        for tensor in model.weights.tensors() {
            assert!(read(&model.weights, &tensor.name).unwrap().iter().all(|x| x.is_finite()), "{}", tensor.name);
        }
        assert!(model.config.usize("n_layer").unwrap() > 0);
    }
}

/// The byte-level tokenizer of a `tokenizer.json` as GGUF has it.
fn as_gguf(json: &[u8], pre: &str) -> Vec<u8> {
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    let mut tokens: BTreeMap<u64, (String, i32)> = BTreeMap::new();
    for (token, id) in json["model"]["vocab"].as_object().unwrap() {
        tokens.insert(id.as_u64().unwrap(), (token.clone(), 1));
    }
    for added in json["added_tokens"].as_array().unwrap() {
        let kind = if added["special"].as_bool().unwrap() { 3 } else { 4 };
        tokens.insert(added["id"].as_u64().unwrap(), (added["content"].as_str().unwrap().into(), kind));
    }
    assert!(tokens.keys().copied().eq(0..tokens.len() as u64));
    let merge = |merge: &serde_json::Value| match merge.as_array() {
        Some(pair) => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
        None => merge.as_str().unwrap().into(),
    };
    let bos = tokens.values().position(|(token, _)| token == "<|begin_of_text|>");
    let mut file = GgufFile::default()
        .with("tokenizer.ggml.model", Meta::Text("gpt2".into()))
        .with("tokenizer.ggml.pre", Meta::Text(pre.into()))
        .with("tokenizer.ggml.tokens", Meta::Texts(tokens.values().map(|(token, _)| token.clone()).collect()))
        .with("tokenizer.ggml.token_type", Meta::I32s(tokens.values().map(|(_, kind)| *kind).collect()))
        .with(
            "tokenizer.ggml.merges",
            Meta::Texts(json["model"]["merges"].as_array().unwrap().iter().map(merge).collect()),
        );
    if let Some(bos) = bos {
        file = file.with("tokenizer.ggml.bos_token_id", Meta::U32(bos as u32));
    }
    file.bytes()
}

#[test]
fn byte_level_tokenizers_are_the_same_from_either_file() {
    let files = [
        ("gpt-2", shared("tokenizers/gpt2/tokenizer.json")),
        ("llama-bpe", fetched("llama3-tokenizer.json")),
        ("qwen2", fetched("qwen2-tokenizer.json")),
    ];
    for (pre, path) in files {
        let Some(path) = path else { continue };
        let json = std::fs::read(path).unwrap();
        let own = Tokenizer::from_json("tokenizer.json", &json, &[]).unwrap();
        let gguf = gguf::read("tokenizer.gguf", as_gguf(&json, pre)).unwrap();
        same_tokens(&Tokenizer::from_gguf(&gguf.config).unwrap(), &own);
    }
}
