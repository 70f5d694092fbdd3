//! The values that a type is given when it is read without input.

use serde_json::{Number, Value};

/// Texts of the formats that JSON Schema and schemars name. Types that are text in such a format often don't say so, which is why
/// each is tried even if no schema names it.
const FORMATS: &[(&str, &str)] = &[
    ("ipv4", "127.0.0.1"),
    ("ipv6", "::1"),
    ("uuid", "67e55044-10b1-426f-9247-bb680e5fe0c8"),
    ("date-time", "2000-01-01T00:00:00Z"),
    ("partial-date-time", "2000-01-01T00:00:00"),
    ("date", "2000-01-01"),
    ("time", "00:00:00Z"),
    ("partial-time", "00:00:00"),
    ("uri", "http://localhost/"),
    ("email", "user@example.com"),
    ("hostname", "localhost"),
    ("duration", "PT1S"),
];

/// Texts without a format that types accept: sockets, networks, versions, numbers, names.
const TEXTS: &[&str] = &["127.0.0.1:80", "[::1]:80", "127.0.0.0/8", "1.0.0", "1", "1s", "UTC", "#000000", "a"];

/// Numbers that types accept: counts, percentages, years.
const NUMBERS: [i64; 6] = [1, 2, 10, 100, 2000, -1];

/// How many lengths of bytes are tried.
pub(super) const LENGTHS: usize = 65;

/// Texts and numbers in the order in which they are tried, and the names of fields.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) names: Vec<String>,
    pub(super) texts: Vec<String>,
    pub(super) numbers: Vec<Number>,
}

impl Samples {
    /// First zero values, then what `schema` says, then what is likely.
    pub(super) fn new(schema: &Value) -> Self {
        let mut samples = Self { names: vec![], texts: vec![String::new()], numbers: vec![0.into()] };
        samples.add_schema(schema);
        samples.texts.extend(FORMATS.iter().map(|(_, text)| (*text).to_owned()));
        samples.texts.extend(TEXTS.iter().map(|text| (*text).to_owned()));
        samples.numbers.extend(NUMBERS.map(Number::from));
        samples.numbers.extend(Number::from_f64(0.5));
        samples
    }

    /// Adds what the keywords in `schema` name, at any depth.
    fn add_schema(&mut self, schema: &Value) {
        match schema {
            Value::Object(keywords) => keywords.iter().for_each(|(keyword, value)| self.add_keyword(keyword, value)),
            Value::Array(schemas) => schemas.iter().for_each(|schema| self.add_schema(schema)),
            _ => {}
        }
    }

    fn add_keyword(&mut self, keyword: &str, value: &Value) {
        match keyword {
            "examples" | "example" | "default" | "const" | "enum" | "minimum" | "maximum" | "multipleOf" => {
                self.add(value);
            }
            "properties" => {
                self.names.extend(value.as_object().into_iter().flat_map(|properties| properties.keys().cloned()));
                self.add_schema(value);
            }
            "exclusiveMinimum" => self.add_beside(value, 1),
            "exclusiveMaximum" => self.add_beside(value, -1),
            "minLength" => {
                let length = value.as_u64().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
                self.texts.push("a".repeat(length.min(LENGTHS)));
            }
            "format" => {
                let format = FORMATS.iter().find(|(name, _)| value == name);
                self.texts.extend(format.map(|(_, text)| (*text).to_owned()));
            }
            _ => self.add_schema(value),
        }
    }

    /// Adds the texts and numbers in `value`.
    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.texts.push(text.clone()),
            Value::Number(number) => self.numbers.push(number.clone()),
            Value::Array(values) => values.iter().for_each(|value| self.add(value)),
            Value::Object(values) => values.values().for_each(|value| self.add(value)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn add_beside(&mut self, value: &Value, by: i64) {
        let number = whole(value.as_number()).and_then(|number| number.checked_add(by));
        self.numbers.extend(number.map(Number::from));
    }
}

/// `number` as an integer, if it is one.
pub(super) fn whole(number: Option<&Number>) -> Option<i64> {
    let number = number?;
    number.as_i64().or_else(|| format!("{:.0}", number.as_f64().filter(|float| float.fract() == 0.0)?).parse().ok())
}
