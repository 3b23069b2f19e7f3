//! Rewrites syntax that a job may use and the parser's dialect does not know, before the text is parsed.

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::{Tokens, is_word};

/// The tokens, in the form that the parser accepts.
///
/// - `STRUCT(a INT)` as a type becomes `STRUCT<a INT>`. In queries `struct(…)` is a function as well, and stays.
/// - `MAP<TEXT, INT>` in the columns of a source becomes `MAP(TEXT, INT)`.
/// - A source's column with the name `key` or `index` is quoted, because the parser takes the word for a constraint.
pub(super) fn adapted(tokens: &Tokens) -> Vec<TokenWithSpan> {
    let is_external = tokens
        .position(|here| is_word(here, 0, "EXTERNAL"))
        .is_some();
    let is_source = is_external && is_word(&tokens.0, 0, "CREATE");
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.0.len());
    // The closing token of each open bracket.
    let mut open: Vec<Token> = Vec::new();
    for (at, token) in tokens.0.iter().enumerate() {
        let with = |adapted: Token| TokenWithSpan {
            token: adapted,
            span: token.span,
        };
        let follows = |word| {
            at.checked_sub(1)
                .is_some_and(|before| is_word(&tokens.0, before, word))
        };
        let is_type = is_source || open.contains(&Token::Gt);
        let (adapted, closing) = match token.token {
            Token::LParen if follows("STRUCT") && (is_type || is_cast(&tokens.0, at)) => {
                (with(Token::Lt), Some(Token::Gt))
            }
            Token::LParen => (token.clone(), Some(Token::RParen)),
            Token::Lt if is_source && follows("MAP") => (with(Token::LParen), Some(Token::RParen)),
            Token::Lt if follows("STRUCT") || follows("ARRAY") => (token.clone(), Some(Token::Gt)),
            Token::RParen => (open.pop().map_or_else(|| token.clone(), with), None),
            Token::Gt if is_source || open.last() == Some(&Token::Gt) => {
                (open.pop().map_or_else(|| token.clone(), with), None)
            }
            Token::ShiftRight if is_source || open.last() == Some(&Token::Gt) => {
                out.push(with(open.pop().unwrap_or(Token::Gt)));
                (with(open.pop().unwrap_or(Token::Gt)), None)
            }
            Token::Word(_) if is_source && open == [Token::RParen] => {
                (quoted_column(&tokens.0, at), None)
            }
            _ => (token.clone(), None),
        };
        open.extend(closing);
        out.push(adapted);
    }
    out
}

/// Whether the parenthesis at `at` opens the fields of a type in `CAST(x AS STRUCT(…))` or `x::STRUCT(…)`.
fn is_cast(tokens: &[TokenWithSpan], at: usize) -> bool {
    at.checked_sub(2).is_some_and(|before| {
        is_word(tokens, before, "AS") || tokens[before].token == Token::DoubleColon
    })
}

/// The word at `at`, quoted if it begins a column that the parser would take for a constraint.
fn quoted_column(tokens: &[TokenWithSpan], at: usize) -> TokenWithSpan {
    let mut token = tokens[at].clone();
    let begins = at
        .checked_sub(1)
        .is_some_and(|before| matches!(tokens[before].token, Token::LParen | Token::Comma));
    let has_type = matches!(
        tokens.get(at + 1).map(|next| &next.token),
        Some(Token::Word(_))
    );
    if let Token::Word(word) = &mut token.token
        && begins
        && has_type
        && word.quote_style.is_none()
        && ["key", "index"]
            .iter()
            .any(|name| word.value.eq_ignore_ascii_case(name))
    {
        word.value = word.value.to_ascii_lowercase();
        word.quote_style = Some('"');
        word.keyword = Keyword::NoKeyword;
    }
    token
}
