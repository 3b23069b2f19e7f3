//! The physical plan: a job's views as trees of operators with compiled expressions.
//!
//! [`lower()`] translates `DataFusion`'s logical plans into [`Node`]s once, before any worker starts. Each worker then renders
//! the same nodes into its dataflow. Columns are positions here, because names are resolved in planning.

mod aggregate;
pub mod assemble;
pub mod canonical;
pub mod delivery_column;
mod evaluate;
mod expression;
mod guard;
mod guarded;
mod hours;
mod join;
mod limit;
mod lower;
mod node;
pub mod primary_key;
pub mod retain;
pub mod row_checks;
mod row_error;
mod unnest;
mod window;

pub use self::expression::nullable;
pub use self::guarded::{guarded, keeps_guards};
pub use self::lower::lower;
pub use self::node::{Map, Node, PlanError, PlannedView};
pub use self::row_error::message;
