//! Transcripts of the command line: help, answers and errors, as they are typed and printed.

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
