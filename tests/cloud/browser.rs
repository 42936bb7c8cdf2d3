//! A real browser, driven over WebDriver: headless Chromium, with an empty profile that goes away again.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::request;
use crate::program::eventually;

/// Nothing but what the test asks for may use the network, and there is no user to sandbox from.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1400,1000",
];

/// Where WebDriver puts the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window.
pub(crate) struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) fn open() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .unwrap()
            .port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs chromedriver: apt-get install chromium chromium-driver");
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            _profile: profile,
        };
        eventually("chromedriver answers", Duration::from_secs(30), || {
            let reply = request(&browser.address, "GET", "/status", &[], None).ok()?;
            (reply.status == 200).then_some(())
        });
        let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
        flags.push(format!(
            "--user-data-dir={}",
            browser._profile.path().join("profile").display()
        ));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "pageLoad": 60_000 },
            "goog:chromeOptions": { "args": flags },
        } } });
        let answer = browser.ask("POST", "/session", Some(&wanted));
        answer["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut browser.session);
        browser
    }

    /// Opens an address and waits until the page is loaded.
    pub(crate) fn go(&self, url: &str) {
        self.here("POST", "/url", Some(&json!({ "url": url })));
    }

    /// What the user sees in the title bar.
    pub(crate) fn title(&self) -> String {
        let title = self.here("GET", "/title", None);
        title.as_str().unwrap().to_owned()
    }

    /// Where it is now.
    pub(crate) fn url(&self) -> String {
        let url = self.here("GET", "/url", None);
        url.as_str().unwrap().to_owned()
    }

    /// The result of a script in the page.
    pub(crate) fn script(&self, script: &str) -> Value {
        let wanted = json!({ "script": script, "args": [] });
        self.here("POST", "/execute/sync", Some(&wanted))
    }

    /// The text that the page shows.
    pub(crate) fn text(&self) -> String {
        let text = self.script("return document.body.innerText");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Types into the field of a selector.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let field = self.find(selector);
        self.here("POST", &format!("/element/{field}/clear"), Some(&json!({})));
        let typed = json!({ "text": text });
        self.here("POST", &format!("/element/{field}/value"), Some(&typed));
    }

    /// Clicks on what a selector finds.
    pub(crate) fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.here(
            "POST",
            &format!("/element/{element}/click"),
            Some(&json!({})),
        );
    }

    /// Keeps what the window shows as a picture.
    pub(crate) fn screenshot(&self, file: &Path) {
        let picture = self.here("GET", "/screenshot", None);
        let picture = data_encoding::BASE64
            .decode(picture.as_str().unwrap().as_bytes())
            .unwrap();
        std::fs::write(file, picture).unwrap();
        println!("    screenshot: {}", file.display());
    }

    fn find(&self, selector: &str) -> String {
        let by = json!({ "using": "css selector", "value": selector });
        let path = format!("/session/{}/element", self.session);
        eventually(selector, Duration::from_secs(30), || {
            let reply = request(&self.address, "POST", &path, &[], Some(&by)).unwrap();
            reply.body["value"][ELEMENT].as_str().map(str::to_owned)
        })
    }

    fn here(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let reply = request(&self.address, method, path, &[], body).unwrap();
        assert_eq!(reply.status, 200, "{method} {path}: {:#}", reply.body);
        reply.body["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            // The driver ends anyway, and takes the browser with it.
            let _ = request(&self.address, "DELETE", &path, &[], None);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
