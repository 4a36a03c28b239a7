//! Notices by HTTP: a `POST` for each, signed.

use std::path::PathBuf;
use std::time::Duration;

use ring::hmac;

use super::{Format, Notice};
use crate::tls::{self, Authorities};

/// Header with the signature: `sha256=` and, in hex, HMAC-SHA256 of the time of [`TIME`], a dot, and the body.
pub const SIGNATURE: &str = "X-Quorate-Signature";
/// Header with the time of the delivery, in seconds since 1970: receivers refuse what is old.
const TIME: &str = "X-Quorate-Timestamp";
/// Header with the id of the notice: the same when it is sent again.
const ID: &str = "X-Quorate-Notice";
/// What of an answer stands in an error, in characters.
const ANSWER_MAX: usize = 200;

/// A client that trusts these authorities, and follows no redirect: an address is a secret that is given to nobody else.
pub(super) fn client(ca_cert: Option<PathBuf>, timeout: Duration) -> Result<reqwest::Client, String> {
    let tls = tls::Client { verify: true, authorities: ca_cert.map(Authorities::File), identity: None };
    let config = tls.config().map_err(|error| error.to_string())?;
    let builder = reqwest::Client::builder()
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("quorate/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(config);
    builder.build().map_err(|error| tls::causes(&error))
}

pub(super) async fn post(
    client: &reqwest::Client,
    url: &str,
    secret: Option<&str>,
    format: Format,
    notice: &Notice,
    now: i64,
) -> Result<(), String> {
    let body = notice.body(format);
    let time = now.to_string();
    let mut request = client.post(url).header("Content-Type", "application/json").header(ID, &notice.id);
    if let Some(secret) = secret {
        request = request.header(SIGNATURE, signature(secret, &time, &body));
    }
    let answer = request.header(TIME, time).body(body).send().await;
    let answer = answer.map_err(|error| tls::causes(&error.without_url()))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer.text().await.unwrap_or_default();
    let said: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(ANSWER_MAX).collect();
    Err(format!("it answered {status}{}{said}", if said.is_empty() { "" } else { ": " }))
}

fn signature(secret: &str, time: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut signed = hmac::Context::with_key(&key);
    signed.update(time.as_bytes());
    signed.update(b".");
    signed.update(body);
    format!("sha256={}", quorate_proto::hex(signed.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2, with its data cut at the dot that stands between time and body here.
    #[test]
    fn a_signature_is_hmac_of_time_and_body() {
        let own = signature("Jefe", "what do ya want for nothing?", b"");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let plain = quorate_proto::hex(hmac::sign(&key, b"what do ya want for nothing?").as_ref());
        assert_eq!(plain, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(
            own,
            format!("sha256={}", quorate_proto::hex(hmac::sign(&key, b"what do ya want for nothing?.").as_ref()))
        );
        assert_ne!(signature("Jefe", "1", b"2"), signature("Jefe", "12", b""));
    }
}
