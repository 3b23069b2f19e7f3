//! Text tables, aligned by display width. Hangul and other wide characters take two columns of a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::style::Style;

/// Most display columns of a cell.
const CELL_WIDTH_MAX: usize = 48;

/// Between two columns.
const GAP: &str = "  ";

/// The alignment of a column's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table to be rendered. Every row has a cell for each column.
pub struct TextTable {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table without rows.
    pub fn new(columns: Vec<(String, Align)>) -> Self {
        let columns = columns
            .into_iter()
            .map(|(name, align)| (fit(&name), align))
            .collect();
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// A table with columns of these names. A name that ends with `<` is that of a column of numbers.
    pub fn named(names: &[&str]) -> Self {
        let column = |name: &&str| match name.strip_suffix('<') {
            Some(name) => (name.to_owned(), Align::Right),
            None => ((*name).to_owned(), Align::Left),
        };
        Self::new(names.iter().map(column).collect())
    }

    /// Adds a row.
    pub fn push(&mut self, row: &[String]) {
        self.rows.push(row.iter().map(|cell| fit(cell)).collect());
    }

    /// The table as lines that begin with `indent`. Columns that do not fit the width are listed by name.
    pub fn render(&self, style: Style, indent: &str) -> String {
        let widths = self.widths();
        let shown = shown_columns(&widths, style.width().saturating_sub(indent.len()));
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut text = format!(
            "{indent}{}\n",
            style.bold(&self.line(&names, &widths[..shown]))
        );
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            text += &format!("{indent}{}\n", self.line(&cells, &widths[..shown]));
        }
        if shown < names.len() {
            text += &format!(
                "{indent}{}\n",
                style.dim(&format!("and {}", names[shown..].join(", ")))
            );
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let width_of = |(index, (name, _)): (usize, &(String, Align))| {
            let cells = self
                .rows
                .iter()
                .filter_map(|row| row.get(index))
                .map(|cell| cell.width());
            cells.chain([name.width()]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(width_of).collect()
    }

    fn line(&self, cells: &[&str], widths: &[usize]) -> String {
        let padded: Vec<String> = cells
            .iter()
            .zip(&self.columns)
            .zip(widths)
            .map(|((cell, (_, align)), width)| {
                let space = " ".repeat(width.saturating_sub(cell.width()));
                match align {
                    Align::Left => format!("{cell}{space}"),
                    Align::Right => format!("{space}{cell}"),
                }
            })
            .collect();
        padded.join(GAP).trim_end().to_owned()
    }
}

/// How many columns, from the left, fit into `room`; at least one.
fn shown_columns(widths: &[usize], room: usize) -> usize {
    let mut used = 0;
    let fitting = widths.iter().take_while(|width| {
        used += **width + GAP.len();
        used <= room + GAP.len()
    });
    fitting.count().max(1).min(widths.len())
}

/// A cell's text without control characters, which would move the cursor, and within the greatest width.
fn fit(text: &str) -> String {
    let visible: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if visible.width() <= CELL_WIDTH_MAX {
        return visible;
    }
    let mut width = 0;
    let cut = visible.chars().take_while(|c| {
        width += c.width().unwrap_or(0);
        width < CELL_WIDTH_MAX
    });
    cut.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, Align)], rows: &[&[&str]]) -> TextTable {
        let mut table = TextTable::new(
            columns
                .iter()
                .map(|(name, align)| ((*name).to_owned(), *align))
                .collect(),
        );
        for row in rows {
            table.push(
                &row.iter()
                    .map(|cell| (*cell).to_owned())
                    .collect::<Vec<_>>(),
            );
        }
        table
    }

    #[test]
    fn hangul_takes_two_columns() {
        let text = table(
            &[("category", Align::Left), ("sum", Align::Right)],
            &[&["식비", "1200"], &["x", "7"]],
        )
        .render(Style::PLAIN, "  ");
        assert_eq!(
            text,
            "  category   sum\n  식비      1200\n  x            7\n"
        );
    }

    #[test]
    fn columns_beyond_the_width_are_named() {
        let wide = "w".repeat(45);
        let columns = [
            ("a", Align::Left),
            ("b", Align::Left),
            ("c", Align::Left),
            ("d", Align::Left),
        ];
        let text = table(&columns, &[&[&wide, &wide, &wide, "1"]]).render(Style::PLAIN, "");
        assert_eq!(text.lines().last(), Some("and c, d"));
        assert!(text.lines().all(|line| line.width() <= 120), "{text}");

        let narrow = Style::PLAIN.with_width(80);
        let text = table(&columns, &[&[&wide, &wide, &wide, "1"]]).render(narrow, "  ");
        assert_eq!(text.lines().last(), Some("  and b, c, d"));
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    }

    #[test]
    fn cells_are_cut_and_hold_no_control_characters() {
        assert_eq!(fit("a\x1b[2J\nb"), "a [2J b");
        let long = fit(&"가".repeat(100));
        assert!(
            long.width() <= CELL_WIDTH_MAX && long.ends_with('…'),
            "{long}"
        );
    }

    #[test]
    fn a_table_without_rows_is_its_header() {
        assert_eq!(
            table(&[("a", Align::Left)], &[]).render(Style::PLAIN, ""),
            "a\n"
        );
    }
}
