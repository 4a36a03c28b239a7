//! The web page at `/ui/`: a few files in the program, which ask the API of the agent that they come from.
//!
//! The files are the same for everybody and hold nothing of the cluster, so they need no token; what the page shows it asks the
//! API for, with the token that its reader types in. Every address in them is relative, so that the page works below a path
//! prefix of a proxy.
//!
//! # Not here
//!
//! A build step, a framework, and anything that a browser would fetch from elsewhere: the policy that goes with every file
//! forbids it.

use std::sync::LazyLock;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

/// Where the page is, and its label in the metrics.
pub(super) const PATH: &str = "/ui";

/// Scripts, styles and requests of this agent only, none in the text of the page; no frame around it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// What browsers keep they ask for again: another agent, or this one after an upgrade, may have another version.
const CACHE: &str = "no-cache";

struct File {
    name: &'static str,
    media: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($name:literal, $media:expr) => {
        File { name: $name, media: $media, text: include_str!(concat!("ui/", $name)) }
    };
}

/// The first one is the page itself.
const FILES: &[File] = &[
    file!("index.html", HTML),
    file!("style.css", CSS),
    file!("icon.svg", SVG),
    file!("app.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("ansi.js", SCRIPT),
    file!("ask.js", SCRIPT),
    file!("cluster.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("live.js", SCRIPT),
    file!("run.js", SCRIPT),
    file!("state.js", SCRIPT),
    file!("task.js", SCRIPT),
    file!("tasks.js", SCRIPT),
];

/// Names the content of each file, in the order of [`FILES`].
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |file: &File| format!("\"{}\"", &blake3::hash(file.text.as_bytes()).to_hex()[..32]);
    FILES.iter().map(tag).collect()
});

/// Answers a request for the page. `None`: it is another request.
pub(super) fn answer(request: &HttpRequest) -> Option<HttpResponse> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let name = match request.path() {
        // Whoever reads it by a program gets what it always got.
        "/" if wants_page(request) => return Some(lead_there()),
        PATH => return Some(lead_there()),
        path => path.strip_prefix(PATH)?.strip_prefix('/')?,
    };
    let index = FILES.iter().position(|file| file.name == name || name.is_empty() && file.name == FILES[0].name)?;
    let (file, tag) = (&FILES[index], TAGS.get(index)?);
    let is_known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| {
        known.to_str().is_ok_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag))
    });
    let mut builder = head(if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    builder.insert_header((header::ETAG, tag.as_str()));
    if is_known {
        return Some(builder.finish());
    }
    builder.insert_header((header::CONTENT_TYPE, file.media));
    Some(builder.body(file.text))
}

/// A browser that opens an address says so; `*/*` is what programs say.
fn wants_page(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT);
    accept.is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")))
}

/// From `/` and from `/ui` alike, whatever a proxy has put before them.
fn lead_there() -> HttpResponse {
    let mut builder = head(StatusCode::FOUND);
    builder.insert_header((header::LOCATION, "ui/")).insert_header((header::VARY, "Accept"));
    builder.finish()
}

fn head(status: StatusCode) -> HttpResponseBuilder {
    let mut builder = HttpResponse::build(status);
    builder
        .insert_header((header::CACHE_CONTROL, CACHE))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("cross-origin-opener-policy", "same-origin"));
    builder
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_page_is_small_and_asks_for_nothing_from_elsewhere() {
        let bytes: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(bytes < 150_000, "{bytes} bytes");
        for File { name, text, .. } in FILES {
            // The names of SVG's elements are no address that is fetched.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "style=\""] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }

    #[test]
    fn every_file_that_another_one_names_is_here() {
        for File { name, text, .. } in FILES {
            let quoted = text.split('"').skip(1).step_by(2).chain(text.split('"').step_by(2));
            let named = quoted.filter(|word| {
                let file = word.strip_prefix("./").unwrap_or(word);
                [".js", ".css", ".svg"].iter().any(|end| file.ends_with(end)) && !file.contains([' ', '\n', '*'])
            });
            for word in named {
                let file = word.strip_prefix("./").unwrap_or(word);
                assert!(FILES.iter().any(|file_here| file_here.name == file), "{name} names {word}");
            }
        }
    }

    #[test]
    fn only_a_browser_is_led_to_the_page() {
        let of = |method: Method, path: &str, accept: &str| {
            answer(&TestRequest::with_uri(path).method(method).insert_header(("accept", accept)).to_http_request())
                .map(|answer| answer.status().as_u16())
        };
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        assert_eq!(of(Method::GET, "/", browser), Some(302));
        assert_eq!(of(Method::GET, "/", "*/*"), None);
        assert_eq!(of(Method::GET, "/ui", "*/*"), Some(302));
        assert_eq!(of(Method::GET, "/ui/", "*/*"), Some(200));
        assert_eq!(of(Method::HEAD, "/ui/app.js", "*/*"), Some(200));
        for path in ["/ui/none.js", "/uix", "/ui//", "/ui/../v1/status", "/v1/status"] {
            assert_eq!(of(Method::GET, path, browser), None, "{path}");
        }
        assert_eq!(of(Method::POST, "/ui/", browser), None);
    }
}
