//! Stripe's request bodies: `application/x-www-form-urlencoded` with brackets for what is nested,
//! `metadata[order_id]=..`. Pairs keep their order, so that a repeated request is the same bytes.

/// `Content-Type` of every request with a body.
pub(crate) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// A body that is being written.
pub(crate) struct Form(form_urlencoded::Serializer<'static, String>);

impl Form {
    pub(crate) fn new() -> Self {
        Self(form_urlencoded::Serializer::new(String::new()))
    }

    /// `name=value`
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.append_pair(name, value);
        self
    }

    /// `name[key]=value`
    pub(crate) fn with_key(self, name: &str, key: &str, value: &str) -> Self {
        self.with(&format!("{name}[{key}]"), value)
    }

    /// `name=value`, or nothing.
    pub(crate) fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.finish()
    }
}

/// The pairs of a body or query, in their order.
pub(crate) fn pairs(encoded: &[u8]) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(encoded).into_owned()
}

/// `("metadata", "order_id")` of `metadata[order_id]`; `None` if it is not of that shape.
pub(crate) fn bracketed(name: &str) -> Option<(&str, &str)> {
    name.strip_suffix(']')?.split_once('[')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let body = Form::new()
            .with("amount", "1200")
            .with_key("metadata", "order_id", "a b&c=d[é]")
            .with_some("limit", None)
            .finish();
        assert_eq!(
            body,
            "amount=1200&metadata%5Border_id%5D=a+b%26c%3Dd%5B%C3%A9%5D"
        );
        let read: Vec<_> = pairs(body.as_bytes()).collect();
        assert_eq!(
            read[1],
            ("metadata[order_id]".to_owned(), "a b&c=d[é]".to_owned())
        );
        assert_eq!(bracketed(&read[1].0), Some(("metadata", "order_id")));
        assert_eq!(bracketed("amount"), None);
    }
}
