//! Finds the PostgreSQL that is installed here.
//!
//! Promises a folder with both `postgres` and `initdb`, version 15 or newer, of the version that an existing cluster needs; or an
//! error that names the one command that installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The oldest version that the schema is written for.
const OLDEST: u32 = 15;

/// One installed PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Folder of `postgres` and `initdb`.
    pub dir: PathBuf,
    /// 15, 16, …
    pub major: u32,
    /// What `postgres --version` says.
    pub version: String,
}

/// The newest PostgreSQL that is installed, or the one whose cluster `cluster_major` is.
pub fn find(asked: Option<&Path>, cluster_major: Option<u32>) -> Result<Binaries> {
    if let Some(dir) = asked {
        let found = look_at(dir).with_context(|| format!("PG_BIN (serving.pg_bin) is {}", dir.display()))?;
        check_major(&found, cluster_major)?;
        return Ok(found);
    }
    let mut installed: Vec<Binaries> = candidates().iter().filter_map(|dir| look_at(dir).ok()).collect();
    installed.sort_by_key(|found| std::cmp::Reverse(found.major));
    installed.dedup_by(|a, b| a.dir == b.dir);
    let fits = |found: &&Binaries| cluster_major.is_none_or(|major| found.major == major);
    if let Some(found) = installed.iter().find(fits) {
        return Ok(found.clone());
    }
    match installed.first() {
        Some(newest) => check_major(newest, cluster_major).map(|()| newest.clone()),
        None => bail!(
            "no PostgreSQL {OLDEST} or newer is installed here (looked at PG_BIN, PATH and /usr/lib/postgresql); install it with\n    \
             {}\nor point to one that runs already: DATABASE_URL=postgres://user:password@host:5432/database",
            install_command()
        ),
    }
}

fn check_major(found: &Binaries, cluster_major: Option<u32>) -> Result<()> {
    match cluster_major {
        Some(major) if major != found.major => bail!(
            "the data folder was made by PostgreSQL {major}, and {} is version {}; install PostgreSQL {major}, or set PG_BIN to it",
            found.dir.display(),
            found.major
        ),
        _ => Ok(()),
    }
}

/// Folders that may hold a server: those on the PATH (behind symlinks), then where distributions put them.
fn candidates() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        // Behind a symlink is the folder where initdb finds the rest of its installation.
        .filter_map(|dir| dir.join("postgres").canonicalize().ok()?.parent().map(Path::to_owned))
        .collect();
    dirs.push("/usr/local/pgsql/bin".into());
    let versions = |parent: &str| std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    dirs.extend(versions("/usr/lib/postgresql"));
    // Fedora and its kin: /usr/pgsql-17/bin.
    dirs.extend(versions("/usr").filter(|dir| dir.to_string_lossy().starts_with("/usr/pgsql-")));
    dirs
}

fn look_at(dir: &Path) -> Result<Binaries> {
    for name in ["postgres", "initdb"] {
        if !dir.join(name).is_file() {
            bail!("{} has no {name}", dir.display());
        }
    }
    let output = Command::new(dir.join("postgres")).arg("--version").output();
    let output = output.with_context(|| format!("cannot run {}/postgres", dir.display()))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = major_of(&version).with_context(|| format!("{}/postgres says `{version}`", dir.display()))?;
    if major < OLDEST {
        bail!("{} is PostgreSQL {major}; {OLDEST} or newer is needed", dir.display());
    }
    Ok(Binaries { dir: dir.to_owned(), major, version })
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` → 15; `18beta1` → 18.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_once(") ")?.1;
    number.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// The command that installs PostgreSQL on this distribution.
fn install_command() -> &'static str {
    let managers = [
        ("/usr/bin/apt-get", "sudo apt-get install --yes postgresql"),
        ("/usr/bin/dnf", "sudo dnf install --assumeyes postgresql-server"),
        ("/sbin/apk", "sudo apk add postgresql"),
        ("/usr/bin/pacman", "sudo pacman --sync postgresql"),
        ("/usr/bin/zypper", "sudo zypper install postgresql-server"),
    ];
    managers
        .iter()
        .find(|(manager, _)| Path::new(manager).exists())
        .map_or("sudo apt-get install --yes postgresql", |(_, command)| command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("something else"), None);
    }

    #[test]
    fn a_folder_without_a_server_is_named_in_the_error() {
        let error = format!("{:#}", find(Some(Path::new("/nowhere/bin")), None).unwrap_err());
        assert!(error.contains("PG_BIN") && error.contains("/nowhere/bin"), "{error}");
    }

    #[test]
    fn a_cluster_of_another_version_is_never_opened() {
        let installed = find(None, None).unwrap();
        let error = find(Some(&installed.dir), Some(9)).unwrap_err().to_string();
        assert!(error.contains("made by PostgreSQL 9") && error.contains("PG_BIN"), "{error}");
    }
}
