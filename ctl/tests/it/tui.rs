//! The cockpit: the program's own loop, with keys and answers of the admin API.

mod answers;
mod deeds;
mod screens;
mod stage;
mod ways;
