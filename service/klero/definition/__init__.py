"""The one codec between definitions and text: YAML and JSON files, command line, reports.

Generic over the contract's descriptors: nothing here is written per field. Field rules, such as the
sum of weights, are not here but in the core, which compiles definitions.
"""

from klero.definition.changes import Change, changes
from klero.definition.places import Document, Place, TextError
from klero.definition.read import from_mapping, message_from_mapping, parse
from klero.definition.schema import authored, schema_text
from klero.definition.text import documents
from klero.definition.write import to_json, to_mapping, to_yaml

__all__ = [
    "Change",
    "Document",
    "Place",
    "TextError",
    "authored",
    "changes",
    "documents",
    "from_mapping",
    "message_from_mapping",
    "parse",
    "schema_text",
    "to_json",
    "to_mapping",
    "to_yaml",
]
