//! How many event streams are open: each one costs a connection and a task for as long as its listener likes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ticket_core::{BuyerId, Code};

use crate::problem::Problem;

/// The open streams of this process.
#[derive(Debug)]
pub(crate) struct Streams {
    max: usize,
    per_buyer_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_buyer: HashMap<BuyerId, usize>,
}

/// An open stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream {
    streams: Arc<Streams>,
    buyer: BuyerId,
}

impl Streams {
    pub(crate) fn new(max: usize, per_buyer_max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            per_buyer_max,
            open: Mutex::default(),
        })
    }

    /// Opens a stream for `buyer`; `overloaded` if there are too many, `too-many-requests` if the buyer has too many.
    pub(crate) fn open(self: &Arc<Self>, buyer: &BuyerId) -> Result<OpenStream, Problem> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.max {
            let detail = "more event streams are open than this server has room for";
            return Err(Problem::new(Code::Overloaded, detail));
        }
        let of_buyer = open.by_buyer.entry(buyer.clone()).or_default();
        if *of_buyer >= self.per_buyer_max {
            let detail = format!("a buyer may have {} event streams open", self.per_buyer_max);
            return Err(Problem::new(Code::TooManyRequests, detail));
        }
        *of_buyer += 1;
        open.all += 1;
        Ok(OpenStream {
            streams: self.clone(),
            buyer: buyer.clone(),
        })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let open = &self.streams.open;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(of_buyer) = open.by_buyer.get_mut(&self.buyer) {
            *of_buyer -= 1;
            if *of_buyer == 0 {
                open.by_buyer.remove(&self.buyer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buyer_and_all_buyers_have_a_limit_and_a_closed_stream_is_room_again() {
        let streams = Streams::new(3, 2);
        let buyer = |name: &str| BuyerId::new(name).unwrap();
        let first = streams.open(&buyer("ann")).unwrap();
        let _second = streams.open(&buyer("ann")).unwrap();
        let code = |name| {
            streams
                .open(&buyer(name))
                .map(drop)
                .map_err(|refused| refused.code)
        };
        assert_eq!(code("ann"), Err(Code::TooManyRequests));
        let third = streams.open(&buyer("bob")).unwrap();
        assert_eq!(code("eve"), Err(Code::Overloaded));
        drop(first);
        assert_eq!(code("ann"), Ok(()));
        drop(third);
        let open = streams.open.lock().unwrap();
        assert_eq!((open.all, open.by_buyer.len()), (1, 1));
    }
}
