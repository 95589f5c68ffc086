//! The final projection in pieces: the same integers as whole, in answers, draws and logits; every piece is proved where its part of the
//! embedding is.

use super::{CAUSAL, answer, fixture::Fixture, output, run, sequence};
use kernels::Ints;
use model::language::Output;
use model::split::split;
use model::{Model, Subgraphs, balanced, partition};
use verifier::generation::{self, Generated, Lengths};
use verifier::graph::{Op, Source, TensorId};
use verifier::sampling::Sampling;

fn cut(model: &Model, pieces: usize) -> Model {
    let split = split(&model.graph, pieces).expect("the projection can be cut");
    split.graph.check().expect("the graph is well formed");
    split.apply(model.clone())
}

/// The public output for a prompt and its whole answer.
fn chosen(model: &Model, generated: &Generated, sampling: Option<Sampling>) -> Vec<i64> {
    let lengths = Lengths::of(&model.graph).expect("the model generates");
    let given = generation::inputs(lengths, generated).expect("the answer fits");
    let noise = generation::noise(&model.graph, generated.prompt.len() - 1, sampling);
    let inputs: Vec<_> = given.into_iter().chain(noise).collect();
    output(model, &run(model, &inputs))
}

#[test]
fn pieces_give_what_the_whole_gives() {
    let sampling = Some(Sampling { seed: 3, temperature: 5000 });
    for f in CAUSAL.into_iter().map(Fixture::load).chain(["gpt2-digits", "gemma3"].map(Fixture::untied)) {
        for (output, draw) in [(Output::Answers(3), None), (Output::Samples(3), sampling), (Output::Samples(3), None)] {
            let whole = f.import(6, output);
            for pieces in [2, 3, 5] {
                let cut = cut(&whole, pieces);
                for prompt in [1, 4] {
                    let prompt = f.tokens[..prompt].to_vec();
                    let generated = Generated { answer: answer(&whole, &prompt, draw), prompt };
                    assert_eq!(answer(&cut, &generated.prompt, draw), generated.answer, "{pieces} pieces");
                    assert_eq!(chosen(&cut, &generated, draw), chosen(&whole, &generated, draw), "{pieces} pieces");
                }
            }
        }
        let whole = f.import(6, Output::Logits(6));
        let logits = output(&whole, &run(&whole, &sequence(&f.tokens[..6])));
        for pieces in [2, 3, 7] {
            let cut = cut(&whole, pieces);
            assert_eq!(output(&cut, &run(&cut, &sequence(&f.tokens[..6]))), logits, "{pieces} pieces");
        }
    }
}

/// All rows of the vocabulary are one, so all logits are equal: the first token is chosen, whatever the pieces.
#[test]
fn of_equal_logits_the_first_is_chosen() {
    let f = Fixture::load("llama");
    let mut whole = f.import(6, Output::Answers(3));
    let projection = projections(&whole)[0];
    let width = *whole.graph.tensor(projection).shape.last().expect("it is a matrix");
    let rows = whole.weights[&projection].to_vec();
    for (first, second) in [(0, 1), (7, 29), (12, 13)] {
        let row = |r: usize| if r == second { first } else { r };
        let tokens = rows.len() / width;
        let same = (0..tokens).flat_map(|r| rows[row(r) * width..][..width].to_vec()).collect::<Vec<_>>();
        whole.weights.insert(projection, Ints::from(same));
        for pieces in [1, 2, 3, 8] {
            let model = if pieces == 1 { whole.clone() } else { cut(&whole, pieces) };
            for token in answer(&model, &f.tokens[..3], None) {
                assert_ne!(token as usize, second);
            }
        }
    }
    whole.weights.insert(projection, Ints::from(rows[..width].repeat(rows.len() / width)));
    for pieces in [2, 3, 8] {
        assert_eq!(answer(&cut(&whole, pieces), &f.tokens[..3], None), [0; 3]);
    }
}

/// Weights of final projections: read by contractions of the layer that ends in logits.
fn projections(model: &Model) -> Vec<TensorId> {
    let graph = &model.graph;
    let logits = graph.nodes.iter().filter(|node| node.name == "logits");
    let read =
        logits.filter_map(|node| if let Op::Einsum(e) = &node.op { Some(e.terms[0].operands.clone()) } else { None });
    let matrix = |t: &TensorId| graph.tensor(*t).source == Source::Weight && graph.tensor(*t).shape.len() > 1;
    read.flatten().map(|operand| operand.tensor).filter(matrix).collect()
}

/// The embedding and the final projection contract the same tensors, so they are proved in one place; what is between is not.
#[test]
fn tied_pieces_are_in_one_subgraph_each() {
    let model = Fixture::with_vocabulary("gpt2-digits", 5000).import(8, Output::Answers(4));
    let cut = cut(&model, 3);
    let graph = &cut.graph;
    let parts = partition(&cut, Subgraphs::Count(4)).expect("the model can be cut");
    let mut places = Vec::new();
    let pieces = projections(&cut);
    assert_eq!(pieces.len(), 3);
    for piece in pieces {
        let reads = |n: &usize| graph.nodes[*n].op.inputs().contains(&piece);
        let readers: Vec<u32> = (0..graph.nodes.len()).filter(reads).map(|n| parts.subgraph_of_node[n]).collect();
        assert_eq!(readers, [readers[0]; 2]);
        places.push(readers[0]);
    }
    places.dedup();
    assert_eq!(places.len(), 3, "the pieces are apart");
    let whole: usize = cut.weights.values().map(Ints::len).sum();
    assert!(whole < model.weights.values().map(Ints::len).sum::<usize>() + 1000, "no weight is there twice");
}

/// A projection is cut only where that makes the largest subgraph smaller.
#[test]
fn a_projection_is_cut_where_that_balances() {
    let whole = Fixture::with_vocabulary("gpt2-digits", 5000).import(8, Output::Answers(4));
    let (model, parts) = balanced(whole.clone(), Subgraphs::Count(1)).expect("the model can be cut");
    assert_eq!((parts.count, &model.graph), (1, &whole.graph));
    let (model, parts) = balanced(whole.clone(), Subgraphs::Count(4)).expect("the model can be cut");
    assert_eq!((parts.count, projections(&model).len()), (4, 3));
    assert_eq!(answer(&model, &[5, 100, 4999], None), answer(&whole, &[5, 100, 4999], None));
    // Where the layers are most of it, it stays whole.
    let small = Fixture::load("llama").import(8, Output::Answers(1));
    let (model, _) = balanced(small.clone(), Subgraphs::Count(3)).expect("the model can be cut");
    assert_eq!(model.graph, small.graph);
}
