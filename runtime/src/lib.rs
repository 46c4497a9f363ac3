//! The services behind a sale: one binary, a role per process or all in one. It wires the libraries together; what an
//! order is stands in `ticket-core`, and nothing here knows Kubernetes.

pub mod admin;
pub mod api;
pub mod audit;
mod availability;
mod body;
pub mod catalog;
mod cloudevents;
mod commands;
pub mod config;
mod gauges;
mod http;
mod jwks;
pub mod keeper;
pub mod notifier;
mod openapi;
mod path;
pub mod payments;
pub mod problem;
pub mod processor;
pub mod roles;
mod secrets;
pub mod sync;
mod traced;
