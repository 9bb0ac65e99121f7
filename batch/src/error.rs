//! Why something over tables could not be done: whether a person must change it, or trying again may help.

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// See the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A model, a statement or a declaration is wrong. Says where.
    #[error("{0}")]
    Refused(String),
    /// A store failed, or memory or disk ran out; may pass.
    #[error("{0}")]
    Failed(String),
}

/// Of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The same with `context: ` before it.
    #[must_use]
    pub fn of(self, context: &str) -> Self {
        match self {
            Self::Refused(text) => Self::Refused(format!("{context}: {text}")),
            Self::Failed(text) => Self::Failed(format!("{context}: {text}")),
        }
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        let text = text(&error);
        if refused(&error) { Self::Refused(text) } else { Self::Failed(text) }
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

/// The innermost message, without the names of the layers it came through.
fn text(error: &DataFusionError) -> String {
    let root = error.find_root();
    let whole = root.strip_backtrace();
    let short = match root {
        DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) | DataFusionError::Execution(text) => text.as_str(),
        DataFusionError::ArrowError(inner, _) => return inner.to_string(),
        DataFusionError::ResourcesExhausted(text) => {
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            return format!(
                "out of memory or disk: {} (batch.memory and batch.spill_dir say how much there is)",
                lines.join(" ")
            );
        }
        _ => whole.as_str(),
    };
    short.lines().next().unwrap_or_default().trim().to_owned()
}

/// What goes wrong again each time it is tried.
fn refused(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ArrowError(inner, _) => matches!(
            **inner,
            ArrowError::DivideByZero | ArrowError::ArithmeticOverflow(_) | ArrowError::CastError(_) | ArrowError::ComputeError(_)
        ),
        DataFusionError::Plan(_)
        | DataFusionError::SQL(..)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::Diagnostic(..) => true,
        _ => false,
    }
}
