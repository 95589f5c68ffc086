//! See `verifier::argument::subgraph`.

use super::{Context, einsum, lookup, merge, tensor, view};
use crate::Values;
use crate::columns::Witness;
use kernels::Device;
use verifier::argument::Rejection;
use verifier::argument::ledger::{Ledger, PointValue};
use verifier::graph::{Op, TensorId};
use verifier::key::ModelKey;
use verifier::multilinear::num_variables;
use verifier::transcript::{Transcript, Writer};

/// Operations whose inputs the device is told of: the one that is proved, and the next.
const AHEAD: usize = 2;

/// Proves everything but the openings: fills the ledger.
///
/// # Errors
/// If the values contradict each other.
pub fn prove<'a, D: Device>(
    device: &'a D,
    transcript: &mut Writer,
    key: &'a ModelKey,
    subgraph: u32,
    values: &'a Values<D>,
    witness: &Witness<D::Integers>,
) -> Result<Ledger<'a>, Rejection> {
    let (graph, plan) = (key.graph(), &key.plan().subgraphs[subgraph as usize]);
    let context = Context { device, graph, plan, values };
    let mut ledger = Ledger::new(graph, plan);
    lookup::prove(context, transcript, witness, &mut ledger)?;
    let mut definitions: Vec<(TensorId, PointValue)> = Vec::new();
    for &id in &plan.definitions {
        let shape = &graph.tensor(id).shape;
        let point = transcript.challenges(num_variables(shape));
        let claim = PointValue { value: tensor::evaluate(device, context.held(id), shape, &point), point };
        transcript.write(claim.value);
        ledger.tensor(id, claim.point.clone(), claim.value)?;
        definitions.push((id, claim));
    }
    let ops: Vec<&Op> = plan.nodes.iter().rev().map(|&node| &graph.nodes[node as usize].op).collect();
    for (place, &op) in ops.iter().enumerate() {
        let read = ops[place..].iter().take(AHEAD).flat_map(|op| op.inputs());
        device.prefetch(&read.map(|tensor| context.held(tensor)).collect::<Vec<_>>());
        let (Op::Einsum(_) | Op::View(_), Some(output)) = (op, op.output()) else { continue };
        let claim = match definitions.iter().position(|(t, _)| *t == output) {
            Some(place) => Some(definitions.swap_remove(place).1),
            None => merge::prove(device, transcript, graph.tensor(output), context.held(output), ledger.take(output)),
        };
        let Some(claim) = claim else { continue };
        match op {
            Op::Einsum(e) => einsum::prove(context, transcript, e, &claim, &mut ledger)?,
            Op::View(v) => {
                let (input, output) = (graph.tensor(v.input), graph.tensor(v.output));
                let input = view::prove(device, transcript, v, input, output, context.held(v.input), &claim);
                ledger.tensor(v.input, input.point, input.value)?;
            }
            Op::Lookup(_) | Op::Advice(_) => {}
        }
    }
    Ok(ledger)
}
