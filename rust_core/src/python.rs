//! The Python extension `klero._core`: takes arguments, calls the core, converts the answer.
//!
//! Nothing is decided here. Calls that may take long release the GIL; a single decision is not
//! worth it.

mod evaluator;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{Error, Violation};
use crate::export;
use crate::handle::{Answer, Handler};
use crate::journal::{PendingFrame, Take};
use crate::memory::Memory;
use crate::proto::storage::v1::{Arm, Control, JournalFrame};
use crate::proto::v1;
use crate::reassigned as reassignments;
use crate::snapshot::Snapshot;
use crate::snapshot::allocation as allocations;
use crate::snapshot::canonical::canonical;
use crate::snapshot::rules;
use crate::snapshot::sticky;
use crate::status::WireStatus;
use crate::tally::PARTS;

create_exception!(klero._core, StatusError, PyException, "A refused call: code, message, encoded google.rpc.Status.");
create_exception!(klero._core, InvalidDefinitionError, PyException, "Broken rules: a list of (path, description).");

/// Requests above this many bytes take long enough to let other Python threads run meanwhile.
const LONG_REQUEST_BYTES: usize = 4096;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let WireStatus { code, message, details } = WireStatus::from(&error);
        StatusError::new_err((code as i32, message, details))
    }
}

fn invalid_definition(violations: Vec<Violation>) -> PyErr {
    let rows: Vec<_> = violations.into_iter().map(|violation| (violation.field, violation.description)).collect();
    InvalidDefinitionError::new_err((rows,))
}

fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Checks an encoded Experiment; its canonical form and encoded warnings.
#[pyfunction]
fn admit<'py>(py: Python<'py>, definition: &[u8]) -> PyResult<(Bound<'py, PyBytes>, Vec<Bound<'py, PyBytes>>)> {
    let definition = canonical(v1::Experiment::decode(definition).map_err(value_error)?);
    let violations = rules::violations(&definition);
    if !violations.is_empty() {
        return Err(invalid_definition(violations));
    }
    let warnings = rules::warnings(&definition);
    let encoded = warnings.iter().map(|warning| PyBytes::new(py, &warning.encode_to_vec())).collect();
    Ok((PyBytes::new(py, &definition.encode_to_vec()), encoded))
}

/// Encoded Allocation with which an iteration of a checked definition begins.
#[pyfunction]
fn allocation<'py>(py: Python<'py>, definition: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let definition = v1::Experiment::decode(definition).map_err(value_error)?;
    Ok(PyBytes::new(py, &allocations::allocation(&definition).encode_to_vec()))
}

/// Percent of the enrolled that `after` gives another variant than `before`, of `entities` made-up ids.
#[pyfunction]
fn reassigned(py: Python<'_>, before: &[u8], after: &[u8], entities: u32) -> PyResult<Option<f64>> {
    let before = v1::Experiment::decode(before).map_err(value_error)?;
    let after = v1::Experiment::decode(after).map_err(value_error)?;
    py.detach(|| reassignments::reassigned(before, after, entities)).map_err(invalid_definition)
}

/// Whether entities of a checked definition keep their first variant when weights change.
#[pyfunction]
fn keeps_variants(definition: &[u8]) -> PyResult<bool> {
    Ok(sticky::keeps_variants(&v1::Experiment::decode(definition).map_err(value_error)?))
}

/// One group commit on its way to the disk.
#[pyclass(frozen, module = "klero._core")]
struct Frame {
    /// Gone once committed or given up, which gives its room in the queue back.
    pending: Mutex<Option<Box<PendingFrame>>>,
    body: Py<PyBytes>,
    #[pyo3(get)]
    crc: u32,
    #[pyo3(get)]
    time_ms: i64,
    #[pyo3(get)]
    exposures: usize,
    #[pyo3(get)]
    outcomes: usize,
}

#[pymethods]
impl Frame {
    #[getter]
    fn body(&self, py: Python<'_>) -> Py<PyBytes> {
        self.body.clone_ref(py)
    }
}

impl Frame {
    fn new(py: Python<'_>, pending: Box<PendingFrame>) -> Self {
        Self {
            body: PyBytes::new(py, &pending.encoded.bytes).unbind(),
            crc: pending.encoded.crc,
            time_ms: pending.frame.time_ms,
            exposures: pending.exposures,
            outcomes: pending.outcomes,
            pending: Mutex::new(Some(pending)),
        }
    }

    fn release(&self) -> PyResult<Box<PendingFrame>> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.take().ok_or_else(|| PyValueError::new_err("the frame was committed or given up before"))
    }
}

/// Snapshot, queue and tally of one process.
#[pyclass(frozen, module = "klero._core")]
struct Core {
    handler: Handler,
    memory: Arc<Memory>,
}

#[pymethods]
impl Core {
    #[new]
    fn new(secret: [u8; 16], incarnation: [u8; 16]) -> Self {
        let memory = Arc::new(Memory::new(secret, incarnation));
        Self { handler: Handler::new(Arc::clone(&memory)), memory }
    }

    fn load(&self, py: Python<'_>, snapshot: &[u8]) -> PyResult<()> {
        let message = v1::Snapshot::decode(snapshot).map_err(value_error)?;
        match py.detach(|| Snapshot::compile(&message).map(|compiled| self.handler.swap(compiled))) {
            Ok(()) => Ok(()),
            Err(Error::InvalidFields(violations)) => Err(invalid_definition(violations)),
            Err(error) => Err(error.into()),
        }
    }

    fn recall(&self, py: Python<'_>) {
        py.detach(|| self.handler.recall());
    }

    fn handle<'py>(&self, py: Python<'py>, method: &str, request: &[u8], now_ms: i64) -> PyResult<Bound<'py, PyAny>> {
        let answer = if request.len() > LONG_REQUEST_BYTES {
            py.detach(|| self.handler.handle(method, request, now_ms))
        } else {
            self.handler.handle(method, request, now_ms)
        };
        match answer? {
            Answer::Reply(response) => Ok(PyBytes::new(py, &response).into_any()),
            Answer::Wait(ticket) => Ok(ticket.0.into_pyobject(py)?.into_any()),
        }
    }

    fn control(&self, control: &[u8]) -> PyResult<u64> {
        let control = Control::decode(control).map_err(value_error)?;
        Ok(self.memory.control(control)?.0)
    }

    fn take(&self, py: Python<'_>, timeout_ms: u64) -> (Option<Frame>, bool) {
        match py.detach(|| self.memory.take(Duration::from_millis(timeout_ms))) {
            Take::Frame(pending) => (Some(Frame::new(py, pending)), false),
            Take::TimedOut => (None, false),
            Take::Closed => (None, true),
        }
    }

    fn commit<'py>(
        &self,
        py: Python<'py>,
        frame: &Bound<'py, Frame>,
        position: u64,
    ) -> PyResult<Vec<(u64, Bound<'py, PyAny>)>> {
        let pending = frame.get().release()?;
        let answers = py.detach(|| self.memory.commit(&pending, position));
        let converted = answers.into_iter().map(|(ticket, answer)| {
            let answer = match answer {
                Ok(response) => PyBytes::new(py, &response).into_any(),
                Err(error) => PyErr::from(error).into_value(py).into_bound(py).into_any(),
            };
            (ticket.0, answer)
        });
        Ok(converted.collect())
    }

    fn fail(&self, frame: &Bound<'_, Frame>) -> PyResult<Vec<u64>> {
        let pending = frame.get().release()?;
        Ok(self.memory.fail(&pending).into_iter().map(|ticket| ticket.0).collect())
    }

    fn replay(&self, py: Python<'_>, position: u64, crc: u32, body: Vec<u8>) -> PyResult<()> {
        py.detach(|| self.memory.replay(position, crc, body.into())).map_err(value_error)
    }

    fn tick(&self, py: Python<'_>, now_ms: i64) -> bool {
        py.detach(|| self.memory.tick(now_ms))
    }

    fn forget(&self, namespace: &str, entity_id: &str, now_ms: i64) -> PyResult<u64> {
        Ok(self.memory.forget(namespace, entity_id, now_ms)?.0)
    }

    fn hold(&self, held: bool) {
        self.memory.hold(held);
    }

    fn checkpoint<'py>(&self, py: Python<'py>, part: usize) -> PyResult<(u64, Bound<'py, PyBytes>)> {
        let found = py.detach(|| self.memory.checkpoint(part));
        let (position, bytes) = found.ok_or_else(|| PyValueError::new_err("no such part"))?;
        Ok((position, PyBytes::new(py, &bytes)))
    }

    fn restore(&self, py: Python<'_>, parts: Vec<Vec<Vec<u8>>>) -> (u64, Vec<(usize, String)>) {
        let stored = parts.into_iter().map(|of| of.into_iter().map(Bytes::from).collect()).collect();
        let (position, refused) = py.detach(|| self.memory.restore(stored));
        (position, refused.into_iter().map(|(part, error)| (part, error.to_string())).collect())
    }

    fn close(&self) {
        self.memory.close();
    }

    #[getter]
    fn position(&self) -> i64 {
        self.memory.position()
    }

    #[getter]
    fn time_ms(&self) -> i64 {
        self.memory.time_ms()
    }

    #[getter]
    fn fault(&self) -> Option<&str> {
        self.memory.fault()
    }

    #[getter]
    fn rejected_items(&self) -> u64 {
        self.memory.rejected_items()
    }

    #[getter]
    fn dropped_exposures(&self) -> u64 {
        self.memory.dropped_exposures()
    }

    fn tally<'py>(
        &self,
        py: Python<'py>,
        namespace: &str,
        experiment_id: &str,
        iteration: i64,
    ) -> Option<Bound<'py, PyBytes>> {
        let tally = py.detach(|| self.memory.iteration(namespace, experiment_id, iteration))?;
        Some(PyBytes::new(py, &tally.encode_to_vec()))
    }

    fn breakdown<'py>(
        &self,
        py: Python<'py>,
        namespace: &str,
        experiment_id: &str,
        iteration: i64,
        dimension: &str,
    ) -> Option<Bound<'py, PyBytes>> {
        let found = py.detach(|| self.memory.breakdown(namespace, experiment_id, iteration, dimension))?;
        Some(PyBytes::new(py, &found.encode_to_vec()))
    }

    fn journal_tally<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| self.memory.journal().encode_to_vec()))
    }

    fn iteration(
        &self,
        py: Python<'_>,
        namespace: &str,
        experiment_id: &str,
        iteration: i64,
    ) -> Option<(bool, bool, bool, i64)> {
        let found = py.detach(|| self.memory.state(namespace, experiment_id, iteration))?;
        Some((found.stopped, found.closed, found.paused, found.epoch))
    }
}

/// Entities that the frame says to forget.
#[pyfunction]
fn forgotten(body: &[u8]) -> PyResult<Vec<(String, u64)>> {
    Ok(export::forgotten(&JournalFrame::decode(body).map_err(value_error)?))
}

/// Rows of a journal.
#[pyclass(frozen, module = "klero._core")]
struct Exporter(Mutex<export::Exporter>);

type ExposureRow = (String, String, i64, i64, String, String, String, i64, String, &'static str, String);
type OutcomeRow = (String, String, String, String, f64, i64, String, String, String, String, i64, bool);

#[pymethods]
impl Exporter {
    #[new]
    fn new(secret: [u8; 16], forgotten: Vec<(String, u64, u64)>) -> Self {
        Self(Mutex::new(export::Exporter::new(secret, forgotten)))
    }

    fn apply(
        &self,
        py: Python<'_>,
        position: u64,
        crc: u32,
        body: Vec<u8>,
    ) -> PyResult<(Vec<ExposureRow>, Vec<OutcomeRow>)> {
        let rows = py.detach(|| {
            let mut exporter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            exporter.apply(position, crc, body.into())
        });
        let export::Rows { exposures, outcomes } = rows.map_err(value_error)?;
        Ok((exposures.into_iter().map(exposure_row).collect(), outcomes.into_iter().map(outcome_row).collect()))
    }
}

fn exposure_row(of: export::Exposed) -> ExposureRow {
    let (reason, attributes) = (export::reason_word(&of.arm), serde_json::json!(of.attributes).to_string());
    let Arm { experiment_id, iteration, epoch, variant_id, .. } = of.arm;
    (
        of.namespace,
        experiment_id,
        iteration,
        epoch,
        variant_id,
        of.entity_type,
        of.entity_id,
        of.occurred_at_ms,
        reason,
        of.status.word(),
        attributes,
    )
}

fn outcome_row(of: export::Happened) -> OutcomeRow {
    let target = of.target.unwrap_or_default();
    let entities = if of.entities.is_empty() { String::new() } else { serde_json::json!(of.entities).to_string() };
    (
        of.namespace,
        of.entity_id,
        entities,
        of.event,
        of.value,
        of.occurred_at_ms,
        of.event_id,
        of.supersedes,
        target.experiment_id,
        target.variant_id,
        target.iteration,
        of.matched,
    )
}

/// The exports of `klero._core`, described in `service/klero/_core.pyi`.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("StatusError", module.py().get_type::<StatusError>())?;
    module.add("InvalidDefinitionError", module.py().get_type::<InvalidDefinitionError>())?;
    module.add_function(wrap_pyfunction!(admit, module)?)?;
    module.add_function(wrap_pyfunction!(allocation, module)?)?;
    module.add_function(wrap_pyfunction!(reassigned, module)?)?;
    module.add_function(wrap_pyfunction!(keeps_variants, module)?)?;
    module.add("CHECKPOINT_PARTS", PARTS)?;
    module.add("PROFILE", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    module.add_function(wrap_pyfunction!(forgotten, module)?)?;
    module.add_class::<Exporter>()?;
    module.add_class::<evaluator::Evaluator>()?;
    module.add_class::<Frame>()?;
    module.add_class::<Core>()
}
