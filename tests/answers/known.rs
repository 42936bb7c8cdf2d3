//! What the cases can name: the services of this version, and some platforms.

use provision::model::answers::Known;

pub(crate) fn known() -> Known {
    let read = |path: &str| {
        let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let known: Known = toml::from_str(&read("tests/answers/platforms.toml")).unwrap();
    Known {
        services: toml::from_str(&read("playbooks/services.toml")).unwrap(),
        ..known
    }
}
