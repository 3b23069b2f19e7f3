//! Expressions.

use datafusion_common::{Column, TableReference};
use datafusion_expr::expr::{
    AggregateFunction, Between, Case, InList, Like, NullTreatment, Sort, WindowFunction,
};
use datafusion_expr::{Expr, WindowFrame, WindowFrameBound, WindowFrameUnits};

use super::{Canonical, CanonicalText};

impl Canonical for Expr {
    fn write_to(&self, text: &mut CanonicalText) {
        match self {
            Self::Alias(alias) => text.node("alias", |text| {
                text.value(&alias.expr);
                text.option(alias.relation.as_ref());
                text.string(&alias.name);
            }),
            Self::Column(column) => column.write_to(text),
            Self::Literal(value, _) => value.write_to(text),
            Self::BinaryExpr(binary) => text.node("binary", |text| {
                text.string(&binary.op.to_string());
                text.value(&binary.left);
                text.value(&binary.right);
            }),
            Self::Like(like) => write_like("like", like, text),
            Self::SimilarTo(like) => write_like("similar", like, text),
            Self::Not(of) => unary("not", of, text),
            Self::IsNotNull(of) => unary("is_not_null", of, text),
            Self::IsNull(of) => unary("is_null", of, text),
            Self::IsTrue(of) => unary("is_true", of, text),
            Self::IsFalse(of) => unary("is_false", of, text),
            Self::IsUnknown(of) => unary("is_unknown", of, text),
            Self::IsNotTrue(of) => unary("is_not_true", of, text),
            Self::IsNotFalse(of) => unary("is_not_false", of, text),
            Self::IsNotUnknown(of) => unary("is_not_unknown", of, text),
            Self::Negative(of) => unary("negative", of, text),
            Self::Between(between) => between.write_to(text),
            Self::Case(case) => case.write_to(text),
            Self::Cast(cast) => text.node("cast", |text| {
                text.value(&cast.expr);
                text.value(cast.field.data_type());
            }),
            Self::TryCast(cast) => text.node("try_cast", |text| {
                text.value(&cast.expr);
                text.value(cast.field.data_type());
            }),
            Self::ScalarFunction(call) => text.node("call", |text| {
                text.string(call.name());
                text.list(call.args.iter());
            }),
            Self::AggregateFunction(call) => call.write_to(text),
            Self::WindowFunction(call) => call.write_to(text),
            Self::InList(list) => list.write_to(text),
            Self::Unnest(unnest) => text.node("unnest", |text| {
                text.value(&unnest.expr);
                text.word(unnest.outer);
            }),
            // Such expressions are refused when a job is checked.
            other => text.node("other", |text| text.string(&other.to_string())),
        }
    }
}

fn unary(name: &str, of: &Expr, text: &mut CanonicalText) {
    text.node(name, |text| text.value(of));
}

fn write_like(name: &str, like: &Like, text: &mut CanonicalText) {
    text.node(name, |text| {
        text.word(like.negated);
        text.word(like.case_insensitive);
        text.value(&like.expr);
        text.value(&like.pattern);
        match like.escape_char {
            Some(escape) => text.string(&escape.to_string()),
            None => text.word("none"),
        }
    });
}

impl Canonical for Column {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("column", |text| {
            text.option(self.relation.as_ref());
            text.string(&self.name);
        });
    }
}

impl Canonical for TableReference {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("table", |text| {
            let folders = [self.catalog(), self.schema()].into_iter().flatten();
            folders.for_each(|folder| text.string(folder));
            text.string(self.table());
        });
    }
}

impl Canonical for Between {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("between", |text| {
            text.word(self.negated);
            [&self.expr, &self.low, &self.high]
                .into_iter()
                .for_each(|bound| text.value(bound));
        });
    }
}

impl Canonical for Case {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("case", |text| {
            text.option(self.expr.as_ref());
            for (when, then) in &self.when_then_expr {
                text.node("when", |text| {
                    text.value(when);
                    text.value(then);
                });
            }
            text.option(self.else_expr.as_ref());
        });
    }
}

impl Canonical for InList {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("in", |text| {
            text.word(self.negated);
            text.value(&self.expr);
            text.list(self.list.iter());
        });
    }
}

impl Canonical for Sort {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("sort", |text| {
            text.value(&self.expr);
            text.word(if self.asc { "ascending" } else { "descending" });
            text.word(if self.nulls_first {
                "nulls_first"
            } else {
                "nulls_last"
            });
        });
    }
}

fn nulls(treatment: Option<NullTreatment>) -> &'static str {
    match treatment {
        None => "none",
        Some(NullTreatment::IgnoreNulls) => "ignore_nulls",
        Some(NullTreatment::RespectNulls) => "respect_nulls",
    }
}

impl Canonical for AggregateFunction {
    fn write_to(&self, text: &mut CanonicalText) {
        let params = &self.params;
        text.node("aggregate", |text| {
            text.string(self.func.name());
            text.list(params.args.iter());
            text.word(if params.distinct { "distinct" } else { "all" });
            text.option(params.filter.as_ref());
            text.list(params.order_by.iter());
            text.word(nulls(params.null_treatment));
        });
    }
}

impl Canonical for WindowFunction {
    fn write_to(&self, text: &mut CanonicalText) {
        let params = &self.params;
        text.node("window", |text| {
            text.string(self.fun.name());
            text.list(params.args.iter());
            text.list(params.partition_by.iter());
            text.list(params.order_by.iter());
            text.value(&params.window_frame);
            text.option(params.filter.as_ref());
            text.word(nulls(params.null_treatment));
            text.word(if params.distinct { "distinct" } else { "all" });
        });
    }
}

impl Canonical for WindowFrame {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("frame", |text| {
            text.word(match self.units {
                WindowFrameUnits::Rows => "rows",
                WindowFrameUnits::Range => "range",
                WindowFrameUnits::Groups => "groups",
            });
            text.value(&self.start_bound);
            text.value(&self.end_bound);
        });
    }
}

impl Canonical for WindowFrameBound {
    fn write_to(&self, text: &mut CanonicalText) {
        match self {
            Self::Preceding(rows) => text.node("preceding", |text| text.value(rows)),
            Self::CurrentRow => text.node("current_row", |_| {}),
            Self::Following(rows) => text.node("following", |text| text.value(rows)),
        }
    }
}
