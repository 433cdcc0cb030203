//! Screenshots, compared as one sees them from afar: fonts and how they are drawn differ from
//! machine to machine, so that a picture is a grid of mean colours, and some difference is none.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::webdriver::Browser;

const COLUMNS: usize = 100;
const ROWS: usize = 70;

/// Mean difference of a colour, 0 to 255, that is none.
const MEAN: f64 = 2.0;

/// Cells of a thousand that may differ by more than [`MUCH`]. A line of two pixels through a cell
/// is more, and the arrow of a finding goes through twice as many.
const FEW: usize = 2;
const MUCH: i64 = 24;

/// The mean colours of a screenshot, row by row. The browser itself reads the picture.
pub(crate) fn cells(browser: &Browser, png: &str) -> Vec<[i64; 3]> {
    browser.open("about:blank");
    let script = "
        const [png, columns, rows] = arguments;
        const image = new Image();
        image.src = `data:image/png;base64,${png}`;
        return image.decode().then(() => {
          // Halved again and again: one step would look at few of the pixels.
          let canvas = image, width = image.width, height = image.height;
          const scale = (w, h) => {
            const next = Object.assign(document.createElement('canvas'), { width: w, height: h });
            const pen = next.getContext('2d');
            pen.imageSmoothingQuality = 'high';
            pen.drawImage(canvas, 0, 0, w, h);
            canvas = next; width = w; height = h;
          };
          while (width > 2 * columns && height > 2 * rows) scale(width >> 1, height >> 1);
          scale(columns, rows);
          return [...canvas.getContext('2d').getImageData(0, 0, columns, rows).data];
        })";
    let data = browser.run_with(script, &[json!(png), json!(COLUMNS), json!(ROWS)]);
    let data: Vec<i64> = serde_json::from_value(data).unwrap();
    data.chunks(4)
        .map(|cell| [cell[0], cell[1], cell[2]])
        .collect()
}

/// Compares with what is in `file`; writes it with `SNAPSHOTS=overwrite`.
pub(crate) fn compare(seen: &[[i64; 3]], file: &Path) {
    let mut text = String::new();
    for row in seen.chunks(COLUMNS) {
        for [red, green, blue] in row {
            let _ = write!(text, "{red:02x}{green:02x}{blue:02x} ");
        }
        text.pop();
        text.push('\n');
    }
    if std::env::var("SNAPSHOTS").is_ok_and(|what| what == "overwrite") {
        std::fs::write(file, text).unwrap();
        return;
    }
    let known =
        std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let known: Vec<i64> = known
        .split_whitespace()
        .map(|cell| i64::from_str_radix(cell, 16).unwrap())
        .collect();
    assert_eq!(known.len(), seen.len(), "{}", file.display());
    let mut sum = 0;
    let mut much = 0;
    for (known, [red, green, blue]) in known.iter().zip(seen) {
        let differs = [
            (known >> 16, red),
            (known >> 8 & 255, green),
            (known & 255, blue),
        ];
        let differs = differs.map(|(known, seen)| (known - seen).abs());
        sum += differs.iter().sum::<i64>();
        much += usize::from(differs.iter().any(|by| *by > MUCH));
    }
    let mean = sum as f64 / (3 * seen.len()) as f64;
    assert!(
        mean <= MEAN && much * 1000 <= FEW * seen.len(),
        "{}: differs by {mean:.1} of 255 in the mean, and in {much} of {} cells by much; \
         if it is to look so: SNAPSHOTS=overwrite",
        file.display(),
        seen.len()
    );
}
