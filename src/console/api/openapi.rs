//! The description of the API, OpenAPI 3.1, made of the calls themselves: what is not a route is not described, and the other way round.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::ROOT;
use super::operation::{Method, Operation};

/// Why a call failed: RFC 9457.
#[derive(JsonSchema)]
#[schemars(rename = "Problem")]
#[expect(dead_code, reason = "its fields are only described here; failure.rs writes them")]
struct Described {
    /// The status in words.
    title: String,
    /// The status of HTTP.
    status: u16,
    /// What went wrong and what to do.
    detail: String,
}

/// The whole document.
pub(super) fn document(operations: &[Operation]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Described>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let method = if operation.method == Method::Get { "get" } else { "post" };
        paths
            .entry(operation.path)
            .or_default()
            .insert(method.to_owned(), described(operation, &mut schemas, &problem.clone().into()));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tributary",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the console shows and does. Every call names the command that shows or does the same; what that prints as JSON may be laid out in another way.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": ROOT }],
        "security": [{}, { "bearer": [] }, { "basic": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "The setting console.token." },
                "basic": { "type": "http", "scheme": "basic", "description": "Any user; the token as password." },
            },
        },
    })
}

fn described(operation: &Operation, schemas: &mut SchemaGenerator, problem: &Value) -> Value {
    let input: Value = (operation.input)(schemas).into();
    let answer: Value = (operation.answer)(schemas).into();
    let mut parameters = names(operation.path);
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": format!("On the command line: `{}`", operation.command),
        "responses": {
            "200": { "description": "What was asked for.", "content": { "application/json": { "schema": answer } } },
        },
    });
    for (status, words) in FAILURES {
        described["responses"][status] =
            json!({ "description": words, "content": { "application/problem+json": { "schema": problem } } });
    }
    match operation.method {
        Method::Get => parameters.extend(words(&input, schemas)),
        Method::Post => described["requestBody"] = json!({ "content": { "application/json": { "schema": input } } }),
    }
    described["parameters"] = Value::Array(parameters);
    described
}

/// What any call may end with.
const FAILURES: [(&str, &str); 11] = [
    ("400", "What was sent cannot be meant."),
    ("401", "The token is missing or wrong."),
    ("403", "Not allowed: from another site, read-only, or beyond loopback without a token."),
    ("404", "There is nothing of that name."),
    ("405", "Not asked like that."),
    ("409", "Not as things are."),
    ("413", "More than 64 KiB."),
    ("415", "The body is not said to be JSON."),
    ("429", "Too often."),
    ("503", "A store does not answer."),
    ("504", "It took too long."),
];

/// The names in a path.
fn names(path: &str) -> Vec<Value> {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    let parameter = |name| {
        let schema = if name == "run" { json!({ "type": "integer", "format": "int64" }) } else { json!({ "type": "string" }) };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    };
    names.map(parameter).collect()
}

/// The words of a query, from the type that reads them.
fn words(input: &Value, schemas: &SchemaGenerator) -> Vec<Value> {
    let name = input.get("$ref").and_then(Value::as_str).and_then(|pointer| pointer.rsplit('/').next());
    let schema = name.and_then(|name| schemas.definitions().get(name)).unwrap_or(input);
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let parameter = |(name, schema): (&String, &Value)| json!({ "name": name, "in": "query", "required": required(name), "description": schema["description"], "schema": schema });
    properties.map(parameter).collect()
}
