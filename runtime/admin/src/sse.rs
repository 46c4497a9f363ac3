//! Reading server-sent events from chunks of bytes, as far as our own streams use them.

/// Longest event that is read, bytes: 512 stock shards with about 200 bytes each, with room.
pub(crate) const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// A complete event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// `event:`; `message` if it has none.
    pub(crate) name: String,
    /// `data:` lines, joined.
    pub(crate) data: String,
}

/// Collects bytes until an event is complete.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    buffer: Vec<u8>,
}

impl Parser {
    /// Takes what came. `false` when an event is longer than [`EVENT_BYTES_MAX`]: nothing sensible follows.
    #[must_use]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        self.buffer
            .extend(bytes.iter().filter(|byte| **byte != b'\r'));
        self.buffer.len() <= EVENT_BYTES_MAX
    }

    /// The next complete event with data. Comments (keep-alive) are passed over.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
            if let Some(event) = parse(&String::from_utf8_lossy(&block)) {
                return Some(event);
            }
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut name = "message";
    let mut data: Vec<&str> = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value,
            "data" => data.push(value),
            _ => {}
        }
    }
    (!data.is_empty()).then(|| Event {
        name: name.to_owned(),
        data: data.join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_the_bytes_were_cut() {
        let text = b": keep-alive\n\nevent: stock\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata: x\n\n";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for chunk in text.chunks(size) {
                assert!(parser.push(chunk));
                while let Some(event) = parser.next() {
                    events.push((event.name, event.data));
                }
            }
            let expected = [("stock", "{\"a\":\n1}"), ("message", "x")];
            let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
            assert_eq!(events, expected, "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        assert!(!parser.push(&vec![b'a'; EVENT_BYTES_MAX + 1]));
    }
}
