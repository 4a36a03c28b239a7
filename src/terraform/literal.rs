//! Reads a literal value from HCL text: what a task's variable holds (`reference/cts.md` 3.6).
//!
//! Only constants are values here. A reference, a function call or an interpolation has no meaning outside of a
//! module, so it is refused with what to write instead.

use hcl_edit::expr::{Expression, ObjectKey, UnaryOperator};
use hcl_edit::template::Element;
use serde_json::{Map, Number, Value};

use super::hcl::DEPTH_MAX;

/// Longest text of one variable, in bytes. Larger data belongs into a file that the module reads.
const TEXT_MAX: usize = 1024 * 1024;

/// Why a text is not a literal value. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiteralError {
    /// Not HCL at all.
    #[error("not an HCL or JSON value: {0}; a text needs quotes around it")]
    Syntax(String),
    /// An expression.
    #[error("{0} is not allowed: only literal values (strings in quotes, numbers, true, false, lists, objects)")]
    NotLiteral(&'static str),
    /// A number that JSON cannot carry.
    #[error("number {0} is out of range")]
    Number(String),
    /// Too deep.
    #[error("nested deeper than {DEPTH_MAX}")]
    Depth,
    /// Too long.
    #[error("longer than {TEXT_MAX} bytes")]
    Length,
}

/// Reads the literal text of a value.
pub fn from_text(text: &str) -> Result<Value, LiteralError> {
    if text.len() > TEXT_MAX {
        return Err(LiteralError::Length);
    }
    let expression: Expression = text.trim().parse().map_err(|error: hcl_edit::parser::Error| {
        LiteralError::Syntax(format!("line {}, column {}", error.location().line(), error.location().column()))
    })?;
    from_expression(&expression)
}

/// Reads a parsed value.
pub fn from_expression(expression: &Expression) -> Result<Value, LiteralError> {
    at_depth(expression, 0)
}

fn at_depth(expression: &Expression, depth: usize) -> Result<Value, LiteralError> {
    if depth > DEPTH_MAX {
        return Err(LiteralError::Depth);
    }
    match expression {
        Expression::Null(_) => Ok(Value::Null),
        Expression::Bool(value) => Ok(Value::Bool(**value)),
        Expression::Number(value) => number(&value.to_string()),
        Expression::String(value) => Ok(Value::String(value.as_str().to_owned())),
        Expression::StringTemplate(template) => constant(template.iter()),
        Expression::HeredocTemplate(heredoc) => constant(heredoc.template.iter()),
        Expression::Array(items) => {
            items.iter().map(|item| at_depth(item, depth + 1)).collect::<Result<_, _>>().map(Value::Array)
        }
        Expression::Object(items) => items
            .iter()
            .map(|(key, value)| Ok((object_key(key)?, at_depth(value.expr(), depth + 1)?)))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
        Expression::Parenthesis(inner) => at_depth(inner.inner(), depth + 1),
        Expression::UnaryOp(op) if *op.operator.value() == UnaryOperator::Neg => match &op.expr {
            Expression::Number(value) => number(&format!("-{}", **value)),
            _ => Err(LiteralError::NotLiteral("an operation")),
        },
        Expression::UnaryOp(_) | Expression::BinaryOp(_) => Err(LiteralError::NotLiteral("an operation")),
        Expression::Variable(_) | Expression::Traversal(_) => Err(LiteralError::NotLiteral("a reference")),
        Expression::FuncCall(_) => Err(LiteralError::NotLiteral("a function call")),
        Expression::Conditional(_) => Err(LiteralError::NotLiteral("a condition")),
        Expression::ForExpr(_) => Err(LiteralError::NotLiteral("a `for` expression")),
    }
}

fn object_key(key: &ObjectKey) -> Result<String, LiteralError> {
    match key {
        ObjectKey::Ident(name) | ObjectKey::Expression(Expression::Variable(name)) => Ok(name.as_str().to_owned()),
        ObjectKey::Expression(expression) => match from_expression(expression)? {
            Value::String(key) => Ok(key),
            Value::Number(key) => Ok(key.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err(LiteralError::NotLiteral("a key that is not a string"))
            }
        },
    }
}

fn constant<'a>(elements: impl Iterator<Item = &'a Element>) -> Result<Value, LiteralError> {
    elements
        .map(|element| match element {
            Element::Literal(text) => Ok(text.as_str()),
            Element::Interpolation(_) => Err(LiteralError::NotLiteral("an interpolation `${..}`")),
            Element::Directive(_) => Err(LiteralError::NotLiteral("a directive `%{..}`")),
        })
        .collect::<Result<String, _>>()
        .map(Value::String)
}

fn number(text: &str) -> Result<Value, LiteralError> {
    let number: Number = serde_json::from_str(text).map_err(|_| LiteralError::Number(text.to_owned()))?;
    Ok(Value::Number(number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn literals_of_every_kind_are_read() {
        check("\"a\"", json!("a"));
        check(" 7 ", json!(7));
        check("-1.5", json!(-1.5));
        check("true", json!(true));
        check("null", json!(null));
        check("[1, \"b\", { c = [] }]", json!([1, "b", {"c": []}]));
        check("{ \"a\" : 1, b = \"$${x}\" }", json!({"a": 1, "b": "${x}"}));
        check("<<EOF\nline\nEOF\n", json!("line\n"));
    }

    #[test]
    fn what_is_not_a_constant_is_refused() {
        refuse("bare", "a reference");
        refuse("var.x", "a reference");
        refuse("file(\"/etc/passwd\")", "a function call");
        refuse("\"${x}\"", "an interpolation");
        refuse("\"%{ if true }a%{ endif }\"", "a directive");
        refuse("1 + 1", "an operation");
        refuse("[for x in []: x]", "a `for` expression");
        refuse("\"open", "needs quotes");
        refuse("", "needs quotes");
        refuse("1\nx = 2", "needs quotes");
        refuse(&("[".repeat(40) + &"]".repeat(40)), "nested deeper");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_stack_overflow() {
        assert!(from_text(&("[".repeat(100_000) + &"]".repeat(100_000))).is_err());
        assert!(from_text(&"-".repeat(100_000)).is_err());
        assert!(from_text(&"(".repeat(100_000)).is_err());
    }

    fn check(text: &str, expected: Value) {
        assert_eq!(from_text(text), Ok(expected), "{text}");
    }

    fn refuse(text: &str, why: &str) {
        let error = from_text(text).expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}
