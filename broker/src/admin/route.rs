//! The routes of the admin face as one table: what serves a request, which role it takes, and what the document says
//! of it are read from the same line, so that none can be true without the others.

use std::{fmt, sync::Arc};

use axum::{Router, http::Method, middleware, routing::MethodRouter};
use serde_json::{Value, json};

use super::{faces::Room, guard::check_role, operators::Role};

/// One operation.
pub(super) struct Route {
    pub(super) method: Method,
    /// As axum and OpenAPI write it: `/api/v1/plugins/{name}/load`.
    pub(super) path: String,
    pub(super) role: Role,
    pub(super) summary: &'static str,
    /// Query parameters: name, schema, description.
    pub(super) query: Vec<(&'static str, Value, &'static str)>,
    /// The schema of the body, if there may be one, and whether there must.
    pub(super) body: Option<(Value, bool)>,
    /// What is said when it worked.
    pub(super) answer: Answered,
    /// Other refusals than those that any route may answer with.
    pub(super) refusals: Vec<(u16, &'static str)>,
    handler: MethodRouter<Arc<Room>>,
}

#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) media_type: &'static str,
    pub(super) schema: Value,
}

impl Route {
    pub(super) fn new(
        method: Method,
        path: impl Into<String>,
        role: Role,
        summary: &'static str,
        handler: MethodRouter<Arc<Room>>,
    ) -> Self {
        Self {
            method,
            path: path.into(),
            role,
            summary,
            query: Vec::new(),
            body: None,
            answer: Answered {
                status: 200,
                media_type: "application/json",
                schema: json!({ "type": "object" }),
            },
            refusals: Vec::new(),
            handler,
        }
    }

    pub(super) fn query(mut self, name: &'static str, schema: Value, about: &'static str) -> Self {
        self.query.push((name, schema, about));
        self
    }

    pub(super) fn body(mut self, schema: Value, required: bool) -> Self {
        self.body = Some((schema, required));
        self
    }

    pub(super) fn answers(mut self, schema: Value) -> Self {
        self.answer.schema = schema;
        self
    }

    pub(super) fn with(mut self, status: u16, media_type: &'static str) -> Self {
        self.answer.status = status;
        self.answer.media_type = media_type;
        self
    }

    pub(super) fn refuses(mut self, status: u16, why: &'static str) -> Self {
        self.refusals.push((status, why));
        self
    }
}

/// The table without what serves it.
pub(super) struct Routes(Vec<Route>);

impl Routes {
    pub(super) fn new(routes: Vec<Route>) -> Self {
        Self(routes)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    pub(super) fn router(&self) -> Router<Arc<Room>> {
        self.0.iter().fold(Router::new(), |router, route| {
            let role = route.role;
            let check = move |request, next| check_role(role, request, next);
            let handler = route.handler.clone();
            router.route(&route.path, handler.layer(middleware::from_fn(check)))
        })
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|route| (&route.method, &route.path));
        f.debug_list().entries(names).finish()
    }
}
