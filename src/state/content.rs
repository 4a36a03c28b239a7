//! What of a Terraform state has to be understood: its lineage, its serial, its hashes. The rest is bytes.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::CONTENT_MAX;

/// Longest lineage; Terraform's is a UUID.
const LINEAGE_MAX: usize = 128;

/// Why bytes are not a state. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Too large.
    #[error("the state has {0} bytes, {CONTENT_MAX} at most are kept; split the module, or configure another backend")]
    Size(usize),
    /// Not JSON, or without the two fields.
    #[error("this is not a Terraform state: {0}")]
    Form(String),
}

/// A state's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Names the state through all its versions. Empty in what Terraform set aside when it could not even look whether
    /// there was a state before.
    pub lineage: String,
    /// Grows with each version of a lineage.
    pub serial: u64,
    /// Bytes.
    pub size: u64,
    /// For Terraform.
    pub md5: [u8; 16],
    /// BLAKE3: what says that two contents are the same.
    pub hash: [u8; 32],
}

#[derive(Deserialize)]
struct Head {
    lineage: String,
    serial: u64,
}

impl Content {
    /// Reads the head. Other fields are not looked at: they differ between versions of Terraform, and `OpenTofu` may have
    /// encrypted them.
    pub fn of(bytes: &[u8]) -> Result<Self, ContentError> {
        if bytes.len() > CONTENT_MAX {
            return Err(ContentError::Size(bytes.len()));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| ContentError::Form(error.to_string()))?;
        if head.lineage.len() > LINEAGE_MAX {
            return Err(ContentError::Form(format!("its lineage has {} characters", head.lineage.len())));
        }
        Ok(Self {
            lineage: head.lineage,
            serial: head.serial,
            size: bytes.len() as u64,
            md5: md5(bytes),
            hash: *blake3::hash(bytes).as_bytes(),
        })
    }
}

/// The same state under another lineage and serial; all else stays, byte for byte, but for the order of the outermost
/// fields and the blanks between them.
pub(super) fn renamed(bytes: &[u8], lineage: &str, serial: u64) -> Result<Vec<u8>, ContentError> {
    let form = |error: serde_json::Error| ContentError::Form(error.to_string());
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes).map_err(form)?;
    let (lineage, serial) = (serde_json::to_string(lineage).map_err(form)?, serial.to_string());
    let mut text = String::with_capacity(bytes.len() + lineage.len());
    for (name, value) in fields.iter().map(|(name, value)| (name.as_str(), value.get())) {
        let value = match name {
            "lineage" | "serial" => continue,
            _ => value,
        };
        text.push_str(&serde_json::to_string(name).map_err(form)?);
        text.extend([":", value, ","]);
    }
    Ok(format!("{{{text}\"lineage\":{lineage},\"serial\":{serial}}}").into_bytes())
}

/// A lineage for a state that has none: the same for the same bytes.
pub(super) fn lineage_of(hash: [u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// MD5: Terraform's check that what arrived is what was sent. It protects against accidents, not against people.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use quorate_proto::hex;

    use super::*;

    #[test]
    fn the_head_is_read_and_the_rest_left_alone() {
        let content = Content::of(br#"{"version":4,"serial":3,"lineage":"l","resources":[{"a":[1,{}]}]}"#).unwrap();
        assert_eq!((content.lineage.as_str(), content.serial, content.size), ("l", 3, 65));
        assert_eq!(hex(&md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn what_is_no_state_is_refused() {
        for bad in [
            &b""[..],
            b"{}",
            b"null",
            br#"{"serial":1}"#,
            br#"{"serial":-1,"lineage":"l"}"#,
            br#"{"serial":1,"lineage":"l"} x"#,
            b"\xff",
        ] {
            assert!(matches!(Content::of(bad), Err(ContentError::Form(_))), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(Content::of(&vec![b' '; CONTENT_MAX + 1]), Err(ContentError::Size(CONTENT_MAX + 1)));
    }

    #[test]
    fn a_state_without_lineage_gets_one() {
        let bytes = br#"{"version":4,"serial":0,"lineage":"","resources":[{"n":1.0e400,"s":"\u00e9 }"}]}"#;
        let content = Content::of(bytes).unwrap();
        assert_eq!((content.lineage.as_str(), content.serial), ("", 0));
        let lineage = lineage_of(content.hash);
        assert!(uuid::Uuid::parse_str(&lineage).is_ok() && lineage == lineage_of(content.hash));
        let expected = r#"{"resources":[{"n":1.0e400,"s":"\u00e9 }"}],"version":4,"lineage":"l\"","serial":7}"#;
        assert_eq!(String::from_utf8(renamed(bytes, "l\"", 7).unwrap()).unwrap(), expected);
        assert_eq!(Content::of(expected.as_bytes()).unwrap().serial, 7);
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let deep = format!(r#"{{"serial":1,"lineage":"l","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(Content::of(deep.as_bytes()).is_ok());
    }
}
