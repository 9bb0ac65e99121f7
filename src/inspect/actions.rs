//! What people did, as a line says it.

use serde_json::Value;

use crate::words;

/// `task=silver force=true`, at most so many letters.
pub(crate) fn with(params: &Value, most: usize) -> String {
    let fields = params.as_object().into_iter().flatten();
    let said = fields.map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    match said.collect::<Vec<_>>().join(" ") {
        nothing if nothing.is_empty() => words::NOTHING.into(),
        some => words::first_line(&some, most),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_short() {
        assert_eq!(with(&json!({}), 40), "-");
        assert_eq!(with(&json!({"task": "silver", "days": ["2026-11-24"]}), 40), r#"days=["2026-11-24"] task=silver"#);
        assert!(with(&json!({"reason": ["x".repeat(50)]}), 40).ends_with('…'));
    }
}
