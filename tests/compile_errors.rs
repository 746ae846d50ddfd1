//! Every wrong configuration that the compiler can see has one readable sentence, pinned in `tests/ui`.
//!
//! After a change that is meant: `TRYBUILD=overwrite cargo test --test compile_errors`, and read the difference.

#[test]
fn wrong_configurations_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
