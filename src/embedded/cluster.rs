//! A cluster on disk: made once, given its roles and its database, and told whom to let in.
//!
//! Layout under `<data>/postgres`: `cluster/` (PostgreSQL's own), `server.log`, `lock`. Promises that a half-made cluster is never
//! used (it gets its name last), that the making of roles can be repeated, and that no password is written to a log.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::binaries::{self, Binaries};
use super::process::{self, User};
use super::{leftovers, validated_ip};

/// Everything that a server needs to start on this cluster.
#[derive(Debug)]
pub struct Cluster {
    /// `<data>/postgres`.
    pub home: PathBuf,
    /// `<data>/postgres/cluster`.
    pub dir: PathBuf,
    /// The same, open: how the server reaches it whatever the parents allow.
    pub folder: File,
    /// The server's programs.
    pub binaries: Binaries,
    /// Whom the server runs as; none: as we do.
    pub user: Option<User>,
}

impl Cluster {
    /// Opens the cluster under `home`, and makes it first when there is none. Assumes that the caller holds the lock of `home`.
    pub fn open(home: &Path, pg_bin: Option<&Path>) -> Result<Self> {
        let dir = home.join("cluster");
        let binaries = binaries::find(pg_bin, major_of(&dir)?)?;
        let user = run_as(&dir)?;
        if !dir.exists() {
            initialise(home, &dir, &binaries, user.as_ref())?;
        } else if let Some(user) = user.as_ref().filter(|_| fs::metadata(&dir).is_ok_and(|m| m.uid() == 0)) {
            // Copied by root, from a backup perhaps: the server will not open what is not its own.
            give_all(&dir, user)?;
        }
        let folder = File::open(&dir).with_context(|| format!("cannot open {}", dir.display()))?;
        Ok(Self { home: home.to_owned(), dir, folder, binaries, user })
    }

    /// Where the server and its helpers write what they have to say.
    pub fn log_path(&self) -> PathBuf {
        self.home.join("server.log")
    }

    /// The log, open for appending; it is begun anew when it has grown large.
    pub fn log(&self) -> Result<File> {
        let path = self.log_path();
        if fs::metadata(&path).is_ok_and(|log| log.len() > 16 << 20) {
            fs::rename(&path, path.with_extension("log.old")).context("cannot turn the server's log over")?;
        }
        OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The end of the log, for an error message.
    pub fn log_tail(&self) -> String {
        let text = fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4000)..]).into_owned();
        let lines: Vec<&str> = text.lines().rev().take(12).collect();
        let lines: Vec<String> = lines.into_iter().rev().map(|line| format!("    {line}")).collect();
        format!("the end of {}:\n{}", self.log_path().display(), lines.join("\n"))
    }

    /// Writes who may connect: with a password, over TCP, never as the superuser.
    pub fn write_access_rules(&self, listen: &str) -> Result<()> {
        let mut rules = String::from(
            "# Written by tributary at each start.\n\
             host all postgres all reject\n\
             host all all 127.0.0.1/32 scram-sha-256\n\
             host all all ::1/128 scram-sha-256\n",
        );
        if !validated_ip(listen)?.is_loopback() {
            rules.push_str("host all all 0.0.0.0/0 scram-sha-256\nhost all all ::/0 scram-sha-256\n");
        }
        fs::write(self.dir.join("pg_hba.conf"), rules).context("cannot write pg_hba.conf")
    }

    /// Makes the roles `platform` and `grafana` and the database `serving`, and sets the password. Assumes that no server runs:
    /// this is PostgreSQL's single-user mode, so that no superuser ever needs a way in over the network.
    pub fn set_up(&self, password: &str) -> Result<()> {
        let quoted = password.replace('\'', "''");
        let mut statements = String::new();
        for role in ["platform", "grafana"] {
            statements.push_str(&format!(
                "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} LOGIN; END IF; END $$;\n\
                 ALTER ROLE {role} LOGIN PASSWORD '{quoted}';\n"
            ));
        }
        // CREATE DATABASE knows no IF NOT EXISTS and no block; that it exists already is an error that is ignored.
        statements.push_str("CREATE DATABASE serving OWNER platform;\nALTER DATABASE serving SET timezone TO 'UTC';\n");
        let log = self.log()?;
        let mut child = process::command(&self.binaries.dir.join("postgres"), &self.folder, self.user.as_ref(), libc::SIGKILL)
            .args(["--single", "-D", &process::folder_path(&self.folder)])
            // An error would otherwise repeat the statement, password and all, in the log.
            .args(["-c", "log_min_error_statement=panic", "-c", "password_encryption=scram-sha-256", "postgres"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot run postgres --single")?;
        if let Some(mut stdin) = child.stdin.take() {
            // A broken pipe means that it ended: its status and the log say why.
            let _ = stdin.write_all(statements.as_bytes());
        }
        let status = child.wait().context("lost postgres --single")?;
        if !status.success() {
            bail!("postgres --single ended with {status}; {}", self.log_tail());
        }
        Ok(())
    }
}

fn major_of(cluster: &Path) -> Result<Option<u32>> {
    let path = cluster.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map(Some).with_context(|| format!("{} holds `{}`", path.display(), text.trim())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// PostgreSQL refuses to run as root: then it runs as whoever owns the cluster, at first as `postgres` or `nobody`.
fn run_as(cluster: &Path) -> Result<Option<User>> {
    let own = process::own_uid()?;
    let owner = fs::metadata(cluster).ok().map(|metadata| metadata.uid());
    match (own, owner) {
        (0, Some(uid)) if uid != 0 => process::user_with_id(uid).map(Some),
        (0, _) => process::user_named(&["postgres", "nobody"]).map(Some),
        (_, Some(uid)) if uid != own => bail!(
            "{} belongs to user {uid}, and this is user {own}; run as that user, choose another folder with --data, or \
             give it away: sudo chown -R {own} {}",
            cluster.display(),
            cluster.display()
        ),
        _ => Ok(None),
    }
}

fn initialise(home: &Path, dir: &Path, binaries: &Binaries, user: Option<&User>) -> Result<()> {
    tracing::info!("making a PostgreSQL cluster in {} ({})", dir.display(), binaries.version);
    // C.UTF-8 knows upper and lower case beyond ASCII; where the system has no such locale, C sorts the same way.
    match initdb(home, dir, binaries, user, "C.UTF-8") {
        Ok(()) => Ok(()),
        Err(_) => initdb(home, dir, binaries, user, "C"),
    }
}

fn initdb(home: &Path, dir: &Path, binaries: &Binaries, user: Option<&User>, locale: &str) -> Result<()> {
    let unfinished = home.join("cluster.unfinished");
    if unfinished.exists() {
        leftovers::clear(&unfinished)?;
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    fs::DirBuilder::new().mode(0o700).create(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
    if let Some(user) = user {
        give(&unfinished, user)?;
    }
    let folder = File::open(&unfinished).with_context(|| format!("cannot open {}", unfinished.display()))?;
    // The superuser has no password, so that nobody can log in as it: roles are made in single-user mode.
    let output = process::command(&binaries.dir.join("initdb"), &folder, user, libc::SIGKILL)
        .args(["-D", &process::folder_path(&folder), "-U", "postgres", "-E", "UTF8", "--locale", locale])
        .args(["--auth-local=reject", "--auth-host=reject"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}/initdb", binaries.dir.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("initdb failed ({}): {said}", output.status);
    }
    fs::rename(&unfinished, dir).with_context(|| format!("cannot name {}", dir.display()))?;
    File::open(home).and_then(|home| home.sync_all()).with_context(|| format!("cannot sync {}", home.display()))
}

fn give(path: &Path, user: &User) -> Result<()> {
    chown(path, Some(user.uid), Some(user.gid)).with_context(|| format!("cannot give {} to {}", path.display(), user.name))
}

fn give_all(path: &Path, user: &User) -> Result<()> {
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", path.display()))?;
        match entry.file_type()?.is_dir() {
            true => give_all(&entry.path(), user)?,
            false => std::os::unix::fs::lchown(entry.path(), Some(user.uid), Some(user.gid))?,
        }
    }
    give(path, user)
}
