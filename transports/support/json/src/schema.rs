//! Which services JSON carries.

use everywire_core::{
    Result,
    descriptor::{
        ServiceDescriptor,
        shape::{Shape, Types},
    },
};

/// Rejects types that JSON loses or can't write. The error names the `wire`. A type without a shape is accepted, because JSON
/// describes itself.
pub fn check(wire: &str, service: &ServiceDescriptor) -> Result<()> {
    service.check_shapes(wire, carries)
}

fn carries(shape: &Shape, types: &Types) -> Result<(), String> {
    match shape {
        shape if shape.is_double_option(types) => {
            Err("an absent value and a present `null` are the same in JSON; use an enum".to_owned())
        }
        Shape::Map(key, _) if !key.is_key(types) => {
            Err("the key of a map is not a string or a number; use a list of pairs".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize, de::DeserializeOwned};
    use serde_json::Value;

    use super::*;

    fn checked<T: Serialize + DeserializeOwned + JsonSchema>() -> Result<()> {
        let mut service = ServiceDescriptor::builder("demo.v1", "Demo", "");
        service.method("put", "Put", "").argument::<T>("value", "T").reply::<()>("()");
        check("json", &service.build())
    }

    #[test]
    fn types_that_json_loses_are_rejected() {
        #[derive(Serialize, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
        struct Point(u8, u8);
        #[derive(Serialize, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
        struct Id(u64);
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Inside {
            map: BTreeMap<Point, u8>,
        }
        let rejected = |checked: Result<()>| checked.unwrap_err().message().to_owned();
        assert_eq!(
            rejected(checked::<Vec<Option<Option<u8>>>>()),
            "json can't carry demo.v1.Demo.put, value: T: an absent value and a present `null` are the same in JSON; use an enum"
        );
        assert_eq!(
            rejected(checked::<Option<Inside>>()),
            "json can't carry demo.v1.Demo.put, value: T: `Inside.map`: the key of a map is not a string or a number; use a list of pairs"
        );
        assert_eq!(checked::<BTreeMap<Id, Option<BTreeMap<i8, u8>>>>(), Ok(()));
        assert_eq!(checked::<Value>(), Ok(()), "JSON describes itself");
    }
}
