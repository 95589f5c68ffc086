//! GGUF files, with the tensors as llama.cpp's converter writes them: the same models, so the same numbers.

use crate::files::{GgufFile, Meta};
use crate::fixture::Fixture;
use formats::{Source, open_files};
use model::language::{LanguageError, Output, Reference, Tensors, open};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a tensor of Hugging Face's layout goes, and how.
fn converted(name: &str, values: Vec<f32>, shape: &[usize], heads: &[(&str, usize)]) -> (String, Vec<u64>, Vec<f32>) {
    let renames = [
        ("transformer.", ""),
        ("model.", ""),
        ("layers.", "blk."),
        ("h.", "blk."),
        ("embed_tokens", "token_embd"),
        ("wte", "token_embd"),
        ("wpe", "position_embd"),
        ("ln_f", "output_norm"),
        ("lm_head", "output"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("ln_1", "attn_norm"),
        ("ln_2", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("attn.c_attn", "attn_qkv"),
        ("attn.c_proj", "attn_output"),
        ("mlp.c_fc", "ffn_up"),
        ("mlp.c_proj", "ffn_down"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    let renamed = renames.iter().fold(name.to_owned(), |name, (from, to)| name.replacen(from, to, 1));
    let renamed = if renamed == "norm.weight" { "output_norm.weight".into() } else { renamed };
    let (mut shape, mut values) = (shape.to_vec(), values);
    if name.contains(".c_") && shape.len() == 2 {
        values = (0..values.len()).map(|i| values[i % shape[0] * shape[1] + i / shape[0]]).collect();
        shape.reverse();
    }
    if let Some((_, heads)) = heads.iter().find(|(part, _)| name.contains(part)) {
        // Halves of a head become neighbours.
        let (head, inputs) = (shape[0] / heads, shape[1]);
        let source = |row: usize| row / head * head + row % head / 2 + row % 2 * head / 2;
        values = (0..shape[0]).flat_map(|row| values[source(row) * inputs..][..inputs].to_vec()).collect();
    }
    (renamed, shape.iter().map(|&n| n as u64).collect(), values)
}

fn file(fixture: &Fixture, metadata: &[(&str, Meta)], heads: &[(&str, usize)]) -> GgufFile {
    let mut file = metadata.iter().fold(GgufFile::default(), |file, (key, value)| file.with(key, value.clone()));
    for (name, (shape, ..)) in &fixture.tensors {
        let values = fixture.read(name, shape).expect("the fixture has the tensor");
        file.tensors.push(converted(name, values, shape, heads));
    }
    file
}

fn run(file: &GgufFile, fixture: &Fixture) -> Result<Vec<f64>, LanguageError> {
    let source: Arc<dyn Source> = Arc::new(file.bytes());
    let checkpoint = open_files(&BTreeMap::from([("model".into(), source)])).expect("the file is well formed");
    let (config, weights) = open(&checkpoint)?;
    let length = fixture.tokens.len();
    Ok(Reference::new(&config, weights.as_ref(), length, Output::Logits(length))?.run(&fixture.tokens))
}

fn numbers(architecture: &str, fields: &[(&str, u32)]) -> Vec<(String, Meta)> {
    let fields = fields.iter().map(|(key, n)| (format!("{architecture}.{key}"), Meta::U32(*n)));
    fields.chain([("general.architecture".into(), Meta::Text(architecture.into()))]).collect()
}

fn borrowed(metadata: &[(String, Meta)]) -> Vec<(&str, Meta)> {
    metadata.iter().map(|(key, value)| (key.as_str(), value.clone())).collect()
}

const LLAMA: [(&str, u32); 6] = [
    ("block_count", 2),
    ("embedding_length", 24),
    ("feed_forward_length", 40),
    ("context_length", 64),
    ("attention.head_count", 4),
    ("attention.head_count_kv", 2),
];

#[test]
fn files_of_llama_cpp_are_the_same_models() {
    let gpt2 = [
        ("block_count", 2),
        ("embedding_length", 24),
        ("feed_forward_length", 96),
        ("context_length", 16),
        ("attention.head_count", 3),
    ];
    for (name, metadata, heads) in [
        ("llama", numbers("llama", &LLAMA), &[("q_proj", 4), ("k_proj", 2)][..]),
        ("gpt2", numbers("gpt2", &gpt2), &[]),
    ] {
        let fixture = Fixture::load(name);
        let found = run(&file(&fixture, &borrowed(&metadata), heads), &fixture).unwrap_or_else(|e| panic!("{e}"));
        let expected = fixture.output.concat();
        let difference = found.iter().zip(&expected).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
        println!("{name}: {difference:.1e}");
        assert!(found.len() == expected.len() && difference < 1e-4, "{name}: {difference}");
    }
}

#[test]
fn files_that_lack_something_are_refused_by_name() {
    let fixture = Fixture::load("llama");
    let heads = [("q_proj", 4), ("k_proj", 2)];
    let error = |metadata: &[(String, Meta)], lost: &str| {
        let mut file = file(&fixture, &borrowed(metadata), &heads);
        file.tensors.retain(|(name, ..)| name != lost);
        run(&file, &fixture).unwrap_err().to_string()
    };
    let without = |key: &str| -> Vec<(&str, u32)> { LLAMA.into_iter().filter(|(k, _)| *k != key).collect() };
    let all = numbers("llama", &LLAMA);
    assert_eq!(
        error(&numbers("mamba", &LLAMA), ""),
        "architecture 'mamba' is not supported; supported are gpt2, llama, gemma3_text, gemma3, bert"
    );
    assert_eq!(error(&numbers("llama", &without("block_count")), ""), "the configuration has no 'llama.block_count'");
    assert_eq!(error(&all, "token_embd.weight"), "the configuration has no 'token_embd.weight'");
    assert_eq!(error(&all, "blk.1.ffn_up.weight"), "the checkpoint has no tensor 'blk.1.ffn_up.weight'");
    let mut wide = LLAMA;
    wide[2].1 = 41;
    let shape = error(&numbers("llama", &wide), "");
    assert_eq!(shape, "model: tensor 'blk.0.ffn_gate.weight': expected shape [41, 24], found [40, 24]");
}
