//! Nothing of its own: its manifest brings published programs into the workspace, for `cargo build --package`.
