//! Plans, and declarations of sources and tables.

use std::os::unix::ffi::OsStrExt;

use datafusion_common::{DFSchema, JoinType, NullEquality, NullHandling};
use datafusion_expr::logical_plan::Distinct;
use datafusion_expr::{
    Aggregate, Join, LogicalPlan, Projection, Sort, TableScan, Unnest, Values, Window,
};
use parquet::basic::Compression;
use tidewater_connectors::file::rows_depend_on_projection;
use tidewater_connectors::format::options::is_stop;
use tidewater_connectors::sink::{Encoding, SortKey, TableSpec};
use tidewater_connectors::source::Format;

use super::{Canonical, CanonicalText};
use crate::job::Source;

impl Canonical for LogicalPlan {
    fn write_to(&self, text: &mut CanonicalText) {
        match self {
            Self::TableScan(scan) => scan.write_to(text),
            Self::SubqueryAlias(alias) => text.node("subquery", |text| {
                text.value(&alias.alias);
                text.value(&alias.input);
            }),
            Self::Projection(projection) => projection.write_to(text),
            Self::Filter(filter) => text.node("filter", |text| {
                text.value(&filter.predicate);
                text.value(&filter.input);
            }),
            Self::Aggregate(aggregate) => aggregate.write_to(text),
            Self::Distinct(Distinct::All(input)) => {
                text.node("distinct", |text| text.value(input));
            }
            Self::Union(union) => text.node("union", |text| {
                text.list(union.inputs.iter());
                text.value(&union.schema);
            }),
            Self::Join(join) => join.write_to(text),
            Self::Unnest(unnest) => unnest.write_to(text),
            Self::Window(window) => window.write_to(text),
            Self::Sort(sort) => sort.write_to(text),
            Self::EmptyRelation(empty) => text.node("empty", |text| {
                text.word(empty.produce_one_row);
                text.value(&empty.schema);
            }),
            Self::Values(values) => values.write_to(text),
            // Such plans are refused when a job is checked.
            other => text.node("other", |text| {
                text.string(&other.display_indent_schema().to_string());
            }),
        }
    }
}

impl Canonical for DFSchema {
    fn write_to(&self, text: &mut CanonicalText) {
        self.as_arrow().write_to(text);
    }
}

impl Canonical for TableScan {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("scan", |text| {
            text.value(&self.table_name);
            // Columns by name, because their positions depend on which columns other views read.
            text.value(&self.projected_schema);
            text.list(self.filters.iter());
            text.word(
                self.fetch
                    .map_or_else(|| "all".to_owned(), |rows| rows.to_string()),
            );
        });
    }
}

impl Canonical for Projection {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("project", |text| {
            text.list(self.expr.iter());
            text.value(&self.schema);
            text.value(&self.input);
        });
    }
}

impl Canonical for Aggregate {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("group", |text| {
            text.list(self.group_expr.iter());
            text.list(self.aggr_expr.iter());
            text.value(&self.schema);
            text.value(&self.input);
        });
    }
}

impl Canonical for Join {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("join", |text| {
            text.word(match self.join_type {
                JoinType::Inner => "inner",
                JoinType::Left => "left",
                JoinType::Right => "right",
                JoinType::Full => "full",
                JoinType::LeftSemi => "left_semi",
                JoinType::RightSemi => "right_semi",
                JoinType::LeftAnti => "left_anti",
                JoinType::RightAnti => "right_anti",
                JoinType::LeftMark => "left_mark",
                JoinType::RightMark => "right_mark",
            });
            text.word(match self.null_equality {
                NullEquality::NullEqualsNothing => "nulls_differ",
                NullEquality::NullEqualsNull => "nulls_equal",
            });
            text.word(self.on.len());
            for (left, right) in &self.on {
                text.value(left);
                text.value(right);
            }
            text.option(self.filter.as_ref());
            text.value(&self.schema);
            text.value(&self.left);
            text.value(&self.right);
        });
    }
}

impl Canonical for Unnest {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("unnest", |text| {
            text.list(self.exec_columns.iter());
            text.word(self.list_type_columns.len());
            for (column, list) in &self.list_type_columns {
                text.word(column);
                text.value(&list.output_column);
                text.word(list.depth);
            }
            text.numbers(&self.struct_type_columns);
            text.numbers(&self.dependency_indices);
            text.word(match self.options.null_handling {
                NullHandling::Drop => "drop",
                NullHandling::Preserve => "preserve",
                NullHandling::PreserveAndExpandEmpty => "preserve_and_expand_empty",
            });
            text.value(&self.schema);
            text.value(&self.input);
        });
    }
}

impl Canonical for Window {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("windows", |text| {
            text.list(self.window_expr.iter());
            text.value(&self.schema);
            text.value(&self.input);
        });
    }
}

impl Canonical for Sort {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("order", |text| {
            text.list(self.expr.iter());
            text.word(
                self.fetch
                    .map_or_else(|| "all".to_owned(), |rows| rows.to_string()),
            );
            text.value(&self.input);
        });
    }
}

impl Canonical for Values {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("values", |text| {
            text.value(&self.schema);
            text.word(self.values.len());
            for row in &self.values {
                text.list(row.iter());
            }
        });
    }
}

impl Canonical for Source {
    /// The declaration without the path in its location, since files may move.
    fn write_to(&self, text: &mut CanonicalText) {
        self.write_with_rules(&self.input.row_rules(), text);
    }
}

impl Source {
    /// The text of earlier versions, which omitted the rules of sources whose rows have offsets.
    pub(crate) fn without_rules_of_streams(&self) -> CanonicalText {
        let mut text = CanonicalText::default();
        let rules = self.input.row_rules();
        let rules = rules.into_iter().filter(|_| !self.input.has_offsets());
        self.write_with_rules(&rules.collect::<Vec<_>>(), &mut text);
        text
    }

    fn write_with_rules(&self, rules: &[String], text: &mut CanonicalText) {
        text.node("source", |text| {
            text.word(match self.spec.format {
                Format::Csv => "csv",
                Format::JsonLines => "json_lines",
                Format::Parquet => "parquet",
                Format::Text => "text",
            });
            // Messages and files have different place columns, and so their keys have different states.
            let scheme = self.spec.location.split_once("://");
            text.string(scheme.map_or("file", |(scheme, _)| scheme));
            text.value(&self.spec.schema);
            // Adding or removing a view must not rebuild views that read other columns.
            if rows_depend_on_projection(&self.spec) {
                text.numbers(&self.spec.projection);
            } else {
                text.word("any");
            }
            // Options that only stop a run change no rows.
            let options = self.spec.options.iter();
            let options = options.filter(|(option, _)| !is_stop(option));
            let options: Vec<_> = options.collect();
            text.word(options.len());
            for (option, value) in options {
                text.string(option);
                text.string(value);
            }
            text.numbers(&self.primary_key);
            if !rules.is_empty() {
                text.node("rules", |text| {
                    for rule in rules {
                        text.string(rule);
                    }
                });
            }
            if let Some(column) = self.latest_by {
                text.word("latest_by");
                text.word(column);
            }
            if self.primary_key.is_empty() && self.input.changes().is_some() {
                text.word("changes");
            }
        });
    }
}

impl Canonical for TableSpec {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("files", |text| {
            text.string(&self.name);
            text.bytes(self.path.as_os_str().as_bytes());
            text.value(&self.schema);
            text.numbers(&self.partition_by);
            text.list(self.order_by.iter());
            text.value(&self.encoding);
        });
    }
}

impl Canonical for SortKey {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("key", |text| {
            text.word(self.column);
            text.word(self.descending);
            text.word(self.nulls_first);
        });
    }
}

impl Canonical for Encoding {
    fn write_to(&self, text: &mut CanonicalText) {
        match self {
            Self::Parquet {
                compression,
                row_group_rows,
            } => text.node("parquet", |text| {
                write_compression(*compression, text);
                text.word(row_group_rows);
            }),
            Self::Csv {
                delimiter,
                null_text,
            } => text.node("csv", |text| {
                text.word(delimiter);
                text.string(null_text);
            }),
            Self::JsonLines => text.node("json_lines", |_| {}),
        }
    }
}

fn write_compression(compression: Compression, text: &mut CanonicalText) {
    let (name, level) = match compression {
        Compression::UNCOMPRESSED => ("none", 0),
        Compression::SNAPPY => ("snappy", 0),
        Compression::GZIP(level) => ("gzip", i64::from(level.compression_level())),
        Compression::LZO => ("lzo", 0),
        Compression::BROTLI(level) => ("brotli", i64::from(level.compression_level())),
        Compression::LZ4 => ("lz4", 0),
        Compression::ZSTD(level) => ("zstd", i64::from(level.compression_level())),
        Compression::LZ4_RAW => ("lz4_raw", 0),
    };
    text.word(name);
    text.word(level);
}
