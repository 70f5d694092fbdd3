//! What clients rely on in the text of a `.proto` that `print` wrote.

use super::changes::ReliedOn;

/// The elements of a file that everywire has written, as [`relied_on`](super::changes::relied_on) has those of descriptors.
/// There each has a line of its own. An error if a line is not as everywire writes it.
pub(super) fn read(text: &str) -> Result<ReliedOn, String> {
    let mut file = File { package: "", block: None, oneof: "", elements: ReliedOn::new() };
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        file.line(line).ok_or_else(|| format!("line {number} is not as everywire writes it: `{line}`"))?;
    }
    match file.block {
        Some((keyword, name)) => Err(format!("the file ends inside of {keyword} {name}")),
        None => Ok(file.elements),
    }
}

struct File<'a> {
    package: &'a str,
    /// The keyword and the name of the block around a line.
    block: Option<(&'a str, &'a str)>,
    /// What declarations begin with inside of a `oneof`.
    oneof: &'static str,
    elements: ReliedOn,
}

impl<'a> File<'a> {
    fn line(&mut self, line: &'a str) -> Option<()> {
        match line {
            "" | "syntax = \"proto3\";" => {}
            "}" if self.oneof.is_empty() => drop(self.block.take()?),
            "}" => self.oneof = "",
            _ if line.starts_with("//") => {}
            _ => match self.block {
                None => self.begin(line)?,
                Some(("message", _)) if line.starts_with("oneof ") && line.ends_with(" {") => self.oneof = "oneof ",
                Some((keyword, name)) => self.member(keyword, name, line)?,
            },
        }
        Some(())
    }

    /// A line outside of blocks.
    fn begin(&mut self, line: &'a str) -> Option<()> {
        if let Some(package) = line.strip_prefix("package ") {
            self.package = package.strip_suffix(';')?;
            return Some(());
        }
        let (keyword, rest) = line.split_once(' ')?;
        let (name, braces) = rest.split_once(' ')?;
        self.block = match braces {
            "{" => Some((keyword, name)),
            "{}" => None,
            _ => return None,
        };
        match keyword {
            "message" | "service" => self.add(format!("{keyword} {}", self.full(name)), String::new()),
            "enum" => {}
            _ => return None,
        }
        Some(())
    }

    fn member(&mut self, keyword: &str, block: &str, line: &str) -> Option<()> {
        let block = self.full(block);
        if keyword == "service" {
            let (name, rest) = line.strip_prefix("rpc ")?.split_once('(')?;
            let (input, rest) = rest.split_once(") returns (")?;
            let (output, end) = rest.split_once(')')?;
            let is_known = end == ";" || end.starts_with(" { option idempotency_level = ");
            let (stream, output) = output.split_at(if output.starts_with("stream ") { "stream ".len() } else { 0 });
            let types = format!("{} -> {stream}{}", self.short(input), self.short(output));
            return is_known.then(|| self.add(format!("/{block}/{name}"), types));
        }
        let (declared, number) = line.strip_suffix(';')?.split_once(" = ")?;
        number.parse::<u32>().ok()?;
        let member = if keyword == "enum" { "value" } else { "field" };
        self.add(format!("{member} {number} of {block}"), format!("{}{declared}", self.oneof));
        Some(())
    }

    fn add(&mut self, element: String, declared: String) {
        self.elements.insert(element, declared);
    }

    fn full(&self, name: &str) -> String {
        if self.package.is_empty() { name.to_owned() } else { format!("{}.{name}", self.package) }
    }

    /// The name within the file of a message that is named in full where a method hides it.
    fn short<'n>(&self, name: &'n str) -> &'n str {
        let full = name.strip_prefix('.').and_then(|name| name.strip_prefix(self.package));
        full.map_or(name, |name| name.trim_start_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::changes::{broken, relied_on};

    const BEFORE: &str = "syntax = \"proto3\";\n\npackage demo.v1;\n\n// Adds = 1;\nservice Demo {\n  rpc Add(A) returns (B);\n}\n\n\
        message A {\n  int64 a = 1;\n}\n\nmessage B {\n  oneof variant {\n    A a = 1;\n  }\n}\n\nenum C {\n  C_ONE = 0;\n}\n";

    #[test]
    fn the_text_says_what_its_descriptors_say() {
        for text in [include_str!("../../tests/demo.proto"), include_str!("../../tests/deep.proto"), BEFORE] {
            let source = protox::file::File::from_source("demo.proto", text).unwrap();
            let file = source.file_descriptor_proto();
            let fields: usize = file.message_type.iter().map(|message| message.field.len()).sum();
            let values: usize = file.enum_type.iter().map(|r#enum| r#enum.value.len()).sum();
            let methods: usize = file.service.iter().map(|service| service.method.len()).sum();
            let elements = read(text).unwrap();
            assert_eq!(elements.len(), fields + values + methods + file.message_type.len() + file.service.len());
            let mut compiler = protox::Compiler::with_file_resolver(OneFile(source));
            compiler.open_file("demo.proto").unwrap();
            assert_eq!(elements, relied_on(&compiler.file_descriptor_set()));
        }
    }

    struct OneFile(protox::file::File);

    impl protox::file::FileResolver for OneFile {
        fn open_file(&self, _name: &str) -> Result<protox::file::File, protox::Error> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn a_file_may_grow_and_not_change() {
        let changed = |from: &str, to: &str| {
            assert!(BEFORE.contains(from), "{from}");
            broken(read(BEFORE).unwrap(), &read(&BEFORE.replace(from, to)).unwrap())
        };
        let grown = [
            ("  int64 a = 1;\n", "  int64 a = 1;\n  // New.\n  optional string b = 2;\n"),
            ("    A a = 1;\n", "    A a = 1;\n    B b = 2;\n"),
            ("  C_ONE = 0;\n", "  C_ONE = 0;\n  C_TWO = 1;\n"),
            ("returns (B);\n", "returns (B) { option idempotency_level = IDEMPOTENT; }\n  rpc Take(A) returns (A);\n"),
            ("\nenum C", "\nmessage D {}\n\nenum C"),
            ("(B)", "(.demo.v1.B)"),
        ];
        for (from, to) in grown {
            assert_eq!(changed(from, to), [""; 0], "{to}");
        }
        let broken = [
            ("  int64 a = 1;\n", "", "field 1 of demo.v1.A was `int64 a` and is gone"),
            (
                "  oneof variant {\n    A a = 1;\n  }",
                "  A a = 1;",
                "field 1 of demo.v1.B was `oneof A a` and is now `A a`",
            ),
            ("  C_ONE = 0;", "  C_TWO = 0;", "value 0 of demo.v1.C was `C_ONE` and is now `C_TWO`"),
            ("returns (B)", "returns (A)", "/demo.v1.Demo/Add was `A -> B` and is now `A -> A`"),
        ];
        for (from, to, expected) in broken {
            assert_eq!(changed(from, to), [expected]);
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_an_error_with_its_number() {
        #[rustfmt::skip]
        let lines = [
            "<<<<<<< HEAD", "option java_package = \"demo\";", "import \"other.proto\";", "extend A {", "message {", "}",
            "package demo", "  int64 a = 1;",
        ];
        for line in lines {
            let error = read(&BEFORE.replace("\nenum C", &format!("{line}\nenum C"))).unwrap_err();
            assert_eq!(error, format!("line 19 is not as everywire writes it: `{}`", line.trim()));
        }
        for member in [
            "reserved 2;",
            "int64 b = 2",
            "int64 b = 2 [deprecated = true];",
            "message Inner {",
            "rpc B() returns (B);",
        ] {
            let error = read(&BEFORE.replace("  int64 a = 1;", member)).unwrap_err();
            assert_eq!(error, format!("line 11 is not as everywire writes it: `{member}`"));
        }
        let cut = BEFORE.strip_suffix("}\n").unwrap();
        assert_eq!(read(cut).unwrap_err(), "the file ends inside of enum C");
    }
}
