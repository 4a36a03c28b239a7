//! `--minutes N | --seconds N`, `--seed N`; what the test runner adds is passed over.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) length: Duration,
    pub(crate) seed: u64,
}

/// What the test runner calls this test.
pub(crate) const NAME: &str = "chaos";
/// Without arguments: what CI can afford.
const SHORT: Duration = Duration::from_mins(1);

impl Options {
    /// `None`: another test was asked for.
    pub(crate) fn parse(args: &[String]) -> Result<Option<Self>, String> {
        let from_commit = std::env::var("SIM_FROM").ok().and_then(|text| text.parse::<u64>().ok());
        let mut options = Self { length: SHORT, seed: from_commit.unwrap_or_else(|| rand::random::<u32>().into()) };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut number = || {
                let text = args.next().ok_or(format!("{arg} needs a number"))?;
                text.parse::<u64>().map_err(|_| format!("{arg} needs a number, not {text:?}"))
            };
            match arg.as_str() {
                "--minutes" => options.length = Duration::from_secs(number()? * 60),
                "--seconds" => options.length = Duration::from_secs(number()?),
                "--seed" => options.seed = number()?,
                "--skip" if args.next().is_some_and(|name| name == NAME) => return Ok(None),
                "--skip" => {}
                flag if flag.starts_with('-') => {}
                filter if NAME.contains(filter) => {}
                _ => return Ok(None),
            }
        }
        Ok(Some(options))
    }
}
