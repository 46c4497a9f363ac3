//! What the background tasks bring, taken into the state.

use super::super::mailbox::Mail;
use super::super::reading::{Answer, Outcome, Reading, Topic};
use super::super::screens::Screen;
use super::super::state::State;

pub(super) fn take(state: &mut State, mail: Mail) {
    for reading in mail.readings {
        // What stands still is what is looked at; who the asker is and what is down is not frozen.
        if state.frozen_at.is_none() || reading.topic == Topic::Access {
            read(state, reading);
        }
    }
    for outcome in mail.outcomes {
        ended(state, outcome);
    }
}

fn read(state: &mut State, reading: Reading) {
    let Reading { topic, at, result } = reading;
    let answer = match result {
        Ok(answer) => answer,
        Err(trouble) => {
            state.data.fail(topic, trouble);
            return;
        }
    };
    // An answer about an event that was looked at before may come late.
    let is_chosen = |event: &str| state.event.as_deref() == Some(event);
    match answer {
        Answer::Access(access) => state.data.access.take(access, at),
        Answer::Events(events) => {
            state.data.events.take(events, at);
            choose_the_only_one(state);
        }
        Answer::Stock(stock) if is_chosen(&stock.event) => {
            state.rates.take(&stock);
            state.data.stock.take(stock, at);
        }
        Answer::Warmup(warmup) if is_chosen(&warmup.event) => {
            state.data.warmup.take(warmup, at);
        }
        Answer::Orders(event, orders) if is_chosen(&event) => state.data.orders.take(orders, at),
        Answer::Order(order) if matches!(state.screen(), Screen::Order { id } if *id == order.id) =>
        {
            state.data.order.take(*order, at);
        }
        Answer::Shards(shards) => state.data.shards.take(shards, at),
        Answer::Lag(lag) => state.data.lag.take(lag, at),
        Answer::Rebalances(rebalances) => state.data.rebalances.take(rebalances, at),
        Answer::Stock(_) | Answer::Warmup(_) | Answer::Orders(..) | Answer::Order(_) => {}
    }
}

/// Where there is one event, nobody has to choose.
fn choose_the_only_one(state: &mut State) {
    if state.event.is_none()
        && let Some([only]) = state.data.events.value.as_deref()
    {
        let name = only.event.clone();
        state.choose(&name);
    }
}

fn ended(state: &mut State, outcome: Outcome) {
    let Outcome { command, result } = outcome;
    let first = state.under_way.iter().position(|it| *it == command);
    if let Some(at) = first {
        state.under_way.remove(at);
    }
    match result {
        Ok(what) => state.say(format!("{command}: {what}")),
        Err(trouble) => {
            let next = trouble.next.map(|next| format!("; next: {next}"));
            let next = next.unwrap_or_default();
            state.complain(format!("{command}: {}{next}", trouble.what));
        }
    }
    // What was changed is seen at once.
    state.round += 1;
}
