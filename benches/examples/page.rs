use everywire_benches::{compare, report, result::Results};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let r = Results::read(&std::fs::read_to_string(&a[1]).unwrap()).unwrap();
    let c = a.get(3).map(|f| compare::changes(&Results::read(&std::fs::read_to_string(f).unwrap()).unwrap(), &r));
    std::fs::write(&a[2], report::page(&r, c.as_deref())).unwrap();
    print!("{}", report::text(&r, c.as_deref()));
}
