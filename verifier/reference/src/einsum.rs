//! Section 7: a claim on an einsum's output becomes claims on its operands.

use crate::claims::Claim;
use crate::error::{Error, require};
use crate::extension::{bits, eq_below, ones, split};
use crate::field::{K, k};
use crate::graph::{Einsum, Term};
use crate::subgraph::Subgraph;
use crate::sumcheck;

/// For every label, the coordinates at which it is bound.
type Points = Vec<Vec<K>>;

fn length(einsum: &Einsum, label: u8) -> Result<usize, Error> {
    einsum.dims.get(usize::from(label)).copied().ok_or(Error::Internal("a label has no length"))
}

fn at(points: &Points, label: u8) -> Result<&[K], Error> {
    points.get(usize::from(label)).map(Vec::as_slice).ok_or(Error::Internal("a label has no point"))
}

/// In how many operands a label is.
fn operands(term: &Term, label: u8) -> usize {
    term.operands.iter().filter(|operand| operand.labels.contains(&label)).count()
}

/// `prod ones(r_l, d_l)` over the output's labels that no operand has.
fn absent(einsum: &Einsum, term: &Term, points: &Points) -> Result<K, Error> {
    let mut product = K::ONE;
    for &label in einsum.out_labels.iter().filter(|&&l| operands(term, l) == 0) {
        product = product * ones(at(points, label)?, length(einsum, label)?);
    }
    Ok(product)
}

/// Verifies a claim on the output and enters the claims on the operands.
pub fn verify(s: &mut Subgraph, einsum: &Einsum, claim: &Claim) -> Result<(), Error> {
    let output = s.graph.tensor(einsum.output)?;
    let mut points: Points = vec![Vec::new(); einsum.dims.len()];
    for (&label, part) in einsum.out_labels.iter().zip(split(&output.shape, &claim.point)?) {
        if let Some(point) = points.get_mut(usize::from(label)) {
            *point = part.to_vec();
        }
    }
    let mut values = Vec::new();
    for term in &einsum.terms {
        values.push(if term.operands.is_empty() { absent(einsum, term, &points)? } else { s.transcript.read()? });
    }
    let sum: K = einsum.terms.iter().zip(&values).map(|(term, &v)| k(term.coefficient) * v).sum();
    require(sum == claim.value, || format!("einsum '{}'", output.name), "the sum of the terms")?;
    for (term, &value) in einsum.terms.iter().zip(&values) {
        if !term.operands.is_empty() {
            verify_term(s, einsum, term, &points, value, &output.name)?;
        }
    }
    Ok(())
}

fn verify_term(
    s: &mut Subgraph,
    einsum: &Einsum,
    term: &Term,
    points: &Points,
    value: K,
    name: &str,
) -> Result<(), Error> {
    let labels = 0..einsum.dims.len() as u8;
    let batch: Vec<u8> = einsum.out_labels.iter().copied().filter(|&l| operands(term, l) > 1).collect();
    let contracted = labels.filter(|&l| operands(term, l) > 0 && !einsum.out_labels.contains(&l));
    let summed: Vec<u8> = batch.iter().copied().chain(contracted).collect();
    let lengths = summed.iter().map(|&l| length(einsum, l)).collect::<Result<Vec<_>, _>>()?;

    let degree = term.operands.len() + usize::from(!batch.is_empty());
    let variables = lengths.iter().map(|&d| bits(d)).sum();
    let end = sumcheck::verify(&mut s.transcript, value, variables, degree)?;
    let evaluations = s.transcript.read_all(term.operands.len())?;

    let mut scale = absent(einsum, term, points)?;
    let mut bound = points.clone();
    for ((&label, &d), part) in summed.iter().zip(&lengths).zip(split(&lengths, &end.point)?) {
        if batch.contains(&label) {
            scale = scale * eq_below(at(points, label)?, part, d);
        }
        if let Some(point) = bound.get_mut(usize::from(label)) {
            *point = part.to_vec();
        }
    }
    let product: K = evaluations.iter().copied().product();
    require(end.value == scale * product, || format!("einsum '{name}'"), "the product of the operands")?;
    for (operand, &evaluation) in term.operands.iter().zip(&evaluations) {
        let mut point = Vec::new();
        for &label in &operand.labels {
            point.extend_from_slice(at(&bound, label)?);
        }
        s.claims.tensor(s.graph, s.plan, operand.tensor, point, evaluation)?;
    }
    Ok(())
}
