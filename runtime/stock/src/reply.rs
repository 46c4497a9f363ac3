//! Reads what the functions answer: integers, strings, arrays, nil.

use redis::{ErrorKind, RedisError, Value};

/// The function answered something that this program does not know.
pub(crate) fn unexpected(value: &Value) -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "a reply that the function library never gives",
        format!("{value:?}"),
    ))
}

/// An integer, also one that is written as text.
pub(crate) fn whole(value: &Value) -> Result<i64, RedisError> {
    if let Value::Int(number) = value {
        return Ok(*number);
    }
    text(value)?.parse().map_err(|_| unexpected(value))
}

pub(crate) fn text(value: &Value) -> Result<&str, RedisError> {
    let Value::BulkString(bytes) = value else {
        return Err(unexpected(value));
    };
    std::str::from_utf8(bytes).map_err(|_| unexpected(value))
}

pub(crate) fn list(value: &Value) -> Result<&[Value], RedisError> {
    let Value::Array(items) = value else {
        return Err(unexpected(value));
    };
    Ok(items)
}

/// Whether the function has nothing to say.
pub(crate) const fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Nil)
}
