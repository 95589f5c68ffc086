//! Any bytes are a model's file whose tensors can be read, a tokenizer that tokenizes, or an error.
#![no_main]

use formats::{Config, Tokenizer, Weights, gguf, safetensors};
use libfuzzer_sys::fuzz_target;

fn read_all(weights: &Weights) {
    for tensor in weights.tensors() {
        let _ = weights.read(&tensor.name, &tensor.shape);
    }
}

fn tokenize(tokenizer: &Tokenizer) {
    if let Ok(ids) = tokenizer.encode("Hello  <s>wörld 12\n") {
        let _ = tokenizer.decode(&ids);
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(gguf) = gguf::read("fuzz", bytes.to_vec()) {
        read_all(&gguf.weights);
        let _ = Tokenizer::from_gguf(&gguf.config).map(|tokenizer| tokenize(&tokenizer));
    }
    if let Ok(weights) = safetensors::read("fuzz", bytes.to_vec()) {
        read_all(&weights);
    }
    if Config::from_json("fuzz", bytes).is_ok() {
        let _ = Tokenizer::from_json("fuzz", bytes, &[]).map(|tokenizer| tokenize(&tokenizer));
    }
});
