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

/// What the server says of one method.
pub(super) async fn method(server: &Plain, name: &str) -> Method {
    match Questions::new(server) {
        Ok(questions) => questions.ask(name).await,
        Err(_) => Method::named(name),
    }
}

impl<'a> Questions<'a> {
    fn new(server: &'a Plain) -> Result<Self> {
        let method = |name| server.method(name);
        Ok(Self { server, signature: method("system.methodSignature")?, help: method("system.methodHelp")? })
    }

    /// A server may know neither, and answer with anything.
    async fn ask(&self, name: &str) -> Method {
        let about = Arguments::Positional(vec![name.into()]);
        let asked = async |question| self.server.introspected(question, &about).await.unwrap_or_default();
        let (signature, help) = (asked(self.signature).await, asked(self.help).await);
        described(name, &signature, help.as_str().unwrap_or_default())
    }
}

/// `signature` is a list of forms, each with the type of the reply and those of the arguments; or something else, if the
/// server knows none. The longest form is taken; what a shorter one lacks is optional.
fn described(name: &str, signature: &Value, help: &str) -> Method {
    let mut method = Method { docs: help.to_owned(), ..Method::named(name) };
    let forms: Vec<_> = signature.as_array().into_iter().flatten().filter_map(types).collect();
    let required = forms.iter().map(|(_, parameters)| parameters.len()).min().unwrap_or_default();
    if let Some((reply, parameters)) = forms.into_iter().max_by_key(|(_, parameters)| parameters.len()) {
        let parameters = parameters.into_iter().enumerate();
        method.parameters = parameters.map(|(position, r#type)| parameter(r#type, position >= required)).collect();
        method.reply = Some(reply.to_owned());
        method.is_described = true;
    }
    method
}

/// The type of the reply and those of the arguments.
fn types(form: &Value) -> Option<(&str, Vec<&str>)> {
    let types: Vec<_> = form.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
    types.split_first().map(|(reply, parameters)| (*reply, parameters.to_vec()))
}

fn parameter(r#type: &str, is_optional: bool) -> Parameter {
    Parameter { r#type: Some(r#type.to_owned()), is_text: r#type == "string", is_optional, ..Parameter::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn signatures_are_read_and_their_absence_is_no_error() {
        let cases = [
            (json!([["int", "int", "string"]]), "add(int, string) -> int"),
            (json!([["array"], ["array", "int"]]), "add(int?) -> array"),
            (json!([["array"], "x"]), "add() -> array"),
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
