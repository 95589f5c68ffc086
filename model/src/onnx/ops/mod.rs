//! ONNX operators by family; each is written in terms of the few operations of the float graph.

mod activation;
mod arithmetic;
mod conv;
mod index;
mod linear;
mod norm;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod shape;
mod sort;

use super::context::{Context, Imported};

/// Imports the node: its outputs, in order.
pub fn import(c: &mut Context<'_>) -> Imported {
    let operator = c.operator().to_owned();
    match operator.as_str() {
        "Add" | "Sub" | "Mul" | "Div" | "Sum" | "Mean" | "Neg" | "Abs" | "Sign" | "Pow" | "Min" | "Max" | "Mod" => {
            arithmetic::import(c, &operator)
        }
        "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "Equal" | "And" | "Or" | "Xor" | "Not" | "Where"
        | "Cast" | "Floor" | "Ceil" | "Round" | "IsNaN" => arithmetic::import(c, &operator),
        "Relu" | "LeakyRelu" | "PRelu" | "Sigmoid" | "Tanh" | "Gelu" | "Elu" | "Selu" | "Celu" | "HardSigmoid"
        | "HardSwish" | "Softplus" | "Softsign" | "Mish" | "ThresholdedRelu" | "Swish" | "Clip" | "Erf" | "Exp"
        | "Log" | "Sqrt" | "Reciprocal" | "Sin" | "Cos" | "Tan" | "Asin" | "Acos" | "Atan" | "Sinh" | "Cosh" => {
            activation::import(c, &operator)
        }
        "Gemm" | "MatMul" | "Einsum" => linear::import(c, &operator),
        "Conv" => conv::conv(c),
        "ConvTranspose" => conv::conv_transpose(c),
        "MaxPool" => pool::max_pool(c),
        "AveragePool" => pool::average_pool(c),
        "GlobalAveragePool" | "GlobalMaxPool" => pool::global(c, &operator),
        "BatchNormalization"
        | "LayerNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "RMSNormalization"
        | "Softmax"
        | "LogSoftmax"
        | "Hardmax" => norm::import(c, &operator),
        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceL1" | "ReduceL2" | "ReduceSumSquare"
        | "ArgMax" | "ArgMin" => reduce::import(c, &operator),
        "Resize" | "Upsample" => resize::import(c, &operator),
        "Identity" | "Dropout" | "Constant" | "ConstantOfShape" | "Shape" | "Size" | "Range" | "Reshape"
        | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Expand" | "Tile" | "Concat" | "Split" | "Slice"
        | "Pad" | "Trilu" | "DepthToSpace" | "SpaceToDepth" => shape::import(c, &operator),
        "Gather" | "GatherElements" | "OneHot" | "NonZero" | "ScatterElements" => index::import(c, &operator),
        "TopK" => sort::top_k(c),
        "LSTM" => recurrent::lstm(c),
        "GRU" => recurrent::gru(c),
        _ => Err(c.unsupported("the operator is not supported")),
    }
}
