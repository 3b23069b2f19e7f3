//! Columns of nested types: structs, lists and maps.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{
    ArrayRef, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, StructArray,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;

use super::column::{JsonColumn, JsonRules, Pushed, column, push_value};
use super::error::JsonError;
use super::objects::{FieldUse, ObjectColumns};
use super::parser::Parser;
use super::text::{JsonOffsets, JsonTextColumn};
use crate::options::Scalars;

/// Objects.
pub(super) struct StructColumn {
    fields: Fields,
    children: ObjectColumns,
    valid: NullBufferBuilder,
}

impl StructColumn {
    pub(super) fn new(fields: &Fields, rules: &JsonRules) -> Result<Self, String> {
        Ok(Self {
            fields: fields.clone(),
            children: ObjectColumns::new(fields, &vec![FieldUse::Read; fields.len()], rules)?,
            valid: NullBufferBuilder::new(0),
        })
    }
}

impl JsonColumn for StructColumn {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<Pushed, JsonError> {
        self.children.push(parser)?;
        self.valid.append_non_null();
        Ok(Pushed::Value)
    }

    fn push_null(&mut self) {
        self.children.push_null();
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.children.truncate(len);
        self.valid.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let len = self.valid.len();
        let (children, valid) = (self.children.finish()?, self.valid.finish());
        let array = StructArray::try_new_with_length(self.fields.clone(), children, valid, len)?;
        Ok(Arc::new(array))
    }
}

/// The elements of all lists, concatenated.
struct ListElements {
    field: FieldRef,
    column: Box<dyn JsonColumn>,
    len: usize,
}

impl ListElements {
    fn new(field: &FieldRef, rules: &JsonRules) -> Result<Self, String> {
        Ok(Self {
            field: Arc::clone(field),
            column: column(field.data_type(), rules)?,
            len: 0,
        })
    }

    /// Appends a list. Returns the number of its elements.
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<usize, JsonError> {
        let before = self.len;
        let nullable = self.field.is_nullable();
        parser.list(|parser, index| {
            push_value(self.column.as_mut(), nullable, parser)
                .map_err(|fault| fault.in_element(index))?;
            self.len += 1;
            Ok(())
        })?;
        Ok(self.len - before)
    }

    fn truncate(&mut self, len: usize) {
        self.column.truncate(len);
        self.len = len;
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.len = 0;
        self.column.finish()
    }
}

/// Lists of any length.
pub(super) struct ListColumn<O> {
    elements: ListElements,
    ends: JsonOffsets<O>,
    valid: NullBufferBuilder,
}

impl<O: OffsetSizeTrait> ListColumn<O> {
    pub(super) fn new(field: &FieldRef, rules: &JsonRules) -> Result<Self, String> {
        Ok(Self {
            elements: ListElements::new(field, rules)?,
            ends: JsonOffsets::default(),
            valid: NullBufferBuilder::new(0),
        })
    }
}

impl<O: OffsetSizeTrait> JsonColumn for ListColumn<O> {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<Pushed, JsonError> {
        self.elements.push(parser)?;
        self.ends.push(self.elements.len)?;
        self.valid.append_non_null();
        Ok(Pushed::Value)
    }

    fn push_null(&mut self) {
        self.ends.repeat();
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.elements.truncate(self.ends.truncate(len));
        self.valid.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let field = Arc::clone(&self.elements.field);
        let elements = self.elements.finish()?;
        let array = GenericListArray::<O>::try_new(
            field,
            self.ends.finish(),
            elements,
            self.valid.finish(),
        )?;
        Ok(Arc::new(array))
    }
}

/// Lists of one length.
pub(super) struct FixedSizeListColumn {
    elements: ListElements,
    size: i32,
    width: usize,
    valid: NullBufferBuilder,
}

impl FixedSizeListColumn {
    pub(super) fn new(field: &FieldRef, size: i32, rules: &JsonRules) -> Result<Self, String> {
        Ok(Self {
            elements: ListElements::new(field, rules)?,
            size,
            width: usize::try_from(size)
                .map_err(|_| format!("a list cannot have {size} elements"))?,
            valid: NullBufferBuilder::new(0),
        })
    }
}

impl JsonColumn for FixedSizeListColumn {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<Pushed, JsonError> {
        let found = self.elements.push(parser)?;
        if found != self.width {
            return Err(JsonError::value(format!(
                "expected a list of {} elements, found {found}",
                self.width
            )));
        }
        self.valid.append_non_null();
        Ok(Pushed::Value)
    }

    fn push_null(&mut self) {
        for _ in 0..self.width {
            self.elements.column.push_null();
        }
        self.elements.len += self.width;
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.elements.truncate(len * self.width);
        self.valid.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let len = self.valid.len();
        let field = Arc::clone(&self.elements.field);
        let (elements, valid) = (self.elements.finish()?, self.valid.finish());
        let array =
            FixedSizeListArray::try_new_with_length(field, self.size, elements, valid, len)?;
        Ok(Arc::new(array))
    }
}

/// Objects with any fields, whose names are the keys.
pub(super) struct MapColumn {
    entries: FieldRef,
    entry_fields: Fields,
    sorted: bool,
    keys: JsonTextColumn<i64>,
    values: Box<dyn JsonColumn>,
    values_nullable: bool,
    len: usize,
    ends: JsonOffsets<i32>,
    valid: NullBufferBuilder,
}

impl MapColumn {
    pub(super) fn new(entries: &FieldRef, sorted: bool, rules: &JsonRules) -> Result<Self, String> {
        let DataType::Struct(entry_fields) = entries.data_type() else {
            return Err("a map's entries must be structs of key and value".to_owned());
        };
        let [key, value] = &entry_fields[..] else {
            return Err("a map's entries must be structs of key and value".to_owned());
        };
        if !is_text(key) {
            return Err(format!(
                "a map's keys must be text in JSON, not {}",
                key.data_type()
            ));
        }
        Ok(Self {
            entries: Arc::clone(entries),
            entry_fields: entry_fields.clone(),
            sorted,
            keys: JsonTextColumn::new(key.data_type(), Scalars::Strict),
            values: column(value.data_type(), rules)?,
            values_nullable: value.is_nullable(),
            len: 0,
            ends: JsonOffsets::default(),
            valid: NullBufferBuilder::new(0),
        })
    }
}

fn is_text(field: &Field) -> bool {
    matches!(
        field.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

impl JsonColumn for MapColumn {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<Pushed, JsonError> {
        parser.object(|parser, key| {
            self.keys.push_text(key)?;
            push_value(self.values.as_mut(), self.values_nullable, parser)
                .map_err(|fault| fault.in_field(key))?;
            self.len += 1;
            Ok(())
        })?;
        self.ends.push(self.len)?;
        self.valid.append_non_null();
        Ok(Pushed::Value)
    }

    fn push_null(&mut self) {
        self.ends.repeat();
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.ends.truncate(len);
        self.keys.truncate(self.len);
        self.values.truncate(self.len);
        self.valid.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.len = 0;
        let columns = vec![self.keys.finish()?, self.values.finish()?];
        let entries = StructArray::try_new(self.entry_fields.clone(), columns, None)?;
        let field = Arc::clone(&self.entries);
        let array = MapArray::try_new(
            field,
            self.ends.finish(),
            entries,
            self.valid.finish(),
            self.sorted,
        )?;
        Ok(Arc::new(array))
    }
}
