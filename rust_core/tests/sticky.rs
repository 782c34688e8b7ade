//! First variants under races: many threads ask about the same entities while weights change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use klero_core::handle::{Answer, Handler};
use klero_core::journal::Take;
use klero_core::memory::Memory;
use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::{Control, Epoch, MeasurementPlan};
use klero_core::proto::v1::{
    Allocation, AssignRequest, AssignResponse, DecisionReason, Experiment, ExperimentStatus, ExperimentType,
    Snapshot as Message, Variant,
};
use klero_core::snapshot::Snapshot;
use klero_core::snapshot::canonical::canonical;
use prost::Message as _;

const NOW_MS: i64 = 1_800_000_000_000;
const ENTITIES: usize = 10_000;
/// Threads that ask about each entity at the same time.
const ASKING: usize = 3;

fn snapshot(epoch: i64, control: f64) -> Snapshot {
    let variant = |id: &str| Variant { id: id.to_owned(), ..Variant::default() };
    let definition = Experiment {
        id: "exp".to_owned(),
        r#type: ExperimentType::AbTest.into(),
        status: ExperimentStatus::Running.into(),
        iteration: 1,
        control: Some(variant("a")),
        variants: vec![variant("b")],
        allocation: Some(Allocation {
            epoch,
            weights_epoch: epoch,
            weights: [("a".to_owned(), control), ("b".to_owned(), 100.0 - control)].into(),
            traffic_percentage: 100.0,
            ..Allocation::default()
        }),
        ..Experiment::default()
    };
    Snapshot::compile(&Message { experiments: vec![canonical(definition)], ..Message::default() }).unwrap()
}

fn control(action: Action) -> Control {
    Control {
        namespace: "default".to_owned(),
        experiment_id: "exp".to_owned(),
        iteration: 1,
        time_ms: NOW_MS,
        action: Some(action),
    }
}

/// A server's parts, with a disk that takes everything.
struct Node {
    memory: Arc<Memory>,
    handler: Handler,
    position: AtomicU64,
}

impl Node {
    fn new() -> Self {
        let memory = Arc::new(Memory::new([1; 16], [2; 16]));
        let node = Self { handler: Handler::new(Arc::clone(&memory)), memory, position: AtomicU64::new(0) };
        node.tell(Action::Started(MeasurementPlan {
            entity_type: "user".to_owned(),
            variant_ids: vec!["b".to_owned(), "a".to_owned()],
            ..MeasurementPlan::default()
        }));
        node.commit();
        node.handler.recall();
        node.handler.swap(snapshot(1, 50.0));
        node
    }

    fn tell(&self, action: Action) {
        self.memory.control(control(action)).unwrap();
    }

    fn commit(&self) {
        while let Take::Frame(frame) = self.memory.take(Duration::ZERO) {
            self.memory.commit(&frame, self.position.fetch_add(1, Ordering::Relaxed) + 1);
        }
    }

    /// As the server changes weights: told to the journal, committed, put in force.
    fn weigh(&self, epoch: i64, share: f64) {
        self.tell(Action::Epoch(Epoch { number: epoch, ..Epoch::default() }));
        self.commit();
        self.handler.swap(snapshot(epoch, share));
    }

    fn ask(&self, entity: usize) -> (String, DecisionReason) {
        let request = AssignRequest {
            experiment_id: "exp".to_owned(),
            entity_id: format!("u{entity}"),
            ..AssignRequest::default()
        };
        let Ok(Answer::Reply(reply)) = self.handler.handle("Assign", &request.encode_to_vec(), NOW_MS) else {
            panic!("an answer");
        };
        let decision = AssignResponse::decode(reply.as_slice()).unwrap().decision.unwrap();
        (decision.variant_id.clone(), decision.reason())
    }

    fn conflicting(&self) -> i64 {
        self.memory.iteration("default", "exp", 1).unwrap().conflicting
    }
}

/// Whoever was told one variant is never told another one, whichever thread asks.
#[test]
fn threads_agree_while_weights_change() {
    let node = Node::new();
    // The first change comes before the race: a thread that is held up between its decision and its
    // exposure for as long as a whole change takes would be a conflict, which is counted.
    node.weigh(2, 100.0);
    let over = AtomicBool::new(false);
    let meet = Barrier::new(ASKING);
    let mut given: HashMap<usize, BTreeSet<String>> = HashMap::new();
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            for epoch in 3.. {
                node.weigh(epoch, if epoch % 2 == 0 { 100.0 } else { 0.0 });
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let asking: Vec<_> = (0..ASKING)
            .map(|_| {
                scope.spawn(|| {
                    let mut found = Vec::new();
                    for entity in 0..ENTITIES {
                        meet.wait();
                        found.push((entity, node.ask(entity).0));
                    }
                    found
                })
            })
            .collect();
        for thread in asking {
            for (entity, variant) in thread.join().unwrap() {
                given.entry(entity).or_default().insert(variant);
            }
        }
        over.store(true, Ordering::Relaxed);
        changing.join().unwrap();
    });
    node.commit();

    assert_eq!(Vec::<&usize>::new(), given.iter().filter(|(_, of)| of.len() > 1).map(|(of, _)| of).collect::<Vec<_>>());
    assert_eq!(0, node.conflicting());
}

/// An exposure that is only queued counts as much as one that is on the disk.
#[test]
fn a_first_variant_holds_before_it_is_durable() {
    let node = Node::new();
    node.weigh(2, 100.0);
    assert_eq!(("a".to_owned(), DecisionReason::Split), node.ask(1));
    // In force without a commit between.
    node.handler.swap(snapshot(3, 0.0));

    assert_eq!(("a".to_owned(), DecisionReason::Sticky), node.ask(1));
    assert_eq!(("b".to_owned(), DecisionReason::Split), node.ask(2));
    node.commit();
    assert_eq!(0, node.conflicting());
}

/// The disk is full of frames and the queue closed: who could not be exposed has no first variant.
#[test]
fn who_is_not_exposed_has_no_first_variant() {
    let node = Node::new();
    node.weigh(2, 100.0);
    node.memory.close();
    assert_eq!(("a".to_owned(), DecisionReason::Split), node.ask(1));
    node.handler.swap(snapshot(3, 0.0));

    assert_eq!(("b".to_owned(), DecisionReason::Split), node.ask(1));
    assert_eq!(2, node.memory.dropped_exposures());
}

/// Until the journal is read nobody knows what an entity had; then all of it is known at once.
#[test]
fn what_the_journal_has_is_known_once_it_is_read() {
    let before = Node::new();
    let first: Vec<_> = (0..ENTITIES).map(|entity| before.ask(entity).0).collect();
    before.commit();
    let parts: Vec<_> =
        (0..klero_core::tally::PARTS).map(|part| vec![before.memory.checkpoint(part).unwrap().1.into()]).collect();

    let memory = Arc::new(Memory::new([1; 16], [3; 16]));
    let node = Node { handler: Handler::new(Arc::clone(&memory)), memory, position: AtomicU64::new(100) };
    node.handler.swap(snapshot(2, 0.0));
    assert_eq!(("b".to_owned(), DecisionReason::StickyUnavailable), node.ask(1));
    assert!(node.memory.restore(parts).1.is_empty());
    assert_eq!(DecisionReason::StickyUnavailable, node.ask(1).1);
    node.handler.recall();

    let again: Vec<_> = (0..ENTITIES).map(|entity| node.ask(entity)).collect();
    assert!(again.iter().all(|(_, reason)| *reason == DecisionReason::Sticky));
    assert_eq!(first, again.into_iter().map(|(variant, _)| variant).collect::<Vec<_>>());
}
