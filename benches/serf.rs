//! Serf, for comparison: its own `lan` profile, encrypted, retrying its seeds every second.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::gossip::{Program, Word, api, end, gossip, name, number, seeds};
use crate::support::net::inside;

/// The program and the agents that run.
pub(crate) struct Serf {
    program: PathBuf,
    key: String,
    agents: Vec<Child>,
    _unpacked: Option<tempfile::TempDir>,
}

impl Serf {
    /// From the PATH, else from Debian. Why not, for people.
    pub(crate) fn find() -> Result<Self, String> {
        let on_path = Command::new("serf").arg("version").output().is_ok_and(|output| output.status.success());
        let (program, unpacked) = if on_path {
            (PathBuf::from("serf"), None)
        } else {
            let dir = tempfile::Builder::new().prefix("quorate-bench-serf-").tempdir().map_err(|e| e.to_string())?;
            unpack(dir.path())?;
            (dir.path().join("root/usr/bin/serf"), Some(dir))
        };
        let version = output(Command::new(&program).arg("version"))?;
        let key = output(Command::new(&program).arg("keygen"))?.trim().to_owned();
        println!("  compared with {}", version.lines().next().unwrap_or_default());
        Ok(Self { program, key, agents: Vec::new(), _unpacked: unpacked })
    }
}

/// Fetches the package with an apt that knows only this directory, and unpacks it there. Nothing is installed.
fn unpack(dir: &Path) -> Result<(), String> {
    const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let make = |path: &str| std::fs::create_dir_all(dir.join(path)).map_err(|error| error.to_string());
    make("lists/partial")?;
    make("cache/archives/partial")?;
    let list = dir.join("sources.list");
    let source = format!("deb [signed-by={KEYS}] http://deb.debian.org/debian trixie main\n");
    std::fs::write(&list, source).map_err(|error| error.to_string())?;
    let at = dir.display();
    let options = [
        format!("Dir::Etc::sourcelist={at}/sources.list"),
        format!("Dir::Etc::sourceparts={at}/none"),
        format!("Dir::State::lists={at}/lists"),
        format!("Dir::Cache={at}/cache"),
        "Acquire::http::Timeout=10".to_owned(),
        "Acquire::Retries=0".to_owned(),
        "Debug::NoLocking=1".to_owned(),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let apt = |words: &[&str]| {
        let options = options.iter().flat_map(|option| ["-o", option]);
        output(Command::new("apt-get").arg("-qq").args(options).args(words).current_dir(dir))
    };
    apt(&["update"])?;
    apt(&["download", "serf"])?;
    let files = std::fs::read_dir(dir).map_err(|error| error.to_string())?.flatten().map(|entry| entry.path());
    let package = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let package = package.ok_or("apt-get has fetched no package")?;
    output(Command::new("dpkg").arg("-x").arg(package).arg(dir.join("root")))?;
    Ok(())
}

fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", error.lines().next_back().unwrap_or("it failed")))
}

impl Program for Serf {
    fn name(&self) -> &'static str {
        "serf"
    }

    fn start(&mut self, number: usize, nodes: usize, namespace: Option<&str>) -> Box<dyn Read + Send> {
        let mut command = Command::new(&self.program);
        command.args(["agent", "-profile=lan", "-log-level=info", "-retry-interval=1s"]);
        command.arg(format!("-node={}", name(number))).arg(format!("-bind={}", gossip(number)));
        command.arg(format!("-rpc-addr={}", api(number))).arg(format!("-encrypt={}", self.key));
        command.args(seeds(nodes).map(|seed| format!("-retry-join={seed}")));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut spawn = || command.spawn().expect("start serf");
        let mut child = match namespace {
            None => spawn(),
            Some(namespace) => inside(namespace, spawn),
        };
        let log = child.stdout.take().expect("its log");
        self.agents.push(child);
        Box::new(log)
    }

    fn pids(&mut self, number: usize) -> Vec<u32> {
        self.agents.get(number).map(Child::id).into_iter().collect()
    }

    fn parse(&self, line: &str) -> Option<(Word, usize)> {
        let words = [("EventMemberJoin: ", Word::Alive), ("EventMemberFailed: ", Word::Down)];
        let find = |(text, word): (&str, Word)| Some((line.split_once(text)?.1, word));
        let (rest, word) = words.into_iter().find_map(find)?;
        Some((word, number(rest.split_whitespace().next()?)?))
    }

    fn clear(&mut self) {
        self.agents.drain(..).for_each(end);
    }
}

impl Drop for Serf {
    fn drop(&mut self) {
        self.clear();
    }
}
