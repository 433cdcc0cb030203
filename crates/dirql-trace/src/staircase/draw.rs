//! Columns as characters.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use dirql_abi::Irql;

use super::{Column, Columns, Note, NoteKind};

/// Characters before the drawing.
const GUTTER: usize = 22;

/// A column in the drawing, or a gap where columns are left out.
struct Cell<'a> {
    column: &'a Column,
    /// Columns were left out before it.
    gap: bool,
    width: usize,
    /// The number in the legend.
    number: Option<usize>,
}

/// Draws the columns that are `shown`, in `width` characters a line, and the legend.
pub(super) fn draw(
    out: &mut dyn Write,
    columns: &Columns,
    shown: &[bool],
    width: usize,
) -> io::Result<()> {
    let mut cells = cells(columns, shown);
    fit_labels(&mut cells);
    if cells.is_empty() {
        return writeln!(out, "nothing happened");
    }
    let room = width.saturating_sub(GUTTER).max(20);
    let rows = Rows::new(&cells);
    let mut before: Option<&Column> = None;
    let mut first = 0;
    while first < cells.len() {
        let mut end = first;
        let mut used = 0;
        while end < cells.len() && (end == first || used + cells[end].width <= room) {
            used += cells[end].width;
            end += 1;
        }
        if first > 0 {
            writeln!(out)?;
        }
        rows.draw(out, &cells[first..end], before)?;
        before = Some(cells[end - 1].column);
        first = end;
    }
    legend(out, columns, &cells)
}

fn cells<'a>(columns: &'a Columns, shown: &[bool]) -> Vec<Cell<'a>> {
    let mut cells: Vec<Cell<'a>> = Vec::new();
    let mut number = 0;
    let mut gap = false;
    for (column, shown) in columns.all.iter().zip(shown) {
        if !shown {
            gap = true;
            continue;
        }
        number += usize::from(column.note.is_some());
        let number = column.note.as_ref().map(|_| number);
        // A blank or a corner before the number, and one after it.
        let digits = number.map_or(0, |number| number.to_string().len());
        cells.push(Cell {
            column,
            gap: std::mem::take(&mut gap),
            width: digits + 2,
            number,
        });
    }
    cells
}

/// Widens columns until each label fits onto its stair.
fn fit_labels(cells: &mut [Cell<'_>]) {
    let processors: BTreeSet<u16> = cells
        .iter()
        .flat_map(|cell| cell.column.doing.keys().copied())
        .collect();
    for processor in processors {
        let mut start = 0;
        while start < cells.len() {
            let doing = cells[start].column.doing.get(&processor);
            let same = |cell: &Cell<'_>| cell.column.doing.get(&processor) == doing;
            let count = cells[start..].iter().take_while(|cell| same(cell)).count();
            if let Some(doing) = doing {
                let is_new = start == 0
                    || cells[start - 1]
                        .column
                        .doing
                        .get(&processor)
                        .is_none_or(|before| before.label != doing.label);
                let has: usize = cells[start..start + count]
                    .iter()
                    .map(|cell| cell.width)
                    .sum();
                let needs = doing.label.chars().count() + 3;
                if is_new && has < needs {
                    cells[start + count - 1].width += needs - has;
                }
            }
            start += count;
        }
    }
}

/// What is drawn below each other.
struct Rows {
    /// The levels of each processor, highest first.
    levels: BTreeMap<u16, Vec<u8>>,
    lines: BTreeSet<u32>,
    locks: BTreeSet<String>,
}

impl Rows {
    fn new(cells: &[Cell<'_>]) -> Self {
        let mut levels: BTreeMap<u16, BTreeSet<u8>> = BTreeMap::new();
        let mut lines = BTreeSet::new();
        let mut locks = BTreeSet::new();
        for cell in cells {
            for (processor, doing) in &cell.column.doing {
                levels.entry(*processor).or_default().insert(doing.irql);
            }
            lines.extend(cell.column.high.iter().copied());
            locks.extend(
                cell.column
                    .holders
                    .keys()
                    .filter(|lock| lock.len() == 1)
                    .cloned(),
            );
        }
        let levels = levels
            .into_iter()
            .map(|(processor, levels)| (processor, levels.into_iter().rev().collect()));
        Self {
            levels: levels.collect(),
            lines,
            locks,
        }
    }

    fn draw(
        &self,
        out: &mut dyn Write,
        cells: &[Cell<'_>],
        before: Option<&Column>,
    ) -> io::Result<()> {
        line(out, "", &marks(cells))?;
        for gsi in &self.lines {
            let is_high = |column: &Column| column.high.contains(gsi);
            let start = before.is_some_and(is_high);
            line(out, &format!("line {gsi}"), &wave(cells, start, is_high))?;
        }
        for lock in &self.locks {
            line(out, &format!("lock {lock}"), &bar(cells, lock))?;
        }
        for (processor, levels) in &self.levels {
            let mut name = format!("processor {processor}");
            for (level, text) in levels.iter().zip(stairs(cells, *processor, levels, before)) {
                let level = level_name(*level);
                line(out, &format!("{name:<13}{level}"), &text)?;
                name.clear();
            }
        }
        Ok(())
    }
}

fn line(out: &mut dyn Write, name: &str, text: &str) -> io::Result<()> {
    let line = format!("{name:<width$}{text}", width = GUTTER);
    writeln!(out, "{}", line.trim_end())
}

fn level_name(level: u8) -> String {
    match level {
        0 => "PASSIVE".into(),
        1 => "APC".into(),
        2 => "DISPATCH".into(),
        3..=11 => format!("DIRQL {level}"),
        _ => Irql(level).to_string().replace("_LEVEL", ""),
    }
}

/// The numbers of the legend above their columns.
fn marks(cells: &[Cell<'_>]) -> String {
    let mut text = String::new();
    for cell in cells {
        let mark = cell
            .number
            .map_or(String::new(), |number| number.to_string());
        let gap = if cell.gap { '┊' } else { ' ' };
        text.push(gap);
        text.push_str(&format!("{mark:<width$}", width = cell.width - 1));
    }
    text
}

fn wave(cells: &[Cell<'_>], mut was: bool, is_high: impl Fn(&Column) -> bool) -> String {
    let mut text = String::new();
    for cell in cells {
        let is = is_high(cell.column);
        text.push(match (was, is) {
            _ if cell.gap => '┊',
            (false, true) => '/',
            (true, false) => '\\',
            (_, true) => '‾',
            (_, false) => '_',
        });
        let level = if is { "‾" } else { "_" };
        text.push_str(&level.repeat(cell.width - 1));
        was = is;
    }
    text
}

/// The number of the processor that holds a lock.
fn bar(cells: &[Cell<'_>], lock: &str) -> String {
    let mut text = String::new();
    for cell in cells {
        let holder = cell.column.holders.get(lock);
        let sign = match holder {
            Some(processor) if *processor < 10 => processor.to_string(),
            Some(_) => "#".into(),
            None => "·".into(),
        };
        text.push_str(if cell.gap { "┊" } else { &sign });
        text.push_str(&sign.repeat(cell.width - 1));
    }
    text
}

/// A row for each level.
fn stairs(
    cells: &[Cell<'_>],
    processor: u16,
    levels: &[u8],
    before: Option<&Column>,
) -> Vec<String> {
    let mut rows: Vec<Vec<char>> = vec![Vec::new(); levels.len()];
    let place = |irql: u8| levels.iter().position(|level| *level == irql);
    let mut was = before
        .and_then(|column| column.doing.get(&processor))
        .cloned();
    // Where the label of the stair goes, if there is one.
    let mut label: Option<(usize, usize, String)> = None;
    let mut labels = Vec::new();
    for (number, cell) in cells.iter().enumerate() {
        let start = rows.first().map_or(0, Vec::len);
        for row in &mut rows {
            row.resize(start + cell.width, ' ');
        }
        let doing = cell.column.doing.get(&processor);
        if let Some(doing) = doing
            && let Some(now) = place(doing.irql)
        {
            rows[now][start..].fill('─');
            let from = was.as_ref().and_then(|was| place(was.irql));
            if let Some(from) = from.filter(|from| *from != now && !cell.gap) {
                step(&mut rows, start, from, now);
            }
            let is_new = number == 0 || was.as_ref().is_none_or(|was| was.label != doing.label);
            let moved = was.as_ref().is_some_and(|was| was.irql != doing.irql);
            if is_new || moved || cell.gap {
                labels.extend(label.take());
            }
            if is_new || cell.gap {
                label = Some((now, start + 1, doing.label.clone()));
            }
        }
        if cell.gap {
            for row in &mut rows {
                row[start] = '┊';
            }
        }
        if doing.is_some() {
            was = doing.cloned();
        }
    }
    labels.extend(label);
    for (row, start, text) in labels {
        write_label(&mut rows[row], start, &text);
    }
    rows.into_iter()
        .map(|row| row.into_iter().collect())
        .collect()
}

/// The riser between two stairs.
fn step(rows: &mut [Vec<char>], at: usize, from: usize, to: usize) {
    let (top, bottom) = (from.min(to), from.max(to));
    for row in &mut rows[top + 1..bottom] {
        row[at] = '│';
    }
    // Row 0 is the highest level.
    let (corner_from, corner_to) = if to < from {
        ('┘', '┌')
    } else {
        ('┐', '└')
    };
    rows[from][at] = corner_from;
    rows[to][at] = corner_to;
}

/// Writes a label onto its stair, as far as that goes.
fn write_label(row: &mut [char], start: usize, text: &str) {
    let room = row[start..].iter().take_while(|c| **c == '─').count();
    if text.chars().count() + 1 > room {
        return;
    }
    for (place, sign) in row[start..].iter_mut().zip(text.chars().chain([' '])) {
        *place = sign;
    }
}

fn legend(out: &mut dyn Write, columns: &Columns, cells: &[Cell<'_>]) -> io::Result<()> {
    writeln!(out)?;
    for (lock, letter) in &columns.locks {
        if letter.len() == 1 {
            let of = columns.of_interrupts.get(lock);
            let of = of.map_or(String::new(), |isr| format!(", the interrupt's of {isr}"));
            writeln!(out, "  lock {letter} is {lock}{of}")?;
        }
    }
    for cell in cells {
        let (Some(number), Some(note)) = (cell.number, &cell.column.note) else {
            continue;
        };
        let Note {
            step,
            processor,
            text,
            kind,
        } = note;
        let sign = match kind {
            NoteKind::Plain => ' ',
            NoteKind::Switch => '◆',
            NoteKind::Earlier => '①',
            NoteKind::Finding => '②',
        };
        writeln!(
            out,
            "{sign} {number:>3}  step {step:<5} processor {processor}  {text}"
        )?;
    }
    let left_out = columns.all.len() - cells.len();
    if left_out > 0 {
        writeln!(
            out,
            "  ┊ stands for events that are left out, {left_out} in all"
        )?;
    }
    Ok(())
}
