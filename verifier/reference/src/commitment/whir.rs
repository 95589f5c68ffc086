//! WHIR (ePrint 2024/1586): values of a committed polynomial at points, by sumcheck, folding and queries.
//!
//! Variables are bound from the last to the first. A codeword's row holds the values that fold into one, and the folded
//! polynomial's values on the cube are read as coefficients of powers of the row's place in the domain.

use super::merkle;
use super::message::{Message, Openings, Sumcheck, Word};
use super::parameters::{Code, POW_BUDGET, Parameters};
use super::seed::{self, Step, Values, numbers};
use crate::claims::powers;
use crate::error::Error;
use crate::extension::{eq, eq_all};
use crate::field::{F, K, root_of_unity};
use crate::transcript::{Digest, Sponge};
use ark_ff::Field;

fn refuse<T>(problem: &str) -> Result<T, Error> {
    Err(Error::Opening(problem.into()))
}

/// The last code's state, claims so far, and coordinates bound so far.
struct Run<'a> {
    sponge: &'a mut Sponge,
    /// What `sum over the cube of weights * polynomial` must be.
    claim: K,
    /// The weights: at a point of the cube of as many variables, the sum of `factor * weight`.
    weights: Vec<(K, Weight)>,
    /// Challenges in the order in which they were drawn.
    bound: Vec<K>,
}

/// A weight of the polynomial's values on the cube.
enum Weight {
    /// `eq(point, .)`: the claim is the value at the point.
    At(Vec<K>),
    /// `x^i` for the `i`-th value of a polynomial of so many variables.
    Powers(F, usize),
}

impl Weight {
    /// `sum over the cube of weight * polynomial`, for the polynomial's values in order.
    fn apply(&self, values: &[K]) -> K {
        match self {
            Self::At(point) => dot(values, &eq_all(point)),
            Self::Powers(x, _) => powers(values.iter().copied(), K::from(*x)),
        }
    }

    /// Its extension where the last of all variables are bound at `last`.
    fn evaluate(&self, point: &[K]) -> Option<K> {
        match self {
            Self::At(at) => point.get(..at.len()).map(|point| eq(at, point)),
            Self::Powers(x, variables) => {
                let point = point.get(..*variables)?;
                let mut power = *x;
                let mut product = K::ONE;
                for &coordinate in point.iter().rev() {
                    product = product * ((K::ONE - coordinate) + coordinate * K::from(power));
                    power *= power;
                }
                Some(product)
            }
        }
    }
}

fn dot(values: &[K], weights: &[K]) -> K {
    values.iter().zip(weights).map(|(&x, &weight)| x * weight).sum()
}

/// `(x^(2^(n-1)), .., x^2, x)`.
fn square_powers(x: K, n: usize) -> Vec<K> {
    (0..n as u32).rev().map(|i| x.pow(1 << i)).collect()
}

/// What the layout of one polynomial in one table contributes to a label.
fn table_label(variables: usize) -> Vec<Vec<u8>> {
    // Selectors come first; variables are bound from the last.
    let mut label = [numbers(&[variables]), vec![vec![0], vec![1]]].concat();
    // One table, its variables, one column.
    label.extend(numbers(&[1, variables, 1]));
    label
}

/// Verifies an opening of the polynomial whose codeword's rows lie side by side in trees, given by root and logarithm of their leaves;
/// returns its values at the points.
pub fn verify(
    trees: &[(Digest, usize)],
    points: &[Vec<K>],
    parameters: &Parameters,
    message: &[u8],
    sponge: &mut Sponge,
) -> Result<Vec<K>, Error> {
    let Message { whir, values } = Message::from_bytes(message)?;
    let mut at_points = Vec::new();
    for value in &values {
        match (value.current.as_slice(), value.next.as_slice()) {
            (&[value], []) => at_points.push(value),
            _ => return refuse("another number of values at a point than one"),
        }
    }
    if at_points.len() != points.len() || whir.ood_answers.len() != parameters.first_ood() {
        return refuse("another number of values than points");
    }
    if whir.rounds.len() + 1 != parameters.codes.len() {
        return refuse("another number of rounds than codes");
    }

    // Claims outside the domain, then at the points.
    let mut outside = Vec::new();
    for &answer in &whir.ood_answers {
        let steps = [("Challenge", "virtual_point", Values::Element), ("Message", "virtual_eval", Values::Element)];
        seed::absorb(sponge, 1, "p3-sumcheck-layout-ood", &steps, &table_label(parameters.variables));
        let point = square_powers(sponge.challenge(), parameters.variables);
        sponge.absorb_k(answer);
        outside.push((answer, Weight::At(point)));
    }
    let mut claims = Vec::new();
    for (point, &value) in points.iter().zip(&at_points) {
        let steps = [("Message", "current_evals", Values::Elements(1))];
        // Of table 0, one column directly, column 0, none otherwise.
        let label = [table_label(parameters.variables), numbers(&[0, parameters.variables, 1, 0, 0])].concat();
        seed::absorb(sponge, 1, "p3-sumcheck-layout-opening", &steps, &label);
        sponge.absorb_k(value);
        claims.push((value, Weight::At(point.to_vec())));
    }
    claims.extend(outside);

    seed::absorb(sponge, 3, "p3-whir", &steps(parameters), &label(parameters));
    let label = [table_label(parameters.variables), numbers(&[points.len(), whir.ood_answers.len()])].concat();
    let draw = [("Challenge", "batching", Values::Element)];
    seed::absorb(sponge, 1, "p3-sumcheck-layout-batching", &draw, &label);
    let alpha = sponge.challenge();
    let mut run = Run { sponge, claim: K::ZERO, weights: Vec::new(), bound: Vec::new() };
    run.add(claims, alpha, K::ONE);

    let codes = &parameters.codes;
    let first = codes.first().ok_or(Error::Internal("there is no code"))?;
    run.fold(&whir.sumcheck, first.fold, first.fold_pow)?;
    // The first code's rows hold words, those of later codes elements of the challenge field.
    let mut queried = (first, trees.to_vec(), true);
    for (round, code) in whir.rounds.iter().zip(codes.iter().skip(1)) {
        let new_root = match round.root.as_deref() {
            Some(&[root]) => root,
            _ => return refuse("another number of roots than one"),
        };
        run.sponge.absorb(&new_root);
        if round.ood_answers.len() != code.ood {
            return refuse("another number of values than points");
        }
        let mut fresh = Vec::new();
        for &answer in &round.ood_answers {
            let point = square_powers(run.sponge.challenge(), code.left + code.fold);
            run.sponge.absorb_k(answer);
            fresh.push((answer, Weight::At(point)));
        }
        fresh.extend(run.query(&queried, round.nonce.0, &round.openings)?);
        let gamma = run.sponge.challenge();
        // The claim so far keeps the factor 1.
        run.add(fresh, gamma, gamma);
        run.fold(&round.sumcheck, code.fold, code.fold_pow)?;
        queried = (code, vec![(new_root, code.log_rows())], false);
    }

    let sent = whir.sent.unwrap_or_default();
    if sent.len() != 1 << parameters.sent() {
        return refuse("the polynomial sent has another length");
    }
    sent.iter().for_each(|&x| run.sponge.absorb_k(x));
    for (value, weight) in run.query(&queried, whir.nonce.0, &whir.openings)? {
        if weight.apply(&sent) != value {
            return refuse("the polynomial sent is not the committed one");
        }
    }
    let none = Sumcheck { polynomials: Vec::new(), nonces: Vec::new() };
    run.fold(&whir.last_sumcheck.unwrap_or(none), parameters.sent(), parameters.last_pow)?;
    run.close(&sent, parameters.sent())?;
    Ok(at_points)
}

impl Run<'_> {
    /// Adds claims to the one at hand, with successive powers of a challenge.
    fn add(&mut self, claims: Vec<(K, Weight)>, challenge: K, first: K) {
        let mut power = first;
        for (value, weight) in claims {
            self.claim = self.claim + power * value;
            self.weights.push((power, weight));
            power = power * challenge;
        }
    }

    /// A sumcheck of degree 2 over so many variables.
    fn fold(&mut self, sumcheck: &Sumcheck, variables: usize, pow: usize) -> Result<(), Error> {
        let nonces = if pow > 0 { variables } else { 0 };
        if sumcheck.polynomials.len() != variables || sumcheck.nonces.len() != nonces {
            return refuse("another number of rounds of sumcheck than variables");
        }
        if variables == 0 {
            return Ok(());
        }
        let mut steps: Vec<Step> = Vec::new();
        for _ in 0..variables {
            steps.push(("Message", "round_poly", Values::Elements(2)));
            steps.extend((pow > 0).then_some(("Pow", "round_pow", Values::Nonce(pow))));
            steps.push(("Challenge", "round_challenge", Values::Element));
        }
        seed::absorb(self.sponge, 1, "p3-sumcheck-quadratic", &steps, &[vec![0]]);
        for (round, &[at_zero, leading]) in sumcheck.polynomials.iter().enumerate() {
            self.sponge.absorb_k(at_zero);
            self.sponge.absorb_k(leading);
            let nonce = sumcheck.nonces.get(round).map_or(F::from(0u64), |nonce| nonce.0);
            if !self.sponge.check_nonce(pow, nonce) {
                return refuse("a nonce is none");
            }
            let r = self.sponge.challenge();
            let linear = self.claim - at_zero - at_zero - leading;
            self.claim = at_zero + linear * r + leading * r * r;
            self.bound.push(r);
        }
        Ok(())
    }

    /// Draws places of a code's rows, checks the rows, and folds each: claims on the polynomial that is left.
    fn query(
        &mut self,
        (code, trees, base): &(&Code, Vec<(Digest, usize)>, bool),
        nonce: F,
        openings: &Openings,
    ) -> Result<Vec<(K, Weight)>, Error> {
        // A nonce that nothing asks for must be zero: a proof has one form.
        let idle = code.query_pow == 0 && nonce != F::from(0u64);
        if idle || !self.sponge.check_nonce(code.query_pow, nonce) {
            return refuse("a nonce is none");
        }
        let rows = 1 << code.log_rows();
        let places: Vec<usize> = if code.queries >= rows {
            (0..rows).collect()
        } else {
            (0..code.queries).map(|_| self.sponge.bits(code.log_rows())).collect()
        };
        let (shown, siblings): (Vec<Vec<K>>, _) = match openings {
            Openings::Base(opening) if *base => {
                let lift = |row: &Vec<_>| row.iter().map(|word: &Word| K::from(word.0)).collect();
                (opening.rows.iter().map(lift).collect(), &opening.siblings)
            }
            Openings::Extension(opening) if !*base => (opening.rows.clone(), &opening.siblings),
            _ => return refuse("rows of the other field"),
        };
        if shown.iter().any(|row| row.len() != 1 << code.fold) {
            return refuse("a row has another length");
        }
        let words = |row: &[K]| -> Vec<F> {
            row.iter().flat_map(|x| x.0.into_iter().take(if *base { 1 } else { 3 })).collect()
        };
        if siblings.len() != trees.len() {
            return refuse("siblings of another number of trees");
        }
        let width = (1 << code.fold) / trees.len();
        for (number, ((root, log_leaves), siblings)) in trees.iter().zip(siblings).enumerate() {
            let leaves: Vec<usize> = places.iter().map(|place| place % (1 << log_leaves)).collect();
            let columns = |row: &Vec<K>| row.iter().copied().skip(number * width).take(width).collect();
            let rows: Vec<Vec<K>> = shown.iter().map(columns).collect();
            merkle::verify(root, *log_leaves, &leaves, &rows, words, siblings)?;
        }

        let point: Vec<K> = self.bound.iter().rev().take(code.fold).copied().collect();
        let generator = root_of_unity(code.log_rows());
        let weights = eq_all(&point);
        let fold = |row: &Vec<K>| dot(row, &weights);
        let weight = |&place: &usize| Weight::Powers(generator.pow([place as u64]), code.left);
        Ok(shown.iter().map(fold).zip(places.iter().map(weight)).collect())
    }

    /// Checks the claim that is left against the polynomial that was sent.
    fn close(self, sent: &[K], variables: usize) -> Result<(), Error> {
        let point: Vec<K> = self.bound.iter().rev().copied().collect();
        let mut weights = K::ZERO;
        for (factor, weight) in &self.weights {
            weights = weights + *factor * weight.evaluate(&point).ok_or(Error::Internal("a weight has no point"))?;
        }
        let rest = point.get(..variables).ok_or(Error::Internal("the polynomial sent has no point"))?;
        let value = dot(sent, &eq_all(rest));
        if self.claim == weights * value { Ok(()) } else { refuse("the last claim does not hold") }
    }
}

/// What is exchanged, in order.
fn steps(parameters: &Parameters) -> Vec<Step> {
    let queries = |code: &Code, pow: &'static str, places: &'static str| -> Vec<Step> {
        let mut steps = Vec::new();
        steps.extend((code.query_pow > 0).then_some(("Pow", pow, Values::Nonce(code.query_pow))));
        let some = code.queries < 1 << code.log_rows();
        steps.extend(some.then_some(("Challenge", places, Values::Bits(code.log_rows(), code.queries))));
        steps
    };
    let mut steps: Vec<Step> = vec![("Protocol", "initial_fold", Values::Protocol)];
    for (old, new) in parameters.codes.iter().zip(parameters.codes.iter().skip(1)) {
        steps.push(("Message", "commitment", Values::Digest));
        for _ in 0..new.ood {
            steps.push(("Challenge", "ood_point", Values::Element));
            steps.push(("Message", "ood_answer", Values::Element));
        }
        steps.extend(queries(old, "query_pow", "query_indices"));
        steps.push(("Challenge", "round_batching", Values::Element));
        steps.push(("Protocol", "round_fold", Values::Protocol));
    }
    steps.push(("Message", "final_poly", Values::Elements(1 << parameters.sent())));
    if let Some(last) = parameters.codes.last() {
        steps.extend(queries(last, "final_query_pow", "final_query_indices"));
    }
    steps.extend((parameters.sent() > 0).then_some(("Protocol", "final_fold", Values::Protocol)));
    steps
}

/// The numbers that the steps do not show.
fn label(parameters: &Parameters) -> Vec<Vec<u8>> {
    let mut label = vec![parameters.variables, parameters.first_ood(), parameters.points];
    let Some((first, later)) = parameters.codes.split_first() else { return Vec::new() };
    label.extend([1 << first.fold, parameters.level, POW_BUDGET, first.log_inv_rate]);
    // The Johnson regime; folds listed one by one.
    label.extend([1, 2, parameters.codes.len()]);
    label.extend(parameters.codes.iter().map(|code| code.fold));
    label.extend([first.fold, first.fold_pow, parameters.sent(), parameters.last_pow, later.len()]);
    label.extend(later.iter().flat_map(|code| [code.log_inv_rate, code.fold, code.fold_pow]));
    numbers(&label)
}
