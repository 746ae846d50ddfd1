//! Every wrong configuration that the compiler can see has one readable sentence, pinned in `tests/ui`.
//!
//! After a change that is meant: `TRYBUILD=overwrite cargo test --test compile_errors`, and read the difference.

#[test]
fn wrong_configurations_do_not_compile() {
    let cases = trybuild::TestCases::new();
    // A case that passes makes the others build to the end, where an empty key is found.
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/*.rs");
}
