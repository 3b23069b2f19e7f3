//! The columns of an object's fields, for rows and for structs.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, Fields};
use arrow::error::ArrowError;

use super::column::{JsonColumn, JsonRules, column, push_value};
use super::error::JsonError;
use super::met::MetColumn;
use super::parser::Parser;
use crate::names::composed;

/// Up to this many fields, comparing names in sequence is faster than a map.
const LINEAR_FIELDS: usize = 16;

/// The columns of an object's fields.
pub(super) struct ObjectColumns {
    fields: Vec<ObjectField>,
    /// The index of each field, for objects with many fields.
    by_name: Option<BTreeMap<String, usize>>,
    any_case: bool,
    refuse_unknown: bool,
    refuse_missing: bool,
}

/// The use of a declared field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldUse {
    /// Its values are read.
    Read,
    /// Its values are only checked to fit.
    Checked,
    /// Its values are only checked to be JSON.
    Ignored,
}

struct ObjectField {
    name: String,
    /// The name in its composed spelling.
    composed: String,
    nullable: bool,
    field_use: FieldUse,
    /// The column; `None` if the field is ignored. For a field that is only checked, it is empty between rows.
    column: Option<Box<dyn JsonColumn>>,
    /// Whether the current object has the field.
    seen: bool,
    /// Whether any object had the field.
    is_met: bool,
    /// A field name that differs only in case, until the field itself occurs.
    other_case: Option<String>,
}

impl ObjectColumns {
    /// Columns for `fields`, each with its use.
    pub(super) fn new(
        fields: &Fields,
        uses: &[FieldUse],
        rules: &JsonRules,
    ) -> Result<Self, String> {
        let object_field = |(field, field_use): (&FieldRef, &FieldUse)| {
            let decoded = *field_use != FieldUse::Ignored;
            let in_field = |reason| format!("{}: {reason}", field.name());
            let column = decoded.then(|| column(field.data_type(), rules).map_err(in_field));
            Ok(ObjectField {
                name: field.name().clone(),
                composed: composed(field.name()).into_owned(),
                nullable: field.is_nullable(),
                field_use: *field_use,
                column: column.transpose()?,
                seen: false,
                is_met: false,
                other_case: None,
            })
        };
        let by_name = (fields.len() > LINEAR_FIELDS).then(|| {
            let names = fields.iter().enumerate().rev();
            names
                .map(|(index, field)| (field.name().clone(), index))
                .collect()
        });
        let fields = fields.iter().zip(uses).map(object_field);
        Ok(Self {
            fields: fields.collect::<Result<_, String>>()?,
            by_name,
            any_case: rules.any_case,
            refuse_unknown: rules.refuse_unknown,
            refuse_missing: rules.refuse_missing,
        })
    }

    /// Appends an object, which is one value in every column.
    pub(super) fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), JsonError> {
        for field in &mut self.fields {
            field.seen = false;
        }
        parser.object(|parser, name| {
            let value = match self.find(name) {
                Some(index) => self.fields[index].push(parser),
                None if self.refuse_unknown => Err(JsonError::value(
                    "is not a declared field: declare it, or set unknown_columns to 'ignore'",
                )),
                None => parser.skip(),
            };
            value.map_err(|fault| fault.in_field(name))
        })?;
        for field in self.fields.iter_mut().filter(|field| !field.seen) {
            field
                .push_missing(self.refuse_missing)
                .map_err(|fault| fault.in_field(&field.name))?;
        }
        Ok(())
    }

    /// Appends the value of the only field, without an object around it.
    pub(super) fn push_bare(&mut self, parser: &mut Parser<'_>) -> Result<(), JsonError> {
        match self.fields.as_mut_slice() {
            [field] => {
                field.seen = false;
                field
                    .push(parser)
                    .map_err(|fault| fault.in_field(&field.name))
            }
            _ => Err(parser.found("an object")),
        }
    }

    /// Appends a NULL to every column.
    pub(super) fn push_null(&mut self) {
        for column in self.columns() {
            column.push_null();
        }
    }

    /// Drops all but the first `len` objects.
    pub(super) fn truncate(&mut self, len: usize) {
        for field in &mut self.fields {
            let len = match field.field_use {
                FieldUse::Read => len,
                FieldUse::Checked | FieldUse::Ignored => 0,
            };
            if let Some(column) = &mut field.column {
                column.truncate(len);
            }
        }
    }

    /// The arrays of the columns that are read, in the order of fields.
    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.columns().map(|column| column.finish()).collect()
    }

    /// The occurrence of each field.
    pub(super) fn met(&self) -> impl Iterator<Item = MetColumn<'_>> {
        self.fields.iter().map(|field| MetColumn {
            name: &field.name,
            is_met: field.is_met,
            other_case: field.other_case.as_deref(),
        })
    }

    fn columns(&mut self) -> impl Iterator<Item = &mut Box<dyn JsonColumn>> {
        let read = self.fields.iter_mut();
        let read = read.filter(|field| field.field_use == FieldUse::Read);
        read.filter_map(|field| field.column.as_mut())
    }

    fn find(&mut self, name: &str) -> Option<usize> {
        let exact = match &self.by_name {
            Some(by_name) => by_name.get(name).copied(),
            None => self.fields.iter().position(|field| field.name == name),
        };
        if exact.is_some() {
            return exact;
        }
        if !name.is_ascii() {
            let composed = composed(name);
            let same = self
                .fields
                .iter()
                .position(|field| field.composed == composed);
            if same.is_some() {
                return same;
            }
        }
        let is_other_case = |field: &ObjectField| field.name.eq_ignore_ascii_case(name);
        if self.any_case {
            return self.fields.iter().position(is_other_case);
        }
        let field = self
            .fields
            .iter_mut()
            .find(|field| !field.is_met && is_other_case(field));
        if let Some(field) = field {
            field.other_case.get_or_insert_with(|| name.to_owned());
        }
        None
    }
}

impl ObjectField {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), JsonError> {
        if std::mem::replace(&mut self.seen, true) {
            return Err(JsonError::value("the object has this field twice"));
        }
        self.is_met = true;
        let Some(column) = &mut self.column else {
            return parser.skip();
        };
        push_value(column.as_mut(), self.nullable, parser)?;
        if self.field_use == FieldUse::Checked {
            column.truncate(0);
        }
        Ok(())
    }

    fn push_missing(&mut self, refuse: bool) -> Result<(), JsonError> {
        match (&mut self.column, self.field_use) {
            (Some(_), _) if refuse => Err(JsonError::value(
                "is missing: write null, or set missing_columns to 'null'",
            )),
            (Some(_), _) if !self.nullable => {
                Err(JsonError::value("is missing, but declared NOT NULL"))
            }
            (Some(column), FieldUse::Read) => {
                column.push_null();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
