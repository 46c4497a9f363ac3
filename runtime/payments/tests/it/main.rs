//! The client against the sandbox, the sandbox's webhooks against a receiver that checks them, and the client against
//! servers that misbehave.

#[cfg(test)]
mod api;
#[cfg(test)]
mod client;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod given_back;
#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod stripe;
