//! A driver that is careless (`tests/drivers/careless.c`): what it leaves behind is told.

use std::path::Path;

use dirql::report::FindingReport;
use dirql::scenario::Scenario;
use dirql::{Settings, play};

fn rules(steps: &str, fail: Option<&str>) -> Vec<String> {
    let found = found(steps, fail).into_iter();
    found.map(|one| one.rule).collect()
}

fn found(steps: &str, fail: Option<&str>) -> Vec<FindingReport> {
    let text = format!(
        r#"
        driver = [{{ image = "careless.sys" }}]

        [[thread]]
        steps = [{steps}]
        "#
    );
    let scenario = Scenario::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers");
    let mut settings = Settings::default();
    settings.fail = fail.map(|point| point.parse().expect("a point"));
    let report = play(&scenario.in_directory(&directory), settings).expect("it can be played");
    report.findings
}

#[test]
fn an_old_way_to_a_vector_and_a_callback_left_behind_are_told() {
    let found = rules("{ unload = true }", None);
    assert_eq!(found, ["DQ0136", "DQ0145"]);
}

#[test]
fn a_request_that_a_cancel_does_not_end_is_told() {
    let steps = r"
        { open = '\Device\Careless', handle = 'c' },
        { read = 'c', length = 4 },
    ";
    let found = found(steps, Some("allocation:9999"));
    let left = found.iter().find(|one| one.rule == "DQ0460");
    let left = left.unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(
        left.message,
        r"a read to \Device\Careless was cancelled and does not come to its end, and nothing is left that could end it"
    );
    let code = left.place.code.as_deref().unwrap_or_default();
    assert!(code.starts_with("careless.sys"), "{code}");
}
