//! Why a row did not decode, and at which value.

use std::fmt::Write;

/// A step from a value to one inside it.
#[derive(Debug)]
enum PathStep {
    Field(String),
    Element(usize),
}

/// A row's fault. Boxed, so that rows without faults do not pay for it.
#[derive(Debug)]
pub(super) struct JsonError(Box<JsonErrorParts>);

#[derive(Debug)]
struct JsonErrorParts {
    reason: String,
    /// The path from the value outwards; `None` if the text is not JSON, so that no column is at fault.
    path: Option<Vec<PathStep>>,
}

impl JsonError {
    /// The fault of a line that is not JSON.
    pub(super) fn syntax(reason: String) -> Self {
        Self(Box::new(JsonErrorParts { reason, path: None }))
    }

    /// The fault of a value that does not fit its column.
    pub(super) fn value(reason: impl Into<String>) -> Self {
        Self(Box::new(JsonErrorParts {
            reason: reason.into(),
            path: Some(Vec::new()),
        }))
    }

    /// Adds to the path that the value is in the field `name` of an object.
    pub(super) fn in_field(mut self, name: &str) -> Self {
        if let Some(path) = &mut self.0.path {
            path.push(PathStep::Field(name.to_owned()));
        }
        self
    }

    /// Adds to the path that the value is the element `index` of a list.
    pub(super) fn in_element(mut self, index: usize) -> Self {
        if let Some(path) = &mut self.0.path {
            path.push(PathStep::Element(index));
        }
        self
    }

    /// Path of the value at fault (`items[2].price`) and the reason.
    pub(super) fn into_parts(self) -> (Option<String>, String) {
        let path = self.0.path.filter(|path| !path.is_empty());
        (path.map(|path| render(&path)), self.0.reason)
    }
}

fn render(path: &[PathStep]) -> String {
    let mut text = String::new();
    for step in path.iter().rev() {
        match step {
            PathStep::Field(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            PathStep::Element(index) => {
                // Writing to a String does not fail.
                let _ = write!(text, "[{index}]");
            }
        }
    }
    text
}
