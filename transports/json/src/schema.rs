//! Which services JSON carries.

use rpc_core::{
    Result, ServiceDescriptor,
    shape::{Shape, Types},
};

/// Refuses types that JSON loses or can't write, in the name of `wire`. One without a shape is fine: JSON describes itself.
pub fn check(wire: &str, service: &ServiceDescriptor) -> Result<()> {
    service.check_shapes(wire, carries)
}

fn carries(shape: &Shape, types: &Types) -> Result<(), String> {
    match shape {
        shape if shape.is_double_option(types) => {
            Err("an absent value and a present `null` are the same in JSON".to_owned())
        }
        Shape::Map(key, _) if !key.is_key(types) => Err("the key of a map is no string or number".to_owned()),
        _ => Ok(()),
    }
}
