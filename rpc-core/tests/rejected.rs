//! Traits that are no service, each file named after the rule, with the message that its author sees.

#[test]
fn messages_help() {
    trybuild::TestCases::new().compile_fail("tests/rejected/*.rs");
}
