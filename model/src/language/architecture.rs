//! The table of architectures. A transformer is one graph ([`super::network`]); a row here says which of its parts are
//! there and under which names a file holds their weights.

use super::config::Activation;

/// What a block subtracts and divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Mean and deviation, a gain and a bias.
    Layer,
    /// Root of the mean square, a gain.
    Rms,
    /// Root of the mean square, a gain stored less one.
    RmsPlusOne,
}

/// Where a block's norms stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// `x + f(norm(x))`.
    Before,
    /// `norm(x + f(x))`.
    After,
    /// `x + norm(f(norm(x)))`.
    Both,
}

/// How a model knows the order of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// A learned vector for each position.
    Learned,
    /// Queries and keys turned by an angle that grows with the position.
    Rotary,
}

/// What comes of the last block's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A logit for each token of the vocabulary.
    Vocabulary,
    /// The mean over all positions, of length 1: an embedding of the text.
    MeanPool,
}

/// How a linear layer's matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[outputs, inputs]`.
    OutputFirst,
    /// `[inputs, outputs]`.
    InputFirst,
}

/// Which elements of a head a rotation pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// `i` and `i + width / 2`.
    Halves,
    /// `2 i` and `2 i + 1`.
    Neighbours,
}

/// Names of tensors in a file, without `.weight` and `.bias`; `{}` is the number of the layer.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// May precede every name.
    pub prefixes: &'static [&'static str],
    pub embedding: &'static str,
    /// Learned positions.
    pub positions: &'static str,
    /// Kinds of segment, of which the first is used.
    pub segments: &'static str,
    pub embedding_norm: &'static str,
    /// Query, key and value in one matrix, for files that have it.
    pub fused: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub query_norm: &'static str,
    pub key_norm: &'static str,
    pub attention_output: &'static str,
    pub up: &'static str,
    pub gate: &'static str,
    pub down: &'static str,
    /// Before attention.
    pub attention_norm: &'static str,
    /// After attention.
    pub attention_post_norm: &'static str,
    /// Before the feed-forward part.
    pub feed_norm: &'static str,
    /// After the feed-forward part.
    pub feed_post_norm: &'static str,
    pub final_norm: &'static str,
    pub head: &'static str,
    pub layout: Layout,
    pub pairing: Pairing,
    /// The gains of [`Norm::RmsPlusOne`] are stored with the one added.
    pub gains_are_whole: bool,
}

/// A row of the table.
#[derive(Debug)]
pub struct Architecture {
    /// `model_type` of `config.json`.
    pub model_types: &'static [&'static str],
    /// `general.architecture` of a GGUF file.
    pub gguf: &'static str,
    /// The function of the feed-forward part, which a GGUF file does not name.
    pub gguf_activation: Activation,
    pub norm: Norm,
    pub placement: Placement,
    pub positions: Positions,
    /// Each position sees only those before it.
    pub causal: bool,
    /// Queries and keys are normed, head by head.
    pub query_key_norm: bool,
    /// The feed-forward part multiplies a function of one product with another product.
    pub gated: bool,
    /// Embeddings are multiplied by the root of their width.
    pub scale_embedding: bool,
    /// Embeddings are normed.
    pub embedding_norm: bool,
    /// The last block's values are normed.
    pub final_norm: bool,
    pub head: Head,
    /// Names in a Hugging Face checkpoint.
    pub names: Names,
    /// Names in a GGUF file.
    pub gguf_names: Names,
}

/// The names that most files of a kind have; a row changes the others.
const GGUF: Names = Names {
    prefixes: &[""],
    embedding: "token_embd",
    positions: "position_embd",
    segments: "token_types",
    embedding_norm: "token_embd_norm",
    fused: "blk.{}.attn_qkv",
    query: "blk.{}.attn_q",
    key: "blk.{}.attn_k",
    value: "blk.{}.attn_v",
    query_norm: "blk.{}.attn_q_norm",
    key_norm: "blk.{}.attn_k_norm",
    attention_output: "blk.{}.attn_output",
    up: "blk.{}.ffn_up",
    gate: "blk.{}.ffn_gate",
    down: "blk.{}.ffn_down",
    attention_norm: "blk.{}.attn_norm",
    attention_post_norm: "blk.{}.post_attention_norm",
    feed_norm: "blk.{}.ffn_norm",
    feed_post_norm: "blk.{}.post_ffw_norm",
    final_norm: "output_norm",
    head: "output",
    layout: Layout::OutputFirst,
    pairing: Pairing::Halves,
    gains_are_whole: false,
};

const LLAMA: Names = Names {
    prefixes: &["", "model."],
    embedding: "embed_tokens",
    positions: "",
    segments: "",
    embedding_norm: "",
    fused: "layers.{}.self_attn.qkv_proj",
    query: "layers.{}.self_attn.q_proj",
    key: "layers.{}.self_attn.k_proj",
    value: "layers.{}.self_attn.v_proj",
    query_norm: "layers.{}.self_attn.q_norm",
    key_norm: "layers.{}.self_attn.k_norm",
    attention_output: "layers.{}.self_attn.o_proj",
    up: "layers.{}.mlp.up_proj",
    gate: "layers.{}.mlp.gate_proj",
    down: "layers.{}.mlp.down_proj",
    attention_norm: "layers.{}.input_layernorm",
    attention_post_norm: "",
    feed_norm: "layers.{}.post_attention_layernorm",
    feed_post_norm: "",
    final_norm: "norm",
    head: "lm_head",
    layout: Layout::OutputFirst,
    pairing: Pairing::Halves,
    gains_are_whole: false,
};

/// All architectures.
pub const ARCHITECTURES: [Architecture; 4] = [
    Architecture {
        model_types: &["gpt2"],
        gguf: "gpt2",
        gguf_activation: Activation::GeluTanh,
        norm: Norm::Layer,
        placement: Placement::Before,
        positions: Positions::Learned,
        causal: true,
        query_key_norm: false,
        gated: false,
        scale_embedding: false,
        embedding_norm: false,
        final_norm: true,
        head: Head::Vocabulary,
        names: Names {
            prefixes: &["", "transformer."],
            embedding: "wte",
            positions: "wpe",
            fused: "h.{}.attn.c_attn",
            attention_output: "h.{}.attn.c_proj",
            up: "h.{}.mlp.c_fc",
            down: "h.{}.mlp.c_proj",
            attention_norm: "h.{}.ln_1",
            feed_norm: "h.{}.ln_2",
            final_norm: "ln_f",
            layout: Layout::InputFirst,
            ..LLAMA
        },
        gguf_names: GGUF,
    },
    Architecture {
        model_types: &["llama"],
        gguf: "llama",
        gguf_activation: Activation::Silu,
        norm: Norm::Rms,
        placement: Placement::Before,
        positions: Positions::Rotary,
        causal: true,
        query_key_norm: false,
        gated: true,
        scale_embedding: false,
        embedding_norm: false,
        final_norm: true,
        head: Head::Vocabulary,
        names: LLAMA,
        gguf_names: Names { pairing: Pairing::Neighbours, ..GGUF },
    },
    Architecture {
        model_types: &["gemma3_text", "gemma3"],
        gguf: "gemma3",
        gguf_activation: Activation::GeluTanh,
        norm: Norm::RmsPlusOne,
        placement: Placement::Both,
        positions: Positions::Rotary,
        causal: true,
        query_key_norm: true,
        gated: true,
        scale_embedding: true,
        embedding_norm: false,
        final_norm: true,
        head: Head::Vocabulary,
        names: Names {
            prefixes: &["", "model.", "language_model.", "language_model.model.", "model.language_model."],
            attention_post_norm: "layers.{}.post_attention_layernorm",
            feed_norm: "layers.{}.pre_feedforward_layernorm",
            feed_post_norm: "layers.{}.post_feedforward_layernorm",
            ..LLAMA
        },
        gguf_names: Names { gains_are_whole: true, ..GGUF },
    },
    Architecture {
        model_types: &["bert"],
        gguf: "bert",
        gguf_activation: Activation::Gelu,
        norm: Norm::Layer,
        placement: Placement::After,
        positions: Positions::Learned,
        causal: false,
        query_key_norm: false,
        gated: false,
        scale_embedding: false,
        embedding_norm: true,
        final_norm: false,
        head: Head::MeanPool,
        names: Names {
            prefixes: &["", "bert."],
            embedding: "embeddings.word_embeddings",
            positions: "embeddings.position_embeddings",
            segments: "embeddings.token_type_embeddings",
            embedding_norm: "embeddings.LayerNorm",
            query: "encoder.layer.{}.attention.self.query",
            key: "encoder.layer.{}.attention.self.key",
            value: "encoder.layer.{}.attention.self.value",
            attention_output: "encoder.layer.{}.attention.output.dense",
            attention_post_norm: "encoder.layer.{}.attention.output.LayerNorm",
            up: "encoder.layer.{}.intermediate.dense",
            down: "encoder.layer.{}.output.dense",
            feed_post_norm: "encoder.layer.{}.output.LayerNorm",
            ..LLAMA
        },
        gguf_names: Names {
            attention_post_norm: "blk.{}.attn_output_norm",
            feed_post_norm: "blk.{}.layer_output_norm",
            ..GGUF
        },
    },
];
