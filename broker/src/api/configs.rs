//! `DescribeConfigs`, `AlterConfigs`, `IncrementalAlterConfigs`: settings of topics; the broker's own can be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as ReplaceAnswer;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as EditAnswer;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::{Caller, text};
use crate::config::{Kind, TOPIC_SETTINGS};
use crate::node::{NODE_ID, Node};
use crate::topics::{Refusal, Topic};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const OF_TOPIC: i8 = 1;
const OF_BROKER: i8 = 4;
const DEFAULT: i8 = 5;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// A topic's settings with their values and sources.
pub(crate) fn in_force(topic: &Topic) -> impl Iterator<Item = (&'static str, String, i8)> {
    TOPIC_SETTINGS.iter().filter_map(|(name, _)| {
        let source = if topic.config.overrides.contains_key(*name) { OF_TOPIC } else { DEFAULT };
        Some((*name, topic.config.get(name)?, source))
    })
}

/// The broker's settings, under the names that Kafka gives them.
fn of_broker(node: &Node) -> Vec<(&'static str, String, i8)> {
    let c = &node.config;
    let unlimited = |n: Option<i64>| n.unwrap_or(-1).to_string();
    vec![
        ("auto.create.topics.enable", c.auto_create_topics.to_string(), OF_BROKER),
        ("broker.id", NODE_ID.to_string(), OF_BROKER),
        ("log.dirs", c.dir.display().to_string(), OF_BROKER),
        ("log.retention.bytes", unlimited(c.retention_bytes.map(|n| n as i64)), OF_BROKER),
        ("log.retention.ms", unlimited(c.retention_ms), OF_BROKER),
        ("log.segment.bytes", c.segment_bytes.to_string(), OF_BROKER),
        ("message.max.bytes", c.max_message_bytes.to_string(), OF_BROKER),
        ("num.partitions", c.default_partitions.to_string(), OF_BROKER),
    ]
}

pub(crate) async fn describe(node: &Arc<Node>, caller: &Caller, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let one = |asked: DescribeConfigsResource| {
        let (kind, name) = (asked.resource_type, asked.resource_name.clone());
        let answer = DescribeConfigsResult::default().with_resource_type(kind).with_resource_name(name.clone());
        let found = match kind {
            TOPIC => node.topics.get(&name).map(|t| in_force(&t).collect::<Vec<_>>()),
            BROKER if name.is_empty() || name.parse() == Ok(NODE_ID) => Some(of_broker(node)),
            _ => None,
        };
        let Some(found) = found else {
            let e = if kind == TOPIC { ResponseError::UnknownTopicOrPartition } else { ResponseError::InvalidRequest };
            return answer.with_error_code(e.code()).with_error_message(Some(text(format!("no settings of {}", name.as_str()))));
        };
        let wanted = |key: &str| {
            let keys = asked.configuration_keys.as_ref().filter(|k| !k.is_empty());
            keys.is_none_or(|keys| keys.iter().any(|k| k.as_str() == key))
        };
        let one = |(key, value, source): (&'static str, String, i8)| {
            let synonym =
                DescribeConfigsSynonym::default().with_name(text(key)).with_value(Some(text(value.clone()))).with_source(source);
            let setting = DescribeConfigsResourceResult::default()
                .with_name(text(key))
                .with_value(Some(text(value)))
                .with_read_only(kind == BROKER)
                .with_config_source(source)
                .with_synonyms(if request.include_synonyms { vec![synonym] } else { Vec::new() });
            if caller.version >= 3 { setting.with_config_type(type_of(key)).with_documentation(None) } else { setting }
        };
        answer.with_error_message(None).with_configs(found.into_iter().filter(|(k, _, _)| wanted(k)).map(one).collect())
    };
    DescribeConfigsResponse::default().with_results(request.resources.into_iter().map(one).collect())
}

fn type_of(key: &str) -> i8 {
    TOPIC_SETTINGS.iter().find(|(name, _)| *name == key).map_or(Kind::Text, |(_, kind)| *kind) as i8
}

async fn change(
    node: &Arc<Node>,
    kind: i8,
    name: &str,
    dry: bool,
    edit: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), Refusal> + Send + 'static,
) -> Result<(), Refusal> {
    if kind != TOPIC {
        return Err((ResponseError::InvalidRequest, "only settings of topics can be changed here".into()));
    }
    let (worker, name) = (node.clone(), name.to_owned());
    let changed = Node::blocking(move || worker.topics.configure(&name, dry, edit)).await;
    changed.unwrap_or_else(|| Err((ResponseError::UnknownServerError, "the work on disk did not return".into())))
}

/// The older way: what is listed is all that is set.
pub(crate) async fn replace(node: &Arc<Node>, _: &Caller, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for r in request.resources {
        let configs = r.configs;
        let edit = move |settings: &mut BTreeMap<String, String>| {
            settings.clear();
            settings.extend(configs.into_iter().filter_map(|c| Some((c.name.to_string(), c.value?.to_string()))));
            Ok(())
        };
        let result = change(node, r.resource_type, &r.resource_name, request.validate_only, edit).await;
        let answer = ReplaceAnswer::default().with_resource_type(r.resource_type).with_resource_name(r.resource_name);
        responses.push(match result {
            Ok(()) => answer.with_error_message(None),
            Err((e, why)) => answer.with_error_code(e.code()).with_error_message(Some(text(why))),
        });
    }
    AlterConfigsResponse::default().with_responses(responses)
}

/// The newer way: each setting is set or taken back by itself.
pub(crate) async fn edit(
    node: &Arc<Node>,
    _: &Caller,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for r in request.resources {
        let configs = r.configs;
        let edit = move |settings: &mut BTreeMap<String, String>| {
            for c in configs {
                match (c.config_operation, c.value) {
                    (SET, Some(value)) => {
                        settings.insert(c.name.to_string(), value.to_string());
                    }
                    (DELETE, _) => {
                        settings.remove(c.name.as_str());
                    }
                    _ => {
                        let why = format!("{} can be set and taken back, nothing else", c.name.as_str());
                        return Err((ResponseError::InvalidConfig, why));
                    }
                }
            }
            Ok(())
        };
        let result = change(node, r.resource_type, &r.resource_name, request.validate_only, edit).await;
        let answer = EditAnswer::default().with_resource_type(r.resource_type).with_resource_name(r.resource_name);
        responses.push(match result {
            Ok(()) => answer.with_error_message(None),
            Err((e, why)) => answer.with_error_code(e.code()).with_error_message(Some(text(why))),
        });
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}
