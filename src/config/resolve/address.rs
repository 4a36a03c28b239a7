//! Addresses as people write them.

use std::net::{IpAddr, SocketAddr};

/// An IP address with a port; a missing half is filled in. `localhost` is 127.0.0.1. `Err` says what it is instead.
pub(super) fn socket(text: &str, ip: IpAddr, port: u16) -> Result<SocketAddr, String> {
    let (host, given) = split(text)?;
    let port = given.unwrap_or(port);
    let ip = match host {
        "" => ip,
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        _ => host.parse().map_err(|_| format!("has {host:?} where an IP address belongs"))?,
    };
    Ok(SocketAddr::new(ip, port))
}

/// A host name or IP address with a port, as `host:port`; the port may be missing.
pub(super) fn seed(text: &str, port: u16) -> Result<String, String> {
    let (host, given) = split(text)?;
    let port = given.unwrap_or(port);
    if port == 0 {
        return Err("has no port that anyone can listen on".to_owned());
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        if ip.is_unspecified() {
            return Err("names no machine".to_owned());
        }
        return Ok(SocketAddr::new(ip, port).to_string());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    // Digits and dots only: an IP address with a mistake in it, not a name.
    let numeric = name.chars().all(|c| c.is_ascii_digit() || c == '.');
    if name.len() <= 253 && name.split('.').all(label) && !numeric {
        return Ok(format!("{}:{port}", host.to_ascii_lowercase()));
    }
    Err(format!("has {host:?} where a host name or IP address belongs"))
}

fn split(text: &str) -> Result<(&str, Option<u16>), String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("has a `[` without `]`")?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or("has text after `]`")?) })
    } else if text.matches(':').count() > 1 {
        (text, None)
    } else {
        text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
    };
    match port {
        None => Ok((host, None)),
        Some(port) => port
            .parse()
            .map(|port| (host, Some(port)))
            .map_err(|_| format!("has {port:?} where a port from 0 to 65535 belongs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_half_is_filled_in() {
        let parse = |text| socket(text, IpAddr::from([0, 0, 0, 0]), 8559).map(|addr| addr.to_string());
        for (text, expected) in [
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("10.0.0.1", "10.0.0.1:8559"),
            (":7", "0.0.0.0:7"),
            ("localhost", "127.0.0.1:8559"),
            ("[::1]:9", "[::1]:9"),
            ("::1", "[::1]:8559"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "a:b", "host:1", "1.2.3.4:99999", "[::1", "[::1]9", "1.2.3:4"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seeds_are_names_or_addresses() {
        assert_eq!(seed("Cts-01.example.com", 8559).as_deref(), Ok("cts-01.example.com:8559"));
        assert_eq!(seed("10.0.0.1:7", 8559).as_deref(), Ok("10.0.0.1:7"));
        assert_eq!(seed("::1", 8559).as_deref(), Ok("[::1]:8559"));
        for text in ["0.0.0.0:1", "a b:1", "a:0", "a..b", "1.2.3:1", ":1", "999.1.1.1:1"] {
            assert!(seed(text, 8559).is_err(), "{text}");
        }
    }
}
