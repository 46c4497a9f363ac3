//! What must hold for the workspace as a whole.

#[cfg(test)]
mod arrows;
