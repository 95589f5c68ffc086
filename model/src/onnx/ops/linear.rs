//! Matrix products.

use crate::float::{Term, Value};
use crate::onnx::context::{Context, Imported};
use std::collections::BTreeMap;

pub fn import(c: &mut Context<'_>, operator: &str) -> Imported {
    let result = match operator {
        "Gemm" => gemm(c)?,
        "MatMul" => {
            let (a, b) = (c.input(0)?, c.input(1)?);
            matmul(c, a, b)?
        }
        _ => einsum(c)?,
    };
    Ok(vec![result])
}

/// Matrix product with the shapes in the error.
pub fn matmul(c: &mut Context<'_>, a: Value, b: Value) -> Imported<Value> {
    let shapes = (c.shape(a), c.shape(b));
    c.g.matmul(a, b).ok_or_else(|| c.invalid(format!("shapes {:?} and {:?} do not multiply", shapes.0, shapes.1)))
}

/// `alpha * a' b' + beta * c`.
fn gemm(c: &mut Context<'_>) -> Imported<Value> {
    let (mut a, mut b) = (c.input(0)?, c.input(1)?);
    c.ensure(c.shape(a).len() == 2 && c.shape(b).len() == 2, "an operand is not a matrix")?;
    if c.flag("transA", false) {
        a = c.g.transpose(a, &[1, 0]);
    }
    if c.flag("transB", false) {
        b = c.g.transpose(b, &[1, 0]);
    }
    let (alpha, beta) = (c.float("alpha", 1.0), c.float("beta", 1.0));
    let product = matmul(c, a, b)?;
    match c.optional(2) {
        Some(bias) => {
            c.broadcast(&[product, bias])?;
            Ok(c.g.linear(&[(alpha, &[product]), (beta, &[bias])]))
        }
        None => Ok(c.g.scale(product, alpha, 0.0)),
    }
}

fn einsum(c: &mut Context<'_>) -> Imported<Value> {
    let equation: String = c.string("equation", "").chars().filter(|ch| !ch.is_whitespace()).collect();
    let operands = c.all()?;
    if equation.contains('.') {
        return Err(c.unsupported("an ellipsis in the equation"));
    }
    let (inputs, output) = match equation.split_once("->") {
        Some((inputs, output)) => (inputs.to_owned(), output.to_owned()),
        None => {
            let mut letters: Vec<char> = equation.chars().filter(|ch| *ch != ',').collect();
            letters.sort_unstable();
            let once = |ch: &&char| letters.iter().filter(|other| other == ch).count() == 1;
            (equation.clone(), letters.iter().filter(once).collect())
        }
    };
    let specifications: Vec<&str> = inputs.split(',').collect();
    c.ensure(specifications.len() == operands.len(), "the equation and the operands differ in number")?;
    let mut labels: BTreeMap<char, u8> = BTreeMap::new();
    let mut dims: Vec<usize> = Vec::new();
    let mut factors = Vec::new();
    for (specification, &operand) in specifications.iter().zip(&operands) {
        let shape = c.shape(operand);
        c.ensure(specification.chars().count() == shape.len(), "the equation does not fit an operand's shape")?;
        let mut own = Vec::new();
        for (letter, &length) in specification.chars().zip(&shape) {
            let label = *labels.entry(letter).or_insert_with(|| {
                dims.push(length);
                dims.len() as u8 - 1
            });
            c.ensure(dims[label as usize] == length, "an axis has two lengths")?;
            if own.contains(&label) {
                return Err(c.unsupported("an operand that names an axis twice"));
            }
            own.push(label);
        }
        factors.push((operand, own));
    }
    let out: Option<Vec<u8>> = output.chars().map(|ch| labels.get(&ch).copied()).collect();
    let out = out.ok_or_else(|| c.invalid("the equation's output names an axis of no operand"))?;
    c.ensure(out.iter().enumerate().all(|(i, l)| !out[..i].contains(l)), "the output names an axis twice")?;
    let kind = c.g.join(operands);
    Ok(c.g.einsum(kind, dims, out, vec![Term { coefficient: 1.0, operands: factors }]))
}
