//! The embedded PostgreSQL as `tributary up` uses it: first start, warm start, death, a port that is taken, what a crash leaves.
//!
//! As root, the server runs as another user; then the last test runs all the others once more as that ordinary user.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tributary::embedded::postgres::{Options, Postgres};
use tributary::embedded::process::{own_uid, signal};

fn options(folder: &Path) -> Options {
    Options {
        home: folder.join("postgres"),
        listen: "127.0.0.1".into(),
        port: 0,
        port_pinned: false,
        password: "it's \"quoted\"".into(),
        pg_bin: None,
    }
}

/// Runs SQL that yields one text.
fn ask(url: &str, sql: &'static str) -> Result<String, sqlx::Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut connection = PgConnection::connect(url).await?;
        let (text,): (String,) = sqlx::query_as(sql).fetch_one(&mut connection).await?;
        Ok(text)
    })
}

fn run(url: &str, sql: &'static str) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    });
}

/// Waits for something that must come to pass.
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited 30 s until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn alive(pid: u32) -> bool {
    // A zombie is dead; nobody may be there to collect it.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_first_start_makes_a_cluster_that_the_pipeline_and_the_dashboards_can_use() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(options(folder.path())).unwrap();
    let settings = ask(
        server.url(),
        "SELECT concat_ws(' ', current_user, current_database(), current_setting('timezone'), current_setting('fsync'),
         current_setting('server_encoding'), current_setting('synchronous_commit'))",
    );
    assert_eq!(settings.unwrap(), "platform serving UTC on UTF8 on");
    let rights = "SELECT concat_ws(' ', bool_or(rolsuper), count(*)) FROM pg_roles WHERE rolname IN ('platform', 'grafana')";
    assert_eq!(ask(server.url(), rights).unwrap(), "f 2");
    run(
        server.url(),
        "CREATE SCHEMA realtime; CREATE TABLE realtime.t AS SELECT 'seen'::text AS x; GRANT USAGE ON SCHEMA realtime TO grafana; GRANT SELECT ON realtime.t TO grafana",
    );
    let dashboards = server.url().replace("//platform:", "//grafana:");
    assert_eq!(ask(&dashboards, "SELECT x FROM realtime.t").unwrap(), "seen");
    assert!(ask(&dashboards, "INSERT INTO realtime.t VALUES ('x') RETURNING x").is_err());
    // Nobody gets in without the password, and the superuser not at all.
    assert!(ask(&server.url().replace("it%27s", "another"), "SELECT 'x'").is_err());
    assert!(ask(&server.url().replace("//platform:", "//postgres:"), "SELECT 'x'").is_err());
    let owner = fs::metadata(folder.path().join("postgres/cluster")).unwrap();
    assert_eq!(owner.mode() & 0o777, 0o700);
    assert_ne!(owner.uid(), 0, "PostgreSQL does not run as root");
    assert!(!fs::read_to_string(server.log()).unwrap().contains("quoted"), "the password is in the log");
    server.stop();
}

#[test]
fn a_warm_start_is_fast_and_finds_everything() {
    let folder = tempfile::tempdir().unwrap();
    let first = Postgres::start(options(folder.path())).unwrap();
    run(first.url(), "CREATE TABLE kept AS SELECT 'still here'::text AS x");
    let pid = first.pid();
    first.stop();
    assert!(!alive(pid));
    let since = Instant::now();
    let again = Postgres::start(options(folder.path())).unwrap();
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!(ask(again.url(), "SELECT x FROM kept").unwrap(), "still here");
}

#[test]
fn a_changed_password_takes_effect_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let first = Postgres::start(options(folder.path())).unwrap();
    let old = first.url().to_owned();
    first.stop();
    let port = old.rsplit_once(':').unwrap().1.split_once('/').unwrap().0.parse().unwrap();
    let again = Postgres::start(Options { password: "new".into(), port, ..options(folder.path()) }).unwrap();
    assert_eq!(ask(again.url(), "SELECT 'in'").unwrap(), "in");
    assert!(ask(&old, "SELECT 'in'").is_err());
}

#[test]
fn a_killed_server_comes_back_on_the_same_port_with_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(options(folder.path())).unwrap();
    run(server.url(), "CREATE TABLE kept AS SELECT 'still here'::text AS x");
    for deaths in 1..=2 {
        let pid = server.pid();
        signal(pid, libc::SIGKILL);
        until("it is back", || server.restarts() == deaths && server.pid() != 0);
        assert_ne!(server.pid(), pid);
        assert_eq!(ask(server.url(), "SELECT x FROM kept").unwrap(), "still here");
    }
}

#[test]
fn a_port_that_is_taken_is_an_error_when_asked_for_and_avoided_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let asked = Options { port, port_pinned: true, ..options(folder.path()) };
    let error = format!("{:#}", Postgres::start(asked).unwrap_err());
    assert!(error.contains(&port.to_string()) && error.contains("POSTGRES_PORT"), "{error}");
    let server = Postgres::start(Options { port, ..options(folder.path()) }).unwrap();
    assert!(!server.address().ends_with(&format!(":{port}")));
    assert_eq!(ask(server.url(), "SELECT 'in'").unwrap(), "in");
}

#[test]
fn one_data_folder_has_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(options(folder.path())).unwrap();
    let error = format!("{:#}", Postgres::start(options(folder.path())).unwrap_err());
    assert!(error.contains(&std::process::id().to_string()) && error.contains("--data"), "{error}");
    assert_eq!(ask(server.url(), "SELECT 'unharmed'").unwrap(), "unharmed");
}

#[test]
fn a_stale_postmaster_pid_of_a_reused_number_does_not_keep_it_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    Postgres::start(options(folder.path())).unwrap().stop();
    // The number of a process that lives and is no PostgreSQL: this very one.
    let stale = format!("{}\n/somewhere\n1700000000\n5432\n\n127.0.0.1\n  1 2\nready\n", std::process::id());
    fs::write(folder.path().join("postgres/cluster/postmaster.pid"), stale).unwrap();
    let server = Postgres::start(options(folder.path())).unwrap();
    assert_eq!(ask(server.url(), "SELECT 'in'").unwrap(), "in");
}

#[test]
fn a_first_start_that_was_cut_short_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = folder.path().join("postgres/cluster.unfinished");
    fs::create_dir_all(unfinished.join("base")).unwrap();
    fs::write(unfinished.join("PG_VERSION"), "15\n").unwrap();
    let server = Postgres::start(options(folder.path())).unwrap();
    assert_eq!(ask(server.url(), "SELECT 'in'").unwrap(), "in");
    assert!(!unfinished.exists());
}

#[test]
fn a_data_folder_below_a_closed_home_works() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    // A path that no unix socket could have.
    let deep: PathBuf = home.path().join("a-rather-long-name-of-a-folder/".repeat(6));
    let server = Postgres::start(options(&deep)).unwrap();
    assert_eq!(ask(server.url(), "SELECT 'in'").unwrap(), "in");
}

#[test]
fn a_cluster_that_root_copied_back_is_given_to_the_server_again() {
    if own_uid().unwrap() != 0 {
        // Nothing to copy back: only root gives files away.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Postgres::start(options(folder.path())).unwrap().stop();
    let cluster = folder.path().join("postgres/cluster");
    assert!(Command::new("chown").args(["-R", "0:0"]).arg(&cluster).status().unwrap().success());
    let server = Postgres::start(options(folder.path())).unwrap();
    assert_eq!(ask(server.url(), "SELECT 'in'").unwrap(), "in");
}

#[test]
fn a_missing_postgresql_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = Postgres::start(Options { pg_bin: Some("/nowhere".into()), ..options(folder.path()) }).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("PG_BIN") && error.contains("/nowhere"), "{error}");
}

/// Not a test: what [`the_server_dies_with_a_killed_parent_and_the_next_start_goes_on`] kills.
#[test]
fn helper_that_is_killed() {
    let Some(folder) = std::env::var_os("HELPER_FOLDER") else { return };
    let server = Postgres::start(options(Path::new(&folder))).unwrap();
    run(server.url(), "CREATE TABLE kept AS SELECT 'still here'::text AS x");
    println!("\nserver {}", server.pid());
    loop {
        std::thread::park();
    }
}

fn helper(folder: &Path) -> (Child, u32) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded_postgres::helper_that_is_killed", "--nocapture"])
        .env("HELPER_FOLDER", folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let server = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("server ")?.parse().ok());
    (child, server.unwrap())
}

#[test]
fn the_server_dies_with_a_killed_parent_and_the_next_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut parent, server) = helper(folder.path());
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("the orphan ends", || !alive(server));
    let again = Postgres::start(options(folder.path())).unwrap();
    assert_eq!(ask(again.url(), "SELECT x FROM kept").unwrap(), "still here");
}

#[test]
fn a_start_right_after_a_kill_waits_for_the_old_server() {
    let folder = tempfile::tempdir().unwrap();
    let (mut parent, server) = helper(folder.path());
    // A server that does not get to its end: stopped, so that the death signal waits.
    signal(server, libc::SIGSTOP);
    parent.kill().unwrap();
    parent.wait().unwrap();
    let resume = std::thread::spawn(move || {
        std::thread::park_timeout(Duration::from_millis(700));
        signal(server, libc::SIGCONT);
    });
    let again = Postgres::start(options(folder.path())).unwrap();
    resume.join().unwrap();
    assert!(!alive(server));
    assert_eq!(ask(again.url(), "SELECT x FROM kept").unwrap(), "still here");
}

#[test]
fn everything_works_for_an_ordinary_user_too() {
    if own_uid().unwrap() != 0 || std::env::var_os("HELPER_FOLDER").is_some() {
        return;
    }
    // A copy of this program where everybody may read it, and a place where that user may write.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = place.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "env"])
        .arg(format!("TMPDIR={}", place.path().display()))
        .arg(&program)
        .args(["embedded_postgres::", "--test-threads=2"])
        .current_dir("/")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
