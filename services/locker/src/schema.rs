//! The one method that this wire calls.

use everywire_core::{
    Result, RpcError,
    descriptor::{
        ServiceDescriptor,
        shape::{Container, Shape},
    },
};

/// The method behind every message.
pub(crate) const METHOD: &str = "acquire";
/// Its argument.
pub(crate) const RESOURCE: &str = "resource";
/// The field of its reply.
pub(crate) const GO: &str = "go";

/// Rejects a service without `acquire(resource: String)` whose reply is a struct with `go: bool`; the error says what is missing.
/// Other arguments must be optional. Other fields are allowed.
pub(crate) fn check(descriptor: &ServiceDescriptor) -> Result<()> {
    find(descriptor).map_err(|missing| {
        let service = descriptor.full_name();
        RpcError::failed_precondition(format!("locker can't serve {service}: {missing}"))
    })
}

fn find(descriptor: &ServiceDescriptor) -> Result<(), String> {
    let method = descriptor.method(METHOD).ok_or_else(|| format!("it has no method `{METHOD}`"))?;
    let signature = method.signature();
    if method.streams() {
        return Err(format!("`{signature}` replies with a stream"));
    }
    let resource = method.arguments().iter().find(|argument| argument.name() == RESOURCE);
    if resource.and_then(|resource| resource.r#type().shape().ok()) != Some(&Shape::String) {
        return Err(format!("`{signature}` has no argument `{RESOURCE}: String`"));
    }
    let mut others = method.arguments().iter().filter(|argument| argument.name() != RESOURCE);
    if let Some(needed) = others.find(|argument| !argument.is_optional()) {
        return Err(format!("`{signature}` needs `{}`, which this wire can't give", needed.name()));
    }
    if !has_go(descriptor, method.reply().shape().ok()) {
        return Err(format!("the reply of `{signature}` has no field `{GO}: bool`"));
    }
    Ok(())
}

fn has_go(descriptor: &ServiceDescriptor, reply: Option<&Shape>) -> bool {
    let types = descriptor.types();
    let Some(Shape::Named(name)) = reply.map(|reply| reply.resolve(types)) else { return false };
    let Some(Container::Struct(fields)) = types.get(name) else { return false };
    fields.iter().any(|field| field.name == GO && *field.shape.resolve(types) == Shape::Bool)
}

#[cfg(test)]
mod tests {
    use everywire_core::{
        Streaming,
        descriptor::{Builder, MethodBuilder},
    };
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Permit {
        left: u32,
        go: bool,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Answer {
        go: String,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Wrapped(Permit);

    fn checked(declare: impl FnOnce(&mut Builder)) -> Result<(), String> {
        let mut service = ServiceDescriptor::builder("demo.v1", "Gate", "");
        declare(&mut service);
        check(&service.build()).map_err(|error| error.message().to_owned())
    }

    fn acquire(service: &mut Builder) -> MethodBuilder<'_> {
        service.method("acquire", "Acquire", "")
    }

    #[test]
    fn a_service_that_suits_is_served() {
        checked(|gate| acquire(gate).argument::<String>("resource", "String").reply::<Permit>("Permit")).unwrap();
        checked(|gate| {
            acquire(gate)
                .argument::<Option<u32>>("permits", "Option<u32>")
                .argument::<String>("resource", "String")
                .reply::<Wrapped>("Wrapped");
        })
        .unwrap();
    }

    #[test]
    fn what_is_missing_is_named() {
        type Declare = fn(&mut Builder);
        #[rustfmt::skip]
        let cases: [(&str, Declare); 9] = [
            ("it has no method `acquire`", |gate| gate.method("take", "Take", "").reply::<Permit>("Permit")),
            ("`acquire() -> Permit` has no argument `resource: String`", |gate| acquire(gate).reply::<Permit>("Permit")),
            ("`acquire(resource: u8) -> Permit` has no argument `resource: String`",
             |gate| acquire(gate).argument::<u8>("resource", "u8").reply::<Permit>("Permit")),
            ("`acquire(resource: Option<String>) -> Permit` has no argument `resource: String`",
             |gate| acquire(gate).argument::<Option<String>>("resource", "Option<String>").reply::<Permit>("Permit")),
            ("`acquire(resource: String, n: u32) -> Permit` needs `n`, which this wire can't give",
             |gate| acquire(gate).argument::<String>("resource", "String").argument::<u32>("n", "u32").reply::<Permit>("Permit")),
            ("`acquire(resource: String) -> Permit` replies with a stream",
             |gate| acquire(gate).argument::<String>("resource", "String").returns::<Result<Streaming<Permit>>>("Permit")),
            ("the reply of `acquire(resource: String) -> bool` has no field `go: bool`",
             |gate| acquire(gate).argument::<String>("resource", "String").reply::<bool>("bool")),
            ("the reply of `acquire(resource: String) -> Answer` has no field `go: bool`",
             |gate| acquire(gate).argument::<String>("resource", "String").reply::<Answer>("Answer")),
            ("the reply of `acquire(resource: String) -> Option<Permit>` has no field `go: bool`",
             |gate| acquire(gate).argument::<String>("resource", "String").reply::<Option<Permit>>("Option<Permit>")),
        ];
        for (missing, declare) in cases {
            assert_eq!(checked(declare), Err(format!("locker can't serve demo.v1.Gate: {missing}")));
        }
    }
}
