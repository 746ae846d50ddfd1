//! Every wrong configuration that the compiler can see has one readable sentence, pinned in `tests/ui`.

#[test]
fn wrong_configurations_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
