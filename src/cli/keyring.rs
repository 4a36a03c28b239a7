//! `quorate keyring list|install|use|remove`: the keys of the cluster's traffic. Keys come from files or standard input, never from
//! the command line, where every user of the machine sees them.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::address::Address;
use super::client::Client;
use super::keygen;
use super::list_args::ListArgs;
use super::output::{Failure, pretty, say};
use super::paint::{Paint, Style, clean};
use super::table::{Table, cell, plain};
use crate::http::reply::{Keyring, KeyringChanged, KeyringMember};
use crate::keyring::{key_of_text, key_text};

/// A file of keys is small; a larger one is another.
const FILE_MAX: u64 = 64 * 1024;

/// Commands about keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeyringCommand {
    /// The keys by fingerprint, and which member has which
    #[command(override_usage = "quorate keyring list [-help] [options]")]
    List(ListArgs),
    /// Let every member open with a new key
    #[command(override_usage = "quorate keyring install [-help] [options] <file with the key, - for standard input>")]
    Install(InstallArgs),
    /// Let every member seal with a key of the ring
    #[command(override_usage = "quorate keyring use [-help] [options] <fingerprint>")]
    Use(NamedArgs),
    /// Take a key out of the ring: nobody opens with it any more
    #[command(override_usage = "quorate keyring remove [-help] [options] <fingerprint>")]
    Remove(NamedArgs),
}

/// Flags of `keyring install`.
#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Make a key and write it to the file, which must not be there yet
    #[arg(long)]
    generate: bool,
    /// File with the key in base64; - reads it from standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Flags of `keyring use` and `keyring remove`.
#[derive(Debug, Args)]
pub(super) struct NamedArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also when members that are here are not ready: they may be cut off
    #[arg(long)]
    force: bool,
    /// The key itself, from a file or - for standard input, instead of its fingerprint
    #[arg(long, value_name = "FILE", conflicts_with = "fingerprint")]
    key_file: Option<PathBuf>,
    /// As the list shows it, or its first digits
    #[arg(value_name = "FINGERPRINT", required_unless_present = "key_file")]
    fingerprint: Option<String>,
}

pub(super) fn run(command: KeyringCommand) -> Result<(), Failure> {
    match command {
        KeyringCommand::List(args) => list(&args),
        KeyringCommand::Install(args) => install(&args),
        KeyringCommand::Use(args) => {
            change(&args, "use", "unable to use the key", "seals with the key", "is the primary key already")
        }
        KeyringCommand::Remove(args) => {
            change(&args, "remove", "unable to remove the key", "has forgotten the key", "is removed already")
        }
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let value = client.get("/v1/keyring").map_err(|error| Failure::new(format!("unable to list the keys\n{error}")))?;
    if args.json {
        return say(&pretty(&value));
    }
    let keyring: Keyring = client.typed(&value)?;
    say(&render(&keyring, Paint::detect()))
}

fn install(args: &InstallArgs) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(format!("unable to install the key\n{why}"));
    let client = Client::new(&args.address)?;
    let key = if args.generate {
        // Before anything is written: an agent must be there, and have keys.
        client.get("/v1/keyring").map_err(|error| failed(error.to_string()))?;
        let key = keygen::key()?;
        create(&args.file, &key).map_err(failed)?;
        key
    } else {
        read(&args.file).map_err(failed)?
    };
    let made = args.generate.then(|| format!("the new key is in {}", args.file.display()));
    let value = client.post_json("/v1/keyring/install", &json!({"key": key})).map_err(|error| {
        let kept = made.as_ref().map_or_else(String::new, |made| format!("\n{made}; install it from there"));
        failed(format!("{error}{kept}"))
    })?;
    told(&client, &value, args.json, "opens with the key", "is installed already")?;
    match made {
        Some(made) if !args.json => {
            say(&format!("    {made}; put it in every agent's encrypt_file once it is in use (quorate keyring use)\n"))
        }
        _ => Ok(()),
    }
}

fn change(args: &NamedArgs, what: &str, failed: &str, done: &str, already: &str) -> Result<(), Failure> {
    let fail = |why: String| Failure::new(format!("{failed}\n{why}"));
    let body = match (&args.key_file, &args.fingerprint) {
        (Some(file), _) => json!({"key": read(file).map_err(fail)?}),
        (None, print) => json!({"fingerprint": print}),
    };
    let client = Client::new(&args.address)?;
    let query = if args.force { "?force=true" } else { "" };
    let value =
        client.post_json(&format!("/v1/keyring/{what}{query}"), &body).map_err(|error| fail(error.to_string()))?;
    told(&client, &value, args.json, done, already)
}

fn told(client: &Client, value: &Value, as_json: bool, done: &str, already: &str) -> Result<(), Failure> {
    let changed: KeyringChanged = client.typed(value)?;
    say(&if as_json { pretty(value) } else { outcome(&changed, done, already) })
}

fn outcome(changed: &KeyringChanged, done: &str, already: &str) -> String {
    let print = clean(&changed.fingerprint);
    let waiting: Vec<String> = changed.waiting_for.iter().map(|id| clean(id)).collect();
    let mut text = match (changed.changed, waiting.is_empty()) {
        (false, true) => format!("==> {print} {already}\n"),
        (true, true) => format!("==> every member that is here {done} {print}\n"),
        (_, false) => format!(
            "==> agreed, but not carried out yet by {}: see `quorate keyring list` before the next step\n",
            waiting.join(", ")
        ),
    };
    for warning in &changed.warnings {
        text.push_str("    ");
        text.push_str(&clean(warning));
        text.push('\n');
    }
    text
}

fn render(keyring: &Keyring, paint: Paint) -> String {
    let told: Vec<&KeyringMember> = keyring.members.iter().filter(|member| member.unknown.is_none()).collect();
    let who = |ids: &[String]| match ids.len() {
        0 => "-".to_owned(),
        all if all == told.len() => format!("all {all}"),
        some => format!("{some} of {}: {}", told.len(), ids.join(", ")),
    };
    let mut table = Table::new(&["FINGERPRINT", "SEALS ON", "OPENS ON"]);
    for key in &keyring.keys {
        let everywhere = key.primary_on.len() == told.len();
        table.row(vec![
            plain(&key.fingerprint),
            cell(if everywhere { Style::Good } else { Style::Plain }, who(&key.primary_on)),
            plain(who(&key.installed_on)),
        ]);
    }
    let mut text = table.render(paint);
    for member in &keyring.members {
        if let Some(why) = &member.unknown {
            text.push_str(&paint.apply(Style::Warn, &format!("{}: keys not known: {}", clean(&member.id), clean(why))));
            text.push('\n');
        }
    }
    text
}

/// The one key of a file.
fn read(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let (name, outcome) = if file.as_os_str() == "-" {
        ("standard input".to_owned(), std::io::stdin().lock().take(FILE_MAX).read_to_string(&mut text))
    } else {
        let open = std::fs::File::open(file);
        (file.display().to_string(), open.and_then(|open| open.take(FILE_MAX).read_to_string(&mut text)))
    };
    outcome.map_err(|error| format!("cannot read {name}: {error}"))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let keys: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    match keys[..] {
        [] => Err(format!("{name} holds no key; `quorate keygen` makes one, or use -generate")),
        [key] => {
            let key = key_of_text(key);
            key.map(|key| key_text(&key)).ok_or_else(|| format!("{name} holds no key: 32 bytes in base64 are expected"))
        }
        _ => Err(format!("{name} holds {} keys: one is expected", keys.len())),
    }
}

/// Writes a new key where nothing is yet, for its owner only.
fn create(file: &Path, key: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", file.display());
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    made.write_all(format!("{key}\n").as_bytes()).and_then(|()| made.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::reply::KeyringKey;

    fn member(id: &str, unknown: Option<&str>) -> KeyringMember {
        let unknown = unknown.map(str::to_owned);
        KeyringMember { id: id.to_owned(), state: String::new(), voter: true, revision: None, keys: vec![], unknown }
    }

    #[test]
    fn the_list_says_who_has_what() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let key = |print: &str, primary: &[&str], installed: &[&str]| KeyringKey {
            fingerprint: print.to_owned(),
            primary_on: ids(primary),
            installed_on: ids(installed),
        };
        let keyring = Keyring {
            cluster_name: "edge".to_owned(),
            keys: vec![key("00aa11bb22cc33dd", &["a1", "a2"], &["a1", "a2"]), key("ffee000000000000", &[], &["a1"])],
            members: vec![member("a1", None), member("a2", None), member("a3", Some("it is down"))],
            observed_by: "a1".to_owned(),
            request_id: String::new(),
        };
        let expected = "\
FINGERPRINT       SEALS ON  OPENS ON
00aa11bb22cc33dd  all 2     all 2
ffee000000000000  -         1 of 2: a1
a3: keys not known: it is down
";
        assert_eq!(render(&keyring, Paint { colour: false }), expected);
    }

    #[test]
    fn an_outcome_names_who_is_late() {
        let changed = |changed, waiting: &[&str]| KeyringChanged {
            fingerprint: "00aa".to_owned(),
            changed,
            waiting_for: waiting.iter().map(|id| (*id).to_owned()).collect(),
            warnings: vec!["a3 is away".to_owned()],
            request_id: String::new(),
        };
        let text = outcome(&changed(true, &[]), "opens with the key", "is installed already");
        assert_eq!(text, "==> every member that is here opens with the key 00aa\n    a3 is away\n");
        assert!(outcome(&changed(true, &["a2"]), "", "").contains("not carried out yet by a2"));
        assert!(outcome(&changed(false, &[]), "", "is installed already").starts_with("==> 00aa is installed already"));
    }

    #[test]
    fn a_key_is_read_from_a_file_with_comments_and_made_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let key = keygen::key().unwrap();
        create(&file, &key).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&file), Ok(key.clone()));
        assert!(create(&file, &key).is_err(), "a file that is there is not written over");
        std::fs::write(&file, format!("# new\n\n  {key}  # of May\n")).unwrap();
        assert_eq!(read(&file), Ok(key.clone()));
        std::fs::write(&file, format!("{key}\n{key}\n")).unwrap();
        assert!(read(&file).unwrap_err().contains("2 keys"));
        std::fs::write(&file, "c2VjcmV0\n").unwrap();
        assert!(!read(&file).unwrap_err().contains("c2VjcmV0"));
    }
}
