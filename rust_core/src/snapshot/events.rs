//! What the metrics that read an event allow its outcomes to be.

use std::collections::BTreeMap;

use super::rules::event_of;
use crate::proto::v1::{Aggregation, Experiment, ExperimentStatus, MetricType};

/// Readers of one event, of all experiments of a namespace that measure.
#[derive(Debug, Default)]
pub(crate) struct EventReaders {
    /// Lower and upper bounds of each; empty once one of them reads all values.
    bounds: Vec<(f64, f64)>,
    reads_all: bool,
    /// Experiment and metric that takes the maximum, if one does.
    maximum: Option<(String, String)>,
}

impl EventReaders {
    /// The widest bounds of a reader if `value` is outside those of every one.
    pub(crate) fn refuses(&self, value: f64) -> Option<(f64, f64)> {
        if self.bounds.iter().any(|(lower, upper)| *lower <= value && value <= *upper) {
            return None;
        }
        let width = |(lower, upper): &(f64, f64)| upper - lower;
        self.bounds.iter().copied().max_by(|left, right| width(left).total_cmp(&width(right)))
    }

    /// Experiment and metric that cannot take an outcome back, if one reads the event.
    pub(crate) fn maximum(&self) -> Option<(&str, &str)> {
        self.maximum.as_ref().map(|(experiment, metric)| (experiment.as_str(), metric.as_str()))
    }

    fn read(&mut self, lower: Option<f64>, upper: Option<f64>) {
        self.reads_all |= lower.is_none() && upper.is_none();
        if self.reads_all {
            self.bounds.clear();
            return;
        }
        let bounds = (lower.unwrap_or(f64::NEG_INFINITY), upper.unwrap_or(f64::INFINITY));
        if !self.bounds.contains(&bounds) {
            self.bounds.push(bounds);
        }
    }

    fn allow_everything(&self) -> bool {
        self.bounds.is_empty() && self.maximum.is_none()
    }
}

/// Adds what the metrics of `definition` read, if its outcomes are still counted.
pub(super) fn add(readers: &mut BTreeMap<String, EventReaders>, definition: &Experiment) {
    let status = definition.status();
    if !matches!(status, ExperimentStatus::Running | ExperimentStatus::Paused | ExperimentStatus::Draining) {
        return;
    }
    for metric in &definition.metrics {
        let reader = readers.entry(event_of(metric).to_owned()).or_default();
        reader.read(metric.lower_bound, metric.upper_bound);
        if metric.aggregation() == Aggregation::Max {
            reader.maximum.get_or_insert_with(|| (definition.id.clone(), metric.name.clone()));
        }
        if metric.r#type() == MetricType::Ratio {
            readers.entry(metric.denominator_event.clone()).or_default().read(None, None);
        }
    }
}

/// Keeps only events of which something is refused: most outcomes then meet an empty map.
pub(super) fn finish(readers: &mut BTreeMap<String, EventReaders>) {
    readers.retain(|_, found| !found.allow_everything());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::Metric;

    fn reading(id: &str, status: ExperimentStatus, metrics: Vec<Metric>) -> Experiment {
        Experiment { id: id.to_owned(), status: status.into(), metrics, ..Experiment::default() }
    }

    fn metric(event: &str, lower_bound: Option<f64>, upper_bound: Option<f64>) -> Metric {
        let (name, event) = (format!("of-{event}"), event.to_owned());
        Metric { name, event, lower_bound, upper_bound, ..Metric::default() }
    }

    fn compiled(definitions: &[Experiment]) -> BTreeMap<String, EventReaders> {
        let mut readers = BTreeMap::new();
        for definition in definitions {
            add(&mut readers, definition);
        }
        finish(&mut readers);
        readers
    }

    #[test]
    fn a_value_is_refused_if_it_is_outside_the_bounds_of_every_reader() {
        let readers = compiled(&[
            reading("a", ExperimentStatus::Running, vec![metric("ms", Some(0.0), Some(1.0))]),
            reading("b", ExperimentStatus::Paused, vec![metric("ms", Some(5.0), Some(9.0))]),
            reading("c", ExperimentStatus::Draining, vec![metric("ms", None, Some(-1.0))]),
        ]);
        let found = |value: f64| readers["ms"].refuses(value);

        assert_eq!([None; 5], [-2.0, 0.0, 1.0, 5.0, 9.0].map(found));
        assert_eq!([Some((f64::NEG_INFINITY, -1.0)); 3], [-0.5, 3.0, 9.1].map(found));
    }

    #[test]
    fn one_reader_without_bounds_takes_every_value() {
        let ratio = |denominator: &str| Metric {
            r#type: MetricType::Ratio.into(),
            denominator_event: denominator.to_owned(),
            ..metric("errors", Some(0.0), Some(1.0))
        };
        let bounded = metric("calls", Some(0.0), Some(1.0));
        let running = |metrics| reading("a", ExperimentStatus::Running, metrics);

        assert!(compiled(&[running(vec![bounded.clone()])]).contains_key("calls"));
        for metrics in [
            vec![bounded.clone(), metric("calls", None, None)],
            vec![metric("calls", None, None), bounded.clone()],
            vec![bounded.clone(), ratio("calls")],
        ] {
            assert!(!compiled(&[running(metrics)]).contains_key("calls"));
        }
        // The numerator keeps its bounds.
        assert!(compiled(&[running(vec![ratio("calls")])])["errors"].refuses(2.0).is_some());
    }

    #[test]
    fn what_does_not_measure_refuses_nothing() {
        for status in [ExperimentStatus::Draft, ExperimentStatus::Scheduled, ExperimentStatus::Stopped] {
            assert!(compiled(&[reading("a", status, vec![metric("ms", Some(0.0), None)])]).is_empty());
        }
    }

    #[test]
    fn a_maximum_is_known_by_its_metric() {
        let maximum = Metric { aggregation: Aggregation::Max.into(), ..metric("", None, None) };
        let readers = compiled(&[
            reading("a", ExperimentStatus::Running, vec![metric("of-", None, None)]),
            reading("b", ExperimentStatus::Running, vec![maximum]),
        ]);

        assert_eq!(Some(("b", "of-")), readers["of-"].maximum());
        assert_eq!(None, readers["of-"].refuses(f64::MAX));
    }
}
