//! Seeded sampling: ports that a key may give to noise, what a statement says of it, and how often each token is drawn.

use verifier::generation::{Generation, noise};
use verifier::graph::*;
use verifier::sampling::{MAX_EXPONENT, MAX_TEMPERATURE, Sampling, range};
use verifier::statement::Inference;

const VOCABULARY: i64 = 4;
const EXPONENT: i32 = 20;
const SAMPLING: Sampling = Sampling { seed: 3, temperature: 1000 };

fn tensor(name: &str, shape: &[usize], (lo, hi): (i64, i64), source: Source) -> Tensor {
    Tensor { name: name.into(), shape: shape.to_vec(), lo, hi, source }
}

/// A graph with the ports of a model that samples; what it computes is of no interest here.
fn graph() -> Graph {
    let map = IndexMap::Affine { offset: 0, strides: vec![1] };
    let groups = vec![AxisGroup { input_axes: vec![0], output_axes: vec![0], map }];
    let port = |t, exponent| Port { tensor: TensorId(t), exponent };
    let tokens = (0, VOCABULARY - 1);
    Graph {
        tensors: vec![
            tensor("tokens", &[6], tokens, Source::Input),
            tensor("last", &[1], (0, 3), Source::Input),
            tensor("noise", &[3, 4], range(EXPONENT), Source::Input),
            tensor("answers", &[3], tokens, Source::Node(0)),
        ],
        nodes: vec![Node {
            name: "choice".into(),
            op: Op::View(View { input: TensorId(0), output: TensorId(3), groups }),
        }],
        inputs: vec![port(0, 0), port(1, 0), port(2, EXPONENT)],
        outputs: vec![port(3, 0)],
        interface: Interface::Generation(Generation { tokenizer: None, samples: true }),
    }
}

fn inference(sampling: Option<Sampling>) -> Inference {
    Inference { inputs: vec![vec![1; 6], vec![2]], outputs: vec![vec![1; 3]], sampling }
}

#[test]
fn a_statement_names_noise_and_does_not_list_it() {
    let graph = graph();
    graph.check().expect("the ports fit");
    assert_eq!((graph.given().len(), graph.noise().map(|p| p.tensor)), (2, Some(TensorId(2))));
    inference(None).check(&graph).expect("nothing is drawn");
    let drawn = inference(Some(SAMPLING));
    drawn.check(&graph).expect("it is drawn");
    let listed = Inference { inputs: [&drawn.inputs[..], &[vec![0; 12]]].concat(), ..drawn.clone() };
    listed.check(&graph).expect_err("noise is listed");
    for temperature in [0, MAX_TEMPERATURE + 1, u32::MAX] {
        let error = inference(Some(Sampling { temperature, ..SAMPLING })).check(&graph).unwrap_err().to_string();
        assert!(error.contains("thousandths"), "{error}");
    }
    let greedy = Graph {
        interface: Interface::Generation(Generation::default()),
        inputs: graph.inputs[..2].to_vec(),
        tensors: [&graph.tensors[..2], &graph.tensors[3..]].concat(),
        outputs: vec![Port { tensor: TensorId(2), exponent: 0 }],
        nodes: vec![],
    };
    assert!(drawn.check(&greedy).unwrap_err().to_string().contains("does not sample"));
    assert_eq!(noise(&greedy, 2, None), None);

    // Rows of noise are those of the positions from the prompt's last on; without a draw they are 0.
    let rows = (2..5).flat_map(|position| SAMPLING.noise(position, 4, EXPONENT));
    assert_eq!(drawn.input(&graph, TensorId(2)).as_deref(), Some(&rows.collect::<Vec<_>>()[..]));
    assert_eq!(drawn.input(&graph, TensorId(1)).as_deref(), Some(&[2][..]));
    assert_eq!(drawn.input(&graph, TensorId(3)), None);
    assert_eq!(inference(None).input(&graph, TensorId(2)).as_deref(), Some(&[0; 12][..]));
    let others = [
        Sampling { seed: 4, ..SAMPLING }.noise(2, 4, EXPONENT),
        SAMPLING.noise(3, 4, EXPONENT),
        SAMPLING.noise(2, 4, EXPONENT + 1),
        Sampling { temperature: 999, ..SAMPLING }.noise(2, 4, EXPONENT),
    ];
    assert!(others.iter().all(|other| *other != SAMPLING.noise(2, 4, EXPONENT)));
    assert_eq!(SAMPLING.noise(2, 9, EXPONENT)[..4], SAMPLING.noise(2, 4, EXPONENT));
}

#[test]
fn ports_must_be_those_of_a_model_that_samples() {
    let changes: [fn(&mut Graph); 12] = [
        |g| g.interface = Interface::Generation(Generation::default()),
        |g| g.inputs.truncate(2),
        |g| g.inputs.clear(),
        |g| g.inputs.swap(1, 2),
        |g| g.inputs[2].exponent = -1,
        |g| g.inputs[2].exponent = MAX_EXPONENT + 1,
        // As wide as noise of one digit less.
        |g| g.inputs[2].exponent += 1,
        |g| g.tensors[2].lo += 1,
        |g| g.tensors[2].hi -= 1,
        |g| g.tensors[2].shape = vec![3, 5],
        |g| g.tensors[2].shape = vec![2, 4],
        |g| g.tensors[2].shape = vec![12],
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut graph = graph();
        change(&mut graph);
        let error = graph.check().expect_err("the ports do not fit").to_string();
        assert!(error.contains("port") || error.contains("input"), "{index}: {error}");
    }
}

/// Pearson's statistic of 20,000 draws, one for each seed or one for each position.
#[test]
fn tokens_are_drawn_as_often_as_the_softmax_says() {
    const DRAWS: usize = 20_000;
    let logits = [0.0, 1.25, -2.0, 1.25, 3.0, -0.5, -3.5, 2.0];
    let integers = logits.map(|x| (x * 2f64.powi(EXPONENT)) as i64);
    for temperature in [250, 1000, 3000] {
        let powers = logits.map(|x: f64| (x * 1000.0 / f64::from(temperature)).exp());
        let sum: f64 = powers.iter().sum();
        for by_seed in [true, false] {
            let mut counts = [0f64; 8];
            for draw in 0..DRAWS {
                let (seed, position) = if by_seed { (draw as u64, 5) } else { (77, draw) };
                let noise = Sampling { seed, temperature }.noise(position, 8, EXPONENT);
                let sums = integers.iter().zip(noise).map(|(x, noise)| x + noise).enumerate();
                counts[sums.rev().max_by_key(|&(_, sum)| sum).expect("there are tokens").0] += 1.0;
            }
            let expected = powers.map(|power| power / sum * DRAWS as f64);
            let common = counts.iter().zip(expected).filter(|&(_, expected)| expected >= 5.0);
            let (statistic, cells) = common.fold((0.0, 0.0), |(statistic, cells), (count, expected)| {
                (statistic + (count - expected).powi(2) / expected, cells + 1.0)
            });
            println!("temperature {temperature}, by seed: {by_seed}: {statistic:.1} of {cells} cells");
            assert!(
                statistic < cells + 4.0 * (2.0f64 * cells).sqrt(),
                "{statistic} of {cells}: {counts:?} {expected:?}"
            );
        }
    }
}

/// Of many equal tokens each is as likely as any: the winner is the largest of many variables, so this looks at their tail.
#[test]
fn a_large_vocabulary_is_drawn_from_evenly() {
    const TOKENS: usize = 50_257;
    const CELLS: usize = 16;
    let mut counts = [0f64; CELLS];
    for seed in 0..400 {
        let noise = Sampling { seed, temperature: 1000 }.noise(0, TOKENS, 24);
        let (token, _) = noise.iter().enumerate().rev().max_by_key(|&(_, noise)| noise).expect("there are tokens");
        counts[token * CELLS / TOKENS] += 1.0;
    }
    let expected = 400.0 / CELLS as f64;
    let statistic: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
    assert!(statistic < 15.0 + 4.0 * 30f64.sqrt(), "{statistic}: {counts:?}");
}
