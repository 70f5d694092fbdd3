//! The methods in an [OpenRPC](https://spec.open-rpc.org) document.

use serde_json::Value;

use super::method::{Method, Parameter};

/// What is said of a type that has no name.
const ANY: &str = "any";

/// The methods of `document`.
pub(super) fn methods(document: &Value) -> Vec<Method> {
    let methods = document["methods"].as_array().into_iter().flatten();
    methods.filter_map(|method| read(document, resolved(document, method))).collect()
}

fn read(document: &Value, method: &Value) -> Option<Method> {
    let name = method["name"].as_str()?;
    let text = |key: &str| method[key].as_str().filter(|text| !text.is_empty());
    let params = method["params"].as_array();
    Some(Method {
        parameters: params.into_iter().flatten().map(|param| parameter(document, param)).collect(),
        is_described: params.is_some(),
        only_by_name: method["paramStructure"] == "by-name",
        reply: method.get("result").map(|result| type_name(&resolved(document, result)["schema"])),
        streams: method["x-streams"] == true,
        docs: text("description").or_else(|| text("summary")).unwrap_or_default().to_owned(),
        ..Method::named(name)
    })
}

fn parameter(document: &Value, param: &Value) -> Parameter {
    let param = resolved(document, param);
    let schema = &param["schema"];
    Parameter {
        name: param["name"].as_str().map(str::to_owned),
        r#type: Some(type_name(schema)),
        is_text: is_text(resolved(document, schema)),
        is_optional: param["required"] != true,
        default: schema.get("default").cloned(),
    }
}

/// Follows a reference within the document. One step is enough for a document that refers to definitions.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|reference| document.pointer(reference.strip_prefix('#')?));
    target.unwrap_or(value)
}

/// Whether a schema allows text only, or text and null.
fn is_text(schema: &Value) -> bool {
    match &schema["type"] {
        Value::String(name) => name == "string",
        Value::Array(names) => names.iter().all(|name| name == "string" || name == "null"),
        _ => false,
    }
}

/// A schema in a word or two, such as `integer`, `string|null`, `integer[]`, or the name that it refers to.
fn type_name(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or(reference).to_owned();
    }
    let choice = ["anyOf", "oneOf"].iter().find_map(|key| schema[key].as_array());
    if let Some(choices) = choice {
        return alternatives(choices.iter().map(type_name));
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("{}[]", type_name(&schema["items"])),
        Value::String(name) => name.clone(),
        Value::Array(names) => alternatives(names.iter().map(|name| name.as_str().unwrap_or(ANY).to_owned())),
        _ => ANY.to_owned(),
    }
}

fn alternatives(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn methods_are_read_with_their_types() {
        let string = json!({"$ref": "#/components/schemas/Name"});
        let document = json!({
            "methods": [
                {
                    "name": "add", "summary": "Adds.", "paramStructure": "by-name",
                    "params": [
                        {"name": "a", "required": true, "schema": {"type": "integer"}},
                        {"name": "b", "schema": {"type": ["string", "null"]}},
                        {"$ref": "#/components/contentDescriptors/c"},
                    ],
                    "result": {"name": "sum", "schema": {"type": "array", "items": {"anyOf": [string, {"type": "null"}]}}},
                },
                {"name": "bare"},
                {"no": "name"},
                7,
            ],
            "components": {
                "schemas": {"Name": {"type": "string"}},
                "contentDescriptors": {"c": {"name": "c", "schema": string}},
            },
        });
        let methods = methods(&document);
        assert_eq!(methods[0].to_string(), "add(a: integer, b?: string|null, c?: Name) -> Name|null[]\n    Adds.\n");
        assert!(methods[0].only_by_name);
        let texts = methods[0].parameters.iter().map(|parameter| parameter.is_text);
        assert_eq!(texts.collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(methods[1].signature(), "bare(…)");
        assert_eq!(methods.len(), 2);
        assert!(super::methods(&json!("no document")).is_empty());
    }
}
