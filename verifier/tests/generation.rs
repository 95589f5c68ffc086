//! Prompt and answer in public values: what is written is read again, and nothing else can be read as one.

use verifier::generation::{Generated, Generation, GenerationError, Lengths, inputs, read};
use verifier::graph::*;

const VOCABULARY: i64 = 4;
const LENGTHS: Lengths = Lengths { sequence: 6, answer: 3 };

fn tensor(name: &str, shape: &[usize], hi: i64, source: Source) -> Tensor {
    Tensor { name: name.into(), shape: shape.to_vec(), lo: 0, hi, source }
}

/// A graph with the ports of a model that generates; what it computes is of no interest here.
fn graph() -> Graph {
    let map = IndexMap::Affine { offset: 0, strides: vec![1] };
    let groups = vec![AxisGroup { input_axes: vec![0], output_axes: vec![0], map }];
    let port = |t| Port { tensor: TensorId(t), exponent: 0 };
    Graph {
        tensors: vec![
            tensor("tokens", &[6], VOCABULARY - 1, Source::Input),
            tensor("last", &[1], 3, Source::Input),
            tensor("answers", &[3], VOCABULARY - 1, Source::Node(0)),
        ],
        nodes: vec![Node {
            name: "choice".into(),
            op: Op::View(View { input: TensorId(0), output: TensorId(2), groups }),
        }],
        inputs: vec![port(0), port(1)],
        outputs: vec![port(2)],
        interface: Interface::Generation(Generation::default()),
    }
}

/// All sequences of so many tokens.
fn sequences(length: usize) -> impl Iterator<Item = Vec<u32>> {
    let base = VOCABULARY as u32;
    (0..base.pow(length as u32)).map(move |n| (0..length as u32).map(|i| n / base.pow(i) % base).collect())
}

fn choices(answer: &[u32], rest: i64) -> Vec<i64> {
    answer.iter().map(|&t| t.into()).chain(std::iter::repeat(rest)).take(LENGTHS.answer).collect()
}

#[test]
fn what_is_written_is_read() {
    let graph = graph();
    graph.check().expect("the ports fit");
    assert_eq!(Lengths::of(&graph), Some(LENGTHS));
    for (prompt, answer) in (1..=4).flat_map(|p| (1..=3).map(move |a| (p, a))) {
        for answer in sequences(answer) {
            let generated = Generated { prompt: vec![1; prompt], answer };
            let written = inputs(LENGTHS, &generated).expect("it fits");
            // Whatever the model would have gone on with.
            for rest in 0..VOCABULARY {
                let outputs = [choices(&generated.answer, rest)];
                assert_eq!(read(&graph, &written, &outputs), Ok(generated.clone()), "{rest}");
            }
        }
    }
}

/// A sequence that is read as an answer is the one that is written for that answer.
#[test]
fn no_other_sequence_is_read() {
    let graph = graph();
    let mut refused = 0;
    for sequence in sequences(6).map(|s| s.iter().map(|&t| t.into()).collect::<Vec<i64>>()) {
        for (last, chosen) in [(0, [2, 0, 3]), (1, [0, 0, 0]), (3, [1, 1, 1]), (3, [3, 0, 1])] {
            let given = [sequence.clone(), vec![last]];
            match read(&graph, &given, &[chosen.to_vec()]) {
                Ok(generated) => {
                    assert_eq!(inputs(LENGTHS, &generated).as_ref(), Ok(&given));
                    let answer: Vec<i64> = generated.answer.iter().map(|&t| t.into()).collect();
                    assert_eq!(answer, chosen[..answer.len()], "the answer is what the model chose");
                }
                Err(GenerationError::Token { position, expected, found }) => {
                    assert!(sequence[position] == found && found != expected);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(refused > 10_000, "{refused}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let fit = |prompt, answer| inputs(LENGTHS, &Generated { prompt: vec![1; prompt], answer: vec![1; answer] });
    for (prompt, answer) in [(0, 1), (5, 1), (1, 0), (1, 4)] {
        let error = fit(prompt, answer).unwrap_err();
        assert!(matches!(error, GenerationError::Length { most_prompt: 4, most_answer: 3, .. }), "{error}");
    }
    for values in [
        vec![],
        vec![vec![0; 6]],
        vec![vec![0; 5], vec![0]],
        vec![vec![0; 6], vec![]],
        vec![vec![0; 6], vec![4]],
        vec![vec![0; 6], vec![-1]],
        vec![vec![0; 6], vec![i64::MAX]],
    ] {
        assert_eq!(read(&graph(), &values, &[vec![0; 3]]), Err(GenerationError::Interface));
    }
    assert_eq!(read(&graph(), &[vec![0; 6], vec![0]], &[]), Err(GenerationError::Interface));
    let plain = Graph { interface: Interface::Tensors, ..graph() };
    assert_eq!(read(&plain, &[vec![0; 6], vec![0]], &[vec![0; 3]]), Err(GenerationError::Interface));
}

#[test]
fn ports_must_be_those_of_a_model_that_generates() {
    let changes: [fn(&mut Graph); 9] = [
        |g| g.inputs.truncate(1),
        |g| g.inputs.swap(0, 1),
        |g| g.inputs[0].exponent = 1,
        |g| g.outputs[0].exponent = -1,
        |g| g.tensors[1].hi = 4,
        |g| g.tensors[1].lo = -1,
        |g| g.tensors[0].lo = -1,
        |g| g.tensors[0].hi = 0,
        |g| g.tensors[2].hi = VOCABULARY,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut graph = graph();
        change(&mut graph);
        let error = graph.check().expect_err("the ports do not fit").to_string();
        assert!(error.contains("port") || error.contains("input"), "{index}: {error}");
    }
}
