//! A minimal CSV reader by RFC 4180.

/// A record: its fields; `None` is an empty field without quotes.
pub type Record = Vec<Option<String>>;

/// Reads all records of a text, including the header. Blank lines are skipped.
#[must_use]
pub fn parse(text: &str) -> Vec<Record> {
    let (mut records, mut record, mut field) = (Vec::new(), Record::new(), String::new());
    let (mut quoted, mut was_quoted) = (false, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            ',' | '\n' if !quoted => {
                let value = std::mem::take(&mut field);
                record.push((was_quoted || !value.is_empty()).then_some(value));
                was_quoted = false;
                if character == '\n' {
                    records.push(std::mem::take(&mut record));
                }
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    if !field.is_empty() || was_quoted || !record.is_empty() {
        record.push((was_quoted || !field.is_empty()).then_some(field));
        records.push(record);
    }
    records.retain(|record| record.len() > 1 || record[0].is_some());
    records
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn quotes_blank_lines_and_line_ends() {
        let text = "a,b\r\n\r\n\"x, \"\"y\"\"\nz\",\n\"\",1";
        let some = |text: &str| Some(text.to_owned());
        let expected = vec![
            vec![some("a"), some("b")],
            vec![some("x, \"y\"\nz"), None],
            vec![some(""), some("1")],
        ];
        assert_eq!(parse(text), expected);
    }
}
