//! A cloud's Identity service, asked the way any client would.

use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::http::{Reply, request};

/// The administrator of a cloud, logged in.
pub(crate) struct Administrator {
    controller: String,
    token: String,
}

impl Administrator {
    pub(crate) fn of(cloud: &Cloud) -> Self {
        let controller = cloud.controller();
        let password = cloud.secret("admin_password");
        let domain = json!({ "id": "default" });
        let wanted = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": {
                "name": "admin", "domain": domain, "password": password } } },
            "scope": { "project": { "name": "admin", "domain": domain } },
        } });
        let address = format!("{controller}:5000");
        let reply = request(&address, "POST", "/v3/auth/tokens", &[], Some(&wanted)).unwrap();
        let token = reply.header("x-subject-token");
        let token = token
            .unwrap_or_else(|| panic!("no token: {:#}", reply.body))
            .to_owned();
        Self { controller, token }
    }

    /// A request to the service at this port.
    pub(crate) fn ask(&self, port: u16, method: &str, path: &str) -> Reply {
        let address = format!("{}:{port}", self.controller);
        let headers = [("X-Auth-Token", self.token.as_str())];
        request(&address, method, path, &headers, None).unwrap()
    }

    /// The id of the one object that a list of the Identity service holds.
    #[track_caller]
    pub(crate) fn only(&self, path: &str, list: &str) -> String {
        let reply = self.ask(5000, "GET", path);
        let found: &[Value] = reply.body[list].as_array().map_or(&[], Vec::as_slice);
        assert_eq!(found.len(), 1, "{path}: {:#}", reply.body);
        found[0]["id"].as_str().unwrap().to_owned()
    }

    /// The names of all instances of all projects.
    pub(crate) fn instances(&self) -> Vec<String> {
        let reply = self.ask(8774, "GET", "/v2.1/servers?all_tenants=true");
        let servers = reply.body["servers"].as_array().unwrap().iter();
        let name = |server: &Value| server["name"].as_str().unwrap().to_owned();
        servers.map(name).collect()
    }
}
