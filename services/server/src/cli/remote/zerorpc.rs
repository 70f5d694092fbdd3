//! The introspection of zerorpc: `_zerorpc_inspect`.
//!
//! It returns `{name, methods: {method: {args: [{name, default?}], doc}}}`. Python's server says no arguments of a method whose
//! signature it can't read.

use everywire::{Result, RpcError};
use serde_json::Value;

use super::{
    method::{Method, Parameter},
    plain::Plain,
};

/// The methods of the server, in the order of their names.
pub(super) async fn methods(server: &Plain) -> Result<Vec<Method>> {
    let inspected = server.introspect("_zerorpc_inspect", &[]).await?;
    let methods = inspected["methods"].as_object();
    let methods = methods.ok_or_else(|| RpcError::unimplemented("_zerorpc_inspect returns no methods"))?;
    let mut methods: Vec<_> = methods.iter().map(|(name, method)| read(name, method)).collect();
    methods.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(methods)
}

fn read(name: &str, method: &Value) -> Method {
    let parameters = method["args"].as_array();
    let has_name = |parameter: &Parameter| parameter.name.as_deref().is_some_and(|name| name != "self");
    Method {
        parameters: parameters.into_iter().flatten().map(parameter).filter(has_name).collect(),
        is_described: parameters.is_some(),
        docs: method["doc"].as_str().unwrap_or_default().to_owned(),
        ..Method::named(name)
    }
}

fn parameter(parameter: &Value) -> Parameter {
    let default = parameter.get("default").cloned();
    Parameter {
        name: parameter["name"].as_str().map(str::to_owned),
        is_optional: default.is_some(),
        default,
        ..Parameter::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn methods_are_read_with_their_defaults() {
        let args = json!([{"name": "self"}, {"name": "a"}, {"name": "b", "default": null}]);
        let method = read("add", &json!({"args": args, "doc": "Adds."}));
        assert_eq!(method.to_string(), "add(a, b = null)\n    Adds.\n");
        assert_eq!(read("add", &json!({"args": null, "doc": null})).signature(), "add(…)");
    }
}
