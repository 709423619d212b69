//! The table on screen.

use std::io::Write;

use crate::line::Line;
use crate::peer::Kind;

/// Columns of peers, parlor first.
const PEERS: usize = Kind::ALL.len();

/// Prints lines as a table. A line whose rivals wrote in more than one way takes a row for each.
pub fn print(out: &mut impl Write, title: &str, lines: &[&Line]) -> std::io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let head = ["work", "unit"].into_iter().chain(Kind::ALL.map(Kind::name));
    let head = head.chain(["floor", "× sqlite", "× floor", "holds", "bar"]).map(str::to_owned).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(lines.iter().flat_map(|line| rows(line))).collect();
    let columns = 2 + PEERS + 5;
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            // What was skipped says why across the other columns.
            let whole = rows.iter().filter(|row| row.len() == columns || column < 2);
            whole.filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    writeln!(out, "\n{title}\n")?;
    for row in &rows {
        let mut text = String::new();
        for (column, cell) in row.iter().enumerate() {
            let room = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            // Words to the left, numbers to the right.
            let left = column < 2 || column + 2 >= columns || row.len() < columns;
            text.push_str(&if left { format!("{cell}{room}  ") } else { format!("{room}{cell}  ") });
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

fn rows(line: &Line) -> Vec<Vec<String>> {
    if let Some(reason) = &line.skipped {
        return vec![vec![line.work.clone(), line.unit.to_owned(), format!("skipped: {reason}")]];
    }
    let mut ways: Vec<&str> = Vec::new();
    for (name, _) in &line.rivals {
        let way = name.split_once(", ").map_or("", |(_, way)| way);
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    if ways.is_empty() {
        ways.push("");
    }
    ways.iter().enumerate().map(|(nth, way)| row(line, nth, way)).collect()
}

/// The `nth` row, of the rivals that wrote this way; parlor and the verdict stand in the first only.
fn row(line: &Line, nth: usize, way: &str) -> Vec<String> {
    let first = nth == 0;
    let peers = Kind::ALL.map(|kind| {
        if kind == Kind::Parlor {
            return number(line.ours.filter(|_| first));
        }
        let full = if way.is_empty() { kind.name().to_owned() } else { format!("{}, {way}", kind.name()) };
        number(line.rivals.iter().find(|(name, _)| *name == full).map(|(_, value)| *value))
    });
    let of_first = |value: Option<f64>| number(value.filter(|_| first));
    let work = match (first, way) {
        (true, "") => line.work.clone(),
        (true, way) => format!("{} ({way})", line.work),
        (false, way) => format!("    {way}"),
    };
    let holds = match line.holds().filter(|_| first) {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "",
    };
    let mut row = vec![work, line.unit.to_owned()];
    row.extend(peers);
    row.extend([of_first(line.floor), of_first(line.ratio_to_best_sqlite()), of_first(line.ratio_to_floor())]);
    row.extend([holds.to_owned(), if first { line.bar_text() } else { String::new() }]);
    row
}

/// Three digits, and thousands apart.
fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value >= 1000.0 => {
            let digits = format!("{value:.0}");
            let (head, tail) = digits.split_at(digits.len() - 3);
            if head.len() > 3 {
                let (millions, thousands) = head.split_at(head.len() - 3);
                return format!("{millions},{thousands},{tail}");
            }
            format!("{head},{tail}")
        }
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) if value >= 0.1 || value == 0.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Better;

    #[test]
    fn a_table_has_a_row_for_each_way_and_says_what_was_skipped() {
        let values = [("parlor", 22_500.4), ("sqlite, grouped", 14_200.0), ("sqlite, 8 connections", 3_400.0)];
        let measured = Line::new("append", "msg/s", Better::More)
            .measured(values.map(|(name, value)| (name.to_owned(), value)))
            .times_sqlite(1.2, 1.6);
        let skipped = Line::new("open", "ms", Better::Less).skipped("needs a million");
        let mut out = Vec::new();
        print(&mut out, "lines", &[&measured, &skipped]).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<&str> = text.lines().skip(3).collect();
        assert!(rows[1].starts_with("append (grouped)") && rows[1].contains("22,500") && rows[1].contains("yes"));
        assert!(rows[2].starts_with("    8 connections") && rows[2].contains("3,400"));
        assert!(rows[3].starts_with("open") && rows[3].ends_with("skipped: needs a million"));
    }
}
