//! The database kind against a real MariaDB server of our own: no network, a temporary directory.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use provision::model::facts::Facts;
use provision::model::probe::ProbeSet;
use provision::model::resource::{Answer, Diff, Op, Question, Resource};

struct Server {
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Server {
    fn start() -> Self {
        let mut server = Self {
            folder: tempfile::tempdir().unwrap(),
            process: None,
        };
        // Debian's own settings name a socket; those of the home directory are read last.
        let client = format!("[client-server]\nsocket={}\n", server.path("socket"));
        std::fs::write(server.folder.path().join(".my.cnf"), client).unwrap();
        server.make_data();
        server.run();
        server
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn me(&self) -> String {
        let output = self.sh("id -un", b"");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn make_data(&self) {
        let output = Command::new("mariadb-install-db")
            .arg("--no-defaults")
            .arg(format!("--datadir={}", self.path("data")))
            // At its start a server removes what others have in a common one.
            .arg(format!("--tmpdir={}", self.folder.path().display()))
            .arg(format!("--user={}", self.me()))
            .arg("--auth-root-authentication-method=socket")
            .arg(format!("--auth-root-socket-user={}", self.me()))
            // The names of this machine need not resolve for it.
            .args(["--skip-test-db", "--force"])
            .output()
            .expect("this test needs MariaDB: apt-get install mariadb-server");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn run(&mut self) {
        // On Debian it is in a directory that only root has in its search path.
        let daemon = ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "mariadbd"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap_or("mariadbd");
        let log = std::fs::File::create(self.path("log")).unwrap();
        let process = Command::new(daemon)
            .arg("--no-defaults")
            .arg(format!("--datadir={}", self.path("data")))
            .arg(format!("--tmpdir={}", self.folder.path().display()))
            .arg(format!("--socket={}", self.path("socket")))
            .arg(format!("--pid-file={}", self.path("pid")))
            .arg(format!("--user={}", self.me()))
            .args(["--skip-networking", "--innodb-buffer-pool-size=16M"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("this test needs MariaDB: apt-get install mariadb-server");
        self.process = Some(process);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self
            .sh("mariadb --user=root -e 'DO 0'", b"")
            .status
            .success()
        {
            let log = std::fs::read_to_string(self.path("log")).unwrap();
            assert!(Instant::now() < deadline, "{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn sh(&self, script: &str, stdin: &[u8]) -> Output {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin).ok();
        child.wait_with_output().unwrap()
    }

    fn sql(&self, sql: &str) -> String {
        let output = self.sh("mariadb --user=root -N -B", sql.as_bytes());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the answer to the question says, and that it gives no hash or password away.
    fn diff(&self, resource: &Resource) -> Diff {
        let Question::Host(probes) = resource.question() else {
            panic!("not a question to a host")
        };
        let mut set = ProbeSet::new();
        set.extend(probes);
        let output = String::from_utf8(self.sh(&set.script(), b"").stdout).unwrap();
        assert!(!output.contains("IDENTIFIED"), "{output}");
        resource.diff(Answer::Host(&Facts::parse(&output).unwrap()))
    }

    /// Applies; returns what was edited.
    fn converge(&self, resource: &Resource) -> Vec<String> {
        let Diff::Change(change) = self.diff(resource) else {
            panic!("nothing to do: {:?}", self.diff(resource));
        };
        for op in &change.ops {
            let Op::Run { script, stdin } = op else {
                panic!("no script: {op:?}");
            };
            let output = self.sh(script, stdin);
            assert!(
                output.status.success(),
                "{output:?}\n{}",
                String::from_utf8_lossy(stdin)
            );
        }
        let after = self.diff(resource);
        assert!(matches!(after, Diff::InSync(_)), "{after:#?}");
        change.edits.into_iter().map(|edit| edit.what).collect()
    }

    fn may_log_in(&self, user: &str, password: &str) -> bool {
        let settings = format!(
            "[client]\nsocket={}\nuser=\"{user}\"\npassword=\"{}\"\n",
            self.path("socket"),
            password.replace('\\', "\\\\")
        );
        std::fs::write(self.path("user.cnf"), settings).unwrap();
        let file = self.path("user.cnf");
        self.sh(&format!("mariadb --defaults-file={file} -e 'DO 0'"), b"")
            .status
            .success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn database(fields: serde_json::Value) -> Resource {
    serde_json::from_value(serde_json::json!({ "database": fields })).unwrap()
}

const PASSWORD: &str = r"it's; DROP \ `--%_";

#[test]
fn databases_users_and_privileges_converge_on_a_real_server() {
    let mut server = Server::start();
    let nova = database(serde_json::json!({
        "names": ["nova", "nova_api", "odd `name'\\"], "user": "no'va", "password": PASSWORD,
    }));
    let edits = server.converge(&nova);
    assert_eq!(
        edits.len(),
        3 + 2 + 6,
        "databases, accounts, privileges: {edits:?}"
    );
    assert!(server.may_log_in("no'va", PASSWORD));
    assert!(!server.may_log_in("no'va", "another"));

    // Another password, as after a lost secrets file.
    server.sql("SET PASSWORD FOR \"no'va\"@'%' = PASSWORD('older');");
    assert_eq!(server.converge(&nova), ["password of no'va@%"]);

    // A database that was dropped takes its privileges not along; those are dropped apart.
    server.sql("DROP DATABASE nova_api; REVOKE ALL PRIVILEGES ON `nova`.* FROM \"no'va\"@'%';");
    assert_eq!(
        server.converge(&nova),
        ["database nova_api", "no'va@% on nova"]
    );

    // Fewer than all privileges are not enough.
    server.sql("REVOKE DROP ON `nova`.* FROM \"no'va\"@'%';");
    assert_eq!(server.converge(&nova), ["no'va@% on nova"]);

    // The underscore of one database's name is no wildcard for another's.
    server.sql("CREATE DATABASE novaxapi;");
    let grants = server.sql("SHOW GRANTS FOR \"no'va\"@'%';");
    assert!(grants.contains("`nova\\\\_api`"), "{grants}");

    // A user that logs in by other means gets its password.
    server.sql("CREATE USER glance@localhost IDENTIFIED VIA unix_socket;");
    let glance = database(serde_json::json!({
        "names": ["glance"], "user": "glance", "password": "pw", "hosts": ["localhost"],
    }));
    let edits = server.converge(&glance);
    assert_eq!(
        edits,
        [
            "database glance",
            "password of glance@localhost",
            "glance@localhost on glance"
        ]
    );
    assert!(server.may_log_in("glance", "pw"));

    // Another character set is told and left.
    server.sql("ALTER DATABASE glance CHARACTER SET latin1;");
    let Diff::InSync(reason) = server.diff(&glance) else {
        panic!("not in sync")
    };
    assert!(
        reason.ends_with("`glance` keeps its character set latin1"),
        "{reason}"
    );

    server.stop();
    let Diff::Later(reason) = server.diff(&glance) else {
        panic!("a server that is down was taken for an answer")
    };
    assert_eq!(reason, "the database server is not up yet");
}

#[test]
fn a_server_that_turns_root_away_is_told_apart_from_one_that_is_down() {
    let server = Server::start();
    server.sql("ALTER USER root@localhost IDENTIFIED BY 'secret';");
    let any = database(serde_json::json!({ "names": ["a"], "user": "a", "password": "a" }));
    let Diff::Refused(reason) = server.diff(&any) else {
        panic!("not refused: {:?}", server.diff(&any))
    };
    assert!(
        reason.starts_with("the database server does not let root in: "),
        "{reason}"
    );
}
