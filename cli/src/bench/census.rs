//! Where the cells and the lookups of a model are: per kind of layer, what its proofs commit to and look up.

use std::{collections::BTreeMap, fmt::Write};

use verifier::{
    graph::Op,
    key::ModelKey,
    plan::{Column, LookupPlan, SubgraphPlan},
};

/// Of all layers of one name, their numbers apart.
#[derive(Default)]
struct Count {
    elements: usize,
    /// Fractions of the lookup argument.
    leaves: usize,
    /// Committed in the witness.
    cells: usize,
}

/// Rows that are shown.
const ROWS: usize = 30;

/// A line for each kind of layer, the largest first, and the sums.
pub fn census(key: &ModelKey) -> String {
    let graph = key.graph();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut tables = Count::default();
    for plan in &key.plan().subgraphs {
        for lookup in &plan.lookups {
            let node = &graph.nodes[lookup.node as usize];
            let Op::Lookup(op) = &node.op else { continue };
            let elements = graph.tensor(op.input).len();
            let output = op.output.map(|t| name_of_tensor(&graph.tensor(t).name));
            let count =
                counts.entry(format!("{} {}", without_numbers(&node.name), output.unwrap_or_default())).or_default();
            count.elements += elements;
            count.leaves += elements * lookup.leaves();
            count.cells += elements * columns_of(plan, lookup, op.output);
        }
        tables.leaves += plan.table_rows();
        tables.cells += plan.table_rows();
    }
    let mut rows: Vec<(String, Count)> = counts.into_iter().chain([("tables".into(), tables)]).collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(count.leaves));
    let sum = |part: fn(&Count) -> usize| rows.iter().map(|(_, count)| part(count)).sum::<usize>();
    let total = Count { elements: sum(|c| c.elements), leaves: sum(|c| c.leaves), cells: sum(|c| c.cells) };
    rows.truncate(ROWS);
    rows.push(("all".into(), total));
    let mut text = format!("\n{:>12}{:>12}{:>12}  lookups of\n", "elements", "leaves", "cells");
    for (name, Count { elements, leaves, cells }) in rows {
        let _ = writeln!(text, "{elements:>12}{leaves:>12}{cells:>12}  {name}");
    }
    text
}

/// Columns of the witness that belong to a lookup.
fn columns_of(plan: &SubgraphPlan, lookup: &LookupPlan, output: Option<verifier::graph::TensorId>) -> usize {
    let limbs = lookup.remainder.iter().chain(&lookup.value);
    let excess = lookup.excess.as_ref();
    let own = output.is_some_and(|t| plan.columns.contains(&Column::Tensor(t)));
    limbs.chain(excess.iter().flat_map(|e| &e.limbs)).filter(|limb| limb.column.is_some()).count()
        + excess.map_or(0, |e| e.edges.len())
        + usize::from(own)
}

/// Layers of one kind differ in their numbers.
fn without_numbers(name: &str) -> String {
    name.split('.')
        .filter(|part| part.parse::<u32>().is_err())
        .collect::<Vec<_>>()
        .join(".")
        .replace(char::is_numeric, "")
}

/// What the builder called a tensor, after its layer.
fn name_of_tensor(name: &str) -> String {
    without_numbers(name.rsplit_once(' ').map_or(name, |(_, what)| what))
}
