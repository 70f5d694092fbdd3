//! The service as an [OpenRPC 1.3](https://spec.open-rpc.org) document: what `rpc.discover` answers.

use rpc_core::{Argument, Code, Method, ServiceDescriptor, Type};
use serde_json::{Map, Value, json};

/// The version of the OpenRPC specification that [`openrpc`] follows.
pub const OPENRPC_VERSION: &str = "1.3.2";

/// The `OpenRPC` document of a service; `version` is that of the document, as `info` has it.
pub fn openrpc(service: &ServiceDescriptor, version: &str) -> Value {
    json!({
        "openrpc": OPENRPC_VERSION,
        "info": described(service.docs(), json!({ "title": service.full_name(), "version": version })),
        "methods": service.methods().iter().map(method).collect::<Vec<_>>(),
        "components": { "schemas": service.definitions(), "errors": errors() },
    })
}

fn method(method: &Method) -> Value {
    let required = method.required_arguments();
    let params = method.arguments().iter().enumerate().map(|(position, argument)| param(argument, position < required));
    let references = Code::ALL.iter().map(|code| json!({ "$ref": format!("#/components/errors/{code}") }));
    let summary = method.docs().lines().next().unwrap_or_default();
    described(
        method.docs(),
        json!({
            "name": method.name(),
            "summary": summary,
            "paramStructure": "either",
            "params": params.collect::<Vec<_>>(),
            "result": content("result", method.reply()),
            "errors": references.collect::<Vec<_>>(),
        }),
    )
}

/// `OpenRPC` wants required parameters before the others, so an `Option` among them counts as one: it may be `null`.
fn param(argument: &Argument, required: bool) -> Value {
    let mut param = content(argument.name(), argument.r#type());
    param["required"] = Value::Bool(required);
    param
}

fn content(name: &str, r#type: &Type) -> Value {
    json!({ "name": name, "schema": r#type.schema() })
}

/// Every code as an error object.
fn errors() -> Map<String, Value> {
    Code::ALL
        .iter()
        .map(|&code| {
            let error = json!({ "code": code.fault_number(), "message": code.name(), "data": { "code": code.name() } });
            (code.name().to_owned(), error)
        })
        .collect()
}

/// Adds a description, if there is one.
fn described(docs: &str, mut object: Value) -> Value {
    if !docs.is_empty() {
        object["description"] = Value::from(docs);
    }
    object
}
