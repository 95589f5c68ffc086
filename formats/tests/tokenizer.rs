//! Tokenizers from `tokenizer.json` and from GGUF's metadata.

mod common;

use common::{GgufFile, Meta};
use formats::{Config, Tokenizer, gguf};

const JSON: &str = r#"{
    "version": "1.0",
    "truncation": {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
    "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>", "pad_to_multiple_of": null},
    "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "dropout": null, "unk_token": "<s>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
              "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
              "vocab": {"<s>": 0, "a": 1, "b": 2, "ab": 3, "abb": 4}, "merges": [["a", "b"], ["ab", "b"]]}
}"#;

fn json(text: &str, configs: &[&Config]) -> Result<Tokenizer, String> {
    Tokenizer::from_json("tokenizer.json", text.as_bytes(), configs).map_err(|error| error.to_string())
}

fn config(json: &str) -> Config {
    Config::from_json("config.json", json.as_bytes()).unwrap()
}

#[test]
fn a_prompt_is_neither_truncated_nor_padded() {
    let tokenizer = json(JSON, &[]).unwrap();
    assert_eq!(tokenizer.encode("abababb").unwrap(), [3, 3, 4]);
    assert_eq!(tokenizer.encode("b").unwrap(), [2]);
    assert_eq!((tokenizer.size(), tokenizer.bos(), tokenizer.eos().len()), (5, None, 0));
}

#[test]
fn a_character_that_the_vocabulary_lacks_is_an_error() {
    let without = JSON.replace(r#""unk_token": "<s>""#, r#""unk_token": null"#);
    let tokenizer = json(&without, &[]).unwrap();
    assert_eq!(tokenizer.encode("abb\n").unwrap(), [4]);
    let expected = "tokenizer.json: tokenizer: expected characters that the vocabulary has, found";
    for (text, unknown) in [("ç", 'ç'), ("abç", 'ç'), ("abçb", 'ç'), ("çab", 'ç'), ("ab b", ' ')] {
        assert_eq!(tokenizer.encode(text).unwrap_err().to_string(), format!("{expected} {unknown:?}"));
    }
    // With a token for the unknown, that is what the model wants.
    assert_eq!(json(JSON, &[]).unwrap().encode("abç").unwrap(), [3, 0]);
}

#[test]
fn ends_come_from_the_first_config_that_names_them() {
    let (generation, model) =
        (config(r#"{"eos_token_id": [3, 4]}"#), config(r#"{"eos_token_id": 1, "bos_token_id": 2}"#));
    let tokenizer = json(JSON, &[&generation, &model]).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(2), [3, 4].as_slice()));
    let spelt = config(r#"{"bos_token": {"content": "<s>"}, "eos_token": "ab"}"#);
    let tokenizer = json(JSON, &[&spelt]).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(0), [3].as_slice()));
    let wrong = json(JSON, &[&config(r#"{"eos_token_id": 9}"#)]).unwrap_err();
    assert_eq!(wrong, "config.json: key 'eos_token_id': expected the id of a token, or a list of them, found 9");
    assert!(json(JSON, &[&config(r#"{"bos_token": "<bos>"}"#)]).unwrap_err().contains("a token of the vocabulary"));
}

#[test]
fn what_is_saved_is_the_same_tokenizer() {
    let both = config(r#"{"bos_token": "<s>", "eos_token_id": [3, 4]}"#);
    let tokenizer = json(JSON, &[&both]).unwrap();
    let bytes = tokenizer.to_bytes().unwrap();
    let read = Tokenizer::from_bytes("saved", &bytes).unwrap();
    assert_eq!(read.encode("abababb").unwrap(), tokenizer.encode("abababb").unwrap());
    assert_eq!((read.bos(), read.eos(), read.decode(&[3, 0, 2])), (Some(0), [3, 4].as_slice(), Ok("abb".into())));
    assert_eq!(read.to_bytes().unwrap(), bytes);
    let text = String::from_utf8(bytes).unwrap();
    for (old, new) in [("[3,4]", "[3,5]"), ("\"bos\"", "\"boss\""), ("\"bos\":0", "\"bos\":\"0\""), ("abb", "ab")] {
        let altered = text.replacen(old, new, 1);
        assert_ne!(altered, text);
        assert!(Tokenizer::from_bytes("saved", altered.as_bytes()).is_err(), "{new}");
    }
}

#[test]
fn an_id_that_is_no_tokens_is_refused() {
    let tokenizer = json(JSON, &[]).unwrap();
    assert_eq!(tokenizer.decode(&[3, 0, 2]).unwrap(), "abb");
    let expected = "tokenizer.json: tokenizer: expected ids of the 5 tokens, found id 5";
    assert_eq!(tokenizer.decode(&[1, 5]).unwrap_err().to_string(), expected);
    assert_eq!(tokenizer.stream().push(5).unwrap_err().to_string(), expected);
}

#[test]
fn malformed_tokenizers_are_refused() {
    let refused = |old: &str, new: &str| json(&JSON.replace(old, new), &[]).unwrap_err();
    // The library panics on these.
    assert!(refused(r#"["ab", "b"]"#, r#"["abb", "abb"]"#).ends_with("found 'abb' and 'abb'"));
    assert!(
        refused(r#""continuing_subword_prefix": null"#, r###""continuing_subword_prefix": "##""###)
            .contains("'a' and 'b'")
    );
    let with = |part: &str, new: &str| refused(&format!("\"{part}\": null"), &format!("\"{part}\": {new}"));
    assert!(
        with("normalizer", r#"{"type": "Sequence", "normalizers": [{"type": "Precompiled"}]}"#)
            .ends_with("found 'Precompiled'")
    );
    assert!(with("pre_tokenizer", r#"{"type": "FixedLength", "length": 0}"#).ends_with("found 'FixedLength'"));
    assert!(refused(r#""type": "BPE""#, r#""type": "Unigram""#).ends_with("found 'Unigram'"));
    assert!(
        refused(r#""vocab": {"<s>": 0, "a": 1, "b": 2, "ab": 3, "abb": 4}"#, r#""vocab": [["a", 0.5]]"#)
            .contains("unigram")
    );
    assert!(refused(r#"["a", "b"]"#, r#"["a", "c"]"#).contains("pairs of tokens whose joint text is a token"));
    assert!(refused(r#""dropout": null"#, r#""dropout": 0.1"#).contains("null: tokens must not be random, found 0.1"));
    assert!(refused(r#""type": "BPE""#, r#""type": "Other""#).starts_with("tokenizer.json: tokenizer: expected "));
    assert!(refused("{", "[").starts_with("tokenizer.json: tokenizer: expected a tokenizer.json, found "));
}

#[test]
fn every_cut_of_a_tokenizer_is_an_error_and_no_changed_byte_a_panic() {
    for length in 0..JSON.len() {
        assert!(Tokenizer::from_json("t", &JSON.as_bytes()[..length], &[]).is_err());
    }
    for at in 0..JSON.len() {
        for to in [b'0', b'"', b'}', b'z'] {
            let mut bytes = JSON.as_bytes().to_vec();
            bytes[at] = to;
            if let Ok(tokenizer) = Tokenizer::from_json("t", &bytes, &[]) {
                let _ = tokenizer.encode("abba<s>c");
            }
        }
    }
}

/// SentencePiece: bytes, letters, and joint tokens whose scores say what comes first.
fn sentence_piece() -> GgufFile {
    let mut tokens: Vec<(String, i32, f32)> =
        vec![("<unk>".into(), 2, 0.0), ("<s>".into(), 3, 0.0), ("</s>".into(), 3, 0.0), ("<turn>".into(), 4, 0.0)];
    tokens.extend((0..256).map(|byte| (format!("<0x{byte:02X}>"), 6, 0.0)));
    for (token, score) in [("\u{2581}", -5.0), ("a", -5.0), ("b", -5.0), ("c", -5.0)] {
        tokens.push((token.into(), 1, score));
    }
    // `bc` goes before `ab`; `abc` has two ways.
    for (token, score) in [("bc", -1.0), ("ab", -2.0), ("\u{2581}a", -3.0), ("abc", -4.0)] {
        tokens.push((token.into(), 1, score));
    }
    GgufFile::default()
        .with("tokenizer.ggml.model", Meta::Text("llama".into()))
        .with("tokenizer.ggml.tokens", Meta::Texts(tokens.iter().map(|t| t.0.clone()).collect()))
        .with("tokenizer.ggml.token_type", Meta::I32s(tokens.iter().map(|t| t.1).collect()))
        .with("tokenizer.ggml.scores", Meta::F32s(tokens.iter().map(|t| t.2).collect()))
        .with("tokenizer.ggml.unknown_token_id", Meta::U32(0))
        .with("tokenizer.ggml.bos_token_id", Meta::U32(1))
        .with("tokenizer.ggml.eos_token_id", Meta::U32(2))
}

fn from_gguf(file: &GgufFile) -> Result<Tokenizer, String> {
    let gguf = gguf::read("m.gguf", file.bytes()).unwrap();
    Tokenizer::from_gguf(&gguf.config).map_err(|error| error.to_string())
}

fn spelt(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let ids = tokenizer.encode(text).unwrap();
    ids.into_iter().map(|id| tokenizer.token(id).unwrap()).collect()
}

#[test]
fn scores_decide_what_sentence_piece_joins() {
    let plain = sentence_piece().with("tokenizer.ggml.add_space_prefix", Meta::Bool(false));
    let tokenizer = from_gguf(&plain).unwrap();
    assert_eq!(spelt(&tokenizer, "abc"), ["<s>", "abc"]);
    assert_eq!(spelt(&tokenizer, "ab bc"), ["<s>", "ab", "\u{2581}", "bc"]);
    assert_eq!(spelt(&tokenizer, " ac"), ["<s>", "\u{2581}a", "c"]);
    assert_eq!(spelt(&tokenizer, "a<turn>é"), ["<s>", "a", "<turn>", "<0xC3>", "<0xA9>"]);
    assert_eq!(spelt(&tokenizer, ""), ["<s>"]);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), [2].as_slice()));
    for text in ["abc a b", "é b  c", " a", ""] {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    }

    let prefixed = from_gguf(&sentence_piece()).unwrap();
    assert_eq!(spelt(&prefixed, "ab"), ["<s>", "\u{2581}", "ab"]);
    assert_eq!(prefixed.decode(&prefixed.encode("ab c").unwrap()).unwrap(), "ab c");
}

#[test]
fn a_stream_says_whole_characters_as_soon_as_they_are_there() {
    let file = sentence_piece().with("tokenizer.ggml.add_space_prefix", Meta::Bool(false));
    let tokenizer = from_gguf(&file).unwrap();
    let mut stream = tokenizer.stream();
    let said: Vec<Option<String>> =
        tokenizer.encode_plain("aé b").unwrap().into_iter().map(|id| stream.push(id).unwrap()).collect();
    assert_eq!(said, [Some("a".into()), None, Some("é".into()), Some(" ".into()), Some("b".into())]);
}

#[test]
fn metadata_that_makes_no_tokenizer_is_refused() {
    let refused = |key: &str, value: Option<Meta>| {
        let mut file = sentence_piece();
        file.metadata.retain(|(k, _)| k != key);
        if let Some(value) = value {
            file = file.with(key, value);
        }
        from_gguf(&file).unwrap_err()
    };
    let absent = "m.gguf: key 'tokenizer.ggml.scores': expected a list of numbers, found no such key";
    assert_eq!(refused("tokenizer.ggml.scores", None), absent);
    let short = refused("tokenizer.ggml.scores", Some(Meta::F32s(vec![0.0])));
    assert_eq!(short, "m.gguf: key 'tokenizer.ggml.scores': expected one for each of 268 tokens, found 1");
    let types = refused("tokenizer.ggml.token_type", Some(Meta::I32s(vec![1])));
    assert_eq!(types, "m.gguf: key 'tokenizer.ggml.token_type': expected one for each of 268 tokens, found 1");
    let kind = refused("tokenizer.ggml.model", Some(Meta::Text("t5".into())));
    assert_eq!(kind, "m.gguf: key 'tokenizer.ggml.model': expected 'gpt2' or 'llama', found 't5'");
    let bos = refused("tokenizer.ggml.bos_token_id", Some(Meta::U32(268)));
    assert_eq!(bos, "m.gguf: key 'tokenizer.ggml.bos_token_id': expected an id below 268, found 268");
    let none = refused("tokenizer.ggml.bos_token_id", None);
    assert_eq!(none, "m.gguf: key 'tokenizer.ggml.add_bos_token': expected a token to add, found none");
    let twice = refused("tokenizer.ggml.tokens", Some(Meta::Texts(vec!["a".into(); 268])));
    assert_eq!(twice, "m.gguf: key 'tokenizer.ggml.tokens': expected distinct texts, found 'a' again, id 1");
}

/// Byte-level BPE: all single bytes as GPT-2 spells them are not needed for ASCII.
fn byte_level(pre: &str) -> GgufFile {
    let tokens = ["<|end|>", "a", "b", "1", "2", "\u{120}", "ab", "12", "\u{120}a"];
    let kinds = [3, 1, 1, 1, 1, 1, 1, 1, 1];
    GgufFile::default()
        .with("tokenizer.ggml.model", Meta::Text("gpt2".into()))
        .with("tokenizer.ggml.pre", Meta::Text(pre.into()))
        .with("tokenizer.ggml.tokens", Meta::Texts(tokens.map(str::to_owned).into()))
        .with("tokenizer.ggml.token_type", Meta::I32s(kinds.into()))
        .with("tokenizer.ggml.eos_token_id", Meta::U32(0))
}

fn merges(list: &[&str]) -> Meta {
    Meta::Texts(list.iter().map(|&merge| merge.to_owned()).collect())
}

#[test]
fn byte_level_words_are_split_as_the_metadata_says() {
    let with =
        |pre: &str| from_gguf(&byte_level(pre).with("tokenizer.ggml.merges", merges(&["a b", "1 2", "\u{120} a"])));
    let (gpt2, smollm) = (with("gpt-2").unwrap(), with("smollm").unwrap());
    assert_eq!(spelt(&gpt2, "ab a12"), ["ab", "\u{120}a", "12"]);
    assert_eq!(spelt(&smollm, "ab a12"), ["ab", "\u{120}a", "1", "2"]);
    assert_eq!(spelt(&gpt2, "a<|end|>b"), ["a", "<|end|>", "b"]);
    assert_eq!(gpt2.decode(&gpt2.encode("ab a12").unwrap()).unwrap(), "ab a12");
    let other = with("mpt").unwrap_err();
    assert_eq!(
        other,
        "m.gguf: key 'tokenizer.ggml.pre': expected 'gpt-2', 'smollm', 'llama-bpe' or 'qwen2', found 'mpt'"
    );
    for merge in ["ab", "a c", "b a", ""] {
        let error = from_gguf(&byte_level("gpt-2").with("tokenizer.ggml.merges", merges(&[merge]))).unwrap_err();
        assert!(error.ends_with(&format!("found '{merge}'")), "{error}");
    }
}
