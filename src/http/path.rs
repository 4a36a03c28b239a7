//! Parts of the path of a request.

use std::borrow::Cow;

/// What follows the path of a collection: `Some("")` for the whole collection.
pub(super) fn below<'a>(path: &'a str, collection: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(collection)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

/// Whether no part of a path is empty: such a path could mean one thing here and another there, so it is no path at all.
/// CTS's collections may end in a slash, but nothing is made there.
pub(super) fn is_plain(method: &str, path: &str) -> bool {
    let path = match path {
        "/v1/tasks/" | "/v1/status/tasks/" if method != "POST" => path.trim_end_matches('/'),
        path => path,
    };
    path == "/" || !(path.contains("//") || path.ends_with('/'))
}

/// The text that a part of a path stands for. `None`: an escape is broken, or the bytes are no text.
pub(super) fn percent_decode(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('%') {
        return Some(Cow::Borrowed(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let [high, low, tail @ ..] = tail else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(*high)? * 16 + digit(*low)?);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_an_empty_part_is_none() {
        for path in ["/v1/cluster/state//db", "//v1/status", "/v1/tokens/", "/v1/tasks//run", "/v1/tasks/web/"] {
            assert!(!is_plain("GET", path) && !is_plain("POST", path), "{path}");
        }
        assert!(is_plain("GET", "/v1/tasks/") && is_plain("PATCH", "/v1/tasks/") && !is_plain("POST", "/v1/tasks/"));
        for path in ["/", "/livez", "/v1/status/tasks/web", "/v1/tokens"] {
            assert!(is_plain("GET", path) && is_plain("POST", path), "{path}");
        }
    }

    #[test]
    fn a_collection_is_no_prefix_of_a_word() {
        assert_eq!(below("/v1/tasks/web", "/v1/tasks"), Some("web"));
        assert_eq!((below("/v1/tasks", "/v1/tasks"), below("/v1/tasks/", "/v1/tasks")), (Some(""), Some("")));
        assert_eq!(below("/v1/tasksweb", "/v1/tasks"), None);
    }

    #[test]
    fn percent_encoding_is_decoded_or_refused() {
        assert_eq!(percent_decode("a%2Fb").as_deref(), Some("a/b"));
        assert_eq!(percent_decode("web").as_deref(), Some("web"));
        for bad in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
    }
}
