//! Count, mean and centred second moment of numbers that come one by one or change.
//!
//! Never sums of squares: their difference has no correct digit once the mean is large beside the
//! spread. Held by the tests below against the certified values of NIST `StRD` `NumAcc1` to `NumAcc4`.

/// A replacement whose squared step is so many times what remains has eaten the digits of `m2`.
pub(crate) const CANCELLED: f64 = 1e6;

/// Moments of `n` numbers; mergeable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    n: u64,
    mean: f64,
    m2: f64,
}

/// Whether moments still have their digits after a replacement.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// They have.
    Kept,
    /// They have cancelled: rebuild them from the numbers.
    Lost,
}

impl Moments {
    /// What [`Moments::n`], [`Moments::mean`] and [`Moments::m2`] gave.
    #[must_use]
    pub fn from_parts(n: u64, mean: f64, m2: f64) -> Self {
        Self { n, mean, m2 }
    }

    /// How many numbers.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Their mean; 0 when there are none.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Sum of squared deviations from the mean, never below 0; by `n - 1` it is the variance.
    #[must_use]
    pub fn m2(&self) -> f64 {
        self.m2
    }

    /// Takes `value` in.
    ///
    /// Source: Welford (1962), Technometrics 4(3).
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        let step = value - self.mean;
        self.mean += step / count(self.n);
        self.m2 += step * (value - self.mean);
    }

    /// Takes in all that `other` has.
    ///
    /// Source: Chan, Golub, `LeVeque` (1983); Pébay (2008), eq. 1.1 and 1.4.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = *other;
            return;
        }
        let (ours, theirs) = (count(self.n), count(other.n));
        let all = ours + theirs;
        let step = other.mean - self.mean;
        self.n += other.n;
        self.mean += step * (theirs / all);
        self.m2 += other.m2 + step * step * (ours * theirs / all);
    }

    /// Makes `new` of one number that is `old`.
    ///
    /// With `d = new - old`: `mean' = mean + d/n` and `m2' = m2 + d ((new - mean') + (old - mean))`,
    /// which is removing `old` and adding `new` in one step.
    pub fn replace(&mut self, old: f64, new: f64) -> Precision {
        if self.n < 2 {
            // One number is its own mean, exactly.
            self.mean = new;
            self.m2 = 0.0;
            return Precision::Kept;
        }
        let step = new - old;
        let before = self.mean;
        self.mean += step / count(self.n);
        self.m2 += step * ((new - self.mean) + (old - before));
        let lost = step * step > CANCELLED * self.m2;
        self.m2 = self.m2.max(0.0);
        if lost { Precision::Lost } else { Precision::Kept }
    }
}

/// Exact below 2^53, which no count of entities reaches.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn count(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn of(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        for value in values {
            moments.add(*value);
        }
        moments
    }

    fn two_pass(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / count(values.len() as u64);
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum())
    }

    fn assert_near(expected: (f64, f64), found: &Moments, scale: f64) {
        assert!((expected.0 - found.mean).abs() <= 1e-9 * scale, "{expected:?} {found:?}");
        assert!((expected.1 - found.m2).abs() <= 1e-9 * scale * scale * count(found.n), "{expected:?} {found:?}");
    }

    fn scale(values: &[f64]) -> f64 {
        values.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()))
    }

    /// `NumAcc2` to `NumAcc4`: the centre, then `centre - 0.1` and `centre + 0.1` in turn.
    fn alternating(centre: f64) -> Vec<f64> {
        let pairs = (0..500).flat_map(|_| [centre - 0.1, centre + 0.1]);
        std::iter::once(centre).chain(pairs).collect()
    }

    #[test]
    fn certified_values_of_nist_are_met() {
        let cases = [
            ("NumAcc1", vec![10_000_001.0, 10_000_003.0, 10_000_002.0], 10_000_002.0, 1.0, 14.0),
            ("NumAcc2", alternating(1.2), 1.2, 0.1, 14.0),
            ("NumAcc3", alternating(1_000_000.2), 1_000_000.2, 0.1, 9.0),
            ("NumAcc4", alternating(10_000_000.2), 10_000_000.2, 0.1, 8.0),
        ];
        for (name, values, mean, deviation, digits) in cases {
            let moments = of(&values);
            let found = (moments.m2() / count(moments.n() - 1)).sqrt();
            assert!(((moments.mean() - mean) / mean).abs() < 1e-14, "{name}: {moments:?}");
            assert!(((found - deviation) / deviation).abs() < 10f64.powf(-digits), "{name}: {found}");
        }
    }

    #[test]
    fn one_number_that_changes_stays_exact() {
        let mut moments = of(&[0.0]);

        assert_eq!(Precision::Kept, moments.replace(0.0, 0.1));
        assert_eq!(Moments { n: 1, mean: 0.1, m2: 0.0 }, moments);
    }

    #[test]
    fn a_replacement_that_eats_the_spread_says_so() {
        let mut moments = of(&[1e9, 1.0, 2.0]);

        assert_eq!(Precision::Lost, moments.replace(1e9, 3.0));
        assert!(moments.m2() >= 0.0);
    }

    #[test]
    fn merging_with_none_changes_no_bit() {
        let some = of(&[0.1, 0.2, 0.7]);
        let (mut left, mut right) = (some, Moments::default());
        left.merge(&Moments::default());
        right.merge(&some);

        assert_eq!((some, some), (left, right));
    }

    proptest! {
        // The same cases in every run.
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn replaced_or_rebuilt_is_the_same(
            mut values in prop::collection::vec(-1e3..1e3f64, 2..60),
            changes in prop::collection::vec((any::<prop::sample::Index>(), -1e3..1e3f64), 0..60),
        ) {
            let mut moments = of(&values);
            for (index, new) in changes {
                let at = index.index(values.len());
                let old = std::mem::replace(&mut values[at], new);
                if moments.replace(old, new) == Precision::Lost {
                    moments = of(&values);
                }
            }
            assert_near(two_pass(&values), &moments, scale(&values));
        }

        #[test]
        fn the_order_of_merging_matters_only_within_rounding(
            a in prop::collection::vec(-1e6..1e6f64, 0..20),
            b in prop::collection::vec(-1e6..1e6f64, 0..20),
            c in prop::collection::vec(-1e6..1e6f64, 1..20),
        ) {
            let (mut left, mut right) = (of(&a), of(&b));
            right.merge(&of(&c));
            left.merge(&of(&b));
            left.merge(&of(&c));
            let mut right_first = of(&a);
            right_first.merge(&right);
            let all = [a, b, c].concat();

            assert_near(two_pass(&all), &left, scale(&all));
            assert_near(two_pass(&all), &right_first, scale(&all));
        }
    }
}
