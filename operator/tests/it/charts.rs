//! The Helm charts, rendered by Helm and applied to a real API server. Helm comes with `make install-all`.

mod cluster;
mod generated;
mod helm;
mod permissions;
mod pods;
mod rights;
mod settings;
mod upgrade;
mod values;
