//! Runs the tests inside the example `todo`.

#[path = "../examples/rust/todo.rs"]
#[expect(dead_code, reason = "only its tests run here")]
mod todo;
