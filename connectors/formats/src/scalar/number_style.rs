//! Numbers that a source does not write plainly: separators, and parentheses around negative ones.

use super::value::BadValue;

const BAD_GROUPS: BadValue = "its thousands separators do not stand before groups of three digits";
const OTHER_POINT: BadValue = "its decimal separator is not the one that the source declares";

/// The options `decimal_separator`, `thousands_separator` and `negative_parentheses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberStyle {
    /// The separator before a fraction: `.` or `,`.
    pub decimal_separator: u8,
    /// The separator between groups of digits, if digits may be grouped.
    pub thousands_separator: Option<char>,
    /// Whether `(12)` is -12.
    pub negative_parentheses: bool,
}

impl Default for NumberStyle {
    fn default() -> Self {
        Self {
            decimal_separator: b'.',
            thousands_separator: None,
            negative_parentheses: false,
        }
    }
}

impl NumberStyle {
    /// Whether numbers are written plainly.
    pub(crate) fn is_plain(self) -> bool {
        self == Self::default()
    }

    /// The number in plain form: a decimal point, no groups, a minus sign.
    pub(crate) fn plain(self, text: &[u8]) -> Result<Vec<u8>, BadValue> {
        let mut text = text.trim_ascii();
        let mut plain = Vec::with_capacity(text.len() + 1);
        if self.negative_parentheses
            && let [b'(', inner @ .., b')'] = text
            && !matches!(inner.trim_ascii().first(), Some(b'-' | b'+' | b'('))
        {
            plain.push(b'-');
            text = inner.trim_ascii();
        }
        if let [sign @ (b'-' | b'+'), rest @ ..] = text {
            plain.push(*sign);
            text = rest;
        }
        // Digits after the decimal separator are never grouped.
        let point = memchr::memchr(self.decimal_separator, text);
        let (whole, fraction) = text.split_at(point.unwrap_or(text.len()));
        self.ungroup(whole, &mut plain)?;
        if let Some((_, digits)) = fraction.split_first() {
            plain.push(b'.');
            plain.extend_from_slice(digits);
        }
        let points_group = self.thousands_separator == Some('.');
        if self.decimal_separator != b'.' && !points_group && whole.contains(&b'.') {
            return Err(OTHER_POINT);
        }
        Ok(plain)
    }

    /// Appends digits without the separators between their groups. The last group has three digits, the groups before
    /// it two or three, and the first one to three.
    fn ungroup(self, whole: &[u8], plain: &mut Vec<u8>) -> Result<(), BadValue> {
        let Some(separator) = self.thousands_separator else {
            plain.extend_from_slice(whole);
            return Ok(());
        };
        let mut encoded = [0; 4];
        let separator = separator.encode_utf8(&mut encoded).as_bytes();
        let mut rest = whole;
        let mut groups = 0_usize;
        while let Some(at) = memchr::memmem::find(rest, separator) {
            let (group, behind) = rest.split_at(at);
            let lengths = if groups == 0 { 1..=3 } else { 2..=3 };
            if !lengths.contains(&group.len()) || !group.iter().all(u8::is_ascii_digit) {
                return Err(BAD_GROUPS);
            }
            plain.extend_from_slice(group);
            groups += 1;
            rest = behind.get(separator.len()..).unwrap_or_default();
        }
        let last_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if groups > 0 && last_digits != 3 {
            return Err(BAD_GROUPS);
        }
        plain.extend_from_slice(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_are_made_plain_or_refused() {
        let german = NumberStyle {
            decimal_separator: b',',
            thousands_separator: Some('.'),
            negative_parentheses: false,
        };
        let english = NumberStyle {
            decimal_separator: b'.',
            thousands_separator: Some(','),
            negative_parentheses: true,
        };
        let french = NumberStyle {
            decimal_separator: b',',
            thousands_separator: Some('\u{202f}'),
            negative_parentheses: false,
        };
        let comma = NumberStyle {
            thousands_separator: None,
            ..german
        };
        let cases: &[(NumberStyle, &str, Result<&str, BadValue>)] = &[
            (german, "1.234.567,89", Ok("1234567.89")),
            (german, "-1.234", Ok("-1234")),
            (german, "1234,5", Ok("1234.5")),
            (german, "1.5", Err(BAD_GROUPS)),
            (german, "12.34,5", Err(BAD_GROUPS)),
            (german, "1234.567", Err(BAD_GROUPS)),
            (german, "1,234.5", Ok("1.234.5")),
            (english, "1,234,567.89", Ok("1234567.89")),
            (english, "12,34,567", Ok("1234567")),
            (english, "(1,234.50)", Ok("-1234.50")),
            (english, "( 7 )", Ok("-7")),
            (english, "(-7)", Ok("(-7)")),
            (english, "1,5", Err(BAD_GROUPS)),
            (english, "1,,234", Err(BAD_GROUPS)),
            (english, ",123", Err(BAD_GROUPS)),
            (english, "1,234e5", Ok("1234e5")),
            (english, " 12 ", Ok("12")),
            (english, "NaN", Ok("NaN")),
            (french, "1\u{202f}234,5", Ok("1234.5")),
            (comma, "3,14", Ok("3.14")),
            (comma, "3.14", Err(OTHER_POINT)),
            (comma, "1,2,3", Ok("1.2,3")),
        ];
        for (style, text, expected) in cases {
            let found = style.plain(text.as_bytes());
            assert_eq!(
                found.as_deref(),
                expected.as_ref().map(|text| text.as_bytes()),
                "{text}"
            );
        }
    }
}
