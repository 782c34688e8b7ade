//! Values of many entities: moments or a sketch, live and settled.

use super::measure::{Measure, Value};
use crate::comoments::Comoments;
use crate::moments::{Moments, Precision};
use crate::sketch::Sketch;

/// Most terms of co-moments: `y`, `z` and eight covariates.
const MAX_TERMS: usize = 10;

/// What values are gathered in.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Spread {
    One(Moments),
    Two(Comoments),
    Sketch(Sketch),
}

/// Entities of one arm with one metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    /// Those without covariates; all of them if the metric has none.
    pub(super) spread: Spread,
    /// Those that have every covariate, which stand behind the terms of the value.
    pub(super) covered: Option<Comoments>,
    /// Entities whose `y` is not 0.
    pub(super) nonzero: u64,
    /// Entities left out for want of outcomes.
    pub(super) missing: u64,
}

/// The value with the covariates of its entity.
struct Vector {
    numbers: [f64; MAX_TERMS],
    len: usize,
}

impl Vector {
    /// `None` if a covariate is missing.
    fn new(measure: &Measure, value: Value, covariates: &[f64]) -> Option<Self> {
        let mut vector = Self { numbers: [0.0; MAX_TERMS], len: measure.terms() + measure.covariates.len() };
        let values = value.iter().take(measure.terms()).copied();
        let beside = measure.covariates.iter().map(|at| covariates.get(*at).copied().unwrap_or(f64::NAN));
        for (slot, number) in vector.numbers.iter_mut().zip(values.chain(beside)) {
            if number.is_nan() {
                return None;
            }
            *slot = number;
        }
        Some(vector)
    }

    fn as_slice(&self) -> &[f64] {
        self.numbers.get(..self.len).unwrap_or_default()
    }
}

impl View {
    pub(super) fn new(measure: &Measure) -> Self {
        let spread = match (measure.sketched, measure.terms()) {
            (true, _) => Spread::Sketch(Sketch::default()),
            (false, 1) => Spread::One(Moments::default()),
            (false, terms) => Spread::Two(Comoments::new(terms)),
        };
        let terms = measure.terms() + measure.covariates.len();
        let covered = (!measure.covariates.is_empty()).then(|| Comoments::new(terms));
        Self { spread, covered, nonzero: 0, missing: 0 }
    }

    /// Takes an entity in, with its value if it has one.
    pub(super) fn add(&mut self, measure: &Measure, value: Option<Value>, covariates: &[f64]) {
        let Some(value) = value else {
            self.missing += 1;
            return;
        };
        self.nonzero += u64::from(value[0] != 0.0);
        if let Some(covered) = &mut self.covered
            && let Some(vector) = Vector::new(measure, value, covariates)
        {
            covered.add(vector.as_slice());
            return;
        }
        match &mut self.spread {
            Spread::One(moments) => moments.add(value[0]),
            Spread::Two(moments) => moments.add(&value),
            Spread::Sketch(sketch) => sketch.add(value[0]),
        }
    }

    /// An entity that is in has another value now; it never loses the one it has.
    pub(super) fn change(
        &mut self,
        measure: &Measure,
        old: Option<Value>,
        new: Option<Value>,
        covariates: &[f64],
    ) -> Precision {
        let (Some(before), Some(now)) = (old, new) else {
            if old.is_none() && new.is_some() {
                self.missing -= 1;
                self.add(measure, new, covariates);
            }
            return Precision::Kept;
        };
        if before.map(f64::to_bits) == now.map(f64::to_bits) {
            return Precision::Kept;
        }
        self.nonzero = self.nonzero + u64::from(now[0] != 0.0) - u64::from(before[0] != 0.0);
        if let Some(covered) = &mut self.covered
            && let (Some(before), Some(now)) =
                (Vector::new(measure, before, covariates), Vector::new(measure, now, covariates))
        {
            return covered.replace(before.as_slice(), now.as_slice());
        }
        match &mut self.spread {
            Spread::One(moments) => moments.replace(before[0], now[0]),
            Spread::Two(moments) => moments.replace(&before, &now),
            Spread::Sketch(sketch) => {
                sketch.remove(before[0]);
                sketch.add(now[0]);
                Precision::Kept
            }
        }
    }

    /// Takes in all that `other`, of the same metric, has.
    pub(super) fn merge(&mut self, other: &Self) {
        self.nonzero += other.nonzero;
        self.missing += other.missing;
        if let (Some(ours), Some(theirs)) = (&mut self.covered, &other.covered) {
            ours.merge(theirs);
        }
        match (&mut self.spread, &other.spread) {
            (Spread::One(ours), Spread::One(theirs)) => ours.merge(theirs),
            (Spread::Two(ours), Spread::Two(theirs)) => ours.merge(theirs),
            (Spread::Sketch(ours), Spread::Sketch(theirs)) => ours.merge(theirs),
            // One metric has one kind of spread.
            (Spread::One(_) | Spread::Two(_) | Spread::Sketch(_), _) => {}
        }
    }
}

/// One metric of one arm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    /// All entities, with what they have so far.
    pub(super) live: View,
    /// Those whose window has closed; nobody if the metric has none.
    pub(super) settled: View,
    /// Outcomes read.
    pub(super) events: u64,
}

impl Cell {
    pub(super) fn new(measure: &Measure) -> Self {
        Self { live: View::new(measure), settled: View::new(measure), events: 0 }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.live.merge(&other.live);
        self.settled.merge(&other.settled);
        self.events += other.events;
    }
}
