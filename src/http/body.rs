//! Reads the body of a request within its limits, chunked or not.

use actix_web::HttpRequest;
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::Payload;
use futures_util::StreamExt;

use super::limits::Body;

/// Why there is no body, as status and text.
pub(super) type Refusal = (StatusCode, String);

/// `POST /v1/tasks` takes JSON that is called so, as in CTS. A page of another origin cannot call it so unasked.
pub(super) fn is_json(request: &HttpRequest, path: &str) -> Result<(), String> {
    if path != "/v1/tasks" || *request.method() != Method::POST {
        return Ok(());
    }
    let said = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = said.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(format!("request body has an error: header Content-Type has unexpected value {said:?}: send application/json"))
}

/// The whole body, within its limits.
pub(super) async fn read(request: &HttpRequest, mut payload: Payload, limit: Body) -> Result<Vec<u8>, Refusal> {
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit.bytes as u64) {
        return Err(too_large(limit));
    }
    let gather = async {
        let mut body = Vec::new();
        while let Some(chunk) = payload.next().await {
            let chunk =
                chunk.map_err(|error| (StatusCode::BAD_REQUEST, format!("cannot read the request's body: {error}")))?;
            if body.len() + chunk.len() > limit.bytes {
                return Err(too_large(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    match tokio::time::timeout(limit.within, gather).await {
        Ok(outcome) => outcome,
        Err(_) => {
            Err((StatusCode::REQUEST_TIMEOUT, format!("the request's body did not arrive within {:?}", limit.within)))
        }
    }
}

fn too_large(limit: Body) -> Refusal {
    (StatusCode::PAYLOAD_TOO_LARGE, format!("the request's body may have {} bytes at most", limit.bytes))
}
