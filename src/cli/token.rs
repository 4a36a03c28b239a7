//! `quorate token bootstrap|create|list|show|revoke|rotate`: who may use the API of a cluster that controls access.
//!
//! A secret is printed once, alone on standard output; what there is to say about it goes to standard error. There is no
//! flag for a token: everybody on a machine sees the arguments of every process.

use std::path::PathBuf;

use chrono::{DateTime, FixedOffset};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::address::Address;
use super::client::Client;
use super::client_error::ClientError;
use super::env::World;
use super::exit::Exit;
use super::list_args::ListArgs;
use super::output::{Failure, complain, pretty, say};
use super::paint::{Paint, Style, clean, clean_lines};
use super::table::{Table, cell, plain};
use super::task::encode;
use super::time;
use crate::config::{self, Overrides};
use crate::http::reply::{TokenMade, TokenSelf, TokenShown, TokenText, Tokens};
use crate::runtime::clock;

/// Commands about tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make the first token, once, on the host of an agent
    #[command(override_usage = "quorate token bootstrap [-help] [-config-file PATH | -data-dir DIR] [options]")]
    Bootstrap(BootstrapArgs),
    /// Make a token and print it, once
    #[command(override_usage = "quorate token create [-help] -role ROLE [options]")]
    Create(CreateArgs),
    /// All tokens, without their secrets
    #[command(override_usage = "quorate token list [-help] [options]")]
    List(ListArgs),
    /// One token; without an accessor, who you are and what you may do
    #[command(override_usage = "quorate token show [-help] [options] [accessor]")]
    Show(ShowArgs),
    /// Make tokens worthless, at once
    #[command(override_usage = "quorate token revoke [-help] [options] <accessor>...")]
    Revoke(RevokeArgs),
    /// Give a token another secret and print it, once; the old one is worthless at once
    #[command(override_usage = "quorate token rotate [-help] [options] <accessor>")]
    Rotate(RotateArgs),
}

/// Flags of `token bootstrap`.
#[derive(Debug, Args)]
pub(super) struct BootstrapArgs {
    #[command(flatten)]
    address: Address,
    /// File or directory of the agent's configuration, for its data_dir; repeatable, in order
    #[arg(long = "config-file", visible_alias = "config-dir", value_name = "PATH")]
    config: Vec<PathBuf>,
    /// The agent's data directory, in which its admin.sock is [default: quorate-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Flags of `token create`.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    address: Address,
    /// What its holder may do: read, operate or admin
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// Only for tasks whose name fits; `*` is any text; repeatable, or with commas [default: all]
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    tasks: Vec<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// How long it lives, such as 12h or 90d [default: until it is revoked]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Flags of `token show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Which (see list)
    #[arg(value_name = "ACCESSOR")]
    accessor: Option<String>,
}

/// Flags of `token revoke`.
#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    address: Address,
    /// Which (see list)
    #[arg(value_name = "ACCESSOR", required = true)]
    accessors: Vec<String>,
}

/// Flags of `token rotate`.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Which (see list)
    #[arg(value_name = "ACCESSOR")]
    accessor: String,
}

pub(super) fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Bootstrap(args) => bootstrap(&args),
        TokenCommand::Create(args) => create(&args),
        TokenCommand::List(args) => list(&args),
        TokenCommand::Show(args) => show(&args),
        TokenCommand::Revoke(args) => revoke(&args),
        TokenCommand::Rotate(args) => rotate(&args),
    }
}

fn failed(what: &str, error: &ClientError) -> Failure {
    Failure::new(format!("unable to {what}\n{error}"))
}

fn bootstrap(args: &BootstrapArgs) -> Result<(), Failure> {
    let what = "make the first token";
    // A directory that is named counts more than an address of the environment.
    let is_elsewhere = args.data_dir.is_none() && args.config.is_empty() && args.address.is_given();
    let address = if is_elsewhere { args.address.clone() } else { args.address.at_socket(&socket(args)?) };
    let client = Client::new(&address)?;
    let value = client.post("/v1/tokens/bootstrap").map_err(|error| match &error {
        ClientError::Refused(_) | ClientError::Unreachable(..) => Failure::new(format!(
            "unable to {what}\n{error}\nis the agent running with an `access` block, and is this its data directory? \
             (-data-dir, -config-file); only the agent's user and root may use the socket"
        )),
        _ => failed(what, &error),
    })?;
    tell(&client, &value, args.json, "the first token, which may do everything,")
}

/// Where the agent's socket is.
fn socket(args: &BootstrapArgs) -> Result<PathBuf, Failure> {
    let world = World::read();
    let dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None if args.config.is_empty() => PathBuf::from(config::DATA_DIR),
        None => {
            let overrides = Overrides::default();
            let settings = config::load(&args.config, &overrides, &world.env, &world.hostname, &world.cwd);
            settings.map_err(|report| Failure::with(Exit::Config, report.render(false, super::config::WIDTH)))?.data_dir
        }
    };
    Ok(world.cwd.join(dir).join(config::ADMIN_SOCKET))
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let body = json!({
        "role": args.role,
        "tasks": args.tasks,
        "description": args.description,
        "ttl": args.ttl.as_deref().map(in_hours),
    });
    let value = client.post_json("/v1/tokens", &body).map_err(|error| failed("make a token", &error))?;
    tell(&client, &value, args.json, "a token")
}

/// Days as the API, which has Go's durations, knows them.
fn in_hours(ttl: &str) -> String {
    match ttl.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        Some(days) => format!("{}h", days.saturating_mul(24)),
        None => ttl.to_owned(),
    }
}

fn rotate(args: &RotateArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let path = format!("/v1/tokens/{}/rotate", encode(&args.accessor));
    let what = format!("rotate the token {}", clean(&args.accessor));
    let value = client.post(&path).map_err(|error| failed(&what, &error))?;
    tell(&client, &value, args.json, "the new secret of a token")
}

/// The secret on standard output, the rest on standard error.
fn tell(client: &Client, value: &Value, json: bool, what: &str) -> Result<(), Failure> {
    if json {
        return say(&pretty(value));
    }
    let TokenMade { token, secret, .. } = client.typed(value)?;
    let expires = token.expires.as_ref().map_or_else(|| "never expires".to_owned(), |at| format!("expires {at}"));
    let tasks = if token.tasks.is_empty() { "all".to_owned() } else { token.tasks.join(", ") };
    complain(&clean_lines(&format!(
        "==> {what} is below. It is shown this once: keep it safe.\n    accessor {}, role {}, tasks {tasks}, {expires}\n",
        token.accessor, token.role
    )));
    say(&format!("{}\n", clean(&secret)))
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let value = client.get("/v1/tokens").map_err(|error| failed("list the tokens", &error))?;
    if args.json {
        return say(&pretty(&value));
    }
    let tokens: Tokens = client.typed(&value)?;
    say(&render_list(&tokens.tokens, clock::wall().fixed_offset(), Paint::detect()))
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let now = clock::wall().fixed_offset();
    let Some(accessor) = &args.accessor else {
        let value = client.get("/v1/tokens/self").map_err(|error| failed("ask who you are", &error))?;
        let who: TokenSelf = client.typed(&value)?;
        return say(&if args.json { pretty(&value) } else { render_self(&who) });
    };
    let what = format!("show the token {}", clean(accessor));
    let value = client.get(&format!("/v1/tokens/{}", encode(accessor)));
    let value = value.map_err(|error| failed(&what, &error))?;
    let text: TokenText = client.typed(&value)?;
    say(&if args.json { pretty(&value) } else { render(&text.token, now) })
}

fn revoke(args: &RevokeArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    for accessor in &args.accessors {
        let shown = clean(accessor);
        client
            .delete(&format!("/v1/tokens/{}", encode(accessor)))
            .map_err(|error| failed(&format!("revoke the token {shown}"), &error))?;
        say(&format!("==> the token {shown} is worth nothing any more\n"))?;
    }
    Ok(())
}

fn moment(text: Option<&String>, never: &str, now: DateTime<FixedOffset>) -> String {
    let at = text.and_then(|text| time::parse(text, &now));
    at.map_or_else(|| never.to_owned(), |at| time::moment(at, now))
}

/// Uses are known by the hour.
fn used(text: Option<&String>, now: DateTime<FixedOffset>) -> String {
    let at = text.and_then(|text| time::parse(text, &now));
    at.map_or_else(|| "never".to_owned(), |at| at.format("%Y-%m-%d %Hh").to_string())
}

fn render_list(tokens: &[TokenShown], now: DateTime<FixedOffset>, paint: Paint) -> String {
    if tokens.is_empty() {
        return "there are no tokens: `quorate token bootstrap` on an agent's host makes the first one\n".to_owned();
    }
    let mut table = Table::new(&["ACCESSOR", "ROLE", "TASKS", "EXPIRES", "LAST USED", "DESCRIPTION"]);
    for token in tokens {
        let style = if token.role == "admin" { Style::Warn } else { Style::Plain };
        table.row(vec![
            plain(&token.accessor),
            cell(style, &token.role),
            plain(if token.tasks.is_empty() { "all".to_owned() } else { token.tasks.join(", ") }),
            plain(moment(token.expires.as_ref(), "never", now)),
            plain(used(token.last_used.as_ref(), now)),
            plain(&token.description),
        ]);
    }
    table.render(paint)
}

fn lines(pairs: &[(&str, String)]) -> String {
    let lines: Vec<String> = pairs.iter().map(|(name, value)| format!("{name:12} {}\n", clean(value))).collect();
    lines.concat()
}

fn render(token: &TokenShown, now: DateTime<FixedOffset>) -> String {
    lines(&[
        ("accessor", token.accessor.clone()),
        ("description", token.description.clone()),
        ("role", token.role.clone()),
        ("tasks", if token.tasks.is_empty() { "all".to_owned() } else { token.tasks.join(", ") }),
        ("created", format!("{} by {}", moment(Some(&token.created), "-", now), token.created_by)),
        ("expires", moment(token.expires.as_ref(), "never", now)),
        ("rotated", moment(token.rotated.as_ref(), "never", now)),
        ("last used", used(token.last_used.as_ref(), now)),
    ])
}

fn render_self(who: &TokenSelf) -> String {
    let tasks = |tasks: &[String]| match tasks {
        [] => String::new(),
        tasks => format!(" for the tasks {}", tasks.join(", ")),
    };
    let roles: Vec<String> = who.roles.iter().map(|grant| format!("{}{}", grant.role, tasks(&grant.tasks))).collect();
    let anybody = match (who.access, who.anonymous.as_str()) {
        (false, _) => "may do everything: access is not controlled here (no `access` block)",
        (true, "deny") => "may do nothing",
        (true, "read") => "may read",
        (true, _) => "may do everything but tokens",
    };
    lines(&[
        ("you are", format!("{}, at {} through {}", who.name, who.address, who.agent)),
        ("roles", if roles.is_empty() { "none of your own".to_owned() } else { roles.join("; ") }),
        ("anybody", anybody.to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::status::samples::sample;
    use super::*;

    fn token(accessor: &str, role: &str) -> TokenShown {
        TokenShown {
            accessor: accessor.to_owned(),
            description: "deploys the edge".to_owned(),
            role: role.to_owned(),
            tasks: vec!["web-*".to_owned()],
            created: "2026-11-22T03:00:00Z".to_owned(),
            created_by: "local user root (uid 0) at a local socket through a1".to_owned(),
            expires: Some("2027-02-20T03:00:00Z".to_owned()),
            last_used: Some("2026-11-22T03:00:00Z".to_owned()),
            rotated: None,
        }
    }

    #[test]
    fn the_list_is_a_table() {
        let (_, now) = sample();
        let other = TokenShown { tasks: vec![], expires: None, last_used: None, ..token("0a0a0a0a0a0a", "admin") };
        let text = render_list(&[other, token("1f2e3d4c5b6a", "operate")], now, Paint { colour: false });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ACCESSOR      ROLE     TASKS  EXPIRES              LAST USED       DESCRIPTION");
        assert!(lines[1].starts_with("0a0a0a0a0a0a  admin    all    never "), "{text}");
        assert!(lines[2].starts_with("1f2e3d4c5b6a  operate  web-*  2027-02-20 "), "{text}");
        assert!(lines[2].ends_with("deploys the edge"), "{text}");
        assert!(render_list(&[], now, Paint { colour: false }).contains("quorate token bootstrap"));
    }

    #[test]
    fn one_token_says_who_made_it() {
        let (_, now) = sample();
        let text = render(&token("1f2e", "read"), now);
        assert!(text.contains("role         read\n") && text.contains(" by local user root (uid 0) at"), "{text}");
        assert!(text.contains("rotated      never\n"), "{text}");
    }

    #[test]
    fn who_i_am_is_said_with_what_i_may_do() {
        let mut who = TokenSelf {
            kind: "anonymous".to_owned(),
            name: "anonymous".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            agent: "a1".to_owned(),
            access: false,
            anonymous: "write".to_owned(),
            roles: Vec::new(),
            token: None,
            request_id: String::new(),
        };
        assert!(render_self(&who).contains("access is not controlled here"));
        who.access = true;
        who.anonymous = "deny".to_owned();
        let tasks = vec!["web-*".to_owned()];
        who.roles.push(crate::http::reply::TokenGrant { role: "operate".to_owned(), tasks });
        let text = render_self(&who);
        assert!(text.contains("operate for the tasks web-*") && text.contains("may do nothing"), "{text}");
    }

    #[test]
    fn days_become_hours() {
        assert_eq!(
            (in_hours("90d").as_str(), in_hours("12h").as_str(), in_hours("xd").as_str()),
            ("2160h", "12h", "xd")
        );
    }
}
