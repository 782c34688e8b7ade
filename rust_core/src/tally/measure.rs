//! How an entity's outcomes become its value of a metric.
//!
//! An entity has a few numbers, its slots, for each metric; what they mean is the [`Kind`]'s business.
//! The value follows from slots and the number of outcomes alone, so that moments can be rebuilt.

use crate::proto::storage::v1::{MeasurementPlan, MetricPlan};
use crate::proto::v1::{Aggregation, MetricType, MissingPolicy};
use crate::sketch::LARGEST;

/// Values beyond are left out: squares of what is below can still be added up for 10^28 entities.
const MAX_TOTAL: f64 = 1e140;
/// Covariates of one metric.
const MAX_COVARIATES: usize = 8;
/// Different windows of one plan: a row has a bit for each.
const MAX_WINDOWS: usize = 16;

/// Value of an entity: `y`, and for ratios `z`.
pub(super) type Value = [f64; 2];

/// What slots hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// How many outcomes are not 0.
    Conversion,
    /// The sum of values.
    Sum,
    /// The sum of values, to be divided by their number.
    Mean,
    /// The largest value.
    Max,
    /// The value of the latest outcome, and its time after the exposure.
    Last,
    /// Nothing: outcomes are counted anyway.
    Count,
    /// Sums of numerator and denominator.
    Ratio,
}

/// What an entity without outcome counts as.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Missing {
    Excluded,
    Value(f64),
}

/// Which side of a ratio an event is; other metrics have numerators only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Numerator,
    Denominator,
}

/// An outcome as one metric sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) value: f64,
    /// Milliseconds since the exposure.
    pub(super) after_ms: i64,
}

/// One metric of a plan.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    kind: Kind,
    missing: Missing,
    cap: f64,
    lower: f64,
    upper: f64,
    limit: f64,
    /// First of its slots.
    pub(super) slot: usize,
    /// Index in [`Measurement::windows`]; `None` lasts the whole iteration.
    pub(super) window: Option<u16>,
    /// Whether values go to a sketch instead of moments.
    pub(super) sketched: bool,
    /// Indices in the plan's covariates.
    pub(super) covariates: Vec<usize>,
}

impl Measure {
    fn new(metric: &MetricPlan, slot: usize, window: Option<u16>) -> Option<Self> {
        let sketched = metric.r#type() == MetricType::Quantile;
        let kind = match (metric.r#type(), metric.aggregation()) {
            (MetricType::Conversion, _) => Kind::Conversion,
            (MetricType::Ratio, _) => Kind::Ratio,
            (MetricType::Continuous | MetricType::Quantile, aggregation) => match aggregation {
                Aggregation::Sum => Kind::Sum,
                Aggregation::Mean => Kind::Mean,
                Aggregation::Max => Kind::Max,
                Aggregation::Last => Kind::Last,
                Aggregation::Count => Kind::Count,
                Aggregation::Unspecified => return None,
            },
            (MetricType::Unspecified, _) => return None,
        };
        let missing = match metric.missing() {
            MissingPolicy::Exclude => Missing::Excluded,
            MissingPolicy::Fail => Missing::Value(metric.fail_value),
            MissingPolicy::Zero | MissingPolicy::Unspecified => Missing::Value(0.0),
        };
        Some(Self {
            kind,
            missing,
            cap: metric.cap.unwrap_or(f64::INFINITY),
            lower: metric.lower_bound.unwrap_or(f64::NEG_INFINITY),
            upper: metric.upper_bound.unwrap_or(f64::INFINITY),
            limit: if sketched { LARGEST } else { MAX_TOTAL },
            slot,
            window,
            sketched,
            covariates: metric.covariates.iter().map(|at| *at as usize).collect(),
        })
    }

    /// How many slots it has.
    pub(super) fn slots(&self) -> usize {
        match self.kind {
            Kind::Count => 0,
            Kind::Conversion | Kind::Sum | Kind::Mean | Kind::Max => 1,
            Kind::Last | Kind::Ratio => 2,
        }
    }

    /// Numbers of a value that moments are made of.
    pub(super) fn terms(&self) -> usize {
        if self.kind == Kind::Ratio { 2 } else { 1 }
    }

    /// Whether the outcome is one of this metric; a denominator has no bounds.
    pub(super) fn admits(&self, role: Role, value: f64) -> bool {
        role == Role::Denominator || (self.lower <= value && value <= self.upper)
    }

    /// The entity's value; `None` if it is left out for want of outcomes.
    pub(super) fn value(&self, slots: &[f64], events: u32) -> Option<Value> {
        let slot = |at: usize| slots.get(at).copied().unwrap_or_default();
        if events == 0 {
            return match self.missing {
                Missing::Excluded => None,
                Missing::Value(value) => Some([value, 0.0]),
            };
        }
        let value = match self.kind {
            Kind::Conversion => f64::from(slot(0) > 0.0),
            Kind::Sum | Kind::Max | Kind::Last | Kind::Ratio => slot(0),
            Kind::Mean => slot(0) / f64::from(events),
            Kind::Count => f64::from(events),
        };
        Some([value.min(self.cap), if self.kind == Kind::Ratio { slot(1) } else { 0.0 }])
    }

    /// Takes an outcome in; `events` came before it.
    pub(super) fn take(&self, slots: &mut [f64], events: u32, role: Role, seen: Seen) {
        match (self.kind, slots) {
            (Kind::Conversion, [nonzero]) => *nonzero += f64::from(seen.value != 0.0),
            (Kind::Sum | Kind::Mean, [sum]) => *sum += seen.value,
            (Kind::Max, [largest]) if events == 0 || seen.value > *largest => *largest = seen.value,
            (Kind::Last, [value, after_ms]) if events == 0 || milliseconds(seen.after_ms) >= *after_ms => {
                (*value, *after_ms) = (seen.value, milliseconds(seen.after_ms));
            }
            (Kind::Ratio, [numerator, denominator]) => match role {
                Role::Numerator => *numerator += seen.value,
                Role::Denominator => *denominator += seen.value,
            },
            _ => {}
        }
    }

    /// Puts `new` in the place of `old`, which was taken in before. A largest value cannot be taken
    /// back, which is why such outcomes are refused.
    pub(super) fn supersede(&self, slots: &mut [f64], role: Role, old: Seen, new: Seen) {
        match (self.kind, slots) {
            (Kind::Conversion, [nonzero]) => *nonzero += f64::from(new.value != 0.0) - f64::from(old.value != 0.0),
            (Kind::Sum | Kind::Mean, [sum]) => exchange(sum, old.value, new.value),
            (Kind::Last, [value, after_ms]) => {
                let kept = (value.to_bits(), after_ms.to_bits());
                let was_last = kept == (old.value.to_bits(), milliseconds(old.after_ms).to_bits());
                if was_last || milliseconds(new.after_ms) >= *after_ms {
                    (*value, *after_ms) = (new.value, milliseconds(new.after_ms));
                }
            }
            (Kind::Ratio, [numerator, denominator]) => match role {
                Role::Numerator => exchange(numerator, old.value, new.value),
                Role::Denominator => exchange(denominator, old.value, new.value),
            },
            (Kind::Max, [largest]) => *largest = largest.max(new.value),
            _ => {}
        }
    }

    /// Whether slots can still be computed with.
    pub(super) fn holds(&self, slots: &[f64]) -> bool {
        slots.iter().all(|slot| slot.abs() <= self.limit)
    }
}

/// One after the other: what is alone in a sum leaves nothing behind when it is taken back, which the
/// difference of both would.
fn exchange(sum: &mut f64, old: f64, new: f64) {
    *sum = *sum - old + new;
}

/// Exact: times after an exposure stay far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn milliseconds(after_ms: i64) -> f64 {
    after_ms as f64
}

/// All that the fold reads of a plan, resolved.
#[derive(Debug, Default)]
pub(super) struct Measurement {
    /// In the order of the plan.
    pub(super) measures: Vec<Measure>,
    /// Slots of an entity.
    pub(super) slots: usize,
    /// Different windows in milliseconds, each above 0.
    pub(super) windows: Vec<i64>,
    /// How many covariates an entity has.
    pub(super) covariates: usize,
    /// How many dimensions an entity has.
    pub(super) dimensions: usize,
}

impl Measurement {
    /// `Err` has the index of the first metric that this version cannot measure.
    pub(super) fn new(plan: &MeasurementPlan) -> Result<Self, usize> {
        let mut found =
            Self { covariates: plan.covariates.len(), dimensions: plan.dimensions.len(), ..Self::default() };
        for (at, metric) in plan.metrics.iter().enumerate() {
            let window = found.window(metric.window_ms).map_err(|()| at)?;
            let measure = Measure::new(metric, found.slots, window).ok_or(at)?;
            let named = measure.covariates.iter().all(|of| *of < found.covariates);
            if !named || measure.covariates.len() > MAX_COVARIATES {
                return Err(at);
            }
            found.slots += measure.slots();
            found.measures.push(measure);
        }
        Ok(found)
    }

    /// How long outcomes count; without a window for ever.
    pub(super) fn window_ms(&self, window: Option<u16>) -> i64 {
        window.and_then(|window| self.windows.get(usize::from(window)).copied()).unwrap_or(i64::MAX)
    }

    fn window(&mut self, window_ms: i64) -> Result<Option<u16>, ()> {
        if window_ms == 0 {
            return Ok(None);
        }
        let known = self.windows.iter().position(|known| *known == window_ms);
        let at = known.unwrap_or(self.windows.len());
        if known.is_none() {
            self.windows.push(window_ms);
        }
        if window_ms < 0 || at >= MAX_WINDOWS {
            return Err(());
        }
        u16::try_from(at).map(Some).map_err(|_| ())
    }
}
