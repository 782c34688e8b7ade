//! Counts of numbers by their logarithmic size, from which quantiles follow.
//!
//! A `DDSketch` with whole buckets: counts are integers, so that merging, adding and taking away are
//! exact and the order in which numbers come leaves no trace. The range is fixed, so that no two
//! sketches ever have different buckets.
//!
//! Source: Masson, Rim, Lee (2019), "`DDSketch`: a fast and fully-mergeable quantile sketch".

use std::collections::BTreeMap;

/// Largest relative error of a number that a bucket stands for.
pub const ACCURACY: f64 = 0.01;
/// Numbers closer to 0 count as 0.
pub const SMALLEST: f64 = 1e-9;
/// Numbers must not be further from 0.
pub const LARGEST: f64 = 1e12;

/// How many numbers lie in which bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    zeros: u64,
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
}

impl Sketch {
    /// What the readers of the same names gave.
    #[must_use]
    pub fn from_parts(zeros: u64, positive: BTreeMap<i32, u64>, negative: BTreeMap<i32, u64>) -> Self {
        Self { zeros, positive, negative }
    }

    /// Numbers that count as 0.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Counts of numbers above 0 by bucket.
    #[must_use]
    pub fn positive(&self) -> &BTreeMap<i32, u64> {
        &self.positive
    }

    /// Counts of numbers below 0 by the bucket of their size.
    #[must_use]
    pub fn negative(&self) -> &BTreeMap<i32, u64> {
        &self.negative
    }

    /// Takes `value` in.
    pub fn add(&mut self, value: f64) {
        match bucket(value) {
            None => self.zeros += 1,
            Some(at) => *self.side(value).entry(at).or_default() += 1,
        }
    }

    /// Takes away `value`, which was added before.
    pub fn remove(&mut self, value: f64) {
        let Some(at) = bucket(value) else {
            self.zeros = self.zeros.saturating_sub(1);
            return;
        };
        let side = self.side(value);
        if let Some(count) = side.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                side.remove(&at);
            }
        }
    }

    /// Takes in all that `other` has.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        for (ours, theirs) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            for (at, count) in theirs {
                *ours.entry(*at).or_default() += count;
            }
        }
    }

    fn side(&mut self, value: f64) -> &mut BTreeMap<i32, u64> {
        if value > 0.0 { &mut self.positive } else { &mut self.negative }
    }
}

/// The bucket of a number's size; `None` is that of 0.
fn bucket(value: f64) -> Option<i32> {
    let size = value.abs();
    if size < SMALLEST {
        return None;
    }
    let growth = (1.0 + ACCURACY) / (1.0 - ACCURACY);
    // The same bits everywhere; the range keeps the result within a few thousand.
    #[allow(clippy::cast_possible_truncation)]
    let at = libm::ceil(libm::log(size.min(LARGEST)) / libm::log(growth)) as i32;
    Some(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn of(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        for value in values {
            sketch.add(*value);
        }
        sketch
    }

    fn stands_for(at: i32) -> f64 {
        let growth: f64 = (1.0 + ACCURACY) / (1.0 - ACCURACY);
        2.0 * growth.powi(at) / (growth + 1.0)
    }

    #[test]
    fn a_bucket_stands_for_its_numbers_within_the_accuracy() {
        for value in [SMALLEST, 1e-3, 0.999, 1.0, 1.001, 12345.678, LARGEST] {
            let sketch = of(&[value, -value]);
            let (at, count) = sketch.positive().iter().next().unwrap();

            assert_eq!(&1, count);
            assert_eq!(sketch.positive(), sketch.negative());
            assert!((stands_for(*at) / value - 1.0).abs() <= ACCURACY * (1.0 + 1e-9), "{value}");
        }
    }

    #[test]
    fn what_is_too_small_counts_as_zero() {
        assert_eq!(3, of(&[0.0, -0.0, SMALLEST / 2.0]).zeros());
    }

    proptest! {
        // The same cases in every run.
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn order_merges_and_changes_leave_no_trace(
            left in prop::collection::vec(-1e3..1e3f64, 0..40),
            right in prop::collection::vec(-1e3..1e3f64, 0..40),
            passing in prop::collection::vec(-1e3..1e3f64, 0..40),
        ) {
            let mut merged = of(&right);
            for value in &passing {
                merged.add(*value);
            }
            merged.merge(&of(&left));
            for value in &passing {
                merged.remove(*value);
            }

            prop_assert_eq!(of(&[left, right].concat()), merged);
        }
    }
}
