//! The service as an [OpenRPC 1.3](https://spec.open-rpc.org) document: what `rpc.discover` answers.

use everywire_core::{
    Code,
    descriptor::{Argument, Method, ServiceDescriptor, Services, Type},
};
use serde_json::{Map, Value, json};

/// The version of the `OpenRPC` specification that [`openrpc`] follows.
const OPENRPC_VERSION: &str = "1.3.2";

/// The `OpenRPC` document of a service.
pub fn openrpc(service: &'static ServiceDescriptor) -> Value {
    openrpc_of(&Services::new([service]))
}

/// The `OpenRPC` document of several services. Its title is the name of the first.
pub(crate) fn openrpc_of(services: &Services) -> Value {
    let (docs, title, version) =
        services.iter().next().map_or(("", "", ""), |first| (first.docs(), first.full_name(), first.version()));
    let definitions: Map<String, Value> = services.iter().flat_map(|service| service.definitions().clone()).collect();
    json!({
        "openrpc": OPENRPC_VERSION,
        "info": described(docs, json!({ "title": title, "version": version })),
        "methods": services.methods().map(|(name, of)| method(&name, of)).collect::<Vec<_>>(),
        "components": { "schemas": definitions, "errors": errors() },
    })
}

fn method(name: &str, method: &Method) -> Value {
    let required = method.required_arguments();
    let params = method.arguments().iter().enumerate().map(|(position, argument)| param(argument, position < required));
    let references = Code::ALL.iter().map(|code| json!({ "$ref": format!("#/components/errors/{code}") }));
    let summary = method.docs().lines().next().unwrap_or_default();
    described(
        method.docs(),
        json!({
            "name": name,
            "summary": summary,
            "paramStructure": "either",
            "params": params.collect::<Vec<_>>(),
            "result": result(method),
            "errors": references.collect::<Vec<_>>(),
            "x-idempotent": method.is_idempotent(),
            "x-streams": method.streams(),
        }),
    )
}

/// `OpenRPC` wants required parameters before the others, so an `Option` among them counts as one: it may be `null`.
fn param(argument: &Argument, required: bool) -> Value {
    let mut param = content(argument.name(), argument.r#type());
    param["required"] = Value::Bool(required);
    param
}

/// What a call returns: of a stream, the first part.
fn result(method: &Method) -> Value {
    let mut result = content("result", method.reply());
    if method.streams() {
        let items = result["schema"].take();
        result["schema"] = json!({
            "type": "object",
            "properties": {
                "token": { "type": "string", "description": "What `$/enumerator/next` takes, if more items follow." },
                "values": { "type": "array", "items": items },
                "finished": { "type": "boolean" },
            },
            "required": ["values", "finished"],
        });
    }
    result
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use everywire_core::{Result, Streaming};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Grant {
        granted: bool,
        owners: BTreeMap<String, Owner>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Owner {
        name: String,
    }

    fn document() -> Value {
        let mut service = ServiceDescriptor::builder("demo.v1", "Locker", "Locks.").version("1.2.3");
        service
            .method("lock", "Lock", "Takes a lock.\nWaits for it.")
            .idempotent()
            .argument::<Option<u64>>("wait_ms", "Option<u64>")
            .argument::<Owner>("owner", "Owner")
            .argument::<Option<u64>>("ttl_ms", "Option<u64>")
            .reply::<Grant>("Grant");
        service.method("ping", "Ping", "").reply::<()>("()");
        service.method("watch", "Watch", "").returns::<Result<Streaming<u8>>>("Streaming<u8>");
        openrpc(Box::leak(Box::new(service.build())))
    }

    /// The members that the specification calls REQUIRED, and their types.
    #[test]
    fn the_document_has_every_required_member() {
        let document = document();
        assert_eq!(document["openrpc"], OPENRPC_VERSION);
        assert_eq!(document["info"], json!({"title": "demo.v1.Locker", "version": "1.2.3", "description": "Locks."}));
        let methods = document["methods"].as_array().unwrap();
        assert_eq!(methods.len(), 3);
        for method in methods {
            assert!(method["name"].is_string(), "{method}");
            for content in method["params"].as_array().unwrap().iter().chain([&method["result"]]) {
                assert!(content["name"].is_string(), "{content}");
                assert!(content["schema"].is_object() || content["schema"].is_boolean(), "{content}");
            }
        }
        for error in document["components"]["errors"].as_object().unwrap().values() {
            assert!(error["code"].is_i64() && error["message"].is_string(), "{error}");
        }
    }

    #[test]
    fn required_parameters_come_first() {
        let document = document();
        let params = document["methods"][0]["params"].as_array().unwrap();
        let required: Vec<_> = params.iter().map(|param| (&param["name"], &param["required"])).collect();
        assert_eq!(json!(required), json!([["wait_ms", true], ["owner", true], ["ttl_ms", false]]));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            if let Some(Value::String(reference)) = value.get("$ref") {
                found.push(reference);
            }
            match value {
                Value::Object(members) => members.values().for_each(|value| references(value, found)),
                Value::Array(elements) => elements.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.contains(&"#/components/schemas/Owner"), "{found:?}");
        for reference in found {
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(target.is_some(), "{reference}");
        }
    }

    #[test]
    fn a_stream_is_described_by_its_first_part() {
        let schema = &document()["methods"][2]["result"]["schema"];
        assert_eq!(schema["properties"]["values"]["type"], "array");
        assert_eq!(schema["properties"]["values"]["items"]["maximum"], 255);
        assert_eq!(schema["required"], json!(["values", "finished"]));
    }

    #[test]
    fn a_method_in_json() {
        let method = &document()["methods"][1];
        assert_eq!(method["name"], "ping");
        assert_eq!(method["paramStructure"], "either");
        assert_eq!(method["params"], json!([]));
        assert_eq!(method["result"], json!({"name": "result", "schema": {"type": "null"}}));
        assert_eq!(method["description"], Value::Null);
        assert_eq!(method["x-idempotent"], false);
        assert_eq!(document()["methods"][0]["x-idempotent"], true);
        assert_eq!(method["errors"].as_array().unwrap().len(), Code::ALL.len());
    }
}
