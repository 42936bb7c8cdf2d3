//! OpenStack's APIs, spoken over HTTP through the controller's SSH connection.
//!
//! One administrator's token serves a whole run. Replies to `GET` are remembered until something is
//! written, so that fifty questions to one collection cost one request. This module sends and
//! looks things up; what a reply means is said by the resource kinds in `model`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::http::{self, HttpClient, HttpError, Method};
use super::transport::{Secret, Session};
use crate::model::facts::ServiceFact;
use crate::model::refs;
use crate::model::resource::{Api, Call, Collections, Image, Request};

/// `playbooks/apis.toml`: where services are and how their collections are spoken to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apis {
    /// Services by their type in the catalog.
    pub service: BTreeMap<String, Place>,
    /// Collections by name.
    pub collection: Collections,
}

/// Where a service listens on the controller.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// TCP port.
    pub port: u16,
    /// What stands before every path, as `/identity`.
    #[serde(default)]
    pub root: String,
}

/// Who we are.
#[derive(Debug, Clone)]
pub struct Administrator {
    /// The user, of the default domain.
    pub user: String,
    /// The project, of the default domain.
    pub project: String,
    /// The password.
    pub password: Secret,
}

/// A client for all services of one cloud. Clones share the token and what is remembered.
#[derive(Debug, Clone)]
pub struct OpenStack {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    address: String,
    apis: Apis,
    administrator: Administrator,
    clients: Mutex<BTreeMap<u16, HttpClient>>,
    token: tokio::sync::Mutex<Option<String>>,
    remembered: Mutex<HashMap<String, Arc<OnceCell<Reply>>>>,
}

/// A reply, whatever its status.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The JSON body; null when there is none.
    pub body: Value,
}

/// Why there is no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenStackError {
    /// Nothing answers there.
    #[error("{service} does not answer")]
    Http {
        /// The service's type.
        service: String,
        /// What happened.
        #[source]
        source: HttpError,
    },
    /// We do not know where the service is.
    #[error("no service of type `{0}` is in playbooks/apis.toml")]
    Unplaced(String),
    /// The Identity service gave us no token.
    #[error("no token for `{user}`: the Identity service answered with status {status}: {said}")]
    NoToken {
        /// Who asked.
        user: String,
        /// HTTP status.
        status: u16,
        /// The service's words.
        said: String,
    },
}

impl Reply {
    /// Whether the status is in 200..300.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The service's own words about what went wrong: the shapes differ between services.
    pub fn said(&self) -> String {
        let paths = [
            "error.message",
            "NeutronError.message",
            "badRequest.message",
            "forbidden.message",
            "conflictingRequest.message",
            "itemNotFound.message",
            "computeFault.message",
            "message",
            "title",
        ];
        let found = paths
            .iter()
            .find_map(|path| refs::at(&self.body, path)?.as_str());
        found.map_or_else(|| self.body.to_string(), str::to_owned)
    }
}

impl OpenStack {
    /// Nothing is asked yet. `address` is the controller's, as its own host sees it.
    pub fn new(
        session: Session,
        address: String,
        apis: Apis,
        administrator: Administrator,
    ) -> Self {
        let inner = Inner {
            session,
            address,
            apis,
            administrator,
            clients: Mutex::default(),
            token: tokio::sync::Mutex::default(),
            remembered: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Forgets what was remembered of earlier replies.
    pub fn forget(&self) {
        lock(&self.inner.remembered).clear();
    }

    /// Sends one request, with a token unless it is anonymous; a token that has run out is renewed.
    ///
    /// # Errors
    /// No reply, or no token.
    pub async fn send(&self, request: &Request) -> Result<Reply, OpenStackError> {
        if request.method != "GET" && !request.anonymous {
            self.forget();
            let reply = self.send_now(request).await;
            self.forget();
            return reply;
        }
        if request.method != "GET" || !request.headers.is_empty() {
            return self.send_now(request).await;
        }
        let key = format!("{} {} {}", request.service, request.path, request.anonymous);
        let cell = Arc::clone(lock(&self.inner.remembered).entry(key).or_default());
        let reply = cell.get_or_try_init(|| self.send_now(request)).await?;
        Ok(reply.clone())
    }

    async fn send_now(&self, request: &Request) -> Result<Reply, OpenStackError> {
        if request.anonymous {
            return self.raw(request, None).await;
        }
        let token = self.token(None).await?;
        let reply = self.raw(request, Some(&token)).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        let token = self.token(Some(&token)).await?;
        self.raw(request, Some(&token)).await
    }

    /// The token; a new one when there is none yet or it is still `stale`.
    async fn token(&self, stale: Option<&str>) -> Result<String, OpenStackError> {
        let mut kept = self.inner.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| Some(token.as_str()) != stale) {
            return Ok(token.clone());
        }
        let who = &self.inner.administrator;
        let mut request = Request::new(
            "identity",
            "POST",
            "/v3/auth/tokens".into(),
            Some(json!({
                "auth": {
                    "identity": { "methods": ["password"], "password": { "user": {
                        "name": who.user, "domain": { "id": "default" }, "password": who.password.reveal(),
                    }}},
                    "scope": { "project": { "name": who.project, "domain": { "id": "default" } } },
                }
            })),
        );
        request.anonymous = true;
        let (reply, headers) = self.exchange(&request, None).await?;
        let token = headers
            .into_iter()
            .find(|(name, _)| name == "x-subject-token");
        match token {
            Some((_, token)) if reply.status == 201 => Ok(kept.insert(token).clone()),
            _ => Err(OpenStackError::NoToken {
                user: who.user.clone(),
                status: reply.status,
                said: reply.said(),
            }),
        }
    }

    async fn raw(&self, request: &Request, token: Option<&str>) -> Result<Reply, OpenStackError> {
        self.exchange(request, token).await.map(|(reply, _)| reply)
    }

    async fn exchange(
        &self,
        request: &Request,
        token: Option<&str>,
    ) -> Result<(Reply, Vec<(String, String)>), OpenStackError> {
        let (client, root) = self.client(&request.service)?;
        let method = request.method.parse().unwrap_or(Method::GET);
        let mut out = http::Request::new(method, format!("{root}{}", request.path))
            .header("Accept", "application/json")
            .deadline(Duration::from_secs(90));
        for (name, value) in &request.headers {
            out = out.header(name, value);
        }
        if let Some(token) = token {
            out = out.header("X-Auth-Token", token);
        }
        if let Some(body) = &request.body {
            out = out.json(body);
        }
        self.finish(&request.service, client, out).await
    }

    async fn finish(
        &self,
        service: &str,
        client: HttpClient,
        request: http::Request,
    ) -> Result<(Reply, Vec<(String, String)>), OpenStackError> {
        let response = client
            .request(request)
            .await
            .map_err(|source| OpenStackError::Http {
                service: service.to_owned(),
                source,
            })?;
        let body = serde_json::from_slice(&response.body).unwrap_or_else(|_| {
            Value::String(
                String::from_utf8_lossy(&response.body)
                    .chars()
                    .take(2000)
                    .collect(),
            )
        });
        Ok((
            Reply {
                status: response.status,
                body,
            },
            response.headers,
        ))
    }

    fn client(&self, service: &str) -> Result<(HttpClient, String), OpenStackError> {
        let place = self.inner.apis.service.get(service);
        let place = place.ok_or_else(|| OpenStackError::Unplaced(service.to_owned()))?;
        let mut clients = lock(&self.inner.clients);
        let client = clients.entry(place.port).or_insert_with(|| {
            HttpClient::new(
                self.inner.session.clone(),
                self.inner.address.clone(),
                place.port,
            )
        });
        Ok((client.clone(), place.root.clone()))
    }

    /// The value of a reference, if what it refers to is there.
    ///
    /// # Errors
    /// No reply from its service, or an answer that is none.
    pub async fn value_of(&self, reference: &str) -> Result<Option<String>, String> {
        let parsed = refs::parse(reference).ok_or(format!("`{reference}` is no reference"))?;
        let collection = self.inner.apis.collection.get(parsed.collection);
        let collection =
            collection.ok_or(format!("there is no collection `{}`", parsed.collection))?;
        let key = BTreeMap::new();
        let reply = self.send(&collection.list(parsed.name, &key)).await;
        let reply = reply.map_err(|error| with_causes(&error))?;
        if !reply.is_success() {
            return Err(format!("status {}: {}", reply.status, reply.said()));
        }
        let attribute = if parsed.attribute.is_empty() {
            &collection.id
        } else {
            parsed.attribute
        };
        let found = collection.pick(&reply.body, parsed.name, &key);
        Ok(found
            .and_then(|object| refs::at(object, attribute))
            .map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }))
    }

    /// The values of references; the name of the first that is not there otherwise.
    ///
    /// # Errors
    /// In words: which reference has no value, and why.
    pub async fn values_of(
        &self,
        references: &[String],
    ) -> Result<BTreeMap<String, String>, String> {
        let mut values = BTreeMap::new();
        for reference in references {
            match self.value_of(reference).await {
                Ok(Some(value)) => values.insert(reference.clone(), value),
                Ok(None) => return Err(format!("there is no {}", &reference[1..])),
                Err(why) => return Err(why),
            };
        }
        Ok(values)
    }

    /// Looks an object up.
    pub async fn ask_api(&self, api: &Api) -> ServiceFact {
        let values = match self.values_of(&api.refs()).await {
            Ok(values) => values,
            Err(why) => return ServiceFact::Unknown(why),
        };
        let wanted = api.resolved(&values);
        self.answer(values, &wanted.list(), |reply| {
            wanted
                .via
                .pick(&reply.body, &wanted.name, &wanted.key)
                .cloned()
        })
        .await
    }

    /// Looks an image up.
    pub async fn ask_image(&self, image: &Image) -> ServiceFact {
        let request = Request::new("image", "GET", image.path(), None);
        self.answer(BTreeMap::new(), &request, |reply| {
            reply.body.get("images")?.as_array()?.first().cloned()
        })
        .await
    }

    async fn answer(
        &self,
        refs: BTreeMap<String, String>,
        request: &Request,
        find: impl FnOnce(&Reply) -> Option<Value>,
    ) -> ServiceFact {
        match self.send(request).await {
            Ok(reply) if reply.is_success() => ServiceFact::Answer {
                refs,
                found: find(&reply),
                said: None,
            },
            Ok(reply) if reply.status >= 500 => ServiceFact::Unknown(format!(
                "{} answers with status {}: {}",
                request.service,
                reply.status,
                reply.said()
            )),
            Ok(reply) => ServiceFact::Refused(format!(
                "{} refuses {} with status {}: {}",
                request.service,
                request.path,
                reply.status,
                reply.said()
            )),
            Err(error) => ServiceFact::Unknown(with_causes(&error)),
        }
    }

    /// Makes a call's question and looks at the reply.
    pub async fn ask_call(&self, call: &Call) -> ServiceFact {
        let values = match self.values_of(&call.refs()).await {
            Ok(values) => values,
            Err(why) => return ServiceFact::Unknown(why),
        };
        match self.send(&call.ask.resolved(&values)).await {
            Err(error) => ServiceFact::Unknown(with_causes(&error)),
            Ok(reply) => {
                let said = call.lacks(reply.status, &reply.body, &values);
                let found = said.is_none().then_some(Value::Bool(true));
                ServiceFact::Answer {
                    refs: values,
                    found,
                    said,
                }
            }
        }
    }

    /// Makes an image and sends its data, in a stream.
    ///
    /// # Errors
    /// In words: what the service said.
    pub async fn upload(&self, image: &Image, id: Option<&str>) -> Result<(), String> {
        let id = match id {
            Some(id) => id.to_owned(),
            None => self.create_image(image).await?,
        };
        let token = self
            .token(None)
            .await
            .map_err(|error| with_causes(&error))?;
        let (client, root) = self.client("image").map_err(|error| error.to_string())?;
        let mut request = http::Request::new(Method::PUT, format!("{root}/v2/images/{id}/file"))
            .header("Content-Type", "application/octet-stream")
            .header("X-Auth-Token", token)
            .deadline(Duration::from_secs(3600));
        request.body = http::Body::File(image.file.clone().into());
        let sent = self.finish("image", client, request).await;
        self.forget();
        match sent {
            Ok((reply, _)) if reply.is_success() => Ok(()),
            Ok((reply, _)) => Err(format!("status {}: {}", reply.status, reply.said())),
            Err(error) => Err(with_causes(&error)),
        }
    }

    async fn create_image(&self, image: &Image) -> Result<String, String> {
        let mut body = json!({
            "name": image.name,
            "disk_format": image.disk_format,
            "container_format": image.container_format,
            "visibility": image.visibility,
        });
        if let Value::Object(map) = &mut body {
            map.extend(image.properties.clone());
            if !image.sha256.is_empty() {
                map.insert("provision_sha256".into(), image.sha256.clone().into());
            }
        }
        let request = Request::new("image", "POST", "/v2/images".into(), Some(body));
        let reply = self
            .send(&request)
            .await
            .map_err(|error| with_causes(&error))?;
        let id = reply
            .body
            .get("id")
            .and_then(Value::as_str)
            .filter(|_| reply.is_success());
        id.map(str::to_owned)
            .ok_or_else(|| format!("status {}: {}", reply.status, reply.said()))
    }
}

/// An error and all its causes in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += ": ";
        text += &cause.to_string();
        next = cause.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
