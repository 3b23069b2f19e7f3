//! Columns of values that hold others: structs, lists and maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{
    ArrayRef, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, StructArray,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;

use super::column::{Column, Ends, Rules, TextColumn, column, push_value};
use super::fault::Fault;
use super::parser::Parser;

/// Fields of an object up to which comparing their names in turn beats a map.
const LINEAR_FIELDS: usize = 16;

/// The columns of an object's fields, the row's own object among them.
pub(super) struct ObjectColumns {
    fields: Vec<ObjectField>,
    /// Of objects with many fields.
    by_name: Option<BTreeMap<String, usize>>,
    refuse_unknown: bool,
    refuse_missing: bool,
}

struct ObjectField {
    name: String,
    nullable: bool,
    /// `None` if nobody reads the field.
    column: Option<Box<dyn Column>>,
    /// The present object has it.
    seen: bool,
}

impl ObjectColumns {
    /// Decodes those of `fields` that `wanted` says.
    pub(super) fn new(
        fields: &Fields,
        wanted: impl Fn(usize) -> bool,
        rules: &Rules,
    ) -> Result<Self, String> {
        let object_field = |(index, field): (usize, &FieldRef)| {
            let column = if wanted(index) {
                let in_field = |reason| format!("{}: {reason}", field.name());
                Some(column(field.data_type(), rules).map_err(in_field)?)
            } else {
                None
            };
            Ok(ObjectField {
                name: field.name().clone(),
                nullable: field.is_nullable(),
                column,
                seen: false,
            })
        };
        let by_name = (fields.len() > LINEAR_FIELDS).then(|| {
            let names = fields.iter().enumerate().rev();
            names
                .map(|(index, field)| (field.name().clone(), index))
                .collect()
        });
        Ok(Self {
            fields: fields
                .iter()
                .enumerate()
                .map(object_field)
                .collect::<Result<_, String>>()?,
            by_name,
            refuse_unknown: rules.refuse_unknown,
            refuse_missing: rules.refuse_missing,
        })
    }

    /// Takes an object: a value more in every column.
    pub(super) fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault> {
        for field in &mut self.fields {
            field.seen = false;
        }
        parser.object(|parser, name| {
            let value = match self.find(name) {
                Some(index) => self.fields[index].push(parser),
                None if self.refuse_unknown => Err(Fault::value(
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

    /// Takes the value of the only field, without the object that would hold it.
    pub(super) fn push_bare(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault> {
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

    fn push_null(&mut self) {
        for column in self.columns() {
            column.push_null();
        }
    }

    /// Forgets all but the first `len` objects.
    pub(super) fn truncate(&mut self, len: usize) {
        for column in self.columns() {
            column.truncate(len);
        }
    }

    /// The decoded columns, in the order of their fields.
    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.columns().map(|column| column.finish()).collect()
    }

    fn columns(&mut self) -> impl Iterator<Item = &mut Box<dyn Column>> {
        self.fields
            .iter_mut()
            .filter_map(|field| field.column.as_mut())
    }

    fn find(&self, name: &str) -> Option<usize> {
        match &self.by_name {
            Some(by_name) => by_name.get(name).copied(),
            None => self.fields.iter().position(|field| field.name == name),
        }
    }
}

impl ObjectField {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault> {
        if std::mem::replace(&mut self.seen, true) {
            return Err(Fault::value("the object has this field twice"));
        }
        match &mut self.column {
            Some(column) => push_value(column.as_mut(), self.nullable, parser),
            None => parser.skip(),
        }
    }

    fn push_missing(&mut self, refuse: bool) -> Result<(), Fault> {
        match &mut self.column {
            Some(_) if refuse => Err(Fault::value(
                "is missing: write null, or set missing_columns to 'null'",
            )),
            Some(_) if !self.nullable => Err(Fault::value("is missing, but declared NOT NULL")),
            Some(column) => {
                column.push_null();
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Objects.
pub(super) struct StructColumn {
    fields: Fields,
    children: ObjectColumns,
    valid: NullBufferBuilder,
}

impl StructColumn {
    pub(super) fn new(fields: &Fields, rules: &Rules) -> Result<Self, String> {
        Ok(Self {
            fields: fields.clone(),
            children: ObjectColumns::new(fields, |_| true, rules)?,
            valid: NullBufferBuilder::new(0),
        })
    }
}

impl Column for StructColumn {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault> {
        self.children.push(parser)?;
        self.valid.append_non_null();
        Ok(())
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

/// The elements of lists, end to end.
struct Elements {
    field: FieldRef,
    column: Box<dyn Column>,
    len: usize,
}

impl Elements {
    fn new(field: &FieldRef, rules: &Rules) -> Result<Self, String> {
        Ok(Self {
            field: Arc::clone(field),
            column: column(field.data_type(), rules)?,
            len: 0,
        })
    }

    /// Takes a list; how many elements it has.
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<usize, Fault> {
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
    elements: Elements,
    ends: Ends<O>,
    valid: NullBufferBuilder,
}

impl<O: OffsetSizeTrait> ListColumn<O> {
    pub(super) fn new(field: &FieldRef, rules: &Rules) -> Result<Self, String> {
        Ok(Self {
            elements: Elements::new(field, rules)?,
            ends: Ends::default(),
            valid: NullBufferBuilder::new(0),
        })
    }
}

impl<O: OffsetSizeTrait> Column for ListColumn<O> {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault> {
        self.elements.push(parser)?;
        self.ends.push(self.elements.len)?;
        self.valid.append_non_null();
        Ok(())
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
    elements: Elements,
    size: i32,
    width: usize,
    valid: NullBufferBuilder,
}

impl FixedSizeListColumn {
    pub(super) fn new(field: &FieldRef, size: i32, rules: &Rules) -> Result<Self, String> {
        Ok(Self {
            elements: Elements::new(field, rules)?,
            size,
            width: usize::try_from(size)
                .map_err(|_| format!("a list cannot have {size} elements"))?,
            valid: NullBufferBuilder::new(0),
        })
    }
}

impl Column for FixedSizeListColumn {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault> {
        let found = self.elements.push(parser)?;
        if found != self.width {
            return Err(Fault::value(format!(
                "expected a list of {} elements, found {found}",
                self.width
            )));
        }
        self.valid.append_non_null();
        Ok(())
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

/// Objects of any fields: their names are the keys.
pub(super) struct MapColumn {
    entries: FieldRef,
    entry_fields: Fields,
    sorted: bool,
    keys: TextColumn<i64>,
    values: Box<dyn Column>,
    values_nullable: bool,
    len: usize,
    ends: Ends<i32>,
    valid: NullBufferBuilder,
}

impl MapColumn {
    pub(super) fn new(entries: &FieldRef, sorted: bool, rules: &Rules) -> Result<Self, String> {
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
            keys: TextColumn::new(key.data_type()),
            values: column(value.data_type(), rules)?,
            values_nullable: value.is_nullable(),
            len: 0,
            ends: Ends::default(),
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

impl Column for MapColumn {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault> {
        parser.object(|parser, key| {
            self.keys.push_text(key)?;
            push_value(self.values.as_mut(), self.values_nullable, parser)
                .map_err(|fault| fault.in_field(key))?;
            self.len += 1;
            Ok(())
        })?;
        self.ends.push(self.len)?;
        self.valid.append_non_null();
        Ok(())
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
