//! Resolves names of relations, functions and types.
//!
//! Types are DataFusion's, with two differences. [`type_planner`] and [`planner_options`] provide them to others who
//! plan the same SQL.
//!
//! - Text is `Utf8` and not `Utf8View`, because every reader of Parquet and every kernel supports it.
//! - `TIMESTAMP` counts microseconds, whereas DataFusion counts nanoseconds. Nanoseconds end in the year 2262, so the
//!   `9999-12-31` that companies write for "open" would be an error, and Spark does not read Parquet with
//!   nanoseconds. `TIMESTAMP(9)` keeps nanoseconds where they are needed. `date_trunc`, `date_bin` and `to_timestamp`
//!   are our own, since DataFusion's count in nanoseconds internally.
//!
//! # Times and zones
//!
//! Timestamps without a zone are local times of the business. `date_trunc`, `date_bin`, `date_part` and `hop` take
//! them as a clock shows them. Timestamps with a zone are instants. (`TIMESTAMPTZ` has a zone. `… AT TIME ZONE
//! 'Asia/Seoul'` always gives a zoned time, and never removes the zone.) For instants,
//!
//! | expression | goes by |
//! |---|---|
//! | `date_trunc('day', t)`, `date_part('hour', t)`, `CAST(t AS DATE)` | the local clock, across changes of the clock too |
//! | `to_local_time(t)`, `CAST(t AS TIMESTAMP)` | the local clock; the ways to a zone-less local time |
//! | `date_bin(step, t)`, `hop(t, slide, size)` | UTC: a day in Seoul would begin at 09:00. Give them `to_local_time(t)` |
//! | `local AT TIME ZONE 'America/New_York'` | fails on local times that the clock skips or repeats |
//!
//! For the last two, `check::zones` warns and says what to write.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::datatype::DataTypeExt;
use datafusion_common::{Result, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion_sql::sqlparser::ast::{ColumnDef, DataType as SqlType, Ident, TimezoneInfo};
use tidewater_planner::columns_to_schema;

/// The zone of `TIMESTAMP WITH TIME ZONE`, and of every instant without another zone.
const SESSION_TIME_ZONE: &str = "UTC";

/// The planner's settings for jobs.
pub fn planner_options() -> ConfigOptions {
    let mut options = ConfigOptions::default();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some(SESSION_TIME_ZONE.to_owned());
    options.optimizer.filter_null_join_keys = true;
    options
}

/// Types where jobs differ from DataFusion: `TIMESTAMP` counts microseconds, and there is `MAP(TEXT, INT)`.
pub fn type_planner() -> Arc<dyn TypePlanner> {
    Arc::new(Types)
}

#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let data_type = match sql_type {
            SqlType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
            | SqlType::Datetime(None) => DataType::Timestamp(TimeUnit::Microsecond, None),
            SqlType::Timestamp(None, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(SESSION_TIME_ZONE.into()))
            }
            SqlType::CharacterVarying(_) | SqlType::Character(_) => DataType::Utf8,
            SqlType::Map(key, value) => map_type(key, value)?,
            _ => return Ok(None),
        };
        Ok(Some(data_type.into_nullable_field_ref()))
    }
}

fn map_type(key: &SqlType, value: &SqlType) -> Result<DataType> {
    let entries = [("key", key, false), ("value", value, true)];
    let entries = entries.map(|(name, sql_type, nullable)| {
        let column = ColumnDef {
            name: Ident::new(name),
            data_type: sql_type.clone(),
            options: Vec::new(),
        };
        let schema = columns_to_schema(&Catalog::new(), vec![column])?;
        Ok(schema.field(0).clone().with_nullable(nullable))
    });
    let entries = entries.into_iter().collect::<Result<Fields>>()?;
    let entries = Field::new("entries", DataType::Struct(entries), false);
    Ok(DataType::Map(Arc::new(entries), false))
}

/// A source or view as the planner sees it: a schema. It accepts no filters, so that one scan serves all its readers.
#[derive(Debug)]
pub(super) struct Relation {
    schema: SchemaRef,
    /// Whether names and types are as declared. They are not if an error about them was reported.
    exact: bool,
}

impl Relation {
    pub fn new(schema: SchemaRef) -> Arc<Self> {
        Arc::new(Self {
            schema,
            exact: true,
        })
    }
}

impl TableSource for Relation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// The relations declared so far, and all functions.
pub(super) struct Catalog {
    relations: BTreeMap<String, Arc<Relation>>,
    options: ConfigOptions,
}

impl Catalog {
    pub fn new() -> Self {
        Self {
            relations: BTreeMap::new(),
            options: planner_options(),
        }
    }

    /// Adds a relation.
    pub fn insert(&mut self, name: &str, schema: SchemaRef) {
        self.relations
            .insert(name.to_owned(), Relation::new(schema));
    }

    /// Adds a relation that has an error. Its readers are checked for unknown names only.
    pub fn insert_inexact(&mut self, name: &str, schema: SchemaRef) {
        let relation = Relation {
            schema,
            exact: false,
        };
        self.relations.insert(name.to_owned(), Arc::new(relation));
    }

    /// Whether nothing was reported about a relation.
    pub fn is_exact(&self, name: &str) -> bool {
        self.relations
            .get(name)
            .is_some_and(|relation| relation.exact)
    }

    /// The names of all relations.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.relations.keys().map(String::as_str)
    }

    /// A relation.
    pub fn relation(&self, name: &str) -> Option<Arc<Relation>> {
        self.relations.get(name).cloned()
    }

    /// The schema of a relation.
    pub fn schema(&self, name: &str) -> Option<SchemaRef> {
        self.relations.get(name).map(|relation| relation.schema())
    }
}

/// All functions of DataFusion and ours, by each of their names.
struct Library {
    scalar: BTreeMap<String, Arc<ScalarUDF>>,
    higher_order: BTreeMap<String, Arc<HigherOrderUDF>>,
    aggregate: BTreeMap<String, Arc<AggregateUDF>>,
    window: BTreeMap<String, Arc<WindowUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let mut scalar = datafusion_functions::all_default_functions();
    scalar.extend(datafusion_functions_nested::all_default_nested_functions());
    scalar.extend(super::functions());
    let higher_order = datafusion_functions_nested::all_default_higher_order_functions();
    let mut aggregate = datafusion_functions_aggregate::all_default_aggregate_functions();
    aggregate.extend(super::aggregate_functions());
    let window = datafusion_functions_window::all_default_window_functions();
    Library {
        scalar: by_name(scalar, |f| f.name(), |f| f.aliases()),
        higher_order: by_name(higher_order, |f| f.name(), |f| f.aliases()),
        aggregate: by_name(aggregate, |f| f.name(), |f| f.aliases()),
        window: by_name(window, |f| f.name(), |f| f.aliases()),
        planners: vec![
            Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
            Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
            Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
            Arc::new(super::functions::ExtractPlanner),
            Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
            Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
            Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
        ],
    }
});

fn by_name<F>(
    functions: Vec<Arc<F>>,
    name: impl Fn(&F) -> &str,
    aliases: impl Fn(&F) -> &[String],
) -> BTreeMap<String, Arc<F>> {
    let mut named = BTreeMap::new();
    for function in functions {
        for alias in aliases(&function) {
            named.insert(alias.clone(), Arc::clone(&function));
        }
        named.insert(name(&function).to_owned(), function);
    }
    named
}

/// The names of all functions that a job may call.
pub(super) fn function_names() -> impl Iterator<Item = &'static str> {
    let library = &*LIBRARY;
    let names = library.scalar.keys().chain(library.higher_order.keys());
    names
        .map(String::as_str)
        .chain(super::check::AGGREGATES)
        .chain(super::check::WINDOW)
}

impl ContextProvider for Catalog {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.relations.get(name.table()) {
            Some(relation) if name.schema().is_none() => {
                Ok(Arc::clone(relation) as Arc<dyn TableSource>)
            }
            _ => plan_err!("table '{name}' not found"),
        }
    }

    /// Recursion is planned like any query, and refused later, when its place is known.
    fn create_cte_work_table(&self, _: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(Relation::new(schema))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &LIBRARY.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(type_planner())
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        LIBRARY.scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        LIBRARY.higher_order.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        LIBRARY.aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        LIBRARY.window.get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        LIBRARY.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        LIBRARY.higher_order.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        LIBRARY.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        LIBRARY.window.keys().cloned().collect()
    }
}
