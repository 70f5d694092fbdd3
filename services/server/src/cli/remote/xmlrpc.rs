//! The introspection of XML-RPC: `system.listMethods`, `methodSignature` and `methodHelp`.
//!
//! Source: <http://xmlrpc-c.sourceforge.net/introspection.html>.

use everywire::{Result, RpcError, descriptor};
use serde_json::Value;

use super::{
    method::{Method, Parameter},
    plain::{Arguments, Plain},
};

/// The most methods that are asked about, at two calls each.
const MOST_METHODS: usize = 1_000;

/// The questions about one method.
struct Questions<'a> {
    server: &'a Plain,
    signature: &'static descriptor::Method,
    help: &'static descriptor::Method,
}

/// The methods of the server's service. Those of the server itself, `system.*`, are left out.
pub(super) async fn methods(server: &Plain) -> Result<Vec<Method>> {
    let list = server.introspect("system.listMethods", &[]).await?;
    let names = list.as_array().ok_or_else(|| RpcError::unimplemented("system.listMethods returns no list"))?;
    let names = names.iter().filter_map(Value::as_str).filter(|name| !name.starts_with("system."));
    let questions = Questions::new(server)?;
    let mut methods = Vec::new();
    for name in names.take(MOST_METHODS) {
        methods.push(questions.ask(name).await);
    }
    Ok(methods)
}

/// What the server says of one method. An error if it has no introspection.
pub(super) async fn method(server: &Plain, name: &str) -> Result<Method> {
    server.introspect("system.methodHelp", &[name.into()]).await?;
    Ok(Questions::new(server)?.ask(name).await)
}

impl<'a> Questions<'a> {
    fn new(server: &'a Plain) -> Result<Self> {
        let method = |name| server.method(name);
        Ok(Self { server, signature: method("system.methodSignature")?, help: method("system.methodHelp")? })
    }

    /// A server may know neither, and answer with anything.
    async fn ask(&self, name: &str) -> Method {
        let about = Arguments::Positional(vec![name.into()]);
        let signature = self.server.run(self.signature, &about).await.unwrap_or_default();
        let help = self.server.run(self.help, &about).await.unwrap_or_default();
        described(name, &signature, help.as_str().unwrap_or_default())
    }
}

/// `signature` is a list of forms, each with the type of the reply and those of the arguments; or something else, if the
/// server knows none.
fn described(name: &str, signature: &Value, help: &str) -> Method {
    let mut method = Method { docs: help.to_owned(), ..Method::named(name) };
    let form = signature.get(0).and_then(Value::as_array);
    let types: Option<Vec<&str>> = form.and_then(|types| types.iter().map(Value::as_str).collect());
    if let Some([reply, parameters @ ..]) = types.as_deref() {
        method.reply = Some((*reply).to_owned());
        method.parameters = parameters.iter().map(|r#type| parameter(r#type)).collect();
        method.is_described = true;
    }
    method
}

fn parameter(r#type: &str) -> Parameter {
    Parameter { r#type: Some(r#type.to_owned()), is_text: r#type == "string", ..Parameter::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn signatures_are_read_and_their_absence_is_no_error() {
        let cases = [
            (json!([["int", "int", "string"]]), "add(int, string) -> int"),
            (json!([["array"], ["array", "int"]]), "add() -> array"),
            (json!("signatures not supported"), "add(…)"),
            (json!([[]]), "add(…)"),
            (json!([["int", 1]]), "add(…)"),
            (json!(null), "add(…)"),
        ];
        for (signature, expected) in cases {
            assert_eq!(described("add", &signature, "").signature(), expected, "{signature}");
        }
        let method = described("add", &json!([["int", "int", "string"]]), "");
        assert_eq!(method.parameters.iter().map(|parameter| parameter.is_text).collect::<Vec<_>>(), [false, true]);
    }
}
