//! Einsum: a claim on the output becomes a claim on each operand.
//!
//! `Z~(r) = sum_t coefficient_t * v_t`; for a term, output labels that one operand has are bound at `r`, those that no
//! operand has contribute the extension of ones, those that several have ("batch") and all other labels are summed:
//! `v_t = ones(r) * sum eq(r_batch, batch) * prod_k A_k`, by sumcheck over those labels only.

use super::ledger::{Ledger, PointValue};
use super::{Rejection, require, sumcheck};
use crate::field::{K, k_from_i64};
use crate::graph::{Einsum, Term};
use crate::multilinear::{axis_bits, eq_below, ones};
use crate::transcript::Reader;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The part of every label in a claim on the einsum's output; empty for labels that the output lacks.
pub fn label_points(einsum: &Einsum, point: &[K]) -> Vec<Vec<K>> {
    let mut points = alloc::vec![Vec::new(); einsum.dims.len()];
    let mut rest = point;
    for &label in &einsum.out_labels {
        let (head, tail) = rest.split_at(axis_bits(einsum.dims[label as usize]));
        points[label as usize] = head.to_vec();
        rest = tail;
    }
    points
}

/// How the labels of a term take part in its sumcheck.
#[derive(Clone, Debug, Default)]
pub struct TermLabels {
    /// Summed labels: batch labels in the output's order, then contracted labels in ascending order.
    pub summed: Vec<u8>,
    /// How many of the summed labels are batch labels.
    pub batch: usize,
    /// Output labels that no operand has.
    pub absent: Vec<u8>,
}

impl TermLabels {
    /// Sorts the labels of a term.
    pub fn new(einsum: &Einsum, term: &Term) -> Self {
        let count = |label: u8| term.operands.iter().filter(|o| o.labels.contains(&label)).count();
        let out = |wanted: fn(usize) -> bool| einsum.out_labels.iter().copied().filter(move |&l| wanted(count(l)));
        let mut summed: Vec<u8> = out(|n| n > 1).collect();
        let batch = summed.len();
        summed.extend((0..einsum.dims.len() as u8).filter(|&l| count(l) > 0 && !einsum.out_labels.contains(&l)));
        Self { summed, batch, absent: out(|n| n == 0).collect() }
    }

    /// Degree of the summand in each variable.
    pub fn degree(&self, term: &Term) -> usize {
        term.operands.len() + usize::from(self.batch > 0)
    }

    /// Number of variables of the sumcheck.
    pub fn variables(&self, einsum: &Einsum) -> usize {
        self.summed.iter().map(|&l| axis_bits(einsum.dims[l as usize])).sum()
    }

    /// The factor that the absent labels contribute.
    pub fn ones(&self, einsum: &Einsum, points: &[Vec<K>]) -> K {
        self.absent.iter().map(|&l| ones(&points[l as usize], einsum.dims[l as usize])).product()
    }
}

/// Verifies a claim on the einsum's output and enters the claims on its operands.
///
/// # Errors
/// If the prover's messages are malformed or do not fit the claim.
pub fn verify(
    transcript: &mut Reader,
    einsum: &Einsum,
    claim: &PointValue,
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    let graph = ledger.graph;
    let place = || -> String { format!("einsum '{}'", graph.tensor(einsum.output).name) };
    let points = label_points(einsum, &claim.point);
    // A constant term is known; the prover sends the values of the others.
    let unknown = einsum.terms.iter().filter(|t| !t.operands.is_empty()).count();
    let mut sent = transcript.read_all(unknown)?.into_iter();
    let mut values = Vec::with_capacity(einsum.terms.len());
    for term in &einsum.terms {
        let known = TermLabels::new(einsum, term).ones(einsum, &points);
        values.push(if term.operands.is_empty() { known } else { sent.next().unwrap_or_default() });
    }
    let sum: K = einsum.terms.iter().zip(&values).map(|(t, &v)| k_from_i64(t.coefficient) * v).sum();
    require(sum == claim.value, place, "the sum of the terms")?;
    for (term, &value) in einsum.terms.iter().zip(&values).filter(|(t, _)| !t.operands.is_empty()) {
        verify_term(transcript, einsum, term, &points, value, ledger)?;
    }
    Ok(())
}

fn verify_term(
    transcript: &mut Reader,
    einsum: &Einsum,
    term: &Term,
    points: &[Vec<K>],
    value: K,
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    let labels = TermLabels::new(einsum, term);
    let reduced = sumcheck::verify(transcript, value, labels.variables(einsum), labels.degree(term))?;
    let points = final_points(einsum, &labels, points, &reduced.point);
    let evaluations = transcript.read_all(term.operands.len())?;
    let product: K = evaluations.iter().copied().product();
    require(
        reduced.value == points.scale * product,
        || format!("einsum '{}'", ledger.graph.tensor(einsum.output).name),
        "the product of the operands",
    )?;
    for (operand, evaluation) in term.operands.iter().zip(evaluations) {
        let point = operand.labels.iter().flat_map(|&l| points.of_label[l as usize].iter().copied()).collect();
        ledger.tensor(operand.tensor, point, evaluation)?;
    }
    Ok(())
}

/// Where the operands of a term are claimed after its sumcheck, and the known factor of the summand there.
#[derive(Clone, Debug)]
pub struct FinalPoints {
    /// For every label.
    pub of_label: Vec<Vec<K>>,
    /// The extension of ones times `eq` of the batch labels.
    pub scale: K,
}

/// See [`FinalPoints`]; `reduced` is the point of the sumcheck over the summed labels.
pub fn final_points(einsum: &Einsum, labels: &TermLabels, points: &[Vec<K>], reduced: &[K]) -> FinalPoints {
    let mut of_label = points.to_vec();
    let mut scale = labels.ones(einsum, points);
    let mut rest = reduced;
    for (i, &label) in labels.summed.iter().enumerate() {
        let (head, tail) = rest.split_at(axis_bits(einsum.dims[label as usize]));
        rest = tail;
        if i < labels.batch {
            scale *= eq_below(&of_label[label as usize], head, einsum.dims[label as usize]);
        }
        of_label[label as usize] = head.to_vec();
    }
    FinalPoints { of_label, scale }
}
