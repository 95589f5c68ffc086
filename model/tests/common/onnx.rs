//! Small ONNX models, built in memory.

use model::onnx_proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, data_type,
};
use prost::Message;

/// A model under construction, of operator set 17.
#[derive(Default)]
pub struct Builder(GraphProto);

impl Builder {
    /// A model with one float input `x`.
    pub fn new(shape: &[i64]) -> Self {
        Self::default().input("x", data_type::FLOAT, shape)
    }

    /// Adds an input.
    pub fn input(mut self, name: &str, elem_type: i32, shape: &[i64]) -> Self {
        let dim = shape.iter().map(|&n| match n {
            ..=0 => DimensionProto { dim_param: Some("batch".into()), ..DimensionProto::default() },
            n => DimensionProto { dim_value: Some(n), ..DimensionProto::default() },
        });
        let shape = Some(TensorShapeProto { dim: dim.collect() });
        let tensor_type = Some(TensorTypeProto { elem_type: Some(elem_type), shape });
        let info = ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type }) };
        self.0.input.push(info);
        self
    }

    /// Adds a float constant.
    pub fn floats(mut self, name: &str, dims: &[i64], data: &[f32]) -> Self {
        self.0.initializer.push(TensorProto {
            name: Some(name.into()),
            dims: dims.to_vec(),
            data_type: Some(data_type::FLOAT),
            float_data: data.to_vec(),
            ..TensorProto::default()
        });
        self
    }

    /// Adds a list of integers as a constant.
    pub fn ints(mut self, name: &str, data: &[i64]) -> Self {
        self.0.initializer.push(TensorProto {
            name: Some(name.into()),
            dims: vec![data.len() as i64],
            data_type: Some(data_type::INT64),
            int64_data: data.to_vec(),
            ..TensorProto::default()
        });
        self
    }

    /// Adds a node that computes `output`.
    pub fn node(mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute)]) -> Self {
        let attribute = |(name, value): &(&str, Attribute)| {
            let base = AttributeProto { name: Some((*name).into()), ..AttributeProto::default() };
            match value {
                Attribute::Int(i) => AttributeProto { i: Some(*i), ..base },
                Attribute::Ints(ints) => AttributeProto { ints: ints.to_vec(), ..base },
                Attribute::Float(f) => AttributeProto { f: Some(*f), ..base },
                Attribute::Text(s) => AttributeProto { s: Some(s.as_bytes().to_vec()), ..base },
            }
        };
        self.0.node.push(NodeProto {
            op_type: Some(operator.into()),
            name: Some(format!("{operator} of {output}")),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.into()],
            attribute: attributes.iter().map(attribute).collect(),
            ..NodeProto::default()
        });
        self
    }

    /// The file, with the given outputs.
    pub fn outputs(mut self, names: &[&str]) -> Vec<u8> {
        let output = |name: &&str| ValueInfoProto { name: Some((*name).into()), ..ValueInfoProto::default() };
        self.0.output = names.iter().map(output).collect();
        let opset = OperatorSetIdProto { version: Some(17), ..OperatorSetIdProto::default() };
        ModelProto { graph: Some(self.0), opset_import: vec![opset] }.encode_to_vec()
    }
}

/// An attribute of a node.
#[derive(Clone, Copy)]
pub enum Attribute {
    Int(i64),
    Ints(&'static [i64]),
    Float(f32),
    Text(&'static str),
}
