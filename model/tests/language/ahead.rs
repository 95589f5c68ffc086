//! That a device is told of what is read before it is read: a device that listens.

use crate::fixture::Fixture;
use kernels::{Cpu, Forbidden, IntegerDevice, Ints, Part, Summand};
use model::language::Output;
use model::{Cache, Values, execute};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Mutex;
use verifier::graph::{AxisGroup, Lookup, TensorId};
use verifier::plan::{Limb, Table};

/// The CPU, and what it has heard.
#[derive(Default)]
struct Listener(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    /// Integers there have been.
    made: usize,
    /// What it was told of, and what was read.
    told: BTreeSet<usize>,
    read: BTreeSet<usize>,
    /// What was read without a word.
    untold: BTreeSet<usize>,
}

/// Integers with a number of their own.
type Numbered = (usize, Ints);

impl Listener {
    fn heard<R>(&self, hear: impl FnOnce(&mut Heard) -> R) -> R {
        hear(&mut self.0.lock().unwrap())
    }

    fn made(&self, values: Ints) -> Numbered {
        self.heard(|heard| {
            heard.made += 1;
            (heard.made, values)
        })
    }

    fn read<'a>(&self, (number, values): &'a Numbered) -> &'a Ints {
        self.heard(|heard| {
            heard.read.insert(*number);
            if !heard.told.contains(number) {
                heard.untold.insert(*number);
            }
        });
        values
    }

    /// What was heard of these and others before them, once for all.
    fn since_last(&self, first: usize) -> [Vec<usize>; 2] {
        self.heard(|heard| {
            let earlier = |numbers: &BTreeSet<usize>| numbers.iter().copied().filter(|&n| n <= first).collect();
            let found = [earlier(&heard.untold), earlier(&(&heard.told - &heard.read))];
            (heard.told, heard.read, heard.untold) = Default::default();
            found
        })
    }
}

impl IntegerDevice for Listener {
    type Integers = Numbered;

    fn upload_integers(&self, values: Ints) -> Numbered {
        self.made(values)
    }

    fn prefetch(&self, next: &[&Numbered]) {
        self.heard(|heard| heard.told.extend(next.iter().map(|(number, _)| number)));
    }

    fn download_integers(&self, (_, values): &Numbered) -> Ints {
        values.clone()
    }

    fn count(&self, (_, values): &Numbered) -> usize {
        values.len()
    }

    fn concat(&self, parts: &[(&Numbered, Range<usize>)]) -> Numbered {
        self.made(Cpu.concat(&parts.iter().map(|(part, range)| (self.read(part), range.clone())).collect::<Vec<_>>()))
    }

    fn einsum(&self, dims: &[usize], out: &[u8], terms: &[Summand<Numbered>], within: RangeInclusive<i64>) -> Numbered {
        let factors = |term: &Summand<'_, Numbered>| -> Vec<(Ints, Vec<u8>)> {
            term.factors.iter().map(|(values, labels)| (self.read(values).clone(), labels.to_vec())).collect()
        };
        let read: Vec<_> = terms.iter().map(factors).collect();
        let terms: Vec<Summand<Ints>> = terms
            .iter()
            .zip(&read)
            .map(|(term, factors)| Summand {
                coefficient: term.coefficient,
                factors: factors.iter().map(|(values, labels)| (values, &labels[..])).collect(),
            })
            .collect();
        self.made(Cpu.einsum(dims, out, &terms, within))
    }

    fn rearrange(&self, input: &Numbered, from: &[usize], to: &[usize], groups: &[AxisGroup]) -> Numbered {
        self.made(Cpu.rearrange(self.read(input), from, to, groups))
    }

    fn look_up(
        &self,
        input: &Numbered,
        lookup: &Lookup,
        table: Option<&Numbered>,
        within: RangeInclusive<i64>,
    ) -> Result<Numbered, Forbidden> {
        let table = table.map(|table| self.read(table));
        Cpu.look_up(self.read(input), lookup, table, within).map(|values| self.made(values))
    }

    fn row_max(&self, input: &Numbered, row: usize) -> Numbered {
        self.made(Cpu.row_max(self.read(input), row))
    }

    fn floor_div(&self, n: &Numbered, d: &Numbered, within: RangeInclusive<i64>) -> Result<Numbered, Forbidden> {
        Cpu.floor_div(self.read(n), self.read(d), within).map(|values| self.made(values))
    }

    fn rsqrt(&self, input: &Numbered, exponent: u32, within: RangeInclusive<i64>) -> Result<Numbered, Forbidden> {
        Cpu.rsqrt(self.read(input), exponent, within).map(|values| self.made(values))
    }

    fn limbs(&self, _: &Numbered, _: &Lookup, _: Part, _: &Limb) -> Numbered {
        unreachable!("a model has no limbs")
    }

    fn edges(&self, _: &Numbered, _: u32) -> Numbered {
        unreachable!("a model has no limbs")
    }

    fn combine(&self, _: i64, _: &[(i64, &Numbered)], _: RangeInclusive<i64>) -> Numbered {
        unreachable!("a model has no limbs")
    }

    fn count_rows(&self, _: &Table, _: &[&Numbered], _: &mut Numbered) {
        unreachable!("a model counts no rows")
    }

    fn table_entries(&self, _: &Table, _: usize, _: Option<&Numbered>) -> Vec<Numbered> {
        unreachable!("a model lists no rows")
    }
}

#[test]
fn weights_keys_and_values_are_told_of_before_they_are_read() {
    for name in crate::CAUSAL {
        let f = Fixture::load(name);
        let model = f.import(8, Output::Logits(4));
        let (graph, device) = (&model.graph, Listener::default());
        let upload = |(&tensor, weight): (&TensorId, &Ints)| (tensor, device.upload_integers(weight.clone()));
        let weights: BTreeMap<TensorId, Numbered> = model.weights.iter().map(upload).collect();
        let first: Vec<usize> =
            graph.nodes[0].op.inputs().iter().filter_map(|tensor| weights.get(tensor)).map(|(n, _)| *n).collect();

        let mut values: Values<Listener> = vec![None; graph.tensors.len()];
        weights.iter().for_each(|(tensor, weight)| values[tensor.index()] = Some(weight.clone()));
        let tokens: Vec<i64> = f.tokens[..8].iter().map(|&token| token.into()).collect();
        values[graph.inputs[0].tensor.index()] = Some(device.upload_integers(Ints::from(tokens.clone())));
        execute(&device, graph, 0..graph.nodes.len() as u32, &mut values).expect("the model runs");
        assert_eq!(device.since_last(weights.len()), [first.clone(), vec![]], "{name} as a whole");

        let mut cache = Cache::new(&device, graph, &weights).expect("the model is causal");
        for step in [&tokens[..3], &tokens[3..4], &tokens[4..8]] {
            // All that there was before the step: keys and values too.
            let before = device.heard(|heard| heard.made);
            cache.extend(step).expect("the step runs");
            let [untold, in_vain] = device.since_last(before);
            assert!(in_vain.is_empty(), "{name}: {in_vain:?}");
            assert!(untold.iter().all(|number| first.contains(number)), "{name}: {untold:?} of {first:?}");
        }
    }
}
