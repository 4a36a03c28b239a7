//! Keeps web pages away from an API without credentials.
//!
//! A page that an operator visits can make the operator's browser call the loopback in two ways. *DNS rebinding*: the
//! page's own name is made to resolve to 127.0.0.1, and the browser then believes to talk to the page's server; the
//! `Host` header still has the page's name. *Cross-site requests*: a form or script posts to `http://localhost:8558`
//! and does not care for the answer; the `Origin` header has the page's origin. Both headers are out of a page's reach.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::{Method, header};

/// Which hosts may be called by.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    loopback: bool,
    allowed: Vec<String>,
}

impl Guard {
    /// For a listener on `addr`; `None`: a Unix socket, which no browser reaches. `allowed` are further names for one on the
    /// loopback.
    pub(super) fn new(addr: Option<SocketAddr>, allowed: &[String]) -> Self {
        let allowed = allowed.iter().map(|name| host_of(name).to_ascii_lowercase()).collect();
        Self { loopback: addr.is_some_and(|addr| addr.ip().to_canonical().is_loopback()), allowed }
    }

    /// `Err`: refuse with 403 and this text.
    pub(super) fn check(&self, request: &HttpRequest) -> Result<(), String> {
        let host = header_of(request, &header::HOST);
        // An absolute target names the host a second time.
        let named = request.uri().authority().map(|authority| authority.as_str().to_owned());
        if self.loopback {
            for host in host.iter().chain(&named) {
                if !self.known(host_of(host)) {
                    return Err(format!(
                        "this API listens on the loopback and does not answer to the host name {:?}; call it by \
                         localhost or an address, or add the name to the configuration",
                        host_of(host)
                    ));
                }
            }
        }
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if changes && let Some(origin) = header_of(request, &header::ORIGIN) {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            if authority.is_none_or(|authority| !host.as_deref().is_some_and(|h| h.eq_ignore_ascii_case(authority))) {
                return Err(format!("pages of the origin {origin:?} may not change anything here"));
            }
        }
        Ok(())
    }

    fn known(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
            || self.allowed.contains(&host)
    }
}

/// A header as text; what is not text is as good as a wrong name.
fn header_of(request: &HttpRequest, name: &header::HeaderName) -> Option<String> {
    request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(host, _)| host);
    }
    match authority.rsplit_once(':') {
        // More than one colon and no brackets: an address without a port.
        Some((host, _)) if !host.contains(':') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn guard(addr: &str) -> Guard {
        Guard::new(addr.parse().ok(), &["agent.example:8558".to_owned()])
    }

    fn allows(guard: &Guard, method: Method, host: &str, origin: Option<&str>) -> bool {
        let mut request = TestRequest::with_uri("/v1/status").method(method).insert_header(("host", host));
        if let Some(origin) = origin {
            request = request.insert_header(("origin", origin));
        }
        guard.check(&request.to_http_request()).is_ok()
    }

    #[test]
    fn a_loopback_listener_answers_to_loopback_names_only() {
        let guard = guard("127.0.0.1:8558");
        for host in [
            "localhost",
            "LOCALHOST:8558",
            "localhost.",
            "127.0.0.1:1",
            "127.8.8.8",
            "[::1]:8558",
            "[::1]",
            "Agent.Example",
        ] {
            assert!(allows(&guard, Method::GET, host, None), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8558", "10.0.0.1", "", "127.0.0.1.evil.example", "[::2]"] {
            assert!(!allows(&guard, Method::GET, host, None), "{host}");
        }
    }

    #[test]
    fn a_public_listener_answers_to_any_name() {
        assert!(allows(&guard("0.0.0.0:8558"), Method::GET, "anything.example", None));
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let guard = guard("127.0.0.1:8558");
        let host = "localhost:8558";
        assert!(allows(&guard, Method::POST, host, None));
        assert!(allows(&guard, Method::POST, host, Some("http://localhost:8558")));
        assert!(!allows(&guard, Method::POST, host, Some("http://localhost:9999")));
        assert!(!allows(&guard, Method::POST, host, Some("https://evil.example")));
        assert!(!allows(&guard, Method::PATCH, host, Some("null")));
        assert!(allows(&guard, Method::GET, host, Some("https://evil.example")), "reading is for CORS to refuse");
    }
}
