//! Functions that make much of little, kept small.
//!
//! The engine's memory is counted where rows are kept, not where a function makes a value: `repeat('x', 2000000000)` would take two
//! gigabytes before anybody counts, in the process that also takes records in. Lists out of numbers are refused; as tables
//! (`FROM generate_series(1, 10)`) they are made row by row and stay.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use datafusion::prelude::SessionContext;

/// As many characters, or repetitions, a function may be asked for.
const MOST: i64 = 10_000;
/// A number in their arguments says how long a list they make.
const LISTS: [&str; 4] = ["range", "generate_series", "array_repeat", "array_resize"];
/// Their second argument says how long a text they make.
const TEXTS: [&str; 3] = ["repeat", "lpad", "rpad"];

/// Keeps a session's functions small.
pub(super) fn bound(session: &SessionContext) {
    for name in LISTS {
        session.deregister_udf(name);
    }
    for name in TEXTS {
        let known = session.state().udf(name);
        if let Ok(inner) = known {
            session.register_udf(ScalarUDF::from(Bounded { inner }));
        }
    }
}

/// A function whose second argument has a bound.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let largest = match args.args.get(1) {
            Some(ColumnarValue::Scalar(ScalarValue::Int64(number))) => *number,
            Some(ColumnarValue::Array(numbers)) => {
                let numbers = numbers.as_primitive_opt::<Int64Type>();
                numbers.and_then(|numbers| numbers.iter().flatten().max())
            }
            _ => None,
        };
        if largest.is_some_and(|largest| largest > MOST) {
            return plan_err!("{}(…, {}) is too long: at most {MOST}", self.name(), largest.unwrap_or_default());
        }
        self.inner.invoke_with_args(args)
    }
}
