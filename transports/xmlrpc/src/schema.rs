//! The introspection methods, answered from the descriptor.
//!
//! Source: <http://xmlrpc-c.sourceforge.net/introspection.html>. `getCapabilities` has no specification that is still
//! online; the keys are those that other servers use.

use std::{borrow::Cow, collections::BTreeMap};

use everywire_core::{
    Result, RpcError,
    descriptor::{
        ServiceDescriptor, Services, Type,
        shape::{Container, Shape, Types},
    },
    wire::Call,
};
use serde::{Deserialize, Serialize};

/// The method that runs many calls in one request. The server itself answers it.
pub(crate) const MULTICALL: &str = "system.multicall";

/// The method that returns the next items of a stream. The server itself answers it.
pub(crate) const NEXT: &str = "stream.next";

/// The method that ends a stream. The server itself answers it.
pub(crate) const ABORT: &str = "stream.abort";

/// A method of every server, whatever its service.
struct SystemMethod {
    name: &'static str,
    /// The types of its reply and arguments.
    signature: &'static [&'static str],
    help: &'static str,
}

const SYSTEM_METHODS: [SystemMethod; 7] = [
    SystemMethod {
        name: "system.getCapabilities",
        signature: &["struct"],
        help: "The extensions of XML-RPC that the server knows.",
    },
    SystemMethod { name: "system.listMethods", signature: &["array"], help: "The names of all methods." },
    SystemMethod { name: "system.methodHelp", signature: &["string", "string"], help: "What a method does." },
    SystemMethod {
        name: "system.methodSignature",
        signature: &["array", "string"],
        help: "The forms of a method: for each, the type of its reply and those of its arguments.",
    },
    SystemMethod {
        name: MULTICALL,
        signature: &["array", "array"],
        help: "Runs calls, each a struct of methodName and params, in order. Each result is an array of one value, or a \
               fault's struct.",
    },
    SystemMethod {
        name: ABORT,
        signature: &["boolean", "string"],
        help: "Ends the stream with this token. Returns whether there was one.",
    },
    SystemMethod {
        name: NEXT,
        signature: &["struct", "string", "int"],
        help: "Waits for the next items of the stream with this token, of which so many have been received: a struct of \
               values and finished.",
    },
];

/// Answers a method of `system`, all but [`MULTICALL`].
pub(crate) fn answer<C: Call>(services: &Services, method: &str, call: &mut C) -> C::Reply {
    match method {
        "system.listMethods" => {
            let outcome = no_arguments(call).map(|()| list_methods(services));
            call.reply(outcome)
        }
        "system.methodHelp" => {
            let outcome = method_argument(call).and_then(|method| method_help(services, &method));
            call.reply(outcome)
        }
        "system.methodSignature" => {
            let outcome = method_argument(call).and_then(|method| method_signature(services, &method));
            call.reply(outcome)
        }
        "system.getCapabilities" => {
            let outcome = no_arguments(call).map(|()| capabilities());
            call.reply(outcome)
        }
        _ => call.reply::<()>(Err(unknown(method))),
    }
}

/// Rejects types that XML-RPC loses or can't write. A type without a shape is accepted: XML-RPC describes itself.
pub(crate) fn check(descriptor: &ServiceDescriptor) -> Result<()> {
    descriptor.check_shapes("xmlrpc", carries)
}

fn carries(shape: &Shape, types: &Types) -> Result<(), String> {
    match shape {
        shape if shape.is_double_option(types) => {
            Err("an absent value and a present nil are the same in XML-RPC; use an enum".to_owned())
        }
        Shape::Map(key, _) if !key.is_key(types) => {
            Err("the key of a map is not a string or a number; use a list of pairs".to_owned())
        }
        _ => Ok(()),
    }
}

fn no_arguments<C: Call>(call: &mut C) -> Result<()> {
    #[derive(Deserialize)]
    struct NoArguments {}
    call.args().map(|NoArguments {}| ())
}

fn method_argument<C: Call>(call: &mut C) -> Result<String> {
    #[derive(Deserialize)]
    struct MethodArgument {
        method: String,
    }
    call.args().map(|MethodArgument { method }| method)
}

fn unknown(method: &str) -> RpcError {
    RpcError::unimplemented(format!("no method `{}`; see system.listMethods", method.escape_debug()))
}

fn list_methods(services: &Services) -> Vec<Cow<'static, str>> {
    let own = services.methods().map(|(name, _)| name);
    let streams = services.methods().any(|(_, method)| method.streams());
    let methods = SYSTEM_METHODS.iter().filter(|method| streams || !matches!(method.name, NEXT | ABORT));
    let mut names: Vec<_> = own.chain(methods.map(|method| method.name.into())).collect();
    names.sort_unstable();
    names
}

fn method_help(services: &Services, name: &str) -> Result<String> {
    if let Some(method) = system_method(name) {
        return Ok(method.help.to_owned());
    }
    let method = services.find(name).map_err(|_| unknown(name))?;
    Ok(format!("{}\n\n{}", method.signature(), method.docs()).trim_end().to_owned())
}

fn method_signature(services: &Services, name: &str) -> Result<Vec<Vec<&'static str>>> {
    if let Some(method) = system_method(name) {
        return Ok(vec![method.signature.to_vec()]);
    }
    let method = services.find(name).map_err(|_| unknown(name))?;
    let types = services.service_of(method).ok_or_else(|| unknown(name))?.types();
    let arguments = method.arguments().iter().map(|argument| type_name(argument.r#type(), types));
    let reply = if method.streams() { "struct" } else { type_name(method.reply(), types) };
    let full: Vec<_> = [reply].into_iter().chain(arguments).collect();
    // A trailing optional argument may be left out, and each such call is a form of its own.
    Ok((method.required_arguments()..full.len()).rev().map(|last| full[..=last].to_vec()).collect())
}

fn system_method(name: &str) -> Option<&'static SystemMethod> {
    SYSTEM_METHODS.iter().find(|method| method.name == name)
}

fn type_name(r#type: &Type, types: &Types) -> &'static str {
    r#type.shape().map_or("undef", |shape| shape_name(shape, types))
}

/// XML-RPC's name of the type that a shape is written as. Every integer is an `int`: most values travel as one, and clients
/// that check their arguments by the signature know no other name.
fn shape_name(shape: &Shape, types: &Types) -> &'static str {
    match shape {
        Shape::Bool => "boolean",
        Shape::I8
        | Shape::I16
        | Shape::I32
        | Shape::I64
        | Shape::I128
        | Shape::U8
        | Shape::U16
        | Shape::U32
        | Shape::U64
        | Shape::U128 => "int",
        Shape::F32 | Shape::F64 => "double",
        Shape::Char | Shape::String => "string",
        Shape::Bytes => "base64",
        Shape::Unit => "nil",
        Shape::Seq(_) | Shape::Tuple(_) => "array",
        Shape::Map(..) => "struct",
        Shape::Option(inner) => shape_name(inner, types),
        Shape::Named(name) => types.get(name).map_or("undef", |container| container_name(container, types)),
    }
}

fn container_name(container: &Container, types: &Types) -> &'static str {
    match container {
        Container::Unit => "nil",
        Container::Newtype(inner) => shape_name(inner, types),
        Container::Tuple(_) => "array",
        Container::Enum(variants) if variants.values().all(|variant| variant.content == Container::Unit) => "string",
        Container::Struct(_) | Container::Enum(_) => "struct",
    }
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Capability {
    spec_url: &'static str,
    spec_version: i32,
}

fn capabilities() -> BTreeMap<&'static str, Capability> {
    let known = [
        ("xmlrpc", "http://xmlrpc.com/spec.md", 1),
        ("faults_interop", "http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php", 20_010_516),
        ("introspection", "http://xmlrpc-c.sourceforge.net/introspection.html", 1),
        ("system.multicall", "http://www.xmlrpc.com/discuss/msgReader$1208", 1),
        ("nil", "http://www.ontosys.com/xml-rpc/extensions.php", 1),
    ];
    known.into_iter().map(|(name, spec_url, spec_version)| (name, Capability { spec_url, spec_version })).collect()
}
