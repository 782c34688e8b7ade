use prost_types::value::Kind;
use prost_types::{Duration, Struct, Timestamp, Value};

use super::*;
use crate::proto::v1::{Aggregation, Metric, MetricGoal, MetricType, MissingPolicy};

fn variant(id: &str, weight: Option<f64>) -> Variant {
    Variant { id: id.to_owned(), weight, ..Variant::default() }
}

fn valid() -> Experiment {
    Experiment {
        id: "exp".to_owned(),
        namespace: "default".to_owned(),
        r#type: ExperimentType::AbTest.into(),
        control: Some(variant("a", None)),
        variants: vec![variant("b", None)],
        metrics: vec![Metric {
            name: "m".to_owned(),
            r#type: MetricType::Conversion.into(),
            goal: MetricGoal::Increase.into(),
            primary: true,
            ..Metric::default()
        }],
        ..Experiment::default()
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("a{index}")).collect()
}

fn fields(definition: &Experiment) -> Vec<String> {
    violations(definition).into_iter().map(|violation| violation.field).collect()
}

fn with_config(value: f64) -> Struct {
    Struct { fields: [("n".to_owned(), Value { kind: Some(Kind::NumberValue(value)) })].into() }
}

#[test]
fn a_valid_definition_has_nothing_to_complain_about() {
    assert_eq!(Vec::<String>::new(), fields(&valid()));
    assert!(warnings(&valid()).is_empty());
}

/// Each line breaks one rule; the path says where.
#[test]
fn every_rule_names_its_field() {
    type Break = fn(&mut Experiment);
    let cases: &[(&str, Break)] = &[
        ("id", |e| e.id = "a/b".to_owned()),
        ("id", |e| e.id = "x".repeat(129)),
        ("id", |e| e.id = String::new()),
        ("name", |e| e.name = "x".repeat(257)),
        ("type", |e| e.r#type = 0),
        ("type", |e| e.r#type = 99),
        ("type", |e| e.r#type = ExperimentType::Canary.into()),
        ("labels", |e| e.labels = [("k".to_owned(), "x".repeat(64))].into()),
        ("control", |e| e.control = None),
        ("variants", |e| e.variants.clear()),
        ("variants[0].id", |e| e.variants = vec![variant("a", None)]),
        ("control.weight", |e| e.variants = vec![variant("b", Some(50.0))]),
        ("variants[0].weight", |e| {
            e.control = Some(variant("a", Some(99.0)));
            e.variants = vec![variant("b", Some(f64::NAN))];
        }),
        ("variants", |e| {
            e.control = Some(variant("a", Some(20.0)));
            e.variants = vec![variant("b", Some(20.0))];
        }),
        ("control.config.n", |e| e.control.as_mut().unwrap().config = Some(with_config(9_007_199_254_740_994.0))),
        ("control.config.n", |e| e.control.as_mut().unwrap().config = Some(with_config(f64::NAN))),
        ("metrics[0].name", |e| e.metrics[0].name = "a b".to_owned()),
        ("metrics[0].type", |e| e.metrics[0].r#type = 0),
        ("metrics[0].goal", |e| e.metrics[0].goal = 0),
        ("metrics[0].minEffect", |e| e.metrics[0].min_effect = -0.1),
        ("metrics[0].event", |e| e.metrics[0].event = "a\nb".to_owned()),
        ("metrics[1].name", |e| e.metrics.push(Metric { primary: false, ..e.metrics[0].clone() })),
        ("metrics[1].primary", |e| e.metrics.push(Metric { name: "n".to_owned(), ..e.metrics[0].clone() })),
        ("config.trafficPercentage", |e| config_of(e).traffic_percentage = Some(100.5)),
        ("config.confidenceLevel", |e| config_of(e).confidence_level = Some(1.0)),
        ("config.minSampleSize", |e| config_of(e).min_sample_size = -1),
        ("config.rampUpPeriod", |e| config_of(e).ramp_up_period = Some(Duration { seconds: -1, nanos: 0 })),
        ("config.duration", |e| config_of(e).duration = Some(Duration { seconds: 0, nanos: 999_999 })),
        ("config.duration", |e| config_of(e).duration = Some(Duration { seconds: 1, nanos: 1_000_000_000 })),
        ("schedule.startAt", |e| schedule_of(e).start_at = Some(Timestamp { seconds: 1, nanos: -1 })),
        ("schedule.endAt", |e| schedule_of(e).end_at = Some(Timestamp { seconds: 253_402_300_800, nanos: 0 })),
        ("schedule.endAt", |e| {
            schedule_of(e).start_at = Some(Timestamp { seconds: 5, nanos: 1 });
            schedule_of(e).end_at = Some(Timestamp { seconds: 5, nanos: 1 });
        }),
        ("config.autoStop", |e| config_of(e).auto_stop = true),
        ("hashing.salt", |e| {
            e.hashing = Some(crate::proto::v1::Hashing { salt: "a/b".to_owned(), ..Default::default() });
        }),
        ("hashing.scheme", |e| {
            e.hashing = Some(crate::proto::v1::Hashing { scheme: "md5".to_owned(), ..Default::default() });
        }),
        ("analysisPlan.plannedSampleSize", |e| plan_of(e).method = InferenceMethod::FixedHorizon.into()),
        ("analysisPlan.power", |e| plan_of(e).power = Some(0.0)),
        ("analysisPlan.method", |e| plan_of(e).method = InferenceMethod::Bayesian.into()),
        ("analysisPlan.dimensions", |e| plan_of(e).dimensions = names(9)),
        ("analysisPlan.dimensions[1]", |e| plan_of(e).dimensions = vec!["a".to_owned(); 2]),
        ("analysisPlan.dimensions[0]", |e| plan_of(e).dimensions = vec![String::new()]),
        ("analysisPlan.covariateAdjustment", |e| plan_of(e).covariate_adjustment = true),
        ("layerId", |e| e.layer_id = "layer".to_owned()),
    ];
    for (field, break_it) in cases {
        let mut definition = valid();
        break_it(&mut definition);
        assert_eq!(vec![(*field).to_owned()], fields(&definition));
    }
}

#[test]
fn a_schedule_may_have_either_end() {
    let mut definition = valid();
    config_of(&mut definition).duration = Some(Duration { seconds: 0, nanos: 1_000_000 });
    schedule_of(&mut definition).end_at = Some(Timestamp { seconds: 5, nanos: 1 });
    assert_eq!(Vec::<String>::new(), fields(&definition));

    schedule_of(&mut definition).start_at = Some(Timestamp { seconds: 5, nanos: 0 });
    assert_eq!(Vec::<String>::new(), fields(&definition));
}

/// A metric of each type and aggregation, with all that it may have.
fn metrics() -> Vec<Metric> {
    let metric = |name: &str, kind: MetricType| Metric {
        name: name.to_owned(),
        r#type: kind.into(),
        goal: MetricGoal::Decrease.into(),
        lower_bound: Some(0.0),
        upper_bound: Some(1e9),
        window: Some(Duration { seconds: 366 * 86_400, nanos: 0 }),
        covariates: names(8),
        ..Metric::default()
    };
    let mean = |name, aggregation: Aggregation, cap| Metric {
        aggregation: aggregation.into(),
        missing: MissingPolicy::Fail.into(),
        cap: Some(cap),
        ..metric(name, MetricType::Continuous)
    };
    vec![
        Metric {
            upper_bound: Some(1.0),
            missing: MissingPolicy::Fail.into(),
            ..metric("done", MetricType::Conversion)
        },
        mean("sum", Aggregation::Sum, 1e10),
        mean("count", Aggregation::Count, 1e10),
        mean("mean", Aggregation::Mean, 1e9),
        mean("max", Aggregation::Max, 0.0),
        mean("last", Aggregation::Last, 5.0),
        Metric {
            denominator_event: "calls".to_owned(),
            missing: MissingPolicy::Exclude.into(),
            cap: Some(7.0),
            ..metric("share", MetricType::Ratio)
        },
        Metric {
            r#type: MetricType::Quantile.into(),
            quantile: 0.99,
            lower_bound: Some(-1e12),
            upper_bound: Some(1e12),
            covariates: vec![],
            ..mean("slow", Aggregation::Max, 9.0)
        },
    ]
}

#[test]
fn a_metric_of_each_type_and_aggregation_is_served() {
    let mut definition = valid();
    definition.metrics = metrics();
    plan_of(&mut definition).dimensions = names(8);

    assert_eq!(Vec::<String>::new(), fields(&definition));
    for kind in [MetricType::Conversion, MetricType::Continuous] {
        definition.metrics = vec![Metric { name: "plain".to_owned(), r#type: kind.into(), ..Metric::default() }];
        assert_eq!(Vec::<String>::new(), fields(&definition));
    }
}

/// Each line breaks one rule of [`metrics`].
#[test]
fn every_rule_of_values_names_its_field() {
    type Break = fn(&mut Metric);
    let window = |seconds, nanos| Some(Duration { seconds, nanos });
    let cases: &[(&str, &str, Break)] = &[
        ("share", "denominatorEvent", |m| m.denominator_event.clear()),
        ("share", "denominatorEvent", |m| m.denominator_event = "a\nb".to_owned()),
        ("share", "denominatorEvent", |m| m.denominator_event = "share".to_owned()),
        ("sum", "denominatorEvent", |m| m.denominator_event = "calls".to_owned()),
        ("slow", "quantile", |m| m.quantile = 0.0),
        ("slow", "quantile", |m| m.quantile = 1.0),
        ("slow", "quantile", |m| m.quantile = f64::NAN),
        ("sum", "quantile", |m| m.quantile = 0.5),
        ("done", "aggregation", |m| m.aggregation = Aggregation::Sum.into()),
        ("share", "aggregation", |m| m.aggregation = Aggregation::Count.into()),
        ("done", "missing", |m| m.upper_bound = None),
        ("done", "missing", |m| m.lower_bound = None),
        ("done", "missing", |m| m.goal = 0),
        ("done", "missing", |m| m.upper_bound = Some(2.0)),
        ("share", "missing", |m| m.missing = MissingPolicy::Fail.into()),
        ("sum", "cap", |m| m.cap = Some(f64::NAN)),
        ("mean", "cap", |m| m.cap = Some(f64::INFINITY)),
        ("mean", "cap", |m| m.cap = Some(1e9 + 1.0)),
        ("last", "cap", |m| m.cap = Some(-0.5)),
        ("done", "cap", |m| m.cap = Some(1.0)),
        ("sum", "lowerBound", |m| m.lower_bound = m.upper_bound),
        ("sum", "lowerBound", |m| m.lower_bound = Some(f64::NAN)),
        ("sum", "upperBound", |m| m.upper_bound = Some(f64::INFINITY)),
        ("slow", "lowerBound", |m| m.lower_bound = Some(-1.1e12)),
        ("slow", "upperBound", |m| m.upper_bound = Some(1.1e12)),
        ("slow", "covariates", |m| m.covariates = names(1)),
        ("sum", "covariates", |m| m.covariates = names(9)),
        ("sum", "covariates[1]", |m| m.covariates = vec!["a0".to_owned(); 2]),
        ("sum", "covariates[0]", |m| m.covariates[0] = "x".repeat(129)),
        ("sum", "covariates[7]", |m| m.covariates[7] = "a\n".to_owned()),
    ];
    let windows = [window(0, 0), window(0, 999_999_999), window(366 * 86_400, 1_000_000), window(-1, 0)];
    for (name, field, break_it) in cases {
        let mut definition = valid();
        definition.metrics = metrics();
        let at = definition.metrics.iter().position(|metric| metric.name == *name).unwrap();
        // Alone, so that rules of all metrics together do not speak too.
        definition.metrics = vec![definition.metrics.remove(at)];
        break_it(&mut definition.metrics[0]);
        assert_eq!(vec![format!("metrics[0].{field}")], fields(&definition));
    }
    for window in windows {
        let mut definition = valid();
        definition.metrics[0].window = window;
        assert_eq!(vec!["metrics[0].window"], fields(&definition));
    }
}

#[test]
fn windows_and_covariates_of_all_metrics_are_bounded_together() {
    let metric = |index: i64, seconds| Metric {
        name: format!("m{index}"),
        window: Some(Duration { seconds, nanos: 0 }),
        ..valid().metrics.remove(0)
    };
    let mut definition = valid();
    definition.metrics = (0..17).map(|index| Metric { primary: false, ..metric(index, 10 + index % 16) }).collect();
    assert_eq!(Vec::<String>::new(), fields(&definition));

    definition.metrics[16].window = Some(Duration { seconds: 99, nanos: 0 });
    assert_eq!(vec!["metrics"], fields(&definition));

    definition.metrics.truncate(2);
    definition.metrics[0].covariates = names(8);
    definition.metrics[1].covariates = names(8);
    assert_eq!(Vec::<String>::new(), fields(&definition));

    definition.metrics[1].covariates[0] = "another".to_owned();
    assert_eq!(vec!["metrics"], fields(&definition));
}

#[test]
fn all_faults_are_named_at_once() {
    let mut definition = valid();
    definition.id = "a b".to_owned();
    definition.variants.clear();
    config_of(&mut definition).traffic_percentage = Some(-1.0);

    assert_eq!(vec!["id", "variants", "config.trafficPercentage"], fields(&definition));
}

#[test]
fn what_looks_like_a_fraction_is_pointed_out() {
    let mut definition = valid();
    config_of(&mut definition).traffic_percentage = Some(0.5);
    definition.metrics.clear();

    let reasons: Vec<_> = warnings(&definition).iter().map(Warning::reason).collect();
    assert_eq!(vec![WarningReason::LooksLikeFraction, WarningReason::NoPrimaryMetric], reasons);
}

fn config_of(definition: &mut Experiment) -> &mut ExperimentConfig {
    definition.config.get_or_insert_with(Default::default)
}

fn plan_of(definition: &mut Experiment) -> &mut crate::proto::v1::AnalysisPlan {
    definition.analysis_plan.get_or_insert_with(Default::default)
}

fn schedule_of(definition: &mut Experiment) -> &mut crate::proto::v1::Schedule {
    definition.schedule.get_or_insert_with(Default::default)
}
