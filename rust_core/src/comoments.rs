//! Count, means and centred co-moments of vectors that come one by one or change.
//!
//! [`Moments`](crate::moments::Moments) of several numbers of one entity at once: what ratios and
//! covariates need. The upper triangle is kept row by row, diagonal included.

use crate::moments::{CANCELLED, Precision, count};

/// Co-moments of `n` vectors of the same length; mergeable.
#[derive(Clone, Debug, PartialEq)]
pub struct Comoments {
    n: u64,
    means: Box<[f64]>,
    products: Box<[f64]>,
}

impl Comoments {
    /// Of no vector, each with `terms` numbers.
    #[must_use]
    pub fn new(terms: usize) -> Self {
        Self { n: 0, means: vec![0.0; terms].into(), products: vec![0.0; terms * (terms + 1) / 2].into() }
    }

    /// What [`Comoments::n`], [`Comoments::means`] and [`Comoments::products`] gave; `None` if their
    /// lengths do not fit.
    #[must_use]
    pub fn from_parts(n: u64, means: &[f64], products: &[f64]) -> Option<Self> {
        let fits = products.len() == means.len() * (means.len() + 1) / 2;
        fits.then(|| Self { n, means: means.into(), products: products.into() })
    }

    /// How many vectors.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Mean of each term; 0 when there are no vectors.
    #[must_use]
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// Sums of products of deviations from the means: upper triangle, row by row.
    #[must_use]
    pub fn products(&self) -> &[f64] {
        &self.products
    }

    /// Takes a vector in; it has as many numbers as there are terms.
    ///
    /// Source: Pébay (2008), eq. 3.6 with one observation.
    pub fn add(&mut self, values: &[f64]) {
        self.n += 1;
        let n = count(self.n);
        let share = (n - 1.0) / n;
        let Self { means, products, .. } = self;
        for (product, (left, right)) in products.iter_mut().zip(pairs(means.len())) {
            if let (Some(a), Some(b)) = (step(values, means, left), step(values, means, right)) {
                *product += a * b * share;
            }
        }
        for (mean, value) in means.iter_mut().zip(values) {
            *mean += (value - *mean) / n;
        }
    }

    /// Takes in all that `other`, of the same terms, has.
    ///
    /// Source: Pébay (2008), eq. 3.6.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            self.clone_from(other);
            return;
        }
        let (ours, theirs) = (count(self.n), count(other.n));
        let all = ours + theirs;
        let Self { means, products, .. } = self;
        for ((product, theirs_too), (left, right)) in products.iter_mut().zip(&other.products).zip(pairs(means.len())) {
            if let (Some(a), Some(b)) = (step(&other.means, means, left), step(&other.means, means, right)) {
                *product += theirs_too + a * b * (ours * theirs / all);
            }
        }
        for (mean, other) in means.iter_mut().zip(&other.means) {
            *mean += (other - *mean) * (theirs / all);
        }
        self.n += other.n;
    }

    /// Makes `new` of one vector that is `old`.
    ///
    /// With `d = new - old`, terms x and y: `C' = C + dx (y_new - my') + dy (x_old - mx)`, which is
    /// removing `old` and adding `new` in one step.
    pub fn replace(&mut self, old: &[f64], new: &[f64]) -> Precision {
        if self.n < 2 {
            self.means.copy_from_slice(new);
            self.products.fill(0.0);
            return Precision::Kept;
        }
        let n = count(self.n);
        let mut precision = Precision::Kept;
        let Self { means, products, .. } = self;
        for (product, (left, right)) in products.iter_mut().zip(pairs(means.len())) {
            let (Some(x), Some(y)) = (Term::of(old, new, means, left), Term::of(old, new, means, right)) else {
                continue;
            };
            *product += x.change * (y.new - (y.mean + y.change / n)) + y.change * (x.old - x.mean);
            if left == right {
                if x.change * x.change > CANCELLED * *product {
                    precision = Precision::Lost;
                }
                *product = product.max(0.0);
            }
        }
        for ((mean, old), new) in means.iter_mut().zip(old).zip(new) {
            *mean += (new - old) / n;
        }
        precision
    }
}

/// One term of a replacement.
struct Term {
    old: f64,
    new: f64,
    mean: f64,
    change: f64,
}

impl Term {
    fn of(old: &[f64], new: &[f64], means: &[f64], at: usize) -> Option<Self> {
        let (old, new, mean) = (*old.get(at)?, *new.get(at)?, *means.get(at)?);
        Some(Self { old, new, mean, change: new - old })
    }
}

fn step(values: &[f64], means: &[f64], at: usize) -> Option<f64> {
    Some(values.get(at)? - means.get(at)?)
}

/// Indices of the upper triangle, row by row.
fn pairs(terms: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..terms).flat_map(move |left| (left..terms).map(move |right| (left, right)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::moments::Moments;

    type Vector = [f64; 3];

    fn of(vectors: &[Vector]) -> Comoments {
        let mut moments = Comoments::new(3);
        for vector in vectors {
            moments.add(vector);
        }
        moments
    }

    fn assert_is(vectors: &[Vector], found: &Comoments) {
        let n = count(vectors.len() as u64);
        let mean = |term: usize| vectors.iter().map(|vector| vector[term]).sum::<f64>() / n;
        let scale = vectors.iter().flatten().fold(1.0f64, |scale, value| scale.max(value.abs()));
        assert_eq!(vectors.len() as u64, found.n());
        for term in 0..3 {
            assert!((mean(term) - found.means()[term]).abs() <= 1e-9 * scale);
        }
        for (product, (left, right)) in found.products().iter().zip(pairs(3)) {
            let (x, y) = (mean(left), mean(right));
            let expected: f64 = vectors.iter().map(|vector| (vector[left] - x) * (vector[right] - y)).sum();
            assert!((expected - product).abs() <= 1e-9 * scale * scale * n, "{expected} {product}");
        }
    }

    fn vector() -> impl Strategy<Value = Vector> {
        [-1e3..1e3f64, -1e3..1e3f64, -1e3..1e3f64]
    }

    #[test]
    fn one_term_is_what_moments_are() {
        let (mut one, mut many) = (Moments::default(), Comoments::new(1));
        for value in [3.0, 1e6, -2.5, 0.1] {
            one.add(value);
            many.add(&[value]);
        }

        assert_eq!(one.n(), many.n());
        assert!((one.mean() - many.means()[0]).abs() < 1e-9);
        assert!((one.m2() / many.products()[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        assert_eq!(None, Comoments::from_parts(1, &[1.0, 2.0], &[0.0, 0.0]));
        let some = of(&[[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]]);

        assert_eq!(Some(some.clone()), Comoments::from_parts(some.n(), some.means(), some.products()));
    }

    proptest! {
        // The same cases in every run.
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn added_merged_or_replaced_is_the_same(
            mut left in prop::collection::vec(vector(), 1..30),
            right in prop::collection::vec(vector(), 0..30),
            changes in prop::collection::vec((any::<prop::sample::Index>(), vector()), 0..30),
        ) {
            let mut moments = of(&left);
            for (index, mut new) in changes {
                let at = index.index(left.len());
                // Covariates never change.
                new[2] = left[at][2];
                let old = std::mem::replace(&mut left[at], new);
                if moments.replace(&old, &new) == Precision::Lost {
                    moments = of(&left);
                }
            }
            assert_is(&left, &moments);
            moments.merge(&of(&right));
            let all = [left, right].concat();
            assert_is(&all, &moments);
        }
    }
}
