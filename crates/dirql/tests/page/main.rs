//! The page of a known finding, in a browser. Without one the tests say so and pass; `cargo xtask
//! setup` installs it.
#![expect(
    clippy::print_stderr,
    reason = "who runs tests wants to know what was not"
)]

mod picture;
mod webdriver;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use webdriver::Browser;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn directory(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{test}"))
}

/// A browser, and the address of the page of a driver whose ISR takes a lock that the thread
/// holds which it interrupts.
fn opened(test: &str) -> Option<(Browser, String)> {
    let Some(browser) = Browser::start(&directory(test).join("profile")) else {
        eprintln!("skipped: there is no chromedriver; `cargo xtask setup` installs it");
        return None;
    };
    let page = directory(test).join("page.html");
    let explored = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(root())
        .args([
            "explore",
            "zoo/isr-takes-lock/isr-takes-lock.sys",
            "--report",
        ])
        .arg(&page)
        .output()
        .unwrap();
    assert_eq!(explored.status.code(), Some(1), "{explored:?}");
    let address = format!("file://{}", page.display());
    browser.look((1400, 1000), "light");
    // The browser's own first page is nobody's concern.
    browser.open("about:blank");
    let _ = (browser.log("browser"), browser.log("performance"));
    browser.open(&address);
    Some((browser, address))
}

/// Of an event of the run that is shown: its text.
fn text_of(browser: &Browser, event: &str) -> String {
    let script = format!(
        "const {{ run, state }} = dirql.view; return run.strings[run.events.text[{event}]]"
    );
    browser.run(&script).as_str().unwrap().to_owned()
}

#[test]
fn a_page_opens_without_errors_and_without_a_network() {
    let Some((browser, address)) = opened("opens") else {
        return;
    };
    assert_eq!(
        browser.log("browser"),
        [] as [Value; 0],
        "nothing is complained of"
    );
    let asked: Vec<String> = browser
        .log("performance")
        .iter()
        .filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            let is_request = message["method"] == "Network.requestWillBeSent";
            let url = message["params"]["request"]["url"].as_str()?;
            is_request.then(|| url.split('#').next().unwrap_or_default().to_owned())
        })
        .collect();
    assert!(
        asked
            .iter()
            .all(|url| *url == address || url.starts_with("data:")),
        "nothing but the page itself is asked for: {asked:?}"
    );
    assert_eq!(
        browser.run("return document.querySelector('h1').textContent"),
        "DQ0110 a processor must not wait for a lock that it holds"
    );
}

#[test]
fn an_arrow_joins_the_two_places_of_the_finding() {
    let Some((browser, _)) = opened("arrow") else {
        return;
    };
    assert!(text_of(&browser, "state.mark.event").starts_with("FINDING DQ0110"));
    let earlier = text_of(&browser, "state.mark.earlier[0]");
    assert!(
        earlier.starts_with("lock ") && earlier.ends_with(" taken"),
        "{earlier}"
    );
    // It is not only known but drawn: the pins at its ends have the colour of findings.
    let script = "
        dirql.view.drawNow();
        const { picture, state } = dirql.view;
        const pen = picture.pen;
        const colour = (event) => {
          const x = picture.x(event + 0.5) - 6, y = picture.top(event);
          return [...pen.getImageData(x, y, 1, 1).data].slice(0, 3);
        };
        return [colour(state.mark.earlier[0]), colour(state.mark.event), colour(state.mark.earlier[0] - 8)]";
    let colours = browser.run(script);
    assert_eq!(colours[0], json!([193, 18, 31]), "{colours}");
    assert_eq!(colours[1], json!([193, 18, 31]), "{colours}");
    assert_ne!(colours[2], json!([193, 18, 31]), "{colours}");
}

const RIGHT: &str = "\u{E014}";
const LEFT: &str = "\u{E012}";
const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";

#[test]
fn keys_search_zoom_and_link_work() {
    let Some((browser, _)) = opened("keys") else {
        return;
    };
    let selected = || {
        browser
            .run("return dirql.view.state.selected")
            .as_i64()
            .unwrap()
    };
    let length = || {
        let script = "const { start, end } = dirql.view.view; return end - start";
        browser.run(script).as_f64().unwrap()
    };
    let last = selected();
    browser.press(LEFT);
    assert_eq!(selected(), last - 1);
    browser.press(RIGHT);
    assert_eq!(selected(), last);
    browser.press("1");
    assert!(text_of(&browser, "state.selected").ends_with(" taken"));
    browser.press("]");
    assert!(text_of(&browser, "state.selected").starts_with("SWITCH: vector 0x60 arrives"));
    let before = length();
    browser.press("+");
    assert!(length() < before);
    browser.press("0");
    let all = browser
        .run("return dirql.view.run.events.count")
        .as_f64()
        .unwrap();
    assert!(length() >= all);
    browser.press("/");
    browser.press("KeInsertQueueDpc");
    browser.press(ENTER);
    assert_eq!(browser.run("return dirql.view.state.matches.length"), 0);
    browser.press(ESCAPE);
    browser.press("/");
    browser.press("KeAcquireSpinLock");
    browser.press(ENTER);
    assert!(text_of(&browser, "state.selected").contains("KeAcquireSpinLock"));
    browser.press(ESCAPE);
    browser.press("f");
    browser.press("2");
    // The address leads to the same moment in another window.
    let script = "return new Promise((done) => setTimeout(() => done(location.href), 300))";
    let link = browser.run(script).as_str().unwrap().to_owned();
    let (event, view) = (selected(), browser.run("return dirql.view.view"));
    browser.open("about:blank");
    browser.open(&link);
    assert_eq!(selected(), event);
    let again = browser.run("return dirql.view.view");
    for end in ["start", "end"] {
        let difference = again[end].as_f64().unwrap() - view[end].as_f64().unwrap();
        assert!(difference.abs() < 0.11, "{view} {again}");
    }
}

#[test]
fn the_table_says_what_the_picture_shows() {
    let Some((browser, _)) = opened("table") else {
        return;
    };
    browser.press("t");
    let row = browser
        .run("return document.querySelector('tr[aria-current]').innerText.split(/\\s+/).join(' ')");
    let row = row.as_str().unwrap();
    assert!(
        row.contains("DIRQL 6 ISR of vector 0x60 FINDING DQ0110"),
        "{row}"
    );
    let script = "
        const button = document.querySelector('tbody button');
        const number = Number(button.textContent);
        button.click();
        return dirql.view.state.selected === number";
    assert_eq!(browser.run(script), true);
}

#[test]
fn the_page_looks_as_it_did() {
    let Some((browser, address)) = opened("looks") else {
        return;
    };
    for size in [(1400, 1000), (480, 1100)] {
        for scheme in ["light", "dark"] {
            browser.look(size, scheme);
            browser.open("about:blank");
            browser.open(&address);
            let drawn = "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))";
            browser.run(drawn);
            let seen = picture::cells(&browser, &browser.screenshot());
            let name = format!("{}-{scheme}.txt", size.0);
            picture::compare(&seen, &root().join("crates/dirql/tests/page").join(name));
            browser.open(&address);
        }
    }
}

/// The page of an audit of the same driver, and the one of its coverage.
fn audited(test: &str) -> Option<(Browser, [String; 2])> {
    let Some(browser) = Browser::start(&directory(test).join("profile")) else {
        eprintln!("skipped: there is no chromedriver; `cargo xtask setup` installs it");
        return None;
    };
    let page = directory(test).join("audit.html");
    let coverage = directory(test).join("coverage.html");
    let audited = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(root())
        .args(["audit", "zoo/isr-takes-lock/isr-takes-lock.sys"])
        .args(["--budget", "24", "--report"])
        .arg(&page)
        .arg("--coverage")
        .arg(&coverage)
        .output()
        .unwrap();
    assert_eq!(audited.status.code(), Some(1), "{audited:?}");
    browser.look((1400, 1000), "light");
    browser.open("about:blank");
    let _ = browser.log("browser");
    let address = |path: &Path| format!("file://{}", path.display());
    Some((browser, [address(&page), address(&coverage)]))
}

#[test]
fn the_page_of_an_audit_says_what_was_tried_and_leads_to_what_was_found() {
    let Some((browser, [page, coverage])) = audited("audit") else {
        return;
    };
    browser.open(&format!("{page}#overview"));
    let text = browser.run("return document.querySelector('.overview-page').innerText");
    let text = text.as_str().unwrap().to_lowercase();
    for wanted in [
        "what was tried",
        "every allocation fails in turn",
        "what of isr-takes-lock.sys never ran",
        "basic blocks of isr-takes-lock.sys",
        "what was found",
        "seen ",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    browser.run("document.querySelector('.found .item').click()");
    let command = browser.run("return document.querySelector('.command code').textContent");
    assert!(command.as_str().unwrap().contains(" --trial "), "{command}");
    assert!(text_of(&browser, "state.mark.event").starts_with("FINDING DQ"));
    browser.open(&coverage);
    let heading = browser.run("return document.querySelector('h1').textContent");
    assert!(heading.as_str().unwrap().ends_with("basic blocks ran"));
    let marked = browser.run("return document.querySelectorAll('.source tr.never').length");
    assert!(marked.as_i64().unwrap() > 0);
    assert_eq!(browser.log("browser"), [] as [Value; 0]);
}

#[test]
fn everybody_can_use_the_pages_of_an_audit() {
    let axe = root().join("target/xtask/axe/package/axe.min.js");
    let Ok(axe) = std::fs::read_to_string(axe) else {
        eprintln!("skipped: axe-core is not here; `cargo xtask setup` fetches it where npm is");
        return;
    };
    let Some((browser, [page, coverage])) = audited("audit-axe") else {
        return;
    };
    for scheme in ["light", "dark"] {
        browser.look((1400, 1000), scheme);
        for address in [format!("{page}#overview"), coverage.clone()] {
            browser.open("about:blank");
            browser.open(&address);
            browser.run(&axe);
            let script = "return axe.run().then((found) => found.violations.map((one) =>
                `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html.slice(0, 200)).join(' | ')}`))";
            assert_eq!(browser.run(script), json!([]), "{scheme}, {address}");
        }
    }
}

#[test]
fn what_is_left_out_of_the_picture_is_said() {
    let Some((browser, _)) = opened("left-out") else {
        return;
    };
    let legend = browser.run("return document.querySelector('.legend').textContent");
    let said = legend.as_str().unwrap();
    assert!(
        said.ends_with(
            "Not drawn, but in the table: calls inside of 4 others (the deepest is inside of 5)."
        ),
        "{said}"
    );
    // As if there were more locks than there is room for.
    let script = "
        const { view } = dirql;
        view.run.lanes.processors.forEach(({ calls }) => { calls.deepest = 4; });
        view.picture.hiddenLocks = 2;
        document.querySelector('.left-out').remove();
        view.explain();
        return document.querySelector('.legend').textContent";
    let legend = browser.run(script);
    let said = legend.as_str().unwrap();
    assert!(
        said.ends_with("Not drawn, but in the table: 2 locks used less than these."),
        "{said}"
    );
}

#[test]
fn everybody_can_use_the_page() {
    let axe = root().join("target/xtask/axe/package/axe.min.js");
    let Ok(axe) = std::fs::read_to_string(axe) else {
        eprintln!("skipped: axe-core is not here; `cargo xtask setup` fetches it where npm is");
        return;
    };
    let Some((browser, _)) = opened("axe") else {
        return;
    };
    browser.run(&axe);
    for (scheme, states) in [
        (
            "light",
            &[
                "dirql.view.toggleTable()",
                "document.querySelector('.item').click()",
            ][..],
        ),
        (
            "dark",
            &["document.querySelector('.item.error').click();
               document.querySelector('.finding details').open = true"],
        ),
    ] {
        browser.look((1400, 1000), scheme);
        for state in states {
            browser.run(state);
            let script = "return axe.run().then((found) => found.violations.map((one) =>
                `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html.slice(0, 200)).join(' | ')}`))";
            let violations = browser.run(script);
            assert_eq!(violations, json!([]), "{scheme}, {state}");
        }
    }
}
