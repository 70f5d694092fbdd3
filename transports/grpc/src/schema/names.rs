//! Names in the style guide of protocol buffers.

pub(super) fn identifier(name: &str) -> Result<(), String> {
    let mut characters = name.chars();
    let first = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if first && characters.all(|rest| rest.is_ascii_alphanumeric() || rest == '_') {
        Ok(())
    } else {
        let name = name.escape_debug();
        Err(format!(
            "`{name}` is not a valid name in proto3; expected ASCII letters, digits and _, and no digit first; rename it \
             with serde(rename)"
        ))
    }
}

/// The name of a message or an enum: `Page<Item>` is `PageOfItem`, `Either<u8, Vec<Item>>` is `EitherOfU8AndVecOfItem`.
pub(super) fn type_name(name: &str) -> String {
    let Some((plain, parameters)) = name.split_once('<') else { return name.to_owned() };
    let mut message = format!("{plain}Of");
    let mut inside = false;
    for character in parameters.chars() {
        match character {
            '<' => message.push_str("Of"),
            ',' => message.push_str("And"),
            'a'..='z' if !inside => message.push(character.to_ascii_uppercase()),
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => message.push(character),
            _ => {}
        }
        inside = character.is_alphanumeric() || character == '_';
    }
    message
}

/// `by-name` as `by_name`. Messages carry numbers and no names, so nothing is lost; two names that become one are an error.
pub(super) fn field_name(name: &str) -> String {
    name.replace('-', "_")
}

/// `by_name` as `ByName`.
pub(super) fn camel_case(name: &str) -> String {
    let mut json = json_name(name);
    if let Some(first) = json.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    json
}

/// `by_name` as `byName`, as protoc writes it.
pub(super) fn json_name(name: &str) -> String {
    let mut after_underscore = false;
    let mut json = String::new();
    for character in name.chars() {
        if character != '_' {
            json.push(if after_underscore { character.to_ascii_uppercase() } else { character });
        }
        after_underscore = character == '_';
    }
    json
}

/// `LightBlue` and `light-blue` as `LIGHT_BLUE`.
pub(super) fn upper_case(name: &str) -> String {
    let name = field_name(name);
    let mut upper = String::new();
    let mut before = '_';
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        let next_is_lower = characters.peek().is_some_and(char::is_ascii_lowercase);
        let begins = before.is_ascii_lowercase() || before.is_ascii_digit() || before != '_' && next_is_lower;
        if character.is_ascii_uppercase() && begins {
            upper.push('_');
        }
        upper.push(character.to_ascii_uppercase());
        before = character;
    }
    upper
}

/// `LightBlue` as `light_blue`.
pub(super) fn snake_case(name: &str) -> String {
    upper_case(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_style_guide() {
        for (name, upper) in [
            ("Red", "RED"),
            ("LightBlue", "LIGHT_BLUE"),
            ("HTTPServer", "HTTP_SERVER"),
            ("A", "A"),
            ("light-blue", "LIGHT_BLUE"),
        ] {
            assert_eq!(upper_case(name), upper);
        }
        assert_eq!(upper_case("already_snake_2"), "ALREADY_SNAKE_2");
        assert_eq!(type_name("Either<u8, Vec<Item>>"), "EitherOfU8AndVecOfItem");
        assert_eq!((type_name("plain_2").as_str(), type_name("a-b").as_str()), ("plain_2", "a-b"));
        assert_eq!((json_name("ttl_ms").as_str(), camel_case("by_name").as_str()), ("ttlMs", "ByName"));
    }
}
