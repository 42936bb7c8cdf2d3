//! The administrator's credentials, as files that OpenStack's own clients read.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::run::Run;
use crate::model::name::Role;

/// Writes `admin-openrc` and `clouds.yaml` into the cloud's state directory, readable by its owner
/// only, and returns the first; none when there is nothing to write or it cannot be written.
pub(crate) fn write(run: &Run) -> Option<PathBuf> {
    let controller = run.cloud.with_role(Role::Controller).next()?;
    let password = run.secret("admin_password")?;
    let region = &run.cloud.region;
    let url = format!("http://{}:5000/v3", controller.address);
    let openrc = format!(
        "# Source this file: `. admin-openrc`, then `openstack server list`.\n\
         export OS_AUTH_URL={url}\nexport OS_USERNAME=admin\nexport OS_PASSWORD={password}\n\
         export OS_PROJECT_NAME=admin\nexport OS_USER_DOMAIN_NAME=Default\n\
         export OS_PROJECT_DOMAIN_NAME=Default\nexport OS_REGION_NAME={region}\n\
         export OS_IDENTITY_API_VERSION=3\n"
    );
    let name = &run.cloud.name;
    let clouds = format!(
        "# For `openstack --os-cloud {name}` and every client of the OpenStack SDK.\n\
         clouds:\n  {name}:\n    auth:\n      auth_url: {url}\n      username: admin\n\
         \x20     password: {password}\n      project_name: admin\n      user_domain_name: Default\n\
         \x20     project_domain_name: Default\n    region_name: {region}\n    identity_api_version: 3\n"
    );
    let file = run.state.file("admin-openrc");
    put(&run.state.file("clouds.yaml"), &clouds).ok()?;
    put(&file, &openrc).ok()?;
    Some(file)
}

fn put(file: &Path, text: &str) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut out = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    out.write_all(text.as_bytes())?;
    std::fs::rename(&beside, file)
}
