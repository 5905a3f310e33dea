//! The services, their operations, and how a Java client describes them.

use super::value::{Object, Value};

pub(super) const HEALTH: &str = "com.alibaba.rsocket.health.RSocketServiceHealth";
pub(super) const DISCOVERY: &str = "com.alibaba.rsocket.discovery.DiscoveryService";
pub(super) const NOTIFY: &str = "com.alibaba.rsocket.cloudevents.CloudEventsNotifyService";
pub(super) const INTROSPECTION: &str = "com.alibaba.rsocket.rpc.ReactiveServiceDiscovery";

pub(super) struct Interface {
    pub(super) name: &'static str,
    operations: &'static [Operation],
}

struct Operation {
    name: &'static str,
    /// What its `Mono` holds.
    returns: &'static str,
    /// Their names; all are strings.
    parameters: &'static [&'static str],
}

const fn operation(
    name: &'static str,
    returns: &'static str,
    parameters: &'static [&'static str],
) -> Operation {
    Operation {
        name,
        returns,
        parameters,
    }
}

const TEXT: &str = "java.lang.String";
const LIST: &str = "java.util.List";
const NOTHING: &str = "java.lang.Void";
const MONO: &str = "reactor.core.publisher.Mono";

pub(super) const ALL: &[Interface] = &[
    Interface {
        name: HEALTH,
        operations: &[operation("check", "java.lang.Integer", &["serviceName"])],
    },
    Interface {
        name: DISCOVERY,
        operations: &[
            operation("getInstances", LIST, &["serviceId"]),
            operation(
                "getInstance",
                "com.alibaba.rsocket.discovery.RSocketServiceInstance",
                &["appId"],
            ),
            operation("findAppInstances", LIST, &["orgId"]),
            operation("getAllServices", LIST, &[]),
        ],
    },
    Interface {
        name: NOTIFY,
        operations: &[
            operation("notify", NOTHING, &["appId", "cloudEventJson"]),
            operation("notifyAll", NOTHING, &["appName", "cloudEventJson"]),
        ],
    },
    Interface {
        name: INTROSPECTION,
        operations: &[operation(
            "findServiceByFullName",
            "com.alibaba.rsocket.rpc.definition.ReactiveServiceInterface",
            &["serviceFullName"],
        )],
    },
];

/// What one of the services offers, as the client library has it; nothing for any other name.
pub(super) fn describe(name: &str) -> Value {
    let Some(interface) = ALL.iter().find(|interface| interface.name == name) else {
        return Value::Null;
    };
    let (namespace, simple) = name.rsplit_once('.').unwrap_or_default();
    Value::Object(Object {
        class: "com.alibaba.rsocket.rpc.definition.ReactiveServiceInterface",
        fields: vec![
            ("namespace", namespace.into()),
            ("name", simple.into()),
            ("serviceName", name.into()),
            ("group", "".into()),
            ("version", "".into()),
            ("description", Value::Null),
            ("deprecated", Value::Bool(false)),
            (
                "operations",
                Value::List(interface.operations.iter().map(Operation::value).collect()),
            ),
        ],
    })
}

impl Operation {
    fn value(&self) -> Value {
        let parameter = |name: &&'static str| {
            Value::Object(Object {
                class: "com.alibaba.rsocket.rpc.definition.OperationParameter",
                fields: vec![
                    ("name", (*name).into()),
                    ("type", TEXT.into()),
                    ("inferredType", Value::Null),
                    ("description", Value::Null),
                    ("required", Value::Bool(false)),
                ],
            })
        };
        Value::Object(Object {
            class: "com.alibaba.rsocket.rpc.definition.ReactiveOperation",
            fields: vec![
                ("name", self.name.into()),
                ("description", Value::Null),
                ("deprecated", Value::Bool(false)),
                ("returnType", MONO.into()),
                ("returnInferredType", self.returns.into()),
                (
                    "parameters",
                    Value::List(self.parameters.iter().map(parameter).collect()),
                ),
            ],
        })
    }
}
