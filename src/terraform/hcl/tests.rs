use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn neighbouring_assignments_line_up_and_a_longer_value_ends_the_group() {
    let mut inner = Body::default();
    inner.attribute("id", Expr::string("web-1"));
    let value = json!({"id": "w", "address": "a", "nested": {"lan": "x", "wan4": "y"}, "meta": {}, "tags": ["a", "b"]});
    let mut body = Body::default();
    body.comment("two\nlines").block("module", &["edge"], inner).blank().attribute("it", Expr::from(&value));
    assert_eq!(
        body.to_text(),
        concat!(
            "# two\n# lines\nmodule \"edge\" {\n  id = \"web-1\"\n}\n\nit = {\n",
            "  id      = \"w\"\n  address = \"a\"\n  nested = {\n    lan  = \"x\"\n    wan4 = \"y\"\n  }\n",
            "  meta = {}\n  tags = [\"a\", \"b\"]\n}\n"
        )
    );
}

#[test]
fn a_comment_cannot_be_left() {
    let mut body = Body::default();
    body.comment("a\r\nb = 1\u{2028}c = 2\u{0}").attribute("d", Expr::Null);
    assert_eq!(body.to_text(), "# a\n# b = 1\n# c = 2\nd = null\n");
}

#[test]
fn keys_that_would_read_as_something_else_are_quoted() {
    let value = json!({"for": 1, "a.b": 2, "null": 3, "1": 4, "": 5, "ok-1": 6});
    let mut body = Body::default();
    body.attribute("v", Expr::from(&value));
    let text = body.to_text();
    assert_eq!(parsed(&text), value, "{text}");
    assert!(text.contains("  ok-1   = 6\n"), "{text}");
}

#[test]
fn a_doubled_sign_is_never_left_to_be_counted() {
    check_quoted("${a}", r#""$${a}""#);
    check_quoted("$${a}", r#""$\u0024{a}""#);
    check_quoted("%%%{a}", r#""%%\u0025{a}""#);
    check_quoted("$%{a} $a", r#""$%%{a} $a""#);
}

#[test]
fn types_are_inferred_and_nested() {
    let value = json!({"host": "h", "tls": {"ca": "c", "on": true}, "ports": [1, "a"], "none": null, "e": {}});
    let mut body = Body::default();
    body.attribute("type", Expr::Type(Type::map(Type::of(&Expr::from(&value)))));
    assert_eq!(
        body.to_text(),
        concat!(
            "type = map(object({\n  host = string\n  tls = object({\n    ca = string\n    on = bool\n  })\n",
            "  ports = tuple([number, string])\n  none  = any\n  e     = object({})\n}))\n"
        )
    );
}

#[test]
fn a_reference_into_a_list_of_blocks() {
    let mut body = Body::default();
    body.attribute("a", Expr::Reference(Reference::variable("fw").key("rule").index(1).key("x y")));
    assert_eq!(body.to_text(), "a = var.fw.rule[1][\"x y\"]\n");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in hostile_value()) {
        let mut body = Body::default();
        body.attribute("v", Expr::from(&value));
        let text = body.to_text();
        prop_assert_eq!(parsed(&text), value, "{}", text);
    }

    #[test]
    fn hostile_maps_and_labels_are_read_back(key in hostile(), value in hostile()) {
        let mut body = Body::default();
        body.comment(&value).attribute("v", Expr::Map(vec![(key.clone(), Expr::string(value.clone()))]));
        body.block("b", &[&key], Body::default());
        let text = body.to_text();
        prop_assert_eq!(parsed(&text), json!({key.clone(): value}), "{}", text);
        let read: hcl_edit::structure::Body = text.parse().unwrap();
        let label = read.get_blocks("b").next().unwrap().labels[0].as_str().to_owned();
        prop_assert_eq!(label, key);
    }
}

fn check_quoted(value: &str, expected: &str) {
    let mut body = Body::default();
    body.attribute("v", Expr::string(value));
    assert_eq!(body.to_text(), format!("v = {expected}\n"));
}

/// What hcl-edit reads in `v`.
fn parsed(text: &str) -> Value {
    let body: hcl_edit::structure::Body = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    crate::terraform::literal::from_expression(&body.get_attribute("v").unwrap().value).unwrap()
}

/// Text made of what means something to HCL.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("$".to_owned()),
        Just("%".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("${".to_owned()),
        Just("%{".to_owned()),
        Just("$${".to_owned()),
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\0".to_owned()),
        Just("<<EOF\n".to_owned()),
        Just("EOF\n".to_owned()),
        Just("# ".to_owned()),
        Just("*/".to_owned()),
        Just("for".to_owned()),
        any::<char>().prop_map(String::from),
        "[a-z ]{1,4}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn hostile_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        hostile().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(hostile(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
