//! Everything a run can reach, and how a question gets there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::amqp::{self, BrokerAccount, BrokerLogin};
use super::http::{HttpClient, Method, Request};
use super::openstack::{OpenStack, with_causes};
use super::transport::{Command, RunError, Secret, Session};
use crate::model::facts::{Facts, Incomplete, ServiceFact};
use crate::model::probe::{Probe, ProbeSet};
use crate::model::quote::word;
use crate::model::refs;
use crate::model::resource::{Answer, BrokerUser, Diff, From, Question, Resource, Until};

/// How long a host may take to answer all its probes.
const PROBES: Duration = Duration::from_secs(180);
/// How long a network question may take.
const NETWORK: Duration = Duration::from_secs(15);

/// The hosts, the services, and this machine.
#[derive(Debug, Clone)]
pub struct World {
    /// A session for each host that is there.
    pub sessions: BTreeMap<String, Session>,
    /// This machine, for what is asked from outside the cloud.
    pub operator: Session,
    /// The services, as soon as there is a controller.
    pub openstack: Option<OpenStack>,
}

/// An answer that owns what it holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// Facts of a host.
    Host(Facts),
    /// Facts of the step's host and of another one.
    Hosts {
        /// The step's host.
        here: Facts,
        /// The other one.
        there: Facts,
    },
    /// What a service said.
    Service(ServiceFact),
}

/// Why a host gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    /// The script did not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The script did not run to its end.
    #[error("{host}: {source}")]
    Incomplete {
        /// The host.
        host: String,
        /// What came back.
        source: Incomplete,
    },
    /// There is no session to it.
    #[error("{0}: there is no connection")]
    NoSession(String),
}

impl Known {
    /// The same, borrowed.
    pub fn as_answer(&self) -> Answer<'_> {
        match self {
            Self::Host(facts) => Answer::Host(facts),
            Self::Hosts { here, there } => Answer::Hosts { here, there },
            Self::Service(fact) => Answer::Service(fact),
        }
    }
}

impl World {
    /// The session to a host.
    ///
    /// # Errors
    /// There is none.
    pub fn session(&self, host: &str) -> Result<&Session, AskError> {
        self.sessions
            .get(host)
            .ok_or_else(|| AskError::NoSession(host.to_owned()))
    }

    /// Asks a resource's question and compares: what would change now?
    ///
    /// # Errors
    /// The host gave no answer; a service that gives none is [`Diff::Later`].
    pub async fn verdict(&self, host: &str, resource: &Resource) -> Result<Diff, AskError> {
        let known = self.ask(host, &resource.question()).await?;
        Ok(resource.diff(known.as_answer()))
    }

    /// Asks one question.
    ///
    /// # Errors
    /// The host gave no answer.
    pub async fn ask(&self, host: &str, question: &Question<'_>) -> Result<Known, AskError> {
        let known = match question {
            Question::Host(probes) => return self.probe(host, probes).await.map(Known::Host),
            Question::Hosts { here, other, there } => {
                let both = tokio::join!(self.probe(host, here), self.probe(other, there));
                return Ok(Known::Hosts {
                    here: both.0?,
                    there: both.1?,
                });
            }
            Question::Broker(user) => self.ask_broker(host, user).await?,
            Question::Until(until) => self.ask_until(host, until).await?,
            Question::Api(api) => self.with(|os| async move { os.ask_api(api).await }).await,
            Question::Call(call) => self.with(|os| async move { os.ask_call(call).await }).await,
            Question::Image(image) => {
                self.with(|os| async move { os.ask_image(image).await })
                    .await
            }
        };
        Ok(Known::Service(known))
    }

    /// Asks a host all of `probes` in one round trip.
    ///
    /// # Errors
    /// The host gave no answer, or not all of it.
    pub async fn probe(&self, host: &str, probes: &[Probe]) -> Result<Facts, AskError> {
        let mut set = ProbeSet::new();
        set.extend(probes.iter().cloned());
        let command = Command::new(set.script()).deadline(PROBES).capture_all();
        let output = self.session(host)?.run(command).await?;
        Facts::parse(&output.text()).map_err(|source| AskError::Incomplete {
            host: host.to_owned(),
            source,
        })
    }

    async fn with<F>(&self, ask: impl FnOnce(OpenStack) -> F) -> ServiceFact
    where
        F: Future<Output = ServiceFact>,
    {
        match &self.openstack {
            Some(openstack) => ask(openstack.clone()).await,
            None => ServiceFact::Unknown("the controller is not there".into()),
        }
    }

    async fn ask_broker(&self, host: &str, user: &BrokerUser) -> Result<ServiceFact, AskError> {
        let account = BrokerAccount {
            user: user.user.clone(),
            password: Secret::new(&user.password),
            vhost: user.vhost.clone(),
        };
        let session = self.session(host)?;
        let login = amqp::try_login(session, &user.address, user.port, &account, NETWORK).await;
        Ok(match login {
            BrokerLogin::Accepted => answer(None),
            BrokerLogin::Refused(why) => answer(Some(why)),
            BrokerLogin::NoBroker(why) => ServiceFact::Unknown(why),
        })
    }

    async fn ask_until(&self, host: &str, until: &Until) -> Result<ServiceFact, AskError> {
        Ok(match until {
            Until::Port {
                address,
                port,
                from,
            } => {
                let session = self.from(host, *from)?;
                let tunnel = tokio::time::timeout(NETWORK, session.tunnel(address, *port)).await;
                answer(match tunnel {
                    Ok(Ok(_)) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("{address}:{port} does not answer")),
                })
            }
            Until::Http {
                url,
                status,
                holds,
                from,
            } => {
                let references = [refs::find(url), refs::find(holds)].concat();
                let values = match &self.openstack {
                    Some(openstack) if !references.is_empty() => {
                        openstack.forget();
                        match openstack.values_of(&references).await {
                            Ok(values) => values,
                            Err(why) => return Ok(ServiceFact::Unknown(why)),
                        }
                    }
                    _ => BTreeMap::new(),
                };
                let (url, holds) = (refs::replace(url, &values), refs::replace(holds, &values));
                answer(
                    get(self.from(host, *from)?, &url, status, &holds)
                        .await
                        .err(),
                )
            }
            Until::Script(_) | Until::Call(_) => {
                ServiceFact::Unknown("this question goes elsewhere".into())
            }
        })
    }

    fn from(&self, host: &str, from: From) -> Result<&Session, AskError> {
        match from {
            From::Host => self.session(host),
            From::Operator => Ok(&self.operator),
        }
    }

    /// The last log lines of those of `units` that have failed; empty when none has.
    ///
    /// # Errors
    /// The host gave no answer.
    pub async fn failed_units(
        &self,
        host: &str,
        units: &[String],
    ) -> Result<Vec<String>, AskError> {
        let script = units.iter().fold(String::new(), |script, unit| {
            let unit = word(unit);
            script
                + &format!(
                    "if systemctl is-failed --quiet {unit}; then echo {unit} has failed; \
                     journalctl --no-pager -q -o cat -n 15 -u {unit}; fi\n"
                )
        });
        if script.is_empty() {
            return Ok(Vec::new());
        }
        let output = self.session(host)?.run(Command::new(script)).await?;
        Ok(output.text().lines().map(str::to_owned).collect())
    }
}

/// In sync, or why not.
fn answer(why_not: Option<String>) -> ServiceFact {
    let found = why_not.is_none().then_some(Value::Bool(true));
    ServiceFact::Answer {
        refs: BTreeMap::new(),
        found,
        said: why_not,
    }
}

/// One plain HTTP request, as wanted or why not.
async fn get(session: &Session, url: &str, status: &[u16], holds: &str) -> Result<(), String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or(format!("`{url}` is no http:// address"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (address, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let port = port
        .parse()
        .map_err(|_| format!("`{url}` has no valid port"))?;
    let request = Request::new(Method::GET, format!("/{path}")).deadline(NETWORK);
    let client = HttpClient::new(session.clone(), address, port);
    let response = client
        .request(request)
        .await
        .map_err(|error| with_causes(&error))?;
    if !status.contains(&response.status) {
        return Err(format!("{url} answers with status {}", response.status));
    }
    let body = String::from_utf8_lossy(&response.body);
    if !body.contains(holds) {
        let start: String = body.chars().take(200).collect();
        return Err(format!("{url} answers without `{holds}`: {start}"));
    }
    Ok(())
}
