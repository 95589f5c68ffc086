//! ONNX models: from the file's bytes to the model in real numbers.

mod context;
mod ops;
pub mod proto;
mod tensor;

use crate::float::{Graph, MAX_ELEMENTS, Value, elements};
use crate::{ImportError, ImportOptions};
use context::Context;
use prost::Message;
use proto::{GraphProto, ModelProto, ValueInfoProto};
use std::collections::{HashMap, HashSet};

/// Oldest version of ONNX's operator set that is understood.
const MIN_OPSET: i64 = 7;
/// Longest axis.
const MAX_AXIS: i64 = 1 << 31;

/// Decodes a model and builds its graph; symbolic axes take their length from `options.axes`, or else 1.
///
/// # Errors
/// A file that is not a model, or a node, operator, attribute or type that is not supported, by name.
pub fn read(bytes: &[u8], options: &ImportOptions) -> Result<Graph, ImportError> {
    let model = ModelProto::decode(bytes).map_err(|e| ImportError::NotOnnx(e.to_string()))?;
    let invalid = |reason: &str| ImportError::Invalid { place: "model".into(), reason: reason.into() };
    let proto = model.graph.as_ref().ok_or_else(|| invalid("it has no graph"))?;
    let own = model.opset_import.iter().find(|o| o.domain.as_deref().is_none_or(|d| d.is_empty() || d == "ai.onnx"));
    let opset = own.and_then(|o| o.version).ok_or_else(|| invalid("it does not say which operator set it uses"))?;
    if opset < MIN_OPSET {
        return Err(invalid(&format!("operator set {opset} is too old; convert the model to 13 or later")));
    }
    if proto.output.is_empty() {
        return Err(invalid("it has no outputs"));
    }
    graph(proto, opset, options)
}

fn graph(proto: &GraphProto, opset: i64, options: &ImportOptions) -> Result<Graph, ImportError> {
    let mut graph = Graph::default();
    let mut values: HashMap<&str, Value> = HashMap::new();
    let mut constants = HashSet::new();
    for initializer in &proto.initializer {
        let name = initializer.name.as_deref().unwrap_or("");
        let constant = tensor::read(initializer)
            .map_err(|reason| ImportError::Invalid { place: format!("constant '{name}'"), reason })?;
        values.insert(name, graph.constant(&constant.shape, constant.kind, constant.data));
        constants.insert(name);
    }
    let mut position = 0;
    for input in &proto.input {
        let name = input.name.as_deref().unwrap_or("");
        if constants.contains(name) {
            continue;
        }
        graph.layer = name.into();
        let (shape, kind) = input_type(input, position, options)?;
        values.insert(name, graph.input(position, &shape, kind));
        position += 1;
    }
    for node in &proto.node {
        let operator = node.op_type.as_deref().unwrap_or("");
        let first_output = node.output.first().map_or("", String::as_str);
        let name = node.name.as_deref().filter(|n| !n.is_empty()).unwrap_or(first_output);
        graph.layer = if name.is_empty() { operator.into() } else { name.into() };
        if let Some(domain) = node.domain.as_deref().filter(|d| !d.is_empty() && *d != "ai.onnx") {
            return Err(ImportError::unsupported(&graph.layer, operator, format!("operator set '{domain}'")));
        }
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            let value = values.get(input.as_str()).copied();
            if value.is_none() && !input.is_empty() {
                return Err(ImportError::Invalid {
                    place: format!("node '{}' ({operator})", graph.layer),
                    reason: format!("reads '{input}', which nothing before it computes"),
                });
            }
            inputs.push(value);
        }
        if inputs.first().copied().flatten().is_some_and(|v| graph.shape(v).contains(&0)) && !takes_empty(operator) {
            return Err(ImportError::unsupported(&graph.layer, operator, "it reads an empty tensor".into()));
        }
        let known = graph.nodes.len();
        let mut context = Context::new(&mut graph, opset, node, inputs);
        let results = ops::import(&mut context)?;
        context.finish()?;
        if let Some(large) = graph.nodes[known..].iter().find(|n| elements(&n.shape) > MAX_ELEMENTS) {
            let reason =
                format!("it computes a tensor of shape {:?}; at most {MAX_ELEMENTS} elements fit", large.shape);
            return Err(ImportError::unsupported(name, operator, reason));
        }
        for (index, output) in node.output.iter().enumerate().filter(|(_, o)| !o.is_empty()) {
            let value = results.get(index).ok_or_else(|| {
                ImportError::unsupported(name, operator, format!("output {index} ('{output}') is not computed"))
            })?;
            if graph.shape(*value).contains(&0) && graph.as_constant(*value).is_none() {
                return Err(ImportError::unsupported(name, operator, "it computes an empty tensor".into()));
            }
            values.insert(output, *value);
        }
    }
    for output in &proto.output {
        let name = output.name.as_deref().unwrap_or("");
        let value = values.get(name).copied().ok_or_else(|| ImportError::Invalid {
            place: format!("output '{name}'"),
            reason: "nothing computes it".into(),
        })?;
        if graph.shape(value).contains(&0) {
            return Err(ImportError::Invalid { place: format!("output '{name}'"), reason: "it is empty".into() });
        }
        graph.outputs.push((name.into(), value));
    }
    Ok(graph)
}

/// Whether an operator may read an empty tensor: arithmetic on shapes does, at import.
fn takes_empty(operator: &str) -> bool {
    let operators =
        ["Cast", "Concat", "ConstantOfShape", "Identity", "Reshape", "Shape", "Size", "Slice", "Squeeze", "Unsqueeze"];
    operators.contains(&operator)
}

fn input_type(
    input: &ValueInfoProto,
    position: usize,
    options: &ImportOptions,
) -> Result<(Vec<usize>, crate::float::Kind), ImportError> {
    let place = || format!("input {position} '{}'", input.name.as_deref().unwrap_or(""));
    let invalid = |reason: String| ImportError::Invalid { place: place(), reason };
    let tensor = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let tensor = tensor.ok_or_else(|| invalid("is not a tensor".into()))?;
    let code = tensor.elem_type.unwrap_or(0);
    let kind = tensor::kind(code).ok_or_else(|| invalid(format!("element type {code} is not supported")))?;
    let dims = tensor.shape.as_ref().ok_or_else(|| invalid("has no shape".into()))?;
    let mut shape = Vec::new();
    for dim in &dims.dim {
        let symbolic = dim.dim_param.as_ref().and_then(|p| options.axes.get(p)).map(|&n| n as i64);
        let length = dim.dim_value.or(symbolic).unwrap_or(1);
        if !(1..=MAX_AXIS).contains(&length) {
            return Err(invalid(format!("has an axis of length {length}")));
        }
        shape.push(length as usize);
    }
    if elements(&shape) > MAX_ELEMENTS {
        return Err(invalid(format!("shape {shape:?} has more than {MAX_ELEMENTS} elements")));
    }
    Ok((shape, kind))
}
