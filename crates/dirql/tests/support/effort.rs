//! How much the audits of tests try: little, so that it is cheap; `DIRQL_AUDIT=usual` (or `quick`)
//! tries as much as a user does.

/// Runs when nothing else is asked for.
const RUNS: &str = "24";

/// What `DIRQL_AUDIT` asks for, as arguments.
pub(crate) fn effort() -> Vec<String> {
    match std::env::var("DIRQL_AUDIT").as_deref() {
        Ok("usual") => Vec::new(),
        Ok("quick") => vec!["--quick".into()],
        _ => vec!["--budget".into(), RUNS.into()],
    }
}
