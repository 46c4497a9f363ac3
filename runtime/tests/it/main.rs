//! The runtime as its users meet it: real servers, the real binary, HTTP.

#[cfg(test)]
mod adjust;
#[cfg(test)]
mod audits;
#[cfg(test)]
mod between;
#[cfg(test)]
mod clusters;
#[cfg(test)]
mod cockpit;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod down;
#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod keepers;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod looks;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod money;
#[cfg(test)]
mod notifications;
#[cfg(test)]
mod observed;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reseller;
#[cfg(test)]
mod sale;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod warmups;
#[cfg(test)]
mod way;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod workers;
