//! doorcode.
fn main() {}
