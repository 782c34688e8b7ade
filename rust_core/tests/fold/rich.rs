//! A plan with a metric of every kind, and the values of its metrics from lists of outcomes.

use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::{Control, MeasurementPlan, MetricPlan};
use klero_core::proto::v1::{Aggregation, MetricType, MissingPolicy};

use crate::frames::control;

/// One metric, by its rules.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    event: &'static str,
    denominator: &'static str,
    kind: MetricType,
    aggregation: Aggregation,
    pub(crate) window_ms: i64,
    missing: MissingPolicy,
    cap: Option<f64>,
    bound: Option<f64>,
    pub(crate) covariate: bool,
}

const PLAIN: Metric = Metric {
    name: "spent",
    event: "cost",
    denominator: "",
    kind: MetricType::Continuous,
    aggregation: Aggregation::Sum,
    window_ms: 0,
    missing: MissingPolicy::Zero,
    cap: None,
    bound: None,
    covariate: false,
};

/// Values of failures.
const FAILED: f64 = -80.0;

pub(crate) const METRICS: [Metric; 12] = [
    PLAIN,
    Metric { name: "success", event: "done", kind: MetricType::Conversion, window_ms: 60_000, ..PLAIN },
    Metric { name: "adjusted", window_ms: 20_000, covariate: true, ..PLAIN },
    Metric {
        name: "mean",
        aggregation: Aggregation::Mean,
        missing: MissingPolicy::Exclude,
        window_ms: 20_000,
        ..PLAIN
    },
    Metric { name: "max", aggregation: Aggregation::Max, missing: MissingPolicy::Exclude, ..PLAIN },
    Metric {
        name: "last",
        aggregation: Aggregation::Last,
        missing: MissingPolicy::Exclude,
        window_ms: 60_000,
        ..PLAIN
    },
    Metric { name: "number", aggregation: Aggregation::Count, window_ms: 45_000, ..PLAIN },
    Metric {
        name: "capped",
        cap: Some(50.0),
        bound: Some(80.0),
        missing: MissingPolicy::Fail,
        window_ms: 20_000,
        ..PLAIN
    },
    Metric { name: "ratio", denominator: "done", kind: MetricType::Ratio, window_ms: 60_000, ..PLAIN },
    Metric { name: "tail", kind: MetricType::Quantile, missing: MissingPolicy::Exclude, window_ms: 20_000, ..PLAIN },
    Metric { name: "score", event: "score", window_ms: 60_000, ..PLAIN },
    Metric { name: "mark", event: "score", aggregation: Aggregation::Mean, missing: MissingPolicy::Exclude, ..PLAIN },
];

impl Metric {
    pub(crate) fn reads(&self, event: &str) -> bool {
        self.event == event || (self.kind == MetricType::Ratio && self.denominator == event)
    }

    pub(crate) fn admits(&self, event: &str, value: f64) -> bool {
        event != self.event || self.bound.is_none_or(|bound| value.abs() <= bound)
    }

    pub(crate) fn terms(&self) -> usize {
        if self.kind == MetricType::Ratio { 2 } else { 1 }
    }

    /// From event, value and time of outcomes, in their order.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn value(&self, outcomes: &[(&str, f64, i64)]) -> Option<[f64; 2]> {
        if outcomes.is_empty() {
            return match self.missing {
                MissingPolicy::Exclude => None,
                MissingPolicy::Fail => Some([FAILED, 0.0]),
                MissingPolicy::Zero | MissingPolicy::Unspecified => Some([0.0, 0.0]),
            };
        }
        let sum = |event: &str| outcomes.iter().filter(|of| of.0 == event).map(|of| of.1).sum::<f64>();
        let value = match (self.kind, self.aggregation) {
            (MetricType::Conversion, _) => f64::from(outcomes.iter().any(|of| of.1 != 0.0)),
            (_, Aggregation::Mean) => sum(self.event) / outcomes.len() as f64,
            (_, Aggregation::Max) => outcomes.iter().map(|of| of.1).fold(f64::NEG_INFINITY, f64::max),
            (_, Aggregation::Last) => {
                // The latest, and of several at one time the one that came last.
                outcomes.iter().fold(outcomes[0], |last, of| if of.2 >= last.2 { *of } else { last }).1
            }
            (_, Aggregation::Count) => outcomes.len() as f64,
            (_, Aggregation::Sum | Aggregation::Unspecified) => sum(self.event),
        };
        let denominator = if self.kind == MetricType::Ratio { sum(self.denominator) } else { 0.0 };
        Some([self.cap.map_or(value, |cap| value.min(cap)), denominator])
    }

    fn plan(&self) -> MetricPlan {
        MetricPlan {
            name: self.name.into(),
            event: self.event.into(),
            r#type: self.kind.into(),
            aggregation: self.aggregation.into(),
            denominator_event: self.denominator.into(),
            window_ms: self.window_ms,
            missing: self.missing.into(),
            fail_value: FAILED,
            cap: self.cap,
            lower_bound: self.bound.map(|bound| -bound),
            upper_bound: self.bound,
            covariates: if self.covariate { vec![0] } else { vec![] },
        }
    }
}

/// The start of an iteration with [`METRICS`], covariate `x` and dimension `model`.
pub(crate) fn rich(experiment_id: &str, entity_type: &str) -> Control {
    let plan = MeasurementPlan {
        entity_type: entity_type.into(),
        variant_ids: vec!["a".into(), "b".into()],
        metrics: METRICS.iter().map(Metric::plan).collect(),
        covariates: vec!["x".into()],
        dimensions: vec!["model".into()],
    };
    control(experiment_id, Action::Started(plan))
}
