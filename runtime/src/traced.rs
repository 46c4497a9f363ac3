//! How a trace travels in records. A command carries its own; a record of facts carries one header for each of its orders
//! whose trace is kept: `traceparent:<order reference>`. Records of orders that nobody traces carry none.

use bytes::Bytes;
use ticket_bus::{Header, Record};
use ticket_core::OrderRef;
use ticket_telemetry::trace::{HEADER, TraceParent};

/// Traces of the orders of a batch. Empty, and then nothing is allocated, unless some are kept.
#[derive(Debug, Default)]
pub struct Traces(Vec<(OrderRef, TraceParent)>);

/// The header of a command.
pub(crate) fn header(trace: TraceParent) -> Header {
    (HEADER.to_owned(), Bytes::from(trace.to_string()))
}

/// Where the trace of a command goes on, if it is kept.
pub(crate) fn of_command(record: &Record) -> Option<TraceParent> {
    if record.headers.is_empty() {
        return None;
    }
    TraceParent::read(record.header(HEADER)).filter(|trace| trace.is_sampled)
}

impl Traces {
    /// Those that a record of facts carries.
    pub(crate) fn of_facts(record: &Record) -> Self {
        let traces = record.headers.iter().filter_map(|(name, value)| {
            let order = name.strip_prefix(HEADER)?.strip_prefix(':')?;
            let trace = TraceParent::read(Some(value)).filter(|trace| trace.is_sampled)?;
            Some((order.parse().ok()?, trace))
        });
        Self(traces.collect())
    }

    /// The headers of a record of facts.
    pub(crate) fn headers(&self) -> Vec<Header> {
        let header = |(order, trace): &(OrderRef, TraceParent)| {
            (format!("{HEADER}:{order}"), Bytes::from(trace.to_string()))
        };
        self.0.iter().map(header).collect()
    }

    pub(crate) fn push(&mut self, order: OrderRef, trace: TraceParent) {
        self.0.push((order, trace));
    }

    pub(crate) fn get(&self, order: OrderRef) -> Option<TraceParent> {
        self.0
            .iter()
            .find(|(of, _)| *of == order)
            .map(|(_, trace)| *trace)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(OrderRef, TraceParent)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buyer() -> ticket_core::BuyerId {
        ticket_core::BuyerId::new("ann").unwrap()
    }

    #[test]
    fn traces_of_facts_read_back_by_order() {
        let order = OrderRef {
            order: ticket_core::OrderId::derive(ticket_core::EventId::random(), &buyer(), "key"),
            shard: ticket_core::StockShardId::new(7).unwrap(),
        };
        let trace = TraceParent {
            trace: 7,
            span: 9,
            is_sampled: true,
        };
        let mut traces = Traces::default();
        traces.push(order, trace);
        let record = Record {
            partition: 0,
            offset: 0,
            key: Bytes::new(),
            payload: Bytes::new(),
            timestamp_ms: 0,
            headers: traces.headers(),
        };
        assert_eq!(Traces::of_facts(&record).get(order), Some(trace));
        assert_eq!(of_command(&record), None);
        let command = Record {
            headers: vec![header(trace)],
            ..record
        };
        assert_eq!(of_command(&command), Some(trace));
        assert_eq!(Traces::of_facts(&command).iter().count(), 0);
    }
}
