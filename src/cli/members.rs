//! `quorate members`: a table of who is here.

use chrono::{DateTime, FixedOffset};
use clap::Args;

use super::address::Address;
use super::client::Client;
use super::client_error::ClientError;
use super::output::{Failure, pretty, say};
use super::paint::{Paint, Style, state_style};
use super::table::{Table, cell, plain, yes};
use super::watch::{Shown, watch};
use super::{status, time};
use crate::http::reply::Cluster;
use crate::runtime::clock;

/// Flags of `members`.
#[derive(Debug, Args)]
pub(super) struct MembersArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show again at every change
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(args: &MembersArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let paint = Paint::detect();
    if args.watch {
        return watch(!args.json, |index| fetch(&client, args, paint, index));
    }
    say(&fetch(&client, args, paint, None)?.text)
}

fn fetch(client: &Client, args: &MembersArgs, paint: Paint, index: Option<u64>) -> Result<Shown, ClientError> {
    let query = index.map_or_else(String::new, |index| format!("?index={index}&wait=30s"));
    let value = client.get(&format!("/v1/cluster{query}"))?;
    let cluster: Cluster = client.typed(&value)?;
    let key = status::one_line(value.clone());
    let text = match (args.json, args.watch) {
        (true, true) => key.clone(),
        (true, false) => pretty(&value),
        (false, _) => render(&cluster, clock::wall().fixed_offset(), paint),
    };
    Ok(Shown { text, key, index: cluster.index })
}

fn render(cluster: &Cluster, now: DateTime<FixedOffset>, paint: Paint) -> String {
    let head = ["ID", "STATE", "VOTER", "LEADER", "GOSSIP ADDRESS", "API ADDRESS", "VERSION", "SINCE"];
    let mut table = Table::new(&head);
    for member in &cluster.members {
        let since = member.state_since.as_deref().and_then(|text| time::parse(text, &now));
        table.row(vec![
            plain(&member.id),
            cell(state_style(&member.state), &member.state),
            plain(yes(member.voter)),
            cell(if member.leader { Style::Good } else { Style::Plain }, yes(member.leader)),
            plain(&member.gossip_address),
            plain(&member.api_address),
            plain(&member.version),
            plain(since.map_or_else(|| "-".to_owned(), |at| time::moment(at, now))),
        ]);
    }
    table.render(paint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_it_is() {
        let (cluster, now) = status::samples::sample();
        let expected = "\
ID      STATE  VOTER  LEADER  GOSSIP ADDRESS  API ADDRESS    VERSION  SINCE
cts-01  alive  yes    yes     10.0.0.1:8559   10.0.0.1:8558  0.1.0    04:00:00
cts-02  alive  yes    no      10.0.0.2:8559   10.0.0.2:8558  0.1.0    11-22 21:13:00
cts-03  down   yes    no      10.0.0.3:8559   10.0.0.3:8558  0.1.0    -
";
        assert_eq!(render(&cluster, now, Paint { colour: false }), expected);
    }

    #[test]
    fn the_longest_names_and_addresses_fit() {
        let (mut cluster, now) = status::samples::sample();
        for member in &mut cluster.members {
            member.id = "x".repeat(63);
            member.gossip_address = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535".to_owned();
            member.api_address = member.gossip_address.clone();
        }
        let text = render(&cluster, now, Paint { colour: false });
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
