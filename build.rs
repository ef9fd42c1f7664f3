//! Compiles `proto/` with a compiler written in Rust, so that no machine needs `protoc`.

use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    // With source info: the comments of the .proto become the documentation of the Rust types.
    let descriptors = protox::compile(["parallax/debug/v1/debug.proto"], ["proto"])?;
    // Kept for the reflection service.
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(
        out.join("debug_descriptor.bin"),
        protox::prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        // Equal answers must print equally.
        .btree_map(".")
        // The command line prints answers as JSON and YAML.
        .type_attribute(".parallax.debug.v1", "#[derive(serde::Serialize)]")
        .type_attribute(".parallax.debug.v1", "#[serde(rename_all = \"camelCase\")]")
        .compile_fds(descriptors)?;
    Ok(())
}
