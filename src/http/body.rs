//! Reads the body of a request within its limits, chunked or not.

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use actix_web::web::Payload;
use futures_util::StreamExt;

use super::limits;

/// Why there is no body, as status and text.
pub(super) type Refusal = (StatusCode, String);

/// The whole body, at most [`limits::BODY`] bytes within [`limits::REQUEST_BODY`].
pub(super) async fn read(request: &HttpRequest, mut payload: Payload) -> Result<Vec<u8>, Refusal> {
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits::BODY as u64) {
        return Err(too_large());
    }
    let gather = async {
        let mut body = Vec::new();
        while let Some(chunk) = payload.next().await {
            let chunk =
                chunk.map_err(|error| (StatusCode::BAD_REQUEST, format!("cannot read the request's body: {error}")))?;
            if body.len() + chunk.len() > limits::BODY {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    match tokio::time::timeout(limits::REQUEST_BODY, gather).await {
        Ok(outcome) => outcome,
        Err(_) => Err((
            StatusCode::REQUEST_TIMEOUT,
            format!("the request's body did not arrive within {:?}", limits::REQUEST_BODY),
        )),
    }
}

fn too_large() -> Refusal {
    (StatusCode::PAYLOAD_TOO_LARGE, format!("the request's body may have {} bytes at most", limits::BODY))
}
