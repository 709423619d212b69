//! A tool call as model APIs write it.

use serde::Serialize;

use super::ToolCall;

/// The JSON of a call: `{"id": …, "type": "function", "function": {"name": …, "arguments": …}}`.
#[derive(Serialize)]
pub(crate) struct CallJson<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    function: FunctionJson<'a>,
}

#[derive(Serialize)]
struct FunctionJson<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> From<&'a ToolCall> for CallJson<'a> {
    fn from(call: &'a ToolCall) -> Self {
        let function = FunctionJson { name: &call.name, arguments: &call.arguments };
        CallJson { id: &call.id, kind: &call.kind, function }
    }
}
