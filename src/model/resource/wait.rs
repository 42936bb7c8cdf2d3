//! Waiting until something answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Call, Diff, Op, Question};
use crate::model::edit::Edit;
use crate::model::facts::ServiceFact;
use crate::model::probe::Probe;

/// Nothing to make: wait until something answers. As a check, the question is asked the same way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// What must hold.
    pub until: Until,
    /// A few words for it, shown as the reason: `the Network service answers`.
    pub says: String,
    /// Units that bring it about: when one of them has failed, the wait is over at once, with its
    /// last log lines.
    #[serde(default)]
    pub units: Vec<String>,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// A TCP port accepts a connection.
    Port {
        /// Address, as `from` sees it.
        address: String,
        /// Port.
        port: u16,
        /// Where the connection is made from.
        #[serde(default)]
        from: From,
    },
    /// A plain HTTP request is answered. References (`@floating_ip:proof#...`) are replaced.
    Http {
        /// The whole URL.
        url: String,
        /// Statuses that count.
        #[serde(default = "any_success")]
        status: Vec<u16>,
        /// What the body must hold; references are replaced.
        #[serde(default)]
        holds: String,
        /// Where the request is made from.
        #[serde(default)]
        from: From,
    },
    /// A shell script on the step's host ends with status 0; its last line says why, or why not.
    Script(String),
    /// A request to an OpenStack service is answered as wanted.
    Call(Box<Call>),
}

/// Where a connection is made from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The step's host, through its SSH connection.
    #[default]
    Host,
    /// The machine that runs `provision`.
    Operator,
}

fn any_success() -> Vec<u16> {
    vec![200, 201, 202, 203, 204, 300, 301, 302, 307, 308]
}

impl Wait {
    pub(super) fn question(&self) -> Question<'_> {
        match &self.until {
            Until::Script(script) => Question::Host(vec![Probe::Script(script.clone())]),
            Until::Call(call) => Question::Call(call),
            until => Question::Until(until),
        }
    }

    pub(super) fn diff(&self, answer: Answer<'_>) -> Diff {
        let why_not = match (&self.until, answer) {
            (Until::Script(script), Answer::Host(facts)) => match facts.script(script) {
                Some(fact) if fact.status == 0 => None,
                Some(fact) => Some(fact.last_line().to_owned()),
                None => return Diff::later("the host has not been asked"),
            },
            (_, Answer::Service(fact)) => match fact {
                ServiceFact::Answer { found: Some(_), .. } => None,
                ServiceFact::Answer { said, .. } => Some(said.clone().unwrap_or_default()),
                ServiceFact::Unknown(why) | ServiceFact::Refused(why) => Some(why.clone()),
            },
            (_, Answer::Host(_) | Answer::Hosts { .. }) => {
                return Diff::later("the service has not been asked");
            }
        };
        match why_not {
            None => Diff::in_sync(&self.says),
            Some(why) => Diff::change(
                vec![Edit::attribute(&self.says, Some(why), None::<String>)],
                vec![Op::Poll],
            ),
        }
    }
}
