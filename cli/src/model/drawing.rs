//! A picture of a graph and its partition: each subgraph a box, its nodes inside, edges from what is computed to what reads it.
//!
//! Nodes are placed by layers (one more than the deepest operand's) from top to bottom; within a layer they are ordered
//! by the mean position of their operands, which keeps edges short.

use std::{collections::BTreeMap, fmt::Write};

use verifier::{
    graph::{Graph, Op, Source},
    key::ModelKey,
};

use super::inspect::{bits, kind, shape};
use crate::format::escape;

const NODE: (f64, f64) = (188.0, 40.0);
const GAP: (f64, f64) = (24.0, 34.0);
const MARGIN: f64 = 28.0;
/// Left of the nodes: room for a subgraph's title.
const TITLE: f64 = 96.0;

/// Fill of nodes by kind.
const fn fill(op: &Op) -> &'static str {
    match op {
        Op::Einsum(_) => "#c7d9f2",
        Op::Lookup(_) => "#f8dcb4",
        Op::View(_) => "#e6e6e6",
        Op::Advice(_) => "#d8ecc9",
    }
}

struct Placed {
    /// Centre of every node.
    centres: Vec<(f64, f64)>,
    size: (f64, f64),
    /// For each subgraph the upper and lower end of its band.
    bands: Vec<(f64, f64)>,
}

/// Draws a model as an SVG file.
pub fn draw(key: &ModelKey) -> String {
    let graph = key.graph();
    let subgraph_of_node = &key.partition().subgraph_of_node;
    let operands = operands(graph);
    let placed = place(&operands, subgraph_of_node, key.partition().count);
    let (width, height) = placed.size;
    // Writing to a string cannot fail: results are dropped throughout.
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"6\" markerHeight=\"6\" orient=\"auto\">\
         <path d=\"M0 0 L8 4 L0 8 z\" fill=\"#555555\"/></marker></defs>\n"
    );
    for (subgraph, (top, bottom)) in placed.bands.iter().enumerate() {
        let (x, w, h) = (MARGIN / 2.0, width - MARGIN, bottom - top);
        let tint = if subgraph % 2 == 0 { "#f7f9fc" } else { "#fcf8f3" };
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{top:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"10\" fill=\"{tint}\" stroke=\"#b9c2cf\"/>\
             <text x=\"{}\" y=\"{:.1}\" font-size=\"12\" font-weight=\"600\" fill=\"#44506a\">subgraph {subgraph}</text>",
            x + 12.0,
            top + 20.0
        );
    }
    for (node, sources) in operands.iter().enumerate() {
        for &source in sources {
            let crosses = subgraph_of_node[source] != subgraph_of_node[node];
            edge(&mut svg, placed.centres[source], placed.centres[node], crosses);
        }
    }
    for (node, &centre) in graph.nodes.iter().zip(&placed.centres) {
        let output = node.op.output().map(|id| graph.tensor(id));
        let detail = output.map_or("assertion".into(), |t| format!("{}, {} bits", shape(t), bits(t)));
        let label = format!("{} {}", kind(&node.op), node.name);
        rectangle(&mut svg, centre, fill(&node.op), &label, &detail);
    }
    svg + "</svg>\n"
}

/// For every node, the nodes that compute what it reads.
fn operands(graph: &Graph) -> Vec<Vec<usize>> {
    let computed_by = |op: &Op| {
        let mut sources: Vec<_> = op
            .inputs()
            .into_iter()
            .filter_map(|id| match graph.tensor(id).source {
                Source::Node(node) => Some(node as usize),
                Source::Input | Source::Weight => None,
            })
            .collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    };
    graph.nodes.iter().map(|node| computed_by(&node.op)).collect()
}

fn place(operands: &[Vec<usize>], subgraph_of_node: &[u32], subgraphs: u32) -> Placed {
    let mut rows: BTreeMap<(u32, usize), Vec<usize>> = BTreeMap::new();
    let mut layer = vec![0; operands.len()];
    for (node, sources) in operands.iter().enumerate() {
        layer[node] = sources.iter().map(|&source| layer[source] + 1).max().unwrap_or(0);
        rows.entry((subgraph_of_node[node], layer[node])).or_default().push(node);
    }
    let widest = rows.values().map(Vec::len).max().unwrap_or(1) as f64;
    let inner = widest * (NODE.0 + GAP.0) - GAP.0;
    let mut centres = vec![(0.0, 0.0); operands.len()];
    let mut bands = vec![(MARGIN, MARGIN); subgraphs as usize];
    let mut y = MARGIN;
    let mut current = None;
    for ((subgraph, _), row) in &mut rows {
        if current != Some(*subgraph) {
            y += if current.is_some() { GAP.1 } else { 0.0 };
            bands[*subgraph as usize].0 = y - GAP.1 / 3.0;
            current = Some(*subgraph);
        }
        let wish = |node: usize| {
            let sources = &operands[node];
            sources.iter().map(|&source| centres[source].0).sum::<f64>() / sources.len().max(1) as f64
        };
        row.sort_by(|&a, &b| wish(a).total_cmp(&wish(b)));
        let used = row.len() as f64 * (NODE.0 + GAP.0) - GAP.0;
        let left = MARGIN + TITLE + (inner - used) / 2.0;
        for (position, &node) in row.iter().enumerate() {
            centres[node] = (left + position as f64 * (NODE.0 + GAP.0) + NODE.0 / 2.0, y + NODE.1 / 2.0);
        }
        y += NODE.1 + GAP.1;
        bands[*subgraph as usize].1 = y - GAP.1 * 2.0 / 3.0;
    }
    Placed { centres, size: (inner + TITLE + 2.0 * MARGIN, y), bands }
}

/// A curve from the lower edge of a node to the upper edge of another; thick where it crosses a boundary.
fn edge(svg: &mut String, from: (f64, f64), to: (f64, f64), crosses: bool) {
    let (x0, y0, x1, y1) = (from.0, from.1 + NODE.1 / 2.0, to.0, to.1 - NODE.1 / 2.0);
    let bend = ((y1 - y0) / 2.0).max(12.0);
    let (stroke, width) = if crosses { ("#c0392b", 1.8) } else { ("#777777", 1.0) };
    let _ = writeln!(
        svg,
        "<path d=\"M{x0:.1} {y0:.1} C{x0:.1} {:.1} {x1:.1} {:.1} {x1:.1} {y1:.1}\" fill=\"none\" stroke=\"{stroke}\" \
         stroke-width=\"{width}\" stroke-opacity=\"0.8\" marker-end=\"url(#arrow)\"/>",
        y0 + bend,
        y1 - bend
    );
}

fn rectangle(svg: &mut String, centre: (f64, f64), fill: &str, label: &str, detail: &str) {
    let (x, y) = (centre.0 - NODE.0 / 2.0, centre.1 - NODE.1 / 2.0);
    let _ = writeln!(
        svg,
        "<g><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{}\" height=\"{}\" rx=\"5\" fill=\"{fill}\" stroke=\"#8a8a8a\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666666\" font-size=\"10\">{}</text></g>",
        escape(label),
        NODE.0,
        NODE.1,
        centre.0,
        y + 16.0,
        escape(&shorten(label)),
        centre.0,
        y + 31.0,
        escape(detail)
    );
}

/// What fits into a node: the end of a long name tells more than its middle.
fn shorten(label: &str) -> String {
    const MOST: usize = 30;
    let letters: Vec<char> = label.chars().collect();
    if letters.len() <= MOST {
        return label.into();
    }
    let (head, tail) = (&letters[..MOST / 2], &letters[letters.len() - (MOST - MOST / 2 - 1)..]);
    format!("{}…{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"é".repeat(31)).chars().count(), 30);
    }
}
