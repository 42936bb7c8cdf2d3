//! What the cases can name: the services of this version, an invented one, and some platforms.

use std::collections::BTreeMap;

use provision::model::answers::Known;

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub(crate) fn known() -> Known {
    let mut known: Known = toml::from_str(&read("tests/answers/known.toml")).unwrap();
    let text = read("playbooks/services.toml");
    known
        .services
        .extend(toml::from_str::<BTreeMap<_, _>>(&text).unwrap());
    known
}
