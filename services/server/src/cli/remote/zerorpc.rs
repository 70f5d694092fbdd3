//! The introspection of zerorpc: `_zerorpc_inspect`, or else `_zerorpc_list` and `_zerorpc_help`.
//!
//! The first returns `{name, methods: {method: {args: [{name, default?}], doc}}}`. Python's server says no arguments of a method whose
//! signature it can't read.

use everywire::{Code, Result, RpcError};
use serde_json::Value;

use super::{
    method::{Method, Parameter},
    plain::{Arguments, Plain},
};

/// The most methods that are asked about one by one.
const MOST_METHODS: usize = 1_000;

/// The methods of the server, in the order of their names. A server that can't inspect itself may still list their names.
pub(super) async fn methods(server: &Plain) -> Result<Vec<Method>> {
    let mut methods = match inspected(server).await {
        Err(error) if error.code() == Code::Unimplemented => listed(server).await.map_err(|_| error)?,
        outcome => outcome?,
    };
    methods.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(methods)
}

/// The methods with their parameters.
pub(super) async fn inspected(server: &Plain) -> Result<Vec<Method>> {
    let inspected = server.introspect("_zerorpc_inspect", &[]).await?;
    let methods = inspected["methods"].as_object();
    let methods = methods.ok_or_else(|| RpcError::unimplemented("_zerorpc_inspect returns no methods"))?;
    Ok(methods.iter().map(|(name, method)| read(name, method)).collect())
}

/// The methods with their documentation only: zerorpc 0.6 can't read signatures since Python 3.11.
async fn listed(server: &Plain) -> Result<Vec<Method>> {
    let names = server.introspect("_zerorpc_list", &[]).await?;
    let help = server.method("_zerorpc_help")?;
    let mut methods = Vec::new();
    for name in names.as_array().into_iter().flatten().filter_map(Value::as_str).take(MOST_METHODS) {
        let docs = server.introspected(help, &Arguments::Positional(vec![name.into()])).await.unwrap_or_default();
        methods.push(Method { docs: docs.as_str().unwrap_or_default().to_owned(), ..Method::named(name) });
    }
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
