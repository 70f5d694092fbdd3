//! From the words of the command line to the arguments of a call.

use everywire::{Result, RpcError};
use serde_json::{Map, Value};

use crate::cli::{
    at_file,
    remote::{
        Arguments,
        method::{Method, Parameter},
    },
};

/// Reads `words` as the arguments of `method`, in order or as `NAME=VALUE`. On a wire without names, `has_names` is false, and
/// names that the method is known to have become positions.
pub(super) fn read(words: &[String], method: &Method, has_names: bool) -> Result<Arguments> {
    let Some(named) = named(words, method, has_names)? else {
        let values = positional(words, method)?;
        return Ok(if method.only_by_name { by_name(values, method) } else { Arguments::Positional(values) });
    };
    let mut arguments = Map::new();
    for (name, word) in named {
        let value = value(method.parameter(name), word)?;
        if arguments.insert(name.to_owned(), value).is_some() {
            return Err(RpcError::invalid_argument(format!("the argument `{name}` is given twice")));
        }
    }
    if has_names { Ok(Arguments::Named(arguments)) } else { in_order(arguments, method).map(Arguments::Positional) }
}

/// The names and values, if the words are `NAME=VALUE`. If the parameters are known, one such word is enough for all to be names of
/// theirs. Otherwise all words have to be of this form, on a wire that has names.
fn named<'a>(words: &'a [String], method: &Method, has_names: bool) -> Result<Option<Vec<(&'a str, &'a str)>>> {
    let pairs: Vec<_> = words.iter().map(|word| name_and_value(word, method)).collect();
    if method.has_names() {
        let mut names = pairs.iter().flatten().map(|(name, _)| *name);
        if let Some(name) = names.find(|name| method.parameter(name).is_none()) {
            return Err(misnamed(&format!("there is no parameter `{name}`"), method));
        }
        if pairs.contains(&None) && pairs.iter().any(Option::is_some) {
            return Err(misnamed("arguments are all named or all in order", method));
        }
    } else if method.is_described || !has_names {
        return Ok(None);
    }
    Ok(pairs.into_iter().collect::<Option<Vec<_>>>().filter(|named| !named.is_empty()))
}

/// Splits `NAME=VALUE`. What looks like base64 is a value, unless the method has a parameter of that name.
fn name_and_value<'a>(word: &'a str, method: &Method) -> Option<(&'a str, &'a str)> {
    let (name, value) = word.split_once('=')?;
    let is_padding = method.has_names() && matches!(value, "" | "=") && method.parameter(name).is_none();
    (is_identifier(name) && !is_padding).then_some((name, value))
}

fn misnamed(reason: &str, method: &Method) -> RpcError {
    let hint = r#"a text such as a=b is written in JSON, as "a=b""#;
    RpcError::invalid_argument(format!("{reason}; usage: {}; {hint}", method.signature()))
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_alphanumeric() || "_-.".contains(character))
}

fn positional(words: &[String], method: &Method) -> Result<Vec<Value>> {
    let parameters = method.parameters.iter().map(Some).chain(std::iter::repeat(None));
    words.iter().zip(parameters).map(|(word, parameter)| value(parameter, word)).collect()
}

/// The values with the names of the parameters. Values without a name stay in order, and the server rejects the call.
fn by_name(values: Vec<Value>, method: &Method) -> Arguments {
    let names = method.parameters.iter().map_while(|parameter| parameter.name.clone());
    let names: Vec<_> = names.take(values.len()).collect();
    if names.len() < values.len() || values.is_empty() {
        return Arguments::Positional(values);
    }
    Arguments::Named(names.into_iter().zip(values).collect())
}

/// The values in the order of the parameters, up to the last one that is given. One that is left out before it has its default.
fn in_order(mut arguments: Map<String, Value>, method: &Method) -> Result<Vec<Value>> {
    let mut values = Vec::new();
    for parameter in &method.parameters {
        if arguments.is_empty() {
            break;
        }
        let name = parameter.name.as_deref().unwrap_or_default();
        let default = || parameter.default.clone().or(parameter.is_optional.then_some(Value::Null));
        values.push(arguments.remove(name).or_else(default).ok_or_else(|| missing(name, method))?);
    }
    Ok(values)
}

fn missing(name: &str, method: &Method) -> RpcError {
    RpcError::invalid_argument(format!("argument `{name}` is missing; usage: {}", method.signature()))
}

/// The value of one word, which may be in a file.
fn value(parameter: Option<&Parameter>, word: &str) -> Result<Value> {
    Ok(text_or_json(parameter, &at_file::value(word)?))
}

/// A string in JSON is text. Otherwise, a value is taken as text if the method expects text, and as JSON if it does not. What is
/// not JSON is text.
fn text_or_json(parameter: Option<&Parameter>, text: &str) -> Value {
    let json = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    match parameter {
        Some(parameter) if parameter.is_text && !json.is_string() && !(parameter.is_optional && json.is_null()) => {
            Value::from(text)
        }
        _ => json,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use everywire_toolkit::ToolkitService;
    use serde_json::json;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn check(given: &[&str], method: &Method, has_names: bool, expected: &Value) {
        assert_eq!(Value::from(read(&words(given), method, has_names).unwrap()), *expected, "{given:?}");
    }

    fn lock() -> Method {
        Method::of(ToolkitService::descriptor().method("lock").unwrap())
    }

    #[test]
    fn words_become_arguments_of_a_known_method() {
        #[rustfmt::skip]
        let cases: &[(&[&str], Value)] = &[
            (&["7", "1000"], json!(["7", 1000])),
            (&["job", "1000", "null", "17"], json!(["job", 1000, null, "17"])),
            (&["ttl_ms=5", "name=a=b"], json!({"ttl_ms": 5, "name": "a=b"})),
            (&[r#""name=a""#, "5"], json!(["name=a", 5])),
            (&["c2VjcmV0==", "5"], json!(["c2VjcmV0==", 5])),
            (&[r#"name="7""#], json!({"name": "7"})),
            (&["https://a?b=c", "5"], json!(["https://a?b=c", 5])),
            (&["job", "soon"], json!(["job", "soon"])),
            (&["@@job", "5"], json!(["@job", 5])),
            (&[], json!([])),
        ];
        for (given, expected) in cases {
            check(given, &lock(), true, expected);
        }
    }

    #[test]
    fn a_name_that_the_method_does_not_have_is_an_error() {
        for has_names in [true, false] {
            for (given, expected) in [
                (
                    &["job", "1000", "waits_ms=5"][..],
                    "there is no parameter `waits_ms`; usage: lock(name: String, ttl_ms: ",
                ),
                (&["title=job", "ttl_ms=5"], "there is no parameter `title`; usage: "),
                (&["a=b", "5"], "there is no parameter `a`; usage: "),
                (&["name=job", "5"], "arguments are all named or all in order; usage: "),
            ] {
                let error = read(&words(given), &lock(), has_names).unwrap_err();
                assert!(error.message().starts_with(expected), "{given:?}: {error}");
                assert!(error.message().ends_with(r#"; a text such as a=b is written in JSON, as "a=b""#), "{error}");
            }
        }
        let unnamed = Method { parameters: vec![Parameter { is_text: true, ..Parameter::default() }], ..lock() };
        check(&["a=b"], &unnamed, false, &json!(["a=b"]));
    }

    #[test]
    fn words_become_arguments_of_an_unknown_method() {
        let unknown = Method::named("unknown");
        check(&["7", "x", "[1]", "a=1"], &unknown, true, &json!([7, "x", [1], "a=1"]));
        check(&["a=7", "b=x"], &unknown, true, &json!({"a": 7, "b": "x"}));
        check(&["a=7", "b=x"], &unknown, false, &json!(["a=7", "b=x"]));
        check(&["1=7"], &unknown, true, &json!(["1=7"]));
        check(&[r#""a=7""#], &unknown, true, &json!(["a=7"]));
    }

    #[test]
    fn names_become_positions_on_a_wire_without_names() {
        check(&["owner=7", "ttl_ms=5", "name=x"], &lock(), false, &json!(["x", 5, null, "7"]));
        check(&["ttl_ms=5", "name=x"], &lock(), false, &json!(["x", 5]));
        let error = read(&words(&["owner=7", "name=x"]), &lock(), false).unwrap_err();
        assert!(error.message().starts_with("argument `ttl_ms` is missing; usage: lock(name: String"), "{error}");
        let error = read(&words(&["name=7", "name=x"]), &lock(), false).unwrap_err();
        assert_eq!(error.message(), "the argument `name` is given twice");
    }

    #[test]
    fn positions_become_names_for_a_method_that_wants_them() {
        let by_name = Method { only_by_name: true, ..lock() };
        check(&["x", "5"], &by_name, true, &json!({"name": "x", "ttl_ms": 5}));
        check(&["1", "2", "3", "4", "5"], &by_name, true, &json!(["1", 2, 3, "4", 5]));
    }

    #[test]
    fn a_value_is_read_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            format!("@{}", path.display())
        };
        let unknown = Method::named("unknown");
        check(&[&file("json", b"{\"a\": [1]}\n")], &unknown, true, &json!([{"a": [1]}]));
        check(&[&file("text", b"no JSON\n")], &unknown, true, &json!(["no JSON\n"]));
        check(&[&format!("name={}", file("seven", b"7"))], &lock(), true, &json!({"name": "7"}));
        let error = read(&words(&["@/no/such/file"]), &unknown, true).unwrap_err();
        assert!(error.message().starts_with("`@/no/such/file`: "), "{error}");
    }
}
