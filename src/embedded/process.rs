//! Starting and signalling other processes: the only `unsafe` of this crate, and the file descriptors and users around it.
//!
//! Assumes Linux. Promises that a child started here runs as the given user, in a process group of its own (Ctrl-C on the
//! terminal is ours to translate), and gets a signal when the thread that started it ends, however it ends.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Whom a child runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name in the passwd file, or the number again.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The user that this process runs as.
pub fn own_uid() -> Result<u32> {
    Ok(std::fs::metadata("/proc/self").context("/proc is not mounted")?.uid())
}

/// The first of these users that exists.
pub fn user_named(names: &[&str]) -> Result<User> {
    let passwd = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    match names.iter().find_map(|name| find_user(&passwd, |user| user.name == *name)) {
        Some(user) => Ok(user),
        None => bail!("none of the users {} exists; create one: useradd --system {}", names.join(", "), names[0]),
    }
}

/// The user with that number.
pub fn user_with_id(uid: u32) -> Result<User> {
    let passwd = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    // initdb looks its user up, so that a number without a name does not do.
    find_user(&passwd, |user| user.uid == uid).with_context(|| format!("user {uid} has no entry in /etc/passwd"))
}

fn find_user(passwd: &str, wanted: impl Fn(&User) -> bool) -> Option<User> {
    let users = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some(User { name, uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    });
    users.into_iter().find(wanted)
}

/// A command that can reach `folder` as [`folder_path`], whatever its parents allow, and that dies with this thread.
///
/// The folder travels as an open descriptor: a data folder below a home that others may not enter (`/root`) works too.
pub fn command(program: &Path, folder: &File, user: Option<&User>, on_death_of_parent: i32) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    // The working directory must be one that the user may enter; messages stay in one language.
    command.current_dir("/").env("LC_ALL", "C").process_group(0);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    let (descriptor, parent) = (folder.as_raw_fd(), std::process::id());
    // SAFETY: the closure runs between fork and exec and makes four system calls, all async-signal-safe; it allocates nothing
    // (`last_os_error` and an error from a number are plain values). `descriptor` is open in the child because fork copied it.
    // It runs after the change of user, which would have cleared the death signal.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || {
            let inheritable = libc::fcntl(descriptor, libc::F_SETFD, 0);
            let mortal = libc::prctl(libc::PR_SET_PDEATHSIG, on_death_of_parent as libc::c_ulong);
            if inheritable == -1 || mortal == -1 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have died before the line above: nobody would ever tell.
            if libc::getppid() as u32 != parent {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    command
}

/// What a child of [`command`] calls the folder.
pub fn folder_path(folder: &File) -> String {
    format!("/proc/self/fd/{}", folder.as_raw_fd())
}

/// Sends a signal; a process that is gone is no error.
pub fn signal(pid: u32, signal: i32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // 0 and negative numbers would mean whole groups.
    if pid > 0 {
        // SAFETY: kill reads two integers and touches no memory.
        #[allow(unsafe_code)]
        unsafe {
            libc::kill(pid, signal);
        }
    }
}
