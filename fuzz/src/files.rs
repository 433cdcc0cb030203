//! Files that people give us.

use dirql::Schedule;
use dirql::report::{
    Detail, Report, Results, SearchResult, sarif, write_github, write_junit, write_report,
};
use dirql::scenario::Scenario;
use dirql_image::Image;
use dirql_image::inf::{Inf, ProductType, Target};
use dirql_image::symbols::Symbols;
use dirql_image::unwind::Registers;
use dirql_trace::page::{Page, Run};
use dirql_trace::{Timeline, staircase};

/// A driver file: it is refused, or it can be laid out, bound, and asked about every part.
pub fn image(bytes: &[u8]) {
    let Ok(image) = Image::parse(bytes) else {
        return;
    };
    let _ = image.code_view();
    if let Ok(symbols) = Symbols::load(&image, bytes, None) {
        for rva in [0, 0x1000, image.entry_point().unwrap_or(1), u32::MAX] {
            let _ = symbols.lookup(rva);
        }
        let _ = symbols.find("DriverEntry");
    }
    for base in [0x7000_0000_0000, 0, u64::MAX - 0xFFFF] {
        if let Ok(mut laid_out) = image.lay_out(base) {
            laid_out.bind(|_| 0x1000);
            laid_out.set_security_cookie(1);
            laid_out.set_guard_pointers(1, 2);
        }
    }
    for function in image.functions().iter().take(64) {
        let Ok(unwind) = image.unwind_info(function) else {
            continue;
        };
        if let dirql_image::unwind::Tail::Handler(handler) = unwind.tail {
            let _ = image.scopes(handler.data);
        }
        for rva in [function.begin, function.begin.wrapping_add(7), function.end] {
            let mut registers = Registers::at(u64::from(rva));
            let _ = image.unwind(0, &mut registers, |address| {
                (address & 0x10 == 0).then_some(address)
            });
        }
    }
}

/// An INF: it is refused, or every value and device in it can be asked for.
pub fn inf(bytes: &[u8]) {
    let Ok(inf) = Inf::parse(bytes) else {
        return;
    };
    let sections: Vec<String> = inf.sections().map(str::to_owned).collect();
    for section in &sections {
        for key in ["CatalogFile", "AddReg", "ServiceBinary", "%x%"] {
            let _ = inf.value(section, key);
        }
    }
    for (major, build) in [(5, 2600), (6, 6000), (10, 19041)] {
        let target = Target {
            major,
            minor: 1,
            build,
            product: ProductType::Workstation,
        };
        let _ = inf.devices(target);
    }
}

/// A scenario: it is refused with a picture of what is wrong, or taken.
pub fn scenario(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = Scenario::parse("fuzz.toml", &text) {
        assert!(!error.problems().is_empty());
        assert!(!error.render(false).is_empty());
        assert!(!error.render(true).is_empty());
    }
}

/// A schedule: it is refused, or it is written as it was read.
pub fn schedule(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<Schedule>() {
        Ok(schedule) => assert_eq!(schedule.to_string().parse(), Ok(schedule)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A report, as a worker that became a driver's may send one: it is refused, or it can be written
/// in every form.
pub fn report(bytes: &[u8]) {
    let Ok(report) = serde_json::from_slice::<Report>(bytes) else {
        return;
    };
    let results = Results::of_report(&report, "run", "fuzz.sys");
    let mut out = Vec::new();
    for detail in [Detail::Quiet, Detail::Summary, Detail::Everything] {
        write_report(&mut out, &report, detail).expect("memory can be written to");
    }
    write_forms(&results);
}

/// The forms for other programs.
fn write_forms(results: &Results<'_>) {
    let mut out = Vec::new();
    write_junit(&mut out, results).expect("memory can be written to");
    write_github(&mut out, results).expect("memory can be written to");
    assert_eq!(sarif(results), sarif(results));
}

/// The result of a search, as files are given to `dirql merge`: it is refused, or it can be joined
/// with others and written in every form.
pub fn search_result(bytes: &[u8]) {
    let Ok(result) = SearchResult::from_json(bytes) else {
        return;
    };
    assert!(result.clone().join(result.clone()).is_err() || result.shards.1.is_empty());
    let mut rest = result.clone();
    rest.shards.1 = (1..=result.shards.0.min(8))
        .filter(|shard| !result.shards.1.contains(shard))
        .collect();
    let mut whole = result.join(rest).expect("they have no shard in common");
    whole.judge();
    let mut out = Vec::new();
    for detail in [Detail::Quiet, Detail::Summary, Detail::Everything] {
        whole
            .write(&mut out, detail)
            .expect("memory can be written to");
    }
    write_forms(&whole.results());
}

/// A trace, as files are given to `dirql report`: it is refused, or it can be drawn and put on a
/// page.
pub fn trace(bytes: &[u8]) {
    let Ok(trace) = dirql_trace::read(bytes) else {
        return;
    };
    let mut out = Vec::new();
    staircase::draw_trace(&mut out, &trace, 80).expect("memory can be written to");
    let page = Page {
        runs: vec![Run {
            timeline: Timeline::of_trace(&trace),
            ..Run::default()
        }],
        ..Page::default()
    };
    page.write(&mut out).expect("memory can be written to");
}
