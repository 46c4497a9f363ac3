//! `-w`: what all commands share that go on with every change. What is there comes first, then only what differs; until
//! somebody stops it, or what is watched is gone or at its end. A server that goes away is waited for.

mod list;
mod object;
mod page;
mod poll;
mod rows;
mod silence;

pub(crate) use list::{Change, list};
pub(crate) use object::object;
pub(crate) use page::{Page, again};
pub(crate) use poll::poll;
pub(crate) use rows::{Lines, Rows};
pub(crate) use silence::Silence;
