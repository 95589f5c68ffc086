//! WHIR's parameters: from polynomials' variables, opened points and target, by the formulas of the Johnson regime.

use super::joint::COLUMNS;
use crate::error::Error;
use crate::soundness::Account;

/// Variables of a polynomial that is sent instead of being folded further.
const SENT: usize = 6;
/// Bits of grinding that a phase may ask for.
pub const POW_BUDGET: usize = 16;
/// Most bits by which the level of each term may exceed the target.
const MAX_SLACK: u32 = 8;
/// `log2 |K|`, rounded up: what parameters are derived from.
const FIELD_BITS: f64 = 192.0;
/// `log2 |K|`, rounded down: what they are graded by.
const FIELD_BITS_BELOW: f64 = 191.0;
/// The largest two-adic subgroup of the base field, as a power of two.
const MAX_LOG_DOMAIN: usize = 32;

/// A codeword that is queried and folded.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// Logarithm of codeword length over message length.
    pub log_inv_rate: usize,
    /// Logarithm of the codeword's length.
    pub log_domain: usize,
    /// Variables folded under it; a row holds the power of two of it.
    pub fold: usize,
    /// Variables that are left after the fold.
    pub left: usize,
    /// Points drawn outside the domain when it is committed.
    pub ood: usize,
    /// Grinding before each challenge of its fold.
    pub fold_pow: usize,
    /// Positions queried.
    pub queries: usize,
    /// Grinding before they are drawn.
    pub query_pow: usize,
}

impl Code {
    /// Logarithm of the number of rows.
    pub fn log_rows(&self) -> usize {
        self.log_domain - self.fold
    }
}

/// Parameters of one opening.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// Variables of the polynomial that is opened.
    pub variables: usize,
    /// Points at which it is opened.
    pub points: usize,
    /// Bits that each phase is derived for.
    pub level: usize,
    /// The code of the root, then those of the rounds.
    pub codes: Vec<Code>,
    /// Grinding in the last sumcheck.
    pub last_pow: usize,
}

/// Logarithm of a code's list size at distance `1 - sqrt(rho) (1 + 1/20)`: `10 / rho`.
fn list_bits(log_inv_rate: usize) -> f64 {
    log_inv_rate as f64 + 10f64.log2()
}

/// Bits of `samples` points outside the domain: `list^2 / 2 * (variables / |K|)^samples`, the degree taken as `2^variables`.
fn ood_bits(variables: usize, log_inv_rate: usize, field_bits: f64, samples: usize) -> f64 {
    let samples = samples as f64;
    samples * field_bits + 1.0 - 2.0 * list_bits(log_inv_rate) - variables as f64 * samples
}

/// Bits of the proximity gap of a line: `8 n (m + 1/2)^3 / (3 rho')` exceptions, `m = 10`, `rho' = (2^variables - 1) / n`.
fn gap_bits(variables: usize, log_inv_rate: usize, field_bits: f64) -> f64 {
    let log_n = (variables + log_inv_rate) as f64;
    let log_rho = (1.0 - (-(variables as f64)).exp2()).log2() - log_inv_rate as f64;
    field_bits - (3.0 + log_n + 3.0 * 10.5f64.log2() - 3f64.log2() - log_rho)
}

/// Bits of a round of sumcheck against a list of codewords.
fn fold_bits(log_inv_rate: usize, field_bits: f64) -> f64 {
    field_bits - (list_bits(log_inv_rate) + 1.0)
}

/// Bits of one query: `-log2(sqrt(rho) (1 + 1/20))`.
fn query_bits(log_inv_rate: usize) -> f64 {
    0.5 * log_inv_rate as f64 - (21f64 / 20.0).log2()
}

/// Bits of combining the answers outside and inside the domain.
fn combination_bits(log_inv_rate: usize, field_bits: f64, answers: usize) -> f64 {
    field_bits - ((answers as f64).log2() + list_bits(log_inv_rate) + 1.0)
}

/// What is missing to the level, in whole bits.
fn grinding(level: usize, bits: f64) -> usize {
    (level as f64 - bits).max(0.0).ceil() as usize
}

/// The logarithm of the first code's inverse rate, by the polynomial's size alone.
pub fn first_rate(variables: usize) -> usize {
    match variables {
        0..=15 => 4,
        16..=18 => 3,
        19..=26 => 2,
        _ => 1,
    }
}

impl Parameters {
    /// The parameters of the least level whose phases together reach the target.
    pub fn new(parts: &[usize], points: usize, target: u32) -> Result<Self, Error> {
        for level in target..=target + MAX_SLACK {
            let parameters = Self::of_level(parts, points, level as usize)?;
            if parameters.bits() >= f64::from(target) {
                return Ok(parameters);
            }
        }
        Err(Error::Opening(format!("{points} points of polynomials of {parts:?} variables cannot reach {target} bits")))
    }

    fn of_level(parts: &[usize], points: usize, level: usize) -> Result<Self, Error> {
        let fail = |problem: &str| Error::Opening(format!("{points} points, {parts:?} variables: {problem}"));
        let largest = parts.iter().copied().max().ok_or(Error::Internal("nothing is opened"))?;
        // One variable more tells two polynomials apart.
        let number = parts.len() - 1;
        let variables = largest + number;
        let mut codes: Vec<Code> = Vec::new();
        let mut log_inv_rate = first_rate(largest);
        let (mut before, mut fold) = (variables, COLUMNS.min(largest) + number);
        // The second domain is an eighth of the largest polynomial's; later ones are halves.
        let mut shrinking = 3.min(COLUMNS.min(largest)) + number;
        if fold == 0 {
            return Err(fail("too few to fold"));
        }
        loop {
            let samples = |samples: &usize| ood_bits(before, log_inv_rate, FIELD_BITS, *samples) >= level as f64;
            let fold_error = gap_bits(before, log_inv_rate, FIELD_BITS).min(fold_bits(log_inv_rate, FIELD_BITS));
            let queries = (level.saturating_sub(POW_BUDGET) as f64 / query_bits(log_inv_rate)).ceil() as usize;
            codes.push(Code {
                log_inv_rate,
                log_domain: before + log_inv_rate,
                fold,
                left: before - fold,
                ood: (1..64).find(samples).ok_or_else(|| fail("the field is too small"))?,
                fold_pow: grinding(level, fold_error),
                queries,
                query_pow: grinding(level, queries as f64 * query_bits(log_inv_rate)),
            });
            before -= fold;
            if before <= SENT {
                break;
            }
            log_inv_rate += fold - shrinking;
            (fold, shrinking) = (4.min(before), 1);
        }
        // Between two codes, grinding also makes up for the combination of their answers.
        for round in 1..codes.len() {
            let (earlier, later) = codes.split_at_mut(round);
            if let (Some(old), Some(new)) = (earlier.last_mut(), later.first()) {
                let combined = combination_bits(new.log_inv_rate, FIELD_BITS, new.ood + old.queries);
                old.query_pow = old.query_pow.max(grinding(level, combined));
            }
        }
        let last_pow = grinding(level, FIELD_BITS_BELOW);
        let parameters = Self { variables, points, level, codes, last_pow };
        let most = parameters.codes.iter().map(|code| code.fold_pow.max(code.query_pow)).max().unwrap_or(0);
        if most.max(last_pow) > POW_BUDGET {
            return Err(fail("more grinding than the budget"));
        }
        if parameters.codes.first().is_none_or(|code| code.log_rows() > MAX_LOG_DOMAIN) {
            return Err(fail("too many cells"));
        }
        if parameters.claims_bits() < level as f64 {
            return Err(fail("too many points"));
        }
        Ok(parameters)
    }

    /// Logarithm of the rows of the polynomial that is opened.
    pub fn log_rows(&self) -> usize {
        self.codes.first().map_or(0, |code| code.left)
    }

    /// Points drawn outside the domain of the first code.
    pub fn first_ood(&self) -> usize {
        self.codes.first().map_or(0, |code| code.ood)
    }

    /// Variables of the polynomial that is sent.
    pub fn sent(&self) -> usize {
        self.codes.last().map_or(self.variables, |code| code.left)
    }

    /// Bits of combining the claims at all points.
    fn claims_bits(&self) -> f64 {
        match self.points + self.first_ood() {
            0 | 1 => f64::INFINITY,
            claims => FIELD_BITS_BELOW - ((claims - 1) as f64).log2() - self.log2_candidates(),
        }
    }

    /// Logarithm of the number of polynomials that the roots may stand for.
    pub fn log2_candidates(&self) -> f64 {
        self.codes.first().map_or(0.0, |code| list_bits(code.log_inv_rate))
    }

    /// Bits of all phases together.
    pub fn bits(&self) -> f64 {
        let mut account = Account::default();
        account.add(self.claims_bits());
        for (round, code) in self.codes.iter().enumerate() {
            let (rate, before) = (code.log_inv_rate, code.left + code.fold);
            account.add(ood_bits(before, rate, FIELD_BITS_BELOW, code.ood));
            for _ in 0..code.fold {
                // One bit is kept in reserve.
                account.add(gap_bits(before, rate, FIELD_BITS_BELOW) - 1.0 + code.fold_pow as f64);
                account.add(fold_bits(rate, FIELD_BITS_BELOW) + code.fold_pow as f64);
            }
            account.add(code.queries as f64 * query_bits(rate) + code.query_pow as f64);
            if let Some(next) = self.codes.get(round + 1) {
                let combined = combination_bits(next.log_inv_rate, FIELD_BITS_BELOW, next.ood + code.queries);
                account.add(combined + code.query_pow as f64);
            }
        }
        for _ in 0..self.sent() {
            account.add(FIELD_BITS_BELOW - 1.0 + self.last_pow as f64);
        }
        account.bits().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_of_the_verifier() {
        let pairs = (15..30).flat_map(|a| [a, 15, a + 2, 30].map(|b| vec![a, b]));
        for variables in (0..40).map(|n| vec![n]).chain(pairs) {
            for (points, target) in [(1, 102), (1, 133), (7, 130), (300, 131), (5000, 104)] {
                let ours = Parameters::new(&variables, points, target);
                let joint = verifier::commitment::Joint::new(&variables);
                let Ok(theirs) = verifier::commitment::Parameters::new(&joint, points, target) else {
                    assert!(ours.is_err(), "{variables:?} variables, {points} points, {target} bits");
                    continue;
                };
                let ours = ours.unwrap();
                let config = theirs.config();
                assert_eq!(ours.level, config.params().security_level);
                assert!((ours.bits() - theirs.bits()).abs() < 1e-6);
                assert!((ours.log2_candidates() - theirs.log2_candidates()).abs() < 1e-9);
                let folds: Vec<usize> = ours.codes.iter().map(|code| code.fold).collect();
                assert_eq!(folds, config.folding_schedule());
                assert_eq!(ours.first_ood(), config.commitment_ood_samples());
                assert_eq!(ours.sent(), config.final_sumcheck_rounds());
                assert_eq!(ours.last_pow, config.final_folding_pow_bits());
                for ((old, new), round) in ours.codes.iter().zip(&ours.codes[1..]).zip(config.round_parameters()) {
                    assert_eq!((old.queries, old.query_pow), (round.num_queries, round.pow_bits));
                    assert_eq!((old.left, old.log_rows()), (round.num_variables, round.log_folded_domain_size));
                    assert_eq!((new.ood, new.fold_pow), (round.ood_samples, round.folding_pow_bits));
                    assert_eq!(new.log_inv_rate, round.log_inv_rate);
                }
                let last = ours.codes.last().unwrap();
                assert_eq!((last.queries, last.query_pow), (config.terminal().num_queries, config.terminal().pow_bits));
            }
        }
    }
}
