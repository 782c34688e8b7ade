//! Deciding in the caller's process.

use prost::Message;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use super::value_error;
use crate::bulk::{Choices, Ids, choose};
use crate::proto::v1;
use crate::snapshot::Snapshot;
use crate::snapshot::experiment::CompiledExperiment;

/// A snapshot that decides.
#[pyclass(frozen, module = "klero._core")]
pub(super) struct Evaluator(Snapshot);

#[pymethods]
impl Evaluator {
    #[new]
    fn new(py: Python<'_>, snapshot: &[u8]) -> PyResult<Self> {
        let message = v1::Snapshot::decode(snapshot).map_err(value_error)?;
        Ok(Self(py.detach(|| Snapshot::compile(&message))?))
    }

    fn choose<'py>(
        &self,
        py: Python<'py>,
        namespace: &str,
        experiment_id: &str,
        entity_ids: &Bound<'py, PyList>,
        now_ms: i64,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let experiment = self.experiment(namespace, experiment_id)?;
        // A copy, because the list can change as soon as other threads run.
        let (mut text, mut offsets) = (String::new(), Vec::with_capacity(entity_ids.len() + 1));
        offsets.push(0);
        for item in entity_ids {
            let id = item.cast::<PyString>().map_err(|_| PyTypeError::new_err("entity ids must be strings"))?;
            text.push_str(id.to_str()?);
            offsets.push(text.len());
        }
        chosen(py, py.detach(|| choose(experiment, Ids { text: &text, offsets: &offsets }, now_ms)))
    }

    /// `offsets` is a buffer of `int32` or `int64`, `text` one of bytes, as Arrow has them.
    fn choose_packed<'py>(
        &self,
        py: Python<'py>,
        namespace: &str,
        experiment_id: &str,
        offsets: &Bound<'py, PyAny>,
        text: &Bound<'py, PyAny>,
        now_ms: i64,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let experiment = self.experiment(namespace, experiment_id)?;
        let (offsets, text) = (unpacked(py, offsets)?, PyBuffer::<u8>::get(text)?.to_vec(py)?);
        let found = py.detach(|| {
            let text = std::str::from_utf8(&text).map_err(|_| PyValueError::new_err("entity ids must be UTF-8"))?;
            Ok::<_, PyErr>(choose(experiment, Ids { text, offsets: &offsets }, now_ms))
        })?;
        chosen(py, found)
    }
}

impl Evaluator {
    fn experiment(&self, namespace: &str, experiment_id: &str) -> PyResult<&CompiledExperiment> {
        let found = self.0.experiment(namespace, experiment_id);
        found.ok_or_else(|| self.0.not_found(namespace, experiment_id).into())
    }
}

fn unpacked(py: Python<'_>, offsets: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    let found: Option<Vec<usize>> = if let Ok(narrow) = PyBuffer::<i32>::get(offsets) {
        narrow.to_vec(py)?.into_iter().map(|each| usize::try_from(each).ok()).collect()
    } else {
        PyBuffer::<i64>::get(offsets)?.to_vec(py)?.into_iter().map(|each| usize::try_from(each).ok()).collect()
    };
    found.ok_or_else(|| PyValueError::new_err("offsets must not be negative"))
}

fn chosen(py: Python<'_>, found: Option<Choices>) -> PyResult<(Bound<'_, PyBytes>, Bound<'_, PyBytes>)> {
    let Choices { variants, reasons } = found.ok_or_else(|| PyValueError::new_err("offsets do not fit the ids"))?;
    let packed: Vec<u8> = variants.into_iter().flat_map(u32::to_ne_bytes).collect();
    Ok((PyBytes::new(py, &packed), PyBytes::new(py, &reasons)))
}
